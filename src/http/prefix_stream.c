#include "http/prefix_stream.h"

#include <stdlib.h>

#include "http/inbox.h"

typedef struct PrefixStream {
    Stream base;
    Stream *inner; // NULL once it is closed
    Inbox inbox;
    bool held; // inner is paused by us
} PrefixStream;

static PrefixStream *of(Stream *stream) {
    return (PrefixStream *)stream;
}

static void hold(PrefixStream *p, bool held) {
    if (p->held == held || !p->inner)
        return;
    p->held = held;
    stream_pause(p->inner, held);
}

static void balance(PrefixStream *p) {
    const Inbox *inbox = &p->inbox;
    hold(p, !inbox->discarding && (!inbox->started || inbox->paused || inbox_held(inbox) > 0));
}

static void op_start(Stream *stream) {
    inbox_start(&of(stream)->inbox);
    balance(of(stream));
}

static void op_write(Stream *stream, Str data) {
    if (of(stream)->inner)
        stream_write(of(stream)->inner, data);
}

static void op_write_bytes(Stream *stream, Bytes *bytes) {
    if (of(stream)->inner)
        stream_write_bytes(of(stream)->inner, bytes);
}

static size_t op_queued(const Stream *stream) {
    const PrefixStream *p = (const PrefixStream *)stream;
    return p->inner ? stream_queued(p->inner) : 0;
}

static void op_pause(Stream *stream, bool paused) {
    inbox_pause(&of(stream)->inbox, paused);
    balance(of(stream));
}

static void op_end(Stream *stream) {
    if (of(stream)->inner)
        stream_end(of(stream)->inner);
}

static void op_close(Stream *stream) {
    PrefixStream *p = of(stream);
    inbox_discard(&p->inbox);
    if (!p->inner)
        return; // on_close is on its way
    hold(p, false);
    stream_close(p->inner);
}

static void gone(Stream *stream) {
    inbox_deinit(&of(stream)->inbox);
    free(stream);
}

static void op_abort(Stream *stream) {
    if (of(stream)->inner)
        stream_abort(of(stream)->inner);
    gone(stream);
}

static const StreamOps ops = {
    .start = op_start,
    .write = op_write,
    .write_bytes = op_write_bytes,
    .queued = op_queued,
    .pause = op_pause,
    .end = op_end,
    .close = op_close,
    .abort = op_abort,
};

static void consumed(Stream *stream, size_t len) {
    balance(of(stream));
}

static const InboxOwner owner = {.consumed = consumed, .gone = gone};

static void on_data(void *user, Str data) {
    PrefixStream *p = user;
    if (inbox_put(&p->inbox, data))
        balance(p);
}

static void on_end(void *user) {
    PrefixStream *p = user;
    inbox_end(&p->inbox);
}

static void on_drain(void *user) {
    PrefixStream *p = user;
    if (p->inbox.started && p->base.events->on_drain)
        p->base.events->on_drain(p->base.user);
}

static void on_close(void *user, int error) {
    PrefixStream *p = user;
    p->inner = NULL;
    inbox_close(&p->inbox, error);
}

static const StreamEvents events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_drain = on_drain,
    .on_close = on_close,
};

Stream *prefix_stream_new(Stream *inner, Str prefix, bool ended) {
    PrefixStream *p = calloc(1, sizeof *p);
    if (!p)
        abort();
    p->base = (Stream){.ops = &ops, .loop = inner->loop};
    p->inner = inner;
    inbox_init(&p->inbox, &p->base, &owner);
    inbox_put(&p->inbox, prefix);
    if (ended)
        inbox_end(&p->inbox);
    p->held = true;
    stream_pause(inner, true);
    stream_start(inner, &events, p);
    return &p->base;
}
