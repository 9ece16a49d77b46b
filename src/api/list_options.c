#include "api/list_options.h"

#include <inttypes.h>

#include "api/server.h"
#include "pki/pki.h"

static bool parse_bool(Str value) { // Go's conversion of a boolean query parameter
    return value.ptr && !str_eq(value, STR("false")) && !str_eq(value, STR("0"));
}

static ApiStatus *bad(Arena *arena, Str message) {
    return status_bad_request(arena, message);
}

static ApiStatus *parse_labels(ApiRequest *request, ObjectFilter *filter) {
    Str text = http_query(request->http, STR("labelSelector"));
    if (!text.len)
        return NULL;
    Selector *selector;
    Str message;
    if (selector_parse(request->arena, text, &selector, &message) != 0)
        return bad(request->arena, message);
    filter->labels = selector;
    return NULL;
}

static ApiStatus *resolve_term(ApiRequest *request, const FieldTerm *term, FieldMatch *ret) {
    const Resource *resource = request->served->resource;
    *ret = (FieldMatch){.value = term->value, .equal = term->equal};
    if (str_eq(term->path, STR("metadata.name"))) {
        ret->what = FIELD_MATCH_NAME;
        return NULL;
    }
    if (str_eq(term->path, STR("metadata.namespace")) &&
        (resource->namespaced || !resource->n_selectable)) {
        ret->what = FIELD_MATCH_NAMESPACE;
        return NULL;
    }
    for (size_t i = 0; i < resource->n_selectable; i++) { // in the same order in every version
        if (!str_eq(term->path, resource->fields[i]))
            continue;
        ret->what = FIELD_MATCH_INDEX;
        ret->index = i;
        return NULL;
    }
    if (resource->n_selectable)
        return bad(request->arena, arena_printf(request->arena, "field label not supported: %.*s",
                                                STR_ARG(term->path)));
    return bad(request->arena, arena_printf(request->arena,
                                            "\"%.*s\" is not a known field selector: only "
                                            "\"metadata.name\", \"metadata.namespace\"",
                                            STR_ARG(term->path)));
}

static ApiStatus *parse_fields(ApiRequest *request, ObjectFilter *filter) {
    Str text = http_query(request->http, STR("fieldSelector"));
    if (!text.len)
        return NULL;
    FieldSelector selector;
    Str message;
    if (field_selector_parse(request->arena, text, &selector, &message) != 0)
        return bad(request->arena, message);
    FieldMatch *matches = arena_array_of(request->arena, FieldMatch, selector.n ? selector.n : 1);
    for (size_t i = 0; i < selector.n; i++) {
        ApiStatus *refused = resolve_term(request, &selector.terms[i], &matches[i]);
        if (refused)
            return refused;
        // What is asked for by name, or in one namespace, is found without looking at the others.
        if (matches[i].what == FIELD_MATCH_NAME && matches[i].equal && !filter->name.len)
            filter->name = matches[i].value;
        if (matches[i].what == FIELD_MATCH_NAMESPACE && matches[i].equal && !filter->namespace_.len)
            filter->namespace_ = matches[i].value;
    }
    filter->fields = matches;
    filter->n_fields = selector.n;
    return NULL;
}

static void check_list(FieldErrors *errors, Str match, Str version, Str token, Str initial) {
    const Path *path = PATH(NULL, STR("resourceVersionMatch"));
    if (match.len) {
        if (!version.len)
            field_forbidden(errors, path,
                            "resourceVersionMatch is forbidden unless resourceVersion is provided");
        if (token.len)
            field_forbidden(errors, path,
                            "resourceVersionMatch is forbidden when continue is provided");
        if (!str_eq(match, STR("Exact")) && !str_eq(match, STR("NotOlderThan")))
            field_not_supported(errors, path, match,
                                (Str[]){STR("Exact"), STR("NotOlderThan"), STR("")}, 3);
        if (str_eq(match, STR("Exact")) && str_eq(version, STR("0")))
            field_forbidden(
                errors, path,
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
    }
    if (initial.ptr)
        field_forbidden(errors, PATH(NULL, STR("sendInitialEvents")),
                        "sendInitialEvents is forbidden for list");
}

static void check_watch(FieldErrors *errors, Str match, Str token, Str initial) {
    const Path *path = PATH(NULL, STR("resourceVersionMatch"));
    bool not_older = str_eq(match, STR("NotOlderThan"));
    if (initial.ptr && !not_older)
        field_forbidden(errors, path,
                        "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    if (!match.len)
        return;
    if (!initial.ptr)
        field_forbidden(
            errors, path,
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
    if (!not_older)
        field_not_supported(errors, path, match, (Str[]){STR("NotOlderThan")}, 1);
    if (token.len)
        field_forbidden(errors, path,
                        "resourceVersionMatch is forbidden when continue is provided");
}

static ApiStatus *parse_number(ApiRequest *request, Str name, int64_t *ret) {
    Str text = http_query(request->http, name);
    if (!text.len || str_to_i64(text, ret) == 0)
        return NULL;
    return bad(request->arena,
               arena_printf(request->arena, "strconv.ParseInt: parsing \"%.*s\": invalid syntax",
                            STR_ARG(text)));
}

ApiStatus *list_options_parse(ApiRequest *request, bool watch, ListOptions *ret) {
    Arena *arena = request->arena;
    HttpRequest *http = request->http;
    *ret = (ListOptions){.continue_token = http_query(http, STR("continue"))};
    ret->filter.namespace_ = request_namespace(request);
    ApiStatus *refused = parse_number(request, STR("limit"), &ret->limit);
    if (!refused)
        refused = parse_number(request, STR("timeoutSeconds"), &ret->timeout_seconds);
    if (refused)
        return refused;
    Str match = http_query(http, STR("resourceVersionMatch"));
    Str initial = http_query(http, STR("sendInitialEvents"));
    ret->resource_version = http_query(http, STR("resourceVersion"));
    ret->exact = str_eq(match, STR("Exact"));
    ret->bookmarks = parse_bool(http_query(http, STR("allowWatchBookmarks")));
    ret->initial_events = parse_bool(initial);
    ret->no_initial_events = initial.ptr && !ret->initial_events;
    FieldErrors errors = {.arena = arena};
    if (watch)
        check_watch(&errors, match, ret->continue_token, initial);
    else
        check_list(&errors, match, ret->resource_version, ret->continue_token, initial);
    if (errors.n)
        return status_invalid(arena, STR("meta.k8s.io"), STR("ListOptions"), STR(""), &errors);
    if (ret->resource_version.len &&
        (str_to_i64(ret->resource_version, &ret->revision) != 0 || ret->revision < 0))
        return bad(
            arena,
            arena_printf(arena,
                         "resourceVersion: Invalid value: \"%.*s\": strconv.ParseUint: parsing "
                         "\"%.*s\": invalid syntax",
                         STR_ARG(ret->resource_version), STR_ARG(ret->resource_version)));
    refused = parse_labels(request, &ret->filter);
    if (!refused)
        refused = parse_fields(request, &ret->filter);
    if (refused)
        return refused;
    if (request->info.name.len && !ret->filter.name.len)
        ret->filter.name = request->info.name; // the old /watch/.../NAME
    return NULL;
}

ApiStatus *list_refuse_future(ApiRequest *request, int64_t revision) {
    static const ApiStatusCause cause = {.type = {"ResourceVersionTooLarge", 23},
                                         .message = {"Too large resource version", 26}};
    ApiStatus *status = status_timeout(
        request->arena,
        arena_printf(request->arena, "Too large resource version: %" PRId64 ", current: %" PRId64,
                     revision, request->api->revision));
    status->causes = &cause;
    status->n_causes = 1;
    status->retry_after_seconds = 1;
    return status;
}

// ---- continue tokens

Str continue_encode(Arena *arena, int64_t revision, Str start) {
    Value *token = value_new_object(arena);
    value_set_str(arena, token, STR("v"), STR("meta.k8s.io/v1"));
    value_set_int(arena, token, STR("rv"), revision);
    // Behind that key: the smallest that is larger.
    value_set_str(arena, token, STR("start"),
                  arena_concat(arena, (Str[]){start, str_of("", 1)}, 2, STR("")));
    Buf buf = BUF_INIT(4096);
    value_write_json(token, &buf);
    Str text = pki_base64(arena, arena_str(arena, buf_view(&buf)));
    buf_deinit(&buf);
    char *url = arena_cstr(arena, text); // base64url without padding, fit for a query
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '=' && text.ptr[i] != '\n')
            url[len++] = text.ptr[i] == '+' ? '-' : text.ptr[i] == '/' ? '_' : text.ptr[i];
    }
    return str_of(url, len);
}

ApiStatus *continue_decode(Arena *arena, Str token, int64_t *ret_revision, Str *ret_start) {
    char *text = arena_alloc(arena, token.len + 5);
    for (size_t i = 0; i < token.len; i++)
        text[i] = token.ptr[i] == '-' ? '+' : token.ptr[i] == '_' ? '/' : token.ptr[i];
    size_t len = token.len;
    while (len % 4)
        text[len++] = '=';
    Str json;
    Value *tree;
    ParseError error;
    if (pki_base64_decode(arena, str_of(text, len), &json) != 0 ||
        value_parse_json(arena, json, NULL, &tree, &error) != 0)
        return bad(arena, STR("invalid continue token: continue key is not valid: illegal base64 data "
                              "or malformed JSON"));
    Str start = value_string_at(tree, "start");
    *ret_revision = value_int_at(tree, "rv", 0);
    Str version = value_string_at(tree, "v");
    if (!str_eq(version, STR("meta.k8s.io/v1")))
        return bad(arena,
                   arena_printf(arena,
                                "invalid continue token: continue key is not valid: server does "
                                "not recognize this encoded version %.*s",
                                STR_ARG(version)));
    if (*ret_revision == 0)
        return bad(arena, STR("invalid continue token: continue key is not valid: incorrect encoded "
                              "start resourceVersion (version meta.k8s.io/v1)"));
    if (!start.len)
        return bad(arena, STR("invalid continue token: continue key is not valid: encoded start "
                              "key empty (version meta.k8s.io/v1)"));
    *ret_start = start;
    return NULL;
}
