#include "harness.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/memory.h"
#include "pki/pki.h"

#define START (1790000000LL * NSEC_PER_SEC)

typedef struct Ready {
    bool called;
    int error;
} Ready;

static void on_ready(void *user, int error) {
    Ready *ready = user;
    ready->called = true;
    ready->error = error;
}

static Ready ready;

static void start(Harness *harness) {
    static Str publics[1];
    Str key;
    assert_int_equal(pki_key_new(harness->arena, &key), 0);
    assert_int_equal(pki_public_key(harness->arena, key, &publics[0]), 0);
    ApiConfig config = {
        .loop = harness->loop,
        .store = harness->store,
        .service_account_key = key,
        .service_account_publics = publics,
        .n_service_account_publics = 1,
        .service_account_issuer = STR("https://kubernetes.default.svc.cluster.local"),
        .service_cidr = STR("10.43.0.0/24"),
        .cluster_dns = STR("10.43.0.10"),
        .advertise_address = STR("192.0.2.1"),
        .advertise_port = 6443,
        .garbage_collector = harness->garbage_collector,
        .webhook_client = harness->webhook_client,
        .webhook_client_user = harness->webhook_client_user,
        .static_tokens = harness->static_tokens ? str_from(harness->static_tokens) : STR_NONE,
    };
    harness->service_account_key = key;
    ready = (Ready){0};
    assert_int_equal(api_new(&config, on_ready, &ready, &harness->api), 0);
    for (int i = 0; i < 1000 && !ready.called; i++)
        harness_run(harness, NSEC_PER_MSEC);
    assert_true(ready.called);
    assert_int_equal(ready.error, 0);
    harness->admin = harness_client(harness, "admin", "system:masters");
}

Harness *harness_new_on(Loop *loop, Store *store) {
    Harness *harness = memory_new(Harness);
    harness->loop = loop;
    harness->store = store;
    harness->arena = arena_new();
    harness->garbage_collector = true;
    start(harness);
    return harness;
}

Harness *harness_new(void) {
    Loop *loop = loop_new_simulated(1, START);
    return harness_new_on(loop, store_memory_new(loop));
}

static void on_closed(void *user) {
    *(bool *)user = true;
}

void harness_restart(Harness *harness) {
    http_client_free(harness->admin);
    api_free(harness->api);
    harness_run(harness, NSEC_PER_MSEC);
    start(harness);
}

void harness_free(Harness *harness) {
    http_client_free(harness->admin);
    api_free(harness->api);
    bool closed = false;
    store_close(harness->store, on_closed, &closed);
    for (int i = 0; i < 1000 && !closed; i++)
        harness_run(harness, NSEC_PER_MSEC);
    assert_true(closed);
    harness_run(harness, NSEC_PER_MSEC);
    loop_free(harness->loop);
    arena_free(harness->arena);
    free(harness);
}

HttpClient *harness_client(Harness *harness, const char *user, const char *group) {
    Str groups[] = {str_from(group)};
    HttpPeer peer = {.address = STR("@"),
                     .local = true,
                     .user = str_from(user),
                     .groups = groups,
                     .n_groups = group ? 1 : 0};
    return http_client_new_local(harness->loop, harness->loop, api_handle, harness->api, &peer);
}

void harness_run(Harness *harness, int64_t ns) {
    assert_int_equal(loop_run_until(harness->loop, loop_now(harness->loop) + ns), 0);
}

typedef struct Pending {
    Harness *harness;
    Answer *answer;
    Buf body;
} Pending;

static void on_head(void *user, int status, const HttpHeader *headers, size_t n) {
    Pending *pending = user;
    Arena *arena = pending->harness->arena;
    pending->answer->status = status;
    pending->answer->warnings = STR("");
    for (size_t i = 0; i < n; i++) {
        if (str_eq_nocase(headers[i].name, STR("Warning")))
            pending->answer->warnings = arena_printf(
                arena, "%.*s%.*s\n", STR_ARG(pending->answer->warnings), STR_ARG(headers[i].value));
        if (str_eq_nocase(headers[i].name, STR("Content-Type")))
            pending->answer->content_type = arena_str(arena, headers[i].value);
    }
}

static void on_data(void *user, Str data) {
    Pending *pending = user;
    buf_str(&pending->body, data);
    pending->answer->body = arena_str(pending->harness->arena, buf_view(&pending->body));
}

static void on_done(void *user, int error, Str message) {
    Pending *pending = user;
    Answer *answer = pending->answer;
    answer->done = true;
    answer->error = error;
    ParseError parse_error;
    if (!answer->body.ptr)
        answer->body = STR("");
    if (value_parse_json(pending->harness->arena, answer->body, NULL, &answer->json,
                         &parse_error) != 0)
        answer->json = NULL;
}

static void free_pending(void *user) {
    buf_deinit(&((Pending *)user)->body);
}

static Answer *begin(Harness *harness, HttpClient *client, const char *method, const char *target,
                     Str body, const char *const *headers, HttpCall **ret_call) {
    static const HttpCallEvents events = {
        .on_head = on_head, .on_data = on_data, .on_done = on_done};
    Pending *pending = arena_new_of(harness->arena, Pending);
    pending->harness = harness;
    pending->answer = arena_new_of(harness->arena, Answer);
    pending->body = BUF_INIT(SIZE_MAX);
    arena_defer(harness->arena, free_pending, pending);
    HttpHeader list[17];
    size_t n = 0;
    bool typed = false;
    for (size_t i = 0; headers && headers[i]; i += 2) {
        list[n++] = (HttpHeader){str_from(headers[i]), str_from(headers[i + 1])};
        typed |= str_eq_nocase(str_from(headers[i]), STR("Content-Type"));
    }
    if (!typed)
        list[n++] = (HttpHeader){STR("Content-Type"), STR("application/json")};
    _bytes_unref_ Bytes *bytes = body.ptr ? bytes_new(body.ptr, body.len) : NULL;
    HttpCallSpec spec = {.method = str_from(method),
                         .target = str_from(target),
                         .headers = list,
                         .n_headers = n,
                         .body = bytes};
    HttpCall *started = http_call(client, &spec, &events, pending);
    if (ret_call)
        *ret_call = started;
    return pending->answer;
}

Answer *call_start(Harness *harness, HttpClient *client, const char *method, const char *target,
                   const char *body, const char *const *headers, HttpCall **ret_call) {
    return begin(harness, client, method, target, str_from(body), headers, ret_call);
}

Answer *call_bytes(Harness *harness, HttpClient *client, const char *method, const char *target,
                   Str body, const char *const *headers) {
    Answer *answer = begin(harness, client, method, target, body, headers, NULL);
    for (int i = 0; i < 5000 && !answer->done; i++)
        harness_run(harness, NSEC_PER_MSEC);
    assert_true(answer->done);
    assert_int_equal(answer->error, 0);
    return answer;
}

Answer *call_with(Harness *harness, HttpClient *client, const char *method, const char *target,
                  const char *body, const char *const *headers) {
    return call_bytes(harness, client, method, target, str_from(body), headers);
}

Answer *call_as(Harness *harness, HttpClient *client, const char *method, const char *target,
                const char *body) {
    return call_with(harness, client, method, target, body, NULL);
}

Answer *call(Harness *harness, const char *method, const char *target, const char *body) {
    return call_with(harness, harness->admin, method, target, body, NULL);
}

Answer *call_patch(Harness *harness, const char *type, const char *target, const char *body) {
    char media[64];
    snprintf(media, sizeof media, "application/%s-patch+json", type);
    return call_with(harness, harness->admin, "PATCH", target, body,
                     (const char *const[]){"Content-Type", media, NULL});
}

const char *text_at(const Answer *answer, const char *path) {
    Str s = value_string_at(answer->json, path);
    static char room[8][4096];
    static int next;
    char *text = room[next++ % 8];
    snprintf(text, sizeof room[0], "%.*s", STR_ARG(s));
    return text;
}

int64_t number_at(const Answer *answer, const char *path) {
    return value_int_at(answer->json, path, INT64_MIN);
}
