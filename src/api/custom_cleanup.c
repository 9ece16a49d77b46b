#include "api/custom_cleanup.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/time.h"

#define IN_FLIGHT 200 // deletions that the store is asked for at a time

struct Cleanup {
    Api *api;
    ServedKind *served;
    Snapshot *root; // the objects as they were when it began
    size_t next, in_flight;
    void (*done)(void *user); // NULL once cancelled
    void *user;
    LoopTask task;
};

static void pump(Cleanup *cleanup);

static void finish(Cleanup *cleanup) {
    if (cleanup->done)
        cleanup->done(cleanup->user);
    snapshot_unref(cleanup->root);
    served_kind_unref(cleanup->served);
    free(cleanup);
}

static void answered(void *user, int error, const StoreResult *result) {
    Cleanup *cleanup = user; // written by somebody else meanwhile, or gone: the next round sees
    cleanup->in_flight--;
    pump(cleanup);
}

static void mark(Cleanup *cleanup, Arena *arena, Str key, CachedObject *object) {
    Value *tree = value_copy(arena, object_decode(arena, object));
    Value *metadata = value_get(tree, STR("metadata"));
    value_set_str(arena, metadata, STR("deletionTimestamp"),
                  time_format(arena, api_now(cleanup->api)));
    value_set_int(arena, metadata, STR("deletionGracePeriodSeconds"), 0);
    value_set_int(arena, metadata, STR("generation"), value_int_at(metadata, "generation", 0) + 1);
    _bytes_unref_ Bytes *bytes = object_encode(cache_served(cleanup->served->cache)->storage, tree);
    store_put(cleanup->api->store, key, bytes, object->revision, 0, answered, cleanup);
}

static void delete_one(Cleanup *cleanup, CachedObject *object) {
    _arena_free_ Arena *arena = arena_new();
    const Value *tree = object_decode(arena, object);
    const Value *finalizers = value_at(tree, "metadata.finalizers");
    bool held = finalizers && finalizers->kind == VALUE_ARRAY && finalizers->n;
    if (held && object->deleting)
        return; // the finalizers have it
    Str prefix = cleanup->served->versions[0].key_prefix;
    Str key = arena_concat(arena, (Str[]){prefix, object->key}, 2, STR(""));
    cleanup->in_flight++;
    if (held)
        mark(cleanup, arena, key, object);
    else
        store_remove(cleanup->api->store, key, object->revision, answered, cleanup);
}

static void pump(Cleanup *cleanup) {
    while (cleanup->done && cleanup->in_flight < IN_FLIGHT &&
           cleanup->next < snapshot_size(cleanup->root))
        delete_one(cleanup, snapshot_at(cleanup->root, cleanup->next++));
    if (!cleanup->in_flight)
        finish(cleanup);
}

static void begin(void *user) {
    pump(user);
}

Cleanup *cleanup_start(Api *api, ServedKind *served, void (*done)(void *user), void *user) {
    Cleanup *cleanup = memory_new(Cleanup);
    cleanup->api = api;
    cleanup->served = served_kind_ref(served);
    cleanup->root = snapshot_ref(cache_root(served->cache));
    cleanup->done = done;
    cleanup->user = user;
    cleanup->task.fn = begin;
    cleanup->task.user = cleanup;
    loop_post(api->loop, &cleanup->task);
    return cleanup;
}

void cleanup_cancel(Cleanup *cleanup) {
    if (!cleanup)
        return;
    cleanup->done = NULL;
    if (!cleanup->in_flight) { // not begun, or nothing under way
        loop_task_cancel(cleanup->api->loop, &cleanup->task);
        finish(cleanup);
    }
}
