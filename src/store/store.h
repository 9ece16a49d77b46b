#pragma once
// One ordered log of revisions behind one interface: memory, SQLite, etcd. The store sees keys and bytes
// only. Time and ids come from outside. Every call is made on the loop the store was opened on; `done` comes later on
// the same loop, never from inside the call. Writes are decided in the order of the calls.
//
// Revisions are positive, grow by one or more at each write, never repeat and never go back: not after a crash.
// An acknowledged write is on disk, except those with STORE_VOLATILE (design.md: heartbeat leases and events).

#include "base/bytes.h"
#include "base/loop.h"

typedef struct Store Store;
typedef struct StoreWatch StoreWatch;

#define STORE_E_CONFLICT 1  // the expected revision does not match; result->record holds what is there (if anything)
#define STORE_E_COMPACTED 2 // that revision is no longer held
#define STORE_E_FUTURE 3    // that revision is not reached yet
#define STORE_E_FULL 4      // the disk is full: nothing was written, reads go on

typedef struct StoreRecord {
    Str key;
    Bytes *value;             // borrowed during the callback; take a reference to keep it
    int64_t create_revision;  // of this incarnation of the key
    int64_t revision;         // of its last change
} StoreRecord;

typedef struct StoreResult {
    int64_t revision; // the store's, after the operation
    StoreRecord *records;
    size_t n;
    bool more; // range: the limit cut it
    int64_t remaining; // how many more, when known, else -1
} StoreResult;
typedef void (*StoreDone)(void *user, int error, const StoreResult *result);

enum { STORE_VOLATILE = 1 }; // put: need not be on disk when acknowledged
#define STORE_ANY (-1)       // expected revision: whatever is there
#define STORE_ABSENT 0       // expected revision: the key must not exist

typedef struct StoreEvent {
    bool deleted;
    Str key;
    Bytes *value;    // new value; of a deletion: NULL
    Bytes *previous; // the value before, NULL on creation
    int64_t create_revision, revision, previous_revision;
} StoreEvent;

typedef struct StoreOps {
    void (*get)(Store *store, Str key, StoreDone done, void *user);
    // Keys with that prefix, from `from` (inclusive, may be empty) on, in byte order, at `revision` (0: now), at most
    // `limit` (0: all).
    void (*range)(Store *store, Str prefix, Str from, int64_t revision, size_t limit, StoreDone done, void *user);
    void (*put)(Store *store, Str key, Bytes *value, int64_t expected, unsigned flags, StoreDone done, void *user);
    void (*remove)(Store *store, Str key, int64_t expected, StoreDone done, void *user);
    // Every change with that prefix after `from_revision`, in order, none left out; then live. Events of one call belong
    // together up to `revision` (everything up to it has been delivered), which may also advance without events.
    // `on_error(STORE_E_COMPACTED)` ends the watch.
    StoreWatch *(*watch)(Store *store, Str prefix, int64_t from_revision,
                         void (*on_events)(void *user, const StoreEvent *events, size_t n, int64_t revision),
                         void (*on_error)(void *user, int error), void *user);
    void (*watch_cancel)(StoreWatch *watch);
    // `done` with the store's revision as of now, after every watch has been told of all changes up to it.
    void (*sync)(Store *store, StoreDone done, void *user);
    void (*compact)(Store *store, int64_t revision, StoreDone done, void *user);
    void (*close)(Store *store, void (*closed)(void *user), void *user); // finishes what was begun
} StoreOps;

struct Store { // first member of every backend
    const StoreOps *ops;
    Loop *loop;
};

static inline void store_get(Store *s, Str key, StoreDone done, void *user) { s->ops->get(s, key, done, user); }
static inline void store_range(Store *s, Str prefix, Str from, int64_t revision, size_t limit, StoreDone done, void *user) {
    s->ops->range(s, prefix, from, revision, limit, done, user);
}
static inline void store_put(Store *s, Str key, Bytes *value, int64_t expected, unsigned flags, StoreDone done, void *user) {
    s->ops->put(s, key, value, expected, flags, done, user);
}
static inline void store_remove(Store *s, Str key, int64_t expected, StoreDone done, void *user) {
    s->ops->remove(s, key, expected, done, user);
}
static inline StoreWatch *store_watch(Store *s, Str prefix, int64_t from_revision,
                                      void (*on_events)(void *, const StoreEvent *, size_t, int64_t),
                                      void (*on_error)(void *, int), void *user) {
    return s->ops->watch(s, prefix, from_revision, on_events, on_error, user);
}
static inline void store_sync(Store *s, StoreDone done, void *user) { s->ops->sync(s, done, user); }
static inline void store_compact(Store *s, int64_t revision, StoreDone done, void *user) {
    s->ops->compact(s, revision, done, user);
}
static inline void store_close(Store *s, void (*closed)(void *), void *user) { s->ops->close(s, closed, user); }

#define STORE_MAX_VALUE (3 * 1024 * 1024)
#define STORE_HISTORY 10000 // revisions kept for watches and old lists, at least, unless compacted by hand

Store *store_memory_new(Loop *loop);
// `path`: a file; made when missing, mode 0600. Returns 0, negative errno, or STORE_E_NEWER when a newer Seapod wrote it.
// *ret_message (malloc'ed, may stay NULL) says in one line what is wrong.
#define STORE_E_NEWER 5
int store_sqlite_open(Loop *loop, const char *path, Store **ret, char **ret_message)
    __attribute__((warn_unused_result));
