#pragma once
// An archive of images (docker save, OCI layout in a tar), cut into its files. Runs in a sandboxed
// process of its own and hands frames to seapod-image, which parses nothing but their heads.

#include <stdint.h>

#include "image/failure.h"

#define SPLIT_NAME_MAX 4096u

typedef enum SplitKind {
    SPLIT_FILE = 1,          // `size` bytes of content follow the name
    SPLIT_SYMBOLIC_LINK = 2, // `size` bytes of target follow the name
    SPLIT_HARD_LINK = 3,     // the same; the target counts from the archive's root
} SplitKind;

// In this machine's byte order; then `name_len` bytes of name, then `size` bytes.
typedef struct SplitHead {
    uint32_t kind;
    uint32_t name_len;
    uint64_t size;
} SplitHead;

// Reads a tar from `input` and writes frames to `output`. Returns 0 or fills `failure`.
int split_archive(int input, int output, uint64_t max_entries, Failure *failure)
    __attribute__((warn_unused_result));
