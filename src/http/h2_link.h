#pragma once
// An nghttp2 session over a Stream, for both sides: output with backpressure, guards against
// floods.

#include <nghttp2/nghttp2.h>

#include "base/stream.h"
#include "base/stream_queue.h"

#define H2_MAX_STREAMS 250            // kube-apiserver's --http2-max-streams-per-connection
#define H2_STREAM_WINDOW (256 * 1024) // of a request or answer body on its way to us
#define H2_CONNECTION_WINDOW (1024 * 1024)

typedef struct H2Link {
    nghttp2_session *session;
    Stream *stream;
    LoopTask task;
    void (*on_pumped)(
        void *user); // after output was made, in a turn of its own: may free everything
    void *user;
    // Frames that cost us and nothing the peer: a budget that refills with time.
    int64_t budget, budgeted_at;
    bool busy; // nghttp2 is on the call stack
} H2Link;

nghttp2_option *h2_options(void); // for nghttp2_session_*_new2; freed by the caller
void h2_link_init(H2Link *link, nghttp2_session *session, Stream *stream,
                  void (*on_pumped)(void *user), void *user);
void h2_link_deinit(H2Link *link); // ends the session; the stream is the caller's
// Sends our SETTINGS and opens the connection's window.
void h2_link_begin(H2Link *link, bool server);
// Has output made in the next turn of the loop.
void h2_link_wake(H2Link *link);
// Gives received bytes to the session. False: a connection error (-errno style in *ret_error).
bool h2_link_receive(H2Link *link, Str data);
// True when the peer has sent too many frames of the kind that only cost (ping, settings,
// reset...).
bool h2_link_flooded(H2Link *link, const nghttp2_frame *frame);
// The same for frames that were refused (a stream above the limit).
bool h2_link_spend(H2Link *link);
// Nothing more to send or to receive: the connection may be closed.
bool h2_link_is_over(const H2Link *link);

// For data providers: takes up to `len` bytes out of `queue`.
size_t h2_take(StreamQueue *queue, uint8_t *buffer, size_t len);
