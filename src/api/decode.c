#include "api/decode.h"

#include <errno.h>

#include "schema/protobuf.h"

DecodeTarget decode_target(const Resource *resource) {
    return (DecodeTarget){resource->group, resource->version, resource->kind, resource->type};
}

static void push(Arena *arena, ValuePaths *paths, Str text) {
    paths->paths =
        arena_grow(arena, paths->paths, paths->n * sizeof(Str), (paths->n + 1) * sizeof(Str));
    paths->paths[paths->n++] = text;
}

#define MAX_STRICT_ERRORS 100

// An empty list resets managedFields as a list of one empty entry does (isResetManagedFields), and
// unlike other empty lists it must not get lost in the normal form.
static void keep_reset(Arena *arena, Value *tree) {
    Value *managed = value_at(tree, "metadata.managedFields");
    if (managed && managed->kind == VALUE_ARRAY && !managed->n)
        value_push(arena, managed, value_new_object(arena));
}

bool decode_normalize(Arena *arena, const Type *type, Value *tree, const ValuePaths *duplicates,
                      ValuePaths *ret_strict, Str *ret_message) {
    ValuePaths unknown = {0};
    keep_reset(arena, tree);
    if (schema_normalize(arena, type, tree, &unknown, ret_message) != 0)
        return false;
    for (size_t i = 0; duplicates && i < duplicates->n && ret_strict->n < MAX_STRICT_ERRORS; i++)
        push(arena, ret_strict,
             arena_printf(arena, "duplicate field \"%.*s\"", STR_ARG(duplicates->paths[i])));
    for (size_t i = 0; i < unknown.n && ret_strict->n < MAX_STRICT_ERRORS; i++)
        push(arena, ret_strict,
             arena_printf(arena, "unknown field \"%.*s\"", STR_ARG(unknown.paths[i])));
    return true;
}

Str decode_strict_message(Arena *arena, const ValuePaths *strict) {
    return arena_printf(arena, "strict decoding error: %.*s",
                        STR_ARG(arena_concat(arena, strict->paths, strict->n, STR(", "))));
}

// The first bytes of a body that could not be read, as upstream shows them.
static Str summary(Arena *arena, Str body) {
    if (!body.len)
        return STR("<empty>");
    Str shown = body.len > 30 ? str_slice(body, 0, 30) : body;
    const char *more = body.len > 30 ? " ..." : "";
    if (body.ptr[0] == '{')
        return arena_printf(arena, "%.*s%s", STR_ARG(shown), more);
    Buf buf = BUF_INIT(256);
    for (size_t i = 0; i < shown.len; i++)
        buf_printf(&buf, "%02x", (unsigned char)shown.ptr[i]);
    buf_str(&buf, str_from(more));
    Str text = arena_str(arena, buf_view(&buf));
    buf_deinit(&buf);
    return text;
}

static ApiStatus *unrecognized(ApiRequest *request, const DecodeTarget *target, Str why) {
    Arena *arena = request->arena;
    return status_bad_request(
        arena,
        arena_printf(
            arena, "the object provided is unrecognized (must be of type %.*s): %.*s (%.*s)",
            STR_ARG(target->kind), STR_ARG(why), STR_ARG(summary(arena, request->http->body))));
}

static ApiStatus *cannot_be_handled(Arena *arena, const DecodeTarget *target, Str kind, Str version,
                                    Str why) {
    return status_bad_request(
        arena, arena_printf(arena, "%.*s in version \"%.*s\" cannot be handled as a %.*s: %.*s",
                            STR_ARG(kind), STR_ARG(version), STR_ARG(target->kind), STR_ARG(why)));
}

static Str bare_version(Str api_version, Str *ret_group) {
    ptrdiff_t slash = str_find(api_version, '/');
    *ret_group = slash < 0 ? STR("") : str_slice(api_version, 0, (size_t)slash);
    return slash < 0 ? api_version : str_slice(api_version, (size_t)slash + 1, api_version.len);
}

// kind and apiVersion: filled in when missing, refused when they name something else.
static ApiStatus *check_kind(ApiRequest *request, const DecodeTarget *target, Value *tree) {
    Arena *arena = request->arena;
    static const char *const fields[] = {"apiVersion", "kind"};
    for (size_t i = 0; i < 2; i++) {
        const Value *value = value_get(tree, str_from(fields[i]));
        if (value && value->kind != VALUE_STRING && value->kind != VALUE_NULL)
            return unrecognized(
                request, target,
                arena_printf(arena,
                             "couldn't get version/kind; json parse error: json: cannot unmarshal "
                             "%s into Go struct field .%s of type string",
                             value->kind == VALUE_OBJECT  ? "object"
                             : value->kind == VALUE_ARRAY ? "array"
                             : value->kind == VALUE_BOOL  ? "bool"
                                                          : "number",
                             fields[i]));
    }
    Str kind = value_string_at(tree, "kind");
    Str api_version = value_string_at(tree, "apiVersion");
    Str expected = target->group.len ? arena_printf(arena, "%.*s/%.*s", STR_ARG(target->group),
                                                    STR_ARG(target->version))
                                     : target->version;
    if (!kind.len)
        kind = target->kind;
    if (!api_version.len)
        api_version = expected;
    if (!str_eq(kind, target->kind)) {
        Str group, version = bare_version(api_version, &group);
        return cannot_be_handled(
            arena, target, kind, version,
            arena_printf(arena, "no kind \"%.*s\" is registered for version \"%.*s\" here",
                         STR_ARG(kind), STR_ARG(api_version)));
    }
    if (!str_eq(api_version, expected))
        return status_bad_request(
            arena,
            arena_printf(
                arena,
                "the API version in the data (%.*s) does not match the expected API version (%.*s)",
                STR_ARG(api_version), STR_ARG(expected)));
    value_set_str(arena, tree, STR("kind"), target->kind);
    value_set_str(arena, tree, STR("apiVersion"), expected);
    return NULL;
}

// A message can only be read as what it is: of another kind than `type`, the tree says no more than
// the envelope does, which is enough to refuse it.
static int parse_protobuf(Arena *arena, Str body, const Type *type, Value **ret, Str *ret_message) {
    ProtobufEnvelope envelope;
    *ret = value_new_object(arena);
    int r = protobuf_open(arena, body, &envelope, ret_message);
    if (r != 0)
        return r;
    if (!envelope.kind.len || str_eq(envelope.kind, type->name))
        r = protobuf_decode(arena, type, envelope.raw, ret, ret_message);
    value_set_str(arena, *ret, STR("kind"), envelope.kind);
    value_set_str(arena, *ret, STR("apiVersion"), envelope.api_version);
    return r == -EBADMSG ? DECODE_E_OBJECT : r;
}

int decode_parse(ApiRequest *request, InputFormat format, const Type *type, ValuePaths *duplicates,
                 Value **ret, Str *ret_message) {
    Arena *arena = request->arena;
    Str body = request->http->body;
    ParseError error = {0};
    if (format == INPUT_PROTOBUF)
        return parse_protobuf(arena, body, type, ret, ret_message);
    int r = format == INPUT_YAML ? value_parse_yaml(arena, body, duplicates, ret, &error)
                                 : value_parse_json(arena, body, duplicates, ret, &error);
    *ret_message = error.message.ptr ? error.message : STR("the body is too large");
    if (r != 0 && format == INPUT_JSON)
        *ret_message = arena_printf(arena, "couldn't get version/kind; json parse error: %.*s",
                                    STR_ARG(error.message));
    return r;
}

static ApiStatus *parse(ApiRequest *request, const DecodeTarget *target, ValuePaths *duplicates,
                        Value **ret) {
    Arena *arena = request->arena;
    InputFormat format;
    ApiStatus *refused = negotiate_input(request->http, &format);
    if (!refused && format == INPUT_PROTOBUF && !protobuf_has_form(target->type))
        refused = negotiate_refuse_input(arena, false);
    if (refused)
        return refused;
    Str message;
    int r = decode_parse(request, format, target->type, duplicates, ret, &message);
    if (r == DECODE_E_OBJECT)
        return cannot_be_handled(arena, target, target->kind, target->version, message);
    if (r != 0)
        return unrecognized(request, target, message);
    if ((*ret)->kind == VALUE_NULL)
        *ret = value_new_object(arena);
    if ((*ret)->kind != VALUE_OBJECT)
        return unrecognized(
            request, target,
            STR("couldn't get version/kind; json parse error: json: cannot unmarshal value into Go "
                "value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; "
                "Kind "
                "string \"json:\\\"kind,omitempty\\\"\" }"));
    return NULL;
}

ApiStatus *decode_body(ApiRequest *request, const DecodeTarget *target, Value **ret) {
    Arena *arena = request->arena;
    ValuePaths duplicates = {0}, strict = {0};
    Value *tree = NULL;
    ApiStatus *refused = parse(request, target, &duplicates, &tree);
    if (!refused)
        refused = check_kind(request, target, tree);
    if (refused)
        return refused;
    Str message;
    if (!decode_normalize(arena, target->type, tree, &duplicates, &strict, &message))
        return cannot_be_handled(arena, target, target->kind, target->version, message);
    if (strict.n && request->field_validation == FIELD_VALIDATION_STRICT)
        return cannot_be_handled(arena, target, target->kind, target->version,
                                 decode_strict_message(arena, &strict));
    for (size_t i = 0; i < strict.n && request->field_validation == FIELD_VALIDATION_WARN; i++)
        request_warn(request, strict.paths[i]);
    *ret = tree;
    return NULL;
}
