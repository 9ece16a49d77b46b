#pragma once
// The file that is mounted at a container's terminationMessagePath; see also environment.h.

#include "base/arena.h"

// Makes it, empty, for this attempt, and removes those that nobody asks for any more. Returns 0 or
// negative errno.
int termination_file_make(Arena *arena, Str files_directory, Str container, Str log_path,
                          uint32_t attempt, Str *ret_path) __attribute__((warn_unused_result));
Str termination_path(Arena *arena, Str files_directory, Str container, Str log_path);
