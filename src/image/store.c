#include "image/store.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "image/reference.h"
#include "image/store_files.h"
#include "image/strings.h"

#define PIN_NAME_MAX 128
#define SHORT_ID_MIN 12
#define PIN_MAX 256 // bytes in a pin's file

static const char *const directories[] = {"blobs",     "blobs/sha256", "layers", "images",
                                          "summaries", "imported",     "pins",   "tmp"};

static int make_directory(int at, const char *path, mode_t mode) {
    return mkdirat(at, path, mode) < 0 && errno != EEXIST ? -errno : 0;
}

// Reads the format number, or writes ours into a new store.
static int check_format(ImageStore *store, Arena *arena) {
    Str text;
    int error = store_read_file(store->root, "format", 256, arena, &text);
    if (error == -ENOENT) {
        Str format = arena_printf(arena, "seapod-image-store %d\n", STORE_FORMAT);
        Str temporary = arena_printf(arena, ".format.%d", getpid());
        return store_write_file(store->root, temporary.ptr, "format", format, true);
    }
    if (error)
        return error;
    uint64_t number;
    Str prefix = STR("seapod-image-store ");
    if (!str_starts_with(text, prefix) ||
        str_to_u64(str_trim(str_slice(text, prefix.len, text.len)), &number) < 0)
        return -EBADMSG;
    return number > STORE_FORMAT ? IMAGE_STORE_E_NEWER : 0;
}

static int open_files(const char *data_dir, ImageStore *store, Arena *arena) {
    Str path = arena_printf(arena, "%s/images-store", data_dir);
    store->path = memory_alloc(path.len + 1);
    memcpy(store->path, path.ptr, path.len + 1);
    int error = make_directory(AT_FDCWD, data_dir, 0755);
    if (!error)
        error = make_directory(AT_FDCWD, store->path, 0700);
    if (error)
        return error;
    store->root = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->root < 0)
        return -errno;
    error = check_format(store, arena);
    for (size_t i = 0; !error && i < sizeof(directories) / sizeof(directories[0]); i++)
        error = make_directory(store->root, directories[i], 0700);
    if (error)
        return error;
    store->lock = openat(store->root, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return store->lock < 0 ? -errno : 0;
}

int image_store_open(const char *data_dir, ImageStore **ret_store) {
    _arena_free_ Arena *arena = arena_new();
    ImageStore *store = memory_new(ImageStore);
    store->root = store->lock = -1;
    int error = open_files(data_dir, store, arena);
    if (error) {
        image_store_free(store);
        return error;
    }
    *ret_store = store;
    return 0;
}

void image_store_free(ImageStore *store) {
    if (!store)
        return;
    if (store->root >= 0)
        close(store->root);
    if (store->lock >= 0)
        close(store->lock);
    free(store->path);
    free(store);
}

const char *image_store_path(const ImageStore *store) {
    return store->path;
}

// Tells the names among `records` that stand for `image`.
static void add_names(Arena *arena, const StoreRecords *records, Image *image) {
    for (size_t i = 0; i < records->n; i++) {
        const StoreRecord *record = &records->items[i];
        if (!str_eq(record->manifest, image->manifest))
            continue;
        Str name =
            arena_printf(arena, "%.*s%.*s", STR_ARG(record->repository), STR_ARG(record->suffix));
        bool tag = record->suffix.ptr[0] == ':';
        image_strings_push(arena, tag ? &image->repo_tags : &image->repo_digests, name);
    }
}

static int resolve_name(ImageStore *store, Arena *arena, const ImageReference *reference,
                        Image *ret_image) {
    Str repository = reference_repository(arena, reference);
    Str whole = reference_format(arena, reference);
    Str suffix = str_slice(whole, repository.len, whole.len);
    StoreRecord record;
    int error = store_read_record(store, arena, repository, suffix, &record);
    if (error && !(error == IMAGE_STORE_E_NOT_FOUND && reference->digest.ptr))
        return error;
    StoreRecords records;
    int walk_error = store_records(store, arena, repository, &records);
    if (walk_error)
        return walk_error;
    // A digest may be the platform manifest's own, where the record keeps the index's.
    for (size_t i = 0; error && i < records.n; i++)
        if (str_eq(records.items[i].manifest, reference->digest)) {
            record = records.items[i];
            error = 0;
        }
    if (!error)
        error = store_read_summary(store, arena, record.manifest, ret_image);
    if (!error)
        add_names(arena, &records, ret_image);
    return error;
}

static int resolve_id(ImageStore *store, Arena *arena, Str hex, Image *ret_image) {
    Image *images;
    size_t n;
    int error = image_store_list(store, arena, &images, &n);
    if (error)
        return error;
    const Image *found = NULL;
    for (size_t i = 0; i < n; i++) {
        if (!str_starts_with(store_hex(images[i].id), hex))
            continue;
        if (found)
            return IMAGE_STORE_E_AMBIGUOUS;
        found = &images[i];
    }
    if (!found)
        return IMAGE_STORE_E_NOT_FOUND;
    *ret_image = *found;
    return 0;
}

static bool is_hex(Str s) {
    for (size_t i = 0; i < s.len; i++)
        if (!strchr("0123456789abcdef", s.ptr[i]) || !s.ptr[i])
            return false;
    return s.len > 0;
}

int image_store_resolve(ImageStore *store, Arena *arena, Str name, bool short_ids,
                        Image *ret_image) {
    if (reference_is_sha256(name))
        return resolve_id(store, arena, store_hex(name), ret_image);
    if (name.len == 64 && is_hex(name))
        return resolve_id(store, arena, name, ret_image);
    ImageReference reference;
    Str message;
    int error = IMAGE_STORE_E_INVALID_NAME;
    if (reference_parse(arena, name, &reference, &message) == 0)
        error = resolve_name(store, arena, &reference, ret_image);
    if (error != IMAGE_STORE_E_NOT_FOUND || !short_ids)
        return error;
    if (str_starts_with(name, STR("sha256:")))
        name = str_slice(name, 7, name.len);
    if (name.len < SHORT_ID_MIN || !is_hex(name))
        return error;
    return resolve_id(store, arena, name, ret_image);
}

static int compare_images(const void *a, const void *b) {
    const Image *left = a, *right = b;
    int order = str_cmp(left->id, right->id);
    return order ? order : str_cmp(left->manifest, right->manifest);
}

static void append_strings(Arena *arena, ImageStrings *strings, const ImageStrings *more) {
    for (size_t i = 0; i < more->n; i++)
        image_strings_push(arena, strings, more->items[i]);
    image_strings_sort(strings);
}

// One config under several manifests (compressed differently, say) is one image with all their
// names.
static size_t merge_by_id(Arena *arena, Image *images, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && str_eq(images[kept - 1].id, images[i].id)) {
            append_strings(arena, &images[kept - 1].repo_tags, &images[i].repo_tags);
            append_strings(arena, &images[kept - 1].repo_digests, &images[i].repo_digests);
        } else {
            images[kept++] = images[i];
        }
    }
    return kept;
}

int image_store_list(ImageStore *store, Arena *arena, Image **ret_images, size_t *ret_n) {
    StoreRecords records;
    int error = store_records(store, arena, STR_NONE, &records);
    if (error)
        return error;
    ImageStrings manifests = {0};
    for (size_t i = 0; i < records.n; i++)
        image_strings_push(arena, &manifests, records.items[i].manifest);
    image_strings_sort(&manifests);
    Image *images = arena_array_of(arena, Image, manifests.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < manifests.n; i++) {
        if (i > 0 && str_eq(manifests.items[i], manifests.items[i - 1]))
            continue;
        error = store_read_summary(store, arena, manifests.items[i], &images[n]);
        if (error < 0)
            return error;
        if (error == 0)
            add_names(arena, &records, &images[n++]);
    }
    if (n > 1)
        qsort(images, n, sizeof(Image), compare_images);
    *ret_images = images;
    *ret_n = merge_by_id(arena, images, n);
    return 0;
}

static bool pin_name_is_valid(Str name) {
    if (name.len == 0 || name.len > PIN_NAME_MAX || name.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!isalnum((unsigned char)name.ptr[i]) && !strchr("_.-", name.ptr[i]))
            return false;
    return memchr(name.ptr, '\0', name.len) == NULL;
}

int image_store_pin(ImageStore *store, Str name, const Image *image) {
    if (!pin_name_is_valid(name))
        return -EINVAL;
    _arena_free_ Arena *arena = arena_new();
    if (flock(store->lock, LOCK_SH | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? IMAGE_STORE_E_BUSY : -errno;
    // Under the lock, what is there cannot be marked as garbage before the pin counts.
    Image found;
    int error = store_read_summary(store, arena, image->manifest, &found);
    if (!error)
        error = store_write_file(store->root, arena_printf(arena, "pins/.%.*s", STR_ARG(name)).ptr,
                                 arena_printf(arena, "pins/%.*s", STR_ARG(name)).ptr,
                                 arena_printf(arena, "%.*s\n", STR_ARG(image->manifest)), false);
    if (flock(store->lock, LOCK_UN) < 0 && !error)
        error = -errno;
    return error;
}

int image_store_unpin(ImageStore *store, Str name) {
    if (!pin_name_is_valid(name))
        return -EINVAL;
    _arena_free_ Arena *arena = arena_new();
    const char *path = arena_printf(arena, "pins/%.*s", STR_ARG(name)).ptr;
    return unlinkat(store->root, path, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int image_store_pinned(ImageStore *store, Arena *arena, Str name, Str *ret_manifest) {
    Str text;
    if (!pin_name_is_valid(name))
        return -EINVAL;
    int error = store_read_file(store->root, arena_printf(arena, "pins/%.*s", STR_ARG(name)).ptr,
                                PIN_MAX, arena, &text);
    if (error)
        return error == -ENOENT ? IMAGE_STORE_E_NOT_FOUND : error;
    *ret_manifest = str_trim(text);
    return 0;
}

int image_store_pins(ImageStore *store, Arena *arena, ImageStrings *ret_names) {
    *ret_names = (ImageStrings){0};
    int fd = openat(store->root, "pins", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *directory = fdopendir(fd);
    if (!directory) {
        int error = -errno;
        close(fd);
        return error;
    }
    struct dirent *entry;
    while ((errno = 0, entry = readdir(directory)))
        if (entry->d_name[0] != '.')
            image_strings_push(arena, ret_names, arena_str(arena, str_from(entry->d_name)));
    int error = errno ? -errno : 0;
    closedir(directory);
    image_strings_sort(ret_names);
    return error;
}
