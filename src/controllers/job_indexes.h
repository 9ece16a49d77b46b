#pragma once
// Sets of completion indexes, kept and written as Jobs' status has them: "1,3-5,7".
// https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode

#include "base/arena.h"

typedef struct JobIndexRange {
    int64_t first, last;
} JobIndexRange;
typedef struct JobIndexes { // in order, with gaps between
    JobIndexRange *ranges;
    size_t n;
} JobIndexes;

// What does not parse is passed over, and what is not below `completions`
// (parseIndexesFromString).
JobIndexes job_indexes_parse(Arena *arena, Str text, int64_t completions);
// Pairs are written "1,2", longer ranges "1-3".
Str job_indexes_write(Arena *arena, const JobIndexes *set);
int64_t job_indexes_total(const JobIndexes *set);
bool job_indexes_has(const JobIndexes *set, int64_t index);
int64_t job_indexes_common(const JobIndexes *a, const JobIndexes *b); // how many are in both
JobIndexes job_indexes_union(Arena *arena, const JobIndexes *a, const JobIndexes *b);
// The set of those `n` indexes, in any order, which it sorts.
JobIndexes job_indexes_of(Arena *arena, int64_t *indexes, size_t n);
// Up to `n` indexes below `completions` that are not in the set, lowest first. Returns how many.
size_t job_indexes_missing(const JobIndexes *set, int64_t completions, int64_t *ret, size_t n);
