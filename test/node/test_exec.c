// Exec and attach against real containers: standard streams, terminals, half-closes, timeouts.

#include "runtime_world.h"

static void test_exec(void **state) {
    Str sandbox = run_sandbox();
    Str id = run(sandbox, "exec sleep 100");
    assert_output(id, "echo a; echo b >&2; exit 0", "a\nb\n");
    exec_sync(id, "exit 42", 0);
    assert_int_equal(world.error, 0);
    assert_int_equal(world.exit_code, 42);
    exec_sync(id, "kill -9 $$", 0);
    assert_int_equal(world.exit_code, 137);

    double before = now_ms();
    exec_sync(id, "echo first; sleep 50 & sleep 50", SECOND);
    assert_int_equal(world.error, -ETIMEDOUT);
    assert_string_equal(world.output.ptr, "first\n");
    assert_true(now_ms() - before < 10000);
    pass_time(SECOND / 10);
    assert_output(id, "ps | grep -c 'sleep 5[0]'", "0\n");

    Str argv[] = {STR("nothing-there")};
    world.runtime->ops->exec_sync(world.runtime, id, argv, 1, 0, 100, on_sync, NULL);
    await();
    assert_int_equal(world.error, -ENOENT);
    assert_true(strstr(world.output.ptr, "nothing-there"));
    world.runtime->ops->exec_sync(world.runtime, STR("none"), argv, 1, 0, 100, on_sync, NULL);
    await();
    assert_int_equal(world.error, -ENOENT);
    remove_sandbox(sandbox);
}

// The client's side of a stream: collects what comes.
typedef struct Client {
    Stream *stream;
    Buf data;
    bool ended, closed;
} Client;

static void client_data(void *user, Str data) {
    buf_str(&((Client *)user)->data, data);
    loop_stop(world.loop);
}

static void client_end(void *user) {
    ((Client *)user)->ended = true;
}

static void client_close(void *user, int error) {
    Client *client = user;
    client->closed = true;
    client->stream = NULL;
}

static const StreamEvents client_events = {
    .on_data = client_data, .on_end = client_end, .on_close = client_close};

static Stream *client_open(Client *client) {
    Stream *theirs;
    *client = (Client){.data = BUF_INIT(64 * 1024 * 1024)};
    stream_pair(world.loop, &client->stream, &theirs);
    stream_start(client->stream, &client_events, client);
    return theirs;
}

static void client_shut(Client *client) {
    if (client->stream)
        stream_abort(client->stream);
    buf_deinit(&client->data);
}

static void wait_for_text(Client *client, const char *text) {
    for (;;) {
        buf_char(&client->data, 0);
        bool found = strstr(client->data.data, text);
        client->data.len--;
        if (found)
            return;
        assert_false(client->closed);
        run_until_stopped();
    }
}

static void test_exec_streams(void **state) {
    Str sandbox = run_sandbox();
    Str id = run(sandbox, "exec sleep 100");
    Client in, out, err;
    Str argv[] = {STR("/bin/sh"), STR("-c"), STR("cat; echo end >&2; exit 5")};
    ExecSpec spec = {.container_id = id, .argv = argv, .n_argv = 3};
    spec.stdin_stream = client_open(&in);
    spec.stdout_stream = client_open(&out);
    spec.stderr_stream = client_open(&err);
    world.runtime->ops->exec(world.runtime, &spec, on_exec, NULL);
    stream_write(in.stream, STR("hello\n"));
    wait_for_text(&out, "hello\n");
    stream_end(in.stream); // half-close: cat ends, the output still comes
    await();
    assert_int_equal(world.error, 0);
    assert_int_equal(world.exit_code, 5);
    assert_true(str_eq(buf_view(&err.data), STR("end\n")));
    client_shut(&in);
    client_shut(&out);
    client_shut(&err);

    // Much more than any buffer, and no stdin.
    argv[2] = STR("dd if=/dev/zero bs=65536 count=160 2>/dev/null | cat");
    spec = (ExecSpec){.container_id = id, .argv = argv, .n_argv = 3};
    spec.stdout_stream = client_open(&out);
    world.runtime->ops->exec(world.runtime, &spec, on_exec, NULL);
    await();
    assert_int_equal(world.exit_code, 0);
    while (out.data.len < 160 * 65536)
        run_until_stopped();
    client_shut(&out);

    // It cannot be started: told as an error, not as an exit code.
    Str missing[] = {STR("nope")};
    spec = (ExecSpec){.container_id = id, .argv = missing, .n_argv = 1};
    spec.stdout_stream = client_open(&out);
    world.runtime->ops->exec(world.runtime, &spec, on_exec, NULL);
    await();
    assert_int_equal(world.error, -ENOENT);
    client_shut(&out);
    remove_sandbox(sandbox);
}

static void test_exec_terminal(void **state) {
    Str sandbox = run_sandbox();
    Str id = run(sandbox, "exec sleep 100");
    Client in, out;
    Str argv[] = {STR("/bin/sh"), STR("-c"), STR("tty; stty size; read x; echo got $x; stty size")};
    ExecSpec spec = {.container_id = id, .argv = argv, .n_argv = 3, .tty = true};
    spec.stdin_stream = client_open(&in);
    spec.stdout_stream = client_open(&out);
    RuntimeExec *exec = world.runtime->ops->exec(world.runtime, &spec, on_exec, NULL);
    world.runtime->ops->exec_resize(exec, 101, 37);
    wait_for_text(&out, "/dev/pts/0");
    world.runtime->ops->exec_resize(exec, 90, 20);
    stream_write(in.stream, STR("line\n"));
    await();
    assert_int_equal(world.error, 0);
    wait_for_text(&out, "got line\r\n20 90\r\n");
    client_shut(&in);
    client_shut(&out);

    // The client leaves: the terminal hangs up and the shell on it ends.
    argv[2] = STR("echo on; sleep 77");
    spec.stdin_stream = client_open(&in);
    spec.stdout_stream = client_open(&out);
    world.runtime->ops->exec(world.runtime, &spec, on_exec, NULL);
    wait_for_text(&out, "on\r\n");
    client_shut(&in);
    client_shut(&out);
    await();
    assert_int_equal(world.exit_code, 129); // SIGHUP

    // Cancelled: killed, and no callback.
    spec.stdin_stream = spec.stdout_stream = NULL;
    spec.tty = false;
    spec.stdout_stream = client_open(&out);
    exec = world.runtime->ops->exec(world.runtime, &spec, on_exec, NULL);
    wait_for_text(&out, "on\n");
    world.runtime->ops->exec_cancel(exec);
    client_shut(&out);
    pass_time(SECOND / 20);
    assert_false(world.done);
    assert_output(id, "ps | grep -c 'sleep 7[7]'", "0\n");
    remove_sandbox(sandbox);
}

static void test_attach(void **state) {
    Str sandbox = run_sandbox();
    Str argv[3];
    ContainerSpec spec =
        shell_spec(sandbox, "echo ready; cat; echo closed; echo bad >&2; sleep 0.2; exit 4", argv);
    spec.stdin_open = spec.stdin_once = true;
    Str id = create(&spec);
    Client in, out, err;
    Stream *streams[3] = {client_open(&in), client_open(&out), client_open(&err)};
    world.runtime->ops->attach(world.runtime, id, streams[0], streams[1], streams[2], on_done,
                               NULL);
    pass_time(SECOND / 50);
    unsigned exits = world.container_exits;
    world.runtime->ops->start_container(world.runtime, id, on_done, NULL);
    await();
    wait_for_text(&out, "ready\n");
    char big[100 * 1024];
    memset(big, 'x', sizeof big);
    stream_write(in.stream, str_of(big, sizeof big));
    stream_write(in.stream, STR("END\n"));
    wait_for_text(&out, "xEND\n");
    stream_end(in.stream);
    await(); // attach is over when the container is
    assert_int_equal(world.error, 0);
    wait_for_text(&out, "closed\n");
    wait_for_text(&err, "bad\n");
    wait_exits(exits + 1);
    assert_int_equal(world.exited.exit_code, 4);
    client_shut(&in);
    client_shut(&out);
    client_shut(&err);

    // A terminal, resized; the client leaves and the container goes on.
    spec = shell_spec(sandbox, "while read line; do echo got $line; stty size; done", argv);
    spec.stdin_open = spec.tty = true;
    id = run_spec(&spec);
    Stream *terminal[2] = {client_open(&in), client_open(&out)};
    world.runtime->ops->attach(world.runtime, id, terminal[0], terminal[1], NULL, on_done, NULL);
    world.runtime->ops->attach_resize(world.runtime, id, 120, 40);
    pass_time(SECOND / 20);
    stream_write(in.stream, STR("one\n"));
    wait_for_text(&out, "got one\r\n40 120\r\n");
    client_shut(&in);
    client_shut(&out);
    await();
    assert_output(id, "echo alive", "alive\n");
    world.runtime->ops->attach(world.runtime, STR("none"), NULL, NULL, NULL, on_done, NULL);
    await();
    assert_int_equal(world.error, -ENOENT);
    remove_sandbox(sandbox);
}

int main(void) {
    if (!world_is_possible())
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exec),          cmocka_unit_test(test_exec_streams),
        cmocka_unit_test(test_exec_terminal), cmocka_unit_test(test_attach),
        cmocka_unit_test(test_nothing_left),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
