// pods/eviction and disruption budgets (kubernetes' registry/core/pod/storage/eviction.go).

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "harness.h"

#define PODS "/api/v1/namespaces/default/pods"
#define BUDGETS "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
#define REFUSED "Cannot evict pod as it would violate the pod's disruption budget."

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

// A pod on a node, with a finalizer so that it stays to be looked at.
static void make_pod(Harness *h, const char *name, const char *phase, bool ready) {
    char text[1024];
    snprintf(
        text, sizeof text,
        "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"app\":\"a\"},\"finalizers\":[\"a.b/c\"]},"
        "\"spec\":{\"nodeName\":\"n\",\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}",
        name);
    assert_status(call(h, "POST", PODS, text), 201);
    char target[128];
    snprintf(target, sizeof target, PODS "/%s/status", name);
    snprintf(
        text, sizeof text,
        "{\"status\":{\"phase\":\"%s\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\"}]}}",
        phase, ready ? "True" : "False");
    assert_status(call_patch(h, "merge", target, text), 200);
}

static void make_budget(Harness *h, const char *name, const char *spec, const char *status) {
    char text[1024], target[128];
    snprintf(
        text, sizeof text,
        "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"a\"}}"
        "%s}}",
        name, spec);
    assert_status(call(h, "POST", BUDGETS, text), 201);
    snprintf(target, sizeof target, BUDGETS "/%s/status", name);
    snprintf(text, sizeof text, "{\"status\":{%s}}", status);
    assert_status(call_patch(h, "merge", target, text), 200);
}

static Answer *evict(Harness *h, const char *name, const char *options) {
    char body[512], target[128];
    snprintf(target, sizeof target, PODS "/%s/eviction", name);
    snprintf(
        body, sizeof body,
        "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"%s\"}%s%s}",
        name, *options ? ",\"deleteOptions\":" : "", options);
    return call(h, "POST", target, body);
}

static bool is_going(Harness *h, const char *name) {
    char target[128];
    snprintf(target, sizeof target, PODS "/%s", name);
    Answer *pod = call(h, "GET", target, NULL);
    assert_status(pod, 200);
    return *text_at(pod, "metadata.deletionTimestamp") != '\0';
}

static const char *cause(Harness *h, const Answer *answer, const char *field) {
    const Value *causes = value_at(answer->json, "details.causes");
    assert_non_null(causes);
    return arena_cstr(h->arena, value_string_at(causes->items[0], field));
}

static const Value *condition(const Answer *object, const char *type) {
    const Value *conditions = value_at(object->json, "status.conditions");
    for (uint32_t i = 0; conditions && i < conditions->n; i++)
        if (str_eq(value_string_at(conditions->items[i], "type"), str_from(type)))
            return conditions->items[i];
    fail_msg("no condition %s", type);
    return NULL;
}

static void test_allowed(void **state) {
    Harness *h = *state;
    make_pod(h, "p", "Running", true);
    make_budget(h, "b", ",\"minAvailable\":1",
                "\"observedGeneration\":1,\"disruptionsAllowed\":1,\"currentHealthy\":2,"
                "\"desiredHealthy\":1,\"expectedPods\":2");
    assert_status(evict(h, "p", ""), 201);
    assert_true(is_going(h, "p"));
    const Value *target = condition(call(h, "GET", PODS "/p", NULL), "DisruptionTarget");
    assert_true(str_eq(value_string_at(target, "status"), STR("True")));
    assert_true(str_eq(value_string_at(target, "reason"), STR("EvictionByEvictionAPI")));
    assert_true(str_eq(value_string_at(target, "message"), STR("Eviction API: evicting")));
    Answer *budget = call(h, "GET", BUDGETS "/b", NULL);
    assert_int_equal(number_at(budget, "status.disruptionsAllowed"), 0);
    assert_string_not_equal(text_at(budget, "status.disruptedPods.p"), "");
    const Value *allowed = condition(budget, "DisruptionAllowed");
    assert_true(str_eq(value_string_at(allowed, "status"), STR("False")));
    assert_true(str_eq(value_string_at(allowed, "reason"), STR("InsufficientPods")));
    // That was the one.
    make_pod(h, "q", "Running", true);
    Answer *refused = evict(h, "q", "");
    assert_refused(refused, 429, REFUSED);
    assert_string_equal(text_at(refused, "reason"), "TooManyRequests");
    assert_string_equal(cause(h, refused, "reason"), "DisruptionBudget");
    assert_string_equal(cause(h, refused, "message"),
                        "The disruption budget b needs 1 healthy pods and has 2 currently");
    assert_false(is_going(h, "q"));
}

static void test_dry_run(void **state) {
    Harness *h = *state;
    make_pod(h, "p", "Running", true);
    make_budget(h, "b", "", "\"observedGeneration\":1,\"disruptionsAllowed\":1");
    assert_status(evict(h, "p", "{\"dryRun\":[\"All\"]}"), 201);
    assert_false(is_going(h, "p"));
    assert_int_equal(number_at(call(h, "GET", BUDGETS "/b", NULL), "status.disruptionsAllowed"), 1);
}

static void test_unobserved(void **state) {
    Harness *h = *state;
    make_pod(h, "p", "Running", true);
    make_budget(h, "b", "", "\"disruptionsAllowed\":1");
    Answer *refused = evict(h, "p", "");
    assert_refused(refused, 429, REFUSED);
    assert_string_equal(cause(h, refused, "message"),
                        "The disruption budget b is still being processed by the server.");
    assert_int_equal(number_at(refused, "details.retryAfterSeconds"), 10);
}

static void test_several_budgets(void **state) {
    Harness *h = *state;
    make_pod(h, "p", "Running", true);
    make_budget(h, "b", "", "\"observedGeneration\":1,\"disruptionsAllowed\":1");
    make_budget(h, "c", "", "\"observedGeneration\":1,\"disruptionsAllowed\":1");
    assert_refused(evict(h, "p", ""), 500,
                   "This pod has more than one PodDisruptionBudget, which the eviction subresource "
                   "does not support.");
    assert_false(is_going(h, "p"));
}

// Pods that have not begun, have ended or are going are no disruption.
static void test_pods_that_do_not_count(void **state) {
    Harness *h = *state;
    make_budget(h, "b", "", "\"observedGeneration\":1,\"disruptionsAllowed\":0");
    static const char *const phases[] = {"Pending", "Succeeded", "Failed"};
    static const char *const names[] = {"p", "q", "r"};
    for (size_t i = 0; i < 3; i++) {
        make_pod(h, names[i], phases[i], false);
        assert_status(evict(h, names[i], ""), 201);
        assert_true(is_going(h, names[i]));
    }
    assert_status(evict(h, "p", ""), 201); // again
}

// unhealthyPodEvictionPolicy: https://kubernetes.io/docs/tasks/run-application/configure-pdb/
static void test_unhealthy(void **state) {
    Harness *h = *state;
    make_pod(h, "p", "Running", false);
    make_budget(h, "b", "",
                "\"observedGeneration\":1,\"disruptionsAllowed\":0,\"currentHealthy\":1,"
                "\"desiredHealthy\":2");
    assert_refused(evict(h, "p", ""), 429, REFUSED); // IfHealthyBudget, and it is not
    assert_status(
        call_patch(h, "merge", BUDGETS "/b/status", "{\"status\":{\"currentHealthy\":2}}"), 200);
    assert_status(evict(h, "p", ""), 201);
    assert_true(is_going(h, "p"));
    assert_status(call(h, "DELETE", BUDGETS "/b", NULL), 200);
    make_pod(h, "q", "Running", false);
    make_budget(h, "b", ",\"unhealthyPodEvictionPolicy\":\"AlwaysAllow\"",
                "\"observedGeneration\":1,\"disruptionsAllowed\":0,\"desiredHealthy\":2");
    assert_status(evict(h, "q", ""), 201);
    assert_true(is_going(h, "q"));
    make_pod(h, "r", "Running", true); // healthy
    assert_refused(evict(h, "r", ""), 429, REFUSED);
}

static void test_preconditions(void **state) {
    Harness *h = *state;
    make_pod(h, "p", "Running", true);
    const char *version = text_at(call(h, "GET", PODS "/p", NULL), "metadata.resourceVersion");
    assert_status(evict(h, "p", "{\"preconditions\":{\"uid\":\"x\"}}"), 409);
    assert_refused(
        evict(h, "p", "{\"preconditions\":{\"resourceVersion\":\"1\"}}"), 409,
        arena_cstr(
            h->arena,
            arena_printf(h->arena,
                         "Operation cannot be fulfilled on Pod \"p\": the ResourceVersion in "
                         "the precondition (1) does not match the ResourceVersion in record "
                         "(%s). The object might have been modified",
                         version)));
    assert_false(is_going(h, "p"));
    char options[128];
    snprintf(options, sizeof options, "{\"preconditions\":{\"resourceVersion\":\"%s\"}}",
             text_at(call(h, "GET", PODS "/p", NULL), "metadata.resourceVersion"));
    assert_status(evict(h, "p", options), 201);
    assert_true(is_going(h, "p"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_allowed),         T(test_dry_run),   T(test_unobserved),
        T(test_several_budgets), T(test_unhealthy), T(test_pods_that_do_not_count),
        T(test_preconditions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
