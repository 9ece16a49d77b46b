#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "api/object.h"
#include "api/snapshot.h"
#include "base/rand.h"

#define KEYS 300

static Arena *scratch;
static ServedResource served;

static CachedObject *make(int key, int64_t revision) {
    char name[16], json[256];
    snprintf(name, sizeof name, "n%03d/%03d", key / 100, key);
    int len = snprintf(json, sizeof json,
                       "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"%"
                       "03d\",\"namespace\":\"n%03d\","
                       "\"uid\":\"u%d\",\"labels\":{\"a\":\"b\"}}}",
                       key, key / 100, key);
    Bytes *bytes = bytes_new(json, (size_t)len);
    CachedObject *object = object_new(scratch, &served, str_from(name), bytes, 1, revision);
    bytes_unref(bytes);
    assert_non_null(object);
    return object;
}

static int setup(void **state) {
    scratch = arena_new();
    const Resource *maps = kinds_resource(STR(""), STR("v1"), STR("configmaps"));
    served = (ServedResource){.resource = maps, .storage = maps};
    return 0;
}

static int teardown(void **state) {
    arena_free(scratch);
    return 0;
}

static void check(const Snapshot *root, const int64_t *expected) {
    size_t n = 0;
    for (int key = 0; key < KEYS; key++) {
        char name[16];
        snprintf(name, sizeof name, "n%03d/%03d", key / 100, key);
        assert_int_equal(snapshot_rank(root, str_from(name)), n);
        const CachedObject *object = snapshot_get(root, str_from(name));
        if (!expected[key]) {
            assert_null(object);
            continue;
        }
        assert_non_null(object);
        assert_int_equal(object->revision, expected[key]);
        assert_ptr_equal(snapshot_at(root, n), object);
        n++;
    }
    assert_int_equal(snapshot_size(root), n);
}

// Random changes against an array, with snapshots that must not see what came after them.
static void test_against_a_model(void **state) {
    Rand random;
    rand_seed(&random, 7);
    int64_t now[KEYS] = {0}, then[KEYS] = {0};
    Snapshot *root = NULL, *old = NULL;
    for (int64_t revision = 1; revision < 6000; revision++) {
        int key = (int)rand_below(&random, KEYS);
        if (rand_below(&random, 3)) {
            CachedObject *object = make(key, revision);
            root = snapshot_put(root, object);
            object_unref(object);
            now[key] = revision;
        } else {
            char name[16];
            snprintf(name, sizeof name, "n%03d/%03d", key / 100, key);
            root = snapshot_remove(root, str_from(name));
            now[key] = 0;
        }
        if (revision % 500 == 0) {
            check(root, now);
            check(old, then);
            snapshot_unref(old);
            old = snapshot_ref(root);
            memcpy(then, now, sizeof now);
        }
    }
    size_t from, to;
    snapshot_prefix(root, STR("n001/"), &from, &to);
    for (size_t i = 0; i < snapshot_size(root); i++)
        assert_int_equal(i >= from && i < to,
                         str_eq(snapshot_at(root, i)->namespace_, STR("n001")));
    snapshot_prefix(root, STR(""), &from, &to);
    assert_int_equal(to - from, snapshot_size(root));
    snapshot_prefix(root, STR("zzz/"), &from, &to);
    assert_int_equal(to - from, 0);
    snapshot_unref(root);
    snapshot_unref(old);
}

static void test_object(void **state) {
    CachedObject *object = make(7, 42);
    assert_true(str_eq(object->namespace_, STR("n000")));
    assert_true(str_eq(object->name, STR("007")));
    assert_true(str_eq(object->uid, STR("u7")));
    assert_int_equal(object->labels->n, 1);
    assert_non_null(
        strstr(object->json->data, "\"metadata\":{\"resourceVersion\":\"42\",\"name\":\"007\""));
    CachedObject *later = object_at_revision(scratch, &served, object, 1234);
    object_unref(object);
    assert_non_null(
        strstr(later->json->data, "\"metadata\":{\"resourceVersion\":\"1234\",\"name\":\"007\""));
    assert_true(str_eq(later->uid, STR("u7")));
    assert_true(str_starts_with(object_json_tail(later), STR("\"metadata\":{")));
    object_unref(later);
    Bytes *garbage = bytes_new("{\"kind\":1", 9);
    assert_null(object_new(scratch, &served, STR("a/b"), garbage, 1, 1));
    bytes_unref(garbage);
    garbage = bytes_new("\"metadata\":{", 12);
    assert_null(object_new(scratch, &served, STR("a/b"), garbage, 1, 1));
    bytes_unref(garbage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_against_a_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_object, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
