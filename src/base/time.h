#pragma once
// Times as the API writes them: RFC 3339 in UTC. Values are Unix nanoseconds.

#include "base/arena.h"

Str time_format(Arena *arena, int64_t unix_ns);       // 2026-11-23T17:31:12Z (metav1.Time)
Str time_format_micro(Arena *arena, int64_t unix_ns); // 2026-11-23T17:31:12.000000Z (MicroTime)
Str time_format_nano(Arena *arena, int64_t unix_ns);  // RFC3339Nano, trailing zeros dropped
// RFC 3339 with any offset and any number of fractional digits (those past the ninth are dropped).
// The API's years 0 to 9999 reach further than 64 bits of nanoseconds do (1677 to 2262): a time
// outside becomes INT64_MIN or INT64_MAX. Returns 0 or -EINVAL.
int time_parse(Str text, int64_t *ret_unix_ns) __attribute__((warn_unused_result));
// As kubectl's AGE column: 5s, 2m3s, 3h4m, 5d, 2y30d (apimachinery duration.HumanDuration).
Str time_human_duration(Arena *arena, int64_t ns);
// As Go's time.Duration.String(): 10s, 1m20s, 5m0s, 500ms, 1.5s.
Str time_go_duration(Arena *arena, int64_t ns);
