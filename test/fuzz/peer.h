#pragma once
// Feeds bytes to whatever reads a Stream: the first byte of the input says how the rest is cut into
// pieces, each delivered in a turn of its own, in simulated time.

#include <stdlib.h>

#include "base/buf.h"
#include "base/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void must(bool condition) {
    if (!condition)
        abort();
}

typedef struct Peer {
    Stream *stream; // NULL once closed
    size_t received;
} Peer;

static inline void peer_data(void *user, Str data) {
    ((Peer *)user)->received += data.len;
}
static inline void peer_end(void *user) {}
static inline void peer_close(void *user, int error) {
    ((Peer *)user)->stream = NULL;
}
static const StreamEvents peer_events = {
    .on_data = peer_data, .on_end = peer_end, .on_close = peer_close};

static inline void peer_start(Peer *peer, Stream *stream) {
    *peer = (Peer){.stream = stream};
    stream_start(stream, &peer_events, peer);
}

static inline void turn(Loop *loop) {
    must(loop_run_until(loop, loop_now(loop) + NSEC_PER_MSEC) == 0);
}

static inline void peer_feed(Loop *loop, Peer *peer, const uint8_t *data, size_t size) {
    if (!size)
        return;
    size_t piece = data[0] ? data[0] : size;
    for (size_t i = 1; i < size && peer->stream; i += piece) {
        size_t n = size - i < piece ? size - i : piece;
        stream_write(peer->stream, str_of(data + i, n));
        turn(loop);
    }
}

// Says goodbye and lets everything end, also what waits for a time-out.
static inline void peer_finish(Loop *loop, Peer *peer) {
    if (peer->stream)
        stream_end(peer->stream);
    turn(loop);
    if (peer->stream)
        stream_abort(peer->stream);
    peer->stream = NULL;
    turn(loop);
}
