#pragma once
// What a stream has taken and not yet passed on: chunks of bytes, first in, first out. Only for the
// implementations of Stream.

#include <stdbool.h>
#include <sys/uio.h>

#include "base/bytes.h"

typedef struct StreamChunk StreamChunk;
typedef struct StreamQueue {
    StreamChunk *first, *last;
    size_t len;    // bytes in all chunks
    bool was_high; // len has been at the low-water mark or above since the last drain
} StreamQueue;

void stream_queue_write(StreamQueue *queue, Str data);           // copies; joins small writes
void stream_queue_write_bytes(StreamQueue *queue, Bytes *bytes); // takes a reference of its own
size_t stream_queue_peek(const StreamQueue *queue, struct iovec *ret, size_t max);
// Takes the first chunk off: its bytes are `*ret_data`, valid until the caller drops the reference
// that it gets. NULL when the queue is empty.
Bytes *stream_queue_take(StreamQueue *queue, Str *ret_data);
void stream_queue_consume(StreamQueue *queue, size_t len);
void stream_queue_clear(StreamQueue *queue);
// True once when the queue has fallen below STREAM_LOW_WATER.
bool stream_queue_has_drained(StreamQueue *queue);
