// Clients that send too slowly, stop in the middle or vanish: each is cut in time, and nothing of
// it stays. In virtual time, over streams in memory.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/stream.h"
#include "http/server.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define SETTINGS "\0\0\0\x04\0\0\0\0\0"
// HEADERS, with END_HEADERS and without END_STREAM, of POST https://x/ (static table of HPACK).
#define POST "\0\0\x06\x01\x04\0\0\0\x01\x83\x87\x84\x41\x01x"
#define GET "\0\0\x06\x01\x05\0\0\0\x01\x82\x87\x84\x41\x01x"
// The same in pieces: HEADERS without END_HEADERS.
#define UNFINISHED "\0\0\x03\x01\0\0\0\0\x01\x83\x87\x84"

typedef struct World {
    Loop *loop;
    HttpServer *server;
    Stream *client; // NULL once it is closed
    size_t requests, closed;
    Buf received;
} World;

static void request_closed(HttpRequest *request, bool completed) {
    ((World *)request->user)->closed++;
}

static void handle(void *user, HttpRequest *request) {
    World *world = user;
    world->requests++;
    request->user = world;
    request->on_close = request_closed;
    if (!str_eq(request->path, STR("/hold")))
        http_respond(request, 200, STR("text/plain"), NULL);
}

static void on_data(void *user, Str data) {
    buf_str(&((World *)user)->received, data);
}

static void on_end(void *user) {
    stream_close(((World *)user)->client);
}

static void on_close(void *user, int error) {
    ((World *)user)->client = NULL;
}

static const StreamEvents events = {.on_data = on_data, .on_end = on_end, .on_close = on_close};

static int setup(void **state) {
    static World world;
    world = (World){.loop = loop_new_simulated(1, 0), .received = BUF_INIT(1 << 20)};
    HttpServerConfig config = {.loop = world.loop, .handler = handle, .user = &world};
    assert_int_equal(http_server_new(&config, &world.server), 0);
    Stream *theirs;
    stream_pair(world.loop, &world.client, &theirs);
    HttpPeer identity = {.address = STR("192.0.2.1:1")};
    http_server_serve(world.server, theirs, &identity);
    stream_start(world.client, &events, &world);
    *state = &world;
    return 0;
}

static int teardown(void **state) {
    World *world = *state;
    if (world->client)
        stream_abort(world->client);
    assert_int_equal(loop_run_until(world->loop, loop_now(world->loop) + NSEC_PER_SEC), 0);
    assert_int_equal(world->closed, world->requests);
    http_server_free(world->server);
    assert_int_equal(loop_run_until(world->loop, loop_now(world->loop) + NSEC_PER_SEC), 0);
    loop_free(world->loop);
    buf_deinit(&world->received);
    return 0;
}

static void wait_seconds(World *world, int seconds) {
    assert_int_equal(loop_run_until(world->loop, loop_now(world->loop) + seconds * NSEC_PER_SEC),
                     0);
}

static void send(World *world, Str text) {
    if (world->client)
        stream_write(world->client, text);
    wait_seconds(world, 0);
}
#define SEND(world, text) send(world, str_of(text, sizeof(text) - 1))

// `byte` again and again, one in `interval` seconds, for at most `seconds`. Returns how long the
// client was let.
static int drip(World *world, const char *byte, int interval, int seconds) {
    int waited = 0;
    while (world->client && waited < seconds) {
        send(world, str_from(byte));
        wait_seconds(world, interval);
        waited += interval;
    }
    return waited;
}

static bool got(World *world, const char *text) {
    Str view = buf_view(&world->received);
    return memmem(view.ptr, view.len, text, strlen(text)) != NULL;
}

static void slow_head(void **state) {
    World *world = *state;
    SEND(world, "GET / HTTP/1.1\r\nHost: x\r\nA: ");
    int waited = drip(world, "a", 1, 60);
    assert_true(waited >= 9 && waited <= 12); // all of it within ten seconds
    assert_int_equal(world->requests, 0);
}

static void nothing_at_all(void **state) {
    World *world = *state;
    wait_seconds(world, 9);
    assert_non_null(world->client);
    wait_seconds(world, 3);
    assert_null(world->client);
}

static void stalled_body(void **state) {
    World *world = *state;
    SEND(world, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc");
    wait_seconds(world, 29);
    assert_non_null(world->client);
    wait_seconds(world, 10);
    assert_null(world->client);
    assert_int_equal(world->requests, 0);
}

static void slow_body(void **state) {
    World *world = *state;
    SEND(world, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    int waited = drip(world, "a", 5, 600);
    assert_true(waited >= 115 && waited <= 130); // two minutes, however little by little
    assert_int_equal(world->requests, 0);
}

static void slow_chunks(void **state) {
    World *world = *state;
    SEND(world, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    int waited = drip(world, "1\r\na\r\n", 5, 600);
    assert_true(waited >= 115 && waited <= 130);
}

static void idle_between_requests(void **state) {
    World *world = *state;
    SEND(world, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_seconds(world, 1);
    assert_true(got(world, "200 OK"));
    wait_seconds(world, 170);
    assert_non_null(world->client);
    wait_seconds(world, 20);
    assert_null(world->client);
}

// What is being answered is not idle: a watch may be silent for long.
static void silent_answer(void **state) {
    World *world = *state;
    SEND(world, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_seconds(world, 3600);
    assert_non_null(world->client);
    assert_int_equal(world->closed, 0);
}

static void vanishes(void **state) {
    World *world = *state;
    SEND(world, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(world->requests, 1);
    stream_abort(world->client);
    world->client = NULL;
    wait_seconds(world, 1);
    assert_int_equal(world->closed, 1); // its handler has been told
}

static void vanishes_in_the_body(void **state) {
    World *world = *state;
    SEND(world, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc");
    stream_abort(world->client);
    world->client = NULL;
    wait_seconds(world, 1);
    assert_int_equal(world->requests, 0);
}

// ---- HTTP/2

static void h2_slow_preface(void **state) {
    World *world = *state;
    SEND(world, "PRI * HTTP/2.0\r\n\r\n");
    wait_seconds(world, 15);
    assert_null(world->client);
}

static void h2_without_a_request(void **state) {
    World *world = *state;
    SEND(world, PREFACE SETTINGS);
    wait_seconds(world, 25);
    assert_null(world->client);
}

static void h2_idle(void **state) {
    World *world = *state;
    SEND(world, PREFACE SETTINGS GET);
    assert_int_equal(world->requests, 1);
    wait_seconds(world, 170);
    assert_non_null(world->client);
    wait_seconds(world, 30);
    assert_null(world->client);
}

static void h2_unfinished_head(void **state) {
    World *world = *state;
    SEND(world, PREFACE SETTINGS UNFINISHED);
    wait_seconds(world, 300);
    assert_null(world->client);
    assert_int_equal(world->requests, 0);
}

static void h2_stalled_body(void **state) {
    World *world = *state;
    SEND(world, PREFACE SETTINGS POST);
    wait_seconds(world, 29);
    assert_int_equal(world->requests, 0);
    size_t before = buf_view(&world->received).len;
    wait_seconds(world, 10);
    assert_true(buf_view(&world->received).len > before); // RST_STREAM
    assert_int_equal(world->requests, 0);
    wait_seconds(world, 300);
    assert_null(world->client);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(slow_head),
        T(nothing_at_all),
        T(stalled_body),
        T(slow_body),
        T(slow_chunks),
        T(idle_between_requests),
        T(silent_answer),
        T(vanishes),
        T(vanishes_in_the_body),
        T(h2_slow_preface),
        T(h2_without_a_request),
        T(h2_idle),
        T(h2_unfinished_head),
        T(h2_stalled_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
