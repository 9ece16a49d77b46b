// Indexes of an indexed job as text, "1,3-5": validateIndexesFormat and
// validateFailedIndexesNotOverlapCompleted upstream (pkg/apis/batch/validation).

#include <inttypes.h>

#include "kinds/job.h"
#include "schema/quote.h"

typedef struct Interval {
    int64_t first, last;
} Interval;

static const char *not_a_number(Arena *arena, Str text) {
    return arena_printf(arena, "cannot convert string to integer for index: %.*s",
                        STR_ARG(quote_str(arena, text)))
        .ptr;
}

static const char *too_large(Arena *arena, Str text) {
    return arena_printf(arena, "too large index: %.*s", STR_ARG(quote_str(arena, text))).ptr;
}

static const char *parse_interval(Arena *arena, Str text, int64_t completions, Interval *ret) {
    Str rest = text, first = str_cut(&rest, '-');
    if (rest.ptr && str_find(rest, '-') >= 0)
        return arena_printf(arena,
                            "the fragment %.*s violates the requirement that an index interval can "
                            "have at most two parts separated by '-'",
                            STR_ARG(quote_str(arena, text)))
            .ptr;
    if (str_to_i64(first, &ret->first) != 0)
        return not_a_number(arena, first);
    if (ret->first >= completions)
        return too_large(arena, first);
    ret->last = ret->first;
    if (!rest.ptr)
        return NULL;
    if (str_to_i64(rest, &ret->last) != 0)
        return not_a_number(arena, rest);
    if (ret->last >= completions)
        return too_large(arena, rest);
    if (ret->first >= ret->last)
        return arena_printf(arena, "non-increasing order, previous: %" PRId64 ", current: %" PRId64,
                            ret->first, ret->last)
            .ptr;
    return NULL;
}

const char *job_parse_indexes(Arena *arena, Str text, int64_t completions, int64_t *ret_total) {
    int64_t last = -1;
    *ret_total = 0;
    for (Str rest = text; text.len && rest.ptr;) {
        Interval interval;
        const char *problem = parse_interval(arena, str_cut(&rest, ','), completions, &interval);
        if (problem)
            return problem;
        if (last >= interval.first)
            return arena_printf(arena,
                                "non-increasing order, previous: %" PRId64 ", current: %" PRId64,
                                last, interval.first)
                .ptr;
        *ret_total += interval.last - interval.first + 1;
        last = interval.last;
    }
    return NULL;
}

// The next interval that parses; false at the end.
static bool next_interval(Arena *arena, Str *rest, int64_t completions, Interval *ret) {
    while (rest->ptr)
        if (!parse_interval(arena, str_cut(rest, ','), completions, ret))
            return true;
    return false;
}

int64_t job_indexes_overlap(Arena *arena, Str a, Str b, int64_t completions) {
    Interval x, y;
    if (!a.len || !b.len)
        return -1;
    bool more =
        next_interval(arena, &a, completions, &x) && next_interval(arena, &b, completions, &y);
    while (more) {
        if (x.first <= y.last && y.first <= x.last)
            return x.first > y.first ? x.first : y.first;
        more = x.first <= y.first ? next_interval(arena, &a, completions, &x)
                                  : next_interval(arena, &b, completions, &y);
    }
    return -1;
}
