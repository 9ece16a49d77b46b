#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/table.h"
#include "api/table_cells.h"
#include "base/time.h"
#include "kinds/kinds.h"

static const char *now_text = "2026-11-23T12:00:00Z";

// The cells of one object as "a|b|c".
static Str cells(Arena *arena, const Resource *resource, const char *json) {
    Value *object;
    ParseError error;
    int64_t now;
    assert_int_equal(value_parse_json(arena, str_from(json), NULL, &object, &error), 0);
    assert_int_equal(time_parse(str_from(now_text), &now), 0);
    const Value *objects[] = {object};
    Value *table = table_render(arena, resource, objects, 1, NULL, TABLE_METADATA, true, now);
    const Value *row = value_get(table, STR("rows"))->items[0],
                *list = value_get(row, STR("cells"));
    assert_int_equal(list->n, value_get(table, STR("columnDefinitions"))->n);
    Str out = STR("");
    for (uint32_t i = 0; i < list->n; i++) {
        const Value *cell = list->items[i];
        Str text = cell->kind == VALUE_STRING
                       ? cell->string
                       : arena_printf(arena, "%lld", (long long)cell->integer);
        out = arena_printf(arena, "%.*s%s%.*s", STR_ARG(out), i ? "|" : "", STR_ARG(text));
    }
    return out;
}

static void check(const Resource *resource, const char *json, const char *expected) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(cells(arena, resource, json).ptr, expected);
}

#define POD(status)                                                                                \
    "{\"metadata\":{\"name\":\"p\",\"creationTimestamp\":\"2026-11-23T11:59:00Z\"},\"spec\":{"     \
    "\"nodeName\":\"n1\",\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]},\"status\":{" status  \
    "}}"
#define INIT(status)                                                                               \
    "{\"metadata\":{\"name\":\"p\",\"creationTimestamp\":\"2026-11-23T11:59:00Z\"},\"spec\":{"     \
    "\"nodeName\":\"n1\",\"initContainers\":[{\"name\":\"i\"},"                                    \
    "{\"name\":\"j\"}],\"containers\":[{\"name\":\"a\"}]},\"status\":{" status "}}"
#define TAIL "|60s|<none>|n1|<none>|<none>"

static void test_pods(void **state) {
    const Resource *pods = kinds_resource_core_v1_pods();
    check(pods, POD("\"phase\":\"Pending\""), "p|0/2|Pending|0" TAIL);
    check(pods,
          POD("\"phase\":\"Running\",\"podIPs\":[{\"ip\":\"10.42.0.7\"}],\"containerStatuses\":[{"
              "\"name\":\"a\",\"ready\":true,\"state\":{\"running\":{}}},"
              "{\"name\":\"b\",\"ready\":false,\"restartCount\":3,\"state\":{\"waiting\":{"
              "\"reason\":\"CrashLoopBackOff\"}},\"lastState\":{\"terminated\":{"
              "\"exitCode\":1,\"finishedAt\":\"2026-11-23T11:59:30Z\"}}}]"),
          "p|1/2|CrashLoopBackOff|3 (30s ago)|60s|10.42.0.7|n1|<none>|<none>");
    check(pods,
          POD("\"phase\":\"Succeeded\",\"containerStatuses\":[{\"name\":\"a\",\"state\":{"
              "\"terminated\":{\"exitCode\":0,\"reason\":\"Completed\"}}}]"),
          "p|0/2|Completed|0" TAIL);
    check(pods,
          POD("\"phase\":\"Failed\",\"containerStatuses\":[{\"name\":\"a\",\"state\":{"
              "\"terminated\":{\"exitCode\":3}}}]"),
          "p|0/2|ExitCode:3|0" TAIL);
    check(pods, POD("\"phase\":\"Failed\",\"reason\":\"Evicted\""), "p|0/2|Evicted|0" TAIL);
    // One has completed, the other runs and the pod is not Ready.
    check(pods,
          POD("\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"a\",\"state\":{"
              "\"terminated\":{\"exitCode\":0,\"reason\":\"Completed\"}}},{\"name\":\"b\","
              "\"ready\":true,\"state\":{\"running\":{}}}]"),
          "p|1/2|NotReady|0" TAIL);
}

static void test_pods_initializing(void **state) {
    const Resource *pods = kinds_resource_core_v1_pods();
    check(pods,
          INIT("\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"state\":{"
               "\"terminated\":{\"exitCode\":0}}},{\"name\":\"j\",\"state\":{\"running\":{}}}]"),
          "p|0/1|Init:1/2|0" TAIL);
    check(pods,
          INIT("\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"restartCount\":"
               "2,\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}},\"lastState\":"
               "{\"terminated\":{\"finishedAt\":\"2026-11-23T11:59:55Z\"}}}]"),
          "p|0/1|Init:CrashLoopBackOff|2 (5s ago)" TAIL);
    check(pods,
          INIT("\"phase\":\"Failed\",\"initContainerStatuses\":[{\"name\":\"i\",\"state\":{"
               "\"terminated\":{\"exitCode\":1,\"reason\":\"Error\"}}}]"),
          "p|0/1|Init:Error|0" TAIL);
}

static void test_pods_going(void **state) {
    const Resource *pods = kinds_resource_core_v1_pods();
    check(pods,
          "{\"metadata\":{\"name\":\"p\",\"creationTimestamp\":\"2026-11-23T11:59:00Z\","
          "\"deletionTimestamp\":\"2026-11-23T12:00:00Z\"},\"spec\":{\"nodeName\":\"n1\","
          "\"containers\":[{}]},\"status\":{\"phase\":\"Running\"}}",
          "p|0/1|Terminating|0" TAIL);
    check(pods,
          "{\"metadata\":{\"name\":\"p\",\"creationTimestamp\":\"2026-11-23T11:59:00Z\","
          "\"deletionTimestamp\":\"2026-11-23T12:00:00Z\"},\"spec\":{\"nodeName\":\"n1\","
          "\"containers\":[{}]},\"status\":{\"phase\":\"Running\",\"reason\":\"NodeLost\"}}",
          "p|0/1|Unknown|0" TAIL);
}

static void test_others(void **state) {
    check(kinds_resource_core_v1_nodes(),
          "{\"metadata\":{\"name\":\"n\",\"creationTimestamp\":\"2026-11-22T12:00:00Z\",\"labels\":"
          "{\"node-role.kubernetes.io/worker\":\"\","
          "\"node-role.kubernetes.io/"
          "control-plane\":\"\"}},\"spec\":{\"unschedulable\":true},\"status\":{\"conditions\":[{"
          "\"type\":\"Ready\",\"status\":\"True\"}],"
          "\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"10.0.0.1\"}],\"nodeInfo\":{"
          "\"kubeletVersion\":\"v1.35.0\",\"osImage\":\"Debian\"}}}",
          "n|Ready,SchedulingDisabled|control-plane,worker|24h|v1.35.0|10.0.0.1|<none>|Debian|<"
          "unknown>|<unknown>");
    check(kinds_resource_core_v1_services(),
          "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"type\":\"LoadBalancer\",\"clusterIP\":\"10."
          "43.0.9\",\"ports\":[{\"port\":80,\"nodePort\":30080,"
          "\"protocol\":\"TCP\"},{\"port\":53,\"protocol\":\"UDP\"}],\"selector\":{\"b\":\"2\","
          "\"a\":\"1\"}}}",
          "s|LoadBalancer|10.43.0.9|<pending>|80:30080/TCP,53/UDP|<unknown>|a=1,b=2");
    check(kinds_resource_core_v1_endpoints(),
          "{\"metadata\":{\"name\":\"e\"},\"subsets\":[{\"addresses\":[{\"ip\":\"10.0.0.1\"},{"
          "\"ip\":\"10.0.0.2\"}],\"ports\":[{\"port\":80},{\"port\":443}]}]}",
          "e|10.0.0.1:80,10.0.0.2:80,10.0.0.1:443 + 1 more...|<unknown>");
}

// Every function that a kinds file names exists.
static void test_every_function_exists(void **state) {
    size_t seen = 0;
    for (size_t i = 0; kinds_resource_at(i); i++)
        for (size_t j = 0; j < kinds_resource_at(i)->n_columns; j++) {
            const char *function = kinds_resource_at(i)->columns[j].function;
            if (!function)
                continue;
            seen++;
            if (!table_cell_function(str_from(function)))
                fail_msg("no cell function %s", function);
        }
    assert_true(seen > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pods),
        cmocka_unit_test(test_pods_initializing),
        cmocka_unit_test(test_pods_going),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_every_function_exists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
