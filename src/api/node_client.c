#include "api/node_client.h"

#include "api/server.h"

static Str node_address(const Value *node) {
    static const char *const order[] = {"InternalIP", "Hostname", "InternalDNS", "ExternalDNS",
                                        "ExternalIP"};
    const Value *addresses = value_at(node, "status.addresses");
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        for (uint32_t j = 0; addresses && j < addresses->n; j++) {
            if (str_eq(value_string_at(addresses->items[j], "type"), str_from(order[i])))
                return value_string_at(addresses->items[j], "address");
        }
    }
    return STR_NONE;
}

ApiStatus *node_client_find(ApiRequest *request, Str node_name, HttpClient **ret,
                            HttpClient **ret_own) {
    *ret_own = NULL;
    Api *api = request->api;
    Arena *arena = request->arena;
    *ret = api->config.node_client
               ? api->config.node_client(api->config.node_client_user, node_name)
               : NULL;
    if (*ret)
        return NULL;
    CachedObject *object =
        cache_get(registry_cache(api->registry, STR("core/nodes")), STR(""), node_name);
    if (!object)
        return status_not_found(arena, STR(""), STR("nodes"), node_name);
    const Value *node = object_decode(arena, object);
    Str address = node_address(node);
    if (!address.ptr)
        return status_internal(
            arena, arena_printf(arena, "no preferred addresses found; known addresses: []"));
    TlsContext *tls;
    int r = tls_client_context(api->config.cluster_ca, api->config.node_certificate,
                               api->config.node_key, address, false, &tls);
    if (r)
        return request_internal(request, "error dialing backend", r);
    HttpClientConfig config = {
        .loop = api->loop,
        .host = address,
        .port = (uint16_t)value_int_at(node, "status.daemonEndpoints.kubeletEndpoint.Port", 10250),
        .tls = tls,
    };
    r = http_client_new(&config, ret_own);
    tls_context_unref(tls);
    *ret = *ret_own;
    return r == 0 ? NULL : request_internal(request, "error dialing backend", r);
}
