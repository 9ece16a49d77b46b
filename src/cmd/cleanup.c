// `seapod cleanup`: stops every container of a data directory's instance and removes every trace
// from the host.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/node_parts.h"

#define LOG_DIRECTORY "/var/log/pods" // as in node_parts.c
#define LOG_LINKS "/var/log/containers"

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where) {
    if (remove(path) == 0 || errno == ENOENT)
        return 0;
    return where->level == 0 && errno == EBUSY ? 0 : -1; // a disk of its own is emptied
}

static int remove_tree(const char *path) { // stays on one file system, follows no links
    return nftw(path, remove_entry, 64, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0 && errno != ENOENT
               ? -errno
               : 0;
}

// Logs of all instances share one place: /var/log/pods/NAMESPACE_NAME_UID. Ours are those of the
// pods that have a directory DATA_DIR/pods/UID.
static void remove_logs(Arena *arena, const char *data_dir) {
    DIR *directory = opendir(LOG_DIRECTORY);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        const char *uid = strrchr(entry->d_name, '_');
        if (uid && access(arena_printf(arena, "%s/pods/%s", data_dir, uid + 1).ptr, F_OK) == 0)
            (void)remove_tree(arena_printf(arena, LOG_DIRECTORY "/%s", entry->d_name).ptr);
    }
    if (directory)
        closedir(directory);
    rmdir(LOG_DIRECTORY); // unless another instance has logs there
}

// What log collectors follow. A link whose log is gone belongs to nobody.
static void remove_log_links(Arena *arena) {
    DIR *directory = opendir(LOG_LINKS);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        const char *path = arena_printf(arena, LOG_LINKS "/%s", entry->d_name).ptr;
        char target[PATH_MAX];
        ssize_t len = readlink(path, target, sizeof target);
        if (len > 0 && str_starts_with(str_of(target, (size_t)len), STR(LOG_DIRECTORY "/")) &&
            access(path, F_OK) != 0)
            unlink(path);
    }
    if (directory)
        closedir(directory);
    rmdir(LOG_LINKS);
}

// Volumes in memory (tokens, secrets, emptyDir) are mounts below the data directory; the last
// mounted go first.
static int unmount_below(Arena *arena, const char *directory) {
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    if (!mounts)
        return -errno;
    Str prefix = arena_printf(arena, "%s/", directory);
    OptionList found = {0};
    struct mntent *entry;
    while ((entry = getmntent(mounts))) {
        if (!str_starts_with(str_from(entry->mnt_dir), prefix))
            continue;
        found.items =
            arena_grow(arena, found.items, found.n * sizeof(Str), (found.n + 1) * sizeof(Str));
        found.items[found.n++] = arena_str(arena, str_from(entry->mnt_dir));
    }
    endmntent(mounts);
    int error = 0;
    while (found.n-- > 0)
        if (umount2(found.items[found.n].ptr, MNT_DETACH) != 0 && errno != EINVAL)
            error = -errno;
    return error;
}

int cmd_cleanup(int argc, char **argv) {
    _arena_free_ Arena *arena = arena_new();
    bool yes = false, keep_data = false;
    NodeOptions node;
    node_options_init(arena, &node);
    const Option options[] = {
        {"data-dir", OPTION_STRING, &node.data_dir, "DIR",
         "of the instance (default " DEFAULT_DATA_DIR ")"},
        {"cgroup-parent", OPTION_STRING, &node.cgroup_parent, "PATH",
         "of the instance (default " DEFAULT_CGROUP_PARENT ")"},
        {"cluster-cidr", OPTION_STRING, &node.cluster_cidr, "CIDR", "of the instance"},
        {"keep-data", OPTION_FLAG, &keep_data, NULL,
         "keep the data directory (objects, images, volumes)"},
        {"yes", OPTION_FLAG, &yes, NULL, "do it"},
    };
    options_parse(arena, "cleanup", "--yes [FLAGS]", options, sizeof options / sizeof *options,
                  argc, argv, NULL);
    const char *data_dir = arena_cstr(arena, node.data_dir);
    if (!yes) {
        cmd_fail("cleanup", "this stops every container of %s%s; say --yes", data_dir,
                 keep_data ? "" : " and deletes its objects, images and volumes");
        return 2;
    }
    Str message;
    int error = node_parts_cleanup(arena, &node, &message);
    if (error)
        return cmd_fail("cleanup", "%s: %.*s", data_dir, STR_ARG(message));
    char resolved[PATH_MAX];
    if (realpath(data_dir, resolved) && (error = unmount_below(arena, resolved)))
        return cmd_fail("cleanup", "%s: unmounting volumes: %s", data_dir, strerror(-error));
    if (keep_data)
        return 0;
    remove_logs(arena, data_dir);
    remove_log_links(arena);
    error = remove_tree(data_dir);
    return error ? cmd_fail("cleanup", "%s: %s", data_dir, strerror(-error)) : 0;
}
