// Schedules of CronJobs, and the rules of time zones.

#include <assert.h>

#include "base/cron.h"
#include "base/time_zone_rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _arena_free_ Arena *arena = arena_new();
    Str text = str_of(data, size);
    CronSchedule schedule;
    ZoneRule rule;
    int64_t start = 1795773600LL * 1000000000, until;
    const char *problem = cron_parse(arena, text, &schedule);
    if (problem) {
        assert(*problem);
    } else {
        int64_t next = cron_next(&schedule, NULL, start);
        assert(next > start);
    }
    if (zone_rule_parse(text, &rule)) {
        for (int64_t at = 0; at < 4102444800; at += 86400 * 97) {
            int32_t offset = zone_rule_offset(&rule, at, &until);
            assert(until > at && offset < 86400 * 8 && offset > -86400 * 8);
        }
    }
    return 0;
}
