#pragma once
// One exchange as a handler sees it, whatever carried it: HTTP/1.1, HTTP/2, or a call inside the
// process. A handler answers now or later (it must not block), in one piece or as a stream.
// Everything is on the loop of the server that took the request.

#include "base/arena.h"
#include "base/bytes.h"
#include "base/loop.h"
#include "base/stream.h"

typedef struct HttpHeader {
    Str name, value;
} HttpHeader;

// Who is at the other end. The authenticator turns it into a user.
typedef struct HttpPeer {
    Str address;           // "10.0.0.7:41234"; "@" for a call inside the process
    Str certificate_error; // a client certificate was shown that does not verify, and why: answer
                           // 401
    bool certificate;      // a verified client certificate was shown:
    Str common_name;       //   its subject
    const Str *organizations;
    size_t n_organizations;
    bool local; // a call inside the process, trusted to be:
    Str user;
    const Str *groups;
    size_t n_groups;
} HttpPeer;

typedef struct HttpRequest HttpRequest;

typedef struct HttpRequestOps { // implemented by h1.c, h2.c, local.c
    void (*head)(HttpRequest *request, int status, const HttpHeader *headers, size_t n);
    void (*data)(HttpRequest *request, Bytes *data); // takes its own reference
    size_t (*queued)(const HttpRequest *request);
    void (*end)(HttpRequest *request);
    void (*abort)(HttpRequest *request);
    Stream *(*upgrade)(HttpRequest *request, const HttpHeader *headers, size_t n);
} HttpRequestOps;

struct HttpRequest {
    Arena *arena; // freed after the exchange is over and on_close was called
    Loop *loop;
    Str method; // "GET"
    Str path;   // as sent, still percent-encoded, no query
    Str query;  // after '?', as sent
    const HttpHeader *headers;
    size_t n_headers;
    Str body; // whole; HTTP/1.1 and HTTP/2 alike. Larger than the server's limit never gets here
              // (413)
    HttpPeer peer;
    int version; // 1 or 2; 0 inside the process
    // The handler's hooks, all may stay NULL.
    void *user;
    void (*on_drain)(HttpRequest *request); // queue fell below STREAM_LOW_WATER
    // Once, last, always: the exchange is over (`completed`), or the peer went away. The request is
    // freed after it. Nothing may be answered any more.
    void (*on_close)(HttpRequest *request, bool completed);
    const HttpRequestOps *ops; // private
};

Str http_header(const HttpRequest *request, Str name); // first value, name without case; STR_NONE
bool http_header_has_token(const HttpRequest *request, Str name,
                           Str token); // comma-separated lists
// Query parameters, decoded (%XX and '+') into the arena. STR_NONE when absent; "" when without
// value.
Str http_query(const HttpRequest *request, Str name);
// All values of a repeated parameter (exec's `command`). Returns how many.
size_t http_query_all(const HttpRequest *request, Str name, const Str **ret_values);
int http_percent_decode(Arena *arena, Str text, Str *ret); // 0 or -EINVAL
Str http_percent_encode(Arena *arena, Str text);           // everything but unreserved characters

// A whole answer. `content_type` may be STR_NONE with an empty body. `body` may be NULL; a
// reference is taken. Large bodies are gzipped when the client accepts it (over 128 KiB, as the API
// server does).
void http_respond(HttpRequest *request, int status, Str content_type, Bytes *body);
// The same with more headers (Warning, ETag, Retry-After...).
void http_respond_with(HttpRequest *request, int status, const HttpHeader *headers, size_t n,
                       Bytes *body);
// A streamed answer: head, data..., end. Chunked in HTTP/1.1; every data call is flushed.
static inline void http_respond_head(HttpRequest *r, int status, const HttpHeader *h, size_t n) {
    r->ops->head(r, status, h, n);
}
static inline void http_respond_data(HttpRequest *r, Bytes *data) {
    r->ops->data(r, data);
}
static inline size_t http_respond_queued(const HttpRequest *r) {
    return r->ops->queued(r);
}
static inline void http_respond_end(HttpRequest *r) {
    r->ops->end(r);
}
// Cuts the exchange (a watcher that is too slow): HTTP/2 RST_STREAM, HTTP/1.1 closes the
// connection.
static inline void http_respond_abort(HttpRequest *r) {
    r->ops->abort(r);
}
// Answers 101 with these headers (Upgrade, Sec-WebSocket-*...) and hands the connection over as a
// raw stream; bytes that already arrived behind the request come first. on_close(completed) follows
// at once. NULL when the exchange can't be upgraded (HTTP/2): answer 400 then.
static inline Stream *http_upgrade(HttpRequest *r, const HttpHeader *h, size_t n) {
    return r->ops->upgrade(r, h, n);
}
typedef void (*HttpHandler)(void *user, HttpRequest *request);
const char *http_reason(int status); // "Not Found"
