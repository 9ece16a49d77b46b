#pragma once
// Times as the API writes them: RFC 3339 in UTC. Values are Unix nanoseconds.

#include "base/arena.h"

Str time_format(Arena *arena, int64_t unix_ns);       // 2026-11-23T17:31:12Z (metav1.Time)
Str time_format_micro(Arena *arena, int64_t unix_ns); // 2026-11-23T17:31:12.000000Z (MicroTime)
Str time_format_nano(Arena *arena, int64_t unix_ns);  // RFC3339Nano, trailing zeros dropped
int time_parse(Str text, int64_t *ret_unix_ns) __attribute__((warn_unused_result)); // or -EINVAL
// As kubectl's AGE column: 5s, 2m3s, 3h4m, 5d, 2y30d (apimachinery duration.HumanDuration).
Str time_human_duration(Arena *arena, int64_t ns);
// As Go's time.Duration.String(): 10s, 1m20s, 5m0s, 500ms.
Str time_go_duration(Arena *arena, int64_t ns);
