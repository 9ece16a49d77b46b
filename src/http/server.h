#pragma once
#include "http/message.h"
#include "http/tls.h"

typedef struct HttpServer HttpServer;

typedef struct HttpServerConfig {
    Loop *loop;
    const char
        *address;    // "0.0.0.0", "::", "127.0.0.1"; NULL: does not listen (http_server_serve only)
    uint16_t port;   // 0: any
    TlsContext *tls; // NULL: plain text
    HttpHandler handler;
    void *user;
    size_t max_body;        // 0: 3 MiB; larger bodies get 413 with a Status body
    size_t max_connections; // 0: 10,000; further ones are closed at once
} HttpServerConfig;

// Returns 0 or negative errno (-EADDRINUSE, -EACCES). HTTP/1.1 (keep-alive, pipelining served in
// order, chunked bodies, Expect: 100-continue) and HTTP/2 (ALPN or prior knowledge). Headers are
// limited to 1 MiB, request lines to 64 KiB, 10 s to send a request's head, 30 s between pieces of
// a body and 120 s for all of it, idle keep-alive connections 180 s.
int http_server_new(const HttpServerConfig *config, HttpServer **ret)
    __attribute__((warn_unused_result));
uint16_t http_server_port(const HttpServer *server);
// Serves one more connection that somebody else made (a socketpair, a tunnel). Takes the stream.
void http_server_serve(HttpServer *server, Stream *stream, const HttpPeer *peer);
// No new connections; open ones are closed after the exchange at hand.
void http_server_stop_listening(HttpServer *server);
// Aborts what is open; on_close of each request is called. Not from inside a handler. Streams of
// upgraded connections are their owners'.
void http_server_free(HttpServer *server);
