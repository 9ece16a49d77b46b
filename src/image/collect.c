// Garbage collection: what no record, pin or living process uses goes. Marking holds the lock and
// only renames; deleting, which may take long, comes after.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/map.h"
#include "image/depot_internal.h"
#include "image/reference.h"
#include "image/strings.h"
#include "image/summary.h"
#include "image/tree.h"

#define CLAIM_MAX (64u << 10)

typedef struct Collection {
    Depot *depot;
    Arena *arena;
    Map *used; // digests of manifests, indexes, configs and layers; the value says nothing
    DepotCollected *collected;
    Failure *failure;
} Collection;

static void mark(Collection *collection, Str digest) {
    if (reference_is_sha256(digest))
        (void)map_put(collection->used, digest, collection);
}

static int collection_errno(Collection *collection, int error) {
    return failure_errno(collection->failure, error, "cannot collect garbage in the image store");
}

// The manifest and what belongs to it. An image that lacks a part counts only where `partial`: a
// container may still run on the rest. Sets `*ret_whole`.
static int mark_manifest(Collection *collection, Str manifest, bool partial, bool *ret_whole) {
    const ImageStore *store = collection->depot->store;
    Image image;
    Str text;
    *ret_whole = false;
    int error = store_read_file(store->root, store_summary_path(collection->arena, manifest),
                                IMAGE_SUMMARY_MAX, collection->arena, &text);
    if (error == -ENOENT)
        return 0;
    if (error)
        return collection_errno(collection, error);
    if (image_summary_decode(collection->arena, text, store->path, &image) < 0)
        return 0;
    *ret_whole = store_has_layers(store, &image);
    if (!*ret_whole && !partial)
        return 0;
    mark(collection, manifest);
    mark(collection, image.id);
    for (size_t i = 0; i < image.diff_ids.n; i++)
        mark(collection, image.diff_ids.items[i]);
    return 0;
}

static int mark_records(Collection *collection) {
    StoreRecords records;
    int error = store_records(collection->depot->store, collection->arena, STR_NONE, &records);
    if (error)
        return collection_errno(collection, error);
    for (size_t i = 0; i < records.n; i++) {
        bool whole;
        const StoreRecord *record = &records.items[i];
        int code = mark_manifest(collection, record->manifest, false, &whole);
        if (!code && !whole) { // nobody can use it: someone deleted files of the store by hand
            collection->collected->records++;
            code = depot_remove_record(collection->depot, record->repository, record->suffix,
                                       collection->failure);
        }
        if (code)
            return code;
        if (whole)
            mark(collection, record->target);
    }
    return 0;
}

static int mark_pins(Collection *collection) {
    ImageStrings pins;
    int error = image_store_pins(collection->depot->store, collection->arena, &pins);
    if (error)
        return collection_errno(collection, error);
    for (size_t i = 0; i < pins.n; i++) {
        Str text, path = arena_printf(collection->arena, "pins/%.*s", STR_ARG(pins.items[i]));
        error = store_read_file(collection->depot->store->root, path.ptr, 256, collection->arena,
                                &text);
        if (error == -ENOENT)
            continue;
        if (error)
            return collection_errno(collection, error);
        bool whole;
        Str manifest = str_trim(text);
        int code =
            reference_is_sha256(manifest) ? mark_manifest(collection, manifest, true, &whole) : 0;
        if (code)
            return code;
    }
    return 0;
}

static int mark_claim(Collection *collection, const char *name) {
    Str text, path = arena_printf(collection->arena, "tmp/%s/claim", name);
    int error = store_read_file(collection->depot->store->root, path.ptr, CLAIM_MAX,
                                collection->arena, &text);
    if (error && error != -ENOENT)
        return collection_errno(collection, error);
    while (!error && text.ptr)
        mark(collection, str_cut(&text, '\n'));
    return 0;
}

typedef int (*EachEntry)(Collection *collection, const char *directory, const char *name);

static int for_each(Collection *collection, const char *path, EachEntry each) {
    int fd = openat(collection->depot->store->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return collection_errno(collection, -errno);
    DIR *directory = fdopendir(fd);
    if (!directory) {
        int error = -errno;
        close(fd);
        return collection_errno(collection, error);
    }
    int code = 0;
    struct dirent *entry;
    while (!code && (errno = 0, entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            code = each(collection, path, entry->d_name);
    if (!code && errno)
        code = collection_errno(collection, -errno);
    closedir(directory);
    return code;
}

// Moves it into our working directory, which is deleted once the lock is free.
static int throw_away(Collection *collection, const char *directory, const char *name) {
    Depot *depot = collection->depot;
    Str from = arena_printf(collection->arena, "%s/%s", directory, name);
    Str to = arena_printf(collection->arena, "trash-%u", depot->serial++);
    if (renameat(depot->store->root, from.ptr, depot->work, to.ptr) < 0 && errno != ENOENT)
        return collection_errno(collection, -errno);
    return 0;
}

// A process that works here holds a flock on its directory.
static int visit_work(Collection *collection, const char *directory, const char *name) {
    Depot *depot = collection->depot;
    Str path = arena_printf(collection->arena, "%s/%s", directory, name);
    int fd = openat(depot->store->root, path.ptr, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : throw_away(collection, directory, name);
    bool alive = flock(fd, LOCK_EX | LOCK_NB) < 0;
    close(fd);
    if (alive)
        return mark_claim(collection, name);
    collection->collected->abandoned++;
    return throw_away(collection, directory, name);
}

static int visit_pin(Collection *collection, const char *directory, const char *name) {
    // A pin that was being written by a process that died: nobody writes one while we hold the
    // lock.
    return name[0] == '.' ? throw_away(collection, directory, name) : 0;
}

static bool is_used(const Collection *collection, const char *name) {
    Str digest = arena_printf(collection->arena, "sha256:%s", name);
    return map_get(collection->used, digest) != NULL;
}

static int visit_blob(Collection *collection, const char *directory, const char *name) {
    if (is_used(collection, name))
        return 0;
    collection->collected->blobs += directory[0] == 'b'; // and not its summary once more
    return throw_away(collection, directory, name);
}

static int visit_layer(Collection *collection, const char *directory, const char *name) {
    if (is_used(collection, name))
        return 0;
    LayerSize size;
    Str path = arena_printf(collection->arena, "%s/%s", directory, name);
    if (depot_read_layer(collection->depot, path.ptr, &size) == 0)
        collection->collected->bytes += size.bytes;
    collection->collected->layers++;
    return throw_away(collection, directory, name);
}

static int sweep(Collection *collection) {
    int code = mark_records(collection);
    if (!code)
        code = mark_pins(collection);
    if (!code)
        code = for_each(collection, "tmp", visit_work);
    if (!code)
        code = for_each(collection, "pins", visit_pin);
    // A summary goes before the layers that it names, a blob whenever.
    if (!code)
        code = for_each(collection, "summaries", visit_blob);
    if (!code)
        code = for_each(collection, "layers", visit_layer);
    if (!code)
        code = for_each(collection, "blobs/sha256", visit_blob);
    return code;
}

static int delete_trash(Collection *collection, unsigned first) {
    Depot *depot = collection->depot;
    for (unsigned i = first; i < depot->serial; i++) {
        int error = tree_remove(depot->work, arena_printf(collection->arena, "trash-%u", i).ptr);
        if (error)
            return collection_errno(collection, error);
    }
    return 0;
}

void depot_reap(Depot *depot) {
    // Exclusive, because a process that starts has its directory before it has it locked.
    if (flock(depot->store->lock, LOCK_EX | LOCK_NB) < 0)
        return;
    _arena_free_ Arena *arena = arena_new();
    _map_free_ Map *used = map_new();
    DepotCollected collected = {0};
    Failure failure = {0}; // of no interest: the next collection meets the same
    Collection collection = {depot, arena, used, &collected, &failure};
    unsigned first = depot->serial;
    (void)for_each(&collection, "tmp", visit_work);
    depot_unlock(depot);
    (void)delete_trash(&collection, first);
}

int depot_collect(Depot *depot, DepotCollected *ret_collected, Failure *failure) {
    _arena_free_ Arena *arena = arena_new();
    _map_free_ Map *used = map_new();
    *ret_collected = (DepotCollected){0};
    Collection collection = {depot, arena, used, ret_collected, failure};
    unsigned first = depot->serial;
    int code = depot_lock(depot, DEPOT_EXCLUSIVE, failure);
    if (code)
        return code;
    code = sweep(&collection);
    depot_unlock(depot);
    int trash_code = delete_trash(&collection, first);
    return code ? code : trash_code;
}
