// The container runtime against the real thing: namespaces, cgroups, crun, conmon. Everything it
// makes has a name of its own, and the host is compared before and after.

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
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/loop.h"
#include "base/stream.h"
#include "node/cgroup.h"
#include "node/process.h"
#include "node/runtime.h"

#define SECOND NSEC_PER_SEC

typedef struct World {
    char root[64], state[96], run[96], layer[96], logs[96], cgroup_parent[48], pod_cgroup[80];
    Loop *loop;
    Runtime *runtime;
    Arena *arena;
    // What the last callback said.
    bool done;
    int error, exit_code;
    Str message, output;
    Sandbox sandbox;
    RuntimeContainer container;
    // What the events said.
    unsigned container_exits, sandbox_exits;
    RuntimeContainer exited;
    char *before;
    CgroupHost *cgroups;
} World;

static World world;

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

// ---- the loop, step by step

static void on_deadline(void *user) {
    fprintf(stderr, "nothing happened for 20 seconds\n");
    abort();
}

static void run_until_stopped(void) {
    LoopTimer deadline = {0};
    loop_timer_init(&deadline, world.loop, on_deadline, NULL);
    loop_timer_start(&deadline, 20 * SECOND);
    assert_int_equal(loop_run(world.loop), 0);
    loop_timer_stop(&deadline);
}

static void finish(int error, Str message) {
    world.error = error;
    world.message = arena_str(world.arena, message);
    world.done = true;
    loop_stop(world.loop);
}

static void await(void) {
    while (!world.done)
        run_until_stopped();
    world.done = false;
    if (world.error)
        fprintf(stderr, "    (%s: %.*s)\n", strerrorname_np(-world.error), STR_ARG(world.message));
}

static void on_done(void *user, int error, Str message) {
    finish(error, message);
}

static void on_sandbox(void *user, int error, Str message, const Sandbox *sandbox) {
    if (sandbox) {
        world.sandbox = *sandbox;
        world.sandbox.id = arena_str(world.arena, sandbox->id);
        world.sandbox.network_namespace = arena_str(world.arena, sandbox->network_namespace);
    }
    finish(error, message);
}

static RuntimeContainer copy_container(const RuntimeContainer *container) {
    RuntimeContainer copy = *container;
    copy.id = arena_str(world.arena, container->id);
    copy.name = arena_str(world.arena, container->name);
    copy.log_path = arena_str(world.arena, container->log_path);
    copy.cgroup = arena_str(world.arena, container->cgroup);
    return copy;
}

static void on_container(void *user, int error, Str message, const RuntimeContainer *container) {
    if (container)
        world.container = copy_container(container);
    finish(error, message);
}

static void on_sync(void *user, int error, int exit_code, Str output) {
    world.exit_code = exit_code;
    world.output = arena_str(world.arena, output);
    finish(error, output);
}

static void on_exec(void *user, int error, Str message, int exit_code) {
    world.exit_code = exit_code;
    finish(error, message);
}

static void on_container_exit(void *user, const RuntimeContainer *container) {
    world.container_exits++;
    world.exited = copy_container(container);
    loop_stop(world.loop);
}

static void on_sandbox_exit(void *user, const Sandbox *sandbox) {
    world.sandbox_exits++;
    loop_stop(world.loop);
}

static const RuntimeEvents events = {.on_container_exit = on_container_exit,
                                     .on_sandbox_exit = on_sandbox_exit};

static void wait_exits(unsigned count) {
    while (world.container_exits < count)
        run_until_stopped();
}

static void sleep_on_loop_done(void *user) {
    loop_stop(world.loop);
}

static void pass_time(int64_t ns) {
    LoopTimer timer = {0};
    loop_timer_init(&timer, world.loop, sleep_on_loop_done, NULL);
    loop_timer_start(&timer, ns);
    while (loop_timer_is_running(&timer))
        run_until_stopped();
}

// ---- the host, before and after

static char *shell(const char *command) {
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char *text = calloc(1, 1 << 20);
    size_t n = fread(text, 1, (1 << 20) - 1, pipe);
    text[n] = 0;
    pclose(pipe);
    return text;
}

// Other tests may run at the same time, so only what could be ours is looked at.
static char *inventory(void) {
    char command[2048];
    snprintf(command, sizeof command,
             "grep -F %s /proc/self/mountinfo; find /sys/fs/cgroup -path '*%s*'; "
             "ls -d /proc/[0-9]*/ | while read p; do tr '\\0' ' ' 2>/dev/null <$p/cmdline | "
             "grep -F %s | grep -v '^sh -c'; done; find %s -mindepth 1 | grep -v -e '/layer$' -e "
             "'/layer/' -e '/logs'",
             world.root, world.cgroup_parent, world.root, world.root);
    return shell(command);
}

static void write_text(const char *directory, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void make_layer(void) {
    char command[1024];
    snprintf(
        command, sizeof command,
        "mkdir -p %s/bin %s/etc %s/tmp && cp $(command -v busybox) %s/bin/busybox && "
        "for a in sh sleep cat echo true false id stty dd ls head tail tty env pwd wc hostname "
        "ps kill touch dmesg; do ln -s busybox %s/bin/$a; done",
        world.layer, world.layer, world.layer, world.layer, world.layer);
    assert_int_equal(system(command), 0);
    write_text(world.layer, "etc/passwd",
               "root:x:0:0:root:/root:/bin/sh\nworker:x:1000:1001:w:/home/worker:/bin/sh\n");
    write_text(world.layer, "etc/group", "root:x:0:\nworkers:x:1001:\nextra:x:1002:worker\n");
}

static void new_runtime(void) {
    CrunConfig config = {.loop = world.loop,
                         .state_directory = world.state,
                         .run_directory = world.run,
                         .pause = getenv("SEAPOD_PAUSE")};
    char *message;
    int error = runtime_crun_new(&config, &world.runtime, &message);
    if (error)
        fprintf(stderr, "%s\n", message);
    assert_int_equal(error, 0);
    world.runtime->events = &events;
    world.runtime->ops->recover(world.runtime, on_done, NULL);
    await();
    assert_int_equal(world.error, 0);
}

static int setup(void **state) {
    int id = getpid();
    snprintf(world.root, sizeof world.root, "/tmp/seapod-test-%d", id);
    snprintf(world.state, sizeof world.state, "%s/state", world.root);
    snprintf(world.run, sizeof world.run, "%s/run", world.root);
    snprintf(world.layer, sizeof world.layer, "%s/layer", world.root);
    snprintf(world.logs, sizeof world.logs, "%s/logs", world.root);
    snprintf(world.cgroup_parent, sizeof world.cgroup_parent, "/seapod-test-%d", id);
    snprintf(world.pod_cgroup, sizeof world.pod_cgroup, "%s/besteffort/podu1", world.cgroup_parent);
    assert_int_equal(mkdir(world.root, 0755), 0);
    make_layer();
    world.before = inventory();
    world.arena = arena_new();
    world.loop = loop_new();
    assert_int_equal(cgroup_host_new(&world.cgroups), 0);
    assert_int_equal(cgroup_create(world.cgroups, str_from(world.pod_cgroup)), 0);
    new_runtime();
    return 0;
}

static int teardown(void **state) {
    if (world.runtime)
        world.runtime->ops->free(world.runtime);
    loop_free(world.loop);
    cgroup_host_free(world.cgroups);
    arena_free(world.arena);
    free(world.before);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", world.root);
    return system(command);
}

// ---- short forms

static Str run_sandbox(void) {
    SandboxSpec spec = {.pod_uid = STR("u1"),
                        .pod_name = STR("pod"),
                        .pod_namespace = STR("default"),
                        .hostname = STR("the-pod"),
                        .cgroup = str_from(world.pod_cgroup)};
    world.runtime->ops->run_sandbox(world.runtime, &spec, on_sandbox, NULL);
    await();
    assert_int_equal(world.error, 0);
    return world.sandbox.id;
}

static ContainerSpec shell_spec(Str sandbox, const char *script, Str argv[3]) {
    static unsigned count;
    static Str layers[1];
    layers[0] = str_from(world.layer);
    argv[0] = STR("/bin/sh");
    argv[1] = STR("-c");
    argv[2] = str_from(script);
    count++;
    return (ContainerSpec){
        .sandbox_id = sandbox,
        .name = arena_printf(world.arena, "c%u", count),
        .layers = layers,
        .n_layers = 1,
        .argv = argv,
        .n_argv = 3,
        .uid = -1,
        .gid = -1,
        .log_path = arena_printf(world.arena, "%s/c%u/0.log", world.logs, count),
    };
}

static Str create(const ContainerSpec *spec) {
    world.runtime->ops->create_container(world.runtime, spec, on_container, NULL);
    await();
    return world.error ? STR_NONE : world.container.id;
}

static void start(Str id) {
    world.runtime->ops->start_container(world.runtime, id, on_done, NULL);
    await();
    assert_int_equal(world.error, 0);
}

static Str run_spec(const ContainerSpec *spec) {
    Str id = create(spec);
    assert_int_equal(world.error, 0);
    start(id);
    return id;
}

static Str run(Str sandbox, const char *script) {
    Str argv[3];
    ContainerSpec spec = shell_spec(sandbox, script, argv);
    return run_spec(&spec);
}

static void stop(Str id, int64_t grace_ns) {
    world.runtime->ops->stop_container(world.runtime, id, 0, grace_ns, on_done, NULL);
    await();
    assert_int_equal(world.error, 0);
}

static void remove_container(Str id) {
    world.runtime->ops->remove_container(world.runtime, id, on_done, NULL);
    await();
    assert_int_equal(world.error, 0);
}

static void remove_sandbox(Str id) {
    world.runtime->ops->remove_sandbox(world.runtime, id, on_done, NULL);
    await();
    assert_int_equal(world.error, 0);
}

static Str exec_sync(Str id, const char *script, int64_t timeout_ns) {
    Str argv[] = {STR("/bin/sh"), STR("-c"), str_from(script)};
    world.runtime->ops->exec_sync(world.runtime, id, argv, 3, timeout_ns, 65536, on_sync, NULL);
    await();
    return world.output;
}

static void assert_output(Str id, const char *script, const char *want) {
    Str got = exec_sync(id, script, 5 * SECOND);
    assert_int_equal(world.error, 0);
    assert_string_equal(got.ptr, want);
}

static char *read_log(const RuntimeContainer *container) {
    char command[512];
    snprintf(command, sizeof command, "cut -d' ' -f2- %.*s", STR_ARG(container->log_path));
    return shell(command);
}

static ino_t namespace_of(pid_t pid, const char *kind) {
    char path[64];
    struct stat info;
    snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kind);
    assert_int_equal(stat(path, &info), 0);
    return info.st_ino;
}

// ---- the tests

static void test_sandbox(void **state) {
    Str id = run_sandbox();
    pid_t pid = world.sandbox.pid;
    assert_true(pid > 1);
    ProcessId infra;
    assert_int_equal(process_identify(pid, &infra), 0);
    assert_int_equal(id.len, 64);
    struct stat info;
    assert_int_equal(stat(world.sandbox.network_namespace.ptr, &info), 0);
    assert_int_equal(info.st_ino, namespace_of(pid, "net"));
    static const char *const kinds[] = {"net", "ipc", "uts", "pid", "mnt"};
    for (size_t i = 0; i < 5; i++)
        assert_int_not_equal(namespace_of(pid, kinds[i]), namespace_of(getpid(), kinds[i]));
    char command[512];
    snprintf(
        command, sizeof command,
        "grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Threads)' /proc/%d/status | tr '\\t\\n' '  '; "
        "ls /proc/%d/fd /proc/%d/root/ | grep -v : | tr -d '\\n'; "
        "cut -d' ' -f4-6 /proc/%d/mountinfo",
        (int)pid, (int)pid, (int)pid, (int)pid);
    char *text = shell(command);
    assert_string_equal(text, "Uid: 65535 65535 65535 65535 Threads: 1 CapEff: "
                              "0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 "
                              "/ / ro,nosuid,nodev,noexec,relatime\n");
    free(text);
    remove_sandbox(id);
    assert_false(process_lives(infra));
    assert_int_equal(world.sandbox_exits, 0); // it was our own doing
    remove_sandbox(id);                       // again is fine
}

static void test_namespaces_and_log(void **state) {
    Str sandbox = run_sandbox();
    pid_t infra = world.sandbox.pid;
    Str id = run(sandbox, "hostname; echo out; echo err >&2; printf 'no newline'; exec sleep 100");
    RuntimeContainer container = world.container;
    static const char *const shared[] = {"net", "ipc", "uts"};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(namespace_of(container.pid, shared[i]), namespace_of(infra, shared[i]));
    assert_int_not_equal(namespace_of(container.pid, "pid"), namespace_of(infra, "pid"));
    assert_int_not_equal(namespace_of(container.pid, "mnt"), namespace_of(infra, "mnt"));
    assert_output(id, "ps | head -2 | tail -1 | cut -c1-5; pwd; cat /proc/1/comm",
                  "    1\n/\nsleep\n");
    char *log = read_log(&container);
    assert_true(strstr(log, "stdout F the-pod\n"));
    assert_true(strstr(log, "stdout F out\n"));
    assert_true(strstr(log, "stderr F err\n"));
    assert_true(strstr(log, "stdout P no newline"));
    free(log);
    // crun's cgroup is ours, below the pod's
    assert_true(str_starts_with(container.cgroup, str_from(world.pod_cgroup)));
    CgroupUsage usage;
    assert_int_equal(cgroup_usage(world.cgroups, container.cgroup, &usage), 0);
    assert_true(usage.memory_bytes > 0 && usage.pids == 1);
    remove_container(id);
    remove_container(id);
    remove_sandbox(sandbox);
}

static void test_user_and_files(void **state) {
    Str sandbox = run_sandbox();
    Str argv[3];
    int64_t groups[] = {2000, 1002};
    char source[128];
    snprintf(source, sizeof source, "%s/logs", world.root);
    mkdir(source, 0755);
    ContainerMount mounts[] = {
        {.source = str_from(source), .target = STR("/data/inner"), .read_only = true},
        {.source = str_from(world.layer), .target = STR("/data")},
    };
    RuntimePair env[] = {{STR("A"), STR("b \"c\"\n$d")}};
    ContainerSpec spec = shell_spec(sandbox, "exec sleep 100", argv);
    spec.user = STR("worker");
    spec.supplemental_groups = groups;
    spec.n_supplemental_groups = 2;
    spec.working_directory = STR("/made/for it");
    spec.mounts = mounts;
    spec.n_mounts = 2;
    spec.env = env;
    spec.n_env = 1;
    Str id = run_spec(&spec);
    assert_output(id, "id -u; id -g; id -G; pwd; echo \"$A\"; echo $HOME; echo $HOSTNAME",
                  "1000\n1001\n1001 1002 2000\n/made/for it\nb \"c\"\n$d\n/home/worker\nthe-pod\n");
    assert_output(id,
                  "touch /data/inner/x 2>&1; ls /data/bin/busybox; cat /proc/keys | wc -c; "
                  "echo 1 >/proc/sys/kernel/domainname",
                  "touch: /data/inner/x: Read-only file system\n/data/bin/busybox\n0\n"
                  "/bin/sh: can't create /proc/sys/kernel/domainname: Read-only file system\n");
    ContainerSpec unknown = shell_spec(sandbox, "true", argv);
    unknown.user = STR("nobody-here");
    assert_null(create(&unknown).ptr);
    assert_string_equal(world.message.ptr,
                        "unable to find user nobody-here: no matching entries in passwd file");
    ContainerSpec read_only = shell_spec(sandbox, "touch /x || exit 3", argv);
    read_only.read_only_root = true;
    read_only.seccomp = STR("RuntimeDefault");
    unsigned exits = world.container_exits;
    run_spec(&read_only);
    wait_exits(exits + 1);
    assert_int_equal(world.exited.exit_code, 3);
    remove_sandbox(sandbox);
}

static void test_seccomp_and_capabilities(void **state) {
    Str sandbox = run_sandbox();
    Str argv[3];
    ContainerSpec spec = shell_spec(sandbox, "exec sleep 100", argv);
    spec.seccomp = STR("RuntimeDefault");
    spec.no_new_privileges = true;
    Str drop[] = {STR("ALL")}, add[] = {STR("NET_BIND_SERVICE")};
    spec.capabilities_drop = drop;
    spec.capabilities_add = add;
    spec.n_capabilities_drop = spec.n_capabilities_add = 1;
    Str id = run_spec(&spec);
    const char *want =
        "CapEff: 0000000000000400 CapBnd: 0000000000000400 NoNewPrivs: 1 Seccomp: 2 ";
    assert_output(id,
                  "for p in 1 self; do grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' "
                  "/proc/$p/status | tr '\\t\\n' '  '; echo; done",
                  arena_printf(world.arena, "%s\n%s\n", want, want).ptr);
    remove_sandbox(sandbox);
}

// More layers than fit into one page of mount options, one with a name that they give a meaning.
static void test_many_layers(void **state) {
    enum { N = 150 };
    Str sandbox = run_sandbox();
    Str argv[3], layers[N];
    char long_name[128];
    memset(long_name, 'l', sizeof long_name);
    for (int i = 0; i < N; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d\n", i);
        layers[i] = i == 0 ? str_from(world.layer)
                           : arena_printf(world.arena, "%s/layer-%.100s%s%d", world.root, long_name,
                                          i == 7 ? ":,\\" : "", i);
        mkdir(layers[i].ptr, 0755);
        write_text(layers[i].ptr, "top", text);
        write_text(layers[i].ptr, arena_printf(world.arena, "own-%d", i).ptr, text);
    }
    ContainerSpec spec = shell_spec(sandbox, "exec sleep 100", argv);
    spec.layers = layers;
    spec.n_layers = N;
    Str id = run_spec(&spec);
    assert_output(id, "cat /top /own-7 /own-149; ls -d /own-* | wc -l", "149\n7\n149\n150\n");
    exec_sync(id, "rm /own-7; echo changed > /top", 0);
    assert_output(id, "ls /own-7 2>/dev/null; cat /top", "changed\n");
    remove_container(id);
    spec.n_layers = 30; // these do fit, but for the colon
    id = run_spec(&spec);
    assert_output(id, "cat /top /own-7", "29\n7\n"); // and nothing of the other container
    remove_container(id);
    spec.n_layers = 0;
    assert_null(create(&spec).ptr);
    assert_int_equal(world.error, -EINVAL);
    spec.n_layers = 1;
    layers[0] = STR("/no/such/layer");
    assert_null(create(&spec).ptr);
    assert_int_equal(world.error, -ENOENT);
    remove_sandbox(sandbox);
    for (int i = 1; i < N; i++) {
        unlink(arena_printf(world.arena, "%s/top", layers[i].ptr).ptr);
        unlink(arena_printf(world.arena, "%s/own-%d", layers[i].ptr, i).ptr);
        assert_int_equal(rmdir(layers[i].ptr), 0);
    }
}

static void test_log_rotation(void **state) {
    Str sandbox = run_sandbox();
    Str id = run(sandbox, "while :; do echo tick; sleep 0.02; done");
    Str log = world.container.log_path;
    pass_time(SECOND / 10);
    Str rotated = arena_printf(world.arena, "%s.1", log.ptr);
    assert_int_equal(rename(log.ptr, rotated.ptr), 0);
    world.runtime->ops->reopen_log(world.runtime, id);
    struct stat info = {0};
    for (int i = 0; i < 100 && (stat(log.ptr, &info) < 0 || info.st_size == 0); i++)
        pass_time(SECOND / 20);
    assert_true(info.st_size > 0);
    world.runtime->ops->reopen_log(world.runtime, STR("none"));
    remove_sandbox(sandbox);
}

static void test_bad_commands(void **state) {
    Str sandbox = run_sandbox();
    Str argv[] = {STR("/no/such/program")};
    Str ignored[3];
    ContainerSpec spec = shell_spec(sandbox, "", ignored);
    spec.argv = argv;
    spec.n_argv = 1;
    assert_null(create(&spec).ptr);
    assert_int_equal(world.error, -EIO);
    assert_true(strstr(world.message.ptr, "/no/such/program"));
    assert_true(strstr(world.message.ptr, "No such file or directory"));
    spec.n_argv = 0;
    assert_null(create(&spec).ptr);
    assert_string_equal(world.message.ptr, "no command specified");
    Str adds[] = {STR("NO_SUCH_CAP")};
    spec.n_argv = 1;
    spec.capabilities_add = adds;
    spec.n_capabilities_add = 1;
    assert_null(create(&spec).ptr);
    assert_int_equal(world.error, -EINVAL);
    spec.sandbox_id = STR("0123");
    assert_null(create(&spec).ptr);
    assert_int_equal(world.error, -ENOENT);
    remove_sandbox(sandbox);
}

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

static void test_stop(void **state) {
    Str sandbox = run_sandbox();
    unsigned exits = world.container_exits;
    Str id = run(sandbox, "trap 'echo bye; exit 7' TERM; while :; do sleep 0.02; done");
    pass_time(SECOND / 20);
    stop(id, 10 * SECOND);
    assert_int_equal(world.container_exits, exits + 1);
    assert_int_equal(world.exited.exit_code, 7);
    assert_int_equal(world.exited.state, CONTAINER_EXITED);
    assert_true(world.exited.finished_at > world.exited.started_at);
    stop(id, 0); // again is fine

    id = run(sandbox, "trap '' TERM; while :; do sleep 0.02; done");
    pass_time(SECOND / 20);
    double before = now_ms();
    stop(id, SECOND / 5);
    double took = now_ms() - before;
    assert_true(took > 150 && took < 5000);
    assert_int_equal(world.exited.exit_code, 137);
    assert_false(world.exited.oom_killed);

    Str argv[3];
    ContainerSpec spec =
        shell_spec(sandbox, "trap 'exit 9' USR1; while :; do sleep 0.02; done", argv);
    spec.stop_signal = SIGUSR1;
    id = run_spec(&spec);
    pass_time(SECOND / 20);
    stop(id, 10 * SECOND);
    assert_int_equal(world.exited.exit_code, 9);
    world.runtime->ops->start_container(world.runtime, id, on_done, NULL);
    await();
    assert_int_equal(world.error, -EINVAL);
    spec = shell_spec(sandbox, "true", argv); // created, never started
    id = create(&spec);
    stop(id, 10 * SECOND);
    remove_sandbox(sandbox);
}

static void test_out_of_memory(void **state) {
    Str sandbox = run_sandbox();
    Str argv[3];
    ContainerSpec spec =
        shell_spec(sandbox, "exec dd if=/dev/zero of=/dev/null bs=100000000 count=1", argv);
    spec.resources = (ContainerResources){.memory_limit = 16 << 20,
                                          .cpu_shares = 512,
                                          .cpu_quota = 50000,
                                          .pids_limit = 64,
                                          .oom_score_adj = -900,
                                          .oom_score_adj_set = true};
    unsigned exits = world.container_exits;
    run_spec(&spec);
    wait_exits(exits + 1);
    assert_int_equal(world.exited.exit_code, 137);
    assert_true(world.exited.oom_killed);
    remove_sandbox(sandbox);
}

static void test_shared_process_namespace(void **state) {
    Str sandbox = run_sandbox();
    pid_t infra = world.sandbox.pid;
    Str argv[3];
    ContainerSpec spec = shell_spec(sandbox, "sleep 66 & sleep 0.2; exit 0", argv);
    spec.share_process_namespace = true;
    unsigned exits = world.container_exits;
    Str watcher_argv[3];
    ContainerSpec watcher = shell_spec(sandbox, "exec sleep 100", watcher_argv);
    watcher.share_process_namespace = true;
    Str watching = run_spec(&watcher);
    assert_int_equal(namespace_of(world.container.pid, "pid"), namespace_of(infra, "pid"));
    // The infra process must not be a door to the host.
    assert_output(watching, "ls /proc/1/root/ 2>&1 | wc -l; cat /proc/1/comm", "1\npause\n");
    run_spec(&spec);
    wait_exits(exits + 1);
    assert_int_equal(world.exited.exit_code, 0);
    assert_output(watching, "ps | grep -c 'sleep 6[6]'", "0\n"); // what it left was killed
    assert_output(watching, "sleep 0.01 & true", "");
    remove_sandbox(sandbox);
}

static void test_infra_death(void **state) {
    Str sandbox = run_sandbox();
    Str id = run(sandbox, "exec sleep 100");
    unsigned before = world.sandbox_exits;
    assert_int_equal(kill(world.sandbox.pid, SIGKILL), 0);
    while (world.sandbox_exits == before)
        run_until_stopped();
    Str argv[3];
    ContainerSpec spec = shell_spec(sandbox, "true", argv);
    assert_null(create(&spec).ptr);
    assert_int_equal(world.error, -ENOENT);
    assert_output(id, "echo still here", "still here\n");
    world.runtime->ops->stop_sandbox(world.runtime, sandbox, on_done, NULL);
    await();
    assert_int_equal(world.error, 0);
    remove_sandbox(sandbox);
}

static void test_conmon_death(void **state) {
    Str sandbox = run_sandbox();
    unsigned exits = world.container_exits;
    run(sandbox, "exec sleep 100");
    char command[160];
    snprintf(command, sizeof command, "kill -9 $(ps -o ppid= -p %d)", (int)world.container.pid);
    assert_int_equal(system(command), 0);
    wait_exits(exits + 1);
    assert_int_equal(world.exited.exit_code, 137);
    remove_sandbox(sandbox);
}

static void count_container(void *user, const RuntimeContainer *container) {
    (*(unsigned *)user)++;
    world.container = copy_container(container);
}

static void count_sandbox(void *user, const Sandbox *sandbox) {
    *(unsigned *)user += sandbox->ready ? 1 : 100;
}

// A second look at the same directories, beside the one that owns them.
static void observe(unsigned want) {
    CrunConfig config = {.loop = world.loop,
                         .state_directory = world.state,
                         .run_directory = world.run,
                         .pause = getenv("SEAPOD_PAUSE"),
                         .observe = true};
    char *message;
    Runtime *observer;
    assert_int_equal(runtime_crun_new(&config, &observer, &message), 0);
    observer->ops->recover(observer, on_done, NULL);
    await();
    assert_int_equal(world.error, 0);
    unsigned count = 0;
    observer->ops->each_container(observer, count_container, &count);
    assert_int_equal(count, want);
    observer->ops->free(observer);
}

static void test_recover(void **state) {
    Str sandbox = run_sandbox();
    pid_t infra = world.sandbox.pid;
    Str stays = run(sandbox, "trap 'exit 6' TERM; while :; do echo tick; sleep 0.05; done");
    pid_t pid = world.container.pid;
    Str ends = run(sandbox, "sleep 0.3; exit 3");
    unsigned exits = world.container_exits;
    world.runtime->ops->free(world.runtime);
    usleep(600 * 1000); // one ends while nobody looks
    new_runtime();
    assert_int_equal(world.container_exits, exits + 1);
    assert_int_equal(world.exited.exit_code, 3);
    assert_true(str_eq(world.exited.id, ends));
    unsigned count = 0;
    world.runtime->ops->each_sandbox(world.runtime, count_sandbox, &count);
    assert_int_equal(count, 1);
    assert_int_equal(kill(infra, 0), 0);
    count = 0;
    world.runtime->ops->each_container(world.runtime, count_container, &count);
    assert_int_equal(count, 2);
    assert_string_equal(world.runtime->ops->name(world.runtime).ptr, "crun");
    assert_true(world.runtime->ops->version(world.runtime).len > 2);
    assert_int_equal(kill(pid, 0), 0);
    assert_output(stays, "echo exec works", "exec works\n");
    observe(2);
    assert_output(stays, "echo exec works", "exec works\n");
    stop(stays, 10 * SECOND);
    assert_int_equal(world.exited.exit_code, 6);
    // Once more: an end that is known is not told twice.
    exits = world.container_exits;
    world.runtime->ops->free(world.runtime);
    ProcessId infra_process;
    assert_int_equal(process_identify(infra, &infra_process), 0);
    kill(infra, SIGKILL);
    while (process_lives(infra_process))
        usleep(1000);
    new_runtime();
    assert_int_equal(world.container_exits, exits);
    count = 0;
    world.runtime->ops->each_sandbox(world.runtime, count_sandbox, &count);
    assert_int_equal(count, 100);
    remove_sandbox(sandbox);
    count = 0;
    world.runtime->ops->each_container(world.runtime, count_container, &count);
    assert_int_equal(count, 0);
}

static void test_reboot(void **state) {
    Str sandbox = run_sandbox();
    Str id = run(sandbox, "exec sleep 100");
    (void)id;
    pid_t pid = world.container.pid, infra = world.sandbox.pid;
    world.runtime->ops->free(world.runtime);
    char path[160];
    snprintf(path, sizeof path, "%s/boot", world.run);
    write_text(world.run, "boot", "another-boot\n");
    kill(pid, SIGKILL); // as a reboot would
    kill(infra, SIGKILL);
    usleep(100 * 1000);
    new_runtime();
    unsigned count = 0;
    world.runtime->ops->each_container(world.runtime, count_container, &count);
    world.runtime->ops->each_sandbox(world.runtime, count_sandbox, &count);
    assert_int_equal(count, 0);
    char command[256];
    snprintf(command, sizeof command, "find %s %s -regex '.*/[0-9a-f]*' | grep -cE '[0-9a-f]{64}'",
             world.run, world.state);
    char *text = shell(command);
    assert_string_equal(text, "0\n");
    free(text);
}

static void test_timings(void **state) {
    enum { N = 20 };
    double sums[5] = {0};
    for (int i = 0; i < N; i++) {
        double t0 = now_ms();
        Str sandbox = run_sandbox();
        double t1 = now_ms();
        Str argv[3];
        ContainerSpec spec = shell_spec(sandbox, "exec sleep 100", argv);
        Str id = create(&spec);
        double t2 = now_ms();
        start(id);
        double t3 = now_ms();
        assert_output(id, "true", "");
        double t4 = now_ms();
        remove_sandbox(sandbox);
        double t5 = now_ms();
        double steps[5] = {t1 - t0, t2 - t1, t3 - t2, t4 - t3, t5 - t4};
        for (int k = 0; k < 5; k++)
            sums[k] += steps[k] / N;
    }
    printf("    mean of %d: sandbox %.1f ms, create %.1f ms, start %.1f ms (to running %.1f ms), "
           "exec %.1f ms, remove all %.1f ms\n",
           N, sums[0], sums[1], sums[2], sums[0] + sums[1] + sums[2], sums[3], sums[4]);
}

static void test_nothing_left(void **state) {
    world.runtime->ops->free(world.runtime);
    world.runtime = NULL;
    CrunConfig config = {.state_directory = world.state, .run_directory = world.run};
    char *message;
    assert_int_equal(runtime_crun_cleanup(&config, world.cgroup_parent, &message), 0);
    pass_time(SECOND / 10); // the conmons are our children: the loop reaps them
    char *after = inventory();
    assert_string_equal(after, world.before);
    free(after);
}

static void test_cleanup_of_running(void **state) {
    assert_int_equal(cgroup_create(world.cgroups, str_from(world.pod_cgroup)), 0);
    new_runtime();
    Str sandbox = run_sandbox();
    run(sandbox, "exec sleep 100");
    run(sandbox, "trap '' TERM; while :; do sleep 1; done");
    test_nothing_left(state);
}

int main(void) {
    if (geteuid() != 0 || system("command -v crun conmon busybox >/dev/null") != 0) {
        printf("needs root, crun, conmon and busybox\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sandbox),
        cmocka_unit_test(test_namespaces_and_log),
        cmocka_unit_test(test_user_and_files),
        cmocka_unit_test(test_seccomp_and_capabilities),
        cmocka_unit_test(test_many_layers),
        cmocka_unit_test(test_log_rotation),
        cmocka_unit_test(test_bad_commands),
        cmocka_unit_test(test_exec),
        cmocka_unit_test(test_exec_streams),
        cmocka_unit_test(test_exec_terminal),
        cmocka_unit_test(test_attach),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_shared_process_namespace),
        cmocka_unit_test(test_infra_death),
        cmocka_unit_test(test_conmon_death),
        cmocka_unit_test(test_recover),
        cmocka_unit_test(test_reboot),
        cmocka_unit_test(test_timings),
        cmocka_unit_test(test_nothing_left),
        cmocka_unit_test(test_cleanup_of_running),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
