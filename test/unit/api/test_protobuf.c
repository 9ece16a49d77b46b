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

// ---- answers

static const char *const want_protobuf[] = {"Accept", MEDIA_TYPE, NULL};

// The object in an envelope, with kind and apiVersion as JSON would have them.
static Value *opened(Harness *h, Str bytes, const char *openapi_name) {
    ProtobufEnvelope envelope;
    Str message;
    Value *value;
    assert_int_equal(protobuf_open(h->arena, bytes, &envelope, &message), 0);
    const Type *type = kinds_type(str_from(openapi_name));
    assert_int_equal(protobuf_decode(h->arena, type, envelope.raw, &value, &message), 0);
    value_set_str(h->arena, value, STR("kind"), envelope.kind);
    value_set_str(h->arena, value, STR("apiVersion"), envelope.api_version);
    return value;
}

static const char *string_at(Harness *h, const Value *value, const char *path) {
    return arena_cstr(h->arena, value_string_at(value, path));
}

static Answer *get_protobuf(Harness *h, const char *target) {
    return call_with(h, h->admin, "GET", target, NULL, want_protobuf);
}

static void test_objects_and_statuses(void **state) {
    Harness *h = *state;
    Answer *a = call_with(h, h->admin, "POST", MAPS,
                          "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}", want_protobuf);
    assert_status(a, 201);
    assert_string_equal(arena_cstr(h->arena, a->content_type), MEDIA_TYPE);
    a = get_protobuf(h, MAPS "/a");
    assert_status(a, 200);
    Value *map = opened(h, a->body, "io.k8s.api.core.v1.ConfigMap");
    assert_string_equal(string_at(h, map, "kind"), "ConfigMap");
    assert_string_equal(string_at(h, map, "apiVersion"), "v1");
    assert_string_equal(string_at(h, map, "data.k"), "v");
    assert_int_equal(strlen(string_at(h, map, "metadata.uid")), 36);
    a = get_protobuf(h, MAPS "/b");
    assert_status(a, 404);
    Value *status = opened(h, a->body, META "Status");
    assert_string_equal(string_at(h, status, "reason"), "NotFound");
    assert_string_equal(string_at(h, status, "details.name"), "b");
    assert_int_equal(value_int_at(status, "code", 0), 404);
    // of another kind than the resource's
    assert_status(call(h, "POST", ACCOUNTS, "{\"metadata\":{\"name\":\"sa\"}}"), 201);
    a = call_with(h, h->admin, "POST", ACCOUNTS "/sa/token", "{\"spec\":{}}", want_protobuf);
    assert_status(a, 201);
    Value *token = opened(h, a->body, "io.k8s.api.authentication.v1.TokenRequest");
    assert_true(strlen(string_at(h, token, "status.token")) > 100);
}

static void make_maps(Harness *h) {
    for (int i = 0; i < 5; i++) {
        const char *body =
            arena_printf(h->arena, "{\"metadata\":{\"name\":\"m%d\"},\"data\":{\"i\":\"%d\"}}", i,
                         i)
                .ptr;
        assert_status(call(h, "POST", MAPS, body), 201);
    }
}

static void test_lists(void **state) {
    Harness *h = *state;
    make_maps(h);
    Answer *a = get_protobuf(h, MAPS "?limit=3");
    assert_status(a, 200);
    Value *list = opened(h, a->body, "io.k8s.api.core.v1.ConfigMapList");
    assert_string_equal(string_at(h, list, "kind"), "ConfigMapList");
    assert_int_equal(value_get(list, STR("items"))->n, 3);
    assert_string_equal(string_at(h, value_get(list, STR("items"))->items[2], "data.i"), "2");
    assert_int_equal(value_int_at(list, "metadata.remainingItemCount", 0), 2);
    const char *token = string_at(h, list, "metadata.continue");
    a = get_protobuf(h, arena_printf(h->arena, MAPS "?limit=3&continue=%s", token).ptr);
    list = opened(h, a->body, "io.k8s.api.core.v1.ConfigMapList");
    assert_int_equal(value_get(list, STR("items"))->n, 2);
    assert_string_equal(string_at(h, list, "metadata.continue"), "");
    // metadata alone: metadata = 1 in both messages, so that a ConfigMap's type reads it
    const char *const partial[] = {
        "Accept", MEDIA_TYPE ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", NULL};
    a = call_with(h, h->admin, "GET", MAPS, NULL, partial);
    assert_status(a, 200);
    list = opened(h, a->body, "io.k8s.api.core.v1.ConfigMapList");
    assert_string_equal(string_at(h, list, "kind"), "PartialObjectMetadataList");
    assert_string_equal(string_at(h, list, "apiVersion"), "meta.k8s.io/v1");
    Value *first = value_get(list, STR("items"))->items[0];
    assert_string_equal(string_at(h, first, "metadata.name"), "m0");
    assert_null(value_get(first, STR("data")));
}

static void test_json_comes_first(void **state) {
    Harness *h = *state;
    const char *const accepts[] = {MEDIA_TYPE ",application/json", MEDIA_TYPE ", */*",
                                   MEDIA_TYPE ";q=1,application/json;q=0.5"};
    for (size_t i = 0; i < 3; i++) {
        Answer *a = call_with(h, h->admin, "GET", MAPS, NULL,
                              (const char *const[]){"Accept", accepts[i], NULL});
        assert_string_equal(arena_cstr(h->arena, a->content_type), "application/json");
    }
    Answer *a =
        call_with(h, h->admin, "GET", MAPS, NULL,
                  (const char *const[]){"Accept", MEDIA_TYPE ";as=Table;g=meta.k8s.io;v=v1", NULL});
    assert_status(a, 406); // a Table has no such form
}

// Takes one frame off the stream.
static Value *next_event(Harness *h, Str *rest, const char *expected) {
    assert_true(rest->len > 4);
    const unsigned char *p = (const unsigned char *)rest->ptr;
    size_t len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    assert_true(rest->len >= 4 + len);
    Str message = str_slice(*rest, 4, 4 + len);
    *rest = str_slice(*rest, 4 + len, rest->len);
    // WatchEvent: type = 1, object = 2 {raw = 1}
    size_t n = (size_t)message.ptr[1];
    assert_int_equal(message.ptr[0], 0x0a);
    assert_string_equal(arena_cstr(h->arena, str_slice(message, 2, 2 + n)), expected);
    assert_int_equal(message.ptr[2 + n], 0x12);
    size_t envelope = 0;
    while (!str_starts_with(str_slice(message, envelope, message.len), STR("k8s\0")))
        assert_true(++envelope < message.len);
    return opened(h, str_slice(message, envelope, message.len), "io.k8s.api.core.v1.ConfigMap");
}

static void test_watch(void **state) {
    Harness *h = *state;
    make_maps(h);
    HttpCall *watch;
    Answer *a = call_start(h, h->admin, "GET",
                           MAPS "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&"
                                "allowWatchBookmarks=true",
                           NULL, want_protobuf, &watch);
    harness_run(h, 10 * NSEC_PER_MSEC);
    assert_status(call(h, "DELETE", MAPS "/m3", NULL), 200);
    harness_run(h, 10 * NSEC_PER_MSEC);
    assert_string_equal(arena_cstr(h->arena, a->content_type), MEDIA_TYPE ";stream=watch");
    Str rest = a->body;
    for (int i = 0; i < 5; i++) {
        Value *map = next_event(h, &rest, "ADDED");
        assert_int_equal(string_at(h, map, "metadata.name")[1], '0' + i);
        assert_string_equal(string_at(h, map, "kind"), "ConfigMap");
    }
    Value *bookmark = next_event(h, &rest, "BOOKMARK");
    assert_non_null(value_at(bookmark, "metadata.annotations"));
    Value *gone = next_event(h, &rest, "DELETED");
    assert_string_equal(string_at(h, gone, "metadata.name"), "m3");
    assert_int_equal(rest.len, 0);
    http_call_cancel(watch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_create_and_update, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reviews_and_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delete_options, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_objects_and_statuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_comes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch, setup, teardown),
    };
    return cmocka_run_group_tests_name("api/protobuf", tests, NULL, NULL);
}
