#pragma once
// A growing byte buffer that knows its limit. Once an append would pass `max`, the buffer turns
// `failed`, keeps what it has and ignores further appends; check once at the end.

#include <stdarg.h>
#include <stdbool.h>

#include "base/bytes.h"

typedef struct Buf {
    char *data;
    size_t len, capacity, max;
    size_t head; // private: bytes consumed in front of `data`
    bool failed;
} Buf;

#define BUF_INIT(max_bytes) ((Buf){.max = (max_bytes)})
void buf_deinit(Buf *buf); // frees; the buffer may be used again
#define _buf_deinit_ __attribute__((cleanup(buf_deinit)))

void buf_append(Buf *buf, const void *data, size_t len);
static inline void buf_str(Buf *buf, Str s) {
    buf_append(buf, s.ptr, s.len);
}
void buf_char(Buf *buf, char c);
void buf_printf(Buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(Buf *buf, const char *format, va_list args);
// Room for `len` more bytes to write at the returned place (NULL once failed), then buf_commit().
char *buf_reserve(Buf *buf, size_t len);
void buf_commit(Buf *buf, size_t len);
void buf_consume(Buf *buf, size_t len); // drops bytes from the front, without moving the rest
void buf_clear(Buf *buf);               // keeps the memory, clears `failed`
static inline Str buf_view(const Buf *buf) {
    return (Str){buf->data ? buf->data : "", buf->len};
}
Bytes *buf_bytes(const Buf *buf); // a copy, one reference
