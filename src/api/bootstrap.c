#include "api/bootstrap_private.h"

#include <arpa/inet.h>
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

void bootstrap_set_metadata(Arena *arena, Value *object, const char *map, Str key, const char *value) {
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

// ---- the service `kubernetes`

static Value *https_port(Arena *arena, int64_t port, int64_t target) {
    Value *ports = value_new_array(arena), *entry = value_new_object(arena);
    value_set_str(arena, entry, STR("name"), STR("https"));
    value_set_int(arena, entry, STR("port"), port);
    value_set_str(arena, entry, STR("protocol"), STR("TCP"));
    if (target)
        value_set_int(arena, entry, STR("targetPort"), target);
    value_push(arena, ports, entry);
    return ports;
}

static Str first_address(Arena *arena, Str cidr) {
    Str rest = cidr;
    char *base = arena_cstr(arena, str_cut(&rest, '/'));
    struct in_addr address;
    if (inet_pton(AF_INET, base, &address) != 1)
        return STR("");
    uint32_t number = ntohl(address.s_addr) + 1;
    return arena_printf(arena, "%u.%u.%u.%u", number >> 24, (number >> 16) & 255,
                        (number >> 8) & 255, number & 255);
}

#define DEFAULT_PATH "/api/v1/namespaces/default"

static void make_service(Bootstrap *self) {
    Arena *arena = self->arena;
    const ApiConfig *config = &self->api->config;
    if (!config->service_cidr.len || bootstrap_existing(self, "core/services", "default", "kubernetes"))
        return;
    Value *object = bootstrap_object(arena, "v1", "Service", "kubernetes");
    bootstrap_set_metadata(arena, object, "labels", STR("component"), "apiserver");
    bootstrap_set_metadata(arena, object, "labels", STR("provider"), "kubernetes");
    Value *spec = value_at_make(arena, object, "spec");
    value_set_str(arena, spec, STR("clusterIP"), first_address(arena, config->service_cidr));
    value_set_str(arena, spec, STR("type"), STR("ClusterIP"));
    value_set_str(arena, spec, STR("sessionAffinity"), STR("None"));
    value_set(arena, spec, STR("ports"), https_port(arena, 443, config->advertise_port));
    bootstrap_send(self, "POST", STR(DEFAULT_PATH "/services"), object);
}

static void make_endpoints(Bootstrap *self) {
    Arena *arena = self->arena;
    const ApiConfig *config = &self->api->config;
    // Endpoints can't be on the loopback: nobody else could reach them.
    if (!config->advertise_address.len || !config->advertise_port ||
        str_starts_with(config->advertise_address, STR("127.")))
        return;
    Value *object = bootstrap_object(arena, "v1", "Endpoints", "kubernetes");
    bootstrap_set_metadata(arena, object, "labels", STR("endpointslice.kubernetes.io/skip-mirror"), "true");
    Value *address = value_new_object(arena), *addresses = value_new_array(arena);
    value_set_str(arena, address, STR("ip"), config->advertise_address);
    value_push(arena, addresses, address);
    Value *subset = value_new_object(arena), *subsets = value_new_array(arena);
    value_set(arena, subset, STR("addresses"), addresses);
    value_set(arena, subset, STR("ports"), https_port(arena, config->advertise_port, 0));
    value_push(arena, subsets, subset);
    value_set(arena, object, STR("subsets"), subsets);
    CachedObject *there = bootstrap_existing(self, "core/endpoints", "default", "kubernetes");
    if (!there) {
        bootstrap_send(self, "POST", STR(DEFAULT_PATH "/endpoints"), object);
        return;
    }
    const Value *old = value_get(object_decode(arena, there), STR("subsets"));
    if (!old || !value_equal(old, subsets)) // the server has moved
        bootstrap_send(self, "PUT", STR(DEFAULT_PATH "/endpoints/kubernetes"), object);
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
        make_service(self);
        make_endpoints(self);
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
