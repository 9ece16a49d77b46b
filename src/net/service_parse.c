// Objects of the API in the form of service_table.h: one allocation each.
#include <stdlib.h>

#include "base/memory.h"
#include "kinds/kinds.h"
#include "net/service_table.h"

typedef struct Pack { // one block that is cut into pieces
    char *at, *end;
} Pack;

static size_t padded(size_t size) {
    return (size + 7) & ~(size_t)7;
}

static void *pack_take(Pack *pack, size_t size) {
    void *piece = pack->at;
    pack->at += padded(size);
    if (pack->at > pack->end)
        abort();
    return piece;
}

static Str pack_str(Pack *pack, Str s) {
    char *to = pack_take(pack, s.len);
    memcpy(to, s.ptr ? s.ptr : "", s.len);
    return str_of(to, s.len);
}

static void *pack_begin(Pack *pack, size_t size, size_t head) {
    pack->at = memory_zalloc(padded(head) + size);
    pack->end = pack->at + padded(head) + size;
    return pack_take(pack, head);
}

static uint8_t protocol_of(Str name) {
    return str_eq(name, STR("UDP")) ? NET_UDP : str_eq(name, STR("SCTP")) ? NET_SCTP : NET_TCP;
}

static uint32_t address_of(Str text) {
    uint32_t address = 0;
    return ipv4_parse(text, &address) == 0 ? address : 0;
}

// ---- services

// "10.0.0.7/8" is taken as "10.0.0.0/8", as Go's net.ParseCIDR does.
static bool range_of(Str text, Ipv4Range *ret) {
    Str rest = str_trim(text), base = str_cut(&rest, '/');
    uint64_t prefix;
    uint32_t address;
    if (ipv4_parse(base, &address) != 0 || str_to_u64(rest, &prefix) != 0 || prefix > 32)
        return false;
    *ret = (Ipv4Range){.prefix = (unsigned)prefix};
    ret->network = address & ipv4_range_mask(*ret);
    return true;
}

static size_t service_size(const Service *service) {
    const ServiceSpec *spec = &service->spec;
    size_t size = padded(service->metadata.namespace.len) + padded(service->metadata.name.len) +
                  padded(spec->external_name.len);
    size += padded(spec->ports.len * sizeof(NetPort));
    for (size_t i = 0; i < spec->ports.len; i++)
        size += padded(spec->ports.items[i].name.len);
    size += padded(spec->external_ips.len * sizeof(uint32_t));
    size += padded(service->status.load_balancer.ingress.len * sizeof(uint32_t));
    return size + padded(spec->load_balancer_source_ranges.len * sizeof(Ipv4Range));
}

static void take_addresses(NetService *to, const Service *service, Pack *pack) {
    const ServiceSpec *spec = &service->spec;
    uint32_t *external = pack_take(pack, spec->external_ips.len * sizeof *external);
    for (size_t i = 0; i < spec->external_ips.len; i++)
        if ((external[to->n_external_ips] = address_of(spec->external_ips.items[i])))
            to->n_external_ips++;
    to->external_ips = external;
    size_t n = service->status.load_balancer.ingress.len;
    uint32_t *balancer = pack_take(pack, n * sizeof *balancer);
    for (size_t i = 0; i < n && str_eq(spec->type, STR("LoadBalancer")); i++) {
        const LoadBalancerIngress *ingress = &service->status.load_balancer.ingress.items[i];
        if (!str_eq(ingress->ip_mode, STR("Proxy")) &&
            (balancer[to->n_balancer_ips] = address_of(ingress->ip)))
            to->n_balancer_ips++;
    }
    to->balancer_ips = balancer;
    n = spec->load_balancer_source_ranges.len;
    Ipv4Range *sources = pack_take(pack, n * sizeof *sources);
    for (size_t i = 0; i < n; i++)
        if (range_of(spec->load_balancer_source_ranges.items[i], &sources[to->n_sources]))
            to->n_sources++;
    to->sources = sources;
}

static void take_ports(NetService *to, const ServiceSpec *spec, Pack *pack) {
    NetPort *ports = pack_take(pack, spec->ports.len * sizeof *ports);
    for (size_t i = 0; i < spec->ports.len; i++) {
        const ServicePort *port = &spec->ports.items[i];
        ports[to->n_ports++] = (NetPort){.name = pack_str(pack, port->name),
                                         .protocol = protocol_of(port->protocol),
                                         .port = (uint16_t)port->port,
                                         .node_port = (uint16_t)port->node_port};
    }
    to->ports = ports;
}

static uint32_t affinity_of(const ServiceSpec *spec) {
    if (!str_eq(spec->session_affinity, STR("ClientIP")))
        return 0;
    const SessionAffinityConfig *config = spec->session_affinity_config;
    return config && config->client_ip && config->client_ip->timeout_seconds
               ? (uint32_t)*config->client_ip->timeout_seconds
               : 10800;
}

NetService *net_service_parse(Arena *arena, const InformerObject *object) {
    Service *service = arena_new_of(arena, Service);
    if (typed_from_json(arena, kinds_type_Service(), bytes_str(object->bytes), service) != 0)
        return NULL;
    const ServiceSpec *spec = &service->spec;
    Pack pack;
    NetService *to = pack_begin(&pack, service_size(service), sizeof *to);
    to->namespace_ = pack_str(&pack, service->metadata.namespace);
    to->name = pack_str(&pack, service->metadata.name);
    if (str_eq(spec->type, STR("ExternalName"))) {
        to->external_name = pack_str(&pack, spec->external_name);
        return to;
    }
    to->headless = str_eq(spec->cluster_ip, STR("None"));
    to->cluster_ip = address_of(spec->cluster_ip);
    to->internal_local = str_eq(spec->internal_traffic_policy, STR("Local"));
    to->external_local = str_eq(spec->external_traffic_policy, STR("Local"));
    to->publish_not_ready = spec->publish_not_ready_addresses;
    to->health_port = (uint16_t)spec->health_check_node_port;
    to->affinity = affinity_of(spec);
    take_ports(to, spec, &pack);
    take_addresses(to, service, &pack);
    return to;
}

// ---- slices

static bool flag(const bool *value, bool otherwise) {
    return value ? *value : otherwise;
}

static size_t slice_size(const EndpointSlice *slice) {
    size_t size = padded(slice->ports.len * sizeof(NetPort)) +
                  padded(slice->endpoints.len * sizeof(NetEndpoint));
    for (size_t i = 0; i < slice->ports.len; i++)
        size += padded(slice->ports.items[i].name.len);
    for (size_t i = 0; i < slice->endpoints.len; i++)
        size += padded(slice->endpoints.items[i].hostname.len);
    return size;
}

static NetEndpoint endpoint_of(const Endpoint *from, Str node_name, Pack *pack) {
    NetEndpoint to = {.address = address_of(from->addresses.items[0]),
                      .ready = flag(from->conditions.ready, true),
                      .local = from->node_name.len && str_eq(from->node_name, node_name),
                      .terminating = flag(from->conditions.terminating, false)};
    to.serving = flag(from->conditions.serving, to.ready);
    for (size_t i = 0; from->hints && i < from->hints->for_nodes.len; i++) {
        if (str_eq(from->hints->for_nodes.items[i].name, node_name))
            to.for_us = true;
        else
            to.for_others = true;
    }
    to.hostname = pack_str(pack, from->hostname);
    return to;
}

NetSlice *net_slice_parse(Arena *arena, const InformerObject *object, Str node_name, Str *ret_key) {
    EndpointSlice *slice = arena_new_of(arena, EndpointSlice);
    if (typed_from_json(arena, kinds_type_EndpointSlice(), bytes_str(object->bytes), slice) != 0)
        return NULL;
    Str service = str_map_get(&slice->metadata.labels, STR("kubernetes.io/service-name"));
    if (!service.len || !str_eq(slice->address_type, STR("IPv4")))
        return NULL;
    *ret_key =
        arena_printf(arena, "%.*s/%.*s", STR_ARG(slice->metadata.namespace), STR_ARG(service));
    Pack pack;
    NetSlice *to = pack_begin(&pack, slice_size(slice), sizeof *to);
    NetPort *ports = pack_take(&pack, slice->ports.len * sizeof *ports);
    for (size_t i = 0; i < slice->ports.len; i++) {
        const DiscoveryEndpointPort *port = &slice->ports.items[i];
        ports[to->n_ports++] = (NetPort){.name = pack_str(&pack, port->name),
                                         .protocol = protocol_of(port->protocol),
                                         .port = port->port ? (uint16_t)*port->port : 0};
    }
    to->ports = ports;
    NetEndpoint *endpoints = pack_take(&pack, slice->endpoints.len * sizeof *endpoints);
    for (size_t i = 0; i < slice->endpoints.len; i++) {
        if (!slice->endpoints.items[i].addresses.len)
            continue;
        endpoints[to->n_endpoints] = endpoint_of(&slice->endpoints.items[i], node_name, &pack);
        if (endpoints[to->n_endpoints].address)
            to->n_endpoints++;
    }
    to->endpoints = endpoints;
    return to;
}
