#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/loop.h"

// What happened, as letters.
static Buf trace = BUF_INIT(1 << 16);

static Loop *loop;

static int setup(void **state) {
    buf_clear(&trace);
    loop = loop_new();
    return 0;
}

static int setup_simulated(void **state) {
    buf_clear(&trace);
    loop = loop_new_simulated(1, 1000 * NSEC_PER_SEC);
    return 0;
}

static int teardown(void **state) {
    loop_free(loop);
    return 0;
}

static void assert_trace(const char *text) {
    if (!str_eq(buf_view(&trace), str_from(text)))
        fail_msg("got %.*s, not %s", STR_ARG(buf_view(&trace)), text);
}

static void note(void *user) {
    buf_char(&trace, *(const char *)user);
}

static void stop(void *user) {
    loop_stop(loop);
}

static void test_timers_fire_in_order(void **state) {
    LoopTimer timers[5], last;
    const int delays[] = {3, 1, 4, 2, 5};
    for (int i = 0; i < 5; i++) {
        loop_timer_init(&timers[i], loop, note, &"ABCDE"[i]);
        loop_timer_start(&timers[i], delays[i] * 2 * NSEC_PER_MSEC);
        assert_true(loop_timer_is_running(&timers[i]));
    }
    loop_timer_init(&last, loop, stop, NULL);
    loop_timer_start(&last, 20 * NSEC_PER_MSEC);
    loop_timer_stop(&timers[2]);
    loop_timer_stop(&timers[2]);                     // fine twice
    loop_timer_start(&timers[1], 7 * NSEC_PER_MSEC); // moves it
    int64_t before = loop_now(loop);
    assert_int_equal(loop_run(loop), 0);
    assert_true(loop_now(loop) - before >= 20 * NSEC_PER_MSEC);
    assert_trace("DABE");
    assert_false(loop_timer_is_running(&timers[0]));
}

static int64_t last_due;
static size_t fired;
static void check_order(void *user) {
    const LoopTimer *timer = user;
    assert_true(timer->due >= last_due);
    assert_int_equal(loop_now(loop), timer->due);
    last_due = timer->due;
    fired++;
}

static void test_many_timers(void **state) {
    enum { N = 2000 };
    static LoopTimer timers[N];
    last_due = 0;
    fired = 0;
    for (int i = 0; i < N; i++) {
        loop_timer_init(&timers[i], loop, check_order, &timers[i]);
        loop_timer_start(&timers[i], (i * 7919 % 701) * NSEC_PER_SEC);
    }
    for (int i = 0; i < N; i += 3)
        loop_timer_stop(&timers[i]);
    for (int i = 1; i < N; i += 5)
        loop_timer_start(&timers[i], (i * 31 % 1009) * NSEC_PER_SEC);
    size_t expected = 0;
    for (int i = 0; i < N; i++)
        expected += loop_timer_is_running(&timers[i]);
    loop_run(loop);
    assert_int_equal(fired, expected);
}

static int spins;
static LoopTimer spinner;
static void spin(void *user) {
    if (++spins == 50)
        loop_stop(loop);
    else
        loop_timer_start(&spinner, 0);
}

static void test_timer_without_delay_does_not_starve_others(void **state) {
    LoopTask task = {.fn = note, .user = "t"};
    spins = 0;
    loop_timer_init(&spinner, loop, spin, NULL);
    loop_timer_start(&spinner, 0);
    loop_post(loop, &task);
    loop_run(loop);
    assert_int_equal(spins, 50);
    assert_trace("t");
}

static LoopTask again;
static int rounds;
static void run_again(void *user) {
    if (++rounds < 3)
        loop_post(loop, &again);
    else
        loop_stop(loop);
}

static void test_tasks(void **state) {
    LoopTask a = {.fn = note, .user = "a"}, b = {.fn = note, .user = "b"};
    rounds = 0;
    again = (LoopTask){.fn = run_again};
    loop_post(loop, &a);
    loop_post(loop, &a); // once
    loop_post(loop, &b);
    loop_task_cancel(loop, &b);
    loop_task_cancel(loop, &b);
    loop_post(loop, &again);
    assert_trace(""); // nothing runs inside loop_post()
    loop_run(loop);
    assert_trace("a");
    assert_int_equal(rounds, 3);
}

static LoopTask victim;
static void cancel_victim(void *user) {
    loop_task_cancel(loop, &victim);
}

static void test_a_task_cancels_another_of_the_same_turn(void **state) {
    LoopTask canceller = {.fn = cancel_victim};
    victim = (LoopTask){.fn = note, .user = "v"};
    loop_post(loop, &canceller);
    loop_post(loop, &victim);
    loop_call(loop, stop, NULL);
    loop_run(loop);
    assert_trace("");
}

static void test_calls_keep_their_order(void **state) {
    for (int i = 0; i < 26; i++)
        loop_call(loop, note, (void *)&"abcdefghijklmnopqrstuvwxyz"[i]);
    loop_call(loop, stop, NULL);
    loop_run(loop);
    assert_trace("abcdefghijklmnopqrstuvwxyz");
}

static _Atomic int counter;
static void count(void *user) {
    counter++;
}

static void *poster(void *user) {
    LoopTask *tasks = user;
    for (int i = 0; i < 1000; i++) {
        loop_post(loop, &tasks[i % 10]);
        loop_call(loop, count, NULL);
    }
    return NULL;
}

static void *stopper(void *user) {
    pthread_t *threads = user;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    loop_call(loop, stop, NULL);
    return NULL;
}

static void test_posting_from_threads(void **state) {
    static LoopTask tasks[3][10];
    pthread_t threads[3], last;
    counter = 0;
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 10; k++)
            tasks[i][k] = (LoopTask){.fn = note, .user = "t"};
        assert_int_equal(pthread_create(&threads[i], NULL, poster, tasks[i]), 0);
    }
    assert_int_equal(pthread_create(&last, NULL, stopper, threads), 0);
    loop_run(loop);
    pthread_join(last, NULL);
    assert_int_equal(counter, 3000);
    assert_in_range(trace.len, 30, 3000); // coalesced, none lost
}

static void test_stop_before_run(void **state) {
    loop_stop(loop);
    assert_int_equal(loop_run(loop), 0);
    LoopTimer timer;
    loop_timer_init(&timer, loop, stop, NULL);
    loop_timer_start(&timer, NSEC_PER_MSEC);
    loop_run(loop); // the old stop is used up
    assert_false(loop_timer_is_running(&timer));
}

typedef struct Reader {
    LoopFd *watch;
    int fd;
} Reader;

static void on_ready(void *user, int events) {
    Reader *reader = user;
    char c;
    if (events & LOOP_WRITE)
        buf_char(&trace, 'W');
    if (!(events & LOOP_READ))
        return loop_fd_want(reader->watch, LOOP_READ);
    ssize_t n = read(reader->fd, &c, 1);
    buf_char(&trace, n == 1 ? c : n == 0 ? '.' : '!');
    if (n <= 0) {
        loop_fd_free(reader->watch);
        reader->watch = NULL;
        loop_stop(loop);
    }
}

static void test_descriptors_are_level_triggered(void **state) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    Reader reader = {.fd = ends[0]};
    reader.watch = loop_fd_new(loop, ends[0], on_ready, &reader);
    assert_non_null(reader.watch);
    assert_int_equal(write(ends[1], "xyz", 3), 3);
    close(ends[1]);
    loop_fd_want(reader.watch, LOOP_WRITE);
    loop_run(loop);
    assert_trace("Wxyz.");
    close(ends[0]);
}

static void on_hangup(void *user, int events) {
    Reader *reader = user;
    buf_char(&trace, events & LOOP_HANGUP ? 'H' : '-');
    loop_fd_want(reader->watch, 0);
    loop_stop(loop);
}

static void test_hangup_of_a_pipe_without_reader(void **state) {
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    Reader reader = {.fd = ends[1]};
    reader.watch = loop_fd_new(loop, ends[1], on_hangup, &reader);
    loop_fd_want(reader.watch, LOOP_READ);
    close(ends[0]);
    loop_run(loop);
    assert_trace("H");
    loop_fd_free(reader.watch);
    close(ends[1]);
}

static void test_regular_files_are_refused(void **state) {
    int fd = open("/proc/self/exe", O_RDONLY);
    assert_null(loop_fd_new(loop, fd, on_hangup, NULL));
    assert_int_equal(errno, EPERM);
    close(fd);
}

static void on_signal(void *user, int number) {
    buf_char(&trace, number == SIGHUP ? 'H' : '?');
    loop_stop(loop);
}

static void test_signals(void **state) {
    loop_on_signal(loop, SIGHUP, on_signal, NULL);
    raise(SIGHUP);
    loop_run(loop);
    assert_trace("H");
}

static pthread_t worker;
static void work(void *user) {
    worker = pthread_self();
}
static void work_done(void *user) {
    buf_char(&trace, 'd');
    loop_stop(loop);
}

static void test_work_runs_elsewhere(void **state) {
    loop_work(loop, work, work_done, NULL);
    loop_run(loop);
    assert_trace("d");
    assert_false(pthread_equal(worker, pthread_self()));
    loop_work(loop, work, NULL, NULL); // nobody waits; loop_free() does
}

static void test_idle_loop_does_not_wake(void **state) {
    LoopTimer timer;
    struct rusage before, after;
    loop_timer_init(&timer, loop, stop, NULL);
    loop_timer_start(&timer, 300 * NSEC_PER_MSEC);
    getrusage(RUSAGE_THREAD, &before);
    loop_run(loop);
    getrusage(RUSAGE_THREAD, &after);
    assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 1, 3);
}

// The simulated twin

static void note_time(void *user) {
    buf_printf(&trace, "%s@%lld ", (const char *)user, (long long)(loop_wall(loop) / NSEC_PER_SEC));
}

static void test_simulated_time_jumps(void **state) {
    LoopTimer month, hour;
    loop_timer_init(&month, loop, note_time, "month");
    loop_timer_init(&hour, loop, note_time, "hour");
    loop_timer_start(&month, 30 * 86400 * NSEC_PER_SEC);
    loop_timer_start(&hour, 3600 * NSEC_PER_SEC);
    assert_int_equal(loop_wall(loop), 1000 * NSEC_PER_SEC);
    int64_t begin = loop_now(loop);
    loop_run_until(loop, begin + 1800 * NSEC_PER_SEC);
    assert_trace("");
    assert_int_equal(loop_now(loop), begin + 1800 * NSEC_PER_SEC);
    assert_int_equal(loop_run(loop), 0); // returns because nothing is left
    assert_trace("hour@4600 month@2593000 ");
}

// 8 timers due at once and 8 tasks, in the order that the seed makes.
static void shuffled_run(uint64_t seed, Buf *ret) {
    static LoopTimer timers[8];
    static LoopTask tasks[8];
    buf_clear(&trace);
    loop = loop_new_simulated(seed, 0);
    for (int i = 0; i < 8; i++) {
        loop_timer_init(&timers[i], loop, note, (void *)&"ABCDEFGH"[i]);
        loop_timer_start(&timers[i], 0);
        tasks[i] = (LoopTask){.fn = note, .user = (void *)&"abcdefgh"[i]};
        loop_post(loop, &tasks[i]);
    }
    buf_printf(&trace, "%llu ", (unsigned long long)loop_random(loop));
    loop_run(loop);
    loop_free(loop);
    buf_str(ret, buf_view(&trace));
}

static void test_seeds(void **state) {
    _buf_deinit_ Buf a = BUF_INIT(1000), b = BUF_INIT(1000), c = BUF_INIT(1000);
    shuffled_run(5, &a);
    shuffled_run(5, &b);
    shuffled_run(6, &c);
    assert_true(a.len > 16);
    assert_true(str_eq(buf_view(&a), buf_view(&b)));
    assert_false(str_eq(buf_view(&a), buf_view(&c)));
}

static void test_simulated_work(void **state) {
    loop_work(loop, note, note, "w");
    assert_trace("w");
    loop_run(loop);
    assert_trace("ww");
    assert_null(loop_fd_new(loop, 0, on_hangup, NULL));
    assert_int_equal(errno, ENOSYS);
}

static void test_unmade_calls_are_freed(void **state) {
    loop_call(loop, note, "x"); // the leak checker looks at teardown
}

#define REAL(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define SIMULATED(fn) cmocka_unit_test_setup_teardown(fn, setup_simulated, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        REAL(test_timers_fire_in_order),
        SIMULATED(test_timers_fire_in_order),
        SIMULATED(test_many_timers),
        REAL(test_timer_without_delay_does_not_starve_others),
        REAL(test_tasks),
        SIMULATED(test_tasks),
        REAL(test_a_task_cancels_another_of_the_same_turn),
        REAL(test_calls_keep_their_order),
        SIMULATED(test_calls_keep_their_order),
        REAL(test_posting_from_threads),
        REAL(test_stop_before_run),
        REAL(test_descriptors_are_level_triggered),
        REAL(test_hangup_of_a_pipe_without_reader),
        REAL(test_regular_files_are_refused),
        REAL(test_signals),
        REAL(test_work_runs_elsewhere),
        REAL(test_idle_loop_does_not_wake),
        SIMULATED(test_simulated_time_jumps),
        cmocka_unit_test(test_seeds),
        SIMULATED(test_simulated_work),
        REAL(test_unmade_calls_are_freed),
        SIMULATED(test_unmade_calls_are_freed),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    buf_deinit(&trace);
    return r;
}
