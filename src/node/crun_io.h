#pragma once
// Copies between a client's streams and a process's, each direction on its own, with backpressure.

#include "base/stream.h"

// One stream and where its data goes to or comes from. Zero it, set `stream`, link, then start.
typedef struct IoEnd IoEnd;
struct IoEnd {
    Stream *stream; // NULL once closed
    IoEnd *to;      // gets what this stream delivers; NULL: it is dropped
    IoEnd *from;    // whose data is written to this stream
    bool keep_open; // the end of `from` does not end this stream (a terminal)
    bool is_client; // when `to` is gone, what comes is dropped; a process's end is closed then
    bool ended;     // it will deliver no more
    void (*changed)(void *user); // it has ended or closed
    void *user;
};

void io_link(IoEnd *from, IoEnd *to);
void io_start(IoEnd *end); // fine without a stream
void io_close(IoEnd *end); // what is queued goes out; fine without a stream
void io_abort(IoEnd *end); // at once and without `changed`
static inline bool io_is_closed(const IoEnd *end) {
    return !end->stream;
}
