#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"

static void test_allocations_are_separate_and_aligned(void **state) {
    _arena_free_ Arena *arena = arena_new();
    unsigned char *ptrs[300];
    for (size_t i = 0; i < 300; i++) {
        ptrs[i] = arena_alloc(arena, i * 7);
        assert_int_equal((uintptr_t)ptrs[i] % 16, 0);
        memset(ptrs[i], (int)(i & 0xff), i * 7);
    }
    for (size_t i = 0; i < 300; i++) {
        for (size_t at = 0; at < i * 7; at++)
            assert_int_equal(ptrs[i][at], i & 0xff);
    }
    char *large = arena_alloc(arena, 1 << 20);
    memset(large, 1, 1 << 20);
    assert_true(arena_size(arena) >= 1 << 20);
    const char *clear = arena_zalloc(arena, 5000);
    for (size_t at = 0; at < 5000; at++)
        assert_int_equal(clear[at], 0);
}

static void test_grow(void **state) {
    _arena_free_ Arena *arena = arena_new();
    char *a = arena_alloc(arena, 10);
    memcpy(a, "0123456789", 10);
    char *b = arena_grow(arena, a, 10, 100);
    assert_ptr_equal(a, b); // it was the last one
    memset(b + 10, 'x', 90);
    char *other = arena_alloc(arena, 1);
    *other = 'o';
    char *c = arena_grow(arena, b, 100, 200);
    assert_ptr_not_equal(b, c);
    assert_memory_equal(c, "0123456789xxx", 13);
    assert_int_equal(*other, 'o');
    c = arena_grow(arena, c, 200, 100000);
    assert_memory_equal(c, "0123456789xxx", 13);
    assert_non_null(arena_grow(arena, NULL, 0, 10));
}

static void test_strings(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_null(arena_str(arena, STR_NONE).ptr);
    assert_string_equal(arena_cstr(arena, STR_NONE), "");
    Str copy = arena_str(arena, str_slice(STR("hello"), 1, 3));
    assert_string_equal(copy.ptr, "el");
    assert_string_equal(arena_printf(arena, "%d-%s", 7, "x").ptr, "7-x");
    for (int width = 250; width < 260; width++) { // around the size of the internal buffer
        Str wide = arena_printf(arena, "%*d", width, 1);
        assert_int_equal(wide.len, width);
        assert_int_equal(strlen(wide.ptr), width);
        assert_int_equal(wide.ptr[width - 1], '1');
    }
    Str parts[] = {STR("a"), STR_NONE, STR("c")};
    assert_string_equal(arena_concat(arena, parts, 3, STR(", ")).ptr, "a, , c");
    assert_string_equal(arena_concat(arena, parts, 0, STR(", ")).ptr, "");
}

static char order[8];
static void note(void *user) {
    order[strlen(order)] = *(const char *)user;
}

static void test_deferred_run_backwards(void **state) {
    Arena *arena = arena_new();
    memset(order, 0, sizeof order);
    arena_defer(arena, note, "a");
    arena_defer(arena, note, "b");
    arena_reset(arena);
    assert_string_equal(order, "ba");
    assert_int_equal(arena_size(arena), 0);
    arena_defer(arena, note, "c");
    memset(arena_alloc(arena, 100000), 1, 100000);
    arena_free(arena);
    assert_string_equal(order, "bac");
    arena_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocations_are_separate_and_aligned),
        cmocka_unit_test(test_grow),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_deferred_run_backwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
