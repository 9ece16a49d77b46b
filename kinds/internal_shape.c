// Upstream shows bad values of structs as JSON of its internal Go types, which have no JSON names:
// {"Type":"Localhost","LocalhostProfile":null}.

#include "kinds/pod.h"

// Names that Go spells otherwise than with a capital first letter.
static const struct {
    Str json, go;
} acronyms[] = {
    {{"ip", 2}, {"IP", 2}},
    {{"seLinuxOptions", 14}, {"SELinuxOptions", 14}},
    {{"runAsUserName", 13}, {"RunAsUserName", 13}},
    {{"gmsaCredentialSpec", 18}, {"GMSACredentialSpec", 18}},
    {{"gmsaCredentialSpecName", 22}, {"GMSACredentialSpecName", 22}},
};

static Str go_name(Arena *arena, Str json) {
    for (size_t i = 0; i < sizeof acronyms / sizeof *acronyms; i++)
        if (str_eq(json, acronyms[i].json))
            return acronyms[i].go;
    char *name = arena_cstr(arena, json);
    if (name[0] >= 'a' && name[0] <= 'z')
        name[0] &= ~0x20;
    return str_of(name, json.len);
}

static Value *zero(Arena *arena, const Field *field) {
    if ((field->flags & FIELD_POINTER) || field->shape != SHAPE_ONE)
        return value_new_null(arena);
    switch (field->kind) {
    case FIELD_STRING:
        return value_new_string(arena, STR(""));
    case FIELD_BOOL:
        return value_new_bool(arena, false);
    case FIELD_INT32:
    case FIELD_INT64:
        return value_new_int(arena, 0);
    case FIELD_OBJECT:
        return pod_internal_shape(arena, field->type, NULL);
    default:
        return value_new_null(arena);
    }
}

static Value *shape_field(Arena *arena, const Field *field, Value *value) {
    if (!value)
        return zero(arena, field);
    if (field->kind != FIELD_OBJECT)
        return value;
    if (field->shape == SHAPE_LIST)
        return pod_internal_shapes(arena, field->type, value);
    return field->shape == SHAPE_ONE ? pod_internal_shape(arena, field->type, value) : value;
}

Value *pod_internal_shape(Arena *arena, const Type *type, const Value *value) {
    // The types of the meta group are shown by their JSON names, upstream as well.
    if (value && str_starts_with(type->openapi_name, STR("io.k8s.apimachinery.")))
        return value_copy(arena, value);
    Value *shape = value_new_object(arena);
    for (uint16_t i = 0; i < type->n_fields; i++) {
        const Field *field = &type->fields[i];
        if (!(field->flags & FIELD_INLINE))
            value_set(arena, shape, go_name(arena, field->name),
                      shape_field(arena, field, value_get(value, field->name)));
    }
    return shape;
}

Value *pod_internal_shapes(Arena *arena, const Type *type, const Value *list) {
    Value *shapes = value_new_array(arena);
    for (uint32_t i = 0; i < list_count(list); i++)
        value_push(arena, shapes, pod_internal_shape(arena, type, list->items[i]));
    return shapes;
}

void pod_error_detail(FieldErrors *errors, size_t before, Str text) {
    if (errors->n == before) // there are too many errors already
        return;
    Str parts[] = {errors->items[before].message, text};
    errors->items[before].message = arena_concat(errors->arena, parts, 2, STR(": "));
}
