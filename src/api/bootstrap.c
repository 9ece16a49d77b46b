#include "api/bootstrap_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "http/client.h"

typedef struct Call {
    Bootstrap *self;
    Str target;
    int status;
} Call;

static void next_round(void *user);

static void on_head(void *user, int status, const HttpHeader *headers, size_t n) {
    ((Call *)user)->status = status;
}

static void on_data(void *user, Str data) {
    const Call *call = user;
    if (call->status >= 300 && call->status != 409)
        log_error("api", "what every cluster has could not be made",
                  "target=%.*s status=%d answer=%.*s", STR_ARG(call->target), call->status,
                  STR_ARG(data));
}

static void on_done(void *user, int error, Str message) {
    Call *call = user;
    Bootstrap *self = call->self;
    if (error || (call->status >= 300 && call->status != 409)) // 409: another server made it
        self->failed = true;
    if (--self->waiting == 0)
        loop_post(self->api->loop, &self->task);
}

static const HttpCallEvents events = {.on_head = on_head, .on_data = on_data, .on_done = on_done};

void bootstrap_send(Bootstrap *self, const char *method, Str target, const Value *object) {
    Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    if (object)
        value_write_json(object, &buf);
    _bytes_unref_ Bytes *body = object ? buf_bytes(&buf) : NULL;
    buf_deinit(&buf);
    Call *call = arena_new_of(self->arena, Call);
    *call = (Call){.self = self, .target = target};
    HttpHeader headers[] = {{STR("Content-Type"), STR("application/json")},
                            {STR("User-Agent"), STR("seapod-bootstrap")}};
    HttpCallSpec spec = {.method = str_from(method),
                         .target = target,
                         .headers = headers,
                         .n_headers = 2,
                         .body = body};
    self->waiting++;
    http_call(self->client, &spec, &events, call);
}

// ---- objects

Value *bootstrap_object(Arena *arena, const char *api_version, const char *kind, const char *name) {
    Value *object = value_new_object(arena);
    value_set_str(arena, object, STR("apiVersion"), str_from(api_version));
    value_set_str(arena, object, STR("kind"), str_from(kind));
    value_set_str(arena, value_at_make(arena, object, "metadata"), STR("name"), str_from(name));
    return object;
}

void bootstrap_set_metadata(Arena *arena, Value *object, const char *map, Str key,
                            const char *value) {
    Value *metadata = value_get(object, STR("metadata"));
    value_set_str(arena, value_at_make(arena, metadata, map), key, str_from(value));
}

CachedObject *bootstrap_existing(const Bootstrap *self, const char *cache, const char *namespace_,
                                 const char *name) {
    return cache_get(registry_cache(self->api->registry, str_from(cache)),
                     namespace_ ? str_from(namespace_) : STR(""), str_from(name));
}

static void make_namespaces(Bootstrap *self) {
    static const char *const names[] = {"default", "kube-system", "kube-public", "kube-node-lease"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!bootstrap_existing(self, "core/namespaces", NULL, names[i]))
            bootstrap_send(self, "POST", STR("/api/v1/namespaces"),
                           bootstrap_object(self->arena, "v1", "Namespace", names[i]));
    }
}

static void make_objects(Bootstrap *self) {
    const WellKnownObject *object;
    for (size_t i = 0; (object = bootstrap_well_known_at(i)); i++) {
        if (bootstrap_existing(self, object->cache, NULL, object->name))
            continue;
        Value *value;
        ParseError error;
        if (value_parse_json(self->arena, str_from(object->json), NULL, &value, &error))
            assert(false);
        value_set_str(self->arena, value_at_make(self->arena, value, "metadata"), STR("name"),
                      str_from(object->name));
        bootstrap_send(self, "POST", str_from(object->path), value);
    }
}

// ---- rounds

static void finish(Bootstrap *self, int error) {
    Api *api = self->api;
    void (*done)(Api *, int) = self->done;
    bootstrap_stop(api);
    done(api, error);
}

static void next_round(void *user) {
    Bootstrap *self = user;
    arena_reset(self->arena);
    if (self->failed) {
        finish(self, -EIO);
        return;
    }
    self->waiting = 1; // answers may not end the round while it is being sent
    switch (self->round++) {
    case 0:
        make_namespaces(self);
        break;
    case 1:
        bootstrap_roles(self);
        bootstrap_bindings(self);
        make_objects(self);
        bootstrap_api_services(self);
        bootstrap_services(self);
        break;
    case 2: // what had to go before it could be made anew
        bootstrap_bindings(self);
        break;
    default:
        finish(self, 0);
        return;
    }
    if (--self->waiting == 0)
        loop_post(self->api->loop, &self->task);
}

void bootstrap_start(Api *api, void (*done)(Api *api, int error)) {
    Bootstrap *self = memory_new(Bootstrap);
    api->bootstrap = self;
    self->api = api;
    self->done = done;
    self->arena = arena_new();
    self->task = (LoopTask){.fn = next_round, .user = self};
    Str masters = STR("system:masters");
    HttpPeer peer = {.address = STR("@"),
                     .local = true,
                     .user = STR("system:apiserver"),
                     .groups = &masters,
                     .n_groups = 1};
    self->client = http_client_new_local(api->loop, api->loop, api_handle, api, &peer);
    loop_post(api->loop, &self->task);
}

void bootstrap_stop(Api *api) {
    Bootstrap *self = api->bootstrap;
    if (!self)
        return;
    api->bootstrap = NULL;
    loop_task_cancel(api->loop, &self->task);
    http_client_free(self->client);
    arena_free(self->arena);
    free(self);
}
