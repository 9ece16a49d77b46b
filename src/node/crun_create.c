// Making a container: mount its root, find its user, write the OCI configuration (on a pool
// thread), then conmon runs "crun create" and tells the result on its sync pipe.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"
#include "node/conmon.h"
#include "node/crun_private.h"
#include "node/image_user.h"
#include "node/rootfs.h"
#include "schema/value.h"

#define CONFIG_MAX (4 * 1024 * 1024)
#define SYNC_MAX (64 * 1024)

typedef struct ContainerCreation {
    ContainerDone done;
    void *user;
    int sync_fd, errors_fd; // conmon's sync pipe; a memory file for its stderr
    LoopFd *watch;
    Buf sync;
    LoopTimer timeout;
    bool answered;
} ContainerCreation;

typedef struct CreateJob {
    CrunJob job;
    CrunContainer *container; // not for the pool thread
    ContainerSpec *spec;      // a copy
    OciInput input;
    ImageUser user;
    Str id;
    const char *root, *bundle, *layer;
} CreateJob;

void crun_creation_free(ContainerCreation *creation) {
    if (!creation)
        return;
    loop_fd_free(creation->watch);
    loop_timer_stop(&creation->timeout);
    if (creation->sync_fd >= 0)
        close(creation->sync_fd);
    if (creation->errors_fd >= 0)
        close(creation->errors_fd);
    buf_deinit(&creation->sync);
    free(creation);
}

// ---- the specification outlives the call

static const Str *copy_strings(Arena *arena, const Str *strings, size_t n) {
    if (!strings)
        return NULL;
    Str *copy = arena_array_of(arena, Str, n + 1);
    for (size_t i = 0; i < n; i++)
        copy[i] = arena_str(arena, strings[i]);
    return copy;
}

static ContainerSpec *copy_spec(Arena *arena, const ContainerSpec *spec) {
    ContainerSpec *copy = arena_new_of(arena, ContainerSpec);
    *copy = *spec;
    Str *const strings[] = {&copy->sandbox_id,
                            &copy->name,
                            &copy->working_directory,
                            &copy->user,
                            &copy->log_path,
                            &copy->seccomp,
                            &copy->target_container_id,
                            &copy->termination_message_host_path,
                            &copy->termination_message_path};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        *strings[i] = arena_str(arena, *strings[i]);
    copy->layers = copy_strings(arena, spec->layers, spec->n_layers);
    copy->argv = copy_strings(arena, spec->argv, spec->n_argv);
    copy->capabilities_add = copy_strings(arena, spec->capabilities_add, spec->n_capabilities_add);
    copy->capabilities_drop =
        copy_strings(arena, spec->capabilities_drop, spec->n_capabilities_drop);
    copy->masked_paths = copy_strings(arena, spec->masked_paths, spec->n_masked_paths);
    copy->read_only_paths = copy_strings(arena, spec->read_only_paths, spec->n_read_only_paths);
    RuntimePair *env = arena_array_of(arena, RuntimePair, spec->n_env + 1);
    for (size_t i = 0; i < spec->n_env; i++)
        env[i] = (RuntimePair){arena_str(arena, spec->env[i].name),
                               arena_str(arena, spec->env[i].value)};
    copy->env = env;
    ContainerMount *mounts = arena_array_of(arena, ContainerMount, spec->n_mounts + 1);
    for (size_t i = 0; i < spec->n_mounts; i++) {
        mounts[i] = spec->mounts[i];
        mounts[i].source = arena_str(arena, spec->mounts[i].source);
        mounts[i].target = arena_str(arena, spec->mounts[i].target);
    }
    copy->mounts = mounts;
    int64_t *groups = arena_array_of(arena, int64_t, spec->n_supplemental_groups + 1);
    if (spec->n_supplemental_groups)
        memcpy(groups, spec->supplemental_groups, sizeof *groups * spec->n_supplemental_groups);
    copy->supplemental_groups = groups;
    return copy;
}

// ---- on the pool thread

static int write_file(const char *path, const Buf *buf) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    size_t at = 0;
    ssize_t n = 0;
    while (at < buf->len && (n = write(fd, buf->data + at, buf->len - at)) > 0)
        at += (size_t)n;
    int error = n < 0 ? -errno : 0;
    close(fd);
    return error;
}

static void read_profile(CreateJob *create) {
    Str name = create->spec->seccomp;
    if (!str_starts_with(name, STR("Localhost/")))
        return;
    Arena *arena = create->job.arena;
    const char *path = arena_cstr(arena, str_slice(name, 10, name.len));
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    Str text = STR("");
    int error = root < 0 ? -errno : rootfs_read_file(arena, root, path, 1024 * 1024, &text);
    if (root >= 0)
        close(root);
    Value *value = NULL;
    ParseError parse_error;
    if (error)
        crun_job_fail(&create->job, error, "cannot load the seccomp profile");
    else if (value_parse_json(arena, text, NULL, &value, &parse_error) ||
             value->kind != VALUE_OBJECT)
        crun_job_fail(&create->job, -EINVAL, "cannot parse the seccomp profile");
    create->input.seccomp = text;
}

static void find_user(CreateJob *create, int root) {
    const ContainerSpec *spec = create->spec;
    ImageUserQuery query = {
        .uid = spec->uid,
        .gid = spec->gid,
        .user = spec->user,
        .supplemental_groups = spec->supplemental_groups,
        .n_supplemental_groups = spec->n_supplemental_groups,
        .strict_groups = spec->strict_supplemental_groups,
    };
    create->job.error =
        image_user_resolve(create->job.arena, root, &query, &create->user, &create->job.message);
    if (create->job.error)
        return;
    int error = rootfs_make_directory(root, spec->working_directory);
    if (error && error != -EROFS)
        crun_job_fail(&create->job, error,
                      arena_printf(create->job.arena, "working directory %.*s",
                                   STR_ARG(spec->working_directory))
                          .ptr);
}

static void write_configuration(CreateJob *create) {
    CrunJob *job = &create->job;
    _buf_deinit_ Buf config = BUF_INIT(CONFIG_MAX);
    _buf_deinit_ Buf process = BUF_INIT(CONFIG_MAX);
    job->error = oci_spec_write(job->arena, &create->input, &config, &job->message);
    if (!job->error)
        job->error = oci_process_write(job->arena, &create->input, &process, &job->message);
    if (job->error)
        return;
    Str path = arena_printf(job->arena, "%s/config.json", create->bundle);
    int error = write_file(path.ptr, &config);
    if (!error)
        error =
            write_file(arena_printf(job->arena, "%s/process.json", create->bundle).ptr, &process);
    if (error)
        crun_job_fail(job, error, path.ptr);
}

static void make_log_directory(CrunJob *job, Str log_path) {
    ptrdiff_t slash = str_find_last(log_path, '/');
    if (slash <= 0)
        return;
    int error =
        make_directories(arena_cstr(job->arena, str_slice(log_path, 0, (size_t)slash)), 0755);
    if (error)
        crun_job_fail(job, error, "cannot make the log directory");
}

static void create_work(CrunJob *job) {
    CreateJob *create = (CreateJob *)job;
    const ContainerSpec *spec = create->spec;
    make_log_directory(job, spec->log_path);
    int error = make_directories(create->bundle, 0700);
    if (error && !job->error)
        crun_job_fail(job, error, create->bundle);
    if (!job->error)
        read_profile(create);
    if (!job->error)
        job->error = rootfs_mount(job->arena, spec->layers, spec->n_layers, create->layer,
                                  create->root, &job->message);
    if (job->error)
        return;
    int root = open(create->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        crun_job_fail(job, -errno, create->root);
        return;
    }
    find_user(create, root);
    close(root);
    create->input.user = &create->user;
    if (!job->error)
        write_configuration(create);
}

// ---- the end, good or bad

typedef struct FailJob {
    CrunJob job;
    CrunContainer *container;
    Str id, cgroup;
    int create_error;
} FailJob;

static void fail_work(CrunJob *job) {
    FailJob *fail = (FailJob *)job;
    (void)crun_container_clean(job->runtime, job->arena, fail->id, fail->cgroup);
}

static void fail_done(CrunJob *job) {
    FailJob *fail = (FailJob *)job;
    ContainerCreation *creation = fail->container->creation;
    map_remove(job->runtime->containers, fail->container->view.id);
    creation->done(creation->user, fail->create_error, job->message, NULL);
    crun_container_free(fail->container);
}

static void create_fail(CrunContainer *container, int error, Str message) {
    if (container->creation->answered)
        return;
    container->creation->answered = true;
    loop_timer_stop(&container->creation->timeout);
    FailJob *fail = crun_job_new(container->runtime, sizeof *fail);
    fail->job.work = fail_work;
    fail->job.done = fail_done;
    fail->job.message = arena_str(fail->job.arena, message);
    fail->container = container;
    fail->id = arena_str(fail->job.arena, container->view.id);
    fail->cgroup = arena_str(fail->job.arena, container->view.cgroup);
    fail->create_error = error;
    crun_job_start(&fail->job);
}

static void create_succeed(CrunContainer *container, pid_t pid) {
    CrunSandbox *sandbox = map_get(container->runtime->sandboxes, container->view.sandbox_id);
    if (process_identify(pid, &container->process)) {
        create_fail(container, -ESRCH, STR("the container ended before it was started"));
        return;
    }
    if (!sandbox || sandbox->stopping || !sandbox->view.ready) {
        process_signal(container->process, SIGKILL);
        create_fail(container, -ECANCELED, STR("the sandbox is gone"));
        return;
    }
    container->creating = false;
    container->view.pid = pid;
    container->view.state = CONTAINER_CREATED;
    crun_container_save(container);
    ContainerCreation *creation = container->creation;
    container->creation = NULL;
    creation->done(creation->user, 0, STR(""), &container->view);
    crun_creation_free(creation);
}

// What conmon said on stderr before it detached from it, e.g. that it doesn't know an option.
static Str conmon_errors(ContainerCreation *creation, char *text, size_t size) {
    ssize_t n = pread(creation->errors_fd, text, size, 0);
    Str said = str_trim(str_of(text, n > 0 ? (size_t)n : 0));
    return said.len ? said : STR("conmon ended without a word");
}

static void on_sync(void *user, int events) {
    CrunContainer *container = user;
    ContainerCreation *creation = container->creation;
    char text[4096];
    ssize_t n = read(creation->sync_fd, text, sizeof text);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        buf_append(&creation->sync, text, (size_t)n);
    Str rest = buf_view(&creation->sync);
    bool complete = str_find(rest, '\n') >= 0;
    if (!complete && n > 0 && !creation->sync.failed)
        return;
    loop_fd_want(creation->watch, 0);
    _arena_free_ Arena *arena = arena_new();
    Str message = STR("");
    int64_t pid = 0;
    if (!complete || conmon_parse_sync(arena, str_cut(&rest, '\n'), &pid, &message))
        create_fail(container, -EIO, conmon_errors(creation, text, sizeof text));
    else if (pid <= 0)
        create_fail(container, -EIO, message.len ? message : STR("crun create failed"));
    else
        create_succeed(container, (pid_t)pid);
}

static void on_conmon_exit(void *user, int status) {
    CrunContainer *container = user;
    container->child = NULL;
    if (!container->creating)
        crun_container_gone(container);
    else if (!container->creation->answered)
        on_sync(container, 0); // its end of the pipe is closed
}

// crun hangs: it goes, with conmon, whose session it is in.
static void on_timeout(void *user) {
    CrunContainer *container = user;
    _arena_free_ Arena *arena = arena_new();
    if (container->child)
        kill(-child_pid(container->child), SIGKILL);
    create_fail(container, -ETIMEDOUT,
                arena_printf(arena, "crun create was not done after %lld s",
                             (long long)(container->runtime->create_timeout / NSEC_PER_SEC)));
}

static int spawn_conmon(CreateJob *create) {
    CrunContainer *container = create->container;
    CrunRuntime *runtime = create->job.runtime;
    ContainerCreation *creation = container->creation;
    Arena *arena = create->job.arena;
    const ContainerSpec *spec = create->spec;
    ConmonSpec conmon = {
        .conmon = runtime->conmon,
        .crun = runtime->crun,
        .crun_root = arena_printf(arena, "%s/crun", runtime->run_directory).ptr,
        .id = create->id.ptr,
        .bundle = create->bundle,
        .log_path = spec->log_path.ptr,
        .exit_directory = arena_printf(arena, "%s/exits", runtime->run_directory).ptr,
        .tty = spec->tty,
        .stdin_open = spec->stdin_open,
        .stdin_once = spec->stdin_once,
    };
    const char *const env[] = {
        "_OCI_SYNCPIPE=3", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        // conmon's console socket is made there; its path must be short.
        arena_printf(arena, "TMPDIR=%s/tmp", runtime->run_directory).ptr, NULL};
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    creation->sync_fd = fds[0];
    creation->errors_fd = memfd_create("conmon-errors", MFD_CLOEXEC);
    SpawnFd targets[] = {{creation->errors_fd, 2}, {fds[1], 3}};
    SpawnSpec child = {.argv = conmon_arguments(arena, &conmon),
                       .envp = env,
                       .directory = create->bundle,
                       .fds = targets,
                       .n_fds = 2,
                       .new_session = true};
    int error =
        creation->errors_fd < 0 ? -errno
        : fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0
            ? -errno
            : spawn_child(runtime->base.loop, &child, on_conmon_exit, container, &container->child);
    close(fds[1]);
    if (error)
        return error;
    error = process_identify(child_pid(container->child), &container->conmon);
    if (error)
        return error;
    crun_container_save(container); // recover() clears up what is half made
    creation->watch = loop_fd_new(runtime->base.loop, creation->sync_fd, on_sync, container);
    loop_fd_want(creation->watch, LOOP_READ);
    loop_timer_init(&creation->timeout, runtime->base.loop, on_timeout, container);
    loop_timer_start(&creation->timeout, runtime->create_timeout);
    return 0;
}

static void create_prepared(CrunJob *job) {
    CreateJob *create = (CreateJob *)job;
    int error = job->error;
    if (!error && (error = spawn_conmon(create)))
        crun_job_fail(job, error, "cannot start conmon");
    if (error)
        create_fail(create->container, error, job->message);
}

// ---- the call

// 0, or an error with *ret_message.
static int fill_input(CreateJob *create, CrunSandbox *sandbox, Str *ret_message) {
    const ContainerSpec *spec = create->spec;
    CrunRuntime *runtime = create->job.runtime;
    Arena *arena = create->job.arena;
    OciInput *input = &create->input;
    *input = (OciInput){
        .host = &runtime->host,
        .spec = spec,
        .root = str_from(create->root),
        .hostname = arena_str(arena, sandbox->hostname),
        .cgroup =
            arena_printf(arena, "%.*s/%.*s", STR_ARG(sandbox->view.cgroup), STR_ARG(create->id)),
        .shm = sandbox->host_ipc ? STR("/dev/shm")
                                 : crun_path(runtime, arena, "shm", sandbox->view.id),
        .network_namespace =
            sandbox->host_network ? STR("") : crun_namespace(sandbox, arena, "net"),
        .uts_namespace = sandbox->host_network ? STR("") : crun_namespace(sandbox, arena, "uts"),
        .ipc_namespace = sandbox->host_ipc ? STR("") : crun_namespace(sandbox, arena, "ipc"),
        .pid_namespace = sandbox->host_pid               ? STR("")
                         : spec->share_process_namespace ? crun_namespace(sandbox, arena, "pid")
                                                         : STR_NONE,
    };
    if (!spec->target_container_id.len || sandbox->host_pid || spec->share_process_namespace)
        return 0;
    CrunContainer *target = map_get(runtime->containers, spec->target_container_id);
    if (!target || target->view.state != CONTAINER_RUNNING || !process_lives(target->process)) {
        *ret_message = STR("the target container does not run");
        return -ENOENT;
    }
    input->pid_namespace = arena_printf(arena, "/proc/%d/ns/pid", (int)target->process.pid);
    return 0;
}

static CrunContainer *new_container(CrunRuntime *runtime, const ContainerSpec *spec,
                                    const CrunSandbox *sandbox) {
    CrunContainer *container = crun_container_new(runtime);
    Arena *arena = container->arena;
    char id[65];
    crun_new_id(id);
    container->creating = true;
    container->stop_signal = spec->stop_signal;
    container->tty = spec->tty;
    container->stdin_open = spec->stdin_open;
    container->stdin_once = spec->stdin_once;
    container->view = (RuntimeContainer){
        .id = arena_str(arena, str_from(id)),
        .sandbox_id = arena_str(arena, spec->sandbox_id),
        .pod_uid = arena_str(arena, sandbox ? sandbox->view.pod_uid : STR("")),
        .name = arena_str(arena, spec->name),
        .attempt = spec->attempt,
        .created_at = loop_wall(runtime->base.loop),
        .log_path = arena_str(arena, spec->log_path),
        .cgroup =
            arena_printf(arena, "%.*s/%s", STR_ARG(sandbox ? sandbox->view.cgroup : STR("")), id),
    };
    map_put(runtime->containers, container->view.id, container);
    return container;
}

void crun_create_container(Runtime *base, const ContainerSpec *spec, ContainerDone done,
                           void *user) {
    CrunRuntime *runtime = container_of(base, CrunRuntime, base);
    CrunSandbox *sandbox = map_get(runtime->sandboxes, spec->sandbox_id);
    CrunContainer *container = new_container(runtime, spec, sandbox);
    ContainerCreation *creation = container->creation = memory_new(ContainerCreation);
    *creation = (ContainerCreation){
        .done = done, .user = user, .sync_fd = -1, .errors_fd = -1, .sync = BUF_INIT(SYNC_MAX)};
    CreateJob *create = crun_job_new(runtime, sizeof *create);
    Arena *arena = create->job.arena;
    create->job.work = create_work;
    create->job.done = create_prepared;
    create->container = container;
    create->id = arena_str(arena, container->view.id);
    create->spec = copy_spec(arena, spec);
    create->root = crun_path(runtime, arena, "rootfs", create->id).ptr;
    create->bundle = crun_path(runtime, arena, "bundle", create->id).ptr;
    create->layer = crun_layer_path(runtime, arena, create->id).ptr;
    Str message = STR("the sandbox does not run");
    int error = sandbox && sandbox->view.ready && !sandbox->stopping
                    ? fill_input(create, sandbox, &message)
                    : -ENOENT;
    if (error) {
        create_fail(container, error, message);
        arena_free(arena);
        return;
    }
    crun_job_start(&create->job);
}
