#include "base/stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/stream_queue.h"

// A pair: each end holds what it has yet to receive.

#define CHUNKS_PER_TURN 16 // then others get their turn

typedef struct PairEnd PairEnd;
struct PairEnd {
    Stream stream;
    PairEnd *peer; // NULL once it is gone
    StreamQueue inbox;
    LoopTask task; // everything that is delivered comes from here
    bool started, paused;
    bool peer_ended, end_delivered, write_ended;
    bool drain_due;
    bool broken;   // the peer closed without taking what we had written, or was written to after it
    bool closing;  // by its owner: takes nothing any more
    bool finished; // on_close is on its way
    int error;
    bool busy; // inside turn()
    bool dead; // to be freed when that returns
};

static PairEnd *of(Stream *stream) {
    return (PairEnd *)stream;
}

static void post(PairEnd *end) {
    if (end->started)
        loop_post(end->stream.loop, &end->task);
}

static void finish(PairEnd *end, int error) {
    if (end->finished)
        return;
    end->finished = true;
    end->error = error;
    post(end);
}

static void destroy(PairEnd *end) {
    loop_task_cancel(end->stream.loop, &end->task);
    stream_queue_clear(&end->inbox);
    if (end->peer)
        end->peer->peer = NULL;
    end->peer = NULL;
    end->dead = true;
    if (!end->busy)
        free(end);
}

static bool can_receive(const PairEnd *end) {
    return !end->dead && !end->finished && !end->paused && !end->closing;
}

static void deliver_data(PairEnd *end) {
    Str data;
    Bytes *bytes;
    for (int i = 0; can_receive(end) && end->inbox.len; i++) {
        if (i == CHUNKS_PER_TURN)
            return post(end);
        bytes = stream_queue_take(&end->inbox, &data);
        end->stream.events->on_data(end->stream.user, data);
        bytes_unref(bytes);
    }
}

static void deliver_end(PairEnd *end) {
    if (!can_receive(end) || end->inbox.len || !end->peer_ended || end->end_delivered)
        return;
    end->end_delivered = true;
    end->stream.events->on_end(end->stream.user);
}

// What the peer sent before it left comes first.
static void finish_if_broken(PairEnd *end) {
    if (!end->dead && end->broken && end->end_delivered)
        finish(end, -EPIPE);
}

static size_t pair_queued(const Stream *stream) {
    const PairEnd *end = (const PairEnd *)stream;
    return end->peer ? end->peer->inbox.len : 0;
}

static void deliver_drain(PairEnd *end) {
    if (end->dead || end->finished || !end->drain_due)
        return;
    end->drain_due = false;
    if (pair_queued(&end->stream) >= STREAM_LOW_WATER)
        return; // refilled meanwhile; the next drain will tell
    if (end->stream.events->on_drain)
        end->stream.events->on_drain(end->stream.user);
}

static void deliver_close(PairEnd *end) {
    const StreamEvents *events = end->stream.events;
    void *user = end->stream.user;
    int error = end->error;
    destroy(end);
    events->on_close(user, error);
}

static void turn(void *user) {
    PairEnd *end = user;
    if (end->finished)
        return deliver_close(end);
    end->busy = true;
    deliver_data(end);
    if (!end->dead && end->peer && stream_queue_has_drained(&end->inbox)) {
        end->peer->drain_due = true;
        post(end->peer);
    }
    deliver_end(end);
    finish_if_broken(end);
    deliver_drain(end);
    if (!end->dead && end->end_delivered && end->write_ended)
        finish(end, 0);
    end->busy = false;
    if (end->dead)
        free(end);
}

static void pair_start(Stream *stream) {
    of(stream)->started = true;
    post(of(stream));
}

static bool may_write(PairEnd *end) {
    if (end->finished || end->closing)
        return false;
    assert(!end->write_ended);
    if (!end->peer || end->peer->closing) {
        end->broken = true;
        post(end);
        return false;
    }
    return !end->peer->finished;
}

static void pair_write(Stream *stream, Str data) {
    PairEnd *end = of(stream);
    if (!data.len || !may_write(end))
        return;
    stream_queue_write(&end->peer->inbox, data);
    post(end->peer);
}

static void pair_write_bytes(Stream *stream, Bytes *bytes) {
    PairEnd *end = of(stream);
    if (!bytes->len || !may_write(end))
        return;
    stream_queue_write_bytes(&end->peer->inbox, bytes);
    post(end->peer);
}

static void pair_pause(Stream *stream, bool paused) {
    of(stream)->paused = paused;
    if (!paused)
        post(of(stream));
}

static void pair_end(Stream *stream) {
    PairEnd *end = of(stream);
    if (end->write_ended)
        return;
    end->write_ended = true;
    if (end->peer) {
        end->peer->peer_ended = true;
        post(end->peer);
    }
    post(end);
}

static void pair_close(Stream *stream) {
    PairEnd *end = of(stream);
    if (end->closing || end->finished)
        return;
    end->closing = true;
    pair_end(stream);
    if (end->peer && end->inbox.len)
        end->peer->broken = true;
    stream_queue_clear(&end->inbox);
    finish(end, 0);
}

static void pair_abort(Stream *stream) {
    PairEnd *end = of(stream);
    if (end->peer && !end->finished) {
        stream_queue_clear(&end->peer->inbox);
        finish(end->peer, -ECONNRESET);
    }
    destroy(end);
}

static const StreamOps pair_ops = {
    .start = pair_start,
    .write = pair_write,
    .write_bytes = pair_write_bytes,
    .queued = pair_queued,
    .pause = pair_pause,
    .end = pair_end,
    .close = pair_close,
    .abort = pair_abort,
};

static PairEnd *pair_end_new(Loop *loop) {
    PairEnd *end = memory_new(PairEnd);
    end->stream = (Stream){.ops = &pair_ops, .loop = loop};
    end->task = (LoopTask){.fn = turn, .user = end};
    return end;
}

void stream_pair(Loop *loop, Stream **ret_a, Stream **ret_b) {
    PairEnd *a = pair_end_new(loop), *b = pair_end_new(loop);
    a->peer = b;
    b->peer = a;
    *ret_a = &a->stream;
    *ret_b = &b->stream;
}

// A splice: what comes from one side goes to the other.

typedef struct Splice Splice;
typedef struct SpliceSide {
    Splice *splice;
    struct SpliceSide *other;
    Stream *stream; // NULL once closed
    bool ended;
} SpliceSide;

struct Splice {
    SpliceSide sides[2];
    void (*on_done)(void *user);
    void *user;
};

static void on_splice_data(void *user, Str data) {
    SpliceSide *side = user;
    Stream *to = side->other->stream;
    if (!to)
        return;
    stream_write(to, data);
    if (stream_queued(to) > STREAM_HIGH_WATER)
        stream_pause(side->stream, true);
}

static void on_splice_drain(void *user) {
    SpliceSide *side = user;
    if (side->other->stream)
        stream_pause(side->other->stream, false);
}

static void on_splice_end(void *user) {
    SpliceSide *side = user, *other = side->other;
    side->ended = true;
    if (other->stream)
        stream_end(other->stream);
    if (!other->ended)
        return;
    stream_close(side->stream);
    if (other->stream)
        stream_close(other->stream);
}

static void on_splice_close(void *user, int error) {
    SpliceSide *side = user;
    side->stream = NULL;
    if (side->other->stream) {
        stream_close(side->other->stream); // what it has queued still goes out
        return;
    }
    Splice *splice = side->splice;
    if (splice->on_done)
        splice->on_done(splice->user);
    free(splice);
}

static const StreamEvents splice_events = {
    .on_data = on_splice_data,
    .on_end = on_splice_end,
    .on_drain = on_splice_drain,
    .on_close = on_splice_close,
};

void stream_splice(Stream *a, Stream *b, Str first, void (*on_done)(void *user), void *user) {
    Splice *splice = memory_new(Splice);
    *splice = (Splice){.on_done = on_done, .user = user};
    Stream *streams[] = {a, b};
    for (int i = 0; i < 2; i++)
        splice->sides[i] =
            (SpliceSide){.splice = splice, .other = &splice->sides[1 - i], .stream = streams[i]};
    if (first.len)
        stream_write(b, first);
    for (int i = 0; i < 2; i++) {
        stream_pause(streams[i], false);
        stream_start(streams[i], &splice_events, &splice->sides[i]);
    }
}
