// Secrets: ValidateSecret and the v1 conversion (stringData) upstream.

#include "kinds/config.h"
#include "kinds/rules.h"
#include "kinds/tree.h"
#include "schema/scalar.h"

// stringData is a way to write, never stored: it goes over data.
static void fold_string_data(Arena *arena, Value *secret) {
    Value *strings = value_get(secret, STR("stringData"));
    if (!strings)
        return;
    for (uint32_t i = 0; strings->kind == VALUE_OBJECT && i < strings->n; i++)
        value_set_str(arena, value_at_make(arena, secret, "data"),
                      arena_str(arena, strings->members[i].key),
                      scalar_encode_base64(arena, tree_string(strings->members[i].value)));
    value_unset(secret, STR("stringData"));
}

static void require(FieldErrors *errors, const Value *data, Str key) {
    if (!value_get(data, key))
        field_required(errors, PATH_KEY(PATH(NULL, STR("data")), key), "");
}

// The value must be a JSON object; what it says stays secret.
static void check_json(FieldErrors *errors, const Value *data, Str key) {
    const Path *path = PATH_KEY(PATH(NULL, STR("data")), key);
    const Value *encoded = value_get(data, key);
    if (!encoded) {
        field_required(errors, path, "");
        return;
    }
    Value *value;
    ParseError error = {.message = STR("unexpected end of JSON input")};
    size_t bad;
    Str text = scalar_decode_base64(errors->arena, tree_string(encoded), &bad);
    if (!text.len || value_parse_json(errors->arena, text, NULL, &value, &error) < 0) {
        field_invalid(errors, path, STR("<secret contents redacted>"),
                      arena_cstr(errors->arena, error.message));
    } else if (value->kind != VALUE_OBJECT && value->kind != VALUE_NULL) {
        static const char *const names[] = {"null",   "bool",  "number", "number",
                                            "string", "array", "object"};
        Str detail = arena_printf(errors->arena,
                                  "json: cannot unmarshal %s into Go value of type "
                                  "map[string]interface {}",
                                  names[value->kind]);
        field_invalid(errors, path, STR("<secret contents redacted>"), detail.ptr);
    }
}

static void validate_type(FieldErrors *errors, const Value *secret) {
    const Value *data = value_get(secret, STR("data"));
    Str type = value_string_at(secret, "type");
    if (str_eq(type, STR("kubernetes.io/service-account-token"))) {
        const Str key = STR("kubernetes.io/service-account.name");
        if (!tree_string(value_get(value_at(secret, "metadata.annotations"), key)).len)
            field_required(
                errors, PATH_KEY(PATH(PATH(NULL, STR("metadata")), STR("annotations")), key), "");
    } else if (str_eq(type, STR("kubernetes.io/dockercfg"))) {
        check_json(errors, data, STR(".dockercfg"));
    } else if (str_eq(type, STR("kubernetes.io/dockerconfigjson"))) {
        check_json(errors, data, STR(".dockerconfigjson"));
    } else if (str_eq(type, STR("kubernetes.io/basic-auth"))) {
        if (!value_get(data, STR("username")) && !value_get(data, STR("password"))) {
            require(errors, data, STR("username"));
            require(errors, data, STR("password"));
        }
    } else if (str_eq(type, STR("kubernetes.io/ssh-auth"))) {
        if (!tree_string(value_get(data, STR("ssh-privatekey"))).len)
            field_required(errors, PATH_KEY(PATH(NULL, STR("data")), STR("ssh-privatekey")), "");
    } else if (str_eq(type, STR("kubernetes.io/tls"))) {
        require(errors, data, STR("tls.crt"));
        require(errors, data, STR("tls.key"));
    }
}

static void validate(FieldErrors *errors, const Value *secret) {
    const Value *data = value_get(secret, STR("data"));
    const Path *path = PATH(NULL, STR("data"));
    config_check_keys(errors, data, path);
    if (config_size(data, true) > CONFIG_MAX_BYTES)
        field_too_long(errors, path, CONFIG_MAX_BYTES);
    validate_type(errors, secret);
}

static void prepare(Arena *arena, Value *secret, const Value *old) {
    fold_string_data(arena, secret);
}

static void validate_update(FieldErrors *errors, const Value *secret, const Value *old) {
    static const Str maps[] = {{"data", 4}};
    config_check_immutable(errors, secret, old, maps, 1);
}

const ResourceRules secret_rules = {
    .default_fn = fold_string_data,
    .prepare = prepare,
    .validate = validate,
    .validate_update = validate_update,
};
