// WebSocket over TCP: our server side, against our client side and against frames made by hand.

#include "harness.h"

#include <errno.h>

#include "http/websocket.h"

typedef struct Talk { // what one end heard
    Loop *loop;
    WebSocket *socket;
    Buf text; // messages, each with "[" in front and "]" behind
    size_t bytes, messages, pieces;
    bool echo, quiet, closed, stop_on_close;
    size_t stop_at_messages, stop_at_bytes;
    int error;
} Talk;

typedef struct Setting {
    Loop *loop;
    HttpServer *server;
    HttpClient *client;
    Talk ours, theirs; // the server's end, the client's end
    Str protocol;
} Setting;

static void on_message(void *user, Str data, bool text, bool first, bool last) {
    Talk *talk = user;
    talk->pieces++;
    talk->bytes += data.len;
    talk->messages += last;
    if (!talk->quiet) {
        if (first)
            buf_char(&talk->text, '[');
        buf_str(&talk->text, data);
        if (last)
            buf_char(&talk->text, ']');
    }
    if (talk->echo)
        websocket_send(talk->socket, text, STR(">"), data);
    if ((talk->stop_at_messages && talk->messages >= talk->stop_at_messages) ||
        (talk->stop_at_bytes && talk->bytes >= talk->stop_at_bytes)) {
        talk->stop_at_messages = talk->stop_at_bytes = 0;
        loop_stop(talk->loop);
    }
}

static void on_close(void *user, int error) {
    Talk *talk = user;
    talk->socket = NULL;
    talk->closed = true;
    talk->error = error;
    if (talk->stop_on_close)
        loop_stop(talk->loop);
}

static const WebSocketEvents talk_events = {.on_message = on_message, .on_close = on_close};

static void talk_init(Talk *talk, Loop *loop) {
    *talk = (Talk){.loop = loop, .text = BUF_INIT(1 << 26)};
}

static void handle(void *user, HttpRequest *request) {
    Setting *s = user;
    static const Str supported[] = {{"v5.channel.k8s.io", 17}, {"v4.channel.k8s.io", 17}, {"", 0}};
    s->protocol = websocket_choose_protocol(request, supported, 3);
    s->ours.socket = websocket_accept(request, s->protocol, &talk_events, &s->ours);
}

static int setup(void **state) {
    Setting *s = calloc(1, sizeof *s);
    s->loop = loop_new();
    HttpServerConfig config = {
        .loop = s->loop, .address = "127.0.0.1", .handler = handle, .user = s};
    assert_int_equal(http_server_new(&config, &s->server), 0);
    HttpClientConfig client = {
        .loop = s->loop, .host = STR("127.0.0.1"), .port = http_server_port(s->server)};
    assert_int_equal(http_client_new(&client, &s->client), 0);
    talk_init(&s->ours, s->loop);
    talk_init(&s->theirs, s->loop);
    *state = s;
    return 0;
}

static int teardown(void **state) {
    Setting *s = *state;
    if (s->ours.socket)
        websocket_abort(s->ours.socket);
    if (s->theirs.socket)
        websocket_abort(s->theirs.socket);
    http_client_free(s->client);
    http_server_free(s->server);
    loop_free(s->loop);
    buf_deinit(&s->ours.text);
    buf_deinit(&s->theirs.text);
    free(s);
    return 0;
}

static const HttpHeader handshake[] = {
    {STR("Upgrade"), STR("websocket")},
    {STR("Connection"), STR("Upgrade")},
    {STR("Sec-WebSocket-Version"), STR("13")},
    {STR("Sec-WebSocket-Key"), STR("dGhlIHNhbXBsZSBub25jZQ==")},
    {STR("Sec-WebSocket-Protocol"), STR("unknown, v4.channel.k8s.io, v5.channel.k8s.io")},
};

static void connect_client(Setting *s) {
    Got got;
    got_init(&got, s->loop);
    HttpCallSpec spec = {.method = STR("GET"),
                         .target = STR("/"),
                         .headers = handshake,
                         .n_headers = 5,
                         .upgrade = true};
    got.call = http_call(s->client, &spec, &got_events, &got);
    got_wait(&got);
    assert_non_null(got.upgraded);
    assert_str(got_header(&got, "Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_str(got_header(&got, "Sec-WebSocket-Protocol"), "v4.channel.k8s.io");
    s->theirs.socket = websocket_connect(got.upgraded, &talk_events, &s->theirs);
    got_free(&got);
}

static void wait_messages(Talk *talk, size_t n) {
    if (talk->messages >= n)
        return;
    talk->stop_at_messages = n;
    run(talk->loop);
}

static void wait_close(Talk *talk) {
    talk->stop_on_close = true;
    if (!talk->closed)
        run(talk->loop);
}

static void messages_go_both_ways(void **state) {
    Setting *s = *state;
    connect_client(s);
    s->ours.echo = true;
    websocket_send(s->theirs.socket, false, STR("a"), STR("bc"));
    websocket_send(s->theirs.socket, true, STR(""), STR("d"));
    websocket_send(s->theirs.socket, false, STR(""), STR(""));
    wait_messages(&s->theirs, 3);
    assert_str(buf_view(&s->ours.text), "[abc][d][]");
    assert_str(buf_view(&s->theirs.text), "[>abc][>d][>]");
}

static void large_message_comes_in_pieces(void **state) {
    Setting *s = *state;
    connect_client(s);
    char *data = malloc(8 << 20);
    memset(data, 'm', 8 << 20);
    s->ours.quiet = true;
    websocket_send(s->theirs.socket, false, STR(""), str_of(data, 8 << 20));
    wait_messages(&s->ours, 1);
    assert_int_equal(s->ours.bytes, 8 << 20);
    assert_true(s->ours.pieces > 8);
    free(data);
}

static void closing_is_answered(void **state) {
    Setting *s = *state;
    connect_client(s);
    websocket_send(s->ours.socket, false, STR(""), STR("last words"));
    websocket_close(s->ours.socket, WEBSOCKET_NORMAL);
    wait_close(&s->ours);
    assert_int_equal(s->ours.error, 0);
    wait_close(&s->theirs);
    assert_int_equal(s->theirs.error, 0);
    assert_str(buf_view(&s->theirs.text), "[last words]");
}

static void lost_connection_is_an_error(void **state) {
    Setting *s = *state;
    connect_client(s);
    websocket_abort(s->theirs.socket);
    s->theirs.socket = NULL;
    wait_close(&s->ours);
    assert_true(s->ours.error < 0);
}

static void paused_socket_holds_the_sender_back(void **state) {
    Setting *s = *state;
    connect_client(s);
    s->ours.quiet = true;
    websocket_pause(s->ours.socket, true);
    char *data = malloc(100000);
    memset(data, 'm', 100000);
    size_t sent = 0;
    while (websocket_queued(s->theirs.socket) < STREAM_HIGH_WATER && sent < 1 << 28) {
        websocket_send(s->theirs.socket, false, STR(""), str_of(data, 100000));
        sent += 100000;
        run_for(s->loop, NSEC_PER_MSEC / 10);
    }
    assert_true(sent < 1 << 28);
    assert_true(s->ours.bytes <= 65536);
    websocket_pause(s->ours.socket, false);
    s->ours.stop_at_bytes = sent;
    run(s->loop);
    assert_int_equal(s->ours.bytes, sent);
    free(data);
}

// ---- frames by hand ----

static const char raw_handshake[] =
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static void raw_begin(Setting *s, Raw *raw) {
    raw_connect(raw, s->loop, http_server_port(s->server));
    raw_send(raw, raw_handshake);
    raw_wait(raw, "\r\n\r\n");
    buf_clear(&raw->in);
}

// A frame masked with zeros.
static void raw_frame(Raw *raw, uint8_t first, const char *payload) {
    char frame[140] = {(char)first, (char)(0x80 | strlen(payload)), 0, 0, 0, 0};
    assert_true(strlen(payload) < 126);
    memcpy(frame + 6, payload, strlen(payload));
    stream_write(raw->stream, str_of(frame, 6 + strlen(payload)));
}

static void fragments_are_one_message_and_pings_may_come_between(void **state) {
    Setting *s = *state;
    Raw raw;
    raw_begin(s, &raw);
    raw_frame(&raw, 0x02, "one ");
    raw_frame(&raw, 0x89, "ping!");
    raw_frame(&raw, 0x00, "");
    raw_frame(&raw, 0x00, "two ");
    raw_frame(&raw, 0x80, "three");
    wait_messages(&s->ours, 1);
    assert_str(buf_view(&s->ours.text), "[one two three]");
    raw_wait(&raw, "\x8a\x05ping!");
    raw_close(&raw);
}

static void expect_close(Setting *s, Raw *raw, const char *code) {
    raw_wait_end(raw);
    assert_true(raw_has(raw, code));
    wait_close(&s->ours);
    assert_true(s->ours.error < 0);
    raw_close(raw);
}

static void unmasked_frame_is_a_violation(void **state) {
    Raw raw;
    raw_begin(*state, &raw);
    raw_send(&raw, "\x82\x03"
                   "abc");
    expect_close(*state, &raw, "\x88\x02\x03\xea");
}

static void reserved_bits_are_a_violation(void **state) {
    Raw raw;
    raw_begin(*state, &raw);
    raw_frame(&raw, 0xc2, "abc");
    expect_close(*state, &raw, "\x88\x02\x03\xea");
}

static void flood_of_pings_is_cut(void **state) {
    Raw raw;
    raw_begin(*state, &raw);
    for (int i = 0; i < 3000; i++)
        raw_frame(&raw, 0x89, "x");
    expect_close(*state, &raw, "\x88\x02\x03\xf0");
}

static void close_frame_is_answered_in_kind(void **state) {
    Setting *s = *state;
    Raw raw;
    raw_begin(s, &raw);
    raw_frame(&raw, 0x88, "\x03\xe8");
    raw_wait(&raw, "\x88\x02\x03\xe8");
    wait_close(&s->ours);
    assert_int_equal(s->ours.error, 0);
    raw_close(&raw);
}

static void not_a_handshake_is_refused(void **state) {
    Setting *s = *state;
    static const char *requests[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        Raw raw;
        raw_connect(&raw, s->loop, http_server_port(s->server));
        raw_send(&raw, requests[i]);
        raw_wait(&raw, "HTTP/1.1 400 ");
        raw_wait(&raw, "Sec-WebSocket-Version: 13");
        assert_null(s->ours.socket);
        raw_close(&raw);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(messages_go_both_ways),
        TEST(large_message_comes_in_pieces),
        TEST(closing_is_answered),
        TEST(lost_connection_is_an_error),
        TEST(paused_socket_holds_the_sender_back),
        TEST(fragments_are_one_message_and_pings_may_come_between),
        TEST(unmasked_frame_is_a_violation),
        TEST(reserved_bits_are_a_violation),
        TEST(flood_of_pings_is_cut),
        TEST(close_frame_is_answered_in_kind),
        TEST(not_a_handshake_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
