#pragma once
// Calls to one origin, over pooled HTTP/1.1 connections or one HTTP/2 connection, or straight into
// a handler of this process. Callbacks come on the client's loop, never from inside http_call().

#include "http/message.h"
#include "http/tls.h"

typedef struct HttpClient HttpClient;
typedef struct HttpCall HttpCall;

typedef struct HttpCallEvents {
    // Interim 1xx answers are not shown. Headers are valid during the call.
    void (*on_head)(void *user, int status, const HttpHeader *headers, size_t n);
    void (*on_data)(void *user, Str data);
    // Instead of on_data where the answer comes from this process: the very block that the handler
    // gave, which may be kept by a reference. May be NULL.
    void (*on_bytes)(void *user, Bytes *data);
    // Header fields behind the body, of HTTP/2 alone; may be NULL. Valid during the call.
    void (*on_trailers)(void *user, const HttpHeader *headers, size_t n);
    // Last, once: 0 when the answer is complete, else negative errno with a message for people. The
    // call is gone.
    void (*on_done)(void *user, int error, Str message);
    // For calls with `upgrade`: the answer was 101. The stream is the callee's; the call is gone
    // (no on_done).
    void (*on_upgrade)(void *user, Stream *stream, const HttpHeader *headers,
                       size_t n); // may be NULL
} HttpCallEvents;

typedef struct HttpCallSpec {
    Str method, target; // target: path and query as sent
    const HttpHeader *headers;
    size_t n_headers;
    Bytes *body;        // NULL: none; a reference is taken
    bool upgrade;       // wants a connection of its own, HTTP/1.1
    int64_t timeout_ns; // until on_head; 0: 30 s
} HttpCallSpec;

// Makes a connected stream; used where plain TCP will not do (a tunnel, a socketpair). Must call
// `ready(ready_user, stream, 0)` or with NULL and a negative errno, later, on the loop.
typedef void (*HttpDial)(void *user, void (*ready)(void *ready_user, Stream *stream, int error),
                         void *ready_user);

typedef struct HttpClientConfig {
    Loop *loop;
    Str host; // for connecting and the Host header
    uint16_t port;
    TlsContext *tls; // NULL: plain
    bool http2;      // plain connections begin with HTTP/2, which the server is known to speak (gRPC)
    HttpDial dial;   // NULL: TCP
    void *dial_user;
} HttpClientConfig;
int http_client_new(const HttpClientConfig *config, HttpClient **ret)
    __attribute__((warn_unused_result));
// Calls go to `handler`, which runs on `handler_loop` (may be `loop`), as `peer` (local = true;
// copied).
HttpClient *http_client_new_local(Loop *loop, Loop *handler_loop, HttpHandler handler,
                                  void *handler_user, const HttpPeer *peer);
void http_client_free(HttpClient *client); // cancels open calls silently

HttpCall *http_call(HttpClient *client, const HttpCallSpec *spec, const HttpCallEvents *events,
                    void *user);
void http_call_cancel(HttpCall *call);             // no further callback
void http_call_pause(HttpCall *call, bool paused); // backpressure on on_data
