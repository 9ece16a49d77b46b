#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

#define PODS "/api/v1/namespaces/default/pods"
#define SERVICES "/api/v1/namespaces/default/services"

static int setup(void **state) {
    Harness *h = harness_new();
    *state = h;
    assert_status(call(h, "POST", "/api/v1/namespaces/default/serviceaccounts",
                       "{\"metadata\":{\"name\":\"default\"}}"),
                  201);
    return 0;
}

static int teardown(void **state) {
    harness_free(*state);
    return 0;
}

static Answer *make_pod(Harness *h, const char *name, const char *more) {
    char body[2048];
    snprintf(body, sizeof body,
             "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":"
             "\"i\"}]%s}}",
             name, more);
    Answer *made = call(h, "POST", PODS, body);
    assert_status(made, 201);
    return made;
}

static Answer *bind(Harness *h, const char *pod, const char *node) {
    char target[256], body[256];
    snprintf(target, sizeof target, PODS "/%s/binding", pod);
    snprintf(body, sizeof body,
             "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":\"%s\"},"
             "\"target\":{\"apiVersion\":\"v1\",\"kind\":"
             "\"Node\",\"name\":\"%s\"}}",
             pod, node);
    return call(h, "POST", target, body);
}

static void test_admission(void **state) {
    Harness *h = *state;
    Answer *pod = make_pod(h, "p", "");
    assert_string_equal(text_at(pod, "spec.serviceAccountName"), "default");
    assert_string_equal(text_at(pod, "spec.serviceAccount"), "default");
    assert_int_equal(number_at(pod, "spec.priority"), 0);
    assert_string_equal(text_at(pod, "spec.preemptionPolicy"), "PreemptLowerPriority");
    assert_int_equal(value_at(pod->json, "spec.tolerations")->n, 2);
    const Value *volume = value_at(pod->json, "spec.volumes")->items[0];
    Str name = value_string_at(volume, "name");
    assert_true(str_starts_with(name, STR("kube-api-access-")));
    assert_int_equal(name.len, 21);
    assert_int_equal(value_at(volume, "projected.sources")->n, 3);
    const Value *mount =
        value_get(value_at(pod->json, "spec.containers")->items[0], STR("volumeMounts"))->items[0];
    assert_true(str_eq(value_string_at(mount, "name"), name));
    assert_true(str_eq(value_string_at(mount, "mountPath"),
                       STR("/var/run/secrets/kubernetes.io/serviceaccount")));
    Answer *plain = make_pod(h, "q", ",\"automountServiceAccountToken\":false");
    assert_null(value_at(plain->json, "spec.volumes"));
    Answer *refused = call(h, "POST", PODS,
                           "{\"metadata\":{\"name\":\"r\"},\"spec\":{\"serviceAccountName\":\"x\","
                           "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
    assert_refused(refused, 403,
                   "pods \"r\" is forbidden: error looking up service account default/x: "
                   "serviceaccount \"x\" not found");
    refused = call(h, "POST", PODS,
                   "{\"metadata\":{\"name\":\"r\"},\"spec\":{\"priorityClassName\":\"x\","
                   "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
    assert_refused(refused, 403, "pods \"r\" is forbidden: no PriorityClass with name x was found");
}

// A namespace's default account comes a moment after it: the pod's creation waits for that.
static void test_account_that_comes_late(void **state) {
    Harness *h = *state;
    assert_status(call(h, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"n\"}}"), 201);
    const char *pod = "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\","
                      "\"image\":\"i\"}]}}";
    Answer *pending = call_start(h, h->admin, "POST", "/api/v1/namespaces/n/pods", pod, NULL, NULL);
    harness_run(h, 100 * NSEC_PER_MSEC);
    assert_false(pending->done);
    assert_status(call(h, "POST", "/api/v1/namespaces/n/serviceaccounts",
                       "{\"metadata\":{\"name\":\"default\"}}"),
                  201);
    harness_run(h, 10 * NSEC_PER_MSEC);
    assert_true(pending->done);
    assert_status(pending, 201);
    assert_status(call(h, "DELETE", "/api/v1/namespaces/n/serviceaccounts/default", NULL), 200);
    Answer *refused = call(h, "POST", "/api/v1/namespaces/n/pods",
                           "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"containers\":[{\"name\":"
                           "\"c\",\"image\":\"i\"}]}}");
    assert_status(refused, 403);
}

static void test_binding(void **state) {
    Harness *h = *state;
    make_pod(h, "p", "");
    assert_status(bind(h, "p", "n1"), 201);
    Answer *pod = call(h, "GET", PODS "/p", NULL);
    assert_string_equal(text_at(pod, "spec.nodeName"), "n1");
    const Value *condition = value_at(pod->json, "status.conditions")->items[0];
    assert_true(str_eq(value_string_at(condition, "type"), STR("PodScheduled")));
    assert_true(str_eq(value_string_at(condition, "status"), STR("True")));
    assert_refused(bind(h, "p", "n2"), 409,
                   "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned "
                   "to node \"n1\"");
    assert_refused(bind(h, "none", "n1"), 404, "pods \"none\" not found");
    assert_status(call(h, "POST", PODS "/p/binding",
                       "{\"metadata\":{\"name\":\"p\"},\"target\":{\"kind\":\"Node\"}}"),
                  422);
}

static void test_graceful_deletion(void **state) {
    Harness *h = *state;
    make_pod(h, "pending", "");
    Answer *gone = call(h, "DELETE", PODS "/pending", NULL);
    assert_status(gone, 200);
    assert_string_equal(text_at(gone, "kind"), "Pod");
    assert_status(call(h, "GET", PODS "/pending", NULL), 404); // no node to wait for
    make_pod(h, "p", ",\"terminationGracePeriodSeconds\":20");
    assert_status(bind(h, "p", "n1"), 201);
    Answer *marked = call(h, "DELETE", PODS "/p", NULL);
    assert_status(marked, 200);
    assert_int_equal(number_at(marked, "metadata.deletionGracePeriodSeconds"), 20);
    assert_string_equal(text_at(marked, "metadata.deletionTimestamp"), "2026-09-21T14:13:40Z");
    // It can only be shortened.
    Answer *longer = call(h, "DELETE", PODS "/p", "{\"gracePeriodSeconds\":60}");
    assert_int_equal(number_at(longer, "metadata.deletionGracePeriodSeconds"), 20);
    Answer *shorter = call(h, "DELETE", PODS "/p", "{\"gracePeriodSeconds\":5}");
    assert_int_equal(number_at(shorter, "metadata.deletionGracePeriodSeconds"), 5);
    assert_string_equal(text_at(shorter, "metadata.deletionTimestamp"), "2026-09-21T14:13:25Z");
    assert_status(call(h, "GET", PODS "/p", NULL), 200);
    assert_status(call(h, "DELETE", PODS "/p", "{\"gracePeriodSeconds\":0}"), 200);
    assert_status(call(h, "GET", PODS "/p", NULL), 404);
    make_pod(h, "q", "");
    assert_status(bind(h, "q", "n1"), 201);
    assert_status(call(h, "DELETE", PODS "/q?gracePeriodSeconds=0", NULL), 200);
    assert_status(call(h, "GET", PODS "/q", NULL), 404);
}

static void test_eviction(void **state) {
    Harness *h = *state;
    make_pod(h, "p", "");
    const char *body =
        "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"p\"}}";
    assert_status(call(h, "POST", PODS "/p/eviction", body), 201);
    assert_status(call(h, "GET", PODS "/p", NULL), 404);
    assert_status(call(h, "POST", PODS "/p/eviction", body), 404);
    assert_status(call(h, "POST", PODS "/q/eviction", body), 400);
}

static Answer *make_service(Harness *h, const char *name, const char *spec) {
    char body[1024];
    snprintf(body, sizeof body,
             "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"ports\":[{\"port\":80}]%s}}", name, spec);
    return call(h, "POST", SERVICES, body);
}

static void test_cluster_ips(void **state) {
    Harness *h = *state;
    Answer *a = make_service(h, "a", ""), *b = make_service(h, "b", "");
    assert_status(a, 201);
    assert_status(b, 201);
    assert_memory_equal(text_at(a, "spec.clusterIP"), "10.43.0.", 8);
    assert_string_not_equal(text_at(a, "spec.clusterIP"), text_at(b, "spec.clusterIP"));
    char ip[32], spec[128];
    snprintf(ip, sizeof ip, "%s", text_at(a, "spec.clusterIP"));
    snprintf(spec, sizeof spec, ",\"clusterIP\":\"%s\"", ip);
    Answer *taken = make_service(h, "c", spec);
    assert_status(taken, 422);
    assert_non_null(strstr(text_at(taken, "message"), "failed to allocate IP"));
    assert_non_null(strstr(text_at(taken, "message"), "provided IP is already allocated"));
    Answer *outside = make_service(h, "c", ",\"clusterIP\":\"10.9.9.9\"");
    assert_status(outside, 422);
    assert_non_null(strstr(text_at(outside, "message"),
                           "the provided IP (10.9.9.9) is not in the valid range. "
                           "The range of valid IPs is 10.43.0.0/24"));
    assert_status(call(h, "DELETE", SERVICES "/a", NULL), 200);
    harness_run(h, NSEC_PER_MSEC);
    assert_status(make_service(h, "c", spec), 201);
    // An update that leaves the address out keeps it.
    Answer *put = call(h, "PUT", SERVICES "/c",
                       "{\"metadata\":{\"name\":\"c\"},\"spec\":{\"ports\":[{\"port\":81}]}}");
    assert_status(put, 200);
    assert_string_equal(text_at(put, "spec.clusterIP"), ip);
    Answer *headless = make_service(h, "d", ",\"clusterIP\":\"None\"");
    assert_status(headless, 201);
    assert_string_equal(text_at(headless, "spec.clusterIP"), "None");
    // A failed creation gives back what it took: the range has 254 addresses.
    for (int i = 0; i < 300; i++)
        assert_status(make_service(h, "c", ""), 409);
    assert_status(make_service(h, "e", ""), 201);
}

static const char *families_of(Harness *h, const Answer *answer) {
    Buf buf = BUF_INIT(4096);
    Value *families = value_at(answer->json, "spec.ipFamilies");
    if (families)
        value_write_json(families, &buf);
    const char *text = arena_cstr(h->arena, buf_view(&buf));
    buf_deinit(&buf);
    return text;
}

// pkg/registry/core/service/storage/alloc.go, initIPFamilyFields
static void test_ip_families(void **state) {
    Harness *h = *state;
    Answer *a = make_service(h, "a", "");
    assert_string_equal(text_at(a, "spec.ipFamilyPolicy"), "SingleStack");
    assert_string_equal(families_of(h, a), "[\"IPv4\"]");
    Answer *put = call(h, "PUT", SERVICES "/a",
                       "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"ports\":[{\"port\":81}]}}");
    assert_status(put, 200);
    assert_string_equal(families_of(h, put), "[\"IPv4\"]");
    Answer *prefer = make_service(h, "b", ",\"ipFamilyPolicy\":\"PreferDualStack\"");
    assert_status(prefer, 201);
    assert_string_equal(families_of(h, prefer), "[\"IPv4\"]");
    Answer *headless = make_service(h, "c", ",\"clusterIP\":\"None\"");
    assert_string_equal(text_at(headless, "spec.ipFamilyPolicy"), "RequireDualStack");
    assert_string_equal(families_of(h, headless), "[\"IPv4\",\"IPv6\"]");
    Answer *selects = make_service(h, "d", ",\"clusterIP\":\"None\",\"selector\":{\"a\":\"b\"}");
    assert_string_equal(text_at(selects, "spec.ipFamilyPolicy"), "SingleStack");
    assert_string_equal(families_of(h, selects), "[\"IPv4\"]");
    Answer *named = make_service(h, "e", ",\"type\":\"ExternalName\",\"externalName\":\"x.org\"");
    assert_status(named, 201);
    assert_string_equal(families_of(h, named), "");
    assert_refused(make_service(h, "f", ",\"ipFamilyPolicy\":\"RequireDualStack\""), 422,
                   "Service \"f\" is invalid: spec.ipFamilyPolicy: Invalid value: "
                   "\"RequireDualStack\": this cluster is not configured for dual-stack services");
    assert_refused(make_service(h, "f", ",\"ipFamilies\":[\"IPv6\"]"), 422,
                   "Service \"f\" is invalid: spec.ipFamilies[0]: Invalid value: \"IPv6\": not "
                   "configured on this cluster");
    assert_refused(make_service(h, "f", ",\"ipFamilies\":[\"IPv4\",\"IPv6\"]"), 422,
                   "Service \"f\" is invalid: spec.ipFamilyPolicy: Invalid value: \"SingleStack\": "
                   "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are "
                   "specified");
    assert_refused(
        make_service(h, "f", ",\"clusterIP\":\"fd00::1\""), 422,
        "Service \"f\" is invalid: spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: IPv6 "
        "is not configured on this cluster");
}

static void test_node_ports(void **state) {
    Harness *h = *state;
    Answer *a = make_service(h, "a", ",\"type\":\"NodePort\"");
    assert_status(a, 201);
    int64_t port = value_int_at(value_at(a->json, "spec.ports")->items[0], "nodePort", 0);
    assert_true(port >= 30000 && port <= 32767);
    char body[512];
    snprintf(body, sizeof body,
             "{\"metadata\":{\"name\":\"b\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":"
             "80,\"nodePort\":%d}]}}",
             (int)port);
    assert_refused(
        call(h, "POST", SERVICES, body), 422,
        arena_cstr(
            h->arena,
            arena_printf(h->arena,
                         "Service \"b\" is invalid: spec.ports[0].nodePort: Invalid value: %d: "
                         "provided port is already allocated",
                         (int)port)));
    // Back to ClusterIP, and it is free again.
    assert_status(call_patch(h, "merge", SERVICES "/a",
                             "{\"spec\":{\"type\":\"ClusterIP\",\"ports\":[{\"port\":80}]}}"),
                  200);
    harness_run(h, NSEC_PER_MSEC);
    assert_status(call(h, "POST", SERVICES, body), 201);
}

static void ignore(void *user, int error, const StoreResult *result) {}

// Taken addresses without a Service (a crash between the two writes) are free after the next start.
static void test_allocation_repair(void **state) {
    Harness *h = *state;
    Bytes *value = bytes_new("{}", 2);
    store_put(h->store, STR("/registry/ranges/serviceips/10.43.0.77"), value, STORE_ABSENT, 0,
              ignore, NULL);
    bytes_unref(value);
    harness_run(h, NSEC_PER_MSEC);
    assert_status(make_service(h, "a", ",\"clusterIP\":\"10.43.0.77\""), 422);
    assert_status(make_service(h, "b", ",\"clusterIP\":\"10.43.0.78\""), 201);
    harness_restart(h);
    assert_status(make_service(h, "a", ",\"clusterIP\":\"10.43.0.77\""), 201);
    assert_status(make_service(h, "c", ",\"clusterIP\":\"10.43.0.78\""), 422);
}

static void test_log_and_exec(void **state) {
    Harness *h = *state;
    Answer *a = call(h, "POST", PODS,
                     "{\"metadata\":{\"name\":\"two\"},\"spec\":{\"containers\":[{\"name\":\"a\","
                     "\"image\":\"i\"},{\"name\":\"b\",\"image\":\"i\"}]}}");
    assert_status(a, 201);
    assert_refused(call(h, "GET", PODS "/two/log", NULL), 400,
                   "a container name must be specified for pod two, choose one of: [a b]");
    assert_refused(call(h, "GET", PODS "/two/log?container=x", NULL), 400,
                   "container x is not valid for pod two");
    assert_refused(call(h, "GET", PODS "/none/log", NULL), 404, "pods \"none\" not found");
    // Not scheduled: nothing to show yet.
    a = call(h, "GET", PODS "/two/log?container=a", NULL);
    assert_int_equal(a->status, 200);
    assert_int_equal(a->body.len, 0);
    assert_refused(call(h, "POST", PODS "/two/exec?container=a&command=ls&stdout=true", NULL), 400,
                   "pod two does not have a host assigned");
    assert_status(bind(h, "two", "n1"), 201);
    assert_refused(call(h, "GET", PODS "/two/log?container=a", NULL), 404,
                   "nodes \"n1\" not found");
    assert_refused(call(h, "POST", PODS "/two/exec?container=a&command=ls&stdout=true", NULL), 400,
                   "Upgrade request required");
    assert_status(call(h, "GET", PODS "/two/log?container=a&tailLines=-1", NULL), 422);
    assert_status(call(h, "GET", PODS "/two/log?container=a&tailLines=x", NULL), 400);
    assert_status(call(h, "PATCH", PODS "/two/resize", "{}"), 501);
}

static void test_apply(void **state) {
    Harness *h = *state;
    const char *const apply[] = {"Content-Type", "application/apply-patch+yaml", NULL};
    const char *config =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: \"1\"\n";
    const char *path = "/api/v1/namespaces/default/configmaps/a";
    assert_status(call_with(h, h->admin, "PATCH", path, config, apply), 422); // who?
    char target[128];
    snprintf(target, sizeof target, "%s?fieldManager=me", path);
    Answer *a = call_with(h, h->admin, "PATCH", target, config, apply);
    assert_status(a, 201);
    Answer *same = call_with(h, h->admin, "PATCH", target, config, apply);
    assert_status(same, 200);
    assert_string_equal(text_at(same, "metadata.resourceVersion"),
                        text_at(a, "metadata.resourceVersion"));
    snprintf(target, sizeof target, "%s?fieldManager=you", path);
    const char *other =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: \"2\"\n";
    Answer *conflict = call_with(h, h->admin, "PATCH", target, other, apply);
    assert_status(conflict, 409);
    assert_string_equal(text_at(conflict, "reason"), "Conflict");
    snprintf(target, sizeof target, "%s?fieldManager=you&force=true", path);
    assert_status(call_with(h, h->admin, "PATCH", target, other, apply), 200);
    // Writes without apply are tracked, too.
    assert_status(call(h, "POST", "/api/v1/namespaces/default/configmaps?fieldManager=maker",
                       "{\"metadata\":{\"name\":\"b\"},\"data\":{\"k\":\"v\"}}"),
                  201);
    Answer *b = call(h, "GET", "/api/v1/namespaces/default/configmaps/b", NULL);
    const Value *managed = value_at(b->json, "metadata.managedFields");
    assert_non_null(managed);
    assert_true(str_eq(value_string_at(managed->items[0], "manager"), STR("maker")));
}

static void test_events_in_both_groups(void **state) {
    Harness *h = *state;
    assert_status(
        call(h, "POST", "/api/v1/namespaces/default/events",
             "{\"metadata\":{\"name\":\"e\"},\"involvedObject\":{\"kind\":\"Pod\",\"name\":\"p\","
             "\"namespace\":\"default\"},"
             "\"reason\":\"Started\",\"message\":\"Started "
             "container\",\"type\":\"Normal\",\"count\":2,\"firstTimestamp\":\"2026-09-21T14:13:"
             "20Z\","
             "\"lastTimestamp\":\"2026-09-21T14:13:20Z\",\"source\":{\"component\":\"kubelet\"}}"),
        201);
    Answer *a = call(h, "GET", "/apis/events.k8s.io/v1/namespaces/default/events/e", NULL);
    assert_status(a, 200);
    assert_string_equal(text_at(a, "apiVersion"), "events.k8s.io/v1");
    assert_string_equal(text_at(a, "note"), "Started container");
    assert_string_equal(text_at(a, "regarding.name"), "p");
    assert_int_equal(number_at(a, "deprecatedCount"), 2);
    Answer *list =
        call(h, "GET", "/apis/events.k8s.io/v1/events?fieldSelector=regarding.name%3Dp", NULL);
    assert_status(list, 200);
    assert_int_equal(value_get(list->json, STR("items"))->n, 1);
    assert_true(str_eq(value_string_at(value_get(list->json, STR("items"))->items[0], "note"),
                       STR("Started container")));
}

static void test_events_expire(void **state) {
    Harness *h = *state;
    const char *events = "/api/v1/namespaces/default/events";
    const char *body = "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"default\"},"
                       "\"involvedObject\":{\"namespace\":\"default\"},"
                       "\"reason\":\"R\",\"type\":\"Normal\"}";
    char first[512], second[512];
    snprintf(first, sizeof first, body, "a");
    snprintf(second, sizeof second, body, "b");
    assert_status(call(h, "POST", events, first), 201);
    harness_run(h, 50 * 60 * NSEC_PER_SEC);
    assert_status(call(h, "POST", events, second), 201);
    harness_run(h, 20 * 60 * NSEC_PER_SEC);
    assert_status(call(h, "GET", "/api/v1/namespaces/default/events/a", NULL), 404);
    assert_status(call(h, "GET", "/api/v1/namespaces/default/events/b", NULL), 200);
    harness_run(h, 60 * 60 * NSEC_PER_SEC);
    assert_status(call(h, "GET", "/api/v1/namespaces/default/events/b", NULL), 404);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_admission, setup, teardown),
        cmocka_unit_test_setup_teardown(test_account_that_comes_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_binding, setup, teardown),
        cmocka_unit_test_setup_teardown(test_graceful_deletion, setup, teardown),
        cmocka_unit_test_setup_teardown(test_eviction, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cluster_ips, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ip_families, setup, teardown),
        cmocka_unit_test_setup_teardown(test_node_ports, setup, teardown),
        cmocka_unit_test_setup_teardown(test_allocation_repair, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_and_exec, setup, teardown),
        cmocka_unit_test_setup_teardown(test_apply, setup, teardown),
        cmocka_unit_test_setup_teardown(test_events_in_both_groups, setup, teardown),
        cmocka_unit_test_setup_teardown(test_events_expire, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
