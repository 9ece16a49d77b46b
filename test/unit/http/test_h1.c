// HTTP/1.1 over real sockets, byte by byte.

#include "site.h"

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

static void raw_to(Raw *raw, Site *site) {
    raw_connect(raw, site->loop, http_server_port(site->server));
}

static void answers_a_request_and_keeps_the_connection(void **state) {
    Site *site = *state;
    Raw raw;
    raw_to(&raw, site);
    raw_send(&raw, "POST /echo?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    raw_wait(&raw, "\r\n\r\nhello");
    assert_true(raw_has(&raw, "HTTP/1.1 200 OK\r\n"));
    assert_true(raw_has(&raw, "Content-Type: text/plain\r\n"));
    assert_true(raw_has(&raw, "Content-Length: 5\r\n"));
    assert_true(raw_has(&raw, "Date: "));
    raw_send(&raw, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    raw_wait(&raw, "nothing here");
    assert_str(buf_view(&site->seen), "POST /echo?a=b 5\nGET /none? 0\n");
    assert_int_equal(site->completed, 2);
    assert_false(raw.ended);
    raw_close(&raw);
}

static void request_may_come_in_single_bytes(void **state) {
    Site *site = *state;
    Raw raw;
    raw_to(&raw, site);
    const char *text = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer: x\r\n\r\n";
    for (const char *c = text; *c; c++) {
        stream_write(raw.stream, str_of(c, 1));
        run_for(site->loop, NSEC_PER_MSEC / 10);
    }
    raw_wait(&raw, "\r\n\r\nabcde");
    raw_close(&raw);
}

static void blank_lines_between_requests_are_passed_over(void **state) {
    Site *site = *state;
    Raw raw;
    raw_to(&raw, site);
    raw_send(&raw, "\r\n");
    run_for(site->loop, NSEC_PER_MSEC);
    raw_send(&raw, "\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\n\r\n\r\n");
    raw_wait(&raw, "nothing here");
    raw_send(&raw, "\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    while (raw_count(&raw, "nothing here") < 2)
        run_for(site->loop, NSEC_PER_MSEC);
    raw_close(&raw);
}

static void pipelined_requests_are_answered_in_order(void **state) {
    Site *site = *state;
    Raw raw;
    raw_to(&raw, site);
    raw_send(&raw, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"
                   "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nA"
                   "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nB"
                   "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    site->stop_on_request = true;
    run(site->loop);
    assert_int_equal(site->requests, 1); // the others wait
    run_for(site->loop, 20 * NSEC_PER_MSEC);
    assert_int_equal(site->requests, 1);
    site->stop_on_request = false;
    site_text(site->held, 200, STR("first"));
    raw_wait(&raw, "nothing here");
    const char *a = memmem(raw.in.data, raw.in.len, "first", 5);
    const char *b = memmem(raw.in.data, raw.in.len, "\r\n\r\nA", 5);
    const char *c = memmem(raw.in.data, raw.in.len, "\r\n\r\nB", 5);
    assert_true(a && b && c && a < b && b < c);
    raw_close(&raw);
}

static void streamed_answer_is_chunked_and_flushed(void **state) {
    Site *site = *state;
    Raw raw;
    raw_to(&raw, site);
    raw_send(&raw, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    raw_wait(&raw, "\r\n\r\n");
    assert_true(raw_has(&raw, "Transfer-Encoding: chunked\r\n"));
    site_send(site, "{\"type\":\"ADDED\"}\n");
    raw_wait(&raw, "11\r\n{\"type\":\"ADDED\"}\n\r\n");
    http_respond_end(site->held);
    raw_wait(&raw, "\r\n0\r\n\r\n");
    assert_int_equal(site->completed, 1);
    raw_close(&raw);
}

static void client_that_leaves_closes_the_stream(void **state) {
    Site *site = *state;
    Raw raw;
    raw_to(&raw, site);
    raw_send(&raw, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    raw_wait(&raw, "\r\n\r\n");
    site->stop_on_close = true;
    stream_end(raw.stream);
    run(site->loop);
    assert_int_equal(site->closed, 1);
    assert_int_equal(site->completed, 0);
    raw_close(&raw);
}

static void http10_answer_ends_with_the_connection(void **state) {
    Site *site = *state;
    Raw raw;
    raw_to(&raw, site);
    raw_send(&raw, "GET /stream HTTP/1.0\r\n\r\n");
    raw_wait(&raw, "\r\n\r\n");
    assert_false(raw_has(&raw, "chunked"));
    assert_true(raw_has(&raw, "Connection: close\r\n"));
    site_send(site, "one");
    http_respond_end(site->held);
    raw_wait_end(&raw);
    assert_true(raw_has(&raw, "\r\n\r\none"));
    raw_close(&raw);
}

static void close_is_honoured(void **state) {
    Site *site = *state;
    Raw raw;
    raw_to(&raw, site);
    raw_send(&raw, "GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    raw_wait_end(&raw);
    assert_int_equal(raw_count(&raw, "x") > (1 << 20) - 1, 1);
    assert_true(raw_has(&raw, "Connection: close\r\n"));
    raw_close(&raw);
}

static void head_has_no_body(void **state) {
    Site *site = *state;
    Raw raw;
    raw_to(&raw, site);
    raw_send(&raw,
             "HEAD /none HTTP/1.1\r\nHost: x\r\n\r\nHEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    raw_wait(&raw, "application/json");
    site_send(site, "never shown");
    http_respond_end(site->held);
    run_for(site->loop, 20 * NSEC_PER_MSEC);
    assert_true(raw_has(&raw, "Content-Length: 12\r\n"));
    assert_false(raw_has(&raw, "nothing here"));
    assert_false(raw_has(&raw, "never"));
    raw_close(&raw);
}

static void expect_continue_is_answered_before_the_body(void **state) {
    Site *site = *state;
    Raw raw;
    raw_to(&raw, site);
    raw_send(&raw,
             "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    raw_wait(&raw, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(site->requests, 0);
    raw_send(&raw, "abc");
    raw_wait(&raw, "\r\n\r\nabc");
    raw_close(&raw);
}

static void expect_of_a_body_that_is_too_large_is_refused_at_once(void **state) {
    Site *site = *state;
    Raw raw;
    raw_to(&raw, site);
    raw_send(&raw, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n"
                   "Expect: 100-continue\r\n\r\n");
    raw_wait_end(&raw);
    assert_true(raw_has(&raw, "HTTP/1.1 413 "));
    assert_false(raw_has(&raw, "100 Continue"));
    assert_int_equal(site->requests, 0);
    raw_close(&raw);
}

static void refused(Site *site, const char *request, const char *status_line) {
    Raw raw;
    raw_to(&raw, site);
    raw_send(&raw, request);
    raw_wait(&raw, "\r\n\r\n");
    if (!raw_has(&raw, status_line))
        fail_msg("%s: wanted %s, got %.*s", request, status_line, (int)raw.in.len, raw.in.data);
    raw_wait_end(&raw);
    assert_true(raw_has(&raw, "\"kind\":\"Status\""));
    raw_close(&raw);
}

static void broken_requests_are_refused(void **state) {
    Site *site = *state;
    refused(site, "nonsense\r\n\r\n", "HTTP/1.1 400 ");
    refused(site, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "); // no Host
    refused(site, "GET / HTTP/2.0\r\nHost: x\r\n\r\n", "HTTP/1.1 400 ");
    refused(site, "GET / HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n", "HTTP/1.1 400 ");
    refused(site, "GET / HTTP/1.1\r\nHost: x\r\nExpect: gold\r\n\r\n", "HTTP/1.1 417 ");
    refused(site,
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 400 "); // smuggling
    refused(site, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 400 ");
    assert_int_equal(site->requests, 0);
}

static void sizes_are_limited(void **state) {
    Site *site = *state;
    _buf_deinit_ Buf long_line = BUF_INIT(1 << 22);
    buf_printf(&long_line, "GET /%065536d HTTP/1.1\r\nHost: x\r\n\r\n", 1);
    buf_char(&long_line, '\0');
    refused(site, long_line.data, "HTTP/1.1 414 ");
    buf_clear(&long_line);
    buf_printf(&long_line, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 20; i++)
        buf_printf(&long_line, "Header: %065536d\r\n", 1);
    buf_printf(&long_line, "\r\n");
    buf_char(&long_line, '\0');
    refused(site, long_line.data, "HTTP/1.1 431 ");
    buf_clear(&long_line);
    buf_printf(&long_line, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 1001; i++)
        buf_printf(&long_line, "A: b\r\n");
    buf_printf(&long_line, "\r\n");
    buf_char(&long_line, '\0');
    refused(site, long_line.data, "HTTP/1.1 431 ");
    buf_clear(&long_line);
    buf_printf(&long_line,
               "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
               "100001\r\n%01048577d\r\n0\r\n\r\n",
               1);
    buf_char(&long_line, '\0');
    refused(site, long_line.data, "HTTP/1.1 413 ");
    assert_int_equal(site->requests, 0);
}

static void largest_body_is_taken(void **state) {
    Site *site = *state;
    Raw raw;
    raw_to(&raw, site);
    _buf_deinit_ Buf text = BUF_INIT(1 << 22);
    buf_printf(&text, "POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n%01048576d",
               7);
    stream_write(raw.stream, buf_view(&text));
    site->stop_on_request = true;
    run(site->loop);
    assert_int_equal(site->held->body.len, 1 << 20);
    assert_int_equal(site->held->body.ptr[(1 << 20) - 1], '7');
    site_text(site->held, 200, STR("ok"));
    raw_wait(&raw, "\r\n\r\nok");
    raw_close(&raw);
}

static void abort_cuts_the_connection(void **state) {
    Site *site = *state;
    Raw raw;
    raw_to(&raw, site);
    raw_send(&raw, "GET /abort HTTP/1.1\r\nHost: x\r\n\r\n");
    raw_wait_end(&raw);
    assert_int_equal(raw.in.len, 0);
    assert_int_equal(site->closed, 1);
    assert_int_equal(site->completed, 0);
    raw_close(&raw);
}

static void upgrade_hands_over_what_came_early(void **state) {
    Site *site = *state;
    Raw raw, other;
    raw_to(&raw, site);
    raw_send(
        &raw,
        "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\nearly");
    raw_wait(&raw, "\r\n\r\n");
    assert_true(raw_has(&raw, "HTTP/1.1 101 Switching Protocols\r\n"));
    assert_true(raw_has(&raw, "Upgrade: test\r\n"));
    assert_true(raw_has(&raw, "Connection: Upgrade\r\n"));
    assert_int_equal(site->completed, 1);
    raw_take(&other, site->loop, site->upgraded);
    raw_wait(&other, "early");
    raw_send(&raw, " bird");
    raw_wait(&other, "early bird");
    raw_send(&other, "worm");
    raw_wait(&raw, "worm");
    stream_end(raw.stream);
    raw_wait_end(&other);
    raw_send(&other, "still writing");
    raw_wait(&raw, "still writing");
    stream_close(other.stream);
    raw_wait_end(&raw);
    raw_close(&raw);
    raw_close(&other);
}

static void slow_reader_is_seen_in_the_queue(void **state) {
    Site *site = *state;
    Raw raw;
    raw_to(&raw, site);
    raw_send(&raw, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    raw_wait(&raw, "\r\n\r\n");
    stream_pause(raw.stream, true);
    _bytes_unref_ Bytes *chunk = bytes_alloc(100000);
    memset(chunk->data, 'y', chunk->len);
    size_t sent = 0;
    while (http_respond_queued(site->held) < STREAM_HIGH_WATER && sent < (1 << 28)) {
        http_respond_data(site->held, chunk);
        sent += chunk->len;
        run_for(site->loop, NSEC_PER_MSEC / 10);
    }
    assert_true(sent < (1 << 28)); // the kernel's buffers end somewhere
    assert_int_equal(site->drains, 0);
    site->stop_on_drain = true;
    stream_pause(raw.stream, false);
    run(site->loop);
    assert_int_equal(site->drains, 1);
    http_respond_end(site->held);
    raw_wait(&raw, "\r\n0\r\n\r\n");
    assert_true(raw.in.len > sent);
    raw_close(&raw);
}

static void many_answers_wait_for_a_reader(void **state) {
    Site *site = *state;
    Raw raw;
    raw_to(&raw, site);
    stream_pause(raw.stream, true);
    for (int i = 0; i < 100; i++)
        raw_send(&raw, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    run_for(site->loop, 200 * NSEC_PER_MSEC);
    assert_true(site->requests < 50); // not all 100 MiB are in memory
    stream_pause(raw.stream, false);
    while (raw_count(&raw, "HTTP/1.1 200 OK") < 100)
        run_for(site->loop, 50 * NSEC_PER_MSEC);
    assert_int_equal(site->requests, 100);
    raw_close(&raw);
}

static void too_many_connections_are_closed(void **state) {
    Site *site = *state;
    HttpServer *server;
    HttpServerConfig config = {.loop = site->loop,
                               .address = "127.0.0.1",
                               .handler = site_handle,
                               .user = site,
                               .max_connections = 1};
    assert_int_equal(http_server_new(&config, &server), 0);
    Raw first, second;
    raw_connect(&first, site->loop, http_server_port(server));
    raw_send(&first, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    raw_wait(&first, "nothing here");
    raw_connect(&second, site->loop, http_server_port(server));
    raw_wait_end(&second);
    raw_close(&first);
    raw_close(&second);
    http_server_free(server);
}

static void serves_a_stream_that_somebody_else_made(void **state) {
    Site *site = *state;
    Stream *ours, *theirs;
    stream_pair(site->loop, &ours, &theirs);
    HttpPeer peer = {.address = STR("@"), .local = true, .user = STR("somebody")};
    http_server_serve(site->server, theirs, &peer);
    Raw raw;
    raw_take(&raw, site->loop, ours);
    raw_send(&raw, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    raw_wait(&raw, "nothing here");
    raw_close(&raw);
}

static void stopping_closes_after_the_exchange(void **state) {
    Site *site = *state;
    Raw raw;
    raw_to(&raw, site);
    raw_send(&raw, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    site->stop_on_request = true;
    run(site->loop);
    http_server_stop_listening(site->server);
    site_text(site->held, 200, STR("last"));
    raw_wait_end(&raw);
    assert_true(raw_has(&raw, "last"));
    raw_close(&raw);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(answers_a_request_and_keeps_the_connection),
        TEST(request_may_come_in_single_bytes),
        TEST(blank_lines_between_requests_are_passed_over),
        TEST(pipelined_requests_are_answered_in_order),
        TEST(streamed_answer_is_chunked_and_flushed),
        TEST(client_that_leaves_closes_the_stream),
        TEST(http10_answer_ends_with_the_connection),
        TEST(close_is_honoured),
        TEST(head_has_no_body),
        TEST(expect_continue_is_answered_before_the_body),
        TEST(expect_of_a_body_that_is_too_large_is_refused_at_once),
        TEST(broken_requests_are_refused),
        TEST(sizes_are_limited),
        TEST(largest_body_is_taken),
        TEST(abort_cuts_the_connection),
        TEST(upgrade_hands_over_what_came_early),
        TEST(slow_reader_is_seen_in_the_queue),
        TEST(many_answers_wait_for_a_reader),
        TEST(too_many_connections_are_closed),
        TEST(serves_a_stream_that_somebody_else_made),
        TEST(stopping_closes_after_the_exchange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
