// Whole requests, as an administrator inside the process would send them, against an API server on
// a memory store in virtual time. The first line is "METHOD TARGET [MEDIA-TYPE [ACCEPT]]", the rest
// the body. Whatever comes, there is one answer, and what was stored can be read back.

#include <assert.h>
#include <stdlib.h>

#include "api/api.h"
#include "http/client.h"
#include "schema/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct World {
    Loop *loop;
    Store *store;
    Api *api;
    HttpClient *client;
    bool ready, done;
    int status, requests;
} World;

static void on_ready(void *user, int error) {
    assert(error == 0);
    ((World *)user)->ready = true;
}

static void on_head(void *user, int status, const HttpHeader *headers, size_t n) {
    ((World *)user)->status = status;
}

static void on_data(void *user, Str data) {}

static void on_done(void *user, int error, Str message) {
    ((World *)user)->done = true;
}

static void run(World *world, int64_t ns) {
    int r = loop_run_until(world->loop, loop_now(world->loop) + ns);
    assert(r == 0);
}

static void request(World *world, Str method, Str target, Str type, Str accept, Str body) {
    static const HttpCallEvents events = {
        .on_head = on_head, .on_data = on_data, .on_done = on_done};
    HttpHeader headers[] = {{STR("Content-Type"), type}, {STR("Accept"), accept}};
    _bytes_unref_ Bytes *bytes = body.len ? bytes_new(body.ptr, body.len) : NULL;
    HttpCallSpec spec = {.method = method,
                         .target = target,
                         .headers = headers,
                         .n_headers = accept.len ? 2 : 1,
                         .body = bytes};
    world->done = false;
    world->status = 0;
    HttpCall *call = http_call(world->client, &spec, &events, world);
    for (int i = 0; i < 50 && !world->done; i++)
        run(world, 50 * NSEC_PER_MSEC);
    if (!world->done) { // a watch
        assert(world->status == 200);
        http_call_cancel(call);
        run(world, NSEC_PER_MSEC);
    }
}

static World *open_world(void) {
    static World room;
    World *world = &room;
    *world = (World){.loop = loop_new_simulated(1, 1790000000LL * NSEC_PER_SEC)};
    world->store = store_memory_new(world->loop);
    ApiConfig config = {
        .loop = world->loop,
        .store = world->store,
        .service_account_issuer = STR("https://kubernetes.default.svc.cluster.local"),
        .service_cidr = STR("10.43.0.0/24"),
    };
    int r = api_new(&config, on_ready, world, &world->api);
    assert(r == 0);
    while (!world->ready)
        run(world, NSEC_PER_MSEC);
    Str masters = STR("system:masters");
    HttpPeer peer = {
        .address = STR("@"), .local = true, .user = STR("fuzz"), .groups = &masters, .n_groups = 1};
    world->client = http_client_new_local(world->loop, world->loop, api_handle, world->api, &peer);
    request(world, STR("POST"), STR("/api/v1/namespaces/default/serviceaccounts"),
            STR("application/json"), STR(""), STR("{\"metadata\":{\"name\":\"default\"}}"));
    assert(world->status == 201);
    request(world, STR("POST"), STR("/api/v1/namespaces/default/pods"), STR("application/json"),
            STR(""),
            STR("{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\","
                "\"image\":\"i\"}]}}"));
    assert(world->status == 201);
    return world;
}

static void on_closed(void *user) {
    *(bool *)user = true;
}

static void close_world(World *world) {
    http_client_free(world->client);
    api_free(world->api);
    bool closed = false;
    store_close(world->store, on_closed, &closed);
    while (!closed)
        run(world, NSEC_PER_MSEC);
    run(world, NSEC_PER_MSEC);
    loop_free(world->loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static World *world;
    if (!world)
        world = open_world();
    Str rest = str_of(data, size);
    Str line = rest.len ? str_cut(&rest, '\n') : STR("");
    Str method = line.ptr ? str_cut(&line, ' ') : STR("");
    Str target = line.ptr ? str_cut(&line, ' ') : STR("");
    Str type = line.ptr ? str_cut(&line, ' ') : STR("application/json");
    if (!method.len || !target.len || target.ptr[0] != '/' || memchr(target.ptr, 0, target.len))
        return 0;
    request(world, method, target, type, line.ptr ? line : STR(""), rest.ptr ? rest : STR(""));
    // What is stored can be listed.
    request(world, STR("GET"), STR("/api/v1/namespaces/default/pods"), STR(""), STR(""), STR(""));
    assert(world->status == 200);
    if (++world->requests >= 2000) { // so that a long run does not fill the memory
        close_world(world);
        world = NULL;
    }
    return 0;
}
