// LimitRange: SetDefaults_LimitRangeItem (pkg/apis/core/v1/defaults.go).

#include "kinds/pod.h"
#include "kinds/rules.h"

// What `from` says and `into` does not.
static void fill(Arena *arena, Value *item, const char *into, const char *from) {
    const Value *source = value_at(item, from);
    for (uint32_t i = 0; i < map_count_of(source); i++) {
        Value *target = value_at_make(arena, item, into);
        if (!value_get(target, source->members[i].key))
            value_set(arena, target, source->members[i].key, source->members[i].value);
    }
}

// Containers: the default limit is the maximum, the default request the default limit or the
// minimum.
static void limit_range_default(Arena *arena, Value *object) {
    for (uint32_t i = 0; i < tree_count(object, "spec.limits"); i++) {
        Value *item = value_at(object, "spec.limits")->items[i];
        if (!tree_is(item, "type", "Container"))
            continue;
        fill(arena, item, "default", "max");
        fill(arena, item, "defaultRequest", "default");
        fill(arena, item, "defaultRequest", "min");
    }
}

const ResourceRules limit_range_rules = {.default_fn = limit_range_default};
