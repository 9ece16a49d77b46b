#include "http/channel_socket.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/memory.h"
#include "http/inbox.h"

#define PIECE (32 * 1024) // a message
#define CLOSE_SIGNAL 255

typedef struct Channel {
    Stream base;
    ChannelSocket *socket;  // NULL once the connection is over
    ChannelSocket *mourner; // a closed one that waits until this channel has reported its end
    uint8_t number;
    Inbox inbox;
    bool read_ended, write_ended;
    bool choked;
} Channel;

struct ChannelSocket {
    Loop *loop;
    WebSocket *socket;
    bool base64, closes, close_when_unused;
    Channel **channels; // NULL where ignored, or closed by its user
    size_t n, open;
    size_t unreported; // channels that are to report their end before on_close
    bool paused;
    // The message that is being read:
    int channel;   // -1: its first byte is still to come
    bool signal;   // it is [255, number]
    char carry[4]; // base64 comes in fours
    size_t carried;
    LoopTask close_task;
    int close_error;
    void (*on_close)(void *user, int error);
    void *user;
};

static Channel *of(Stream *stream) {
    return (Channel *)stream;
}

// ---- writing ----

static void send(ChannelSocket *s, uint8_t number, Str data) {
    if (!s->socket)
        return;
    if (!s->base64) {
        char head = (char)number;
        websocket_send(s->socket, false, str_of(&head, 1), data);
        return;
    }
    char head = (char)('0' + number);
    unsigned char text[(PIECE + 2) / 3 * 4 + 1];
    assert(data.len <= PIECE);
    int len =
        EVP_EncodeBlock(text, (const unsigned char *)(data.ptr ? data.ptr : ""), (int)data.len);
    websocket_send(s->socket, true, str_of(&head, 1), str_of(text, (size_t)len));
}

static void op_write(Stream *stream, Str data) {
    Channel *c = of(stream);
    while (data.len && c->socket && c->socket->socket && !c->write_ended) {
        Str piece = str_slice(data, 0, data.len < PIECE ? data.len : PIECE);
        send(c->socket, c->number, piece);
        data = str_slice(data, piece.len, data.len);
    }
    if (c->socket && c->socket->socket && websocket_queued(c->socket->socket) >= STREAM_LOW_WATER)
        c->choked = true;
}

static void op_write_bytes(Stream *stream, Bytes *bytes) {
    op_write(stream, bytes_str(bytes));
}

static size_t op_queued(const Stream *stream) {
    const Channel *c = (const Channel *)stream;
    return c->socket && c->socket->socket ? websocket_queued(c->socket->socket) : 0;
}

// ---- reading with backpressure: one full channel stops them all ----

static void balance(ChannelSocket *s) {
    bool full = false;
    for (size_t i = 0; i < s->n; i++)
        full = full || (s->channels[i] && inbox_held(&s->channels[i]->inbox) >= STREAM_HIGH_WATER);
    if (full == s->paused || !s->socket)
        return;
    s->paused = full;
    websocket_pause(s->socket, full);
}

static void op_start(Stream *stream) {
    inbox_start(&of(stream)->inbox);
}
static void op_pause(Stream *stream, bool paused) {
    inbox_pause(&of(stream)->inbox, paused);
}

static void close_if_ended(Channel *c) {
    if (c->read_ended && c->write_ended)
        inbox_close(&c->inbox, 0);
}

static void op_end(Stream *stream) { // the protocol can't tell the client
    of(stream)->write_ended = true;
    close_if_ended(of(stream));
}

static void op_close(Stream *stream) {
    Channel *c = of(stream);
    c->write_ended = true;
    inbox_discard(&c->inbox);
    inbox_close(&c->inbox, 0);
}

static void channel_free(Channel *c) {
    ChannelSocket *s = c->socket;
    inbox_deinit(&c->inbox);
    if (c->mourner && --c->mourner->unreported == 0)
        loop_post(c->mourner->loop, &c->mourner->close_task);
    if (s) {
        s->channels[c->number] = NULL;
        balance(s);
        if (--s->open == 0 && s->close_when_unused)
            channel_socket_close(s);
    }
    free(c);
}

static void gone(Stream *stream) {
    channel_free(of(stream));
}
static void op_abort(Stream *stream) {
    channel_free(of(stream));
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
    ChannelSocket *s = of(stream)->socket;
    if (s && s->paused)
        balance(s);
}

static const InboxOwner owner = {.consumed = consumed, .gone = gone};

static Channel *readable(ChannelSocket *s, int number) {
    if (number < 0 || (size_t)number >= s->n || !s->channels[number] ||
        s->channels[number]->read_ended)
        return NULL; // as upstream: not ours to complain about
    return s->channels[number];
}

static void deliver(ChannelSocket *s, Str data) {
    Channel *c = readable(s, s->channel);
    if (c && inbox_put(&c->inbox, data) && inbox_held(&c->inbox))
        balance(s);
}

static void end_channel(ChannelSocket *s, int number) {
    Channel *c = readable(s, number);
    if (!c)
        return;
    c->read_ended = true;
    inbox_end(&c->inbox);
    close_if_ended(c);
}

// Decodes fours as they come; returns false when it is no base64.
static bool deliver_base64(ChannelSocket *s, Str data) {
    _buf_deinit_ Buf out = BUF_INIT(data.len + 4);
    for (size_t i = 0; i < data.len; i++) {
        s->carry[s->carried++] = data.ptr[i];
        if (s->carried < 4)
            continue;
        s->carried = 0;
        unsigned char bytes[3];
        if (EVP_DecodeBlock(bytes, (const unsigned char *)s->carry, 4) != 3)
            return false;
        buf_append(&out, bytes, s->carry[2] == '=' ? 1 : s->carry[3] == '=' ? 2 : 3);
    }
    if (out.len)
        deliver(s, buf_view(&out));
    return true;
}

static void begin_message(ChannelSocket *s, Str *data) {
    if (s->channel >= 0 || data->len == 0)
        return;
    unsigned char first = (unsigned char)data->ptr[0];
    s->signal = s->closes && first == CLOSE_SIGNAL;
    s->channel = s->base64 ? (unsigned char)(first - '0') : first;
    *data = str_slice(*data, 1, data->len);
}

static void on_message(void *user, Str data, bool text, bool first, bool last) {
    ChannelSocket *s = user;
    if (first) {
        s->channel = -1;
        s->signal = false;
        s->carried = 0;
    }
    begin_message(s, &data);
    if (!data.len)
        return;
    if (s->signal)
        end_channel(s, (unsigned char)data.ptr[0]);
    else if (!s->base64)
        deliver(s, data);
    else if (!deliver_base64(s, data))
        websocket_close(s->socket, WEBSOCKET_PROTOCOL_ERROR);
}

static void on_drain(void *user) {
    ChannelSocket *s = user;
    for (size_t i = 0; i < s->n && s->socket; i++) {
        Channel *c = s->channels[i];
        if (!c || !c->choked)
            continue;
        c->choked = false;
        if (c->inbox.started && !c->write_ended && c->base.events->on_drain)
            c->base.events->on_drain(c->base.user);
    }
}

// ---- the end ----

static void on_close_task(void *user) {
    ChannelSocket *s = user;
    void (*on_close)(void *, int) = s->on_close;
    void *owner_user = s->user;
    int error = s->close_error;
    free(s->channels);
    free(s);
    on_close(owner_user, error);
}

static void on_close(void *user, int error) {
    ChannelSocket *s = user;
    s->socket = NULL;
    s->close_error = error;
    for (size_t i = 0; i < s->n; i++) {
        Channel *c = s->channels[i];
        if (!c)
            continue;
        s->channels[i] = NULL;
        c->socket = NULL;
        if (c->inbox.started) {
            c->mourner = s;
            s->unreported++;
        }
        inbox_close(&c->inbox, error ? error : -ECONNRESET);
    }
    if (!s->unreported)
        loop_post(s->loop, &s->close_task);
}

static const WebSocketEvents socket_events = {
    .on_message = on_message, .on_drain = on_drain, .on_close = on_close};

static Channel *channel_new(ChannelSocket *s, size_t number, uint8_t kind) {
    Channel *c = memory_new(Channel);
    c->base = (Stream){.ops = &ops, .loop = s->loop};
    c->socket = s;
    c->number = (uint8_t)number;
    c->read_ended = !(kind & CHANNEL_READ);
    c->write_ended = !(kind & CHANNEL_WRITE);
    inbox_init(&c->inbox, &c->base, &owner);
    return c;
}

ChannelSocket *channel_socket_accept(HttpRequest *request, const ChannelSocketSpec *spec,
                                     void (*on_close_fn)(void *user, int error), void *user) {
    ChannelSocket *s = memory_new(ChannelSocket);
    s->loop = request->loop;
    s->socket = websocket_accept(request, spec->protocol, &socket_events, s);
    if (!s->socket) {
        free(s);
        return NULL;
    }
    s->base64 = spec->base64;
    s->closes = spec->closes;
    s->close_when_unused = spec->close_when_unused;
    s->n = spec->n;
    s->channels = memory_zalloc(spec->n * sizeof(Channel *));
    s->channel = -1;
    s->close_task = (LoopTask){.fn = on_close_task, .user = s};
    s->on_close = on_close_fn;
    s->user = user;
    for (size_t i = 0; i < spec->n; i++) {
        if (spec->kinds[i] == CHANNEL_IGNORED)
            continue;
        s->channels[i] = channel_new(s, i, spec->kinds[i]);
        s->open++;
    }
    return s;
}

Stream *channel_socket_stream(ChannelSocket *socket, size_t channel) {
    assert(channel < socket->n);
    return socket->channels[channel] ? &socket->channels[channel]->base : NULL;
}

void channel_socket_send(ChannelSocket *socket, size_t channel, Str data) {
    do {
        Str piece = str_slice(data, 0, data.len < PIECE ? data.len : PIECE);
        send(socket, (uint8_t)channel, piece);
        data = str_slice(data, piece.len, data.len);
    } while (data.len);
}

void channel_socket_close(ChannelSocket *socket) {
    if (socket->socket)
        websocket_close(socket->socket, WEBSOCKET_NORMAL);
}
