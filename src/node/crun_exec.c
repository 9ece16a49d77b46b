// Exec: "crun exec" as our child, its standard streams pipes of ours, or a terminal that crun hands
// us over a console socket. What crun reads and writes beside that (the process's description, its
// id, error messages) goes through memory files, so nothing of an exec is ever on disk.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "node/crun_io.h"
#include "node/crun_private.h"
#include "node/oci_json.h"
#include "node/rootfs.h"

#define PROCESS_MAX (4 * 1024 * 1024)
#define DRAIN_NS NSEC_PER_SEC // what a process that has ended left in its pipes

// The memory files, by their numbers in crun.
enum { PROCESS_FD = 3, PID_FD = 4, LOG_FD = 5 };

typedef struct ExecFiles {
    int process, pid, log;
} ExecFiles;

struct RuntimeExec {
    ListLink link;
    CrunRuntime *runtime;
    ExecDone done;
    ExecSyncDone sync_done;
    void *user;
    ExecFiles files;
    Child *child; // crun
    bool exited, drained, closing, timed_out;
    int status;
    LoopTimer timer; // sync: the timeout; else how long to wait for the pipes' ends
    LoopTask fail_task;
    int error;
    size_t max_output;           // sync
    IoEnd client[3], process[3]; // with a terminal, process[0] is both ways
    // The console socket until the terminal has come.
    char socket_path[108];
    int listener, connection, terminal;
    LoopFd *listener_watch, *connection_watch;
    uint16_t width, height;
};

// ---- memory files

static int files_open(ExecFiles *files, const Buf *process) {
    files->process = memfd_create("exec-process", MFD_CLOEXEC);
    files->pid = memfd_create("exec-pid", MFD_CLOEXEC);
    files->log = memfd_create("exec-log", MFD_CLOEXEC);
    if (files->process < 0 || files->pid < 0 || files->log < 0)
        return -errno;
    return write(files->process, process->data, process->len) == (ssize_t)process->len ? 0 : -EIO;
}

static void files_close(ExecFiles *files) {
    int *const fds[] = {&files->process, &files->pid, &files->log};
    for (size_t i = 0; i < 3; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

static Str file_text(int fd, char *buffer, size_t size) {
    ssize_t n = fd < 0 ? 0 : pread(fd, buffer, size, 0);
    return str_trim(str_of(buffer, n > 0 ? (size_t)n : 0));
}

// The process inside the container, as crun wrote it down once it had started it; 0 before.
static pid_t exec_pid(const ExecFiles *files) {
    char text[32];
    int64_t pid;
    return str_to_i64(file_text(files->pid, text, sizeof text), &pid) ? 0 : (pid_t)pid;
}

static void kill_with_group(pid_t pid) {
    pid_t group = getpgid(pid);
    if (group > 1 && group != getpgrp())
        kill(-group, SIGKILL);
    kill(pid, SIGKILL);
}

// crun cannot pass SIGKILL on, so its child, the process inside the container, is killed first,
// with what that started in its group. The pid file is not enough: crun writes it when the process
// may have been running for a while.
static void exec_kill(RuntimeExec *exec) {
    if (!exec->child)
        return;
    char path[64], text[512];
    int64_t number;
    pid_t crun = child_pid(exec->child), pid = exec_pid(&exec->files);
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)crun, (int)crun);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    Str children = str_of(text, n > 0 ? (size_t)n : 0);
    while (children.ptr) {
        Str word = str_cut(&children, ' ');
        if (str_to_i64(word, &number) == 0 && number > 1)
            kill_with_group((pid_t)number);
    }
    if (pid > 1 && process_parent(pid) == crun) // a kernel without that file
        kill_with_group(pid);
    child_kill(exec->child, SIGKILL);
}

// crun's own words when the process did not start: -ENOENT, -EACCES or -EIO.
static int start_error(const ExecFiles *files, char *buffer, size_t size, Str *ret_message) {
    Str text = file_text(files->log, buffer, size - 1);
    Str last = STR("");
    while (text.ptr) { // the last line is the error, others are warnings
        Str line = str_trim(str_cut(&text, '\n'));
        if (line.len)
            last = line;
    }
    *ret_message = last.len ? last : STR("crun exec failed");
    bool missing = str_ends_with(last, STR("No such file or directory"));
    bool denied = str_ends_with(last, STR("Permission denied"));
    return missing ? -ENOENT : denied ? -EACCES : -EIO;
}

static int exit_code_of(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// ---- what to run

// {"terminal":T,"args":[...],MEMBERS} where the members are those of the container's process.
static int write_process(Arena *arena, const CrunRuntime *runtime, Str id, const Str *argv,
                         size_t n_argv, bool tty, Buf *buf) {
    Str members;
    int bundle =
        open(crun_path(runtime, arena, "bundle", id).ptr, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (bundle < 0)
        return -errno;
    int error = rootfs_read_file(arena, bundle, "process.json", PROCESS_MAX, &members);
    close(bundle);
    if (error)
        return error;
    OciJson json = {.buf = buf};
    oci_json_object(&json, NULL);
    oci_json_bool(&json, "terminal", tty);
    oci_json_strings(&json, "args", argv, n_argv);
    buf_char(buf, ',');
    buf_str(buf, members);
    oci_json_end(&json, '}');
    return buf->failed ? -E2BIG : 0;
}

static int prepare(CrunRuntime *runtime, Str id, const Str *argv, size_t n_argv, bool tty,
                   ExecFiles *ret) {
    CrunContainer *container = map_get(runtime->containers, id);
    *ret = (ExecFiles){-1, -1, -1};
    if (!container || container->view.state != CONTAINER_RUNNING || n_argv == 0)
        return container && n_argv == 0 ? -EINVAL : -ENOENT;
    _arena_free_ Arena *arena = arena_new();
    _buf_deinit_ Buf process = BUF_INIT(PROCESS_MAX);
    int error = write_process(arena, runtime, id, argv, n_argv, tty, &process);
    return error ? error : files_open(ret, &process);
}

static const char **exec_arguments(const RuntimeExec *exec, Arena *arena, Str id) {
    size_t n;
    const char **argv = crun_arguments(exec->runtime, arena, "--log=/proc/self/fd/5", 5, &n);
    argv[n++] = "exec";
    argv[n++] = "--process=/proc/self/fd/3";
    argv[n++] = "--pid-file=/proc/self/fd/4";
    if (exec->socket_path[0])
        argv[n++] = arena_printf(arena, "--console-socket=%s", exec->socket_path).ptr;
    argv[n++] = arena_cstr(arena, id);
    return argv;
}

// ---- the end

static void close_console(RuntimeExec *exec) {
    loop_fd_free(exec->listener_watch);
    loop_fd_free(exec->connection_watch);
    exec->listener_watch = exec->connection_watch = NULL;
    int *const fds[] = {&exec->listener, &exec->connection};
    for (size_t i = 0; i < 2; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
    if (exec->socket_path[0])
        unlink(exec->socket_path);
    exec->socket_path[0] = 0;
}

static void exec_free(RuntimeExec *exec) {
    list_remove(&exec->link);
    close_console(exec);
    loop_timer_stop(&exec->timer);
    loop_task_cancel(exec->runtime->base.loop, &exec->fail_task);
    if (exec->terminal >= 0)
        close(exec->terminal);
    for (int i = 0; i < 3; i++) {
        io_abort(&exec->client[i]);
        io_abort(&exec->process[i]);
    }
    if (exec->child)
        child_abandon(exec->child);
    files_close(&exec->files);
    free(exec);
}

static void exec_finish(RuntimeExec *exec) {
    char text[4096];
    Str message = STR("");
    int error = exec->error, code = 0;
    if (error)
        message = error == -ENOENT ? STR("the container is not running")
                                   : str_from(strerrordesc_np(-error));
    else if (!exec_pid(&exec->files))
        error = start_error(&exec->files, text, sizeof text, &message);
    else
        code = exit_code_of(exec->status);
    ExecDone done = exec->done;
    void *user = exec->user;
    done(user, error, message, code);
    exec_free(exec);
}

// Over when crun has ended, its pipes are read out, and the client's streams are flushed and
// closed.
static void exec_check(void *user) {
    RuntimeExec *exec = user;
    if (exec->terminal >= 0 && io_is_closed(&exec->process[0])) {
        close(exec->terminal); // the last descriptor: the processes on it get SIGHUP
        exec->terminal = -1;
    }
    if (!exec->exited)
        return;
    for (int i = 0; i < 3 && !exec->drained; i++)
        if (!io_is_closed(&exec->process[i]) && exec->process[i].to && !exec->process[i].ended)
            return;
    if (!exec->closing) {
        exec->closing = true;
        loop_timer_stop(&exec->timer);
        for (int i = 0; i < 3; i++) {
            io_abort(&exec->process[i]);
            io_close(&exec->client[i]);
        }
    }
    for (int i = 0; i < 3; i++)
        if (!io_is_closed(&exec->client[i]))
            return;
    exec_finish(exec);
}

static void on_drain_timer(void *user) {
    RuntimeExec *exec = user;
    exec->drained = true;
    exec_check(exec);
}

static void on_exec_exit(void *user, int status) {
    RuntimeExec *exec = user;
    exec->child = NULL;
    exec->exited = true;
    exec->status = status;
    loop_timer_start(&exec->timer, DRAIN_NS);
    exec_check(exec);
}

static void on_exec_failed(void *user) {
    RuntimeExec *exec = user;
    exec->exited = exec->drained = true;
    exec_check(exec);
}

// ---- standard streams

static void io_init(RuntimeExec *exec, const ExecSpec *spec) {
    Stream *const streams[3] = {spec->stdin_stream, spec->stdout_stream, spec->stderr_stream};
    for (int i = 0; i < 3; i++) {
        exec->client[i] =
            (IoEnd){.stream = streams[i], .is_client = true, .changed = exec_check, .user = exec};
        exec->process[i] = (IoEnd){.changed = exec_check, .user = exec};
    }
}

static void io_start_clients(RuntimeExec *exec) {
    for (int i = 0; i < 3; i++)
        io_start(&exec->client[i]);
}

// One pipe for each stream that the client has. `fds` gets crun's ends.
static int open_pipes(RuntimeExec *exec, SpawnFd *fds, size_t *n_fds) {
    for (int i = 0; i < 3; i++) {
        int ends[2];
        if (!exec->client[i].stream)
            continue;
        if (pipe2(ends, O_CLOEXEC) < 0)
            return -errno;
        int ours = i == 0 ? ends[1] : ends[0];
        fds[(*n_fds)++] = (SpawnFd){i == 0 ? ends[0] : ends[1], i};
        exec->process[i].stream = stream_from_fd(exec->runtime->base.loop, ours);
        if (i == 0)
            io_link(&exec->client[i], &exec->process[i]);
        else
            io_link(&exec->process[i], &exec->client[i]);
    }
    return 0;
}

// ---- the terminal

static void set_size(RuntimeExec *exec) {
    struct winsize size = {.ws_col = exec->width, .ws_row = exec->height};
    if (exec->terminal >= 0 && (exec->width || exec->height))
        ioctl(exec->terminal, TIOCSWINSZ, &size);
}

static int receive_descriptor(int connection) {
    char data[256];
    union {
        char buffer[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {.iov_base = data, .iov_len = sizeof data};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.buffer,
                             .msg_controllen = sizeof control.buffer};
    ssize_t n = recvmsg(connection, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0)
        return -errno;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int fd = -1;
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd < 0 ? -ENODATA : fd;
}

static void on_terminal(void *user, int events) {
    RuntimeExec *exec = user;
    int fd = receive_descriptor(exec->connection);
    if (fd == -EAGAIN || fd == -EINTR)
        return;
    close_console(exec);
    if (fd < 0)
        return; // crun has ended or will
    exec->terminal = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    set_size(exec);
    exec->process[0].stream = stream_from_fd(exec->runtime->base.loop, fd);
    exec->process[0].keep_open = true;
    exec->process[0].from = &exec->client[0];
    exec->client[0].to = &exec->process[0];
    io_link(&exec->process[0], &exec->client[1]);
    io_start(&exec->process[0]);
    io_start_clients(exec);
}

static void on_console(void *user, int events) {
    RuntimeExec *exec = user;
    exec->connection = accept4(exec->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (exec->connection < 0)
        return;
    loop_fd_want(exec->listener_watch, 0);
    exec->connection_watch =
        loop_fd_new(exec->runtime->base.loop, exec->connection, on_terminal, exec);
    loop_fd_want(exec->connection_watch, LOOP_READ);
}

static int listen_console(RuntimeExec *exec) {
    char id[65];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    crun_new_id(id);
    int n = snprintf(address.sun_path, sizeof address.sun_path, "%s/tmp/exec-%.16s",
                     exec->runtime->run_directory, id);
    if (n < 0 || (size_t)n >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    exec->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (exec->listener < 0 ||
        bind(exec->listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(exec->listener, 1) < 0)
        return -errno;
    memcpy(exec->socket_path, address.sun_path, sizeof exec->socket_path);
    exec->listener_watch = loop_fd_new(exec->runtime->base.loop, exec->listener, on_console, exec);
    loop_fd_want(exec->listener_watch, LOOP_READ);
    return 0;
}

// ---- exec

static RuntimeExec *exec_new(CrunRuntime *runtime, void (*on_timer)(void *user), void *user) {
    RuntimeExec *exec = memory_new(RuntimeExec);
    *exec = (RuntimeExec){.runtime = runtime,
                          .user = user,
                          .files = {-1, -1, -1},
                          .listener = -1,
                          .connection = -1,
                          .terminal = -1};
    exec->fail_task = (LoopTask){.fn = on_exec_failed, .user = exec};
    loop_timer_init(&exec->timer, runtime->base.loop, on_timer, exec);
    list_append(&runtime->execs, &exec->link);
    return exec;
}

static int exec_spawn(RuntimeExec *exec, Str id, bool tty) {
    _arena_free_ Arena *arena = arena_new();
    SpawnFd fds[6];
    size_t n_fds = 0;
    int error = tty ? listen_console(exec) : open_pipes(exec, fds, &n_fds);
    size_t n_pipes = n_fds;
    if (!error) {
        fds[n_fds++] = (SpawnFd){exec->files.process, PROCESS_FD};
        fds[n_fds++] = (SpawnFd){exec->files.pid, PID_FD};
        fds[n_fds++] = (SpawnFd){exec->files.log, LOG_FD};
        SpawnSpec spec = {.argv = exec_arguments(exec, arena, id),
                          .fds = fds,
                          .n_fds = n_fds,
                          .new_session = true};
        error = spawn_child(exec->runtime->base.loop, &spec, on_exec_exit, exec, &exec->child);
    }
    for (size_t i = 0; i < n_pipes; i++)
        close(fds[i].source);
    return error;
}

RuntimeExec *crun_exec(Runtime *base, const ExecSpec *spec, ExecDone done, void *user) {
    CrunRuntime *runtime = container_of(base, CrunRuntime, base);
    RuntimeExec *exec = exec_new(runtime, on_drain_timer, user);
    exec->done = done;
    io_init(exec, spec);
    exec->error =
        prepare(runtime, spec->container_id, spec->argv, spec->n_argv, spec->tty, &exec->files);
    if (!exec->error)
        exec->error = exec_spawn(exec, spec->container_id, spec->tty);
    if (exec->error) {
        for (int i = 0; i < 3; i++)
            io_abort(&exec->process[i]);
        io_start_clients(exec);
        loop_post(base->loop, &exec->fail_task);
        return exec;
    }
    if (spec->tty)
        return exec; // starts once the terminal is there
    for (int i = 0; i < 3; i++)
        io_start(&exec->process[i]);
    io_start_clients(exec);
    return exec;
}

void crun_exec_resize(RuntimeExec *exec, uint16_t width, uint16_t height) {
    exec->width = width;
    exec->height = height;
    set_size(exec);
}

void crun_exec_cancel(RuntimeExec *exec) {
    exec_kill(exec);
    exec_free(exec);
}

void crun_execs_free(CrunRuntime *runtime) {
    RuntimeExec *exec;
    list_for_each(exec, &runtime->execs, link) {
        if (exec->sync_done) // our caller is gone, and nobody would enforce the timeout
            exec_kill(exec);
        exec_free(exec);
    }
}

// ---- exec_sync

static void on_sync_timeout(void *user) {
    RuntimeExec *exec = user;
    exec->timed_out = true;
    exec_kill(exec);
}

static void on_sync_done(void *user, const SpawnResult *result) {
    RuntimeExec *exec = user;
    char text[4096];
    _buf_deinit_ Buf output = BUF_INIT(2 * exec->max_output);
    Str message = STR("");
    int error = result->error, code = 0;
    exec->child = NULL;
    // As a kubelet puts them together: first all of stdout, then all of stderr.
    buf_str(&output, result->stdout_data);
    buf_str(&output, result->stderr_data);
    if (exec->timed_out)
        error = -ETIMEDOUT;
    else if (!error && !exec_pid(&exec->files))
        error = start_error(&exec->files, text, sizeof text, &message);
    else if (!error)
        code = exit_code_of(result->status);
    ExecSyncDone done = exec->sync_done;
    void *done_user = exec->user;
    Str said = message.len ? message : buf_view(&output);
    if (said.len > exec->max_output)
        said.len = exec->max_output;
    done(done_user, error, code, said);
    exec_free(exec);
}

static void on_sync_failed(void *user) {
    RuntimeExec *exec = user;
    ExecSyncDone done = exec->sync_done;
    done(exec->user, exec->error, 0,
         exec->error == -ENOENT ? STR("the container is not running")
                                : str_from(strerrordesc_np(-exec->error)));
    exec_free(exec);
}

void crun_exec_sync(Runtime *base, Str id, const Str *argv, size_t n_argv, int64_t timeout_ns,
                    size_t max_output, ExecSyncDone done, void *user) {
    CrunRuntime *runtime = container_of(base, CrunRuntime, base);
    RuntimeExec *exec = exec_new(runtime, on_sync_timeout, user);
    exec->sync_done = done;
    exec->max_output = max_output;
    exec->error = prepare(runtime, id, argv, n_argv, false, &exec->files);
    if (exec->error) {
        exec->fail_task.fn = on_sync_failed;
        loop_post(base->loop, &exec->fail_task);
        return;
    }
    _arena_free_ Arena *arena = arena_new();
    SpawnFd fds[] = {
        {exec->files.process, PROCESS_FD}, {exec->files.pid, PID_FD}, {exec->files.log, LOG_FD}};
    SpawnSpec spec = {
        .argv = exec_arguments(exec, arena, id), .fds = fds, .n_fds = 3, .new_session = true};
    if (timeout_ns > 0)
        loop_timer_start(&exec->timer, timeout_ns);
    exec->child = spawn_run(base->loop, &spec, STR_NONE, max_output, 0, on_sync_done, exec);
}
