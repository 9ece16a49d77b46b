// What a pod asks for as a whole (pod level resources).
// https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/

#include "kinds/pod.h"
#include "kinds/resource_list.h"

// ---- defaults (defaultHugePagePodLimits, defaultPodRequests)

static void set_sum(Arena *arena, Value *resources, const char *list, const ResourceSum *sum) {
    value_set_str(arena, value_at_make(arena, resources, list), sum->name,
                  quantity_format(arena, sum->quantity));
}

// Huge pages that containers may use, where the pod says neither limit nor request.
static void default_limits(Arena *arena, const Value *spec, Value *resources) {
    ResourceSums sums = resource_aggregate(arena, spec, STR("limits"));
    for (size_t i = 0; i < sums.n; i++) {
        Str name = sums.items[i].name;
        if (resource_is_hugepages(name) &&
            !value_get(value_get(resources, STR("requests")), name) &&
            !value_get(value_get(resources, STR("limits")), name))
            set_sum(arena, resources, "limits", &sums.items[i]);
    }
}

static void default_requests(Arena *arena, const Value *spec, Value *resources) {
    ResourceSums sums = resource_aggregate(arena, spec, STR("requests"));
    for (size_t i = 0; i < sums.n; i++) {
        Str name = sums.items[i].name;
        if (resource_is_pod_level(name) && resource_can_overcommit(name) &&
            !value_get(value_get(resources, STR("requests")), name))
            set_sum(arena, resources, "requests", &sums.items[i]);
    }
    const Value *limits = value_get(resources, STR("limits"));
    for (uint32_t i = 0; i < limits->n; i++) {
        Str name = limits->members[i].key;
        if (resource_is_pod_level(name) && !value_get(value_get(resources, STR("requests")), name))
            value_set(arena, value_at_make(arena, resources, "requests"), name,
                      limits->members[i].value);
    }
}

void pod_default_resources(Arena *arena, Value *spec) {
    Value *resources = value_get(spec, STR("resources"));
    if (!tree_count(resources, "limits") && !tree_count(resources, "requests"))
        return;
    default_limits(arena, spec, resources);
    if (tree_count(resources, "limits"))
        default_requests(arena, spec, resources);
}
