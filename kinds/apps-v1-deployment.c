// Deployments: ValidateDeploymentSpec and pkg/apis/apps/v1/defaults.go upstream.

#include "kinds/kinds.h"
#include "kinds/workload.h"

// ---- the strategy

// The numbers of a rolling update have their own defaults, once there is one.
static void default_strategy(Arena *arena, Value *strategy) {
    if (tree_is(strategy, "type", "RollingUpdate") && !GET(strategy, "rollingUpdate"))
        value_set(arena, strategy, STR("rollingUpdate"), value_new_object(arena));
}

static void check_rolling_update(FieldErrors *errors, const Value *update, const Path *path) {
    const Value *unavailable = GET(update, "maxUnavailable"), *surge = GET(update, "maxSurge");
    workload_check_amount(errors, unavailable, AT(path, "maxUnavailable"));
    workload_check_amount(errors, surge, AT(path, "maxSurge"));
    if (!workload_amount(unavailable) && !workload_amount(surge))
        field_invalid_value(errors, AT(path, "maxUnavailable"), unavailable,
                            "may not be 0 when `maxSurge` is 0");
    workload_check_hundred(errors, unavailable, AT(path, "maxUnavailable"));
}

static void validate_strategy(FieldErrors *errors, const Value *strategy, const Path *path) {
    const Value *update = GET(strategy, "rollingUpdate");
    if (tree_is(strategy, "type", "RollingUpdate"))
        check_rolling_update(errors, update, AT(path, "rollingUpdate"));
    else if (!tree_is(strategy, "type", "Recreate"))
        field_not_supported_value(
            errors, path,
            pod_internal_shape(errors->arena, kinds_type_DeploymentStrategy(), strategy),
            (Str[]){STR("Recreate"), STR("RollingUpdate")}, 2);
    else if (update)
        field_forbidden(errors, AT(path, "rollingUpdate"),
                        "may not be specified when strategy `type` is 'Recreate'");
}
const TypeRules deployment_strategy_rules = {.default_fn = default_strategy,
                                             .validate = validate_strategy};

// ---- the rest

static void validate_spec(FieldErrors *errors, const Value *spec, const Path *path) {
    int64_t deadline = value_int_at(spec, "progressDeadlineSeconds", INT64_MAX);
    workload_check_selector(errors, spec, path, "deployment");
    workload_check_labels(errors, spec, path);
    workload_check_pods(errors, GET(spec, "template"), AT(path, "template"), "ReplicaSet");
    if (deadline <= value_int_at(spec, "minReadySeconds", 0))
        field_invalid_int(errors, AT(path, "progressDeadlineSeconds"), deadline,
                          "must be greater than minReadySeconds");
}
const TypeRules deployment_spec_rules = {.validate = validate_spec};

static void validate_status(FieldErrors *errors, const Value *deployment, const Value *old) {
    static const char *const fields[] = {"updatedReplicas", "readyReplicas", "availableReplicas",
                                         NULL};
    const Value *status = GET(deployment, "status");
    workload_check_replicas(errors, status, fields);
    workload_check_available(errors, status, "cannot be greater than readyReplicas");
    workload_check_collisions(errors, deployment, old);
}

static void warn(Arena *arena, const Value *deployment, ValuePaths *warnings) {
    workload_warn(arena, deployment, "spec.template", warnings);
}

const ResourceRules deployment_rules = {
    .validate_status_update = validate_status,
    .warn = warn,
};
