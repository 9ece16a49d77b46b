// Definitions of custom kinds, from the schemas in their CustomResourceDefinitions:
// apiextensions-apiserver's pkg/controller/openapi/builder, and for version 2, whose readers know
// less, pkg/controller/openapi/v2/conversion.go.

#include "api/openapi_build.h"
#include "kinds/kinds.h"
#include "schema/structural.h"

static bool is_true(const Value *schema, const char *name) {
    return value_bool_at(schema, name, false);
}

static bool is_one_of(Str key, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(key, str_from(names[i])))
            return true;
    return false;
}

static Value *convert(OpenapiBuild *build, const Value *source);

static Value *convert_all(OpenapiBuild *build, const Value *source) {
    Value *made = source->kind == VALUE_ARRAY ? value_new_array(build->arena)
                                              : value_new_object(build->arena);
    for (uint32_t i = 0; i < source->n; i++) {
        if (source->kind == VALUE_ARRAY)
            value_push(build->arena, made, convert(build, source->items[i]));
        else
            value_set(build->arena, made, source->members[i].key,
                      convert(build, source->members[i].value));
    }
    return made;
}

// Members that version 2 has no word for, or whose meaning kubectl gets wrong there.
static bool is_dropped_in_v2(const Value *source, Str key) {
    static const char *const never[] = {"allOf", "oneOf", "anyOf", "not", "nullable"};
    static const char *const untyped[] = {"type", "items", "properties"};
    bool nullable = is_true(source, "nullable");
    bool preserve = is_true(source, "x-kubernetes-preserve-unknown-fields");
    if (is_one_of(key, never, 5))
        return true;
    if (!is_one_of(key, untyped, 3))
        return false;
    if (!str_eq(key, STR("type")))
        return nullable || preserve;
    Str type = value_string_at(source, "type");
    bool array = str_eq(type, STR("array")), object = str_eq(type, STR("object"));
    return nullable || (preserve && (array || object)) ||
           (array && !value_get(source, STR("items")));
}

// Members that may be null are not required there.
static Value *required_in_v2(OpenapiBuild *build, const Value *source, const Value *required) {
    Value *kept = value_new_array(build->arena);
    const Value *properties = value_get(source, STR("properties"));
    for (uint32_t i = 0; required->kind == VALUE_ARRAY && i < required->n; i++)
        if (!is_true(value_get(properties, required->items[i]->string), "nullable"))
            value_push(build->arena, kept, required->items[i]);
    return kept->n ? kept : NULL;
}

static void add_meta(OpenapiBuild *build, Value *schema, bool required) {
    static const char *const texts[][2] = {
        {"apiVersion", "The version of the API that the object is of."},
        {"kind", "What the object is."}};
    Arena *arena = build->arena;
    Value *properties = value_at_make(arena, schema, "properties");
    Value *names = value_get(schema, STR("required"));
    for (size_t i = 0; i < 2; i++) {
        Value *property = value_new_object(arena);
        value_set_str(arena, property, STR("type"), STR("string"));
        value_set_str(arena, property, STR("description"), str_from(texts[i][1]));
        value_set(arena, properties, str_from(texts[i][0]), property);
    }
    value_set(arena, properties, STR("metadata"),
              openapi_reference_with(build, kinds_type_ObjectMeta(),
                                     STR("Name, labels and other data about the object.")));
    if (!required)
        return;
    Value *all = names ? value_copy(arena, names) : value_new_array(arena);
    for (size_t i = 0; i < 2; i++) {
        bool there = false;
        for (uint32_t j = 0; j < all->n && !there; j++)
            there = str_eq(all->items[j]->string, str_from(texts[i][0]));
        if (!there)
            value_push(arena, all, value_new_string(arena, str_from(texts[i][0])));
    }
    value_set(arena, schema, STR("required"), all);
}

static Value *convert(OpenapiBuild *build, const Value *source) {
    static const char *const schemas[] = {"properties", "allOf", "oneOf", "anyOf"};
    static const char *const single[] = {"items", "not", "additionalProperties"};
    if (source->kind != VALUE_OBJECT)
        return (Value *)source;
    Arena *arena = build->arena;
    Value *made = value_new_object(arena);
    for (uint32_t i = 0; i < source->n; i++) {
        Str key = source->members[i].key;
        Value *value = source->members[i].value;
        if (!build->v3 && is_dropped_in_v2(source, key))
            continue;
        if (is_one_of(key, schemas, 4))
            value = convert_all(build, value);
        else if (is_one_of(key, single, 3))
            value = convert(build, value);
        else if (!build->v3 && str_eq(key, STR("required")))
            value = required_in_v2(build, source, value);
        if (value)
            value_set(arena, made, key, value);
    }
    bool closed = build->v3 || !is_true(source, "x-kubernetes-preserve-unknown-fields");
    if (is_true(source, "x-kubernetes-embedded-resource") && closed)
        add_meta(build, made, true);
    return made;
}

// The version's part of the definition as it is now; NULL when that has no such version any more.
static const Value *version_of(OpenapiBuild *build, const CustomType *custom) {
    Value *tree;
    ParseError error;
    if (value_parse_json(build->arena, *custom->definition, NULL, &tree, &error) != 0)
        return NULL;
    const Value *versions = value_at(tree, "spec.versions");
    for (uint32_t i = 0; versions && versions->kind == VALUE_ARRAY && i < versions->n; i++)
        if (str_eq(value_string_at(versions->items[i], "name"), custom->version))
            return versions->items[i];
    return NULL;
}

Value *openapi_custom_schema(OpenapiBuild *build, const Type *type) {
    Arena *arena = build->arena;
    const Value *version = version_of(build, type->custom);
    const Value *source = value_at(version, "schema.openAPIV3Schema");
    // In version 2 kubectl would refuse whatever a root that keeps everything does not name.
    bool open = !build->v3 && is_true(source, "x-kubernetes-preserve-unknown-fields");
    Value *made = value_new_object(arena);
    if (!source || open) {
        value_set_str(arena, made, STR("type"), STR("object"));
    } else {
        made = convert(build, source);
        add_meta(build, made, false);
    }
    const Value *fields = value_get(version, STR("selectableFields"));
    Value *shown = value_new_array(arena);
    for (uint32_t i = 0; fields && fields->kind == VALUE_ARRAY && i < fields->n; i++) {
        Value *entry = value_new_object(arena);
        Str path = value_string_at(fields->items[i], "jsonPath");
        value_set_str(arena, entry, STR("fieldPath"),
                      path.len ? str_slice(path, 1, path.len) : path);
        value_push(arena, shown, entry);
    }
    if (shown->n)
        value_set(arena, made, STR("x-kubernetes-selectable-fields"), shown);
    return made;
}

const Type *openapi_custom_list(OpenapiBuild *build, const Resource *resource) {
    Arena *arena = build->arena;
    Str name = resource->type->openapi_name;
    ptrdiff_t dot = str_find_last(name, '.');
    Field *fields = arena_array_of(arena, Field, 3);
    fields[0] = resource->type->fields[0];
    fields[1] = (Field){.name = STR("metadata"),
                        .doc = "Version of the list, and where the next page begins.",
                        .kind = FIELD_OBJECT};
    fields[1].type = kinds_type_ListMeta();
    fields[2] = (Field){.name = STR("items"),
                        .doc = "The objects.",
                        .kind = FIELD_OBJECT,
                        .shape = SHAPE_LIST,
                        .flags = FIELD_SCHEMA_REQUIRED};
    fields[2].type = resource->type;
    Type *list = arena_new_of(arena, Type);
    *list = (Type){
        .name = resource->list_kind,
        .openapi_name = arena_printf(arena, "%.*s.%.*s", STR_ARG(str_slice(name, 0, (size_t)dot)),
                                     STR_ARG(resource->list_kind)),
        .doc = arena_printf(arena, "A list of objects of kind %.*s.", STR_ARG(resource->kind)).ptr,
        .fields = fields,
        .n_fields = 3};
    return list;
}
