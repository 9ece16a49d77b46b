// Daemon sets: ValidateDaemonSetSpec, pkg/apis/apps/v1/defaults.go and
// pkg/registry/apps/daemonset/strategy.go upstream.

#include <inttypes.h>

#include "kinds/kinds.h"
#include "kinds/workload.h"

// ---- the strategy

static void default_strategy(Arena *arena, Value *strategy) {
    if (tree_is(strategy, "type", "RollingUpdate") && !GET(strategy, "rollingUpdate"))
        value_set(arena, strategy, STR("rollingUpdate"), value_new_object(arena));
}

static void check_rolling_update(FieldErrors *errors, const Value *update, const Path *path) {
    const Value *unavailable = GET(update, "maxUnavailable"), *surge = GET(update, "maxSurge");
    workload_check_amount(errors, unavailable, AT(path, "maxUnavailable"));
    workload_check_amount(errors, surge, AT(path, "maxSurge"));
    workload_check_hundred(errors, unavailable, AT(path, "maxUnavailable"));
    workload_check_hundred(errors, surge, AT(path, "maxSurge"));
    bool has_unavailable = workload_amount(unavailable) != 0,
         has_surge = workload_amount(surge) != 0;
    if (has_unavailable && has_surge)
        field_invalid_value(errors, AT(path, "maxSurge"), surge,
                            "may not be set when maxUnavailable is non-zero");
    if (!has_unavailable && !has_surge)
        field_required(errors, AT(path, "maxUnavailable"), "cannot be 0 when maxSurge is 0");
}

static void validate_strategy(FieldErrors *errors, const Value *strategy, const Path *path) {
    if (tree_is(strategy, "type", "RollingUpdate"))
        check_rolling_update(errors, GET(strategy, "rollingUpdate"), AT(path, "rollingUpdate"));
    else if (!tree_is(strategy, "type", "OnDelete"))
        field_not_supported_value(
            errors, path,
            pod_internal_shape(errors->arena, kinds_type_DaemonSetUpdateStrategy(), strategy),
            (Str[]){STR("RollingUpdate"), STR("OnDelete")}, 2);
}
const TypeRules daemon_set_update_strategy_rules = {.default_fn = default_strategy,
                                                    .validate = validate_strategy};

// ---- the number of the template, a field once, now an annotation that only the server sets

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

// ---- the rest

static void validate_spec(FieldErrors *errors, const Value *spec, const Path *path) {
    workload_check_labels(errors, spec, path);
    if (GET(spec, "selector"))
        workload_check_selector(errors, spec, path, "daemonset");
    workload_check_pods(errors, GET(spec, "template"), AT(path, "template"), "DaemonSet");
}
const TypeRules daemon_set_spec_rules = {.validate = validate_spec};

static void warn(Arena *arena, const Value *set, ValuePaths *warnings) {
    pod_template_warn(arena, value_at(set, "spec.template"),
                      AT(PATH(NULL, STR("spec")), "template"), warnings);
}

const ResourceRules daemon_set_rules = {
    .prepare = prepare,
    .validate_status_update = workload_check_collisions,
    .warn = warn,
};
