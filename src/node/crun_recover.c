// After a start of ours: what do the records say, what of it is true, and what lies about that no
// record tells of. Reading is done on a pool thread, the picture is built on the loop.

#include <dirent.h>
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

typedef struct Found {
    Record *records;
    size_t n;
} Found;

typedef struct RecoverJob {
    CrunJob job;
    RuntimeDone done;
    void *user;
    Found sandboxes, containers;
} RecoverJob;

// ---- on the pool thread

static bool is_id(const char *name) {
    return strlen(name) == 64 && strspn(name, "0123456789abcdef") == 64;
}

// Calls `visit` for every entry of RUN/KIND (or of `directory`) that is named like an id.
static void each_id(CrunJob *job, const char *directory,
                    void (*visit)(CrunJob *job, Str id, void *user), void *user) {
    DIR *entries = opendir(directory);
    struct dirent *entry;
    while (entries && (entry = readdir(entries)))
        if (is_id(entry->d_name))
            visit(job, arena_str(job->arena, str_from(entry->d_name)), user);
    if (entries)
        closedir(entries);
}

static void load_record(CrunJob *job, Str path, Found *found) {
    Record record;
    int error = record_load(job->arena, path.ptr, &record);
    if (error == -EPROTONOSUPPORT) {
        crun_job_fail(job, error, "the runtime's records were written by a newer seapod");
        return;
    }
    if (error)
        return; // half written; what it told of is swept up
    found->records = arena_grow(job->arena, found->records, found->n * sizeof(Record),
                                (found->n + 1) * sizeof(Record));
    found->records[found->n++] = record;
}

static void load_sandbox(CrunJob *job, Str id, void *user) {
    load_record(job, crun_path(job->runtime, job->arena, "records/sandboxes", id), user);
}

static void load_container(CrunJob *job, Str id, void *user) {
    load_record(job, crun_path(job->runtime, job->arena, "records/containers", id), user);
}

static bool is_known(const Found *found, Str id) {
    for (size_t i = 0; i < found->n; i++)
        if (str_eq(record_get(&found->records[i], "id"), id))
            return true;
    return false;
}

// The infra process of a sandbox whose launch we did not live to see, if it is one.
static pid_t launched_pid(const CrunRuntime *runtime, Arena *arena, Str id) {
    char text[32], path[64], name[32];
    int64_t pid = 0;
    Str file = arena_printf(arena, "%s/ns/%.*s/process", runtime->run_directory, STR_ARG(id));
    int fd = open(file.ptr, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    if (n <= 0 || str_to_i64(str_trim(str_of(text, (size_t)n)), &pid) || pid <= 1)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, name, sizeof name);
    if (fd >= 0)
        close(fd);
    return n > 0 && str_eq(str_trim(str_of(name, (size_t)n)), STR("pause")) ? (pid_t)pid : 0;
}

static void sweep_sandbox(CrunJob *job, Str id, void *user) {
    if (is_known(user, id))
        return;
    pid_t pid = launched_pid(job->runtime, job->arena, id);
    if (pid > 0)
        kill(pid, SIGKILL);
    (void)crun_sandbox_clean(job->runtime, job->arena, id, STR(""));
}

static void sweep_container(CrunJob *job, Str id, void *user) {
    if (!is_known(user, id))
        (void)crun_container_clean(job->runtime, job->arena, id, STR(""));
}

// Sandboxes and containers that were half made when we died, and what nothing tells of.
static void sweep(RecoverJob *recover) {
    CrunJob *job = &recover->job;
    const CrunRuntime *runtime = job->runtime;
    for (size_t i = 0; i < recover->containers.n;) {
        Record *record = &recover->containers.records[i];
        if (!record_int(record, "creating")) {
            i++;
            continue;
        }
        ProcessId conmon = {(pid_t)record_int(record, "conmon_pid"),
                            (uint64_t)record_int(record, "conmon_start_time")};
        process_signal(conmon, SIGKILL);
        (void)crun_container_clean(runtime, job->arena, record_get(record, "id"),
                                   record_get(record, "cgroup"));
        *record = recover->containers.records[--recover->containers.n];
    }
    for (size_t i = 0; i < recover->sandboxes.n;) {
        Record *record = &recover->sandboxes.records[i];
        Str id = record_get(record, "id");
        pid_t pid = record_int(record, "pid") ? 0 : launched_pid(runtime, job->arena, id);
        // Without a process and never seen alive: the launch was cut short.
        if (record_int(record, "launched")) {
            i++;
            continue;
        }
        if (pid > 0)
            kill(pid, SIGKILL);
        (void)crun_sandbox_clean(runtime, job->arena, id, record_get(record, "cgroup"));
        *record = recover->sandboxes.records[--recover->sandboxes.n];
    }
    static const char *const of_sandboxes[] = {"ns", "shm"};
    static const char *const of_containers[] = {"rootfs", "bundle", "exits", "crun"};
    for (size_t i = 0; i < sizeof of_sandboxes / sizeof *of_sandboxes; i++)
        each_id(job, crun_path(runtime, job->arena, of_sandboxes[i], STR("")).ptr, sweep_sandbox,
                &recover->sandboxes);
    for (size_t i = 0; i < sizeof of_containers / sizeof *of_containers; i++)
        each_id(job, crun_path(runtime, job->arena, of_containers[i], STR("")).ptr, sweep_container,
                &recover->containers);
    each_id(job, runtime->state_directory, sweep_container, &recover->containers);
}

static Str read_boot_id(Arena *arena, const char *path) {
    char text[128];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    return arena_str(arena, str_trim(str_of(text, n > 0 ? (size_t)n : 0)));
}

// After a reboot no process, mount or namespace is left that a record could tell of.
static int forget_last_boot(const CrunRuntime *runtime, Arena *arena) {
    Str file = arena_printf(arena, "%s/boot", runtime->run_directory);
    Str now = read_boot_id(arena, "/proc/sys/kernel/random/boot_id");
    Str then = read_boot_id(arena, file.ptr);
    if (str_eq(now, then))
        return 0;
    static const char *const kinds[] = {"records/sandboxes", "records/containers"};
    for (size_t i = 0; i < 2 && then.len; i++) {
        Str path = crun_path(runtime, arena, kinds[i], STR(""));
        remove_tree(path.ptr);
        int error = make_directories(path.ptr, 0700);
        if (error)
            return error;
    }
    int fd = open(file.ptr, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int error = write(fd, now.ptr, now.len) < 0 ? -errno : 0;
    close(fd);
    return error;
}

static void recover_work(CrunJob *job) {
    RecoverJob *recover = (RecoverJob *)job;
    const CrunRuntime *runtime = job->runtime;
    int error = runtime->observe ? 0 : forget_last_boot(runtime, job->arena);
    if (error) {
        crun_job_fail(job, error, runtime->run_directory);
        return;
    }
    each_id(job, crun_path(runtime, job->arena, "records/sandboxes", STR("")).ptr, load_sandbox,
            &recover->sandboxes);
    each_id(job, crun_path(runtime, job->arena, "records/containers", STR("")).ptr, load_container,
            &recover->containers);
    if (!runtime->observe && !job->error)
        sweep(recover);
}

// ---- on the loop

static void adopt_container(CrunRuntime *runtime, const Record *record) {
    CrunContainer *container = crun_container_new(runtime);
    crun_container_load(container, record);
    if (container->view.state == CONTAINER_CREATED && crun_container_was_started(container)) {
        container->started = true;
        container->view.state = CONTAINER_RUNNING;
        container->view.started_at = loop_wall(runtime->base.loop);
        if (!runtime->observe)
            crun_container_save(container);
    }
    map_put(runtime->containers, container->view.id, container);
}

static void on_conmon_exit(void *user) {
    crun_container_gone(user);
}

// Returns false when the container has ended; its end is then being looked into.
static bool watch_container(CrunContainer *container) {
    Loop *loop = container->runtime->base.loop;
    if (container->view.state == CONTAINER_EXITED)
        return true;
    if (container->conmon.pid > 0 &&
        process_watch_new(loop, container->conmon.pid, on_conmon_exit, container,
                          &container->watch) == 0 &&
        process_lives(container->conmon))
        return true;
    crun_container_gone(container);
    return false;
}

static int by_created(const void *a, const void *b) {
    int64_t left = record_int(a, "created_at"), right = record_int(b, "created_at");
    return left < right ? -1 : left > right;
}

typedef struct VersionCall {
    CrunRuntime *runtime;
    RuntimeDone done;
    void *user;
    size_t ending; // containers whose end is being looked into, and one
} VersionCall;

// "crun version 1.8.1"
static void on_version(void *user, const SpawnResult *result) {
    VersionCall *call = user;
    if (crun_idle(call->runtime)) {
        Str text = result->stdout_data;
        Str line = str_trim(str_cut(&text, '\n'));
        ptrdiff_t space = str_find_last(line, ' ');
        Str version = space < 0 ? STR("") : str_slice(line, (size_t)space + 1, line.len);
        snprintf(call->runtime->version, sizeof call->runtime->version, "%.*s", STR_ARG(version));
        call->done(call->user, 0, STR(""));
    }
    free(call);
}

static void ask_version(VersionCall *call) {
    CrunRuntime *runtime = call->runtime;
    const char *const argv[] = {runtime->crun, "--version", NULL};
    SpawnSpec spec = {.argv = argv};
    crun_busy(runtime);
    spawn_run(runtime->base.loop, &spec, STR_NONE, 4096, 10 * NSEC_PER_SEC, on_version, call);
}

static void on_ended(void *user, int error, Str message) {
    VersionCall *call = user;
    if (--call->ending == 0)
        ask_version(call);
}

static void recover_done(CrunJob *job) {
    RecoverJob *recover = (RecoverJob *)job;
    CrunRuntime *runtime = job->runtime;
    if (job->error) {
        recover->done(recover->user, job->error, job->message);
        return;
    }
    if (recover->sandboxes.n)
        qsort(recover->sandboxes.records, recover->sandboxes.n, sizeof(Record), by_created);
    if (recover->containers.n)
        qsort(recover->containers.records, recover->containers.n, sizeof(Record), by_created);
    for (size_t i = 0; i < recover->sandboxes.n; i++) {
        CrunSandbox *sandbox = crun_sandbox_new(runtime);
        crun_sandbox_load(sandbox, &recover->sandboxes.records[i]);
        map_put(runtime->sandboxes, sandbox->view.id, sandbox);
    }
    for (size_t i = 0; i < recover->containers.n; i++)
        adopt_container(runtime, &recover->containers.records[i]);
    VersionCall *call = memory_new(VersionCall);
    *call = (VersionCall){runtime, recover->done, recover->user, 1};
    // Only now, with the picture complete, may exits be told.
    MapIter it = {0};
    while (map_next(runtime->sandboxes, &it)) {
        CrunSandbox *sandbox = it.value;
        if (sandbox->view.ready)
            crun_sandbox_watch(sandbox);
    }
    it = (MapIter){0};
    while (map_next(runtime->containers, &it)) {
        CrunContainer *container = it.value;
        if (watch_container(container))
            continue;
        call->ending++;
        crun_wait(&container->exit_waiters, on_ended, call);
    }
    on_ended(call, 0, STR(""));
}

void crun_recover(Runtime *base, RuntimeDone done, void *user) {
    CrunRuntime *runtime = container_of(base, CrunRuntime, base);
    RecoverJob *recover = crun_job_new(runtime, sizeof *recover);
    recover->job.work = recover_work;
    recover->job.done = recover_done;
    recover->done = done;
    recover->user = user;
    crun_job_start(&recover->job);
}
