#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/discovery.h"
#include "api/openapi.h"
#include "kinds/kinds.h"

typedef struct Answer {
    int status;
    Buf body;
    Str tag, content_type, location, cache_control;
    Arena *arena;
} Answer;

static void on_head(HttpRequest *request, int status, const HttpHeader *headers, size_t n) {
    Answer *answer = request->user;
    answer->status = status;
    for (size_t i = 0; i < n; i++) {
        if (str_eq_nocase(headers[i].name, STR("Etag")))
            answer->tag = arena_str(answer->arena, headers[i].value);
        if (str_eq_nocase(headers[i].name, STR("Location")))
            answer->location = arena_str(answer->arena, headers[i].value);
        if (str_eq_nocase(headers[i].name, STR("Cache-Control")))
            answer->cache_control = arena_str(answer->arena, headers[i].value);
        if (str_eq_nocase(headers[i].name, STR("Content-Type")))
            answer->content_type = arena_str(answer->arena, headers[i].value);
    }
}
static void on_data(HttpRequest *request, Bytes *data) {
    Answer *answer = request->user;
    buf_str(&answer->body, bytes_str(data));
}
static size_t no_queue(const HttpRequest *request) {
    return 0;
}
static void nothing(HttpRequest *request) {}
static const HttpRequestOps ops = {
    .head = on_head, .data = on_data, .queued = no_queue, .end = nothing, .abort = nothing};

static Answer get(Arena *arena, bool (*handle)(void *, HttpRequest *), void *handler,
                  const char *path, const char *accept, Str if_none_match) {
    Answer answer = {.body = BUF_INIT(64 << 20), .arena = arena};
    HttpHeader headers[] = {{STR("Accept"), str_from(accept)},
                            {STR("If-None-Match"), if_none_match}};
    Str query = str_from(path);
    HttpRequest request = {.arena = arena,
                           .method = STR("GET"),
                           .path = str_cut(&query, '?'),
                           .query = query.ptr ? query : STR(""),
                           .headers = headers,
                           .n_headers = if_none_match.len ? 2 : 1,
                           .user = &answer,
                           .ops = &ops};
    assert_true(handle(handler, &request));
    return answer;
}

static const Resource *all[256];
static size_t n_all;

static int set_up(void **state) {
    for (n_all = 0; kinds_resource_at(n_all); n_all++)
        all[n_all] = kinds_resource_at(n_all);
    return 0;
}

static Value *parse(Arena *arena, const Answer *answer) {
    Value *value;
    ParseError error;
    assert_int_equal(answer->status, 200);
    assert_int_equal(value_parse_json(arena, buf_view(&answer->body), NULL, &value, &error), 0);
    return value;
}

// Every $ref in the tree names something in `definitions`. Returns how many there were.
static size_t check_references(const Value *value, const Value *definitions, Str prefix) {
    size_t seen = 0;
    if (value->kind == VALUE_ARRAY)
        for (uint32_t i = 0; i < value->n; i++)
            seen += check_references(value->items[i], definitions, prefix);
    if (value->kind != VALUE_OBJECT)
        return seen;
    for (uint32_t i = 0; i < value->n; i++) {
        const Member *member = &value->members[i];
        if (!str_eq(member->key, STR("$ref"))) {
            seen += check_references(member->value, definitions, prefix);
            continue;
        }
        if (member->value->kind != VALUE_STRING) // a property that is called so
            continue;
        assert_true(str_starts_with(member->value->string, prefix));
        Str name = str_slice(member->value->string, prefix.len, member->value->string.len);
        if (!value_get(definitions, name))
            fail_msg("%.*s is not defined", STR_ARG(name));
        seen++;
    }
    return seen;
}

static bool handle_openapi(void *openapi, HttpRequest *request) {
    return openapi_handle(openapi, request);
}
static bool handle_discovery(void *discovery, HttpRequest *request) {
    return discovery_handle(discovery, request);
}

static void test_v2(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Openapi *openapi = openapi_new();
    openapi_set(openapi, all, n_all);
    Answer answer =
        get(arena, handle_openapi, openapi, "/openapi/v2", "application/json", STR_NONE);
    Value *document = parse(arena, &answer), *definitions = value_get(document, STR("definitions"));
    assert_true(check_references(document, definitions, STR("#/definitions/")) > 500);
    const Value *pod = value_get(definitions, STR("io.k8s.api.core.v1.Pod"));
    assert_true(str_eq(
        value_string_at(value_get(pod, STR("x-kubernetes-group-version-kind"))->items[0], "kind"),
        STR("Pod")));
    const Value *containers = value_at(value_get(definitions, STR("io.k8s.api.core.v1.PodSpec")),
                                       "properties.containers");
    assert_true(str_eq(value_string_at(containers, "x-kubernetes-patch-merge-key"), STR("name")));
    assert_true(value_get(value_get(document, STR("paths")),
                          STR("/api/v1/namespaces/{namespace}/pods/{name}/log")));
    Answer again =
        get(arena, handle_openapi, openapi, "/openapi/v2", "application/json", answer.tag);
    assert_int_equal(again.status, 304);
    buf_deinit(&answer.body);
    answer = get(arena, handle_openapi, openapi, "/openapi/v2",
                 "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", STR_NONE);
    assert_int_equal(answer.status, 200);
    assert_true(answer.body.len > 100000);
    assert_memory_equal(answer.body.data,
                        "\x0a\x03"
                        "2.0\x12",
                        6);
    buf_deinit(&answer.body);
    answer = get(arena, handle_openapi, openapi, "/openapi/v2", "text/html", STR_NONE);
    assert_int_equal(answer.status, 406);
    openapi_free(openapi);
}

static bool has_parameter(const Value *operation, Str name) {
    const Value *list = value_get(operation, STR("parameters"));
    for (uint32_t i = 0; list && i < list->n; i++)
        if (str_eq(value_string_at(list->items[i], "name"), name))
            return true;
    return false;
}

static void test_v3(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Openapi *openapi = openapi_new();
    openapi_set(openapi, all, n_all);
    Answer answer =
        get(arena, handle_openapi, openapi, "/openapi/v3", "application/json", STR_NONE);
    Value *paths = value_get(parse(arena, &answer), STR("paths"));
    assert_true(paths->n > 5);
    for (uint32_t i = 0; i < paths->n; i++) {
        Str path = arena_printf(arena, "/openapi/v3/%.*s", STR_ARG(paths->members[i].key));
        Answer part = get(arena, handle_openapi, openapi, path.ptr, "application/json", STR_NONE);
        Value *document = parse(arena, &part);
        check_references(document, value_at(document, "components.schemas"),
                         STR("#/components/schemas/"));
        if (str_eq(paths->members[i].key,
                   STR("api/v1"))) { // what kubectl looks for before it validates
            const Value *patch =
                value_at(value_get(value_get(document, STR("paths")),
                                   STR("/api/v1/namespaces/{namespace}/pods/{name}")),
                         "patch");
            assert_true(has_parameter(patch, STR("fieldValidation")) &&
                        has_parameter(patch, STR("dryRun")));
            assert_true(
                str_eq(value_string_at(patch, "x-kubernetes-group-version-kind.kind"), STR("Pod")));
        }
        buf_deinit(&part.body);
    }
    Answer none = get(arena, handle_openapi, openapi, "/openapi/v3/apis/no.such/v1",
                      "application/json", STR_NONE);
    assert_int_equal(none.status, 404);
    buf_deinit(&answer.body);
    openapi_free(openapi);
}

// kube-openapi's pkg/handler3/handler.go: a document is known by its hash, for good.
static void test_v3_hashes(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Openapi *openapi = openapi_new();
    openapi_set(openapi, all, n_all);
    Answer root = get(arena, handle_openapi, openapi, "/openapi/v3", "*/*", STR_NONE);
    const Value *entry =
        value_get(value_get(parse(arena, &root), STR("paths")), STR("apis/batch/v1"));
    Str url = value_string_at(entry, "serverRelativeURL");
    assert_true(str_starts_with(url, STR("/openapi/v3/apis/batch/v1?hash=")));
    Answer by_hash = get(arena, handle_openapi, openapi, arena_cstr(arena, url), "*/*", STR_NONE);
    assert_int_equal(by_hash.status, 200);
    assert_true(str_starts_with(by_hash.cache_control, STR("public, immutable")));
    Answer same = get(arena, handle_openapi, openapi, arena_cstr(arena, url), "*/*", by_hash.tag);
    assert_int_equal(same.status, 304);
    Answer plain =
        get(arena, handle_openapi, openapi, "/openapi/v3/apis/batch/v1", "*/*", STR_NONE);
    assert_true(str_eq(plain.tag, by_hash.tag));
    assert_int_equal(plain.cache_control.len, 0);
    Answer old =
        get(arena, handle_openapi, openapi, "/openapi/v3/apis/batch/v1?hash=0", "*/*", STR_NONE);
    assert_int_equal(old.status, 301);
    assert_true(str_eq(old.location, url));
    Answer none =
        get(arena, handle_openapi, openapi, "/openapi/v3/apis/no.such/v1?hash=0", "*/*", STR_NONE);
    assert_int_equal(none.status, 404);
    Answer *answers[] = {&root, &by_hash, &plain};
    for (size_t i = 0; i < 3; i++)
        buf_deinit(&answers[i]->body);
    openapi_free(openapi);
}

static void test_discovery(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Discovery *discovery = discovery_new();
    discovery_set(discovery, all, n_all);
    Answer answer =
        get(arena, handle_discovery, discovery, "/api/v1", "application/json, */*", STR_NONE);
    const Value *resources = value_get(parse(arena, &answer), STR("resources"));
    bool pods = false, binding = false;
    for (uint32_t i = 0; i < resources->n; i++) {
        pods |= str_eq(value_string_at(resources->items[i], "name"), STR("pods"));
        if (str_eq(value_string_at(resources->items[i], "name"), STR("pods/eviction")))
            binding = str_eq(value_string_at(resources->items[i], "group"), STR("policy"));
    }
    assert_true(pods && binding);
    Answer groups = get(arena, handle_discovery, discovery, "/apis/", "application/json", STR_NONE);
    assert_true(value_get(parse(arena, &groups), STR("groups"))->n > 3);
    Answer aggregated =
        get(arena, handle_discovery, discovery, "/apis",
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
            STR_NONE);
    assert_true(
        str_eq(value_string_at(parse(arena, &aggregated), "kind"), STR("APIGroupDiscoveryList")));
    assert_true(
        str_eq(aggregated.content_type,
               STR("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")));
    // A form that we don't know is passed over for the next one.
    Answer older =
        get(arena, handle_discovery, discovery, "/apis",
            "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,application/json",
            STR_NONE);
    assert_true(str_eq(value_string_at(parse(arena, &older), "kind"), STR("APIGroupList")));
    HttpRequest unknown = {
        .arena = arena, .method = STR("GET"), .path = STR("/apis/no.such.group"), .ops = &ops};
    assert_false(discovery_handle(discovery, &unknown));
    // Both forms have tags, and not the same.
    static const char *const accepts[] = {
        "application/json", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"};
    Str tags[3];
    for (size_t i = 0; i < 3; i++) {
        Answer form = get(arena, handle_discovery, discovery, "/apis", accepts[i], STR_NONE);
        Answer unchanged = get(arena, handle_discovery, discovery, "/apis", accepts[i], form.tag);
        assert_true(form.tag.len > 2);
        assert_int_equal(unchanged.status, 304);
        tags[i] = form.tag;
        buf_deinit(&form.body);
    }
    assert_false(str_eq(tags[0], tags[1]) || str_eq(tags[1], tags[2]));
    Answer refused = get(arena, handle_discovery, discovery, "/apis", "text/html", STR_NONE);
    assert_int_equal(refused.status, 406);
    Answer *answers[] = {&answer, &groups, &aggregated, &older};
    for (size_t i = 0; i < 4; i++)
        buf_deinit(&answers[i]->body);
    discovery_free(discovery);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_v2, set_up),
        cmocka_unit_test_setup(test_v3, set_up),
        cmocka_unit_test_setup(test_v3_hashes, set_up),
        cmocka_unit_test_setup(test_discovery, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
