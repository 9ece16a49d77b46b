// Pod disruption budgets: pkg/apis/policy/validation upstream.

#include "kinds/kinds.h"
#include "kinds/workload.h"

static void validate_spec(FieldErrors *errors, const Value *spec, const Path *path) {
    const Value *least = GET(spec, "minAvailable"), *most = GET(spec, "maxUnavailable");
    if (least && most)
        field_invalid_value(
            errors, path,
            pod_internal_shape(errors->arena, kinds_type_PodDisruptionBudgetSpec(), spec),
            "minAvailable and maxUnavailable cannot be both set");
    workload_check_amount(errors, least, AT(path, "minAvailable"));
    workload_check_hundred(errors, least, AT(path, "minAvailable"));
    workload_check_amount(errors, most, AT(path, "maxUnavailable"));
    workload_check_hundred(errors, most, AT(path, "maxUnavailable"));
}
const TypeRules pod_disruption_budget_spec_rules = {.validate = validate_spec};
