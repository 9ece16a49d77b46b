// The subresource `scale` (pkg/registry/apps/deployment/storage/storage.go upstream, ScaleREST),
// and the warning about kinds that nothing acts on.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "harness.h"

#define DEPLOYMENTS "/apis/apps/v1/namespaces/default/deployments"
#define CONTROLLERS "/api/v1/namespaces/default/replicationcontrollers"
#define TEMPLATE                                                                                   \
    "\"template\":{\"metadata\":{\"labels\":{\"app\":\"a\",\"tier\":\"b\"}},\"spec\":{"            \
    "\"containers\":[{\"name\":\"c\",\"image\":\"i:1\"}]}}"
#define DEPLOYMENT                                                                                 \
    "{\"metadata\":{\"name\":\"d\"},\"spec\":{\"replicas\":3,\"selector\":{\"matchLabels\":{"      \
    "\"app\":\"a\"},\"matchExpressions\":[{\"key\":\"tier\",\"operator\":\"In\",\"values\":["      \
    "\"c\",\"b\"]}]}," TEMPLATE "}}"

static int setup(void **state) {
    Harness *h = harness_new();
    *state = h;
    assert_status(call(h, "POST", DEPLOYMENTS, DEPLOYMENT), 201);
    return 0;
}

static int teardown(void **state) {
    harness_free(*state);
    return 0;
}

static const char *json_of(Harness *h, const Value *value) {
    _buf_deinit_ Buf buf = BUF_INIT(1 << 16);
    if (value)
        value_write_json(value, &buf);
    return arena_cstr(h->arena, buf_view(&buf));
}

static void test_get(void **state) {
    Harness *h = *state;
    Answer *scale = call(h, "GET", DEPLOYMENTS "/d/scale", NULL);
    assert_status(scale, 200);
    assert_string_equal(text_at(scale, "kind"), "Scale");
    assert_string_equal(text_at(scale, "apiVersion"), "autoscaling/v1");
    Answer *parent = call(h, "GET", DEPLOYMENTS "/d", NULL);
    static const char *const same[] = {"metadata.name", "metadata.namespace", "metadata.uid",
                                       "metadata.resourceVersion", "metadata.creationTimestamp"};
    assert_int_equal(value_at(scale->json, "metadata")->n, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(text_at(scale, same[i]), text_at(parent, same[i]));
    assert_string_equal(json_of(h, value_at(scale->json, "spec")), "{\"replicas\":3}");
    assert_string_equal(json_of(h, value_at(scale->json, "status")),
                        "{\"replicas\":0,\"selector\":\"app=a,tier in (b,c)\"}");
    assert_status(call(h, "GET", DEPLOYMENTS "/none/scale", NULL), 404);
    // A replication controller's selector is a plain map.
    assert_status(
        call(h, "POST", CONTROLLERS, "{\"metadata\":{\"name\":\"r\"},\"spec\":{" TEMPLATE "}}"),
        201);
    assert_string_equal(text_at(call(h, "GET", CONTROLLERS "/r/scale", NULL), "status.selector"),
                        "app=a,tier=b");
}

static void test_table(void **state) {
    Harness *h = *state;
    static const char *const table[] = {"Accept", "application/json;as=Table;v=v1;g=meta.k8s.io",
                                        NULL};
    Answer *answer = call_with(h, h->admin, "GET", DEPLOYMENTS "/d/scale", NULL, table);
    assert_status(answer, 200);
    const Value *cells = value_at(value_at(answer->json, "rows")->items[0], "cells");
    assert_string_equal(json_of(h, cells), "[\"d\",3,0,\"0s\"]");
}

static void test_update(void **state) {
    Harness *h = *state;
    Answer *scale = call(h, "GET", DEPLOYMENTS "/d/scale", NULL);
    char body[512];
    snprintf(body, sizeof body,
             "{\"kind\":\"Scale\",\"apiVersion\":\"autoscaling/v1\",\"metadata\":{\"name\":\"d\","
             "\"resourceVersion\":\"%s\"},\"spec\":{\"replicas\":5}}",
             text_at(scale, "metadata.resourceVersion"));
    Answer *put = call(h, "PUT", DEPLOYMENTS "/d/scale", body);
    assert_status(put, 200);
    assert_string_equal(text_at(put, "kind"), "Scale");
    assert_int_equal(number_at(put, "spec.replicas"), 5);
    Answer *parent = call(h, "GET", DEPLOYMENTS "/d", NULL);
    assert_int_equal(number_at(parent, "spec.replicas"), 5);
    assert_int_equal(number_at(parent, "metadata.generation"), 2);
    assert_string_equal(text_at(parent, "metadata.resourceVersion"),
                        text_at(put, "metadata.resourceVersion"));
    // The same again is of an old state.
    assert_refused(call(h, "PUT", DEPLOYMENTS "/d/scale", body), 409,
                   "Operation cannot be fulfilled on deployments.apps \"d\": the object has been "
                   "modified; please apply your changes to the latest version and try again");
    assert_status(call(h, "PUT", DEPLOYMENTS "/d/scale", "{\"metadata\":{\"name\":\"d\"}}"), 200);
    assert_int_equal(number_at(call(h, "GET", DEPLOYMENTS "/d", NULL), "spec.replicas"), 0);
    // pkg/apis/autoscaling/validation ValidateScale
    assert_refused(call(h, "PUT", DEPLOYMENTS "/d/scale",
                        "{\"metadata\":{\"name\":\"d\"},\"spec\":{\"replicas\":-1}}"),
                   422,
                   "Scale.autoscaling \"d\" is invalid: spec.replicas: Invalid value: -1: must be "
                   "greater than "
                   "or equal to 0");
    assert_status(call(h, "PUT", DEPLOYMENTS "/d/scale",
                       "{\"kind\":\"Deployment\",\"apiVersion\":\"apps/v1\",\"metadata\":{"
                       "\"name\":\"d\"}}"),
                  400);
    assert_status(call(h, "PUT", DEPLOYMENTS "/none/scale", "{\"metadata\":{\"name\":\"none\"}}"),
                  404);
    assert_status(call(h, "DELETE", DEPLOYMENTS "/d/scale", NULL), 405);
}

static void test_patch(void **state) {
    Harness *h = *state;
    Answer *patched = call_patch(h, "merge", DEPLOYMENTS "/d/scale", "{\"spec\":{\"replicas\":7}}");
    assert_status(patched, 200);
    assert_int_equal(number_at(patched, "spec.replicas"), 7);
    // What else a Scale holds is not taken over.
    assert_status(call_patch(h, "strategic-merge", DEPLOYMENTS "/d/scale",
                             "{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"status\":{\"replicas\":9},"
                             "\"spec\":{\"replicas\":8}}"),
                  200);
    assert_status(call_patch(h, "json", DEPLOYMENTS "/d/scale",
                             "[{\"op\":\"test\",\"path\":\"/spec/replicas\",\"value\":8}]"),
                  200);
    Answer *parent = call(h, "GET", DEPLOYMENTS "/d", NULL);
    assert_int_equal(number_at(parent, "spec.replicas"), 8);
    assert_null(value_at(parent->json, "metadata.labels"));
    Answer *dry =
        call_patch(h, "merge", DEPLOYMENTS "/d/scale?dryRun=All", "{\"spec\":{\"replicas\":1}}");
    assert_int_equal(number_at(dry, "spec.replicas"), 1);
    assert_int_equal(number_at(call(h, "GET", DEPLOYMENTS "/d", NULL), "spec.replicas"), 8);
}

#define SCALE(replicas)                                                                            \
    "{\"kind\":\"Scale\",\"apiVersion\":\"autoscaling/v1\",\"metadata\":{\"name\":\"d\"},"         \
    "\"spec\":{\"replicas\":" #replicas "}}"

static Answer *apply(Harness *h, const char *query, const char *body) {
    static const char *const headers[] = {"Content-Type", "application/apply-patch+yaml", NULL};
    char target[256];
    snprintf(target, sizeof target, DEPLOYMENTS "/d/scale?%s", query);
    return call_with(h, h->admin, "PATCH", target, body, headers);
}

static void test_apply(void **state) {
    Harness *h = *state;
    Answer *other = apply(h, "fieldManager=x", SCALE(4));
    assert_status(other, 409); // whoever made the deployment has said 3
    assert_string_equal(
        text_at(other, "message"),
        "Apply failed with 1 conflict: conflict with \"unknown\" using apps/v1: .spec.replicas");
    Answer *forced = apply(h, "fieldManager=x&force=true", SCALE(4));
    assert_status(forced, 200);
    assert_int_equal(number_at(forced, "spec.replicas"), 4);
    const Value *managers =
        value_at(call(h, "GET", DEPLOYMENTS "/d", NULL)->json, "metadata.managedFields");
    const Value *entry = NULL;
    for (uint32_t i = 0; i < managers->n; i++)
        if (str_eq(value_string_at(managers->items[i], "manager"), STR("x")))
            entry = managers->items[i];
    assert_non_null(entry);
    assert_true(str_eq(value_string_at(entry, "subresource"), STR("scale")));
    assert_true(str_eq(value_string_at(entry, "operation"), STR("Apply")));
    assert_string_equal(json_of(h, value_get(entry, STR("fieldsV1"))),
                        "{\"f:spec\":{\"f:replicas\":{}}}");
    assert_status(apply(h, "fieldManager=x", DEPLOYMENT), 400); // no Scale
}

// kube-controller-manager's client speaks Protobuf to this endpoint too.
static void test_protobuf(void **state) {
    Harness *h = *state;
    static const char *const get[] = {"Accept", "application/vnd.kubernetes.protobuf", NULL};
    static const char *const put[] = {"Content-Type", "application/vnd.kubernetes.protobuf", NULL};
    Answer *scale = call_with(h, h->admin, "GET", DEPLOYMENTS "/d/scale", NULL, get);
    assert_status(scale, 200);
    assert_true(str_starts_with(scale->content_type, STR("application/vnd.kubernetes.protobuf")));
    assert_memory_equal(scale->body.ptr, "k8s\0", 4);
    Answer *same = call_bytes(h, h->admin, "PUT", DEPLOYMENTS "/d/scale", scale->body, put);
    assert_status(same, 200);
    assert_int_equal(number_at(same, "spec.replicas"), 3);
}

static void test_discovery(void **state) {
    Harness *h = *state;
    const Value *list = value_at(call(h, "GET", "/apis/apps/v1", NULL)->json, "resources");
    const Value *found = NULL;
    for (uint32_t i = 0; i < list->n; i++)
        if (str_eq(value_string_at(list->items[i], "name"), STR("deployments/scale")))
            found = list->items[i];
    assert_non_null(found);
    assert_true(str_eq(value_string_at(found, "group"), STR("autoscaling")));
    assert_true(str_eq(value_string_at(found, "version"), STR("v1")));
    assert_true(str_eq(value_string_at(found, "kind"), STR("Scale")));
}

// issue: "its creation returns a Warning header that says so". Kinds lose the mark when something
// acts on them.
static void test_idle_kinds_warn(void **state) {
    Harness *h = *state;
    const char *body = "{\"metadata\":{\"name\":\"b\"},\"spec\":{\"podSelector\":{}}}";
    Answer *made =
        call(h, "POST", "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies", body);
    assert_status(made, 201);
    assert_string_equal(made->warnings.ptr ? arena_cstr(h->arena, made->warnings) : "",
                        "299 - \"nothing acts on objects of kind NetworkPolicy yet: this one "
                        "is kept, and that is all\"\n");
    Answer *put =
        call_patch(h, "merge", "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies/b",
                   "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}");
    assert_status(put, 200);
    assert_int_equal(put->warnings.len, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_get),   T(test_table),    T(test_update),    T(test_patch),
        T(test_apply), T(test_protobuf), T(test_discovery), T(test_idle_kinds_warn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
