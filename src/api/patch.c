// PATCH: JSON, merge and strategic merge patches, applied to the object as clients see it.

#include "schema/patch.h"

#include "api/decode.h"
#include "api/meta.h"
#include "api/server.h"
#include "api/update.h"
#include "api/verbs.h"

#define SUPPORTED                                                                                  \
    "application/json-patch+json, application/merge-patch+json, "                                  \
    "application/strategic-merge-patch+json, "                                                     \
    "application/apply-patch+yaml"

typedef enum PatchType {
    PATCH_TYPE_JSON,
    PATCH_TYPE_MERGE,
    PATCH_TYPE_STRATEGIC,
    PATCH_TYPE_APPLY
} PatchType;

typedef struct Patch {
    PatchType type;
    Value *patch;
    ValuePaths duplicates; // of the patch itself
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
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (str_eq(type, str_from(types[i].media_type))) {
            *ret = types[i].type;
            return NULL;
        }
    }
    return status_unsupported_media_type(request->arena,
                                         STR("the body of the request was in an unknown format - "
                                             "accepted media types include: " SUPPORTED));
}

static ApiStatus *patch_refusal(ApiRequest *request, const Patch *patch, Str message) {
    // A JSON patch that does not apply is unprocessable; malformed patches are bad requests.
    if (patch->type == PATCH_TYPE_JSON)
        return status_new(
            request->arena, 422, STR("Invalid"),
            arena_printf(request->arena,
                         "the server rejected our request due to an error in our request"
                         "%s%.*s",
                         message.len ? ": " : "", STR_ARG(message)));
    return status_bad_request(request->arena, message);
}

static ApiStatus *invalid_result(ApiRequest *request, const Value *shown, Str detail) {
    Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(shown, &buf);
    FieldErrors errors = {.arena = request->arena};
    field_invalid(&errors, PATH(NULL, STR("patch")), arena_str(request->arena, buf_view(&buf)),
                  arena_cstr(request->arena, detail));
    buf_deinit(&buf);
    return status_invalid(request->arena, STR(""), STR(""), STR(""), &errors);
}

static Value *apply(Update *update, const Value *current, const ApiStatus **ret_refusal) {
    ApiRequest *request = update->request;
    Arena *arena = request->arena;
    Patch *patch = update->state;
    const Resource *resource = request->served->resource;
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
            invalid_result(request, patched, STR("the patched object is no JSON object"));
        return NULL;
    }
    patched = value_copy(arena, patched); // normal form is made in place
    ValuePaths strict = {0};
    if (!decode_normalize(arena, resource->type, patched, &patch->duplicates, &strict, &message)) {
        *ret_refusal = invalid_result(
            request, patch->type == PATCH_TYPE_STRATEGIC ? patch->patch : patched, message);
        return NULL;
    }
    if (strict.n && request->field_validation == FIELD_VALIDATION_STRICT) {
        *ret_refusal =
            invalid_result(request, patch->type == PATCH_TYPE_STRATEGIC ? patch->patch : patched,
                           decode_strict_message(arena, &strict));
        return NULL;
    }
    for (size_t i = 0; i < strict.n && request->field_validation == FIELD_VALIDATION_WARN; i++)
        request_warn(request, strict.paths[i]);
    meta_of(arena, patched);
    schema_default(arena, resource, patched);
    return patched;
}

static ApiStatus *parse_patch(ApiRequest *request, Patch *patch) {
    Arena *arena = request->arena;
    ParseError error = {0};
    if (value_parse_json(arena, request->http->body, &patch->duplicates, &patch->patch, &error) !=
        0)
        return status_bad_request(arena, STR("invalid JSON patch"));
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
    return NULL;
}

void verb_patch(ApiRequest *request) {
    Patch *patch = arena_new_of(request->arena, Patch);
    ApiStatus *refused = read_type(request, &patch->type);
    if (!refused)
        refused = request_write_options(request, STR("PatchOptions"));
    if (!refused && patch->type == PATCH_TYPE_APPLY)
        refused = status_unsupported_media_type(
            request->arena, STR("server-side apply (application/apply-patch+yaml) is not "
                                "implemented yet; use kubectl apply --server-side=false"));
    if (!refused && http_query(request->http, STR("force")).len) {
        FieldErrors errors = {.arena = request->arena};
        field_forbidden(&errors, PATH(NULL, STR("force")),
                        "may not be specified for non-apply patch");
        refused = status_invalid(request->arena, STR("meta.k8s.io"), STR("PatchOptions"), STR(""),
                                 &errors);
    }
    if (!refused)
        refused = parse_patch(request, patch);
    if (refused) {
        request_status(request, refused);
        return;
    }
    Update *update = arena_new_of(request->arena, Update);
    update->request = request;
    update->transform = apply;
    update->state = patch;
    update_run(update);
}
