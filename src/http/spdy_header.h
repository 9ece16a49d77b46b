#pragma once
// Compressed name/value blocks of SPDY/3.1. One codec per connection: each block depends on those
// before it.

#include <zlib.h>

#include "base/buf.h"
#include "http/message.h"

typedef struct SpdyHeader {
    z_stream deflate, inflate;
} SpdyHeader;

int spdy_header_init(SpdyHeader *codec) __attribute__((warn_unused_result)); // 0 or -ENOMEM
void spdy_header_deinit(SpdyHeader *codec);
void spdy_header_encode(SpdyHeader *codec, const HttpHeader *headers, size_t n, Buf *out);
// 0, -EPROTO (not what the protocol says), -E2BIG (over 64 KiB decompressed). After an error the
// connection can't go on.
int spdy_header_decode(SpdyHeader *codec, Arena *arena, Str data, const HttpHeader **ret,
                       size_t *ret_n) __attribute__((warn_unused_result));
