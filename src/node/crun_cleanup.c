// "seapod cleanup": takes everything of an instance off this host, whether or not its records make
// sense. Blocks; nothing else of the instance runs at that time.

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "node/crun_private.h"
#include "node/rootfs.h"

#define MOUNTINFO_MAX (8 * 1024 * 1024)

typedef struct Cleanup {
    Arena *arena;
    const char *state_directory, *run_directory, *cgroup_parent;
    CgroupHost *cgroups; // NULL: no hierarchy is mounted
    int error;
    Str message;
} Cleanup;

static void note(Cleanup *cleanup, int error, const char *what) {
    if (!error || cleanup->error)
        return;
    cleanup->error = error;
    cleanup->message =
        arena_printf(cleanup->arena, "cannot remove %s: %s", what, strerrordesc_np(-error));
}

static Str read_all(Arena *arena, const char *path, size_t max) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return STR("");
    char *text = arena_alloc(arena, max);
    size_t len = 0;
    ssize_t n;
    while (len < max && (n = read(fd, text + len, max - len)) > 0)
        len += (size_t)n;
    close(fd);
    return str_of(text, len);
}

// ---- processes

// conmon and seapod-pause name one of our directories among their arguments.
static bool is_ours(Str arguments, Str run_directory) {
    Str name = str_cut(&arguments, 0);
    ptrdiff_t slash = str_find_last(name, '/');
    name = str_slice(name, (size_t)(slash + 1), name.len);
    if (!str_eq(name, STR("conmon")) && !str_eq(name, STR("seapod-pause")))
        return false;
    while (arguments.ptr) {
        Str argument = str_cut(&arguments, 0);
        if (str_starts_with(argument, run_directory) && argument.len > run_directory.len &&
            argument.ptr[run_directory.len] == '/')
            return true;
    }
    return false;
}

static int kill_ours(Cleanup *cleanup, const char *which) {
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    int count = 0;
    Str run_directory = str_from(cleanup->run_directory);
    while (processes && (entry = readdir(processes))) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        _arena_free_ Arena *arena = arena_new();
        Str path = arena_printf(arena, "/proc/%s/cmdline", entry->d_name);
        Str arguments = read_all(arena, path.ptr, 16384);
        Str first = arguments;
        if (!is_ours(arguments, run_directory) ||
            !str_ends_with(str_cut(&first, 0), str_from(which)))
            continue;
        count++;
        kill((pid_t)atoi(entry->d_name), SIGKILL);
    }
    if (processes)
        closedir(processes);
    return count;
}

static void for_each_record(Cleanup *cleanup, const char *kind,
                            void (*visit)(Cleanup *cleanup, const Record *record)) {
    Str directory = arena_printf(cleanup->arena, "%s/records/%s", cleanup->run_directory, kind);
    DIR *entries = opendir(directory.ptr);
    struct dirent *entry;
    while (entries && (entry = readdir(entries))) {
        Record record;
        Str path = arena_printf(cleanup->arena, "%s/%s", directory.ptr, entry->d_name);
        if (entry->d_name[0] != '.' && record_load(cleanup->arena, path.ptr, &record) == 0)
            visit(cleanup, &record);
    }
    if (entries)
        closedir(entries);
}

static bool kill_group(Cleanup *cleanup, Str path) {
    for (int i = 0; i < 1000; i++) {
        if (cgroup_kill(cleanup->cgroups, path) <= 0)
            return true;
        usleep(i < 50 ? 500 : 5000);
    }
    return false;
}

static void kill_container(Cleanup *cleanup, const Record *record) {
    process_signal(
        (ProcessId){(pid_t)record_int(record, "pid"), (uint64_t)record_int(record, "start_time")},
        SIGKILL);
    if (cleanup->cgroups)
        kill_group(cleanup, record_get(record, "cgroup"));
}

static void remove_group(Cleanup *cleanup, Str path) {
    int error = -EBUSY;
    for (int i = 0; i < 1000 && error == -EBUSY; i++) {
        if (i)
            usleep(2000);
        error = cgroup_remove(cleanup->cgroups, path);
    }
    note(cleanup, error, arena_printf(cleanup->arena, "cgroup %.*s", STR_ARG(path)).ptr);
}

static void remove_container_group(Cleanup *cleanup, const Record *record) {
    if (cleanup->cgroups)
        remove_group(cleanup, record_get(record, "cgroup"));
}

static void remove_sandbox_group(Cleanup *cleanup, const Record *record) {
    Str path = arena_printf(cleanup->arena, "%.*s/%.*s", STR_ARG(record_get(record, "cgroup")),
                            STR_ARG(record_get(record, "id")));
    if (cleanup->cgroups && record_get(record, "cgroup").len)
        remove_group(cleanup, path);
}

static void kill_all(Cleanup *cleanup) {
    for_each_record(cleanup, "containers", kill_container);
    if (cleanup->cgroup_parent && cleanup->cgroups &&
        !kill_group(cleanup, str_from(cleanup->cgroup_parent)))
        note(cleanup, -EBUSY, "processes that do not end");
    // conmon ends by itself once its container has; it is only killed when it does not.
    for (int i = 0; i < 100; i++) {
        int left = kill_ours(cleanup, "seapod-pause");
        left += i < 50 ? 0 : kill_ours(cleanup, "conmon");
        if (left == 0 && i >= 50)
            return;
        usleep(1000);
    }
}

// ---- mounts

// Octal escapes of /proc/self/mountinfo, in place.
static Str unescape(Arena *arena, Str path) {
    char *text = arena_alloc(arena, path.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < path.len; i++) {
        const char *at = path.ptr + i;
        if (*at == '\\' && i + 3 < path.len) {
            text[n++] = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
            i += 3;
        } else {
            text[n++] = *at;
        }
    }
    text[n] = 0;
    return str_of(text, n);
}

static bool is_below(Str path, const char *directory) {
    Str top = str_from(directory);
    return str_starts_with(path, top) && (path.len == top.len || path.ptr[top.len] == '/');
}

static void unmount_all(Cleanup *cleanup) {
    Str text = read_all(cleanup->arena, "/proc/self/mountinfo", MOUNTINFO_MAX);
    Str *paths = NULL;
    size_t n = 0;
    while (text.ptr) {
        Str line = str_cut(&text, '\n');
        for (int i = 0; i < 4; i++)
            str_cut(&line, ' ');
        Str path = unescape(cleanup->arena, str_cut(&line, ' '));
        if (!is_below(path, cleanup->run_directory) && !is_below(path, cleanup->state_directory))
            continue;
        paths = arena_grow(cleanup->arena, paths, n * sizeof *paths, (n + 1) * sizeof *paths);
        paths[n++] = path;
    }
    while (n-- > 0) // the last mounted first
        if (umount2(paths[n].ptr, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL)
            note(cleanup, -errno, paths[n].ptr);
}

int runtime_crun_cleanup(const CrunConfig *config, const char *cgroup_parent, char **ret_message) {
    _arena_free_ Arena *arena = arena_new();
    Cleanup cleanup = {.arena = arena,
                       .state_directory = config->state_directory,
                       .run_directory = config->run_directory,
                       .cgroup_parent = cgroup_parent};
    *ret_message = NULL;
    if (cgroup_host_new(&cleanup.cgroups) < 0)
        cleanup.cgroups = NULL;
    kill_all(&cleanup);
    unmount_all(&cleanup);
    for_each_record(&cleanup, "containers", remove_container_group);
    for_each_record(&cleanup, "sandboxes", remove_sandbox_group);
    if (cgroup_parent && cleanup.cgroups)
        remove_group(&cleanup, str_from(cgroup_parent));
    if (!cleanup.error) { // else the records are still needed
        note(&cleanup, remove_tree(cleanup.run_directory), cleanup.run_directory);
        note(&cleanup, remove_tree(cleanup.state_directory), cleanup.state_directory);
    }
    cgroup_host_free(cleanup.cgroups);
    if (cleanup.error)
        *ret_message = strdup(cleanup.message.ptr);
    return cleanup.error;
}
