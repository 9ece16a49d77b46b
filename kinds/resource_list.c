// See pkg/apis/core/helper/helpers.go upstream for the kinds of names.

#include "kinds/resource_list.h"

#include "schema/format.h"

static ResourceSum *find(const ResourceSums *sums, Str name) {
    for (size_t i = 0; i < sums->n; i++)
        if (str_eq(sums->items[i].name, name))
            return &sums->items[i];
    return NULL;
}

const ResourceSum *resource_sum(const ResourceSums *sums, Str name) {
    return find(sums, name);
}

typedef void Combine(Quantity *into, Quantity quantity);

static void add(Quantity *into, Quantity quantity) {
    *into = quantity_add(*into, quantity);
}
static void take_larger(Quantity *into, Quantity quantity) {
    if (quantity_cmp(quantity, *into) > 0)
        *into = quantity;
}

#define MAX_NAMES 256 // different ones; more than that are not added up

static void put(Arena *arena, ResourceSums *sums, Str name, Quantity quantity, Combine *combine) {
    ResourceSum *sum = find(sums, name);
    if (sum) {
        combine(&sum->quantity, quantity);
        return;
    }
    if (sums->n == MAX_NAMES)
        return;
    if (!(sums->n & (sums->n - 1))) { // the capacity is the next power of two
        size_t capacity = sums->n ? sums->n * 2 : 1;
        sums->items = arena_grow(arena, sums->items, sums->n * sizeof(ResourceSum),
                                 capacity * sizeof(ResourceSum));
    }
    sums->items[sums->n++] = (ResourceSum){name, quantity};
}

static void put_list(Arena *arena, ResourceSums *sums, const Value *list, Combine *combine) {
    for (uint32_t i = 0; list && list->kind == VALUE_OBJECT && i < list->n; i++) {
        Quantity quantity;
        if (quantity_parse(tree_string(list->members[i].value), &quantity) == 0)
            put(arena, sums, list->members[i].key, quantity, combine);
    }
}

static void put_sums(Arena *arena, ResourceSums *sums, const ResourceSums *other,
                     Combine *combine) {
    for (size_t i = 0; i < other->n; i++)
        put(arena, sums, other->items[i].name, other->items[i].quantity, combine);
}

static const Value *list_of(const Value *containers, uint32_t i, Str list) {
    return value_get(value_get(containers->items[i], STR("resources")), list);
}

ResourceSums resource_aggregate(Arena *arena, const Value *spec, Str list) {
    ResourceSums sums = {0}, sidecars = {0}, init = {0};
    const Value *containers = value_get(spec, STR("containers"));
    const Value *before = value_get(spec, STR("initContainers"));
    for (uint32_t i = 0; containers && containers->kind == VALUE_ARRAY && i < containers->n; i++)
        put_list(arena, &sums, list_of(containers, i, list), add);
    for (uint32_t i = 0; before && before->kind == VALUE_ARRAY && i < before->n; i++) {
        const Value *wanted = list_of(before, i, list);
        if (str_eq(tree_string(value_get(before->items[i], STR("restartPolicy"))), STR("Always"))) {
            put_list(arena, &sums, wanted, add);
            put_list(arena, &sidecars, wanted, add);
            put_sums(arena, &init, &sidecars, take_larger);
        } else {
            ResourceSums now = {0};
            put_list(arena, &now, wanted, add);
            put_sums(arena, &now, &sidecars, add);
            put_sums(arena, &init, &now, take_larger);
        }
    }
    put_sums(arena, &sums, &init, take_larger);
    return sums;
}

// Somewhere in the name, as strings.Contains has it upstream.
static bool contains(Str text, Str part) {
    for (size_t i = 0; i + part.len <= text.len; i++)
        if (!memcmp(text.ptr + i, part.ptr, part.len))
            return true;
    return false;
}

bool resource_is_native(Str name) {
    return str_find(name, '/') < 0 || contains(name, STR("kubernetes.io/"));
}

bool resource_is_hugepages(Str name) {
    return str_starts_with(name, STR("hugepages-"));
}

bool resource_can_overcommit(Str name) {
    return resource_is_native(name) && !resource_is_hugepages(name);
}

bool resource_is_extended(Arena *arena, Str name) {
    if (resource_is_native(name) || str_starts_with(name, STR("requests.")))
        return false;
    Str parts[] = {STR("requests."), name}; // as quotas call it
    return format_check(arena, FORMAT_LABEL_KEY, arena_concat(arena, parts, 2, STR(""))).n == 0;
}

#define NAME(text)                                                                                 \
    { text, sizeof text - 1 }
// Those counted in pieces come first.
static const Str standard[] = {
    NAME("pods"),
    NAME("resourcequotas"),
    NAME("services"),
    NAME("replicationcontrollers"),
    NAME("secrets"),
    NAME("configmaps"),
    NAME("persistentvolumeclaims"),
    NAME("services.nodeports"),
    NAME("services.loadbalancers"),
    NAME("cpu"),
    NAME("memory"),
    NAME("ephemeral-storage"),
    NAME("requests.cpu"),
    NAME("requests.memory"),
    NAME("requests.ephemeral-storage"),
    NAME("limits.cpu"),
    NAME("limits.memory"),
    NAME("limits.ephemeral-storage"),
    NAME("storage"),
    NAME("requests.storage"),
};
#define N_WHOLE 9

static bool is_among(Str name, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(name, standard[i]))
            return true;
    return false;
}

bool resource_is_whole(Arena *arena, Str name) {
    return is_among(name, N_WHOLE) || resource_is_extended(arena, name);
}

bool resource_is_standard(Str name) {
    return is_among(name, sizeof standard / sizeof *standard) || resource_is_hugepages(name) ||
           str_starts_with(name, STR("requests.hugepages-"));
}

bool resource_is_pod_level(Str name) {
    return str_eq(name, STR("cpu")) || str_eq(name, STR("memory")) || resource_is_hugepages(name);
}
