#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/memory.h"
#include "base/spawn_private.h"

// One end of a pipe to or from the program.
typedef struct Pipe {
    struct Run *run;
    int fd; // ours; -1 once closed
    LoopFd *watch;
    Buf data;       // stdin: still to be written; else what was read
    bool truncated; // more came than `data` may hold
} Pipe;

typedef struct Run {
    Loop *loop;
    Child *child;
    Pipe input, output, errors;
    LoopTimer timer;
    bool timed_out, new_session;
    int error;
    SpawnDone on_done;
    void *user;
} Run;

static void pipe_close(Pipe *pipe) {
    if (pipe->fd < 0)
        return;
    loop_fd_free(pipe->watch);
    close(pipe->fd);
    pipe->fd = -1;
    pipe->watch = NULL;
}

static void run_finish(Run *run, int status) {
    SpawnResult result = {
        .error = run->error,
        .status = status,
        .stdout_data = buf_view(&run->output.data),
        .stderr_data = buf_view(&run->errors.data),
        .timed_out = run->timed_out,
        .truncated = run->output.truncated || run->errors.truncated,
    };
    if (run->on_done)
        run->on_done(run->user, &result);
    Pipe *pipes[] = {&run->input, &run->output, &run->errors};
    for (size_t i = 0; i < 3; i++) {
        pipe_close(pipes[i]);
        buf_deinit(&pipes[i]->data);
    }
    loop_timer_stop(&run->timer);
    free(run);
}

static void keep(Pipe *pipe, const char *data, size_t len) {
    size_t room = pipe->data.max - pipe->data.len;
    if (len > room) {
        pipe->truncated = true;
        len = room;
    }
    buf_append(&pipe->data, data, len);
}

// Reads what is there, up to `chunks` chunks. A child that has ended has written all it ever will,
// so reading until EAGAIN then gets everything, even when a grandchild keeps the pipe open.
static void read_available(Pipe *pipe, int chunks) {
    char chunk[8192];
    while (pipe->fd >= 0 && chunks-- != 0) {
        ssize_t n = read(pipe->fd, chunk, sizeof chunk);
        if (n > 0)
            keep(pipe, chunk, (size_t)n);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            pipe_close(pipe);
        else if (errno == EAGAIN)
            return;
    }
}

static void on_readable(void *user, int events) {
    read_available(user, 8);
}

static void on_writable(void *user, int events) {
    Pipe *pipe = user;
    ssize_t n = write(pipe->fd, pipe->data.data, pipe->data.len);
    if (n > 0)
        buf_consume(&pipe->data, (size_t)n);
    if (!pipe->data.len || (n < 0 && errno != EAGAIN && errno != EINTR))
        pipe_close(pipe);
}

static void on_run_exit(void *user, int status) {
    Run *run = user;
    // Bounded, because that grandchild may write without end.
    int limit = (int)(run->output.data.max / 8192 + 64);
    read_available(&run->output, limit);
    read_available(&run->errors, limit);
    run_finish(run, status);
}

static void on_timeout(void *user) {
    Run *run = user;
    run->timed_out = true;
    child_kill(run->child, SIGKILL);
    if (run->new_session)
        kill(-child_pid(run->child), SIGKILL); // not reaped yet, so the group is its own
}

static void on_abandoned(void *user) {
    ((Run *)user)->on_done = NULL;
}
static void on_failed(void *user) {
    run_finish(user, 0);
}

// Makes a pipe, keeps our end in `pipe` and returns the program's end, or negative errno.
static int pipe_open(Pipe *pipe, Run *run, bool to_program) {
    int ends[2];
    pipe->run = run;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pipe->fd = ends[to_program];
    fcntl(pipe->fd, F_SETFL, O_NONBLOCK);
    pipe->watch = loop_fd_new(run->loop, pipe->fd, to_program ? on_writable : on_readable, pipe);
    if (!pipe->watch) {
        int r = -errno;
        close(ends[0]);
        close(ends[1]);
        pipe->fd = -1;
        return r;
    }
    loop_fd_want(pipe->watch, to_program ? LOOP_WRITE : LOOP_READ);
    return ends[!to_program];
}

static int run_start(Run *run, const SpawnSpec *spec, Str input) {
    size_t n = 0;
    int r = 0;
    SpawnFd *fds = memory_resize_array(NULL, spec->n_fds + 3, sizeof *fds);
    for (; n < spec->n_fds; n++)
        fds[n] = spec->fds[n];
    Pipe *pipes[] = {&run->input, &run->output, &run->errors};
    for (int target = input.ptr ? 0 : 1; target < 3 && r >= 0; target++) {
        r = pipe_open(pipes[target], run, target == 0);
        if (r >= 0)
            fds[n++] = (SpawnFd){.source = r, .target = target};
    }
    if (r >= 0) {
        SpawnSpec own = *spec;
        own.fds = fds;
        own.n_fds = n;
        r = spawn_child(run->loop, &own, on_run_exit, run, &run->child);
    }
    for (size_t i = spec->n_fds; i < n; i++)
        close(fds[i].source);
    free(fds);
    return r;
}

Child *spawn_run(Loop *loop, const SpawnSpec *spec, Str input, size_t max_output,
                 int64_t timeout_ns, SpawnDone on_done, void *user) {
    Run *run = memory_new(Run);
    *run = (Run){.loop = loop, .new_session = spec->new_session, .on_done = on_done, .user = user};
    run->input = (Pipe){.fd = -1, .data = BUF_INIT(input.len)};
    run->output = run->errors = (Pipe){.fd = -1, .data = BUF_INIT(max_output)};
    buf_str(&run->input.data, input);
    loop_timer_init(&run->timer, loop, on_timeout, run);
    int r = run_start(run, spec, input);
    if (r < 0) {
        run->error = r;
        loop_call(loop, on_failed, run);
        return NULL;
    }
    child_on_abandon(run->child, on_abandoned);
    if (timeout_ns > 0)
        loop_timer_start(&run->timer, timeout_ns);
    return run->child;
}
