#include "image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "image/tree.h"

#define OPAQUE_XATTR "trusted.overlay.opaque"
// Times of directories are set last, when nothing is put into them any more.
#define DIRECTORY_TIMES_MAX (64u << 20) // bytes

typedef struct Unpack {
    struct archive *archive;
    Arena *arena; // emptied after each entry
    int root;
    const UnpackLimits *limits;
    UnpackResult *result;
    Failure *failure;
    Buf directory_times; // of struct DirectoryTime, each followed by its path and a NUL
} Unpack;

typedef struct DirectoryTime {
    struct timespec mtime;
} DirectoryTime;

// One entry of the archive, with its place in the tree.
typedef struct Entry {
    struct archive_entry *header;
    Arena *arena;
    Str path, parent, name; // clean
    const char *name_c;
    int directory; // the parent, O_PATH
} Entry;

static int bad_entry(Unpack *unpack, const Entry *entry, const char *what) {
    char path[512];
    snprintf(path, sizeof(path), "%.*s", STR_ARG(entry->path));
    failure_clean(path);
    return failure_set(unpack->failure, IMAGE_E_BAD_DATA, "layer entry \"%s\": %s", path, what);
}

// What an archive can bring about is its fault; the rest is this host's.
static int entry_errno(Unpack *unpack, const Entry *entry, int error) {
    switch (-error) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case EXDEV:
    case EPERM:
    case EINVAL:
    case EFBIG:
    case EMLINK:
        return bad_entry(unpack, entry, strerror(-error));
    default:
        return failure_errno(unpack->failure, error, "layer entry \"%.*s\"",
                             (int)(entry->path.len > 512 ? 512 : entry->path.len), entry->path.ptr);
    }
}

static int archive_failure(Unpack *unpack) {
    const char *text = archive_error_string(unpack->archive);
    int code = archive_errno(unpack->archive) == ENOMEM ? IMAGE_E_OTHER : IMAGE_E_BAD_DATA;
    return failure_set(unpack->failure, code, "cannot read the layer's tar: %s",
                       text ? text : "unknown error");
}

static struct timespec mtime_of(struct archive_entry *header) {
    if (!archive_entry_mtime_is_set(header))
        return (struct timespec){0};
    return (struct timespec){archive_entry_mtime(header), archive_entry_mtime_nsec(header)};
}

static bool is_whiteout(const struct stat *status) {
    return S_ISCHR(status->st_mode) && status->st_rdev == makedev(0, 0);
}

static int make_whiteout(int directory, const char *name) {
    return mknodat(directory, name, S_IFCHR | 0600, makedev(0, 0)) < 0 ? -errno : 0;
}

// Hides what lower layers hold in this directory. On the layer's root overlayfs would not look: the
// store leaves the lower layers out instead.
static int make_opaque(Unpack *unpack, const Entry *entry, int directory_path_fd, bool is_root) {
    if (is_root) {
        unpack->result->opaque_root = true;
        return 0;
    }
    int fd = openat(directory_path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return entry_errno(unpack, entry, -errno);
    int error = fsetxattr(fd, OPAQUE_XATTR, "y", 1, 0) < 0 ? -errno : 0;
    close(fd);
    if (error)
        return failure_errno(unpack->failure, error, "cannot set " OPAQUE_XATTR);
    return 0;
}

static bool starts_with(Str s, const char *prefix) {
    return str_starts_with(s, str_from(prefix));
}

// ".wh.NAME" and ".wh..wh..opq". Sets `*ret_done` when the entry was one.
static int apply_whiteout(Unpack *unpack, Entry *entry, bool *ret_done) {
    *ret_done = starts_with(entry->name, ".wh.");
    if (!*ret_done)
        return 0;
    if (str_eq(entry->name, STR(".wh..wh..opq")))
        return make_opaque(unpack, entry, entry->directory, entry->parent.len == 0);
    const char *hidden = entry->name_c + 4;
    if (!*hidden || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
        return bad_entry(unpack, entry, "whiteout of nothing");
    struct stat status;
    if (fstatat(entry->directory, hidden, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        // A whiteout speaks of lower layers only; what this layer brings itself stays.
        if (!S_ISDIR(status.st_mode))
            return 0;
        int fd = openat(entry->directory, hidden, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return entry_errno(unpack, entry, -errno);
        int error = make_opaque(unpack, entry, fd, false);
        close(fd);
        return error;
    }
    int error = errno == ENOENT ? make_whiteout(entry->directory, hidden) : -errno;
    return error ? entry_errno(unpack, entry, error) : 0;
}

// Only what containers need. trusted.overlay.* would steer overlayfs itself.
static bool xattr_is_wanted(const char *name) {
    if (strcmp(name, "security.capability") == 0)
        return true;
    return strncmp(name, "user.", 5) == 0 && strncmp(name, "user.overlay.", 13) != 0;
}

static int set_xattrs(Unpack *unpack, Entry *entry, int fd) {
    const char *name;
    const void *value;
    size_t size;
    archive_entry_xattr_reset(entry->header);
    while (archive_entry_xattr_next(entry->header, &name, &value, &size) == ARCHIVE_OK) {
        if (!name || !xattr_is_wanted(name))
            continue;
        if (size > XATTR_SIZE_MAX)
            return bad_entry(unpack, entry, "extended attribute too large");
        if (fsetxattr(fd, name, value, size, 0) == 0)
            continue;
        bool needed = strncmp(name, "security.", 9) == 0;
        if (needed || (errno != ENOTSUP && errno != EPERM))
            return entry_errno(unpack, entry, -errno);
    }
    return 0;
}

// Owner before mode (chown clears set-user-ID), both before capabilities, time last.
static int set_attributes(Unpack *unpack, Entry *entry, int fd) {
    int64_t uid = archive_entry_uid(entry->header), gid = archive_entry_gid(entry->header);
    if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
        return bad_entry(unpack, entry, "owner out of range");
    if (fchown(fd, (uid_t)uid, (gid_t)gid) < 0 ||
        fchmod(fd, archive_entry_perm(entry->header) & 07777) < 0)
        return entry_errno(unpack, entry, -errno);
    return set_xattrs(unpack, entry, fd);
}

// The same for what cannot be opened: links, pipes, devices.
static int set_attributes_at(Unpack *unpack, Entry *entry, bool is_link) {
    int64_t uid = archive_entry_uid(entry->header), gid = archive_entry_gid(entry->header);
    if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
        return bad_entry(unpack, entry, "owner out of range");
    struct timespec times[2] = {mtime_of(entry->header), mtime_of(entry->header)};
    if (fchownat(entry->directory, entry->name_c, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW) < 0)
        return entry_errno(unpack, entry, -errno);
    // We made the node ourselves a moment ago and nobody else writes here: it is no link.
    if (!is_link &&
        fchmodat(entry->directory, entry->name_c, archive_entry_perm(entry->header) & 07777, 0) < 0)
        return entry_errno(unpack, entry, -errno);
    if (utimensat(entry->directory, entry->name_c, times, AT_SYMLINK_NOFOLLOW) < 0 &&
        errno != EINVAL)
        return entry_errno(unpack, entry, -errno);
    return 0;
}

static int add_bytes(Unpack *unpack, uint64_t n) {
    if (n > unpack->limits->bytes || unpack->result->bytes > unpack->limits->bytes - n)
        return failure_set(unpack->failure, IMAGE_E_BAD_DATA,
                           "layer unpacks to more than %llu bytes",
                           (unsigned long long)unpack->limits->bytes);
    unpack->result->bytes += n;
    return 0;
}

static int write_block(int fd, const char *data, size_t len, off_t offset) {
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, offset);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
            offset += n;
        }
    }
    return 0;
}

static int write_content(Unpack *unpack, Entry *entry, int fd) {
    int64_t size = archive_entry_size_is_set(entry->header) ? archive_entry_size(entry->header) : 0;
    if (size < 0)
        return bad_entry(unpack, entry, "negative size");
    int code = add_bytes(unpack, (uint64_t)size);
    if (code)
        return code;
    for (;;) {
        const void *data;
        size_t len;
        int64_t offset;
        int status = archive_read_data_block(unpack->archive, &data, &len, &offset);
        if (status == ARCHIVE_EOF)
            break;
        if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
            return archive_failure(unpack);
        if (offset < 0 || offset > size || len > (uint64_t)(size - offset))
            return bad_entry(unpack, entry, "content beyond its size");
        int error = write_block(fd, data, len, offset);
        if (error)
            return entry_errno(unpack, entry, error);
    }
    // A hole at the end has no block.
    return ftruncate(fd, size) < 0 ? entry_errno(unpack, entry, -errno) : 0;
}

static int make_file(Unpack *unpack, Entry *entry) {
    int fd = openat(entry->directory, entry->name_c,
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return entry_errno(unpack, entry, -errno);
    int code = write_content(unpack, entry, fd);
    if (!code)
        code = set_attributes(unpack, entry, fd);
    struct timespec times[2] = {mtime_of(entry->header), mtime_of(entry->header)};
    if (!code && futimens(fd, times) < 0 && errno != EINVAL)
        code = entry_errno(unpack, entry, -errno);
    close(fd);
    return code;
}

static void remember_time(Unpack *unpack, const Entry *entry) {
    DirectoryTime record = {mtime_of(entry->header)};
    size_t len = sizeof(record) + entry->path.len + 1;
    char *place = buf_reserve(&unpack->directory_times, len);
    if (!place) { // more than fits: the rest keeps the time of unpacking
        unpack->directory_times.failed = false;
        return;
    }
    memcpy(place, &record, sizeof(record));
    memcpy(place + sizeof(record), entry->path.ptr, entry->path.len);
    place[len - 1] = '\0';
    buf_commit(&unpack->directory_times, len);
}

static void set_directory_times(Unpack *unpack) {
    const char *at = unpack->directory_times.data;
    const char *end = at + unpack->directory_times.len;
    while (at < end) {
        DirectoryTime record;
        memcpy(&record, at, sizeof(record));
        const char *path = at + sizeof(record);
        at = path + strlen(path) + 1;
        int fd = tree_open_directory(unpack->root, str_from(path), false);
        if (fd < 0)
            continue; // replaced by a later entry
        struct timespec times[2] = {record.mtime, record.mtime};
        (void)utimensat(fd, ".", times, 0);
        close(fd);
    }
}

static int make_directory(Unpack *unpack, Entry *entry, bool opaque) {
    bool is_root = entry->name.len == 0;
    if (!is_root && mkdirat(entry->directory, entry->name_c, 0700) < 0 && errno != EEXIST)
        return entry_errno(unpack, entry, -errno);
    int fd = openat(entry->directory, is_root ? "." : entry->name_c,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return entry_errno(unpack, entry, -errno);
    int code = set_attributes(unpack, entry, fd);
    if (!code && opaque)
        code = make_opaque(unpack, entry, fd, false);
    close(fd);
    if (!code)
        remember_time(unpack, entry);
    return code;
}

static int make_hard_link(Unpack *unpack, Entry *entry, const char *target) {
    Str clean, parent, name;
    int problem = tree_clean_path(entry->arena, str_from(target), &clean);
    if (problem || clean.len == 0)
        return bad_entry(unpack, entry,
                         problem == TREE_E_ESCAPES ? "hard link to outside the image"
                                                   : "hard link to nothing");
    tree_split(clean, &parent, &name);
    int directory = tree_open_directory(unpack->root, parent, false);
    if (directory < 0)
        return entry_errno(unpack, entry, directory);
    int error =
        linkat(directory, arena_cstr(entry->arena, name), entry->directory, entry->name_c, 0) < 0
            ? -errno
            : 0;
    close(directory);
    if (error == -ENOENT)
        return bad_entry(unpack, entry, "hard link to a file that this layer doesn't hold");
    return error ? entry_errno(unpack, entry, error) : 0;
}

static int make_symbolic_link(Unpack *unpack, Entry *entry) {
    const char *target = archive_entry_symlink(entry->header);
    if (!target || !*target)
        return bad_entry(unpack, entry, "symbolic link to nothing");
    if (symlinkat(target, entry->directory, entry->name_c) < 0)
        return entry_errno(unpack, entry, -errno);
    return set_attributes_at(unpack, entry, true);
}

// The devices that every container has anyway (OCI runtime-spec config-linux.md), for chroots
// inside images. Others would only be a danger to the host: 0/0 is overlayfs' whiteout, disks are
// disks.
static bool device_is_allowed(mode_t type, dev_t device) {
    static const unsigned char allowed[][2] = {{1, 3}, {1, 5}, {1, 7}, {1, 8},
                                               {1, 9}, {5, 0}, {5, 1}, {5, 2}};
    for (size_t i = 0; type == S_IFCHR && i < sizeof(allowed) / sizeof(allowed[0]); i++)
        if (major(device) == allowed[i][0] && minor(device) == allowed[i][1])
            return true;
    return false;
}

static int make_node(Unpack *unpack, Entry *entry, mode_t type) {
    dev_t device = makedev(0, 0);
    if (type != S_IFIFO) {
        device =
            makedev(archive_entry_rdevmajor(entry->header), archive_entry_rdevminor(entry->header));
        if (!device_is_allowed(type, device)) {
            unpack->result->skipped_devices++;
            return 0;
        }
    }
    if (mknodat(entry->directory, entry->name_c, type | 0600, device) < 0)
        return entry_errno(unpack, entry, -errno);
    return set_attributes_at(unpack, entry, false);
}

// Clears the place for the entry: a later one of the same name replaces an earlier one, but a
// directory stays. `*ret_whiteout`: what was there hid a lower layer's.
static int clear_place(Unpack *unpack, Entry *entry, bool is_directory, bool *ret_whiteout) {
    struct stat status;
    *ret_whiteout = false;
    if (fstatat(entry->directory, entry->name_c, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : entry_errno(unpack, entry, -errno);
    if (is_directory && S_ISDIR(status.st_mode))
        return 0;
    *ret_whiteout = is_whiteout(&status);
    int error = tree_remove(entry->directory, entry->name_c);
    return error ? entry_errno(unpack, entry, error) : 0;
}

static int place_entry(Unpack *unpack, Entry *entry) {
    bool done;
    int code = apply_whiteout(unpack, entry, &done);
    if (code || done)
        return code;
    const char *hard_link = archive_entry_hardlink(entry->header);
    mode_t type = archive_entry_filetype(entry->header);
    bool is_directory = !hard_link && type == S_IFDIR, was_whiteout = false;
    if (entry->name.len == 0)
        return is_directory ? make_directory(unpack, entry, false)
                            : bad_entry(unpack, entry, "the root is no directory");
    // A link to itself would vanish by making room for it.
    if (hard_link && str_eq(str_from(hard_link), entry->path))
        return 0;
    code = clear_place(unpack, entry, is_directory, &was_whiteout);
    if (code)
        return code;
    if (hard_link)
        return make_hard_link(unpack, entry, hard_link);
    switch (type) {
    case S_IFREG:
        return make_file(unpack, entry);
    case S_IFDIR:
        return make_directory(unpack, entry, was_whiteout);
    case S_IFLNK:
        return make_symbolic_link(unpack, entry);
    case S_IFIFO:
    case S_IFCHR:
    case S_IFBLK:
        return make_node(unpack, entry, type);
    default:
        return bad_entry(unpack, entry, "unknown type of file");
    }
}

// The remains of aufs: bookkeeping of Docker's oldest storage, not content.
static bool is_aufs_metadata(Str path) {
    while (path.ptr) {
        Str part = str_cut(&path, '/');
        if (starts_with(part, ".wh..wh.") && !str_eq(part, STR(".wh..wh..opq")))
            return true;
    }
    return false;
}

static int unpack_entry(Unpack *unpack, struct archive_entry *header) {
    Arena *arena = unpack->arena;
    arena_reset(arena);
    Entry entry = {.header = header, .arena = arena};
    const char *path = archive_entry_pathname(header);
    entry.path = str_from(path ? path : "");
    if (++unpack->result->entries > unpack->limits->entries)
        return failure_set(unpack->failure, IMAGE_E_BAD_DATA, "layer has more than %llu entries",
                           (unsigned long long)unpack->limits->entries);
    Str clean;
    int problem = tree_clean_path(arena, entry.path, &clean);
    if (problem)
        return bad_entry(unpack, &entry,
                         problem == TREE_E_ESCAPES ? "path leads out of the image" : "bad path");
    entry.path = clean;
    if (is_aufs_metadata(clean))
        return 0;
    tree_split(clean, &entry.parent, &entry.name);
    entry.name_c = arena_cstr(arena, entry.name);
    entry.directory = tree_open_directory(unpack->root, entry.parent, true);
    if (entry.directory < 0)
        return entry_errno(unpack, &entry, entry.directory);
    int code = place_entry(unpack, &entry);
    close(entry.directory);
    return code;
}

static int unpack_all(Unpack *unpack) {
    for (;;) {
        struct archive_entry *header;
        int status = archive_read_next_header(unpack->archive, &header);
        if (status == ARCHIVE_EOF)
            return 0;
        if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
            return archive_failure(unpack);
        int code = unpack_entry(unpack, header);
        if (code)
            return code;
    }
}

// What follows the archive's end (padding) counts for the digest: read it away.
static int drain(int input, Failure *failure) {
    char trash[16 << 10];
    for (;;) {
        ssize_t n = read(input, trash, sizeof(trash));
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return failure_errno(failure, -errno, "cannot read the layer");
    }
}

int unpack_tar(int input, int root, const UnpackLimits *limits, UnpackResult *ret_result,
               Failure *failure) {
    *ret_result = (UnpackResult){0};
    _arena_free_ Arena *arena = arena_new();
    Unpack unpack = {.arena = arena,
                     .root = root,
                     .limits = limits,
                     .result = ret_result,
                     .failure = failure,
                     .directory_times = BUF_INIT(DIRECTORY_TIMES_MAX)};
    umask(0);
    unpack.archive = archive_read_new();
    assert(unpack.archive);
    int code = 0;
    if (archive_read_support_format_tar(unpack.archive) != ARCHIVE_OK ||
        archive_read_open_fd(unpack.archive, input, 128 << 10) != ARCHIVE_OK)
        code = archive_failure(&unpack);
    if (!code)
        code = unpack_all(&unpack);
    if (!code)
        code = drain(input, failure);
    if (!code)
        set_directory_times(&unpack);
    if (!code) {
        int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || syncfs(fd) < 0)
            code = failure_errno(failure, -errno, "cannot sync the layer to disk");
        if (fd >= 0)
            close(fd);
    }
    buf_deinit(&unpack.directory_times);
    archive_read_free(unpack.archive);
    return code;
}
