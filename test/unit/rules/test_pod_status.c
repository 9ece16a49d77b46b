// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "from_json.h"
#include "rules/pod_status.h"

static Pod pod_of(Arena *arena, const char *json) {
    Pod pod;
    from_json(arena, kinds_type_Pod(), json, &pod);
    return pod;
}

static void test_phases(void **state) {
    static const struct {
        const char *json;
        bool is_terminal, is_active;
    } cases[] = {
        {"{}", false, true},
        {"{'status':{'phase':'Pending'}}", false, true},
        {"{'status':{'phase':'Running'}}", false, true},
        {"{'status':{'phase':'Unknown'}}", false, true},
        {"{'status':{'phase':'Succeeded'}}", true, false},
        {"{'status':{'phase':'Failed'}}", true, false},
        {"{'metadata':{'deletionTimestamp':'2026-11-23T17:31:12Z'},'status':{'phase':'Running'}}",
         false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _arena_free_ Arena *arena = arena_new();
        Pod pod = pod_of(arena, cases[i].json);
        assert_int_equal(pod_is_terminal(&pod), cases[i].is_terminal);
        assert_int_equal(pod_is_active(&pod), cases[i].is_active);
    }
}

static void test_ready(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Pod pod = pod_of(arena, "{}");
    assert_false(pod_is_ready(&pod));
    pod = pod_of(arena, "{'status':{'conditions':[{'type':'ContainersReady','status':'True'},"
                        "{'type':'Ready','status':'False'}]}}");
    assert_false(pod_is_ready(&pod));
    assert_true(str_eq(pod_condition(&pod.status, STR("ContainersReady"))->status, STR("True")));
    assert_null(pod_condition(&pod.status, STR("Initialized")));
    pod = pod_of(arena, "{'status':{'conditions':[{'type':'Ready','status':'True'}]}}");
    assert_true(pod_is_ready(&pod));
    pod = pod_of(arena, "{'status':{'conditions':[{'type':'Ready','status':'Unknown'}]}}");
    assert_false(pod_is_ready(&pod));
}

static void test_set(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Pod pod = pod_of(arena, "{}");
    PodCondition ready = {.type = STR("Ready"),
                          .status = STR("False"),
                          .reason = STR("ContainersNotReady"),
                          .message = STR("a")};
    assert_true(pod_condition_set(arena, &pod.status, ready, 100));
    assert_int_equal(pod.status.conditions.len, 1);
    assert_int_equal(pod.status.conditions.items[0].last_transition_time, 100);
    // The same again is no change, whatever the time.
    assert_false(pod_condition_set(arena, &pod.status, ready, 200));
    assert_int_equal(pod.status.conditions.items[0].last_transition_time, 100);
    // Another message is a change, but no transition.
    ready.message = STR("b");
    assert_true(pod_condition_set(arena, &pod.status, ready, 300));
    assert_int_equal(pod.status.conditions.items[0].last_transition_time, 100);
    assert_true(str_eq(pod.status.conditions.items[0].message, STR("b")));
    ready.observed_generation = 2;
    assert_true(pod_condition_set(arena, &pod.status, ready, 300));
    // Another status is one.
    ready.status = STR("True");
    assert_true(pod_condition_set(arena, &pod.status, ready, 400));
    assert_int_equal(pod.status.conditions.items[0].last_transition_time, 400);
    assert_int_equal(pod.status.conditions.len, 1);

    PodCondition scheduled = {.type = STR("PodScheduled"), .status = STR("True")};
    assert_true(pod_condition_set(arena, &pod.status, scheduled, 500));
    assert_int_equal(pod.status.conditions.len, 2);
    assert_int_equal(pod_condition(&pod.status, STR("Ready"))->last_transition_time, 400);
    assert_int_equal(pod_condition(&pod.status, STR("PodScheduled"))->last_transition_time, 500);
}

// The status that it was copied from stays as it is.
static void test_set_does_not_share(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Pod pod = pod_of(arena, "{'status':{'conditions':[{'type':'Ready','status':'True'}]}}");
    PodStatus status = pod.status;
    PodCondition ready = {.type = STR("Ready"), .status = STR("False")};
    assert_true(pod_condition_set(arena, &status, ready, 1));
    assert_true(pod_is_ready(&pod));
    assert_true(str_eq(status.conditions.items[0].status, STR("False")));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_phases), cmocka_unit_test(test_ready),
                                       cmocka_unit_test(test_set),
                                       cmocka_unit_test(test_set_does_not_share)};
    return cmocka_run_group_tests_name("rules pod status", tests, NULL, NULL);
}
