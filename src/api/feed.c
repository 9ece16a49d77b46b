// The one way back from the store: every change, in order, into the caches.

#include <assert.h>
#include <stdlib.h>

#include "api/custom_kinds.h"
#include "base/log.h"
#include "base/memory.h"

#define PREFIX "/registry/"
#define DEFINITIONS PREFIX "apiextensions.k8s.io/customresourcedefinitions/"
#define PAGE 500

typedef struct Loading {
    Api *api;
    int64_t revision; // of the first page; the others are read at the same
    bool defined;     // first the definitions of custom kinds, then everything
    void (*done)(Api *api, int error);
} Loading;

// "/registry/core/pods/ns/name" -> the cache of core/pods, and "ns/name".
static Cache *cache_of_key(const Api *api, Str key, Str *ret_rest) {
    Str rest = str_slice(key, sizeof PREFIX - 1, key.len);
    Str whole = rest;
    str_cut(&rest, '/');
    Str resource = rest.ptr ? str_cut(&rest, '/') : STR_NONE;
    if (!rest.ptr || !rest.len)
        return NULL;
    *ret_rest = rest;
    return registry_cache(api->registry,
                          str_slice(whole, 0, (size_t)(resource.ptr + resource.len - whole.ptr)));
}

static CachedObject *decode(Api *api, const Cache *cache, Str key, const Bytes *value,
                            int64_t create_revision, int64_t revision) {
    CachedObject *object =
        object_new(api->scratch, cache_served(cache), key, value, create_revision, revision);
    if (!object)
        log_error("api", "an object in the store can't be decoded and is not served",
                  "key=%.*s/%.*s", STR_ARG(cache_served(cache)->storage->plural), STR_ARG(key));
    return object;
}

static void on_events(void *user, const StoreEvent *events, size_t n, int64_t revision) {
    Api *api = user;
    int64_t now = loop_now(api->loop);
    for (size_t i = 0; i < n; i++) {
        const StoreEvent *event = &events[i];
        Str key;
        Cache *cache = cache_of_key(api, event->key, &key);
        custom_kinds_missed(api, event);
        if (!cache || event->revision <= cache_changed(cache)) // its listing had it already
            continue;
        CachedObject *object = NULL;
        if (!event->deleted) {
            object = decode(api, cache, key, event->value, event->create_revision, event->revision);
            if (!object)
                continue;
        }
        cache_apply(cache, api->scratch, key, object, event->revision, now);
        object_unref(object);
    }
    if (revision > api->revision)
        api->revision = revision;
    api_revision_reached(api);
    if (n)
        watch_schedule_bookmarks(api);
}

static void on_error(void *user, int error) {
    Api *api = user;
    // The watch began where the listing ended and is never left behind: this is a broken store.
    log_error("api", "the store's watch ended", "error=%d", error);
    api->watch = NULL;
    api->ready = false;
}

static void load_page(Loading *loading, Str from);

static void finish(Loading *loading, int error) {
    Api *api = loading->api;
    if (!error) {
        const ServedResource *served;
        for (size_t i = 0; (served = registry_at(api->registry, i)); i++) {
            if (served->cache)
                cache_loaded(served->cache, loading->revision);
        }
        api->revision = loading->revision;
        api->watch =
            store_watch(api->store, STR(PREFIX), loading->revision, on_events, on_error, api);
    }
    void (*done)(Api *, int) = loading->done;
    free(loading);
    api->loading = NULL;
    done(api, error);
}

static void on_page(void *user, int error, const StoreResult *result) {
    Loading *loading = user;
    Api *api = loading->api;
    if (!api) { // stopped meanwhile
        free(loading);
        return;
    }
    if (error) {
        finish(loading, error);
        return;
    }
    if (!loading->revision)
        loading->revision = result->revision;
    for (size_t i = 0; i < result->n; i++) {
        const StoreRecord *record = &result->records[i];
        Str key;
        bool seen = loading->defined && str_starts_with(record->key, STR(DEFINITIONS));
        Cache *cache = seen ? NULL : cache_of_key(api, record->key, &key);
        CachedObject *object = cache ? decode(api, cache, key, record->value,
                                              record->create_revision, record->revision)
                                     : NULL;
        if (object)
            cache_load(cache, object);
    }
    if ((!result->more || !result->n) && loading->defined) {
        finish(loading, 0);
        return;
    }
    if (!result->more || !result->n) {
        loading->defined = true;
        custom_kinds_register(api);
        load_page(loading, STR(""));
        return;
    }
    // The smallest key behind the last one.
    Str last = result->records[result->n - 1].key;
    char *next = memory_alloc(last.len + 1);
    memcpy(next, last.ptr, last.len);
    next[last.len] = 0;
    load_page(loading, str_of(next, last.len + 1));
    free(next);
}

static void load_page(Loading *loading, Str from) {
    store_range(loading->api->store, loading->defined ? STR(PREFIX) : STR(DEFINITIONS), from,
                loading->revision, PAGE, on_page, loading);
}

void feed_start(Api *api, void (*done)(Api *api, int error)) {
    Loading *loading = memory_new(Loading);
    loading->api = api;
    loading->done = done;
    api->loading = loading;
    load_page(loading, STR(""));
}

void feed_stop(Api *api) {
    if (api->loading)
        ((Loading *)api->loading)->api = NULL;
    if (api->watch)
        store_watch_cancel(api->store, api->watch);
    api->watch = NULL;
}
