// Port-forward: SPDY/3.1, the same tunnelled in WebSocket, and the older WebSocket protocol
// (kubelet's server/portforward).

#include <errno.h>
#include <stdlib.h>

#include "base/memory.h"
#include "http/channel_socket.h"
#include "http/connection.h"
#include "http/remote_session.h"
#include "http/spdy.h"

#define CREATION_TIMEOUT (30 * NSEC_PER_SEC)
#define MAX_PORTS 100

typedef void (*OnConnect)(void *user, uint16_t port, Stream *data, Stream *error);

typedef struct Pair { // one of its streams has come, the other is awaited
    ListLink link;
    PortForward *owner;
    char *request_id;
    uint16_t port;
    Stream *data, *error;
    LoopTimer timer;
    LoopTask task; // both are here
} Pair;

struct PortForward {
    Loop *loop;
    SpdySession *spdy;
    ChannelSocket *socket; // the older protocol
    uint16_t ports[MAX_PORTS];
    size_t n_ports;
    LoopTask connect_task;
    List pairs;
    bool closed_by_us;
    OnConnect on_connect;
    void (*on_gone)(void *user);
    void *user;
};

static void pair_free(Pair *pair) {
    list_remove(&pair->link);
    loop_timer_stop(&pair->timer);
    loop_task_cancel(pair->owner->loop, &pair->task);
    if (pair->data)
        stream_abort(pair->data);
    if (pair->error)
        stream_abort(pair->error);
    free(pair->request_id);
    free(pair);
}

static void forward_free(PortForward *f) {
    Pair *pair;
    list_for_each(pair, &f->pairs, link) pair_free(pair);
    loop_task_cancel(f->loop, &f->connect_task);
    free(f);
}

static void on_close(void *user, int error) {
    PortForward *f = user;
    void (*on_gone)(void *) = f->closed_by_us ? NULL : f->on_gone;
    void *owner = f->user;
    forward_free(f);
    if (on_gone)
        on_gone(owner);
}

// ---- SPDY ----

static void on_pair_timeout(void *user) {
    pair_free(user);
}

static void on_pair_complete(void *user) {
    Pair *pair = user;
    PortForward *f = pair->owner;
    Stream *data = pair->data, *error = pair->error;
    uint16_t port = pair->port;
    pair->data = pair->error = NULL;
    pair_free(pair);
    f->on_connect(f->user, port, data, error);
}

static Pair *find_pair(PortForward *f, Str request_id) {
    Pair *pair;
    list_for_each(pair, &f->pairs, link) {
        if (str_eq(str_from(pair->request_id), request_id))
            return pair;
    }
    pair = memory_new(Pair);
    pair->owner = f;
    pair->request_id = strndup(request_id.ptr, request_id.len);
    if (!pair->request_id)
        abort();
    loop_timer_init(&pair->timer, f->loop, on_pair_timeout, pair);
    loop_timer_start(&pair->timer, CREATION_TIMEOUT);
    pair->task = (LoopTask){.fn = on_pair_complete, .user = pair};
    list_append(&f->pairs, &pair->link);
    return pair;
}

static int parse_port(Str text, uint16_t *ret) {
    uint64_t value;
    if (str_to_u64(text, &value) < 0 || value < 1 || value > 65535)
        return -EINVAL;
    *ret = (uint16_t)value;
    return 0;
}

// A client that numbers no requests opens the two streams one after the other, the error stream
// first.
static Str request_id_of(Arena *arena, Str given, uint32_t id, bool is_data) {
    return given.len ? given : arena_printf(arena, "%u", is_data ? id - 2 : id);
}

static bool on_stream(void *user, Stream *stream, uint32_t id, const HttpHeader *headers,
                      size_t n) {
    PortForward *f = user;
    Str port_text = STR(""), type = STR(""), request_id = STR("");
    for (size_t i = 0; i < n; i++) {
        if (str_eq_nocase(headers[i].name, STR("port")))
            port_text = headers[i].value;
        else if (str_eq_nocase(headers[i].name, STR("streamType")))
            type = headers[i].value;
        else if (str_eq_nocase(headers[i].name, STR("requestID")))
            request_id = headers[i].value;
    }
    bool is_data = str_eq(type, STR("data"));
    uint16_t port;
    if (parse_port(port_text, &port) < 0 || (!is_data && !str_eq(type, STR("error"))) ||
        request_id.len > 256)
        return false;
    _arena_free_ Arena *arena = arena_new();
    Pair *pair = find_pair(f, request_id_of(arena, request_id, id, is_data));
    Stream **slot = is_data ? &pair->data : &pair->error;
    if (*slot)
        return false;
    *slot = stream;
    if (is_data || !pair->port)
        pair->port = port;
    if (pair->data && pair->error) {
        loop_timer_stop(&pair->timer);
        loop_post(f->loop, &pair->task);
    }
    return true;
}

static const SpdyEvents spdy_events = {.on_stream = on_stream, .on_close = on_close};

// ---- the older WebSocket protocol: channels 2n (data) and 2n + 1 (error) for the nth port ----

static int parse_ports(HttpRequest *request, PortForward *f) {
    const Str *values;
    size_t n = http_query_all(request, STR("ports"), &values);
    if (n == 0) // the kubelet's own parameter
        n = http_query_all(request, STR("port"), &values);
    for (size_t i = 0; i < n; i++) {
        Str rest = values[i];
        while (rest.ptr) {
            if (f->n_ports == MAX_PORTS ||
                parse_port(str_cut(&rest, ','), &f->ports[f->n_ports]) < 0)
                return -EINVAL;
            f->n_ports++;
        }
    }
    return f->n_ports ? 0 : -EINVAL;
}

static void on_connect_task(void *user) {
    PortForward *f = user;
    for (size_t i = 0; i < f->n_ports; i++) {
        Stream *data = channel_socket_stream(f->socket, 2 * i),
               *error = channel_socket_stream(f->socket, 2 * i + 1);
        f->on_connect(f->user, f->ports[i], data, error);
    }
}

static bool accept_channels(HttpRequest *request, Str protocol, PortForward *f) {
    if (parse_ports(request, f) < 0) {
        http_respond_status(request, 400, STR("BadRequest"),
                            STR("query parameter 'port' is required and must list ports"));
        return false;
    }
    uint8_t kinds[2 * MAX_PORTS];
    for (size_t i = 0; i < f->n_ports; i++) {
        kinds[2 * i] = CHANNEL_READ | CHANNEL_WRITE;
        kinds[2 * i + 1] = CHANNEL_WRITE;
    }
    ChannelSocketSpec spec = {
        .protocol = protocol,
        .base64 = str_eq(protocol, STR("v4.base64.channel.k8s.io")),
        .kinds = kinds,
        .n = 2 * f->n_ports,
        .close_when_unused = true,
    };
    f->socket = channel_socket_accept(request, &spec, on_close, f);
    if (!f->socket)
        return false;
    for (size_t i = 0; i < 2 * f->n_ports; i++) {
        uint16_t port = f->ports[i / 2];
        const char bytes[2] = {(char)(port & 255), (char)(port >> 8)};
        channel_socket_send(f->socket, i, str_of(bytes, 2));
    }
    loop_post(f->loop, &f->connect_task);
    return true;
}

// ---- which of them ----

static bool accept_websocket(HttpRequest *request, PortForward *f) {
    static const Str protocols[] = {
        {"SPDY/3.1+portforward.k8s.io", 27},
        {"v4.channel.k8s.io", 17},
        {"v4.base64.channel.k8s.io", 24},
        {"", 0},
    };
    Str protocol =
        websocket_choose_protocol(request, protocols, sizeof protocols / sizeof *protocols);
    if (!protocol.ptr) {
        http_respond(request, 403, STR_NONE, NULL);
        return false;
    }
    if (!str_eq(protocol, protocols[0]))
        return accept_channels(request, protocol, f);
    Stream *stream = websocket_stream(request, protocol);
    if (!stream)
        return false;
    f->spdy = spdy_session_new(stream, true, &spdy_events, f);
    return true;
}

static bool accept_spdy(HttpRequest *request, PortForward *f) {
    static const Str protocols[] = {{"portforward.k8s.io", 18}};
    Str protocol = remote_spdy_choose_protocol(request, protocols, 1);
    Stream *stream = protocol.ptr ? remote_spdy_upgrade(request, protocol) : NULL;
    if (!stream)
        return false;
    f->spdy = spdy_session_new(stream, true, &spdy_events, f);
    return true;
}

PortForward *remote_port_forward_accept(HttpRequest *request, OnConnect on_connect,
                                        void (*on_gone)(void *user), void *user) {
    PortForward *f = memory_new(PortForward);
    f->loop = request->loop;
    f->on_connect = on_connect;
    f->on_gone = on_gone;
    f->user = user;
    f->connect_task = (LoopTask){.fn = on_connect_task, .user = f};
    list_init(&f->pairs);
    bool accepted = false;
    if (websocket_is_request(request))
        accepted = accept_websocket(request, f);
    else if (remote_is_spdy_request(request))
        accepted = accept_spdy(request, f);
    else
        http_respond_status(request, 400, STR("BadRequest"), STR("Upgrade request required"));
    if (accepted)
        return f;
    free(f);
    return NULL;
}

void remote_port_forward_close(PortForward *f) {
    f->closed_by_us = true;
    if (f->spdy)
        spdy_session_close(f->spdy);
    else
        channel_socket_close(f->socket);
}
