#pragma once
// How endpoints are packed into EndpointSlices: the fewest writes first, then the fewest slices, as
// upstream's endpointslice/reconciler.go reconcileByPortMapping does it.
// https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#distribution-of-endpointslices

#include "kinds/kinds.h"

#define SLICE_SERVICE_LABEL STR("kubernetes.io/service-name")
#define SLICE_MANAGED_BY_LABEL STR("endpointslice.kubernetes.io/managed-by")
#define HEADLESS_LABEL STR("service.kubernetes.io/headless")

typedef struct SliceGroup { // endpoints that have the same ports
    DiscoveryEndpointPort *ports;
    size_t n_ports;
    Endpoint *endpoints;
    size_t n_endpoints;
} SliceGroup;

typedef struct SliceWish {
    Str namespace_, generate_name;
    StrMap labels, annotations; // whole
    OwnerReference owner;
    const SliceGroup *groups;
    size_t n_groups;
    size_t max_per_slice;
    bool placeholder; // one slice is there even when there is no endpoint
} SliceWish;

typedef struct SlicePlan { // what to write; the rest stays as it is
    EndpointSlice **create, **update, **remove;
    size_t n_create, n_update, n_remove;
} SlicePlan;

// `existing` are those of this service and manager; they are changed in place where the plan
// updates them. All in `arena`.
void slice_plan(Arena *arena, const SliceWish *wish, EndpointSlice **existing, size_t n_existing,
                SlicePlan *ret);
// Appends to a map in an arena; replaces a key that is there.
void slice_map_set(Arena *arena, StrMap *map, Str key, Str value);
// "NAME-", what generated names begin with; upstream's getEndpointSlicePrefix.
Str slice_generate_name(Arena *arena, Str service);
