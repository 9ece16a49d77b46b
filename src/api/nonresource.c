#include "api/nonresource.h"

#include <stdlib.h>
#include <sys/utsname.h>

#include "api/discovery.h"
#include "api/openapi.h"
#include "base/memory.h"
#include "base/metrics.h"

typedef struct Nonresource {
    Discovery *discovery;
    Openapi *openapi;
    const Resource **resources; // what they describe
} Nonresource;

void nonresource_refresh(Api *api) {
    Nonresource *self = api->nonresource;
    const ServedResource *served;
    size_t n = 0;
    while (registry_at(api->registry, n))
        n++;
    const Resource **resources = memory_resize_array(NULL, n + 1, sizeof *resources);
    for (size_t i = 0; (served = registry_at(api->registry, i)); i++)
        resources[i] = served->resource;
    discovery_set(self->discovery, resources, n);
    openapi_set(self->openapi, resources, n);
    free(self->resources);
    self->resources = resources;
}

int nonresource_init(Api *api) {
    Nonresource *self = memory_new(Nonresource);
    api->nonresource = self;
    self->discovery = discovery_new();
    self->openapi = openapi_new();
    nonresource_refresh(api);
    return 0;
}

void nonresource_free(Api *api) {
    Nonresource *self = api->nonresource;
    if (!self)
        return;
    discovery_free(self->discovery);
    openapi_free(self->openapi);
    free(self->resources);
    free(self);
}

// The version of the API that is spoken; kubectl compares it with its own.
#define MINOR "35"
#define GIT_VERSION "v1." MINOR ".0+seapod-" SEAPOD_VERSION

static void version(ApiRequest *request) {
    Arena *arena = request->arena;
    struct utsname host;
    uname(&host);
    const char *machine = !strcmp(host.machine, "x86_64")    ? "amd64"
                          : !strcmp(host.machine, "aarch64") ? "arm64"
                                                             : host.machine;
    Value *info = value_new_object(arena);
    value_set_str(arena, info, STR("major"), STR("1"));
    value_set_str(arena, info, STR("minor"), STR(MINOR));
    value_set_str(arena, info, STR("gitVersion"), STR(GIT_VERSION));
    value_set_str(arena, info, STR("gitCommit"), STR(""));
    value_set_str(arena, info, STR("gitTreeState"), STR(""));
    value_set_str(arena, info, STR("buildDate"), STR("1970-01-01T00:00:00Z"));
    value_set_str(arena, info, STR("goVersion"), STR("none"));
    value_set_str(arena, info, STR("compiler"), STR(__VERSION__));
    value_set_str(arena, info, STR("platform"), arena_printf(arena, "linux/%s", machine));
    request_object(request, 200, NULL, info);
}

static Metric in_flight = {
    .name = "apiserver_current_inflight_requests",
    .help = "Requests under way, watches and streams excluded.",
    .kind = METRIC_GAUGE,
    .labels = "request_kind",
};

static void metrics(ApiRequest *request) {
    metric_set(&in_flight, STR("readOnly"), (double)request->api->reading);
    metric_set(&in_flight, STR("mutating"), (double)request->api->writing);
    Buf buf = BUF_INIT(16 * 1024 * 1024);
    metrics_write(&buf);
    _bytes_unref_ Bytes *body = buf_bytes(&buf);
    buf_deinit(&buf);
    request_body(request, 200, STR("text/plain; version=0.0.4; charset=utf-8"), body);
}

static const struct {
    const char *path;
    void (*handler)(ApiRequest *request);
} paths[] = {
    {"/version", version},
    {"/version/", version},
    {"/metrics", metrics},
    {"/.well-known/openid-configuration", openid_configuration},
    {"/.well-known/openid-configuration/", openid_configuration},
    {"/openid/v1/jwks", openid_jwks},
    {"/openid/v1/jwks/", openid_jwks},
};

static bool is_read(const ApiRequest *request) {
    return str_eq(request->info.verb, STR("get")) || str_eq(request->info.verb, STR("head"));
}

void nonresource_handle(ApiRequest *request) {
    const Nonresource *self = request->api->nonresource;
    if (!is_read(request)) {
        request_text(request, 405, STR("405: Method Not Allowed"));
        return;
    }
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (str_eq(request->info.path, str_from(paths[i].path))) {
            paths[i].handler(request);
            return;
        }
    }
    if (health_handle(request))
        return;
    if (!discovery_handle(self->discovery, request->http) &&
        !openapi_handle(self->openapi, request->http))
        request_text(request, 404, STR("404 page not found\n"));
}
