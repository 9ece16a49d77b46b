#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kinds/kinds.h"
#include "schema/apply.h"
#include "schema/field_set.h"
#include "schema_test.h"

#define NOW 1700000000 * NSEC
#define NSEC 1000000000LL
#define TIME "2023-11-14T22:13:20Z"

static ApplyRequest by(const char *manager) {
    return (ApplyRequest){.resource = kinds_resource_core_v1_pods(),
                          .api_version = STR("v1"),
                          .manager = str_from(manager),
                          .subresource = STR(""),
                          .now_ns = NOW};
}

static Value *apply(Arena *arena, const ApplyRequest *request, const Value *live,
                    const char *config) {
    Value *result = NULL;
    ApiStatus *status = NULL;
    if (apply_merge(arena, request, live, parse(arena, config), &result, &status))
        fail_msg("%.*s", STR_ARG(status->message));
    return result;
}

static ApiStatus *apply_fails(Arena *arena, const ApplyRequest *request, const Value *live,
                              const char *config) {
    Value *result = NULL;
    ApiStatus *status = NULL;
    assert_int_equal(apply_merge(arena, request, live, parse(arena, config), &result, &status),
                     SCHEMA_E_APPLY);
    return status;
}

// The fieldsV1 of one manager, "" when it is not there.
static const char *owned(Arena *arena, const Value *object, const char *manager) {
    const Value *entries = value_at(object, "metadata.managedFields");
    for (uint32_t i = 0; entries && i < entries->n; i++)
        if (str_eq(value_string_at(entries->items[i], "manager"), str_from(manager)))
            return text_of(arena, value_get(entries->items[i], STR("fieldsV1")));
    return "";
}

#define POD(metadata, spec)                                                                        \
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"" metadata                \
    "},\"spec\":{" spec "}}"

static void test_sets(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const char *json =
        "{\"f:a\":{\".\":{},\"f:b\":{}},\"f:c\":{\"k:{\\\"name\\\":\\\"x\\\"}\":{}},\"v:1\":{}}";
    FieldSet a = field_set_from_value(arena, parse(arena, json));
    assert_json(arena, field_set_to_value(arena, &a), json);
    FieldSet b = field_set_from_value(arena, parse(arena, "{\"f:a\":{},\"f:d\":{}}"));
    FieldSet set = field_set_union(arena, &a, &b);
    assert_json(
        arena, field_set_to_value(arena, &set),
        "{\"f:a\":{\".\":{},\"f:b\":{}},\"f:c\":{\"k:{\\\"name\\\":\\\"x\\\"}\":{}},\"f:d\":{},"
        "\"v:1\":{}}");
    set = field_set_intersection(arena, &a, &b);
    assert_json(arena, field_set_to_value(arena, &set), "{\"f:a\":{}}");
    set = field_set_difference(arena, &a, &b);
    assert_json(arena, field_set_to_value(arena, &set),
                "{\"f:a\":{\"f:b\":{}},\"f:c\":{\"k:{\\\"name\\\":\\\"x\\\"}\":{}},\"v:1\":{}}");
    set = field_set_difference(arena, &a, &a);
    assert_true(field_set_is_empty(&set));
    assert_true(field_set_equal(&a, &a));
    assert_false(field_set_equal(&a, &b));
}

static void test_create_and_update_are_tracked(void **state) {
    _arena_free_ Arena *arena = arena_new();
    ApplyRequest create = by("kubectl-create"), label = by("kubectl-label");
    Value *pod = parse(
        arena,
        POD(",\"labels\":{\"a\":\"1\"},\"uid\":\"u\",\"finalizers\":[\"x/y\"]",
            "\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"ports\":[{\"containerPort\":80}],"
            "\"resources\":{}}],\"tolerations\":[{\"key\":\"k\"}],\"nodeName\":\"n\""));
    apply_track_update(arena, &create, NULL, pod);
    assert_json(
        arena, value_at(pod, "metadata.managedFields"),
        "[{\"manager\":\"kubectl-create\",\"operation\":\"Update\",\"apiVersion\":\"v1\",\"time\":"
        "\"" TIME "\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:metadata\":{\"f:finalizers\":"
        "{\".\":{},\"v:\\\"x/"
        "y\\\"\":{}},\"f:labels\":{\".\":{},\"f:a\":{}}},\"f:spec\":{\"f:containers\":"
        "{\"k:{\\\"name\\\":\\\"c\\\"}\":{\".\":{},\"f:image\":{},\"f:name\":{},\"f:ports\":{\".\":"
        "{},"
        "\"k:{\\\"containerPort\\\":80,\\\"protocol\\\":\\\"TCP\\\"}\":{\".\":{},\"f:"
        "containerPort\":{}}},"
        "\"f:resources\":{}}},\"f:nodeName\":{},\"f:tolerations\":{}}}}]");

    Value *next = value_copy(arena, pod);
    value_set_str(arena, value_at(next, "metadata.labels"), STR("a"), STR("2"));
    value_set_str(arena, value_at(next, "metadata.labels"), STR("b"), STR("3"));
    apply_track_update(arena, &label, pod, next);
    assert_string_equal(owned(arena, next, "kubectl-label"),
                        "{\"f:metadata\":{\"f:labels\":{\"f:a\":{},\"f:b\":{}}}}");
    assert_null(strstr(owned(arena, next, "kubectl-create"), "f:a"));

    Value *last = value_copy(arena, next);
    value_unset(value_at(last, "metadata.labels"), STR("b"));
    apply_track_update(arena, &create, next, last);
    assert_string_equal(owned(arena, last, "kubectl-label"),
                        "{\"f:metadata\":{\"f:labels\":{\"f:a\":{}}}}");
}

static void test_status_and_main_are_apart(void **state) {
    _arena_free_ Arena *arena = arena_new();
    ApplyRequest kubelet = by("kubelet"), create = by("create");
    kubelet.subresource = STR("status");
    Value *pod = parse(arena, POD("", "\"containers\":[],\"nodeName\":\"n\""));
    value_set(arena, pod, STR("status"), parse(arena, "{}"));
    apply_track_update(arena, &create, NULL, pod);
    Value *next = value_copy(arena, pod);
    value_set_str(arena, value_get(next, STR("status")), STR("phase"), STR("Running"));
    value_set_str(arena, value_get(next, STR("spec")), STR("nodeName"), STR("other"));
    apply_track_update(arena, &kubelet, pod, next);
    assert_string_equal(owned(arena, next, "kubelet"), "{\"f:status\":{\"f:phase\":{}}}");
    assert_string_equal(owned(arena, next, "create"), "{\"f:spec\":{\"f:nodeName\":{}}}");
    assert_str(arena,
               value_string_at(value_at(next, "metadata.managedFields")->items[1], "subresource"),
               "status");
}

static void test_what_clients_send_as_managed_fields(void **state) {
    _arena_free_ Arena *arena = arena_new();
    ApplyRequest create = by("create");
    Value *pod = parse(arena, POD("", "\"nodeName\":\"n\""));
    apply_track_update(arena, &create, NULL, pod);
    // none: the live ones stay; an empty list: all are forgotten and stay so
    Value *without = parse(arena, POD("", "\"nodeName\":\"n\""));
    apply_track_update(arena, &create, pod, without);
    assert_string_equal(owned(arena, without, "create"), "{\"f:spec\":{\"f:nodeName\":{}}}");
    Value *reset = parse(arena, POD(",\"managedFields\":[]", "\"nodeName\":\"n\""));
    apply_track_update(arena, &create, pod, reset);
    assert_null(value_at(reset, "metadata.managedFields"));
    Value *later = parse(arena, POD("", "\"nodeName\":\"m\""));
    apply_track_update(arena, &create, reset, later);
    assert_null(value_at(later, "metadata.managedFields"));
}

static void test_old_managers_are_joined(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *pod = parse(arena, POD("", "\"nodeName\":\"n\"")), *live = NULL;
    for (int i = 0; i < 20; i++) {
        ApplyRequest request = by(arena_printf(arena, "m%d", i).ptr);
        request.now_ns = NOW + i * NSEC;
        value_set_str(arena, value_at_make(arena, pod, "metadata.labels"),
                      arena_printf(arena, "l%d", i), STR("x"));
        apply_track_update(arena, &request, live, pod);
        live = value_copy(arena, pod);
    }
    assert_int_equal(value_at(pod, "metadata.managedFields")->n, 10);
    assert_non_null(strstr(owned(arena, pod, "ancient-changes"), "f:l0"));
    assert_non_null(strstr(owned(arena, pod, "m19"), "f:l19"));
}

static void test_apply_creates_and_changes(void **state) {
    _arena_free_ Arena *arena = arena_new();
    ApplyRequest me = by("me");
    Value *pod = apply(arena, &me, NULL,
                       POD(",\"labels\":{\"a\":\"1\",\"b\":\"2\"}",
                           "\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{"
                           "\"limits\":{\"cpu\":1}}}]"));
    assert_str(arena,
               value_string_at(value_at(pod, "metadata.managedFields")->items[0], "operation"),
               "Apply");
    assert_string_equal(
        owned(arena, pod, "me"),
        "{\"f:metadata\":{\"f:labels\":{\"f:a\":{},\"f:b\":{}}},\"f:spec\":{\"f:containers\":"
        "{\"k:{\\\"name\\\":\\\"c\\\"}\":{\".\":{},\"f:image\":{},\"f:name\":{},\"f:resources\":"
        "{\"f:limits\":{\"f:cpu\":{}}}}}}}");
    // a field that is applied no more goes, unless it was somebody else's
    Value *next = apply(
        arena, &me, pod,
        POD(",\"labels\":{\"b\":\"3\"}", "\"containers\":[{\"name\":\"c\",\"image\":\"j\"}]"));
    assert_json(arena, value_at(next, "metadata.labels"), "{\"b\":\"3\"}");
    const Value *container = value_at(next, "spec.containers")->items[0];
    assert_str(arena, value_string_at(container, "image"), "j");
    assert_null(value_at(container, "resources.limits"));
    assert_json(arena, value_at(pod, "metadata.labels"), "{\"a\":\"1\",\"b\":\"2\"}");
    // nothing new: nothing changes, not even the time
    ApplyRequest later = me;
    later.now_ns += 5 * NSEC;
    Value *same = apply(
        arena, &later, next,
        POD(",\"labels\":{\"b\":\"3\"}", "\"containers\":[{\"name\":\"c\",\"image\":\"j\"}]"));
    assert_true(value_equal(same, next));
}

static void test_apply_keeps_what_others_own(void **state) {
    _arena_free_ Arena *arena = arena_new();
    ApplyRequest me = by("me"), other = by("other"), tool = by("tool");
    Value *pod = apply(arena, &me, NULL, POD(",\"labels\":{\"a\":\"1\",\"b\":\"2\"}", ""));
    // equal values are shared
    pod = apply(arena, &other, pod, POD(",\"labels\":{\"a\":\"1\"}", ""));
    assert_string_equal(owned(arena, pod, "other"),
                        "{\"f:metadata\":{\"f:labels\":{\"f:a\":{}}},\"f:spec\":{}}");
    Value *next = apply(arena, &me, pod, POD("", ""));
    assert_json(arena, value_at(next, "metadata.labels"), "{\"a\":\"1\"}");
    assert_string_equal(owned(arena, next, "me"), "{\"f:spec\":{}}");
    // so is what an update set
    Value *updated = value_copy(arena, pod);
    value_set_str(arena, value_at(updated, "metadata.labels"), STR("t"), STR("9"));
    apply_track_update(arena, &tool, pod, updated);
    next = apply(arena, &me, updated, POD("", ""));
    assert_json(arena, value_at(next, "metadata.labels"), "{\"a\":\"1\",\"t\":\"9\"}");
}

static void test_conflicts(void **state) {
    _arena_free_ Arena *arena = arena_new();
    ApplyRequest me = by("me"), other = by("other"), tool = by("tool");
    Value *pod = apply(
        arena, &me, NULL,
        POD(",\"labels\":{\"a\":\"1\"}", "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]"));
    ApiStatus *status = apply_fails(arena, &other, pod, POD(",\"labels\":{\"a\":\"2\"}", ""));
    assert_int_equal(status->code, 409);
    assert_str(arena, status->reason, "Conflict");
    assert_str(arena, status->message,
               "Apply failed with 1 conflict: conflict with \"me\": .metadata.labels.a");
    assert_int_equal(status->n_causes, 1);
    assert_str(arena, status->causes[0].type, "FieldManagerConflict");
    assert_str(arena, status->causes[0].message, "conflict with \"me\"");
    assert_str(arena, status->causes[0].field, ".metadata.labels.a");

    Value *updated = value_copy(arena, pod);
    value_set_str(arena, value_at(updated, "metadata.labels"), STR("t"), STR("9"));
    apply_track_update(arena, &tool, pod, updated);
    status = apply_fails(
        arena, &other, updated,
        POD(",\"labels\":{\"t\":\"2\"}", "\"containers\":[{\"name\":\"c\",\"image\":\"j\"}]"));
    assert_str(arena, status->message,
               "Apply failed with 2 conflicts: conflicts with \"me\":\n"
               "- .spec.containers[name=\"c\"].image\n"
               "conflicts with \"tool\" using v1:\n- .metadata.labels.t");

    other.force = true;
    Value *forced = apply(arena, &other, pod, POD(",\"labels\":{\"a\":\"2\"}", ""));
    assert_json(arena, value_at(forced, "metadata.labels"), "{\"a\":\"2\"}");
    assert_null(strstr(owned(arena, forced, "me"), "f:labels"));
    assert_string_equal(owned(arena, forced, "other"),
                        "{\"f:metadata\":{\"f:labels\":{\"f:a\":{}}},\"f:spec\":{}}");
}

static void test_lists(void **state) {
    _arena_free_ Arena *arena = arena_new();
    ApplyRequest me = by("me"), other = by("other");
    Value *pod = apply(
        arena, &me, NULL,
        POD(",\"finalizers\":[\"a/a\",\"b/b\"]",
            "\"containers\":[{\"name\":\"a\",\"args\":[\"1\"]},{\"name\":\"b\"}],\"tolerations\":"
            "[{\"key\":\"k\"}]"));
    pod = apply(arena, &other, pod,
                POD(",\"finalizers\":[\"c/c\"]",
                    "\"containers\":[{\"name\":\"z\"},{\"name\":\"b\",\"image\":\"i\"}]"));
    assert_json(arena, value_at(pod, "metadata.finalizers"), "[\"a/a\",\"b/b\",\"c/c\"]");
    assert_json(
        arena, value_at(pod, "spec.containers"),
        "[{\"name\":\"a\",\"args\":[\"1\"]},{\"name\":\"z\"},{\"name\":\"b\",\"image\":\"i\"}]");
    // mine go, shared and foreign ones stay; atomic lists are replaced whole
    pod = apply(
        arena, &me, pod,
        POD(",\"finalizers\":[\"b/b\"]", "\"tolerations\":[{\"key\":\"l\"},{\"key\":\"m\"}]"));
    assert_json(arena, value_at(pod, "metadata.finalizers"), "[\"b/b\",\"c/c\"]");
    assert_json(arena, value_at(pod, "spec.containers"),
                "[{\"name\":\"z\"},{\"name\":\"b\",\"image\":\"i\"}]");
    assert_json(arena, value_at(pod, "spec.tolerations"), "[{\"key\":\"l\"},{\"key\":\"m\"}]");
    assert_string_equal(owned(arena, pod, "me"), "{\"f:metadata\":{\"f:finalizers\":{\"v:\\\"b/"
                                                 "b\\\"\":{}}},\"f:spec\":{\"f:tolerations\":{}}}");
}

static void test_first_apply_to_an_untracked_object(void **state) {
    _arena_free_ Arena *arena = arena_new();
    ApplyRequest me = by("me");
    Value *live = parse(arena, POD(",\"labels\":{\"a\":\"1\"}", "\"nodeName\":\"n\""));
    ApiStatus *status = apply_fails(arena, &me, live, POD(",\"labels\":{\"a\":\"2\"}", ""));
    assert_str(arena, status->message,
               "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: "
               ".metadata.labels.a");
    me.force = true;
    Value *pod = apply(arena, &me, live, POD(",\"labels\":{\"a\":\"2\"}", ""));
    assert_string_equal(owned(arena, pod, "before-first-apply"),
                        "{\"f:metadata\":{\"f:labels\":{}},\"f:spec\":{\"f:nodeName\":{}}}");
}

static void test_from_client_side_apply(void **state) {
    _arena_free_ Arena *arena = arena_new();
    ApplyRequest before = by("kubectl-client-side-apply"), kubectl = by("kubectl");
    Value *live =
        parse(arena, POD(",\"labels\":{\"a\":\"1\"},\"annotations\":{\"kubectl.kubernetes.io/"
                         "last-applied-configuration\":\"{\\\"apiVersion\\\":\\\"v1\\\","
                         "\\\"kind\\\":\\\"Pod\\\","
                         "\\\"metadata\\\":{\\\"labels\\\":{\\\"a\\\":\\\"1\\\"}}}\"}",
                         "\"nodeName\":\"n\""));
    apply_track_update(arena, &before, NULL, live);
    Value *pod = apply(arena, &kubectl, live, POD(",\"labels\":{\"a\":\"2\"}", ""));
    assert_json(arena, value_at(pod, "metadata.labels"), "{\"a\":\"2\"}");
    const Value *annotation = value_get(value_at(pod, "metadata.annotations"),
                                        STR("kubectl.kubernetes.io/last-applied-configuration"));
    assert_str(arena, annotation->string, POD(",\"labels\":{\"a\":\"2\"}", "") "\n");
    // not for fields that others have changed meanwhile
    apply_fails(arena, &kubectl, live, POD("", "\"nodeName\":\"m\""));
}

static void test_bad_configurations(void **state) {
    _arena_free_ Arena *arena = arena_new();
    ApplyRequest me = by("me");
    ApiStatus *status = apply_fails(arena, &me, NULL, "{\"apiVersion\":\"v2\",\"kind\":\"Pod\"}");
    assert_int_equal(status->code, 400);
    assert_str(arena, status->message, "invalid object type: /v2, Kind=Pod");
    status = apply_fails(arena, &me, NULL, POD(",\"managedFields\":[]", ""));
    assert_str(arena, status->message, "metadata.managedFields must be nil");
    status = apply_fails(arena, &me, NULL, POD(",\"namespace\":\"d\"", "\"foo\":1"));
    assert_str(arena, status->message,
               "failed to create typed patch object (d/p; /v1, Kind=Pod): .spec.foo: field not "
               "declared in schema");
    status = apply_fails(arena, &me, NULL,
                         POD("", "\"containers\":[{\"name\":\"a\"},{\"name\":\"a\"}]"));
    assert_non_null(strstr(arena_cstr(arena, status->message), "duplicate entries for key"));
    status = apply_fails(arena, &me, NULL, POD("", "\"containers\":[{\"image\":\"a\"}]"));
    assert_non_null(strstr(arena_cstr(arena, status->message), "omits key field "));
    status = apply_fails(arena, &me, NULL, POD("", "\"containers\":5"));
    assert_non_null(strstr(arena_cstr(arena, status->message), "cannot unmarshal number"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_create_and_update_are_tracked),
        cmocka_unit_test(test_status_and_main_are_apart),
        cmocka_unit_test(test_what_clients_send_as_managed_fields),
        cmocka_unit_test(test_old_managers_are_joined),
        cmocka_unit_test(test_apply_creates_and_changes),
        cmocka_unit_test(test_apply_keeps_what_others_own),
        cmocka_unit_test(test_conflicts),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_first_apply_to_an_untracked_object),
        cmocka_unit_test(test_from_client_side_apply),
        cmocka_unit_test(test_bad_configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
