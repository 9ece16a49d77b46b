// Zones of the system's tzdata, compared with what the C library makes of the same files.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/time_zone.h"
#include "base/time_zone_rule.h"

static void test_names(void **state) {
    static const char *const bad[] = {"",
                                      "Nowhere/Land",
                                      "../zoneinfo/UTC",
                                      "Europe//Berlin",
                                      "/Europe/Berlin",
                                      "Europe/Berlin/",
                                      "Europe",
                                      "Europe/.",
                                      "-x",
                                      "posixrules/../UTC",
                                      "Europe/Ber\nlin",
                                      "tzdata.zi"};
    TimeZone *zone;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(time_zone_exists(str_from(bad[i])));
        assert_true(time_zone_load(str_from(bad[i]), &zone) < 0);
        assert_null(zone);
    }
    assert_true(time_zone_exists(STR("UTC")));
    assert_true(time_zone_exists(STR("Europe/Berlin")));
    assert_true(time_zone_exists(STR("Etc/GMT+12")));
    assert_true(time_zone_exists(STR("America/Argentina/Buenos_Aires")));
}

static void compare(const char *name) {
    TimeZone *zone;
    assert_int_equal(time_zone_load(str_from(name), &zone), 0);
    setenv("TZ", name, 1);
    tzset();
    for (int64_t at = 86400; at < 4102444800; at += 86400 * 9 + 3600) { // until 2100
        int64_t until;
        time_t time = (time_t)at;
        struct tm local;
        assert_non_null(localtime_r(&time, &local));
        if (time_zone_offset(zone, at, &until) != local.tm_gmtoff)
            fail_msg("%s at %lld: %d, not %ld", name, (long long)at,
                     time_zone_offset(zone, at, &until), local.tm_gmtoff);
        assert_true(until > at);
    }
    time_zone_free(zone);
}

static void test_offsets(void **state) {
    static const char *const names[] = {"Europe/Berlin",       "America/New_York",  "Asia/Kolkata",
                                        "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Tokyo",
                                        "America/Santiago",    "Pacific/Apia",      "UTC"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        compare(names[i]);
}

// POSIX's notation, as RFC 9636 extends it.
static void test_rules(void **state) {
    static const char *const bad[] = {"",
                                      "A1",
                                      "CET",
                                      "CET-1CEST",
                                      "CET-1CEST,M3.5.0",
                                      "CET-1CEST,M13.5.0,M10.5.0",
                                      "CET-1CEST,M3.5.0,M10.5.0x",
                                      "<+1-1",
                                      "CET-200"};
    ZoneRule rule;
    int64_t until;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(zone_rule_parse(str_from(bad[i]), &rule));
    assert_true(zone_rule_parse(STR("<+0330>-3:30"), &rule));
    assert_int_equal(zone_rule_offset(&rule, 0, &until), 12600);
    assert_true(until == INT64_MAX);
    assert_true(zone_rule_parse(STR("CET-1CEST,M3.5.0,M10.5.0/3"), &rule));
    assert_int_equal(zone_rule_offset(&rule, 1774745999, &until), 3600); // 2026-03-29T00:59:59Z
    assert_int_equal(until, 1774746000);
    assert_int_equal(zone_rule_offset(&rule, until, &until), 7200);
    assert_int_equal(until, 1792890000);                                   // 2026-10-25T01:00:00Z
    assert_true(zone_rule_parse(STR("XXX3YYY,J60,300"), &rule));           // March 1st, and day 301
    assert_int_equal(zone_rule_offset(&rule, 1709269199, &until), -10800); // 2024 is a leap year
    assert_int_equal(until, 1709269200);
    assert_int_equal(zone_rule_offset(&rule, until, &until), -7200);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
