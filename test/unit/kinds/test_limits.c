// LimitRange and ResourceQuota. Where the expectations come from stands with each test.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "road.h"

// SetDefaults_LimitRangeItem (pkg/apis/core/v1/defaults.go).
static void test_limit_range_defaults(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *made;
    assert_string_equal(
        road_create(arena, kinds_resource_core_v1_limitranges(),
                    "{'spec':{'limits':[{'type':'Container','max':{'cpu':'4','memory':'1Gi'},"
                    "'min':{'cpu':'1','example.com/a':'2'},'default':{'cpu':'2'}},"
                    "{'type':'Pod','max':{'cpu':'4'}}]}}",
                    &made),
        "");
    road_assert_json(arena, value_at(made, "spec.limits"),
                     "[{'type':'Container','max':{'cpu':'4','memory':'1Gi'},'min':{'cpu':'1','"
                     "example.com/a':'2'},"
                     "'default':{'cpu':'2','memory':'1Gi'},"
                     "'defaultRequest':{'cpu':'2','memory':'1Gi','example.com/a':'2'}},"
                     "{'type':'Pod','max':{'cpu':'4'}}]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_range_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
