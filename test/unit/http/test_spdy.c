// SPDY/3.1: both of our sides over a pair of streams in simulated time, and frames made by hand.

#include "harness.h"

#include <errno.h>

#include "http/spdy.h"
#include "http/spdy_header.h"

typedef struct Side {
    SpdySession *session;
    bool closed;
    int error;
    Raw streams[2000]; // accepted ones
    uint32_t ids[2000];
    size_t n, refuse_after;
    Buf headers;
} Side;

typedef struct Setting {
    Loop *loop;
    Side server, client;
} Setting;

static Setting *current;

static bool on_stream(void *user, Stream *stream, uint32_t id, const HttpHeader *headers,
                      size_t n) {
    Side *side = user;
    if (side->refuse_after && side->n >= side->refuse_after)
        return false;
    for (size_t i = 0; i < n; i++)
        buf_printf(&side->headers, "%.*s=%.*s;", STR_ARG(headers[i].name),
                   STR_ARG(headers[i].value));
    side->ids[side->n] = id;
    raw_take(&side->streams[side->n++], current->loop, stream);
    return true;
}

static void on_close(void *user, int error) {
    Side *side = user;
    side->session = NULL;
    side->closed = true;
    side->error = error;
}

static const SpdyEvents events = {.on_stream = on_stream, .on_close = on_close};

static int setup(void **state) {
    Setting *s = calloc(1, sizeof *s);
    s->loop = loop_new_simulated(7, 0);
    s->server.headers = s->client.headers = BUF_INIT(1 << 20);
    Stream *a, *b;
    stream_pair(s->loop, &a, &b);
    s->server.session = spdy_session_new(a, true, &events, &s->server);
    s->client.session = spdy_session_new(b, false, &events, &s->client);
    current = *state = s;
    return 0;
}

static int teardown(void **state) {
    Setting *s = *state;
    if (s->client.session)
        spdy_session_abort(s->client.session);
    if (s->server.session)
        spdy_session_abort(s->server.session);
    loop_run(s->loop); // until nothing is left: streams report their ends
    for (size_t i = 0; i < s->server.n; i++)
        raw_close(&s->server.streams[i]);
    loop_run(s->loop);
    loop_free(s->loop);
    buf_deinit(&s->server.headers);
    buf_deinit(&s->client.headers);
    free(s);
    return 0;
}

static void settle(Setting *s) {
    assert_int_equal(loop_run_until(s->loop, loop_now(s->loop) + NSEC_PER_MSEC), 0);
}

static void open_stream(Setting *s, Raw *raw) {
    HttpHeader headers[] = {{STR("streamType"), STR("stdin")}, {STR("port"), STR("80")}};
    raw_take(raw, s->loop, spdy_open(s->client.session, headers, 2));
}

static void streams_carry_data_both_ways(void **state) {
    Setting *s = *state;
    Raw a, b;
    open_stream(s, &a);
    open_stream(s, &b);
    raw_send(&a, "first");
    raw_send(&b, "second");
    settle(s);
    assert_int_equal(s->server.n, 2);
    assert_int_equal(s->server.ids[0], 1);
    assert_int_equal(s->server.ids[1], 3);
    assert_str(buf_view(&s->server.headers), "streamtype=stdin;port=80;streamtype=stdin;port=80;");
    assert_str(buf_view(&s->server.streams[0].in), "first");
    assert_str(buf_view(&s->server.streams[1].in), "second");
    raw_send(&s->server.streams[1], "answer");
    settle(s);
    assert_str(buf_view(&b.in), "answer");
    assert_int_equal(a.in.len, 0);
    raw_close(&a);
    raw_close(&b);
}

static void half_close_ends_one_direction(void **state) {
    Setting *s = *state;
    Raw a;
    open_stream(s, &a);
    raw_send(&a, "all I have");
    stream_end(a.stream);
    settle(s);
    Raw *there = &s->server.streams[0];
    assert_str(buf_view(&there->in), "all I have");
    assert_true(there->ended);
    assert_false(there->closed);
    raw_send(there, "and the answer");
    settle(s);
    assert_str(buf_view(&a.in), "and the answer");
    assert_false(a.ended);
    stream_end(there->stream);
    settle(s);
    assert_true(a.ended && a.closed && there->closed);
    raw_close(&a);
}

static void abort_resets_the_stream_alone(void **state) {
    Setting *s = *state;
    Raw a, b;
    open_stream(s, &a);
    open_stream(s, &b);
    settle(s);
    raw_close(&a);
    settle(s);
    assert_true(s->server.streams[0].closed);
    assert_false(s->server.streams[1].closed);
    raw_send(&b, "alive");
    settle(s);
    assert_str(buf_view(&s->server.streams[1].in), "alive");
    raw_close(&b);
}

static void refused_stream_is_reset(void **state) {
    Setting *s = *state;
    s->server.refuse_after = 1;
    Raw a, b;
    open_stream(s, &a);
    open_stream(s, &b);
    settle(s);
    assert_true(b.closed);
    assert_false(a.closed);
    raw_close(&a);
    raw_close(&b);
}

static void paused_stream_stalls_itself_alone(void **state) {
    Setting *s = *state;
    Raw a, b;
    open_stream(s, &a);
    open_stream(s, &b);
    settle(s);
    stream_pause(s->server.streams[0].stream, true);
    char *data = malloc(1 << 20);
    memset(data, 'd', 1 << 20);
    stream_write(a.stream, str_of(data, 1 << 20));
    settle(s);
    assert_int_equal(s->server.streams[0].in.len, 0);
    assert_true(stream_queued(a.stream) >= (1 << 20) - 64 * 1024);
    stream_write(b.stream, str_of(data, 1 << 20));
    settle(s);
    assert_int_equal(s->server.streams[1].in.len, 1 << 20);
    stream_pause(s->server.streams[0].stream, false);
    settle(s);
    assert_int_equal(s->server.streams[0].in.len, 1 << 20);
    assert_int_equal(stream_queued(a.stream), 0);
    free(data);
    raw_close(&a);
    raw_close(&b);
}

static void gigabyte_flows_without_growth(void **state) {
    Setting *s = *state;
    Raw a;
    open_stream(s, &a);
    settle(s);
    char *data = malloc(1 << 20);
    memset(data, 'g', 1 << 20);
    size_t got = 0;
    for (int i = 0; i < 256; i++) {
        stream_write(a.stream, str_of(data, 1 << 20));
        settle(s);
        got += s->server.streams[0].in.len;
        buf_clear(&s->server.streams[0].in);
        assert_int_equal(stream_queued(a.stream), 0);
    }
    assert_int_equal(got, 256UL << 20);
    free(data);
    raw_close(&a);
}

static void close_lets_everything_out(void **state) {
    Setting *s = *state;
    Raw a;
    open_stream(s, &a);
    settle(s);
    char *data = malloc(1 << 20);
    memset(data, 'e', 1 << 20);
    stream_write(s->server.streams[0].stream, str_of(data, 1 << 20)); // more than a window
    spdy_session_close(s->server.session);
    settle(s);
    assert_int_equal(a.in.len, 1 << 20);
    assert_true(a.ended);
    loop_run(s->loop);
    assert_true(s->server.closed && s->client.closed);
    assert_int_equal(s->server.error, 0);
    assert_true(a.closed && s->server.streams[0].closed);
    free(data);
    raw_close(&a);
}

static void lost_connection_closes_every_stream(void **state) {
    Setting *s = *state;
    Raw a, b;
    open_stream(s, &a);
    open_stream(s, &b);
    settle(s);
    spdy_session_abort(s->server.session);
    s->server.session = NULL;
    settle(s);
    assert_true(a.closed && b.closed && s->client.closed);
    assert_true(s->client.error < 0);
    assert_true(s->server.streams[0].closed && s->server.streams[1].closed);
    raw_close(&a);
    raw_close(&b);
}

static void streams_are_limited(void **state) {
    Setting *s = *state;
    static Raw raws[1010];
    for (int i = 0; i < 1010; i++)
        open_stream(s, &raws[i]);
    settle(s);
    assert_int_equal(s->server.n, 1000);
    assert_true(raws[1009].closed);
    assert_false(raws[999].closed);
    for (int i = 0; i < 1010; i++)
        raw_close(&raws[i]);
}

// ---- a peer that does not know of windows, like kubectl's library ----

typedef struct Hand {
    SpdyHeader codec;
    Stream *stream;
    Raw raw;
} Hand;

static void hand_setup(Setting *s, Hand *hand) {
    spdy_session_abort(s->client.session);
    s->client.session = NULL;
    settle(s);
    assert_true(s->server.closed);
    s->server.closed = false;
    Stream *a;
    stream_pair(s->loop, &a, &hand->stream);
    s->server.session = spdy_session_new(a, true, &events, &s->server);
    assert_int_equal(spdy_header_init(&hand->codec), 0);
    raw_take(&hand->raw, s->loop, hand->stream);
}

static void hand_free(Hand *hand) {
    spdy_header_deinit(&hand->codec);
    raw_close(&hand->raw);
}

static void hand_control(Hand *hand, uint8_t type, const void *payload, size_t len) {
    unsigned char head[8] = {0x80,        3, 0, type, 0, (uint8_t)(len >> 16), (uint8_t)(len >> 8),
                             (uint8_t)len};
    stream_write(hand->stream, str_of(head, 8));
    stream_write(hand->stream, str_of(payload, len));
}

static void hand_syn(Hand *hand, uint8_t id) {
    _buf_deinit_ Buf payload = BUF_INIT(1 << 16);
    buf_append(&payload, (char[]){0, 0, 0, (char)id, 0, 0, 0, 0, 0, 0}, 10);
    HttpHeader header = {STR("streamtype"), STR("stdout")};
    spdy_header_encode(&hand->codec, &header, 1, &payload);
    hand_control(hand, 1, payload.data, payload.len);
}

static void peer_without_windows_gets_everything(void **state) {
    Setting *s = *state;
    Hand hand;
    hand_setup(s, &hand);
    hand_syn(&hand, 1);
    settle(s);
    assert_int_equal(s->server.n, 1);
    // SYN_REPLY for stream 1
    assert_memory_equal(hand.raw.in.data, "\x80\x03\x00\x02\x00", 5);
    assert_memory_equal(hand.raw.in.data + 8, "\x00\x00\x00\x01", 4);
    size_t before = hand.raw.in.len;
    char *data = malloc(1 << 20);
    memset(data, 'w', 1 << 20);
    stream_write(s->server.streams[0].stream, str_of(data, 1 << 20));
    settle(s);
    assert_int_equal(hand.raw.in.len, before + (1 << 20) + 32 * 8);
    // What it sends is taken as well, and a stalled reader stops the connection.
    stream_pause(s->server.streams[0].stream, true);
    size_t sent = 0;
    while (stream_queued(hand.stream) < STREAM_HIGH_WATER && sent < 1 << 26) {
        unsigned char head[8] = {0, 0, 0, 1, 0, 0, 0x80, 0};
        stream_write(hand.stream, str_of(head, 8));
        stream_write(hand.stream, str_of(data, 0x8000));
        sent += 0x8000;
        settle(s);
    }
    assert_true(sent < 1 << 20);
    stream_pause(s->server.streams[0].stream, false);
    settle(s);
    assert_int_equal(s->server.streams[0].in.len, sent);
    free(data);
    hand_free(&hand);
}

static void pings_are_answered(void **state) {
    Setting *s = *state;
    Hand hand;
    hand_setup(s, &hand);
    hand_control(&hand, 6, "\0\0\0\x07", 4);
    settle(s);
    assert_int_equal(hand.raw.in.len, 12);
    assert_memory_equal(hand.raw.in.data, "\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x07", 12);
    hand_free(&hand);
}

static void violation(Setting *s, uint8_t type, const void *payload, size_t len) {
    Hand hand;
    hand_setup(s, &hand);
    hand_syn(&hand, 1);
    hand_control(&hand, type, payload, len);
    settle(s);
    assert_true(s->server.closed);
    assert_int_equal(s->server.error, -EPROTO);
    assert_true(hand.raw.closed);
    hand_free(&hand);
    // for the next one
    s->server.closed = true;
    Stream *a, *b;
    stream_pair(s->loop, &a, &b);
    s->server.session = spdy_session_new(a, true, &events, &s->server);
    s->client.session = spdy_session_new(b, false, &events, &s->client);
}

static void violations_end_the_connection(void **state) {
    Setting *s = *state;
    violation(s, 1, "short", 5);
    violation(s, 1, "\0\0\0\x03\0\0\0\0\0\0garbage that is not deflated", 38);
    violation(s, 2, "\0\0", 2);
    violation(s, 3, "\0\0\0\x01", 4);
    violation(s, 4, "\0\0\0\x09zzzz", 8);
    violation(s, 6, "\0", 1);
    violation(s, 9, "\0\0\0\x01\x7f\xff\xff\xff", 8); // the window overflows
    _buf_deinit_ Buf large = BUF_INIT(1 << 20);
    buf_printf(&large, "%0100000d", 1);
    violation(s, 8, large.data, large.len);
}

static void flood_of_frames_is_cut(void **state) {
    Setting *s = *state;
    Hand hand;
    hand_setup(s, &hand);
    for (int i = 0; i < 10000; i++)
        hand_control(&hand, 6, "\0\0\0\x07", 4);
    settle(s);
    assert_true(s->server.closed);
    hand_free(&hand);
}

static void headers_that_inflate_without_end_are_refused(void **state) {
    SpdyHeader ours, theirs;
    assert_int_equal(spdy_header_init(&ours), 0);
    assert_int_equal(spdy_header_init(&theirs), 0);
    _buf_deinit_ Buf block = BUF_INIT(1 << 22), packed = BUF_INIT(1 << 20);
    buf_printf(&block, "%01000000d", 0);
    theirs.deflate.next_in = (Bytef *)block.data;
    theirs.deflate.avail_in = (uInt)block.len;
    char *room = buf_reserve(&packed, 60000);
    theirs.deflate.next_out = (Bytef *)room;
    theirs.deflate.avail_out = 60000;
    assert_int_equal(deflate(&theirs.deflate, Z_SYNC_FLUSH), Z_OK);
    buf_commit(&packed, 60000 - theirs.deflate.avail_out);
    assert_true(packed.len < 50000);
    _arena_free_ Arena *arena = arena_new();
    const HttpHeader *headers;
    size_t n;
    assert_int_equal(spdy_header_decode(&ours, arena, buf_view(&packed), &headers, &n), -E2BIG);
    spdy_header_deinit(&ours);
    spdy_header_deinit(&theirs);
}

static void header_blocks_survive_the_codec(void **state) {
    SpdyHeader ours, theirs;
    assert_int_equal(spdy_header_init(&ours), 0);
    assert_int_equal(spdy_header_init(&theirs), 0);
    _arena_free_ Arena *arena = arena_new();
    for (int i = 0; i < 200; i++) { // one stream of compression over all of them
        _buf_deinit_ Buf packed = BUF_INIT(1 << 16);
        HttpHeader in[] = {{STR("Port"), arena_printf(arena, "%d", 8000 + i)},
                           {STR("requestID"), arena_printf(arena, "%d", i)},
                           {STR("empty"), STR("")}};
        spdy_header_encode(&theirs, in, 3, &packed);
        const HttpHeader *out;
        size_t n;
        assert_int_equal(spdy_header_decode(&ours, arena, buf_view(&packed), &out, &n), 0);
        assert_int_equal(n, 3);
        assert_str(out[0].name, "port");
        assert_true(str_eq(out[0].value, in[0].value));
        assert_true(str_eq(out[1].value, in[1].value));
        assert_int_equal(out[2].value.len, 0);
    }
    spdy_header_deinit(&ours);
    spdy_header_deinit(&theirs);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(streams_carry_data_both_ways),
        TEST(half_close_ends_one_direction),
        TEST(abort_resets_the_stream_alone),
        TEST(refused_stream_is_reset),
        TEST(paused_stream_stalls_itself_alone),
        TEST(gigabyte_flows_without_growth),
        TEST(close_lets_everything_out),
        TEST(lost_connection_closes_every_stream),
        TEST(streams_are_limited),
        TEST(peer_without_windows_gets_everything),
        TEST(pings_are_answered),
        TEST(violations_end_the_connection),
        TEST(flood_of_frames_is_cut),
        cmocka_unit_test(headers_that_inflate_without_end_are_refused),
        cmocka_unit_test(header_blocks_survive_the_codec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
