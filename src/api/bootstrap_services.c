// The service `kubernetes` and its endpoints: how pods reach the API server.
#include <arpa/inet.h>

#include "api/bootstrap_private.h"

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
#define SLICES_PATH "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"

// Endpoints can't be on the loopback: nobody else could reach them.
static bool can_advertise(const ApiConfig *config) {
    return config->advertise_address.len && config->advertise_port &&
           !str_starts_with(config->advertise_address, STR("127."));
}

static void make_service(Bootstrap *self) {
    Arena *arena = self->arena;
    const ApiConfig *config = &self->api->config;
    if (!config->service_cidr.len ||
        bootstrap_existing(self, "core/services", "default", "kubernetes"))
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
    if (!can_advertise(config))
        return;
    Value *object = bootstrap_object(arena, "v1", "Endpoints", "kubernetes");
    bootstrap_set_metadata(arena, object, "labels", STR("endpointslice.kubernetes.io/skip-mirror"),
                           "true");
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

// What proxies read; upstream's EndpointsAdapter makes the two in one.
static void make_slice(Bootstrap *self) {
    Arena *arena = self->arena;
    const ApiConfig *config = &self->api->config;
    if (!can_advertise(config))
        return;
    Value *object = bootstrap_object(arena, "discovery.k8s.io/v1", "EndpointSlice", "kubernetes");
    bootstrap_set_metadata(arena, object, "labels", STR("kubernetes.io/service-name"),
                           "kubernetes");
    value_set_str(arena, object, STR("addressType"), STR("IPv4"));
    Value *addresses = value_new_array(arena), *endpoint = value_new_object(arena),
          *endpoints = value_new_array(arena);
    value_push(arena, addresses, value_new_string(arena, config->advertise_address));
    value_set(arena, endpoint, STR("addresses"), addresses);
    value_set_bool(arena, value_at_make(arena, endpoint, "conditions"), STR("ready"), true);
    value_push(arena, endpoints, endpoint);
    value_set(arena, object, STR("endpoints"), endpoints);
    value_set(arena, object, STR("ports"), https_port(arena, config->advertise_port, 0));
    CachedObject *there =
        bootstrap_existing(self, "discovery.k8s.io/endpointslices", "default", "kubernetes");
    if (!there) {
        bootstrap_send(self, "POST", STR(SLICES_PATH), object);
        return;
    }
    const Value *old = object_decode(arena, there);
    if (!value_equal(value_get(old, STR("endpoints")), endpoints) ||
        !value_equal(value_get(old, STR("ports")), value_get(object, STR("ports"))))
        bootstrap_send(self, "PUT", STR(SLICES_PATH "/kubernetes"), object);
}

static bool is_in_range(Arena *arena, Str address, Str cidr) {
    struct in_addr base, one;
    uint64_t bits;
    Str rest = cidr;
    if (inet_pton(AF_INET, arena_cstr(arena, str_cut(&rest, '/')), &base) != 1 ||
        inet_pton(AF_INET, arena_cstr(arena, address), &one) != 1 || str_to_u64(rest, &bits) ||
        bits < 1 || bits > 32)
        return false;
    return ((ntohl(base.s_addr) ^ ntohl(one.s_addr)) >> (32 - bits)) == 0;
}

// By this name and address tools find the cluster's DNS server. It has no endpoints: every node
// answers at the address itself. Whoever gives it some (CoreDNS, with a selector) takes it over.
static void make_dns_service(Bootstrap *self) {
    static const char json[] =
        "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"kube-dns\",\"labels\":{"
        "\"k8s-app\":\"kube-dns\",\"kubernetes.io/cluster-service\":\"true\",\"kubernetes.io/name\":"
        "\"CoreDNS\"}},\"spec\":{\"ports\":[{\"name\":\"dns\",\"port\":53,\"protocol\":\"UDP\"},{"
        "\"name\":\"dns-tcp\",\"port\":53,\"protocol\":\"TCP\"}]}}";
    const ApiConfig *config = &self->api->config;
    Value *object;
    ParseError error;
    if (!config->service_cidr.len ||
        !is_in_range(self->arena, config->cluster_dns, config->service_cidr) ||
        bootstrap_existing(self, "core/services", "kube-system", "kube-dns") ||
        value_parse_json(self->arena, str_from(json), NULL, &object, &error))
        return;
    value_set_str(self->arena, value_at_make(self->arena, object, "spec"), STR("clusterIP"),
                  config->cluster_dns);
    bootstrap_send(self, "POST", STR("/api/v1/namespaces/kube-system/services"), object);
}

void bootstrap_services(Bootstrap *self) {
    make_dns_service(self);
    make_service(self);
    make_endpoints(self);
    make_slice(self);
}
