// What clients get wrong, and the Status that each mistake gets.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

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

static const char *const yaml[] = {"Content-Type", "application/yaml", NULL};

static void test_malformed(void **state) {
    Harness *h = *state;
    Answer *a = call(h, "POST", MAPS, "{\"metadata\":");
    assert_status(a, 400);
    assert_string_equal(text_at(a, "reason"), "BadRequest");
    assert_string_equal(text_at(a, "message"),
                        "the object provided is unrecognized (must be of type ConfigMap): couldn't "
                        "get version/kind; "
                        "json parse error: unexpected end of JSON input ({\"metadata\":)");
    a = call(h, "POST", MAPS, "nonsense and more of it, much longer than thirty bytes");
    assert_status(a, 400);
    assert_non_null(strstr(text_at(a, "message"),
                           "(6e6f6e73656e736520616e64206d6f7265206f662069742c206d75636820 ...)"));
    a = call(h, "POST", MAPS, "");
    assert_status(a, 400);
    assert_non_null(strstr(text_at(a, "message"), "(<empty>)"));
    a = call(h, "POST", MAPS, "[]");
    assert_status(a, 400);
    // The seed's manifest with a tab.
    a = call_with(h, h->admin, "POST", MAPS,
                  "apiVersion: v1\nkind: ConfigMap\nmetadata:\n\tname: a\n", yaml);
    assert_status(a, 400);
    assert_non_null(strstr(text_at(a, "message"), "found character that cannot start any token"));
    assert_int_equal(value_get(call(h, "GET", MAPS, NULL)->json, STR("items"))->n, 0);
}

static void test_yaml(void **state) {
    Harness *h = *state;
    Answer *a = call_with(
        h, h->admin, "POST", MAPS,
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: \"1\"\n", yaml);
    assert_status(a, 201);
    assert_string_equal(text_at(a, "data.k"), "1");
}

static void test_types(void **state) {
    Harness *h = *state;
    assert_refused(call(h, "POST", MAPS, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":1}}"), 400,
                   "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot "
                   "unmarshal number into Go "
                   "struct field ConfigMap.data of type string");
    assert_refused(call(h, "POST", MAPS, "{\"kind\":5}"), 400,
                   "the object provided is unrecognized (must be of type ConfigMap): couldn't get "
                   "version/kind; json "
                   "parse error: json: cannot unmarshal number into Go struct field .kind of type "
                   "string ({\"kind\":5})");
    assert_refused(call(h, "POST", PODS,
                        "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\","
                        "\"image\":\"i\",\"ports\":"
                        "[{\"containerPort\":\"http\"}]}]}}"),
                   400,
                   "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal "
                   "string into Go struct field "
                   "ContainerPort.spec.containers.ports.containerPort of type int32");
}

static void test_wrong_kind(void **state) {
    Harness *h = *state;
    assert_refused(
        call(h, "POST", MAPS,
             "{\"apiVersion\":\"v2\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}"),
        400, "the API version in the data (v2) does not match the expected API version (v1)");
    assert_status(call(h, "POST", MAPS,
                       "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"a\"}}"),
                  400);
    // extensions/v1beat1, as in the seed's text, is no path at all.
    Answer *a = call(h, "GET", "/apis/extensions/v1beat1/namespaces/default/deployments", NULL);
    assert_int_equal(a->status, 404);
    assert_string_equal(a->body.ptr, "404 page not found\n");
    assert_refused(call(h, "GET", "/api/v1/foos", NULL), 404,
                   "the server could not find the requested resource");
    assert_refused(call(h, "PUT", MAPS, "{}"), 405,
                   "the server does not allow this method on the requested resource");
    assert_refused(call(h, "POST", "/api/v1/configmaps", "{}"), 405,
                   "the server does not allow this method on the requested resource");
    assert_status(call(h, "POST", MAPS "/a", "{}"), 405);
    assert_status(call(h, "PATCH", MAPS, "{}"), 405);
    assert_status(call(h, "GET", "/api/v1/namespaces/default/nodes", NULL), 404);
    assert_status(call(h, "GET", MAPS "/a/b", NULL), 404);
    assert_status(call(h, "GET", "/nowhere", NULL), 404);
}

static void test_unknown_fields(void **state) {
    Harness *h = *state;
    // What the seed's text gets wrong: `opiVersion`, and misplaced `value:` and `selector:`.
    const char *body = "{\"opiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"},"
                       "\"spec\":{\"selector\":{},\"containers\":"
                       "[{\"name\":\"c\",\"image\":\"i\",\"value\":\"x\",\"image\":\"j\"}]}}";
    assert_refused(
        call(h, "POST", PODS "?fieldValidation=Strict", body), 400,
        "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: duplicate field "
        "\"spec.containers[0].image\", unknown field \"opiVersion\", unknown field "
        "\"spec.selector\", "
        "unknown field \"spec.containers[0].value\"");
    assert_status(call(h, "POST", "/api/v1/namespaces/default/serviceaccounts",
                       "{\"metadata\":{\"name\":\"default\"}}"),
                  201);
    Answer *a = call(h, "POST", PODS "?dryRun=All", body); // Warn is the server's default
    assert_status(a, 201);
    assert_non_null(strstr(a->warnings.ptr, "299 - \"unknown field \\\"spec.selector\\\"\"\n"));
    assert_non_null(
        strstr(a->warnings.ptr, "299 - \"duplicate field \\\"spec.containers[0].image\\\"\"\n"));
    a = call(h, "POST", PODS "?dryRun=All&fieldValidation=Ignore", body);
    assert_status(a, 201);
    assert_string_equal(a->warnings.ptr, "");
    a = call(h, "POST", PODS "?fieldValidation=Loud", body);
    assert_refused(a, 422,
                   "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: "
                   "\"Loud\": supported "
                   "values: \"\", \"Ignore\", \"Strict\", \"Warn\"");
    assert_status(call(h, "POST", MAPS, "{\"metadata\":{\"name\":\"a\"}}"), 201);
    a = call_patch(h, "merge", MAPS "/a?fieldValidation=Strict", "{\"dat\":{}}");
    assert_status(a, 422);
    assert_non_null(strstr(text_at(a, "message"), "strict decoding error: unknown field \"dat\""));
}

static void test_media_types(void **state) {
    Harness *h = *state;
    Answer *a = call_with(h, h->admin, "POST", MAPS, "{}",
                          (const char *const[]){"Content-Type", "text/plain", NULL});
    assert_refused(a, 415,
                   "the body of the request was in an unknown format - accepted media types "
                   "include: application/json, "
                   "application/yaml, application/vnd.kubernetes.protobuf");
    assert_string_equal(text_at(a, "reason"), "UnsupportedMediaType");
}

static void test_too_large(void **state) {
    Harness *h = *state;
    size_t size = 2 * 1024 * 1024;
    char *body = malloc(size + 200);
    int len = snprintf(body, size, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"");
    memset(body + len, 'x', size);
    snprintf(body + len + size, 100, "\"}}");
    Answer *a = call(h, "POST", MAPS, body);
    assert_status(a, 422); // ConfigMaps hold at most 1 MiB
    assert_non_null(strstr(text_at(a, "message"), "Too long"));
    free(body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_yaml, setup, teardown),
        cmocka_unit_test_setup_teardown(test_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_kind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(test_media_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
