#include "api/openapi_build.h"

#include <stdlib.h>

#define APIMACHINERY "io.k8s.apimachinery.pkg."

static Str reference_path(OpenapiBuild *build, Str name) {
    return arena_printf(build->arena, "%s%.*s",
                        build->v3 ? "#/components/schemas/" : "#/definitions/", STR_ARG(name));
}

static Value *reference_to(OpenapiBuild *build, Str name) {
    Value *schema = value_new_object(build->arena);
    value_set_str(build->arena, schema, STR("$ref"), reference_path(build, name));
    return schema;
}

static Value *simple(OpenapiBuild *build, Str type, Str format) {
    Value *schema = value_new_object(build->arena);
    value_set_str(build->arena, schema, STR("type"), type);
    if (format.len)
        value_set_str(build->arena, schema, STR("format"), format);
    return schema;
}

static void define(OpenapiBuild *build, Str name, Value *schema) {
    map_put(build->definitions, name, schema);
    value_set(build->arena, build->schemas, name, schema);
}

// Scalars that are types of their own upstream.
static Value *named_scalar(OpenapiBuild *build, Str name, Str format, const char *doc) {
    if (!map_get(build->definitions, name)) {
        Value *schema = simple(build, STR("string"), format);
        value_set_str(build->arena, schema, STR("description"), str_from(doc));
        define(build, name, schema);
    }
    return reference_to(build, name);
}

static Value *item_schema(OpenapiBuild *build, const Field *field) {
    switch ((FieldKind)field->kind) {
    case FIELD_STRING:
        return simple(build, STR("string"), STR_NONE);
    case FIELD_BOOL:
        return simple(build, STR("boolean"), STR_NONE);
    case FIELD_INT32:
        return simple(build, STR("integer"), STR("int32"));
    case FIELD_INT64:
        return simple(build, STR("integer"), STR("int64"));
    case FIELD_DOUBLE:
        return simple(build, STR("number"), STR("double"));
    case FIELD_BYTES:
        return simple(build, STR("string"), STR("byte"));
    case FIELD_QUANTITY:
        return named_scalar(build, STR(APIMACHINERY "api.resource.Quantity"), STR_NONE,
                            "A number with a unit suffix: 100m, 128Mi, 1e3.");
    case FIELD_INT_OR_STRING:
        return named_scalar(build, STR(APIMACHINERY "util.intstr.IntOrString"),
                            STR("int-or-string"), "A number or a string.");
    case FIELD_TIME:
        return named_scalar(build, STR(APIMACHINERY "apis.meta.v1.Time"), STR("date-time"),
                            "A time, RFC 3339.");
    case FIELD_MICRO_TIME:
        return named_scalar(build, STR(APIMACHINERY "apis.meta.v1.MicroTime"), STR("date-time"),
                            "A time with microseconds, RFC 3339.");
    case FIELD_DURATION:
        return named_scalar(build, STR(APIMACHINERY "apis.meta.v1.Duration"), STR_NONE,
                            "A span of time: 1h30m, 10s.");
    case FIELD_OBJECT:
        return openapi_reference(build, field->type);
    case FIELD_RAW:
        return field->flags & FIELD_ANY ? value_new_object(build->arena)
                                        : simple(build, STR("object"), STR_NONE);
    }
    return value_new_object(build->arena);
}

static void set_extensions(OpenapiBuild *build, const Field *field, Value *schema) {
    static const Str list_types[] = {
        [LIST_ATOMIC] = STR("atomic"), [LIST_SET] = STR("set"), [LIST_MAP] = STR("map")};
    Arena *arena = build->arena;
    if (field->shape == SHAPE_LIST) {
        value_set_str(arena, schema, STR("x-kubernetes-list-type"), list_types[field->list_type]);
        if (field->list_type == LIST_MAP) {
            Value *keys = value_new_array(arena);
            for (size_t i = 0; i < field->n_keys; i++)
                value_push(arena, keys, value_new_string(arena, field->keys[i]));
            value_set(arena, schema, STR("x-kubernetes-list-map-keys"), keys);
        }
    }
    if (field->flags & FIELD_MAP_ATOMIC)
        value_set_str(arena, schema, STR("x-kubernetes-map-type"), STR("atomic"));
    bool merge = field->flags & FIELD_PATCH_MERGE, retain = field->flags & FIELD_PATCH_RETAIN_KEYS;
    if (merge || retain)
        value_set_str(arena, schema, STR("x-kubernetes-patch-strategy"),
                      merge && retain ? STR("merge,retainKeys")
                      : merge         ? STR("merge")
                                      : STR("retainKeys"));
    if (field->patch_key.len)
        value_set_str(arena, schema, STR("x-kubernetes-patch-merge-key"), field->patch_key);
}

static void set_default(OpenapiBuild *build, const Field *field, Value *schema) {
    Value *value;
    ParseError error;
    if (build->v3 && field->default_json.len &&
        value_parse_json(build->arena, field->default_json, NULL, &value, &error) == 0)
        value_set(build->arena, schema, STR("default"), value);
}

static void set_enum(OpenapiBuild *build, const Field *field, Value *schema) {
    if (!build->v3 || !field->n_enum)
        return;
    Value *values = value_new_array(build->arena);
    for (size_t i = 0; i < field->n_enum; i++)
        value_push(build->arena, values, value_new_string(build->arena, field->enum_values[i]));
    value_set(build->arena, schema, STR("enum"), values);
}

// In version 3 nothing may stand beside a $ref, so it is wrapped; version 2 readers take a
// description beside it.
static Value *field_schema(OpenapiBuild *build, const Field *field) {
    Arena *arena = build->arena;
    Value *schema = item_schema(build, field);
    if (field->shape == SHAPE_ONE && build->v3 && value_get(schema, STR("$ref"))) {
        Value *wrapper = value_new_object(arena), *all = value_new_array(arena);
        value_push(arena, all, schema);
        value_set(arena, wrapper, STR("allOf"), all);
        schema = wrapper;
    }
    if (field->shape == SHAPE_ONE)
        set_enum(build, field, schema);
    if (field->shape != SHAPE_ONE) {
        Value *outer =
            simple(build, field->shape == SHAPE_LIST ? STR("array") : STR("object"), STR_NONE);
        value_set(arena, outer,
                  field->shape == SHAPE_LIST ? STR("items") : STR("additionalProperties"), schema);
        schema = outer;
    }
    value_set_str(arena, schema, STR("description"), str_from(field->doc ? field->doc : ""));
    set_default(build, field, schema);
    set_extensions(build, field, schema);
    return schema;
}

static void add_fields(OpenapiBuild *build, const Type *type, Value *properties, Value *required) {
    for (size_t i = 0; i < type->n_fields; i++) {
        const Field *field = &type->fields[i];
        if (field->flags & FIELD_INLINE) {
            add_fields(build, field->type, properties, required);
            continue;
        }
        value_set(build->arena, properties, field->name, field_schema(build, field));
        if (field->flags & FIELD_SCHEMA_REQUIRED)
            value_push(build->arena, required, value_new_string(build->arena, field->name));
    }
}

Value *openapi_reference_with(OpenapiBuild *build, const Type *type, Str description) {
    Arena *arena = build->arena;
    Value *schema = openapi_reference(build, type);
    if (build->v3) {
        Value *wrapper = value_new_object(arena), *all = value_new_array(arena);
        value_push(arena, all, schema);
        value_set(arena, wrapper, STR("allOf"), all);
        schema = wrapper;
    }
    value_set_str(arena, schema, STR("description"), description);
    return schema;
}

Value *openapi_reference(OpenapiBuild *build, const Type *type) {
    Arena *arena = build->arena;
    if (type->custom) {
        if (!map_get(build->definitions, type->openapi_name))
            define(build, type->openapi_name, openapi_custom_schema(build, type));
        return reference_to(build, type->openapi_name);
    }
    if (!map_get(build->definitions, type->openapi_name)) {
        Value *schema = simple(build, STR("object"), STR_NONE);
        define(build, type->openapi_name, schema); // first, since types may refer to themselves
        value_set_str(arena, schema, STR("description"), str_from(type->doc ? type->doc : ""));
        Value *properties = value_new_object(arena), *required = value_new_array(arena);
        add_fields(build, type, properties, required);
        if (properties->n)
            value_set(arena, schema, STR("properties"), properties);
        if (required->n)
            value_set(arena, schema, STR("required"), required);
        if (type->map_atomic)
            value_set_str(arena, schema, STR("x-kubernetes-map-type"), STR("atomic"));
    }
    return reference_to(build, type->openapi_name);
}

void openapi_add_kind(OpenapiBuild *build, const Type *type, Str group, Str version, Str kind) {
    Arena *arena = build->arena;
    openapi_reference(build, type);
    Value *schema = map_get(build->definitions, type->openapi_name);
    Value *list = value_get(schema, STR("x-kubernetes-group-version-kind"));
    if (!list) {
        list = value_new_array(arena);
        value_set(arena, schema, STR("x-kubernetes-group-version-kind"), list);
    }
    Value *entry = value_new_object(arena);
    value_set_str(arena, entry, STR("group"), group);
    value_set_str(arena, entry, STR("version"), version);
    value_set_str(arena, entry, STR("kind"), kind);
    for (uint32_t i = 0; i < list->n; i++)
        if (value_equal(list->items[i], entry))
            return;
    value_push(arena, list, entry);
}

static int compare_members(const void *a, const void *b) {
    return str_cmp(((const Member *)a)->key, ((const Member *)b)->key);
}

void openapi_sort(Value *object) {
    if (object->n)
        qsort(object->members, object->n, sizeof(Member), compare_members);
}
