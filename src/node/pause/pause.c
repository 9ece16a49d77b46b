// seapod-pause: the infra process of a pod, and the small program that starts it.
//
//   seapod-pause --launch NSDIR NAMESPACES HOSTNAME [/proc/sys/KEY=VALUE | +CGROUP_PROCS]...
//
// NAMESPACES is a subset of the letters "niup" (network, IPC, UTS, PID). The launcher clones the
// infra process into new namespaces of these kinds and a mount namespace, bind-mounts them on
// NSDIR/{net,ipc,uts,pid}, prints the infra process's id on stdout, moves it into the groups, and
// ends. The infra process stands in an empty read-only root, holds no descriptor, no capability and
// a user id of its own, reaps what its pid namespace leaves behind, and ends on SIGTERM or SIGINT.
// Without arguments the program is the infra process of namespaces that somebody else made.
//
// No C library, no allocation: the process lives as long as its pod and costs a few pages.

#include "node/pause/system.h"

#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/fcntl.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/wait.h>

#define PAUSE_ID 65535

// <sys/mount.h> and <linux/mount.h> cannot both be had everywhere; these are kernel ABI.
enum {
    MOUNT_READ_ONLY = 1,
    MOUNT_NO_SUID = 2,
    MOUNT_NO_DEVICES = 4,
    MOUNT_NO_EXEC = 8,
    MOUNT_BIND = 4096,
    MOUNT_RECURSIVE = 16384,
    MOUNT_PRIVATE = 1 << 18,
    UNMOUNT_DETACH = 2,
};

typedef struct Launch {
    const char *directory, *namespaces, *hostname;
    char **rest;
} Launch;

void pause_start(long *stack) __attribute__((noreturn));

static void finish(int code) __attribute__((noreturn));
static void finish(int code) {
    for (;;)
        CALL3(exit_group, code, 0, 0);
}

static char *format_number(char *end, unsigned long number) {
    *--end = 0;
    do
        *--end = (char)('0' + number % 10);
    while (number /= 10);
    return end;
}

// "seapod-pause: WHAT TARGET: errno N"
static void fail(const char *what, const char *target, long error) __attribute__((noreturn));
static void fail(const char *what, const char *target, long error) {
    char digits[24];
    text_write(2, "seapod-pause: ");
    text_write(2, what);
    text_write(2, " ");
    text_write(2, target);
    text_write(2, ": errno ");
    text_write(2, format_number(digits + sizeof digits, (unsigned long)-error));
    text_write(2, "\n");
    finish(1);
}

static void must(long result, const char *what, const char *target) {
    if (result < 0)
        fail(what, target, result);
}

static int has_letter(const char *letters, char letter) {
    for (; *letters; letters++)
        if (*letters == letter)
            return 1;
    return 0;
}

static long write_file(const char *path, const char *text) {
    long fd = CALL5(openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0, 0);
    if (fd < 0)
        return fd;
    long result = CALL3(write, fd, text, text_length(text));
    CALL3(close, fd, 0, 0);
    return result;
}

// ---- the infra process

static void wait_forever(void) __attribute__((noreturn));
static void wait_forever(void) {
    unsigned long set = 1UL << (SIGTERM - 1) | 1UL << (SIGINT - 1) | 1UL << (SIGCHLD - 1);
    // Blocked signals reach even the first process of a pid namespace, which has no default
    // actions.
    must(CALL5(rt_sigprocmask, SIG_BLOCK, &set, 0, sizeof set, 0), "block", "signals");
    for (;;) {
        long signal = CALL5(rt_sigtimedwait, &set, 0, 0, sizeof set, 0);
        if (signal == SIGTERM || signal == SIGINT)
            finish(0);
        while (CALL5(wait4, -1, 0, WNOHANG | __WALL, 0, 0) > 0)
            ;
    }
}

static void apply_sysctls(char **rest) {
    for (; *rest; rest++) {
        char *equals = *rest;
        if (*equals != '/')
            continue;
        while (*equals && *equals != '=')
            equals++;
        if (!*equals)
            continue;
        *equals = 0;
        must(write_file(*rest, equals + 1), "set", *rest);
    }
}

static void enter_empty_root(const char *directory) {
    must(CALL5(mount, "none", "/", 0, MOUNT_RECURSIVE | MOUNT_PRIVATE, 0), "make private", "/");
    must(CALL5(mount, "seapod-pause", directory, "tmpfs",
               MOUNT_READ_ONLY | MOUNT_NO_SUID | MOUNT_NO_DEVICES | MOUNT_NO_EXEC,
               "size=4k,nr_inodes=1,mode=0555"),
         "mount", directory);
    must(CALL3(chdir, directory, 0, 0), "enter", directory);
    must(CALL3(pivot_root, ".", ".", 0), "pivot_root", directory);
    must(CALL3(umount2, ".", UNMOUNT_DETACH, 0), "leave", "the old root");
    must(CALL3(chdir, "/", 0, 0), "enter", "/");
}

static void drop_privileges(void) {
    must(CALL5(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "set", "no_new_privs");
    for (int capability = 0; capability < 64; capability++)
        CALL5(prctl, PR_CAPBSET_DROP, capability, 0, 0, 0); // EINVAL past the last one
    must(CALL3(setgroups, 0, 0, 0), "drop", "groups");
    must(CALL3(setresgid, PAUSE_ID, PAUSE_ID, PAUSE_ID), "set", "gid");
    must(CALL3(setresuid, PAUSE_ID, PAUSE_ID, PAUSE_ID), "set", "uid");
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    must(CALL3(capset, &header, none, 0), "drop", "capabilities");
    must(CALL5(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0), "clear", "dumpable");
}

// `ready` is the launcher's pipe; closing it without a byte says that something failed.
static void infra(const Launch *launch, int ready) __attribute__((noreturn));
static void infra(const Launch *launch, int ready) {
    CALL3(setsid, 0, 0, 0);
    CALL5(prctl, PR_SET_NAME, "pause", 0, 0, 0);
    CALL5(prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0);
    if (has_letter(launch->namespaces, 'u'))
        must(CALL3(sethostname, launch->hostname, text_length(launch->hostname), 0), "sethostname",
             launch->hostname);
    write_file("/proc/self/oom_score_adj", "-998"); // needs CAP_SYS_RESOURCE: a wish
    apply_sysctls(launch->rest);
    enter_empty_root(launch->directory);
    drop_privileges();
    CALL3(write, ready, "1", 1);
    CALL3(close_range, 0, ~0U, 0);
    wait_forever();
}

// ---- the launcher

static const struct {
    char letter;
    const char *name;
    unsigned long flag;
} namespace_kinds[] = {
    {'n', "/net", CLONE_NEWNET},
    {'i', "/ipc", CLONE_NEWIPC},
    {'u', "/uts", CLONE_NEWUTS},
    {'p', "/pid", CLONE_NEWPID},
};

static char *append(char *at, const char *text) {
    while (*text)
        *at++ = *text++;
    *at = 0;
    return at;
}

static void bind_namespace(const char *directory, const char *pid, const char *name) {
    char source[64], target[4096];
    if (text_length(directory) > sizeof target - 16)
        fail("open", directory, -36 /* ENAMETOOLONG */);
    append(append(append(append(source, "/proc/"), pid), "/ns"), name);
    append(append(target, directory), name);
    long fd = CALL5(openat, AT_FDCWD, target, O_RDONLY | O_CREAT | O_CLOEXEC, 0444, 0);
    must(fd, "create", target);
    CALL3(close, fd, 0, 0);
    must(CALL5(mount, source, target, 0, MOUNT_BIND, 0), "bind", target);
}

// For a daemon that dies before it has read our line.
static void write_process_file(const char *directory, const char *pid) {
    char path[4096];
    if (text_length(directory) > sizeof path - 16)
        fail("open", directory, -36 /* ENAMETOOLONG */);
    append(append(path, directory), "/process");
    long fd = CALL5(openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600, 0);
    must(fd, "create", path);
    CALL3(write, fd, pid, text_length(pid));
    CALL3(close, fd, 0, 0);
}

static long clone_infra(const Launch *launch, int ready) {
    unsigned long flags = CLONE_NEWNS | SIGCHLD;
    for (size_t i = 0; i < sizeof namespace_kinds / sizeof *namespace_kinds; i++)
        if (has_letter(launch->namespaces, namespace_kinds[i].letter))
            flags |= namespace_kinds[i].flag;
    long pid = CALL5(clone, flags, 0, 0, 0, 0);
    if (pid == 0)
        infra(launch, ready);
    must(pid, "clone", "the infra process");
    return pid;
}

// The kernel holds whoever moves a process between groups for a grace period of 10 to 20 ms, unless
// somebody has just waited for one. A child that moves itself waits for it beside our work, so that
// neither we nor crun, which does it next, have to. 0: nothing to join.
static long begin_grace_period(char **rest) {
    while (*rest && **rest != '+')
        rest++;
    if (!*rest)
        return 0;
    long pid = CALL5(clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        write_file(*rest + 1, "0");
        finish(0);
    }
    return pid;
}

static void launch_sandbox(const Launch *launch) {
    int ready[2];
    long joining = begin_grace_period(launch->rest);
    must(CALL3(pipe2, ready, O_CLOEXEC, 0), "make", "a pipe");
    long pid = clone_infra(launch, ready[1]);
    CALL3(close, ready[1], 0, 0);
    char digits[24];
    char *text = format_number(digits + sizeof digits, (unsigned long)pid);
    write_process_file(launch->directory, text);
    char byte;
    if (CALL3(read, ready[0], &byte, 1) != 1)
        finish(1); // the infra process has said why
    for (size_t i = 0; i < sizeof namespace_kinds / sizeof *namespace_kinds; i++)
        if (has_letter(launch->namespaces, namespace_kinds[i].letter))
            bind_namespace(launch->directory, text, namespace_kinds[i].name);
    text_write(1, text);
    text_write(1, "\n");
    CALL3(close, 1, 0, 0);
    // Last and with nobody waiting for it.
    for (char **rest = launch->rest; *rest; rest++)
        if (**rest == '+')
            must(write_file(*rest + 1, text), "join", *rest + 1);
    if (joining > 0)
        CALL5(wait4, joining, 0, 0, 0, 0);
}

static int is(const char *text, const char *word) {
    while (*text && *text == *word) {
        text++;
        word++;
    }
    return *text == *word;
}

void pause_start(long *stack) {
    long count = *stack;
    char **arguments = (char **)(stack + 1);
    if (count == 1)
        wait_forever();
    if (count == 2 && is(arguments[1], "--version")) {
        text_write(1, "seapod-pause " SEAPOD_VERSION "\n");
        finish(0);
    }
    if (count < 5 || !is(arguments[1], "--launch")) {
        text_write(2, "usage: seapod-pause --launch NSDIR NAMESPACES HOSTNAME "
                      "[/proc/sys/KEY=VALUE | +CGROUP_PROCS]...\n");
        finish(2);
    }
    Launch launch = {arguments[2], arguments[3], arguments[4], arguments + 5};
    launch_sandbox(&launch);
    finish(0);
}
