// Pod presets: pkg/apis/settings/validation of Kubernetes v1.19. Volumes, mounts and variables are
// checked by their own types' rules.

#include "kinds/rules.h"
#include "kinds/tree.h"

static void validate(FieldErrors *errors, const Value *spec, const Path *path) {
    if (!value_get(spec, STR("env")) && !value_get(spec, STR("envFrom")) &&
        !value_get(spec, STR("volumeMounts")) && !value_get(spec, STR("volumes")))
        field_required(errors,
                       PATH(PATH(PATH(PATH(path, STR("volumes")), STR("env")), STR("envFrom")),
                            STR("volumeMounts")),
                       "must specify at least one");
}
const TypeRules pod_preset_spec_rules = {.validate = validate};
