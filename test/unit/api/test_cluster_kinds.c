// What the server makes and makes up by itself: priority classes, API services, component statuses.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"

static Harness *harness;

static int start(void **state) {
    harness = harness_new();
    return 0;
}
static int stop(void **state) {
    harness_free(harness);
    return 0;
}

static Answer *get(const char *target) {
    Answer *answer = call(harness, "GET", target, NULL);
    assert_status(answer, 200);
    return answer;
}

// SystemPriorityClasses: pkg/apis/scheduling/v1/helpers.go and types.go.
static void test_priority_classes(void **state) {
    Answer *answer = get("/apis/scheduling.k8s.io/v1/priorityclasses/system-cluster-critical");
    assert_int_equal(number_at(answer, "value"), 2000000000);
    assert_int_equal(number_at(answer, "metadata.generation"), 1);
    assert_string_equal(text_at(answer, "preemptionPolicy"), "PreemptLowerPriority");
    assert_string_equal(
        text_at(answer, "description"),
        "Used for system critical pods that must run in the cluster, but can be moved to "
        "another node if necessary.");
    answer = get("/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical");
    assert_int_equal(number_at(answer, "value"), 2000001000);
    assert_string_equal(
        text_at(answer, "description"),
        "Used for system critical pods that must not be moved from their current node.");
}

// NewLocalAvailableAPIServiceCondition (kube-aggregator's helpers.go); priorities:
// pkg/controlplane/apiserver/aggregator.go.
static void test_an_api_service_for_each_version(void **state) {
    const Value *groups = value_get(get("/apis")->json, STR("groups"));
    for (uint32_t i = 0; i < groups->n; i++) {
        const Value *versions = value_get(groups->items[i], STR("versions"));
        Str group = value_string_at(groups->items[i], "name");
        if (str_eq(group, STR("apiregistration.k8s.io"))) // it is not its own, as upstream
            continue;
        for (uint32_t j = 0; j < versions->n; j++)
            get(arena_printf(
                    harness->arena, "/apis/apiregistration.k8s.io/v1/apiservices/%.*s.%.*s",
                    STR_ARG(value_string_at(versions->items[j], "version")), STR_ARG(group))
                    .ptr);
    }
    Answer *answer = get("/apis/apiregistration.k8s.io/v1/apiservices/v1.");
    assert_int_equal(number_at(answer, "spec.groupPriorityMinimum"), 18000);
    assert_int_equal(number_at(answer, "spec.versionPriority"), 1);
    const Value *condition = value_at(answer->json, "status.conditions")->items[0];
    assert_true(str_eq(value_string_at(condition, "type"), STR("Available")));
    assert_true(str_eq(value_string_at(condition, "status"), STR("True")));
    assert_true(str_eq(value_string_at(condition, "reason"), STR("Local")));
    assert_true(value_string_at(condition, "lastTransitionTime").len);
    const Value *label = value_get(value_at(answer->json, "metadata.labels"),
                                   STR("kube-aggregator.kubernetes.io/automanaged"));
    assert_true(str_eq(label->string, STR("onstart")));
}

#define SERVICE                                                                                    \
    "{\"apiVersion\":\"apiregistration.k8s.io/"                                                    \
    "v1\",\"kind\":\"APIService\",\"metadata\":{\"name\":\"v1.example.com\"},"                     \
    "\"spec\":{\"group\":\"example.com\",\"version\":\"v1\",\"groupPriorityMinimum\":100,"         \
    "\"versionPriority\":10,"                                                                      \
    "\"insecureSkipTLSVerify\":true,\"service\":{\"namespace\":\"default\",\"name\":\"s\"}}}"

static void test_aggregation_is_not_there_and_says_so(void **state) {
    Answer *answer = call(harness, "POST", "/apis/apiregistration.k8s.io/v1/apiservices", SERVICE);
    assert_status(answer, 201);
    assert_non_null(
        strstr(answer->warnings.ptr, "requests are not passed on to other API servers yet"));
    assert_int_equal(number_at(answer, "spec.service.port"), 443);
    const Value *condition = value_at(answer->json, "status.conditions")->items[0];
    assert_true(str_eq(value_string_at(condition, "status"), STR("False")));
    // An update needs a resourceVersion: AllowUnconditionalUpdate is false.
    answer =
        call(harness, "PUT", "/apis/apiregistration.k8s.io/v1/apiservices/v1.example.com", SERVICE);
    assert_status(answer, 422);
}

static void test_component_statuses(void **state) {
    Answer *answer = get("/api/v1/componentstatuses");
    assert_string_equal(text_at(answer, "kind"), "ComponentStatusList");
    assert_non_null(strstr(answer->warnings.ptr, "v1 ComponentStatus is deprecated in v1.19+"));
    assert_int_equal(value_get(answer->json, STR("items"))->n, 1);
    const Value *condition =
        value_at(get("/api/v1/componentstatuses/etcd-0")->json, "conditions")->items[0];
    assert_true(str_eq(value_string_at(condition, "type"), STR("Healthy")));
    assert_true(str_eq(value_string_at(condition, "status"), STR("True")));
    assert_refused(call(harness, "GET", "/api/v1/componentstatuses/x", NULL), 404,
                   "componentstatuses \"x\" not found");
    assert_status(call(harness, "DELETE", "/api/v1/componentstatuses/etcd-0", NULL), 405);
    static const char *const table[] = {"Accept", "application/json;as=Table;v=v1;g=meta.k8s.io",
                                        NULL};
    answer = call_with(harness, harness->admin, "GET", "/api/v1/componentstatuses", NULL, table);
    assert_string_equal(text_at(answer, "kind"), "Table");
    assert_int_equal(value_get(answer->json, STR("rows"))->n, 1);
    static const char *const protobuf[] = {"Accept", "application/vnd.kubernetes.protobuf", NULL};
    answer = call_with(harness, harness->admin, "GET", "/api/v1/componentstatuses", NULL, protobuf);
    assert_status(answer, 200);
    assert_memory_equal(answer->body.ptr, "k8s", 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_priority_classes),
        cmocka_unit_test(test_an_api_service_for_each_version),
        cmocka_unit_test(test_aggregation_is_not_there_and_says_so),
        cmocka_unit_test(test_component_statuses),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
