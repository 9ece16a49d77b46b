// The rules that the tables state, and the functions beside the kinds.

#include "base/map.h"
#include "schema/structural.h"
#include "schema/type_find.h"

static void validate_object(FieldErrors *errors, const Type *type, const Value *object,
                            const Value *old, const Path *path);

static bool is_empty(const Field *field, const Value *value) {
    if (!value || value->kind == VALUE_NULL)
        return true;
    if (field->flags & FIELD_POINTER)
        return false;
    switch (value->kind) {
    case VALUE_STRING:
        return !value->string.len;
    case VALUE_INT:
        return !value->integer && field->kind != FIELD_INT_OR_STRING;
    case VALUE_ARRAY:
        return !value->n;
    case VALUE_OBJECT:
        return !value->n && field->shape == SHAPE_MAP;
    default:
        return false;
    }
}

static void check_enum(FieldErrors *errors, const Field *field, Str value, const Path *path) {
    for (size_t i = 0; i < field->n_enum; i++)
        if (str_eq(field->enum_values[i], value))
            return;
    field_not_supported(errors, path, value, field->enum_values, field->n_enum);
}

static void check_range(FieldErrors *errors, const Field *field, int64_t value, const Path *path) {
    if (value >= field->minimum && value <= field->maximum)
        return;
    Str detail;
    if (field->maximum == INT64_MAX && field->minimum == 1)
        detail = STR("must be greater than zero");
    else if (field->maximum == INT64_MAX)
        detail = arena_printf(errors->arena, "must be greater than or equal to %lld",
                              (long long)field->minimum);
    else if (field->minimum == INT64_MIN)
        detail = arena_printf(errors->arena, "must be less than or equal to %lld",
                              (long long)field->maximum);
    else
        detail = arena_printf(errors->arena, "must be between %lld and %lld, inclusive",
                              (long long)field->minimum, (long long)field->maximum);
    field_invalid_int(errors, path, value, detail.ptr);
}

static void check_string(FieldErrors *errors, const Field *field, Str value, const Path *path) {
    if (field->n_enum)
        check_enum(errors, field, value, path);
    if (field->max_length && field->shape == SHAPE_ONE && value.len > field->max_length)
        field_too_long(errors, path, field->max_length);
    if (field->format)
        schema_check_format(errors, path, field->format, value);
}

// One value of the field's kind. An empty string of a plain field is an absent one.
static void validate_one(FieldErrors *errors, const Field *field, const Value *value,
                         const Value *old, const Path *path) {
    switch (value->kind) {
    case VALUE_STRING:
        if (value->string.len || (field->flags & FIELD_POINTER) || field->shape != SHAPE_ONE)
            check_string(errors, field, value->string, path);
        break;
    case VALUE_INT:
        check_range(errors, field, value->integer, path);
        break;
    case VALUE_OBJECT:
        if (field->kind == FIELD_OBJECT)
            validate_object(errors, field->type, value, old, path);
        break;
    default:
        break;
    }
}

// What tells an item of a list apart: its keys' values in one string. STR_NONE when it has none.
static Str item_identity(Arena *arena, const Field *field, const Value *item) {
    if (field->list_type == LIST_SET) {
        if (item->kind == VALUE_STRING)
            return item->string;
        _buf_deinit_ Buf buf = BUF_INIT(VALUE_MAX_BYTES * 2);
        value_write_json(item, &buf);
        return arena_str(arena, buf_view(&buf));
    }
    if (field->n_keys == 1) {
        const Value *key = value_get(item, field->keys[0]);
        if (!key)
            return STR_NONE;
        if (key->kind == VALUE_STRING)
            return key->string;
    }
    _buf_deinit_ Buf buf = BUF_INIT(VALUE_MAX_BYTES * 2);
    bool any = false;
    for (size_t i = 0; i < field->n_keys; i++) {
        const Value *key = value_get(item, field->keys[i]);
        any = any || key;
        buf_char(&buf, ',');
        if (key)
            value_write_json(key, &buf);
    }
    return any ? arena_str(arena, buf_view(&buf)) : STR_NONE;
}

static void report_duplicate(FieldErrors *errors, const Field *field, const Value *item,
                             const Path *path) {
    if (field->list_type == LIST_SET) {
        field_duplicate_value(errors, path, item);
    } else if (field->n_keys == 1) {
        field_duplicate_value(errors, PATH(path, field->keys[0]), value_get(item, field->keys[0]));
    } else {
        Value *keys = value_new_object(errors->arena);
        for (size_t i = 0; i < field->n_keys; i++) {
            Value *key = value_get(item, field->keys[i]);
            if (key)
                value_set(errors->arena, keys, field->keys[i], key);
        }
        field_duplicate_value(errors, path, keys);
    }
}

static void check_unique(FieldErrors *errors, const Field *field, const Value *list,
                         const Path *path) {
    if (list->n < 2)
        return;
    Str few[16];
    _map_free_ Map *many = list->n > 16 ? map_new() : NULL;
    for (uint32_t i = 0; i < list->n; i++) {
        Str identity = item_identity(errors->arena, field, list->items[i]);
        bool seen = false;
        if (many && identity.ptr) {
            seen = map_put(many, identity, (void *)list) != NULL;
        } else if (!many) {
            few[i] = identity;
            for (uint32_t j = 0; j < i && identity.ptr && !seen; j++)
                seen = few[j].ptr && str_eq(few[j], identity);
        }
        if (seen)
            report_duplicate(errors, field, list->items[i], PATH_INDEX(path, i));
    }
}

// The item of `old` that has the same keys (list-map), for what may not change inside.
static const Value *old_item(const Field *field, const Value *old, const Value *item,
                             uint32_t position) {
    if (!old || old->kind != VALUE_ARRAY || field->list_type != LIST_MAP)
        return NULL;
    for (uint32_t k = 0; k < old->n; k++) { // mostly at the same place
        const Value *candidate = old->items[(position + k) % old->n];
        bool same = true;
        for (size_t i = 0; i < field->n_keys && same; i++)
            same =
                value_equal(value_get(candidate, field->keys[i]), value_get(item, field->keys[i]));
        if (same)
            return candidate;
        if (k >= 64)
            break; // longer lists hold nothing immutable; no quadratic work for them
    }
    return NULL;
}

static void validate_list(FieldErrors *errors, const Field *field, const Value *list,
                          const Value *old, const Path *path) {
    if (field->max_length && list->n > field->max_length)
        field_too_many(errors, path, list->n, field->max_length);
    if (field->list_type != LIST_ATOMIC && !(field->flags & FIELD_DUPLICATES))
        check_unique(errors, field, list, path);
    for (uint32_t i = 0; i < list->n; i++)
        validate_one(errors, field, list->items[i], old_item(field, old, list->items[i], i),
                     PATH_INDEX(path, i));
}

static void validate_map(FieldErrors *errors, const Field *field, const Value *map,
                         const Value *old, const Path *path) {
    if (field->max_length && map->n > field->max_length)
        field_too_many(errors, path, map->n, field->max_length);
    bool deep = field->kind == FIELD_OBJECT;
    for (uint32_t i = 0; i < map->n; i++) {
        const Member *member = &map->members[i];
        validate_one(errors, field, member->value, deep ? value_get(old, member->key) : NULL,
                     PATH_KEY(path, member->key));
    }
}

static void validate_field(FieldErrors *errors, const Field *field, const Value *value,
                           const Value *old, const Path *path) {
    if (field->shape == SHAPE_LIST && value->kind == VALUE_ARRAY)
        validate_list(errors, field, value, old, path);
    else if (field->shape == SHAPE_MAP && value->kind == VALUE_OBJECT)
        validate_map(errors, field, value, old, path);
    else if (field->shape == SHAPE_ONE)
        validate_one(errors, field, value, old, path);
}

// What Go cannot tell from a given zero is checked as one where the field is always written.
static void validate_absent(FieldErrors *errors, const Field *field, const Path *path) {
    if (field->flags & FIELD_REQUIRED)
        field_required(errors, path, "");
    else if (!(field->flags & FIELD_ALWAYS) || field->shape != SHAPE_ONE)
        return;
    else if (field->kind == FIELD_INT32 || field->kind == FIELD_INT64)
        check_range(errors, field, 0, path);
    else if (field->format)
        schema_check_format(errors, path, field->format, STR(""));
}

static void validate_members(FieldErrors *errors, const Type *type, const Value *object,
                             const Value *old, const Path *path) {
    for (uint16_t i = 0; i < type->n_fields; i++) {
        const Field *field = &type->fields[i];
        if (field->flags & FIELD_INLINE) {
            validate_members(errors, field->type, object, old, path);
            if (field->type->rules && field->type->rules->validate)
                field->type->rules->validate(errors, object, path);
            continue;
        }
        const Value *value = value_get(object, field->name);
        const Value *old_value = old ? value_get(old, field->name) : NULL;
        Path step = {.parent = path, .name = field->name, .index = -1};
        if (field->flags & FIELD_BY_RULES)
            continue;
        if (is_empty(field, value))
            validate_absent(errors, field, &step);
        else
            validate_field(errors, field, value, old_value, &step);
        if (old && (field->flags & FIELD_IMMUTABLE) && !value_equal(value, old_value))
            field_invalid_value(errors, &step, value, "field is immutable");
    }
}

static void validate_object(FieldErrors *errors, const Type *type, const Value *object,
                            const Value *old, const Path *path) {
    validate_members(errors, type, object, old, path);
    if (type->rules && type->rules->validate)
        type->rules->validate(errors, object, path);
    if (!type->custom)
        return;
    const Schema *schema = type->custom->schema;
    structural_validate(errors, schema, object, old, path);
    structural_validate_embedded(errors, schema, object, path);
    structural_validate_lists(errors, schema, object, path);
}

void schema_validate_type(FieldErrors *errors, const Type *type, const Value *value,
                          const Value *old, const Path *path) {
    if (value->kind == VALUE_OBJECT)
        validate_object(errors, type, value, old && old->kind == VALUE_OBJECT ? old : NULL, path);
}

// What creates, updates and updates of a subresource have in common.
static void validate_whole(FieldErrors *errors, const Resource *resource, const Value *object,
                           const Value *old) {
    if (resource->stored)
        schema_validate_metadata(errors, resource, object, old);
    validate_object(errors, resource->type, object, old, NULL);
    if (resource->rules && resource->rules->validate)
        resource->rules->validate(errors, object);
}

const SubresourceRules *schema_subresource_rules(const Resource *resource, Str subresource) {
    const ResourceRules *rules = resource->rules;
    for (size_t i = 0; rules && i < rules->n_subresources; i++)
        if (str_eq(rules->subresources[i].name, subresource))
            return &rules->subresources[i];
    return NULL;
}

void schema_validate_subresource(FieldErrors *errors, const Resource *resource,
                                 const SubresourceRules *rules, const Value *object,
                                 const Value *old) {
    validate_whole(errors, resource, object, old);
    rules->validate_update(errors, object, old);
}

void schema_validate(FieldErrors *errors, const Resource *resource, const Value *object,
                     const Value *old) {
    const ResourceRules *rules = resource->rules;
    validate_whole(errors, resource, object, old);
    if (!rules)
        return;
    if (!old && rules->validate_create)
        rules->validate_create(errors, object);
    if (old && rules->validate_update)
        rules->validate_update(errors, object, old);
}
