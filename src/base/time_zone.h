#pragma once
// Time zones from the system's tzdata (RFC 9636), for schedules. Times are Unix seconds.

#include "base/str.h"

typedef struct TimeZone TimeZone;

// Whether there is a zone of that name ("Europe/Berlin", "UTC"). Names are checked before they
// become paths: https://data.iana.org/time-zones/theory.html#naming
bool time_zone_exists(Str name);
// Returns 0, -ENOENT when there is none, or what went wrong with the file. "UTC" needs none.
int time_zone_load(Str name, TimeZone **ret) __attribute__((warn_unused_result));
void time_zone_free(TimeZone *zone); // NULL is fine
// Seconds east of Greenwich at `at`, and when that ends (the first second of another offset,
// INT64_MAX: never). NULL is UTC.
int32_t time_zone_offset(const TimeZone *zone, int64_t at, int64_t *ret_until);
