// Calls inside the process, on one loop (also the simulated one) and across two threads.

#include "site.h"

#include <errno.h>
#include <pthread.h>

typedef struct Setting {
    Site site; // without a server
    HttpClient *client;
} Setting;

static const Str groups[] = {{"system:masters", 14}, {"system:authenticated", 20}};

static void setting_init(Setting *setting, Loop *loop, Loop *handler_loop) {
    *setting = (Setting){.site = {.loop = handler_loop, .seen = BUF_INIT(1 << 20)}};
    HttpPeer peer = {.user = STR("system:kube-scheduler"), .groups = groups, .n_groups = 2};
    setting->client = http_client_new_local(loop, handler_loop, site_handle, &setting->site, &peer);
}

static int setup(void **state) {
    Setting *setting = calloc(1, sizeof *setting);
    Loop *loop = loop_new_simulated(1, 0);
    setting_init(setting, loop, loop);
    *state = setting;
    return 0;
}

static int teardown(void **state) {
    Setting *setting = *state;
    http_client_free(setting->client);
    loop_run(setting->site.loop); // the simulated loop ends when nothing is left to do
    assert_int_equal(setting->site.closed, setting->site.requests);
    loop_free(setting->site.loop);
    buf_deinit(&setting->site.seen);
    free(setting);
    return 0;
}

static void call_is_answered(void **state) {
    Setting *setting = *state;
    Got got;
    got_init(&got, setting->site.loop);
    got_call(&got, setting->client, "POST", "/echo?a=b", "hello");
    assert_int_equal(setting->site.requests, 0); // nothing from inside
    got_wait(&got);
    assert_int_equal(got.error, 0);
    assert_int_equal(got.status, 200);
    assert_str(buf_view(&got.body), "hello");
    assert_str(got_header(&got, "Content-Type"), "text/plain");
    assert_str(buf_view(&setting->site.seen), "POST /echo?a=b 5\n");
    got_free(&got);
}

static void check_peer(void *user, HttpRequest *request) {
    assert_true(request->peer.local);
    assert_str(request->peer.user, "system:kube-scheduler");
    assert_int_equal(request->peer.n_groups, 2);
    assert_str(request->peer.groups[1], "system:authenticated");
    assert_str(request->peer.address, "@");
    assert_int_equal(request->version, 0);
    http_respond(request, 204, STR_NONE, NULL);
}

static void caller_is_known(void **state) {
    Setting *setting = *state;
    Loop *loop = setting->site.loop;
    HttpPeer peer = {.user = STR("system:kube-scheduler"), .groups = groups, .n_groups = 2};
    HttpClient *client = http_client_new_local(loop, loop, check_peer, NULL, &peer);
    Got got;
    got_init(&got, loop);
    got_call(&got, client, "GET", "/", NULL);
    got_wait(&got);
    assert_int_equal(got.status, 204);
    got_free(&got);
    http_client_free(client);
}

static Str remembered;
static void remember_data(void *user, Str data) {
    remembered = data;
}

static void answer_is_not_copied(void **state) {
    Setting *setting = *state;
    Got got;
    got_init(&got, setting->site.loop);
    HttpCallEvents events = got_events;
    events.on_data = remember_data;
    HttpCallSpec spec = {.method = STR("GET"), .target = STR("/stream")};
    setting->site.stop_on_request = true;
    http_call(setting->client, &spec, &events, &got);
    run(setting->site.loop);
    Bytes *bytes = bytes_new("shared", 6);
    http_respond_data(setting->site.held, bytes);
    http_respond_end(setting->site.held);
    got_wait(&got);
    assert_ptr_equal(remembered.ptr, bytes->data);
    bytes_unref(bytes);
    got_free(&got);
}

static void large_answer_is_not_compressed(void **state) {
    Setting *setting = *state;
    Got got;
    got_init(&got, setting->site.loop);
    HttpHeader header = {STR("Accept-Encoding"), STR("gzip")};
    HttpCallSpec spec = {
        .method = STR("GET"), .target = STR("/large"), .headers = &header, .n_headers = 1};
    got.call = http_call(setting->client, &spec, &got_events, &got);
    got_wait(&got);
    assert_int_equal(got.body.len, 1 << 20);
    got_free(&got);
}

static void queue_shows_and_drains(void **state) {
    Setting *setting = *state;
    Site *site = &setting->site;
    Got got;
    got_init(&got, site->loop);
    got_call(&got, setting->client, "GET", "/stream", NULL);
    site->stop_on_request = true;
    run(site->loop);
    http_call_pause(got.call, true);
    _bytes_unref_ Bytes *chunk = bytes_alloc(100000);
    memset(chunk->data, 'z', chunk->len);
    for (int i = 0; i < 3; i++)
        http_respond_data(site->held, chunk);
    run_for(site->loop, NSEC_PER_MSEC);
    assert_int_equal(http_respond_queued(site->held), 300000);
    assert_int_equal(got.body.len, 0);
    assert_int_equal(site->drains, 0);
    site->stop_on_drain = true;
    http_call_pause(got.call, false);
    run(site->loop);
    assert_int_equal(site->drains, 1);
    assert_int_equal(http_respond_queued(site->held), 0);
    assert_int_equal(got.body.len, 300000);
    http_respond_end(site->held);
    got_wait(&got);
    got_free(&got);
}

static void cancel_reaches_the_handler(void **state) {
    Setting *setting = *state;
    Site *site = &setting->site;
    Got got;
    got_init(&got, site->loop);
    got_call(&got, setting->client, "GET", "/stream", NULL);
    site->stop_on_request = site->stop_on_close = true;
    run(site->loop);
    site_send(site, "lost");
    http_call_cancel(got.call);
    run(site->loop);
    assert_int_equal(site->closed, 1);
    assert_int_equal(site->completed, 0);
    assert_int_equal(got.dones, 0);
    assert_int_equal(got.data_calls, 0);
    got_free(&got);
}

static void cancel_before_the_handler_ran_keeps_it_from_running(void **state) {
    Setting *setting = *state;
    Got got;
    got_init(&got, setting->site.loop);
    got_call(&got, setting->client, "GET", "/stream", NULL);
    http_call_cancel(got.call);
    run_for(setting->site.loop, NSEC_PER_MSEC);
    assert_int_equal(setting->site.requests, 0);
    got_free(&got);
}

static void abort_is_an_error(void **state) {
    Setting *setting = *state;
    Got got;
    got_init(&got, setting->site.loop);
    got_call(&got, setting->client, "GET", "/abort", NULL);
    got_wait(&got);
    assert_int_equal(got.error, -ECONNRESET);
    assert_int_equal(got.heads, 0);
    assert_int_equal(setting->site.completed, 0);
    got_free(&got);
}

static void silence_ends_in_a_timeout(void **state) {
    Setting *setting = *state;
    Got got;
    got_init(&got, setting->site.loop);
    got_call(&got, setting->client, "GET", "/hold", NULL);
    int64_t begin = loop_now(setting->site.loop);
    while (!got.over)
        loop_run(setting->site.loop);
    assert_int_equal(got.error, -ETIMEDOUT);
    assert_true(loop_now(setting->site.loop) - begin >= 30 * NSEC_PER_SEC);
    run_for(setting->site.loop, NSEC_PER_MSEC);
    assert_int_equal(setting->site.closed, 1); // the handler was told
    got_free(&got);
}

static void upgrade(Setting *setting, Loop *loop) {
    Got got;
    got_init(&got, loop);
    HttpCallSpec spec = {.method = STR("GET"), .target = STR("/upgrade"), .upgrade = true};
    got.call = http_call(setting->client, &spec, &got_events, &got);
    got_wait(&got);
    assert_non_null(got.upgraded);
    assert_int_equal(got.status, 101);
    Raw ours;
    raw_take(&ours, loop, got.upgraded);
    if (loop == setting->site.loop) {
        Raw theirs;
        raw_take(&theirs, loop, setting->site.upgraded);
        raw_send(&ours, "ping");
        raw_wait(&theirs, "ping");
        raw_send(&theirs, "pong");
        raw_wait(&ours, "pong");
        raw_close(&theirs);
    }
    raw_close(&ours);
    got_free(&got);
}

static void upgrade_gives_a_pair(void **state) {
    Setting *setting = *state;
    upgrade(setting, setting->site.loop);
}

static void upgrade_is_refused_to_plain_calls(void **state) {
    Setting *setting = *state;
    Got got;
    got_init(&got, setting->site.loop);
    got_call(&got, setting->client, "GET", "/upgrade", NULL);
    got_wait(&got);
    assert_int_equal(got.status, 400);
    got_free(&got);
}

// ---- two threads ----

static void *thread_main(void *loop) {
    loop_run(loop);
    return NULL;
}

static void count_stream(void *user, HttpRequest *request) {
    http_respond_head(request, 200, NULL, 0);
    for (int i = 0; i < 200; i++) {
        _bytes_unref_ Bytes *bytes = bytes_alloc(1000);
        memset(bytes->data, 'a' + i % 26, 1000);
        http_respond_data(request, bytes);
    }
    http_respond_end(request);
}

static void noop(void *user) {}

static void calls_cross_threads(void **state) {
    Loop *mine = loop_new(), *other = loop_new();
    HttpPeer peer = {.user = STR("someone")};
    HttpClient *client = http_client_new_local(mine, other, count_stream, NULL, &peer);
    // A timer keeps the other loop from ending for want of work.
    pthread_t thread;
    loop_call(other, noop, NULL);
    assert_int_equal(pthread_create(&thread, NULL, thread_main, other), 0);
    Got got[50];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 50; i++) {
            got_init(&got[i], mine);
            got_call(&got[i], client, "GET", "/", NULL);
            if (i % 7 == 3)
                http_call_cancel(got[i].call);
        }
        for (int i = 0; i < 50; i++) {
            if (i % 7 != 3) {
                got_wait(&got[i]);
                assert_int_equal(got[i].error, 0);
                assert_int_equal(got[i].body.len, 200000);
            }
            got_free(&got[i]);
        }
    }
    http_client_free(client);
    run_for(mine, 10 * NSEC_PER_MSEC);
    loop_stop(other);
    pthread_join(thread, NULL);
    loop_free(mine);
    loop_free(other);
}

static void echo_data(void *user, Str data) {
    stream_write(*(Stream **)user, data);
}
static void echo_end(void *user) {
    stream_end(*(Stream **)user);
}
static void echo_close(void *user, int error) {
    free(user);
}
static const StreamEvents echo_events = {
    .on_data = echo_data, .on_end = echo_end, .on_close = echo_close};

static void echo_upgrade(void *user, HttpRequest *request) {
    Stream **stream = malloc(sizeof *stream);
    *stream = http_upgrade(request, NULL, 0);
    stream_start(*stream, &echo_events, stream);
}

static void upgrade_crosses_threads(void **state) {
    Loop *mine = loop_new(), *other = loop_new();
    HttpPeer peer = {.user = STR("someone")};
    HttpClient *client = http_client_new_local(mine, other, echo_upgrade, NULL, &peer);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, thread_main, other), 0);
    Got got;
    got_init(&got, mine);
    HttpCallSpec spec = {.method = STR("GET"), .target = STR("/"), .upgrade = true};
    got.call = http_call(client, &spec, &got_events, &got);
    got_wait(&got);
    assert_non_null(got.upgraded);
    Raw raw;
    raw_take(&raw, mine, got.upgraded);
    raw_send(&raw, "there and back");
    raw_wait(&raw, "there and back");
    stream_end(raw.stream);
    raw_wait_end(&raw);
    raw_close(&raw);
    got_free(&got);
    http_client_free(client);
    run_for(mine, 10 * NSEC_PER_MSEC);
    loop_stop(other);
    pthread_join(thread, NULL);
    loop_free(mine);
    loop_free(other);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(call_is_answered),
        TEST(caller_is_known),
        TEST(answer_is_not_copied),
        TEST(large_answer_is_not_compressed),
        TEST(queue_shows_and_drains),
        TEST(cancel_reaches_the_handler),
        TEST(cancel_before_the_handler_ran_keeps_it_from_running),
        TEST(abort_is_an_error),
        TEST(silence_ends_in_a_timeout),
        TEST(upgrade_gives_a_pair),
        TEST(upgrade_is_refused_to_plain_calls),
        cmocka_unit_test(calls_cross_threads),
        cmocka_unit_test(upgrade_crosses_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
