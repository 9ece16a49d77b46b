#include "runtime_world.h"

World *the_world(void) {
    static World instance;
    return &instance;
}

double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

// ---- the loop, step by step

static void on_deadline(void *user) {
    fprintf(stderr, "nothing happened for 20 seconds\n");
    abort();
}

void run_until_stopped(void) {
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

void await(void) {
    while (!world.done)
        run_until_stopped();
    world.done = false;
    if (world.error)
        fprintf(stderr, "    (%s: %.*s)\n", strerrorname_np(-world.error), STR_ARG(world.message));
}

void on_done(void *user, int error, Str message) {
    finish(error, message);
}

void on_sandbox(void *user, int error, Str message, const Sandbox *sandbox) {
    if (sandbox) {
        world.sandbox = *sandbox;
        world.sandbox.id = arena_str(world.arena, sandbox->id);
        world.sandbox.network_namespace = arena_str(world.arena, sandbox->network_namespace);
    }
    finish(error, message);
}

RuntimeContainer copy_container(const RuntimeContainer *container) {
    RuntimeContainer copy = *container;
    copy.id = arena_str(world.arena, container->id);
    copy.name = arena_str(world.arena, container->name);
    copy.log_path = arena_str(world.arena, container->log_path);
    copy.cgroup = arena_str(world.arena, container->cgroup);
    return copy;
}

void on_container(void *user, int error, Str message, const RuntimeContainer *container) {
    if (container)
        world.container = copy_container(container);
    finish(error, message);
}

void on_sync(void *user, int error, int exit_code, Str output) {
    world.exit_code = exit_code;
    world.output = arena_str(world.arena, output);
    finish(error, output);
}

void on_exec(void *user, int error, Str message, int exit_code) {
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

void wait_exits(unsigned count) {
    while (world.container_exits < count)
        run_until_stopped();
}

static void sleep_on_loop_done(void *user) {
    loop_stop(world.loop);
}

void pass_time(int64_t ns) {
    LoopTimer timer = {0};
    loop_timer_init(&timer, world.loop, sleep_on_loop_done, NULL);
    loop_timer_start(&timer, ns);
    while (loop_timer_is_running(&timer))
        run_until_stopped();
}

// ---- the host, before and after

char *shell(const char *command) {
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char *text = calloc(1, 1 << 20);
    size_t n = fread(text, 1, (1 << 20) - 1, pipe);
    text[n] = 0;
    pclose(pipe);
    return text;
}

// Other tests may run at the same time, so only what could be ours is looked at.
char *inventory(void) {
    char command[2048];
    snprintf(command, sizeof command,
             "grep -F %s /proc/self/mountinfo; find /sys/fs/cgroup -path '*%s*'; "
             "ls -d /proc/[0-9]*/ | while read p; do tr '\\0' ' ' 2>/dev/null <$p/cmdline | "
             "grep -F %s | grep -v '^sh -c'; done; find %s -mindepth 1 | grep -v -e '/layer$' -e "
             "'/layer/' -e '/logs'",
             world.root, world.cgroup_parent, world.root, world.root);
    return shell(command);
}

void write_text(const char *directory, const char *name, const char *text) {
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

void new_runtime(void) {
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

int world_setup(void **state) {
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

int world_teardown(void **state) {
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

Str run_sandbox(void) {
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

ContainerSpec shell_spec(Str sandbox, const char *script, Str argv[3]) {
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

Str create(const ContainerSpec *spec) {
    world.runtime->ops->create_container(world.runtime, spec, on_container, NULL);
    await();
    return world.error ? STR_NONE : world.container.id;
}

void start(Str id) {
    world.runtime->ops->start_container(world.runtime, id, on_done, NULL);
    await();
    assert_int_equal(world.error, 0);
}

Str run_spec(const ContainerSpec *spec) {
    Str id = create(spec);
    assert_int_equal(world.error, 0);
    start(id);
    return id;
}

Str run(Str sandbox, const char *script) {
    Str argv[3];
    ContainerSpec spec = shell_spec(sandbox, script, argv);
    return run_spec(&spec);
}

void stop(Str id, int64_t grace_ns) {
    world.runtime->ops->stop_container(world.runtime, id, 0, grace_ns, on_done, NULL);
    await();
    assert_int_equal(world.error, 0);
}

void remove_container(Str id) {
    world.runtime->ops->remove_container(world.runtime, id, on_done, NULL);
    await();
    assert_int_equal(world.error, 0);
}

void remove_sandbox(Str id) {
    world.runtime->ops->remove_sandbox(world.runtime, id, on_done, NULL);
    await();
    assert_int_equal(world.error, 0);
}

Str exec_sync(Str id, const char *script, int64_t timeout_ns) {
    Str argv[] = {STR("/bin/sh"), STR("-c"), str_from(script)};
    world.runtime->ops->exec_sync(world.runtime, id, argv, 3, timeout_ns, 65536, on_sync, NULL);
    await();
    return world.output;
}

void assert_output(Str id, const char *script, const char *want) {
    Str got = exec_sync(id, script, 5 * SECOND);
    assert_int_equal(world.error, 0);
    assert_string_equal(got.ptr, want);
}

char *read_log(const RuntimeContainer *container) {
    char command[512];
    snprintf(command, sizeof command, "cut -d' ' -f2- %.*s", STR_ARG(container->log_path));
    return shell(command);
}

ino_t namespace_of(pid_t pid, const char *kind) {
    char path[64];
    struct stat info;
    snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kind);
    assert_int_equal(stat(path, &info), 0);
    return info.st_ino;
}

void test_nothing_left(void **state) {
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

bool world_is_possible(void) {
    if (geteuid() == 0 && system("command -v crun conmon busybox >/dev/null") == 0)
        return true;
    printf("needs root, crun, conmon and busybox\n");
    return false;
}
