#pragma once
// A set of files that changes as one, laid out as a kubelet lays it out (pkg/volume/util
// atomic_writer.go): the files are in ..TIMESTAMP, ..data is a link to it that is replaced by
// rename(2), and what the container sees are links through ..data.

#include "base/arena.h"

typedef struct AtomicFile {
    Str path; // relative, such as "ca.crt" or "podinfo/labels"
    Str data;
    uint32_t mode; // permission bits
    uint32_t user; // owner
} AtomicFile;

typedef struct AtomicFiles {
    const AtomicFile *items; // of several with one path the last counts
    size_t n;
    int64_t group; // of everything (fsGroup), which then may read it; < 0: as it is
} AtomicFiles;

// Nothing is touched when the content is there already. Otherwise what a crash left is removed too.
// Blocks for some 100 µs. Returns 0 or negative errno (-EINVAL for a path that leaves the
// directory or begins with "..") with *ret_message.
int atomic_write(Arena *arena, const char *directory, const AtomicFiles *files, int64_t now_ns,
                 Str *ret_message) __attribute__((warn_unused_result));
