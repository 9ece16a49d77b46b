#include "controllers/endpoint_slice_plan.h"

#include <stdlib.h>

#include "base/map.h"

typedef struct Slot { // a slice of the group at hand
    EndpointSlice *slice;
    bool changed, is_new;
} Slot;

typedef struct Planner {
    Arena *arena;
    const SliceWish *wish;
    SlicePlan *plan;
    size_t n_existing;
} Planner;

// ---- comparing

static bool same_flag(const bool *a, const bool *b) {
    return a == b || (a && b && *a == *b);
}

static bool same_number(const int32_t *a, const int32_t *b) {
    return a == b || (a && b && *a == *b);
}

static bool same_optional(Str a, Str b) {
    return (a.ptr == NULL) == (b.ptr == NULL) && str_eq(a, b);
}

static bool same_port(const DiscoveryEndpointPort *a, const DiscoveryEndpointPort *b) {
    return str_eq(a->name, b->name) && str_eq(a->protocol, b->protocol) &&
           same_number(a->port, b->port) && same_optional(a->app_protocol, b->app_protocol);
}

// In any order; the two are few.
static bool same_ports(const DiscoveryEndpointPort *a, size_t n_a, const DiscoveryEndpointPort *b,
                       size_t n_b) {
    if (n_a != n_b)
        return false;
    for (size_t i = 0; i < n_a; i++) {
        size_t j = 0;
        while (j < n_b && !same_port(&a[i], &b[j]))
            j++;
        if (j == n_b)
            return false;
    }
    return true;
}

static bool same_map(const StrMap *a, const StrMap *b) {
    if (a->len != b->len)
        return false;
    for (size_t i = 0; i < a->len; i++) {
        Str value = str_map_get(b, a->keys[i]);
        if (!value.ptr || !str_eq(value, a->values[i]))
            return false;
    }
    return true;
}

static bool same_hints(const EndpointHints *a, const EndpointHints *b) {
    if (!a || !b)
        return a == b;
    if (a->for_zones.len != b->for_zones.len || a->for_nodes.len != b->for_nodes.len)
        return false;
    for (size_t i = 0; i < a->for_zones.len; i++)
        if (!str_eq(a->for_zones.items[i].name, b->for_zones.items[i].name))
            return false;
    for (size_t i = 0; i < a->for_nodes.len; i++)
        if (!str_eq(a->for_nodes.items[i].name, b->for_nodes.items[i].name))
            return false;
    return true;
}

static bool same_endpoint(const Endpoint *a, const Endpoint *b) {
    return same_flag(a->conditions.ready, b->conditions.ready) &&
           same_flag(a->conditions.serving, b->conditions.serving) &&
           same_flag(a->conditions.terminating, b->conditions.terminating) &&
           str_eq(a->hostname, b->hostname) && str_eq(a->node_name, b->node_name) &&
           str_eq(a->zone, b->zone) && same_hints(a->hints, b->hints);
}

static bool same_owner(const EndpointSlice *slice, const OwnerReference *owner) {
    return slice->metadata.owner_references.len == 1 &&
           str_eq(slice->metadata.owner_references.items[0].uid, owner->uid);
}

// What makes it the same endpoint although its state changed.
static Str identity(Arena *arena, const Endpoint *endpoint) {
    const ObjectReference *target = endpoint->target_ref;
    return arena_printf(arena, "%.*s|%.*s|%.*s",
                        STR_ARG(endpoint->addresses.len ? endpoint->addresses.items[0] : STR("")),
                        STR_ARG(target ? target->uid : STR("")),
                        STR_ARG(target ? target->name : STR("")));
}

// ---- building

void slice_map_set(Arena *arena, StrMap *map, Str key, Str value) {
    for (size_t i = 0; i < map->len; i++)
        if (str_eq(map->keys[i], key)) {
            map->values[i] = value;
            return;
        }
    size_t old = map->len * sizeof(Str), size = old + sizeof(Str);
    map->keys = arena_grow(arena, map->keys, old, size);
    map->values = arena_grow(arena, map->values, old, size);
    map->keys[map->len] = key;
    map->values[map->len++] = value;
}

Str slice_generate_name(Arena *arena, Str service) {
    return service.len < 252 ? arena_printf(arena, "%.*s-", STR_ARG(service)) : service;
}

static void push(Arena *arena, EndpointSlice ***list, size_t *n, EndpointSlice *slice) {
    *list = arena_grow(arena, *list, *n * sizeof **list, (*n + 1) * sizeof **list);
    (*list)[(*n)++] = slice;
}

static void describe(Planner *p, EndpointSlice *slice) {
    OwnerReference *owner = arena_new_of(p->arena, OwnerReference);
    *owner = p->wish->owner;
    slice->metadata.owner_references.items = owner;
    slice->metadata.owner_references.len = 1;
    slice->metadata.labels = p->wish->labels;
    slice->metadata.annotations = p->wish->annotations;
}

static EndpointSlice *new_slice(Planner *p, const SliceGroup *group) {
    EndpointSlice *slice = arena_new_of(p->arena, EndpointSlice);
    slice->api_version = STR("discovery.k8s.io/v1");
    slice->kind = STR("EndpointSlice");
    slice->metadata.namespace = p->wish->namespace_;
    slice->metadata.generate_name = p->wish->generate_name;
    slice->address_type = STR("IPv4");
    slice->ports.items = group ? group->ports : NULL;
    slice->ports.len = group ? group->n_ports : 0;
    describe(p, slice);
    return slice;
}

static void add_endpoint(Planner *p, Slot *slot, const Endpoint *endpoint) {
    EndpointSlice *slice = slot->slice;
    Endpoint *items = arena_alloc(p->arena, (slice->endpoints.len + 1) * sizeof *items);
    if (slice->endpoints.len)
        memcpy(items, slice->endpoints.items, slice->endpoints.len * sizeof *items);
    items[slice->endpoints.len] = *endpoint;
    slice->endpoints.items = items;
    slice->endpoints.len++;
    slot->changed = true;
}

// ---- one group

// Keeps what is still wanted, brings it up to date, drops the rest.
static void keep_wanted(Planner *p, Slot *slot, Map *wanted) {
    EndpointSlice *slice = slot->slice;
    size_t kept = 0;
    for (size_t i = 0; i < slice->endpoints.len; i++) {
        Endpoint *have = &slice->endpoints.items[i];
        const Endpoint *want = map_remove(wanted, identity(p->arena, have));
        if (!want) {
            slot->changed = true;
            continue;
        }
        slot->changed |= !same_endpoint(have, want);
        slice->endpoints.items[kept++] = *want;
    }
    slice->endpoints.len = kept;
    if (!same_map(&slice->metadata.labels, &p->wish->labels) ||
        !same_map(&slice->metadata.annotations, &p->wish->annotations) ||
        !same_owner(slice, &p->wish->owner)) {
        describe(p, slice);
        slot->changed = true;
    }
}

static const Endpoint *take_one(Map *wanted) {
    MapIter iter = {0};
    if (!map_next(wanted, &iter))
        return NULL;
    const Endpoint *endpoint = iter.value;
    map_remove(wanted, iter.key);
    return endpoint;
}

static void fill(Planner *p, Slot *slot, Map *wanted) {
    while (map_count(wanted) && slot->slice->endpoints.len < p->wish->max_per_slice)
        add_endpoint(p, slot, take_one(wanted));
}

static int fullest_first(const void *a, const void *b) {
    size_t x = ((const Slot *)a)->slice->endpoints.len, y = ((const Slot *)b)->slice->endpoints.len;
    return x < y ? 1 : x > y ? -1 : 0;
}

// The fullest unchanged slice that has room for all that is left, or NULL.
static Slot *roomy(Planner *p, Slot *slots, size_t n, size_t left) {
    Slot *best = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t len = slots[i].slice->endpoints.len;
        if (!slots[i].changed && len + left <= p->wish->max_per_slice &&
            (!best || len > best->slice->endpoints.len))
            best = &slots[i];
    }
    return best;
}

static void finish(Planner *p, const Slot *slots, size_t n) {
    SlicePlan *plan = p->plan;
    for (size_t i = 0; i < n; i++) {
        EndpointSlice *slice = slots[i].slice;
        if (!slice->endpoints.len)
            push(p->arena, &plan->remove, &plan->n_remove, slice);
        else if (slots[i].changed)
            push(p->arena, &plan->update, &plan->n_update, slice);
    }
}

static void plan_group(Planner *p, const SliceGroup *group, Slot *slots, size_t n) {
    _map_free_ Map *wanted = map_new();
    for (size_t i = 0; i < group->n_endpoints; i++)
        map_put(wanted, identity(p->arena, &group->endpoints[i]), &group->endpoints[i]);
    for (size_t i = 0; i < n; i++)
        keep_wanted(p, &slots[i], wanted);
    if (n)
        qsort(slots, n, sizeof *slots, fullest_first);
    for (size_t i = 0; i < n; i++)
        if (slots[i].changed)
            fill(p, &slots[i], wanted);
    while (map_count(wanted)) {
        Slot *slot = roomy(p, slots, n, map_count(wanted));
        Slot fresh = {.is_new = true};
        if (!slot) {
            slot = &fresh;
            slot->slice = new_slice(p, group);
            push(p->arena, &p->plan->create, &p->plan->n_create, slot->slice);
        }
        fill(p, slot, wanted);
    }
    finish(p, slots, n);
}

// ---- the whole

// A slice that has to go takes the content of one that has to be made: one write instead of two.
static void recycle(Planner *p) {
    SlicePlan *plan = p->plan;
    while (plan->n_create && plan->n_remove) {
        EndpointSlice *fresh = plan->create[--plan->n_create];
        EndpointSlice *old = plan->remove[--plan->n_remove];
        old->endpoints.items = fresh->endpoints.items;
        old->endpoints.len = fresh->endpoints.len;
        old->ports.items = fresh->ports.items;
        old->ports.len = fresh->ports.len;
        describe(p, old);
        push(p->arena, &plan->update, &plan->n_update, old);
    }
}

static bool is_placeholder(const EndpointSlice *slice, const SliceWish *wish) {
    return !slice->ports.len && same_map(&slice->metadata.labels, &wish->labels) &&
           same_owner(slice, &wish->owner);
}

static void keep_place(Planner *p, bool *was_empty, EndpointSlice **existing) {
    SlicePlan *plan = p->plan;
    if (!p->wish->placeholder || plan->n_create || plan->n_remove < p->n_existing)
        return;
    for (size_t i = 0; i < p->n_existing; i++) {
        if (!was_empty[i] || !is_placeholder(existing[i], p->wish))
            continue;
        size_t at = 0;
        while (plan->remove[at] != existing[i])
            at++;
        plan->remove[at] = plan->remove[--plan->n_remove];
        return;
    }
    push(p->arena, &plan->create, &plan->n_create, new_slice(p, NULL));
}

void slice_plan(Arena *arena, const SliceWish *wish, EndpointSlice **existing, size_t n_existing,
                SlicePlan *ret) {
    *ret = (SlicePlan){0};
    Planner planner = {arena, wish, ret, n_existing};
    bool *taken = arena_array_of(arena, bool, n_existing + 1);
    bool *was_empty = arena_array_of(arena, bool, n_existing + 1);
    for (size_t i = 0; i < n_existing; i++)
        was_empty[i] = !existing[i]->endpoints.len;
    for (size_t g = 0; g < wish->n_groups; g++) {
        const SliceGroup *group = &wish->groups[g];
        Slot *slots = arena_array_of(arena, Slot, n_existing + 1);
        size_t n = 0;
        for (size_t i = 0; i < n_existing; i++) {
            EndpointSlice *slice = existing[i];
            if (taken[i] || !str_eq(slice->address_type, STR("IPv4")) ||
                !same_ports(slice->ports.items, slice->ports.len, group->ports, group->n_ports))
                continue;
            taken[i] = true;
            slots[n++].slice = slice;
        }
        plan_group(&planner, group, slots, n);
    }
    for (size_t i = 0; i < n_existing; i++)
        if (!taken[i])
            push(arena, &ret->remove, &ret->n_remove, existing[i]);
    keep_place(&planner, was_empty, existing);
    recycle(&planner);
}
