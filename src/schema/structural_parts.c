// What stands in parts of a custom object and is no value validation: apiextensions-apiserver's
// pkg/apiserver/schema/listtype and objectmeta.

#include "base/map.h"
#include "schema/format.h"
#include "schema/structural.h"

// ---- sets and list-maps

// What tells an item apart: itself, or an object of its keys. Null stands for no keys at all.
static Value *identity(Arena *arena, const Schema *schema, Value *item) {
    if (schema->list_type == LIST_SET)
        return item;
    Value *keys = value_new_object(arena);
    for (size_t i = 0; i < schema->n_keys; i++) {
        Value *key = value_get(item, schema->keys[i]);
        if (key)
            value_set(arena, keys, schema->keys[i], key);
    }
    return keys;
}

static void check_unique(FieldErrors *errors, const Schema *schema, const Value *list,
                         const Path *path) {
    if (schema->list_type == LIST_MAP) {
        for (uint32_t i = 0; i < list->n; i++) {
            if (list->items[i]->kind == VALUE_OBJECT || list->items[i]->kind == VALUE_NULL)
                continue;
            field_invalid_value(errors, PATH_INDEX(path, i), list->items[i],
                                "must be an object for an array of list-type map");
            return;
        }
    }
    _map_free_ Map *seen = map_new();
    _buf_deinit_ Buf buf = BUF_INIT(VALUE_MAX_BYTES * 2);
    for (uint32_t i = 0; i < list->n; i++) {
        Value *is = identity(errors->arena, schema, list->items[i]);
        buf.len = 0;
        value_write_json(is, &buf);
        size_t times = (size_t)map_put(seen, buf_view(&buf), (void *)1);
        if (times == 1) // told of once, however often it comes
            field_duplicate_value(errors, PATH_INDEX(path, i), is);
        if (times)
            map_put(seen, buf_view(&buf), (void *)2);
    }
}

void structural_validate_lists(FieldErrors *errors, const Schema *schema, const Value *value,
                               const Path *path) {
    if (!schema)
        return;
    if (value->kind == VALUE_ARRAY) {
        if (schema->list_type != LIST_ATOMIC && (value->n > 1 || schema->list_type == LIST_MAP))
            check_unique(errors, schema, value, path);
        for (uint32_t i = 0; i < value->n; i++)
            structural_validate_lists(errors, schema->items, value->items[i], PATH_INDEX(path, i));
    }
    if (value->kind != VALUE_OBJECT)
        return;
    for (uint32_t i = 0; i < value->n; i++) {
        const Member *member = &value->members[i];
        const Schema *inner = schema_property(schema, member->key);
        if (inner)
            structural_validate_lists(errors, inner, member->value, PATH(path, member->key));
        else
            structural_validate_lists(errors, schema->additional, member->value,
                                      PATH_KEY(path, member->key));
    }
}

// ---- embedded resources

static void check_text(FieldErrors *errors, const Value *object, Str key, const Path *path) {
    const Value *value = value_get(object, key);
    const Path *at = PATH(path, key);
    if (!value) {
        field_required(errors, at, "");
    } else if (value->kind != VALUE_STRING) {
        field_invalid_value(errors, at, value, "must be a string");
    } else if (!value->string.len) {
        field_invalid(errors, at, value->string, "must not be empty");
    } else if (str_eq(key, STR("kind"))) {
        char *lower = arena_cstr(errors->arena, value->string);
        for (char *c = lower; *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c |= 0x20;
        FormatProblems problems =
            format_check(errors->arena, FORMAT_DNS_LABEL_1035, str_of(lower, value->string.len));
        if (problems.n)
            field_invalid(errors, at, value->string,
                          arena_printf(errors->arena,
                                       "may have mixed case, but should otherwise match: %.*s",
                                       STR_ARG(problems.messages[0]))
                              .ptr);
    } else {
        Str rest = value->string;
        str_cut(&rest, '/');
        if (rest.ptr && str_find(rest, '/') >= 0)
            field_invalid(errors, at, value->string,
                          arena_printf(errors->arena, "unexpected GroupVersion string: %.*s",
                                       STR_ARG(value->string))
                              .ptr);
    }
}

static void check_metadata(FieldErrors *errors, const Value *metadata, const Path *path) {
    if (metadata->kind != VALUE_OBJECT) {
        field_invalid_value(errors, path, metadata, "must be an object");
        return;
    }
    Str name = value_string_at(metadata, "name");
    if (name.len)
        schema_check_format(errors, PATH(path, STR("name")), FORMAT_PATH_SEGMENT, name);
    Str namespace = value_string_at(metadata, "namespace");
    if (namespace.len)
        schema_check_format(errors, PATH(path, STR("namespace")), FORMAT_DNS_LABEL, namespace);
    schema_validate_labels(errors, value_get(metadata, STR("labels")), PATH(path, STR("labels")));
    schema_validate_annotations(errors, value_get(metadata, STR("annotations")),
                                PATH(path, STR("annotations")));
}

static void check_embedded(FieldErrors *errors, const Value *object, const Path *path) {
    check_text(errors, object, STR("apiVersion"), path);
    check_text(errors, object, STR("kind"), path);
    const Value *metadata = value_get(object, STR("metadata"));
    if (metadata)
        check_metadata(errors, metadata, PATH(path, STR("metadata")));
}

void structural_validate_embedded(FieldErrors *errors, const Schema *schema, const Value *value,
                                  const Path *path) {
    if (!schema)
        return;
    if (value->kind == VALUE_ARRAY) {
        for (uint32_t i = 0; i < value->n; i++)
            structural_validate_embedded(errors, schema->items, value->items[i],
                                         PATH_INDEX(path, i));
    }
    if (value->kind != VALUE_OBJECT)
        return;
    if (schema->flags & SCHEMA_EMBEDDED)
        check_embedded(errors, value, path);
    for (uint32_t i = 0; i < value->n; i++) {
        const Member *member = &value->members[i];
        const Schema *inner = schema_property(schema, member->key);
        if (inner)
            structural_validate_embedded(errors, inner, member->value, PATH(path, member->key));
        else
            structural_validate_embedded(errors, schema->additional, member->value,
                                         PATH_KEY(path, member->key));
    }
}
