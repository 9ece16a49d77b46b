#include "net/proxy_health.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "http/server.h"

struct ProxyHealth {
    HttpServer *server;
    size_t local_endpoints;
    uint16_t port;
    Str namespace_, name;
    char text[];
};

static void answer(void *user, HttpRequest *request) {
    ProxyHealth *health = user;
    Str body =
        arena_printf(request->arena,
                     "{\n\t\"service\": {\n\t\t\"namespace\": \"%.*s\",\n\t\t\"name\": "
                     "\"%.*s\"\n\t},\n\t\"localEndpoints\": %zu,\n\t\"serviceProxyHealthy\":"
                     " true\n}",
                     STR_ARG(health->namespace_), STR_ARG(health->name), health->local_endpoints);
    _bytes_unref_ Bytes *bytes = bytes_new(body.ptr, body.len);
    const HttpHeader headers[] = {
        {STR("Content-Type"), STR("application/json")},
        {STR("X-Content-Type-Options"), STR("nosniff")},
        {STR("X-Load-Balancing-Endpoint-Weight"),
         arena_printf(request->arena, "%zu", health->local_endpoints)},
    };
    http_respond_with(request, health->local_endpoints ? 200 : 503, headers, 3, bytes);
}

ProxyHealth *proxy_health_new(Loop *loop, Str namespace_, Str name, uint16_t port) {
    ProxyHealth *health = memory_zalloc(sizeof *health + namespace_.len + name.len);
    memcpy(health->text, namespace_.ptr, namespace_.len);
    memcpy(health->text + namespace_.len, name.ptr, name.len);
    health->namespace_ = str_of(health->text, namespace_.len);
    health->name = str_of(health->text + namespace_.len, name.len);
    health->port = port;
    HttpServerConfig config = {
        .loop = loop, .address = "0.0.0.0", .port = port, .handler = answer, .user = health};
    int error = http_server_new(&config, &health->server);
    if (!error)
        return health;
    log_warn("net", "cannot answer health checks of a service",
             "namespace=%.*s service=%.*s port=%u error=\"%s\"", STR_ARG(namespace_), STR_ARG(name),
             port, strerrordesc_np(-error));
    free(health);
    return NULL;
}

void proxy_health_free(ProxyHealth *health) {
    if (!health)
        return;
    http_server_free(health->server);
    free(health);
}

uint16_t proxy_health_port(const ProxyHealth *health) {
    return health ? health->port : 0;
}

void proxy_health_set(ProxyHealth *health, size_t local_endpoints) {
    health->local_endpoints = local_endpoints;
}
