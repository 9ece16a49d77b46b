#pragma once
// A loop with a guard, a raw TCP client, and a client call that is collected.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "http/client.h"
#include "http/server.h"

#define GUARD (20 * NSEC_PER_SEC)

static inline void guard_fired(void *user) {
    fail_msg("%s", "nothing happened for 20 s");
}

// Runs until somebody stops the loop.
static inline void run(Loop *loop) {
    LoopTimer guard;
    loop_timer_init(&guard, loop, guard_fired, NULL);
    loop_timer_start(&guard, GUARD);
    assert_int_equal(loop_run(loop), 0);
    loop_timer_stop(&guard);
}

static inline void stop_later(void *user) {
    loop_stop(user);
}

static inline void run_for(Loop *loop, int64_t ns) {
    LoopTimer timer;
    loop_timer_init(&timer, loop, stop_later, loop);
    loop_timer_start(&timer, ns);
    assert_int_equal(loop_run(loop), 0);
}

// ---- bytes over TCP ----

typedef struct Raw {
    Loop *loop;
    Stream *stream; // NULL once closed
    Buf in;
    const char *until; // stops the loop when it shows in `in`
    bool ended, closed, until_end;
} Raw;

static inline const char *raw_find(const Raw *raw, const char *text) {
    const char *data = raw->in.data;
    return data ? memmem(data, raw->in.len, text, strlen(text)) : NULL;
}

static inline void raw_check(Raw *raw) {
    if (raw->until && raw_find(raw, raw->until)) {
        raw->until = NULL;
        loop_stop(raw->loop);
    }
    if (raw->until_end && (raw->ended || raw->closed)) {
        raw->until_end = false;
        loop_stop(raw->loop);
    }
}

static inline void raw_on_data(void *user, Str data) {
    Raw *raw = user;
    buf_str(&raw->in, data);
    raw_check(raw);
}

static inline void raw_on_end(void *user) {
    Raw *raw = user;
    raw->ended = true;
    raw_check(raw);
}

static inline void raw_on_close(void *user, int error) {
    Raw *raw = user;
    raw->stream = NULL;
    raw->closed = true;
    raw_check(raw);
}

static const StreamEvents raw_events = {
    .on_data = raw_on_data, .on_end = raw_on_end, .on_close = raw_on_close};

static inline int connect_to(uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static inline void raw_take(Raw *raw, Loop *loop, Stream *stream) {
    *raw = (Raw){.loop = loop, .stream = stream, .in = BUF_INIT(1 << 30)};
    stream_start(stream, &raw_events, raw);
}

static inline void raw_connect(Raw *raw, Loop *loop, uint16_t port) {
    raw_take(raw, loop, stream_from_fd(loop, connect_to(port)));
}

static inline void raw_send(Raw *raw, const char *text) {
    assert_non_null(raw->stream);
    stream_write(raw->stream, str_from(text));
}

static inline void raw_wait(Raw *raw, const char *until) {
    raw->until = until;
    if (raw_find(raw, until))
        return;
    run(raw->loop);
}

static inline void raw_wait_end(Raw *raw) {
    if (raw->ended || raw->closed)
        return;
    raw->until_end = true;
    run(raw->loop);
}

static inline bool raw_has(const Raw *raw, const char *text) {
    return raw_find(raw, text) != NULL;
}

static inline size_t raw_count(const Raw *raw, const char *text) {
    size_t n = 0, len = strlen(text);
    for (const char *at = raw_find(raw, text); at; n++) {
        at += len;
        at = memmem(at, (size_t)(raw->in.data + raw->in.len - at), text, len);
    }
    return n;
}

static inline void raw_close(Raw *raw) {
    if (raw->stream)
        stream_abort(raw->stream);
    raw->stream = NULL;
    buf_deinit(&raw->in);
}

// ---- a call ----

typedef struct Got {
    Loop *loop;
    HttpCall *call;
    Arena *arena;
    int status, error;
    size_t heads, dones, n_headers, data_calls;
    HttpHeader headers[32];
    Buf body;
    Str message;
    Stream *upgraded;
    size_t stop_at; // stops the loop when the body is this long
    bool over;
} Got;

static inline void got_head(void *user, int status, const HttpHeader *headers, size_t n) {
    Got *got = user;
    got->status = status;
    got->heads++;
    got->n_headers = n < 32 ? n : 32;
    for (size_t i = 0; i < got->n_headers; i++)
        got->headers[i] = (HttpHeader){arena_str(got->arena, headers[i].name),
                                       arena_str(got->arena, headers[i].value)};
}

static inline void got_data(void *user, Str data) {
    Got *got = user;
    got->data_calls++;
    buf_str(&got->body, data);
    if (got->stop_at && got->body.len >= got->stop_at) {
        got->stop_at = 0;
        loop_stop(got->loop);
    }
}

static inline void got_done(void *user, int error, Str message) {
    Got *got = user;
    got->dones++;
    got->over = true;
    got->call = NULL;
    got->error = error;
    got->message = arena_str(got->arena, message);
    loop_stop(got->loop);
}

static inline void got_upgrade(void *user, Stream *stream, const HttpHeader *headers, size_t n) {
    Got *got = user;
    got_head(user, 101, headers, n);
    got->upgraded = stream;
    got->over = true;
    got->call = NULL;
    loop_stop(got->loop);
}

static const HttpCallEvents got_events = {
    .on_head = got_head, .on_data = got_data, .on_done = got_done, .on_upgrade = got_upgrade};

static inline void got_init(Got *got, Loop *loop) {
    *got = (Got){.loop = loop, .arena = arena_new(), .body = BUF_INIT(1 << 30)};
}

static inline void got_free(Got *got) {
    buf_deinit(&got->body);
    arena_free(got->arena);
}

static inline void got_call(Got *got, HttpClient *client, const char *method, const char *target,
                            const char *body) {
    _bytes_unref_ Bytes *bytes = body ? bytes_new(body, strlen(body)) : NULL;
    HttpCallSpec spec = {.method = str_from(method), .target = str_from(target), .body = bytes};
    got->call = http_call(client, &spec, &got_events, got);
}

static inline void got_wait(Got *got) {
    while (!got->over)
        run(got->loop);
}

static inline Str got_header(const Got *got, const char *name) {
    for (size_t i = 0; i < got->n_headers; i++)
        if (str_eq_nocase(got->headers[i].name, str_from(name)))
            return got->headers[i].value;
    return STR_NONE;
}

#define assert_str(actual, expected)                                                               \
    do {                                                                                           \
        Str actual_ = (actual);                                                                    \
        assert_int_equal(actual_.len, strlen(expected));                                           \
        assert_memory_equal(actual_.ptr, expected, actual_.len);                                   \
    } while (0)
