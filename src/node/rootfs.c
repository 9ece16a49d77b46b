#include "node/rootfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"

#define LAYERS_MAX 500         // overlayfs's own limit
#define MOUNT_OPTIONS_MAX 4095 // mount(2) reads one page

// ---- looking inside

static int open_in_root(int root, const char *path, uint64_t flags) {
    struct open_how how = {.flags = flags | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int fd;
    do
        fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    return fd < 0 ? -errno : fd;
}

int rootfs_read_file(Arena *arena, int root, const char *path, size_t max, Str *ret) {
    int fd = open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fd;
    struct stat info;
    int error = fstat(fd, &info) < 0 ? -errno : 0;
    if (!error && !S_ISREG(info.st_mode))
        error = -EINVAL;
    if (!error && (uint64_t)info.st_size > max)
        error = -EFBIG;
    if (!error) {
        size_t size = (size_t)info.st_size, len = 0;
        char *text = arena_alloc(arena, size + 1);
        ssize_t n = 0;
        while (len < size && (n = read(fd, text + len, size - len)) > 0)
            len += (size_t)n;
        error = n < 0 ? -errno : 0;
        *ret = str_of(text, len);
    }
    close(fd);
    return error;
}

int rootfs_make_directory(int root, Str path) {
    char done[4096] = ".";
    size_t at = 1;
    while (path.ptr) {
        Str step = str_cut(&path, '/');
        if (step.len == 0 || str_eq(step, STR(".")))
            continue;
        if (str_eq(step, STR("..")) || at + 1 + step.len >= sizeof done)
            return -EINVAL;
        char name[256];
        if ((size_t)snprintf(name, sizeof name, "%.*s", STR_ARG(step)) >= sizeof name)
            return -ENAMETOOLONG;
        int parent = open_in_root(root, done, O_PATH | O_DIRECTORY);
        if (parent < 0)
            return parent;
        int error = mkdirat(parent, name, 0755) < 0 && errno != EEXIST ? -errno : 0;
        close(parent);
        if (error)
            return error;
        at += (size_t)snprintf(done + at, sizeof done - at, "/%s", name);
    }
    int fd = open_in_root(root, done, O_PATH | O_DIRECTORY);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

// ---- directories

int make_directories(const char *path, unsigned mode) {
    char copy[4096];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof copy)
        return -ENAMETOOLONG;
    memcpy(copy, path, len + 1);
    if (mkdir(copy, mode) == 0 || errno == EEXIST)
        return 0;
    for (char *at = copy + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = 0;
        if (mkdir(copy, mode) < 0 && errno != EEXIST)
            return -errno;
        *at = '/';
    }
    return mkdir(copy, mode) < 0 && errno != EEXIST ? -errno : 0;
}

static int remove_at(int parent, const char *name, dev_t device) {
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat info;
    DIR *directory = fstat(fd, &info) == 0 ? fdopendir(fd) : NULL;
    if (!directory || (device && info.st_dev != device)) {
        int error = directory ? -EXDEV : -errno;
        if (directory)
            closedir(directory);
        else
            close(fd);
        return error;
    }
    int result = 0;
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int error = remove_at(fd, entry->d_name, info.st_dev);
        if (error && !result)
            result = error;
    }
    closedir(directory);
    if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT && !result)
        result = -errno;
    return result;
}

int remove_tree(const char *path) {
    return remove_at(AT_FDCWD, path, 0);
}

// ---- overlayfs

typedef struct Options {
    Buf text;
    int fds[LAYERS_MAX + 2];
    size_t n_fds;
    bool by_descriptor;
} Options;

// A character that the option string gives a meaning of its own.
static bool is_plain(Str path) {
    for (size_t i = 0; i < path.len; i++)
        if (strchr(":,\\", path.ptr[i]))
            return false;
    return true;
}

static int add_path(Options *options, const char *path) {
    if (!options->by_descriptor) {
        buf_str(&options->text, str_from(path));
        return 0;
    }
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    options->fds[options->n_fds++] = fd;
    buf_printf(&options->text, "/proc/self/fd/%d", fd);
    return 0;
}

// Plain paths read well in /proc/mounts; descriptors (17 bytes each) take over when the paths do
// not fit into one page (about 40 layers) or hold a colon.
static int build_options(Arena *arena, Options *options, const Str *layers, size_t n_layers,
                         const char *directory, bool by_descriptor) {
    *options = (Options){.text = BUF_INIT(MOUNT_OPTIONS_MAX), .by_descriptor = by_descriptor};
    int error = 0;
    for (size_t i = n_layers; i-- > 0 && !error;) {
        buf_str(&options->text, i + 1 == n_layers ? STR("lowerdir=") : STR(":"));
        error = add_path(options, arena_cstr(arena, layers[i]));
    }
    static const char *const writable[] = {"upper", "work"};
    for (int i = 0; directory && i < 2 && !error; i++) {
        buf_printf(&options->text, ",%sdir=", writable[i]);
        error = add_path(options, arena_printf(arena, "%s/%s", directory, writable[i]).ptr);
    }
    // The layer is thrown away with the container, so nothing needs to wait for the disk.
    if (directory)
        buf_str(&options->text, STR(",volatile"));
    buf_char(&options->text, 0);
    if (!error && options->text.failed)
        error = -E2BIG;
    return error;
}

static void options_deinit(Options *options) {
    for (size_t i = 0; i < options->n_fds; i++)
        close(options->fds[i]);
    buf_deinit(&options->text);
}

// Without a `directory` nothing can be written.
static int mount_overlay(Arena *arena, const Str *layers, size_t n_layers, const char *directory,
                         const char *target, unsigned long flags) {
    bool plain = !directory || is_plain(str_from(directory));
    for (size_t i = 0; i < n_layers && plain; i++)
        plain = is_plain(layers[i]);
    Options options;
    int error = build_options(arena, &options, layers, n_layers, directory, !plain);
    if (error == -E2BIG && plain) {
        options_deinit(&options);
        error = build_options(arena, &options, layers, n_layers, directory, true);
    }
    if (!error && mount("overlay", target, "overlay", flags, options.text.data) < 0)
        error = -errno;
    options_deinit(&options);
    return error;
}

int rootfs_mount(Arena *arena, const Str *layers, size_t n_layers, const char *directory,
                 const char *target, Str *ret_message) {
    *ret_message = STR("");
    if (n_layers == 0 || n_layers > LAYERS_MAX) {
        *ret_message = arena_printf(arena, "an image of %zu layers cannot be mounted", n_layers);
        return -EINVAL;
    }
    int error = make_directories(arena_printf(arena, "%s/upper", directory).ptr, 0755);
    if (!error)
        error = make_directories(arena_printf(arena, "%s/work", directory).ptr, 0700);
    if (!error)
        error = make_directories(target, 0755);
    if (!error)
        error = mount_overlay(arena, layers, n_layers, directory, target, 0);
    if (error)
        *ret_message = arena_printf(arena, "cannot mount the image's %zu layers at %s: %s",
                                    n_layers, target, strerrordesc_np(-error));
    return error;
}

int rootfs_mount_read_only(Arena *arena, const Str *layers, size_t n_layers, Str empty,
                           const char *target, Str *ret_message) {
    Str *lower = arena_array_of(arena, Str, n_layers + 1);
    int error = n_layers < LAYERS_MAX ? 0 : -EINVAL;
    lower[0] = empty;
    for (size_t i = 0; i < n_layers; i++)
        lower[i + 1] = layers[i];
    if (n_layers == 0 && !error) // an image of nothing
        lower[n_layers++] = empty;
    if (!error && n_layers == 1 && str_eq(lower[0], lower[n_layers]))
        error = mount(arena_cstr(arena, empty), target, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
    else if (!error)
        error = mount_overlay(arena, lower, n_layers + 1, NULL, target,
                              MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);
    if (error)
        *ret_message = arena_printf(arena, "cannot mount the image's %zu layers at %s: %s",
                                    n_layers, target, strerrordesc_np(-error));
    return error;
}

int rootfs_unmount(const char *target) {
    int error = 0;
    while (umount2(target, UMOUNT_NOFOLLOW) == 0)
        ;
    if (errno == EBUSY && umount2(target, UMOUNT_NOFOLLOW | MNT_DETACH) < 0)
        error = -errno;
    else if (errno != EINVAL && errno != ENOENT && errno != EBUSY)
        error = -errno;
    if (rmdir(target) < 0 && errno != ENOENT && !error)
        error = -errno;
    return error;
}
