#include "node/subpath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRIES 16 // openat2(2) gives EAGAIN when something is renamed meanwhile
#define PATH_SIZE 4097

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
}
#define _close_ __attribute__((cleanup(close_fd)))

static int open_beneath(int root, const char *path, int flags) {
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    for (int i = 0; i < TRIES; i++) {
        long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN)
            return fd >= 0 ? (int)fd : -errno;
    }
    return -EAGAIN;
}

// One more directory below `parent`, which is inside the volume whatever it was reached by.
static int make_one(int parent, const char *name, mode_t mode) {
    if (mkdirat(parent, name, mode & 07777) != 0)
        return errno == EEXIST ? 0 : -errno;
    _close_ int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fchmod(fd, mode & 07777) == 0 ? 0 : -errno; // past the umask
}

static int make_all(int root, char *path) {
    struct stat status;
    if (fstat(root, &status) != 0)
        return -errno;
    int parent = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC), error = 0;
    if (parent < 0)
        return -errno;
    for (char *name = path; name && !error;) {
        char *slash = strchr(name, '/');
        if (slash)
            *slash = '\0';
        int next = open_beneath(root, path, O_PATH | O_DIRECTORY);
        if (next == -ENOENT) {
            error = make_one(parent, name, status.st_mode);
            next = error ? error : open_beneath(root, path, O_PATH | O_DIRECTORY);
        }
        error = next < 0 ? next : 0;
        close(parent);
        parent = next;
        if (slash)
            *slash = '/';
        name = slash ? slash + 1 : NULL;
    }
    if (parent >= 0)
        close(parent);
    return error;
}

// Without empty and "." parts.
static int clean(Str path, char out[PATH_SIZE]) {
    size_t len = 0;
    if (path.len >= PATH_SIZE || memchr(path.ptr, '\0', path.len))
        return -ENAMETOOLONG;
    if (path.ptr[0] == '/')
        return -EINVAL;
    while (path.ptr) {
        Str part = str_cut(&path, '/');
        if (!part.len || str_eq(part, STR(".")))
            continue;
        if (str_eq(part, STR("..")))
            return -EINVAL;
        if (len)
            out[len++] = '/';
        memcpy(out + len, part.ptr, part.len);
        len += part.len;
    }
    if (!len)
        out[len++] = '.';
    out[len] = '\0';
    return 0;
}

int subpath_open(const char *volume, Str path, bool make, int *ret) {
    char name[PATH_SIZE];
    if (!path.len)
        return -EINVAL;
    int error = clean(path, name);
    if (error)
        return error;
    _close_ int root = open(volume, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -errno;
    int fd = open_beneath(root, name, O_PATH);
    if (fd == -ENOENT && make) {
        error = make_all(root, name);
        fd = error ? error : open_beneath(root, name, O_PATH);
    }
    *ret = fd;
    return fd < 0 ? fd : 0;
}
