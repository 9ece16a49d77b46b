#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/rand.h"
#include "node/crun_private.h"
#include "node/rootfs.h"

#define CREATE_TIMEOUT (120 * NSEC_PER_SEC) // a kubelet's runtimeRequestTimeout

// ---- paths and ids

Str crun_path(const CrunRuntime *runtime, Arena *arena, const char *kind, Str id) {
    return arena_printf(arena, "%s/%s/%.*s", runtime->run_directory, kind, STR_ARG(id));
}

Str crun_layer_path(const CrunRuntime *runtime, Arena *arena, Str id) {
    return arena_printf(arena, "%s/%.*s", runtime->state_directory, STR_ARG(id));
}

void crun_new_id(char id[65]) {
    unsigned char bytes[32];
    rand_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
}

const char **crun_arguments(const CrunRuntime *runtime, Arena *arena, const char *verb, size_t more,
                            size_t *ret_n) {
    const char **argv = arena_array_of(arena, const char *, 6 + more);
    size_t n = 0;
    argv[n++] = runtime->crun;
    argv[n++] = "--cgroup-manager=cgroupfs";
    argv[n++] = arena_printf(arena, "--root=%s/crun", runtime->run_directory).ptr;
    argv[n++] = verb;
    *ret_n = n;
    return argv;
}

// ---- jobs and answers

static void crun_destroy(CrunRuntime *runtime) {
    cgroup_host_free(runtime->cgroups);
    arena_free(runtime->arena);
    free(runtime);
}

void crun_busy(CrunRuntime *runtime) {
    runtime->busy++;
}

bool crun_idle(CrunRuntime *runtime) {
    runtime->busy--;
    if (!runtime->freed)
        return true;
    if (runtime->busy == 0)
        crun_destroy(runtime);
    return false;
}

void *crun_job_new(CrunRuntime *runtime, size_t size) {
    Arena *arena = arena_new();
    CrunJob *job = arena_zalloc(arena, size);
    job->runtime = runtime;
    job->arena = arena;
    job->message = STR("");
    return job;
}

static void job_work(void *user) {
    CrunJob *job = user;
    job->work(job);
}

static void job_done(void *user) {
    CrunJob *job = user;
    if (crun_idle(job->runtime))
        job->done(job);
    arena_free(job->arena);
}

void crun_job_start(CrunJob *job) {
    crun_busy(job->runtime);
    loop_work(job->runtime->base.loop, job_work, job_done, job);
}

void crun_job_fail(CrunJob *job, int error, const char *context) {
    job->error = error;
    job->message = arena_printf(job->arena, "%s: %s", context, strerrordesc_np(-error));
}

typedef struct Reply {
    CrunJob job; // its arena and runtime
    RuntimeDone done;
    void *user;
} Reply;

static void reply_now(void *user) {
    Reply *reply = user;
    if (crun_idle(reply->job.runtime))
        reply->done(reply->user, reply->job.error, reply->job.message);
    arena_free(reply->job.arena);
}

void crun_reply(CrunRuntime *runtime, RuntimeDone done, void *user, int error, Str message) {
    Reply *reply = crun_job_new(runtime, sizeof *reply);
    reply->done = done;
    reply->user = user;
    reply->job.error = error;
    reply->job.message = arena_str(reply->job.arena, message);
    crun_busy(runtime);
    loop_call(runtime->base.loop, reply_now, reply);
}

typedef struct Waiter {
    ListLink link;
    RuntimeDone done;
    void *user;
} Waiter;

void crun_wait(List *waiters, RuntimeDone done, void *user) {
    Waiter *waiter = memory_new(Waiter);
    waiter->done = done;
    waiter->user = user;
    list_append(waiters, &waiter->link);
}

void crun_tell(List *waiters, int error, Str message) {
    List now;
    Waiter *waiter;
    list_init(&now);
    list_for_each(waiter, waiters, link) { // who comes meanwhile waits for the next time
        list_remove(&waiter->link);
        list_append(&now, &waiter->link);
    }
    list_for_each(waiter, &now, link) {
        list_remove(&waiter->link);
        waiter->done(waiter->user, error, message);
        free(waiter);
    }
}

void crun_forget(List *waiters) {
    Waiter *waiter;
    list_for_each(waiter, waiters, link) {
        list_remove(&waiter->link);
        free(waiter);
    }
}

// ---- the object

static void crun_each_sandbox(Runtime *base, void (*visit)(void *user, const Sandbox *sandbox),
                              void *user) {
    CrunRuntime *runtime = container_of(base, CrunRuntime, base);
    MapIter it = {0};
    while (map_next(runtime->sandboxes, &it)) {
        CrunSandbox *sandbox = it.value;
        if (!sandbox->launch)
            visit(user, &sandbox->view);
    }
}

static void crun_each_container(Runtime *base,
                                void (*visit)(void *user, const RuntimeContainer *container),
                                void *user) {
    CrunRuntime *runtime = container_of(base, CrunRuntime, base);
    MapIter it = {0};
    while (map_next(runtime->containers, &it)) {
        CrunContainer *container = it.value;
        if (!container->creating)
            visit(user, &container->view);
    }
}

static Str crun_name(Runtime *base) {
    return STR("crun");
}

static Str crun_version(Runtime *base) {
    return str_from(container_of(base, CrunRuntime, base)->version);
}

static void crun_free(Runtime *base) {
    CrunRuntime *runtime = container_of(base, CrunRuntime, base);
    crun_execs_free(runtime);
    crun_attaches_free(runtime);
    MapIter it = {0};
    while (map_next(runtime->containers, &it))
        crun_container_free(it.value);
    it = (MapIter){0};
    while (map_next(runtime->sandboxes, &it))
        crun_sandbox_free(it.value);
    map_free(runtime->containers);
    map_free(runtime->sandboxes);
    runtime->freed = true;
    if (runtime->busy == 0)
        crun_destroy(runtime);
}

static const RuntimeOps crun_ops = {
    .run_sandbox = crun_run_sandbox,
    .stop_sandbox = crun_stop_sandbox,
    .remove_sandbox = crun_remove_sandbox,
    .create_container = crun_create_container,
    .start_container = crun_start_container,
    .stop_container = crun_stop_container,
    .remove_container = crun_remove_container,
    .exec = crun_exec,
    .exec_resize = crun_exec_resize,
    .exec_cancel = crun_exec_cancel,
    .exec_sync = crun_exec_sync,
    .attach = crun_attach,
    .attach_resize = crun_attach_resize,
    .reopen_log = crun_reopen_log,
    .recover = crun_recover,
    .each_sandbox = crun_each_sandbox,
    .each_container = crun_each_container,
    .name = crun_name,
    .version = crun_version,
    .free = crun_free,
};

// In PATH (and the directories of system programs), or as given. NULL when it is not there.
static const char *find_program(Arena *arena, const char *given, const char *name) {
    if (given)
        return access(given, X_OK) == 0 ? arena_cstr(arena, str_from(given)) : NULL;
    const char *path = getenv("PATH");
    Str rest = arena_printf(
        arena, "%s:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", path ? path : "");
    while (rest.ptr) {
        Str directory = str_cut(&rest, ':');
        if (directory.len == 0 || directory.ptr[0] != '/')
            continue;
        const char *full = arena_printf(arena, "%.*s/%s", STR_ARG(directory), name).ptr;
        if (access(full, X_OK) == 0)
            return full;
    }
    return NULL;
}

// Beside our own binary, or where "make install" puts it.
static const char *find_pause(Arena *arena, const char *given) {
    if (given)
        return find_program(arena, given, "");
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    Str directory = n > 0 ? str_of(self, (size_t)n) : STR("/");
    directory.len = (size_t)str_find_last(directory, '/');
    const char *const places[] = {"", "/../lib/seapod"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        Str path = arena_printf(arena, "%.*s%s/seapod-pause", STR_ARG(directory), places[i]);
        if (access(path.ptr, X_OK) == 0)
            return path.ptr;
    }
    return NULL;
}

static int new_fail(CrunRuntime *runtime, int error, Str message, char **ret_message) {
    *ret_message = strdup(message.ptr);
    crun_destroy(runtime);
    return error;
}

static int make_layout(CrunRuntime *runtime, Str *ret_failed) {
    static const char *const kinds[] = {"",
                                        "records",
                                        "records/sandboxes",
                                        "records/containers",
                                        "ns",
                                        "shm",
                                        "rootfs",
                                        "bundle",
                                        "exits",
                                        "crun",
                                        "tmp"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        *ret_failed = crun_path(runtime, runtime->arena, kinds[i], STR(""));
        int error = make_directories(ret_failed->ptr, 0700);
        if (error)
            return error;
    }
    *ret_failed = str_from(runtime->state_directory);
    return make_directories(runtime->state_directory, 0700);
}

int runtime_crun_new(const CrunConfig *config, Runtime **ret, char **ret_message) {
    CrunRuntime *runtime = memory_new(CrunRuntime);
    Arena *arena = runtime->arena = arena_new();
    runtime->base = (Runtime){.ops = &crun_ops, .loop = config->loop};
    runtime->observe = config->observe;
    runtime->create_timeout =
        config->create_timeout_ns ? config->create_timeout_ns : CREATE_TIMEOUT;
    runtime->state_directory = arena_cstr(arena, str_from(config->state_directory));
    runtime->run_directory = arena_cstr(arena, str_from(config->run_directory));
    list_init(&runtime->execs);
    list_init(&runtime->attaches);
    *ret_message = NULL;

    runtime->crun = find_program(arena, config->crun, "crun");
    if (!runtime->crun)
        return new_fail(runtime, -ENOENT, STR("crun not found: apt install crun"), ret_message);
    runtime->conmon = find_program(arena, config->conmon, "conmon");
    if (!runtime->conmon)
        return new_fail(runtime, -ENOENT, STR("conmon not found: apt install conmon"), ret_message);
    runtime->pause = find_pause(arena, config->pause);
    if (!runtime->pause)
        return new_fail(runtime, -ENOENT, STR("seapod-pause not found beside seapod"), ret_message);
    int error = cgroup_host_new(&runtime->cgroups);
    if (error)
        return new_fail(runtime, error, STR("no cgroup hierarchy is mounted"), ret_message);
    oci_host_init(&runtime->host, cgroup_version(runtime->cgroups));
    Str failed = STR("");
    if (!runtime->observe)
        error = make_layout(runtime, &failed);
    if (error)
        return new_fail(
            runtime, error,
            arena_printf(arena, "cannot make %.*s: %s", STR_ARG(failed), strerrordesc_np(-error)),
            ret_message);
    runtime->sandboxes = map_new();
    runtime->containers = map_new();
    *ret = &runtime->base;
    return 0;
}
