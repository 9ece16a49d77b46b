#pragma once
// Decompression of a stream, in a sandboxed process of its own.

#include "base/str.h"
#include "image/failure.h"

typedef enum Compression {
    COMPRESSION_NONE,
    COMPRESSION_GZIP,
    COMPRESSION_ZSTD,
} Compression;

#define COMPRESSION_MAGIC 4 // bytes that compression_of wants to see
// Tells by the first bytes, which say more than media types do.
Compression compression_of(Str head);

// Copies `input` to `output`, decompressed when it is compressed: any number of gzip members or
// zstd frames. Returns 0 or fills `failure`.
int inflate_stream(int input, int output, Failure *failure) __attribute__((warn_unused_result));
