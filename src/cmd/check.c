// `seapod check`: what a host needs for running pods, and how to get it.
#include <dirent.h>
#include <errno.h>
#include <spawn.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "cmd/cmd.h"
#include "cmd/options.h"

typedef struct Check {
    Arena *arena;
    bool fix;
    Buf lines;
    int left;
} Check;

static void lacks(Check *check, const char *format, ...) {
    va_list args;
    va_start(args, format);
    buf_str(&check->lines, STR("  "));
    buf_vprintf(&check->lines, format, args);
    buf_char(&check->lines, '\n');
    va_end(args);
    check->left++;
}

static void mended(Check *check, const char *format, ...) {
    va_list args;
    va_start(args, format);
    buf_str(&check->lines, STR("  mended: "));
    buf_vprintf(&check->lines, format, args);
    buf_char(&check->lines, '\n');
    va_end(args);
}

static bool in_path(Check *check, const char *program) {
    const char *path = getenv("PATH");
    Str rest = str_from(path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
    while (rest.ptr) {
        Str directory = str_cut(&rest, ':');
        if (directory.len &&
            access(arena_printf(check->arena, "%.*s/%s", STR_ARG(directory), program).ptr, X_OK) ==
                0)
            return true;
    }
    return false;
}

static void check_programs(Check *check) {
    static const char *const programs[] = {"crun", "conmon"};
    for (size_t i = 0; i < 2; i++)
        if (!in_path(check, programs[i]))
            lacks(check, "%s is not installed (apt-get install %s)", programs[i], programs[i]);
    static const char *const helpers[] = {"seapod-image", "seapod-pause"};
    for (size_t i = 0; i < 2; i++)
        if (access(cmd_helper(check->arena, helpers[i]).ptr, X_OK) != 0)
            lacks(check, "%s is missing beside seapod or in ../lib/seapod (make install)",
                  helpers[i]);
}

static const char *v1_directory(Check *check, Str controllers) {
    Str name = controllers;
    if (str_starts_with(name, STR("name=")))
        name = str_slice(name, 5, name.len);
    return arena_printf(check->arena, "/sys/fs/cgroup/%.*s", STR_ARG(name)).ptr;
}

// Mounts a hierarchy, or says why it should be and how.
static void want_v1(Check *check, Str name, const char *why) {
    const char *directory = v1_directory(check, name);
    bool named = str_starts_with(name, STR("name="));
    const char *options =
        arena_printf(check->arena, "%s%.*s", named ? "none," : "", STR_ARG(name)).ptr;
    if (check->fix && (mkdir(directory, 0755) == 0 || errno == EEXIST) &&
        mount("cgroup", directory, "cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) == 0) {
        mended(check, "cgroup controller %.*s mounted as v1", STR_ARG(name));
        return;
    }
    lacks(check, "%s: %.*s (mkdir -p %s && mount -t cgroup -o %s cgroup %s)", why, STR_ARG(name),
          directory, options, directory);
}

// Where v1 and v2 are mounted side by side, crun wants every controller on one side: what the v2
// tree still owns is mounted as v1 beside the others.
static void check_hybrid(Check *check) {
    Str controllers;
    if (cmd_read_file(check->arena, "/sys/fs/cgroup/unified/cgroup.controllers", 4096,
                      &controllers) != 0)
        return;
    Str rest = str_trim(controllers);
    while (rest.ptr) {
        Str name = str_cut(&rest, ' ');
        if (!name.len)
            continue;
        want_v1(check, name, "cgroups are hybrid, and crun refuses what v2 owns");
    }
}

// crun makes a group in every v1 hierarchy that a process is in, below /sys/fs/cgroup. One that is
// not mounted there, as in a mount namespace made before it, leaves it writing to plain
// directories.
static void check_v1(Check *check) {
    Str text;
    if (cmd_read_file(check->arena, "/proc/self/cgroup", 4096, &text) != 0)
        return;
    while (text.ptr) { // "4:memory:/group"; v2 is "0::/group"
        Str line = str_cut(&text, '\n');
        str_cut(&line, ':');
        Str name = str_cut(&line, ':');
        struct statfs info;
        if (name.len &&
            (statfs(v1_directory(check, name), &info) != 0 || info.f_type != CGROUP_SUPER_MAGIC))
            want_v1(check, name, "a cgroup hierarchy is not mounted");
    }
}

static void check_cgroups(Check *check) {
    if (access("/sys/fs/cgroup/cgroup.controllers", R_OK) == 0)
        return; // v2 alone
    if (access("/sys/fs/cgroup/memory", R_OK) != 0) {
        lacks(check, "no cgroups at /sys/fs/cgroup (mount -t cgroup2 cgroup2 /sys/fs/cgroup)");
        return;
    }
    check_hybrid(check);
    check_v1(check);
}

// Not /proc/filesystems: a module that nobody has asked for yet is not there, and asking loads it.
static bool has_file_system(const char *name) {
    int fd = fsopen(name, FSOPEN_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool load_module(const char *name) {
    const char *arguments[] = {"modprobe", "-q", name, NULL};
    pid_t pid;
    int status;
    return posix_spawnp(&pid, "modprobe", NULL, NULL, (char *const *)arguments, environ) == 0 &&
           waitpid(pid, &status, 0) == pid && status == 0;
}

// What pods of one node say to each other crosses a bridge, and the rules of services have to see
// it.
static void check_bridge_filter(Check *check) {
    static const char path[] = "/proc/sys/net/bridge";
    if (access(path, F_OK) == 0)
        return;
    if (check->fix && load_module("br_netfilter") && access(path, F_OK) == 0)
        mended(check, "kernel module br_netfilter loaded");
    else
        lacks(check, "bridges are not filtered (modprobe br_netfilter)");
}

static void check_kernel(Check *check) {
    Str text;
    check_bridge_filter(check);
    if (!has_file_system("overlay"))
        lacks(check, "the kernel has no overlayfs (modprobe overlay)");
    if (cmd_read_file(check->arena, "/proc/sys/net/ipv4/ip_forward", 16, &text) == 0 && text.len &&
        text.ptr[0] == '0') {
        FILE *file = check->fix ? fopen("/proc/sys/net/ipv4/ip_forward", "we") : NULL;
        bool written = file && fputs("1\n", file) >= 0;
        if (file && fclose(file) != 0)
            written = false;
        if (written)
            mended(check, "net.ipv4.ip_forward is 1");
        else
            lacks(check, "IP forwarding is off (sysctl -w net.ipv4.ip_forward=1)");
    }
}

int cmd_check_host(Arena *arena, bool fix, Str *ret_lines) {
    Check check = {.arena = arena, .fix = fix, .lines = BUF_INIT(64 * 1024)};
    if (geteuid() != 0)
        lacks(&check, "must be run as root");
    else {
        check_cgroups(&check);
        check_kernel(&check);
    }
    check_programs(&check);
    *ret_lines = arena_str(arena, buf_view(&check.lines));
    buf_deinit(&check.lines);
    return check.left;
}

int cmd_check(int argc, char **argv) {
    Arena *arena = arena_new();
    bool fix = false;
    const Option options[] = {{"fix", OPTION_FLAG, &fix, NULL, "mend what can be mended"}};
    options_parse(arena, "check", "[--fix]", options, 1, argc, argv, NULL);
    Str lines;
    int left = cmd_check_host(arena, fix, &lines);
    fwrite(lines.ptr, 1, lines.len, stdout);
    puts(left ? "this host cannot run pods yet" : "this host can run pods");
    return left ? 1 : 0;
}
