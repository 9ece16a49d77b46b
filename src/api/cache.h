#pragma once
// The watch cache of one stored resource: its current objects as a snapshot-able tree, a bounded
// history of events, and those who watch. Fed by the one store watch of the API server, in revision
// order; lists, gets and watches are answered from here. On the API's loop only.

#include "api/object.h"
#include "api/snapshot.h"
#include "base/list.h"
#include "base/loop.h"
#include "schema/selector.h"

typedef enum CacheEventType { CACHE_ADDED, CACHE_MODIFIED, CACHE_DELETED } CacheEventType;

// One term of a field selector, resolved against what the cache keeps of an object.
typedef struct FieldMatch {
    enum { FIELD_MATCH_NAME, FIELD_MATCH_NAMESPACE, FIELD_MATCH_INDEX } what;
    size_t index; // into CachedObject.fields
    Str value;
    bool equal;
} FieldMatch;

// Which objects a list or watch is about. Strings belong to the owner.
typedef struct ObjectFilter {
    Str namespace_, name;   // empty: any
    const Selector *labels; // NULL: any
    const FieldMatch *fields;
    size_t n_fields;
} ObjectFilter;
bool filter_matches(const ObjectFilter *filter, const CachedObject *object);
bool filter_selects(const ObjectFilter *filter); // has a label or field selector

typedef struct CacheEvent CacheEvent;
typedef struct CacheWatcher CacheWatcher;
struct CacheWatcher { // embedded in its owner
    ObjectFilter filter;
    // Takes one event and says whether it can take more now; after `false` nothing comes until
    // cache_watcher_resume(). `object` is borrowed. Must not end the watcher.
    bool (*deliver)(CacheWatcher *watcher, CacheEventType type, CachedObject *object,
                    CacheEvent *event);
    // Fell so far behind that the history no longer holds what comes next; the watcher is detached.
    void (*cut)(CacheWatcher *watcher);
    // The resource is no longer served; the watcher is detached.
    void (*end)(CacheWatcher *watcher);
    // Private from here on.
    Cache *cache;
    void *bucket;
    ListLink in_bucket, in_lagging;
    int64_t after;     // events up to this revision are not wanted
    uint64_t position; // while lagging: the next event's sequence number
};

#define CACHE_E_TOO_OLD 1 // the history does not reach back that far; cache_oldest() says how far

Cache *cache_new(const ServedResource *served);
void cache_free(Cache *cache); // no watcher may be left
const ServedResource *cache_served(const Cache *cache);
// The initial content: objects in any order, then the revision of the listing.
void cache_load(Cache *cache, CachedObject *object); // takes the reference
void cache_loaded(Cache *cache, int64_t revision);

// Applies one change; `object` is NULL for a deletion. `scratch` is reset. `now` is for dropping
// what has become old from the history.
void cache_apply(Cache *cache, Arena *scratch, Str key, CachedObject *object, int64_t revision,
                 int64_t now);

// Drops what has become old from the history without a change. True when more will have to go later.
bool cache_age(Cache *cache, int64_t now);

Snapshot *cache_root(const Cache *cache); // borrowed; snapshot_ref() it to keep a snapshot
CachedObject *cache_get(const Cache *cache, Str namespace_, Str name); // borrowed; NULL when absent
int64_t cache_changed(const Cache *cache);                             // revision of the last event
int64_t cache_oldest(const Cache *cache); // watches can begin at this revision or later
size_t cache_history_bytes(const Cache *cache);

// Begins with the event after `after`. Returns 0 or CACHE_E_TOO_OLD. Nothing is delivered from
// inside: call cache_watcher_resume() when ready.
int cache_watch(Cache *cache, CacheWatcher *watcher, int64_t after)
    __attribute__((warn_unused_result));
void cache_watcher_resume(CacheWatcher *watcher);
void cache_watcher_stop(CacheWatcher *watcher); // fine when not watching
void cache_end_watches(Cache *cache);           // of a resource that goes away
size_t cache_watchers(const Cache *cache);

// {"type":"ADDED","object":{...}} and a line feed. With an event at hand the frame is made once and
// shared by all who watch; it is borrowed until the event has been delivered. Without one the
// caller owns it.
Bytes *cache_event_frame(CacheEvent *event, CacheEventType type, const CachedObject *object);
Bytes *cache_frame_new(CacheEventType type, Str json);
const char *cache_event_name(CacheEventType type);

// Somebody inside the API server who must know every change (the authorizer's index). `previous` or
// `object` may be NULL. Called before watchers are told, and for each object while loading.
typedef void (*CacheListener)(void *user, CachedObject *previous, CachedObject *object);
void cache_listen(Cache *cache, CacheListener listener, void *user);
