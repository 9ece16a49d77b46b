#include "image/tree.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINKS_MAX 40 // as the kernel's own walk
// Deeper directories are first moved up: no descriptor per level of what a stranger nested.
#define REMOVE_DEPTH_MAX 32

// With `clamp`, ".." stays at the root as it does for the kernel in a chroot.
static int clean_path(Arena *arena, Str path, bool clamp, Str *ret_clean) {
    if (path.len == 0 || path.len >= PATH_MAX || memchr(path.ptr, '\0', path.len))
        return TREE_E_PATH;
    char *clean = arena_alloc(arena, path.len + 1);
    size_t len = 0;
    Str rest = path;
    while (rest.ptr) {
        Str part = str_cut(&rest, '/');
        if (part.len == 0 || str_eq(part, STR(".")))
            continue;
        if (str_eq(part, STR(".."))) {
            if (len == 0 && !clamp)
                return TREE_E_ESCAPES;
            while (len > 0 && clean[--len] != '/')
                ;
            continue;
        }
        if (part.len > NAME_MAX)
            return TREE_E_PATH;
        if (len > 0)
            clean[len++] = '/';
        memcpy(clean + len, part.ptr, part.len);
        len += part.len;
    }
    clean[len] = '\0';
    *ret_clean = str_of(clean, len);
    return 0;
}

int tree_clean_path(Arena *arena, Str path, Str *ret_clean) {
    return clean_path(arena, path, false, ret_clean);
}

void tree_split(Str path, Str *ret_parent, Str *ret_name) {
    ptrdiff_t slash = str_find_last(path, '/');
    *ret_parent = slash < 0 ? STR("") : str_slice(path, 0, (size_t)slash);
    *ret_name = slash < 0 ? path : str_slice(path, (size_t)slash + 1, path.len);
}

static int open_in_root(int root, const char *path) {
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, root, path[0] ? path : ".", &how, sizeof(how));
    return fd < 0 ? -errno : fd;
}

// Makes the one directory `name` in `parent`. A symbolic link that leads nowhere (yet) is followed
// within the tree: then `*ret_target` is where the directory has to be made instead.
static int make_one(Arena *arena, int root, Str parent, Str name, Str *ret_target) {
    *ret_target = STR_NONE;
    int fd = open_in_root(root, arena_cstr(arena, parent));
    if (fd < 0)
        return fd;
    const char *name_c = arena_cstr(arena, name);
    int error = mkdirat(fd, name_c, 0755) < 0 ? -errno : 0;
    if (error == 0 && fchownat(fd, name_c, 0, 0, AT_SYMLINK_NOFOLLOW) < 0)
        error = -errno;
    if (error == -EEXIST) {
        char target[PATH_MAX];
        ssize_t n = readlinkat(fd, name_c, target, sizeof(target));
        if (n > 0 && n < (ssize_t)sizeof(target)) {
            Str text = str_of(target, (size_t)n);
            *ret_target = target[0] == '/'
                              ? arena_str(arena, text)
                              : arena_printf(arena, "%.*s/%.*s", STR_ARG(parent), STR_ARG(text));
            error = 0;
        } else {
            error = -ENOTDIR;
        }
    }
    close(fd);
    return error;
}

static int make_path(Arena *arena, int root, Str path, int *links) {
    size_t end = 0;
    while (end < path.len) {
        while (end < path.len && path.ptr[end] != '/')
            end++;
        Str prefix = str_slice(path, 0, end);
        int fd = open_in_root(root, arena_cstr(arena, prefix));
        if (fd >= 0) {
            close(fd);
        } else if (fd == -ENOENT) {
            Str parent, name, target, clean;
            tree_split(prefix, &parent, &name);
            int error = make_one(arena, root, parent, name, &target);
            if (error)
                return error;
            if (target.ptr) {
                if (++*links > LINKS_MAX)
                    return -ELOOP;
                if (clean_path(arena, target, true, &clean) != 0)
                    return -ENAMETOOLONG;
                error = make_path(arena, root, clean, links);
                if (error)
                    return error;
            }
        } else {
            return fd;
        }
        end++;
    }
    return 0;
}

int tree_open_directory(int root, Str path, bool create) {
    _arena_free_ Arena *arena = arena_new();
    const char *path_c = arena_cstr(arena, path);
    int fd = open_in_root(root, path_c);
    if (fd != -ENOENT || !create)
        return fd;
    int links = 0;
    int error = make_path(arena, root, path, &links);
    return error ? error : open_in_root(root, path_c);
}

// What is too deep is moved next to the tree that is removed, and removed from there afterwards.
typedef struct Removal {
    Arena *arena;
    int top;
    unsigned counter;
    char **moved; // names in `top`
    size_t n_moved;
} Removal;

static int move_up(Removal *removal, int directory, const char *name) {
    Str fresh;
    do {
        fresh = arena_printf(removal->arena, ".removed-%d-%u", getpid(), removal->counter++);
        if (renameat2(directory, name, removal->top, fresh.ptr, RENAME_NOREPLACE) == 0) {
            size_t n = removal->n_moved, size = sizeof(char *);
            if ((n & (n - 1)) == 0)
                removal->moved =
                    arena_grow(removal->arena, removal->moved, n * size, (n ? n * 2 : 1) * size);
            removal->moved[removal->n_moved++] = (char *)fresh.ptr;
            return 0;
        }
    } while (errno == EEXIST);
    return -errno;
}

static int remove_entry(Removal *removal, int directory, const char *name, int depth);

static int remove_directory(Removal *removal, int directory, const char *name, int depth) {
    if (depth > REMOVE_DEPTH_MAX)
        return move_up(removal, directory, name);
    int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    DIR *stream = fdopendir(fd);
    if (!stream) {
        int error = -errno;
        close(fd);
        return error;
    }
    int error = 0;
    struct dirent *entry;
    while (!error && (errno = 0, entry = readdir(stream)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            error = remove_entry(removal, fd, entry->d_name, depth + 1);
    if (!error && errno)
        error = -errno;
    closedir(stream);
    if (!error && unlinkat(directory, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        error = -errno;
    return error;
}

static int remove_entry(Removal *removal, int directory, const char *name, int depth) {
    if (unlinkat(directory, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    return remove_directory(removal, directory, name, depth);
}

int tree_remove(int directory, const char *name) {
    _arena_free_ Arena *arena = arena_new();
    Removal removal = {.arena = arena, .top = directory};
    int error = remove_entry(&removal, directory, name, 0);
    for (size_t i = 0; !error && i < removal.n_moved; i++)
        error = remove_directory(&removal, directory, removal.moved[i], 0);
    return error;
}
