#include "http/websocket.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <wslay/wslay.h>

#include "base/buf.h"
#include "base/memory.h"
#include "base/rand.h"

#define CONTROL_BURST 1000 // pings and the like
#define CONTROL_PER_SECOND 100
#define CLOSE_TIMEOUT (10 * NSEC_PER_SEC)

struct WebSocket {
    Stream *stream;
    const WebSocketEvents *events;
    void *user;
    wslay_event_context_ptr context;
    Str input; // what is being read
    Buf output;
    uint8_t opcode; // of the message being received
    bool in_message, last_frame, first_piece;
    uint64_t frame_left;
    LoopTimer timer; // for the peer's Close
    int64_t budget, budgeted_at;
    bool flooded, closing, shutting; // shutting: the stream is being closed
    int busy;
    bool dead;
};

static void destroy(WebSocket *w) {
    w->dead = true;
    loop_timer_stop(&w->timer);
    if (w->stream)
        stream_abort(w->stream);
    w->stream = NULL;
    if (w->busy)
        return;
    wslay_event_context_free(w->context);
    buf_deinit(&w->output);
    free(w);
}

static void gone(WebSocket *w, int error) {
    const WebSocketEvents *events = w->events;
    void *user = w->user;
    destroy(w);
    events->on_close(user, error);
}

// ---- wslay's callbacks ----

static ssize_t on_recv(wslay_event_context_ptr context, uint8_t *buffer, size_t len, int flags,
                       void *user) {
    WebSocket *w = user;
    if (w->input.len == 0 || w->dead) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    size_t n = w->input.len < len ? w->input.len : len;
    memcpy(buffer, w->input.ptr, n);
    w->input = str_slice(w->input, n, w->input.len);
    return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr context, const uint8_t *data, size_t len, int flags,
                       void *user) {
    WebSocket *w = user;
    buf_append(&w->output, data, len);
    return (ssize_t)len;
}

static int on_genmask(wslay_event_context_ptr context, uint8_t *buffer, size_t len, void *user) {
    rand_bytes(buffer, len);
    return 0;
}

static bool spend(WebSocket *w) {
    int64_t now = loop_now(w->stream->loop);
    int64_t refill = (now - w->budgeted_at) * CONTROL_PER_SECOND / NSEC_PER_SEC;
    if (refill > 0) {
        w->budget = w->budget + refill < CONTROL_BURST ? w->budget + refill : CONTROL_BURST;
        w->budgeted_at = now;
    }
    return --w->budget >= 0;
}

static void tell(WebSocket *w, Str data, bool last) {
    bool first = w->first_piece;
    w->first_piece = false;
    if (w->closing)
        return; // nobody listens any more
    w->events->on_message(w->user, data, w->opcode == WSLAY_TEXT_FRAME, first, last);
}

static void on_frame_start(wslay_event_context_ptr context,
                           const struct wslay_event_on_frame_recv_start_arg *arg, void *user) {
    WebSocket *w = user;
    if (w->dead)
        return;
    if (wslay_is_ctrl_frame(arg->opcode)) {
        w->flooded = w->flooded || !spend(w);
        w->in_message = false;
        return;
    }
    if (arg->payload_length == 0 && !arg->fin) // costs a little, brings nothing
        w->flooded = w->flooded || !spend(w);
    if (arg->opcode != WSLAY_CONTINUATION_FRAME) {
        w->opcode = arg->opcode;
        w->first_piece = true;
    }
    w->in_message = true;
    w->last_frame = arg->fin;
    w->frame_left = arg->payload_length;
    if (arg->payload_length == 0 && arg->fin)
        tell(w, STR(""), true);
}

static void on_frame_chunk(wslay_event_context_ptr context,
                           const struct wslay_event_on_frame_recv_chunk_arg *arg, void *user) {
    WebSocket *w = user;
    if (w->dead || !w->in_message || arg->data_length == 0)
        return;
    w->frame_left -= arg->data_length;
    tell(w, str_of(arg->data, arg->data_length), w->last_frame && w->frame_left == 0);
}

static const struct wslay_event_callbacks callbacks = {
    .recv_callback = on_recv,
    .send_callback = on_send,
    .genmask_callback = on_genmask,
    .on_frame_recv_start_callback = on_frame_start,
    .on_frame_recv_chunk_callback = on_frame_chunk,
};

// ---- the stream's events ----

static void flush(WebSocket *w) {
    wslay_event_send(w->context);
    if (w->output.len && w->stream)
        stream_write(w->stream, buf_view(&w->output));
    buf_deinit(&w->output);
    w->output = BUF_INIT(SIZE_MAX / 2);
}

// Ends the connection once both sides have said Close.
static void shut_if_over(WebSocket *w) {
    bool over =
        wslay_event_get_close_received(w->context) && wslay_event_get_close_sent(w->context);
    if (!over || w->shutting)
        return;
    w->shutting = true;
    loop_timer_stop(&w->timer);
    stream_close(w->stream);
}

static void on_data(void *user, Str data) {
    WebSocket *w = user;
    if (w->shutting)
        return;
    w->input = data;
    w->busy++;
    int r = wslay_event_recv(w->context);
    w->busy--;
    if (w->dead) {
        destroy(w);
        return;
    }
    if (w->flooded)
        wslay_event_queue_close(w->context, WEBSOCKET_POLICY_VIOLATION, NULL, 0);
    flush(w); // pongs, Close
    if (r != 0 || w->flooded || !wslay_event_get_read_enabled(w->context)) {
        // wslay has answered a violation with Close and reads no more.
        if (!wslay_event_get_close_received(w->context)) {
            w->shutting = true;
            stream_close(w->stream);
            return;
        }
    }
    shut_if_over(w);
}

static void on_end(void *user) {
    WebSocket *w = user;
    if (w->shutting)
        stream_close(w->stream);
    else
        gone(w, w->closing ? 0 : -ECONNRESET);
}

static void on_drain(void *user) {
    WebSocket *w = user;
    if (w->events->on_drain && !w->shutting)
        w->events->on_drain(w->user);
}

static void on_close(void *user, int error) {
    WebSocket *w = user;
    bool orderly =
        wslay_event_get_close_received(w->context) && wslay_event_get_close_sent(w->context);
    w->stream = NULL;
    gone(w, orderly ? 0 : error ? error : -ECONNRESET);
}

static const StreamEvents stream_events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_drain = on_drain,
    .on_close = on_close,
};

static void on_timeout(void *user) {
    gone(user, -ETIMEDOUT);
}

static WebSocket *websocket_new(Stream *stream, bool server, const WebSocketEvents *events,
                                void *user) {
    WebSocket *w = memory_new(WebSocket);
    w->stream = stream;
    w->events = events;
    w->user = user;
    w->output = BUF_INIT(SIZE_MAX / 2);
    w->budget = CONTROL_BURST;
    w->budgeted_at = loop_now(stream->loop);
    loop_timer_init(&w->timer, stream->loop, on_timeout, w);
    int r = server ? wslay_event_context_server_init(&w->context, &callbacks, w)
                   : wslay_event_context_client_init(&w->context, &callbacks, w);
    if (r != 0)
        abort();
    wslay_event_config_set_no_buffering(w->context, 1);
    stream_start(stream, &stream_events, w);
    return w;
}

// ---- the handshake ----

bool websocket_is_request(const HttpRequest *request) {
    return str_eq_nocase(http_header(request, STR("Upgrade")), STR("websocket")) &&
           http_header_has_token(request, STR("Connection"), STR("upgrade"));
}

Str websocket_choose_protocol(const HttpRequest *request, const Str *supported, size_t n) {
    bool asked = false;
    for (size_t i = 0; i < request->n_headers; i++) {
        if (!str_eq_nocase(request->headers[i].name, STR("Sec-WebSocket-Protocol")))
            continue;
        Str rest = request->headers[i].value;
        while (rest.ptr) {
            Str protocol = str_trim(str_cut(&rest, ','));
            asked = asked || protocol.len;
            for (size_t j = 0; protocol.len && j < n; j++)
                if (str_eq(protocol, supported[j]))
                    return supported[j];
        }
    }
    for (size_t j = 0; !asked && j < n; j++)
        if (supported[j].len == 0)
            return supported[j];
    return STR_NONE;
}

Str websocket_accept_key(Arena *arena, Str key) {
    Str text = arena_printf(arena, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", STR_ARG(key));
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len;
    if (EVP_Digest(text.ptr, text.len, digest, &len, EVP_sha1(), NULL) != 1)
        abort();
    char *out = arena_alloc(arena, 4 * len);
    int n = EVP_EncodeBlock((unsigned char *)out, digest, (int)len);
    return str_of(out, (size_t)n);
}

static void refuse(HttpRequest *request, Str text) {
    _bytes_unref_ Bytes *body = bytes_new(text.ptr, text.len);
    HttpHeader headers[] = {{STR("Content-Type"), STR("text/plain; charset=utf-8")},
                            {STR("Sec-WebSocket-Version"), STR("13")}};
    http_respond_with(request, 400, headers, 2, body);
}

// Answers the handshake: the bare stream, or NULL after a refusal.
static Stream *shake(HttpRequest *request, Str protocol) {
    Str key = http_header(request, STR("Sec-WebSocket-Key"));
    if (!websocket_is_request(request) || !str_eq(request->method, STR("GET")) ||
        !str_eq(http_header(request, STR("Sec-WebSocket-Version")), STR("13")) || key.len != 24) {
        refuse(request, STR("not a WebSocket handshake (RFC 6455)\n"));
        return NULL;
    }
    HttpHeader headers[] = {
        {STR("Upgrade"), STR("websocket")},
        {STR("Sec-WebSocket-Accept"), websocket_accept_key(request->arena, key)},
        {STR("Sec-WebSocket-Protocol"), protocol},
    };
    Stream *stream = http_upgrade(request, headers, protocol.len ? 3 : 2);
    if (!stream)
        refuse(request, STR("this connection can't be upgraded\n"));
    return stream;
}

WebSocket *websocket_accept(HttpRequest *request, Str protocol, const WebSocketEvents *events,
                            void *user) {
    Stream *stream = shake(request, protocol);
    return stream ? websocket_new(stream, true, events, user) : NULL;
}

WebSocket *websocket_connect(Stream *stream, const WebSocketEvents *events, void *user) {
    return websocket_new(stream, false, events, user);
}

// ---- sending ----

void websocket_send(WebSocket *w, bool text, Str head, Str data) {
    if (w->closing || w->shutting || w->dead)
        return;
    struct wslay_event_msg message = {
        .opcode = text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME,
        .msg = (const uint8_t *)data.ptr,
        .msg_length = data.len,
    };
    _buf_deinit_ Buf joined = BUF_INIT(SIZE_MAX / 2);
    if (head.len) {
        buf_str(&joined, head);
        buf_str(&joined, data);
        message.msg = (const uint8_t *)joined.data;
        message.msg_length = joined.len;
    }
    wslay_event_queue_msg(w->context, &message);
    if (!w->busy) // else on_data() does it
        flush(w);
}

size_t websocket_queued(const WebSocket *w) {
    return w->stream ? stream_queued(w->stream) : 0;
}

void websocket_pause(WebSocket *w, bool paused) {
    if (w->stream)
        stream_pause(w->stream, paused);
}

void websocket_close(WebSocket *w, uint16_t code) {
    if (w->closing || w->shutting || w->dead)
        return;
    w->closing = true;
    wslay_event_queue_close(w->context, code, NULL, 0);
    stream_pause(w->stream, false); // for the answer
    loop_timer_start(&w->timer, CLOSE_TIMEOUT);
    if (w->busy) // on_data() does the rest
        return;
    flush(w);
    shut_if_over(w);
}

void websocket_abort(WebSocket *w) {
    destroy(w);
}
