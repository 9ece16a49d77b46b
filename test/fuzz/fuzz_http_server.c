#include "http/server.h"
#include "peer.h"

typedef struct Counts {
    Loop *loop;
    size_t requests, closed;
    HttpRequest *held;
    Stream *upgraded;
} Counts;

static void upgraded_data(void *user, Str data) {}
static void upgraded_close(void *user, int error) {
    ((Counts *)user)->upgraded = NULL;
}
static const StreamEvents upgraded_events = {
    .on_data = upgraded_data, .on_end = peer_end, .on_close = upgraded_close};

static void on_close(HttpRequest *request, bool completed) {
    Counts *counts = request->user;
    counts->closed++;
    if (counts->held == request)
        counts->held = NULL;
}

static void handle(void *user, HttpRequest *request) {
    Counts *counts = user;
    const Str *values;
    counts->requests++;
    request->user = counts;
    request->on_close = on_close;
    must(request->method.ptr && request->path.ptr && request->body.len <= 65536);
    http_query(request, STR("watch"));
    http_query_all(request, STR("command"), &values);
    if (http_header_has_token(request, STR("Connection"), STR("upgrade")) && !counts->upgraded &&
        (counts->upgraded = http_upgrade(request, NULL, 0))) {
        stream_start(counts->upgraded, &upgraded_events, counts);
        return;
    }
    switch (request->path.len % 4) {
    case 0:
        http_respond_abort(request);
        return;
    case 1: // a stream that goes on
        if (!counts->held) {
            http_respond_head(request, 200, NULL, 0);
            counts->held = request;
            return;
        } // fall through
    default: {
        _bytes_unref_ Bytes *body = bytes_new(request->body.ptr, request->body.len);
        http_respond(request, 200, STR("text/plain"), body);
    }
    }
}

// Requests of HTTP/1.1, or of HTTP/2 when they begin with its preface. Every request that reaches
// the handler is closed in the end.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Loop *loop = loop_new_simulated(1, 0);
    Counts counts = {.loop = loop};
    HttpServer *server;
    HttpServerConfig config = {.loop = loop, .handler = handle, .user = &counts, .max_body = 65536};
    must(http_server_new(&config, &server) == 0);
    Stream *ours, *theirs;
    stream_pair(loop, &ours, &theirs);
    HttpPeer identity = {.address = STR("@")};
    http_server_serve(server, theirs, &identity);
    Peer peer;
    peer_start(&peer, ours);
    peer_feed(loop, &peer, data, size);
    if (counts.held) {
        _bytes_unref_ Bytes *piece = bytes_new("piece", 5);
        http_respond_data(counts.held, piece);
        http_respond_end(counts.held);
        turn(loop);
    }
    peer_finish(loop, &peer);
    http_server_free(server);
    must(counts.closed == counts.requests);
    if (counts.upgraded)
        stream_abort(counts.upgraded);
    turn(loop);
    loop_free(loop);
    return 0;
}
