#include "controllers/cron_times.h"

#include "base/loop.h"

#define MINUTE (60 * NSEC_PER_SEC)

// The starts of @every keep their distance from the last one.
static CronDue due_every(const CronSchedule *schedule, int64_t since, int64_t now) {
    int64_t step = schedule->every_ns, first = cron_next(schedule, NULL, since);
    if (first > now)
        return (CronDue){.next = first};
    int64_t missed = (now - first) / step;
    CronDue due = {.last = first + missed * step, .many = missed >= CRON_MISSED_MANY};
    due.next = due.last + step;
    return due;
}

// Looks back from `now` in steps that double: the stretch in which the last start is found is at
// most as long again as the one before it that had none.
static int64_t last_before(const CronSchedule *schedule, const TimeZone *zone, int64_t since,
                           int64_t now) {
    for (int64_t back = MINUTE;; back *= 2) {
        int64_t from = now - back > since ? now - back : since;
        int64_t at = cron_next(schedule, zone, from), last = 0;
        for (; at <= now; at = cron_next(schedule, zone, at))
            last = at;
        if (last || from == since)
            return last;
    }
}

CronDue cron_due(const CronSchedule *schedule, const TimeZone *zone, int64_t since, int64_t now) {
    if (schedule->every_ns)
        return due_every(schedule, since, now);
    CronDue due = {.next = cron_next(schedule, zone, since)};
    for (int missed = 0; due.next <= now && missed < CRON_MISSED_MANY; missed++) {
        due.last = due.next;
        due.next = cron_next(schedule, zone, due.next);
    }
    if (due.next > now)
        return due;
    due.many = true;
    due.last = last_before(schedule, zone, due.next - 1, now);
    due.next = cron_next(schedule, zone, now);
    return due;
}
