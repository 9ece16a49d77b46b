#pragma once
// TLS 1.2 and 1.3 by OpenSSL, on non-blocking descriptors, as Streams.

#include "base/stream.h"
#include "http/message.h"

typedef struct TlsContext TlsContext; // reference-counted; certificates may be replaced while in use

// PEM everywhere. `client_ca` may be empty: then client certificates are not asked for; otherwise one is asked
// for, verified when shown, and the connection goes on without when none is shown.
int tls_server_context(Str certificate_chain, Str key, Str client_ca, bool http2, TlsContext **ret)
    __attribute__((warn_unused_result));
// `ca` empty: the system's. `certificate`/`key` may be empty. `server_name` is verified (DNS name or IP).
int tls_client_context(Str ca, Str certificate, Str key, Str server_name, bool http2, TlsContext **ret)
    __attribute__((warn_unused_result));
int tls_context_replace(TlsContext *context, Str certificate_chain, Str key); // rotation
TlsContext *tls_context_ref(TlsContext *context);
void tls_context_unref(TlsContext *context);

// Takes the connected, non-blocking descriptor. `on_ready` once the handshake is done, with the peer's
// identity filled in (strings in `arena`) and the ALPN protocol, or with an error; then the stream is gone.
// The handshake has 10 s.
typedef void (*TlsReady)(void *user, Stream *stream, int error, const HttpPeer *peer, Str alpn);
void tls_accept(Loop *loop, TlsContext *context, int fd, Arena *arena, TlsReady on_ready, void *user);
void tls_connect(Loop *loop, TlsContext *context, int fd, Arena *arena, TlsReady on_ready, void *user);
