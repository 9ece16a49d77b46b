#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "node/crun_private.h"
#include "node/rootfs.h"

// How the infra process is started: directories, shm and cgroup on a pool thread, then
// "seapod-pause --launch", which prints the infra process's id; see pause/pause.c.
typedef struct SandboxLaunch {
    SandboxDone done;
    void *user;
    const char **argv;
    Child *child;
    int fd; // the launcher's output
    LoopFd *watch;
    Buf output;
} SandboxLaunch;

// ---- the object and its record

CrunSandbox *crun_sandbox_new(CrunRuntime *runtime) {
    CrunSandbox *sandbox = memory_new(CrunSandbox);
    sandbox->runtime = runtime;
    sandbox->arena = arena_new_small();
    list_init(&sandbox->stop_waiters);
    list_init(&sandbox->remove_waiters);
    return sandbox;
}

static void launch_free(SandboxLaunch *launch) {
    if (!launch)
        return;
    if (launch->child)
        child_abandon(launch->child);
    loop_fd_free(launch->watch);
    if (launch->fd >= 0)
        close(launch->fd);
    buf_deinit(&launch->output);
    free(launch);
}

void crun_sandbox_free(CrunSandbox *sandbox) {
    launch_free(sandbox->launch);
    process_watch_free(sandbox->watch);
    crun_forget(&sandbox->stop_waiters);
    crun_forget(&sandbox->remove_waiters);
    arena_free(sandbox->arena);
    free(sandbox);
}

void crun_sandbox_save(const CrunSandbox *sandbox) {
    const Sandbox *view = &sandbox->view;
    _buf_deinit_ Buf buf = BUF_INIT(RECORD_MAX);
    record_put(&buf, "id", view->id);
    record_put(&buf, "pod_uid", view->pod_uid);
    record_put(&buf, "pod_name", view->pod_name);
    record_put(&buf, "pod_namespace", view->pod_namespace);
    record_put_int(&buf, "attempt", view->attempt);
    record_put(&buf, "hostname", sandbox->hostname);
    record_put_int(&buf, "host_network", sandbox->host_network);
    record_put_int(&buf, "host_pid", sandbox->host_pid);
    record_put_int(&buf, "host_ipc", sandbox->host_ipc);
    record_put_int(&buf, "launched", !sandbox->launch);
    record_put_int(&buf, "pid", sandbox->process.pid);
    record_put_int(&buf, "start_time", (int64_t)sandbox->process.start_time);
    record_put(&buf, "cgroup", view->cgroup);
    record_put(&buf, "log_directory", view->log_directory);
    record_put_int(&buf, "created_at", view->created_at);
    _arena_free_ Arena *arena = arena_new();
    Str path = crun_path(sandbox->runtime, arena, "records/sandboxes", view->id);
    int error = record_save(path.ptr, &buf);
    if (error)
        log_warn("runtime", "cannot write a sandbox record", "path=%s error=\"%s\"", path.ptr,
                 strerrordesc_np(-error));
}

Str crun_namespace(const CrunSandbox *sandbox, Arena *arena, const char *kind) {
    return arena_printf(arena, "%s/ns/%.*s/%s", sandbox->runtime->run_directory,
                        STR_ARG(sandbox->view.id), kind);
}

void crun_sandbox_load(CrunSandbox *sandbox, const Record *record) {
    Arena *arena = sandbox->arena;
    sandbox->hostname = arena_str(arena, record_get(record, "hostname"));
    sandbox->host_network = record_int(record, "host_network");
    sandbox->host_pid = record_int(record, "host_pid");
    sandbox->host_ipc = record_int(record, "host_ipc");
    sandbox->process =
        (ProcessId){(pid_t)record_int(record, "pid"), (uint64_t)record_int(record, "start_time")};
    sandbox->view = (Sandbox){
        .id = arena_str(arena, record_get(record, "id")),
        .pod_uid = arena_str(arena, record_get(record, "pod_uid")),
        .pod_name = arena_str(arena, record_get(record, "pod_name")),
        .pod_namespace = arena_str(arena, record_get(record, "pod_namespace")),
        .attempt = (uint32_t)record_int(record, "attempt"),
        .pid = sandbox->process.pid,
        .ready = sandbox->process.pid > 0,
        .cgroup = arena_str(arena, record_get(record, "cgroup")),
        .log_directory = arena_str(arena, record_get(record, "log_directory")),
        .created_at = record_int(record, "created_at"),
    };
    sandbox->view.network_namespace =
        sandbox->host_network ? STR("") : crun_namespace(sandbox, arena, "net");
}

// ---- the life of the infra process

static void infra_gone(CrunSandbox *sandbox) {
    CrunRuntime *runtime = sandbox->runtime;
    process_watch_free(sandbox->watch);
    sandbox->watch = NULL;
    sandbox->process = (ProcessId){0};
    sandbox->view.pid = 0;
    bool was_ready = sandbox->view.ready;
    sandbox->view.ready = false;
    if (!runtime->observe)
        crun_sandbox_save(sandbox);
    if (was_ready && !sandbox->stopping && runtime->base.events &&
        runtime->base.events->on_sandbox_exit)
        runtime->base.events->on_sandbox_exit(runtime->base.events_user, &sandbox->view);
    crun_tell(&sandbox->stop_waiters, 0, STR(""));
}

static void on_infra_exit(void *user) {
    infra_gone(user);
}

void crun_sandbox_watch(CrunSandbox *sandbox) {
    if (sandbox->process.pid > 0 &&
        process_watch_new(sandbox->runtime->base.loop, sandbox->process.pid, on_infra_exit, sandbox,
                          &sandbox->watch) == 0 &&
        process_lives(sandbox->process))
        return;
    infra_gone(sandbox);
}

// ---- run

typedef struct PrepareJob {
    CrunJob job;
    CrunSandbox *sandbox;
    bool share_memory;
    const char *directory, *shm;
    Str cgroup;
} PrepareJob;

static void prepare_work(CrunJob *job) {
    PrepareJob *prepare = (PrepareJob *)job;
    int error = make_directories(prepare->directory, 0711);
    if (error)
        crun_job_fail(job, error, prepare->directory);
    if (!error && !prepare->share_memory) {
        error = make_directories(prepare->shm, 0755);
        if (!error && mount("shm", prepare->shm, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                            "mode=1777,size=65536k") < 0)
            error = -errno;
        if (error)
            crun_job_fail(job, error, prepare->shm);
    }
    if (!error && (error = cgroup_create(job->runtime->cgroups, prepare->cgroup)))
        crun_job_fail(job, error, "cannot make the sandbox's cgroup");
}

typedef struct CleanJob {
    CrunJob job;
    CrunSandbox *sandbox; // not for the pool thread
    Str id, cgroup;
    int launch_error;
} CleanJob;

static void clean_work(CrunJob *job);

static CleanJob *clean_job_new(CrunSandbox *sandbox, void (*done)(CrunJob *job)) {
    CleanJob *clean = crun_job_new(sandbox->runtime, sizeof *clean);
    clean->job.work = clean_work;
    clean->job.done = done;
    clean->sandbox = sandbox;
    clean->id = arena_str(clean->job.arena, sandbox->view.id);
    clean->cgroup = arena_str(clean->job.arena, sandbox->view.cgroup);
    return clean;
}

int crun_sandbox_clean(const CrunRuntime *runtime, Arena *arena, Str id, Str pod_cgroup) {
    static const char *const kinds[] = {"net", "ipc", "uts", "pid"};
    Str directory = crun_path(runtime, arena, "ns", id);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        umount2(arena_printf(arena, "%s/%s", directory.ptr, kinds[i]).ptr,
                MNT_DETACH | UMOUNT_NOFOLLOW);
    int result = remove_tree(directory.ptr);
    int error = rootfs_unmount(crun_path(runtime, arena, "shm", id).ptr);
    if (error && !result)
        result = error;
    if (pod_cgroup.len) {
        Str cgroup = arena_printf(arena, "%.*s/%.*s", STR_ARG(pod_cgroup), STR_ARG(id));
        for (int i = 0; i < 200; i++) { // the infra process may still be on its way out
            error = cgroup_remove(runtime->cgroups, cgroup);
            if (error != -EBUSY)
                break;
            usleep(1000);
        }
        if (error && !result)
            result = error;
    }
    if (!result)
        result = remove_tree(crun_path(runtime, arena, "records/sandboxes", id).ptr);
    return result;
}

static void clean_work(CrunJob *job) {
    CleanJob *clean = (CleanJob *)job;
    int error = crun_sandbox_clean(job->runtime, job->arena, clean->id, clean->cgroup);
    if (error && !clean->launch_error)
        crun_job_fail(job, error, "cannot remove the sandbox");
}

static void launch_cleaned(CrunJob *job) {
    CleanJob *clean = (CleanJob *)job;
    SandboxLaunch *launch = clean->sandbox->launch;
    map_remove(job->runtime->sandboxes, clean->sandbox->view.id);
    launch->done(launch->user, clean->launch_error, job->message, NULL);
    crun_sandbox_free(clean->sandbox);
}

static void launch_fail(CrunSandbox *sandbox, int error, Str message) {
    CleanJob *clean = clean_job_new(sandbox, launch_cleaned);
    clean->launch_error = error;
    clean->job.message = arena_str(clean->job.arena, message);
    crun_job_start(&clean->job);
}

static void launch_succeed(CrunSandbox *sandbox, pid_t pid) {
    if (process_identify(pid, &sandbox->process)) {
        launch_fail(sandbox, -ESRCH, STR("the infra process ended at once"));
        return;
    }
    sandbox->view.pid = pid;
    sandbox->view.ready = true;
    SandboxLaunch *launch = sandbox->launch;
    sandbox->launch = NULL;
    crun_sandbox_save(sandbox);
    launch->done(launch->user, 0, STR(""), &sandbox->view);
    launch_free(launch);
    crun_sandbox_watch(sandbox); // last: it may tell of an exit
}

// The launcher goes on for some milliseconds after the line with the process id: it then moves the
// process into its cgroup, which nobody needs to wait for.
static void on_launch_output(void *user, int events) {
    CrunSandbox *sandbox = user;
    SandboxLaunch *launch = sandbox->launch;
    char text[512];
    ssize_t n = read(launch->fd, text, sizeof text);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        buf_append(&launch->output, text, (size_t)n);
    Str output = buf_view(&launch->output);
    Str line = str_find(output, '\n') >= 0 ? str_cut(&output, '\n') : STR("");
    int64_t pid;
    if (str_to_i64(line, &pid) == 0 && pid > 0) {
        launch_succeed(sandbox, (pid_t)pid);
    } else if (n <= 0) {
        loop_fd_want(launch->watch, 0);
        Str message = str_trim(buf_view(&launch->output));
        launch_fail(sandbox, -EIO, message.len ? message : STR("seapod-pause failed"));
    }
}

static void on_launcher_exit(void *user, int status) {}

static void launch_spawn(CrunJob *job) {
    PrepareJob *prepare = (PrepareJob *)job;
    CrunSandbox *sandbox = prepare->sandbox;
    SandboxLaunch *launch = sandbox->launch;
    Loop *loop = job->runtime->base.loop;
    if (job->error) {
        launch_fail(sandbox, job->error, job->message);
        return;
    }
    crun_sandbox_save(sandbox); // from here on recover() can find what is half made
    int fds[2];
    int error = pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0;
    if (!error) {
        SpawnFd targets[] = {{fds[1], 1}, {fds[1], 2}};
        SpawnSpec spec = {.argv = launch->argv, .fds = targets, .n_fds = 2, .new_session = true};
        error = spawn_child(loop, &spec, on_launcher_exit, NULL, &launch->child);
        close(fds[1]);
        launch->fd = fds[0];
    }
    if (error) {
        launch_fail(sandbox, error, STR("cannot start seapod-pause"));
        return;
    }
    child_abandon(launch->child); // its output says all
    launch->child = NULL;
    launch->watch = loop_fd_new(loop, launch->fd, on_launch_output, sandbox);
    loop_fd_want(launch->watch, LOOP_READ);
}

// In `arena`, which has to last until the launcher runs only.
static const char **launch_arguments(Arena *arena, CrunSandbox *sandbox, const SandboxSpec *spec,
                                     int *ret_error, Str *ret_message) {
    CrunRuntime *runtime = sandbox->runtime;
    size_t n_groups = cgroup_hierarchies(runtime->cgroups), n = 0;
    const char **argv = arena_array_of(arena, const char *, spec->n_sysctls + n_groups + 9);
    char namespaces[8];
    snprintf(namespaces, sizeof namespaces, "%s%s%s", spec->host_network ? "" : "nu",
             spec->host_ipc ? "" : "i", spec->host_pid ? "" : "p");
    argv[n++] = runtime->pause;
    argv[n++] = "--launch";
    argv[n++] = crun_path(runtime, arena, "ns", sandbox->view.id).ptr;
    argv[n++] = arena_cstr(arena, str_from(namespaces));
    argv[n++] = sandbox->hostname.ptr; // the sandbox outlives its launch
    if (!spec->host_network) {         // as containerd's enable_unprivileged_ports and _icmp
        argv[n++] = "/proc/sys/net/ipv4/ip_unprivileged_port_start=0";
        argv[n++] = "/proc/sys/net/ipv4/ping_group_range=0 2147483647";
    }
    for (size_t i = 0; i < spec->n_sysctls && !*ret_error; i++) {
        Str argument = STR_NONE;
        *ret_error = sysctl_argument(arena, &spec->sysctls[i], spec->host_network, spec->host_ipc,
                                     &argument, ret_message);
        argv[n++] = argument.ptr;
    }
    Str cgroup = arena_printf(arena, "%.*s/%.*s", STR_ARG(spec->cgroup), STR_ARG(sandbox->view.id));
    for (size_t i = 0; i < n_groups; i++)
        argv[n++] =
            arena_printf(arena, "+%.*s",
                         STR_ARG(cgroup_file(arena, runtime->cgroups, i, cgroup, "cgroup.procs")))
                .ptr;
    return argv;
}

static Str host_name(Arena *arena) {
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    return arena_str(arena, str_from(name));
}

void crun_run_sandbox(Runtime *base, const SandboxSpec *spec, SandboxDone done, void *user) {
    CrunRuntime *runtime = container_of(base, CrunRuntime, base);
    CrunSandbox *sandbox = crun_sandbox_new(runtime);
    Arena *arena = sandbox->arena;
    char id[65];
    crun_new_id(id);
    sandbox->host_network = spec->host_network;
    sandbox->host_pid = spec->host_pid;
    sandbox->host_ipc = spec->host_ipc;
    sandbox->hostname = spec->host_network || !spec->hostname.len
                            ? host_name(arena)
                            : arena_str(arena, spec->hostname);
    sandbox->view = (Sandbox){
        .id = arena_str(arena, str_from(id)),
        .pod_uid = arena_str(arena, spec->pod_uid),
        .pod_name = arena_str(arena, spec->pod_name),
        .pod_namespace = arena_str(arena, spec->pod_namespace),
        .attempt = spec->attempt,
        .cgroup = arena_str(arena, spec->cgroup),
        .log_directory = arena_str(arena, spec->log_directory),
        .created_at = loop_wall(base->loop),
    };
    sandbox->view.network_namespace =
        spec->host_network ? STR("") : crun_namespace(sandbox, arena, "net");
    SandboxLaunch *launch = sandbox->launch = memory_new(SandboxLaunch);
    *launch = (SandboxLaunch){.done = done, .user = user, .fd = -1, .output = BUF_INIT(4096)};
    map_put(runtime->sandboxes, sandbox->view.id, sandbox);

    PrepareJob *prepare = crun_job_new(runtime, sizeof *prepare);
    int error = 0;
    Str message = STR("");
    launch->argv = launch_arguments(prepare->job.arena, sandbox, spec, &error, &message);
    if (error) {
        arena_free(prepare->job.arena);
        launch_fail(sandbox, error, message);
        return;
    }
    prepare->job.work = prepare_work;
    prepare->job.done = launch_spawn;
    prepare->sandbox = sandbox;
    prepare->share_memory = spec->host_ipc;
    prepare->directory = crun_path(runtime, prepare->job.arena, "ns", sandbox->view.id).ptr;
    prepare->shm = crun_path(runtime, prepare->job.arena, "shm", sandbox->view.id).ptr;
    prepare->cgroup = arena_printf(prepare->job.arena, "%.*s/%s", STR_ARG(spec->cgroup), id);
    crun_job_start(&prepare->job);
}

// ---- stop and remove

// Counts down what has to end first: containers, then the infra process.
typedef struct SandboxStop {
    CrunSandbox *sandbox;
    size_t left;
    int error;
    RuntimeDone done;
    void *user;
} SandboxStop;

static void stop_step(void *user, int error, Str message) {
    SandboxStop *stop = user;
    if (error && !stop->error)
        stop->error = error;
    if (--stop->left > 0)
        return;
    stop->done(stop->user, stop->error,
               stop->error ? STR("a container of the sandbox could not be stopped") : STR(""));
    free(stop);
}

static void stop_sandbox(CrunSandbox *sandbox, RuntimeDone done, void *user) {
    CrunRuntime *runtime = sandbox->runtime;
    SandboxStop *stop = memory_new(SandboxStop);
    *stop = (SandboxStop){.sandbox = sandbox, .left = 1, .done = done, .user = user};
    sandbox->stopping = true;
    MapIter it = {0};
    while (map_next(runtime->containers, &it)) {
        CrunContainer *container = it.value;
        if (container->creating || container->view.state == CONTAINER_EXITED ||
            !str_eq(container->view.sandbox_id, sandbox->view.id))
            continue;
        stop->left++;
        crun_stop_container(&runtime->base, container->view.id, SIGKILL, 0, stop_step, stop);
    }
    if (sandbox->watch && process_signal(sandbox->process, SIGKILL) != -ESRCH)
        crun_wait(&sandbox->stop_waiters, stop_step, stop);
    else
        crun_reply(runtime, stop_step, stop, 0, STR(""));
}

void crun_stop_sandbox(Runtime *base, Str id, RuntimeDone done, void *user) {
    CrunRuntime *runtime = container_of(base, CrunRuntime, base);
    CrunSandbox *sandbox = map_get(runtime->sandboxes, id);
    if (!sandbox || sandbox->launch)
        crun_reply(runtime, done, user, -ENOENT, STR("no such sandbox"));
    else
        stop_sandbox(sandbox, done, user);
}

static void sandbox_cleaned(CrunJob *job) {
    CrunSandbox *sandbox = ((CleanJob *)job)->sandbox;
    if (job->error) {
        sandbox->removing = false;
        crun_tell(&sandbox->remove_waiters, job->error, job->message);
        return;
    }
    map_remove(job->runtime->sandboxes, sandbox->view.id);
    crun_tell(&sandbox->remove_waiters, 0, STR(""));
    crun_sandbox_free(sandbox);
}

static void containers_removed(void *user, int error, Str message) {
    CrunSandbox *sandbox = user;
    if (error) {
        sandbox->removing = false;
        crun_tell(&sandbox->remove_waiters, error, message);
        return;
    }
    crun_job_start(&clean_job_new(sandbox, sandbox_cleaned)->job);
}

static void sandbox_stopped(void *user, int error, Str message) {
    CrunSandbox *sandbox = user;
    CrunRuntime *runtime = sandbox->runtime;
    SandboxStop *stop = memory_new(SandboxStop);
    *stop =
        (SandboxStop){.sandbox = sandbox, .left = 1, .done = containers_removed, .user = sandbox};
    MapIter it = {0};
    while (map_next(runtime->containers, &it)) {
        CrunContainer *container = it.value;
        if (container->creating || !str_eq(container->view.sandbox_id, sandbox->view.id))
            continue;
        stop->left++;
        crun_remove_container(&runtime->base, container->view.id, stop_step, stop);
    }
    crun_reply(runtime, stop_step, stop, 0, STR(""));
}

void crun_remove_sandbox(Runtime *base, Str id, RuntimeDone done, void *user) {
    CrunRuntime *runtime = container_of(base, CrunRuntime, base);
    CrunSandbox *sandbox = map_get(runtime->sandboxes, id);
    if (!sandbox || sandbox->launch) {
        crun_reply(runtime, done, user, sandbox ? -EBUSY : 0,
                   sandbox ? STR("the sandbox is being started") : STR(""));
        return;
    }
    crun_wait(&sandbox->remove_waiters, done, user);
    if (sandbox->removing)
        return;
    sandbox->removing = true;
    stop_sandbox(sandbox, sandbox_stopped, sandbox);
}
