#include "http/spdy.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/memory.h"
#include "http/spdy_private.h"

#define MAX_STREAMS 1000
#define CLOSE_TIMEOUT (30 * NSEC_PER_SEC)
#define CONTROL_BURST 4000 // control frames; more is a flood
#define CONTROL_PER_SECOND 400

// ---- frames out ----

void spdy_put_u32(unsigned char *at, uint32_t value) {
    at[0] = (unsigned char)(value >> 24);
    at[1] = (unsigned char)(value >> 16);
    at[2] = (unsigned char)(value >> 8);
    at[3] = (unsigned char)value;
}

static uint32_t get_u32(const char *at) {
    const unsigned char *p = (const unsigned char *)at;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void spdy_send_control(SpdySession *s, uint16_t type, uint8_t flags, Str payload) {
    if (!s->stream)
        return;
    _buf_deinit_ Buf frame = BUF_INIT(2 * MAX_CONTROL);
    unsigned char head[8] = {0x80, SPDY_VERSION, (unsigned char)(type >> 8), (unsigned char)type};
    spdy_put_u32(head + 4, (uint32_t)payload.len | (uint32_t)flags << 24);
    buf_append(&frame, head, sizeof head);
    buf_str(&frame, payload);
    stream_write(s->stream, buf_view(&frame));
}

void spdy_send_two(SpdySession *s, uint16_t type, uint32_t a, uint32_t b) {
    unsigned char payload[8];
    spdy_put_u32(payload, a);
    spdy_put_u32(payload + 4, b);
    spdy_send_control(s, type, 0, str_of(payload, sizeof payload));
}

void spdy_send_data(SpdySession *s, uint32_t id, bool fin, Str data) {
    if (!s->stream)
        return;
    char frame[8 + PIECE];
    assert(data.len <= PIECE);
    spdy_put_u32((unsigned char *)frame, id);
    spdy_put_u32((unsigned char *)frame + 4,
                 (uint32_t)data.len | (fin ? (uint32_t)FLAG_FIN << 24 : 0));
    if (data.len)
        memcpy(frame + 8, data.ptr, data.len);
    stream_write(s->stream, str_of(frame, 8 + data.len));
}

static void send_settings(SpdySession *s) {
    if (s->told_settings)
        return;
    s->told_settings = true;
    unsigned char payload[12];
    spdy_put_u32(payload, 1);
    spdy_put_u32(payload + 4, SETTINGS_INITIAL_WINDOW_SIZE);
    spdy_put_u32(payload + 8, WINDOW);
    spdy_send_control(s, SETTINGS, 0, str_of(payload, sizeof payload));
}

// ---- the end ----

// The connection is lost: every stream reports it.
static void lose(SpdySession *s, int error) {
    if (s->closed)
        return;
    s->closed = true;
    s->close_error = error;
    loop_timer_stop(&s->timer);
    loop_task_cancel(s->timer.loop, &s->pump_task);
    SpdyStream *x;
    list_for_each(x, &s->streams, link) {
        bool abandoned = x->abandoned;
        spdy_stream_leave(x);
        if (abandoned)
            continue;
        if (x->inbox.started && !s->dead) {
            x->mourner = s;
            list_append(&s->unreported, &x->link);
        }
        inbox_close(&x->inbox, error ? error : -ECONNRESET);
    }
    if (s->stream)
        stream_abort(s->stream);
    s->stream = NULL;
}

static void session_free(SpdySession *s) {
    s->dead = true;
    lose(s, -ECONNRESET);
    SpdyStream *x;
    list_for_each(x, &s->unreported, link) {
        list_remove(&x->link);
        x->mourner = NULL;
    }
    loop_task_cancel(s->timer.loop, &s->close_task);
    if (s->busy)
        return;
    spdy_header_deinit(&s->codec);
    buf_deinit(&s->head);
    free(s);
}

static void on_close_task(void *user) {
    SpdySession *s = user;
    const SpdyEvents *events = s->events;
    void *owner = s->user;
    int error = s->close_error;
    session_free(s);
    events->on_close(owner, error);
}

void spdy_report_if_due(SpdySession *s) {
    if (list_is_empty(&s->unreported))
        loop_post(s->timer.loop, &s->close_task);
}

// Tells the user in a turn of its own, after the streams.
static void lose_later(SpdySession *s, int error) {
    if (s->closed)
        return;
    lose(s, error);
    spdy_report_if_due(s);
}

// Gives every stream its turn after the connection or a window has opened.
static void pump(SpdySession *s) {
    SpdyStream *x;
    list_for_each(x, &s->streams, link) spdy_stream_flush(x);
    list_for_each(x, &s->streams, link) {
        if (!x->choked || x->abandoned || stream_queued(&x->base) >= STREAM_LOW_WATER)
            continue;
        x->choked = false;
        if (!x->inbox.started || x->fin_wanted || !x->base.events->on_drain)
            continue;
        x->base.events->on_drain(x->base.user);
        loop_post(s->timer.loop, &s->pump_task); // the others: the list may be another one now
        return;
    }
}

// Closes the connection once all that streams had queued is out.
static void say_goodbye(SpdySession *s) {
    if (!s->going_away || s->said_goodbye || !s->stream)
        return;
    SpdyStream *x;
    list_for_each(x, &s->streams, link) {
        if (!x->fin_sent)
            return;
    }
    s->said_goodbye = true;
    spdy_send_two(s, GOAWAY, s->last_peer_id, 0);
    stream_close(s->stream);
}

static void on_pump(void *user) {
    SpdySession *s = user;
    s->busy++;
    pump(s);
    say_goodbye(s);
    if (--s->busy == 0 && s->dead)
        session_free(s);
}

static SpdyStream *find(SpdySession *s, uint32_t id) {
    SpdyStream *x;
    list_for_each(x, &s->streams, link) {
        if (x->id == id)
            return x;
    }
    return NULL;
}

// ---- frames in; each returns false on a violation, which ends the connection ----

static bool spend(SpdySession *s) {
    int64_t now = loop_now(s->timer.loop);
    int64_t refill = (now - s->budgeted_at) * CONTROL_PER_SECOND / NSEC_PER_SEC;
    if (refill > 0) {
        s->budget = s->budget + refill < CONTROL_BURST ? s->budget + refill : CONTROL_BURST;
        s->budgeted_at = now;
    }
    return --s->budget >= 0;
}

static void accept_stream(SpdySession *s, uint32_t id, uint8_t flags, const HttpHeader *headers,
                          size_t n) {
    if (s->going_away || s->n_streams >= MAX_STREAMS || !s->events->on_stream) {
        spdy_send_two(s, RST_STREAM, id, REFUSED_STREAM);
        return;
    }
    SpdyStream *x = spdy_stream_new(s, id);
    x->opening = true;
    x->fin_received = flags & FLAG_FIN;
    x->fin_wanted = x->fin_sent = flags & FLAG_UNIDIRECTIONAL;
    if (!s->events->on_stream(s->user, &x->base, id, headers, n)) {
        if (s->stream)
            spdy_send_two(s, RST_STREAM, id, REFUSED_STREAM);
        spdy_stream_leave(x);
        spdy_stream_free(x);
        return;
    }
    // The user may have aborted it, or the session, from inside.
    if (s->closed || (x = find(s, id)) == NULL)
        return;
    static const unsigned char nothing[4];
    _buf_deinit_ Buf payload = BUF_INIT(MAX_CONTROL);
    buf_append(&payload, nothing, 4);
    spdy_put_u32((unsigned char *)payload.data, id);
    spdy_header_encode(&s->codec, NULL, 0, &payload);
    spdy_send_control(s, SYN_REPLY, 0, buf_view(&payload));
    x->opening = false;
    if (x->fin_received)
        inbox_end(&x->inbox);
    spdy_stream_flush(x);
}

static bool on_syn_stream(SpdySession *s, uint8_t flags, Str payload) {
    if (payload.len < 10)
        return false;
    uint32_t id = get_u32(payload.ptr) & 0x7fffffff;
    _arena_free_ Arena *arena = arena_new();
    const HttpHeader *headers;
    size_t n;
    if (spdy_header_decode(&s->codec, arena, str_slice(payload, 10, payload.len), &headers, &n) < 0)
        return false;
    if (id <= s->last_peer_id || (id & 1) != (s->server ? 1 : 0))
        return false;
    s->last_peer_id = id;
    accept_stream(s, id, flags, headers, n);
    return true;
}

// The peer ends its direction.
static void receive_fin(SpdyStream *x) {
    if (x->fin_received)
        return;
    x->fin_received = true;
    if (!x->abandoned)
        inbox_end(&x->inbox);
    spdy_stream_end_if_over(x);
}

// SYN_REPLY and HEADERS: nothing in them matters to us, but they must go through the decompressor.
static bool on_headers(SpdySession *s, uint8_t flags, Str payload) {
    if (payload.len < 4)
        return false;
    _arena_free_ Arena *arena = arena_new();
    const HttpHeader *headers;
    size_t n;
    if (spdy_header_decode(&s->codec, arena, str_slice(payload, 4, payload.len), &headers, &n) < 0)
        return false;
    SpdyStream *x = find(s, get_u32(payload.ptr) & 0x7fffffff);
    if (x && flags & FLAG_FIN)
        receive_fin(x);
    return true;
}

static bool on_rst_stream(SpdySession *s, Str payload) {
    if (payload.len != 8)
        return false;
    SpdyStream *x = find(s, get_u32(payload.ptr) & 0x7fffffff);
    if (!x)
        return true;
    bool abandoned = x->abandoned;
    spdy_stream_leave(x);
    if (!abandoned)
        inbox_close(&x->inbox, -ECONNRESET);
    spdy_balance(s);
    return true;
}

static bool set_initial_window(SpdySession *s, uint32_t value) {
    if (value > INT32_MAX)
        return false;
    SpdyStream *x;
    list_for_each(x, &s->streams, link) x->send_window += (int64_t)value - s->initial_send_window;
    s->initial_send_window = value;
    s->peer_has_windows = true;
    send_settings(s);
    loop_post(s->timer.loop, &s->pump_task);
    return true;
}

static bool on_settings(SpdySession *s, Str payload) {
    if (payload.len < 4)
        return false;
    uint64_t n = get_u32(payload.ptr);
    if (payload.len != 4 + 8 * n)
        return false;
    for (uint64_t i = 0; i < n; i++) {
        const char *entry = payload.ptr + 4 + 8 * i;
        if ((get_u32(entry) & 0xffffff) == SETTINGS_INITIAL_WINDOW_SIZE &&
            !set_initial_window(s, get_u32(entry + 4)))
            return false;
    }
    return true;
}

static bool on_window_update(SpdySession *s, Str payload) {
    if (payload.len != 8)
        return false;
    uint32_t id = get_u32(payload.ptr) & 0x7fffffff, delta = get_u32(payload.ptr + 4) & 0x7fffffff;
    SpdyStream *x = id ? find(s, id) : NULL;
    int64_t *window = !id ? &s->send_window : x ? &x->send_window : NULL;
    s->peer_has_windows = true;
    if (!window)
        return true;
    *window += delta;
    if (*window > INT32_MAX)
        return false;
    loop_post(s->timer.loop, &s->pump_task);
    return true;
}

static bool on_ping(SpdySession *s, Str payload) {
    if (payload.len != 4)
        return false;
    if ((get_u32(payload.ptr) & 1) == (s->server ? 1 : 0)) // else an answer to one of ours
        spdy_send_control(s, PING, 0, payload);
    return true;
}

static bool on_control(SpdySession *s, const char *head, Str payload) {
    unsigned type = (unsigned char)head[2] << 8 | (unsigned char)head[3];
    uint8_t flags = (uint8_t)head[4];
    if (((unsigned char)head[0] & 0x7f) != 0 || head[1] != SPDY_VERSION ||
        (type != WINDOW_UPDATE && !spend(s))) // those keep pace with data
        return false;
    switch (type) {
    case SYN_STREAM:
        return on_syn_stream(s, flags, payload);
    case SYN_REPLY:
    case HEADERS:
        return on_headers(s, flags, payload);
    case RST_STREAM:
        return on_rst_stream(s, payload);
    case SETTINGS:
        return on_settings(s, payload);
    case WINDOW_UPDATE:
        return on_window_update(s, payload);
    case PING:
        return on_ping(s, payload);
    default: // GOAWAY: what is open goes on; others: to be ignored
        return true;
    }
}

// A piece of a data frame.
static void on_frame_data(SpdySession *s, Str data) {
    s->received += data.len;
    if (s->received >= UPDATE_AT) {
        spdy_send_two(s, WINDOW_UPDATE, 0, (uint32_t)s->received);
        s->received = 0;
    }
    SpdyStream *x = find(s, s->data_id);
    if (!x)
        return; // it was reset meanwhile
    if (x->abandoned)
        spdy_stream_give_back(x, data.len);
    else if (!x->fin_received && inbox_put(&x->inbox, data) && s->stream && inbox_held(&x->inbox))
        spdy_balance(s);
}

static void end_frame(SpdySession *s) {
    SpdyStream *x = s->data_fin ? find(s, s->data_id) : NULL;
    if (x)
        receive_fin(x);
}

static bool begin_data(SpdySession *s, const char *head) {
    s->data_id = get_u32(head);
    s->data_left = get_u32(head + 4) & 0xffffff;
    s->data_fin = (unsigned char)head[4] & FLAG_FIN;
    if (s->data_left == 0 && !s->data_fin && !spend(s))
        return false;
    if (s->data_left == 0)
        end_frame(s);
    return true;
}

// Moves bytes from `*data` to the frame's head until it holds `len`.
static bool gather(SpdySession *s, Str *data, size_t len) {
    size_t missing = len - s->head.len, n = data->len < missing ? data->len : missing;
    buf_append(&s->head, data->ptr, n);
    *data = str_slice(*data, n, data->len);
    return s->head.len == len;
}

static bool read_frames(SpdySession *s, Str data) {
    while (data.len && !s->closed) {
        if (s->data_left) {
            Str piece = str_slice(data, 0, data.len < s->data_left ? data.len : s->data_left);
            data = str_slice(data, piece.len, data.len);
            s->data_left -= piece.len;
            on_frame_data(s, piece);
            if (!s->closed && s->data_left == 0)
                end_frame(s);
            continue;
        }
        if (s->head.len < 8 && !gather(s, &data, 8))
            break;
        bool control = (unsigned char)s->head.data[0] & 0x80, good;
        size_t len = get_u32(s->head.data + 4) & 0xffffff;
        if (control && (len > MAX_CONTROL || !gather(s, &data, 8 + len))) {
            if (len > MAX_CONTROL)
                return false;
            break;
        }
        Buf frame = s->head; // the user may abort the session from inside
        s->head = BUF_INIT(8 + MAX_CONTROL);
        good = control ? on_control(s, frame.data, str_of(frame.data + 8, len))
                       : begin_data(s, frame.data);
        buf_deinit(&frame);
        if (!good)
            return false;
    }
    return true;
}

// ---- the connection ----

static void on_data(void *user, Str data) {
    SpdySession *s = user;
    s->busy++;
    if (!read_frames(s, data) && !s->closed) {
        spdy_send_two(s, GOAWAY, s->last_peer_id, PROTOCOL_ERROR);
        lose_later(s, -EPROTO);
    }
    if (--s->busy == 0 && s->dead)
        session_free(s);
}

static void on_end(void *user) {
    SpdySession *s = user;
    lose_later(s, s->n_streams == 0 || s->going_away ? 0 : -ECONNRESET);
}

static void on_drain(void *user) {
    SpdySession *s = user;
    loop_post(s->timer.loop, &s->pump_task);
}

static void on_close(void *user, int error) {
    SpdySession *s = user;
    s->stream = NULL;
    lose_later(s, s->going_away ? 0 : error ? error : -ECONNRESET);
}

static const StreamEvents stream_events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_drain = on_drain,
    .on_close = on_close,
};

static void on_timeout(void *user) {
    lose_later(user, 0);
} // it had its time to say goodbye

SpdySession *spdy_session_new(Stream *stream, bool server, const SpdyEvents *events, void *user) {
    SpdySession *s = memory_new(SpdySession);
    *s = (SpdySession){
        .stream = stream,
        .events = events,
        .user = user,
        .server = server,
        .next_id = server ? 2 : 1,
        .send_window = WINDOW,
        .initial_send_window = WINDOW,
        .head = BUF_INIT(8 + MAX_CONTROL),
        .budget = CONTROL_BURST,
        .budgeted_at = loop_now(stream->loop),
        .pump_task = {.fn = on_pump, .user = s},
        .close_task = {.fn = on_close_task, .user = s},
    };
    list_init(&s->streams);
    list_init(&s->unreported);
    loop_timer_init(&s->timer, stream->loop, on_timeout, s);
    if (spdy_header_init(&s->codec) < 0)
        abort();
    if (!server)
        send_settings(s);
    stream_start(stream, &stream_events, s);
    return s;
}

Stream *spdy_open(SpdySession *s, const HttpHeader *headers, size_t n) {
    SpdyStream *x = spdy_stream_new(s, s->next_id);
    s->next_id += 2;
    unsigned char front[10] = {0};
    spdy_put_u32(front, x->id);
    _buf_deinit_ Buf payload = BUF_INIT(MAX_CONTROL);
    buf_append(&payload, front, sizeof front);
    spdy_header_encode(&s->codec, headers, n, &payload);
    spdy_send_control(s, SYN_STREAM, 0, buf_view(&payload));
    return &x->base;
}

void spdy_session_close(SpdySession *s) {
    if (s->going_away || s->closed)
        return;
    s->going_away = true;
    SpdyStream *x;
    list_for_each(x, &s->streams, link) stream_end(&x->base);
    loop_timer_start(&s->timer, CLOSE_TIMEOUT);
    loop_post(s->timer.loop, &s->pump_task);
}

void spdy_session_abort(SpdySession *s) {
    session_free(s);
}
