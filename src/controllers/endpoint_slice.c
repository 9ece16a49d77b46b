// The pods behind each service with a selector, as EndpointSlices.
// https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/, upstream's
// k8s.io/endpointslice/reconciler.go
#include <stdlib.h>

#include "base/memory.h"
#include "controllers/endpoint_slice_writer.h"
#include "controllers/service_backends.h"

#define MANAGER STR("endpointslice-controller.k8s.io")
#define MAX_PER_SLICE 100 // kube-controller-manager's --max-endpoints-per-slice

typedef struct SliceController {
    Controller base;
    ServiceBackends *backends;
    SliceWriter *writer;
    Informer *services;
} SliceController;

typedef struct Gather { // the endpoints of one service
    SliceController *self;
    Arena *arena;
    const Service *service;
    SliceGroup *groups;
    size_t n_groups;
    bool node_missing;
} Gather;

// ---- ports

static DiscoveryEndpointPort *ports_of(Gather *gather, const Backend *backend, size_t *ret_n) {
    const Service *service = gather->service;
    Arena *arena = gather->arena;
    DiscoveryEndpointPort *ports =
        arena_array_of(arena, DiscoveryEndpointPort, service->spec.ports.len + 1);
    *ret_n = 0;
    for (size_t i = 0; i < service->spec.ports.len; i++) {
        const ServicePort *port = &service->spec.ports.items[i];
        int32_t *number = arena_new_of(arena, int32_t);
        *number = backend_port(backend, port);
        if (*number)
            ports[(*ret_n)++] =
                (DiscoveryEndpointPort){.name = port->name.ptr ? port->name : STR(""),
                                        .protocol = port->protocol,
                                        .port = number,
                                        .app_protocol = port->app_protocol};
    }
    return ports;
}

static bool same_numbers(const SliceGroup *group, const DiscoveryEndpointPort *ports, size_t n) {
    if (group->n_ports != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!str_eq(group->ports[i].name, ports[i].name) ||
            *group->ports[i].port != *ports[i].port ||
            !str_eq(group->ports[i].protocol, ports[i].protocol))
            return false;
    return true;
}

static SliceGroup *group_of(Gather *gather, const Backend *backend) {
    size_t n;
    DiscoveryEndpointPort *ports = ports_of(gather, backend, &n);
    for (size_t i = 0; i < gather->n_groups; i++)
        if (same_numbers(&gather->groups[i], ports, n))
            return &gather->groups[i];
    size_t old = gather->n_groups * sizeof(SliceGroup);
    gather->groups = arena_grow(gather->arena, gather->groups, old, old + sizeof(SliceGroup));
    SliceGroup *group = &gather->groups[gather->n_groups++];
    *group = (SliceGroup){.ports = ports, .n_ports = n};
    return group;
}

// ---- endpoints

// spec.trafficDistribution, as k8s.io/endpointslice/trafficdist gives hints.
static EndpointHints *hints_of(Gather *gather, const Endpoint *endpoint) {
    Arena *arena = gather->arena;
    Str wish = gather->service->spec.traffic_distribution;
    bool node = str_eq(wish, STR("PreferSameNode"));
    bool zone = node || str_eq(wish, STR("PreferClose")) || str_eq(wish, STR("PreferSameZone"));
    if (!zone || !*endpoint->conditions.ready || (!endpoint->zone.len && !node))
        return NULL;
    EndpointHints *hints = arena_new_of(arena, EndpointHints);
    if (endpoint->zone.len) {
        hints->for_zones.items = arena_new_of(arena, ForZone);
        hints->for_zones.items[0].name = endpoint->zone;
        hints->for_zones.len = 1;
    }
    if (node && endpoint->node_name.len) {
        hints->for_nodes.items = arena_new_of(arena, ForNode);
        hints->for_nodes.items[0].name = endpoint->node_name;
        hints->for_nodes.len = 1;
    }
    return hints;
}

static ObjectReference *pod_reference(Arena *arena, const Backend *backend) {
    ObjectReference *reference = arena_new_of(arena, ObjectReference);
    *reference = (ObjectReference){.kind = STR("Pod"),
                                   .namespace = backend->namespace_,
                                   .name = backend->name,
                                   .uid = backend->uid};
    return reference;
}

static void set_endpoint(Gather *gather, const Backend *backend, Str zone, Endpoint *ret) {
    const Service *service = gather->service;
    Arena *arena = gather->arena;
    bool *flags = arena_array_of(arena, bool, 3);
    flags[0] =
        service->spec.publish_not_ready_addresses || (backend->ready && !backend->terminating);
    flags[1] = backend->ready;
    flags[2] = backend->terminating;
    Str *address = arena_new_of(arena, Str);
    *address = backend->ip;
    *ret = (Endpoint){.conditions = {&flags[0], &flags[1], &flags[2]},
                      .target_ref = pod_reference(arena, backend)};
    ret->addresses.items = address;
    ret->addresses.len = 1;
    if (backend_has_hostname(backend, service))
        ret->hostname = backend->hostname;
    if (backend->node_name.len)
        ret->node_name = backend->node_name;
    if (zone.len)
        ret->zone = zone;
    ret->hints = hints_of(gather, ret);
}

static void add_backend(void *user, const Backend *backend) {
    Gather *gather = user;
    Str zone = STR("");
    if (!backend_counts(backend, true))
        return;
    if (backend->node_name.len &&
        !service_backends_zone(gather->self->backends, backend->node_name, &zone) &&
        !gather->service->spec.publish_not_ready_addresses) {
        gather->node_missing = true;
        return;
    }
    SliceGroup *group = group_of(gather, backend);
    size_t old = group->n_endpoints * sizeof(Endpoint);
    if ((group->n_endpoints & (group->n_endpoints - 1)) == 0) // full at powers of two
        group->endpoints =
            arena_grow(gather->arena, group->endpoints, old, old ? 2 * old : sizeof(Endpoint));
    set_endpoint(gather, backend, zone, &group->endpoints[group->n_endpoints++]);
}

// ---- the service

static StrMap labels_of(Arena *arena, const Service *service) {
    const StrMap *from = &service->metadata.labels;
    StrMap labels = {0};
    for (size_t i = 0; i < from->len; i++)
        slice_map_set(arena, &labels, from->keys[i], from->values[i]);
    if (service_is_headless(service))
        slice_map_set(arena, &labels, HEADLESS_LABEL, STR(""));
    slice_map_set(arena, &labels, SLICE_SERVICE_LABEL, service->metadata.name);
    slice_map_set(arena, &labels, SLICE_MANAGED_BY_LABEL, MANAGER);
    return labels;
}

static void reconcile(Reconcile *r) {
    SliceController *self = (SliceController *)r->controller;
    EndpointSlice **existing;
    size_t n_existing;
    if (!slice_writer_existing(self->writer, r, &existing, &n_existing)) {
        reconcile_done(r, false);
        return;
    }
    Service *service =
        reconcile_object(r, self->services, r->namespace_, r->name, kinds_type_Service());
    if (!service || service->metadata.deletion_timestamp) {
        slice_writer_remove_all(self->writer, r, existing, n_existing);
        return;
    }
    if (str_eq(service->spec.type, STR("ExternalName")) || !service->spec.selector.len) {
        reconcile_done(r, false); // its slices are somebody else's affair
        return;
    }
    Gather gather = {.self = self, .arena = r->arena, .service = service};
    service_backends_each(self->backends, r->namespace_, &service->spec.selector, add_backend,
                          &gather);
    bool *yes = arena_new_of(r->arena, bool);
    *yes = true;
    SliceWish wish = {.namespace_ = r->namespace_,
                      .generate_name = slice_generate_name(r->arena, r->name),
                      .labels = labels_of(r->arena, service),
                      .owner = {.api_version = STR("v1"),
                                .kind = STR("Service"),
                                .name = r->name,
                                .uid = service->metadata.uid,
                                .controller = yes,
                                .block_owner_deletion = yes},
                      .groups = gather.groups,
                      .n_groups = gather.n_groups,
                      .max_per_slice = MAX_PER_SLICE,
                      .placeholder = true};
    SlicePlan plan;
    slice_plan(r->arena, &wish, existing, n_existing, &plan);
    if (gather.node_missing) // comes again: the node, or the end of the pod
        controller_enqueue_after(&self->base, r->namespace_, r->name, NSEC_PER_SEC);
    slice_writer_run(self->writer, r, &plan);
}

static void stop(Controller *controller) {
    SliceController *self = (SliceController *)controller;
    slice_writer_free(self->writer);
    free(self);
}

Controller *endpoint_slice_controller_start(Controllers *all) {
    SliceController *self = memory_new(SliceController);
    controller_init(&self->base, all, "endpointslice-controller", 5, reconcile, stop);
    self->writer = slice_writer_new(&self->base, MANAGER);
    self->backends = service_backends_join(&self->base, &self->services);
    controller_follow(&self->base, self->services);
    return &self->base;
}
