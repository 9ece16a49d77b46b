#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/stream.h"

static Loop *loop;

// One end under test: what came, and what to do then.
typedef struct End {
    Stream *stream;
    Buf data;
    int ends, drains, closes, error;
    bool abort_on_data, close_on_end, end_on_end, stop_on_close, pause_at_once;
    size_t largest_queue;
} End;

static void on_data(void *user, Str data) {
    End *end = user;
    assert_true(data.len > 0);
    assert_int_equal(end->ends + end->closes, 0);
    buf_str(&end->data, data);
    if (end->pause_at_once)
        stream_pause(end->stream, true);
    if (end->abort_on_data) {
        stream_abort(end->stream);
        end->stream = NULL;
        buf_char(&end->data, data.ptr[data.len - 1]); // still valid
        loop_stop(loop);
    }
}

static void on_end(void *user) {
    End *end = user;
    assert_int_equal(end->ends++ + end->closes, 0);
    if (end->end_on_end)
        stream_end(end->stream);
    if (end->close_on_end)
        stream_close(end->stream);
    if (end->stop_on_close)
        loop_stop(loop);
}

static void on_drain(void *user) {
    End *end = user;
    assert_true(stream_queued(end->stream) < STREAM_LOW_WATER);
    end->drains++;
}

static void on_close(void *user, int error) {
    End *end = user;
    assert_int_equal(end->closes++, 0);
    end->error = error;
    end->stream = NULL;
    if (end->stop_on_close)
        loop_stop(loop);
}

static const StreamEvents events = {on_data, on_end, on_drain, on_close};

// Every test runs over both kinds of streams.
typedef enum Kind { IN_MEMORY, SOCKETS } Kind;
static Kind kind;
static End a, b;

static void make_streams(Stream **ret_a, Stream **ret_b) {
    if (kind == IN_MEMORY)
        return stream_pair(loop, ret_a, ret_b);
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    *ret_a = stream_from_fd(loop, fds[0]);
    *ret_b = stream_from_fd(loop, fds[1]);
}

static int setup(void **state) {
    kind = (Kind)(uintptr_t)*state;
    loop = loop_new();
    a = b = (End){.data = BUF_INIT(64 << 20)};
    return 0;
}

static int teardown(void **state) {
    if (a.stream)
        stream_abort(a.stream);
    if (b.stream)
        stream_abort(b.stream);
    buf_deinit(&a.data);
    buf_deinit(&b.data);
    loop_free(loop);
    return 0;
}

static void start(void) {
    make_streams(&a.stream, &b.stream);
    stream_start(a.stream, &events, &a);
    stream_start(b.stream, &events, &b);
}

static size_t progress(const End *end) {
    return end->data.len + (size_t)(end->ends + end->drains + end->closes) +
           (end->stream ? 1 + stream_queued(end->stream) : 0);
}

static LoopTimer tick;
static int quiet_ticks;
static size_t last_progress;
static void on_tick(void *user) {
    size_t now = progress(&a) * 31 + progress(&b);
    quiet_ticks = now == last_progress ? quiet_ticks + 1 : 0;
    last_progress = now;
    if (quiet_ticks == 8)
        loop_stop(loop);
    else
        loop_timer_start(&tick, NSEC_PER_MSEC);
}

// Lets everything happen that can happen now, however slow the machine: until nothing moved for
// some iterations.
static void settle(void) {
    quiet_ticks = 0;
    loop_timer_init(&tick, loop, on_tick, NULL);
    loop_timer_start(&tick, 0);
    loop_run(loop);
}

static void write_pattern(Stream *stream, size_t len, bool shared) {
    Bytes *bytes = bytes_alloc(len);
    for (size_t i = 0; i < len; i++)
        bytes->data[i] = (char)(i * 31 >> 3);
    if (shared)
        stream_write_bytes(stream, bytes);
    else
        stream_write(stream, bytes_str(bytes));
    bytes_unref(bytes);
}

static void assert_pattern(Str data, size_t len) {
    assert_int_equal(data.len, len);
    for (size_t i = 0; i < len; i++)
        assert_true(data.ptr[i] == (char)(i * 31 >> 3));
}

static void test_both_directions_and_the_end(void **state) {
    start();
    stream_write(a.stream, STR("hello "));
    stream_write(a.stream, STR("b"));
    stream_write(b.stream, STR("hello a"));
    assert_int_equal(a.data.len + b.data.len, 0); // nothing is delivered from inside
    settle();
    assert_true(str_eq(buf_view(&b.data), STR("hello b")));
    assert_true(str_eq(buf_view(&a.data), STR("hello a")));
    stream_end(a.stream);
    settle();
    assert_int_equal(b.ends, 1);
    stream_write(b.stream, STR("!")); // half-closed: this way still works
    settle();
    assert_true(str_eq(buf_view(&a.data), STR("hello a!")));
    assert_int_equal(a.closes + b.closes, 0);
    stream_end(b.stream);
    settle();
    assert_int_equal(a.ends, 1);
    assert_true(a.closes == 1 && a.error == 0 && b.closes == 1 && b.error == 0);
}

static void test_large_writes_arrive_whole(void **state) {
    start();
    write_pattern(a.stream, 3 << 20, false);
    stream_end(a.stream);
    write_pattern(b.stream, 2 << 20, true);
    assert_true(stream_queued(a.stream) > STREAM_HIGH_WATER);
    settle();
    assert_pattern(buf_view(&b.data), 3 << 20);
    assert_pattern(buf_view(&a.data), 2 << 20);
    assert_int_equal(b.ends, 1);
    assert_int_equal(a.drains, 1);
    assert_int_equal(b.drains, 1);
    assert_int_equal(stream_queued(b.stream), 0);
}

static void test_pause(void **state) {
    start();
    stream_pause(b.stream, true);
    write_pattern(a.stream, 1 << 20, false);
    stream_end(a.stream);
    settle();
    assert_int_equal(b.data.len, 0);
    assert_int_equal(b.ends, 0);
    assert_true(stream_queued(a.stream) > STREAM_HIGH_WATER);
    b.pause_at_once = true;
    stream_pause(b.stream, false);
    settle();
    size_t first = b.data.len;
    assert_in_range(first, 1, 1 << 20);
    b.pause_at_once = false;
    stream_pause(b.stream, false);
    settle();
    assert_pattern(buf_view(&b.data), 1 << 20);
    assert_int_equal(b.ends, 1);
}

static void test_close_flushes(void **state) {
    start();
    write_pattern(a.stream, 1 << 20, false);
    stream_close(a.stream);
    stream_write(a.stream, STR("after the close"));
    settle();
    assert_true(a.closes == 1 && a.error == 0);
    assert_pattern(buf_view(&b.data), 1 << 20);
    assert_int_equal(b.ends, 1);
    assert_int_equal(b.closes, 0);
    stream_write(b.stream, STR("nobody listens"));
    settle();
    assert_int_equal(b.closes, 1);
    assert_int_equal(b.error, -EPIPE);
}

static void test_close_while_the_peer_sends(void **state) {
    b.close_on_end = true;
    start();
    write_pattern(b.stream, 1 << 20, false);
    write_pattern(a.stream, 300000, false);
    stream_close(a.stream);
    settle();
    assert_int_equal(a.closes, 1);
    assert_int_equal(a.data.len, 0);           // no on_data after stream_close()
    assert_pattern(buf_view(&b.data), 300000); // and no reset took away what we sent last
    assert_int_equal(b.closes, 1);
}

// The last words of a peer that left are not lost because we were still sending to it.
static void test_writing_to_a_peer_that_left_keeps_what_it_sent(void **state) {
    start();
    stream_pause(b.stream, true);
    write_pattern(a.stream, 100000, false);
    stream_close(a.stream);
    settle();
    assert_int_equal(a.closes, 1);
    stream_write(b.stream, STR("are you there?"));
    stream_write(b.stream, STR("are you?"));
    settle();
    assert_int_equal(b.closes, 0);
    stream_pause(b.stream, false);
    settle();
    assert_pattern(buf_view(&b.data), 100000);
    assert_int_equal(b.ends, 1);
    assert_int_equal(b.closes, 1);
    assert_int_equal(b.error, -EPIPE);
}

static void test_abort(void **state) {
    start();
    stream_write(a.stream, STR("x"));
    settle();
    stream_pause(a.stream, true);
    stream_write(b.stream, STR("unread"));
    stream_abort(a.stream);
    a.stream = NULL;
    settle();
    assert_int_equal(a.closes, 0);
    assert_true(b.closes == 1 || b.ends == 1);
    if (b.closes)
        assert_int_equal(b.error, -ECONNRESET);
}

static void test_abort_inside_on_data(void **state) {
    b.abort_on_data = true;
    start();
    stream_write(a.stream, STR("xy"));
    loop_run(loop);
    assert_true(str_eq(buf_view(&b.data), STR("xyy")));
    settle();
    assert_int_equal(b.closes, 0);
    assert_int_equal(a.ends + a.closes > 0, 1);
}

static void test_handing_on(void **state) {
    start();
    End other = {.stream = b.stream, .data = BUF_INIT(100)};
    stream_pause(b.stream, true);
    stream_write(a.stream, STR("for the new owner"));
    settle();
    stream_start(b.stream, &events, &other);
    stream_pause(b.stream, false);
    settle();
    assert_true(str_eq(buf_view(&other.data), STR("for the new owner")));
    assert_int_equal(b.data.len, 0);
    buf_deinit(&other.data);
}

static void test_start_late(void **state) {
    make_streams(&a.stream, &b.stream);
    stream_write(a.stream, STR("early"));
    stream_end(a.stream);
    settle();
    stream_start(b.stream, &events, &b);
    settle();
    assert_true(str_eq(buf_view(&b.data), STR("early")));
    assert_int_equal(b.ends, 1);
}

static void test_abort_before_start(void **state) {
    make_streams(&a.stream, &b.stream);
    stream_abort(a.stream);
    a.stream = NULL;
    settle();
    stream_start(b.stream, &events, &b);
    settle();
    assert_true(b.ends || b.closes);
}

static void on_spliced(void *user) {
    ++*(int *)user;
}

static void test_splice(void **state) {
    Stream *middle_a, *middle_b;
    int done = 0;
    make_streams(&a.stream, &middle_a);
    make_streams(&middle_b, &b.stream);
    a.end_on_end = b.end_on_end = true;
    stream_start(a.stream, &events, &a);
    stream_start(b.stream, &events, &b);
    stream_splice(middle_a, middle_b, STR("first,"), on_spliced, &done);
    stream_pause(b.stream, true); // a slow reader
    size_t sent = 0;
    for (int i = 0; i < 200; i++) {
        if (stream_queued(a.stream) <= STREAM_HIGH_WATER) {
            stream_write(a.stream, STR("0123456789abcdef0123456789abcdef0123456789abcdef"));
            write_pattern(a.stream, 100000, true);
            sent += 48 + 100000;
        }
        LoopTimer timer;
        loop_timer_init(&timer, loop, (void (*)(void *))loop_stop, loop);
        loop_timer_start(&timer, 0);
        loop_run(loop);
    }
    assert_true(sent < 4 << 20); // backpressure reached the sender
    assert_int_equal(b.data.len, 0);
    stream_pause(b.stream, false);
    stream_end(a.stream);
    settle();
    assert_int_equal(b.data.len, 6 + sent);
    assert_memory_equal(b.data.data, "first,0123456789", 16);
    assert_int_equal(done, 1);
    assert_true(a.closes == 1 && b.closes == 1 && a.error == 0 && b.error == 0);
}

static void test_splice_ends_when_one_side_breaks(void **state) {
    Stream *middle_a, *middle_b;
    int done = 0;
    make_streams(&a.stream, &middle_a);
    make_streams(&middle_b, &b.stream);
    stream_start(a.stream, &events, &a);
    stream_start(b.stream, &events, &b);
    stream_splice(middle_a, middle_b, STR_NONE, on_spliced, &done);
    stream_abort(a.stream);
    a.stream = NULL;
    settle();
    assert_int_equal(b.ends, 1);
    stream_write(b.stream, STR("x"));
    settle();
    if (b.stream)
        stream_write(b.stream, STR("y"));
    settle();
    assert_int_equal(b.closes, 1);
    assert_int_equal(done, 1);
}

static void test_pipes(void **state) {
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    a.stream = stream_from_fd(loop, fds[1]);
    b.stream = stream_from_fd(loop, fds[0]);
    stream_start(a.stream, &events, &a);
    stream_start(b.stream, &events, &b);
    write_pattern(a.stream, 500000, false);
    stream_end(a.stream);
    settle();
    assert_pattern(buf_view(&b.data), 500000);
    assert_true(a.closes == 1 && a.ends == 0 && a.error == 0);
    assert_true(b.closes == 1 && b.ends == 1 && b.error == 0);
}

static void test_pipe_whose_reader_leaves(void **state) {
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    a.stream = stream_from_fd(loop, fds[1]);
    stream_start(a.stream, &events, &a);
    settle();
    assert_int_equal(a.closes, 0);
    close(fds[0]);
    settle();
    assert_true(a.closes == 1 && a.error == -EPIPE);
}

static void test_terminal(void **state) {
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0);
    assert_int_equal(grantpt(master) | unlockpt(master), 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    a.stream = stream_from_fd(loop, master);
    a.close_on_end = true;
    stream_start(a.stream, &events, &a);
    stream_write(a.stream, STR("in\n"));
    assert_int_equal(write(slave, "out", 3), 3);
    settle();
    char text[8];
    assert_int_equal(read(slave, text, sizeof text), 3);
    buf_char(&a.data, '\0');
    assert_non_null(strstr(a.data.data, "out")); // and the echo of "in"
    close(slave);
    settle();
    assert_true(a.ends == 1 && a.closes == 1 && a.error == 0);
}

static void test_what_cannot_be_a_stream(void **state) {
    a.stream = stream_from_fd(loop, open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    stream_start(a.stream, &events, &a);
    stream_write(a.stream, STR("x"));
    settle();
    assert_true(a.closes == 1 && a.error == -EPERM);
}

// Every byte arrives in order whatever runs first.
static void test_any_order_of_events(void **state) {
    for (uint64_t seed = 0; seed < 50; seed++) {
        loop_free(loop);
        loop = loop_new_simulated(seed, 0);
        Stream *middle_a, *middle_b;
        int done = 0;
        a = (End){.data = BUF_INIT(1 << 20), .end_on_end = true};
        b = (End){.data = BUF_INIT(1 << 20), .end_on_end = true};
        make_streams(&a.stream, &middle_a);
        make_streams(&middle_b, &b.stream);
        stream_start(a.stream, &events, &a);
        stream_start(b.stream, &events, &b);
        stream_splice(middle_a, middle_b, STR(""), on_spliced, &done);
        write_pattern(a.stream, 400000, true);
        for (int i = 0; i < 100; i++)
            stream_write(b.stream, STR("0123456789"));
        stream_end(a.stream);
        loop_run(loop);
        assert_pattern(buf_view(&b.data), 400000);
        assert_int_equal(a.data.len, 1000);
        assert_int_equal(done, 1);
        assert_true(a.closes == 1 && b.closes == 1);
        buf_deinit(&a.data);
        buf_deinit(&b.data);
    }
}

#define ON(fn, stream_kind)                                                                        \
    { #fn " (" #stream_kind ")", fn, setup, teardown, (void *)(uintptr_t)(stream_kind) }
#define BOTH(fn) ON(fn, IN_MEMORY), ON(fn, SOCKETS)

int main(void) {
    const struct CMUnitTest tests[] = {
        BOTH(test_both_directions_and_the_end),
        BOTH(test_large_writes_arrive_whole),
        BOTH(test_pause),
        BOTH(test_close_flushes),
        BOTH(test_close_while_the_peer_sends),
        BOTH(test_writing_to_a_peer_that_left_keeps_what_it_sent),
        BOTH(test_abort),
        BOTH(test_abort_inside_on_data),
        BOTH(test_handing_on),
        BOTH(test_start_late),
        BOTH(test_abort_before_start),
        BOTH(test_splice),
        BOTH(test_splice_ends_when_one_side_breaks),
        ON(test_any_order_of_events, IN_MEMORY),
        ON(test_pipes, SOCKETS),
        ON(test_pipe_whose_reader_leaves, SOCKETS),
        ON(test_terminal, SOCKETS),
        ON(test_what_cannot_be_a_stream, SOCKETS),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
