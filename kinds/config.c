#include "kinds/config.h"

#include "kinds/tree.h"

#define FROZEN "field is immutable when `immutable` is set"

static size_t decoded_size(Str base64) {
    size_t padding = 0;
    while (padding < 2 && padding < base64.len && base64.ptr[base64.len - 1 - padding] == '=')
        padding++;
    return base64.len / 4 * 3 - (base64.len >= 4 ? padding : 0);
}

size_t config_size(const Value *map, bool encoded) {
    size_t size = 0;
    for (uint32_t i = 0; map && map->kind == VALUE_OBJECT && i < map->n; i++) {
        Str text = tree_string(map->members[i].value);
        size += encoded ? decoded_size(text) : text.len;
    }
    return size;
}

void config_check_keys(FieldErrors *errors, const Value *map, const Path *path) {
    for (uint32_t i = 0; map && map->kind == VALUE_OBJECT && i < map->n; i++)
        schema_check_format(errors, PATH_KEY(path, map->members[i].key), FORMAT_CONFIG_KEY,
                            map->members[i].key);
}

void config_check_immutable(FieldErrors *errors, const Value *object, const Value *old,
                            const Str *maps, size_t n) {
    if (!value_bool_at(old, "immutable", false))
        return;
    if (!value_bool_at(object, "immutable", false))
        field_forbidden(errors, PATH(NULL, STR("immutable")), FROZEN);
    for (size_t i = 0; i < n; i++)
        if (!value_equal(value_get(object, maps[i]), value_get(old, maps[i])))
            field_forbidden(errors, PATH(NULL, maps[i]), FROZEN);
}
