#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

static int setup(void **state) {
    *state = harness_new();
    return 0;
}

static int teardown(void **state) {
    harness_free(*state);
    return 0;
}

static void test_bootstrap(void **state) {
    Harness *h = *state;
    static const char *const names[] = {"default", "kube-system", "kube-public", "kube-node-lease"};
    for (int i = 0; i < 4; i++) {
        char target[64];
        snprintf(target, sizeof target, "/api/v1/namespaces/%s", names[i]);
        Answer *a = call(h, "GET", target, NULL);
        assert_status(a, 200);
        assert_string_equal(text_at(a, "status.phase"), "Active");
    }
    Answer *service = call(h, "GET", "/api/v1/namespaces/default/services/kubernetes", NULL);
    assert_status(service, 200);
    assert_string_equal(text_at(service, "spec.clusterIP"), "10.43.0.1");
    assert_status(
        call(h, "GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin", NULL), 200);
    // A second start writes nothing.
    const char *before =
        text_at(call(h, "GET", "/api/v1/namespaces", NULL), "metadata.resourceVersion");
    harness_restart(h);
    assert_string_equal(
        text_at(call(h, "GET", "/api/v1/namespaces", NULL), "metadata.resourceVersion"), before);
}

static void test_create_get_delete(void **state) {
    Harness *h = *state;
    Answer *made = call(h, "POST", "/api/v1/namespaces/default/configmaps",
                        "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":"
                        "\"a\",\"uid\":\"mine\"},"
                        "\"data\":{\"k\":\"v\"}}");
    assert_status(made, 201);
    assert_string_equal(text_at(made, "metadata.namespace"), "default");
    assert_int_equal(strlen(text_at(made, "metadata.uid")), 36);
    assert_true(strlen(text_at(made, "metadata.creationTimestamp")) == 20);
    Answer *got = call(h, "GET", "/api/v1/namespaces/default/configmaps/a", NULL);
    assert_status(got, 200);
    assert_true(value_equal(made->json, got->json));
    assert_refused(
        call(h, "POST", "/api/v1/namespaces/default/configmaps", "{\"metadata\":{\"name\":\"a\"}}"),
        409, "configmaps \"a\" already exists");
    Answer *gone = call(h, "DELETE", "/api/v1/namespaces/default/configmaps/a", NULL);
    assert_status(gone, 200);
    assert_string_equal(text_at(gone, "status"), "Success");
    assert_string_equal(text_at(gone, "details.name"), "a");
    assert_refused(call(h, "GET", "/api/v1/namespaces/default/configmaps/a", NULL), 404,
                   "configmaps \"a\" not found");
    assert_refused(call(h, "DELETE", "/api/v1/namespaces/default/configmaps/a", NULL), 404,
                   "configmaps \"a\" not found");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bootstrap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create_get_delete, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
