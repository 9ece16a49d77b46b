#include "image/depot.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/rand.h"
#include "image/depot_internal.h"
#include "image/strings.h"
#include "image/summary.h"
#include "image/tree.h"

static int make_work(Depot *depot) {
    uint64_t random;
    rand_bytes(&random, sizeof(random));
    snprintf(depot->name, sizeof(depot->name), "%d-%016llx", getpid(), (unsigned long long)random);
    char path[96];
    snprintf(path, sizeof(path), "tmp/%s", depot->name);
    if (mkdirat(depot->store->root, path, 0700) < 0)
        return -errno;
    depot->work = openat(depot->store->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (depot->work < 0 || flock(depot->work, LOCK_EX | LOCK_NB) < 0)
        return -errno;
    // Stages run as nobody, with this as their root.
    if (mkdirat(depot->work, "empty", 0755) < 0)
        return -errno;
    depot->empty = openat(depot->work, "empty", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return depot->empty < 0 ? -errno : 0;
}

int depot_open(const char *data_dir, Depot **ret_depot, Failure *failure) {
    Depot *depot = memory_new(Depot);
    depot->work = depot->empty = -1;
    int code = 0, error = image_store_open(data_dir, &depot->store);
    if (error == IMAGE_STORE_E_NEWER)
        code = failure_set(failure, IMAGE_E_OTHER,
                           "%s/images-store was written by a newer version of seapod", data_dir);
    else if (error)
        code = failure_errno(failure, error, "cannot open %s/images-store", data_dir);
    if (!code)
        code = depot_lock(depot, DEPOT_SHARED, failure);
    if (!code) {
        error = make_work(depot);
        if (error)
            code = failure_errno(failure, error, "cannot write to %s/images-store/tmp", data_dir);
        depot_unlock(depot);
    }
    if (code) {
        depot_close(depot);
        return code;
    }
    *ret_depot = depot;
    return 0;
}

void depot_close(Depot *depot) {
    if (!depot)
        return;
    if (depot->empty >= 0)
        close(depot->empty);
    if (depot->work >= 0) {
        // Still locked, so that nobody else removes it meanwhile; a rest is the next collection's.
        int tmp = openat(depot->store->root, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (tmp >= 0) {
            (void)!tree_remove(tmp, depot->name);
            close(tmp);
        }
        close(depot->work);
    }
    image_store_free(depot->store);
    free(depot);
}

ImageStore *depot_store(Depot *depot) {
    return depot->store;
}
int depot_empty(const Depot *depot) {
    return depot->empty;
}

int depot_lock(Depot *depot, DepotLock lock, Failure *failure) {
    while (flock(depot->store->lock, lock == DEPOT_SHARED ? LOCK_SH : LOCK_EX) < 0)
        if (errno != EINTR)
            return failure_errno(failure, -errno, "cannot lock the image store");
    return 0;
}

void depot_unlock(Depot *depot) {
    (void)flock(depot->store->lock, LOCK_UN);
}

static int write_failure(int error, const char *what, Failure *failure) {
    return failure_errno(failure, error, "cannot write %s to the image store", what);
}

// A name in the working directory that was not used before, as a path from the store's root.
static Str fresh_path(Depot *depot, Arena *arena, const char *what) {
    return arena_printf(arena, "tmp/%s/%s-%u", depot->name, what, depot->serial++);
}

int depot_claim(Depot *depot, const ImageStrings *digests, Failure *failure) {
    _arena_free_ Arena *arena = arena_new();
    Str text = arena_concat(arena, digests->items, digests->n, STR("\n"));
    int code = depot_lock(depot, DEPOT_SHARED, failure);
    if (code)
        return code;
    int error = store_write_file(depot->store->root, fresh_path(depot, arena, "claim").ptr,
                                 arena_printf(arena, "tmp/%s/claim", depot->name).ptr, text, false);
    depot_unlock(depot);
    return error ? write_failure(error, "a claim", failure) : 0;
}

int depot_new_layer(Depot *depot, Arena *arena, Str *ret_name, int *ret_fd, Failure *failure) {
    *ret_name = arena_printf(arena, "layer-%u", depot->serial++);
    Str tree = arena_printf(arena, "%s/fs", ret_name->ptr);
    *ret_fd = -1;
    // The tree's own mode is a container's "/" unless the layer tells another.
    if (mkdirat(depot->work, ret_name->ptr, 0700) == 0 && mkdirat(depot->work, tree.ptr, 0755) == 0)
        *ret_fd = openat(depot->work, tree.ptr, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? write_failure(-errno, "a layer", failure) : 0;
}

void depot_drop_layer(Depot *depot, Str name) {
    _arena_free_ Arena *arena = arena_new();
    (void)!tree_remove(depot->work, arena_cstr(arena, name));
}

static Str encode_layer(Arena *arena, const UnpackResult *unpacked) {
    json_t *root = json_object();
    json_object_set_new(root, "bytes", json_integer((json_int_t)unpacked->bytes));
    json_object_set_new(root, "entries", json_integer((json_int_t)unpacked->entries));
    json_object_set_new(root, "opaqueRoot", json_boolean(unpacked->opaque_root));
    char *text = json_dumps(root, JSON_COMPACT);
    if (!text)
        abort();
    Str copy = arena_printf(arena, "%s\n", text);
    free(text);
    json_decref(root);
    return copy;
}

int depot_read_layer(const Depot *depot, const char *path, LayerSize *ret_size) {
    _arena_free_ Arena *arena = arena_new();
    Str text;
    *ret_size = (LayerSize){0};
    int error = store_read_file(depot->store->root, arena_printf(arena, "%s/layer.json", path).ptr,
                                4096, arena, &text);
    if (error)
        return error;
    json_t *root = json_loadb(text.ptr, text.len, 0, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        return -EBADMSG;
    }
    ret_size->bytes = (uint64_t)json_integer_value(json_object_get(root, "bytes"));
    ret_size->entries = (uint64_t)json_integer_value(json_object_get(root, "entries"));
    ret_size->opaque_root = json_is_true(json_object_get(root, "opaqueRoot"));
    json_decref(root);
    return 0;
}

int depot_commit_layer(Depot *depot, Str name, Str diff_id, const UnpackResult *unpacked,
                       Failure *failure) {
    _arena_free_ Arena *arena = arena_new();
    Str from = arena_printf(arena, "tmp/%s/%.*s", depot->name, STR_ARG(name));
    const char *to = store_layer_path(arena, diff_id);
    int root = depot->store->root;
    int error = store_write_file(root, arena_printf(arena, "%s/.layer.json", from.ptr).ptr,
                                 arena_printf(arena, "%s/layer.json", from.ptr).ptr,
                                 encode_layer(arena, unpacked), true);
    if (!error && renameat2(root, from.ptr, root, to, RENAME_NOREPLACE) < 0)
        error = -errno;
    if (!error)
        error = store_sync_directory(root, "layers");
    if (error == -EEXIST) { // another process was faster, or this one saw the layer twice
        depot_drop_layer(depot, name);
        error = 0;
    }
    return error ? write_failure(error, "a layer", failure) : 0;
}

bool depot_layer_is_opaque(Depot *depot, Str diff_id) {
    _arena_free_ Arena *arena = arena_new();
    LayerSize size;
    return depot_read_layer(depot, store_layer_path(arena, diff_id), &size) == 0 &&
           size.opaque_root;
}

static int put_file(Depot *depot, const char *path, Str text, const char *what, Failure *failure) {
    _arena_free_ Arena *arena = arena_new();
    int error = store_write_file(depot->store->root, fresh_path(depot, arena, "file").ptr, path,
                                 text, true);
    return error ? write_failure(error, what, failure) : 0;
}

int depot_put_blob(Depot *depot, Str digest, Str bytes, Failure *failure) {
    _arena_free_ Arena *arena = arena_new();
    return put_file(depot, store_blob_path(arena, digest), bytes, "a blob", failure);
}

int depot_put_stamp(Depot *depot, const char *path, Str text, Failure *failure) {
    return put_file(depot, path, text, "a stamp", failure);
}

int depot_put_image(Depot *depot, Arena *arena, Image *image, Failure *failure) {
    image->layers = (ImageStrings){0};
    for (size_t i = 0; i < image->diff_ids.n; i++) {
        Str diff_id = image->diff_ids.items[i];
        assert(store_has_layer(depot->store, arena, diff_id));
        if (depot_layer_is_opaque(depot, diff_id))
            image->layers.n = 0;
        image_strings_push(
            arena, &image->layers,
            arena_printf(arena, "%s/%s/fs", depot->store->path, store_layer_path(arena, diff_id)));
    }
    _buf_deinit_ Buf out = BUF_INIT(IMAGE_SUMMARY_MAX);
    image_summary_encode(image, false, &out);
    if (out.failed)
        return failure_set(failure, IMAGE_E_BAD_DATA, "the image's configuration is too large");
    return put_file(depot, store_summary_path(arena, image->manifest), buf_view(&out), "an image",
                    failure);
}

// mkdir -p below images/.
static int make_repository(Depot *depot, Arena *arena, Str repository) {
    for (size_t end = 0; end < repository.len; end++) {
        while (end < repository.len && repository.ptr[end] != '/')
            end++;
        Str path = arena_printf(arena, "images/%.*s", (int)end, repository.ptr);
        if (mkdirat(depot->store->root, path.ptr, 0700) == 0) {
            int error = store_sync_directory(
                depot->store->root,
                arena_cstr(arena, str_slice(path, 0, (size_t)str_find_last(path, '/'))));
            if (error)
                return error;
        } else if (errno != EEXIST) {
            return -errno;
        }
    }
    return 0;
}

int depot_put_record(Depot *depot, const StoreRecord *record, Failure *failure) {
    _arena_free_ Arena *arena = arena_new();
    Str path = arena_printf(arena, "images/%.*s/%.*s", STR_ARG(record->repository),
                            STR_ARG(record->suffix));
    Str text =
        arena_printf(arena, "%.*s\n%.*s\n", STR_ARG(record->target), STR_ARG(record->manifest));
    int code = depot_lock(depot, DEPOT_SHARED, failure);
    if (code)
        return code;
    int error = make_repository(depot, arena, record->repository);
    if (error)
        code = write_failure(error, "a record", failure);
    else
        code = put_file(depot, path.ptr, text, "a record", failure);
    depot_unlock(depot);
    return code;
}

int depot_remove_record(Depot *depot, Str repository, Str suffix, Failure *failure) {
    _arena_free_ Arena *arena = arena_new();
    Str path = arena_printf(arena, "images/%.*s/%.*s", STR_ARG(repository), STR_ARG(suffix));
    if (unlinkat(depot->store->root, path.ptr, 0) < 0 && errno != ENOENT)
        return failure_errno(failure, -errno, "cannot remove %s", path.ptr);
    // Directories that became empty; the first that is not ends it.
    for (;;) {
        ptrdiff_t slash = str_find_last(path, '/');
        path = str_slice(path, 0, (size_t)slash);
        if (str_eq(path, STR("images")) ||
            unlinkat(depot->store->root, arena_cstr(arena, path), AT_REMOVEDIR) < 0)
            return 0;
    }
}
