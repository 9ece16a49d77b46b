#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cron.h"
#include "base/time.h"

// Messages of robfig/cron v3's parser.go, which upstream passes on.
static void test_what_is_refused(void **state) {
    static const struct {
        const char *text, *problem;
    } cases[] = {
        {"", "empty spec string"},
        {"* * * *", "expected exactly 5 fields, found 4: [* * * *]"},
        {"* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"},
        {"60 * * * *", "end of range (60) above maximum (59): 60"},
        {"* 24 * * *", "end of range (24) above maximum (23): 24"},
        {"* * 0 * *", "beginning of range (0) below minimum (1): 0"},
        {"* * * 13 *", "end of range (13) above maximum (12): 13"},
        {"* * * * 7", "end of range (7) above maximum (6): 7"},
        {"5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"},
        {"*/0 * * * *", "step of range should be a positive number: */0"},
        {"1-2-3 * * * *", "too many hyphens: 1-2-3"},
        {"1/2/3 * * * *", "too many slashes: 1/2/3"},
        {"a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"},
        {"*/-5 * * * *", "negative number (-5) not allowed: -5"},
        {"* * * sun *",
         "failed to parse int from sun: strconv.Atoi: parsing \"sun\": invalid syntax"},
        {"@fortnightly", "unrecognized descriptor: @fortnightly"},
        {"@every soon", "failed to parse duration @every soon: time: invalid duration \"soon\""},
    };
    _arena_free_ Arena *arena = arena_new();
    CronSchedule schedule;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *problem = cron_parse(arena, str_from(cases[i].text), &schedule);
        assert_non_null(problem);
        assert_string_equal(problem, cases[i].problem);
    }
}

// The times after `from` that the schedule gives, up to eight, joined by blanks.
static const char *times(Arena *arena, const char *text, const char *zone_name, const char *from,
                         int n) {
    CronSchedule schedule;
    TimeZone *zone = NULL;
    int64_t at;
    Str all[8];
    assert_null(cron_parse(arena, str_from(text), &schedule));
    if (zone_name)
        assert_int_equal(time_zone_load(str_from(zone_name), &zone), 0);
    assert_int_equal(time_parse(str_from(from), &at), 0);
    for (int i = 0; i < n; i++) {
        at = cron_next(&schedule, zone, at);
        all[i] = at == INT64_MAX ? STR("never") : time_format(arena, at);
        if (at == INT64_MAX)
            n = i + 1;
    }
    time_zone_free(zone);
    return arena_cstr(arena, arena_concat(arena, all, (size_t)n, STR(" ")));
}

// Examples of the documentation (concepts/workloads/controllers/cron-jobs) and of the library's
// tests (spec_test.go).
static void test_times(void **state) {
    static const struct {
        const char *text, *from, *times;
    } cases[] = {
        {"* * * * *", "2026-11-27T10:00:30Z", "2026-11-27T10:01:00Z 2026-11-27T10:02:00Z"},
        {"0 0 13 * 5", "2026-11-01T00:00:00Z", // a Friday or the 13th
         "2026-11-06T00:00:00Z 2026-11-13T00:00:00Z"},
        {"0 3 * * 1", "2026-11-27T10:00:00Z", "2026-11-30T03:00:00Z 2026-12-07T03:00:00Z"},
        {"0-15/5,40 9 * * *", "2026-11-27T09:04:00Z", "2026-11-27T09:05:00Z 2026-11-27T09:10:00Z"},
        {"20-35/15 * * * *", "2012-07-09T15:45:00Z", "2012-07-09T16:20:00Z 2012-07-09T16:35:00Z"},
        {"30/15 * * * *", "2026-11-27T10:00:00Z", "2026-11-27T10:30:00Z 2026-11-27T10:45:00Z"},
        {"30/9223372036854775807 * * * *", "2026-11-27T10:00:00Z",
         "2026-11-27T10:30:00Z 2026-11-27T11:30:00Z"},
        {"0 0 9 Apr-Oct ?", "2012-07-09T23:35:00Z", "2012-08-09T00:00:00Z 2012-09-09T00:00:00Z"},
        {"0 0 * Feb Mon", "2012-07-09T23:35:00Z", "2013-02-04T00:00:00Z 2013-02-11T00:00:00Z"},
        {"0 0 * * sun", "2012-07-09T23:35:00Z", "2012-07-15T00:00:00Z 2012-07-22T00:00:00Z"},
        {"0 0 29 Feb ?", "2012-07-09T23:35:00Z", "2016-02-29T00:00:00Z 2020-02-29T00:00:00Z"},
        {"0 0 31 2 *", "2026-11-27T10:00:00Z", "never"},
        {"0 0 */2 * MON", "2026-11-27T10:00:00Z", // a step counts as given days
         "2026-11-29T00:00:00Z 2026-11-30T00:00:00Z"},
        {"@hourly", "2026-12-31T23:00:00Z", "2027-01-01T00:00:00Z 2027-01-01T01:00:00Z"},
        {"@yearly", "2026-11-27T10:00:00Z", "2027-01-01T00:00:00Z 2028-01-01T00:00:00Z"},
        {"@weekly", "2026-11-27T10:00:00Z", "2026-11-29T00:00:00Z 2026-12-06T00:00:00Z"},
        {"@every 1h30m", "2026-11-27T10:00:00.5Z", "2026-11-27T11:30:00Z 2026-11-27T13:00:00Z"},
        {"TZ=UTC 0 0 * * *", "2026-11-27T10:00:00Z", "2026-11-28T00:00:00Z 2026-11-29T00:00:00Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _arena_free_ Arena *arena = arena_new();
        assert_string_equal(times(arena, cases[i].text, NULL, cases[i].from, 2), cases[i].times);
    }
}

// Clocks are put on and back: what they skip does not come, what they show twice comes twice.
static void test_zones(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(times(arena, "30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 3),
                        "2026-03-28T01:30:00Z 2026-03-30T00:30:00Z 2026-03-31T00:30:00Z");
    assert_string_equal(times(arena, "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 3),
                        "2026-10-25T00:30:00Z 2026-10-25T01:30:00Z 2026-10-26T01:30:00Z");
    assert_string_equal(times(arena, "0 9 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2),
                        "2026-10-31T13:00:00Z 2026-11-01T14:00:00Z");
    assert_string_equal(times(arena, "0 0 * * *", "Asia/Kathmandu", "2026-11-27T00:00:00Z", 1),
                        "2026-11-27T18:15:00Z");
    assert_string_equal(times(arena, "0 12 * * *", "UTC", "2026-11-27T00:00:00Z", 1),
                        "2026-11-27T12:00:00Z");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_zones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
