#include "node/atomic_writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/map.h"
#include "base/rand.h"

#define NAME_LENGTH_MAX 255
#define PATH_LENGTH_MAX 4096
#define DATA "..data"
#define DATA_NEW "..data_tmp"
#define READ_MASK 0440 // what fsGroup adds to read-only volumes
#define DIRECTORY_MASK (S_ISGID | 0110)

typedef struct Writer {
    Arena *arena;
    int directory;     // descriptor of the volume
    AtomicFile *files; // with clean, distinct paths
    size_t n;
    int64_t group;
    char old[NAME_LENGTH_MAX + 1], new[64]; // names of the timestamped directories; "": none
    Map *visible;                           // first components of the paths
} Writer;

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
}
#define _close_ __attribute__((cleanup(close_fd)))

// Paths ------------------------------------------------------------------------------------------

static int bad_path(Writer *writer, Str path, const char *why, Str *ret_message) {
    *ret_message = arena_printf(writer->arena, "invalid path: %s: %.*s", why, STR_ARG(path));
    return -EINVAL;
}

// "a//b/./c" -> "a/b/c"
static int clean_path(Writer *writer, Str path, Str *ret, Str *ret_message) {
    if (!path.len)
        return bad_path(writer, path, "must not be empty", ret_message);
    if (path.ptr[0] == '/')
        return bad_path(writer, path, "must be relative path", ret_message);
    if (path.len > PATH_LENGTH_MAX || memchr(path.ptr, '\0', path.len))
        return bad_path(writer, path, "must be less than or equal to 4096 characters", ret_message);
    char *out = arena_alloc(writer->arena, path.len + 1);
    size_t len = 0;
    Str rest = path;
    while (rest.ptr) {
        Str part = str_cut(&rest, '/');
        if (!part.len || str_eq(part, STR(".")))
            continue;
        if (str_eq(part, STR("..")))
            return bad_path(writer, path, "must not contain '..'", ret_message);
        if (part.len > NAME_LENGTH_MAX)
            return bad_path(writer, path, "filenames must be less than or equal to 255 characters",
                            ret_message);
        if (!len && str_starts_with(part, STR("..")))
            return bad_path(writer, path, "must not start with '..'", ret_message);
        if (len)
            out[len++] = '/';
        memcpy(out + len, part.ptr, part.len);
        len += part.len;
    }
    out[len] = '\0';
    *ret = str_of(out, len);
    return len ? 0 : bad_path(writer, path, "must not be empty", ret_message);
}

static int take_files(Writer *writer, const AtomicFiles *files, Str *ret_message) {
    _map_free_ Map *seen = map_new();
    writer->files = arena_array_of(writer->arena, AtomicFile, files->n + 1);
    for (size_t i = 0; i < files->n; i++) {
        AtomicFile file = files->items[i];
        int error = clean_path(writer, file.path, &file.path, ret_message);
        if (error)
            return error;
        AtomicFile *same = map_get(seen, file.path);
        AtomicFile *into = same ? same : &writer->files[writer->n++];
        *into = file;
        map_put(seen, file.path, into);
        Str rest = file.path;
        Str first = str_cut(&rest, '/');
        map_put(writer->visible, first, writer);
    }
    return 0;
}

// What is there ----------------------------------------------------------------------------------

static bool same_content(int fd, Str data) {
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || (uint64_t)status.st_size != data.len)
        return false;
    char buffer[4096];
    for (size_t at = 0; at < data.len;) {
        ssize_t n = read(fd, buffer, sizeof buffer);
        if (n <= 0 || at + (size_t)n > data.len || memcmp(buffer, data.ptr + at, (size_t)n) != 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

static size_t count_files(int parent, const char *name) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (!directory) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    size_t n = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        struct stat status;
        if (fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(status.st_mode))
            n += count_files(fd, entry->d_name);
        else
            n++;
    }
    closedir(directory);
    return n;
}

static bool is_unchanged(Writer *writer) {
    _close_ int old =
        openat(writer->directory, writer->old, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (old < 0 || count_files(writer->directory, writer->old) != writer->n)
        return false;
    for (size_t i = 0; i < writer->n; i++) {
        _close_ int fd =
            openat(old, arena_cstr(writer->arena, writer->files[i].path), O_RDONLY | O_CLOEXEC);
        if (fd < 0 || !same_content(fd, writer->files[i].data))
            return false;
    }
    return true;
}

static void remove_tree(int parent, const char *name) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (!directory) {
        if (fd >= 0)
            close(fd);
        unlinkat(parent, name, 0);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            remove_tree(fd, entry->d_name);
    closedir(directory);
    unlinkat(parent, name, AT_REMOVEDIR);
}

// Writing ----------------------------------------------------------------------------------------

static int set_group(const Writer *writer, int fd, mode_t mode, bool directory) {
    if (writer->group >= 0) {
        if (fchown(fd, (uid_t)-1, (gid_t)writer->group) != 0)
            return -errno;
        mode |= READ_MASK | (directory ? DIRECTORY_MASK : 0);
    }
    return fchmod(fd, mode) == 0 ? 0 : -errno;
}

static int make_directory(const Writer *writer, int parent, const char *name, int *ret) {
    if (mkdirat(parent, name, 0755) != 0 && errno != EEXIST)
        return -errno;
    *ret = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*ret < 0)
        return -errno;
    return set_group(writer, *ret, 0755, true);
}

static int write_all(int fd, Str data) {
    for (size_t at = 0; at < data.len;) {
        ssize_t n = write(fd, data.ptr + at, data.len - at);
        if (n < 0 && errno != EINTR)
            return -errno;
        at += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int write_file(Writer *writer, int root, const AtomicFile *file) {
    int at = dup(root);
    if (at < 0)
        return -errno;
    Str rest = file->path, part = str_cut(&rest, '/');
    int error = 0;
    for (; rest.ptr && !error; part = str_cut(&rest, '/')) {
        int next = -1;
        error = make_directory(writer, at, arena_cstr(writer->arena, part), &next);
        close(at);
        at = next;
    }
    int fd = -1;
    if (!error) {
        fd = openat(at, arena_cstr(writer->arena, part),
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        error = fd < 0 ? -errno : write_all(fd, file->data);
    }
    if (!error && file->user && fchown(fd, file->user, (gid_t)-1) != 0)
        error = -errno;
    if (!error)
        error = set_group(writer, fd, file->mode & 0777, false);
    if (fd >= 0)
        close(fd);
    if (at >= 0)
        close(at);
    return error;
}

static int write_new(Writer *writer, int64_t now_ns) {
    struct tm tm;
    time_t seconds = (time_t)(now_ns / 1000000000);
    gmtime_r(&seconds, &tm);
    uint32_t random;
    rand_bytes(&random, sizeof random);
    char stamp[32];
    strftime(stamp, sizeof stamp, "..%Y_%m_%d_%H_%M_%S", &tm);
    snprintf(writer->new, sizeof writer->new, "%s.%u", stamp, random);
    if (mkdirat(writer->directory, writer->new, 0755) != 0)
        return -errno;
    _close_ int root = -1;
    int error = make_directory(writer, writer->directory, writer->new, &root);
    for (size_t i = 0; i < writer->n && !error; i++)
        error = write_file(writer, root, &writer->files[i]);
    return error;
}

static int own_link(const Writer *writer, const char *name) {
    if (writer->group >= 0 && fchownat(writer->directory, name, (uid_t)-1, (gid_t)writer->group,
                                       AT_SYMLINK_NOFOLLOW) != 0)
        return -errno;
    return 0;
}

static int link_visible(Writer *writer) {
    MapIter iter = {0};
    while (map_next(writer->visible, &iter)) {
        const char *name = arena_cstr(writer->arena, iter.key);
        Str target = arena_printf(writer->arena, DATA "/%s", name);
        if (symlinkat(target.ptr, writer->directory, name) != 0 && errno != EEXIST)
            return -errno;
        int error = own_link(writer, name);
        if (error)
            return error;
    }
    return 0;
}

static int swap(Writer *writer) {
    unlinkat(writer->directory, DATA_NEW, 0); // of a crash
    if (symlinkat(writer->new, writer->directory, DATA_NEW) != 0)
        return -errno;
    int error = own_link(writer, DATA_NEW);
    if (!error && renameat(writer->directory, DATA_NEW, writer->directory, DATA) != 0)
        error = -errno;
    return error;
}

// Old links and old timestamped directories; what else somebody put there stays.
static void remove_old(Writer *writer) {
    int fd = openat(writer->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (!directory) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory));) {
        const char *name = entry->d_name;
        struct stat status;
        if (!strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, DATA) ||
            !strcmp(name, writer->new) || fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISDIR(status.st_mode) && str_starts_with(str_from(name), STR("..2")))
            remove_tree(fd, name);
        else if (S_ISLNK(status.st_mode) && !map_get(writer->visible, str_from(name)))
            unlinkat(fd, name, 0);
    }
    closedir(directory);
}

static int write_content(Writer *writer, int64_t now_ns) {
    struct stat status;
    ssize_t len = readlinkat(writer->directory, DATA, writer->old, NAME_LENGTH_MAX);
    writer->old[len > 0 ? len : 0] = '\0';
    if (len > 0 && !strchr(writer->old, '/') && is_unchanged(writer))
        return 0;
    int error = write_new(writer, now_ns);
    if (!error)
        error = link_visible(writer);
    if (!error)
        error = swap(writer);
    if (!error && writer->group >= 0) {
        error = fstat(writer->directory, &status) != 0 ? -errno : 0;
        if (!error)
            error = set_group(writer, writer->directory, status.st_mode & 07777, true);
    }
    if (error)
        remove_tree(writer->directory, writer->new);
    else
        remove_old(writer);
    return error;
}

int atomic_write(Arena *arena, const char *directory, const AtomicFiles *files, int64_t now_ns,
                 Str *ret_message) {
    _map_free_ Map *visible = map_new();
    Writer writer = {.arena = arena, .group = files->group, .visible = visible};
    int error = take_files(&writer, files, ret_message);
    if (error)
        return error;
    _close_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    writer.directory = fd;
    error = fd < 0 ? -errno : write_content(&writer, now_ns);
    if (error)
        *ret_message = arena_printf(arena, "cannot write to %s: %s", directory, strerror(-error));
    return error;
}
