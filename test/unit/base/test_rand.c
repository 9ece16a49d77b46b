#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rand.h"

static void test_equal_seeds_give_equal_numbers(void **state) {
    Rand a, b, c;
    rand_seed(&a, 7);
    rand_seed(&b, 7);
    rand_seed(&c, 8);
    int different = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t value = rand_next(&a);
        assert_true(value == rand_next(&b));
        different += value != rand_next(&c);
    }
    assert_true(different > 90);
}

static void test_below_is_within_and_even(void **state) {
    Rand rand;
    rand_seed(&rand, 1);
    int seen[10] = {0};
    for (int i = 0; i < 10000; i++)
        seen[rand_below(&rand, 10)]++;
    for (int i = 0; i < 10; i++)
        assert_in_range(seen[i], 800, 1200);
    assert_true(rand_below(&rand, 1) == 0);
    assert_true(rand_below(&rand, UINT64_MAX) < UINT64_MAX);
}

static void test_uuid(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(rand_uuid(arena, 0, 0).ptr, "00000000-0000-4000-8000-000000000000");
    assert_string_equal(rand_uuid(arena, UINT64_MAX, UINT64_MAX).ptr,
                        "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_string_equal(rand_uuid(arena, 0x0123456789abcdef, 0x0123456789abcdef).ptr,
                        "01234567-89ab-4def-8123-456789abcdef");
}

static void test_suffix(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Str a = rand_suffix(arena, 0x123456789abcdef, 5), b = rand_suffix(arena, 0x123456789abcdee, 5);
    assert_int_equal(a.len, 5);
    assert_false(str_eq(a, b));
    Str wide = rand_suffix(arena, 99, 64);
    assert_int_equal(wide.len, 64);
    for (size_t i = 0; i < 64; i++)
        assert_true(str_find(STR("bcdfghjklmnpqrstvwxz2456789"), wide.ptr[i]) >= 0);
    // The randomness lasts past the digits that one number holds.
    assert_false(str_eq(str_slice(wide, 40, 64), str_slice(rand_suffix(arena, 98, 64), 40, 64)));
}

static void test_bytes(void **state) {
    unsigned char a[64] = {0}, b[64] = {0};
    rand_bytes(a, sizeof a);
    rand_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_seeds_give_equal_numbers),
        cmocka_unit_test(test_below_is_within_and_even),
        cmocka_unit_test(test_uuid),
        cmocka_unit_test(test_suffix),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
