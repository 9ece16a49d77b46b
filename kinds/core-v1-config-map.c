// Config maps: ValidateConfigMap upstream.

#include "kinds/config.h"
#include "kinds/rules.h"

static void validate(FieldErrors *errors, const Value *config_map) {
    const Value *data = value_get(config_map, STR("data"));
    const Value *binary = value_get(config_map, STR("binaryData"));
    const Path *path = PATH(NULL, STR("data"));
    config_check_keys(errors, data, path);
    for (uint32_t i = 0; data && data->kind == VALUE_OBJECT && i < data->n; i++)
        if (value_get(binary, data->members[i].key))
            field_invalid(errors, PATH_KEY(path, data->members[i].key), data->members[i].key,
                          "duplicate of key present in binaryData");
    config_check_keys(errors, binary, PATH(NULL, STR("binaryData")));
    if (config_size(data, false) + config_size(binary, true) > CONFIG_MAX_BYTES)
        field_too_long(errors, PATH_KEY(NULL, STR("")), CONFIG_MAX_BYTES); // the whole: "[]"
}

static void validate_update(FieldErrors *errors, const Value *config_map, const Value *old) {
    static const Str maps[] = {{"data", 4}, {"binaryData", 10}};
    config_check_immutable(errors, config_map, old, maps, 2);
}

const ResourceRules config_map_rules = {.validate = validate, .validate_update = validate_update};
