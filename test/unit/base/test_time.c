#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "base/time.h"

#define SEC 1000000000LL
#define MINUTE (60 * SEC)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

static void assert_str(Str s, const char *text) {
    if (!str_eq(s, str_from(text)))
        fail_msg("got %.*s, not %s", STR_ARG(s), text);
}

static void test_format(void **state) {
    _arena_free_ Arena *arena = arena_new();
    int64_t t = 1795455072 * SEC + 120000000;
    assert_str(time_format(arena, t), "2026-11-23T17:31:12Z");
    assert_str(time_format_micro(arena, t), "2026-11-23T17:31:12.120000Z");
    assert_str(time_format_nano(arena, t), "2026-11-23T17:31:12.12Z");
    assert_str(time_format_nano(arena, t - 120000000), "2026-11-23T17:31:12Z");
    assert_str(time_format_nano(arena, t + 1), "2026-11-23T17:31:12.120000001Z");
    assert_str(time_format(arena, 0), "1970-01-01T00:00:00Z");
    assert_str(time_format_nano(arena, -1), "1969-12-31T23:59:59.999999999Z");
    assert_str(time_format(arena, INT64_MAX), "2262-04-11T23:47:16Z");
    assert_str(time_format(arena, INT64_MIN), "1677-09-21T00:12:43Z");
}

static void test_parse(void **state) {
    static const struct {
        const char *text;
        int64_t ns;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-23T17:31:12Z", 1795455072 * SEC},
        {"2026-11-23T17:31:12.5Z", 1795455072 * SEC + SEC / 2},
        {"2026-11-23T17:31:12.000001Z", 1795455072 * SEC + 1000},
        {"2026-11-23T17:31:12.1234567899Z", 1795455072 * SEC + 123456789},
        {"2026-11-23T19:31:12+02:00", 1795455072 * SEC},
        {"2026-11-23T12:01:12-05:30", 1795455072 * SEC},
        {"2024-02-29T00:00:00Z", 1709164800 * SEC},
        {"0001-01-01T00:00:00Z", INT64_MIN},
        {"9999-12-31T23:59:59Z", INT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ns = 42;
        assert_int_equal(time_parse(str_from(cases[i].text), &ns), 0);
        assert_true(ns == cases[i].ns);
    }
}

static void test_parse_refuses(void **state) {
    static const char *const cases[] = {
        "",
        "2026",
        "2026-11-23",
        "2026-11-23T17:31:12",
        "2026-11-23 17:31:12Z",
        "2026-11-23t17:31:12z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00ZZ",
        "2026-01-01T00:00:00Z ",
        "-026-01-01T00:00:00Z",
        "2026-1-01T00:00:00Z",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ns = 42;
        if (time_parse(str_from(cases[i]), &ns) != -EINVAL)
            fail_msg("'%s' was accepted", cases[i]);
        assert_true(ns == 42);
    }
}

static void test_every_day_goes_round(void **state) {
    _arena_free_ Arena *arena = arena_new();
    for (int64_t day = -100000; day < 100000; day += 13) {
        int64_t ns;
        assert_int_equal(time_parse(time_format(arena, day * DAY + 7 * HOUR), &ns), 0);
        assert_true(ns == day * DAY + 7 * HOUR);
        arena_reset(arena);
    }
}

static void test_human_duration(void **state) {
    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {
        {-2 * SEC, "<invalid>"},
        {-SEC, "0s"},
        {-SEC / 2, "0s"},
        {0, "0s"},
        {SEC - 1, "0s"},
        {5 * SEC, "5s"},
        {119 * SEC, "119s"},
        {120 * SEC, "2m"},
        {123 * SEC, "2m3s"},
        {10 * MINUTE - SEC, "9m59s"},
        {10 * MINUTE + SEC, "10m"},
        {179 * MINUTE, "179m"},
        {3 * HOUR, "3h"},
        {3 * HOUR + 4 * MINUTE, "3h4m"},
        {8 * HOUR - SEC, "7h59m"},
        {8 * HOUR + MINUTE, "8h"},
        {47 * HOUR, "47h"},
        {48 * HOUR, "2d"},
        {49 * HOUR, "2d1h"},
        {8 * DAY - HOUR, "7d23h"},
        {8 * DAY + HOUR, "8d"},
        {729 * DAY, "729d"},
        {730 * DAY, "2y"},
        {760 * DAY, "2y30d"},
        {2919 * DAY, "7y364d"},
        {2920 * DAY, "8y"},
        {2950 * DAY, "8y"},
    };
    _arena_free_ Arena *arena = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_str(time_human_duration(arena, cases[i].ns), cases[i].text);
}

static void test_go_duration(void **state) {
    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {
        {0, "0s"},
        {1, "1ns"},
        {1100, "1.1µs"},
        {2200000, "2.2ms"},
        {500000000, "500ms"},
        {3300 * SEC / 1000, "3.3s"},
        {10 * SEC, "10s"},
        {80 * SEC, "1m20s"},
        {300 * SEC, "5m0s"},
        {4 * MINUTE + 5001 * SEC / 1000, "4m5.001s"},
        {HOUR, "1h0m0s"},
        {-SEC, "-1s"},
        {5 * HOUR + 6 * MINUTE + 7001 * SEC / 1000, "5h6m7.001s"},
        {40 * HOUR, "40h0m0s"},
        {INT64_MAX, "2562047h47m16.854775807s"},
        {INT64_MIN, "-2562047h47m16.854775808s"},
    };
    _arena_free_ Arena *arena = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_str(time_go_duration(arena, cases[i].ns), cases[i].text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),         cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_refuses),  cmocka_unit_test(test_every_day_goes_round),
        cmocka_unit_test(test_human_duration), cmocka_unit_test(test_go_duration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
