#include <stdlib.h>

#include "base/time.h"

static void must(bool condition) {
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// A time that is accepted prints and reads back as itself. The first eight bytes serve as a
// duration.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _arena_free_ Arena *arena = arena_new();
    int64_t time, again, duration = 0;
    if (size)
        memcpy(&duration, data, size < sizeof duration ? size : sizeof duration);
    must(time_human_duration(arena, duration).len > 1);
    must(time_go_duration(arena, duration).len > 1);
    must(time_parse(time_format_nano(arena, duration), &again) == 0 && again == duration);
    if (time_parse(str_of(data, size), &time) < 0)
        return 0;
    must(time_parse(time_format_nano(arena, time), &again) == 0 && again == time);
    must(time_parse(time_format(arena, time), &again) == 0);
    must(time == INT64_MIN || (again <= time && time - again < 1000000000));
    return 0;
}
