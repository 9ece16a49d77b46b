#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "base/str.h"

static void test_absent_differs_from_empty(void **state) {
    assert_null(STR_NONE.ptr);
    assert_non_null(STR("").ptr);
    assert_true(str_eq(STR_NONE, STR("")));
    assert_null(str_from(NULL).ptr);
    assert_true(str_starts_with(STR("abc"), STR_NONE));
    assert_true(str_ends_with(STR_NONE, STR("")));
    assert_int_equal(str_find(STR_NONE, 'x'), -1);
}

static void test_compare(void **state) {
    assert_true(str_cmp(STR("a"), STR("b")) < 0);
    assert_true(str_cmp(STR("ab"), STR("a")) > 0);
    assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
    assert_int_equal(str_cmp(STR(""), STR_NONE), 0);
    assert_true(str_eq_nocase(STR("Content-TYPE"), STR("content-type")));
    assert_false(str_eq_nocase(STR("["), STR("{"))); // differ by the case bit only
    assert_false(str_eq_nocase(STR("a"), STR("ab")));
}

static void test_find_and_cut(void **state) {
    assert_int_equal(str_find(STR("a/b/c"), '/'), 1);
    assert_int_equal(str_find_last(STR("a/b/c"), '/'), 3);
    Str rest = STR("a/b/");
    assert_true(str_eq(str_cut(&rest, '/'), STR("a")));
    assert_true(str_eq(str_cut(&rest, '/'), STR("b")));
    assert_non_null(rest.ptr); // something stood behind the last separator: ""
    assert_true(str_eq(str_cut(&rest, '/'), STR("")));
    assert_null(rest.ptr);
    assert_null(str_cut(&rest, '/').ptr);
    assert_true(str_eq(str_trim(STR(" \t\r\nx y\n ")), STR("x y")));
    assert_int_equal(str_trim(STR("  ")).len, 0);
}

static void test_numbers(void **state) {
    int64_t i = 7;
    uint64_t u = 7;
    assert_int_equal(str_to_i64(STR("-9223372036854775808"), &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(str_to_i64(STR("9223372036854775807"), &i), 0);
    assert_true(i == INT64_MAX);
    assert_int_equal(str_to_i64(STR("9223372036854775808"), &i), -ERANGE);
    assert_int_equal(str_to_u64(STR("18446744073709551615"), &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(str_to_u64(STR("18446744073709551616"), &u), -ERANGE);
    assert_int_equal(str_to_u64(STR("99999999999999999999999999"), &u), -ERANGE);
    assert_int_equal(str_to_u64(STR("99999999999999999999999999x"), &u), -EINVAL);
    assert_int_equal(str_to_u64(STR("+1"), &u), -EINVAL);
    const char *bad[] = {"", "-", "+", "1 ", " 1", "0x1", "1.0", "--1"};
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++)
        assert_int_equal(str_to_i64(str_from(bad[n]), &i), -EINVAL);
    assert_true(i == INT64_MAX); // untouched by errors
}

static void test_hash(void **state) {
    const char text[] = "0123456789abcdef0123456789abcdef";
    for (size_t a = 0; a < sizeof text; a++) {
        char copy[sizeof text];
        memcpy(copy, text, sizeof text);
        assert_true(str_hash(str_of(text, a)) == str_hash(str_of(copy, a)));
        for (size_t b = 0; b < a; b++)
            assert_true(str_hash(str_of(text, a)) != str_hash(str_of(text, b)));
    }
    assert_true(str_hash(STR("a\0")) != str_hash(STR("a")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_absent_differs_from_empty),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_find_and_cut),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
