// Exec and attach over SPDY/3.1 (kubelet's server/remotecommand/httpstream.go).

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/memory.h"
#include "http/remote_session.h"
#include "http/spdy.h"

#define CREATION_TIMEOUT (30 * NSEC_PER_SEC)

typedef struct RemoteSpdy {
    RemoteSession base;
    SpdySession *spdy;
    RemoteChannels channels;
    RemoteOptions options;
    bool resizes; // v3 and later
    bool ready;   // on_ready was told
    LoopTimer timer;
    LoopTask ready_task;
} RemoteSpdy;

static const Str protocols[] = {
    {"v5.channel.k8s.io", 17}, // as v4, here
    {"v4.channel.k8s.io", 17},
    {"v3.channel.k8s.io", 17},
    {"v2.channel.k8s.io", 17},
};

// ---- the handshake ----

bool remote_is_spdy_request(const HttpRequest *request) {
    return http_header_has_token(request, STR("Connection"), STR("upgrade")) &&
           http_header_has_token(request, STR("Upgrade"), STR("SPDY/3.1"));
}

static void refuse(HttpRequest *request, int status, const HttpHeader *headers, size_t n,
                   Str text) {
    HttpHeader *all = arena_array_of(request->arena, HttpHeader, n + 1);
    if (n)
        memcpy(all, headers, n * sizeof *headers);
    all[n] = (HttpHeader){STR("Content-Type"), STR("text/plain; charset=utf-8")};
    _bytes_unref_ Bytes *body = bytes_new(text.ptr, text.len);
    http_respond_with(request, status, all, n + 1, body);
}

static void refuse_protocols(HttpRequest *request, Str asked, const Str *supported, size_t n) {
    HttpHeader *headers = arena_array_of(request->arena, HttpHeader, n);
    for (size_t i = 0; i < n; i++)
        headers[i] = (HttpHeader){STR("X-Accepted-Stream-Protocol-Versions"), supported[i]};
    Str list = arena_concat(request->arena, supported, n, STR(" "));
    refuse(request, 403, headers, n,
           arena_printf(request->arena,
                        "unable to upgrade: unable to negotiate protocol: client supports [%.*s], "
                        "server accepts [%.*s]\n",
                        STR_ARG(asked), STR_ARG(list)));
}

Str remote_spdy_choose_protocol(HttpRequest *request, const Str *supported, size_t n) {
    Str name = STR("X-Stream-Protocol-Version");
    _buf_deinit_ Buf asked = BUF_INIT(4096);
    for (size_t i = 0; i < request->n_headers; i++) {
        if (!str_eq_nocase(request->headers[i].name, name))
            continue;
        Str rest = request->headers[i].value;
        while (rest.ptr) {
            Str protocol = str_trim(str_cut(&rest, ','));
            for (size_t j = 0; protocol.len && j < n; j++)
                if (str_eq(protocol, supported[j]))
                    return supported[j];
            if (asked.len && protocol.len)
                buf_char(&asked, ' ');
            buf_str(&asked, protocol);
        }
    }
    if (asked.len)
        refuse_protocols(request, buf_view(&asked), supported, n);
    else
        refuse(request, 400, NULL, 0,
               arena_printf(request->arena,
                            "unable to upgrade: header %.*s does not exist in request with %zu "
                            "headers\n",
                            STR_ARG(name), request->n_headers));
    return STR_NONE;
}

Stream *remote_spdy_upgrade(HttpRequest *request, Str protocol) {
    HttpHeader headers[] = {{STR("Upgrade"), STR("SPDY/3.1")},
                            {STR("X-Stream-Protocol-Version"), protocol}};
    Stream *stream = http_upgrade(request, headers, 2);
    if (!stream)
        refuse(request, 400, NULL, 0, STR("unable to upgrade: unable to hijack response\n"));
    return stream;
}

// ---- the session ----

static void remote_free(RemoteSpdy *r) {
    loop_timer_stop(&r->timer);
    loop_task_cancel(r->base.loop, &r->ready_task);
    free(r);
}

// The error stream is ours; the client says nothing on it.
static void on_error_data(void *user, Str data) {}
static void on_error_end(void *user) {}
static void on_error_close(void *user, int error) {
    ((RemoteSpdy *)user)->channels.error_stream = NULL;
}

static const StreamEvents error_events = {
    .on_data = on_error_data, .on_end = on_error_end, .on_close = on_error_close};

static void on_close(void *user, int error) {
    RemoteSpdy *r = user;
    RemoteSession session = r->base;
    bool ready = r->ready;
    if (r->channels.error_stream)
        stream_abort(r->channels.error_stream);
    if (!ready) { // streams that were never shown to anybody
        Stream *streams[] = {r->channels.stdin_stream, r->channels.stdout_stream,
                             r->channels.stderr_stream, r->channels.resize_stream};
        for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
            if (streams[i])
                stream_abort(streams[i]);
    }
    remote_free(r);
    if (session.finished)
        return;
    if (ready)
        session.on_gone(session.user);
    else
        session.on_ready(session.user, error ? error : -ECONNRESET, NULL, NULL);
}

static Stream **slot_of(RemoteSpdy *r, Str type) {
    RemoteChannels *c = &r->channels;
    if (str_eq(type, STR("error")))
        return &c->error_stream;
    if (str_eq(type, STR("stdin")) && r->options.stdin_open)
        return &c->stdin_stream;
    if (str_eq(type, STR("stdout")) && r->options.stdout_open)
        return &c->stdout_stream;
    if (str_eq(type, STR("stderr")) && r->options.stderr_open)
        return &c->stderr_stream;
    if (str_eq(type, STR("resize")) && r->options.tty && r->resizes)
        return &c->resize_stream;
    return NULL;
}

static bool is_complete(const RemoteSpdy *r) {
    const RemoteChannels *c = &r->channels;
    const RemoteOptions *o = &r->options;
    return c->error_stream && (!o->stdin_open || c->stdin_stream) &&
           (!o->stdout_open || c->stdout_stream) && (!o->stderr_open || c->stderr_stream) &&
           (!o->tty || !r->resizes || c->resize_stream);
}

static bool on_stream(void *user, Stream *stream, uint32_t id, const HttpHeader *headers,
                      size_t n) {
    RemoteSpdy *r = user;
    Str type = STR("");
    for (size_t i = 0; i < n; i++)
        if (str_eq_nocase(headers[i].name, STR("streamType")))
            type = headers[i].value;
    Stream **slot = slot_of(r, type);
    if (r->ready || !slot || *slot)
        return false;
    *slot = stream;
    if (slot == &r->channels.error_stream)
        stream_start(stream, &error_events, r);
    if (is_complete(r))
        loop_post(r->base.loop, &r->ready_task); // after the reply to this stream
    return true;
}

static const SpdyEvents spdy_events = {.on_stream = on_stream, .on_close = on_close};

static void on_ready_task(void *user) {
    RemoteSpdy *r = user;
    r->ready = true;
    loop_timer_stop(&r->timer);
    RemoteChannels channels = r->channels;
    channels.error_stream = NULL; // finish() alone writes to it
    r->base.on_ready(r->base.user, 0, &r->base, &channels);
}

static void on_timeout(void *user) {
    RemoteSpdy *r = user;
    spdy_session_abort(r->spdy);
    on_close(r, -ETIMEDOUT);
}

static void finish(RemoteSession *session, Str status) {
    RemoteSpdy *r = (RemoteSpdy *)session;
    if (status.len && r->channels.error_stream)
        stream_write(r->channels.error_stream, status);
    spdy_session_close(r->spdy);
}

static const RemoteSessionOps session_ops = {.finish = finish};

bool remote_spdy_accept(HttpRequest *request, const RemoteOptions *options,
                        const RemoteSession *template) {
    Str protocol =
        remote_spdy_choose_protocol(request, protocols, sizeof protocols / sizeof *protocols);
    Stream *stream = protocol.ptr ? remote_spdy_upgrade(request, protocol) : NULL;
    if (!stream)
        return false;
    RemoteSpdy *r = memory_new(RemoteSpdy);
    r->base = *template;
    r->base.ops = &session_ops;
    r->base.json_status = protocol.ptr[1] >= '4';
    r->resizes = protocol.ptr[1] >= '3';
    r->options = *options;
    r->ready_task = (LoopTask){.fn = on_ready_task, .user = r};
    loop_timer_init(&r->timer, r->base.loop, on_timeout, r);
    loop_timer_start(&r->timer, CREATION_TIMEOUT);
    r->spdy = spdy_session_new(stream, true, &spdy_events, r);
    return true;
}
