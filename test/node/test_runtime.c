// The container runtime against the real thing: namespaces, cgroups, crun, conmon. Everything it
// makes has a name of its own, and the host is compared before and after.

#include "runtime_world.h"

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

// A runtime that never answers: its processes go, and the caller hears of it.
static void test_hanging_create(void **state) {
    if (!world_is_possible())
        skip();
    char path[128], *message;
    write_text(world.root, "crun",
               "#!/bin/sh\n[ \"$1\" = --version ] && exec crun --version\nexec sleep 10007005\n");
    snprintf(path, sizeof path, "%s/crun", world.root);
    assert_int_equal(chmod(path, 0755), 0);
    world.runtime->ops->free(world.runtime);
    CrunConfig config = {.loop = world.loop,
                         .state_directory = world.state,
                         .run_directory = world.run,
                         .crun = path,
                         .pause = getenv("SEAPOD_PAUSE"),
                         .create_timeout_ns = SECOND};
    assert_int_equal(runtime_crun_new(&config, &world.runtime, &message), 0);
    world.runtime->ops->recover(world.runtime, on_done, NULL);
    await();
    Str sandbox = run_sandbox(), argv[3];
    ContainerSpec spec = shell_spec(sandbox, "true", argv);
    world.runtime->ops->create_container(world.runtime, &spec, on_container, NULL);
    await();
    assert_int_equal(world.error, -ETIMEDOUT);
    assert_true(str_eq(world.message, STR("crun create was not done after 1 s")));
    remove_sandbox(sandbox);
    char *left = shell("pgrep -f 'sleep 10007005$' | wc -l");
    assert_string_equal(left, "0\n");
    free(left);
    world.runtime->ops->free(world.runtime);
    unlink(path);
    new_runtime();
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

static char *start_fifo(Str id) {
    static char path[256];
    snprintf(path, sizeof path, "%s/crun/%.*s/exec.fifo", world.run, STR_ARG(id));
    return path;
}

static void test_recover_created(void **state) {
    Str sandbox = run_sandbox();
    Str argv[3];
    ContainerSpec spec = shell_spec(sandbox, "sleep 100", argv);
    Str waits = create(&spec);
    Str runs = create(&spec);
    world.runtime->ops->free(world.runtime);
    int fd = open(start_fifo(runs), O_WRONLY | O_NONBLOCK); // as if we had died right after that
    assert_int_equal(write(fd, "", 1), 1);
    close(fd);
    assert_int_equal(unlink(start_fifo(runs)), 0);
    new_runtime();
    assert_output(runs, "echo it runs", "it runs\n");
    world.runtime->ops->start_container(world.runtime, runs, on_done, NULL);
    await();
    assert_int_equal(world.error, -EINVAL);
    start(waits);
    assert_output(waits, "echo it runs", "it runs\n");
    remove_sandbox(sandbox);
}

// crun itself is asked when there is nobody behind its fifo.
static void test_start_that_fails(void **state) {
    Str sandbox = run_sandbox();
    Str argv[3];
    ContainerSpec spec = shell_spec(sandbox, "sleep 100", argv);
    Str id = create(&spec);
    assert_int_equal(unlink(start_fifo(id)), 0);
    world.runtime->ops->start_container(world.runtime, id, on_done, NULL);
    await();
    assert_int_equal(world.error, -EIO);
    assert_non_null(memmem(world.message.ptr, world.message.len, "exec.fifo", 9));
    remove_sandbox(sandbox);
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

static void test_cleanup_of_running(void **state) {
    assert_int_equal(cgroup_create(world.cgroups, str_from(world.pod_cgroup)), 0);
    new_runtime();
    Str sandbox = run_sandbox();
    run(sandbox, "exec sleep 100");
    run(sandbox, "trap '' TERM; while :; do sleep 1; done");
    test_nothing_left(state);
}

int main(void) {
    if (!world_is_possible())
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sandbox),         cmocka_unit_test(test_namespaces_and_log),
        cmocka_unit_test(test_user_and_files),  cmocka_unit_test(test_seccomp_and_capabilities),
        cmocka_unit_test(test_many_layers),     cmocka_unit_test(test_log_rotation),
        cmocka_unit_test(test_bad_commands),    cmocka_unit_test(test_stop),
        cmocka_unit_test(test_out_of_memory),   cmocka_unit_test(test_shared_process_namespace),
        cmocka_unit_test(test_infra_death),     cmocka_unit_test(test_conmon_death),
        cmocka_unit_test(test_hanging_create),  cmocka_unit_test(test_recover),
        cmocka_unit_test(test_recover_created), cmocka_unit_test(test_start_that_fails),
        cmocka_unit_test(test_reboot),          cmocka_unit_test(test_timings),
        cmocka_unit_test(test_nothing_left),    cmocka_unit_test(test_cleanup_of_running),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
