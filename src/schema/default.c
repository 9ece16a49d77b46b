// What the server fills in where a client said nothing.

#include <assert.h>

#include "schema/structural.h"

static void default_object(Arena *arena, const Type *type, Value *object,
                           const ResourceRules *root);

// A default's JSON; the common forms without the parser.
static Value *parse_default(Arena *arena, Str json) {
    Value *value;
    ParseError error;
    if (json.len >= 2 && json.ptr[0] == '"' && !memchr(json.ptr, '\\', json.len))
        return value_new_string(arena, str_slice(json, 1, json.len - 1));
    int r = value_parse_json(arena, json, NULL, &value, &error);
    assert(!r); // checked when the table was made
    return value;
}

// "" and 0 of a plain field that is always written mean absent.
static bool is_absent(const Field *field, const Value *given) {
    if (!given || field->flags & FIELD_POINTER)
        return !given;
    return (given->kind == VALUE_STRING && !given->string.len) ||
           (given->kind == VALUE_INT && !given->integer && field->flags & FIELD_ALWAYS);
}

static void default_members(Arena *arena, const Type *type, Value *object) {
    for (uint16_t i = 0; i < type->n_fields; i++) {
        const Field *field = &type->fields[i];
        if (field->flags & FIELD_INLINE)
            default_members(arena, field->type, object);
        else if (field->default_json.ptr) {
            if (is_absent(field, value_get(object, field->name)))
                value_set(arena, object, field->name, parse_default(arena, field->default_json));
        }
    }
}

static void call_type_rules(Arena *arena, const Type *type, Value *object) {
    if (type->rules && type->rules->default_fn)
        type->rules->default_fn(arena, object);
    for (uint16_t i = 0; i < type->n_fields; i++)
        if (type->fields[i].flags & FIELD_INLINE)
            call_type_rules(arena, type->fields[i].type, object);
}

static void default_field(Arena *arena, const Field *field, Value *value) {
    if (field->shape == SHAPE_ONE) {
        if (value->kind == VALUE_OBJECT)
            default_object(arena, field->type, value, NULL);
    } else if (value->kind == VALUE_ARRAY) {
        for (uint32_t i = 0; i < value->n; i++)
            if (value->items[i]->kind == VALUE_OBJECT)
                default_object(arena, field->type, value->items[i], NULL);
    } else if (value->kind == VALUE_OBJECT) {
        for (uint32_t i = 0; i < value->n; i++)
            if (value->members[i].value->kind == VALUE_OBJECT)
                default_object(arena, field->type, value->members[i].value, NULL);
    }
}

static void default_children(Arena *arena, const Type *type, Value *object) {
    for (uint16_t i = 0; i < type->n_fields; i++) {
        const Field *field = &type->fields[i];
        if (field->kind != FIELD_OBJECT)
            continue;
        if (field->flags & FIELD_INLINE) {
            default_children(arena, field->type, object);
            continue;
        }
        Value *value = value_get(object, field->name);
        if (value)
            default_field(arena, field, value);
    }
}

static void default_object(Arena *arena, const Type *type, Value *object,
                           const ResourceRules *root) {
    default_members(arena, type, object);
    if (type->custom)
        structural_default(arena, type->custom->schema, object);
    if (root && root->default_fn)
        root->default_fn(arena, object);
    call_type_rules(arena, type, object);
    default_children(arena, type, object);
}

void schema_default(Arena *arena, const Resource *resource, Value *object) {
    assert(object->kind == VALUE_OBJECT);
    default_object(arena, resource->type, object, resource->rules);
}

void schema_default_type(Arena *arena, const Type *type, Value *object) {
    assert(object->kind == VALUE_OBJECT);
    default_object(arena, type, object, NULL);
}
