#pragma once
// Writing the image store (store.h tells its files). Everything appears at once or not at all, and
// only when it is on disk; a process that is killed leaves nothing but its tmp/ directory, which
// the next garbage collection takes.

#include "image/failure.h"
#include "image/store_files.h"
#include "image/unpack.h"

typedef struct Depot Depot;

// Opens DATA_DIR/images-store for writing, with a working directory of its own. Returns 0 or fills
// `failure`.
int depot_open(const char *data_dir, Depot **ret_depot, Failure *failure)
    __attribute__((warn_unused_result));
void depot_close(Depot *depot); // removes the working directory; NULL is fine
ImageStore *depot_store(Depot *depot);
int depot_empty(const Depot *depot); // an empty directory, for stages

// Waits for the store's lock. Held only for short, local work.
typedef enum DepotLock { DEPOT_SHARED, DEPOT_EXCLUSIVE } DepotLock;
int depot_lock(Depot *depot, DepotLock lock, Failure *failure) __attribute__((warn_unused_result));
void depot_unlock(Depot *depot);

// Keeps what has these digests (blobs and layers) from garbage collection while this depot is open,
// whether it is there already or comes later. Replaces an earlier claim.
int depot_claim(Depot *depot, const ImageStrings *digests, Failure *failure)
    __attribute__((warn_unused_result));

// A new, empty layer directory in progress. `*ret_fd` is open on its tree and the caller's to
// close.
int depot_new_layer(Depot *depot, Arena *arena, Str *ret_name, int *ret_fd, Failure *failure)
    __attribute__((warn_unused_result));
// Makes it the layer `diff_id`; drops it when that is there already. Its tree must be synced.
int depot_commit_layer(Depot *depot, Str name, Str diff_id, const UnpackResult *unpacked,
                       Failure *failure) __attribute__((warn_unused_result));
void depot_drop_layer(Depot *depot, Str name);
// Does the layer hide all layers below it?
bool depot_layer_is_opaque(Depot *depot, Str diff_id);

int depot_put_blob(Depot *depot, Str digest, Str bytes, Failure *failure)
    __attribute__((warn_unused_result));
// Writes the summary: the image can be read from now on, once a record names it. Sets image->layers
// by its diff ids, all of which must be there.
int depot_put_image(Depot *depot, Arena *arena, Image *image, Failure *failure)
    __attribute__((warn_unused_result));
// Only `repository`, `suffix`, `target` and `manifest` of the record count.
int depot_put_record(Depot *depot, const StoreRecord *record, Failure *failure)
    __attribute__((warn_unused_result));
// Under the exclusive lock. A missing record is fine.
int depot_remove_record(Depot *depot, Str repository, Str suffix, Failure *failure)
    __attribute__((warn_unused_result));

// What `import --new` remembers of a file; `path` is below imported/.
int depot_put_stamp(Depot *depot, const char *path, Str text, Failure *failure)
    __attribute__((warn_unused_result));

typedef struct DepotCollected {
    uint64_t layers, blobs, records; // how many went
    uint64_t bytes;                  // of layers, as they were unpacked
    uint64_t abandoned;              // working directories of processes that died
} DepotCollected;
// Deletes what processes left that were killed, unless somebody holds the lock right now.
void depot_reap(Depot *depot);
// Deletes what nothing uses. Takes the lock itself.
int depot_collect(Depot *depot, DepotCollected *ret_collected, Failure *failure)
    __attribute__((warn_unused_result));
