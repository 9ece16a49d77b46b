// Create, update and delete in their finer points, and the forms of answers.
// Rules and messages: apiserver's pkg/registry/generic/registry/store.go, pkg/registry/rest,
// pkg/endpoints/handlers; apimachinery's pkg/apis/meta/v1/validation.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

#define MAPS "/api/v1/namespaces/default/configmaps"
#define PODS "/api/v1/namespaces/default/pods"

static int setup(void **state) {
    *state = harness_new();
    return 0;
}

static int teardown(void **state) {
    harness_free(*state);
    return 0;
}

static Answer *make_map(Harness *h, const char *name, const char *labels) {
    Answer *made = call(h, "POST", MAPS,
                        arena_printf(h->arena, "{\"metadata\":{\"name\":\"%s\",\"labels\":{%s}}}",
                                     name, labels)
                            .ptr);
    assert_status(made, 201);
    return made;
}

static uint32_t n_items(const Answer *list) {
    return value_get(list->json, STR("items"))->n;
}

static void test_create(void **state) {
    Harness *h = *state;
    // storage.ErrResourceVersionSetOnCreate
    assert_refused(
        call(h, "POST", MAPS, "{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"5\"}}"), 500,
        "resourceVersion should not be set on objects to be created");
    assert_status(call(h, "GET", MAPS "/a", NULL), 404);
    assert_status(
        call(h, "POST", MAPS, "{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"0\"}}"), 201);
    // A name wins over generateName; that it is taken is said in other words (rest/create.go).
    Answer *taken =
        call(h, "POST", MAPS, "{\"metadata\":{\"name\":\"a\",\"generateName\":\"x-\"}}");
    assert_refused(taken, 409,
                   "configmaps \"a\" already exists, the server was not able to generate a unique "
                   "name for the object");
    assert_string_equal(text_at(taken, "reason"), "AlreadyExists");
    // The server's own fields are not the client's.
    Answer *made = call(h, "POST", MAPS,
                        "{\"metadata\":{\"name\":\"b\",\"uid\":\"u\",\"creationTimestamp\":"
                        "\"2001-01-01T00:00:00Z\",\"deletionTimestamp\":\"2001-01-01T00:00:00Z\","
                        "\"generation\":7,\"selfLink\":\"x\"}}");
    assert_status(made, 201);
    assert_string_not_equal(text_at(made, "metadata.uid"), "u");
    assert_string_not_equal(text_at(made, "metadata.creationTimestamp"), "2001-01-01T00:00:00Z");
    assert_string_equal(text_at(made, "metadata.deletionTimestamp"), "");
    // A long generateName is cut so that the name fits (names/generate.go: 63 - 5).
    char body[256], long_[80];
    memset(long_, 'x', 70);
    long_[70] = 0;
    snprintf(body, sizeof body, "{\"metadata\":{\"generateName\":\"%s\"}}", long_);
    made = call(h, "POST", MAPS, body);
    assert_status(made, 201);
    assert_int_equal(strlen(text_at(made, "metadata.name")), 63);
}

static void test_preconditions(void **state) {
    Harness *h = *state;
    Answer *made = make_map(h, "a", "");
    assert_refused(
        call(h, "DELETE", MAPS "/a", "{\"preconditions\":{\"uid\":\"x\"}}"), 409,
        arena_printf(h->arena,
                     "Operation cannot be fulfilled on ConfigMap \"a\": the UID in the "
                     "precondition (x) does not match the UID in record (%s). The object might "
                     "have been deleted and then recreated",
                     text_at(made, "metadata.uid"))
            .ptr);
    assert_refused(
        call(h, "DELETE", MAPS "/a", "{\"preconditions\":{\"resourceVersion\":\"1\"}}"), 409,
        arena_printf(h->arena,
                     "Operation cannot be fulfilled on ConfigMap \"a\": the ResourceVersion in the "
                     "precondition (1) does not match the ResourceVersion in record (%s). The "
                     "object might have been modified",
                     text_at(made, "metadata.resourceVersion"))
            .ptr);
    assert_status(call(h, "DELETE", MAPS "/a",
                       arena_printf(h->arena, "{\"preconditions\":{\"resourceVersion\":\"%s\"}}",
                                    text_at(made, "metadata.resourceVersion"))
                           .ptr),
                  200);
    // ValidateDeleteOptions
    assert_refused(
        call(h, "DELETE", MAPS "/a", "{\"orphanDependents\":true,\"propagationPolicy\":\"Orphan\"}"),
        422,
        "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Orphan\": "
        "orphanDependents and deletionPropagation cannot be both set");
    assert_refused(call(h, "DELETE", MAPS "/a?propagationPolicy=Up", NULL), 422,
                   "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported "
                   "value: \"Up\": supported values: \"Foreground\", \"Background\", \"Orphan\", "
                   "\"nil\"");
}

static void test_orphan_dependents(void **state) {
    Harness *h = *state;
    make_map(h, "a", "");
    Answer *a = call(h, "DELETE", MAPS "/a?orphanDependents=true", NULL);
    assert_status(a, 200);
    const Value *finalizers = value_at(a->json, "metadata.finalizers");
    assert_int_equal(finalizers->n, 1);
    assert_true(str_eq(finalizers->items[0]->string, STR("orphan")));
    // A second deletion with another policy changes the finalizer.
    a = call(h, "DELETE", MAPS "/a", "{\"propagationPolicy\":\"Background\"}");
    assert_status(a, 200);
    assert_status(call(h, "GET", MAPS "/a", NULL), 404);
}

static void test_grace(void **state) {
    Harness *h = *state;
    assert_status(call(h, "POST", "/api/v1/namespaces/default/serviceaccounts",
                       "{\"metadata\":{\"name\":\"default\"}}"),
                  201);
    const char *pod = "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"nodeName\":\"n\",\"containers\":[{"
                      "\"name\":\"c\",\"image\":\"i\"}]}}";
    assert_status(call(h, "POST", PODS, pod), 201);
    Answer *a = call(h, "DELETE", PODS "/p?dryRun=All", NULL);
    assert_status(a, 200);
    a = call(h, "GET", PODS "/p", NULL);
    assert_string_equal(text_at(a, "metadata.deletionTimestamp"), "");
    a = call(h, "DELETE", PODS "/p", NULL);
    assert_int_equal(number_at(a, "metadata.deletionGracePeriodSeconds"), 30);
    // Longer changes nothing, shorter does (rest/delete.go, BeforeDelete).
    a = call(h, "DELETE", PODS "/p?gracePeriodSeconds=60", NULL);
    assert_int_equal(number_at(a, "metadata.deletionGracePeriodSeconds"), 30);
    a = call(h, "DELETE", PODS "/p", "{\"gracePeriodSeconds\":5}");
    assert_int_equal(number_at(a, "metadata.deletionGracePeriodSeconds"), 5);
    assert_status(call(h, "DELETE", PODS "/p?gracePeriodSeconds=0", NULL), 200);
    assert_status(call(h, "GET", PODS "/p", NULL), 404);
    // Negative is one second.
    assert_status(call(h, "POST", PODS, pod), 201);
    a = call(h, "DELETE", PODS "/p?gracePeriodSeconds=-1", NULL);
    assert_int_equal(number_at(a, "metadata.deletionGracePeriodSeconds"), 1);
    assert_status(call(h, "DELETE", PODS "/p?gracePeriodSeconds=x", NULL), 400);
}

static void test_collection(void **state) {
    Harness *h = *state;
    for (int i = 0; i < 6; i++) {
        char name[8];
        snprintf(name, sizeof name, "m%d", i);
        make_map(h, name, i % 2 ? "\"odd\":\"yes\"" : "");
    }
    Answer *a = call(h, "DELETE", MAPS "?dryRun=All", NULL);
    assert_int_equal(n_items(a), 6);
    assert_int_equal(n_items(call(h, "GET", MAPS, NULL)), 6);
    a = call(h, "DELETE", MAPS "?labelSelector=odd&limit=2", NULL);
    assert_status(a, 200);
    assert_int_equal(n_items(a), 2);
    a = call(h, "DELETE", MAPS "?fieldSelector=metadata.name%3Dm0", NULL);
    assert_int_equal(n_items(a), 1);
    assert_int_equal(n_items(call(h, "GET", MAPS, NULL)), 3);
    // A continue token names the rest, not everything.
    Answer *page = call(h, "GET", MAPS "?limit=2", NULL);
    a = call(h, "DELETE",
             arena_printf(h->arena, MAPS "?continue=%s", text_at(page, "metadata.continue")).ptr,
             NULL);
    assert_status(a, 200);
    assert_int_equal(n_items(a), 1);
    assert_int_equal(n_items(call(h, "GET", MAPS, NULL)), 2);
    assert_status(call(h, "DELETE", MAPS "?continue=x", NULL), 400);
    assert_status(call(h, "DELETE", MAPS "?labelSelector=a%20in", NULL), 400);
    assert_int_equal(n_items(call(h, "GET", MAPS, NULL)), 2);
    // In the version that was asked for.
    const char *events = "/apis/events.k8s.io/v1/namespaces/default/events";
    assert_status(call(h, "POST", events,
                       "{\"metadata\":{\"name\":\"e\"},\"eventTime\":\"2026-01-01T00:00:00.000000Z\","
                       "\"regarding\":{\"namespace\":\"default\",\"name\":\"x\"},"
                       "\"reportingController\":\"a.b/c\",\"reportingInstance\":\"i\",\"action\":"
                       "\"A\",\"reason\":\"R\",\"type\":\"Normal\"}"),
                  201);
    a = call(h, "DELETE", events, NULL);
    assert_int_equal(n_items(a), 1);
    assert_true(str_eq(value_string_at(value_get(a->json, STR("items"))->items[0],
                                       "regarding.name"),
                       STR("x")));
}

static void test_duplicate_fields(void **state) {
    Harness *h = *state;
    const char *const yaml[] = {"Content-Type", "application/yaml", NULL};
    const char *twice = "metadata: {name: a}\ndata:\n  k: \"1\"\n  k: \"2\"\n";
    Answer *a = call_with(h, h->admin, "POST", MAPS "?fieldValidation=Strict", twice, yaml);
    assert_status(a, 400);
    assert_non_null(strstr(text_at(a, "message"), "strict decoding error: "));
    a = call_with(h, h->admin, "POST", MAPS "?fieldValidation=Warn", twice, yaml);
    assert_status(a, 201);
    assert_true(a->warnings.len > 0);
    assert_string_equal(text_at(a, "data.k"), "2"); // the last one counts
    assert_status(call(h, "DELETE", MAPS "/a", NULL), 200);
    a = call_with(h, h->admin, "POST", MAPS "?fieldValidation=Ignore", twice, yaml);
    assert_status(a, 201);
    assert_int_equal(a->warnings.len, 0);
    // PUT checks as POST does.
    a = call(h, "PUT", MAPS "/a?fieldValidation=Strict",
             "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"1\",\"k\":\"2\"},\"dat\":1}");
    assert_refused(a, 400,
                   "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding "
                   "error: duplicate field \"data.k\", unknown field \"dat\"");
    // Of a strategic merge patch, too, duplicates are told (handlers/patch.go).
    a = call_patch(h, "strategic-merge", MAPS "/a?fieldValidation=Warn",
                   "{\"data\":{\"k\":\"1\",\"k\":\"3\"}}");
    assert_status(a, 200);
    assert_string_equal(a->warnings.ptr, "299 - \"duplicate field \\\"data.k\\\"\"\n");
}

static void test_field_manager(void **state) {
    Harness *h = *state;
    char target[256], name[130];
    memset(name, 'm', 129);
    name[129] = 0;
    snprintf(target, sizeof target, MAPS "?fieldManager=%s", name);
    assert_refused(call(h, "POST", target, "{\"metadata\":{\"name\":\"a\"}}"), 422,
                   "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be "
                   "more than 128 bytes");
    name[128] = 0;
    snprintf(target, sizeof target, MAPS "?fieldManager=%s", name);
    Answer *a = call(h, "POST", target, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}");
    assert_status(a, 201);
    const Value *entry = value_at(a->json, "metadata.managedFields")->items[0];
    assert_true(str_eq(value_string_at(entry, "manager"), str_from(name)));
    // Without one, the User-Agent up to the slash is the name.
    a = call_with(h, h->admin, "POST", MAPS, "{\"metadata\":{\"name\":\"b\"},\"data\":{\"k\":\"v\"}}",
                  (const char *const[]){"User-Agent", "kubectl/v1.35.0 (linux)", NULL});
    entry = value_at(a->json, "metadata.managedFields")->items[0];
    assert_true(str_eq(value_string_at(entry, "manager"), STR("kubectl")));
    assert_status(call(h, "PUT", MAPS "/b?fieldManager=a%0Ab", "{\"metadata\":{\"name\":\"b\"}}"),
                  422);
}

#define TABLE "application/json;as=Table;v=v1;g=meta.k8s.io"

static void test_forms(void **state) {
    Harness *h = *state;
    make_map(h, "a", "");
    static const struct {
        const char *include;
        const char *kind; // of the row's object; NULL: there is none
    } includes[] = {{"", "PartialObjectMetadata"},
                    {"?includeObject=Metadata", "PartialObjectMetadata"},
                    {"?includeObject=Object", "ConfigMap"},
                    {"?includeObject=None", NULL}};
    const char *const table[] = {"Accept", TABLE, NULL};
    for (size_t i = 0; i < 4; i++) {
        Answer *a = call_with(h, h->admin, "GET",
                              arena_printf(h->arena, MAPS "%s", includes[i].include).ptr, NULL,
                              table);
        assert_status(a, 200);
        const Value *row = value_get(a->json, STR("rows"))->items[0];
        Str kind = value_string_at(row, "object.kind");
        assert_true(str_eq(kind, str_from(includes[i].kind)));
    }
    assert_refused(call_with(h, h->admin, "GET", MAPS "?includeObject=All", NULL, table), 400,
                   "Unable to convert to Table as requested: includeObject: Invalid value: "
                   "\"All\": must be 'Metadata', 'Object', 'None', or empty");
    // Writes and deletions answer in the form that was asked for, too.
    Answer *a = call_with(h, h->admin, "POST", MAPS, "{\"metadata\":{\"name\":\"b\"}}", table);
    assert_status(a, 201);
    assert_string_equal(text_at(a, "kind"), "Table");
    const char *const partial[] = {
        "Accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", NULL};
    a = call_with(h, h->admin, "GET", MAPS "/a", NULL, partial);
    assert_string_equal(text_at(a, "kind"), "PartialObjectMetadata");
    assert_string_equal(text_at(a, "apiVersion"), "meta.k8s.io/v1");
    assert_status(call_with(h, h->admin, "GET", MAPS, NULL, partial), 406);
    // Errors stay a Status whatever was asked for.
    a = call_with(h, h->admin, "GET", MAPS "/none", NULL, table);
    assert_status(a, 404);
    assert_string_equal(text_at(a, "kind"), "Status");
    // YAML goes out as well as in.
    a = call_with(h, h->admin, "GET", MAPS "/a", NULL,
                  (const char *const[]){"Accept", "application/yaml", NULL});
    assert_status(a, 200);
    assert_true(str_eq(a->content_type, STR("application/yaml")));
    assert_status(call_with(h, h->admin, "GET", MAPS "/a", NULL,
                            (const char *const[]){"Accept", "text/html", NULL}),
                  406);
    static const char *const odd[] = {"OPTIONS", "TRACE", "LINK"};
    for (size_t i = 0; i < 3; i++)
        assert_status(call(h, odd[i], MAPS "/a", NULL), 405);
    a = call(h, "HEAD", MAPS "/a", NULL);
    assert_true(a->status == 200 || a->status == 405);
}

// ---- what no client should send

static const char *nested(Harness *h, size_t depth, const char *open, const char *close) {
    Buf buf = BUF_INIT(1 << 24);
    buf_str(&buf, STR("{\"metadata\":{\"name\":\"a\"},\"data\":"));
    for (size_t i = 0; i < depth; i++)
        buf_str(&buf, str_from(open));
    buf_str(&buf, STR("1"));
    for (size_t i = 0; i < depth; i++)
        buf_str(&buf, str_from(close));
    buf_char(&buf, '}');
    const char *text = arena_cstr(h->arena, buf_view(&buf));
    buf_deinit(&buf);
    return text;
}

static void test_hostile_bodies(void **state) {
    Harness *h = *state;
    const char *deep[] = {nested(h, 100000, "[", "]"), nested(h, 100000, "{\"a\":", "}")};
    static const char *const types[] = {"application/json", "application/yaml"};
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < 2; j++) {
            Answer *a = call_with(h, h->admin, "POST", MAPS, deep[i],
                                  (const char *const[]){"Content-Type", types[j], NULL});
            assert_status(a, 400);
            assert_non_null(strstr(text_at(a, "message"), "exceeded max depth"));
        }
        static const char *const patches[] = {"merge", "strategic-merge"};
        for (size_t j = 0; j < 2; j++) {
            Answer *a = call_patch(h, patches[j], MAPS "/a", deep[i]);
            assert_status(a, 400);
        }
    }
    static const struct {
        const char *number;
        int status;
    } numbers[] = {
        {"99999999999999999999999999999999", 400}, {"1e400", 400},      {"-1e-400", 400},
        {"2147483648", 400},                       {"1.5", 400},        {"-9223372036854775809", 400},
        {"0x10", 400},                             {"NaN", 400},        {"1", 201},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const char *body =
            arena_printf(h->arena,
                         "{\"metadata\":{\"name\":\"d%zu\"},\"spec\":{\"replicas\":%s,\"selector\":"
                         "{\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"metadata\":{\"labels\":{"
                         "\"a\":\"b\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]"
                         "}}}}",
                         i, numbers[i].number)
                .ptr;
        Answer *a = call(h, "POST", "/apis/apps/v1/namespaces/default/deployments", body);
        if (a->status != numbers[i].status)
            fail_msg("%s: %d: %.*s", numbers[i].number, a->status, STR_ARG(a->body));
    }
    // What is no UTF-8 is never stored as it came: Go's decoder puts U+FFFD in its place.
    Answer *a = call(h, "POST", MAPS, "{\"metadata\":{\"name\":\"u\"},\"data\":{\"k\":\"a\xff\xfe" "b\"}}");
    assert_true(a->status == 201 || a->status == 400);
    if (a->status == 201)
        assert_string_equal(text_at(a, "data.k"), "a\xef\xbf\xbd\xef\xbf\xbd" "b");
    assert_true(call(h, "GET", MAPS "/a%00b", NULL)->status >= 400);
    assert_true(call(h, "GET", MAPS "?labelSelector=%ff%3Da", NULL)->status == 400);
}

// --max-request-body-bytes is 3 MiB upstream (MaxRequestBodyBytes).
static void test_large_bodies(void **state) {
    Harness *h = *state;
    size_t size = 3 * 1024 * 1024 + 1024;
    char *body = malloc(size + 1);
    memset(body, ' ', size);
    body[size] = 0;
    memcpy(body, "{", 1);
    memcpy(body + size - 1, "}", 1);
    Answer *a = call(h, "POST", MAPS, body);
    assert_refused(a, 413, "Request entity too large: limit is 3145728");
    assert_string_equal(text_at(a, "reason"), "RequestEntityTooLarge");
    static const char *const patches[] = {"merge", "strategic-merge"};
    for (size_t i = 0; i < 2; i++)
        assert_status(call_patch(h, patches[i], MAPS "/a", body), 413);
    assert_status(call_with(h, h->admin, "PATCH", MAPS "/a?fieldManager=m", body,
                            (const char *const[]){"Content-Type", "application/apply-patch+yaml",
                                                  NULL}),
                  413);
    assert_status(call(h, "DELETE", MAPS "/a", body), 413);
    free(body);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_create),           T(test_preconditions), T(test_orphan_dependents),
        T(test_grace),            T(test_collection),    T(test_duplicate_fields),
        T(test_field_manager),    T(test_forms),         T(test_hostile_bodies),
        T(test_large_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
