#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>

#include "node/fake.h"

static struct {
    Loop *loop;
    Arena *arena;
    Str sandbox, container, message, ip;
    int error, exit_code, answers, exits, sandbox_exits;
    int64_t at;
} seen;

static void on_done(void *user, int error, Str message) {
    seen.answers++;
    seen.error = error;
    seen.message = arena_str(seen.arena, message);
    seen.at = loop_now(seen.loop);
}

static void on_sandbox(void *user, int error, Str message, const Sandbox *sandbox) {
    seen.sandbox = sandbox ? arena_str(seen.arena, sandbox->id) : STR_NONE;
    on_done(NULL, error, message);
}

static void on_container(void *user, int error, Str message, const RuntimeContainer *container) {
    seen.container = container ? arena_str(seen.arena, container->id) : STR_NONE;
    on_done(NULL, error, message);
}

static void on_sync(void *user, int error, int exit_code, Str output) {
    seen.exit_code = exit_code;
    on_done(NULL, error, output);
}

static void on_exit_event(void *user, const RuntimeContainer *container) {
    seen.exits++;
    seen.exit_code = container->exit_code;
}

static void on_sandbox_event(void *user, const Sandbox *sandbox) {
    seen.sandbox_exits++;
}

static const RuntimeEvents events = {.on_container_exit = on_exit_event,
                                     .on_sandbox_exit = on_sandbox_event};

static void settle(void) {
    assert_int_equal(loop_run(seen.loop), 0);
}

static Runtime *begin(void) {
    memset(&seen, 0, sizeof seen);
    seen.loop = loop_new_simulated(7, 0);
    seen.arena = arena_new();
    Runtime *runtime = runtime_fake_new(seen.loop);
    runtime->events = &events;
    SandboxSpec spec = {.pod_uid = STR("u")};
    runtime->ops->run_sandbox(runtime, &spec, on_sandbox, NULL);
    assert_int_equal(seen.answers, 0); // never from inside the call
    settle();
    assert_int_equal(seen.error, 0);
    return runtime;
}

static void end(Runtime *runtime) {
    runtime->ops->free(runtime);
    loop_free(seen.loop);
    arena_free(seen.arena);
}

static Str run(Runtime *runtime, const char *name) {
    ContainerSpec spec = {.sandbox_id = seen.sandbox, .name = str_from(name)};
    runtime->ops->create_container(runtime, &spec, on_container, NULL);
    settle();
    if (seen.error)
        return STR_NONE;
    runtime->ops->start_container(runtime, seen.container, on_done, NULL);
    settle();
    return seen.container;
}

static void test_life(void **state) {
    Runtime *runtime = begin();
    Str id = run(runtime, "a");
    assert_true(str_eq(fake_container(runtime, STR("u"), STR("a")), id));
    fake_exit(runtime, id, 3, false);
    assert_int_equal(seen.exits, 1);
    assert_int_equal(seen.exit_code, 3);
    fake_ignore_term(runtime, STR("b"));
    id = run(runtime, "b");
    int64_t before = loop_now(seen.loop);
    runtime->ops->stop_container(runtime, id, 0, 5 * NSEC_PER_SEC, on_done, NULL);
    settle();
    assert_int_equal(seen.exit_code, 137);
    assert_int_equal(seen.at - before, 5 * NSEC_PER_SEC);
    id = run(runtime, "c");
    runtime->ops->stop_container(runtime, id, 0, 5 * NSEC_PER_SEC, on_done, NULL);
    settle();
    assert_int_equal(seen.exit_code, 128 + SIGTERM);
    fake_exit_after(runtime, STR("d"), NSEC_PER_SEC, 9);
    run(runtime, "d");
    assert_int_equal(seen.exit_code, 9);
    fake_sandbox_exit(runtime, seen.sandbox);
    assert_int_equal(seen.sandbox_exits, 1);
    run(runtime, "e");
    assert_int_equal(seen.error, -ENOENT);
    runtime->ops->remove_sandbox(runtime, seen.sandbox, on_done, NULL);
    settle();
    assert_null(fake_container(runtime, STR("u"), STR("a")).ptr);
    end(runtime);
}

static void test_failures(void **state) {
    Runtime *runtime = begin();
    fake_fail(runtime, FAKE_CREATE_CONTAINER, 1, -EIO, STR("no luck"));
    run(runtime, "a");
    assert_int_equal(seen.error, -EIO);
    assert_string_equal(seen.message.ptr, "no luck");
    run(runtime, "a");
    assert_int_equal(seen.error, 0);
    assert_int_equal(fake_count(runtime, FAKE_CREATE_CONTAINER), 2);
    end(runtime);
}

static FakeExecResult answer(void *user, Str id, const Str *argv, size_t n_argv) {
    return (FakeExecResult){.exit_code = 4, .output = argv[0], .takes_ns = *(int64_t *)user};
}

static void test_exec(void **state) {
    Runtime *runtime = begin();
    int64_t takes = NSEC_PER_SEC;
    Str argv[] = {STR("probe")};
    fake_on_exec(runtime, answer, &takes);
    Str id = run(runtime, "a");
    runtime->ops->exec_sync(runtime, id, argv, 1, 2 * NSEC_PER_SEC, 3, on_sync, NULL);
    settle();
    assert_int_equal(seen.exit_code, 4);
    assert_string_equal(seen.message.ptr, "pro");
    runtime->ops->exec_sync(runtime, id, argv, 1, NSEC_PER_SEC / 2, 100, on_sync, NULL);
    settle();
    assert_int_equal(seen.error, -ETIMEDOUT);
    runtime->ops->exec_sync(runtime, STR("x"), argv, 1, 0, 100, on_sync, NULL);
    end(runtime); // with an answer on its way
}

static void on_attached(void *user, int error, Str message, Str ip) {
    seen.ip = arena_str(seen.arena, ip);
}

static void test_network(void **state) {
    Runtime *runtime = begin();
    NodeNetwork *network = network_fake_new(seen.loop);
    NetworkAttachment one = {.sandbox_id = STR("one")}, two = {.sandbox_id = STR("two")};
    network->ops->attach(network, &one, on_attached, NULL);
    settle();
    assert_string_equal(seen.ip.ptr, "10.42.0.2");
    network->ops->attach(network, &two, on_attached, NULL);
    network->ops->attach(network, &one, on_attached, NULL);
    settle();
    assert_string_equal(seen.ip.ptr, "10.42.0.2"); // the same again
    Str keep[] = {STR("two")};
    network->ops->retain(network, keep, 1);
    assert_null(network->ops->address(network, STR("one")).ptr);
    assert_string_equal(network->ops->address(network, STR("two")).ptr, "10.42.0.3");
    network->ops->detach(network, STR("two"), on_done, NULL);
    settle();
    assert_null(network->ops->address(network, STR("two")).ptr);
    network_fake_free(network);
    end(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_exec),
        cmocka_unit_test(test_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
