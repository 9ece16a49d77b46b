// The server's side of HTTP/1.1 (RFC 9112). One request at a time; what a client sends ahead waits,
// unparsed, and answers go out in order by construction.

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "http/connection.h"
#include "http/h1_parse.h"
#include "http/prefix_stream.h"

#define MAX_AHEAD (64 * 1024) // pipelined bytes kept while a request is being answered
#define COALESCE (16 * 1024)  // smaller pieces of an answer are gathered and sent together
#define LINGER (2 * NSEC_PER_SEC)
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

typedef struct H1Connection H1Connection;

typedef struct H1Request {
    HttpRequest base;
    H1Connection *connection;
    Buf body;
    size_t held; // what the server accounts for this body
    int minor;
    bool chunked;    // the answer is sent in chunks
    bool no_body;    // the answer has none: HEAD, 204, 304
    bool keep_alive; // the connection survives this exchange
    bool head_sent, ended, aborted, upgraded;
    bool choked; // the queue was above the low water mark
    int refused; // the server answers this itself
    int64_t body_begun;
} H1Request;

typedef enum H1State {
    H1_READING,  // waits for a request or reads one
    H1_SERVING,  // the handler has one
    H1_LINGERING // the last answer is out; the client's bytes are read and dropped
} H1State;

struct H1Connection {
    HttpConnection base;
    Stream *stream; // NULL once handed on
    H1State state;
    H1Parser parser;
    Buf input;  // not parsed yet
    Buf output; // not given to the stream yet
    H1Request *request;
    LoopTimer timer;
    LoopTask task;   // flushes the output, finishes an exchange
    bool fresh;      // nothing was parsed: may turn out to be HTTP/2
    bool in_handler; // the handler is on the call stack
    bool peer_ended, paused;
    bool blocked;       // the client does not read: no further request is begun
    size_t idle_queued; // what was queued when the idle timer was started
};

static void progress(H1Connection *c);
static const HttpRequestOps request_ops;

// ---- output ----

static void flush(H1Connection *c) {
    if (c->output.len == 0 || !c->stream)
        return;
    stream_write(c->stream, buf_view(&c->output));
    buf_deinit(&c->output);
    c->output = BUF_INIT(SIZE_MAX / 2);
}

static void write_header(H1Request *r, HttpHeader header) {
    Buf *out = &r->connection->output;
    buf_str(out, header.name);
    buf_append(out, ": ", 2);
    buf_str(out, http_header_value(r->base.arena, header.value));
    buf_append(out, "\r\n", 2);
}

static void send_head(H1Request *r, int status, const HttpHeader *headers, size_t n) {
    H1Connection *c = r->connection;
    Buf *out = &c->output;
    bool has_length = false;
    buf_printf(out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
    for (size_t i = 0; i < n; i++) {
        Str name = headers[i].name;
        if (str_eq_nocase(name, STR("Content-Length")))
            has_length = true;
        if (str_eq_nocase(name, STR("Connection"))) {
            if (str_eq_nocase(headers[i].value, STR("close")))
                r->keep_alive = false;
            continue;
        }
        if (str_eq_nocase(name, STR("Transfer-Encoding")))
            continue;
        write_header(r, headers[i]);
    }
    write_header(r, (HttpHeader){STR("Date"), http_server_date(c->base.server)});
    bool bodyless = status == 204 || status == 304 || status < 200;
    r->no_body = bodyless || str_eq(r->base.method, STR("HEAD"));
    if (!has_length && !bodyless) {
        r->chunked = r->minor >= 1;
        if (r->chunked)
            buf_str(out, STR("Transfer-Encoding: chunked\r\n"));
        else
            r->keep_alive = false; // the end of the connection ends the body
    }
    if (status == 101)
        buf_str(out, STR("Connection: Upgrade\r\n"));
    else if (!r->keep_alive)
        buf_str(out, STR("Connection: close\r\n"));
    else if (r->minor == 0)
        buf_str(out, STR("Connection: keep-alive\r\n"));
    buf_str(out, STR("\r\n"));
    r->head_sent = true;
}

static void op_head(HttpRequest *request, int status, const HttpHeader *headers, size_t n) {
    H1Request *r = (H1Request *)request;
    if (r->aborted)
        return;
    assert(!r->head_sent);
    send_head(r, status, headers, n);
    loop_post(request->loop, &r->connection->task);
}

static size_t op_queued(const HttpRequest *request) {
    const H1Request *r = (const H1Request *)request;
    const H1Connection *c = r->connection;
    return c->stream && !r->aborted ? c->output.len + stream_queued(c->stream) : 0;
}

static void op_data(HttpRequest *request, Bytes *data) {
    H1Request *r = (H1Request *)request;
    H1Connection *c = r->connection;
    if (r->aborted || r->no_body || data->len == 0)
        return;
    assert(r->head_sent && !r->ended);
    if (r->chunked)
        buf_printf(&c->output, "%zx\r\n", data->len);
    if (data->len < COALESCE) {
        buf_str(&c->output, bytes_str(data));
    } else {
        flush(c);
        stream_write_bytes(c->stream, data);
    }
    if (r->chunked)
        buf_str(&c->output, STR("\r\n"));
    if (c->output.len >= COALESCE)
        flush(c);
    if (op_queued(request) >= STREAM_LOW_WATER)
        r->choked = true;
    loop_post(request->loop, &c->task);
}

static void op_end(HttpRequest *request) {
    H1Request *r = (H1Request *)request;
    if (r->aborted)
        return;
    assert(r->head_sent && !r->ended);
    r->ended = true;
    if (r->chunked && !r->no_body)
        buf_str(&r->connection->output, STR("0\r\n\r\n"));
    if (!r->connection->in_handler)
        loop_post(request->loop, &r->connection->task);
}

static void op_abort(HttpRequest *request) {
    H1Request *r = (H1Request *)request;
    H1Connection *c = r->connection;
    if (r->aborted || r->ended)
        return;
    r->aborted = true;
    if (!c->in_handler)
        loop_post(request->loop, &c->task);
}

static Stream *op_upgrade(HttpRequest *request, const HttpHeader *headers, size_t n) {
    H1Request *r = (H1Request *)request;
    H1Connection *c = r->connection;
    if (r->head_sent || r->aborted || r->minor < 1)
        return NULL;
    send_head(r, 101, headers, n);
    flush(c);
    Stream *stream = prefix_stream_new(c->stream, buf_view(&c->input), c->peer_ended);
    if (c->paused)
        stream_pause(stream, false);
    c->stream = NULL;
    r->upgraded = r->ended = true;
    if (!c->in_handler)
        loop_post(request->loop, &c->task);
    return stream;
}

static const HttpRequestOps request_ops = {
    .head = op_head,
    .data = op_data,
    .queued = op_queued,
    .end = op_end,
    .abort = op_abort,
    .upgrade = op_upgrade,
};

// ---- one exchange ----

static H1Request *request_new(H1Connection *c) {
    Arena *arena = arena_new();
    H1Request *r = arena_new_of(arena, H1Request);
    r->base.arena = arena;
    r->base.loop = c->base.server->loop;
    r->base.version = 1;
    r->base.peer = *c->base.peer;
    r->base.ops = &request_ops;
    r->connection = c;
    r->minor = 1;
    r->body = BUF_INIT(c->base.server->max_body);
    return r;
}

// The last that is done with a request.
static void request_free(H1Connection *c, bool completed) {
    H1Request *r = c->request;
    c->request = NULL;
    if (!r)
        return;
    if (r->base.on_close)
        r->base.on_close(&r->base, completed);
    http_server_release(c->base.server, r->held);
    buf_deinit(&r->body);
    arena_free(r->base.arena);
}

static void connection_free(H1Connection *c) {
    loop_timer_stop(&c->timer);
    loop_task_cancel(c->base.server->loop, &c->task);
    request_free(c, false);
    h1_parser_deinit(&c->parser);
    buf_deinit(&c->input);
    buf_deinit(&c->output);
    if (c->stream)
        stream_abort(c->stream);
    http_connection_deinit(&c->base);
    free(c);
}

static void connection_abort(HttpConnection *connection) {
    connection_free((H1Connection *)connection);
}

static void connection_drain(HttpConnection *connection) {
    H1Connection *c = (H1Connection *)connection;
    if (c->stream && c->state == H1_READING && !c->request)
        stream_close(c->stream);
}

static const HttpConnectionOps connection_ops = {
    .abort = connection_abort,
    .drain = connection_drain,
};

static bool on_head(void *user, const H1Head *head) {
    H1Connection *c = user;
    H1Request *r = c->request;
    HttpRequest *request = &r->base;
    Str target = head->target;
    request->method = head->method;
    request->path = str_cut(&target, '?');
    request->query = target;
    request->headers = head->headers;
    request->n_headers = head->n_headers;
    r->minor = head->minor;
    r->keep_alive = head->keep_alive;
    Str expect = http_header(request, STR("Expect"));
    if (head->content_length > (int64_t)c->base.server->max_body)
        r->refused = 413;
    else if (expect.ptr && !str_eq_nocase(expect, STR("100-continue")))
        r->refused = 417;
    else if (head->minor >= 1 && !http_header(request, STR("Host")).ptr)
        r->refused = 400;
    if (r->refused)
        return false;
    if (expect.ptr && (head->chunked || head->content_length > 0))
        stream_write(c->stream, STR("HTTP/1.1 100 Continue\r\n\r\n"));
    r->body_begun = loop_now(request->loop);
    loop_timer_start(&c->timer, HTTP_BODY_TIMEOUT);
    return true;
}

static void on_body(void *user, Str data) {
    H1Connection *c = user;
    H1Request *r = c->request;
    if (r->refused)
        return;
    if (!http_server_hold(c->base.server, data.len)) {
        r->refused = 429;
    } else {
        r->held += data.len;
        buf_str(&r->body, data);
        if (r->body.failed)
            r->refused = 413;
    }
    if (r->refused) {
        buf_deinit(&r->body);
        h1_parser_pause(&c->parser);
    }
}

static const H1Events parser_events = {.on_head = on_head, .on_body = on_body};

static void refuse(H1Connection *c, int status) {
    HttpRequest *request = &c->request->base;
    c->request->keep_alive = false;
    switch (status) {
    case 413:
        http_respond_status(request, 413, STR("RequestEntityTooLarge"),
                            arena_printf(request->arena, "Request entity too large: limit is %zu",
                                         c->base.server->max_body));
        break;
    case 429:
        http_respond_status(request, 429, STR("TooManyRequests"),
                            STR("too many request bodies in memory, please try again later"));
        break;
    default:
        http_respond_status(request, status, status == 400 ? STR("BadRequest") : STR(""),
                            str_from(http_reason(status)));
    }
}

static void serve(H1Connection *c) {
    H1Request *r = c->request;
    HttpServer *server = c->base.server;
    loop_timer_stop(&c->timer);
    c->state = H1_SERVING;
    c->in_handler = true;
    if (r->refused) {
        refuse(c, r->refused);
    } else {
        r->base.body = buf_view(&r->body);
        server->handler(server->user, &r->base);
    }
    c->in_handler = false;
}

// Says goodbye: what is queued goes out, then FIN; what the client still sends is read for a
// moment, because closing with unread bytes would reset the connection and could destroy the
// answer.
static void linger(H1Connection *c) {
    flush(c);
    c->state = H1_LINGERING;
    buf_deinit(&c->input);
    if (c->peer_ended) {
        stream_close(c->stream);
        return;
    }
    stream_end(c->stream);
    if (c->paused)
        stream_pause(c->stream, false);
    c->paused = false;
    c->idle_queued = stream_queued(c->stream) + 1;
    loop_timer_start(&c->timer, LINGER);
}

// Ends the exchange when the handler is done with it. Returns false when the connection is gone, is
// handed on or waits for the handler; true when the next request may be read.
static bool finish(H1Connection *c) {
    H1Request *r = c->request;
    if (r->aborted && !r->ended) {
        connection_free(c);
        return false;
    }
    if (!r->ended)
        return false;
    if (r->upgraded) {
        request_free(c, true);
        connection_free(c);
        return false;
    }
    flush(c);
    bool keep_alive = r->keep_alive && !c->base.server->stopping;
    request_free(c, true);
    if (!keep_alive) {
        linger(c);
        return false;
    }
    c->state = H1_READING;
    return true;
}

static void handle_result(H1Connection *c, H1Result result) {
    static const int statuses[] = {
        [H1_BAD] = 400, [H1_TOO_LONG_TARGET] = 414, [H1_TOO_LARGE_HEADERS] = 431};
    H1Request *r = c->request;
    if (result == H1_BAD || result == H1_TOO_LONG_TARGET || result == H1_TOO_LARGE_HEADERS)
        r->refused = statuses[result];
    if (r->refused || result == H1_DONE)
        serve(c);
}

static void arm_idle_timer(H1Connection *c) {
    c->idle_queued = stream_queued(c->stream);
    loop_timer_start(&c->timer, HTTP_IDLE_TIMEOUT);
}

// A client that sends requests and does not read answers must not fill the memory.
static bool block(H1Connection *c) {
    if (c->request || stream_queued(c->stream) < STREAM_HIGH_WATER)
        return false;
    c->blocked = true;
    if (!c->paused)
        stream_pause(c->stream, true);
    c->paused = true;
    arm_idle_timer(c);
    return true;
}

// Parses one request at most out of `data`; the rest is kept in `input`.
static void read_request(H1Connection *c, Str data) {
    size_t skipped = 0, used = 0;
    H1Result result = H1_MORE;
    if (!c->request)
        while (skipped < data.len && (data.ptr[skipped] == '\r' || data.ptr[skipped] == '\n'))
            skipped++; // RFC 9112 section 2.2
    if (skipped < data.len) {
        if (!c->request) {
            c->request = request_new(c);
            h1_parser_begin(&c->parser, c->request->base.arena, false);
            loop_timer_start(&c->timer, HTTP_HEAD_TIMEOUT);
        } else if (c->parser.head_done) {
            loop_timer_start(&c->timer,
                             http_body_patience(c->base.server->loop, c->request->body_begun));
        }
        result = h1_parser_read(&c->parser, str_slice(data, skipped, data.len), &used);
    }
    // Bytes behind a request belong to the next one, or, after an upgrade, to the new protocol:
    // they must be in `input` before the handler runs.
    size_t taken = skipped + used;
    if (c->input.len && data.ptr == c->input.data)
        buf_consume(&c->input, taken);
    else
        buf_append(&c->input, data.ptr + taken, data.len - taken);
    if (result != H1_MORE)
        handle_result(c, result);
}

// Goes on with what there is to parse until a handler has a request or the input is used up.
static void progress(H1Connection *c) {
    while (c->state == H1_READING && c->input.len > 0) {
        if (block(c))
            return;
        read_request(c, buf_view(&c->input));
        if (c->state == H1_SERVING && !finish(c))
            return;
    }
    if (c->state != H1_READING)
        return;
    buf_deinit(&c->input);
    c->input = BUF_INIT(SIZE_MAX / 2);
    if (c->paused) {
        c->paused = false;
        stream_pause(c->stream, false);
    }
    if (c->peer_ended) {
        linger(c);
        return;
    }
    if (!c->request)
        arm_idle_timer(c);
}

// True while the first bytes of a connection may be or are HTTP/2's preface.
static bool sniff(H1Connection *c) {
    size_t len = c->input.len < sizeof preface - 1 ? c->input.len : sizeof preface - 1;
    if (memcmp(c->input.data, preface, len) != 0) {
        c->fresh = false;
        return false;
    }
    if (len < sizeof preface - 1)
        return true;
    Stream *stream = c->stream;
    HttpServer *server = c->base.server;
    HttpPeer *peer = c->base.peer;
    _buf_deinit_ Buf first = c->input;
    c->stream = NULL;
    c->base.peer = NULL;
    c->input = (Buf){0};
    connection_free(c);
    http_h2_serve(server, stream, peer, buf_view(&first));
    return true;
}

static void on_data(void *user, Str data) {
    H1Connection *c = user;
    if (c->state == H1_LINGERING)
        return;
    if (c->fresh) {
        buf_str(&c->input, data);
        if (sniff(c))
            return;
        progress(c);
        return;
    }
    if (c->state == H1_READING && c->input.len == 0 && !block(c)) {
        read_request(c, data);
        if (c->state == H1_SERVING && !finish(c))
            return;
        progress(c);
        return;
    }
    buf_str(&c->input, data);
    if (c->input.len >= MAX_AHEAD && c->state == H1_SERVING && !c->paused) {
        c->paused = true;
        stream_pause(c->stream, true);
    }
}

static void on_end(void *user) {
    H1Connection *c = user;
    c->peer_ended = true;
    if (c->state == H1_SERVING) {
        // A client that closes while an answer is being streamed is gone (a watch that was
        // cancelled); one that still waits for the head may have closed one direction only.
        if (c->request->head_sent && !c->request->ended)
            connection_free(c);
        return;
    }
    loop_timer_stop(&c->timer);
    stream_close(c->stream);
}

static void on_drain(void *user) {
    H1Connection *c = user;
    H1Request *r = c->request;
    if (c->blocked) {
        c->blocked = false;
        progress(c);
        return;
    }
    if (!r || !r->choked || op_queued(&r->base) >= STREAM_LOW_WATER)
        return;
    r->choked = false;
    if (r->base.on_drain && !r->ended)
        r->base.on_drain(&r->base);
}

static void on_stream_close(void *user, int error) {
    H1Connection *c = user;
    c->stream = NULL;
    connection_free(c);
}

static const StreamEvents stream_events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_drain = on_drain,
    .on_close = on_stream_close,
};

static void on_task(void *user) {
    H1Connection *c = user;
    if (!c->stream) { // handed on
        finish(c);
        return;
    }
    flush(c);
    if (c->state == H1_SERVING && (c->request->ended || c->request->aborted) && finish(c))
        progress(c);
}

static void on_timer(void *user) {
    H1Connection *c = user;
    if (c->state == H1_LINGERING || !c->request) {
        size_t queued = stream_queued(c->stream);
        if (queued > 0 && queued < c->idle_queued)
            arm_idle_timer(c); // an answer is on its way, slowly
        else
            connection_free(c);
        return;
    }
    // A client that began a request and does not end it.
    if (c->state == H1_READING) {
        c->request->refused = 408;
        serve(c);
        finish(c);
    }
}

void http_h1_serve(HttpServer *server, Stream *stream, HttpPeer *peer) {
    H1Connection *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    http_connection_init(&c->base, &connection_ops, server, peer);
    c->stream = stream;
    c->fresh = true;
    c->input = c->output = BUF_INIT(SIZE_MAX / 2);
    h1_parser_init(&c->parser, false, &parser_events, c);
    loop_timer_init(&c->timer, server->loop, on_timer, c);
    loop_timer_start(&c->timer, HTTP_HEAD_TIMEOUT);
    c->task = (LoopTask){.fn = on_task, .user = c};
    stream_start(stream, &stream_events, c);
}
