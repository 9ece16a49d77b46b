// Events of both groups.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "road.h"

#define NOW "'eventTime':'2026-01-01T00:00:00.000000Z'"
#define WHOLE                                                                                      \
    NOW ",'regarding':{'namespace':'default'},'reportingController':'a/b',"                        \
        "'reportingInstance':'i','action':'Run','reason':'Started','type':'Normal'"

static const char *old_form(Arena *arena, const char *json) {
    return road_create(arena, kinds_resource_core_v1_events(), json, NULL);
}
static const char *new_form(Arena *arena, const char *json) {
    return road_create(arena, kinds_resource_events_v1_events(), json, NULL);
}

static void test_namespace_is_that_of_the_object(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(old_form(arena, "{'involvedObject':{'namespace':'default'}}"), "");
    assert_string_equal(old_form(arena, "{'involvedObject':{'kind':'Node'}}"), "");
    assert_string_equal(old_form(arena, "{'involvedObject':{'namespace':'x'}}"),
                        "involvedObject.namespace: Invalid value: \"x\": does not match "
                        "event.namespace\n");
    assert_string_equal(
        old_form(arena, "{'metadata':{'namespace':'x'},'involvedObject':{'kind':'Node'}}"),
        "involvedObject.namespace: Invalid value: \"\": does not match event.namespace\n");
}

static void test_new_form_must_be_whole(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(
        old_form(arena,
                 "{'involvedObject':{'namespace':'default'}," NOW ",'reportingComponent':'a/b'}"),
        "reportingInstance: Required value\naction: Required value\nreason: Required value\n");
    assert_string_equal(new_form(arena, "{" WHOLE "}"), "");
    assert_string_equal(new_form(arena, "{}"), "eventTime: Required value\n"
                                               "type: Invalid value: \"\": has invalid value: \n");
    assert_string_equal(
        new_form(arena, "{" WHOLE ",'deprecatedCount':1,'series':{'count':1,'lastObservedTime':"
                        "'2026-01-01T00:00:00.000000Z'}}"),
        "series.count: Invalid value: \"\": should be at least 2\n"
        "count: Invalid value: \"\": needs to be unset\n");
}

static void test_limits(void **state) {
    _arena_free_ Arena *arena = arena_new();
    char text[1026];
    memset(text, 'x', 1025);
    text[1025] = '\0';
    assert_string_equal(
        new_form(arena, arena_printf(arena, "{" WHOLE ",'note':'%s'}", text + 1).ptr), "");
    assert_string_equal(new_form(arena, arena_printf(arena, "{" WHOLE ",'note':'%s'}", text).ptr),
                        "message: Invalid value: \"\": can have at most 1024 characters\n");
}

static void test_new_form_does_not_change(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const Resource *events = kinds_resource_events_v1_events();
    const char *old = "{" WHOLE "}";
    assert_string_equal(road_update(arena, events, old,
                                    "{" WHOLE ",'series':{'count':2,'lastObservedTime':"
                                    "'2026-01-01T00:00:00.000000Z'}}",
                                    NULL),
                        "");
    assert_string_equal(road_update(arena, events, old, "{" WHOLE ",'note':'other'}", NULL),
                        "message: Invalid value: \"other\": field is immutable\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_namespace_is_that_of_the_object),
        cmocka_unit_test(test_new_form_must_be_whole),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_new_form_does_not_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
