#include "base/stream_queue.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/stream.h"

// Small writes share a chunk of this size.
#define CHUNK_SIZE 4096u

struct StreamChunk {
    StreamChunk *next;
    Bytes *bytes;
    size_t start, end; // what is left of bytes->data
    size_t capacity;   // may be written up to here; 0 where the bytes are shared
};

static void append(StreamQueue *queue, StreamChunk *chunk) {
    if (queue->last)
        queue->last->next = chunk;
    else
        queue->first = chunk;
    queue->last = chunk;
}

static void count(StreamQueue *queue, size_t len) {
    queue->len += len;
    queue->was_high |= queue->len >= STREAM_LOW_WATER;
}

void stream_queue_write(StreamQueue *queue, Str data) {
    if (!data.len)
        return;
    count(queue, data.len);
    StreamChunk *last = queue->last;
    if (last && last->capacity - last->end >= data.len && last->capacity) {
        memcpy(last->bytes->data + last->end, data.ptr, data.len);
        last->end += data.len;
        return;
    }
    size_t capacity = data.len < CHUNK_SIZE ? CHUNK_SIZE : data.len;
    StreamChunk *chunk = memory_new(StreamChunk);
    *chunk = (StreamChunk){.bytes = bytes_alloc(capacity), .end = data.len, .capacity = capacity};
    memcpy(chunk->bytes->data, data.ptr, data.len);
    append(queue, chunk);
}

void stream_queue_write_bytes(StreamQueue *queue, Bytes *bytes) {
    if (!bytes || !bytes->len)
        return;
    count(queue, bytes->len);
    StreamChunk *chunk = memory_new(StreamChunk);
    *chunk = (StreamChunk){.bytes = bytes_ref(bytes), .end = bytes->len};
    append(queue, chunk);
}

size_t stream_queue_peek(const StreamQueue *queue, struct iovec *ret, size_t max) {
    size_t n = 0;
    for (const StreamChunk *chunk = queue->first; chunk && n < max; chunk = chunk->next)
        ret[n++] = (struct iovec){chunk->bytes->data + chunk->start, chunk->end - chunk->start};
    return n;
}

static void drop_first(StreamQueue *queue) {
    StreamChunk *chunk = queue->first;
    queue->first = chunk->next;
    if (!queue->first)
        queue->last = NULL;
    bytes_unref(chunk->bytes);
    free(chunk);
}

Bytes *stream_queue_take(StreamQueue *queue, Str *ret_data) {
    StreamChunk *chunk = queue->first;
    if (!chunk)
        return NULL;
    Bytes *bytes = bytes_ref(chunk->bytes);
    *ret_data = str_of(bytes->data + chunk->start, chunk->end - chunk->start);
    queue->len -= ret_data->len;
    drop_first(queue);
    return bytes;
}

void stream_queue_consume(StreamQueue *queue, size_t len) {
    assert(len <= queue->len);
    queue->len -= len;
    while (len) {
        StreamChunk *chunk = queue->first;
        size_t here = chunk->end - chunk->start;
        if (len < here) {
            chunk->start += len;
            return;
        }
        len -= here;
        drop_first(queue);
    }
}

void stream_queue_clear(StreamQueue *queue) {
    while (queue->first)
        drop_first(queue);
    *queue = (StreamQueue){0};
}

bool stream_queue_has_drained(StreamQueue *queue) {
    if (!queue->was_high || queue->len >= STREAM_LOW_WATER)
        return false;
    queue->was_high = false;
    return true;
}
