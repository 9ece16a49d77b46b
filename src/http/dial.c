#include "http/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "http/socket.h"

#define CONNECT_TIMEOUT (10 * NSEC_PER_SEC)
#define MAX_ADDRESSES 16

struct Dial {
    Loop *loop;
    char *host;
    uint16_t port;
    TlsContext *tls;
    bool http1, cancelled;
    bool outside; // waits for the resolver or the user's dialer, which can't be called back
    HttpDial dial;
    void *dial_user;
    void (*on_done)(void *user, Stream *stream, int error, bool http2);
    void *user;
    struct sockaddr_storage addresses[MAX_ADDRESSES];
    socklen_t lengths[MAX_ADDRESSES];
    size_t n_addresses, next;
    int error; // of the last try
    int fd;
    LoopFd *watch;
    LoopTimer timer;
    LoopTask task;
    TlsHandshake *handshake;
    Arena *arena; // of the handshake
};

static void try_next(Dial *d);

static void dial_free(Dial *d) {
    loop_timer_stop(&d->timer);
    loop_task_cancel(d->loop, &d->task);
    if (d->watch)
        loop_fd_free(d->watch);
    if (d->fd >= 0)
        close(d->fd);
    if (d->tls)
        tls_context_unref(d->tls);
    arena_free(d->arena);
    free(d->host);
    free(d);
}

static void done(Dial *d, Stream *stream, int error, bool http2) {
    void (*on_done)(void *, Stream *, int, bool) = d->on_done;
    void *user = d->user;
    dial_free(d);
    on_done(user, stream, error, http2);
}

static void on_handshake(void *user, Stream *stream, int error, const HttpPeer *peer, Str alpn) {
    Dial *d = user;
    d->handshake = NULL;
    bool http2 = !error && str_eq(alpn, STR("h2"));
    done(d, stream, error, http2);
}

static void connected(Dial *d) {
    int fd = d->fd;
    d->fd = -1;
    if (!d->tls) {
        done(d, stream_from_fd(d->loop, fd), 0, false);
        return;
    }
    d->arena = arena_new();
    d->handshake = d->http1 ? tls_connect_http1(d->loop, d->tls, fd, d->arena, on_handshake, d)
                            : tls_connect(d->loop, d->tls, fd, d->arena, on_handshake, d);
}

static void drop_socket(Dial *d) {
    loop_timer_stop(&d->timer);
    if (d->watch)
        loop_fd_free(d->watch);
    d->watch = NULL;
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
}

static void on_writable(void *user, int events) {
    Dial *d = user;
    loop_timer_stop(&d->timer);
    loop_fd_free(d->watch);
    d->watch = NULL;
    d->error = socket_error(d->fd);
    if (d->error == 0) {
        connected(d);
        return;
    }
    drop_socket(d);
    try_next(d);
}

static void on_timeout(void *user) {
    Dial *d = user;
    d->error = -ETIMEDOUT;
    drop_socket(d);
    try_next(d);
}

static void try_next(Dial *d) {
    while (d->next < d->n_addresses) {
        size_t i = d->next++;
        d->error = socket_connect((const struct sockaddr *)&d->addresses[i], d->lengths[i], &d->fd);
        if (d->error)
            continue;
        d->watch = loop_fd_new(d->loop, d->fd, on_writable, d);
        loop_fd_want(d->watch, LOOP_WRITE);
        loop_timer_start(&d->timer, CONNECT_TIMEOUT);
        return;
    }
    done(d, NULL, d->error ? d->error : -EHOSTUNREACH, false);
}

// ---- names ----

typedef struct Resolve {
    Dial *dial;
    struct addrinfo *list;
    char *host;
    uint16_t port;
    int result;
} Resolve;

static void resolve_work(void *user) {
    Resolve *r = user;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char port[8];
    snprintf(port, sizeof port, "%u", r->port);
    r->result = getaddrinfo(r->host, port, &hints, &r->list);
}

static void add_addresses(Dial *d, const struct addrinfo *list) {
    for (const struct addrinfo *a = list; a && d->n_addresses < MAX_ADDRESSES; a = a->ai_next) {
        if (a->ai_addrlen > sizeof d->addresses[0])
            continue;
        memcpy(&d->addresses[d->n_addresses], a->ai_addr, a->ai_addrlen);
        d->lengths[d->n_addresses++] = a->ai_addrlen;
    }
}

static void resolve_done(void *user) {
    Resolve *r = user;
    Dial *d = r->dial;
    d->outside = false;
    if (!d->cancelled && r->result == 0)
        add_addresses(d, r->list);
    if (r->list)
        freeaddrinfo(r->list);
    free(r->host);
    free(r);
    if (d->cancelled)
        dial_free(d);
    else
        try_next(d);
}

static void resolve(Dial *d) {
    Resolve *r = calloc(1, sizeof *r);
    if (!r || !(r->host = strdup(d->host)))
        abort();
    d->outside = true;
    r->dial = d;
    r->port = d->port;
    loop_work(d->loop, resolve_work, resolve_done, r);
}

static bool parse_host(Dial *d) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)&d->addresses[0];
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&d->addresses[0];
    if (inet_pton(AF_INET, d->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(d->port);
        d->lengths[0] = sizeof *v4;
    } else if (inet_pton(AF_INET6, d->host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(d->port);
        d->lengths[0] = sizeof *v6;
    } else {
        memset(&d->addresses[0], 0, sizeof d->addresses[0]);
        return false;
    }
    d->n_addresses = 1;
    return true;
}

// ---- a dialer of the user's ----

static void on_user_dialed(void *user, Stream *stream, int error) {
    Dial *d = user;
    if (d->cancelled) {
        if (stream)
            stream_abort(stream);
        dial_free(d);
        return;
    }
    done(d, stream, stream ? 0 : error ? error : -EIO, false);
}

static void begin(void *user) {
    Dial *d = user;
    if (d->dial) {
        d->outside = true;
        d->dial(d->dial_user, on_user_dialed, d);
    } else {
        try_next(d);
    }
}

Dial *dial_start(const DialSpec *spec,
                 void (*on_done)(void *user, Stream *stream, int error, bool http2), void *user) {
    Dial *d = calloc(1, sizeof *d);
    if (!d || !(d->host = strdup(spec->host)))
        abort();
    d->loop = spec->loop;
    d->port = spec->port;
    d->tls = spec->tls ? tls_context_ref(spec->tls) : NULL;
    d->http1 = spec->http1;
    d->dial = spec->dial;
    d->dial_user = spec->dial_user;
    d->on_done = on_done;
    d->user = user;
    d->fd = -1;
    loop_timer_init(&d->timer, d->loop, on_timeout, d);
    d->task = (LoopTask){.fn = begin, .user = d};
    if (d->dial || parse_host(d))
        loop_post(d->loop, &d->task);
    else
        resolve(d);
    return d;
}

void dial_cancel(Dial *d) {
    if (d->handshake)
        tls_handshake_cancel(d->handshake);
    d->handshake = NULL;
    if (d->outside)
        d->cancelled = true; // freed when the answer comes
    else
        dial_free(d);
}
