#pragma once
// One layer's tar, turned into a directory for overlayfs. Runs in a sandboxed process of its own.

#include <stdbool.h>
#include <stdint.h>

#include "image/failure.h"

typedef struct UnpackLimits {
    uint64_t bytes;   // of all files together, by their size and not by what holes save
    uint64_t entries; // of the archive
} UnpackLimits;

typedef struct UnpackResult {
    uint64_t bytes, entries;
    uint64_t skipped_devices; // device nodes that containers don't get
    bool opaque_root;         // the layer hides everything below it
} UnpackResult;

// Reads a tar from `input` to its very end and writes it below `root`, a directory that is open and
// empty. Whiteouts become overlayfs' own (OCI image-spec layer.md; the kernel's overlayfs.rst).
// Returns 0 or fills `failure`. Synced to disk when it returns 0.
int unpack_tar(int input, int root, const UnpackLimits *limits, UnpackResult *ret_result,
               Failure *failure) __attribute__((warn_unused_result));
