#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/stream.h"
#include "base/stream_queue.h"

#define READ_SIZE (64 * 1024) // on the stack: thread-local, every thread would pay for it
#define READS_PER_TURN 4      // then others get their turn
#define IOVECS 16
#define LINGER_NS (10 * NSEC_PER_SEC)

typedef struct FdStream {
    Stream stream;
    int fd;
    bool is_socket, is_pipe;
    LoopFd *watch;
    StreamQueue queue;
    LoopTask finish_task; // on_close and the end of the stream
    LoopTimer linger;
    bool started, paused;
    bool read_ended, write_ending, write_ended;
    bool owner_ended; // stream_end() was called: writing more is a mistake
    bool closing;     // stream_close() was called: no on_data any more
    bool discarding;  // closing, everything is out, and the peer is still sending
    int broken;       // writing failed with this; what the peer sent before is still read
    bool finished;    // finish_task is on its way; nothing but abort() counts any more
    int error;
    bool busy; // inside on_ready(), where every callback but on_close comes from
    bool dead; // to be freed when that returns
} FdStream;

static void destroy(FdStream *s) {
    loop_task_cancel(s->stream.loop, &s->finish_task);
    loop_timer_stop(&s->linger);
    loop_fd_free(s->watch);
    s->watch = NULL;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    stream_queue_clear(&s->queue);
    s->dead = true;
    if (!s->busy)
        free(s);
}

static void finish(FdStream *s, int error) {
    if (s->finished)
        return;
    s->finished = true;
    s->error = error;
    loop_timer_stop(&s->linger);
    if (s->watch)
        loop_fd_want(s->watch, 0);
    if (s->started)
        loop_post(s->stream.loop, &s->finish_task);
}

static void on_finish(void *user) {
    FdStream *s = user;
    const StreamEvents *events = s->stream.events;
    void *owner = s->stream.user;
    int error = s->error;
    destroy(s);
    events->on_close(owner, error);
}

static void finish_if_ended(FdStream *s) {
    if (s->write_ended && s->read_ended)
        finish(s, s->broken);
}

static void update_watch(FdStream *s) {
    if (s->finished || !s->watch)
        return;
    int wanted = 0;
    // A pipe that is only written is "read" as well: that is how its reader's leaving shows.
    bool write_only = s->is_pipe && !s->write_ended;
    if (s->started && !s->closing && ((!s->paused && !s->read_ended) || write_only))
        wanted |= LOOP_READ;
    if (s->discarding)
        wanted |= LOOP_READ;
    if (s->queue.len)
        wanted |= LOOP_WRITE;
    loop_fd_want(s->watch, wanted);
}

// The peer takes no more. What it sent before it left (an answer, the last words of a command) may
// not have been read yet.
static void fail_writing(FdStream *s, int error) {
    char unread;
    if (!s->is_socket || !s->started || s->closing || s->read_ended ||
        recv(s->fd, &unread, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
        return finish(s, error);
    s->broken = error;
    s->write_ending = s->write_ended = true;
    stream_queue_clear(&s->queue);
    loop_timer_start(&s->linger, LINGER_NS);
    update_watch(s);
}

// Closing a socket that holds unread bytes resets the connection, and the peer loses what we sent
// last. So a peer that is still sending is read out, to its end or as long as LINGER_NS allows.
static void discard_input(FdStream *s) {
    char buffer[READ_SIZE];
    bool was_discarding = s->discarding;
    for (int i = 0; i < READS_PER_TURN; i++) {
        ssize_t n = read(s->fd, buffer, READ_SIZE);
        if (n > 0)
            s->discarding = true;
        else if (n == 0 || errno != EAGAIN || !was_discarding)
            return finish(s, 0);
        else
            return;
    }
}

// What was queued before stream_end() or stream_close() has gone out.
static void end_writing(FdStream *s) {
    if (!s->write_ended) {
        s->write_ended = true;
        if (s->is_socket)
            shutdown(s->fd, SHUT_WR);
    }
    finish_if_ended(s);
    if (s->closing && s->is_socket && !s->finished)
        discard_input(s);
    else if (s->closing)
        finish(s, 0);
}

static ssize_t send_some(FdStream *s) {
    struct iovec parts[IOVECS];
    size_t n = stream_queue_peek(&s->queue, parts, IOVECS);
    if (!s->is_socket)
        return writev(s->fd, parts, (int)n);
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = n};
    return sendmsg(s->fd, &message, MSG_NOSIGNAL);
}

// Sends what the descriptor takes. Calls no event.
static void flush(FdStream *s) {
    while (s->queue.len && !s->finished) {
        ssize_t n = send_some(s);
        if (n >= 0)
            stream_queue_consume(&s->queue, (size_t)n);
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR)
            fail_writing(s, -errno);
    }
    if (!s->queue.len && s->write_ending && !s->broken)
        end_writing(s);
    update_watch(s);
}

static void on_read_end(FdStream *s) {
    s->read_ended = true;
    update_watch(s);
    s->stream.events->on_end(s->stream.user);
    if (!s->dead)
        finish_if_ended(s);
}

static bool can_read(const FdStream *s) {
    return s->started && !s->paused && !s->read_ended && !s->closing && !s->finished && !s->dead;
}

static void read_some(FdStream *s) {
    for (int i = 0; i < READS_PER_TURN && can_read(s); i++) {
        char buffer[READ_SIZE];
        ssize_t n = read(s->fd, buffer, READ_SIZE);
        if (n > 0) {
            if (s->broken)
                loop_timer_start(&s->linger, LINGER_NS);
            s->stream.events->on_data(s->stream.user, str_of(buffer, (size_t)n));
            if (n < READ_SIZE)
                return;
        } else if (n == 0 || errno == EIO) { // EIO: the last process left the pty
            on_read_end(s);
            return;
        } else if (errno != EINTR) {
            if (errno != EAGAIN)
                finish(s, s->broken ? s->broken : -errno);
            return;
        }
    }
}

static void write_some(FdStream *s) {
    flush(s);
    if (!s->finished && s->started && stream_queue_has_drained(&s->queue) &&
        s->stream.events->on_drain)
        s->stream.events->on_drain(s->stream.user);
}

// Nobody reads the pipe any more, or the socket has an error that a paused reader would not see.
static void on_hangup(FdStream *s) {
    int error = EPIPE;
    socklen_t len = sizeof error;
    if (s->is_socket && getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && !error)
        return;
    if (!s->broken)
        fail_writing(s, -error);
}

static void on_ready(void *user, int events) {
    FdStream *s = user;
    s->busy = true;
    if (events & LOOP_WRITE)
        write_some(s);
    if (!s->dead && (events & LOOP_READ)) {
        if (s->discarding)
            discard_input(s);
        else
            read_some(s);
    }
    if (!s->dead && !s->finished && (events & LOOP_HANGUP) && (!can_read(s) || s->is_pipe))
        on_hangup(s);
    s->busy = false;
    if (s->dead)
        free(s);
}

static FdStream *of(Stream *stream) {
    return (FdStream *)stream;
}

static void fd_start(Stream *stream) {
    FdStream *s = of(stream);
    s->started = true;
    if (s->finished)
        loop_post(stream->loop, &s->finish_task);
    update_watch(s);
}

static bool may_write(FdStream *s) {
    if (s->finished || s->closing || s->broken)
        return false;
    assert(!s->owner_ended);
    if (s->write_ended) // the reading end of a pipe
        finish(s, -EBADF);
    return !s->finished;
}

static void fd_write(Stream *stream, Str data) {
    FdStream *s = of(stream);
    if (!data.len || !may_write(s))
        return;
    if (!s->queue.len) { // usually it fits, and then needs no copy
        ssize_t n = s->is_socket ? send(s->fd, data.ptr, data.len, MSG_NOSIGNAL)
                                 : write(s->fd, data.ptr, data.len);
        if (n > 0)
            data = str_slice(data, (size_t)n, data.len);
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
            return fail_writing(s, -errno);
    }
    stream_queue_write(&s->queue, data);
    update_watch(s);
}

static void fd_write_bytes(Stream *stream, Bytes *bytes) {
    FdStream *s = of(stream);
    if (!bytes->len || !may_write(s))
        return;
    bool was_empty = !s->queue.len;
    stream_queue_write_bytes(&s->queue, bytes);
    if (was_empty)
        flush(s);
}

static size_t fd_queued(const Stream *stream) {
    return ((const FdStream *)stream)->queue.len;
}

static void fd_pause(Stream *stream, bool paused) {
    of(stream)->paused = paused;
    update_watch(of(stream));
}

static void fd_end(Stream *stream) {
    FdStream *s = of(stream);
    if (s->write_ending || s->finished)
        return;
    s->owner_ended = s->write_ending = true;
    flush(s);
}

static void on_linger(void *user) {
    FdStream *s = user;
    finish(s, s->broken ? s->broken : s->discarding ? 0 : -ETIMEDOUT);
}

static void fd_close(Stream *stream) {
    FdStream *s = of(stream);
    if (s->closing || s->finished)
        return;
    if (s->broken)
        return finish(s, s->broken);
    s->closing = s->write_ending = true;
    loop_timer_start(&s->linger, LINGER_NS);
    flush(s);
}

static void fd_abort(Stream *stream) {
    destroy(of(stream));
}

static const StreamOps fd_ops = {
    .start = fd_start,
    .write = fd_write,
    .write_bytes = fd_write_bytes,
    .queued = fd_queued,
    .pause = fd_pause,
    .end = fd_end,
    .close = fd_close,
    .abort = fd_abort,
};

Stream *stream_from_fd(Loop *loop, int fd) {
    FdStream *s = memory_new(FdStream);
    *s = (FdStream){.stream = {.ops = &fd_ops, .loop = loop}, .fd = fd};
    s->finish_task = (LoopTask){.fn = on_finish, .user = s};
    loop_timer_init(&s->linger, loop, on_linger, s);
    struct stat st;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fstat(fd, &st) < 0) {
        finish(s, -errno);
        return &s->stream;
    }
    s->is_socket = S_ISSOCK(st.st_mode);
    s->is_pipe = S_ISFIFO(st.st_mode);
    s->read_ended = (flags & O_ACCMODE) == O_WRONLY;
    s->write_ended = s->write_ending = (flags & O_ACCMODE) == O_RDONLY;
    if (!(flags & O_NONBLOCK))
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    s->watch = loop_fd_new(loop, fd, on_ready, s);
    if (!s->watch)
        finish(s, -errno);
    return &s->stream;
}
