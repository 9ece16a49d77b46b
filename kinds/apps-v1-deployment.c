// Deployments: pkg/apis/apps/v1/defaults.go upstream.

#include "kinds/workload.h"

// The numbers of a rolling update have their own defaults, once there is one.
static void default_strategy(Arena *arena, Value *strategy) {
    if (tree_is(strategy, "type", "RollingUpdate") && !GET(strategy, "rollingUpdate"))
        value_set(arena, strategy, STR("rollingUpdate"), value_new_object(arena));
}
const TypeRules deployment_strategy_rules = {.default_fn = default_strategy};

const ResourceRules deployment_rules = {
    .warn = NULL,
};
