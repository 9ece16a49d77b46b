#pragma once
// Between spdy.c (frames and the session) and spdy_stream.c (the Streams).

#include "base/buf.h"
#include "base/stream_queue.h"
#include "http/inbox.h"
#include "http/spdy.h"
#include "http/spdy_header.h"

#define SPDY_VERSION 3
#define WINDOW (64 * 1024)      // the protocol's initial window, ours as well
#define UPDATE_AT (WINDOW / 2)  // consumed bytes that make a WINDOW_UPDATE worth while
#define MAX_CONTROL (64 * 1024) // payload of a control frame
#define PIECE (32 * 1024)       // payload of our data frames

enum {
    SYN_STREAM = 1,
    SYN_REPLY = 2,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    GOAWAY = 7,
    HEADERS = 8,
    WINDOW_UPDATE = 9
};
enum { FLAG_FIN = 1, FLAG_UNIDIRECTIONAL = 2 };
enum { PROTOCOL_ERROR = 1, REFUSED_STREAM = 3, CANCEL = 5 };
enum { SETTINGS_INITIAL_WINDOW_SIZE = 7 };

typedef struct SpdyStream {
    Stream base;
    SpdySession *session; // NULL once the session or the stream is over
    SpdySession *mourner; // a lost session that waits until this stream has reported its end
    ListLink link;
    uint32_t id;
    Inbox inbox;
    StreamQueue queue;   // waits for the peer's window
    int64_t send_window; // counts from the start, obeyed once the peer speaks of windows
    size_t consumed;     // not told to the peer yet
    bool fin_wanted, fin_sent, fin_received;
    bool abandoned;  // by its user; kept for what the peer still sends
    bool letting_go; // stream_close() was called
    bool opening;    // the peer has not got our SYN_REPLY yet
    bool choked;
} SpdyStream;

struct SpdySession {
    Stream *stream;
    const SpdyEvents *events;
    void *user;
    bool server;
    SpdyHeader codec;
    List streams;
    size_t n_streams;
    uint32_t next_id, last_peer_id;
    int64_t send_window, initial_send_window;
    size_t received; // of data, not told to the peer yet
    bool peer_has_windows, told_settings;
    Buf head;         // of the frame that is being read, and the payload of a control frame
    uint32_t data_id; // of the data frame that is being read
    size_t data_left;
    bool data_fin;
    bool paused, going_away;
    bool said_goodbye; // GOAWAY is out, the stream is being closed
    LoopTimer timer;
    LoopTask pump_task, close_task;
    int close_error;
    List unreported; // streams that are to report their end before the session does
    int64_t budget, budgeted_at;
    int busy;
    bool dead, closed;
};

void spdy_put_u32(unsigned char *at, uint32_t value);
void spdy_send_control(SpdySession *s, uint16_t type, uint8_t flags, Str payload);
void spdy_send_two(SpdySession *s, uint16_t type, uint32_t a,
                   uint32_t b); // a payload of two numbers
void spdy_send_data(SpdySession *s, uint32_t id, bool fin, Str data);

SpdyStream *spdy_stream_new(SpdySession *s, uint32_t id);
void spdy_stream_free(SpdyStream *x);
// The session knows the stream no more. Frees it when it is abandoned.
void spdy_stream_leave(SpdyStream *x);
// Leaves, and reports the end, once both sides have ended. May free the stream.
void spdy_stream_end_if_over(SpdyStream *x);
// Sends what the windows and the connection take. May end the stream, and free it when it is
// abandoned.
void spdy_stream_flush(SpdyStream *x);
void spdy_stream_give_back(SpdyStream *x, size_t len); // the peer may send `len` more bytes
// Reads the connection or not, depending on whether a stream is full.
void spdy_balance(SpdySession *s);
// A stream has reported its end: the session may, when it was the last.
void spdy_report_if_due(SpdySession *s);
