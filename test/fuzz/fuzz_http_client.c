#include "http/client.h"
#include "peer.h"

typedef struct Call {
    HttpCall *call;
    size_t heads, dones, bytes, pauses;
} Call;

static void on_head(void *user, int status, const HttpHeader *headers, size_t n) {
    Call *call = user;
    must(call->heads++ == 0 && call->dones == 0 && status >= 200);
}
static void on_data(void *user, Str data) {
    Call *call = user;
    must(call->heads == 1 && call->dones == 0 && data.len > 0);
    call->bytes += data.len;
    if (call->bytes % 7 == 3 && call->pauses++ < 3)
        http_call_pause(call->call, true);
}
static void on_done(void *user, int error, Str message) {
    Call *call = user;
    must(call->dones++ == 0);
    call->call = NULL;
}
static const HttpCallEvents events = {.on_head = on_head, .on_data = on_data, .on_done = on_done};

static Peer peer;

static void dial(void *user, void (*ready)(void *ready_user, Stream *stream, int error),
                 void *ready_user) {
    Stream *ours, *theirs;
    if (peer.stream) { // one connection is enough
        ready(ready_user, NULL, -1);
        return;
    }
    stream_pair(user, &ours, &theirs);
    peer_start(&peer, ours);
    ready(ready_user, theirs, 0);
}

// Answers to three calls on one connection. Each call ends once.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Loop *loop = loop_new_simulated(1, 0);
    HttpClient *client;
    peer = (Peer){0};
    HttpClientConfig config = {
        .loop = loop, .host = STR("server"), .port = 80, .dial = dial, .dial_user = loop};
    must(http_client_new(&config, &client) == 0);
    static const Str methods[] = {{"GET", 3}, {"HEAD", 4}, {"POST", 4}};
    Call calls[3] = {0};
    for (int i = 0; i < 3; i++) {
        HttpCallSpec spec = {.method = methods[i], .target = STR("/")};
        calls[i].call = http_call(client, &spec, &events, &calls[i]);
        turn(loop);
    }
    peer_feed(loop, &peer, data, size);
    for (int i = 0; i < 3; i++)
        if (calls[i].call)
            http_call_pause(calls[i].call, false);
    turn(loop);
    peer_finish(loop, &peer);
    must(loop_run_until(loop, loop_now(loop) + 60 * NSEC_PER_SEC) == 0);
    for (int i = 0; i < 3; i++)
        must(calls[i].dones == 1);
    http_client_free(client);
    if (peer.stream)
        stream_abort(peer.stream);
    loop_free(loop);
    return 0;
}
