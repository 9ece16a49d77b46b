#pragma once
// SPDY/3.1 as Kubernetes uses it: many Streams over one. Flow control: a peer that speaks of
// windows (SETTINGS or WINDOW_UPDATE) is held to them and stalls one stream at a time;
// moby/spdystream, which kubectl uses, does not know them: for it the connection as a whole is read
// or not.

#include "http/message.h"

typedef struct SpdySession SpdySession;

// Never called from inside a spdy_* call.
typedef struct SpdyEvents {
    // The peer opens a stream. Headers are valid during the call, names in lower case. Returning
    // false refuses it (RST_STREAM); otherwise it has been accepted and the Stream is the callee's.
    // May be NULL: all are refused.
    bool (*on_stream)(void *user, Stream *stream, uint32_t id, const HttpHeader *headers, size_t n);
    // Last: the connection is over (0: in an orderly way). Streams that are left report it
    // themselves, before this.
    void (*on_close)(void *user, int error);
} SpdyEvents;

// Takes the stream, which speaks SPDY already (after the upgrade).
SpdySession *spdy_session_new(Stream *stream, bool server, const SpdyEvents *events, void *user);
// Opens a stream; writing may begin before the peer has accepted it.
Stream *spdy_open(SpdySession *session, const HttpHeader *headers, size_t n);
// Ends every stream (their on_close follows, if they have not closed before); what is queued goes
// out, then GOAWAY and the end of the connection, after 30 s at most. on_close follows.
void spdy_session_close(SpdySession *session);
// At once, without on_close. Streams that are left get on_close(-ECONNRESET).
void spdy_session_abort(SpdySession *session);
