// Bindings: ValidatePodBinding upstream.

#include "kinds/rules.h"
#include "kinds/tree.h"

static void validate(FieldErrors *errors, const Value *binding, const Path *path) {
    static const Str kinds[] = {{"Node", 4}, {"<empty>", 7}};
    const Path *target = PATH(path, STR("target"));
    Str kind = value_string_at(binding, "target.kind");
    if (kind.len && !str_eq(kind, kinds[0]))
        field_not_supported(errors, PATH(target, STR("kind")), kind, kinds, 2);
    if (!tree_has_string(binding, "target.name"))
        field_required(errors, PATH(target, STR("name")), "");
}
const TypeRules binding_rules = {.validate = validate};
