#include "base/bytes.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

Bytes *bytes_alloc(size_t len) {
    assert(len <= PTRDIFF_MAX - sizeof(Bytes) - 1);
    Bytes *bytes = memory_alloc(sizeof(Bytes) + len + 1);
    atomic_init(&bytes->references, 1);
    bytes->len = len;
    bytes->data[len] = '\0';
    return bytes;
}

Bytes *bytes_new(const void *data, size_t len) {
    Bytes *bytes = bytes_alloc(len);
    if (len)
        memcpy(bytes->data, data, len);
    return bytes;
}

Bytes *bytes_ref(Bytes *bytes) {
    if (bytes) {
        uint32_t before = atomic_fetch_add_explicit(&bytes->references, 1, memory_order_relaxed);
        assert(before > 0 && before < UINT32_MAX);
    }
    return bytes;
}

void bytes_unref(Bytes *bytes) {
    if (!bytes)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&bytes->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1)
        free(bytes);
}
