#pragma once
// The file that is mounted at a container's terminationMessagePath; see also environment.h.

#include "base/arena.h"

// Makes it, empty, for this attempt, and removes those that nobody asks for any more. Returns 0 or
// negative errno.
int termination_file_make(Arena *arena, Str files_directory, Str container, Str log_path,
                          uint32_t attempt, Str *ret_path) __attribute__((warn_unused_result));
Str termination_path(Arena *arena, Str files_directory, Str container, Str log_path);
// What FallbackToLogsOnError shows of the end of a CRI log (at most 16 KiB): 80 lines, 2,048 bytes.
Str termination_log_text(Arena *arena, Str log);
