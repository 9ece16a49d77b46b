// The client's side of HTTP/1.1: one call at a time.

#include <errno.h>
#include <stdlib.h>

#include "http/connection.h"
#include "http/h1_parse.h"
#include "http/prefix_stream.h"
#include "http/transport.h"

#define IDLE_TIMEOUT (90 * NSEC_PER_SEC)

typedef struct H1Transport {
    Transport base;
    Stream *stream;
    Str authority;
    H1Parser parser;
    NetCall *call;
    Buf input; // arrived while the call was paused
    LoopTimer idle;
    LoopTask task; // goes on with `input`
    H1Head head;   // of the answer being read
    bool keep_alive, answered, peer_ended;
    bool parsing; // the parser is on the call stack: freeing has to wait
    bool dead;
} H1Transport;

static void release(H1Transport *t) {
    h1_parser_deinit(&t->parser);
    buf_deinit(&t->input);
    free(t);
}

// Leaves the pool and closes. The call, if any, is the caller's.
static void destroy(H1Transport *t) {
    if (t->dead)
        return;
    t->dead = true;
    t->call = NULL;
    loop_timer_stop(&t->idle);
    loop_task_cancel(t->idle.loop, &t->task);
    if (t->stream)
        stream_abort(t->stream);
    t->stream = NULL;
    t->base.usable = false;
    transport_deinit(&t->base);
    if (!t->parsing)
        release(t);
}

static void lost(H1Transport *t, int error) {
    NetCall *call = t->call;
    bool answered = t->answered, reused = t->base.served;
    destroy(t);
    if (!call)
        return;
    if (answered)
        net_call_done(call, error ? error : -ECONNRESET,
                      STR("the connection was lost in the middle of the answer"));
    else
        net_call_interrupted(call, false, reused, error);
}

// The answer is complete; `rest` bytes follow it that nobody asked for.
static void complete(H1Transport *t, size_t rest) {
    NetCall *call = t->call;
    t->call = NULL;
    if (!t->keep_alive || rest > 0 || t->peer_ended) {
        destroy(t);
    } else {
        t->base.served = t->base.usable = true;
        loop_timer_start(&t->idle, IDLE_TIMEOUT);
        transport_ready(&t->base);
    }
    net_call_done(call, 0, STR(""));
}

static void upgraded(H1Transport *t, Str rest) {
    NetCall *call = t->call;
    H1Head head = t->head;
    Stream *stream = prefix_stream_new(t->stream, rest, t->peer_ended);
    t->stream = NULL;
    destroy(t);
    net_call_upgraded(call, stream, head.headers, head.n_headers);
}

static bool on_head(void *user, const H1Head *head) {
    H1Transport *t = user;
    t->head = *head;
    if (head->status < 200)
        return true;
    t->answered = true;
    t->keep_alive = head->keep_alive;
    net_call_head(t->call, head->status, head->headers, head->n_headers);
    return !t->dead;
}

static void on_body(void *user, Str data) {
    H1Transport *t = user;
    if (!t->answered) // the body of a 101 that grants nothing
        return;
    net_call_data(t->call, data);
    if (t->dead || t->call->paused)
        h1_parser_pause(&t->parser);
}

static const H1Events parser_events = {.on_head = on_head, .on_body = on_body};

static void begin_answer(H1Transport *t) {
    bool head_only = str_eq(t->call->spec.method, STR("HEAD"));
    h1_parser_begin(&t->parser, t->call->arena, head_only);
}

// What one turn of the parser ended with. Returns true when there may be more to read in `rest`.
// False means that `t` must not be touched any more, or that nothing is left to do.
static bool handle_result(H1Transport *t, H1Result result, Str rest) {
    if (t->dead) {
        release(t);
        return false;
    }
    switch (result) {
    case H1_MORE:
        return false;
    case H1_PAUSED:
        return true;
    case H1_DONE:
        if (t->head.status == 101 && t->call->spec.upgrade && t->head.upgrade) {
            upgraded(t, rest);
            return false;
        }
        if (t->head.status < 200 && t->head.status != 101) {
            begin_answer(t);
            return true;
        }
        if (t->answered) {
            complete(t, rest.len);
            return false;
        }
        lost(t, -EPROTO);
        return false;
    default:
        lost(t, -EPROTO);
        return false;
    }
}

// Reads out of `data`; what has to wait stays in t->input.
static void read_answer(H1Transport *t, Str data) {
    size_t at = 0;
    while (at < data.len && !t->call->paused) {
        size_t used;
        t->parsing = true;
        H1Result result = h1_parser_read(&t->parser, str_slice(data, at, data.len), &used);
        t->parsing = false;
        at += used;
        if (!handle_result(t, result, str_slice(data, at, data.len)))
            return;
    }
    if (at < data.len)
        buf_append(&t->input, data.ptr + at, data.len - at);
}

static void read_end(H1Transport *t) {
    t->parsing = true;
    H1Result result = h1_parser_end(&t->parser);
    t->parsing = false;
    if (t->dead)
        release(t);
    else if (result == H1_DONE && t->answered)
        complete(t, 0);
    else
        lost(t, 0);
}

static void on_data(void *user, Str data) {
    H1Transport *t = user;
    if (!t->call) // an idle connection has nothing to say
        destroy(t);
    else if (t->call->paused || t->input.len)
        buf_str(&t->input, data);
    else
        read_answer(t, data);
}

static void on_end(void *user) {
    H1Transport *t = user;
    t->peer_ended = true;
    if (!t->call)
        destroy(t);
    else if (!t->call->paused && t->input.len == 0)
        read_end(t);
}

static void on_close(void *user, int error) {
    H1Transport *t = user;
    t->stream = NULL;
    lost(t, error);
}

static const StreamEvents stream_events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_close = on_close,
};

// Goes on after a pause: first with what was kept, then with the end of the connection.
static void on_task(void *user) {
    H1Transport *t = user;
    if (!t->call || t->call->paused)
        return;
    if (t->input.len) {
        _buf_deinit_ Buf input = t->input;
        t->input = BUF_INIT(SIZE_MAX / 2);
        if (t->peer_ended)
            loop_post(t->idle.loop, &t->task); // comes again for the end
        read_answer(t, buf_view(&input));
    } else if (t->peer_ended) {
        read_end(t);
    }
}

static void on_idle(void *user) {
    destroy(user);
}

// ---- the request ----

static bool has_header(const HttpCallSpec *spec, Str name) {
    for (size_t i = 0; i < spec->n_headers; i++)
        if (str_eq_nocase(spec->headers[i].name, name))
            return true;
    return false;
}

static void put_header(Buf *out, Str name, Str value) {
    buf_str(out, name);
    buf_str(out, STR(": "));
    buf_str(out, value);
    buf_str(out, STR("\r\n"));
}

static void op_start(Transport *base, NetCall *call) {
    H1Transport *t = (H1Transport *)base;
    const HttpCallSpec *spec = &call->spec;
    t->call = call;
    t->base.usable = false;
    t->answered = false;
    loop_timer_stop(&t->idle);
    _buf_deinit_ Buf out = BUF_INIT(SIZE_MAX / 2);
    buf_printf(&out, "%.*s %.*s HTTP/1.1\r\n", STR_ARG(spec->method), STR_ARG(spec->target));
    if (!has_header(spec, STR("Host")))
        put_header(&out, STR("Host"), t->authority);
    for (size_t i = 0; i < spec->n_headers; i++)
        put_header(&out, spec->headers[i].name,
                   http_header_value(call->arena, spec->headers[i].value));
    if (spec->upgrade && !has_header(spec, STR("Connection")))
        put_header(&out, STR("Connection"), STR("Upgrade"));
    bool may_have_body = !(str_eq(spec->method, STR("GET")) || str_eq(spec->method, STR("HEAD")));
    if (spec->body || may_have_body)
        buf_printf(&out, "Content-Length: %zu\r\n", spec->body ? spec->body->len : 0);
    buf_str(&out, STR("\r\n"));
    if (spec->body && spec->body->len <= 16 * 1024)
        buf_str(&out, bytes_str(spec->body));
    stream_write(t->stream, buf_view(&out));
    if (spec->body && spec->body->len > 16 * 1024)
        stream_write_bytes(t->stream, spec->body);
    begin_answer(t);
    if (call->paused)
        stream_pause(t->stream, true);
}

static void op_cancel(Transport *base, NetCall *call) {
    destroy((H1Transport *)base);
}

static void op_pause(Transport *base, NetCall *call, bool paused) {
    H1Transport *t = (H1Transport *)base;
    if (t->dead)
        return;
    stream_pause(t->stream, paused);
    if (!paused)
        loop_post(t->idle.loop, &t->task);
}

static void op_free(Transport *base) {
    destroy((H1Transport *)base);
}

static const TransportOps ops = {
    .start = op_start,
    .cancel = op_cancel,
    .pause = op_pause,
    .free = op_free,
};

Transport *transport_h1_new(NetClient *client, Stream *stream, Str authority) {
    H1Transport *t = calloc(1, sizeof *t);
    if (!t)
        abort();
    transport_init(&t->base, &ops, client);
    t->stream = stream;
    t->authority = authority;
    t->base.usable = true;
    t->input = BUF_INIT(SIZE_MAX / 2);
    h1_parser_init(&t->parser, true, &parser_events, t);
    loop_timer_init(&t->idle, stream->loop, on_idle, t);
    loop_timer_start(&t->idle, IDLE_TIMEOUT);
    t->task = (LoopTask){.fn = on_task, .user = t};
    stream_start(stream, &stream_events, t);
    return &t->base;
}
