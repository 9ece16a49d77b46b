// The client's pool: which connection takes which call, and making new ones.

#include "http/client.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/dial.h"
#include "http/transport.h"

#define MAX_CONNECTIONS 256

struct NetClient {
    HttpClient base;
    char *host, *authority;
    uint16_t port;
    TlsContext *tls;
    HttpDial dial;
    void *dial_user;
    List transports, waiting;
    List dials;
    size_t n_transports;
    bool http2;      // known to be spoken without TLS
    bool http1_only; // the server was asked and speaks no HTTP/2
};

typedef struct PendingDial {
    NetClient *client;
    ListLink link;
    Dial *dial;
    bool http1; // for an upgrade: HTTP/2 is not offered
} PendingDial;

static void dispatch(NetClient *client);

// ---- calls ----

static void call_release(NetCall *call) {
    list_remove(&call->base.link);
    list_remove(&call->waiting);
    loop_timer_stop(&call->timer);
    bytes_unref(call->spec.body);
    arena_free(call->arena); // holds the call itself
}

void net_call_head(NetCall *call, int status, const HttpHeader *headers, size_t n) {
    call->head_seen = true;
    loop_timer_stop(&call->timer);
    if (call->base.events.on_head)
        call->base.events.on_head(call->base.user, status, headers, n);
}

void net_call_trailers(NetCall *call, const HttpHeader *headers, size_t n) {
    if (call->base.events.on_trailers)
        call->base.events.on_trailers(call->base.user, headers, n);
}

void net_call_data(NetCall *call, Str data) {
    if (data.len && call->base.events.on_data)
        call->base.events.on_data(call->base.user, data);
}

void net_call_done(NetCall *call, int error, Str message) {
    HttpCallEvents events = call->base.events;
    void *user = call->base.user;
    char text[256]; // the message may live in the call
    snprintf(text, sizeof text, "%.*s", STR_ARG(message));
    call_release(call);
    if (events.on_done)
        events.on_done(user, error, str_from(text));
}

void net_call_upgraded(NetCall *call, Stream *stream, const HttpHeader *headers, size_t n) {
    HttpCallEvents events = call->base.events;
    void *user = call->base.user;
    Arena *arena = call->arena;
    call->arena = NULL;
    list_remove(&call->base.link);
    loop_timer_stop(&call->timer);
    bytes_unref(call->spec.body);
    if (events.on_upgrade)
        events.on_upgrade(user, stream, headers, n);
    else
        stream_abort(stream);
    arena_free(arena);
}

static bool changes_nothing(Str method) {
    return str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")) ||
           str_eq(method, STR("OPTIONS"));
}

static void fail(NetCall *call, int error, const char *what) {
    NetClient *client = call->client;
    Str message = arena_printf(call->arena, "%.*s %s%s%.*s: %s: %s", STR_ARG(call->spec.method),
                               client->tls ? "https://" : "http://", client->authority,
                               STR_ARG(call->spec.target), what, strerror(-error));
    net_call_done(call, error, message);
}

static void wait_for_connection(NetCall *call, bool first) {
    NetClient *client = call->client;
    call->transport = NULL;
    call->exchange = NULL;
    if (first)
        list_prepend(&client->waiting, &call->waiting);
    else
        list_append(&client->waiting, &call->waiting);
}

void net_call_interrupted(NetCall *call, bool unprocessed, bool reused, int error) {
    NetClient *client = call->client;
    bool harmless = unprocessed || (reused && changes_nothing(call->spec.method));
    if (harmless && !call->retried && !call->head_seen) {
        call->retried = true;
        wait_for_connection(call, true);
        dispatch(client);
        return;
    }
    fail(call, error ? error : -ECONNRESET, "connection lost");
}

static void on_timeout(void *user) {
    NetCall *call = user;
    if (call->transport)
        call->transport->ops->cancel(call->transport, call);
    fail(call, -ETIMEDOUT, "no answer in time");
}

static void op_cancel(HttpCall *base) {
    NetCall *call = (NetCall *)base;
    if (call->transport)
        call->transport->ops->cancel(call->transport, call);
    call_release(call);
}

static void op_pause(HttpCall *base, bool paused) {
    NetCall *call = (NetCall *)base;
    if (call->paused == paused)
        return;
    call->paused = paused;
    if (call->transport)
        call->transport->ops->pause(call->transport, call, paused);
}

static const HttpCallOps call_ops = {.cancel = op_cancel, .pause = op_pause};

static void copy_spec(NetCall *call, const HttpCallSpec *spec) {
    Arena *arena = call->arena;
    call->spec = *spec;
    call->spec.method = arena_str(arena, spec->method);
    call->spec.target = arena_str(arena, spec->target);
    HttpHeader *headers = arena_array_of(arena, HttpHeader, spec->n_headers + 1);
    for (size_t i = 0; i < spec->n_headers; i++) {
        headers[i].name = arena_str(arena, spec->headers[i].name);
        headers[i].value = arena_str(arena, spec->headers[i].value);
    }
    call->spec.headers = headers;
    call->spec.body = bytes_ref(spec->body);
}

// A request line can't hold these; whoever made the target forgot to percent-encode.
static bool is_sendable(Str s) {
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] <= ' ' || s.ptr[i] == 0x7f)
            return false;
    return s.len > 0;
}

static void on_unsendable(void *user) {
    fail(user, -EINVAL, "not a request line");
}

static HttpCall *op_call(HttpClient *base, const HttpCallSpec *spec, const HttpCallEvents *events,
                         void *user) {
    NetClient *client = (NetClient *)base;
    Arena *arena = arena_new();
    NetCall *call = arena_new_of(arena, NetCall);
    call->base = (HttpCall){.ops = &call_ops, .events = *events, .user = user};
    call->client = client;
    call->arena = arena;
    copy_spec(call, spec);
    list_append(&client->base.calls, &call->base.link);
    if (!is_sendable(call->spec.method) || !is_sendable(call->spec.target)) {
        loop_timer_init(&call->timer, base->loop, on_unsendable, call);
        loop_timer_start(&call->timer, 0);
        return &call->base;
    }
    loop_timer_init(&call->timer, base->loop, on_timeout, call);
    loop_timer_start(&call->timer, spec->timeout_ns > 0 ? spec->timeout_ns : HTTP_DEFAULT_TIMEOUT);
    wait_for_connection(call, false);
    dispatch(client);
    return &call->base;
}

// ---- connections ----

void transport_init(Transport *transport, const TransportOps *ops, NetClient *client) {
    transport->ops = ops;
    transport->client = client;
    list_append(&client->transports, &transport->link);
    client->n_transports++;
}

void transport_deinit(Transport *transport) {
    list_remove(&transport->link);
    transport->client->n_transports--;
    dispatch(transport->client); // there may be room for another one now
}

void transport_ready(Transport *transport) {
    dispatch(transport->client);
}

static Transport *pick(NetClient *client, const NetCall *call) {
    Transport *transport;
    list_for_each(transport, &client->transports, link) {
        if (transport->usable && !(call->spec.upgrade && transport->multiplexed) &&
            !(call->retried && transport->served))
            return transport;
    }
    return NULL;
}

static void on_dialed(void *user, Stream *stream, int error, bool http2);

static void dial(NetClient *client, bool http1) {
    PendingDial *pending = calloc(1, sizeof *pending);
    if (!pending)
        abort();
    pending->client = client;
    pending->http1 = http1;
    list_append(&client->dials, &pending->link);
    DialSpec spec = {
        .loop = client->base.loop,
        .host = client->host,
        .port = client->port,
        .tls = client->tls,
        .http1 = http1,
        .dial = client->dial,
        .dial_user = client->dial_user,
    };
    pending->dial = dial_start(&spec, on_dialed, pending);
}

// One connection that speaks HTTP/2 serves all calls; until that is known to be refused one dial is
// enough.
static bool may_share(const NetClient *client) {
    return client->http2 ||
           (client->tls && tls_context_offers_http2(client->tls) && !client->http1_only);
}

static size_t count_dials(const NetClient *client, bool http1) {
    size_t n = 0;
    PendingDial *pending;
    list_for_each(pending, &client->dials, link) n += pending->http1 == http1;
    return n;
}

static void dial_for(NetClient *client, size_t need, bool http1) {
    size_t have = count_dials(client, http1);
    while (have < need && client->n_transports + have < MAX_CONNECTIONS) {
        dial(client, http1);
        have++;
    }
}

// Gives waiting calls to connections and makes connections for the rest.
static void dispatch(NetClient *client) {
    size_t upgrades = 0, plain = 0;
    NetCall *call;
    list_for_each(call, &client->waiting, waiting) {
        Transport *transport = pick(client, call);
        if (!transport) {
            if (call->spec.upgrade)
                upgrades++;
            else
                plain++;
            continue;
        }
        list_remove(&call->waiting);
        call->transport = transport;
        transport->ops->start(transport, call); // tells nothing from inside
    }
    dial_for(client, upgrades, true);
    dial_for(client, may_share(client) && plain > 1 ? 1 : plain, false);
}

// Nothing can be reached: the calls that wait for this kind of connection hear of it.
static void fail_waiting(NetClient *client, bool http1, int error) {
    bool all = !http1 && may_share(client);
    List failed;
    list_init(&failed);
    NetCall *call;
    list_for_each(call, &client->waiting, waiting) {
        if (call->spec.upgrade != http1)
            continue;
        list_remove(&call->waiting);
        list_append(&failed, &call->waiting);
        if (!all)
            break;
    }
    // The user may cancel the others, or free the client, from inside.
    while (!list_is_empty(&failed)) {
        NetCall *first = container_of(list_first(&failed), NetCall, waiting);
        list_remove(&first->waiting);
        fail(first, error, "cannot connect");
    }
}

static void on_dialed(void *user, Stream *stream, int error, bool http2) {
    PendingDial *pending = user;
    NetClient *client = pending->client;
    bool http1 = pending->http1;
    list_remove(&pending->link);
    free(pending);
    if (error) {
        fail_waiting(client, http1, error);
        return;
    }
    http2 = http2 || (client->http2 && !http1);
    if (!http1 && client->tls && !http2)
        client->http1_only = true;
    Transport *transport =
        http2 ? transport_h2_new(client, stream, str_from(client->authority), client->tls != NULL)
              : transport_h1_new(client, stream, str_from(client->authority));
    (void)transport;
    dispatch(client);
}

static void op_free(HttpClient *base) {
    NetClient *client = (NetClient *)base;
    PendingDial *pending;
    list_for_each(pending, &client->dials, link) {
        dial_cancel(pending->dial);
        free(pending);
    }
    while (!list_is_empty(&client->transports)) {
        Transport *t = container_of(list_first(&client->transports), Transport, link);
        t->ops->free(t);
    }
    if (client->tls)
        tls_context_unref(client->tls);
    free(client->host);
    free(client->authority);
    free(client);
}

static const HttpClientOps client_ops = {.call = op_call, .free = op_free};

static char *make_authority(const HttpClientConfig *config, const char *host) {
    char *authority = NULL;
    bool standard = config->port == (config->tls ? 443 : 80) || config->port == 0;
    bool v6 = strchr(host, ':') != NULL;
    int r = standard ? asprintf(&authority, v6 ? "[%s]" : "%s", host)
                     : asprintf(&authority, v6 ? "[%s]:%u" : "%s:%u", host, config->port);
    if (r < 0)
        abort();
    return authority;
}

int http_client_new(const HttpClientConfig *config, HttpClient **ret) {
    if (config->dial && config->tls)
        return -ENOTSUP; // TLS works on descriptors
    if (!config->host.len || config->host.len > 255)
        return -EINVAL;
    NetClient *client = calloc(1, sizeof *client);
    if (!client)
        abort();
    client->base.ops = &client_ops;
    client->base.loop = config->loop;
    list_init(&client->base.calls);
    client->host = strndup(config->host.ptr, config->host.len);
    if (!client->host)
        abort();
    client->authority = make_authority(config, client->host);
    client->port = config->port;
    client->tls = config->tls ? tls_context_ref(config->tls) : NULL;
    client->http2 = config->http2 && !config->tls;
    client->dial = config->dial;
    client->dial_user = config->dial_user;
    list_init(&client->transports);
    list_init(&client->waiting);
    list_init(&client->dials);
    *ret = &client->base;
    return 0;
}

// ---- any client ----

void http_client_free(HttpClient *client) {
    if (!client)
        return;
    while (!list_is_empty(&client->calls)) {
        HttpCall *call = container_of(list_first(&client->calls), HttpCall, link);
        call->ops->cancel(call);
    }
    client->ops->free(client);
}

HttpCall *http_call(HttpClient *client, const HttpCallSpec *spec, const HttpCallEvents *events,
                    void *user) {
    return client->ops->call(client, spec, events, user);
}

void http_call_cancel(HttpCall *call) {
    call->ops->cancel(call);
}

void http_call_pause(HttpCall *call, bool paused) {
    call->ops->pause(call, paused);
}
