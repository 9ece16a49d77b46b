// The client against our server over TCP, and against servers that misbehave.

#include "site.h"

#include <errno.h>
#include <unistd.h>

static int setup(void **state) {
    Site *site = calloc(1, sizeof *site);
    site_init(site, NULL);
    *state = site;
    return 0;
}

static int teardown(void **state) {
    site_free(*state);
    free(*state);
    return 0;
}

static void call_is_answered(void **state) {
    Site *site = *state;
    HttpClient *client = site_client(site, NULL);
    Got got;
    got_init(&got, site->loop);
    got_call(&got, client, "POST", "/echo?x=y", "hello");
    assert_int_equal(got.heads, 0); // nothing from inside
    got_wait(&got);
    assert_int_equal(got.error, 0);
    assert_int_equal(got.status, 200);
    assert_str(got_header(&got, "content-type"), "text/plain");
    assert_str(buf_view(&got.body), "hello");
    assert_str(buf_view(&site->seen), "POST /echo?x=y 5\n");
    got_free(&got);
    http_client_free(client);
}

static void connection_is_used_again(void **state) {
    Site *site = *state;
    HttpClient *client = site_client(site, NULL);
    for (int i = 0; i < 3; i++) {
        Got got;
        got_init(&got, site->loop);
        got_call(&got, client, "GET", "/none", NULL);
        got_wait(&got);
        assert_int_equal(got.status, 404);
        got_free(&got);
    }
    // A server that takes one connection only would refuse a second one.
    http_client_free(client);
}

static void many_calls_run_at_once(void **state) {
    Site *site = *state;
    HttpClient *client = site_client(site, NULL);
    Got got[20];
    for (int i = 0; i < 20; i++) {
        got_init(&got[i], site->loop);
        got_call(&got[i], client, "GET", "/large", NULL);
    }
    for (int i = 0; i < 20; i++) {
        got_wait(&got[i]);
        assert_int_equal(got[i].error, 0);
        assert_int_equal(got[i].body.len, 1 << 20);
        got_free(&got[i]);
    }
    http_client_free(client);
}

static void stream_arrives_piece_by_piece(void **state) {
    Site *site = *state;
    HttpClient *client = site_client(site, NULL);
    Got got;
    got_init(&got, site->loop);
    got_call(&got, client, "GET", "/stream", NULL);
    site->stop_on_request = true;
    run(site->loop);
    got.stop_at = 3;
    site_send(site, "one");
    run(site->loop);
    assert_str(buf_view(&got.body), "one");
    got.stop_at = 6;
    site_send(site, "two");
    run(site->loop);
    assert_str(buf_view(&got.body), "onetwo");
    http_respond_end(site->held);
    got_wait(&got);
    assert_int_equal(got.error, 0);
    got_free(&got);
    http_client_free(client);
}

static void get_packed(Site *site, HttpClient *client, Got *got) {
    HttpHeader header = {STR("Accept-Encoding"), STR("gzip")};
    HttpCallSpec spec = {
        .method = STR("GET"), .target = STR("/large"), .headers = &header, .n_headers = 1};
    got_init(got, site->loop);
    got->call = http_call(client, &spec, &got_events, got);
}

static void large_answers_are_packed_without_holding_the_loop(void **state) {
    Site *site = *state;
    HttpClient *client = site_client(site, NULL);
    Got got;
    get_packed(site, client, &got);
    got_wait(&got);
    assert_int_equal(got.error, 0);
    assert_str(got_header(&got, "Content-Encoding"), "gzip");
    assert_str(got_header(&got, "Content-Type"), "text/plain");
    assert_true(got.body.len < 100000);
    got_free(&got);
    // The client may leave meanwhile.
    get_packed(site, client, &got);
    site->stop_on_request = true;
    run(site->loop);
    http_call_cancel(got.call);
    run_for(site->loop, 100 * NSEC_PER_MSEC);
    assert_int_equal(site->closed, 2);
    got_free(&got);
    http_client_free(client);
}

static void cancel_reaches_the_handler(void **state) {
    Site *site = *state;
    HttpClient *client = site_client(site, NULL);
    Got got;
    got_init(&got, site->loop);
    got_call(&got, client, "GET", "/stream", NULL);
    site->stop_on_request = true;
    run(site->loop);
    site->stop_on_close = true;
    http_call_cancel(got.call);
    run(site->loop);
    assert_int_equal(site->closed, 1);
    assert_int_equal(site->completed, 0);
    assert_int_equal(got.dones, 0);
    got_free(&got);
    http_client_free(client);
}

static void paused_call_holds_the_sender_back(void **state) {
    Site *site = *state;
    HttpClient *client = site_client(site, NULL);
    Got got;
    got_init(&got, site->loop);
    got_call(&got, client, "GET", "/stream", NULL);
    site->stop_on_request = true;
    run(site->loop);
    http_call_pause(got.call, true);
    _bytes_unref_ Bytes *chunk = bytes_alloc(100000);
    memset(chunk->data, 'z', chunk->len);
    size_t sent = 0;
    while (http_respond_queued(site->held) < STREAM_HIGH_WATER && sent < (1 << 28)) {
        http_respond_data(site->held, chunk);
        sent += chunk->len;
        run_for(site->loop, NSEC_PER_MSEC / 10);
    }
    assert_true(sent < (1 << 28));
    assert_true(got.body.len <= 65536);
    size_t before = got.data_calls;
    run_for(site->loop, 10 * NSEC_PER_MSEC);
    assert_int_equal(got.data_calls, before);
    http_respond_end(site->held);
    http_call_pause(got.call, false);
    got_wait(&got);
    assert_int_equal(got.body.len, sent);
    got_free(&got);
    http_client_free(client);
}

static void refused_connection_is_reported(void **state) {
    Site *site = *state;
    HttpClient *client = site_client(site, NULL);
    http_server_stop_listening(site->server);
    Got got;
    got_init(&got, site->loop);
    got_call(&got, client, "GET", "/none", NULL);
    got_wait(&got);
    assert_int_equal(got.error, -ECONNREFUSED);
    assert_int_equal(got.heads, 0);
    assert_true(got.message.len > 0);
    got_free(&got);
    http_client_free(client);
}

static void request_lines_and_headers_cannot_be_smuggled(void **state) {
    Site *site = *state;
    HttpClient *client = site_client(site, NULL);
    static const char *targets[] = {"/a b", "/a\r\nX: y", ""};
    for (int i = 0; i < 3; i++) {
        Got got;
        got_init(&got, site->loop);
        got_call(&got, client, "GET", targets[i], NULL);
        got_wait(&got);
        assert_int_equal(got.error, -EINVAL);
        got_free(&got);
    }
    Got got;
    got_init(&got, site->loop);
    HttpHeader header = {STR("X-Test"), STR("a\r\nContent-Length: 5\r\n\r\nGET /none HTTP/1.1")};
    HttpCallSpec spec = {
        .method = STR("GET"), .target = STR("/echo"), .headers = &header, .n_headers = 1};
    got.call = http_call(client, &spec, &got_events, &got);
    got_wait(&got);
    assert_int_equal(got.status, 200);
    assert_int_equal(site->requests, 1);
    got_free(&got);
    http_client_free(client);
}

static void silence_ends_in_a_timeout(void **state) {
    Site *site = *state;
    HttpClient *client = site_client(site, NULL);
    Got got;
    got_init(&got, site->loop);
    HttpCallSpec spec = {
        .method = STR("GET"), .target = STR("/hold"), .timeout_ns = 50 * NSEC_PER_MSEC};
    got.call = http_call(client, &spec, &got_events, &got);
    got_wait(&got);
    assert_int_equal(got.error, -ETIMEDOUT);
    got_free(&got);
    http_client_free(client);
}

static void upgrade_gives_a_stream(void **state) {
    Site *site = *state;
    HttpClient *client = site_client(site, NULL);
    Got got;
    got_init(&got, site->loop);
    HttpHeader headers[] = {{STR("Upgrade"), STR("test")}};
    HttpCallSpec spec = {.method = STR("POST"),
                         .target = STR("/upgrade"),
                         .headers = headers,
                         .n_headers = 1,
                         .upgrade = true};
    got.call = http_call(client, &spec, &got_events, &got);
    got_wait(&got);
    assert_non_null(got.upgraded);
    assert_str(got_header(&got, "Upgrade"), "test");
    Raw ours, theirs;
    raw_take(&ours, site->loop, got.upgraded);
    raw_take(&theirs, site->loop, site->upgraded);
    raw_send(&ours, "ping");
    raw_wait(&theirs, "ping");
    raw_send(&theirs, "pong");
    raw_wait(&ours, "pong");
    raw_close(&ours);
    raw_close(&theirs);
    got_free(&got);
    http_client_free(client);
}

static void refused_upgrade_is_an_answer(void **state) {
    Site *site = *state;
    HttpClient *client = site_client(site, NULL);
    Got got;
    got_init(&got, site->loop);
    HttpHeader headers[] = {{STR("Upgrade"), STR("test")}};
    HttpCallSpec spec = {.method = STR("GET"),
                         .target = STR("/none"),
                         .headers = headers,
                         .n_headers = 1,
                         .upgrade = true};
    got.call = http_call(client, &spec, &got_events, &got);
    got_wait(&got);
    assert_null(got.upgraded);
    assert_int_equal(got.status, 404);
    got_free(&got);
    http_client_free(client);
}

// ---- a server made of strings ----

typedef struct Script {
    Loop *loop;
    int fd;
    uint16_t port;
    size_t connections;
    const char *answers[4]; // by connection; sent for the first request of each
    bool close_after[4];
    LoopFd *watch;
    Raw raws[4];
} Script;

static void script_data(void *user, Str data) {
    Raw *raw = user;
    Script *script = (Script *)(void *)raw->until; // borrowed
    size_t i = (size_t)(raw - script->raws);
    if (!raw->stream || !script->answers[i])
        return;
    const char *answer = script->answers[i];
    script->answers[i] = NULL;
    stream_write(raw->stream, str_from(answer));
    if (script->close_after[i])
        stream_end(raw->stream);
}
static void script_end(void *user) {}
static void script_close(void *user, int error) {
    ((Raw *)user)->stream = NULL;
}
static const StreamEvents script_events = {
    .on_data = script_data, .on_end = script_end, .on_close = script_close};

static void script_accept(void *user, int events) {
    Script *script = user;
    int fd = accept(script->fd, NULL, NULL);
    assert_true(fd >= 0 && script->connections < 4);
    Raw *raw = &script->raws[script->connections++];
    *raw = (Raw){.stream = stream_from_fd(script->loop, fd), .until = (void *)script};
    stream_start(raw->stream, &script_events, raw);
}

static HttpClient *script_start(Script *script, Loop *loop) {
    script->loop = loop;
    script->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    assert_int_equal(bind(script->fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(script->fd, 10), 0);
    assert_int_equal(getsockname(script->fd, (struct sockaddr *)&address, &len), 0);
    script->watch = loop_fd_new(loop, script->fd, script_accept, script);
    loop_fd_want(script->watch, LOOP_READ);
    HttpClient *client;
    HttpClientConfig config = {
        .loop = loop, .host = STR("localhost"), .port = ntohs(address.sin_port)};
    assert_int_equal(http_client_new(&config, &client), 0);
    return client;
}

static void script_stop(Script *script) {
    for (size_t i = 0; i < script->connections; i++)
        if (script->raws[i].stream)
            stream_abort(script->raws[i].stream);
    loop_fd_free(script->watch);
    close(script->fd);
}

static void call_is_tried_again_when_a_kept_connection_died(void **state) {
    Site *site = *state;
    Script script = {.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA",
                                 "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nB"}};
    HttpClient *client = script_start(&script, site->loop);
    Got first, second;
    got_init(&first, site->loop);
    got_call(&first, client, "GET", "/", NULL);
    got_wait(&first);
    assert_str(buf_view(&first.body), "A");
    // The kept connection is cut at the very moment when the next call is under way.
    got_init(&second, site->loop);
    got_call(&second, client, "GET", "/", NULL);
    stream_abort(script.raws[0].stream);
    script.raws[0].stream = NULL;
    got_wait(&second);
    assert_int_equal(second.error, 0);
    assert_str(buf_view(&second.body), "B");
    assert_int_equal(script.connections, 2);
    // A call that changes something is not repeated.
    Got third;
    got_init(&third, site->loop);
    got_call(&third, client, "POST", "/", "x");
    stream_abort(script.raws[1].stream);
    script.raws[1].stream = NULL;
    got_wait(&third);
    assert_true(third.error < 0);
    assert_int_equal(script.connections, 2);
    http_client_free(client);
    script_stop(&script);
    got_free(&first);
    got_free(&second);
    got_free(&third);
}

static void answer_may_end_with_the_connection(void **state) {
    Site *site = *state;
    Script script = {.answers = {"HTTP/1.1 200 OK\r\n\r\nuntil the end"}, .close_after = {true}};
    HttpClient *client = script_start(&script, site->loop);
    Got got;
    got_init(&got, site->loop);
    got_call(&got, client, "GET", "/", NULL);
    got_wait(&got);
    assert_int_equal(got.error, 0);
    assert_str(buf_view(&got.body), "until the end");
    http_client_free(client);
    script_stop(&script);
    got_free(&got);
}

static void cut_answer_is_an_error(void **state) {
    Site *site = *state;
    Script script = {.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"},
                     .close_after = {true}};
    HttpClient *client = script_start(&script, site->loop);
    Got got;
    got_init(&got, site->loop);
    got_call(&got, client, "GET", "/", NULL);
    got_wait(&got);
    assert_true(got.error < 0);
    assert_int_equal(got.heads, 1);
    assert_str(buf_view(&got.body), "half");
    http_client_free(client);
    script_stop(&script);
    got_free(&got);
}

static void interim_answers_are_not_shown(void **state) {
    Site *site = *state;
    Script script = {
        .answers = {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n"
                    "HTTP/1.1 204 No Content\r\n\r\n"}};
    HttpClient *client = script_start(&script, site->loop);
    Got got;
    got_init(&got, site->loop);
    got_call(&got, client, "POST", "/", "x");
    got_wait(&got);
    assert_int_equal(got.error, 0);
    assert_int_equal(got.heads, 1);
    assert_int_equal(got.status, 204);
    http_client_free(client);
    script_stop(&script);
    got_free(&got);
}

static void refuse_answer(Site *site, const char *answer) {
    Script script = {.answers = {answer}};
    HttpClient *client = script_start(&script, site->loop);
    Got got;
    got_init(&got, site->loop);
    got_call(&got, client, "GET", "/", NULL);
    got_wait(&got);
    assert_int_equal(got.error, -EPROTO);
    http_client_free(client);
    script_stop(&script);
    got_free(&got);
}

static void nonsense_is_an_error(void **state) {
    refuse_answer(*state, "SSH-2.0-OpenSSH\r\n");
    refuse_answer(*state, "HTTP/1.0 20 almost\r\n\r\nbody");
    refuse_answer(*state,
                  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
}

typedef struct Freer {
    Got got;
    HttpClient *client;
} Freer;

static void free_in_data(void *user, Str data) {
    Freer *freer = user;
    http_client_free(freer->client);
    loop_stop(freer->got.loop);
}
static void never_done(void *user, int error, Str message) {
    fail();
}

static void client_may_be_freed_from_a_callback(void **state) {
    Site *site = *state;
    Freer freer = {.client = site_client(site, NULL)};
    got_init(&freer.got, site->loop);
    static const HttpCallEvents events = {.on_data = free_in_data, .on_done = never_done};
    HttpCallSpec spec = {.method = STR("GET"), .target = STR("/large")};
    http_call(freer.client, &spec, &events, &freer);
    run(site->loop);
    run_for(site->loop, 10 * NSEC_PER_MSEC);
    got_free(&freer.got);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(call_is_answered),
        TEST(connection_is_used_again),
        TEST(many_calls_run_at_once),
        TEST(stream_arrives_piece_by_piece),
        TEST(large_answers_are_packed_without_holding_the_loop),
        TEST(cancel_reaches_the_handler),
        TEST(paused_call_holds_the_sender_back),
        TEST(refused_connection_is_reported),
        TEST(request_lines_and_headers_cannot_be_smuggled),
        TEST(silence_ends_in_a_timeout),
        TEST(upgrade_gives_a_stream),
        TEST(refused_upgrade_is_an_answer),
        TEST(call_is_tried_again_when_a_kept_connection_died),
        TEST(answer_may_end_with_the_connection),
        TEST(cut_answer_is_an_error),
        TEST(interim_answers_are_not_shown),
        TEST(nonsense_is_an_error),
        TEST(client_may_be_freed_from_a_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
