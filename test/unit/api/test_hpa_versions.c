// autoscaling/v1 and v2 are two views of the same objects (pkg/apis/autoscaling/v1/conversion.go
// upstream).

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "harness.h"

#define V1 "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
#define V2 "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
#define ALPHA "autoscaling.alpha.kubernetes.io/"

static int setup(void **state) {
    *state = harness_new();
    return 0;
}

static int teardown(void **state) {
    harness_free(*state);
    return 0;
}

static const char *json_at(Harness *h, const Answer *answer, const char *path) {
    _buf_deinit_ Buf buf = BUF_INIT(1 << 16);
    const Value *value = value_at(answer->json, path);
    if (value)
        value_write_json(value, &buf);
    return arena_cstr(h->arena, buf_view(&buf));
}

static const char *annotation(Harness *h, const Answer *answer, const char *key) {
    const Value *text = value_get(value_at(answer->json, "metadata.annotations"), str_from(key));
    return text ? arena_cstr(h->arena, text->string) : "";
}

#define SPEC "\"scaleTargetRef\":{\"kind\":\"Deployment\",\"name\":\"d\"},\"maxReplicas\":5"

static void test_from_the_older(void **state) {
    Harness *h = *state;
    Answer *made = call(h, "POST", V1,
                        "{\"metadata\":{\"name\":\"a\"},\"spec\":{" SPEC
                        ",\"targetCPUUtilizationPercentage\":50}}");
    assert_status(made, 201);
    assert_string_equal(text_at(made, "apiVersion"), "autoscaling/v1");
    assert_int_equal(number_at(made, "spec.minReplicas"), 1);
    assert_int_equal(number_at(made, "spec.targetCPUUtilizationPercentage"), 50);
    Answer *newer = call(h, "GET", V2 "/a", NULL);
    assert_string_equal(text_at(newer, "apiVersion"), "autoscaling/v2");
    assert_string_equal(
        json_at(h, newer, "spec.metrics"),
        "[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":"
        "\"Utilization\",\"averageUtilization\":50}}}]");
    assert_null(value_at(newer->json, "spec.targetCPUUtilizationPercentage"));
    assert_null(value_get(newer->json, STR("status"))); // the system has said nothing yet
    // Without a target it is 80 %.
    assert_status(call(h, "POST", V1, "{\"metadata\":{\"name\":\"b\"},\"spec\":{" SPEC "}}"), 201);
    assert_string_equal(
        json_at(h, call(h, "GET", V2 "/b", NULL), "spec.metrics"),
        "[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":"
        "\"Utilization\",\"averageUtilization\":80}}}]");
    Answer *list = call(h, "GET", V1, NULL);
    assert_int_equal(value_at(list->json, "items")->n, 2);
    assert_string_equal(text_at(list, "kind"), "HorizontalPodAutoscalerList");
    assert_string_equal(text_at(list, "apiVersion"), "autoscaling/v1");
}

#define OBJECT_METRIC                                                                              \
    "{\"type\":\"Object\",\"object\":{\"describedObject\":{\"kind\":\"Service\",\"name\":\"s\"},"  \
    "\"target\":{\"type\":\"Value\",\"value\":\"3\"},\"metric\":{\"name\":\"m\"}}}"
#define CPU_METRIC                                                                                 \
    "{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":\"Utilization\","  \
    "\"averageUtilization\":40}}}"

static void test_from_the_newer(void **state) {
    Harness *h = *state;
    assert_status(call(h, "POST", V2,
                       "{\"metadata\":{\"name\":\"a\"},\"spec\":{" SPEC
                       ",\"metrics\":[" OBJECT_METRIC "," CPU_METRIC
                       "],\"behavior\":{\"scaleDown\":{\"selectPolicy\":\"Min\"}}}}"),
                  201);
    assert_status(
        call_patch(h, "merge", V2 "/a/status",
                   "{\"status\":{\"desiredReplicas\":2,\"currentMetrics\":[{\"type\":\"Resource\","
                   "\"resource\":{\"name\":\"cpu\",\"current\":{\"averageUtilization\":30,"
                   "\"averageValue\":\"10m\"}}}],\"conditions\":[{\"type\":\"AbleToScale\","
                   "\"status\":\"True\"}]}}"),
        200);
    Answer *older = call(h, "GET", V1 "/a", NULL);
    assert_int_equal(number_at(older, "spec.targetCPUUtilizationPercentage"), 40);
    assert_int_equal(number_at(older, "status.currentCPUUtilizationPercentage"), 30);
    assert_null(value_at(older->json, "spec.metrics"));
    assert_null(value_at(older->json, "spec.behavior"));
    assert_null(value_at(older->json, "status.conditions"));
    assert_string_equal(
        annotation(h, older, ALPHA "metrics"),
        "[{\"type\":\"Object\",\"object\":{\"target\":{\"kind\":\"Service\",\"name\":\"s\"},"
        "\"metricName\":\"m\",\"targetValue\":\"3\"}}]");
    assert_string_equal(
        annotation(h, older, ALPHA "current-metrics"),
        "[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"currentAverageUtilization\":30,"
        "\"currentAverageValue\":\"10m\"}}]");
    assert_memory_equal(annotation(h, older, ALPHA "conditions"),
                        "[{\"type\":\"AbleToScale\",\"status\":\"True\"", 38);
    assert_memory_equal(annotation(h, older, ALPHA "behavior"),
                        "{\"ScaleUp\":{\"StabilizationWindowSeconds\":0,\"SelectPolicy\":\"Max\"",
                        63);
    // An update by the older version keeps all of it, and what is status stays the system's.
    assert_status(call_patch(h, "merge", V1 "/a",
                             "{\"metadata\":{\"annotations\":{\"" ALPHA "conditions\":null}},"
                             "\"spec\":{\"maxReplicas\":6}}"),
                  200);
    Answer *newer = call(h, "GET", V2 "/a", NULL);
    assert_int_equal(number_at(newer, "spec.maxReplicas"), 6);
    assert_string_equal(
        json_at(h, newer, "spec.metrics"),
        "[{\"type\":\"Object\",\"object\":{\"describedObject\":{\"kind\":\"Service\","
        "\"name\":\"s\"},\"metric\":{\"name\":\"m\"},\"target\":{\"value\":\"3\","
        "\"type\":\"Value\"}}}," CPU_METRIC "]");
    assert_string_equal(json_at(h, newer, "spec.behavior.scaleDown.selectPolicy"), "\"Min\"");
    assert_int_equal(value_at(newer->json, "status.conditions")->n, 1);
    assert_int_equal(value_at(newer->json, "status.currentMetrics")->n, 1);
    assert_null(value_at(newer->json, "metadata.annotations"));
}

static void test_refused(void **state) {
    Harness *h = *state;
    assert_refused(
        call(h, "POST", V1, "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"minReplicas\":0}}"), 422,
        "HorizontalPodAutoscaler.autoscaling \"a\" is invalid: [spec.minReplicas: Invalid "
        "value: 0: must be greater than or equal to 1, spec.maxReplicas: Invalid value: 0: "
        "must be greater than 0, spec.scaleTargetRef.kind: Required value, "
        "spec.scaleTargetRef.name: Required value]");
    assert_refused(call(h, "POST", V1,
                        "{\"metadata\":{\"name\":\"a\"},\"spec\":{" SPEC
                        ",\"targetCPUUtilizationPercentage\":0}}"),
                   422,
                   "HorizontalPodAutoscaler.autoscaling \"a\" is invalid: "
                   "spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be "
                   "greater than "
                   "0");
    assert_status(call(h, "POST", V1,
                       "{\"metadata\":{\"name\":\"a\",\"annotations\":{\"" ALPHA
                       "metrics\":\"[\"}},\"spec\":{" SPEC "}}"),
                  422);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_from_the_older),
        T(test_from_the_newer),
        T(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
