// The life of a container after its creation. conmon's end tells the container's: it has then
// written the exit code, and whatever the container printed.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "node/crun_private.h"
#include "node/rootfs.h"

#define CRUN_TIMEOUT_NS (120 * NSEC_PER_SEC)
#define CRUN_OUTPUT_MAX 8192
#define LOST_EXIT_CODE 137 // nobody saw it end

// ---- the object and its record

static void on_stop_timer(void *user) {
    CrunContainer *container = user;
    process_signal(container->process, SIGKILL);
}

CrunContainer *crun_container_new(CrunRuntime *runtime) {
    CrunContainer *container = memory_new(CrunContainer);
    container->runtime = runtime;
    container->arena = arena_new_small();
    list_init(&container->exit_waiters);
    list_init(&container->remove_waiters);
    loop_timer_init(&container->stop_timer, runtime->base.loop, on_stop_timer, container);
    return container;
}

void crun_container_free(CrunContainer *container) {
    loop_timer_stop(&container->stop_timer);
    if (container->child)
        child_abandon(container->child);
    process_watch_free(container->watch);
    crun_creation_free(container->creation);
    crun_forget(&container->exit_waiters);
    crun_forget(&container->remove_waiters);
    arena_free(container->arena);
    free(container);
}

void crun_container_save(const CrunContainer *container) {
    const RuntimeContainer *view = &container->view;
    _buf_deinit_ Buf buf = BUF_INIT(RECORD_MAX);
    record_put(&buf, "id", view->id);
    record_put(&buf, "sandbox_id", view->sandbox_id);
    record_put(&buf, "pod_uid", view->pod_uid);
    record_put(&buf, "name", view->name);
    record_put_int(&buf, "attempt", view->attempt);
    record_put_int(&buf, "creating", container->creating);
    record_put_int(&buf, "state", view->state);
    record_put_int(&buf, "pid", container->process.pid);
    record_put_int(&buf, "start_time", (int64_t)container->process.start_time);
    record_put_int(&buf, "conmon_pid", container->conmon.pid);
    record_put_int(&buf, "conmon_start_time", (int64_t)container->conmon.start_time);
    record_put_int(&buf, "exit_code", view->exit_code);
    record_put_int(&buf, "oom_killed", view->oom_killed);
    record_put_int(&buf, "created_at", view->created_at);
    record_put_int(&buf, "started_at", view->started_at);
    record_put_int(&buf, "finished_at", view->finished_at);
    record_put(&buf, "log_path", view->log_path);
    record_put(&buf, "cgroup", view->cgroup);
    record_put_int(&buf, "stop_signal", container->stop_signal);
    record_put_int(&buf, "tty", container->tty);
    record_put_int(&buf, "stdin_open", container->stdin_open);
    record_put_int(&buf, "stdin_once", container->stdin_once);
    _arena_free_ Arena *arena = arena_new();
    Str path = crun_path(container->runtime, arena, "records/containers", view->id);
    int error = record_save(path.ptr, &buf);
    if (error)
        log_warn("runtime", "cannot write a container record", "path=%s error=\"%s\"", path.ptr,
                 strerrordesc_np(-error));
}

void crun_container_load(CrunContainer *container, const Record *record) {
    Arena *arena = container->arena;
    container->creating = record_int(record, "creating");
    container->process =
        (ProcessId){(pid_t)record_int(record, "pid"), (uint64_t)record_int(record, "start_time")};
    container->conmon = (ProcessId){(pid_t)record_int(record, "conmon_pid"),
                                    (uint64_t)record_int(record, "conmon_start_time")};
    container->stop_signal = (int)record_int(record, "stop_signal");
    container->tty = record_int(record, "tty");
    container->stdin_open = record_int(record, "stdin_open");
    container->stdin_once = record_int(record, "stdin_once");
    int64_t state = record_int(record, "state");
    container->view = (RuntimeContainer){
        .id = arena_str(arena, record_get(record, "id")),
        .sandbox_id = arena_str(arena, record_get(record, "sandbox_id")),
        .pod_uid = arena_str(arena, record_get(record, "pod_uid")),
        .name = arena_str(arena, record_get(record, "name")),
        .attempt = (uint32_t)record_int(record, "attempt"),
        .state = state == CONTAINER_CREATED || state == CONTAINER_RUNNING
                     ? (RuntimeContainerState)state
                     : CONTAINER_EXITED,
        .pid = container->process.pid,
        .exit_code = (int)record_int(record, "exit_code"),
        .oom_killed = record_int(record, "oom_killed"),
        .created_at = record_int(record, "created_at"),
        .started_at = record_int(record, "started_at"),
        .finished_at = record_int(record, "finished_at"),
        .log_path = arena_str(arena, record_get(record, "log_path")),
        .cgroup = arena_str(arena, record_get(record, "cgroup")),
    };
    container->started = container->view.state != CONTAINER_CREATED;
}

// ---- its end

typedef struct CollectJob {
    CrunJob job;
    CrunContainer *container; // not for the pool thread
    Str id, cgroup;
    ProcessId process;
    int exit_code;
    bool oom_killed;
    int64_t finished_at;
} CollectJob;

static bool read_exit_code(const char *path, CollectJob *collect) {
    char text[32];
    struct stat info;
    int64_t code;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text);
    bool good =
        n > 0 && fstat(fd, &info) == 0 && str_to_i64(str_trim(str_of(text, (size_t)n)), &code) == 0;
    close(fd);
    if (!good)
        return false;
    collect->exit_code = (int)code;
    collect->finished_at = info.st_mtim.tv_sec * NSEC_PER_SEC + info.st_mtim.tv_nsec;
    return true;
}

// What shared the container's cgroup but not its pid namespace lives on after its first process.
static void kill_left_over(const CrunRuntime *runtime, Str cgroup) {
    for (int i = 0; i < 500; i++) {
        if (cgroup_kill(runtime->cgroups, cgroup) <= 0)
            return;
        usleep(i < 20 ? 200 : 5000);
    }
}

static void collect_work(CrunJob *job) {
    CollectJob *collect = (CollectJob *)job;
    const CrunRuntime *runtime = job->runtime;
    if (!read_exit_code(crun_path(runtime, job->arena, "exits", collect->id).ptr, collect)) {
        // conmon was killed: without it nobody reads the container's output or waits for it.
        if (!runtime->observe)
            process_signal(collect->process, SIGKILL);
        collect->exit_code = LOST_EXIT_CODE;
    }
    Str bundle = crun_path(runtime, job->arena, "bundle", collect->id);
    collect->oom_killed = access(arena_printf(job->arena, "%s/oom", bundle.ptr).ptr, F_OK) == 0 ||
                          cgroup_oom_kills(runtime->cgroups, collect->cgroup) > 0;
    if (!runtime->observe)
        kill_left_over(runtime, collect->cgroup);
}

static void collect_done(CrunJob *job) {
    CollectJob *collect = (CollectJob *)job;
    CrunContainer *container = collect->container;
    CrunRuntime *runtime = job->runtime;
    RuntimeContainer *view = &container->view;
    container->collecting = false;
    container->process = container->conmon = (ProcessId){0};
    view->pid = 0;
    view->state = CONTAINER_EXITED;
    view->exit_code = collect->exit_code;
    view->oom_killed = collect->oom_killed;
    view->finished_at = collect->finished_at ? collect->finished_at : loop_wall(runtime->base.loop);
    loop_timer_stop(&container->stop_timer);
    if (!runtime->observe)
        crun_container_save(container);
    if (runtime->base.events && runtime->base.events->on_container_exit)
        runtime->base.events->on_container_exit(runtime->base.events_user, view);
    crun_tell(&container->exit_waiters, 0, STR(""));
}

void crun_container_gone(CrunContainer *container) {
    process_watch_free(container->watch);
    container->watch = NULL;
    container->conmon_gone = true;
    // While "crun start" is on its way it would be told of a container that never ran.
    if (container->starting || container->collecting || container->view.state == CONTAINER_EXITED)
        return;
    container->collecting = true;
    CollectJob *collect = crun_job_new(container->runtime, sizeof *collect);
    collect->job.work = collect_work;
    collect->job.done = collect_done;
    collect->container = container;
    collect->id = arena_str(collect->job.arena, container->view.id);
    collect->cgroup = arena_str(collect->job.arena, container->view.cgroup);
    collect->process = container->process;
    crun_job_start(&collect->job);
}

// ---- start

static Str program_message(Arena *arena, const SpawnResult *result, const char *what) {
    Str said = str_trim(result->stderr_data);
    if (result->error)
        return arena_printf(arena, "%s: %s", what, strerrordesc_np(-result->error));
    if (result->timed_out)
        return arena_printf(arena, "%s: timed out", what);
    return said.len ? arena_str(arena, said) : arena_printf(arena, "%s failed", what);
}

static void on_released(void *user, int error, Str message) {
    CrunContainer *container = user;
    container->starting = false;
    if (!error) {
        container->started = true;
        container->view.state = CONTAINER_RUNNING;
        container->view.started_at = loop_wall(container->runtime->base.loop);
        crun_container_save(container);
    }
    container->on_start(container->start_user, error, message);
    if (container->conmon_gone)
        crun_container_gone(container);
}

static void on_started(void *user, const SpawnResult *result) {
    CrunContainer *container = user;
    if (!crun_idle(container->runtime))
        return;
    _arena_free_ Arena *arena = arena_new();
    bool good = !result->error && WIFEXITED(result->status) && WEXITSTATUS(result->status) == 0;
    on_released(container, good ? 0 : -EIO,
                good ? STR("") : program_message(arena, result, "crun start"));
}

static Str start_fifo(const CrunContainer *container, Arena *arena) {
    Str directory = crun_path(container->runtime, arena, "crun", container->view.id);
    return arena_printf(arena, "%s/exec.fifo", directory.ptr);
}

bool crun_container_was_started(const CrunContainer *container) {
    _arena_free_ Arena *arena = arena_new();
    return access(start_fifo(container, arena).ptr, F_OK) < 0 && errno == ENOENT;
}

// What "crun start" does for a container that has no hooks, without a process for it: its first
// process, still crun, waits for a byte from this fifo before it executes the container's program.
// https://github.com/containers/crun, libcrun_status_write_exec_fifo()
static int release(const CrunContainer *container) {
    _arena_free_ Arena *arena = arena_new();
    Str path = start_fifo(container, arena);
    struct stat info;
    int fd = open(path.ptr, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = fstat(fd, &info) < 0 ? -errno : S_ISFIFO(info.st_mode) ? 0 : -EINVAL;
    if (!error && (unlink(path.ptr) < 0 || write(fd, "", 1) != 1))
        error = -errno;
    close(fd);
    return error;
}

void crun_start_container(Runtime *base, Str id, RuntimeDone done, void *user) {
    CrunRuntime *runtime = container_of(base, CrunRuntime, base);
    CrunContainer *container = map_get(runtime->containers, id);
    if (!container || container->creating) {
        crun_reply(runtime, done, user, -ENOENT, STR("no such container"));
        return;
    }
    if (container->view.state != CONTAINER_CREATED || container->starting || container->removing) {
        crun_reply(runtime, done, user, -EINVAL, STR("the container is not in state created"));
        return;
    }
    container->starting = true;
    container->on_start = done;
    container->start_user = user;
    if (release(container) == 0) {
        crun_reply(runtime, on_released, container, 0, STR(""));
        return;
    }
    // Its process has ended, or this crun waits for something else: crun itself knows.
    _arena_free_ Arena *arena = arena_new();
    size_t n;
    const char **argv = crun_arguments(runtime, arena, "start", 1, &n);
    argv[n] = container->view.id.ptr;
    crun_busy(runtime);
    SpawnSpec spec = {.argv = argv};
    spawn_run(base->loop, &spec, STR_NONE, CRUN_OUTPUT_MAX, CRUN_TIMEOUT_NS, on_started, container);
}

// ---- stop

void crun_stop_container(Runtime *base, Str id, int number, int64_t grace_ns, RuntimeDone done,
                         void *user) {
    CrunRuntime *runtime = container_of(base, CrunRuntime, base);
    CrunContainer *container = map_get(runtime->containers, id);
    if (!container || container->creating || container->view.state == CONTAINER_EXITED) {
        bool missing = !container || container->creating;
        crun_reply(runtime, done, user, missing ? -ENOENT : 0,
                   missing ? STR("no such container") : STR(""));
        return;
    }
    crun_wait(&container->exit_waiters, done, user);
    if (number == 0)
        number = container->stop_signal ? container->stop_signal : SIGTERM;
    // One that was never started sits in crun, which has nothing to clean up.
    bool at_once = grace_ns <= 0 || !container->started;
    process_signal(container->process, at_once ? SIGKILL : number);
    if (at_once)
        return;
    int64_t due = loop_now(base->loop) + grace_ns;
    if (!loop_timer_is_running(&container->stop_timer) || due < container->stop_timer.due)
        loop_timer_start(&container->stop_timer, grace_ns);
}

// ---- remove

typedef struct RemoveJob {
    CrunJob job;
    CrunContainer *container; // not for the pool thread
    Str id, cgroup;
} RemoveJob;

int crun_container_clean(const CrunRuntime *runtime, Arena *arena, Str id, Str cgroup) {
    int result = 0;
    if (cgroup.len) {
        kill_left_over(runtime, cgroup);
        result = cgroup_remove(runtime->cgroups, cgroup);
    }
    int error = rootfs_unmount(crun_path(runtime, arena, "rootfs", id).ptr);
    if (error && !result)
        result = error;
    static const char *const kinds[] = {"crun", "bundle", "exits"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        error = remove_tree(crun_path(runtime, arena, kinds[i], id).ptr);
        if (error && !result)
            result = error;
    }
    error = remove_tree(crun_layer_path(runtime, arena, id).ptr);
    if (error && !result)
        result = error;
    if (!result)
        result = remove_tree(crun_path(runtime, arena, "records/containers", id).ptr);
    return result;
}

static void remove_work(CrunJob *job) {
    RemoveJob *removal = (RemoveJob *)job;
    int error = crun_container_clean(job->runtime, job->arena, removal->id, removal->cgroup);
    if (error)
        crun_job_fail(job, error, "cannot remove the container");
}

static void remove_done(CrunJob *job) {
    CrunContainer *container = ((RemoveJob *)job)->container;
    if (job->error) {
        container->removing = false;
        crun_tell(&container->remove_waiters, job->error, job->message);
        return;
    }
    map_remove(job->runtime->containers, container->view.id);
    crun_tell(&container->remove_waiters, 0, STR(""));
    crun_container_free(container);
}

static void on_deleted(void *user, const SpawnResult *result) {
    RemoveJob *removal = user;
    // A container that crun does not know any more is as good as deleted; the rest shows below.
    if (crun_idle(removal->job.runtime))
        crun_job_start(&removal->job);
    else
        arena_free(removal->job.arena);
}

static void remove_exited(void *user, int error, Str message) {
    CrunContainer *container = user;
    CrunRuntime *runtime = container->runtime;
    RemoveJob *removal = crun_job_new(runtime, sizeof *removal);
    Arena *arena = removal->job.arena;
    removal->job.work = remove_work;
    removal->job.done = remove_done;
    removal->container = container;
    removal->id = arena_str(arena, container->view.id);
    removal->cgroup = arena_str(arena, container->view.cgroup);
    size_t n;
    const char **argv = crun_arguments(runtime, arena, "delete", 2, &n);
    argv[n++] = "--force";
    argv[n] = removal->id.ptr;
    crun_busy(runtime);
    SpawnSpec spec = {.argv = argv};
    spawn_run(runtime->base.loop, &spec, STR_NONE, CRUN_OUTPUT_MAX, CRUN_TIMEOUT_NS, on_deleted,
              removal);
}

void crun_remove_container(Runtime *base, Str id, RuntimeDone done, void *user) {
    CrunRuntime *runtime = container_of(base, CrunRuntime, base);
    CrunContainer *container = map_get(runtime->containers, id);
    if (!container || container->creating) {
        crun_reply(runtime, done, user, container ? -EBUSY : 0,
                   container ? STR("the container is being created") : STR(""));
        return;
    }
    crun_wait(&container->remove_waiters, done, user);
    if (container->removing)
        return;
    container->removing = true;
    crun_stop_container(base, id, SIGKILL, 0, remove_exited, container);
}
