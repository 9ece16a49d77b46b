// What a connection is made with: certificates, keys, what to verify.

#include "http/tls_context.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct TlsContext {
    _Atomic uint32_t references;
    bool server, http2, verify;
    char *server_name; // clients: NULL or what to verify and to send
    X509_STORE *ca;    // NULL: the system's (clients), none (servers)
    STACK_OF(X509_NAME) * ca_names;
    pthread_mutex_t lock; // for `current`
    SSL_CTX *current;
};

static const unsigned char protocols[] = "\x02h2\x08http/1.1";

static BIO *bio_of(Str pem) {
    return BIO_new_mem_buf(pem.ptr ? pem.ptr : "", (int)pem.len);
}

static int load_ca(TlsContext *context, Str pem) {
    context->ca = X509_STORE_new();
    context->ca_names = sk_X509_NAME_new_null();
    BIO *bio = bio_of(pem);
    if (!context->ca || !context->ca_names || !bio)
        abort();
    int n = 0;
    X509 *certificate;
    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        X509_NAME *name = X509_NAME_dup(X509_get_subject_name(certificate));
        if (X509_STORE_add_cert(context->ca, certificate) == 1)
            n++;
        if (name)
            sk_X509_NAME_push(context->ca_names, name);
        X509_free(certificate);
    }
    BIO_free(bio);
    ERR_clear_error();
    return n ? 0 : -EINVAL;
}

static int use_chain(SSL_CTX *ctx, Str chain) {
    BIO *bio = bio_of(chain);
    if (!bio)
        abort();
    int r = -EINVAL;
    X509 *leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (leaf && SSL_CTX_use_certificate(ctx, leaf) == 1) {
        r = 0;
        X509 *issuer;
        while (r == 0 && (issuer = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
            if (SSL_CTX_add0_chain_cert(ctx, issuer) != 1) {
                X509_free(issuer);
                r = -EINVAL;
            }
    }
    X509_free(leaf);
    BIO_free(bio);
    return r;
}

static int use_key(SSL_CTX *ctx, Str pem) {
    BIO *bio = bio_of(pem);
    if (!bio)
        abort();
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    int r = key && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    return r ? 0 : -EINVAL;
}

// Client certificates are judged by the authenticator, so a bad one does not end the handshake; the
// result of the verification stays with the connection (SSL_get_verify_result).
static int verify_client(X509_STORE_CTX *store, void *user) {
    X509_verify_cert(store);
    return 1;
}

static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *user) {
    const TlsContext *context = user;
    const unsigned char *ours = context->http2 ? protocols : protocols + 3;
    unsigned len = sizeof protocols - 1 - (context->http2 ? 0 : 3);
    if (SSL_select_next_proto((unsigned char **)out, out_len, ours, len, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    return SSL_TLSEXT_ERR_OK;
}

static void set_up_server(TlsContext *context, SSL_CTX *ctx) {
    static const unsigned char id[] = "seapod";
    SSL_CTX_set_session_id_context(ctx, id, sizeof id - 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); // tickets need no memory here
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_alpn_select_cb(ctx, select_protocol, context);
    if (!context->ca)
        return;
    SSL_CTX_set1_cert_store(ctx, context->ca);
    SSL_CTX_set_client_CA_list(ctx, SSL_dup_CA_list(context->ca_names));
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, verify_client, NULL);
}

static void set_up_client(TlsContext *context, SSL_CTX *ctx) {
    SSL_CTX_set_verify(ctx, context->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    if (!context->verify)
        return;
    if (context->ca)
        SSL_CTX_set1_cert_store(ctx, context->ca);
    else
        SSL_CTX_set_default_verify_paths(ctx);
}

void tls_init(void) {
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS, NULL);
}

static int make_ctx(TlsContext *context, Str chain, Str key, SSL_CTX **ret) {
    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_SSL_STRINGS, NULL); // see tls_init()
    SSL_CTX *ctx = SSL_CTX_new(context->server ? TLS_server_method() : TLS_client_method());
    if (!ctx)
        abort();
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    // An idle connection gives its record buffers (34 KiB) back.
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (context->server)
        set_up_server(context, ctx);
    else
        set_up_client(context, ctx);
    int r = 0;
    if (chain.len || context->server) {
        r = use_chain(ctx, chain);
        if (r == 0)
            r = use_key(ctx, key);
    }
    ERR_clear_error();
    if (r < 0) {
        SSL_CTX_free(ctx);
        return r;
    }
    *ret = ctx;
    return 0;
}

static TlsContext *context_new(bool server, bool http2) {
    TlsContext *context = calloc(1, sizeof *context);
    if (!context)
        abort();
    context->references = 1;
    context->server = server;
    context->http2 = http2;
    pthread_mutex_init(&context->lock, NULL);
    return context;
}

static int context_finish(TlsContext *context, int r, Str chain, Str key, TlsContext **ret) {
    if (r == 0)
        r = make_ctx(context, chain, key, &context->current);
    if (r < 0) {
        tls_context_unref(context);
        return r;
    }
    *ret = context;
    return 0;
}

int tls_server_context(Str certificate_chain, Str key, Str client_ca, bool http2,
                       TlsContext **ret) {
    TlsContext *context = context_new(true, http2);
    int r = client_ca.len ? load_ca(context, client_ca) : 0;
    return context_finish(context, r, certificate_chain, key, ret);
}

static int set_server_name(TlsContext *context, Str name) {
    if (name.len == 0 || name.len > 255 || memchr(name.ptr, '\0', name.len))
        return -EINVAL;
    context->server_name = strndup(name.ptr, name.len);
    if (!context->server_name)
        abort();
    return 0;
}

int tls_client_context(Str ca, Str certificate, Str key, Str server_name, bool http2,
                       TlsContext **ret) {
    TlsContext *context = context_new(false, http2);
    context->verify = true;
    int r = set_server_name(context, server_name);
    if (r == 0 && ca.len)
        r = load_ca(context, ca);
    return context_finish(context, r, certificate, key, ret);
}

int tls_client_context_unverified(Str server_name, bool http2, TlsContext **ret) {
    TlsContext *context = context_new(false, http2);
    int r = server_name.len ? set_server_name(context, server_name) : 0;
    return context_finish(context, r, STR_NONE, STR_NONE, ret);
}

bool tls_context_offers_http2(const TlsContext *context) {
    return context->http2;
}

int tls_context_replace(TlsContext *context, Str certificate_chain, Str key) {
    SSL_CTX *ctx;
    int r = make_ctx(context, certificate_chain, key, &ctx);
    if (r < 0)
        return r;
    pthread_mutex_lock(&context->lock);
    SSL_CTX *old = context->current;
    context->current = ctx;
    pthread_mutex_unlock(&context->lock);
    SSL_CTX_free(old); // open connections hold their own reference
    return 0;
}

TlsContext *tls_context_ref(TlsContext *context) {
    atomic_fetch_add(&context->references, 1);
    return context;
}

void tls_context_unref(TlsContext *context) {
    if (!context || atomic_fetch_sub(&context->references, 1) != 1)
        return;
    SSL_CTX_free(context->current);
    X509_STORE_free(context->ca);
    sk_X509_NAME_pop_free(context->ca_names, X509_NAME_free);
    pthread_mutex_destroy(&context->lock);
    free(context->server_name);
    free(context);
}

static void name_server(const TlsContext *context, SSL *ssl) {
    if (!context->server_name)
        return;
    unsigned char address[16];
    X509_VERIFY_PARAM *parameters = SSL_get0_param(ssl);
    if (inet_pton(AF_INET, context->server_name, address) == 1 ||
        inet_pton(AF_INET6, context->server_name, address) == 1) {
        X509_VERIFY_PARAM_set1_ip_asc(parameters, context->server_name);
        return;
    }
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    X509_VERIFY_PARAM_set1_host(parameters, context->server_name, 0);
    SSL_set_tlsext_host_name(ssl, context->server_name);
}

SSL *tls_context_ssl(TlsContext *context, bool http1) {
    pthread_mutex_lock(&context->lock);
    SSL *ssl = SSL_new(context->current);
    pthread_mutex_unlock(&context->lock);
    if (!ssl)
        abort();
    if (context->server) {
        SSL_set_accept_state(ssl);
        return ssl;
    }
    bool http2 = context->http2 && !http1;
    SSL_set_alpn_protos(ssl, http2 ? protocols : protocols + 3,
                        sizeof protocols - 1 - (http2 ? 0 : 3));
    name_server(context, ssl);
    SSL_set_connect_state(ssl);
    return ssl;
}
