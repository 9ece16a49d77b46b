#pragma once
// Which start of a CronJob is due (mostRecentScheduleTime upstream, counted instead of estimated).

#include "base/cron.h"

#define CRON_MISSED_MANY 100

typedef struct CronDue {
    int64_t last; // the latest start that is not after `now`, Unix ns; 0: none is due
    int64_t next; // the one after it, or the first; INT64_MAX: never
    bool many;    // more than CRON_MISSED_MANY are due
} CronDue;

// What is due at `now` of all that comes after `since`. The cost does not grow with the time
// between.
CronDue cron_due(const CronSchedule *schedule, const TimeZone *zone, int64_t since, int64_t now);
