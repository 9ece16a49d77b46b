#include "api/cache.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/memory.h"

// The history keeps at least LEAST events, at most MOST, and beyond LEAST neither more than BYTES
// of JSON nor anything older than AGE (upstream's DefaultEventFreshDuration).
#define HISTORY_LEAST 64
#define HISTORY_MOST 4096
#define HISTORY_BYTES (512 * 1024)
#define HISTORY_AGE_NS (75 * NSEC_PER_SEC)
// While somebody lags: enough that a burst can pass, and a bound on what one who never reads costs.
#define LAG_MOST 16384
#define LAG_BYTES (16 * 1024 * 1024)
#define LAG_AGE_NS (10 * NSEC_PER_SEC)
#define MAX_LISTENERS 4

struct CacheEvent {
    CacheEventType type;
    int64_t revision, time;
    CachedObject
        *object; // after the change; of a deletion: as it was, with the deletion's revision
    CachedObject *previous; // NULL when it was added
    Bytes *frames[3];       // by CacheEventType, only while the event is being delivered
};

// Watchers by what they are about, so that a change wakes only those it can concern: everything,
// one namespace, one name, or one value of a selectable field.
typedef struct Bucket {
    List watchers;
    char *key;
    size_t key_len;
    int field; // index of the selectable field, or -1
} Bucket;

struct Cache {
    const ServedResource *served;
    Snapshot *root;
    int64_t changed, oldest;
    CacheEvent *events; // a ring; capacity is a power of two
    size_t capacity, history_bytes;
    uint64_t first, next; // sequence numbers: events[first..next) modulo capacity
    Map *buckets;
    size_t *field_buckets; // how many buckets there are for each selectable field
    size_t n_watchers;
    List lagging;
    bool framed; // events keep their frames, for those who lag
    struct {
        CacheListener fn;
        void *user;
    } listeners[MAX_LISTENERS];
    size_t n_listeners;
};

static bool field_term_matches(const FieldMatch *match, const CachedObject *object) {
    Str have = match->what == FIELD_MATCH_NAME        ? object->name
               : match->what == FIELD_MATCH_NAMESPACE ? object->namespace_
                                                      : object->fields[match->index];
    return str_eq(have, match->value) == match->equal;
}

bool filter_matches(const ObjectFilter *filter, const CachedObject *object) {
    if (filter->namespace_.len && !str_eq(filter->namespace_, object->namespace_))
        return false;
    if (filter->name.len && !str_eq(filter->name, object->name))
        return false;
    for (size_t i = 0; i < filter->n_fields; i++) {
        if (!field_term_matches(&filter->fields[i], object))
            return false;
    }
    return !filter->labels || selector_matches(filter->labels, object->labels);
}

bool filter_selects(const ObjectFilter *filter) {
    return filter->n_fields || (filter->labels && !selector_is_everything(filter->labels));
}

Cache *cache_new(const ServedResource *served) {
    Cache *cache = memory_new(Cache);
    cache->served = served;
    cache->buckets = map_new();
    list_init(&cache->lagging);
    return cache;
}

static CacheEvent *event_at(const Cache *cache, uint64_t sequence) {
    return &cache->events[sequence & (cache->capacity - 1)];
}

static void drop_frames(CacheEvent *event) {
    for (size_t i = 0; i < 3; i++) {
        bytes_unref(event->frames[i]);
        event->frames[i] = NULL;
    }
}

static void drop_first(Cache *cache) {
    CacheEvent *event = event_at(cache, cache->first++);
    cache->oldest = event->revision;
    cache->history_bytes -= event->object->json->len;
    drop_frames(event);
    object_unref(event->object);
    object_unref(event->previous);
}

void cache_free(Cache *cache) {
    if (!cache)
        return;
    assert(cache->n_watchers == 0);
    while (cache->first < cache->next)
        drop_first(cache);
    free(cache->events);
    map_free(cache->buckets);
    free(cache->field_buckets);
    snapshot_unref(cache->root);
    free(cache);
}

const ServedResource *cache_served(const Cache *cache) {
    return cache->served;
}

static void tell_listeners(Cache *cache, CachedObject *previous, CachedObject *object) {
    for (size_t i = 0; i < cache->n_listeners; i++)
        cache->listeners[i].fn(cache->listeners[i].user, previous, object);
}

void cache_load(Cache *cache, CachedObject *object) {
    cache->root = snapshot_put(cache->root, object);
    tell_listeners(cache, NULL, object);
    object_unref(object);
}

void cache_loaded(Cache *cache, int64_t revision) {
    cache->changed = cache->oldest = revision;
}

void cache_listen(Cache *cache, CacheListener listener, void *user) {
    assert(cache->n_listeners < MAX_LISTENERS);
    cache->listeners[cache->n_listeners].fn = listener;
    cache->listeners[cache->n_listeners++].user = user;
}

Snapshot *cache_root(const Cache *cache) {
    return cache->root;
}

CachedObject *cache_get(const Cache *cache, Str namespace_, Str name) {
    if (!namespace_.len)
        return snapshot_get(cache->root, name);
    char key[512]; // 63 + 1 + 253 at most, whatever a URL says
    if (namespace_.len + name.len + 1 > sizeof key)
        return NULL;
    memcpy(key, namespace_.ptr, namespace_.len);
    key[namespace_.len] = '/';
    memcpy(key + namespace_.len + 1, name.ptr, name.len);
    return snapshot_get(cache->root, str_of(key, namespace_.len + 1 + name.len));
}

int64_t cache_changed(const Cache *cache) {
    return cache->changed;
}

int64_t cache_oldest(const Cache *cache) {
    return cache->oldest;
}

size_t cache_history_bytes(const Cache *cache) {
    return cache->history_bytes;
}

size_t cache_watchers(const Cache *cache) {
    return cache->n_watchers;
}

// ---- history

static void grow(Cache *cache) {
    size_t capacity = cache->capacity ? cache->capacity * 2 : 16;
    CacheEvent *events = memory_zalloc(capacity * sizeof *events);
    for (uint64_t i = cache->first; i < cache->next; i++)
        events[i & (capacity - 1)] = *event_at(cache, i);
    free(cache->events);
    cache->events = events;
    cache->capacity = capacity;
}

static bool is_due(const Cache *cache, int64_t now) {
    int64_t age = now - event_at(cache, cache->first)->time;
    bool lag = !list_is_empty(&cache->lagging) && age <= LAG_AGE_NS;
    return cache->next - cache->first > (lag ? LAG_MOST : HISTORY_MOST) ||
           cache->history_bytes > (lag ? LAG_BYTES : HISTORY_BYTES) || age > HISTORY_AGE_NS;
}

static void trim(Cache *cache, int64_t now) {
    while (cache->next - cache->first > HISTORY_LEAST && is_due(cache, now))
        drop_first(cache);
}

// Nobody lags any more: what was kept for those who did may go.
static void all_caught_up(Cache *cache) {
    if (!cache->framed)
        return;
    for (uint64_t i = cache->first; i < cache->next; i++)
        drop_frames(event_at(cache, i));
    cache->framed = false;
    trim(cache, event_at(cache, cache->next - 1)->time);
}

static void leave_lagging(Cache *cache, CacheWatcher *watcher) {
    if (!list_is_linked(&watcher->in_lagging))
        return;
    list_remove(&watcher->in_lagging);
    if (list_is_empty(&cache->lagging))
        all_caught_up(cache);
}

// Those whose next event is gone can't go on.
static void cut_stragglers(Cache *cache) {
    CacheWatcher *watcher;
    list_for_each(watcher, &cache->lagging, in_lagging) {
        if (watcher->position >= cache->first)
            continue;
        cache_watcher_stop(watcher);
        watcher->cut(watcher);
    }
}

bool cache_age(Cache *cache, int64_t now) {
    trim(cache, now);
    cut_stragglers(cache);
    return cache->next - cache->first > HISTORY_LEAST;
}

static CacheEvent *remember(Cache *cache, CacheEvent event) {
    if (cache->next - cache->first == cache->capacity)
        grow(cache);
    CacheEvent *slot = event_at(cache, cache->next++);
    *slot = event;
    cache->history_bytes += event.object->json->len;
    return slot;
}

// ---- watchers

const char *cache_event_name(CacheEventType type) {
    static const char *const names[] = {"ADDED", "MODIFIED", "DELETED"};
    return names[type];
}

Bytes *cache_frame_new(CacheEventType type, Str json) {
    char head[64];
    int len = snprintf(head, sizeof head, "{\"type\":\"%s\",\"object\":", cache_event_name(type));
    Bytes *frame = bytes_alloc((size_t)len + json.len + 2);
    memcpy(frame->data, head, (size_t)len);
    memcpy(frame->data + len, json.ptr, json.len);
    memcpy(frame->data + (size_t)len + json.len, "}\n", 3);
    return frame;
}

Bytes *cache_event_frame(CacheEvent *event, CacheEventType type, const CachedObject *object) {
    if (!event->frames[type])
        event->frames[type] = cache_frame_new(type, bytes_str(object->json));
    return event->frames[type];
}

// What the change is to this watcher: an object that begins or stops to match appears or goes.
static bool deliver(CacheWatcher *watcher, CacheEvent *event, bool *more) {
    if (event->revision <= watcher->after)
        return false;
    bool now = event->type != CACHE_DELETED && filter_matches(&watcher->filter, event->object);
    bool before = event->previous && filter_matches(&watcher->filter, event->previous);
    if (!now && !before)
        return false;
    CacheEventType type = !before ? CACHE_ADDED : now ? CACHE_MODIFIED : CACHE_DELETED;
    *more = watcher->deliver(watcher, type, event->object, event);
    return true;
}

static void set_lagging(CacheWatcher *watcher, uint64_t position) {
    watcher->position = position;
    if (!list_is_linked(&watcher->in_lagging))
        list_append(&watcher->cache->lagging, &watcher->in_lagging);
}

static void tell_bucket(Cache *cache, const char *key, size_t len, CacheEvent *event) {
    Bucket *bucket = map_get(cache->buckets, str_of(key, len));
    if (!bucket)
        return;
    CacheWatcher *watcher;
    list_for_each(watcher, &bucket->watchers, in_bucket) {
        if (list_is_linked(&watcher->in_lagging))
            continue; // will come to it
        bool more = true;
        if (deliver(watcher, event, &more) && !more)
            set_lagging(watcher, cache->next);
    }
}

#define BUCKET_KEY_MAX 640
static size_t bucket_key(char *key, char kind, size_t index, Str a, Str b) {
    int len = snprintf(key, BUCKET_KEY_MAX, "%c%zu:%.*s/%.*s", kind, index, STR_ARG(a), STR_ARG(b));
    return len < 0 || len >= BUCKET_KEY_MAX ? 0 : (size_t)len;
}

static void tell_watchers(Cache *cache, CacheEvent *event) {
    if (map_count(cache->buckets) == 0)
        return;
    char key[BUCKET_KEY_MAX];
    const CachedObject *object = event->object;
    tell_bucket(cache, "", 0, event);
    if (object->namespace_.len)
        tell_bucket(cache, key, bucket_key(key, 'n', 0, object->namespace_, STR("")), event);
    tell_bucket(cache, key, bucket_key(key, 'k', 0, object->namespace_, object->name), event);
    for (size_t i = 0; cache->field_buckets && i < cache->served->storage->n_selectable; i++) {
        if (!cache->field_buckets[i])
            continue;
        tell_bucket(cache, key, bucket_key(key, 'f', i, object->fields[i], STR("")), event);
        if (event->previous && !str_eq(event->previous->fields[i], object->fields[i]))
            tell_bucket(cache, key, bucket_key(key, 'f', i, event->previous->fields[i], STR("")),
                        event);
    }
}

static size_t bucket_of(const CacheWatcher *watcher, char *key, int *ret_field) {
    const ObjectFilter *filter = &watcher->filter;
    bool namespaced = cache_served(watcher->cache)->storage->namespaced;
    *ret_field = -1;
    size_t len = 0;
    if (filter->name.len && (!namespaced || filter->namespace_.len))
        len = bucket_key(key, 'k', 0, filter->namespace_, filter->name);
    for (size_t i = 0; !len && i < filter->n_fields; i++) {
        if (!filter->fields[i].equal || filter->fields[i].what != FIELD_MATCH_INDEX)
            continue;
        len = bucket_key(key, 'f', filter->fields[i].index, filter->fields[i].value, STR(""));
        *ret_field = len ? (int)filter->fields[i].index : -1;
    }
    if (!len && filter->namespace_.len)
        len = bucket_key(key, 'n', 0, filter->namespace_, STR(""));
    return len;
}

static Bucket *bucket_get(Cache *cache, const char *key, size_t len, int field) {
    Bucket *bucket = map_get(cache->buckets, str_of(key, len));
    if (bucket)
        return bucket;
    bucket = memory_zalloc(sizeof *bucket + len);
    list_init(&bucket->watchers);
    bucket->key = (char *)(bucket + 1);
    memcpy(bucket->key, key, len);
    bucket->key_len = len;
    bucket->field = field;
    if (field >= 0) {
        if (!cache->field_buckets)
            cache->field_buckets =
                memory_zalloc(cache->served->storage->n_selectable * sizeof(size_t));
        cache->field_buckets[field]++;
    }
    map_put(cache->buckets, str_of(key, len), bucket);
    return bucket;
}

static void bucket_leave(Cache *cache, CacheWatcher *watcher) {
    Bucket *bucket = watcher->bucket;
    list_remove(&watcher->in_bucket);
    if (!list_is_empty(&bucket->watchers))
        return;
    if (bucket->field >= 0)
        cache->field_buckets[bucket->field]--;
    map_remove(cache->buckets, str_of(bucket->key, bucket->key_len));
    free(bucket);
}

int cache_watch(Cache *cache, CacheWatcher *watcher, int64_t after) {
    if (after < cache->oldest)
        return CACHE_E_TOO_OLD;
    assert(!list_is_linked(&watcher->in_bucket));
    watcher->cache = cache;
    watcher->after = after;
    char key[BUCKET_KEY_MAX];
    int field;
    size_t len = bucket_of(watcher, key, &field);
    Bucket *bucket = bucket_get(cache, key, len, field);
    watcher->bucket = bucket;
    list_append(&bucket->watchers, &watcher->in_bucket);
    cache->n_watchers++;
    uint64_t position = cache->next;
    while (position > cache->first && event_at(cache, position - 1)->revision > after)
        position--;
    set_lagging(watcher, position); // until the first resume
    return 0;
}

void cache_watcher_resume(CacheWatcher *watcher) {
    Cache *cache = watcher->cache;
    if (!cache || !list_is_linked(&watcher->in_lagging))
        return;
    assert(watcher->position >= cache->first);
    while (watcher->position < cache->next) {
        CacheEvent *event = event_at(cache, watcher->position++);
        bool more = true;
        bool delivered = deliver(watcher, event, &more);
        cache->framed |= delivered;
        if (delivered && !more)
            return;
    }
    leave_lagging(cache, watcher);
}

void cache_watcher_stop(CacheWatcher *watcher) {
    Cache *cache = watcher->cache;
    if (!cache)
        return;
    bucket_leave(cache, watcher);
    leave_lagging(cache, watcher);
    watcher->cache = NULL;
    cache->n_watchers--;
}

void cache_end_watches(Cache *cache) {
    MapIter it = {0};
    while (map_next(cache->buckets, &it)) {
        Bucket *bucket = it.value;
        size_t n = 0; // the last to leave takes the bucket along
        CacheWatcher *watcher;
        list_for_each(watcher, &bucket->watchers, in_bucket) n++;
        while (n-- > 0) {
            watcher = container_of(list_first(&bucket->watchers), CacheWatcher, in_bucket);
            cache_watcher_stop(watcher);
            watcher->end(watcher);
        }
    }
}

// ---- changes

void cache_apply(Cache *cache, Arena *scratch, Str key, CachedObject *object, int64_t revision,
                 int64_t now) {
    CachedObject *previous = object_ref(snapshot_get(cache->root, key));
    CacheEvent event = {.revision = revision, .time = now, .previous = previous};
    if (object) {
        event.type = previous ? CACHE_MODIFIED : CACHE_ADDED;
        event.object = object_ref(object);
        cache->root = snapshot_put(cache->root, object);
    } else {
        if (!previous)
            return; // never seen: what could not be decoded is not served
        event.type = CACHE_DELETED;
        event.object = object_at_revision(scratch, cache->served, previous, revision);
        assert(event.object);
        cache->root = snapshot_remove(cache->root, previous->key);
    }
    assert(revision > cache->changed);
    cache->changed = revision;
    tell_listeners(cache, previous, object);
    CacheEvent *kept = remember(cache, event);
    trim(cache, now);
    cut_stragglers(cache);
    tell_watchers(cache, kept);
    if (list_is_empty(&cache->lagging))
        drop_frames(kept);
    else
        cache->framed = true;
}
