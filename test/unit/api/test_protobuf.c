// Bodies and answers in Kubernetes' Protobuf form.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "harness.h"
#include "schema/protobuf.h"

#define MEDIA_TYPE "application/vnd.kubernetes.protobuf"
#define MAPS "/api/v1/namespaces/default/configmaps"
#define SECRETS "/api/v1/namespaces/default/secrets"
#define ACCOUNTS "/api/v1/namespaces/default/serviceaccounts"
#define META "io.k8s.apimachinery.pkg.apis.meta.v1."

static int setup(void **state) {
    *state = harness_new();
    return 0;
}

static int teardown(void **state) {
    harness_free(*state);
    return 0;
}

static const char *const as_protobuf[] = {"Content-Type", MEDIA_TYPE, NULL};

// The JSON text as a Protobuf body.
static Str encoded(Harness *h, const char *openapi_name, const char *json) {
    Value *value;
    ParseError error = {0};
    assert_int_equal(value_parse_json(h->arena, str_from(json), NULL, &value, &error), 0);
    const Type *type = kinds_type(str_from(openapi_name));
    assert_non_null(type);
    _buf_deinit_ Buf buf = BUF_INIT(1 << 20);
    assert_int_equal(protobuf_encode(type, value, &buf), 0);
    return arena_str(h->arena, buf_view(&buf));
}

static Answer *send_protobuf(Harness *h, const char *method, const char *target,
                             const char *openapi_name, const char *json) {
    return call_bytes(h, h->admin, method, target, encoded(h, openapi_name, json), as_protobuf);
}

static void test_create_and_update(void **state) {
    Harness *h = *state;
    Answer *a = send_protobuf(h, "POST", SECRETS, "io.k8s.api.core.v1.Secret",
                              "{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":"
                              "\"a\",\"labels\":{\"x\":\"y\"}},\"data\":{\"k\":\"AP8=\"}}");
    assert_status(a, 201);
    assert_string_equal(text_at(a, "data.k"), "AP8=");
    assert_string_equal(text_at(a, "type"), "Opaque"); // defaulted as any other body is
    assert_string_equal(text_at(a, "metadata.labels.x"), "y");
    // kind and apiVersion may be missing, as in JSON
    a = send_protobuf(
        h, "PUT", SECRETS "/a", "io.k8s.api.core.v1.Secret",
        "{\"metadata\":{\"name\":\"a\"},\"type\":\"Opaque\",\"data\":{\"k\":\"AA==\"}}");
    assert_status(a, 200);
    assert_string_equal(text_at(a, "data.k"), "AA==");
    a = send_protobuf(h, "POST", SECRETS, "io.k8s.api.core.v1.Secret",
                      "{\"metadata\":{\"name\":\"B\"}}");
    assert_status(a, 422);
}

static void test_reviews_and_tokens(void **state) {
    Harness *h = *state;
    Answer *a = send_protobuf(
        h, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        "io.k8s.api.authorization.v1.SubjectAccessReview",
        "{\"kind\":\"SubjectAccessReview\",\"apiVersion\":\"authorization.k8s.io/v1\",\"spec\":{"
        "\"resourceAttributes\":{\"verb\":\"create\",\"resource\":\"pods\"},\"user\":\"x\","
        "\"groups\":[\"system:masters\"],\"extra\":{\"scopes\":[\"a\",\"b\"]}}}");
    assert_status(a, 201);
    assert_true(value_bool_at(a->json, "status.allowed", false));
    assert_int_equal(value_at(a->json, "spec.extra.scopes")->n, 2);
    assert_status(call(h, "POST", ACCOUNTS, "{\"metadata\":{\"name\":\"sa\"}}"), 201);
    a = send_protobuf(h, "POST", ACCOUNTS "/sa/token", "io.k8s.api.authentication.v1.TokenRequest",
                      "{\"kind\":\"TokenRequest\",\"apiVersion\":\"authentication.k8s.io/v1\","
                      "\"spec\":{\"audiences\":[],\"expirationSeconds\":700}}");
    assert_status(a, 201);
    assert_true(strlen(text_at(a, "status.token")) > 100);
    assert_int_equal(number_at(a, "spec.expirationSeconds"), 700);
}

static void test_delete_options(void **state) {
    Harness *h = *state;
    assert_status(call(h, "POST", MAPS, "{\"metadata\":{\"name\":\"a\"}}"), 201);
    const char *options = "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"preconditions\":{"
                          "\"uid\":\"other\"}}";
    Answer *a = send_protobuf(h, "DELETE", MAPS "/a", META "DeleteOptions", options);
    assert_status(a, 409);
    a = send_protobuf(h, "DELETE", MAPS "/a", META "DeleteOptions", "{\"dryRun\":[\"All\"]}");
    assert_status(a, 200);
    assert_status(call(h, "GET", MAPS "/a", NULL), 200);
    a = send_protobuf(h, "DELETE", MAPS "/a", META "DeleteOptions", "{\"gracePeriodSeconds\":0}");
    assert_status(a, 200);
    assert_status(call(h, "GET", MAPS "/a", NULL), 404);
    a = send_protobuf(h, "DELETE", MAPS "/a", META "Status", "{\"kind\":\"Status\"}");
    assert_status(a, 400);
}

static void test_refusals(void **state) {
    Harness *h = *state;
    Answer *a = call_bytes(h, h->admin, "POST", MAPS, STR("{}"), as_protobuf);
    assert_refused(a, 400,
                   "the object provided is unrecognized (must be of type ConfigMap): provided data "
                   "does not appear to be a protobuf message, expected prefix [107 56 115 0] ({})");
    a = call_bytes(h, h->admin, "POST", MAPS, STR("k8s\0\x12\x02\x0a\x05"), as_protobuf);
    assert_refused(a, 400,
                   "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: unexpected EOF");
    a = send_protobuf(h, "POST", MAPS, "io.k8s.api.core.v1.Secret",
                      "{\"kind\":\"Secret\",\"apiVersion\":\"v1\"}");
    assert_status(a, 400);
    assert_non_null(strstr(text_at(a, "message"), "cannot be handled as a ConfigMap"));
    a = send_protobuf(h, "POST", MAPS, "io.k8s.api.core.v1.ConfigMap",
                      "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v2\"}");
    assert_refused(a, 400,
                   "the API version in the data (v2) does not match the expected API version (v1)");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_create_and_update, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reviews_and_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delete_options, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
    };
    return cmocka_run_group_tests_name("api/protobuf", tests, NULL, NULL);
}
