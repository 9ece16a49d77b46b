// Where a webhook's service is served: straight from Endpoints, since connections from this process
// need not go through the cluster's own forwarding (kube-aggregator's service resolver).

#include "api/admission/webhook.h"
#include "api/server.h"
#include "kinds/tree.h"

static const Value *find(Api *api, Arena *arena, Str cache, const Webhook *webhook) {
    CachedObject *object = cache_get(registry_cache(api->registry, cache),
                                     webhook->service_namespace, webhook->service);
    return object ? object_decode(arena, object) : NULL;
}

static const Value *service_port(const Value *service, uint16_t port) {
    for (uint32_t i = 0; i < tree_count(service, "spec.ports"); i++) {
        const Value *candidate = tree_item(service, "spec.ports", i);
        if (value_int_at(candidate, "port", 0) == port)
            return candidate;
    }
    return NULL;
}

// One of the ready addresses at random.
static bool choose(Api *api, const Value *endpoints, Str port_name, Str *ret_host,
                   uint16_t *ret_port) {
    uint64_t seen = 0;
    for (uint32_t i = 0; i < tree_count(endpoints, "subsets"); i++) {
        const Value *subset = tree_item(endpoints, "subsets", i);
        for (uint32_t j = 0; j < tree_count(subset, "ports"); j++) {
            const Value *port = tree_item(subset, "ports", j);
            if (!str_eq(value_string_at(port, "name"), port_name))
                continue;
            for (uint32_t k = 0; k < tree_count(subset, "addresses"); k++) {
                if (loop_random(api->loop) % ++seen)
                    continue;
                *ret_host = value_string_at(tree_item(subset, "addresses", k), "ip");
                *ret_port = (uint16_t)value_int_at(port, "port", 0);
            }
        }
    }
    return seen > 0;
}

bool webhook_resolve(Api *api, const Webhook *webhook, Arena *arena, Str *ret_host,
                     uint16_t *ret_port, Str *ret_failure) {
    const Value *service = find(api, arena, STR("core/services"), webhook);
    const Value *endpoints = find(api, arena, STR("core/endpoints"), webhook);
    const Value *port = service_port(service, webhook->port);
    if (!service) {
        *ret_failure =
            arena_printf(arena, "service \"%.*s\" not found", STR_ARG(webhook->service));
    } else if (tree_is(service, "spec.type", "ExternalName")) {
        *ret_host = value_string_at(service, "spec.externalName");
        *ret_port = webhook->port;
        return true;
    } else if (!port) {
        *ret_failure = arena_printf(arena, "no service port %u found for service \"%.*s\"",
                                    webhook->port, STR_ARG(webhook->service));
    } else if (!endpoints) {
        *ret_failure =
            arena_printf(arena, "endpoints \"%.*s\" not found", STR_ARG(webhook->service));
    } else if (choose(api, endpoints, value_string_at(port, "name"), ret_host, ret_port)) {
        return true;
    } else {
        *ret_failure = arena_printf(arena, "no endpoints available for service \"%.*s\"",
                                    STR_ARG(webhook->service));
    }
    return false;
}
