// Attach: a connection to conmon's socket (SOCK_SEQPACKET). It sends the container's output, each
// packet one byte that names the stream and up to 8 KiB of data, and takes stdin as plain packets.
// Resizing and reopening the log are lines on its control fifo.

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/memory.h"
#include "node/conmon.h"
#include "node/crun_private.h"

typedef struct Attach Attach;
typedef struct AttachEnd {
    Attach *attach;
    Stream *stream; // NULL when closed
} AttachEnd;

struct Attach {
    ListLink link;
    CrunRuntime *runtime;
    RuntimeDone done;
    void *user;
    int socket;
    LoopFd *watch;
    Buf input; // not yet taken by conmon
    bool input_ended, input_shut, paused_input, finishing;
    int error;
    AttachEnd ends[3]; // stdin, stdout, stderr
    LoopTask finish_task;
};

static void attach_free(Attach *attach) {
    list_remove(&attach->link);
    loop_task_cancel(attach->runtime->base.loop, &attach->finish_task);
    loop_fd_free(attach->watch);
    if (attach->socket >= 0)
        close(attach->socket);
    for (int i = 0; i < 3; i++)
        if (attach->ends[i].stream)
            stream_abort(attach->ends[i].stream);
    buf_deinit(&attach->input);
    free(attach);
}

static void attach_check(Attach *attach) {
    if (!attach->finishing)
        return;
    for (int i = 0; i < 3; i++)
        if (attach->ends[i].stream)
            return;
    int error = attach->error;
    attach->done(attach->user, error, error ? str_from(strerrordesc_np(-error)) : STR(""));
    attach_free(attach);
}

// The container ended or the client left: flush to the client, then tell.
static void attach_finish(Attach *attach) {
    if (attach->finishing)
        return;
    attach->finishing = true;
    loop_fd_free(attach->watch);
    attach->watch = NULL;
    if (attach->socket >= 0)
        close(attach->socket);
    attach->socket = -1;
    for (int i = 0; i < 3; i++)
        if (attach->ends[i].stream)
            stream_close(attach->ends[i].stream);
    loop_post(attach->runtime->base.loop, &attach->finish_task);
}

static void on_finish_task(void *user) {
    attach_check(user);
}

static bool output_is_full(const Attach *attach) {
    for (int i = 1; i < 3; i++)
        if (attach->ends[i].stream && stream_queued(attach->ends[i].stream) > STREAM_HIGH_WATER)
            return true;
    return false;
}

static void update_watch(Attach *attach) {
    if (!attach->watch)
        return;
    loop_fd_want(attach->watch,
                 (output_is_full(attach) ? 0 : LOOP_READ) | (attach->input.len ? LOOP_WRITE : 0));
}

// ---- to conmon

static void send_input(Attach *attach) {
    while (attach->input.len && attach->socket >= 0) {
        size_t n = attach->input.len < CONMON_PACKET_MAX ? attach->input.len : CONMON_PACKET_MAX;
        ssize_t sent = send(attach->socket, attach->input.data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            break; // full; or gone, which reading tells
        buf_consume(&attach->input, (size_t)sent);
    }
    if (attach->input.len == 0 && attach->input_ended && !attach->input_shut &&
        attach->socket >= 0) {
        attach->input_shut = true;
        shutdown(attach->socket, SHUT_WR); // conmon closes the container's stdin, if it may
    }
    Stream *input = attach->ends[0].stream;
    bool full = attach->input.len > STREAM_HIGH_WATER;
    if (input && full != attach->paused_input && (full || attach->input.len < STREAM_LOW_WATER)) {
        attach->paused_input = full;
        stream_pause(input, full);
    }
    update_watch(attach);
}

static void on_input(void *user, Str data) {
    Attach *attach = ((AttachEnd *)user)->attach;
    if (attach->finishing || user != &attach->ends[0])
        return;
    buf_str(&attach->input, data);
    send_input(attach);
}

static void on_input_end(void *user) {
    Attach *attach = ((AttachEnd *)user)->attach;
    if (attach->finishing || user != &attach->ends[0])
        return;
    attach->input_ended = true;
    send_input(attach);
}

static void on_output_drain(void *user) {
    update_watch(((AttachEnd *)user)->attach);
}

static void on_client_close(void *user, int error) {
    AttachEnd *end = user;
    Attach *attach = end->attach;
    end->stream = NULL;
    if (attach->finishing) {
        attach_check(attach);
    } else if (end == &attach->ends[0]) {
        attach->input_ended = true;
        send_input(attach);
    } else if (!attach->ends[1].stream && !attach->ends[2].stream) {
        attach_finish(attach); // nobody is looking any more
    }
}

static const StreamEvents client_events = {.on_data = on_input,
                                           .on_end = on_input_end,
                                           .on_drain = on_output_drain,
                                           .on_close = on_client_close};

// ---- from conmon

static void receive_output(Attach *attach) {
    char packet[CONMON_PACKET_MAX + 1];
    for (int i = 0; i < 16 && !output_is_full(attach); i++) {
        ssize_t n = recv(attach->socket, packet, sizeof packet, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n <= 0) {
            attach_finish(attach);
            return;
        }
        int stream;
        Str data;
        if (conmon_parse_packet(str_of(packet, (size_t)n), &stream, &data) &&
            attach->ends[stream].stream)
            stream_write(attach->ends[stream].stream, data);
    }
    update_watch(attach);
}

static void on_socket(void *user, int events) {
    Attach *attach = user;
    if (events & LOOP_WRITE)
        send_input(attach);
    if (events & LOOP_READ)
        receive_output(attach);
    else if (events & LOOP_HANGUP && !output_is_full(attach))
        attach_finish(attach);
}

// ---- the calls

// The path of a socket may be longer than its address allows, so it is reached by a descriptor.
static int connect_conmon(const CrunRuntime *runtime, Str id) {
    _arena_free_ Arena *arena = arena_new();
    int bundle =
        open(crun_path(runtime, arena, "bundle", id).ptr, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (bundle < 0)
        return -errno;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/attach", bundle);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = fd < 0 ? -errno : 0;
    if (!error && connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        error = -errno;
    close(bundle);
    if (error && fd >= 0)
        close(fd);
    return error ? error : fd;
}

void crun_attach(Runtime *base, Str id, Stream *stdin_stream, Stream *stdout_stream,
                 Stream *stderr_stream, RuntimeDone done, void *user) {
    CrunRuntime *runtime = container_of(base, CrunRuntime, base);
    CrunContainer *container = map_get(runtime->containers, id);
    Stream *const streams[3] = {stdin_stream, stdout_stream, stderr_stream};
    Attach *attach = memory_new(Attach);
    *attach = (Attach){.runtime = runtime, .done = done, .user = user};
    attach->input = BUF_INIT(SIZE_MAX / 2); // bounded by pausing the client
    attach->finish_task = (LoopTask){.fn = on_finish_task, .user = attach};
    list_append(&runtime->attaches, &attach->link);
    for (int i = 0; i < 3; i++) {
        attach->ends[i] = (AttachEnd){attach, streams[i]};
        if (streams[i])
            stream_start(streams[i], &client_events, &attach->ends[i]);
    }
    bool alive = container && !container->creating && container->view.state != CONTAINER_EXITED;
    attach->socket = alive ? connect_conmon(runtime, container->view.id) : -ENOENT;
    if (attach->socket < 0) {
        attach->error = attach->socket;
        attach->socket = -1;
        attach_finish(attach);
        return;
    }
    attach->watch = loop_fd_new(base->loop, attach->socket, on_socket, attach);
    update_watch(attach);
}

void crun_attaches_free(CrunRuntime *runtime) {
    Attach *attach;
    list_for_each(attach, &runtime->attaches, link) attach_free(attach);
}

// One line to conmon; without a reader (it has ended) it is lost, which is right.
static void control(Runtime *base, Str id, const char *line) {
    CrunRuntime *runtime = container_of(base, CrunRuntime, base);
    _arena_free_ Arena *arena = arena_new();
    Str bundle = crun_path(runtime, arena, "bundle", id);
    int fd = open(arena_printf(arena, "%s/ctl", bundle.ptr).ptr, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t ignored = write(fd, line, strlen(line));
    (void)ignored;
    close(fd);
}

void crun_attach_resize(Runtime *base, Str id, uint16_t width, uint16_t height) {
    char line[64];
    snprintf(line, sizeof line, "1 %u %u\n", height, width);
    CrunContainer *container = map_get(container_of(base, CrunRuntime, base)->containers, id);
    if (container && container->tty)
        control(base, id, line);
}

void crun_reopen_log(Runtime *base, Str id) {
    if (map_get(container_of(base, CrunRuntime, base)->containers, id))
        control(base, id, "2 0 0\n");
}
