#include "image/store_files.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/reference.h"
#include "image/summary.h"

int store_read_descriptor(int fd, size_t max, Arena *arena, Str *ret_text) {
    struct stat status;
    int error = 0;
    if (fstat(fd, &status) < 0)
        error = -errno;
    else if (!S_ISREG(status.st_mode))
        error = -EBADMSG;
    else if ((uint64_t)status.st_size > max)
        error = -EFBIG;
    size_t len = 0, size = error ? 0 : (size_t)status.st_size;
    char *data = arena_alloc(arena, size + 1);
    while (!error && len < size) {
        ssize_t n = pread(fd, data + len, size - len, (off_t)len);
        if (n > 0)
            len += (size_t)n;
        else if (n == 0)
            break;
        else if (errno != EINTR)
            error = -errno;
    }
    data[len] = '\0';
    *ret_text = str_of(data, len);
    return error;
}

int store_read_file(int directory, const char *path, size_t max, Arena *arena, Str *ret_text) {
    int fd = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int error = store_read_descriptor(fd, max, arena, ret_text);
    close(fd);
    return error;
}

static int write_all(int fd, Str text) {
    while (text.len) {
        ssize_t n = write(fd, text.ptr, text.len);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            text = str_slice(text, (size_t)n, text.len);
    }
    return 0;
}

int store_sync_directory(int directory, const char *path) {
    int fd = openat(directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return error;
}

int store_write_file(int directory, const char *temporary, const char *path, Str text, bool sync) {
    int fd =
        openat(directory, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int error = write_all(fd, text);
    if (!error && sync && fsync(fd) < 0)
        error = -errno;
    close(fd);
    if (!error && renameat(directory, temporary, directory, path) < 0)
        error = -errno;
    if (error) {
        (void)unlinkat(directory, temporary, 0);
        return error;
    }
    if (!sync)
        return 0;
    const char *slash = strrchr(path, '/');
    _arena_free_ Arena *arena = arena_new();
    Str parent = slash ? str_of(path, (size_t)(slash - path)) : STR(".");
    return store_sync_directory(directory, arena_cstr(arena, parent));
}

Str store_hex(Str digest) {
    assert(reference_is_sha256(digest));
    return str_slice(digest, 7, digest.len);
}

const char *store_blob_path(Arena *arena, Str digest) {
    return arena_printf(arena, "blobs/sha256/%.*s", STR_ARG(store_hex(digest))).ptr;
}

const char *store_layer_path(Arena *arena, Str diff_id) {
    return arena_printf(arena, "layers/%.*s", STR_ARG(store_hex(diff_id))).ptr;
}

const char *store_summary_path(Arena *arena, Str digest) {
    return arena_printf(arena, "summaries/%.*s", STR_ARG(store_hex(digest))).ptr;
}

bool store_has_layer(const ImageStore *store, Arena *arena, Str diff_id) {
    return faccessat(store->root, store_layer_path(arena, diff_id), F_OK, 0) == 0;
}

bool store_has_layers(const ImageStore *store, const Image *image) {
    for (size_t i = 0; i < image->layers.n; i++)
        if (faccessat(store->root, image->layers.items[i].ptr, F_OK, 0) < 0)
            return false;
    return true;
}

int store_read_summary(const ImageStore *store, Arena *arena, Str manifest, Image *ret_image) {
    Str text;
    int error = store_read_file(store->root, store_summary_path(arena, manifest), IMAGE_SUMMARY_MAX,
                                arena, &text);
    if (error)
        return error == -ENOENT ? IMAGE_STORE_E_NOT_FOUND : error;
    if (image_summary_decode(arena, text, store->path, ret_image) < 0 ||
        !str_eq(ret_image->manifest, manifest) || !store_has_layers(store, ret_image))
        return IMAGE_STORE_E_NOT_FOUND;
    return 0;
}

// "TARGET\nMANIFEST\n"
static bool parse_record(Str text, StoreRecord *record) {
    record->target = str_cut(&text, '\n');
    if (!text.ptr)
        return false;
    record->manifest = str_cut(&text, '\n');
    return text.ptr && text.len == 0 && reference_is_sha256(record->target) &&
           reference_is_sha256(record->manifest);
}

int store_read_record(const ImageStore *store, Arena *arena, Str repository, Str suffix,
                      StoreRecord *ret_record) {
    Str text;
    *ret_record = (StoreRecord){repository, suffix, STR_NONE, STR_NONE};
    Str path = arena_printf(arena, "images/%.*s/%.*s", STR_ARG(repository), STR_ARG(suffix));
    int error = store_read_file(store->root, path.ptr, STORE_RECORD_MAX, arena, &text);
    if (error == -ENOENT || error == -ENAMETOOLONG || error == -ENOTDIR)
        return IMAGE_STORE_E_NOT_FOUND;
    if (error && error != -EFBIG && error != -EBADMSG)
        return error;
    return !error && parse_record(text, ret_record) ? 0 : IMAGE_STORE_E_NOT_FOUND;
}

typedef struct Walk {
    const ImageStore *store;
    Arena *arena;
    StoreRecords *records;
    bool deep;
} Walk;

static void push_record(Walk *walk, const StoreRecord *record) {
    StoreRecords *records = walk->records;
    size_t n = records->n, size = sizeof(*record);
    if ((n & (n - 1)) == 0)
        records->items = arena_grow(walk->arena, records->items, n * size, (n ? n * 2 : 1) * size);
    records->items[records->n++] = *record;
}

static int walk_repository(Walk *walk, int parent, const char *name, Str repository);

static int walk_entry(Walk *walk, int directory, const char *name, Str repository) {
    if (name[0] == ':' || name[0] == '@') {
        StoreRecord record;
        Str suffix = arena_str(walk->arena, str_from(name));
        int error = store_read_record(walk->store, walk->arena, repository, suffix, &record);
        if (error == 0)
            push_record(walk, &record);
        return error == IMAGE_STORE_E_NOT_FOUND ? 0 : error;
    }
    if (!walk->deep || name[0] == '.')
        return 0;
    Str deeper = str_is_empty(repository)
                     ? arena_str(walk->arena, str_from(name))
                     : arena_printf(walk->arena, "%.*s/%s", STR_ARG(repository), name);
    return walk_repository(walk, directory, name, deeper);
}

static int walk_repository(Walk *walk, int parent, const char *name, Str repository) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) // another process may have removed it meanwhile; a stray file is nobody's record
        return errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG ? 0 : -errno;
    DIR *directory = fdopendir(fd);
    if (!directory) {
        int error = -errno;
        close(fd);
        return error;
    }
    int error = 0;
    struct dirent *entry;
    while (!error && (errno = 0, entry = readdir(directory)))
        error = walk_entry(walk, fd, entry->d_name, repository);
    if (!error && errno)
        error = -errno;
    closedir(directory);
    return error;
}

static int compare_records(const void *a, const void *b) {
    const StoreRecord *left = a, *right = b;
    int order = str_cmp(left->repository, right->repository);
    return order ? order : str_cmp(left->suffix, right->suffix);
}

int store_records(const ImageStore *store, Arena *arena, Str repository,
                  StoreRecords *ret_records) {
    *ret_records = (StoreRecords){0};
    Walk walk = {store, arena, ret_records, repository.ptr == NULL};
    Str path =
        repository.ptr ? arena_printf(arena, "images/%.*s", STR_ARG(repository)) : STR("images");
    int error =
        walk_repository(&walk, store->root, path.ptr, repository.ptr ? repository : STR(""));
    if (!error && ret_records->n > 1)
        qsort(ret_records->items, ret_records->n, sizeof(StoreRecord), compare_records);
    return error;
}
