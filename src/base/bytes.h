#pragma once
// An immutable, reference-counted block of bytes: an encoded object, a chunk of a response. Shared
// between caches, watchers and sockets without copying; references may be dropped on any thread.

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

typedef struct Bytes {
    _Atomic uint32_t references;
    size_t len;
    char data[]; // followed by one NUL that `len` does not count
} Bytes;

Bytes *bytes_new(const void *data, size_t len); // copies; one reference, the caller's
Bytes *bytes_alloc(size_t len);                 // not cleared; fill before sharing
Bytes *bytes_ref(Bytes *bytes);                 // NULL gives NULL
void bytes_unref(Bytes *bytes);                 // NULL is fine
static inline void bytes_unrefp(Bytes **bytes) {
    bytes_unref(*bytes);
}
#define _bytes_unref_ __attribute__((cleanup(bytes_unrefp)))
static inline Str bytes_str(const Bytes *bytes) {
    return bytes ? (Str){bytes->data, bytes->len} : STR_NONE;
}
