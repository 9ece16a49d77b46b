// A WebSocket as a flow of bytes.

#include <stdlib.h>

#include "base/memory.h"
#include "http/inbox.h"
#include "http/websocket.h"

#define PIECE (32 * 1024) // a message

typedef struct SocketStream {
    Stream base;
    WebSocket *socket; // NULL once closed
    Inbox inbox;
    bool held; // the socket is paused by us
    bool ending;
} SocketStream;

static SocketStream *of(Stream *stream) {
    return (SocketStream *)stream;
}

static void balance(SocketStream *s) {
    const Inbox *inbox = &s->inbox;
    bool hold = !inbox->discarding && (!inbox->started || inbox->paused || inbox_held(inbox) > 0);
    if (s->held == hold || !s->socket)
        return;
    s->held = hold;
    websocket_pause(s->socket, hold);
}

static void op_start(Stream *stream) {
    inbox_start(&of(stream)->inbox);
    balance(of(stream));
}

static void op_write(Stream *stream, Str data) {
    SocketStream *s = of(stream);
    while (data.len && s->socket && !s->ending) {
        Str piece = str_slice(data, 0, data.len < PIECE ? data.len : PIECE);
        websocket_send(s->socket, false, STR(""), piece);
        data = str_slice(data, piece.len, data.len);
    }
}

static void op_write_bytes(Stream *stream, Bytes *bytes) {
    op_write(stream, bytes_str(bytes));
}

static size_t op_queued(const Stream *stream) {
    const SocketStream *s = (const SocketStream *)stream;
    return s->socket ? websocket_queued(s->socket) : 0;
}

static void op_pause(Stream *stream, bool paused) {
    inbox_pause(&of(stream)->inbox, paused);
    balance(of(stream));
}

static void op_end(Stream *stream) { // there is no half-close: the peer is asked to end as well
    SocketStream *s = of(stream);
    s->ending = true;
    if (s->socket)
        websocket_close(s->socket, WEBSOCKET_NORMAL);
}

static void op_close(Stream *stream) {
    inbox_discard(&of(stream)->inbox);
    op_end(stream);
}

static void gone(Stream *stream) {
    inbox_deinit(&of(stream)->inbox);
    free(stream);
}

static void op_abort(Stream *stream) {
    if (of(stream)->socket)
        websocket_abort(of(stream)->socket);
    gone(stream);
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

static void consumed(Stream *stream, size_t len) {
    balance(of(stream));
}

static const InboxOwner owner = {.consumed = consumed, .gone = gone};

static void on_message(void *user, Str data, bool text, bool first, bool last) {
    SocketStream *s = user;
    if (inbox_put(&s->inbox, data))
        balance(s);
}

static void on_drain(void *user) {
    SocketStream *s = user;
    if (s->inbox.started && s->base.events->on_drain)
        s->base.events->on_drain(s->base.user);
}

static void on_close(void *user, int error) {
    SocketStream *s = user;
    s->socket = NULL;
    if (error == 0)
        inbox_end(&s->inbox);
    inbox_close(&s->inbox, error);
}

static const WebSocketEvents events = {
    .on_message = on_message, .on_drain = on_drain, .on_close = on_close};

Stream *websocket_stream(HttpRequest *request, Str protocol) {
    SocketStream *s = memory_new(SocketStream);
    s->base = (Stream){.ops = &ops, .loop = request->loop};
    inbox_init(&s->inbox, &s->base, &owner);
    s->socket = websocket_accept(request, protocol, &events, s);
    if (!s->socket) {
        gone(&s->base);
        return NULL;
    }
    balance(s);
    return &s->base;
}
