// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "from_json.h"
#include "rules/taints.h"

static bool tolerates(const char *toleration_json, const char *taint_json) {
    _arena_free_ Arena *arena = arena_new();
    Toleration toleration;
    Taint taint;
    from_json(arena, kinds_type_Toleration(), toleration_json, &toleration);
    from_json(arena, kinds_type_Taint(), taint_json, &taint);
    return toleration_tolerates(&toleration, &taint);
}

static void test_tolerates(void **state) {
    static const struct {
        const char *toleration, *taint;
        bool expected;
    } cases[] = {
        // Equal, also as the default
        {"{'key':'a','operator':'Equal','value':'1','effect':'NoSchedule'}",
         "{'key':'a','value':'1','effect':'NoSchedule'}", true},
        {"{'key':'a','value':'1','effect':'NoSchedule'}",
         "{'key':'a','value':'1','effect':'NoSchedule'}", true},
        {"{'key':'a','value':'2','effect':'NoSchedule'}",
         "{'key':'a','value':'1','effect':'NoSchedule'}", false},
        {"{'key':'b','value':'1'}", "{'key':'a','value':'1','effect':'NoSchedule'}", false},
        {"{'key':'a'}", "{'key':'a','effect':'NoSchedule'}", true},
        {"{'key':'a'}", "{'key':'a','value':'','effect':'NoSchedule'}", true},
        {"{'key':'a'}", "{'key':'a','value':'1','effect':'NoSchedule'}", false},
        // effects
        {"{'key':'a','value':'1'}", "{'key':'a','value':'1','effect':'NoExecute'}", true},
        {"{'key':'a','value':'1','effect':'NoSchedule'}",
         "{'key':'a','value':'1','effect':'NoExecute'}", false},
        // Exists: any value; without a key: any taint
        {"{'key':'a','operator':'Exists'}", "{'key':'a','value':'1','effect':'NoExecute'}", true},
        {"{'key':'b','operator':'Exists'}", "{'key':'a','value':'1','effect':'NoExecute'}", false},
        {"{'operator':'Exists'}", "{'key':'a','value':'1','effect':'NoExecute'}", true},
        {"{'operator':'Exists','effect':'NoExecute'}", "{'key':'a','effect':'NoExecute'}", true},
        {"{'operator':'Exists','effect':'NoExecute'}", "{'key':'a','effect':'NoSchedule'}", false},
        // whatever else
        {"{'key':'a','operator':'Lt','value':'5'}", "{'key':'a','value':'1','effect':'NoExecute'}",
         false},
        {"{'key':'a','operator':'exists'}", "{'key':'a','effect':'NoExecute'}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (tolerates(cases[i].toleration, cases[i].taint) != cases[i].expected)
            fail_msg("%s on %s", cases[i].toleration, cases[i].taint);
    }
}

static void test_untolerated(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Node node;
    PodSpec spec;
    from_json(arena, kinds_type_Node(),
              "{'spec':{'taints':["
              "{'key':'soft','effect':'PreferNoSchedule'},"
              "{'key':'node.kubernetes.io/not-ready','effect':'NoSchedule'},"
              "{'key':'gpu','value':'yes','effect':'NoSchedule'},"
              "{'key':'node.kubernetes.io/not-ready','effect':'NoExecute'}]}}",
              &node);
    from_json(arena, kinds_type_PodSpec(),
              "{'tolerations':["
              "{'key':'node.kubernetes.io/not-ready','operator':'Exists','effect':'NoExecute'},"
              "{'key':'gpu','operator':'Exists'}]}",
              &spec);
    const Taint *taints = node.spec.taints.items;
    size_t n = node.spec.taints.len, m = spec.tolerations.len;
    const Toleration *tolerations = spec.tolerations.items;
    assert_ptr_equal(
        taints_find_untolerated(taints, n, tolerations, m, TAINT_NO_SCHEDULE | TAINT_NO_EXECUTE),
        &taints[1]);
    assert_null(taints_find_untolerated(taints, n, tolerations, m, TAINT_NO_EXECUTE));
    assert_ptr_equal(taints_find_untolerated(taints, n, tolerations, m, TAINT_PREFER_NO_SCHEDULE),
                     &taints[0]);
    assert_ptr_equal(taints_find_untolerated(taints, n, NULL, 0, TAINT_NO_EXECUTE), &taints[3]);
    assert_null(taints_find_untolerated(NULL, 0, tolerations, m, TAINT_NO_EXECUTE));
    assert_null(taints_find_untolerated(taints, n, tolerations, m, 0));
    assert_false(taint_is_same(&taints[1], &taints[3]));
    assert_true(taint_is_same(
        &taints[2], &(Taint){.key = STR("gpu"), .value = STR("no"), .effect = STR("NoSchedule")}));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tolerates),
                                       cmocka_unit_test(test_untolerated)};
    return cmocka_run_group_tests_name("rules taints", tests, NULL, NULL);
}
