// What may stand in an openAPIV3Schema: ValidateCustomResourceDefinitionOpenAPISchema.

#include "kinds/custom_resource.h"
#include "kinds/tree.h"

typedef struct Place { // of a schema inside the whole
    bool root, in_meta;
    const char *no_default; // why a default may not stand here; NULL: it may
} Place;

static void check(FieldErrors *errors, const Value *schema, const Path *path, Place place);

static bool has(const Value *schema, const char *name) {
    return value_get(schema, str_from(name)) != NULL;
}

static bool is_true(const Value *schema, const char *name) {
    return value_bool_at(schema, name, false);
}

static Str text(const Value *schema, const char *name) {
    return tree_string(value_get(schema, str_from(name)));
}

#define AT(name) PATH(path, str_from(name))

// ---- what is not supported

static void check_unsupported(FieldErrors *errors, const Value *schema, const Path *path,
                              Place place) {
    static const Str types[] = {{"array", 5},  {"boolean", 7}, {"integer", 7},
                                {"number", 6}, {"object", 6},  {"string", 6}};
    static const char *const never[] = {"id",          "additionalItems", "patternProperties",
                                        "definitions", "dependencies",    "$ref"};
    Str type = text(schema, "type");
    bool known = !type.len;
    for (size_t i = 0; i < 6; i++)
        known = known || str_eq(type, types[i]);
    if (!known)
        field_not_supported(errors, AT("type"), type, types, 6);
    if (has(schema, "default") && place.no_default)
        field_forbidden(errors, AT("default"),
                        arena_printf(errors->arena, "must not be set %s", place.no_default).ptr);
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (has(schema, never[i]))
            field_forbidden(errors, AT(never[i]),
                            arena_printf(errors->arena, "%.*s is not supported",
                                         STR_ARG(str_from(never[i])))
                                .ptr);
    if (str_eq(type, STR("null")))
        field_forbidden(errors, AT("type"),
                        "type cannot be set to null, use nullable as an alternative");
    const Value *items = value_get(schema, STR("items"));
    if (items && items->kind == VALUE_ARRAY && items->n)
        field_forbidden(errors, AT("items"), "items must be a schema object and not an array");
    if (place.in_meta && is_true(schema, "x-kubernetes-embedded-resource"))
        field_forbidden(errors, AT("x-kubernetes-embedded-resource"),
                        "must not be used inside of resource meta");
    if (is_true(schema, "uniqueItems"))
        field_forbidden(
            errors, AT("uniqueItems"),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
}

// ---- lists and maps

static void check_type_for(FieldErrors *errors, const Value *schema, const char *wanted,
                           const char *extension, const Path *path) {
    Str type = text(schema, "type");
    const char *detail =
        arena_printf(errors->arena, "must be %s if %s is specified", wanted, extension).ptr;
    if (!type.len)
        field_required(errors, AT("type"), detail);
    else
        field_invalid(errors, AT("type"), type, detail);
}

static void check_set_items(FieldErrors *errors, const Value *items, const Path *path) {
    static const char detail[] = "must be atomic as item of a list with x-kubernetes-list-type=set";
    Str type = text(items, "type"), list = text(items, "x-kubernetes-list-type");
    const Value *given = value_get(items, STR("x-kubernetes-list-type"));
    if (str_eq(type, STR("array")) && given && !str_eq(list, STR("atomic")))
        field_invalid_value(errors, AT("x-kubernetes-list-type"), given, detail);
    if (str_eq(type, STR("object")) && !str_eq(text(items, "x-kubernetes-map-type"), STR("atomic")))
        field_invalid_value(errors, AT("x-kubernetes-map-type"), given, detail);
}

static bool lists(const Value *names, Str name) {
    for (uint32_t i = 0; names && names->kind == VALUE_ARRAY && i < names->n; i++)
        if (str_eq(tree_string(names->items[i]), name))
            return true;
    return false;
}

static void check_key(FieldErrors *errors, const Value *items, Str key, const Value *keys,
                      const Path *path) {
    const Value *property = value_get(value_get(items, STR("properties")), key);
    if (!property) {
        field_invalid_value(errors, AT("x-kubernetes-list-map-keys"), keys,
                            "entries must all be names of item properties");
        return;
    }
    const Path *at = PATH_KEY(PATH(PATH(path, STR("items")), STR("properties")), key);
    Str type = text(property, "type");
    if (str_eq(type, STR("array")) || str_eq(type, STR("object")))
        field_invalid(errors, PATH(at, STR("type")), text(items, "type"),
                      "must be a scalar type if parent array's x-kubernetes-list-type is map");
    if (!lists(value_get(items, STR("required")), key) && !has(property, "default"))
        field_required(errors, PATH(at, STR("default")),
                       "this property is in x-kubernetes-list-map-keys, so it must have a default "
                       "or be a required property");
    if (is_true(property, "nullable"))
        field_forbidden(errors, PATH(at, STR("nullable")),
                        "this property is in x-kubernetes-list-map-keys, so it cannot be nullable");
}

static void check_list_map(FieldErrors *errors, const Value *schema, const Path *path) {
    const Value *keys = value_get(schema, STR("x-kubernetes-list-map-keys"));
    const Value *items = value_get(schema, STR("items"));
    uint32_t n = keys && keys->kind == VALUE_ARRAY ? keys->n : 0;
    if (!n)
        field_required(errors, AT("x-kubernetes-list-map-keys"),
                       "must not be empty if x-kubernetes-list-type is map");
    if (!items) {
        field_required(errors, AT("items"), "must have a schema if x-kubernetes-list-type is map");
        return;
    }
    if (items->kind != VALUE_OBJECT)
        return;
    Str type = text(items, "type");
    if (!str_eq(type, STR("object"))) {
        field_invalid(errors, PATH(AT("items"), STR("type")), type,
                      "must be object if parent array's x-kubernetes-list-type is map");
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        Str key = tree_string(keys->items[i]);
        check_key(errors, items, key, keys, path);
        for (uint32_t j = 0; j < i; j++)
            if (str_eq(tree_string(keys->items[j]), key))
                field_invalid_value(errors, AT("x-kubernetes-list-map-keys"), keys,
                                    "must not contain duplicate entries");
    }
}

static void check_list_type(FieldErrors *errors, const Value *schema, const Path *path) {
    static const Str types[] = {{"atomic", 6}, {"set", 3}, {"map", 3}};
    Str type = text(schema, "x-kubernetes-list-type");
    const Value *items = value_get(schema, STR("items"));
    bool set = str_eq(type, STR("set")), map = str_eq(type, STR("map"));
    bool given = has(schema, "x-kubernetes-list-type");
    if (given && !str_eq(text(schema, "type"), STR("array")))
        check_type_for(errors, schema, "array", "x-kubernetes-list-type", path);
    else if (set && items && items->kind == VALUE_OBJECT)
        check_set_items(errors, items, AT("items"));
    if (given && !set && !map && !str_eq(type, STR("atomic")))
        field_not_supported(errors, AT("x-kubernetes-list-type"), type, types, 3);
    if (tree_count(schema, "x-kubernetes-list-map-keys") && !map) {
        static const char detail[] = "must be map if x-kubernetes-list-map-keys is non-empty";
        if (!given)
            field_required(errors, AT("x-kubernetes-list-type"), detail);
        else
            field_invalid(errors, AT("x-kubernetes-list-type"), type, detail);
    }
    if (map)
        check_list_map(errors, schema, path);
    if ((set || map) && is_true(items, "nullable"))
        field_forbidden(errors, PATH(AT("items"), STR("nullable")),
                        arena_printf(errors->arena,
                                     "cannot be nullable when x-kubernetes-list-type is %.*s",
                                     STR_ARG(type))
                            .ptr);
}

static void check_extensions(FieldErrors *errors, const Value *schema, const Path *path) {
    static const Str map_types[] = {{"atomic", 6}, {"granular", 8}};
    const Value *preserve = value_get(schema, STR("x-kubernetes-preserve-unknown-fields"));
    if (preserve && preserve->kind == VALUE_BOOL && !preserve->boolean)
        field_invalid_value(errors, AT("x-kubernetes-preserve-unknown-fields"), preserve,
                            "must be true or undefined");
    Str map_type = text(schema, "x-kubernetes-map-type");
    if (has(schema, "x-kubernetes-map-type") && !str_eq(text(schema, "type"), STR("object")))
        check_type_for(errors, schema, "object", "x-kubernetes-map-type", path);
    if (has(schema, "x-kubernetes-map-type") && !str_eq(map_type, map_types[0]) &&
        !str_eq(map_type, map_types[1]))
        field_not_supported(errors, AT("x-kubernetes-map-type"), map_type, map_types, 2);
    check_list_type(errors, schema, path);
}

// Rules in CEL are not enforced, but what is plainly wrong with them is said.
static void check_rules(FieldErrors *errors, const Value *schema, const Path *path) {
    for (uint32_t i = 0; i < tree_count(schema, "x-kubernetes-validations"); i++) {
        const Value *rule = tree_item(schema, "x-kubernetes-validations", i);
        const Path *at = PATH_INDEX(AT("x-kubernetes-validations"), i);
        Str expression = str_trim(text(rule, "rule")), message = str_trim(text(rule, "message"));
        if (!expression.len)
            field_required(errors, PATH(at, STR("rule")), "rule is not specified");
        else if (text(rule, "message").len && !message.len)
            field_invalid(errors, PATH(at, STR("message")), text(rule, "message"),
                          "must be non-empty if specified");
        else if (str_find(message, '\n') >= 0)
            field_invalid(errors, PATH(at, STR("message")), text(rule, "message"),
                          "must not contain line breaks");
        else if (str_find(expression, '\n') >= 0 && !message.len)
            field_required(errors, PATH(at, STR("message")),
                           "message must be specified if rule contains line breaks");
    }
}

// ---- what stands below

static bool is_meta(Str name) {
    return str_eq(name, STR("metadata")) || str_eq(name, STR("kind")) ||
           str_eq(name, STR("apiVersion"));
}

static void check_properties(FieldErrors *errors, const Value *schema, const Path *path,
                             Place place) {
    const Value *properties = value_get(schema, STR("properties"));
    const Value *additional = value_get(schema, STR("additionalProperties"));
    Place below = {.in_meta = place.in_meta, .no_default = place.no_default};
    if (additional) {
        bool just_true = additional->kind == VALUE_BOOL && additional->boolean;
        if (properties && properties->n && !just_true)
            field_forbidden(errors, AT("additionalProperties"),
                            "additionalProperties and properties are mutual exclusive");
        Place inside = below;
        if (place.in_meta)
            inside.no_default = "inside additionalProperties applying to object metadata";
        if (additional->kind == VALUE_OBJECT)
            check(errors, additional, AT("additionalProperties"), inside);
    }
    bool resource = place.root || is_true(schema, "x-kubernetes-embedded-resource");
    for (uint32_t i = 0; properties && properties->kind == VALUE_OBJECT && i < properties->n; i++) {
        const Member *member = &properties->members[i];
        Place inside = below;
        if (resource && is_meta(member->key)) {
            inside.in_meta = true;
            if (place.root)
                inside.no_default =
                    arena_printf(errors->arena, "in top-level %.*s", STR_ARG(member->key)).ptr;
        }
        if (member->value->kind == VALUE_OBJECT)
            check(errors, member->value, PATH_KEY(AT("properties"), member->key), inside);
    }
}

static void check(FieldErrors *errors, const Value *schema, const Path *path, Place place) {
    static const char *const alternatives[] = {"allOf", "oneOf", "anyOf"};
    Place below = {.in_meta = place.in_meta, .no_default = place.no_default};
    check_unsupported(errors, schema, path, place);
    check_properties(errors, schema, path, place);
    const Value *not = value_get(schema, STR("not")), *items = value_get(schema, STR("items"));
    if (not &&not ->kind == VALUE_OBJECT)
        check(errors, not, AT("not"), below);
    for (size_t i = 0; i < 3; i++) {
        for (uint32_t j = 0; j < tree_count(schema, alternatives[i]); j++) {
            const Value *one = tree_item(schema, alternatives[i], j);
            if (one && one->kind == VALUE_OBJECT)
                check(errors, one, PATH_INDEX(AT(alternatives[i]), j), below);
        }
    }
    if (items && items->kind == VALUE_OBJECT)
        check(errors, items, AT("items"), below);
    check_extensions(errors, schema, path);
    check_rules(errors, schema, path);
}

void crd_check_schema(FieldErrors *errors, const Value *schema, const Path *path) {
    check(errors, schema, path, (Place){.root = true});
}

void crd_each_schema(const Value *schema, void (*fn)(void *user, const Value *schema), void *user) {
    static const char *const lists_of[] = {"allOf", "oneOf", "anyOf"};
    static const char *const single[] = {"not", "items", "additionalProperties"};
    if (!schema || schema->kind != VALUE_OBJECT)
        return;
    fn(user, schema);
    for (size_t i = 0; i < 3; i++) {
        crd_each_schema(value_get(schema, str_from(single[i])), fn, user);
        for (uint32_t j = 0; j < tree_count(schema, lists_of[i]); j++)
            crd_each_schema(tree_item(schema, lists_of[i], j), fn, user);
    }
    const Value *properties = value_get(schema, STR("properties"));
    for (uint32_t i = 0; properties && properties->kind == VALUE_OBJECT && i < properties->n; i++)
        crd_each_schema(properties->members[i].value, fn, user);
}
