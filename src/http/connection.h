#pragma once
// What the server and its connections (h1.c, h2.c) know of each other.

#include "http/server.h"

#define HTTP_HEAD_TIMEOUT (10 * NSEC_PER_SEC)
#define HTTP_IDLE_TIMEOUT (180 * NSEC_PER_SEC)
#define HTTP_BODY_TIMEOUT (30 * NSEC_PER_SEC)   // without a byte of a body that is awaited
#define HTTP_BODY_DEADLINE (120 * NSEC_PER_SEC) // for all of it: 3 MiB at 26 KiB/s
// All bodies that are held in memory at one time, of all connections; above it requests get 429.
#define HTTP_MAX_BODIES (256UL * 1024 * 1024)

typedef struct HttpConnection HttpConnection;

typedef struct HttpConnectionOps {
    // Cuts the connection at once: on_close of its requests, then frees it.
    void (*abort)(HttpConnection *connection);
    // Closes once the exchanges at hand are over. Frees nothing from inside.
    void (*drain)(HttpConnection *connection);
} HttpConnectionOps;

struct HttpConnection { // first member of every kind of connection
    const HttpConnectionOps *ops;
    HttpServer *server;
    ListLink link;
    HttpPeer *peer; // one allocation
};

struct HttpServer {
    Loop *loop;
    TlsContext *tls;
    HttpHandler handler;
    void *user;
    size_t max_body, max_connections;
    size_t n_connections, held_bodies;
    List connections;
    int fd;
    uint16_t port;
    bool stopping; // no connection is kept alive
    LoopFd *watch;
    LoopTimer resume; // listening again after the process ran out of descriptors
    int64_t date_second;
    char date[32];
};

// Both take the stream and the peer. `first` are bytes that were read from the stream already.
void http_h1_serve(HttpServer *server, Stream *stream, HttpPeer *peer);
void http_h2_serve(HttpServer *server, Stream *stream, HttpPeer *peer, Str first);

void http_connection_init(HttpConnection *connection, const HttpConnectionOps *ops,
                          HttpServer *server, HttpPeer *peer);
void http_connection_deinit(HttpConnection *connection); // leaves the server's list, frees the peer

// Accounts for `len` more bytes of request bodies; false when the server holds too many.
bool http_server_hold(HttpServer *server, size_t len);
void http_server_release(HttpServer *server, size_t len);
Str http_server_date(HttpServer *server); // for the Date header
// How long the next byte of a body that began to arrive at `begun` (loop_now()) may take.
int64_t http_body_patience(Loop *loop, int64_t begun);
// `value` without what would end a header line: the value itself, or a copy in the arena.
Str http_header_value(Arena *arena, Str value);

HttpPeer *http_peer_copy(const HttpPeer *peer); // one allocation, for free(3)

// Answers with a Status object, for what the server itself refuses.
void http_respond_status(HttpRequest *request, int status, Str reason, Str message);
