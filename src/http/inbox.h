#pragma once
// The receiving half of a Stream that is not a descriptor (a channel of SPDY or WebSocket, a stream
// behind a protocol switch): keeps what arrived until somebody wants it and keeps the promises of
// base/stream.h: nothing before start, nothing while paused, no event from inside a stream_* call,
// nothing after on_close.

#include "base/buf.h"
#include "base/stream.h"

typedef struct Inbox Inbox;
typedef struct InboxOwner {
    // `len` bytes were delivered (flow control). May be NULL.
    void (*consumed)(Stream *stream, size_t len);
    // on_close was told: free the stream (inbox_deinit first).
    void (*gone)(Stream *stream);
} InboxOwner;

struct Inbox {
    Stream *stream;
    const InboxOwner *owner;
    Buf data;
    LoopTask task;
    bool *destroyed; // set while delivering
    bool started, paused, ended, end_told, closed, discarding;
    int error;
};

void inbox_init(Inbox *inbox, Stream *stream, const InboxOwner *owner);
void inbox_deinit(Inbox *inbox);
// Called from events of what lies below, never from inside a stream_* call: may deliver at once.
// The stream may be gone afterwards: returns false then.
bool inbox_put(Inbox *inbox, Str data);
// These deliver later.
void inbox_end(Inbox *inbox);              // on_end follows the data
void inbox_close(Inbox *inbox, int error); // on_close follows the data (at once when error != 0)
void inbox_start(Inbox *inbox);
void inbox_discard(Inbox *inbox); // the user let go (stream_close): no more data, no end
void inbox_pause(Inbox *inbox, bool paused);
static inline size_t inbox_held(const Inbox *inbox) {
    return inbox->data.len;
}
