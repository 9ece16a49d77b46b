#pragma once
// A two-way flow of bytes on a loop: a socket, a pipe, a TLS connection, one channel of a SPDY or
// WebSocket session, a tunnel. One interface, so that what copies bytes needs no cases.
// Backpressure: the reader pauses, the writer asks stream_queued() and waits for on_drain.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/loop.h"

typedef struct Stream Stream;

// All are called on the loop, never from inside a stream_* call. After on_close nothing follows and
// the Stream is gone. It follows by itself, with 0, once both directions have ended (on_end came
// and what stream_end() left queued went out), and with negative errno when the stream breaks.
// Callbacks may call every stream_* function, stream_abort() on their own stream included.
typedef struct StreamEvents {
    void (*on_data)(void *user, Str data);   // data is valid during the call
    void (*on_end)(void *user);              // the peer will send no more; we may still write
    void (*on_drain)(void *user);            // the queue fell below STREAM_LOW_WATER; may be NULL
    void (*on_close)(void *user, int error); // 0 or negative errno
} StreamEvents;

#define STREAM_HIGH_WATER (256 * 1024) // stop producing above
#define STREAM_LOW_WATER (64 * 1024)

typedef struct StreamOps {
    void (*start)(Stream *stream);                     // begin to deliver events
    void (*write)(Stream *stream, Str data);           // copies or sends; never fails at once
    void (*write_bytes)(Stream *stream, Bytes *bytes); // takes its own reference
    size_t (*queued)(const Stream *stream);
    void (*pause)(Stream *stream, bool paused); // stop or resume on_data
    void (*end)(Stream *stream);                // half-close: what is queued goes out, then FIN
    void (*close)(Stream *stream); // what is queued goes out if it can (bounded), then on_close
    void (*abort)(Stream *stream); // at once, no further event, the Stream is gone
} StreamOps;

struct Stream { // the first member of every implementation
    const StreamOps *ops;
    const StreamEvents *events;
    void *user;
    Loop *loop;
};

// Sets who is told, and starts delivery. May be called again to hand the stream on; data that has
// not been delivered stays for the new owner.
static inline void stream_start(Stream *s, const StreamEvents *events, void *user) {
    s->events = events;
    s->user = user;
    s->ops->start(s);
}
static inline void stream_write(Stream *s, Str data) {
    s->ops->write(s, data);
}
static inline void stream_write_bytes(Stream *s, Bytes *b) {
    s->ops->write_bytes(s, b);
}
static inline size_t stream_queued(const Stream *s) {
    return s->ops->queued(s);
}
static inline void stream_pause(Stream *s, bool paused) {
    s->ops->pause(s, paused);
}
static inline void stream_end(Stream *s) {
    s->ops->end(s);
}
static inline void stream_close(Stream *s) {
    s->ops->close(s);
}
static inline void stream_abort(Stream *s) {
    s->ops->abort(s);
}

// Over a descriptor (socket, pipe, pty) that it then owns and makes non-blocking. `end` shuts a
// socket down for writing and closes a pipe; a tty has no such thing and only counts as ended. A
// pipe has one direction only: the other one counts as ended from the start, without an on_end.
// stream_close() gives what is queued ten seconds to go out. Before stream_start() there is nobody
// to tell: use stream_abort().
Stream *stream_from_fd(Loop *loop, int fd);
// Two connected in-memory streams on one loop.
void stream_pair(Loop *loop, Stream **ret_a, Stream **ret_b);
// Copies both ways with backpressure until both directions ended or one side failed; then `on_done`
// (may be NULL). Takes both streams over. `first` is sent to `b` before anything from `a`.
void stream_splice(Stream *a, Stream *b, Str first, void (*on_done)(void *user), void *user);
