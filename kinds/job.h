#pragma once
// What the rules of jobs (batch-v1-job*.c) share.

#include "kinds/workload.h"

// About the spec of a job at a path ("spec").
void job_warn(Arena *arena, const Value *spec, const char *path, ValuePaths *warnings);
// ResourceRules' function, of writes to the status.
void job_validate_status(FieldErrors *errors, const Value *job, const Value *old);

// Indexes such as "1,3-5", in rising order and below `completions`. Returns NULL with how many
// there are, or what is wrong in upstream's words (validateIndexesFormat).
const char *job_parse_indexes(Arena *arena, Str text, int64_t completions, int64_t *ret_total);
// The first index that is in both, or -1; what does not parse is passed over.
int64_t job_indexes_overlap(Arena *arena, Str a, Str b, int64_t completions);
