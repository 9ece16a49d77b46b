// PATCH: JSON, merge and strategic merge patches, applied to the object as clients see it.

#include "schema/patch.h"

#include <stdlib.h>

#include "api/decode.h"
#include "api/meta.h"
#include "api/server.h"
#include "api/update.h"
#include "api/verbs.h"
#include "api/write.h"

#define UNSUPPORTED                                                                                \
    "the body of the request was in an unknown format - accepted media types include: "            \
    "application/json-patch+json, application/merge-patch+json, "
#define STRATEGIC "application/strategic-merge-patch+json, "
#define APPLY "application/apply-patch+yaml"

typedef enum PatchType {
    PATCH_TYPE_JSON,
    PATCH_TYPE_MERGE,
    PATCH_TYPE_STRATEGIC,
    PATCH_TYPE_APPLY
} PatchType;

typedef struct Patch {
    PatchType type;
    bool force;
    Value *patch;
    ValuePaths duplicates; // of the patch itself
    ValuePaths strict;     // of a JSON patch: what strict decoding has against its operations
} Patch;

static ApiStatus *read_type(ApiRequest *request, PatchType *ret) {
    static const struct {
        const char *media_type;
        PatchType type;
    } types[] = {
        {"application/json-patch+json", PATCH_TYPE_JSON},
        {"application/merge-patch+json", PATCH_TYPE_MERGE},
        {"application/strategic-merge-patch+json", PATCH_TYPE_STRATEGIC},
        {"application/apply-patch+yaml", PATCH_TYPE_APPLY},
    };
    Str type = media_type(http_header(request->http, STR("Content-Type")));
    bool custom = request->served->kind != NULL; // what merges how is not known of them
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (custom && types[i].type == PATCH_TYPE_STRATEGIC)
            continue;
        if (str_eq(type, str_from(types[i].media_type))) {
            *ret = types[i].type;
            return NULL;
        }
    }
    return status_unsupported_media_type(request->arena, custom ? STR(UNSUPPORTED APPLY)
                                                                : STR(UNSUPPORTED STRATEGIC APPLY));
}

static ApiStatus *patch_refusal(ApiRequest *request, const Patch *patch, Str message) {
    // A JSON patch that does not apply is unprocessable; malformed patches are bad requests.
    if (patch->type == PATCH_TYPE_JSON)
        return status_new(request->arena, 422, STR("Invalid"),
                          STR("the server rejected our request due to an error in our request"));
    return status_bad_request(request->arena, message);
}

static int by_key(const void *a, const void *b) {
    return str_cmp((*(const Member *const *)a)->key, (*(const Member *const *)b)->key);
}

static void write_go_value(Arena *arena, const Value *value, Buf *buf);

static void write_go_map(Arena *arena, const Value *object, Buf *buf) {
    const Member **sorted = arena_alloc(arena, (object->n + 1) * sizeof *sorted);
    for (uint32_t i = 0; i < object->n; i++)
        sorted[i] = &object->members[i];
    qsort(sorted, object->n, sizeof *sorted, by_key);
    buf_str(buf, STR("map["));
    for (uint32_t i = 0; i < object->n; i++) {
        if (i)
            buf_char(buf, ' ');
        buf_str(buf, sorted[i]->key);
        buf_char(buf, ':');
        write_go_value(arena, sorted[i]->value, buf);
    }
    buf_char(buf, ']');
}

// A decoded value as Go's fmt prints it with %+v.
static void write_go_value(Arena *arena, const Value *value, Buf *buf) {
    switch (value->kind) {
    case VALUE_NULL:
        buf_str(buf, STR("<nil>"));
        return;
    case VALUE_STRING:
        buf_str(buf, value->string);
        return;
    case VALUE_OBJECT:
        write_go_map(arena, value, buf);
        return;
    case VALUE_ARRAY:
        buf_char(buf, '[');
        for (uint32_t i = 0; i < value->n; i++) {
            if (i)
                buf_char(buf, ' ');
            write_go_value(arena, value->items[i], buf);
        }
        buf_char(buf, ']');
        return;
    default:
        value_write_json(value, buf);
    }
}

// A strategic merge patch is shown itself, as Go has it in memory; else the patched object.
static ApiStatus *invalid_result(ApiRequest *request, const Patch *patch, const Value *shown,
                                 Str detail) {
    Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    if (patch->type == PATCH_TYPE_STRATEGIC)
        write_go_value(request->arena, patch->patch, &buf);
    else
        value_write_json(shown, &buf);
    FieldErrors errors = {.arena = request->arena};
    field_invalid(&errors, PATH(NULL, STR("patch")), arena_str(request->arena, buf_view(&buf)),
                  arena_cstr(request->arena, detail));
    buf_deinit(&buf);
    return status_invalid(request->arena, STR(""), STR(""), STR(""), &errors);
}

// What a patch makes of an object has its kind still. The decoder of JSON and merge patches'
// results refuses another one, a missing one it fills in; strategic merge patches are applied to
// the kind's Go type, so what they say of it is lost.
static ApiStatus *check_type(ApiRequest *request, const Patch *patch, Value *patched,
                             const Value *current) {
    Arena *arena = request->arena;
    Str kind = value_string_at(patched, "kind"), version = value_string_at(patched, "apiVersion");
    Str own_kind = value_string_at(current, "kind"),
        own_version = value_string_at(current, "apiVersion");
    bool other =
        (kind.len && !str_eq(kind, own_kind)) || (version.len && !str_eq(version, own_version));
    if (other && patch->type != PATCH_TYPE_STRATEGIC)
        return invalid_result(request, patch, patched,
                              arena_printf(arena, "unable to decode %s%.*s, Kind=%.*s into %.*s",
                                           str_find(version, '/') < 0 ? "/" : "", STR_ARG(version),
                                           STR_ARG(kind), STR_ARG(own_kind)));
    value_set_str(arena, patched, STR("kind"), own_kind);
    value_set_str(arena, patched, STR("apiVersion"), own_version);
    return NULL;
}

static Value *apply(Update *update, const Value *current, const ApiStatus **ret_refusal) {
    ApiRequest *request = update->request;
    Arena *arena = request->arena;
    Patch *patch = update->state;
    const Resource *resource = update_sent_resource(request);
    Value *patched = NULL;
    Str message = STR("");
    int r = patch->type == PATCH_TYPE_JSON
                ? patch_json(arena, current, patch->patch, &patched, &message)
            : patch->type == PATCH_TYPE_MERGE
                ? patch_merge(arena, current, patch->patch, &patched)
                : patch_strategic(arena, resource->type, current, patch->patch, &patched, &message);
    if (r != 0) {
        *ret_refusal = patch_refusal(request, patch, message);
        return NULL;
    }
    if (patched->kind != VALUE_OBJECT) {
        *ret_refusal =
            invalid_result(request, patch, patched, STR("the patched object is no JSON object"));
        return NULL;
    }
    patched = value_copy(arena, patched); // normal form is made in place
    *ret_refusal = check_type(request, patch, patched, current);
    if (*ret_refusal)
        return NULL;
    ValuePaths strict = patch->strict;
    if (!decode_normalize(arena, resource->type, patched, &patch->duplicates, &strict, &message)) {
        *ret_refusal = invalid_result(request, patch, patched, message);
        return NULL;
    }
    if (strict.n && request->field_validation == FIELD_VALIDATION_STRICT) {
        *ret_refusal =
            invalid_result(request, patch, patched, decode_strict_message(arena, &strict));
        return NULL;
    }
    for (size_t i = 0; i < strict.n && request->field_validation == FIELD_VALIDATION_WARN; i++)
        request_warn(request, strict.paths[i]);
    meta_of(arena, patched);
    schema_default(arena, resource, patched);
    return patched;
}

// Server-side apply: the object becomes what the client says of it, and stays what others said.
static Value *apply_config(Update *update, const Value *current, const ApiStatus **ret_refusal) {
    ApiRequest *request = update->request;
    Arena *arena = request->arena;
    Patch *patch = update->state;
    const Resource *resource = request->served->resource;
    ApplyRequest apply_request = write_apply_request(request, request->served);
    apply_request.force = patch->force;
    Value *applied = NULL;
    ApiStatus *refused = NULL;
    Str message = STR("");
    ValuePaths strict = {0};
    if (apply_merge(arena, &apply_request, current, patch->patch, &applied, &refused) != 0) {
        *ret_refusal = refused;
        return NULL;
    }
    if (!decode_normalize(arena, resource->type, applied, NULL, &strict, &message)) {
        *ret_refusal = invalid_result(request, patch, applied, message);
        return NULL;
    }
    schema_default(arena, resource, applied);
    return applied;
}

static ApiStatus *parse_config(ApiRequest *request, Patch *patch) {
    Arena *arena = request->arena;
    ParseError error = {0};
    if (value_parse_yaml(arena, request->http->body, &patch->duplicates, &patch->patch, &error) !=
        0)
        return status_bad_request(
            arena, arena_printf(arena, "error encoding patch: %.*s", STR_ARG(error.message)));
    if (patch->patch->kind != VALUE_OBJECT)
        return status_bad_request(
            arena, STR("error decoding patch: json: cannot unmarshal into Go value of type "
                       "map[string]interface {}"));
    if (!patch->duplicates.n || request->field_validation == FIELD_VALIDATION_IGNORE)
        return NULL;
    Str text = arena_printf(arena, "duplicate field \"%.*s\"", STR_ARG(patch->duplicates.paths[0]));
    ValuePaths strict = {&text, 1};
    if (request->field_validation == FIELD_VALIDATION_STRICT)
        return status_bad_request(arena,
                                  arena_printf(arena, "error strict decoding patch: %.*s",
                                               STR_ARG(decode_strict_message(arena, &strict))));
    request_warn(request, text);
    return NULL;
}

// Which decoder meets the text first depends on the form and on who wants to hear of duplicates.
static ApiStatus *refuse_text(ApiRequest *request, const Patch *patch, Str why) {
    bool checked = request->field_validation != FIELD_VALIDATION_IGNORE;
    if (patch->type == PATCH_TYPE_MERGE && !checked)
        return status_bad_request(request->arena, STR("Invalid JSON Patch"));
    const char *prefix =
        patch->type != PATCH_TYPE_STRATEGIC && checked ? "error decoding patch: " : "";
    return status_bad_request(request->arena,
                              arena_printf(request->arena, "%s%.*s", prefix, STR_ARG(why)));
}

static void push(Arena *arena, ValuePaths *texts, Str text) {
    texts->paths =
        arena_grow(arena, texts->paths, texts->n * sizeof(Str), (texts->n + 1) * sizeof(Str));
    texts->paths[texts->n++] = text;
}

#define MAX_STRICT_ERRORS 100

// An operation has four fields; what else it has, or has twice, is told (handlers/patch.go,
// applyJSPatch).
static void check_operations(Arena *arena, Patch *patch) {
    static const Str known[] = {STR("op"), STR("path"), STR("from"), STR("value")};
    ValuePaths *strict = &patch->strict;
    for (size_t i = 0; i < patch->duplicates.n && strict->n < MAX_STRICT_ERRORS; i++)
        push(arena, strict,
             arena_printf(arena, "json patch duplicate field \"%.*s\"",
                          STR_ARG(patch->duplicates.paths[i])));
    patch->duplicates = (ValuePaths){0};
    for (uint32_t i = 0; i < patch->patch->n; i++) {
        const Value *operation = patch->patch->items[i];
        for (uint32_t j = 0; operation->kind == VALUE_OBJECT && j < operation->n; j++) {
            Str key = operation->members[j].key;
            bool is_known = false;
            for (size_t k = 0; k < 4; k++)
                is_known |= str_eq(key, known[k]);
            if (!is_known && strict->n < MAX_STRICT_ERRORS)
                push(
                    arena, strict,
                    arena_printf(arena, "json patch unknown field \"[%u].%.*s\"", i, STR_ARG(key)));
        }
    }
}

static ApiStatus *parse_patch(ApiRequest *request, Patch *patch) {
    Arena *arena = request->arena;
    ParseError error = {0};
    if (value_parse_json(arena, request->http->body, &patch->duplicates, &patch->patch, &error) !=
        0)
        return refuse_text(request, patch, error.message);
    bool array = patch->patch->kind == VALUE_ARRAY;
    if (patch->type == PATCH_TYPE_JSON && array && patch->patch->n > PATCH_MAX_OPERATIONS)
        return status_too_large(
            arena,
            arena_printf(arena, "The allowed maximum operations in a JSON patch is %d, got %u",
                         PATCH_MAX_OPERATIONS, patch->patch->n));
    if ((patch->type == PATCH_TYPE_JSON) != array || (!array && patch->patch->kind != VALUE_OBJECT))
        return status_bad_request(
            arena,
            arena_printf(arena,
                         "error decoding patch: json: cannot unmarshal %s into Go value of type %s",
                         array                                ? "array"
                         : patch->patch->kind == VALUE_OBJECT ? "object"
                         : patch->patch->kind == VALUE_STRING ? "string"
                         : patch->patch->kind == VALUE_BOOL   ? "bool"
                                                              : "number",
                         patch->type == PATCH_TYPE_JSON ? "[]handlers.jsonPatchOp"
                                                        : "map[string]interface {}"));
    if (array)
        check_operations(arena, patch);
    return NULL;
}

static ApiStatus *check_options(ApiRequest *request, Patch *patch) {
    FieldErrors errors = {.arena = request->arena};
    Str force = http_query(request->http, STR("force"));
    patch->force = force.ptr && !str_eq(force, STR("false")) && !str_eq(force, STR("0"));
    if (patch->type == PATCH_TYPE_APPLY && !request->field_manager.len)
        field_required(&errors, PATH(NULL, STR("fieldManager")), "is required for apply patch");
    if (patch->type != PATCH_TYPE_APPLY && force.ptr)
        field_forbidden(&errors, PATH(NULL, STR("force")),
                        "may not be specified for non-apply patch");
    return errors.n ? status_invalid(request->arena, STR("meta.k8s.io"), STR("PatchOptions"),
                                     STR(""), &errors)
                    : NULL;
}

void verb_patch(ApiRequest *request) {
    Patch *patch = arena_new_of(request->arena, Patch);
    ApiStatus *refused = read_type(request, &patch->type);
    if (!refused)
        refused = request_write_options(request, STR("PatchOptions"));
    if (!refused)
        refused = check_options(request, patch);
    bool applies = patch->type == PATCH_TYPE_APPLY;
    if (!refused)
        refused = applies ? parse_config(request, patch) : parse_patch(request, patch);
    if (refused) {
        request_status(request, refused);
        return;
    }
    const ScaleView *scale = scale_view(request);
    if (applies && scale)
        patch->patch = scale_config(request->arena, scale, request->served->resource, patch->patch);
    Update *update = arena_new_of(request->arena, Update);
    update->request = request;
    update->transform = applies ? apply_config : apply;
    update->applies = applies;
    update->state = patch;
    update_run(update);
}
