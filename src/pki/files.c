// The key files of a cluster. A new set is written into DIR/.new, which becomes DIR/.ready in one
// step and is then moved into place; whoever finds a DIR/.ready finishes that.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "pki/openssl.h"

#define MAX_FILE (64 * 1024)
#define CA_LIFETIME (10 * 365 * 86400 * NSEC_PER_SEC)
#define CLOCK_SKEW (3600 * NSEC_PER_SEC)

enum { FILE_CA_CERTIFICATE, FILE_CA_KEY, FILE_SERVICE_ACCOUNT_KEY, FILES };
static const char *const names[FILES] = {"ca.crt", "ca.key", "service-account.key"};

static void close_fd(const int *fd) {
    if (*fd >= 0)
        close(*fd);
}
#define _close_ __attribute__((cleanup(close_fd)))

// Opens the directory `name` below `at`, making it when `create`. Returns a descriptor or -errno.
static int directory_open(int at, const char *name, bool create) {
    if (create && mkdirat(at, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int read_file(Arena *arena, int directory, const char *name, Str *ret) {
    _close_ int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || status.st_size > MAX_FILE)
        return -EINVAL;
    size_t size = (size_t)status.st_size, len = 0;
    char *data = arena_alloc(arena, size + 1);
    while (len < size) {
        ssize_t n = read(fd, data + len, size - len);
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    data[len] = 0;
    *ret = str_of(data, len);
    return 0;
}

static int write_file(int directory, const char *name, Str data) {
    _close_ int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    while (data.len) {
        ssize_t n = write(fd, data.ptr, data.len);
        if (n < 0)
            return -errno;
        data = str_slice(data, (size_t)n, data.len);
    }
    return fsync(fd) < 0 ? -errno : 0;
}

static int sync_directory(int fd) {
    return fsync(fd) < 0 ? -errno : 0;
}

// Removes a set that was not completed.
static int forget_new(int directory) {
    _close_ int stage = directory_open(directory, ".new", false);
    if (stage < 0)
        return stage == -ENOENT ? 0 : stage;
    for (int i = 0; i < FILES; i++) {
        if (unlinkat(stage, names[i], 0) < 0 && errno != ENOENT)
            return -errno;
    }
    return unlinkat(directory, ".new", AT_REMOVEDIR) < 0 ? -errno : 0;
}

// Moves a complete set into place.
static int finish_ready(int directory) {
    _close_ int stage = directory_open(directory, ".ready", false);
    if (stage < 0)
        return stage == -ENOENT ? 0 : stage;
    for (int i = 0; i < FILES; i++) {
        if (renameat(stage, names[i], directory, names[i]) < 0 && errno != ENOENT)
            return -errno;
    }
    int error = sync_directory(directory);
    if (!error && unlinkat(directory, ".ready", AT_REMOVEDIR) < 0)
        error = -errno;
    return error;
}

static int create_set(Arena *arena, int directory, int64_t now) {
    PkiPair ca;
    Str account;
    int error =
        pki_ca_new(arena, STR("seapod-ca"), now - CLOCK_SKEW, now - CLOCK_SKEW + CA_LIFETIME, &ca);
    if (!error)
        error = pki_key_new(arena, &account);
    if (error)
        return error;
    const Str texts[FILES] = {ca.certificate, ca.key, account};
    _close_ int stage = directory_open(directory, ".new", true);
    if (stage < 0)
        return stage;
    for (int i = 0; !error && i < FILES; i++)
        error = write_file(stage, names[i], texts[i]);
    if (!error)
        error = sync_directory(stage);
    if (!error && renameat(directory, ".new", directory, ".ready") < 0)
        error = -errno;
    if (error)
        return error;
    error = sync_directory(directory);
    return error ? error : finish_ready(directory);
}

static int refuse(const char *directory, const char *name, int error) {
    log_error("pki", "cannot use the cluster's keys", "file=%s/%s error=\"%s\"", directory, name,
              error == -EINVAL ? "not a key or certificate of the kind that is needed, or not the "
                                 "one that belongs to the others"
                               : strerror(-error));
    return error;
}

static int check_set(Arena *arena, const char *path, PkiFiles *files) {
    _cleanup_(X509) X509 *certificate = NULL;
    _cleanup_(EVP_PKEY) EVP_PKEY *key = NULL;
    if (openssl_certificate_read(files->ca.certificate, &certificate) != 0)
        return refuse(path, names[FILE_CA_CERTIFICATE], -EINVAL);
    if (openssl_key_read(files->ca.key, &key) != 0 || X509_check_private_key(certificate, key) != 1)
        return refuse(path, names[FILE_CA_KEY], -EINVAL);
    if (pki_public_key(arena, files->service_account_key, &files->service_account_public) != 0)
        return refuse(path, names[FILE_SERVICE_ACCOUNT_KEY], -EINVAL);
    return 0;
}

int pki_load_or_create(Arena *arena, const char *path, int64_t now, PkiFiles *ret) {
    *ret = (PkiFiles){0};
    _close_ int directory = directory_open(AT_FDCWD, path, true);
    if (directory < 0)
        return directory;
    int error = finish_ready(directory);
    if (!error)
        error = forget_new(directory);
    bool is_empty = true;
    for (int i = 0; i < FILES; i++)
        is_empty &=
            faccessat(directory, names[i], F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
    if (!error && is_empty) {
        error = create_set(arena, directory, now);
        ret->created = !error;
        if (error)
            (void)!forget_new(directory);
    }
    if (error)
        return error;
    Str *const texts[FILES] = {&ret->ca.certificate, &ret->ca.key, &ret->service_account_key};
    for (int i = 0; i < FILES; i++) {
        error = read_file(arena, directory, names[i], texts[i]);
        if (error)
            return refuse(path, names[i], error);
    }
    return check_set(arena, path, ret);
}
