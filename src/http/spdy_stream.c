// The streams of a SPDY session: writing within the peer's windows, reading within ours.

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/memory.h"
#include "http/spdy_private.h"

static SpdyStream *of(Stream *stream) {
    return (SpdyStream *)stream;
}

// ---- ends ----

void spdy_stream_free(SpdyStream *x) {
    if (x->mourner) {
        list_remove(&x->link);
        spdy_report_if_due(x->mourner);
    }
    inbox_deinit(&x->inbox);
    stream_queue_clear(&x->queue);
    free(x);
}

// The session knows the stream no more.
void spdy_stream_leave(SpdyStream *x) {
    if (!x->session)
        return;
    x->session->n_streams--;
    list_remove(&x->link);
    x->session = NULL;
    stream_queue_clear(&x->queue);
    if (x->abandoned)
        spdy_stream_free(x);
}

void spdy_stream_end_if_over(SpdyStream *x) {
    if (!x->session || !x->fin_sent || !x->fin_received)
        return;
    bool abandoned = x->abandoned;
    spdy_stream_leave(x);
    if (!abandoned)
        inbox_close(&x->inbox, 0);
}

// ---- writing ----

static size_t allowance(const SpdyStream *x) {
    const SpdySession *s = x->session;
    if (!s->peer_has_windows)
        return PIECE;
    int64_t window = x->send_window < s->send_window ? x->send_window : s->send_window;
    return window <= 0 ? 0 : window < PIECE ? (size_t)window : PIECE;
}

static void send_piece(SpdyStream *x, Str data) {
    spdy_send_data(x->session, x->id, false, data);
    x->send_window -= (int64_t)data.len;
    x->session->send_window -= (int64_t)data.len;
}

// Sends what the windows and the connection take. May end the stream, and free it when it is
// abandoned.
void spdy_stream_flush(SpdyStream *x) {
    SpdySession *s = x->session;
    while (x->queue.len && !x->opening && s->stream &&
           stream_queued(s->stream) < STREAM_HIGH_WATER) {
        size_t allowed = allowance(x);
        struct iovec part;
        if (!allowed || !stream_queue_peek(&x->queue, &part, 1))
            break;
        size_t n = part.iov_len < allowed ? part.iov_len : allowed;
        send_piece(x, str_of(part.iov_base, n));
        stream_queue_consume(&x->queue, n);
    }
    if (x->queue.len == 0 && x->fin_wanted && !x->fin_sent && !x->opening) {
        x->fin_sent = true;
        spdy_send_data(s, x->id, true, STR(""));
        if (x->letting_go)
            inbox_close(&x->inbox, 0);
    }
    spdy_stream_end_if_over(x);
}

static size_t op_queued(const Stream *stream) {
    const SpdyStream *x = (const SpdyStream *)stream;
    if (!x->session || !x->session->stream)
        return 0;
    return x->queue.len + stream_queued(x->session->stream);
}

static void op_write(Stream *stream, Str data) {
    SpdyStream *x = of(stream);
    if (!x->session || !x->session->stream || x->fin_wanted)
        return;
    while (data.len && x->queue.len == 0 && !x->opening &&
           stream_queued(x->session->stream) < STREAM_HIGH_WATER) {
        size_t allowed = allowance(x);
        size_t n = data.len < allowed ? data.len : allowed;
        if (!n)
            break;
        send_piece(x, str_slice(data, 0, n));
        data = str_slice(data, n, data.len);
    }
    stream_queue_write(&x->queue, data);
    if (op_queued(stream) >= STREAM_LOW_WATER)
        x->choked = true;
}

static void op_write_bytes(Stream *stream, Bytes *bytes) {
    op_write(stream, bytes_str(bytes));
}

// ---- the Stream ----

void spdy_balance(SpdySession *s) {
    SpdyStream *x;
    bool full = false;
    list_for_each(x, &s->streams, link) full =
        full || (!x->abandoned && inbox_held(&x->inbox) >= STREAM_HIGH_WATER);
    if (full == s->paused || !s->stream)
        return;
    s->paused = full;
    stream_pause(s->stream, full);
}

static void op_start(Stream *stream) {
    inbox_start(&of(stream)->inbox);
}

static void op_pause(Stream *stream, bool paused) {
    inbox_pause(&of(stream)->inbox, paused);
}

static void op_end(Stream *stream) {
    SpdyStream *x = of(stream);
    if (x->fin_wanted)
        return;
    x->fin_wanted = true;
    if (x->session)
        spdy_stream_flush(x);
}

static void op_close(Stream *stream) {
    SpdyStream *x = of(stream);
    inbox_discard(&x->inbox);
    if (!x->session)
        return; // on_close is on its way
    x->letting_go = true;
    if (x->fin_sent)
        inbox_close(&x->inbox, 0);
    else
        op_end(stream);
}

static void op_abort(Stream *stream) {
    SpdyStream *x = of(stream);
    SpdySession *s = x->session;
    if (s) {
        spdy_send_two(s, RST_STREAM, x->id, CANCEL);
        spdy_stream_leave(x);
        spdy_balance(s);
    }
    spdy_stream_free(x);
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

// The peer may send `len` more bytes on this stream.
void spdy_stream_give_back(SpdyStream *x, size_t len) {
    x->consumed += len;
    if (x->consumed < UPDATE_AT || x->fin_received)
        return;
    spdy_send_two(x->session, WINDOW_UPDATE, x->id, (uint32_t)x->consumed);
    x->consumed = 0;
}

static void consumed(Stream *stream, size_t len) {
    SpdyStream *x = of(stream);
    SpdySession *s = x->session;
    if (!s)
        return;
    spdy_stream_give_back(x, len);
    if (s->paused)
        spdy_balance(s);
}

// Its user was told that it is closed. While the peer may still send, the session keeps it to
// swallow that.
static void gone(Stream *stream) {
    SpdyStream *x = of(stream);
    if (x->session) {
        x->abandoned = true;
        loop_task_cancel(stream->loop, &x->inbox.task);
        spdy_stream_end_if_over(x);
    } else {
        spdy_stream_free(x);
    }
}

static const InboxOwner owner = {.consumed = consumed, .gone = gone};

SpdyStream *spdy_stream_new(SpdySession *s, uint32_t id) {
    SpdyStream *x = memory_new(SpdyStream);
    x->base = (Stream){.ops = &ops, .loop = s->timer.loop};
    x->session = s;
    x->id = id;
    x->send_window = s->initial_send_window;
    inbox_init(&x->inbox, &x->base, &owner);
    list_append(&s->streams, &x->link);
    s->n_streams++;
    return x;
}
