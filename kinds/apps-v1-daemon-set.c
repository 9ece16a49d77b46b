// Daemon sets: pkg/apis/apps/v1/defaults.go and pkg/registry/apps/daemonset/strategy.go upstream.

#include <inttypes.h>

#include "kinds/workload.h"

static void default_strategy(Arena *arena, Value *strategy) {
    if (tree_is(strategy, "type", "RollingUpdate") && !GET(strategy, "rollingUpdate"))
        value_set(arena, strategy, STR("rollingUpdate"), value_new_object(arena));
}
const TypeRules daemon_set_update_strategy_rules = {.default_fn = default_strategy};

// The number of the template was a field once; now it is an annotation that only the server sets.
#define TEMPLATE_GENERATION "deprecated.daemonset.template.generation"

static int64_t template_generation(const Value *set) {
    int64_t number = 0;
    Str text =
        tree_string(value_get(value_at(set, "metadata.annotations"), STR(TEMPLATE_GENERATION)));
    return text.len && str_to_i64(text, &number) == 0 && number > 0 ? number : 0;
}

static void prepare(Arena *arena, Value *set, const Value *old) {
    int64_t number = template_generation(old ? old : set);
    if (!old && number < 1)
        number = 1;
    if (old && !value_equal(value_at(set, "spec.template"), value_at(old, "spec.template")))
        number++;
    value_set_str(arena, value_at_make(arena, set, "metadata.annotations"),
                  STR(TEMPLATE_GENERATION), arena_printf(arena, "%" PRId64, number));
}

const ResourceRules daemon_set_rules = {
    .prepare = prepare,
};
