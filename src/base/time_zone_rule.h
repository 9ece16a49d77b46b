#pragma once
// The last line of a zone's file, in POSIX's TZ notation ("CET-1CEST,M3.5.0,M10.5.0/3"): what holds
// after the last change that the file lists. Only time_zone.c uses it.

#include "base/str.h"

typedef struct ZoneDate {
    enum { ZONE_DATE_WEEK, ZONE_DATE_JULIAN, ZONE_DATE_ZERO } form; // Mm.w.d, Jn, n
    int month, week, day;
    int32_t time; // seconds into that day, by the clock before the change
} ZoneDate;

typedef struct ZoneRule {
    bool known, summer;                     // summer: there is such a time, from `start` to `end`
    int32_t standard_offset, summer_offset; // seconds east
    ZoneDate start, end;
} ZoneRule;

bool zone_rule_parse(Str text, ZoneRule *ret);
int32_t zone_rule_offset(const ZoneRule *rule, int64_t at, int64_t *ret_until);
