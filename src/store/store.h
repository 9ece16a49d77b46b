#pragma once
// One ordered log of revisions behind one interface: memory, SQLite, etcd. The store sees keys and
// bytes only. Time and ids come from outside. Every call is made on the loop the store was opened
// on; `done` comes later on the same loop, never from inside a call. Writes are decided in the
// order of the calls; every operation takes effect at one moment between its call and its `done`.
//
// Revisions are positive, grow by one or more at each write, never repeat and never go back: not
// after a crash. An acknowledged write is on disk, except those with STORE_VOLATILE (design.md:
// heartbeat leases and events). A write that lost power before its `done` may or may not be there.
//
// A revision is held while its state can still be told: at least the last STORE_HISTORY of them,
// unless compacted by hand. What a crash may have lost (volatile writes) is not held afterwards.
//
// Whatever an error is not listed below is a negative errno: -EINVAL for an empty key or one longer
// than STORE_MAX_KEY, -EMSGSIZE for a value longer than STORE_MAX_VALUE, -EIO and the like from the
// disk (the outcome of a write is then unknown).

#include "base/bytes.h"
#include "base/loop.h"

typedef struct Store Store;
typedef struct StoreWatch StoreWatch;

// The expected revision does not match, or there is nothing to remove; result->records[0] holds
// what is there (if anything).
#define STORE_E_CONFLICT 1
#define STORE_E_COMPACTED 2 // that revision is no longer held
#define STORE_E_FUTURE 3    // that revision is not reached yet
#define STORE_E_FULL 4      // the disk is full: nothing was written, reads go on
#define STORE_E_NEWER 5     // store_sqlite_open: a newer Seapod wrote the file

typedef struct StoreRecord {
    Str key;
    Bytes *value;            // borrowed during the callback; take a reference to keep it
    int64_t create_revision; // of this incarnation of the key
    int64_t revision;        // of its last change
} StoreRecord;

// get: one record, or none when the key is absent (that is no error). put: the new record; remove:
// the one it removed.
typedef struct StoreResult {
    int64_t revision; // the store's, after the operation; of a write: the write's own
    StoreRecord *records;
    size_t n;
    bool more;         // range: the limit cut it
    int64_t remaining; // how many more, when known, else -1
} StoreResult;
// `result` is never NULL; after an error only `revision` (where known, else 0) and what that error
// says are set.
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
    // Keys with that prefix, from `from` (inclusive, may be empty) on, in byte order, at `revision`
    // (0: now), at most `limit` (0: all). STORE_E_COMPACTED, STORE_E_FUTURE.
    void (*range)(Store *store, Str prefix, Str from, int64_t revision, size_t limit,
                  StoreDone done, void *user);
    // Takes its own reference to `value`. STORE_E_CONFLICT, STORE_E_FULL.
    void (*put)(Store *store, Str key, Bytes *value, int64_t expected, unsigned flags,
                StoreDone done, void *user);
    // `expected`: a revision or STORE_ANY. STORE_E_CONFLICT (also when the key is absent),
    // STORE_E_FULL.
    void (*remove)(Store *store, Str key, int64_t expected, StoreDone done, void *user);
    // Every change with that prefix after `from_revision` (0: from the first one on, while all are
    // held), in order, none left out; then live. Events
    // of one call belong together up to `revision` (everything up to it has been delivered), which
    // may also advance without events; the first time that happens at the latest when the watch has
    // caught up with the store. Events are borrowed during the call.
    // `on_error(STORE_E_COMPACTED)`, `on_error(STORE_E_FUTURE)` or a negative errno ends the watch:
    // it is gone, watch_cancel() must not follow.
    StoreWatch *(*watch)(Store *store, Str prefix, int64_t from_revision,
                         void (*on_events)(void *user, const StoreEvent *events, size_t n,
                                           int64_t revision),
                         void (*on_error)(void *user, int error), void *user);
    // From anywhere, also from inside on_events of this or another watch; no callback follows.
    void (*watch_cancel)(StoreWatch *watch);
    // `done` with the store's revision as of now, after every watch has been told of all changes up
    // to it (and that it has reached it).
    void (*sync)(Store *store, StoreDone done, void *user);
    // Forgets what is older than `revision`, whose own state stays readable (as etcd).
    // STORE_E_COMPACTED when that was done already, STORE_E_FUTURE, STORE_E_FULL.
    void (*compact)(Store *store, int64_t revision, StoreDone done, void *user);
    // Finishes what was begun (every `done` comes), writes volatile puts out, then `closed`, and
    // the store is gone with the watches that are still open. No call may follow this one.
    void (*close)(Store *store, void (*closed)(void *user), void *user);
} StoreOps;

struct Store { // first member of every backend
    const StoreOps *ops;
    Loop *loop;
};

static inline void store_get(Store *s, Str key, StoreDone done, void *user) {
    s->ops->get(s, key, done, user);
}
static inline void store_range(Store *s, Str prefix, Str from, int64_t revision, size_t limit,
                               StoreDone done, void *user) {
    s->ops->range(s, prefix, from, revision, limit, done, user);
}
static inline void store_put(Store *s, Str key, Bytes *value, int64_t expected, unsigned flags,
                             StoreDone done, void *user) {
    s->ops->put(s, key, value, expected, flags, done, user);
}
static inline void store_remove(Store *s, Str key, int64_t expected, StoreDone done, void *user) {
    s->ops->remove(s, key, expected, done, user);
}
static inline StoreWatch *store_watch(Store *s, Str prefix, int64_t from_revision,
                                      void (*on_events)(void *, const StoreEvent *, size_t,
                                                        int64_t),
                                      void (*on_error)(void *, int), void *user) {
    return s->ops->watch(s, prefix, from_revision, on_events, on_error, user);
}
static inline void store_watch_cancel(Store *s, StoreWatch *watch) {
    s->ops->watch_cancel(watch);
}
static inline void store_sync(Store *s, StoreDone done, void *user) {
    s->ops->sync(s, done, user);
}
static inline void store_compact(Store *s, int64_t revision, StoreDone done, void *user) {
    s->ops->compact(s, revision, done, user);
}
static inline void store_close(Store *s, void (*closed)(void *), void *user) {
    s->ops->close(s, closed, user);
}

#define STORE_MAX_KEY 2048
#define STORE_MAX_VALUE (3 * 1024 * 1024)
#define STORE_HISTORY 10000 // revisions held for watches and old lists, at least, unless compacted

// Nothing on disk, no threads; runs on a simulated loop too.
Store *store_memory_new(Loop *loop);
// `path`: a file; made when missing, mode 0600. One store a file: a second process is refused with
// -EBUSY. Returns 0, negative errno, or STORE_E_NEWER when a newer Seapod wrote it. An older format
// is brought up to date after a copy to PATH.format-N. *ret_message (malloc'ed, may stay NULL) says
// in one line what is wrong.
int store_sqlite_open(Loop *loop, const char *path, Store **ret, char **ret_message)
    __attribute__((warn_unused_result));
