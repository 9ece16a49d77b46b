#pragma once
// Schedules in cron's notation, as CronJobs have them: five fields (minute, hour, day of the month,
// month, day of the week) or a word such as @daily or "@every 1h30m". Read, and refused, as the
// library does that Kubernetes uses (robfig/cron v3, ParseStandard).
// https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax

#include "base/arena.h"
#include "base/time_zone.h"

typedef struct CronSchedule {
    uint64_t minutes, hours, days, months, weekdays; // bits
    bool any_day, any_weekday;                       // given as *: then the other one counts alone
    int64_t every_ns;                                // of @every; else 0
} CronSchedule;

// Returns NULL, or what is wrong with it. A time zone in front ("TZ=Europe/Berlin * * * * *") is
// passed over.
const char *cron_parse(Arena *arena, Str text, CronSchedule *ret);
// The first time after `after` (Unix ns) at which the clock of `zone` (NULL: UTC) shows what the
// schedule asks for; INT64_MAX when none of the next five years has it. What the clock skips in
// spring does not come, what it shows twice in autumn comes twice.
int64_t cron_next(const CronSchedule *schedule, const TimeZone *zone, int64_t after);
