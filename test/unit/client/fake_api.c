#include "fake_api.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

#define START (1790000000LL * NSEC_PER_SEC)

static void forget(FakeApi *api, const HttpRequest *request) {
    for (size_t i = 0; i < api->n_requests; i++) {
        if (api->requests[i] == request) {
            api->n_requests--;
            memmove(&api->requests[i], &api->requests[i + 1],
                    (api->n_requests - i) * sizeof *api->requests);
            return;
        }
    }
}

static void on_close(HttpRequest *request, bool completed) {
    FakeApi *api = request->user;
    api->n_closed++;
    forget(api, request);
}

static void handle(void *user, HttpRequest *request) {
    FakeApi *api = user;
    assert_true(api->n_requests < sizeof api->requests / sizeof *api->requests);
    request->user = api;
    request->on_close = on_close;
    api->requests[api->n_requests++] = request;
    api->n_seen++;
}

FakeApi *fake_api_new(void) {
    FakeApi *api = memory_new(FakeApi);
    api->loop = loop_new_simulated(1, START);
    HttpPeer peer = {.address = STR("@"), .local = true, .user = STR("tester")};
    HttpClient *transport = http_client_new_local(api->loop, api->loop, handle, api, &peer);
    api->client = client_new(api->loop, transport, STR("test"));
    return api;
}

void fake_api_free(FakeApi *api) {
    client_free(api->client);
    fake_run(api, NSEC_PER_SEC);
    assert_int_equal(api->n_seen, api->n_closed); // no exchange is left open
    assert_int_equal(loop_run(api->loop), 0);
    loop_free(api->loop);
    free(api);
}

void fake_run(FakeApi *api, int64_t ns) {
    assert_int_equal(loop_run_until(api->loop, loop_now(api->loop) + ns), 0);
}

HttpRequest *fake_expect(FakeApi *api, const char *line) {
    fake_run(api, 0);
    if (!api->n_requests)
        fail_msg("no request instead of %s", line);
    HttpRequest *request = api->requests[0];
    Str got = arena_printf(request->arena, "%.*s %.*s%s%.*s", STR_ARG(request->method),
                           STR_ARG(request->path), request->query.len ? "?" : "",
                           STR_ARG(request->query));
    assert_string_equal(arena_cstr(request->arena, got), line);
    return request;
}

void fake_expect_nothing(FakeApi *api) {
    fake_run(api, 0);
    if (api->n_requests)
        fail_msg("%.*s %.*s", STR_ARG(api->requests[0]->method), STR_ARG(api->requests[0]->path));
}

static HttpRequest *take(FakeApi *api) {
    fake_run(api, 0);
    assert_true(api->n_requests > 0);
    HttpRequest *request = api->requests[0];
    forget(api, request);
    return request;
}

static Bytes *to_json(const char *text, const char *end) {
    size_t len = strlen(text), end_len = strlen(end);
    Bytes *bytes = bytes_alloc(len + end_len);
    for (size_t i = 0; i < len; i++)
        bytes->data[i] = text[i] == '\'' ? '"' : text[i];
    memcpy(bytes->data + len, end, end_len);
    return bytes;
}

void fake_answer(FakeApi *api, int status, const char *json) {
    _bytes_unref_ Bytes *body = to_json(json, "");
    http_respond(take(api), status, STR("application/json"), body);
    fake_run(api, 0);
}

void fake_cut(FakeApi *api) {
    http_respond_abort(take(api));
    fake_run(api, 0);
}

HttpRequest *fake_watch(FakeApi *api) {
    HttpRequest *request = take(api);
    HttpHeader header = {STR("Content-Type"), STR("application/json")};
    http_respond_head(request, 200, &header, 1);
    fake_run(api, 0);
    return request;
}

void fake_event(FakeApi *api, HttpRequest *watch, const char *json) {
    _bytes_unref_ Bytes *line = to_json(json, "\n");
    http_respond_data(watch, line);
    fake_run(api, 0);
}

void fake_watch_end(FakeApi *api, HttpRequest *watch) {
    http_respond_end(watch);
    fake_run(api, 0);
}

const char *fake_body(FakeApi *api, HttpRequest *request) {
    return arena_cstr(request->arena, request->body);
}
