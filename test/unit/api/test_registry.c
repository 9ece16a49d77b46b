#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "api/cache.h"
#include "api/registry.h"

static const Type type = {.name = {"CronTab", 7}, .openapi_name = {"com.example.v1.CronTab", 22}};

// Two versions of crontabs.example.com; the first is the one at rest.
static ServedKind *make(const char *group, const char *plural, const char *const *versions, size_t n) {
    Arena *arena = arena_new();
    Resource *resources = arena_array_of(arena, Resource, n);
    for (size_t i = 0; i < n; i++)
        resources[i] = (Resource){.group = arena_str(arena, str_from(group)),
                                  .version = str_from(versions[i]),
                                  .plural = arena_str(arena, str_from(plural)),
                                  .singular = str_from("crontab"),
                                  .kind = str_from("CronTab"),
                                  .list_kind = str_from("CronTabList"),
                                  .type = &type,
                                  .stored = true,
                                  .namespaced = true,
                                  .verbs = VERB_ALL};
    return served_kind_new(arena, resources, n, &resources[0]);
}

static const char *const both[] = {"v1", "v1beta1"};

// pkg/version/helpers_test.go upstream: GA before beta before alpha, larger numbers first, then names.
static void test_version_order(void **state) {
    static const char *const sorted[] = {"v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"};
    for (size_t i = 0; i + 1 < sizeof sorted / sizeof *sorted; i++) {
        assert_true(version_compare(str_from(sorted[i]), str_from(sorted[i + 1])) < 0);
        assert_true(version_compare(str_from(sorted[i + 1]), str_from(sorted[i])) > 0);
    }
    assert_true(version_compare(STR("v1"), STR("v01")) < 0); // no version by upstream's pattern
    assert_int_equal(version_compare(STR("v1beta1"), STR("v1beta1")), 0);
}

static void test_comes_and_goes(void **state) {
    Registry *registry = registry_new();
    size_t before = 0;
    while (registry_at(registry, before))
        before++;
    assert_false(registry_has_group(registry, STR("example.com")));
    ServedKind *kind = make("example.com", "crontabs", both, 2);
    assert_true(registry_add_kind(registry, kind));
    const ServedResource *v1 = registry_find(registry, STR("example.com"), STR("v1"), STR("crontabs"));
    const ServedResource *beta = registry_find_kind(registry, STR("example.com"), STR("v1beta1"), STR("CronTab"));
    assert_non_null(v1);
    assert_non_null(beta);
    assert_ptr_equal(v1->cache, beta->cache);
    assert_ptr_equal(beta->storage, v1->resource);
    assert_true(str_eq(v1->key_prefix, STR("/registry/example.com/crontabs/")));
    assert_ptr_equal(registry_cache(registry, STR("example.com/crontabs")), v1->cache);
    assert_ptr_equal(registry_find_any(registry, STR("example.com"), STR("crontabs")), v1);
    assert_true(registry_has_version(registry, STR("example.com"), STR("v1beta1")));
    assert_ptr_equal(registry_at(registry, before), v1);
    assert_ptr_equal(registry_at(registry, before + 1), beta);
    registry_remove_kind(registry, kind);
    assert_null(registry_find(registry, STR("example.com"), STR("v1"), STR("crontabs")));
    assert_null(registry_cache(registry, STR("example.com/crontabs")));
    assert_false(registry_has_group(registry, STR("example.com")));
    assert_null(registry_at(registry, before));
    assert_true(str_eq(v1->resource->plural, STR("crontabs"))); // still held
    served_kind_unref(kind);
    registry_free(registry);
}

static void test_order_and_shared_group(void **state) {
    Registry *registry = registry_new();
    size_t first = 0;
    while (registry_at(registry, first))
        first++;
    ServedKind *b = make("b.example.com", "widgets", both, 2);
    ServedKind *a = make("a.example.com", "widgets", both, 1);
    ServedKind *more = make("b.example.com", "gadgets", both + 1, 1);
    assert_true(registry_add_kind(registry, b));
    assert_true(registry_add_kind(registry, a));
    assert_true(registry_add_kind(registry, more));
    static const char *const order[] = {"a.example.com/v1/widgets", "b.example.com/v1/widgets",
                                        "b.example.com/v1beta1/gadgets", "b.example.com/v1beta1/widgets"};
    for (size_t i = 0; i < 4; i++) {
        const Resource *r = registry_at(registry, first + i)->resource;
        char text[128];
        snprintf(text, sizeof text, "%.*s/%.*s/%.*s", STR_ARG(r->group), STR_ARG(r->version), STR_ARG(r->plural));
        assert_string_equal(text, order[i]);
    }
    registry_remove_kind(registry, b);
    assert_true(registry_has_version(registry, STR("b.example.com"), STR("v1beta1"))); // the other's
    assert_false(registry_has_version(registry, STR("b.example.com"), STR("v1")));
    served_kind_unref(b);
    served_kind_unref(a);
    served_kind_unref(more);
    registry_free(registry); // takes what is left along
}

static void test_names_that_are_taken(void **state) {
    Registry *registry = registry_new();
    ServedKind *pods = make("rbac.authorization.k8s.io", "roles", both, 1);
    assert_false(registry_add_kind(registry, pods));
    served_kind_unref(pods);
    registry_free(registry);
}

typedef struct Watcher {
    CacheWatcher watcher;
    int ended;
} Watcher;

static bool deliver(CacheWatcher *watcher, CacheEventType event, CachedObject *object, CacheEvent *of) {
    return true;
}
static void ended(CacheWatcher *watcher) {
    container_of(watcher, Watcher, watcher)->ended++;
}

static void test_watches_end(void **state) {
    Registry *registry = registry_new();
    ServedKind *kind = make("example.com", "crontabs", both, 2);
    assert_true(registry_add_kind(registry, kind));
    Watcher watchers[4] = {0};
    for (size_t i = 0; i < 4; i++) {
        watchers[i].watcher.deliver = deliver;
        watchers[i].watcher.end = ended;
        watchers[i].watcher.filter = (ObjectFilter){.namespace_ = i < 2 ? STR("") : STR("default"), .name = STR("")};
        assert_int_equal(cache_watch(kind->cache, &watchers[i].watcher, 0), 0);
    }
    cache_watcher_resume(&watchers[0].watcher);
    registry_remove_kind(registry, kind);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(watchers[i].ended, 1);
    assert_int_equal(cache_watchers(kind->cache), 0);
    served_kind_unref(kind);
    registry_free(registry);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_order),          cmocka_unit_test(test_comes_and_goes),
        cmocka_unit_test(test_order_and_shared_group), cmocka_unit_test(test_names_that_are_taken),
        cmocka_unit_test(test_watches_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
