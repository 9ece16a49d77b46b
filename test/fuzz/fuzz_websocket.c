#include "http/remote.h"
#include "http/server.h"
#include "peer.h"

typedef struct Exec {
    RemoteSession *session;
    Peer channels[4];
    int readies, gones;
} Exec;

static void take(Peer *peer, Stream *stream) {
    if (stream)
        peer_start(peer, stream);
}

static void on_ready(void *user, int error, RemoteSession *session,
                     const RemoteChannels *channels) {
    Exec *exec = user;
    exec->readies++;
    exec->session = session;
    if (error)
        return;
    take(&exec->channels[0], channels->stdin_stream);
    take(&exec->channels[1], channels->stdout_stream);
    take(&exec->channels[2], channels->stderr_stream);
    take(&exec->channels[3], channels->resize_stream);
    stream_write(channels->stdout_stream, STR("hello"));
}

static void on_gone(void *user) {
    Exec *exec = user;
    exec->gones++;
    exec->session = NULL;
    for (int i = 0; i < 4; i++)
        must(!exec->channels[i].stream);
}

static void handle(void *user, HttpRequest *request) {
    RemoteOptions options = {
        .stdin_open = true, .stdout_open = true, .stderr_open = true, .tty = true};
    remote_command_accept(request, &options, on_ready, on_gone, user);
}

static const Str protocols[] = {
    {"v5.channel.k8s.io", 17}, {"v4.base64.channel.k8s.io", 24}, {"channel.k8s.io", 14}};

// What a client sends after the handshake of an exec; the first byte also picks the protocol.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Loop *loop = loop_new_simulated(1, 0);
    Exec exec = {0};
    HttpServer *server;
    HttpServerConfig config = {.loop = loop, .handler = handle, .user = &exec};
    must(http_server_new(&config, &server) == 0);
    Stream *ours, *theirs;
    stream_pair(loop, &ours, &theirs);
    HttpPeer identity = {.address = STR("@")};
    http_server_serve(server, theirs, &identity);
    Peer peer;
    peer_start(&peer, ours);
    _buf_deinit_ Buf hello = BUF_INIT(4096);
    buf_printf(&hello,
               "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
               "Sec-WebSocket-Protocol: %.*s\r\n\r\n",
               STR_ARG(protocols[size ? data[0] % 3 : 0]));
    stream_write(ours, buf_view(&hello));
    turn(loop);
    must(exec.readies == 1 && exec.session);
    peer_feed(loop, &peer, data, size);
    if (exec.session && size % 2) {
        remote_command_finish(exec.session, 3, STR_NONE);
        exec.session = NULL;
    }
    turn(loop);
    peer_finish(loop, &peer);
    must(loop_run_until(loop, loop_now(loop) + 60 * NSEC_PER_SEC) == 0);
    must(!exec.session);
    for (int i = 0; i < 4; i++)
        if (exec.channels[i].stream)
            stream_abort(exec.channels[i].stream);
    http_server_free(server);
    loop_free(loop);
    return 0;
}
