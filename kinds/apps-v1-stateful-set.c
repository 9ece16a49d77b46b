// Stateful sets: pkg/apis/apps/v1/{defaults,conversion}.go upstream.

#include "kinds/workload.h"

// A type that is left out brings an update with it, a type that is given does not.
static void default_strategy(Arena *arena, Value *strategy) {
    if (GET_STR(strategy, "type").len)
        return;
    value_set_str(arena, strategy, STR("type"), STR("RollingUpdate"));
    if (!GET(strategy, "rollingUpdate"))
        value_set(arena, strategy, STR("rollingUpdate"), value_new_object(arena));
}
const TypeRules stateful_set_update_strategy_rules = {.default_fn = default_strategy};

// Claims in a set say what they are, and have a state, as those that are made of them.
static void default_claims(Arena *arena, Value *set) {
    Value *claims = value_at(set, "spec.volumeClaimTemplates");
    for (uint32_t i = 0; i < list_count(claims); i++) {
        Value *claim = claims->items[i];
        if (claim->kind != VALUE_OBJECT)
            continue;
        value_set_str(arena, claim, STR("apiVersion"), STR("v1"));
        value_set_str(arena, claim, STR("kind"), STR("PersistentVolumeClaim"));
        Value *status = value_at_make(arena, claim, "status");
        if (!GET_STR(status, "phase").len)
            value_set_str(arena, status, STR("phase"), STR("Pending"));
        Value *spec = value_at_make(arena, claim, "spec");
        if (!GET(spec, "volumeMode"))
            value_set_str(arena, spec, STR("volumeMode"), STR("Filesystem"));
    }
}

const ResourceRules stateful_set_rules = {
    .default_fn = default_claims,
};
