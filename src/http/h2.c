// The server's side of HTTP/2 (RFC 9113). nghttp2 knows the frames; its callbacks only take notes,
// and handlers and on_close run after it has returned.

#include <assert.h>
#include <stdlib.h>

#include "http/connection.h"
#include "http/h1_parse.h" // the limits of a head
#include "http/h2_link.h"

typedef struct H2Connection H2Connection;

typedef struct H2Request {
    HttpRequest base;
    H2Connection *connection;
    ListLink link; // in `streams`
    ListLink todo; // in `ready` or `closed`
    int32_t id;
    HttpHeader *headers;
    size_t n_headers, headers_capacity, head_size;
    Str authority;
    Buf body;
    size_t held;
    StreamQueue queue; // of the answer
    LoopTimer timer;   // until the request is complete
    int refused;       // the server answers this itself
    int64_t body_begun;
    bool complete, dispatched;
    bool head_sent, no_body, ended, aborted;
    bool deferred; // the data provider waits for more
    bool end_sent; // the answer went out to its end
    bool gone;     // nghttp2 knows the stream no more
} H2Request;

struct H2Connection {
    HttpConnection base;
    H2Link link;
    List streams;
    List ready;  // requests to hand out
    List closed; // streams to end
    size_t n_streams;
    LoopTimer idle;
    bool flooded;
    bool terminating; // GOAWAY is on its way for want of work
    bool closing;     // the stream is: what still comes is dropped
};

static const HttpRequestOps request_ops;

// ---- what handlers call ----

static H2Request *of(HttpRequest *request) {
    return (H2Request *)request;
}

// Connection-specific fields have no place in HTTP/2 (RFC 9113 section 8.2.2).
static bool is_hop_by_hop(Str name) {
    return str_eq_nocase(name, STR("Connection")) || str_eq_nocase(name, STR("Keep-Alive")) ||
           str_eq_nocase(name, STR("Transfer-Encoding")) || str_eq_nocase(name, STR("Upgrade"));
}

static Str lowered(Arena *arena, Str s) {
    char *out = arena_alloc(arena, s.len + 1);
    for (size_t i = 0; i < s.len; i++)
        out[i] = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] + 32) : s.ptr[i];
    return str_of(out, s.len);
}

static nghttp2_nv field(Str name, Str value) {
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.ptr, (uint8_t *)(uintptr_t)value.ptr, name.len,
                        value.len, NGHTTP2_NV_FLAG_NONE};
}

static ssize_t provide(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t len,
                       uint32_t *flags, nghttp2_data_source *source, void *user) {
    H2Request *r = source->ptr;
    size_t n = h2_take(&r->queue, buffer, len);
    if (r->queue.len == 0 && r->ended)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (n == 0) {
        r->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)n;
}

static void op_head(HttpRequest *request, int status, const HttpHeader *headers, size_t n) {
    H2Request *r = of(request);
    if (r->gone || r->aborted)
        return;
    assert(!r->head_sent);
    r->head_sent = true;
    r->no_body =
        status == 204 || status == 304 || status < 200 || str_eq(request->method, STR("HEAD"));
    nghttp2_nv *fields = arena_array_of(request->arena, nghttp2_nv, n + 2);
    size_t count = 0;
    fields[count++] = field(STR(":status"), arena_printf(request->arena, "%d", status));
    for (size_t i = 0; i < n; i++)
        if (!is_hop_by_hop(headers[i].name))
            fields[count++] = field(lowered(request->arena, headers[i].name),
                                    http_header_value(request->arena, headers[i].value));
    fields[count++] = field(STR("date"), http_server_date(r->connection->base.server));
    nghttp2_data_provider provider = {.source.ptr = r, .read_callback = provide};
    if (nghttp2_submit_response(r->connection->link.session, r->id, fields, count,
                                r->no_body ? NULL : &provider) != 0)
        nghttp2_submit_rst_stream(r->connection->link.session, 0, r->id, NGHTTP2_INTERNAL_ERROR);
    h2_link_wake(&r->connection->link);
}

static void resume(H2Request *r) {
    if (r->deferred) {
        r->deferred = false;
        nghttp2_session_resume_data(r->connection->link.session, r->id);
    }
    h2_link_wake(&r->connection->link);
}

static void op_data(HttpRequest *request, Bytes *data) {
    H2Request *r = of(request);
    if (r->gone || r->aborted || r->no_body || data->len == 0)
        return;
    assert(r->head_sent && !r->ended);
    stream_queue_write_bytes(&r->queue, data);
    resume(r);
}

static size_t op_queued(const HttpRequest *request) {
    return ((const H2Request *)request)->queue.len;
}

static void op_end(HttpRequest *request) {
    H2Request *r = of(request);
    if (r->gone || r->aborted)
        return;
    assert(r->head_sent && !r->ended);
    r->ended = true;
    resume(r);
}

static void op_abort(HttpRequest *request) {
    H2Request *r = of(request);
    if (r->gone || r->aborted || r->ended)
        return;
    r->aborted = true;
    stream_queue_clear(&r->queue);
    nghttp2_submit_rst_stream(r->connection->link.session, 0, r->id, NGHTTP2_INTERNAL_ERROR);
    h2_link_wake(&r->connection->link);
}

static Stream *op_upgrade(HttpRequest *request, const HttpHeader *headers, size_t n) {
    return NULL;
}

static const HttpRequestOps request_ops = {
    .head = op_head,
    .data = op_data,
    .queued = op_queued,
    .end = op_end,
    .abort = op_abort,
    .upgrade = op_upgrade,
};

// ---- streams ----

static void on_request_timeout(void *user) {
    H2Request *r = user;
    nghttp2_submit_rst_stream(r->connection->link.session, 0, r->id, NGHTTP2_CANCEL);
    h2_link_wake(&r->connection->link);
}

static H2Request *request_new(H2Connection *c, int32_t id) {
    Arena *arena = arena_new();
    H2Request *r = arena_new_of(arena, H2Request);
    HttpServer *server = c->base.server;
    r->base = (HttpRequest){
        .arena = arena,
        .loop = server->loop,
        .version = 2,
        .peer = *c->base.peer,
        .ops = &request_ops,
    };
    r->connection = c;
    r->id = id;
    r->body = BUF_INIT(server->max_body);
    list_append(&c->streams, &r->link);
    c->n_streams++;
    loop_timer_stop(&c->idle);
    loop_timer_init(&r->timer, server->loop, on_request_timeout, r);
    loop_timer_start(&r->timer, HTTP_HEAD_TIMEOUT);
    return r;
}

static void request_free(H2Request *r) {
    H2Connection *c = r->connection;
    r->gone = true;
    list_remove(&r->link);
    list_remove(&r->todo);
    loop_timer_stop(&r->timer);
    c->n_streams--;
    if (r->dispatched && r->base.on_close)
        r->base.on_close(&r->base, r->end_sent);
    http_server_release(c->base.server, r->held);
    buf_deinit(&r->body);
    stream_queue_clear(&r->queue);
    arena_free(r->base.arena);
}

static void connection_free(H2Connection *c) {
    H2Request *r;
    loop_timer_stop(&c->idle);
    loop_task_cancel(c->base.server->loop, &c->link.task);
    while (!list_is_empty(&c->streams)) {
        r = container_of(list_first(&c->streams), H2Request, link);
        r->gone = true; // handlers may still call from on_close of others
        request_free(r);
    }
    h2_link_deinit(&c->link);
    if (c->link.stream)
        stream_abort(c->link.stream);
    http_connection_deinit(&c->base);
    free(c);
}

static void connection_abort(HttpConnection *connection) {
    connection_free((H2Connection *)connection);
}

static void connection_drain(HttpConnection *connection) {
    H2Connection *c = (H2Connection *)connection;
    nghttp2_submit_goaway(c->link.session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(c->link.session),
                          NGHTTP2_NO_ERROR, NULL, 0);
    h2_link_wake(&c->link);
}

static const HttpConnectionOps connection_ops = {
    .abort = connection_abort,
    .drain = connection_drain,
};

// ---- after nghttp2 returned ----

static void dispatch(H2Request *r) {
    HttpServer *server = r->connection->base.server;
    r->dispatched = true;
    switch (r->refused) {
    case 0:
        r->base.body = buf_view(&r->body);
        server->handler(server->user, &r->base);
        break;
    case 413:
        http_respond_status(&r->base, 413, STR("RequestEntityTooLarge"),
                            arena_printf(r->base.arena, "Request entity too large: limit is %zu",
                                         server->max_body));
        break;
    case 429:
        http_respond_status(&r->base, 429, STR("TooManyRequests"),
                            STR("too many request bodies in memory, please try again later"));
        break;
    default:
        http_respond_status(&r->base, r->refused, STR("BadRequest"),
                            str_from(http_reason(r->refused)));
    }
}

static void tell_drains(H2Connection *c) {
    H2Request *r;
    list_for_each(r, &c->streams, link) {
        if (stream_queue_has_drained(&r->queue) && !r->ended && !r->gone && r->base.on_drain)
            r->base.on_drain(&r->base);
    }
}

// Hands out requests, ends streams, ends the connection. The last thing an event does: false when
// the connection is gone.
static bool settle(H2Connection *c) {
    ListLink *link;
    if (c->flooded) {
        connection_free(c);
        return false;
    }
    while ((link = list_first(&c->closed)))
        request_free(container_of(link, H2Request, todo));
    while ((link = list_first(&c->ready))) {
        list_remove(link);
        dispatch(container_of(link, H2Request, todo));
    }
    if (c->closing)
        return true;
    if (h2_link_is_over(&c->link)) {
        c->closing = true;
        stream_close(c->link.stream);
        return true;
    }
    if (c->n_streams == 0 && !loop_timer_is_running(&c->idle))
        loop_timer_start(&c->idle, HTTP_IDLE_TIMEOUT);
    return true;
}

static void on_pumped(void *user) {
    H2Connection *c = user;
    tell_drains(c);
    settle(c);
}

// ---- nghttp2's callbacks: notes only ----

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    H2Connection *c = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    H2Request *r = request_new(c, frame->hd.stream_id);
    nghttp2_session_set_stream_user_data(session, r->id, r);
    return 0;
}

static void add_header(H2Request *r, Str name, Str value) {
    Arena *arena = r->base.arena;
    if (r->n_headers == r->headers_capacity) {
        size_t grown = r->headers_capacity ? r->headers_capacity * 2 : 16;
        r->headers = arena_grow(arena, r->headers, r->headers_capacity * sizeof(HttpHeader),
                                grown * sizeof(HttpHeader));
        r->headers_capacity = grown;
    }
    r->headers[r->n_headers++] = (HttpHeader){arena_str(arena, name), arena_str(arena, value)};
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name_at,
                     size_t name_len, const uint8_t *value_at, size_t value_len, uint8_t flags,
                     void *user) {
    H2Request *r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!r || r->complete || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0; // trailers: read and forgotten
    Str name = str_of(name_at, name_len), value = str_of(value_at, value_len);
    r->head_size += name_len + value_len + 32;
    if (r->head_size > HTTP_MAX_HEAD || r->n_headers >= HTTP_MAX_HEADERS) {
        r->refused = 431;
        return 0;
    }
    if (str_eq(name, STR(":method"))) {
        r->base.method = arena_str(r->base.arena, value);
    } else if (str_eq(name, STR(":path"))) {
        if (value.len > HTTP_MAX_TARGET)
            r->refused = 414;
        Str target = arena_str(r->base.arena, value);
        r->base.path = str_cut(&target, '?');
        r->base.query = target;
    } else if (str_eq(name, STR(":authority"))) {
        r->authority = arena_str(r->base.arena, value);
    } else if (name.len && name.ptr[0] != ':') {
        add_header(r, name, value);
    }
    return 0;
}

static void make_ready(H2Request *r) {
    if (r->complete)
        return;
    r->complete = true;
    loop_timer_stop(&r->timer);
    list_append(&r->connection->ready, &r->todo);
}

static void head_done(H2Request *r) {
    r->base.headers = r->headers;
    r->base.n_headers = r->n_headers;
    if (r->authority.ptr && !http_header(&r->base, STR("Host")).ptr) {
        add_header(r, STR("host"), r->authority);
        r->base.headers = r->headers;
        r->base.n_headers = r->n_headers;
    }
    if (!r->base.path.ptr) // CONNECT
        r->refused = 400;
    uint64_t length;
    Str given = http_header(&r->base, STR("Content-Length"));
    if (given.ptr && str_to_u64(given, &length) == 0 &&
        length > r->connection->base.server->max_body)
        r->refused = 413;
    if (r->refused)
        make_ready(r);
    else
        loop_timer_start(&r->timer, HTTP_BODY_TIMEOUT);
    r->body_begun = loop_now(r->base.loop);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    H2Connection *c = user;
    if (h2_link_flooded(&c->link, frame)) {
        c->flooded = true;
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    H2Request *r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!r)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        head_done(r);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        make_ready(r);
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *user) {
    H2Connection *c = user;
    if (h2_link_spend(&c->link))
        return 0;
    c->flooded = true;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *user) {
    H2Connection *c = user;
    H2Request *r = nghttp2_session_get_stream_user_data(session, id);
    if (!r || r->complete)
        return 0;
    loop_timer_start(&r->timer, http_body_patience(r->base.loop, r->body_begun));
    if (!http_server_hold(c->base.server, len)) {
        r->refused = 429;
    } else {
        r->held += len;
        buf_append(&r->body, data, len);
        if (r->body.failed)
            r->refused = 413;
    }
    if (r->refused) {
        buf_deinit(&r->body);
        make_ready(r);
    }
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
        !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    H2Request *r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!r)
        return 0;
    r->end_sent = true;
    if (r->refused) // the client may still be sending; it need not
        nghttp2_submit_rst_stream(session, 0, r->id, NGHTTP2_NO_ERROR);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user) {
    H2Connection *c = user;
    H2Request *r = nghttp2_session_get_stream_user_data(session, id);
    if (!r)
        return 0;
    r->gone = true;
    list_remove(&r->todo); // a request that was cancelled before it was handed out
    list_append(&c->closed, &r->todo);
    if (!c->link.busy)
        h2_link_wake(&c->link);
    return 0;
}

static nghttp2_session *session_new(H2Connection *c) {
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        abort();
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_option *option = h2_options();
    nghttp2_session *session;
    if (nghttp2_session_server_new2(&session, callbacks, c, option) != 0)
        abort();
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

// ---- the connection ----

static void receive(H2Connection *c, Str data) {
    if (c->closing)
        return;
    if (!h2_link_receive(&c->link, data) && !c->flooded) {
        // Not HTTP/2, or a violation that nghttp2 answers with GOAWAY on its way out.
        connection_free(c);
        return;
    }
    if (settle(c))
        h2_link_wake(&c->link);
}

static void on_data(void *user, Str data) {
    receive(user, data);
}

static void on_end(void *user) {
    connection_free(user);
} // nobody reads the answers any more

static void on_drain(void *user) {
    H2Connection *c = user;
    h2_link_wake(&c->link);
}

static void on_close(void *user, int error) {
    H2Connection *c = user;
    c->link.stream = NULL;
    connection_free(c);
}

static const StreamEvents stream_events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_drain = on_drain,
    .on_close = on_close,
};

static void on_idle(void *user) {
    H2Connection *c = user;
    if (c->terminating) {
        connection_free(c);
        return;
    }
    c->terminating = true;
    nghttp2_session_terminate_session(c->link.session, NGHTTP2_NO_ERROR);
    loop_timer_start(&c->idle, HTTP_HEAD_TIMEOUT); // for the GOAWAY to go out
    h2_link_wake(&c->link);
}

void http_h2_serve(HttpServer *server, Stream *stream, HttpPeer *peer, Str first) {
    H2Connection *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    http_connection_init(&c->base, &connection_ops, server, peer);
    list_init(&c->streams);
    list_init(&c->ready);
    list_init(&c->closed);
    loop_timer_init(&c->idle, server->loop, on_idle, c);
    loop_timer_start(&c->idle, HTTP_HEAD_TIMEOUT);
    h2_link_init(&c->link, session_new(c), stream, on_pumped, c);
    h2_link_begin(&c->link, true);
    stream_start(stream, &stream_events, c);
    if (first.len)
        receive(c, first);
}
