// What the strategies of the kinds that make pods do beside validation
// (pkg/registry/{apps,batch,policy,core}/*/strategy.go upstream).

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "harness.h"

#define IN "/namespaces/default/"
#define SELECTED                                                                                   \
    "\"selector\":{\"matchLabels\":{\"app\":\"a\"}},\"template\":{\"metadata\":{\"labels\":{"      \
    "\"app\":\"a\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i:1\"}]}}"
#define ONCE                                                                                       \
    "\"template\":{\"spec\":{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\","         \
    "\"image\":\"i:1\"}]}}"

static const struct Kind {
    const char *list, *spec, *change; // a merge patch of the spec
    bool annotations;                 // count for the generation
} kinds[] = {
    {"/apis/apps/v1" IN "deployments", SELECTED, "\"replicas\":2", true},
    {"/apis/apps/v1" IN "replicasets", SELECTED, "\"replicas\":2", false},
    {"/apis/apps/v1" IN "statefulsets", SELECTED, "\"replicas\":2", false},
    {"/apis/apps/v1" IN "daemonsets", SELECTED, "\"minReadySeconds\":2", false},
    {"/api/v1" IN "replicationcontrollers",
     "\"template\":{\"metadata\":{\"labels\":{\"app\":\"a\"}},\"spec\":{\"containers\":[{"
     "\"name\":\"c\",\"image\":\"i:1\"}]}}",
     "\"replicas\":2", false},
    {"/apis/batch/v1" IN "jobs", ONCE, "\"suspend\":true", false},
    {"/apis/batch/v1" IN "cronjobs",
     "\"schedule\":\"* * * * *\",\"jobTemplate\":{\"spec\":{" ONCE "}}", "\"suspend\":true", false},
    {"/apis/policy/v1" IN "poddisruptionbudgets", "\"minAvailable\":1", "\"minAvailable\":2",
     false},
};
#define N_KINDS (sizeof kinds / sizeof *kinds)

static int setup(void **state) {
    *state = harness_new();
    return 0;
}

static int teardown(void **state) {
    harness_free(*state);
    return 0;
}

static const char *one(Harness *h, const struct Kind *kind, const char *more) {
    return arena_printf(h->arena, "%s/x%s", kind->list, more).ptr;
}

static Answer *make(Harness *h, const struct Kind *kind) {
    Answer *made =
        call(h, "POST", kind->list,
             arena_printf(h->arena,
                          "{\"metadata\":{\"name\":\"x\",\"generation\":9},\"spec\":{%s},"
                          "\"status\":{\"observedGeneration\":7,\"lastScheduleTime\":"
                          "\"2026-01-01T00:00:00Z\",\"failed\":3}}",
                          kind->spec)
                 .ptr);
    assert_status(made, 201);
    return made;
}

static int64_t patch(Harness *h, const struct Kind *kind, const char *body) {
    Answer *patched = call_patch(h, "merge", one(h, kind, ""), body);
    assert_status(patched, 200);
    return number_at(patched, "metadata.generation");
}

// The generation counts changes of the spec, from 1; a new object has no status.
static void test_generation(void **state) {
    Harness *h = *state;
    for (size_t i = 0; i < N_KINDS; i++) {
        Answer *made = make(h, &kinds[i]);
        assert_int_equal(number_at(made, "metadata.generation"), 1);
        assert_null(value_at(made->json, "status.observedGeneration"));
        assert_null(value_at(made->json, "status.lastScheduleTime"));
        assert_null(value_at(made->json, "status.failed"));
        assert_int_equal(patch(h, &kinds[i], "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}"), 1);
        int64_t annotated = kinds[i].annotations ? 2 : 1;
        assert_int_equal(patch(h, &kinds[i], "{\"metadata\":{\"annotations\":{\"a\":\"b\"}}}"),
                         annotated);
        assert_int_equal(
            patch(h, &kinds[i], arena_printf(h->arena, "{\"spec\":{%s}}", kinds[i].change).ptr),
            annotated + 1);
    }
}

// Each endpoint changes its own part.
static void test_status(void **state) {
    Harness *h = *state;
    for (size_t i = 0; i + 1 < N_KINDS; i++) {
        if (strstr(kinds[i].list, "cronjobs") || strstr(kinds[i].list, "/jobs"))
            continue; // they have no such number
        make(h, &kinds[i]);
        const char *body =
            arena_printf(h->arena, "{\"spec\":{%s},\"status\":{\"observedGeneration\":1}}",
                         kinds[i].change)
                .ptr;
        Answer *written = call_patch(h, "merge", one(h, &kinds[i], "/status"), body);
        assert_status(written, 200);
        assert_int_equal(number_at(written, "metadata.generation"), 1);
        assert_int_equal(number_at(written, "status.observedGeneration"), 1);
        written = call_patch(h, "merge", one(h, &kinds[i], ""),
                             "{\"status\":{\"observedGeneration\":5}}");
        assert_int_equal(number_at(written, "status.observedGeneration"), 1);
    }
}

// A budget is replaced only by those who have seen it (its AllowUnconditionalUpdate).
static void test_budgets_need_a_version(void **state) {
    Harness *h = *state;
    const struct Kind *budgets = &kinds[N_KINDS - 1];
    make(h, budgets);
    assert_refused(
        call(h, "PUT", one(h, budgets, ""), "{\"metadata\":{\"name\":\"x\"},\"spec\":{}}"), 422,
        "poddisruptionbudgets.policy \"x\" is invalid: metadata.resourceVersion: Invalid "
        "value: 0x0: must be specified for an update");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_generation),
        T(test_status),
        T(test_budgets_need_a_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
