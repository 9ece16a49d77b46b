#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

void buf_deinit(Buf *buf) {
    if (buf->data)
        free(buf->data - buf->head);
    *buf = BUF_INIT(buf->max);
}

static void grow(Buf *buf, size_t needed) {
    size_t capacity = buf->capacity < 64 ? 64 : buf->capacity * 2;
    if (capacity < needed)
        capacity = needed;
    if (capacity > buf->max)
        capacity = buf->max;
    buf->data = memory_resize(buf->data, capacity);
    buf->capacity = capacity;
}

char *buf_reserve(Buf *buf, size_t len) {
    if (buf->failed || len > buf->max || buf->len > buf->max - len) {
        buf->failed = true;
        return NULL;
    }
    size_t needed = buf->len + len;
    if (buf->head + needed > buf->capacity || !buf->data) {
        if (buf->head) {
            char *base = buf->data - buf->head;
            memmove(base, buf->data, buf->len);
            buf->data = base;
            buf->head = 0;
        }
        // At least half free after a move, so that consume and append in turn stay linear.
        if (needed > buf->capacity || buf->len > buf->capacity / 2 || !buf->data)
            grow(buf, needed);
    }
    return buf->data + buf->len;
}

void buf_commit(Buf *buf, size_t len) {
    assert(buf->head + buf->len + len <= buf->capacity);
    buf->len += len;
}

void buf_append(Buf *buf, const void *data, size_t len) {
    char *room = buf_reserve(buf, len);
    if (!room || !len)
        return;
    memcpy(room, data, len);
    buf->len += len;
}

void buf_char(Buf *buf, char c) {
    buf_append(buf, &c, 1);
}

void buf_vprintf(Buf *buf, const char *format, va_list args) {
    char stack[256];
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(stack, sizeof stack, format, args);
    assert(len >= 0);
    if ((size_t)len < sizeof stack) {
        buf_append(buf, stack, (size_t)len);
    } else if (!buf->failed && (size_t)len <= buf->max && buf->len <= buf->max - (size_t)len) {
        // vsnprintf's NUL may stand one past `max`, so it goes through a copy.
        char *text = memory_alloc((size_t)len + 1);
        vsnprintf(text, (size_t)len + 1, format, again);
        buf_append(buf, text, (size_t)len);
        free(text);
    } else {
        buf->failed = true;
    }
    va_end(again);
}

void buf_printf(Buf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    buf_vprintf(buf, format, args);
    va_end(args);
}

void buf_consume(Buf *buf, size_t len) {
    assert(len <= buf->len);
    buf->len -= len;
    if (buf->len) {
        buf->data += len;
        buf->head += len;
    } else if (buf->data) {
        buf->data -= buf->head;
        buf->head = 0;
    }
}

void buf_clear(Buf *buf) {
    buf_consume(buf, buf->len);
    buf->failed = false;
}

Bytes *buf_bytes(const Buf *buf) {
    return bytes_new(buf->data, buf->len);
}
