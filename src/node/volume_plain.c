// Volumes that are a directory of their own or a path of the host.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/resources.h"
#include "node/volume_private.h"

static int fail(Arena *arena, int error, Str path, Str *ret_message) {
    *ret_message = arena_printf(arena, "cannot make %.*s: %s", STR_ARG(path), strerror(-error));
    return error;
}

int64_t volume_group(const PodVolume *volume) {
    const PodSecurityContext *context = volume->owner->pod->spec.security_context;
    return context && context->fs_group ? *context->fs_group : -1;
}

// mkdir -p; directories that are there keep their mode.
static int make_all(Arena *arena, Str path, mode_t mode) {
    char *copy = arena_cstr(arena, path);
    for (char *p = copy + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char end = *p;
        *p = '\0';
        if (mkdir(copy, mode) != 0 && errno != EEXIST)
            return -errno;
        if (!end)
            return 0;
        *p = end;
    }
}

// pods/UID/volumes/KIND for its owner alone; the volume itself for whoever runs in the pod.
int volume_make_directory(PodVolume *volume, Arena *arena, Str *ret_message) {
    Str path = volume->path;
    struct stat status;
    if (stat(path.ptr, &status) == 0 && S_ISDIR(status.st_mode))
        return 0;
    int error = make_all(arena, str_slice(path, 0, (size_t)str_find_last(path, '/')), 0750);
    if (!error && mkdir(path.ptr, 0777) != 0 && errno != EEXIST)
        error = -errno;
    if (!error && chmod(path.ptr, 0777) != 0) // past the umask
        error = -errno;
    return error ? fail(arena, error, path, ret_message) : 0;
}

bool volume_is_mounted(const PodVolume *volume, Arena *arena) {
    Str path = volume->path;
    struct stat own, parent;
    return stat(path.ptr, &own) == 0 &&
           stat(arena_printf(arena, "%.*s/..", STR_ARG(path)).ptr, &parent) == 0 &&
           own.st_dev != parent.st_dev;
}

// Never more than the machine has, the pod may use, and the volume's own limit.
static int64_t memory_size(const PodVolume *volume) {
    int64_t size = resources_machine_memory();
    int64_t pod = resources_of_pod(volume->owner->pod).memory;
    if (pod > 0 && pod < size)
        size = pod;
    const EmptyDirVolumeSource *source = volume_spec(volume)->empty_dir;
    Str key = STR("sizeLimit");
    if (source && source->size_limit.len) {
        StrMap limit = {.keys = &key, .values = (Str *)&source->size_limit, .len = 1};
        int64_t own = resource_units(&limit, key);
        if (own > 0 && own < size)
            size = own;
    }
    return size;
}

int volume_make_tmpfs(PodVolume *volume, Arena *arena, Str *ret_message) {
    int error = volume_make_directory(volume, arena, ret_message);
    if (error || volume_is_mounted(volume, arena))
        return error;
    long long size = memory_size(volume);
    Str options = arena_printf(arena, "size=%lld,noswap", size);
    if (mount("tmpfs", volume->path.ptr, "tmpfs", 0, options.ptr) == 0)
        return 0;
    options = arena_printf(arena, "size=%lld", size); // noswap came with Linux 6.4
    if (mount("tmpfs", volume->path.ptr, "tmpfs", 0, options.ptr) == 0)
        return 0;
    error = -errno;
    *ret_message = arena_printf(arena, "cannot mount tmpfs at %.*s: %s", STR_ARG(volume->path),
                                strerror(-error));
    return error;
}

int volume_own_by_group(PodVolume *volume, Arena *arena, Str *ret_message) {
    struct stat status;
    int64_t group = volume_group(volume);
    if (group < 0)
        return 0;
    if (stat(volume->path.ptr, &status) != 0 ||
        chown(volume->path.ptr, (uid_t)-1, (gid_t)group) != 0 ||
        chmod(volume->path.ptr, (status.st_mode & 07777) | S_ISGID | 0770) != 0)
        return fail(arena, -errno, volume->path, ret_message);
    return 0;
}

int volume_empty_dir(PodVolume *volume, Arena *arena, Str *ret_message) {
    Str medium = volume_spec(volume)->empty_dir->medium;
    if (volume->ready)
        return 0;
    int error;
    if (!medium.len)
        error = volume_make_directory(volume, arena, ret_message);
    else if (str_eq(medium, STR("Memory")))
        error = volume_make_tmpfs(volume, arena, ret_message);
    else {
        *ret_message = arena_printf(arena, "storage medium \"%.*s\" is not supported by this node",
                                    STR_ARG(medium));
        return -ENOTSUP;
    }
    return error ? error : volume_own_by_group(volume, arena, ret_message);
}

// Host paths -------------------------------------------------------------------------------------

static const struct HostKind {
    Str type;
    mode_t format;
    const char *noun;
} host_kinds[] = {
#define KIND(name, format, noun)                                                                   \
    { {name, sizeof name - 1}, format, noun }
    KIND("DirectoryOrCreate", S_IFDIR, "a directory"),
    KIND("Directory", S_IFDIR, "a directory"),
    KIND("FileOrCreate", S_IFREG, "a file"),
    KIND("File", S_IFREG, "a file"),
    KIND("Socket", S_IFSOCK, "a socket file"),
    KIND("CharDevice", S_IFCHR, "a character device"),
    KIND("BlockDevice", S_IFBLK, "a block device"),
#undef KIND
};

static int make_host_path(Arena *arena, Str path, Str type) {
    if (!str_ends_with(type, STR("FileOrCreate")))
        return make_all(arena, path, 0755);
    int fd = open(arena_cstr(arena, path), O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

// Without a type nothing is checked; like the CRI runtimes, we make what is missing a directory.
int volume_check_host_path(Arena *arena, const HostPathVolumeSource *source, Str *ret_message) {
    const struct HostKind *kind = NULL;
    struct stat status;
    for (size_t i = 0; i < sizeof host_kinds / sizeof *host_kinds; i++)
        if (str_eq(host_kinds[i].type, source->type))
            kind = &host_kinds[i];
    if (source->type.len && !kind) {
        *ret_message = arena_printf(arena, "%.*s is an invalid volume type", STR_ARG(source->type));
        return -EINVAL;
    }
    const char *path = arena_cstr(arena, source->path);
    bool there = stat(path, &status) == 0;
    if (!there && (!kind || str_ends_with(kind->type, STR("OrCreate")))) {
        int error = make_host_path(arena, source->path, source->type);
        if (error)
            return fail(arena, error, source->path, ret_message);
        there = stat(path, &status) == 0;
    }
    // Whatever is no directory passes for a file, as it does with a kubelet.
    mode_t format = there ? status.st_mode & S_IFMT : 0;
    if (!kind ||
        (there && (format == kind->format || (kind->format == S_IFREG && format != S_IFDIR))))
        return 0;
    *ret_message =
        arena_printf(arena, "hostPath type check failed: %s is not %s", path, kind->noun);
    return -EINVAL;
}

int volume_host_path(PodVolume *volume, Arena *arena, Str *ret_message) {
    return volume_check_host_path(arena, volume_spec(volume)->host_path, ret_message);
}
