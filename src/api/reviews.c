// Virtual kinds that answer questions: who am I, is this token good, may somebody do something.

#include "api/auth/authn.h"
#include "api/auth/authz.h"
#include "api/decode.h"
#include "api/meta.h"
#include "api/server.h"
#include "api/subresources.h"

static Value *strings(Arena *arena, const Str *list, size_t n) {
    Value *array = value_new_array(arena);
    for (size_t i = 0; i < n; i++)
        value_push(arena, array, value_new_string(arena, list[i]));
    return array;
}

static size_t read_strings(Arena *arena, const Value *array, const Str **ret) {
    size_t n = 0;
    Str *list = arena_array_of(arena, Str, array && array->kind == VALUE_ARRAY ? array->n + 1 : 1);
    for (uint32_t i = 0; array && array->kind == VALUE_ARRAY && i < array->n; i++) {
        if (array->items[i]->kind == VALUE_STRING)
            list[n++] = array->items[i]->string;
    }
    *ret = list;
    return n;
}

static Value *user_value(Arena *arena, const User *user) {
    Value *value = value_new_object(arena);
    value_set_str(arena, value, STR("username"), user->name);
    if (user->uid.len)
        value_set_str(arena, value, STR("uid"), user->uid);
    if (user->n_groups)
        value_set(arena, value, STR("groups"), strings(arena, user->groups, user->n_groups));
    if (user->n_extra) {
        Value *extra = value_new_object(arena);
        for (size_t i = 0; i < user->n_extra; i++)
            value_set(arena, extra, user->extra[i].key,
                      strings(arena, user->extra[i].values, user->extra[i].n));
        value_set(arena, value, STR("extra"), extra);
    }
    return value;
}

// The body of a virtual kind. Answers itself and returns NULL when it is bad.
static Value *decode(ApiRequest *request) {
    Value *object = NULL;
    DecodeTarget target = decode_target(request->served->resource);
    ApiStatus *refused = request_write_options(request, STR("CreateOptions"));
    if (!refused)
        refused = decode_body(request, &target, &object);
    if (!refused && request->served->resource->namespaced)
        refused = meta_match_namespace(request->arena, object, request->info.namespace_);
    if (!refused)
        return object;
    request_status(request, refused);
    return NULL;
}

static void answer(ApiRequest *request, Value *object) {
    request->output.kind = OUTPUT_OBJECT; // these have no columns
    meta_of(request->arena, object);
    request_object(request, 201, NULL, object);
}

void self_subject_review_create(ApiRequest *request) {
    Value *object = decode(request);
    if (!object)
        return;
    Value *status = value_new_object(request->arena);
    value_set(request->arena, status, STR("userInfo"), user_value(request->arena, request->user));
    value_set(request->arena, object, STR("status"), status);
    answer(request, object);
}

void token_review_create(ApiRequest *request) {
    Arena *arena = request->arena;
    Value *object = decode(request);
    if (!object)
        return;
    Str token = value_string_at(object, "spec.token");
    if (!token.len) {
        request_status(
            request,
            status_bad_request(arena, STR("token is required for TokenReview in authentication")));
        return;
    }
    const Str *audiences;
    size_t n = read_strings(arena, value_at(object, "spec.audiences"), &audiences);
    Value *status = value_new_object(arena);
    TokenUser found;
    if (bearer_authenticate(request->api, arena, token, audiences, n, &found)) {
        value_set_bool(arena, status, STR("authenticated"), true);
        value_set(arena, status, STR("user"), user_value(arena, &found.user));
        value_set(arena, status, STR("audiences"),
                  strings(arena, found.audiences, found.n_audiences));
    } else {
        value_set(arena, status, STR("user"), value_new_object(arena));
        value_set_str(arena, status, STR("error"),
                      STR("[invalid bearer token, Token has been invalidated]"));
    }
    value_set(arena, object, STR("status"), status);
    answer(request, object);
}

// ---- access reviews

static Str or_empty(Str s) {
    return s.ptr ? s : STR("");
}

static bool is_kind(const ApiRequest *request, const char *kind) {
    return str_eq(request->served->resource->kind, str_from(kind));
}

// A field selector of a review, given as text or in parts. NULL when there is none, or none that can
// be read: then the answer is that of a request without one.
static const FieldSelector *reviewed_fields(Arena *arena, const Value *of) {
    const Value *selector = value_get(of, STR("fieldSelector"));
    FieldSelector *fields = arena_new_of(arena, FieldSelector);
    Str raw = value_string_at(selector, "rawSelector"), message;
    if (raw.len)
        return field_selector_parse(arena, raw, fields, &message) == 0 ? fields : NULL;
    const Value *parts = value_get(selector, STR("requirements"));
    size_t n = parts && parts->kind == VALUE_ARRAY ? parts->n : 0;
    fields->terms = arena_array_of(arena, FieldTerm, n + 1);
    for (size_t i = 0; i < n; i++) {
        const Value *part = parts->items[i], *values = value_get(part, STR("values"));
        Str operator_ = or_empty(value_string_at(part, "operator"));
        bool equal = str_eq(operator_, STR("In"));
        if ((!equal && !str_eq(operator_, STR("NotIn"))) || !values || values->n != 1 ||
            values->items[0]->kind != VALUE_STRING)
            continue; // what can't be said in one term limits nothing here
        fields->terms[fields->n++] = (FieldTerm){or_empty(value_string_at(part, "key")),
                                                 values->items[0]->string, equal};
    }
    return fields->n ? fields : NULL;
}

static const UserExtra *read_extra(Arena *arena, const Value *extra, size_t *ret_n) {
    size_t n = extra && extra->kind == VALUE_OBJECT ? extra->n : 0;
    UserExtra *list = arena_array_of(arena, UserExtra, n + 1);
    for (size_t i = 0; i < n; i++) {
        list[i].key = extra->members[i].key;
        list[i].n = read_strings(arena, extra->members[i].value, &list[i].values);
    }
    *ret_n = n;
    return list;
}

static const User *reviewed_user(ApiRequest *request, const Value *spec) {
    if (is_kind(request, "SelfSubjectAccessReview"))
        return request->user;
    Arena *arena = request->arena;
    User *user = arena_new_of(arena, User);
    user->name = or_empty(value_string_at(spec, "user"));
    user->uid = or_empty(value_string_at(spec, "uid"));
    user->n_groups = read_strings(arena, value_get(spec, STR("groups")), &user->groups);
    user->extra = read_extra(arena, value_get(spec, STR("extra")), &user->n_extra);
    return user;
}

static ApiStatus *check_spec(ApiRequest *request, const Value *object) {
    const Resource *resource = request->served->resource;
    const Value *spec = value_get(object, STR("spec"));
    const Path *path = PATH(NULL, STR("spec"));
    const Value *of_resource = value_get(spec, STR("resourceAttributes"));
    const Value *of_path = value_get(spec, STR("nonResourceAttributes"));
    FieldErrors errors = {.arena = request->arena};
    if (of_resource && of_path)
        field_invalid_value(&errors, PATH(path, STR("nonResourceAttributes")), of_path,
                            "cannot be specified in combination with resourceAttributes");
    if (!of_resource && !of_path)
        field_invalid_value(
            &errors, PATH(path, STR("resourceAttributes")), value_new_null(request->arena),
            "exactly one of nonResourceAttributes or resourceAttributes must be specified");
    const Value *groups = value_get(spec, STR("groups"));
    if (!is_kind(request, "SelfSubjectAccessReview") && !value_string_at(spec, "user").len &&
        !(groups && groups->n))
        field_invalid(&errors, PATH(path, STR("user")), STR(""),
                      "at least one of user or group must be specified");
    if (resource->namespaced) {
        Str namespace_ = or_empty(value_string_at(of_resource, "namespace"));
        if (!str_eq(namespace_, request->info.namespace_))
            field_invalid(&errors, PATH(PATH(path, STR("resourceAttributes")), STR("namespace")),
                          namespace_, "must match metadata.namespace");
    }
    return errors.n
               ? status_invalid(request->arena, resource->group, resource->kind, STR(""), &errors)
               : NULL;
}

void access_review_create(ApiRequest *request) {
    Arena *arena = request->arena;
    Value *object = decode(request);
    if (!object)
        return;
    ApiStatus *refused = check_spec(request, object);
    if (refused) {
        request_status(request, refused);
        return;
    }
    const Value *spec = value_get(object, STR("spec"));
    const Value *of = value_get(spec, STR("resourceAttributes"));
    const Value *of_path = value_get(spec, STR("nonResourceAttributes"));
    Attributes attributes = {
        .user = reviewed_user(request, spec),
        .is_resource = of != NULL,
        .verb = or_empty(value_string_at(of ? of : of_path, "verb")),
        .group = or_empty(value_string_at(of, "group")),
        .version = or_empty(value_string_at(of, "version")),
        .resource = or_empty(value_string_at(of, "resource")),
        .subresource = or_empty(value_string_at(of, "subresource")),
        .namespace_ = or_empty(value_string_at(of, "namespace")),
        .name = or_empty(value_string_at(of, "name")),
        .fields = of ? reviewed_fields(arena, of) : NULL,
        .path = or_empty(value_string_at(of_path, "path")),
    };
    Str reason = STR("");
    bool allowed = authorize(request->api->authorizer, arena, &attributes, &reason);
    Value *status = value_new_object(arena);
    value_set_bool(arena, status, STR("allowed"), allowed);
    if (reason.len)
        value_set_str(arena, status, STR("reason"), reason);
    value_set(arena, object, STR("status"), status);
    answer(request, object);
}

static void add_list(Arena *arena, Value *rule, const char *field, const Str *list, size_t n) {
    if (n)
        value_set(arena, rule, str_from(field), strings(arena, list, n));
}

void rules_review_create(ApiRequest *request) {
    Arena *arena = request->arena;
    Value *object = decode(request);
    if (!object)
        return;
    Str namespace_ = value_string_at(object, "spec.namespace");
    if (!namespace_.len) {
        request_status(request, status_bad_request(arena, STR("no namespace on request")));
        return;
    }
    const PolicyRuleView *rules;
    size_t n = authorizer_rules(request->api->authorizer, arena, request->user, namespace_, &rules);
    Value *of_resources = value_new_array(arena), *of_paths = value_new_array(arena);
    for (size_t i = 0; i < n; i++) {
        Value *rule = value_new_object(arena);
        add_list(arena, rule, "verbs", rules[i].verbs, rules[i].n_verbs);
        add_list(arena, rule, "apiGroups", rules[i].groups, rules[i].n_groups);
        add_list(arena, rule, "resources", rules[i].resources, rules[i].n_resources);
        add_list(arena, rule, "resourceNames", rules[i].names, rules[i].n_names);
        add_list(arena, rule, "nonResourceURLs", rules[i].urls, rules[i].n_urls);
        value_push(arena, rules[i].n_urls ? of_paths : of_resources, rule);
    }
    Value *status = value_new_object(arena);
    value_set(arena, status, STR("resourceRules"), of_resources);
    value_set(arena, status, STR("nonResourceRules"), of_paths);
    value_set_bool(arena, status, STR("incomplete"), false);
    value_set(arena, object, STR("status"), status);
    answer(request, object);
}
