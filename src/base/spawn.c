#include "base/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/spawn_private.h"

struct Child {
    Loop *loop;
    pid_t pid;
    int pidfd;
    LoopFd *watch;
    void (*on_exit)(void *user, int status);
    void *user;
    void (*on_abandon)(void *user); // spawn_run's
};

// Descriptors of ours that would be overwritten in the child before their turn come move out of the
// way, above all targets, for the time of the call.
typedef struct Plan {
    SpawnFd *fds;
    size_t n_fds;
    int first_free; // above all targets
} Plan;

static void plan_deinit(Plan *plan, const SpawnSpec *spec) {
    for (size_t i = 0; i < plan->n_fds; i++) {
        if (plan->fds[i].source != spec->fds[i].source)
            close(plan->fds[i].source);
    }
    free(plan->fds);
}

static int plan_init(Plan *plan, const SpawnSpec *spec) {
    *plan = (Plan){.first_free = 3};
    plan->fds = memory_resize_array(NULL, spec->n_fds, sizeof *plan->fds);
    for (size_t i = 0; i < spec->n_fds; i++) {
        if (spec->fds[i].target >= plan->first_free)
            plan->first_free = spec->fds[i].target + 1;
    }
    for (size_t i = 0; i < spec->n_fds; i++) {
        SpawnFd fd = spec->fds[i];
        if (fd.source < plan->first_free)
            fd.source = fcntl(fd.source, F_DUPFD_CLOEXEC, plan->first_free);
        if (fd.source < 0) {
            int r = -errno;
            plan_deinit(plan, spec);
            return r;
        }
        plan->fds[plan->n_fds++] = fd;
    }
    return 0;
}

static bool is_target(const Plan *plan, int number) {
    for (size_t i = 0; i < plan->n_fds; i++) {
        if (plan->fds[i].target == number)
            return true;
    }
    return false;
}

static int add_fd_actions(posix_spawn_file_actions_t *actions, const Plan *plan) {
    int r = 0;
    for (int number = 0; number < plan->first_free && r == 0; number++) {
        if (is_target(plan, number))
            continue;
        r = number < 3 ? posix_spawn_file_actions_addopen(actions, number, "/dev/null", O_RDWR, 0)
                       : posix_spawn_file_actions_addclose(actions, number);
    }
    for (size_t i = 0; i < plan->n_fds && r == 0; i++)
        r = posix_spawn_file_actions_adddup2(actions, plan->fds[i].source, plan->fds[i].target);
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(actions, plan->first_free);
    return r;
}

// glibc's posix_spawn is CLONE_VM | CLONE_VFORK, so the size of the daemon does not matter.
static int start(const SpawnSpec *spec, const Plan *plan, pid_t *ret_pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all, none;
    short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes,
                             spec->new_session ? (short)(flags | POSIX_SPAWN_SETSID) : flags);
    int r = add_fd_actions(&actions, plan);
    if (r == 0 && spec->directory)
        r = posix_spawn_file_actions_addchdir_np(&actions, spec->directory);
    if (r == 0)
        r = posix_spawnp(ret_pid, spec->argv[0], &actions, &attributes, (char **)spec->argv,
                         spec->envp ? (char **)spec->envp : environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

static void child_free(Child *child) {
    loop_fd_free(child->watch);
    close(child->pidfd);
    free(child);
}

static void on_pidfd(void *user, int events) {
    Child *child = user;
    int status;
    pid_t pid = waitpid(child->pid, &status, WNOHANG);
    if (pid == 0)
        return;
    if (pid < 0) // somebody else reaped it
        status = 0xff00;
    if (child->on_exit)
        child->on_exit(child->user, status);
    child_free(child);
}

int spawn_child(Loop *loop, const SpawnSpec *spec, void (*on_exit)(void *user, int status),
                void *user, Child **ret_child) {
    assert(spec->argv && spec->argv[0]);
    Plan plan;
    pid_t pid;
    int r = plan_init(&plan, spec);
    if (r < 0)
        return r;
    r = start(spec, &plan, &pid);
    plan_deinit(&plan, spec);
    if (r < 0)
        return r;
    // Until we wait for it the number stays its own, so this pidfd can't be another's.
    Child *child = memory_new(Child);
    *child = (Child){.loop = loop, .pid = pid, .on_exit = on_exit, .user = user};
    child->pidfd = pidfd_open(pid, 0);
    child->watch = child->pidfd < 0 ? NULL : loop_fd_new(loop, child->pidfd, on_pidfd, child);
    if (!child->watch) {
        r = -errno;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        if (child->pidfd >= 0)
            close(child->pidfd);
        free(child);
        return r;
    }
    loop_fd_want(child->watch, LOOP_READ);
    *ret_child = child;
    return 0;
}

pid_t child_pid(const Child *child) {
    return child->pid;
}

int child_kill(Child *child, int number) {
    return pidfd_send_signal(child->pidfd, number, NULL, 0) < 0 ? -errno : 0;
}

void child_on_abandon(Child *child, void (*fn)(void *user)) {
    child->on_abandon = fn;
}

void child_abandon(Child *child) {
    if (child->on_abandon)
        child->on_abandon(child->user);
    else
        child->on_exit = NULL;
}

// Other people's processes

struct ProcessWatch {
    int pidfd;
    LoopFd *watch;
    void (*on_exit)(void *user);
    void *user;
};

static void on_process_exit(void *user, int events) {
    ProcessWatch *watch = user;
    loop_fd_want(watch->watch, 0);
    watch->on_exit(watch->user); // may free the watch
}

int process_watch_new(Loop *loop, pid_t pid, void (*on_exit)(void *user), void *user,
                      ProcessWatch **ret_watch) {
    ProcessWatch *watch = memory_new(ProcessWatch);
    *watch = (ProcessWatch){.on_exit = on_exit, .user = user};
    watch->pidfd = pidfd_open(pid, 0);
    if (watch->pidfd >= 0)
        watch->watch = loop_fd_new(loop, watch->pidfd, on_process_exit, watch);
    if (!watch->watch) {
        int r = -errno;
        if (watch->pidfd >= 0)
            close(watch->pidfd);
        free(watch);
        return r;
    }
    loop_fd_want(watch->watch, LOOP_READ);
    *ret_watch = watch;
    return 0;
}

void process_watch_free(ProcessWatch *watch) {
    if (!watch)
        return;
    loop_fd_free(watch->watch);
    close(watch->pidfd);
    free(watch);
}
