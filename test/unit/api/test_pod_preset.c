// What pods get from PodPresets. What merges how: plugin/pkg/admission/podpreset of Kubernetes
// v1.19; conflicts: the study note (an entry that presets or the pod differ in is left alone).
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

#define PODS "/api/v1/namespaces/default/pods"
#define PRESETS "/apis/settings.k8s.io/v1alpha1/namespaces/default/podpresets"
#define PREFIX "podpreset.admission.kubernetes.io/"

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

static Answer *preset(Harness *h, const char *name, const char *spec) {
    char body[8192];
    snprintf(body, sizeof body,
             "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"selector\":{\"matchLabels\":{\"role\":"
             "\"frontend\"}},%s}}",
             name, spec);
    Answer *made = call(h, "POST", PRESETS, body);
    assert_status(made, 201);
    return made;
}

// A pod with label role=frontend. `metadata`, `container` and `spec` add to theirs.
static Answer *pod_at(Harness *h, const char *target, const char *metadata, const char *container,
                      const char *spec) {
    char body[4096];
    snprintf(body, sizeof body,
             "{\"metadata\":{\"name\":\"p\",\"labels\":{\"role\":\"frontend\"}%s},\"spec\":{"
             "\"containers\":[{\"name\":\"c\",\"image\":\"i\"%s}]%s}}",
             metadata, container, spec);
    Answer *made = call(h, "POST", target, body);
    assert_status(made, 201);
    return made;
}

static Answer *pod(Harness *h, const char *container, const char *spec) {
    return pod_at(h, PODS, "", container, spec);
}

static Value *container_of_pod(const Answer *answer, const char *list) {
    return value_at(answer->json, list)->items[0];
}

// The member `want` of the item of `list` whose `by` is `key`; "-" when there is no such item.
static Str item(const Value *owner, const char *list, const char *by, const char *key,
                const char *want) {
    const Value *items = value_at(owner, list);
    for (uint32_t i = 0; items && i < items->n; i++) {
        if (str_eq(value_string_at(items->items[i], by), str_from(key)))
            return value_string_at(items->items[i], want);
    }
    return STR("-");
}

#define assert_str(got, want)                                                                      \
    do {                                                                                           \
        Str _g = (got);                                                                            \
        if (!str_eq(_g, str_from(want)))                                                           \
            fail_msg("\"%.*s\" instead of \"%s\"", STR_ARG(_g), want);                             \
    } while (0)

static Str annotation(const Answer *answer, const char *name) {
    const Value *found =
        value_get(value_at(answer->json, "metadata.annotations"), str_from(name));
    return found ? found->string : STR("-");
}

// The message of the event about conflicts, "" when there is none.
static Str conflict(Harness *h) {
    Answer *events = call(h, "GET", "/api/v1/namespaces/default/events", NULL);
    const Value *items = value_at(events->json, "items");
    if (!items->n)
        return STR("");
    assert_int_equal(items->n, 1);
    assert_str(value_string_at(items->items[0], "reason"), "PodPresetConflict");
    assert_str(value_string_at(items->items[0], "type"), "Warning");
    assert_str(value_string_at(items->items[0], "involvedObject.kind"), "Pod");
    assert_str(value_string_at(items->items[0], "involvedObject.name"), "p");
    assert_true(value_string_at(items->items[0], "involvedObject.uid").len == 36);
    return value_string_at(items->items[0], "message");
}

// The study note's own example.
static void test_all_of_a_preset(void **state) {
    Harness *h = *state;
    Answer *made =
        preset(h, "allow-database",
               "\"env\":[{\"name\":\"DB_PORT\",\"value\":\"6379\"}],"
               "\"envFrom\":[{\"configMapRef\":{\"name\":\"more\"}}],"
               "\"volumeMounts\":[{\"mountPath\":\"/cache\",\"name\":\"cache-volume\"}],"
               "\"volumes\":[{\"name\":\"cache-volume\",\"emptyDir\":{}}]");
    Answer *answer = pod(h, "", ",\"initContainers\":[{\"name\":\"first\",\"image\":\"i\"}]");
    const char *const lists[] = {"spec.containers", "spec.initContainers"};
    for (size_t i = 0; i < 2; i++) {
        const Value *c = container_of_pod(answer, lists[i]);
        assert_str(item(c, "env", "name", "DB_PORT", "value"), "6379");
        assert_str(item(c, "volumeMounts", "mountPath", "/cache", "name"), "cache-volume");
        assert_str(value_string_at(value_at(c, "envFrom")->items[0], "configMapRef.name"), "more");
    }
    assert_non_null(value_at(value_at(answer->json, "spec.volumes")->items[0], "emptyDir"));
    assert_str(annotation(answer, PREFIX "podpreset-allow-database"),
               text_at(made, "metadata.resourceVersion"));
    assert_str(conflict(h), "");
    // What an update does to a pod is not the presets' business.
    assert_status(call(h, "DELETE", PRESETS "/allow-database", NULL), 200);
    preset(h, "later", "\"env\":[{\"name\":\"X\",\"value\":\"1\"}]");
    Answer *patched = call_patch(h, "merge", PODS "/p", "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}");
    assert_status(patched, 200);
    assert_str(annotation(patched, PREFIX "podpreset-later"), "-");
}

static void test_who_is_left_alone(void **state) {
    Harness *h = *state;
    preset(h, "a", "\"env\":[{\"name\":\"X\",\"value\":\"1\"}]");
    static const char *const metadata[] = {
        ",\"annotations\":{\"" PREFIX "exclude\":\"true\"}",
        ",\"annotations\":{\"kubernetes.io/config.mirror\":\"x\"}",
        ",\"labels\":{\"role\":\"backend\"}",
    };
    for (size_t i = 0; i < 3; i++) {
        Answer *made = pod_at(h, PODS "?dryRun=All", metadata[i], "",
                              ",\"nodeName\":\"n\",\"serviceAccountName\":\"\"");
        assert_null(value_at(container_of_pod(made, "spec.containers"), "env"));
        assert_str(annotation(made, PREFIX "podpreset-a"), "-");
    }
    // Only the value "true" opts out.
    Answer *made =
        pod_at(h, PODS "?dryRun=All", ",\"annotations\":{\"" PREFIX "exclude\":\"yes\"}", "", "");
    assert_str(item(container_of_pod(made, "spec.containers"), "env", "name", "X", "value"), "1");
    // Another namespace has presets of its own.
    assert_status(call(h, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"default-2\"}}"),
                  201);
    assert_status(call(h, "POST", "/api/v1/namespaces/default-2/serviceaccounts",
                       "{\"metadata\":{\"name\":\"default\"}}"),
                  201);
    made = pod_at(h, "/api/v1/namespaces/default-2/pods", "", "", "");
    assert_null(value_at(container_of_pod(made, "spec.containers"), "env"));
}

static void test_presets_merge(void **state) {
    Harness *h = *state;
    preset(h, "a", "\"env\":[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"SAME\",\"value\":\"s\"}]");
    preset(h, "b", "\"env\":[{\"name\":\"B\",\"value\":\"2\"},{\"name\":\"SAME\",\"value\":\"s\"}],"
                   "\"envFrom\":[{\"secretRef\":{\"name\":\"s\"}}]");
    Answer *made = pod(h,
                       ",\"env\":[{\"name\":\"OWN\",\"value\":\"0\"},{\"name\":\"B\",\"value\":"
                       "\"2\"}],\"envFrom\":[{\"configMapRef\":{\"name\":\"own\"}}]",
                       "");
    const Value *c = container_of_pod(made, "spec.containers"), *env = value_at(c, "env");
    static const char *const order[] = {"OWN", "B", "A", "SAME"};
    assert_int_equal(env->n, 4);
    for (size_t i = 0; i < 4; i++)
        assert_str(value_string_at(env->items[i], "name"), order[i]);
    assert_int_equal(value_at(c, "envFrom")->n, 2);
    assert_str(value_string_at(value_at(c, "envFrom")->items[1], "secretRef.name"), "s");
    assert_true(annotation(made, PREFIX "podpreset-a").len > 1);
    assert_true(annotation(made, PREFIX "podpreset-b").len > 1);
    assert_str(conflict(h), "");
}

static void test_conflict_with_the_pod(void **state) {
    Harness *h = *state;
    preset(h, "a",
           "\"env\":[{\"name\":\"PORT\",\"value\":\"1\"},{\"name\":\"OTHER\",\"value\":\"2\"}],"
           "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}],"
           "\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/v\"}]");
    Answer *made = pod(h, ",\"env\":[{\"name\":\"PORT\",\"value\":\"own\"}]",
                       ",\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/tmp\"}}]");
    const Value *c = container_of_pod(made, "spec.containers");
    assert_str(item(c, "env", "name", "PORT", "value"), "own");
    assert_str(item(c, "env", "name", "OTHER", "value"), "2");
    // The pod's volume is not the one that the preset wanted mounted.
    assert_null(value_at(c, "volumeMounts"));
    assert_int_equal(value_at(made->json, "spec.volumes")->n, 1);
    assert_true(annotation(made, PREFIX "podpreset-a").len > 1);
    assert_str(conflict(h), "preset a differs in volume v from the pod, which keeps its own; "
                            "preset a differs in variable PORT from the pod's container c, which "
                            "keeps its own");
}

static void test_conflict_between_presets(void **state) {
    Harness *h = *state;
    preset(h, "a",
           "\"env\":[{\"name\":\"PORT\",\"value\":\"1\"}],"
           "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}],"
           "\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/v\"}]");
    preset(h, "b",
           "\"env\":[{\"name\":\"PORT\",\"value\":\"2\"},{\"name\":\"B\",\"value\":\"3\"}],"
           "\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/tmp\"}}]");
    Answer *made = pod(h, "", "");
    const Value *c = container_of_pod(made, "spec.containers");
    assert_str(item(c, "env", "name", "PORT", "value"), "-");
    assert_str(item(c, "env", "name", "B", "value"), "3");
    assert_null(value_at(c, "volumeMounts"));
    assert_null(value_at(made->json, "spec.volumes"));
    assert_str(conflict(h), "presets a and b differ in volume v, which is left as it is; "
                            "presets a and b differ in variable PORT, which is left as it is");
    // Nothing is told of a pod that was not made.
    Answer *again = call(h, "POST", PODS,
                         "{\"metadata\":{\"name\":\"p\",\"labels\":{\"role\":\"frontend\"}},"
                         "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
    assert_status(again, 409);
    conflict(h); // still one
}

static void test_mounts_go_by_path(void **state) {
    Harness *h = *state;
    preset(h, "a",
           "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}],"
           "\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/v\"},"
           "{\"name\":\"v\",\"mountPath\":\"/w\",\"readOnly\":true}]");
    Answer *made = pod(h, ",\"volumeMounts\":[{\"name\":\"own\",\"mountPath\":\"/v\"}]",
                       ",\"volumes\":[{\"name\":\"own\",\"emptyDir\":{}}]");
    const Value *c = container_of_pod(made, "spec.containers");
    assert_int_equal(value_at(c, "volumeMounts")->n, 2);
    assert_str(item(c, "volumeMounts", "mountPath", "/v", "name"), "own");
    assert_str(item(c, "volumeMounts", "mountPath", "/w", "name"), "v");
    assert_str(conflict(h), "preset a differs in the mount at /v from the pod's container c, which "
                            "keeps its own");
}

static void test_long_names(void **state) {
    Harness *h = *state;
    const char *name = "a123456789b123456789c123456789d123456789e123456789f123456789";
    preset(h, name, "\"env\":[{\"name\":\"X\",\"value\":\"1\"}]");
    Answer *made = pod(h, "", "");
    assert_str(item(container_of_pod(made, "spec.containers"), "env", "name", "X", "value"), "1");
}

static void test_many_conflicts(void **state) {
    Harness *h = *state;
    char spec[4096], own[4096];
    size_t n = 0, m = 0;
    n += (size_t)snprintf(spec, sizeof spec, "\"env\":[");
    m += (size_t)snprintf(own, sizeof own, ",\"env\":[");
    for (int i = 0; i < 40; i++) {
        n += (size_t)snprintf(spec + n, sizeof spec - n, "%s{\"name\":\"X%d\",\"value\":\"1\"}",
                              i ? "," : "", i);
        m += (size_t)snprintf(own + m, sizeof own - m, "%s{\"name\":\"X%d\",\"value\":\"2\"}",
                              i ? "," : "", i);
    }
    snprintf(spec + n, sizeof spec - n, "]");
    snprintf(own + m, sizeof own - m, "]");
    preset(h, "a", spec);
    char body[6000];
    snprintf(body, sizeof body,
             "{\"metadata\":{\"name\":\"p\",\"labels\":{\"role\":\"frontend\"}},\"spec\":{"
             "\"containers\":[{\"name\":\"c\",\"image\":\"i\"%s}]}}",
             own);
    assert_status(call(h, "POST", PODS, body), 201);
    Str message = conflict(h);
    assert_int_equal(message.len, 1024); // core/v1 NoteLengthLimit
    assert_true(str_ends_with(message, STR("...")));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_all_of_a_preset),          T(test_who_is_left_alone),
        T(test_presets_merge),            T(test_conflict_with_the_pod),
        T(test_conflict_between_presets), T(test_mounts_go_by_path),
        T(test_long_names),               T(test_many_conflicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
