// AdmissionReview, out and in: apiserver's admission/plugin/webhook/request, and how refusals are
// worded (webhook/errors/statuserror.go). https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request

#include "api/admission/webhook.h"
#include "api/output.h"
#include "api/server.h"
#include "kinds/tree.h"
#include "schema/quote.h"
#include "schema/scalar.h"

#define GROUP "admission.k8s.io"

// ---- the question

typedef struct Kind {
    Str group, version, kind;
} Kind;

// Of the object that the request is about; a subresource may have a kind of its own (Eviction).
static Kind kind_of(const Admission *admission, const Resource *as) {
    const Subresource *sub = admission->subresource.len
                                 ? resource_subresource(as, admission->subresource)
                                 : NULL;
    if (!sub || !sub->kind.len || str_eq(sub->kind, as->kind))
        return (Kind){as->group, as->version, as->kind};
    if (sub->version.len)
        return (Kind){sub->group, sub->version, sub->kind};
    return (Kind){as->group, as->version, sub->kind};
}

static Value *kind_value(Arena *arena, Kind kind) {
    Value *value = value_new_object(arena);
    value_set_str(arena, value, STR("group"), kind.group.ptr ? kind.group : STR(""));
    value_set_str(arena, value, STR("version"), kind.version);
    value_set_str(arena, value, STR("kind"), kind.kind);
    return value;
}

static Value *resource_value(Arena *arena, const Resource *resource) {
    Value *value = value_new_object(arena);
    value_set_str(arena, value, STR("group"), resource->group.ptr ? resource->group : STR(""));
    value_set_str(arena, value, STR("version"), resource->version);
    value_set_str(arena, value, STR("resource"), resource->plural);
    return value;
}

static Value *user_value(Arena *arena, const User *user) {
    Value *value = value_new_object(arena);
    value_set_str(arena, value, STR("username"), user->name);
    if (user->uid.len)
        value_set_str(arena, value, STR("uid"), user->uid);
    Value *groups = value_new_array(arena);
    for (size_t i = 0; i < user->n_groups; i++)
        value_push(arena, groups, value_new_string(arena, user->groups[i]));
    if (groups->n)
        value_set(arena, value, STR("groups"), groups);
    for (size_t i = 0; i < user->n_extra; i++) {
        const UserExtra *extra = &user->extra[i];
        Value *values = value_new_array(arena);
        for (size_t j = 0; j < extra->n; j++)
            value_push(arena, values, value_new_string(arena, extra->values[j]));
        value_set(arena, value_at_make(arena, value, "extra"), extra->key, values);
    }
    return value;
}

static Value *options_value(Arena *arena, const Admission *admission) {
    const ApiRequest *request = admission->request;
    if (admission->operation == ADMISSION_CONNECT)
        return value_new_null(arena);
    static const char *const kinds[] = {
        [ADMISSION_CREATE] = "CreateOptions",
        [ADMISSION_UPDATE] = "UpdateOptions",
        [ADMISSION_DELETE] = "DeleteOptions",
    };
    Value *value = admission->options ? value_copy(arena, admission->options)
                                      : value_new_object(arena);
    value_set_str(arena, value, STR("kind"), str_from(kinds[admission->operation]));
    value_set_str(arena, value, STR("apiVersion"), STR("meta.k8s.io/v1"));
    if (request->dry_run) {
        Value *all = value_new_array(arena);
        value_push(arena, all, value_new_string(arena, STR("All")));
        value_set(arena, value, STR("dryRun"), all);
    }
    if (admission->operation != ADMISSION_DELETE && request->field_manager.len)
        value_set_str(arena, value, STR("fieldManager"), request->field_manager);
    return value;
}

static bool is_whole(const Admission *admission) {
    return !admission->subresource.len || str_eq(admission->subresource, STR("status"));
}

static Value *shown(Arena *arena, const Admission *admission, const ServedResource *as,
                    const Value *object) {
    if (!object)
        return value_new_null(arena);
    if (as == admission->served || !is_whole(admission))
        return (Value *)object; // only written out
    Value *copy = value_copy(arena, object);
    return output_from_storage(arena, as, output_to_storage(arena, admission->served, copy));
}

static Value *request_value(Arena *arena, const Admission *admission, const ServedResource *as,
                            Str uid) {
    const Resource *own = admission->served->resource;
    Value *value = value_new_object(arena);
    value_set_str(arena, value, STR("uid"), uid);
    value_set(arena, value, STR("kind"), kind_value(arena, kind_of(admission, as->resource)));
    value_set(arena, value, STR("resource"), resource_value(arena, as->resource));
    if (admission->subresource.len)
        value_set_str(arena, value, STR("subResource"), admission->subresource);
    value_set(arena, value, STR("requestKind"), kind_value(arena, kind_of(admission, own)));
    value_set(arena, value, STR("requestResource"), resource_value(arena, own));
    if (admission->subresource.len)
        value_set_str(arena, value, STR("requestSubResource"), admission->subresource);
    if (admission->name.len)
        value_set_str(arena, value, STR("name"), admission->name);
    if (admission->namespace_.len)
        value_set_str(arena, value, STR("namespace"), admission->namespace_);
    value_set_str(arena, value, STR("operation"), admission_operation_name(admission->operation));
    value_set(arena, value, STR("userInfo"), user_value(arena, admission->request->user));
    value_set(arena, value, STR("object"), shown(arena, admission, as, admission->object));
    value_set(arena, value, STR("oldObject"), shown(arena, admission, as, admission->old));
    value_set_bool(arena, value, STR("dryRun"), admission->request->dry_run);
    value_set(arena, value, STR("options"), options_value(arena, admission));
    return value;
}

Bytes *webhook_review(const Webhook *webhook, const Admission *admission, const ServedResource *as,
                      Str uid) {
    _arena_free_ Arena *arena = arena_new();
    Value *review = value_new_object(arena);
    value_set_str(arena, review, STR("kind"), STR("AdmissionReview"));
    value_set_str(arena, review, STR("apiVersion"),
                  arena_printf(arena, GROUP "/%.*s", STR_ARG(webhook->review_version)));
    value_set(arena, review, STR("request"), request_value(arena, admission, as, uid));
    _buf_deinit_ Buf buf = BUF_INIT(SIZE_MAX); // two objects, each with its own limit
    value_write_json(review, &buf);
    return buf_bytes(&buf);
}

// ---- the answer

static void fail(WebhookAnswer *answer, Str why) {
    answer->failure = why;
}

static ApiStatus *refused_by(const Webhook *webhook, Arena *arena, const Value *result) {
    _buf_deinit_ Buf buf = BUF_INIT(1024 * 1024);
    if (result)
        value_write_json(result, &buf);
    Value *status = NULL;
    ParseError error;
    ApiStatus *refusal = status_new(arena, 400, STR(""), STR(""));
    if (result && value_parse_json(arena, arena_str(arena, buf_view(&buf)), NULL, &status,
                                   &error) == 0) {
        value_set_str(arena, status, STR("kind"), STR("Status")); // it need not say so
        buf_clear(&buf);
        value_write_json(status, &buf);
        refusal = status_from_body(arena, 400, arena_str(arena, buf_view(&buf)));
    }
    if (refusal->code < 400 || refusal->code > 599)
        refusal->code = 400;
    Str message = str_trim(refusal->message).len ? refusal->message : refusal->reason;
    Str name = quote_str(arena, webhook->name);
    refusal->message =
        message.len ? arena_printf(arena, "admission webhook %.*s denied the request: %.*s",
                                   STR_ARG(name), STR_ARG(message))
                    : arena_printf(arena,
                                   "admission webhook %.*s denied the request without explanation",
                                   STR_ARG(name));
    return refusal;
}

// Patch and its type come together, and from mutating webhooks alone. False with the failure set.
static bool check_patch(const Value *response, bool validating, WebhookAnswer *ret) {
    bool patch = tree_has_string(response, "patch");
    const Value *type = value_get(response, STR("patchType"));
    bool typed = type && type->kind != VALUE_NULL;
    if (validating && patch)
        fail(ret, STR("validating webhook may not return response.patch"));
    else if (validating && typed)
        fail(ret, STR("validating webhook may not return response.patchType"));
    else if (patch && !typed)
        fail(ret, STR("webhook returned response.patch but not response.patchType"));
    else if (!patch && typed)
        fail(ret, STR("webhook returned response.patchType but not response.patch"));
    else if (typed && !tree_string(type).len)
        fail(ret, STR("webhook returned invalid response.patchType of \"\""));
    return !ret->failure.len;
}

static bool check_envelope(const Webhook *webhook, Arena *arena, const Value *review, Str uid,
                           WebhookAnswer *ret) {
    const Value *response = value_get(review, STR("response"));
    Str answered = value_string_at(response, "uid");
    Str version = value_string_at(review, "apiVersion"), kind = value_string_at(review, "kind");
    if (!response || response->kind != VALUE_OBJECT)
        fail(ret, STR("webhook response was absent"));
    else if (str_eq(webhook->review_version, STR("v1")) && !str_eq(answered, uid))
        fail(ret, arena_printf(arena, "expected response.uid=\"%.*s\", got %.*s", STR_ARG(uid),
                               STR_ARG(quote_str(arena, answered))));
    else if (str_eq(webhook->review_version, STR("v1")) &&
             (!str_eq(version, STR(GROUP "/v1")) || !str_eq(kind, STR("AdmissionReview"))))
        fail(ret, arena_printf(arena,
                               "expected webhook response of " GROUP "/v1, Kind=AdmissionReview, "
                               "got %.*s, Kind=%.*s",
                               STR_ARG(version), STR_ARG(kind)));
    return !ret->failure.len;
}

static void read_patch(Arena *arena, const Value *response, WebhookAnswer *ret) {
    size_t bad;
    Str encoded = value_string_at(response, "patch");
    Str type = value_string_at(response, "patchType");
    if (!encoded.len)
        return;
    Str text = scalar_decode_base64(arena, encoded, &bad);
    Value *patch = NULL;
    ParseError error = {.message = STR("illegal base64 data")};
    if (type.len && !str_eq(type, STR("JSONPatch")))
        fail(ret, arena_printf(arena, "unsupported patch type %.*s",
                               STR_ARG(quote_str(arena, type))));
    else if (!text.ptr || value_parse_json(arena, text, NULL, &patch, &error) != 0)
        fail(ret, arena_printf(arena, "received undecodable patch in webhook response: %.*s",
                               STR_ARG(error.message)));
    else if (patch->kind != VALUE_ARRAY)
        fail(ret, STR("received undecodable patch in webhook response: it is no list"));
    else if (patch->n)
        ret->patch = patch;
}

void webhook_read_answer(const Webhook *webhook, ApiRequest *request, Str body, Str uid,
                         bool validating, WebhookAnswer *ret) {
    Arena *arena = request->arena;
    Value *review = NULL;
    ParseError error = {0};
    *ret = (WebhookAnswer){.failure = STR("")};
    if (value_parse_json(arena, body, NULL, &review, &error) != 0) {
        fail(ret, arena_printf(arena,
                               "failed to call webhook: couldn't get version/kind; json parse "
                               "error: %.*s",
                               STR_ARG(error.message)));
        return;
    }
    const Value *response = value_get(review, STR("response"));
    bool v1 = str_eq(webhook->review_version, STR("v1"));
    if (!check_envelope(webhook, arena, review, uid, ret) ||
        (v1 && !check_patch(response, validating, ret))) {
        ret->failure = arena_printf(arena, "received invalid webhook response: %.*s",
                                    STR_ARG(ret->failure));
        return;
    }
    for (uint32_t i = 0; i < tree_count(response, "warnings"); i++)
        request_warn(request, tree_string(tree_item(response, "warnings", i)));
    if (!value_bool_at(response, "allowed", false))
        ret->refusal = refused_by(webhook, arena, value_get(response, STR("status")));
    else if (!validating)
        read_patch(arena, response, ret);
}
