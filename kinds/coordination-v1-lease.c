// Leases: pkg/apis/coordination/validation upstream.

#include "kinds/rules.h"
#include "kinds/tree.h"

static void check_strategy(FieldErrors *errors, Str strategy, const Path *path) {
    static const Str known[] = {{"OldestEmulationVersion", 22}};
    if (str_find(strategy, '/') >= 0)
        schema_check_format(errors, path, FORMAT_LABEL_KEY, strategy);
    else if (!str_eq(strategy, known[0]))
        field_not_supported(errors, path, strategy, known, 1);
}

static void validate(FieldErrors *errors, const Value *spec, const Path *path) {
    const Value *strategy = value_get(spec, STR("strategy"));
    int64_t seconds = value_int_at(spec, "leaseDurationSeconds", 1);
    if (seconds <= 0)
        field_invalid_int(errors, PATH(path, STR("leaseDurationSeconds")), seconds,
                          "must be greater than 0");
    if (strategy) // the path is upstream's
        check_strategy(errors, tree_string(strategy),
                       PATH(PATH(path, STR("strategy")), STR("strategy")));
    if (tree_has_string(spec, "preferredHolder") && !tree_string(strategy).len)
        field_forbidden(errors, PATH(path, STR("preferredHolder")),
                        "may only be specified if `strategy` is defined");
}
const TypeRules lease_spec_rules = {.validate = validate};
