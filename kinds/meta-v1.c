// Label selectors: apimachinery's pkg/apis/meta/v1/validation.

#include "kinds/rules.h"
#include "kinds/tree.h"

static void validate_requirement(FieldErrors *errors, const Value *requirement, const Path *path) {
    Str relation = value_string_at(requirement, "operator");
    uint32_t n = tree_count(requirement, "values");
    if (str_eq(relation, STR("In")) || str_eq(relation, STR("NotIn"))) {
        if (!n)
            field_required(errors, PATH(path, STR("values")),
                           "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (str_eq(relation, STR("Exists")) || str_eq(relation, STR("DoesNotExist"))) {
        if (n)
            field_forbidden(errors, PATH(path, STR("values")),
                            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else {
        field_invalid(errors, PATH(path, STR("operator")), relation.ptr ? relation : STR(""),
                      "not a valid selector operator");
    }
}
const TypeRules label_selector_requirement_rules = {.validate = validate_requirement};

static void validate_selector(FieldErrors *errors, const Value *selector, const Path *path) {
    schema_validate_labels(errors, value_get(selector, STR("matchLabels")),
                           PATH(path, STR("matchLabels")));
}
const TypeRules label_selector_rules = {.validate = validate_selector};
