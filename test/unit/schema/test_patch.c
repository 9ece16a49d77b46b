#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "kinds/kinds.h"
#include "schema/patch.h"
#include "schema_test.h"

static void merges(const char *object, const char *patch, const char *expected) {
    _arena_free_ Arena *arena = arena_new();
    Value *before = parse(arena, object), *change = parse(arena, patch), *after;
    assert_int_equal(patch_merge(arena, before, change, &after), 0);
    assert_json(arena, after, expected);
    assert_json(arena, before, text_of(arena, parse(arena, object)));
    assert_json(arena, change, text_of(arena, parse(arena, patch)));
}

static void test_merge_patch(void **state) { // most are RFC 7386's appendix A
    merges("{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
    merges("{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}");
    merges("{\"a\":\"b\"}", "{\"a\":null}", "{}");
    merges("{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}");
    merges("{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
    merges("{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}");
    merges("{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}");
    merges("{\"a\":\"foo\"}", "null", "null");
    merges("{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}");
    merges("[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}");
    merges("{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}");
}

static void patches(const char *object, const char *patch, const char *expected) {
    _arena_free_ Arena *arena = arena_new();
    Value *before = parse(arena, object), *change = parse(arena, patch), *after;
    Str message = STR_NONE;
    if (patch_json(arena, before, change, &after, &message))
        fail_msg("%s: %.*s", patch, STR_ARG(message));
    assert_json(arena, after, expected);
    assert_json(arena, before, text_of(arena, parse(arena, object)));
    assert_json(arena, change, text_of(arena, parse(arena, patch)));
}

static void test_json_patch(void **state) {
    patches("{\"a\":1}",
            "[{\"op\":\"add\",\"path\":\"/b\",\"value\":[]},"
            "{\"op\":\"add\",\"path\":\"/b/-\",\"value\":1},"
            "{\"op\":\"add\",\"path\":\"/b/0\",\"value\":0},"
            "{\"op\":\"replace\",\"path\":\"/a\",\"value\":{\"x\":null}},"
            "{\"op\":\"test\",\"path\":\"/b\",\"value\":[0,1]}]",
            "{\"a\":{\"x\":null},\"b\":[0,1]}");
    patches("{\"a\":[1,2,3],\"b\":{\"c\":4}}",
            "[{\"op\":\"remove\",\"path\":\"/a/1\"},{\"op\":\"move\",\"from\":\"/b/c\",\"path\":\"/"
            "d\"},"
            "{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b/a\"},{\"op\":\"remove\",\"path\":\"/a/"
            "-1\"}]",
            "{\"a\":[1],\"b\":{\"a\":[1,3]},\"d\":4}");
    patches("{\"a/b\":{\"m~n\":1}}", "[{\"op\":\"replace\",\"path\":\"/a~1b/m~0n\",\"value\":2}]",
            "{\"a/b\":{\"m~n\":2}}");
    patches("{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":{\"b\":2}}]", "{\"b\":2}");
    patches("{\"\":1}", "[{\"op\":\"remove\",\"path\":\"/\"}]", "{}");
    patches("{}", "[{\"op\":\"test\",\"path\":\"/none\",\"value\":null}]", "{}");
}

static void refuses(const char *object, const char *patch, int status, const char *expected) {
    _arena_free_ Arena *arena = arena_new();
    Value *after;
    Str message = STR_NONE;
    assert_int_equal(patch_json(arena, parse(arena, object), parse(arena, patch), &after, &message),
                     status);
    assert_str(arena, message, expected);
}

static void test_json_patch_errors(void **state) {
    refuses("{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":2}]", SCHEMA_E_PATCH,
            "testing value /a failed: test failed");
    refuses("{}", "[{\"op\":\"remove\",\"path\":\"/a\"}]", SCHEMA_E_PATCH,
            "error in remove for path: '/a': Unable to remove nonexistent key: a: missing value");
    refuses("{}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":1}]", SCHEMA_E_PATCH,
            "replace operation does not apply: doc is missing key: /a: missing value");
    refuses("{}", "[{\"op\":\"add\",\"path\":\"/a/b\",\"value\":1}]", SCHEMA_E_PATCH,
            "add operation does not apply: doc is missing path: \"/a/b\": missing value");
    refuses("{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/3\",\"value\":1}]", SCHEMA_E_PATCH,
            "error in add for path: '/a/3': Unable to access invalid index: 3: invalid index "
            "referenced");
    refuses("{\"a\":[1]}", "[{\"op\":\"remove\",\"path\":\"/a/x\"}]", SCHEMA_E_PATCH,
            "error in remove for path: '/a/x': Unable to access invalid index: x: invalid index "
            "referenced");
    refuses("{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/a/b\",\"value\":1}]", SCHEMA_E_PATCH,
            "add operation does not apply: doc is missing path: \"/a/b\": missing value");
    refuses("{}", "[{\"op\":\"copy\",\"from\":\"/x\",\"path\":\"/a\"}]", SCHEMA_E_PATCH,
            "copy operation does not apply: doc is missing from path: /x: missing value");
    refuses("{}", "[{\"op\":\"grow\",\"path\":\"/a\"}]", SCHEMA_E_PATCH_FORMAT,
            "Unexpected kind: grow");
    refuses("{}", "[{\"op\":\"add\",\"path\":\"/a\"}]", SCHEMA_E_PATCH_FORMAT,
            "operation missing value field: missing value");
    refuses("{}", "{}", SCHEMA_E_PATCH_FORMAT,
            "json: cannot unmarshal a value that is no array into Go value of type "
            "jsonpatch.Patch");
}

static void test_json_patch_limits(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *after, *patch = value_new_array(arena);
    Str message;
    // doubles the document each time
    for (int i = 0; i < 64; i++)
        value_push(arena, patch,
                   parse(arena, "{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/-\"}"));
    assert_int_equal(patch_json(arena, parse(arena, "{\"a\":[1,2,3]}"), patch, &after, &message),
                     SCHEMA_E_PATCH);
    assert_non_null(strstr(arena_cstr(arena, message), "Unable to complete the copy"));
    // nests deeper each time
    patch = parse(arena, "[{\"op\":\"copy\",\"from\":\"\",\"path\":\"/a/a\"}]");
    for (int i = 0; i < 200; i++)
        value_push(arena, patch, parse(arena, "{\"op\":\"copy\",\"from\":\"\",\"path\":\"/a\"}"));
    assert_int_equal(patch_json(arena, parse(arena, "{\"a\":{}}"), patch, &after, &message),
                     SCHEMA_E_PATCH);
    patch = value_new_array(arena);
    for (int i = 0; i <= PATCH_MAX_OPERATIONS; i++)
        value_push(arena, patch, value_new_null(arena));
    assert_int_equal(patch_json(arena, parse(arena, "{}"), patch, &after, &message), -E2BIG);
}

static const char *strategic_status(Arena *arena, const Type *type, const char *object,
                                    const char *patch, int *ret_status) {
    Value *before = parse(arena, object), *change = parse(arena, patch), *after;
    Str message = STR_NONE;
    *ret_status = patch_strategic(arena, type, before, change, &after, &message);
    if (*ret_status)
        return arena_cstr(arena, message);
    assert_json(arena, before, text_of(arena, parse(arena, object)));
    assert_json(arena, change, text_of(arena, parse(arena, patch)));
    return text_of(arena, after);
}

static void strategic(const Type *type, const char *object, const char *patch,
                      const char *expected) {
    _arena_free_ Arena *arena = arena_new();
    int status;
    const char *text = strategic_status(arena, type, object, patch, &status);
    assert_string_equal(text, expected);
    assert_int_equal(status, 0);
}

static void strategic_fails(const Type *type, const char *object, const char *patch, int status,
                            const char *expected) {
    _arena_free_ Arena *arena = arena_new();
    int found;
    const char *text = strategic_status(arena, type, object, patch, &found);
    assert_string_equal(text, expected);
    assert_int_equal(found, status);
}

static void test_strategic_objects(void **state) {
    const Type *pod = kinds_type_Pod();
    strategic(pod, "{\"metadata\":{\"labels\":{\"a\":\"1\",\"b\":\"2\"}}}",
              "{\"metadata\":{\"labels\":{\"a\":null,\"c\":\"3\"}}}",
              "{\"metadata\":{\"labels\":{\"b\":\"2\",\"c\":\"3\"}}}");
    strategic(pod, "{\"metadata\":{\"name\":\"p\"}}",
              "{\"metadata\":{\"labels\":{\"a\":null,\"c\":\"3\"}}}",
              "{\"metadata\":{\"name\":\"p\",\"labels\":{\"c\":\"3\"}}}");
    strategic(pod, "{\"metadata\":{\"labels\":{\"a\":\"1\"}}}",
              "{\"metadata\":{\"labels\":{\"$patch\":\"replace\",\"c\":\"3\"}}}",
              "{\"metadata\":{\"labels\":{\"c\":\"3\"}}}");
    strategic(pod, "{\"metadata\":{\"labels\":{\"a\":\"1\"}}}",
              "{\"metadata\":{\"labels\":{\"$patch\":\"delete\"}}}",
              "{\"metadata\":{\"labels\":{}}}");
    strategic(pod, "{\"spec\":{\"nodeName\":\"n\"}}", "{\"spec\":{\"x\":{\"$patch\":\"delete\"}}}",
              "{\"spec\":{\"nodeName\":\"n\"}}");
}

// patchStrategy: replace takes the patch's object whole.
static void test_strategic_replaced_objects(void **state) {
    strategic(kinds_type_PodDisruptionBudget(),
              "{\"spec\":{\"maxUnavailable\":1,\"selector\":{\"matchLabels\":{\"a\":\"1\"}}}}",
              "{\"spec\":{\"selector\":{\"matchLabels\":{\"b\":\"2\"}}}}",
              "{\"spec\":{\"maxUnavailable\":1,\"selector\":{\"matchLabels\":{\"b\":\"2\"}}}}");
}

static void test_strategic_lists(void **state) {
    const Type *pod = kinds_type_Pod();
    const char *object =
        "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"1\",\"args\":[\"x\"]},"
        "{\"name\":\"b\",\"image\":\"2\"}]}}";
    // items are merged by key, new ones stand where the patch puts them
    strategic(pod, object, "{\"spec\":{\"containers\":[{\"name\":\"b\",\"image\":\"3\"}]}}",
              "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"1\",\"args\":[\"x\"]},"
              "{\"name\":\"b\",\"image\":\"3\"}]}}");
    strategic(pod, object,
              "{\"spec\":{\"containers\":[{\"name\":\"c\"},{\"name\":\"a\",\"args\":[\"y\"]}]}}",
              "{\"spec\":{\"containers\":[{\"name\":\"c\"},{\"name\":\"a\",\"image\":\"1\","
              "\"args\":[\"y\"]},"
              "{\"name\":\"b\",\"image\":\"2\"}]}}");
    strategic(
        pod, object,
        "{\"spec\":{\"containers\":[{\"name\":\"a\",\"$patch\":\"delete\"},{\"name\":\"c\"}]}}",
        "{\"spec\":{\"containers\":[{\"name\":\"c\"},{\"name\":\"b\",\"image\":\"2\"}]}}");
    strategic(pod, object,
              "{\"spec\":{\"containers\":[{\"$patch\":\"replace\"},{\"name\":\"c\"}]}}",
              "{\"spec\":{\"containers\":[{\"name\":\"c\"}]}}");
    strategic(pod, object, "{\"spec\":{\"containers\":null}}", "{\"spec\":{}}");
    strategic(
        pod, "{\"spec\":{}}",
        "{\"spec\":{\"containers\":[{\"name\":\"a\",\"$patch\":\"delete\"},{\"name\":\"c\"}]}}",
        "{\"spec\":{\"containers\":[{\"name\":\"c\"}]}}");
    // an inline type's field of a volume
    strategic(
        pod, "{\"spec\":{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{\"medium\":\"Memory\"}}]}}",
        "{\"spec\":{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{\"sizeLimit\":\"1Gi\"}}]}}",
        "{\"spec\":{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{\"medium\":\"Memory\",\"sizeLimit\":"
        "\"1Gi\"}}]}}");
    // tolerations are atomic
    strategic(pod, "{\"spec\":{\"tolerations\":[{\"key\":\"a\"}]}}",
              "{\"spec\":{\"tolerations\":[{\"key\":\"b\"}]}}",
              "{\"spec\":{\"tolerations\":[{\"key\":\"b\"}]}}");
    // numbers as merge keys
    strategic(kinds_type_Service(),
              "{\"spec\":{\"ports\":[{\"port\":80,\"targetPort\":1},{\"port\":90}]}}",
              "{\"spec\":{\"ports\":[{\"port\":80,\"targetPort\":\"web\"}]}}",
              "{\"spec\":{\"ports\":[{\"port\":80,\"targetPort\":\"web\"},{\"port\":90}]}}");
}

static void test_strategic_primitive_lists(void **state) {
    const Type *pod = kinds_type_Pod();
    strategic(pod, "{\"metadata\":{\"finalizers\":[\"a/a\",\"b/b\"]}}",
              "{\"metadata\":{\"finalizers\":[\"c/c\",\"a/a\"]}}",
              "{\"metadata\":{\"finalizers\":[\"c/c\",\"a/a\",\"b/b\"]}}");
    strategic(pod, "{\"metadata\":{\"finalizers\":[\"a/a\",\"b/b\",\"c/c\"]}}",
              "{\"metadata\":{\"$deleteFromPrimitiveList/finalizers\":[\"b/b\",\"x\"]}}",
              "{\"metadata\":{\"finalizers\":[\"a/a\",\"c/c\"]}}");
    strategic(pod, "{\"metadata\":{\"finalizers\":[\"a/a\",\"b/b\",\"c/c\"]}}",
              "{\"metadata\":{\"$setElementOrder/finalizers\":[\"c/c\",\"d/d\",\"a/a\"],"
              "\"$deleteFromPrimitiveList/finalizers\":[\"b/b\"],\"finalizers\":[\"d/d\"]}}",
              "{\"metadata\":{\"finalizers\":[\"c/c\",\"d/d\",\"a/a\"]}}");
}

static void test_strategic_order(void **state) {
    const Type *spec = kinds_type_PodSpec();
    // what kubectl apply sends
    strategic(spec,
              "{\"containers\":[{\"name\":\"a\",\"image\":\"1\"},{\"name\":\"server\"},{\"name\":"
              "\"b\"}]}",
              "{\"$setElementOrder/containers\":[{\"name\":\"b\"},{\"name\":\"a\"}],\"containers\":"
              "[{\"name\":\"a\",\"image\":\"2\"}]}",
              "{\"containers\":[{\"name\":\"server\"},{\"name\":\"b\"},{\"name\":\"a\",\"image\":"
              "\"2\"}]}");
    strategic(spec, "{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}",
              "{\"$setElementOrder/containers\":[{\"name\":\"b\"},{\"name\":\"a\"}]}",
              "{\"containers\":[{\"name\":\"b\"},{\"name\":\"a\"}]}");
    strategic(spec, "{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}",
              "{\"$setElementOrder/containers\":[{\"name\":\"b\"}],\"containers\":[{\"name\":\"a\","
              "\"$patch\":\"delete\"}]}",
              "{\"containers\":[{\"name\":\"b\"}]}");
    strategic(spec, "{}", "{\"$setElementOrder/containers\":[{\"name\":\"b\"}]}", "{}");
    strategic_fails(
        spec, "{\"containers\":[{\"name\":\"a\"}]}",
        "{\"$setElementOrder/containers\":[{\"name\":\"b\"}],\"containers\":[{\"name\":\"a\"}]}",
        SCHEMA_E_PATCH,
        "The order in patch list:\n[{\"name\":\"a\"}]\n doesn't match $setElementOrder "
        "list:\n[{\"name\":\"b\"}]\n");
}

static void test_strategic_retain_keys(void **state) {
    const Type *spec = kinds_type_PodSpec();
    strategic(spec, "{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}",
              "{\"volumes\":[{\"name\":\"v\",\"$retainKeys\":[\"name\",\"hostPath\"],\"hostPath\":{"
              "\"path\":"
              "\"/x\"}}]}",
              "{\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/x\"}}]}");
    strategic_fails(spec, "{\"volumes\":[{\"name\":\"v\"}]}",
                    "{\"volumes\":[{\"name\":\"v\",\"$retainKeys\":[\"name\"],\"hostPath\":{}}]}",
                    SCHEMA_E_PATCH_FORMAT, "invalid patch format of retainKeys");
}

static void test_strategic_errors(void **state) {
    const Type *spec = kinds_type_PodSpec();
    strategic_fails(spec, "{\"containers\":[{\"name\":\"a\"}]}",
                    "{\"containers\":[{\"image\":\"x\"}]}", SCHEMA_E_PATCH,
                    "map: {\"image\":\"x\"} does not contain declared merge key: name");
    strategic_fails(spec, "{\"containers\":[{\"name\":\"a\"}]}",
                    "{\"containers\":[{\"name\":\"a\",\"$patch\":\"improve\"}]}", SCHEMA_E_PATCH,
                    "unknown patch type: improve in map: {\"name\":\"a\",\"$patch\":\"improve\"}");
    strategic_fails(spec, "{}", "{\"$patch\":7}", SCHEMA_E_PATCH,
                    "unknown patch type: 7 in map: {}");
    strategic_fails(spec, "{}", "[]", SCHEMA_E_PATCH_FORMAT, "invalid JSON document");
    strategic_fails(spec, "{}", "{\"$setElementOrder\":[]}", SCHEMA_E_PATCH_FORMAT,
                    "invalid patch format of setElementOrder list");
    strategic_fails(spec, "{}", "{\"$deleteFromPrimitiveList\":[]}", SCHEMA_E_PATCH_FORMAT,
                    "invalid patch format of primitive list");
    strategic_fails(spec, "{\"containers\":[{\"name\":\"a\"}]}", "{\"containers\":[1]}",
                    SCHEMA_E_PATCH, "list element types are not identical");
}

static void test_strategic_long_lists(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *object = parse(arena, "{\"containers\":[]}"),
          *patch = parse(arena, "{\"containers\":[]}");
    for (int i = 0; i < 20000; i++) {
        Value *item = value_new_object(arena);
        value_set_str(arena, item, STR("name"), arena_printf(arena, "c%d", i));
        value_push(arena, value_get(object, STR("containers")), item);
        Value *change = value_copy(arena, item);
        value_set_str(arena, change, STR("image"), STR("x"));
        value_push(arena, value_get(patch, STR("containers")), change);
    }
    Value *after;
    Str message;
    assert_int_equal(patch_strategic(arena, kinds_type_PodSpec(), object, patch, &after, &message),
                     0);
    assert_true(value_equal(after, patch));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge_patch),       cmocka_unit_test(test_json_patch),
        cmocka_unit_test(test_json_patch_errors), cmocka_unit_test(test_json_patch_limits),
        cmocka_unit_test(test_strategic_objects), cmocka_unit_test(test_strategic_replaced_objects),
        cmocka_unit_test(test_strategic_lists),   cmocka_unit_test(test_strategic_primitive_lists),
        cmocka_unit_test(test_strategic_order),   cmocka_unit_test(test_strategic_retain_keys),
        cmocka_unit_test(test_strategic_errors),  cmocka_unit_test(test_strategic_long_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
