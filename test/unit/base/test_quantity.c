#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "base/quantity.h"

static Quantity parse(const char *text) {
    Quantity q = {0};
    if (quantity_parse(str_from(text), &q) != 0)
        fail_msg("%s was refused", text);
    return q;
}

static void assert_canonical(const char *text, const char *canonical) {
    _arena_free_ Arena *arena = arena_new();
    Str printed = quantity_format(arena, parse(text));
    if (!str_eq(printed, str_from(canonical)))
        fail_msg("%s gave %.*s, not %s", text, STR_ARG(printed), canonical);
    // What is printed reads back as itself.
    Quantity again = parse(arena_cstr(arena, printed));
    assert_int_equal(quantity_cmp(again, parse(text)), 0);
    assert_true(str_eq(quantity_format(arena, again), printed));
}

static void test_canonical_form(void **state) {
    static const char *const cases[][2] = {
        {"0", "0"},
        {"0Ki", "0"},
        {"-0", "0"},
        {"0.000", "0"},
        {"00012", "12"},
        {"+5", "5"},
        {"0.5", "500m"},
        {"1.5", "1500m"},
        {"100m", "100m"},
        {"1000m", "1"},
        {"0.1", "100m"},
        {".5", "500m"},
        {"5.", "5"},
        {"1.G", "1G"},
        {"-1.5", "-1500m"},
        {"-100m", "-100m"},
        {"1000", "1k"},
        {"1500000", "1500k"},
        {"1024", "1024"},
        {"2500u", "2500u"},
        {"100k", "100k"},
        {"1000k", "1M"},
        {"1000n", "1u"},
        {"12E", "12E"},
        {"1E", "1E"},
        {"100E", "100E"},
        {"1Ki", "1Ki"},
        {"128Mi", "128Mi"},
        {"1024Mi", "1Gi"},
        {"1.5Gi", "1536Mi"},
        {"0.5Gi", "512Mi"},
        {"0.1Mi", "104857600m"},
        {"0.5Ki", "512"},
        {"1.25Ki", "1280"},
        {"2048Ki", "2Mi"},
        {"-1Ki", "-1Ki"},
        {"-1.5Gi", "-1536Mi"},
        {"0.0001Ki", "102400u"},
        {"1e3", "1e3"},
        {"1E3", "1e3"},
        {"1e4", "10e3"},
        {"12e6", "12e6"},
        {"1.5e3", "1500"},
        {"1e-3", "1e-3"},
        {"5e-1", "500e-3"},
        {"1e+3", "1e3"},
        {"1e0", "1"},
        {"100e21", "100e21"},
        // Finer than a nano: away from zero.
        {"0.1n", "1n"},
        {"1.1n", "2n"},
        {"-0.1n", "-1n"},
        {"1.0000000001", "1000000001n"},
        {"1e-400", "1e-9"},
        {"0e-400", "0"},
        // Binary quantities end at 2^63-1.
        {"8Ei", "9223372036854775807"},
        {"7Ei", "7Ei"},
        {"99999999999999999999Ki", "9223372036854775807"},
        {"-8Ei", "-9223372036854775807"},
        {"1.9999999999999999Ei", "2305843009213693836707849540n"},
        {"9223372036854775807", "9223372036854775807"},
        {"9223372036854775808", "9223372036854775808"},
        // As upstream reads them.
        {".", "0"},
        {"+", "0"},
        {"-", "0"},
        {"Ki", "0"},
        {".m", "0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_canonical(cases[i][0], cases[i][1]);
}

static void test_refused(void **state) {
    static const char *const cases[] = {
        "",      " ",   "1 ",   " 1",   "1,5",  "1.5.5", "--1",
        "+-1",   "1K",  "1ki",  "1mi",  "1KiB", "1kb",   "1e",
        "1e1.5", "1e+", "1Ki1", "1m3",  "1+3",  "1-",    "0x10",
        "NaN",   "inf", "1Zi",  "1Y",   "e",    "Pi",    "1e99999999999999999999",
        "1\n",   "one", "e-10", "1eE3", "1Ee3",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Quantity q = {.nano = 42};
        if (quantity_parse(str_from(cases[i]), &q) != -EINVAL)
            fail_msg("'%s' was accepted", cases[i]);
        assert_true(q.nano == 42);
    }
    Quantity q;
    assert_int_equal(quantity_parse(str_of("1\0", 2), &q), -EINVAL);
}

static void test_extremes_are_capped(void **state) {
    Quantity huge = parse("1e1000000000"), low = parse("-9e99");
    assert_int_equal(quantity_cmp(huge, parse("1e29")), 0);
    assert_int_equal(quantity_cmp(quantity_add(huge, huge), huge), 0);
    assert_int_equal(quantity_cmp(quantity_add(low, low), low), 0);
    assert_int_equal(quantity_cmp(quantity_sub(low, huge), low), 0);
    assert_true(quantity_value(huge) == INT64_MAX);
    assert_true(quantity_milli_value(low) == INT64_MIN);
}

static void test_arithmetic_and_rounding(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Quantity sum = quantity_add(parse("1Gi"), parse("500M"));
    assert_true(str_eq(quantity_format(arena, sum), STR("1573741824")));
    assert_int_equal(sum.format, QUANTITY_BINARY_SI);
    sum = quantity_add(parse("0"), parse("512Mi"));
    assert_true(str_eq(quantity_format(arena, sum), STR("512Mi")));
    Quantity rest = quantity_sub(parse("1"), parse("250m"));
    assert_true(str_eq(quantity_format(arena, rest), STR("750m")));
    assert_true(quantity_cmp(parse("1Ki"), parse("1k")) > 0);
    assert_int_equal(quantity_cmp(parse("1e3"), parse("1k")), 0);
    assert_int_equal(quantity_value(parse("1100m")), 2);
    assert_int_equal(quantity_value(parse("-1100m")), -2);
    assert_int_equal(quantity_value(parse("2")), 2);
    assert_int_equal(quantity_milli_value(parse("1.0001")), 1001);
    assert_int_equal(quantity_milli_value(parse("250m")), 250);
    assert_true(str_eq(quantity_format(arena, quantity_round_milli(parse("1u"))), STR("1m")));
    assert_true(str_eq(quantity_format(arena, quantity_round_milli(parse("1.125"))), STR("1125m")));
    Quantity mebi = quantity_from_int(64 << 20, QUANTITY_BINARY_SI);
    assert_true(str_eq(quantity_format(arena, mebi), STR("64Mi")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical_form),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_extremes_are_capped),
        cmocka_unit_test(test_arithmetic_and_rounding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
