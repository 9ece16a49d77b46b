// LimitRanges and classes: LimitRanger, Priority, DefaultStorageClass, RuntimeClass. Wording:
// plugin/pkg/admission/{limitranger,priority,storage/storageclass/setdefault,runtimeclass}.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

#define PODS "/api/v1/namespaces/default/pods"
#define CLAIMS "/api/v1/namespaces/default/persistentvolumeclaims"
#define RANGES "/api/v1/namespaces/default/limitranges"
#define PRIORITIES "/apis/scheduling.k8s.io/v1/priorityclasses"
#define STORAGE "/apis/storage.k8s.io/v1/storageclasses"

static int setup(void **state) {
    Harness *h = harness_new();
    *state = h;
    assert_status(call(h, "POST", "/api/v1/namespaces/default/serviceaccounts",
                       "{\"metadata\":{\"name\":\"default\"},"
                       "\"automountServiceAccountToken\":false}"),
                  201);
    return 0;
}

static int teardown(void **state) {
    harness_free(*state);
    return 0;
}

static void limit(Harness *h, const char *limits) {
    char body[2048];
    snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"l\"},\"spec\":{\"limits\":[%s]}}",
             limits);
    assert_status(call(h, "POST", RANGES, body), 201);
}

// `resources` of the container, and more members of the spec.
static Answer *pod(Harness *h, const char *resources, const char *more) {
    char body[2048];
    snprintf(body, sizeof body,
             "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":"
             "\"i\",\"resources\":{%s}}]%s}}",
             resources, more);
    return call(h, "POST", PODS "?dryRun=All", body);
}

static Str resource(const Answer *pod, const char *list, const char *path) {
    return value_string_at(value_at(pod->json, list)->items[0], path);
}

#define assert_str(got, want)                                                                      \
    do {                                                                                           \
        Str _g = (got);                                                                            \
        if (!str_eq(_g, str_from(want)))                                                           \
            fail_msg("\"%.*s\" instead of \"%s\"", STR_ARG(_g), want);                             \
    } while (0)

static void test_defaults(void **state) {
    Harness *h = *state;
    limit(h, "{\"type\":\"Container\",\"default\":{\"cpu\":\"500m\",\"memory\":\"1Gi\"},"
             "\"defaultRequest\":{\"cpu\":\"100m\"}}");
    Answer *made = pod(h, "", ",\"initContainers\":[{\"name\":\"first\",\"image\":\"i\"}]");
    assert_status(made, 201);
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    for (size_t i = 0; i < 2; i++) {
        assert_str(resource(made, lists[i], "resources.limits.cpu"), "500m");
        assert_str(resource(made, lists[i], "resources.limits.memory"), "1Gi");
        assert_str(resource(made, lists[i], "resources.requests.cpu"), "100m");
        assert_str(resource(made, lists[i], "resources.requests.memory"), "1Gi");
    }
    assert_str(value_get(value_at(made->json, "metadata.annotations"),
                         STR("kubernetes.io/limit-ranger"))
                   ->string,
               "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for "
               "container c; cpu, memory request for init container first; cpu, memory limit for "
               "init container first");
    made = pod(h, "\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"},\"requests\":{\"cpu\":\"1\"}", "");
    assert_str(resource(made, "spec.containers", "resources.limits.cpu"), "1");
    assert_str(resource(made, "spec.containers", "resources.requests.cpu"), "1");
    assert_null(value_at(made->json, "metadata.annotations"));
    // Another namespace has none.
    assert_status(call(h, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"other\"}}"),
                  201);
    assert_status(call(h, "POST", "/api/v1/namespaces/other/serviceaccounts",
                       "{\"metadata\":{\"name\":\"default\"}}"),
                  201);
    made = call(h, "POST", "/api/v1/namespaces/other/pods",
                "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\","
                "\"image\":\"i\"}]}}");
    assert_status(made, 201);
    assert_null(value_at(value_at(made->json, "spec.containers")->items[0], "resources.limits"));
}

static void test_bounds(void **state) {
    static const struct {
        const char *limits, *resources, *why; // NULL: allowed
    } cases[] = {
        {"\"min\":{\"cpu\":\"100m\"}", "\"requests\":{\"memory\":\"1\"}", NULL}, // by default
        {"\"min\":{\"cpu\":\"100m\"}", "\"requests\":{\"cpu\":\"50m\"}",
         "minimum cpu usage per Container is 100m, but request is 50m"},
        {"\"min\":{\"cpu\":\"100m\"}", "\"requests\":{\"cpu\":\"100m\"}", NULL},
        {"\"max\":{\"cpu\":\"1\"}", "\"limits\":{\"cpu\":\"2\"},\"requests\":{\"cpu\":\"1\"}",
         "maximum cpu usage per Container is 1, but limit is 2"},
        {"\"max\":{\"cpu\":\"1\"}", "\"limits\":{\"cpu\":\"1\"},\"requests\":{\"cpu\":\"1\"}", NULL},
        {"\"min\":{\"cpu\":\"100m\",\"memory\":\"1Gi\"}",
         "\"requests\":{\"cpu\":\"50m\",\"memory\":\"1Mi\"}",
         "[minimum cpu usage per Container is 100m, but request is 50m, minimum memory usage per "
         "Container is 1Gi, but request is 1Mi]"},
        {"\"maxLimitRequestRatio\":{\"cpu\":\"2\"}",
         "\"limits\":{\"cpu\":\"3\"},\"requests\":{\"cpu\":\"1\"}",
         "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"},
        {"\"maxLimitRequestRatio\":{\"cpu\":\"2\"}", "\"requests\":{\"cpu\":\"1\"}",
         "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is "
         "0"},
        {"\"maxLimitRequestRatio\":{\"cpu\":\"2\"}", "",
         "cpu max limit to request ratio per Container is 2, but no request is specified or "
         "request is 0"},
        {"\"maxLimitRequestRatio\":{\"cpu\":\"2\"}",
         "\"limits\":{\"cpu\":\"2\"},\"requests\":{\"cpu\":\"1\"}", NULL},
    };
    Harness *h = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text, "{\"type\":\"Container\",%s}", cases[i].limits);
        limit(h, text);
        Answer *made = pod(h, cases[i].resources, "");
        snprintf(text, sizeof text, "pods \"p\" is forbidden: %s",
                 cases[i].why ? cases[i].why : "");
        if (cases[i].why)
            assert_refused(made, 403, text);
        else
            assert_status(made, 201);
        assert_status(call(h, "DELETE", RANGES "/l", NULL), 200);
    }
}

static void test_whole_pods(void **state) {
    Harness *h = *state;
    limit(h, "{\"type\":\"Pod\",\"max\":{\"cpu\":\"1\"},\"min\":{\"memory\":\"10Mi\"}}");
    assert_refused(pod(h, "",
                       ",\"initContainers\":[{\"name\":\"first\",\"image\":\"i\",\"resources\":{"
                       "\"limits\":{\"cpu\":\"2\",\"memory\":\"1Gi\"}}}]"),
                   403,
                   "pods \"p\" is forbidden: maximum cpu usage per Pod is 1, but limit is 2");
    assert_refused(pod(h, "", ""), 403,
                   "pods \"p\" is forbidden: [minimum memory usage per Pod is 10Mi.  No request is "
                   "specified, maximum cpu usage per Pod is 1.  No limit is specified]");
    assert_status(pod(h, "\"limits\":{\"cpu\":\"1\",\"memory\":\"10Mi\"}", ""), 201);
}

static Answer *claim(Harness *h, const char *storage, const char *more) {
    char body[1024];
    snprintf(body, sizeof body,
             "{\"metadata\":{\"name\":\"v\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],"
             "\"resources\":{\"requests\":{\"storage\":\"%s\"}}%s}}",
             storage, more);
    return call(h, "POST", CLAIMS "?dryRun=All", body);
}

static void test_claims(void **state) {
    Harness *h = *state;
    limit(h, "{\"type\":\"PersistentVolumeClaim\",\"min\":{\"storage\":\"1Gi\"},\"max\":{"
             "\"storage\":\"2Gi\"}}");
    assert_refused(claim(h, "1Mi", ""), 403,
                   "persistentvolumeclaims \"v\" is forbidden: minimum storage usage per "
                   "PersistentVolumeClaim is 1Gi, but request is 1Mi");
    assert_refused(claim(h, "3Gi", ""), 403,
                   "persistentvolumeclaims \"v\" is forbidden: maximum storage usage per "
                   "PersistentVolumeClaim is 2Gi, but request is 3Gi");
    assert_status(claim(h, "2Gi", ""), 201);
    assert_status(pod(h, "", ""), 201);
}

static void priority_class(Harness *h, const char *name, int value, const char *more, int code) {
    char body[512];
    snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"%s\"},\"value\":%d%s}", name, value,
             more);
    assert_status(call(h, "POST", PRIORITIES, body), code);
}

static void test_priority(void **state) {
    Harness *h = *state;
    Answer *made = pod(h, "", "");
    assert_int_equal(number_at(made, "spec.priority"), 0);
    assert_string_equal(text_at(made, "spec.preemptionPolicy"), "PreemptLowerPriority");
    priority_class(h, "high", 1000, ",\"preemptionPolicy\":\"Never\"", 201);
    priority_class(h, "normal", 7, ",\"globalDefault\":true", 201);
    made = pod(h, "", "");
    assert_int_equal(number_at(made, "spec.priority"), 7);
    assert_string_equal(text_at(made, "spec.priorityClassName"), "normal");
    made = pod(h, "", ",\"priorityClassName\":\"high\"");
    assert_int_equal(number_at(made, "spec.priority"), 1000);
    assert_string_equal(text_at(made, "spec.preemptionPolicy"), "Never");
    made = pod(h, "", ",\"priorityClassName\":\"system-node-critical\"");
    assert_int_equal(number_at(made, "spec.priority"), 2000001000);
    assert_refused(pod(h, "", ",\"priorityClassName\":\"none\""), 403,
                   "pods \"p\" is forbidden: no PriorityClass with name none was found");
    assert_refused(pod(h, "", ",\"priorityClassName\":\"high\",\"priority\":5"), 403,
                   "pods \"p\" is forbidden: the integer value of priority (5) must not be "
                   "provided in pod spec; priority admission controller computed 1000 from the "
                   "given PriorityClass name");
    assert_refused(
        pod(h, "",
            ",\"priorityClassName\":\"high\",\"preemptionPolicy\":\"PreemptLowerPriority\""),
        403,
        "pods \"p\" is forbidden: the string value of PreemptionPolicy (PreemptLowerPriority) must "
        "not be provided in pod spec; priority admission controller computed Never from the given "
        "PriorityClass name");
    Answer *second = call(h, "POST", PRIORITIES,
                          "{\"metadata\":{\"name\":\"x\"},\"value\":1,\"globalDefault\":true}");
    assert_refused(second, 403,
                   "priorityclasses.scheduling.k8s.io \"x\" is forbidden: PriorityClass normal is "
                   "already marked as default. Only one default can exist");
    assert_status(call_patch(h, "merge", PRIORITIES "/normal", "{\"description\":\"d\"}"), 200);
    // What was the default is none any more.
    assert_status(call(h, "DELETE", PRIORITIES "/normal", NULL), 200);
    made = pod(h, "", "");
    assert_int_equal(number_at(made, "spec.priority"), 0);
    assert_string_equal(text_at(made, "spec.priorityClassName"), "");
}

static void storage_class(Harness *h, const char *name, const char *is_default) {
    char body[512];
    snprintf(body, sizeof body,
             "{\"metadata\":{\"name\":\"%s\",\"annotations\":{\"storageclass.kubernetes.io/"
             "is-default-class\":\"%s\"}},\"provisioner\":\"x\"}",
             name, is_default);
    assert_status(call(h, "POST", STORAGE, body), 201);
}

static void test_storage_class(void **state) {
    Harness *h = *state;
    assert_string_equal(text_at(claim(h, "1Gi", ""), "spec.storageClassName"), "");
    storage_class(h, "plain", "false");
    assert_string_equal(text_at(claim(h, "1Gi", ""), "spec.storageClassName"), "");
    storage_class(h, "b", "true");
    storage_class(h, "a", "true");
    assert_string_equal(text_at(claim(h, "1Gi", ""), "spec.storageClassName"), "a"); // same second
    harness_run(h, 2 * NSEC_PER_SEC);
    storage_class(h, "newest", "true");
    assert_string_equal(text_at(claim(h, "1Gi", ""), "spec.storageClassName"), "newest");
    Answer *none = claim(h, "1Gi", ",\"storageClassName\":\"\"");
    assert_string_equal(text_at(none, "spec.storageClassName"), "");
    assert_string_equal(
        text_at(claim(h, "1Gi", ",\"storageClassName\":\"plain\""), "spec.storageClassName"),
        "plain");
}

static void test_runtime_class(void **state) {
    Harness *h = *state;
    assert_refused(pod(h, "", ",\"runtimeClassName\":\"none\""), 403,
                   "pods \"p\" is forbidden: pod rejected: RuntimeClass \"none\" not found");
    assert_refused(pod(h, "", ",\"overhead\":{\"cpu\":\"1\"}"), 403,
                   "pods \"p\" is forbidden: pod rejected: Pod Overhead set without corresponding "
                   "RuntimeClass defined Overhead");
    Answer *made = call(h, "POST", "/apis/node.k8s.io/v1/runtimeclasses",
                        "{\"metadata\":{\"name\":\"vm\"},\"handler\":\"vm\",\"overhead\":{"
                        "\"podFixed\":{\"cpu\":\"250m\"}},\"scheduling\":{\"nodeSelector\":{"
                        "\"has\":\"vm\"},\"tolerations\":[{\"key\":\"vm\",\"operator\":"
                        "\"Exists\"}]}}");
    assert_status(made, 201);
    made = pod(h, "", ",\"runtimeClassName\":\"vm\",\"nodeSelector\":{\"own\":\"x\"}");
    assert_status(made, 201);
    assert_string_equal(text_at(made, "spec.overhead.cpu"), "250m");
    assert_string_equal(text_at(made, "spec.nodeSelector.has"), "vm");
    assert_string_equal(text_at(made, "spec.nodeSelector.own"), "x");
    assert_int_equal(value_at(made->json, "spec.tolerations")->n, 3);
    assert_refused(pod(h, "", ",\"runtimeClassName\":\"vm\",\"nodeSelector\":{\"has\":\"x\"}"), 403,
                   "pods \"p\" is forbidden: conflict: runtimeClass.scheduling.nodeSelector[has] = "
                   "vm; pod.spec.nodeSelector[has] = x");
    assert_refused(pod(h, "", ",\"runtimeClassName\":\"vm\",\"overhead\":{\"cpu\":\"1\"}"), 403,
                   "pods \"p\" is forbidden: pod rejected: Pod's Overhead doesn't match "
                   "RuntimeClass's defined Overhead");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_defaults), T(test_bounds),        T(test_whole_pods),    T(test_claims),
        T(test_priority), T(test_storage_class), T(test_runtime_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
