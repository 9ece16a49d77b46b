#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

#define MAPS "/api/v1/namespaces/default/configmaps"

static int setup(void **state) {
    *state = harness_new();
    return 0;
}

static int teardown(void **state) {
    harness_free(*state);
    return 0;
}

static Answer *make_map(Harness *h, const char *name) {
    char body[256];
    snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"%s\"},\"data\":{\"k\":\"v\"}}", name);
    Answer *made = call(h, "POST", MAPS, body);
    assert_status(made, 201);
    return made;
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
    assert_status(call(h, "GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin", NULL), 200);
    // A second start writes nothing.
    const char *before = text_at(call(h, "GET", "/api/v1/namespaces", NULL), "metadata.resourceVersion");
    harness_restart(h);
    assert_string_equal(text_at(call(h, "GET", "/api/v1/namespaces", NULL), "metadata.resourceVersion"), before);
}

static void test_create_get_delete(void **state) {
    Harness *h = *state;
    Answer *made = call(h, "POST", MAPS,
                        "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\",\"uid\":\"mine\"},"
                        "\"data\":{\"k\":\"v\"}}");
    assert_status(made, 201);
    assert_string_equal(text_at(made, "metadata.namespace"), "default");
    assert_int_equal(strlen(text_at(made, "metadata.uid")), 36);
    assert_int_equal(strlen(text_at(made, "metadata.creationTimestamp")), 20);
    Answer *got = call(h, "GET", MAPS "/a", NULL);
    assert_status(got, 200);
    assert_true(value_equal(made->json, got->json));
    assert_refused(call(h, "POST", MAPS, "{\"metadata\":{\"name\":\"a\"}}"), 409, "configmaps \"a\" already exists");
    Answer *gone = call(h, "DELETE", MAPS "/a", NULL);
    assert_status(gone, 200);
    assert_string_equal(text_at(gone, "status"), "Success");
    assert_string_equal(text_at(gone, "details.name"), "a");
    assert_string_equal(text_at(gone, "details.kind"), "configmaps");
    assert_refused(call(h, "GET", MAPS "/a", NULL), 404, "configmaps \"a\" not found");
    assert_refused(call(h, "DELETE", MAPS "/a", NULL), 404, "configmaps \"a\" not found");
}

static void test_generate_name(void **state) {
    Harness *h = *state;
    Answer *a = call(h, "POST", MAPS, "{\"metadata\":{\"generateName\":\"cfg-\"}}");
    Answer *b = call(h, "POST", MAPS, "{\"metadata\":{\"generateName\":\"cfg-\"}}");
    assert_status(a, 201);
    assert_status(b, 201);
    assert_int_equal(strlen(text_at(a, "metadata.name")), 9);
    assert_memory_equal(text_at(a, "metadata.name"), "cfg-", 4);
    assert_string_not_equal(text_at(a, "metadata.name"), text_at(b, "metadata.name"));
}

static void test_names_and_namespaces(void **state) {
    Harness *h = *state;
    assert_refused(call(h, "POST", MAPS, "{\"metadata\":{\"name\":\"a\",\"namespace\":\"other\"}}"), 400,
                   "the namespace of the provided object does not match the namespace sent on the request");
    Answer *bad = call(h, "POST", MAPS, "{\"metadata\":{\"name\":\"A_b\"}}");
    assert_status(bad, 422);
    assert_string_equal(text_at(bad, "reason"), "Invalid");
    assert_string_equal(text_at(bad, "details.kind"), "ConfigMap");
    assert_string_equal(text_at(call(h, "POST", MAPS, "{}"), "message"),
                        "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required");
    assert_refused(call(h, "POST", "/api/v1/namespaces/nowhere/configmaps", "{\"metadata\":{\"name\":\"a\"}}"), 404,
                   "namespaces \"nowhere\" not found");
}

static void test_update(void **state) {
    Harness *h = *state;
    Answer *made = make_map(h, "a");
    const char *version = text_at(made, "metadata.resourceVersion");
    char body[512];
    snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"%s\"},\"data\":{\"k\":\"w\"}}", version);
    Answer *put = call(h, "PUT", MAPS "/a", body);
    assert_status(put, 200);
    assert_string_equal(text_at(put, "data.k"), "w");
    assert_string_equal(text_at(put, "metadata.uid"), text_at(made, "metadata.uid"));
    assert_string_equal(text_at(put, "metadata.creationTimestamp"), text_at(made, "metadata.creationTimestamp"));
    assert_refused(call(h, "PUT", MAPS "/a", body), 409,
                   "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your "
                   "changes to the latest version and try again");
    // Without a version: whatever is there.
    Answer *any = call(h, "PUT", MAPS "/a", "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"x\"}}");
    assert_status(any, 200);
    // The same again writes nothing.
    Answer *same = call(h, "PUT", MAPS "/a", "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"x\"}}");
    assert_string_equal(text_at(same, "metadata.resourceVersion"), text_at(any, "metadata.resourceVersion"));
    assert_refused(call(h, "PUT", MAPS "/a", "{\"metadata\":{\"name\":\"b\"}}"), 400,
                   "the name of the object (b) does not match the name on the URL (a)");
    assert_refused(call(h, "PUT", MAPS "/a", "{\"metadata\":{\"name\":\"a\",\"uid\":\"other\"}}"), 409,
                   arena_cstr(h->arena, arena_printf(h->arena,
                                                     "Operation cannot be fulfilled on configmaps \"a\": Precondition "
                                                     "failed: UID in precondition: other, UID in object meta: %s",
                                                     text_at(made, "metadata.uid"))));
    assert_refused(call(h, "PUT", MAPS "/none", "{\"metadata\":{\"name\":\"none\"}}"), 404,
                   "configmaps \"none\" not found");
}

static void test_create_on_update(void **state) {
    Harness *h = *state;
    const char *lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    assert_status(call(h, "PUT", lease, "{\"metadata\":{\"name\":\"l\"},\"spec\":{\"holderIdentity\":\"a\"}}"), 201);
    // Leases are renewed with a version or not at all.
    Answer *blind = call(h, "PUT", lease, "{\"metadata\":{\"name\":\"l\"},\"spec\":{\"holderIdentity\":\"b\"}}");
    assert_refused(blind, 422,
                   "leases.coordination.k8s.io \"l\" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be "
                   "specified for an update");
}

static void test_patches(void **state) {
    Harness *h = *state;
    make_map(h, "a");
    Answer *merge = call_patch(h, "merge", MAPS "/a", "{\"data\":{\"k\":null,\"n\":\"1\"},\"metadata\":{\"labels\":{\"x\":\"y\"}}}");
    assert_status(merge, 200);
    assert_string_equal(text_at(merge, "data.n"), "1");
    assert_null(value_at(merge->json, "data.k"));
    Answer *json = call_patch(h, "json", MAPS "/a", "[{\"op\":\"replace\",\"path\":\"/data/n\",\"value\":\"2\"}]");
    assert_status(json, 200);
    assert_string_equal(text_at(json, "data.n"), "2");
    Answer *strategic = call_patch(h, "strategic-merge", MAPS "/a", "{\"metadata\":{\"labels\":{\"z\":\"w\"}}}");
    assert_status(strategic, 200);
    assert_string_equal(text_at(strategic, "metadata.labels.x"), "y");
    assert_string_equal(text_at(strategic, "metadata.labels.z"), "w");
    // Nothing changed, nothing written.
    Answer *same = call_patch(h, "strategic-merge", MAPS "/a", "{\"metadata\":{\"labels\":{\"z\":\"w\"}}}");
    assert_string_equal(text_at(same, "metadata.resourceVersion"), text_at(strategic, "metadata.resourceVersion"));
    Answer *stale = call_patch(h, "merge", MAPS "/a", "{\"metadata\":{\"resourceVersion\":\"1\"},\"data\":{\"k\":\"v\"}}");
    assert_status(stale, 409);
    assert_status(call_patch(h, "json", MAPS "/a", "[{\"op\":\"test\",\"path\":\"/data/n\",\"value\":\"9\"}]"), 422);
    // staging/src/k8s.io/apiserver/pkg/endpoints/handlers/patch.go
    assert_refused(call_patch(h, "merge", MAPS "/a", "{"), 400,
                   "error decoding patch: unexpected end of JSON input");
    assert_refused(call_patch(h, "merge", MAPS "/a?fieldValidation=Ignore", "{"), 400,
                   "Invalid JSON Patch");
    assert_refused(call_patch(h, "strategic-merge", MAPS "/a", "{"), 400,
                   "unexpected end of JSON input");
    Answer *typed = call_patch(h, "strategic-merge", MAPS "/a",
                               "{\"metadata\":{\"labels\":{\"b\":1,\"a\":null}},\"data\":{\"x\":[true,\"y\"]}}");
    assert_status(typed, 422);
    assert_non_null(strstr(text_at(typed, "message"),
                           "patch: Invalid value: \"map[data:map[x:[true y]] "
                           "metadata:map[labels:map[a:<nil> b:1]]]\": "));
    assert_status(call_with(h, h->admin, "PATCH", MAPS "/a", "{}", (const char *const[]){"Content-Type", "text/plain", NULL}), 415);
    assert_refused(call_patch(h, "merge", MAPS "/none", "{}"), 404, "configmaps \"none\" not found");
    assert_refused(call_patch(h, "merge", MAPS "/a", "{\"metadata\":{\"name\":\"b\"}}"), 400,
                   "the name of the object (b) does not match the name on the URL (a)");
    Answer *wrong = call_patch(h, "merge", MAPS "/a", "{\"data\":{\"k\":1}}");
    assert_status(wrong, 422);
}

// No patch changes what an object is: runtime.DecodeInto for JSON and merge patches, the Go type for
// strategic ones.
static void test_patched_kind(void **state) {
    Harness *h = *state;
    make_map(h, "a");
    Answer *a = call_patch(h, "merge", MAPS "/a", "{\"kind\":\"Secret\"}");
    assert_status(a, 422);
    assert_non_null(strstr(text_at(a, "message"), "unable to decode /v1, Kind=Secret into "));
    a = call_patch(h, "json", MAPS "/a",
                   "[{\"op\":\"replace\",\"path\":\"/apiVersion\",\"value\":\"apps/v1\"}]");
    assert_status(a, 422);
    assert_status(call_patch(h, "merge", MAPS "/a", "{\"kind\":null,\"data\":{\"k\":\"2\"}}"), 200);
    assert_status(call_patch(h, "strategic-merge", MAPS "/a", "{\"kind\":\"Secret\",\"data\":{\"l\":\"3\"}}"), 200);
    a = call(h, "GET", MAPS "/a", NULL);
    assert_string_equal(text_at(a, "kind"), "ConfigMap");
    assert_string_equal(text_at(a, "data.k"), "2");
    assert_string_equal(text_at(a, "data.l"), "3");
}

// handlers/patch.go: maxJSONPatchOperations, and jsonpatch's errors as a generic 422.
static void test_json_patch(void **state) {
    Harness *h = *state;
    make_map(h, "a");
    assert_refused(call_patch(h, "json", MAPS "/a", "[{\"op\":\"test\",\"path\":\"/data/k\",\"value\":\"w\"}]"), 422,
                   "the server rejected our request due to an error in our request");
    assert_status(call_patch(h, "json", MAPS "/a",
                             "[{\"op\":\"test\",\"path\":\"/data/k\",\"value\":\"v\"},"
                             "{\"op\":\"remove\",\"path\":\"/data/k\"}]"),
                  200);
    assert_status(call_patch(h, "json", MAPS "/a", "[{\"op\":\"remove\",\"path\":\"/data/k\"}]"), 422);
    // What an operation should not have is told as any other unknown field (applyJSPatch).
    const char *odd = "[{\"op\":\"add\",\"op\":\"add\",\"path\":\"/data\",\"value\":{\"o\":\"1\"},\"foo\":1}]";
    Answer *strict = call_patch(h, "json", MAPS "/a?fieldValidation=Strict", odd);
    assert_status(strict, 422);
    assert_non_null(strstr(text_at(strict, "message"),
                           "strict decoding error: json patch duplicate field \"[0].op\", json patch "
                           "unknown field \"[0].foo\""));
    strict = call_patch(h, "json", MAPS "/a?fieldValidation=Warn", odd);
    assert_status(strict, 200);
    assert_non_null(strstr(strict->warnings.ptr, "json patch unknown field"));
    static const char one[] = ",{\"op\":\"test\",\"path\":\"/kind\",\"value\":\"ConfigMap\"}";
    enum { MOST = 10000, LEN = sizeof one - 1 };
    char *many = arena_alloc(h->arena, (MOST + 1) * LEN + 2);
    for (int n = MOST; n <= MOST + 1; n++) {
        for (int i = 0; i < n; i++)
            memcpy(many + (size_t)i * LEN, one, LEN);
        many[0] = '[';
        memcpy(many + (size_t)n * LEN, "]", 2);
        Answer *a = call_patch(h, "json", MAPS "/a", many);
        if (n == MOST)
            assert_status(a, 200);
        else
            assert_refused(a, 413,
                           "Request entity too large: The allowed maximum operations in a JSON "
                           "patch is 10000, got 10001");
    }
}

static void test_dry_run(void **state) {
    Harness *h = *state;
    Answer *made = call(h, "POST", MAPS "?dryRun=All", "{\"metadata\":{\"name\":\"a\"}}");
    assert_status(made, 201);
    assert_int_equal(strlen(text_at(made, "metadata.uid")), 36);
    assert_status(call(h, "GET", MAPS "/a", NULL), 404);
    make_map(h, "a");
    assert_status(call_patch(h, "merge", MAPS "/a?dryRun=All", "{\"data\":{\"k\":\"w\"}}"), 200);
    assert_string_equal(text_at(call(h, "GET", MAPS "/a", NULL), "data.k"), "v");
    assert_status(call(h, "DELETE", MAPS "/a?dryRun=All", NULL), 200);
    assert_status(call(h, "GET", MAPS "/a", NULL), 200);
    Answer *bad = call(h, "POST", MAPS "?dryRun=Some", "{\"metadata\":{\"name\":\"b\"}}");
    assert_refused(bad, 422,
                   "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: \"Some\": supported values: \"All\"");
}

static void test_finalizers(void **state) {
    Harness *h = *state;
    assert_status(call(h, "POST", MAPS, "{\"metadata\":{\"name\":\"a\",\"finalizers\":[\"x.io/a\"]}}"), 201);
    Answer *marked = call(h, "DELETE", MAPS "/a", NULL);
    assert_status(marked, 200);
    assert_string_equal(text_at(marked, "kind"), "ConfigMap");
    assert_int_equal(strlen(text_at(marked, "metadata.deletionTimestamp")), 20);
    assert_int_equal(number_at(marked, "metadata.deletionGracePeriodSeconds"), 0);
    assert_status(call(h, "GET", MAPS "/a", NULL), 200);
    Answer *again = call(h, "POST", MAPS, "{\"metadata\":{\"name\":\"a\"}}");
    assert_refused(again, 409, "object is being deleted: configmaps \"a\" already exists");
    assert_status(call_patch(h, "merge", MAPS "/a", "{\"metadata\":{\"finalizers\":null}}"), 200);
    assert_status(call(h, "GET", MAPS "/a", NULL), 404);
    // Propagation is the garbage collector's business: it becomes a finalizer, where there is one.
    h->garbage_collector = false;
    harness_restart(h);
    make_map(h, "b");
    assert_status(call(h, "DELETE", MAPS "/b", "{\"propagationPolicy\":\"Orphan\"}"), 200);
    assert_status(call(h, "GET", MAPS "/b", NULL), 404);
    h->garbage_collector = true;
    harness_restart(h);
    make_map(h, "b");
    Answer *foreground = call(h, "DELETE", MAPS "/b", "{\"propagationPolicy\":\"Foreground\"}");
    assert_status(foreground, 200);
    Str finalizer = value_at(foreground->json, "metadata.finalizers")->items[0]->string;
    assert_true(str_eq(finalizer, STR("foregroundDeletion")));
}

#define JOBS "/apis/batch/v1/namespaces/default/jobs"
#define JOB                                                                                        \
    "{\"metadata\":{\"name\":\"j\"},\"spec\":{\"template\":{\"spec\":{\"restartPolicy\":\"Never\","   \
    "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}"

// jobStrategy.DefaultGarbageCollectionPolicy: deleted without a word, a job leaves its pods behind.
static void test_default_propagation(void **state) {
    Harness *h = *state;
    assert_status(call(h, "POST", JOBS, JOB), 201);
    Answer *orphans = call(h, "DELETE", JOBS "/j", NULL);
    assert_status(orphans, 200);
    assert_true(str_eq(value_at(orphans->json, "metadata.finalizers")->items[0]->string,
                       STR("orphan")));
    assert_status(call_patch(h, "merge", JOBS "/j", "{\"metadata\":{\"finalizers\":null}}"), 200);
    assert_status(call(h, "POST", JOBS, JOB), 201);
    assert_status(call(h, "DELETE", JOBS "/j", "{\"propagationPolicy\":\"Background\"}"), 200);
    assert_status(call(h, "GET", JOBS "/j", NULL), 404);
    make_map(h, "a");
    assert_status(call(h, "DELETE", MAPS "/a", NULL), 200);
    assert_status(call(h, "GET", MAPS "/a", NULL), 404);
}

static void test_delete_options(void **state) {
    Harness *h = *state;
    Answer *made = make_map(h, "a");
    Answer *wrong = call(h, "DELETE", MAPS "/a", "{\"preconditions\":{\"uid\":\"x\"}}");
    assert_status(wrong, 409);
    assert_status(call(h, "DELETE", MAPS "/a", "{\"propagationPolicy\":\"Sideways\"}"), 422);
    assert_status(call(h, "DELETE", MAPS "/a", "{\"gracePeriodSeconds\":\"x\"}"), 400);
    assert_status(call(h, "DELETE", MAPS "/a", "{\"kind\":\"Pod\"}"), 400);
    char body[256];
    snprintf(body, sizeof body, "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"preconditions\":{\"uid\":\"%s\"}}",
             text_at(made, "metadata.uid"));
    assert_status(call(h, "DELETE", MAPS "/a", body), 200);
    assert_status(call(h, "GET", MAPS "/a", NULL), 404);
}

static void test_delete_collection(void **state) {
    Harness *h = *state;
    for (int i = 0; i < 150; i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"m%d\",\"labels\":{\"odd\":\"%d\"}}}", i, i % 2);
        assert_status(call(h, "POST", MAPS, body), 201);
    }
    Answer *gone = call(h, "DELETE", MAPS "?labelSelector=odd%3D1", NULL);
    assert_status(gone, 200);
    assert_string_equal(text_at(gone, "kind"), "ConfigMapList");
    assert_int_equal(value_get(gone->json, STR("items"))->n, 75);
    assert_int_equal(value_get(call(h, "GET", MAPS, NULL)->json, STR("items"))->n, 75);
    assert_status(call(h, "DELETE", MAPS, NULL), 200);
    assert_int_equal(value_get(call(h, "GET", MAPS, NULL)->json, STR("items"))->n, 0);
}

static void test_namespace_deletion(void **state) {
    Harness *h = *state;
    assert_status(call(h, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"n\"}}"), 201);
    Answer *going = call(h, "DELETE", "/api/v1/namespaces/n", NULL);
    assert_status(going, 200);
    assert_string_equal(text_at(going, "status.phase"), "Terminating");
    Answer *refused = call(h, "POST", "/api/v1/namespaces/n/configmaps", "{\"metadata\":{\"name\":\"a\"}}");
    assert_refused(refused, 403,
                   "configmaps \"a\" is forbidden: unable to create new content in namespace n because it is being "
                   "terminated");
    assert_status(call(h, "GET", "/api/v1/namespaces/n", NULL), 200);
    assert_status(call(h, "PUT", "/api/v1/namespaces/n/finalize",
                       "{\"metadata\":{\"name\":\"n\"},\"spec\":{\"finalizers\":[]}}"),
                  200);
    assert_status(call(h, "GET", "/api/v1/namespaces/n", NULL), 404);
    assert_refused(call(h, "DELETE", "/api/v1/namespaces/default", NULL), 403,
                   "namespaces \"default\" is forbidden: this namespace may not be deleted");
}

static void test_status_is_apart(void **state) {
    Harness *h = *state;
    assert_status(call(h, "POST", "/api/v1/nodes", "{\"metadata\":{\"name\":\"n1\"}}"), 201);
    Answer *main = call_patch(h, "merge", "/api/v1/nodes/n1", "{\"status\":{\"phase\":\"Running\"},\"spec\":{\"unschedulable\":true}}");
    assert_status(main, 200);
    assert_string_equal(text_at(main, "status.phase"), "");
    Answer *status = call_patch(h, "merge", "/api/v1/nodes/n1/status",
                                "{\"status\":{\"phase\":\"Running\"},\"spec\":{\"unschedulable\":null}}");
    assert_status(status, 200);
    assert_string_equal(text_at(status, "status.phase"), "Running");
    assert_true(value_bool_at(status->json, "spec.unschedulable", false));
    assert_status(call(h, "GET", "/api/v1/nodes/n1/status", NULL), 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bootstrap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create_get_delete, setup, teardown),
        cmocka_unit_test_setup_teardown(test_generate_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_and_namespaces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_update, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create_on_update, setup, teardown),
        cmocka_unit_test_setup_teardown(test_patches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_patched_kind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_patch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dry_run, setup, teardown),
        cmocka_unit_test_setup_teardown(test_default_propagation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_finalizers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delete_options, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delete_collection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_namespace_deletion, setup, teardown),
        cmocka_unit_test_setup_teardown(test_status_is_apart, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
