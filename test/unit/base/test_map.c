#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/list.h"
#include "base/map.h"

static Str key_of(int i) {
    static char text[32];
    return str_of(text, (size_t)snprintf(text, sizeof text, "key-%d", i));
}

static void test_put_get_remove(void **state) {
    _map_free_ Map *map = map_new();
    int values[2];
    assert_null(map_get(map, STR("a")));
    assert_null(map_put(map, STR("a"), &values[0]));
    assert_null(map_put(map, STR(""), &values[0]));
    assert_ptr_equal(map_put(map, STR("a"), &values[1]), &values[0]);
    assert_int_equal(map_count(map), 2);
    assert_ptr_equal(map_get(map, STR("a")), &values[1]);
    assert_ptr_equal(map_remove(map, STR("a")), &values[1]);
    assert_null(map_remove(map, STR("a")));
    assert_null(map_get(map, STR("a")));
    assert_ptr_equal(map_get(map, STR("")), &values[0]);
    assert_ptr_equal(map_remove(map, STR_NONE), &values[0]);
    assert_int_equal(map_count(map), 0);
    map_free(NULL);
}

static void test_many(void **state) {
    enum { N = 20000 };
    static int values[N];
    _map_free_ Map *map = map_new();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++)
            assert_null(map_put(map, key_of(i), &values[i]));
        assert_int_equal(map_count(map), N);
        for (int i = 0; i < N; i += 2)
            assert_ptr_equal(map_remove(map, key_of(i)), &values[i]);
        for (int i = 0; i < N; i++)
            assert_ptr_equal(map_get(map, key_of(i)), i % 2 ? &values[i] : NULL);
        for (int i = 0; i < N; i += 2) // fills the holes
            assert_null(map_put(map, key_of(i), &values[i]));
        for (int i = 0; i < N; i++)
            assert_ptr_equal(map_remove(map, key_of(i)), &values[i]);
        assert_int_equal(map_count(map), 0);
    }
}

static void test_iteration_keeps_order_and_allows_removal(void **state) {
    enum { N = 500 };
    static int values[N];
    _map_free_ Map *map = map_new();
    for (int i = 0; i < N; i++)
        map_put(map, key_of(i), &values[i]);
    int seen = 0;
    for (MapIter it = {0}; map_next(map, &it); seen++) {
        assert_ptr_equal(it.value, &values[seen]);
        assert_true(str_eq(it.key, key_of(seen)));
        if (seen % 3)
            map_remove(map, key_of(seen));
    }
    assert_int_equal(seen, N);
    assert_int_equal(map_count(map), (N + 2) / 3);
    for (MapIter it = {0}; map_next(map, &it);)
        map_remove(map, it.key);
    assert_int_equal(map_count(map), 0);
    MapIter it = {0};
    assert_false(map_next(map, &it));
}

typedef struct Item {
    int number;
    ListLink link;
} Item;

static void test_list(void **state) {
    Item items[4] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}}, *item;
    List list;
    list_init(&list);
    assert_true(list_is_empty(&list));
    assert_null(list_first(&list));
    list_append(&list, &items[1].link);
    list_append(&list, &items[3].link);
    list_prepend(&list, &items[0].link);
    list_insert_before(&items[3].link, &items[2].link);
    int expected = 0, pairs = 0;
    Item *other;
    list_for_each(item, &list, link) {
        list_for_each(other, &list, link) pairs += item->number < other->number;
    }
    assert_int_equal(pairs, 6);
    list_for_each(item, &list, link) {
        assert_int_equal(item->number, expected++);
        list_remove(&item->link);
        assert_false(list_is_linked(&item->link));
    }
    assert_int_equal(expected, 4);
    assert_true(list_is_empty(&list));
    list_remove(&items[0].link); // fine when not linked
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_get_remove),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_iteration_keeps_order_and_allows_removal),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
