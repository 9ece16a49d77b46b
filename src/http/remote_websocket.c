// Exec and attach over WebSocket (KEP-4006; before it, kubelet's
// server/remotecommand/websocket.go).

#include <stdlib.h>

#include "base/memory.h"
#include "http/channel_socket.h"
#include "http/remote_session.h"

enum { CHANNEL_STDIN, CHANNEL_STDOUT, CHANNEL_STDERR, CHANNEL_ERROR, CHANNEL_RESIZE, N_CHANNELS };

typedef struct RemoteSocket {
    RemoteSession base;
    ChannelSocket *socket;
    LoopTask ready_task;
    bool ready; // on_ready was told
} RemoteSocket;

static const Str protocols[] = {
    {"v5.channel.k8s.io", 17}, {"v4.channel.k8s.io", 17},     {"v4.base64.channel.k8s.io", 24},
    {"channel.k8s.io", 14},    {"base64.channel.k8s.io", 21}, {"", 0},
};

static void finish(RemoteSession *session, Str status) {
    RemoteSocket *r = (RemoteSocket *)session;
    if (status.len)
        channel_socket_send(r->socket, CHANNEL_ERROR, status);
    channel_socket_close(r->socket);
}

static const RemoteSessionOps session_ops = {.finish = finish};

static void on_close(void *user, int error) {
    RemoteSocket *r = user;
    RemoteSession session = r->base;
    bool ready = r->ready;
    loop_task_cancel(session.loop, &r->ready_task);
    free(r);
    if (session.finished)
        return;
    if (ready)
        session.on_gone(session.user);
    else
        session.on_ready(session.user, error, NULL, NULL);
}

static void on_ready_task(void *user) {
    RemoteSocket *r = user;
    r->ready = true;
    RemoteChannels channels = {
        .stdin_stream = channel_socket_stream(r->socket, CHANNEL_STDIN),
        .stdout_stream = channel_socket_stream(r->socket, CHANNEL_STDOUT),
        .stderr_stream = channel_socket_stream(r->socket, CHANNEL_STDERR),
        .resize_stream = channel_socket_stream(r->socket, CHANNEL_RESIZE),
    };
    r->base.on_ready(r->base.user, 0, &r->base, &channels);
}

bool remote_websocket_accept(HttpRequest *request, const RemoteOptions *options,
                             const RemoteSession *template) {
    Str protocol =
        websocket_choose_protocol(request, protocols, sizeof protocols / sizeof *protocols);
    if (!protocol.ptr) {
        http_respond(request, 403, STR_NONE, NULL); // as golang.org/x/net/websocket
        return false;
    }
    const uint8_t kinds[N_CHANNELS] = {
        [CHANNEL_STDIN] = options->stdin_open ? CHANNEL_READ : CHANNEL_IGNORED,
        [CHANNEL_STDOUT] = options->stdout_open ? CHANNEL_WRITE : CHANNEL_IGNORED,
        [CHANNEL_STDERR] = options->stderr_open ? CHANNEL_WRITE : CHANNEL_IGNORED,
        [CHANNEL_ERROR] = CHANNEL_IGNORED, // written by finish() alone
        [CHANNEL_RESIZE] = options->tty ? CHANNEL_READ : CHANNEL_IGNORED,
    };
    ChannelSocketSpec spec = {
        .protocol = protocol,
        .base64 = str_ends_with(protocol, STR("base64.channel.k8s.io")),
        .closes = str_starts_with(protocol, STR("v5.")),
        .kinds = kinds,
        .n = N_CHANNELS,
    };
    RemoteSocket *r = memory_new(RemoteSocket);
    r->base = *template;
    r->base.ops = &session_ops;
    r->base.json_status = str_starts_with(protocol, STR("v"));
    r->ready_task = (LoopTask){.fn = on_ready_task, .user = r};
    r->socket = channel_socket_accept(request, &spec, on_close, r);
    if (!r->socket) {
        free(r);
        return false;
    }
    // An empty message on the lowest channel that is written tells the client that the connection
    // stands.
    size_t first = options->stdout_open   ? CHANNEL_STDOUT
                   : options->stderr_open ? CHANNEL_STDERR
                                          : CHANNEL_ERROR;
    channel_socket_send(r->socket, first, STR(""));
    loop_post(r->base.loop, &r->ready_task);
    return true;
}
