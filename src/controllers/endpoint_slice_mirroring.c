// Endpoints that somebody wrote for a service without a selector, copied into EndpointSlices, which
// is what proxies read. https://kubernetes.io/docs/concepts/services-networking/service/#mirroring,
// upstream's pkg/controller/endpointslicemirroring
#include <stdlib.h>

#include "base/memory.h"
#include "controllers/endpoint_slice_writer.h"

#define MANAGER STR("endpointslicemirroring-controller.k8s.io")
#define MAX_PER_SUBSET 1000 // --mirroring-max-endpoints-per-subset
#define LAST_APPLIED STR("kubectl.kubernetes.io/last-applied-configuration")
#define TRIGGER_TIME STR("endpoints.kubernetes.io/last-change-trigger-time")
#define LEADER STR("control-plane.alpha.kubernetes.io/leader")
#define SKIP_MIRROR STR("endpointslice.kubernetes.io/skip-mirror")

typedef struct MirroringController {
    Controller base;
    SliceWriter *writer;
    Informer *services, *endpoints;
} MirroringController;

static void add_addresses(Arena *arena, SliceGroup *group, const EndpointAddress *from, size_t n,
                          const bool *ready) {
    for (size_t i = 0; i < n && group->n_endpoints < MAX_PER_SUBSET; i++) {
        if (str_find(from[i].ip, ':') >= 0)
            continue; // IPv6 is not served yet
        Endpoint *endpoint = &group->endpoints[group->n_endpoints++];
        Str *address = arena_new_of(arena, Str);
        *address = from[i].ip;
        *endpoint = (Endpoint){.conditions = {.ready = ready},
                               .target_ref = from[i].target_ref,
                               .node_name = from[i].node_name};
        endpoint->addresses.items = address;
        endpoint->addresses.len = 1;
        if (from[i].hostname.len)
            endpoint->hostname = from[i].hostname;
    }
}

static SliceGroup group_of(Arena *arena, const EndpointSubset *subset) {
    static const bool yes = true, no = false;
    size_t n = subset->addresses.len + subset->not_ready_addresses.len;
    SliceGroup group = {.ports =
                            arena_array_of(arena, DiscoveryEndpointPort, subset->ports.len + 1),
                        .n_ports = subset->ports.len,
                        .endpoints = arena_array_of(arena, Endpoint, n + 1)};
    for (size_t i = 0; i < subset->ports.len; i++) {
        const EndpointPort *port = &subset->ports.items[i];
        group.ports[i] = (DiscoveryEndpointPort){.name = port->name.ptr ? port->name : STR(""),
                                                 .protocol = port->protocol,
                                                 .port = &port->port,
                                                 .app_protocol = port->app_protocol};
    }
    add_addresses(arena, &group, subset->addresses.items, subset->addresses.len, &yes);
    add_addresses(arena, &group, subset->not_ready_addresses.items, subset->not_ready_addresses.len,
                  &no);
    return group;
}

static bool is_mirrored(const Endpoints *endpoints, const Service *service) {
    return endpoints && service && !endpoints->metadata.deletion_timestamp &&
           !service->spec.selector.len && !str_eq(service->spec.type, STR("ExternalName")) &&
           !str_eq(str_map_get(&endpoints->metadata.labels, SKIP_MIRROR), STR("true")) &&
           !str_map_get(&endpoints->metadata.annotations, LEADER).ptr;
}

static SliceWish wish_of(Reconcile *r, const Endpoints *endpoints) {
    Arena *arena = r->arena;
    bool *yes = arena_new_of(arena, bool);
    *yes = true;
    SliceWish wish = {.namespace_ = r->namespace_,
                      .generate_name = slice_generate_name(arena, r->name),
                      .owner = {.api_version = STR("v1"),
                                .kind = STR("Endpoints"),
                                .name = r->name,
                                .uid = endpoints->metadata.uid,
                                .controller = yes,
                                .block_owner_deletion = yes},
                      .max_per_slice = MAX_PER_SUBSET};
    const StrMap *labels = &endpoints->metadata.labels;
    for (size_t i = 0; i < labels->len; i++)
        slice_map_set(arena, &wish.labels, labels->keys[i], labels->values[i]);
    slice_map_set(arena, &wish.labels, SLICE_SERVICE_LABEL, r->name);
    slice_map_set(arena, &wish.labels, SLICE_MANAGED_BY_LABEL, MANAGER);
    const StrMap *annotations = &endpoints->metadata.annotations;
    for (size_t i = 0; i < annotations->len; i++)
        if (!str_eq(annotations->keys[i], LAST_APPLIED) &&
            !str_eq(annotations->keys[i], TRIGGER_TIME))
            slice_map_set(arena, &wish.annotations, annotations->keys[i], annotations->values[i]);
    SliceGroup *groups = arena_array_of(arena, SliceGroup, endpoints->subsets.len + 1);
    for (size_t i = 0; i < endpoints->subsets.len; i++)
        groups[i] = group_of(arena, &endpoints->subsets.items[i]);
    wish.groups = groups;
    wish.n_groups = endpoints->subsets.len;
    return wish;
}

static void reconcile(Reconcile *r) {
    MirroringController *self = (MirroringController *)r->controller;
    EndpointSlice **existing;
    size_t n_existing;
    if (!slice_writer_existing(self->writer, r, &existing, &n_existing)) {
        reconcile_done(r, false);
        return;
    }
    Endpoints *endpoints =
        reconcile_object(r, self->endpoints, r->namespace_, r->name, kinds_type_Endpoints());
    Service *service =
        reconcile_object(r, self->services, r->namespace_, r->name, kinds_type_Service());
    if (!is_mirrored(endpoints, service)) {
        slice_writer_remove_all(self->writer, r, existing, n_existing);
        return;
    }
    SliceWish wish = wish_of(r, endpoints);
    SlicePlan plan;
    slice_plan(r->arena, &wish, existing, n_existing, &plan);
    slice_writer_run(self->writer, r, &plan);
}

static void stop(Controller *controller) {
    MirroringController *self = (MirroringController *)controller;
    slice_writer_free(self->writer);
    free(self);
}

Controller *endpoint_slice_mirroring_controller_start(Controllers *all) {
    MirroringController *self = memory_new(MirroringController);
    controller_init(&self->base, all, "endpointslicemirroring-controller", 5, reconcile, stop);
    self->writer = slice_writer_new(&self->base, MANAGER);
    self->services = controller_informer(&self->base, kinds_resource_core_v1_services(), STR(""));
    self->endpoints = controller_informer(&self->base, kinds_resource_core_v1_endpoints(), STR(""));
    controller_follow(&self->base, self->services);
    controller_follow(&self->base, self->endpoints);
    return &self->base;
}
