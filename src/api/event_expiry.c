// Events live an hour after they were last written (upstream's --event-ttl), and cost no timer
// while there are none. Age is told by revision: every few minutes the store's revision is noted;
// what was last written before the note of an hour ago goes. A restart forgets the notes, so events
// may live up to an hour longer then.

#include "api/server.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

#define INTERVAL (5 * 60 * NSEC_PER_SEC)
#define NOTES 13 // an hour and the interval at hand

typedef struct Expiry {
    Api *api;
    Cache *cache;
    LoopTimer timer;
    int64_t notes[NOTES]; // revisions, oldest first
    size_t n;
} Expiry;

static void ignore(void *user, int error, const StoreResult *result) {
    // Written meanwhile, or gone: both are fine.
}

static void remove_event(const Expiry *self, const CachedObject *object) {
    _arena_free_ Arena *arena = arena_new();
    Str prefix = cache_served(self->cache)->key_prefix;
    Str key = arena_concat(arena, (Str[]){prefix, object->key}, 2, STR(""));
    store_remove(self->api->store, key, object->revision, ignore, NULL);
}

static void expire(void *user) {
    Expiry *self = user;
    const Snapshot *root = cache_root(self->cache);
    if (self->n == NOTES) {
        for (size_t i = 0; i < snapshot_size(root); i++) {
            const CachedObject *object = snapshot_at(root, i);
            if (object->revision <= self->notes[0])
                remove_event(self, object);
        }
        memmove(self->notes, self->notes + 1, sizeof self->notes - sizeof *self->notes);
        self->n--;
    }
    self->notes[self->n++] = self->api->revision;
    if (snapshot_size(root))
        loop_timer_start(&self->timer, INTERVAL);
    else
        self->n = 0;
}

static void on_event(void *user, CachedObject *previous, CachedObject *object) {
    Expiry *self = user;
    if (!loop_timer_is_running(&self->timer))
        loop_timer_start(&self->timer, INTERVAL);
}

void event_expiry_init(Api *api) {
    Expiry *self = memory_new(Expiry);
    api->event_expiry = self;
    self->api = api;
    self->cache = registry_cache(api->registry, STR("core/events"));
    assert(self->cache);
    loop_timer_init(&self->timer, api->loop, expire, self);
    cache_listen(self->cache, on_event, self);
}

void event_expiry_free(Api *api) {
    Expiry *self = api->event_expiry;
    if (!self)
        return;
    loop_timer_stop(&self->timer);
    free(self);
}
