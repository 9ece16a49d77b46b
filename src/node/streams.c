#include "node/streams.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "http/remote.h"
#include "schema/value.h"

#define MAX_RESIZE 4096
#define DIAL_TIMEOUT (30 * NSEC_PER_SEC)

// Exec and attach
// ------------------------------------------------------------------------------------

typedef struct Remote {
    NodeAgent *agent;
    Arena *arena;
    StreamOptions options;
    Str container_id;
    Str *argv;
    size_t n_argv;
    bool attach, running, gone;
    RemoteSession *session;
    RuntimeExec *exec;
    Stream *resize;
    Buf resize_text;
} Remote;

static void remote_free(Remote *remote) {
    buf_deinit(&remote->resize_text);
    arena_free(remote->arena);
    free(remote);
}

static void finish(Remote *remote, int exit_code, Str message) {
    remote->running = false;
    if (remote->gone) {
        remote_free(remote);
        return;
    }
    if (remote->resize)
        stream_abort(remote->resize);
    remote_command_finish(remote->session, exit_code, message);
    remote_free(remote);
}

static void on_exec_done(void *user, int error, Str message, int exit_code) {
    Remote *remote = user;
    remote->exec = NULL;
    finish(remote, error ? -1 : exit_code, error ? message : STR_NONE);
}

static void on_attach_done(void *user, int error, Str message) {
    Remote *remote = user;
    finish(remote, error ? -1 : 0, error ? message : STR_NONE);
}

// The resize channel carries JSON objects, one after the other: {"Width":80,"Height":24}.
static void apply_resize(Remote *remote, Str text) {
    _arena_free_ Arena *arena = arena_new();
    Value *size;
    ParseError error;
    if (value_parse_json(arena, text, NULL, &size, &error) != 0)
        return;
    int64_t width = value_int_at(size, "Width", 0), height = value_int_at(size, "Height", 0);
    if (width <= 0 || height <= 0 || width > UINT16_MAX || height > UINT16_MAX)
        return;
    Runtime *runtime = remote->agent->runtime;
    if (remote->attach)
        runtime->ops->attach_resize(runtime, remote->container_id, (uint16_t)width,
                                    (uint16_t)height);
    else if (remote->exec)
        runtime->ops->exec_resize(remote->exec, (uint16_t)width, (uint16_t)height);
}

static void on_resize_data(void *user, Str data) {
    Remote *remote = user;
    buf_str(&remote->resize_text, data);
    for (;;) {
        Str text = buf_view(&remote->resize_text);
        ptrdiff_t end = str_find(text, '}');
        if (end < 0)
            break;
        apply_resize(remote, str_trim(str_slice(text, 0, (size_t)end + 1)));
        buf_consume(&remote->resize_text, (size_t)end + 1);
    }
    if (remote->resize_text.failed)
        buf_clear(&remote->resize_text);
}

static void on_resize_end(void *user) {}
static void on_resize_close(void *user, int error) {
    ((Remote *)user)->resize = NULL;
}

static void on_channels(void *user, int error, RemoteSession *session,
                        const RemoteChannels *channels) {
    static const StreamEvents resize_events = {
        .on_data = on_resize_data, .on_end = on_resize_end, .on_close = on_resize_close};
    Remote *remote = user;
    if (error) {
        remote_free(remote);
        return;
    }
    Runtime *runtime = remote->agent->runtime;
    remote->session = session;
    remote->resize = channels->resize_stream;
    if (remote->resize)
        stream_start(remote->resize, &resize_events, remote);
    remote->running = true;
    if (remote->attach) {
        runtime->ops->attach(runtime, remote->container_id, channels->stdin_stream,
                             channels->stdout_stream, channels->stderr_stream, on_attach_done,
                             remote);
        return;
    }
    ExecSpec spec = {.container_id = remote->container_id,
                     .argv = remote->argv,
                     .n_argv = remote->n_argv,
                     .tty = remote->options.tty,
                     .stdin_stream = channels->stdin_stream,
                     .stdout_stream = channels->stdout_stream,
                     .stderr_stream = channels->stderr_stream};
    remote->exec = runtime->ops->exec(runtime, &spec, on_exec_done, remote);
}

// The client is gone: what it had started ends. Attach ends because its streams did.
// ends because its streams did.
static void on_gone(void *user) {
    Remote *remote = user;
    remote->gone = true;
    remote->resize = NULL;
    remote->session = NULL;
    if (remote->exec) {
        Runtime *runtime = remote->agent->runtime;
        runtime->ops->exec_cancel(remote->exec);
        remote_free(remote);
    } else if (!remote->running)
        remote_free(remote);
}

static Remote *remote_new(NodeAgent *agent, HttpRequest *request, Str container_id,
                          const StreamOptions *options) {
    Remote *remote = memory_new(Remote);
    remote->agent = agent;
    remote->arena = arena_new();
    remote->options = *options;
    remote->container_id = arena_str(remote->arena, container_id);
    remote->resize_text = BUF_INIT(MAX_RESIZE);
    return remote;
}

static void accept_remote(Remote *remote, HttpRequest *request) {
    RemoteOptions options = {.stdin_open = remote->options.stdin_open,
                             .stdout_open = remote->options.stdout_open,
                             .stderr_open = remote->options.stderr_open && !remote->options.tty,
                             .tty = remote->options.tty};
    remote_command_accept(request, &options, on_channels, on_gone, remote);
}

void stream_exec(NodeAgent *agent, HttpRequest *request, Str container_id, const Str *argv,
                 size_t n_argv, const StreamOptions *options) {
    Remote *remote = remote_new(agent, request, container_id, options);
    remote->argv = arena_array_of(remote->arena, Str, n_argv + 1);
    remote->n_argv = n_argv;
    for (size_t i = 0; i < n_argv; i++)
        remote->argv[i] = arena_str(remote->arena, argv[i]);
    accept_remote(remote, request);
}

void stream_attach(NodeAgent *agent, HttpRequest *request, Str container_id,
                   const StreamOptions *options) {
    Remote *remote = remote_new(agent, request, container_id, options);
    remote->attach = true;
    accept_remote(remote, request);
}

// Port-forward
// -----------------------------------------------------------------------------------------

typedef struct Forward { // one upgraded request
    NodeAgent *agent;
    Str pod, network_namespace; // owned with the struct
    size_t dials;
    bool gone;
    char text[];
} Forward;

typedef struct Dial {
    Forward *forward;
    uint16_t port;
    int fd;
    Stream *data, *error;
    LoopFd *watch;
    LoopTimer timeout;
} Dial;

// A socket of the pod's network namespace. Entering one is this thread's alone and takes
// microseconds; not coming back would put the whole agent into the pod, so that aborts.
static int socket_in(Str network_namespace) {
    if (!network_namespace.len)
        return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    _arena_free_ Arena *arena = arena_new();
    int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int theirs = open(arena_cstr(arena, network_namespace), O_RDONLY | O_CLOEXEC);
    int fd = -1, error = errno;
    if (own >= 0 && theirs >= 0 && setns(theirs, CLONE_NEWNET) == 0) {
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        error = errno;
        if (setns(own, CLONE_NEWNET) != 0)
            abort();
    } else
        error = errno;
    if (own >= 0)
        close(own);
    if (theirs >= 0)
        close(theirs);
    errno = error;
    return fd;
}

static void forward_release(Forward *forward) {
    if (forward->gone && !forward->dials)
        free(forward);
}

static void dial_free(Dial *dial) {
    Forward *forward = dial->forward;
    loop_timer_stop(&dial->timeout);
    if (dial->watch)
        loop_fd_free(dial->watch);
    free(dial);
    forward->dials--;
    forward_release(forward);
}

static void ignore_data(void *user, Str data) {}
static void ignore_end(void *user) {}
static void ignore_close(void *user, int error) {}
static const StreamEvents ignore_events = {
    .on_data = ignore_data, .on_end = ignore_end, .on_close = ignore_close};

static void dial_failed(Dial *dial, int error) {
    _arena_free_ Arena *arena = arena_new();
    Forward *forward = dial->forward;
    Str why = error == ECONNREFUSED ? STR("connection refused")
              : error == ETIMEDOUT  ? STR("i/o timeout")
                                    : str_from(strerror(error));
    Str message = arena_printf(
        arena,
        "an error occurred forwarding %u -> %u: error forwarding port %u to pod %.*s: failed to "
        "connect to "
        "localhost:%u inside the pod's network namespace: dial tcp4 127.0.0.1:%u: connect: %.*s",
        dial->port, dial->port, dial->port, STR_ARG(forward->pod), dial->port, dial->port,
        STR_ARG(why));
    if (dial->fd >= 0)
        close(dial->fd);
    if (forward->gone) {
        stream_abort(dial->error);
        stream_abort(dial->data);
    } else {
        stream_start(dial->error, &ignore_events, NULL);
        stream_write(dial->error, message);
        stream_close(dial->error);
        stream_start(dial->data, &ignore_events, NULL);
        stream_close(dial->data);
    }
    dial_free(dial);
}

static void connected(Dial *dial) {
    Forward *forward = dial->forward;
    if (dial->watch)
        loop_fd_free(dial->watch);
    dial->watch = NULL;
    if (forward->gone) {
        close(dial->fd);
        stream_abort(dial->error);
        stream_abort(dial->data);
    } else {
        stream_start(dial->error, &ignore_events, NULL);
        stream_close(dial->error); // nothing to report
        stream_splice(dial->data, stream_from_fd(forward->agent->loop, dial->fd), STR(""), NULL,
                      NULL);
    }
    dial_free(dial);
}

static void on_writable(void *user, int events) {
    Dial *dial = user;
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error)
        dial_failed(dial, error);
    else
        connected(dial);
}

static void on_dial_timeout(void *user) {
    dial_failed(user, ETIMEDOUT);
}

static void on_connect(void *user, uint16_t port, Stream *data, Stream *error_stream) {
    Forward *forward = user;
    Dial *dial = memory_new(Dial);
    *dial = (Dial){.forward = forward, .port = port, .data = data, .error = error_stream};
    forward->dials++;
    loop_timer_init(&dial->timeout, forward->agent->loop, on_dial_timeout, dial);
    dial->fd = socket_in(forward->network_namespace);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int error = dial->fd < 0                                                                ? errno
                : connect(dial->fd, (const struct sockaddr *)&address, sizeof address) == 0 ? 0
                                                                                            : errno;
    if (!error)
        connected(dial);
    else if (error != EINPROGRESS)
        dial_failed(dial, error);
    else {
        dial->watch = loop_fd_new(forward->agent->loop, dial->fd, on_writable, dial);
        loop_fd_want(dial->watch, LOOP_WRITE);
        loop_timer_start(&dial->timeout, DIAL_TIMEOUT);
    }
}

static void on_forward_gone(void *user) {
    Forward *forward = user;
    forward->gone = true;
    forward_release(forward);
}

void stream_port_forward(NodeAgent *agent, HttpRequest *request, Str pod, Str network_namespace) {
    Forward *forward = memory_alloc(sizeof *forward + pod.len + network_namespace.len);
    *forward = (Forward){.agent = agent};
    memcpy(forward->text, pod.ptr, pod.len);
    forward->pod = str_of(forward->text, pod.len);
    if (network_namespace.len)
        memcpy(forward->text + pod.len, network_namespace.ptr, network_namespace.len);
    forward->network_namespace = str_of(forward->text + pod.len, network_namespace.len);
    if (!remote_port_forward_accept(request, on_connect, on_forward_gone, forward))
        free(forward); // it was refused
}
