#include "http/server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "http/connection.h"
#include "http/socket.h"

#define DEFAULT_MAX_BODY (3 * 1024 * 1024)
#define DEFAULT_MAX_CONNECTIONS 10000
#define ACCEPTS_PER_TURN 64

void http_connection_init(HttpConnection *connection, const HttpConnectionOps *ops,
                          HttpServer *server, HttpPeer *peer) {
    connection->ops = ops;
    connection->server = server;
    connection->peer = peer;
    list_append(&server->connections, &connection->link);
    server->n_connections++;
}

void http_connection_deinit(HttpConnection *connection) {
    list_remove(&connection->link);
    assert(connection->server->n_connections > 0);
    connection->server->n_connections--;
    free(connection->peer);
    connection->peer = NULL;
}

bool http_server_hold(HttpServer *server, size_t len) {
    if (server->held_bodies + len > HTTP_MAX_BODIES)
        return false;
    server->held_bodies += len;
    return true;
}

void http_server_release(HttpServer *server, size_t len) {
    assert(server->held_bodies >= len);
    server->held_bodies -= len;
}

int64_t http_body_patience(Loop *loop, int64_t begun) {
    int64_t left = begun + HTTP_BODY_DEADLINE - loop_now(loop);
    return left < HTTP_BODY_TIMEOUT ? left : HTTP_BODY_TIMEOUT;
}

Str http_server_date(HttpServer *server) {
    int64_t now = loop_wall(server->loop) / NSEC_PER_SEC;
    if (now != server->date_second) {
        time_t seconds = (time_t)now;
        struct tm tm;
        gmtime_r(&seconds, &tm);
        strftime(server->date, sizeof server->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        server->date_second = now;
    }
    return str_from(server->date);
}

void http_respond_status(HttpRequest *request, int status, Str reason, Str message) {
    _buf_deinit_ Buf buf = BUF_INIT(4096);
    buf_printf(&buf,
               "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
               "\"message\":\"%.*s\",\"reason\":\"%.*s\",\"code\":%d}\n",
               STR_ARG(message), STR_ARG(reason), status);
    _bytes_unref_ Bytes *body = buf_bytes(&buf);
    http_respond(request, status, STR("application/json"), body);
}

// A connection whose TLS handshake is under way.
typedef struct Handshake {
    HttpConnection base;
    TlsHandshake *handshake;
    Arena *arena;
} Handshake;

static void handshake_free(Handshake *h) {
    http_connection_deinit(&h->base);
    arena_free(h->arena);
    free(h);
}

static void handshake_abort(HttpConnection *connection) {
    Handshake *h = (Handshake *)connection;
    tls_handshake_cancel(h->handshake);
    handshake_free(h);
}

static void handshake_drain(HttpConnection *connection) {
} // it will see that the server is stopping

static const HttpConnectionOps handshake_ops = {.abort = handshake_abort, .drain = handshake_drain};

static void handshake_ready(void *user, Stream *stream, int error, const HttpPeer *peer, Str alpn) {
    Handshake *h = user;
    HttpServer *server = h->base.server;
    if (error) { // scanners and clients that don't trust us: not worth a line
        handshake_free(h);
        return;
    }
    HttpPeer *copy = http_peer_copy(peer);
    bool http2 = str_eq(alpn, STR("h2"));
    handshake_free(h);
    if (http2)
        http_h2_serve(server, stream, copy, STR(""));
    else
        http_h1_serve(server, stream, copy);
}

static void accept_fd(HttpServer *server, int fd) {
    char address[SOCKET_ADDRESS_SIZE];
    socket_peer_address(fd, address);
    socket_tune(fd);
    if (server->tls) {
        Handshake *h = calloc(1, sizeof *h);
        if (!h)
            abort();
        h->arena = arena_new();
        http_connection_init(&h->base, &handshake_ops, server, NULL);
        h->handshake = tls_accept(server->loop, server->tls, fd, h->arena, handshake_ready, h);
    } else {
        HttpPeer peer = {.address = str_from(address)};
        http_h1_serve(server, stream_from_fd(server->loop, fd), http_peer_copy(&peer));
    }
}

static void on_acceptable(void *user, int events) {
    HttpServer *server = user;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(server->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                log_warn("http", "cannot accept connections", "error=%s", strerror(errno));
                loop_fd_want(server->watch, 0);
                loop_timer_start(&server->resume, 100 * NSEC_PER_MSEC);
            } else if (errno != EAGAIN) {
                continue; // the connection died in the queue (accept(2))
            }
            return;
        }
        if (server->n_connections >= server->max_connections)
            close(fd);
        else
            accept_fd(server, fd);
    }
}

static void on_resume(void *user) {
    HttpServer *server = user;
    loop_fd_want(server->watch, LOOP_READ);
}

static int start_listening(HttpServer *server, const char *address, uint16_t port) {
    int r = socket_listen(address, port, &server->fd, &server->port);
    if (r < 0)
        return r;
    server->watch = loop_fd_new(server->loop, server->fd, on_acceptable, server);
    loop_fd_want(server->watch, LOOP_READ);
    return 0;
}

int http_server_new(const HttpServerConfig *config, HttpServer **ret) {
    HttpServer *server = calloc(1, sizeof *server);
    if (!server)
        abort();
    server->loop = config->loop;
    server->handler = config->handler;
    server->user = config->user;
    server->max_body = config->max_body ? config->max_body : DEFAULT_MAX_BODY;
    server->max_connections =
        config->max_connections ? config->max_connections : DEFAULT_MAX_CONNECTIONS;
    server->fd = -1;
    list_init(&server->connections);
    loop_timer_init(&server->resume, server->loop, on_resume, server);
    if (config->address) {
        int r = start_listening(server, config->address, config->port);
        if (r < 0) {
            free(server);
            return r;
        }
    }
    server->tls = config->tls ? tls_context_ref(config->tls) : NULL;
    *ret = server;
    return 0;
}

uint16_t http_server_port(const HttpServer *server) {
    return server->port;
}

void http_server_serve(HttpServer *server, Stream *stream, const HttpPeer *peer) {
    http_h1_serve(server, stream, http_peer_copy(peer));
}

void http_server_stop_listening(HttpServer *server) {
    if (!server->stopping) {
        server->stopping = true;
        HttpConnection *connection;
        list_for_each(connection, &server->connections, link) connection->ops->drain(connection);
    }
    if (server->fd < 0)
        return;
    loop_timer_stop(&server->resume);
    loop_fd_free(server->watch);
    close(server->fd);
    server->watch = NULL;
    server->fd = -1;
}

void http_server_free(HttpServer *server) {
    if (!server)
        return;
    http_server_stop_listening(server);
    while (!list_is_empty(&server->connections)) {
        ListLink *first = list_first(&server->connections);
        HttpConnection *connection = container_of(first, HttpConnection, link);
        connection->ops->abort(connection);
    }
    if (server->tls)
        tls_context_unref(server->tls);
    free(server);
}
