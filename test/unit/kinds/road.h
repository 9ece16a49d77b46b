#pragma once
// Takes an object along the API server's road: normal form, defaults, preparation, validation.
// JSON in tests is written with ' for ", which is easier on the eyes.

#include <stdio.h>

#include "kinds/kinds.h"
#include "schema/check.h"

static inline Value *road_parse(Arena *arena, const char *json) {
    char *text = arena_cstr(arena, str_from(json));
    for (char *c = text; *c; c++)
        if (*c == '\'')
            *c = '"';
    Value *value = NULL;
    ParseError error;
    if (value_parse_json(arena, str_from(text), NULL, &value, &error))
        fail_msg("%s: %.*s", text, STR_ARG(error.message));
    return value;
}

// "path: message" lines; "" when there are none.
static inline const char *road_problems(const FieldErrors *errors) {
    Str text = STR("");
    for (size_t i = 0; i < errors->n; i++)
        text = arena_printf(errors->arena, "%.*s%.*s: %.*s\n", STR_ARG(text),
                            STR_ARG(errors->items[i].path), STR_ARG(errors->items[i].message));
    return arena_cstr(errors->arena, text);
}

static inline Value *road_prepare(Arena *arena, const Resource *resource, const char *json,
                                  const Value *old) {
    Value *object = road_parse(arena, json);
    Str message;
    Value *metadata = value_at_make(arena, object, "metadata");
    if (resource->stored && !value_get(metadata, STR("name")))
        value_set_str(arena, metadata, STR("name"), STR("n"));
    if (resource->stored && resource->namespaced && !value_get(metadata, STR("namespace")))
        value_set_str(arena, metadata, STR("namespace"), STR("default"));
    if (old)
        value_set_str(arena, metadata, STR("resourceVersion"), STR("1"));
    if (schema_normalize(arena, resource->type, object, NULL, &message))
        fail_msg("%s: %.*s", json, STR_ARG(message));
    schema_default(arena, resource, object);
    if (resource->rules && resource->rules->prepare)
        resource->rules->prepare(arena, object, old);
    return object;
}

// What is wrong with a new object. *ret (may be NULL) gets it as it would be stored.
static inline const char *road_create(Arena *arena, const Resource *resource, const char *json,
                                      Value **ret) {
    FieldErrors errors = {.arena = arena};
    Value *object = road_prepare(arena, resource, json, NULL);
    schema_validate(&errors, resource, object, NULL);
    if (ret)
        *ret = object;
    return road_problems(&errors);
}

// What is wrong with replacing the first, which must be good, by the second.
static inline const char *road_update(Arena *arena, const Resource *resource, const char *old_json,
                                      const char *json, Value **ret) {
    FieldErrors errors = {.arena = arena};
    Value *old;
    assert_string_equal(road_create(arena, resource, old_json, &old), "");
    Value *object = road_prepare(arena, resource, json, old);
    schema_validate(&errors, resource, object, old);
    if (ret)
        *ret = object;
    return road_problems(&errors);
}

static inline void road_assert_json(Arena *arena, const Value *value, const char *json) {
    if (value_equal(value, road_parse(arena, json)))
        return;
    _buf_deinit_ Buf buf = BUF_INIT(1 << 20);
    if (value)
        value_write_json(value, &buf);
    fail_msg("%.*s is not %s", STR_ARG(buf_view(&buf)), json);
}
