#include "controllers/job_indexes.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"

// Ranges come in order of their first index.
static void append(JobIndexes *set, JobIndexRange range) {
    JobIndexRange *end = set->n ? &set->ranges[set->n - 1] : NULL;
    if (!end || range.first > end->last + 1)
        set->ranges[set->n++] = range;
    else if (range.last > end->last)
        end->last = range.last;
}

JobIndexes job_indexes_parse(Arena *arena, Str text, int64_t completions) {
    JobIndexes set = {arena_array_of(arena, JobIndexRange, text.len / 2 + 1), 0};
    Str rest = text;
    while (rest.ptr && text.len) {
        Str last = str_cut(&rest, ','), first = str_cut(&last, '-');
        JobIndexRange range;
        if (str_to_i64(first, &range.first) != 0)
            continue;
        range.last = range.first;
        if (last.ptr && str_to_i64(last, &range.last) != 0)
            continue;
        if (range.first >= completions)
            break;
        if (range.last >= completions)
            range.last = completions - 1;
        append(&set, range);
    }
    return set;
}

Str job_indexes_write(Arena *arena, const JobIndexes *set) {
    _buf_deinit_ Buf buf = BUF_INIT(64 * (set->n + 1));
    for (size_t i = 0; i < set->n; i++) {
        JobIndexRange range = set->ranges[i];
        buf_printf(&buf, "%s%" PRId64, i ? "," : "", range.first);
        if (range.last > range.first)
            buf_printf(&buf, "%c%" PRId64, range.last == range.first + 1 ? ',' : '-', range.last);
    }
    return arena_str(arena, set->n ? buf_view(&buf) : STR(""));
}

int64_t job_indexes_total(const JobIndexes *set) {
    int64_t total = 0;
    for (size_t i = 0; i < set->n; i++)
        total += set->ranges[i].last - set->ranges[i].first + 1;
    return total;
}

bool job_indexes_has(const JobIndexes *set, int64_t index) {
    size_t low = 0, high = set->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->ranges[middle].last >= index)
            high = middle;
        else
            low = middle + 1;
    }
    return low < set->n && set->ranges[low].first <= index;
}

int64_t job_indexes_common(const JobIndexes *a, const JobIndexes *b) {
    int64_t common = 0;
    for (size_t i = 0, k = 0; i < a->n && k < b->n;) {
        JobIndexRange x = a->ranges[i], y = b->ranges[k];
        int64_t first = x.first > y.first ? x.first : y.first;
        int64_t last = x.last < y.last ? x.last : y.last;
        if (last >= first)
            common += last - first + 1;
        if (x.last <= y.last)
            i++;
        if (y.last <= x.last)
            k++;
    }
    return common;
}

JobIndexes job_indexes_union(Arena *arena, const JobIndexes *a, const JobIndexes *b) {
    JobIndexes both = {arena_array_of(arena, JobIndexRange, a->n + b->n + 1), 0};
    for (size_t i = 0, k = 0; i < a->n || k < b->n;) {
        bool first = k == b->n || (i < a->n && a->ranges[i].first < b->ranges[k].first);
        append(&both, first ? a->ranges[i++] : b->ranges[k++]);
    }
    return both;
}

static int compare(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

JobIndexes job_indexes_of(Arena *arena, int64_t *indexes, size_t n) {
    JobIndexes set = {arena_array_of(arena, JobIndexRange, n + 1), 0};
    if (n)
        qsort(indexes, n, sizeof *indexes, compare);
    for (size_t i = 0; i < n; i++)
        append(&set, (JobIndexRange){indexes[i], indexes[i]});
    return set;
}

size_t job_indexes_missing(const JobIndexes *set, int64_t completions, int64_t *ret, size_t n) {
    size_t found = 0;
    int64_t next = 0;
    for (size_t i = 0; i <= set->n; i++) {
        int64_t end = i < set->n ? set->ranges[i].first : completions;
        while (next < end && next < completions && found < n)
            ret[found++] = next++;
        if (i < set->n && next <= set->ranges[i].last)
            next = set->ranges[i].last + 1;
    }
    return found;
}
