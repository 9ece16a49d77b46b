// HTTP/2: our client against our server over TLS, and frames written by hand over plain TCP.

#include "certs.h"
#include "site.h"

#include <errno.h>

typedef struct Setting {
    Site site;
    TlsContext *server, *context;
    HttpClient *client;
} Setting;

static Cert ca, server_cert;

static int make_pki(void **state) {
    ca = cert_new(NULL, "test-ca", NULL, NULL, 86400);
    server_cert = cert_new(&ca, "server", NULL, "IP:127.0.0.1", 86400);
    return 0;
}

static int free_pki(void **state) {
    cert_free(&ca);
    cert_free(&server_cert);
    return 0;
}

static int setup(void **state) {
    Setting *s = calloc(1, sizeof *s);
    assert_int_equal(tls_server_context(server_cert.certificate_pem, server_cert.key_pem, STR(""),
                                        true, &s->server),
                     0);
    assert_int_equal(tls_client_context(ca.certificate_pem, STR(""), STR(""), STR("127.0.0.1"),
                                        true, &s->context),
                     0);
    site_init(&s->site, s->server);
    s->client = site_client(&s->site, s->context);
    *state = s;
    return 0;
}

static int teardown(void **state) {
    Setting *s = *state;
    http_client_free(s->client);
    site_free(&s->site);
    tls_context_unref(s->server);
    tls_context_unref(s->context);
    free(s);
    return 0;
}

static void call_is_answered(void **state) {
    Setting *s = *state;
    Got got;
    got_init(&got, s->site.loop);
    HttpHeader headers[] = {{STR("X-Test"), STR("1")}, {STR("Connection"), STR("keep-alive")}};
    _bytes_unref_ Bytes *body = bytes_new("hello", 5);
    HttpCallSpec spec = {.method = STR("POST"),
                         .target = STR("/echo?a=b"),
                         .headers = headers,
                         .n_headers = 2,
                         .body = body};
    got.call = http_call(s->client, &spec, &got_events, &got);
    got_wait(&got);
    assert_int_equal(got.error, 0);
    assert_int_equal(got.status, 200);
    assert_str(buf_view(&got.body), "hello");
    assert_str(got_header(&got, "Content-Type"), "text/plain");
    assert_str(buf_view(&s->site.seen), "POST /echo?a=b 5\n");
    assert_int_equal(s->site.completed, 1);
    got_free(&got);
}

static void many_calls_share_a_connection(void **state) {
    Setting *s = *state;
    enum { N = 400 }; // more than the server takes at once
    Got *got = calloc(N, sizeof *got);
    for (int i = 0; i < N; i++) {
        got_init(&got[i], s->site.loop);
        got_call(&got[i], s->client, "GET", i % 50 ? "/none" : "/large", NULL);
    }
    for (int i = 0; i < N; i++) {
        got_wait(&got[i]);
        assert_int_equal(got[i].error, 0);
        assert_int_equal(got[i].status, i % 50 ? 404 : 200);
        assert_int_equal(got[i].body.len, i % 50 ? 12 : 1 << 20);
        got_free(&got[i]);
    }
    free(got);
}

static void streams_are_independent(void **state) {
    Setting *s = *state;
    Got watch, get;
    got_init(&watch, s->site.loop);
    got_call(&watch, s->client, "GET", "/stream", NULL);
    s->site.stop_on_request = true;
    run(s->site.loop);
    s->site.stop_on_request = false;
    HttpRequest *held = s->site.held;
    watch.stop_at = 3;
    site_send(&s->site, "one");
    run(s->site.loop);
    got_init(&get, s->site.loop);
    got_call(&get, s->client, "GET", "/none", NULL);
    got_wait(&get);
    assert_int_equal(get.status, 404);
    assert_ptr_equal(s->site.held, held);
    http_respond_end(held);
    got_wait(&watch);
    assert_int_equal(watch.error, 0);
    assert_str(buf_view(&watch.body), "one");
    got_free(&watch);
    got_free(&get);
}

static void cancel_reaches_the_handler_and_keeps_the_connection(void **state) {
    Setting *s = *state;
    Got got, next;
    got_init(&got, s->site.loop);
    got_call(&got, s->client, "GET", "/stream", NULL);
    s->site.stop_on_request = s->site.stop_on_close = true;
    run(s->site.loop);
    http_call_cancel(got.call);
    run(s->site.loop);
    assert_int_equal(s->site.closed, 1);
    assert_int_equal(s->site.completed, 0);
    assert_int_equal(got.dones, 0);
    s->site.stop_on_request = s->site.stop_on_close = false;
    got_init(&next, s->site.loop);
    got_call(&next, s->client, "GET", "/none", NULL);
    got_wait(&next);
    assert_int_equal(next.status, 404);
    got_free(&got);
    got_free(&next);
}

static void abort_resets_the_stream(void **state) {
    Setting *s = *state;
    Got got;
    got_init(&got, s->site.loop);
    got_call(&got, s->client, "GET", "/abort", NULL);
    got_wait(&got);
    assert_int_equal(got.error, -ECONNRESET);
    assert_int_equal(s->site.completed, 0);
    assert_int_equal(s->site.closed, 1);
    got_free(&got);
}

static void paused_call_holds_its_sender_back_alone(void **state) {
    Setting *s = *state;
    Got slow, quick;
    got_init(&slow, s->site.loop);
    got_call(&slow, s->client, "GET", "/stream", NULL);
    s->site.stop_on_request = true;
    run(s->site.loop);
    s->site.stop_on_request = false;
    HttpRequest *held = s->site.held;
    http_call_pause(slow.call, true);
    _bytes_unref_ Bytes *chunk = bytes_alloc(100000);
    memset(chunk->data, 'z', chunk->len);
    size_t sent = 0;
    while (http_respond_queued(held) < STREAM_HIGH_WATER && sent < (1 << 26)) {
        http_respond_data(held, chunk);
        sent += chunk->len;
        run_for(s->site.loop, NSEC_PER_MSEC);
    }
    assert_true(sent < 1 << 20); // one window and one queue
    assert_int_equal(slow.body.len, 0);
    got_init(&quick, s->site.loop);
    got_call(&quick, s->client, "GET", "/large", NULL);
    got_wait(&quick);
    assert_int_equal(quick.body.len, 1 << 20);
    size_t drains = s->site.drains;
    s->site.stop_on_drain = true;
    http_call_pause(slow.call, false);
    run(s->site.loop);
    assert_int_equal(s->site.drains, drains + 1);
    http_respond_end(held);
    got_wait(&slow);
    assert_int_equal(slow.error, 0);
    assert_int_equal(slow.body.len, sent);
    got_free(&slow);
    got_free(&quick);
}

static void too_large_body_is_refused(void **state) {
    Setting *s = *state;
    char *text = malloc((3 << 20) + 1);
    memset(text, 'x', 3 << 20);
    text[3 << 20] = '\0';
    Got got;
    got_init(&got, s->site.loop);
    got_call(&got, s->client, "POST", "/echo", text);
    got_wait(&got);
    assert_int_equal(got.status, 413);
    assert_int_equal(s->site.requests, 0);
    got_free(&got);
    // The connection lives on.
    got_init(&got, s->site.loop);
    got_call(&got, s->client, "GET", "/none", NULL);
    got_wait(&got);
    assert_int_equal(got.status, 404);
    got_free(&got);
    free(text);
}

static void upgrade_is_not_possible(void **state) {
    Setting *s = *state;
    Got got;
    got_init(&got, s->site.loop);
    got_call(&got, s->client, "GET", "/upgrade",
             NULL); // without asking for a connection of its own
    got_wait(&got);
    assert_int_equal(got.status, 400);
    got_free(&got);
}

static void stopped_server_lets_calls_end(void **state) {
    Setting *s = *state;
    Got got, late;
    got_init(&got, s->site.loop);
    got_call(&got, s->client, "GET", "/stream", NULL);
    s->site.stop_on_request = true;
    run(s->site.loop);
    http_server_stop_listening(s->site.server);
    run_for(s->site.loop, 20 * NSEC_PER_MSEC);
    site_send(&s->site, "last");
    http_respond_end(s->site.held);
    got_wait(&got);
    assert_int_equal(got.error, 0);
    assert_str(buf_view(&got.body), "last");
    got_init(&late, s->site.loop);
    got_call(&late, s->client, "GET", "/none", NULL);
    got_wait(&late);
    assert_int_equal(late.error, -ECONNREFUSED);
    got_free(&got);
    got_free(&late);
}

static void never_done(void *user, int error, Str message) {
    fail();
}

static void free_client_in_data(void *user, Str data) {
    Setting *s = user;
    http_client_free(s->client);
    s->client = NULL;
    loop_stop(s->site.loop);
}

static void client_may_be_freed_from_a_callback(void **state) {
    Setting *s = *state;
    static const HttpCallEvents events = {.on_data = free_client_in_data, .on_done = never_done};
    HttpCallSpec spec = {.method = STR("GET"), .target = STR("/large")};
    http_call(s->client, &spec, &events, s);
    http_call(s->client, &spec, &events, s);
    run(s->site.loop);
    run_for(s->site.loop, 20 * NSEC_PER_MSEC);
    s->client = site_client(&s->site, s->context);
}

// ---- frames by hand, without TLS ----

static void frame(Buf *out, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
                  size_t len) {
    uint8_t head[9] = {(uint8_t)(len >> 16),
                       (uint8_t)(len >> 8),
                       (uint8_t)len,
                       type,
                       flags,
                       (uint8_t)(stream >> 24),
                       (uint8_t)(stream >> 16),
                       (uint8_t)(stream >> 8),
                       (uint8_t)stream};
    buf_append(out, head, 9);
    buf_append(out, payload, len);
}

static void hello(Buf *out) {
    buf_str(out, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    frame(out, 4, 0, 0, "", 0);
}

// :method GET, :scheme http, :path /none, :authority x
static const char get_none[] = "\x82\x86\x04\x05/none\x01\x01x";

static void plain_start(Site *site, Raw *raw) {
    site_init(site, NULL);
    raw_connect(raw, site->loop, http_server_port(site->server));
}

static void prior_knowledge_is_understood(void **state) {
    Site site;
    Raw raw;
    plain_start(&site, &raw);
    _buf_deinit_ Buf out = BUF_INIT(1 << 20);
    hello(&out);
    frame(&out, 1, 5, 1, get_none, sizeof get_none - 1);
    for (size_t i = 0; i < out.len; i++) { // in single bytes
        stream_write(raw.stream, str_of(out.data + i, 1));
        run_for(site.loop, NSEC_PER_MSEC / 20);
    }
    raw_wait(&raw, "nothing here");
    assert_str(buf_view(&site.seen), "GET /none? 0\n");
    raw_close(&raw);
    site_free(&site);
}

static void nonsense_after_the_preface_ends_the_connection(void **state) {
    Site site;
    Raw raw;
    plain_start(&site, &raw);
    raw_send(&raw, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\nHost: what\r\n\r\n"
                   "more more more more more more more more more more more");
    raw_wait_end(&raw);
    assert_int_equal(site.requests, 0);
    raw_close(&raw);
    site_free(&site);
}

static void flood(uint8_t type, const void *payload, size_t len, bool with_streams) {
    Site site;
    Raw raw;
    plain_start(&site, &raw);
    _buf_deinit_ Buf out = BUF_INIT(1 << 24);
    hello(&out);
    for (uint32_t i = 0; i < 5000; i++) {
        if (with_streams)
            frame(&out, 1, 4, 2 * i + 1, get_none, sizeof get_none - 1);
        frame(&out, type, 0, with_streams ? 2 * i + 1 : 0, payload, len);
    }
    stream_write(raw.stream, buf_view(&out));
    raw_wait_end(&raw);
    assert_true(site.requests < 3000);
    raw_close(&raw);
    site_free(&site);
}

static void floods_end_the_connection(void **state) {
    flood(6, "12345678", 8, false);  // ping
    flood(4, "", 0, false);          // settings
    flood(3, "\0\0\0\x08", 4, true); // rapid reset
    flood(0, "", 0, true);           // empty data
}

static void stream_limit_is_kept(void **state) {
    Site site;
    Raw raw;
    plain_start(&site, &raw);
    _buf_deinit_ Buf out = BUF_INIT(1 << 20);
    hello(&out);
    frame(&out, 4, 1, 0, "", 0); // our SETTINGS are acknowledged
    stream_write(raw.stream, buf_view(&out));
    run_for(site.loop, 20 * NSEC_PER_MSEC);
    buf_clear(&out);
    static const char get_hold[] = "\x82\x86\x04\x05/hold\x01\x01x";
    for (uint32_t i = 0; i < 300; i++)
        frame(&out, 1, 5, 2 * i + 1, get_hold, sizeof get_hold - 1);
    stream_write(raw.stream, buf_view(&out));
    run_for(site.loop, 100 * NSEC_PER_MSEC);
    assert_int_equal(site.requests, 250);
    raw_close(&raw);
    site_free(&site);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(call_is_answered),
        TEST(many_calls_share_a_connection),
        TEST(streams_are_independent),
        TEST(cancel_reaches_the_handler_and_keeps_the_connection),
        TEST(abort_resets_the_stream),
        TEST(paused_call_holds_its_sender_back_alone),
        TEST(too_large_body_is_refused),
        TEST(upgrade_is_not_possible),
        TEST(stopped_server_lets_calls_end),
        TEST(client_may_be_freed_from_a_callback),
        cmocka_unit_test(prior_knowledge_is_understood),
        cmocka_unit_test(nonsense_after_the_preface_ends_the_connection),
        cmocka_unit_test(floods_end_the_connection),
        cmocka_unit_test(stream_limit_is_kept),
    };
    return cmocka_run_group_tests(tests, make_pki, free_pki);
}
