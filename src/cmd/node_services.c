#include "cmd/node_services.h"

#include <stdlib.h>

#include "base/memory.h"
#include "cmd/cmd.h"
#include "net/dns.h"
#include "net/proxy.h"

struct NodeServices {
    ServiceTable *table;
    Proxy *proxy;
    Dns *dns;
};

// Beside that of the pod network, which carries the bridge's name.
static const char *table_name(Arena *arena, const NodeOptions *options) {
    Str bridge = cmd_bridge(arena, options->data_dir);
    return arena_printf(arena, "%.*s-services", STR_ARG(bridge)).ptr;
}

static const char *const *upstreams(Arena *arena, const OptionList *list) {
    const char **texts = arena_array_of(arena, const char *, list->n + 1);
    for (size_t i = 0; i < list->n; i++)
        texts[i] = arena_cstr(arena, list->items[i]);
    return texts;
}

int node_services_new(Arena *arena, Loop *loop, const NodeOptions *options, Client *client,
                      NodeServices **ret, char **ret_message) {
    NodeServices *services = memory_new(NodeServices);
    services->table = service_table_new(client, options->node_name);
    const char *dns_address = arena_cstr(arena, options->cluster_dns);
    const uint16_t ports[] = {(uint16_t)options->node_api_port, (uint16_t)options->api_port};
    const ProxyConfig proxy = {.loop = loop,
                               .services = services->table,
                               .table = table_name(arena, options),
                               .service_range = arena_cstr(arena, options->service_cidr),
                               .pod_range = arena_cstr(arena, options->cluster_cidr),
                               .dns = dns_address,
                               .node_address = arena_cstr(arena, options->node_ip),
                               .reserved_ports = ports,
                               .n_reserved_ports = 2};
    const DnsConfig dns = {.loop = loop,
                           .services = services->table,
                           .address = dns_address,
                           .port = 53,
                           .domain = "cluster.local",
                           .service_range = proxy.service_range,
                           .pod_range = proxy.pod_range,
                           .upstreams = upstreams(arena, &options->dns_upstreams),
                           .n_upstreams = options->dns_upstreams.n,
                           .resolv_conf = "/etc/resolv.conf"};
    int error = proxy_new(&proxy, &services->proxy, ret_message);
    if (!error)
        error = dns_new(&dns, &services->dns, ret_message);
    if (error) {
        node_services_free(services);
        return error;
    }
    *ret = services;
    return 0;
}

void node_services_free(NodeServices *services) {
    if (!services)
        return;
    dns_free(services->dns);
    proxy_free(services->proxy);
    service_table_free(services->table);
    free(services);
}

int node_services_cleanup(Arena *arena, const NodeOptions *options) {
    return proxy_cleanup(table_name(arena, options));
}
