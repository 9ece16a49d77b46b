// TLS connections as Streams.

#include "http/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/stream_queue.h"
#include "http/socket.h"
#include "http/tls_context.h"

#define HANDSHAKE_TIMEOUT (10 * NSEC_PER_SEC)
#define LINGER (10 * NSEC_PER_SEC)
#define GOODBYE (2 * NSEC_PER_SEC) // for the peer to end as well
#define READ_SIZE (16 * 1024)      // one record
#define READS_PER_TURN 16          // then others get their turn

typedef struct TlsStream {
    Stream stream;
    SSL *ssl;
    int fd;
    LoopFd *watch;
    StreamQueue queue;
    LoopTask task;   // reads what OpenSSL holds already; on_close
    LoopTimer timer; // handshake, linger
    bool started, paused;
    bool read_wants_write, write_wants_read;
    bool read_ended, write_ending, write_ended, closing;
    bool discarding; // closing, everything is out: the peer's bytes are read and dropped
    int broken;      // writing failed with this; what the peer sent before is still read
    bool finished;   // on_close is on its way; nothing but abort() counts any more
    int error;
    int busy;
    bool dead;
    TlsHandshake *handshake; // while it is under way
} TlsStream;

struct TlsHandshake {
    TlsStream *stream;
    Arena *arena;
    TlsReady on_ready;
    void *user;
    bool server;
};

static TlsStream *of(Stream *stream) {
    return (TlsStream *)stream;
}

static void destroy(TlsStream *s) {
    loop_task_cancel(s->stream.loop, &s->task);
    loop_timer_stop(&s->timer);
    if (s->watch)
        loop_fd_free(s->watch);
    s->watch = NULL;
    if (s->ssl)
        SSL_free(s->ssl);
    s->ssl = NULL;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    stream_queue_clear(&s->queue);
    s->dead = true;
    if (s->busy == 0)
        free(s);
}

static void enter(TlsStream *s) {
    s->busy++;
}

static bool leave(TlsStream *s) {
    if (--s->busy == 0 && s->dead) {
        free(s);
        return false;
    }
    return !s->dead;
}

static void finish(TlsStream *s, int error) {
    if (s->finished)
        return;
    s->finished = true;
    s->error = error;
    loop_timer_stop(&s->timer);
    loop_fd_want(s->watch, 0);
    if (s->started)
        loop_post(s->stream.loop, &s->task);
}

static void finish_if_ended(TlsStream *s) {
    if (s->read_ended && s->write_ended)
        finish(s, s->broken);
}

static bool can_read(const TlsStream *s) {
    return s->started && !s->paused && !s->read_ended && !s->closing && !s->finished;
}

static void update_watch(TlsStream *s) {
    if (s->finished || s->dead)
        return;
    int wanted = 0;
    if (can_read(s))
        wanted |= s->read_wants_write ? LOOP_READ | LOOP_WRITE : LOOP_READ;
    if (s->discarding)
        wanted |= LOOP_READ;
    if (s->queue.len)
        wanted |= s->write_wants_read ? LOOP_READ : LOOP_WRITE;
    loop_fd_want(s->watch, wanted);
}

// What a failed SSL_* call means: -EAGAIN, or the error to end with. A system error shows in errno.
static int failure(TlsStream *s, int result, bool *ret_other_direction, int other) {
    int saved = errno;
    int code = SSL_get_error(s->ssl, result);
    ERR_clear_error();
    *ret_other_direction = code == other;
    if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE)
        return -EAGAIN;
    if (code == SSL_ERROR_SYSCALL)
        return saved ? -saved : -ECONNRESET;
    return -EPROTO;
}

// ---- writing ----

// Ends our direction: close_notify, then FIN.
static void end_writing(TlsStream *s) {
    if (!s->write_ended) {
        s->write_ended = true;
        SSL_shutdown(s->ssl);
        ERR_clear_error();
        shutdown(s->fd, SHUT_WR);
    }
    finish_if_ended(s);
    if (!s->closing || s->finished)
        return;
    // Closing a socket that holds unread bytes, or gets some, resets the connection, and the peer
    // could lose what we sent last.
    s->discarding = true;
    loop_timer_start(&s->timer, GOODBYE);
}

static void discard_input(TlsStream *s) {
    char buffer[READ_SIZE];
    for (int i = 0; i < READS_PER_TURN; i++) {
        ssize_t n = read(s->fd, buffer, sizeof buffer);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            finish(s, 0);
            return;
        }
        if (n < 0)
            return;
    }
}

// The peer takes no more. What it sent before it left (an answer, the last words of a command) may
// not have been read yet.
static void fail_writing(TlsStream *s, int error) {
    char unread;
    bool more = SSL_has_pending(s->ssl) || recv(s->fd, &unread, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
    if (!s->started || s->closing || s->read_ended || !more) {
        finish(s, error);
        return;
    }
    s->broken = error;
    s->write_ending = s->write_ended = true;
    stream_queue_clear(&s->queue);
    loop_timer_start(&s->timer, LINGER);
}

// Sends what the connection takes. Calls no event.
static void flush(TlsStream *s) {
    while (s->queue.len && !s->finished) {
        struct iovec part;
        stream_queue_peek(&s->queue, &part, 1);
        int len = part.iov_len > INT32_MAX ? INT32_MAX : (int)part.iov_len;
        ERR_clear_error();
        errno = 0;
        int n = SSL_write(s->ssl, part.iov_base, len);
        if (n > 0) {
            stream_queue_consume(&s->queue, (size_t)n);
            continue;
        }
        int r = failure(s, n, &s->write_wants_read, SSL_ERROR_WANT_READ);
        if (r != -EAGAIN)
            fail_writing(s, r);
        break;
    }
    if (!s->queue.len && s->write_ending && !s->finished && !s->broken)
        end_writing(s);
    update_watch(s);
}

static bool write_some(TlsStream *s) {
    flush(s);
    if (s->finished || !s->started || !stream_queue_has_drained(&s->queue) ||
        !s->stream.events->on_drain)
        return true;
    enter(s);
    s->stream.events->on_drain(s->stream.user);
    return leave(s);
}

// ---- reading ----

static void end_reading(TlsStream *s) {
    s->read_ended = true;
    update_watch(s);
    enter(s);
    s->stream.events->on_end(s->stream.user);
    if (leave(s))
        finish_if_ended(s);
}

static void read_some(TlsStream *s) {
    char buffer[READ_SIZE];
    for (int i = 0; i < READS_PER_TURN && can_read(s); i++) {
        ERR_clear_error();
        errno = 0;
        int n = SSL_read(s->ssl, buffer, sizeof buffer);
        if (n > 0) {
            if (s->broken)
                loop_timer_start(&s->timer, LINGER);
            enter(s);
            s->stream.events->on_data(s->stream.user, str_of(buffer, (size_t)n));
            if (!leave(s))
                return;
            continue;
        }
        if (SSL_get_error(s->ssl, n) == SSL_ERROR_ZERO_RETURN) {
            ERR_clear_error();
            end_reading(s);
            return;
        }
        int r = failure(s, n, &s->read_wants_write, SSL_ERROR_WANT_WRITE);
        if (r != -EAGAIN)
            finish(s, s->broken ? s->broken : r);
        update_watch(s);
        return;
    }
    // The descriptor does not tell of what OpenSSL has read ahead.
    if (can_read(s) && SSL_has_pending(s->ssl))
        loop_post(s->stream.loop, &s->task);
}

static void shake(TlsHandshake *h);

static void on_ready(void *user, int events) {
    TlsStream *s = user;
    if (s->handshake) {
        shake(s->handshake);
        return;
    }
    enter(s);
    bool alive = true;
    bool readable = events & (LOOP_READ | LOOP_HANGUP),
         writable = events & (LOOP_WRITE | LOOP_HANGUP);
    if (s->queue.len && (s->write_wants_read ? readable : writable))
        alive = write_some(s);
    if (alive && s->discarding && readable)
        discard_input(s);
    if (alive && can_read(s) && (readable || (s->read_wants_write && writable)))
        read_some(s);
    if (!s->dead && !s->finished && !s->broken && (events & LOOP_HANGUP) && !can_read(s)) {
        int error = socket_error(s->fd);
        fail_writing(s, error ? error : -ECONNRESET);
        update_watch(s);
    }
    leave(s);
}

static void on_task(void *user) {
    TlsStream *s = user;
    if (s->finished) {
        const StreamEvents *events = s->stream.events;
        void *owner = s->stream.user;
        int error = s->error;
        destroy(s);
        events->on_close(owner, error);
        return;
    }
    enter(s);
    if (can_read(s))
        read_some(s);
    leave(s);
}

// ---- the Stream ----

static void op_start(Stream *stream) {
    of(stream)->started = true;
    loop_post(stream->loop, &of(stream)->task); // for what was read along with the handshake
    update_watch(of(stream));
}

static bool may_write(TlsStream *s) {
    return !s->finished && !s->closing && !s->write_ending;
}

static void op_write(Stream *stream, Str data) {
    TlsStream *s = of(stream);
    if (!data.len || !may_write(s))
        return;
    if (!s->queue.len && data.len <= INT32_MAX) { // usually it fits, and then needs no copy
        ERR_clear_error();
        errno = 0;
        int n = SSL_write(s->ssl, data.ptr, (int)data.len);
        if (n > 0) {
            data = str_slice(data, (size_t)n, data.len);
        } else {
            int r = failure(s, n, &s->write_wants_read, SSL_ERROR_WANT_READ);
            if (r != -EAGAIN) {
                fail_writing(s, r);
                update_watch(s);
                return;
            }
        }
    }
    stream_queue_write(&s->queue, data);
    flush(s);
}

static void op_write_bytes(Stream *stream, Bytes *bytes) {
    TlsStream *s = of(stream);
    if (!bytes->len || !may_write(s))
        return;
    bool was_empty = !s->queue.len;
    stream_queue_write_bytes(&s->queue, bytes);
    if (was_empty)
        flush(s);
}

static size_t op_queued(const Stream *stream) {
    return ((const TlsStream *)stream)->queue.len;
}

static void op_pause(Stream *stream, bool paused) {
    TlsStream *s = of(stream);
    s->paused = paused;
    if (!paused && s->started && !s->finished)
        loop_post(stream->loop, &s->task);
    update_watch(s);
}

static void op_end(Stream *stream) {
    TlsStream *s = of(stream);
    if (s->write_ending || s->finished)
        return;
    s->write_ending = true;
    flush(s);
}

static void op_close(Stream *stream) {
    TlsStream *s = of(stream);
    if (s->closing || s->finished)
        return;
    if (s->broken) {
        finish(s, s->broken);
        return;
    }
    s->closing = s->write_ending = true;
    loop_timer_start(&s->timer, LINGER);
    flush(s);
}

static void op_abort(Stream *stream) {
    destroy(of(stream));
}

static const StreamOps stream_ops = {
    .start = op_start,
    .write = op_write,
    .write_bytes = op_write_bytes,
    .queued = op_queued,
    .pause = op_pause,
    .end = op_end,
    .close = op_close,
    .abort = op_abort,
};

static void on_linger(void *user) {
    finish(user, -ETIMEDOUT);
}

// ---- who is there ----

static Str name_entry(Arena *arena, const X509_NAME *name, int index) {
    const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, index);
    unsigned char *text;
    int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(entry));
    if (len < 0)
        return STR("");
    Str copy = arena_str(arena, str_of(text, (size_t)len));
    OPENSSL_free(text);
    return copy;
}

static Str common_name(Arena *arena, const X509_NAME *name) {
    int at = -1, last = -1; // Go takes the last one as well
    while ((at = X509_NAME_get_index_by_NID((X509_NAME *)name, NID_commonName, at)) >= 0)
        last = at;
    return last < 0 ? STR("") : name_entry(arena, name, last);
}

static size_t organizations(Arena *arena, const X509_NAME *name, const Str **ret) {
    int count = X509_NAME_entry_count(name), at = -1;
    Str *list = arena_array_of(arena, Str, count + 1);
    size_t n = 0;
    while ((at = X509_NAME_get_index_by_NID((X509_NAME *)name, NID_organizationName, at)) >= 0)
        list[n++] = name_entry(arena, name, at);
    *ret = list;
    return n;
}

static void identify(TlsHandshake *h, HttpPeer *peer) {
    SSL *ssl = h->stream->ssl;
    char address[SOCKET_ADDRESS_SIZE];
    socket_peer_address(h->stream->fd, address);
    *peer = (HttpPeer){.address = arena_str(h->arena, str_from(address))};
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    if (!certificate)
        return;
    long result = SSL_get_verify_result(ssl);
    // A resumed session was verified when it was new.
    if (result == X509_V_OK && X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        result = X509_V_ERR_CERT_HAS_EXPIRED;
    if (result != X509_V_OK && h->server) {
        peer->certificate_error =
            arena_str(h->arena, str_from(X509_verify_cert_error_string(result)));
        return;
    }
    const X509_NAME *subject = X509_get_subject_name(certificate);
    peer->certificate = result == X509_V_OK;
    peer->common_name = common_name(h->arena, subject);
    peer->n_organizations = organizations(h->arena, subject, &peer->organizations);
}

// ---- the handshake ----

static void handshake_done(TlsHandshake *h, int error) {
    TlsStream *s = h->stream;
    TlsReady on_ready_fn = h->on_ready;
    void *user = h->user;
    HttpPeer peer = {.address = STR("")};
    Str alpn = STR_NONE;
    loop_timer_stop(&s->timer);
    loop_task_cancel(s->stream.loop, &s->task);
    if (error) {
        destroy(s);
        s = NULL;
    } else {
        const unsigned char *protocol;
        unsigned len;
        identify(h, &peer);
        SSL_get0_alpn_selected(s->ssl, &protocol, &len);
        if (len)
            alpn = arena_str(h->arena, str_of(protocol, len));
        s->handshake = NULL;
        loop_fd_want(s->watch, 0);
        loop_timer_init(&s->timer, s->stream.loop, on_linger, s);
        s->task = (LoopTask){.fn = on_task, .user = s};
    }
    free(h);
    on_ready_fn(user, s ? &s->stream : NULL, error, &peer, alpn);
}

static void shake(TlsHandshake *h) {
    TlsStream *s = h->stream;
    ERR_clear_error();
    errno = 0;
    int r = SSL_do_handshake(s->ssl);
    if (r == 1) {
        handshake_done(h, 0);
        return;
    }
    bool wants_write, unverified = !h->server && SSL_get_verify_result(s->ssl) != X509_V_OK;
    int error = failure(s, r, &wants_write, SSL_ERROR_WANT_WRITE);
    if (error == -EAGAIN)
        loop_fd_want(s->watch, wants_write ? LOOP_WRITE : LOOP_READ);
    else
        handshake_done(h, unverified ? -EKEYREJECTED : error);
}

static void on_first(void *user) {
    shake(user);
}
static void on_handshake_timeout(void *user) {
    handshake_done(user, -ETIMEDOUT);
}
static void on_no_watch(void *user) {
    handshake_done(user, -EBADF);
}

static TlsHandshake *start(Loop *loop, TlsContext *context, int fd, Arena *arena, TlsReady on_done,
                           void *user, bool server, bool http1) {
    TlsHandshake *h = memory_new(TlsHandshake);
    TlsStream *s = memory_new(TlsStream);
    s->stream = (Stream){.ops = &stream_ops, .loop = loop};
    s->ssl = tls_context_ssl(context, http1);
    s->fd = fd;
    *h = (TlsHandshake){
        .stream = s, .arena = arena, .on_ready = on_done, .user = user, .server = server};
    SSL_set_fd(s->ssl, fd);
    loop_timer_init(&s->timer, loop, on_handshake_timeout, h);
    loop_timer_start(&s->timer, HANDSHAKE_TIMEOUT);
    s->handshake = h;
    s->watch = loop_fd_new(loop, fd, on_ready, s);
    s->task = (LoopTask){.fn = s->watch ? on_first : on_no_watch, .user = h};
    loop_post(loop, &s->task);
    return h;
}

TlsHandshake *tls_accept(Loop *loop, TlsContext *context, int fd, Arena *arena, TlsReady on_done,
                         void *user) {
    return start(loop, context, fd, arena, on_done, user, true, false);
}

TlsHandshake *tls_connect(Loop *loop, TlsContext *context, int fd, Arena *arena, TlsReady on_done,
                          void *user) {
    return start(loop, context, fd, arena, on_done, user, false, false);
}

TlsHandshake *tls_connect_http1(Loop *loop, TlsContext *context, int fd, Arena *arena,
                                TlsReady on_done, void *user) {
    return start(loop, context, fd, arena, on_done, user, false, true);
}

void tls_handshake_cancel(TlsHandshake *handshake) {
    destroy(handshake->stream);
    free(handshake);
}
