#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/spawn.h"

static Loop *loop;
static Arena *arena;

static int setup(void **state) {
    loop = loop_new();
    arena = arena_new();
    return 0;
}

static int teardown(void **state) {
    loop_free(loop);
    arena_free(arena);
    return 0;
}

static int exit_status;
static void on_exit_status(void *user, int status) {
    exit_status = status;
    loop_stop(loop);
}

// The last result of run(), its texts copied.
static SpawnResult last;
static void on_run_done(void *user, const SpawnResult *result) {
    last = *result;
    last.stdout_data = arena_str(arena, result->stdout_data);
    last.stderr_data = arena_str(arena, result->stderr_data);
    loop_stop(loop);
}

static void run_spec(const SpawnSpec *spec, Str input, size_t max_output, int64_t timeout_ns) {
    last = (SpawnResult){.error = 1};
    (void)spawn_run(loop, spec, input, max_output, timeout_ns, on_run_done, NULL);
    assert_int_equal(last.error, 1); // never from inside
    loop_run(loop);
}

static void run_shell(const char *script, Str input) {
    const char *argv[] = {"sh", "-c", script, NULL};
    run_spec(&(SpawnSpec){.argv = argv}, input, 1 << 20, 10 * NSEC_PER_SEC);
    assert_int_equal(last.error, 0);
}

static void test_exit_status(void **state) {
    Child *child;
    const char *argv[] = {"sh", "-c", "exit 7", NULL};
    assert_int_equal(spawn_child(loop, &(SpawnSpec){.argv = argv}, on_exit_status, NULL, &child),
                     0);
    assert_true(child_pid(child) > 0);
    loop_run(loop);
    assert_true(WIFEXITED(exit_status));
    assert_int_equal(WEXITSTATUS(exit_status), 7);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); // reaped
    assert_int_equal(errno, ECHILD);
}

static void test_missing_program(void **state) {
    Child *child;
    const char *argv[] = {"seapod-no-such-program", NULL};
    SpawnSpec spec = {.argv = argv};
    assert_int_equal(spawn_child(loop, &spec, on_exit_status, NULL, &child), -ENOENT);
    const char *not_executable[] = {"/etc/passwd", NULL};
    assert_int_equal(
        spawn_child(loop, &(SpawnSpec){.argv = not_executable}, on_exit_status, NULL, &child),
        -EACCES);
    spec.directory = "/no/such/directory";
    run_spec(&spec, STR_NONE, 100, 0);
    assert_int_equal(last.error, -ENOENT);
}

static void test_kill_and_abandon(void **state) {
    Child *child, *forgotten;
    const char *argv[] = {"sleep", "100", NULL};
    SpawnSpec spec = {.argv = argv};
    assert_int_equal(spawn_child(loop, &spec, on_exit_status, NULL, &child), 0);
    assert_int_equal(spawn_child(loop, &spec, on_exit_status, NULL, &forgotten), 0);
    exit_status = -1;
    pid_t forgotten_pid = child_pid(forgotten);
    assert_int_equal(child_kill(forgotten, SIGKILL), 0);
    child_abandon(forgotten);
    while (kill(forgotten_pid, 0) == 0) { // until it is reaped
        LoopTimer timer;
        loop_timer_init(&timer, loop, (void (*)(void *))loop_stop, loop);
        loop_timer_start(&timer, NSEC_PER_MSEC);
        loop_run(loop);
    }
    assert_int_equal(exit_status, -1);
    assert_int_equal(child_kill(child, SIGTERM), 0);
    loop_run(loop);
    assert_true(WIFSIGNALED(exit_status));
    assert_int_equal(WTERMSIG(exit_status), SIGTERM);
}

static void test_output_and_input(void **state) {
    run_shell("echo out; echo err >&2; exit 3", STR_NONE);
    assert_int_equal(WEXITSTATUS(last.status), 3);
    assert_string_equal(last.stdout_data.ptr, "out\n");
    assert_string_equal(last.stderr_data.ptr, "err\n");
    assert_false(last.timed_out || last.truncated);
    run_shell("cat", STR("fed\n"));
    assert_string_equal(last.stdout_data.ptr, "fed\n");
    run_shell("cat", STR(""));
    assert_string_equal(last.stdout_data.ptr, "");
    run_shell("cat", STR_NONE); // stdin is /dev/null
    assert_string_equal(last.stdout_data.ptr, "");
    char *large = arena_alloc(arena, 700000);
    memset(large, 'x', 700000);
    run_shell("cat", str_of(large, 700000));
    assert_int_equal(last.stdout_data.len, 700000);
    run_shell("exec <&-; sleep 0.05", str_of(large, 700000)); // does not read its input
    assert_int_equal(last.status, 0);
}

static void test_output_limit(void **state) {
    const char *argv[] = {"sh", "-c", "printf 12345678; echo fits >&2", NULL};
    run_spec(&(SpawnSpec){.argv = argv}, STR_NONE, 5, 0);
    assert_true(last.truncated);
    assert_string_equal(last.stdout_data.ptr, "12345");
    assert_string_equal(last.stderr_data.ptr, "fits\n");
    run_spec(&(SpawnSpec){.argv = argv}, STR_NONE, 8, 0);
    assert_false(last.truncated);
}

static void test_timeout(void **state) {
    const char *argv[] = {"sh", "-c", "echo begun; sleep 100; echo never", NULL};
    run_spec(&(SpawnSpec){.argv = argv, .new_session = true}, STR_NONE, 100, 50 * NSEC_PER_MSEC);
    assert_true(last.timed_out);
    assert_int_equal(WTERMSIG(last.status), SIGKILL);
    assert_string_equal(last.stdout_data.ptr, "begun\n");
}

static void test_grandchild_does_not_hold_up(void **state) {
    run_shell("sleep 2 & echo $!", STR_NONE);
    assert_false(last.timed_out);
    pid_t pid = atoi(last.stdout_data.ptr);
    assert_int_equal(kill(pid, SIGKILL), 0); // it was still running
}

static void test_clean_start(void **state) {
    // Descriptors of ours that are not close-on-exec, ignored signals and a signal mask stay here.
    int leak = open("/dev/null", O_RDONLY);
    assert_true(leak >= 3);
    sigset_t block, old;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, &old);
    signal(SIGUSR2, SIG_IGN);
    run_shell("ls /proc/self/fd | tr '\\n' ' '; grep -E '^Sig(Blk|Ign)' /proc/self/status",
              STR_NONE);
    sigprocmask(SIG_SETMASK, &old, NULL);
    signal(SIGUSR2, SIG_DFL);
    close(leak);
    // 3 is ls's own, for the directory. 32 and 33 are glibc's own signals: posix_spawn ignores
    // them.
    unsigned long long blocked = 1, ignored = 1;
    assert_int_equal(
        sscanf(last.stdout_data.ptr, "0 1 2 3 SigBlk: %llx SigIgn: %llx", &blocked, &ignored), 2);
    assert_int_equal(blocked, 0);
    assert_int_equal(ignored & ~0x180000000ull, 0);
}

static void test_descriptors_directory_environment_session(void **state) {
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    // The target numbers are those of our own ends, crossed.
    SpawnFd fds[] = {{ends[1], ends[0]}, {ends[0], ends[1]}, {ends[1], 9}};
    const char *script = arena_printf(arena,
                                      "exec 2>/dev/null; pwd >&%d; echo $A$HOME >&9; "
                                      "cut -d' ' -f1,6 /proc/self/stat >&9; read x <&%d",
                                      ends[0], ends[1])
                             .ptr;
    const char *argv[] = {"/bin/bash", "-c", script, NULL},
               *envp[] = {"A=b", "PATH=/bin:/usr/bin", NULL};
    SpawnSpec spec = {.argv = argv,
                      .envp = envp,
                      .directory = "/usr",
                      .fds = fds,
                      .n_fds = 3,
                      .new_session = true};
    Child *child;
    assert_int_equal(spawn_child(loop, &spec, on_exit_status, NULL, &child), 0);
    pid_t pid = child_pid(child);
    loop_run(loop);
    assert_int_equal(exit_status, 0); // and `read` found what was written
    char text[256] = {0};
    close(ends[1]);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    close(ends[0]);
    int cut, session;
    // `read` took "/usr" off the pipe or a later line came first: the rest must be there.
    char *line = strstr(text, "b\n");
    assert_non_null(line);
    assert_int_equal(sscanf(line + 2, "%d %d", &cut, &session), 2);
    assert_int_equal(session, pid);
}

static void on_process_gone(void *user) {
    *(bool *)user = true;
    loop_stop(loop);
}

static void test_watch_a_process(void **state) {
    run_shell("sleep 100 >/dev/null 2>&1 & echo $!", STR_NONE);
    pid_t pid = atoi(last.stdout_data.ptr);
    ProcessWatch *watch;
    bool gone = false;
    assert_int_equal(process_watch_new(loop, pid, on_process_gone, &gone, &watch), 0);
    kill(pid, SIGKILL);
    loop_run(loop);
    assert_true(gone);
    process_watch_free(watch);
    process_watch_free(NULL);
    assert_int_equal(process_watch_new(loop, 0x3fffffff, on_process_gone, &gone, &watch), -ESRCH);
}

static void on_abandoned_done(void *user, const SpawnResult *result) {
    *(bool *)user = true;
}

static void test_abandoned_run(void **state) {
    const char *argv[] = {"echo", "x", NULL};
    bool done = false;
    Child *child =
        spawn_run(loop, &(SpawnSpec){.argv = argv}, STR_NONE, 100, 0, on_abandoned_done, &done);
    child_abandon(child);
    run_shell("sleep 0.05", STR_NONE);
    assert_false(done); // and the leak checker finds nothing
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_exit_status),
        TEST(test_missing_program),
        TEST(test_kill_and_abandon),
        TEST(test_output_and_input),
        TEST(test_output_limit),
        TEST(test_timeout),
        TEST(test_grandchild_does_not_hold_up),
        TEST(test_clean_start),
        TEST(test_descriptors_directory_environment_session),
        TEST(test_watch_a_process),
        TEST(test_abandoned_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
