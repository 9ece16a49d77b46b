#pragma once
// Makes one connection: resolves, connects, shakes hands.

#include "http/client.h"

typedef struct Dial Dial;

typedef struct DialSpec {
    Loop *loop;
    const char *host; // name or address; copied
    uint16_t port;
    TlsContext *tls; // may be NULL
    bool http1;      // do not offer HTTP/2
    HttpDial dial;   // replaces TCP when set
    void *dial_user;
} DialSpec;

// `on_done` comes once, later. Addresses are tried in turn, 10 s each.
Dial *dial_start(const DialSpec *spec,
                 void (*on_done)(void *user, Stream *stream, int error, bool http2), void *user);
void dial_cancel(Dial *dial); // no callback
