#pragma once
// TLS 1.2 and 1.3 by OpenSSL, on non-blocking descriptors, as Streams.

#include "base/stream.h"
#include "http/message.h"

typedef struct TlsContext
    TlsContext; // reference-counted; certificates may be replaced while in use

// Before anything of OpenSSL's is called, or it has no effect: leaves out the texts of OpenSSL's
// errors, which cost 500 KiB and which nobody here shows (pki/openssl.c loads them when it must).
void tls_init(void);
// PEM everywhere. `client_ca` may be empty: then client certificates are not asked for; otherwise
// one is asked for, and the connection goes on whatever is shown: HttpPeer says what it was
// (certificate, certificate_error), and the authenticator judges. Returns 0, -EINVAL (no PEM, key
// and certificate that don't match).
int tls_server_context(Str certificate_chain, Str key, Str client_ca, bool http2, TlsContext **ret)
    __attribute__((warn_unused_result));
// `ca` empty: the system's. `certificate`/`key` may be empty. `server_name` is verified (DNS name
// or IP).
int tls_client_context(Str ca, Str certificate, Str key, Str server_name, bool http2,
                       TlsContext **ret) __attribute__((warn_unused_result));
// Verifies nothing (HTTPS probes, kubelet's way). `server_name` may be empty; else it is sent
// (SNI).
int tls_client_context_unverified(Str server_name, bool http2, TlsContext **ret)
    __attribute__((warn_unused_result));
bool tls_context_offers_http2(const TlsContext *context);
// For connections made from now on (rotation); CA and names stay. Thread-safe.
int tls_context_replace(TlsContext *context, Str certificate_chain, Str key)
    __attribute__((warn_unused_result));
TlsContext *tls_context_ref(TlsContext *context);
void tls_context_unref(TlsContext *context);

// Takes the connected, non-blocking descriptor. `on_ready` once the handshake is done, with the
// peer's identity filled in (strings in `arena`) and the ALPN protocol, or with an error (-EPROTO,
// -EKEYREJECTED: the server's certificate does not verify, -ETIMEDOUT, -ECONNRESET); then the
// stream is NULL. The handshake has 10 s.
typedef struct TlsHandshake TlsHandshake; // gone when on_ready is called
typedef void (*TlsReady)(void *user, Stream *stream, int error, const HttpPeer *peer, Str alpn);
TlsHandshake *tls_accept(Loop *loop, TlsContext *context, int fd, Arena *arena, TlsReady on_ready,
                         void *user);
TlsHandshake *tls_connect(Loop *loop, TlsContext *context, int fd, Arena *arena, TlsReady on_ready,
                          void *user);
// The same without offering HTTP/2, for upgrades.
TlsHandshake *tls_connect_http1(Loop *loop, TlsContext *context, int fd, Arena *arena,
                                TlsReady on_ready, void *user);
void tls_handshake_cancel(TlsHandshake *handshake); // closes; no callback
