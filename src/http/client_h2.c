// The client's side of HTTP/2: all calls of a client on one connection.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/connection.h"
#include "http/h2_link.h"
#include "http/transport.h"

#define IDLE_TIMEOUT (90 * NSEC_PER_SEC)
#define MAX_ANSWER_HEAD (1024 * 1024)

typedef struct H2Transport H2Transport;

typedef struct Exchange {
    H2Transport *transport;
    NetCall *call; // NULL once cancelled
    ListLink link;
    int32_t id;
    size_t body_at; // of the request, sent so far
    int status;
    HttpHeader *headers; // in the call's arena
    size_t n_headers, headers_capacity, head_size;
    StreamQueue held; // data that came while the call was paused
    bool answered, ended;
    uint32_t error; // once `ended`
} Exchange;

struct H2Transport {
    Transport base;
    H2Link link;
    Str authority;
    bool tls;
    List exchanges;
    size_t n_exchanges;
    LoopTimer idle;
    LoopTask resume; // delivers what was held
    bool dead;       // freed once nghttp2 is off the stack
};

static void exchange_free(Exchange *x) {
    list_remove(&x->link);
    x->transport->n_exchanges--;
    stream_queue_clear(&x->held);
    free(x);
}

static void release(H2Transport *t) {
    h2_link_deinit(&t->link);
    free(t);
}

// Leaves the pool and closes. Calls that are still open must have been taken off.
static void destroy(H2Transport *t) {
    if (t->dead)
        return;
    t->dead = true;
    t->base.usable = false;
    loop_timer_stop(&t->idle);
    loop_task_cancel(t->idle.loop, &t->resume);
    loop_task_cancel(t->idle.loop, &t->link.task);
    Exchange *x;
    list_for_each(x, &t->exchanges, link) exchange_free(x);
    if (t->link.stream)
        stream_abort(t->link.stream);
    t->link.stream = NULL;
    transport_deinit(&t->base);
    if (!t->link.busy)
        release(t);
}

// The connection is lost: every call hears of it. The user may free the client from inside.
static void lost(H2Transport *t, int error) {
    List calls;
    list_init(&calls);
    bool served = t->base.served;
    Exchange *x;
    list_for_each(x, &t->exchanges, link) {
        if (x->call) {
            x->call->exchange = NULL;
            x->call->transport = NULL;
            list_append(&calls, &x->call->waiting); // not used while a call has a connection
            x->call->head_seen = x->call->head_seen || x->answered;
        }
    }
    destroy(t);
    while (!list_is_empty(&calls)) {
        NetCall *call = container_of(list_first(&calls), NetCall, waiting);
        list_remove(&call->waiting);
        if (call->head_seen)
            net_call_done(call, error ? error : -ECONNRESET,
                          STR("the connection was lost in the middle of the answer"));
        else
            net_call_interrupted(call, false, served, error);
    }
}

static void update_usable(H2Transport *t) {
    uint32_t max = nghttp2_session_get_remote_settings(t->link.session,
                                                       NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    t->base.usable = !t->dead && nghttp2_session_check_request_allowed(t->link.session) &&
                     t->n_exchanges < (max < 1000 ? max : 1000);
}

// ---- ends of answers ----

static void finish(Exchange *x) {
    H2Transport *t = x->transport;
    NetCall *call = x->call;
    bool answered = x->answered;
    uint32_t error = x->error;
    exchange_free(x);
    bool was_usable = t->base.usable;
    t->base.served = true;
    update_usable(t);
    if (t->n_exchanges == 0)
        loop_timer_start(&t->idle, IDLE_TIMEOUT);
    if (t->base.usable && !was_usable)
        transport_ready(&t->base);
    if (!call)
        return;
    call->exchange = NULL;
    call->transport = NULL;
    char message[64];
    snprintf(message, sizeof message, "the server reset the stream (%s)",
             nghttp2_http2_strerror(error));
    if (error == NGHTTP2_NO_ERROR && answered)
        net_call_done(call, 0, STR(""));
    else if (!answered && error == NGHTTP2_REFUSED_STREAM)
        net_call_interrupted(call, true, false, -ECONNRESET);
    else
        net_call_done(call, -ECONNRESET, str_from(message));
}

static void deliver_held(Exchange *x) {
    H2Transport *t = x->transport;
    while (x->call && !x->call->paused && x->held.len) {
        Str data;
        Bytes *bytes = stream_queue_take(&x->held, &data);
        size_t len = data.len;
        if (!x->ended)
            nghttp2_session_consume_stream(t->link.session, x->id, len);
        net_call_data(x->call, data);
        bytes_unref(bytes);
        if (t->dead)
            return;
    }
}

// Goes on with calls that are no longer paused. One at a time, since the user may do anything
// meanwhile.
static void on_resume(void *user) {
    H2Transport *t = user;
    t->link.busy = true; // holds the memory
    for (bool again = true; again && !t->dead;) {
        again = false;
        Exchange *x;
        list_for_each(x, &t->exchanges, link) {
            if (!x->call || x->call->paused || (!x->held.len && !x->ended))
                continue;
            deliver_held(x);
            if (!t->dead && x->ended && !x->held.len)
                finish(x);
            again = true;
            break;
        }
    }
    t->link.busy = false;
    if (t->dead)
        release(t);
    else
        h2_link_wake(&t->link);
}

// ---- nghttp2's callbacks. After each call of the user's the connection may be dead. ----

static int verdict(const H2Transport *t) {
    return t->dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static Exchange *exchange_of(nghttp2_session *session, int32_t id) {
    return nghttp2_session_get_stream_user_data(session, id);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    Exchange *x = exchange_of(session, frame->hd.stream_id);
    if (x) // an interim answer came before, or the head of which these are the trailers
        x->n_headers = x->head_size = 0;
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user) {
    Exchange *x = exchange_of(session, frame->hd.stream_id);
    if (!x || !x->call)
        return 0;
    Str key = str_of(name, name_len), text = str_of(value, value_len);
    x->head_size += name_len + value_len + 32;
    if (x->head_size > MAX_ANSWER_HEAD)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (!x->answered && str_eq(key, STR(":status"))) {
        uint64_t status;
        x->status = str_to_u64(text, &status) == 0 && status < 1000 ? (int)status : 0;
        return 0;
    }
    Arena *arena = x->call->arena;
    if (x->n_headers == x->headers_capacity) {
        size_t grown = x->headers_capacity ? x->headers_capacity * 2 : 16;
        x->headers = arena_grow(arena, x->headers, x->headers_capacity * sizeof(HttpHeader),
                                grown * sizeof(HttpHeader));
        x->headers_capacity = grown;
    }
    x->headers[x->n_headers++] = (HttpHeader){arena_str(arena, key), arena_str(arena, text)};
    return 0;
}

static void answer_head(Exchange *x) {
    x->answered = true;
    net_call_head(x->call, x->status, x->headers, x->n_headers);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    H2Transport *t = user;
    if (h2_link_flooded(&t->link, frame))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (frame->hd.type == NGHTTP2_GOAWAY || frame->hd.type == NGHTTP2_SETTINGS) {
        bool was_usable = t->base.usable;
        update_usable(t);
        if (t->base.usable && !was_usable)
            transport_ready(&t->base);
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    Exchange *x = exchange_of(session, frame->hd.stream_id);
    if (!x || !x->call || x->status < 200)
        return 0;
    if (x->answered)
        net_call_trailers(x->call, x->headers, x->n_headers);
    else
        answer_head(x);
    return verdict(t);
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *user) {
    H2Transport *t = user;
    nghttp2_session_consume_connection(session, len);
    Exchange *x = exchange_of(session, id);
    if (!x || !x->call)
        return 0;
    if (x->call->paused || x->held.len) {
        stream_queue_write(&x->held, str_of(data, len)); // at most the stream's window
        return 0;
    }
    nghttp2_session_consume_stream(session, id, len);
    net_call_data(x->call, str_of(data, len));
    return verdict(t);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user) {
    H2Transport *t = user;
    Exchange *x = exchange_of(session, id);
    if (!x)
        return 0;
    x->ended = true;
    x->error = error;
    if (x->call && (x->call->paused || x->held.len))
        return 0; // the rest first
    finish(x);
    return verdict(t);
}

static nghttp2_session *session_new(H2Transport *t) {
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        abort();
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_option *option = h2_options();
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session *session;
    if (nghttp2_session_client_new2(&session, callbacks, t, option) != 0)
        abort();
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

// ---- requests ----

static ssize_t provide(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t len,
                       uint32_t *flags, nghttp2_data_source *source, void *user) {
    Exchange *x = source->ptr;
    if (!x->call) {
        *flags |= NGHTTP2_DATA_FLAG_EOF; // cancelled: RST_STREAM is on its way
        return 0;
    }
    Str body = bytes_str(x->call->spec.body);
    size_t n = body.len - x->body_at < len ? body.len - x->body_at : len;
    memcpy(buffer, body.ptr + x->body_at, n);
    x->body_at += n;
    if (x->body_at == body.len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static nghttp2_nv field(Str name, Str value) {
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.ptr,
                        (uint8_t *)(uintptr_t)(value.ptr ? value.ptr : ""), name.len, value.len,
                        NGHTTP2_NV_FLAG_NONE};
}

static bool is_left_out(Str name) {
    static const Str names[] = {
        {"connection", 10}, {"host", 4}, {"upgrade", 7}, {"transfer-encoding", 17}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_eq_nocase(name, names[i]))
            return true;
    return false;
}

static Str lowered(Arena *arena, Str s) {
    char *out = arena_alloc(arena, s.len + 1);
    for (size_t i = 0; i < s.len; i++)
        out[i] = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] + 32) : s.ptr[i];
    return str_of(out, s.len);
}

static size_t make_fields(const H2Transport *t, const NetCall *call, nghttp2_nv **ret) {
    const HttpCallSpec *spec = &call->spec;
    nghttp2_nv *fields = arena_array_of(call->arena, nghttp2_nv, spec->n_headers + 5);
    Str authority = t->authority;
    size_t n = 4;
    for (size_t i = 0; i < spec->n_headers; i++) {
        if (str_eq_nocase(spec->headers[i].name, STR("Host")))
            authority = spec->headers[i].value;
        if (!is_left_out(spec->headers[i].name))
            fields[n++] = field(lowered(call->arena, spec->headers[i].name),
                                http_header_value(call->arena, spec->headers[i].value));
    }
    fields[0] = field(STR(":method"), spec->method);
    fields[1] = field(STR(":scheme"), t->tls ? STR("https") : STR("http"));
    fields[2] = field(STR(":authority"), authority);
    fields[3] = field(STR(":path"), spec->target);
    if (spec->body)
        fields[n++] =
            field(STR("content-length"), arena_printf(call->arena, "%zu", spec->body->len));
    *ret = fields;
    return n;
}

static void op_start(Transport *base, NetCall *call) {
    H2Transport *t = (H2Transport *)base;
    Exchange *x = calloc(1, sizeof *x);
    if (!x)
        abort();
    x->transport = t;
    x->call = call;
    call->exchange = x;
    list_append(&t->exchanges, &x->link);
    t->n_exchanges++;
    loop_timer_stop(&t->idle);
    nghttp2_nv *fields;
    size_t n = make_fields(t, call, &fields);
    bool has_body = call->spec.body && call->spec.body->len;
    nghttp2_data_provider provider = {.source.ptr = x, .read_callback = provide};
    x->id =
        nghttp2_submit_request(t->link.session, NULL, fields, n, has_body ? &provider : NULL, x);
    if (x->id < 0) { // no stream ids left: told later
        x->ended = true;
        x->error = NGHTTP2_REFUSED_STREAM;
        loop_post(t->idle.loop, &t->resume);
    }
    update_usable(t);
    h2_link_wake(&t->link);
}

static void op_cancel(Transport *base, NetCall *call) {
    H2Transport *t = (H2Transport *)base;
    Exchange *x = call->exchange;
    if (!x || t->dead)
        return;
    x->call = NULL;
    call->exchange = NULL;
    if (x->ended) {
        exchange_free(x);
        return;
    }
    nghttp2_submit_rst_stream(t->link.session, NGHTTP2_FLAG_NONE, x->id, NGHTTP2_CANCEL);
    h2_link_wake(&t->link);
}

static void op_pause(Transport *base, NetCall *call, bool paused) {
    H2Transport *t = (H2Transport *)base;
    if (!paused && !t->dead)
        loop_post(t->idle.loop, &t->resume);
}

static void op_free(Transport *base) {
    destroy((H2Transport *)base);
}

static const TransportOps ops = {
    .start = op_start,
    .cancel = op_cancel,
    .pause = op_pause,
    .free = op_free,
};

// ---- the connection ----

static void on_pumped(void *user) {
    H2Transport *t = user;
    if (t->dead)
        release(t);
    else if (h2_link_is_over(&t->link))
        lost(t, 0);
}

static void on_data(void *user, Str data) {
    H2Transport *t = user;
    bool good = h2_link_receive(&t->link, data);
    if (t->dead)
        release(t);
    else if (!good)
        lost(t, -EPROTO);
    else
        h2_link_wake(&t->link);
}

static void on_end(void *user) {
    lost(user, 0);
}

static void on_drain(void *user) {
    H2Transport *t = user;
    h2_link_wake(&t->link);
}

static void on_close(void *user, int error) {
    H2Transport *t = user;
    t->link.stream = NULL;
    lost(t, error);
}

static const StreamEvents stream_events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_drain = on_drain,
    .on_close = on_close,
};

static void on_idle(void *user) {
    destroy(user);
}

Transport *transport_h2_new(NetClient *client, Stream *stream, Str authority, bool tls) {
    H2Transport *t = calloc(1, sizeof *t);
    if (!t)
        abort();
    transport_init(&t->base, &ops, client);
    t->base.multiplexed = true;
    t->base.usable = true;
    t->authority = authority;
    t->tls = tls;
    list_init(&t->exchanges);
    loop_timer_init(&t->idle, stream->loop, on_idle, t);
    loop_timer_start(&t->idle, IDLE_TIMEOUT);
    t->resume = (LoopTask){.fn = on_resume, .user = t};
    h2_link_init(&t->link, session_new(t), stream, on_pumped, t);
    h2_link_begin(&t->link, false);
    stream_start(stream, &stream_events, t);
    return &t->base;
}
