#include "node/references.h"

#include <stdlib.h>

#include "base/memory.h"

// A container that crashes asks for the same objects again and again: its watch is kept for a while
// after the last holder left.
#define LINGER (30 * NSEC_PER_SEC)

typedef struct Watched { // one object
    References *references;
    Str key, namespace_, name; // slices of `key`
    Informer *informer;
    List holders;
    LoopTimer linger;
} Watched;

struct Reference {
    ListLink link;
    Watched *watched;
    void (*changed)(void *user);
    void *user;
    LoopTask notify;
};

struct References {
    NodeAgent *agent;
    Map *watched; // "plural/namespace/name" -> Watched
};

References *references_new(NodeAgent *agent) {
    References *references = memory_new(References);
    references->agent = agent;
    references->watched = map_new();
    return references;
}

static void watched_free(Watched *watched) {
    loop_timer_stop(&watched->linger);
    informer_free(watched->informer);
    free((char *)watched->key.ptr);
    free(watched);
}

void references_free(References *references) {
    if (!references)
        return;
    MapIter iter = {0};
    while (map_next(references->watched, &iter))
        watched_free(iter.value);
    map_free(references->watched);
    free(references);
}

static void on_linger(void *user) {
    Watched *watched = user;
    map_remove(watched->references->watched, watched->key);
    watched_free(watched);
}

static void tell(Watched *watched) {
    Reference *reference;
    list_for_each(reference, &watched->holders, link)
        loop_post(watched->references->agent->loop, &reference->notify);
}

static void on_change(void *user, const InformerObject *old, const InformerObject *now) {
    tell(user);
}

static void on_synced(void *user) {
    tell(user);
}

static Watched *watched_new(References *references, Str key, const Resource *resource,
                            Str namespace_, Str name) {
    static const InformerHandler handler = {.on_change = on_change, .on_synced = on_synced};
    Watched *watched = memory_new(Watched);
    char *copy = memory_alloc(key.len);
    memcpy(copy, key.ptr, key.len);
    watched->references = references;
    watched->key = str_of(copy, key.len);
    watched->name = str_of(copy + key.len - name.len, name.len);
    watched->namespace_ = str_of(copy + key.len - name.len - 1 - namespace_.len, namespace_.len);
    list_init(&watched->holders);
    loop_timer_init(&watched->linger, references->agent->loop, on_linger, watched);
    _arena_free_ Arena *arena = arena_new();
    Str selector = arena_printf(arena, "metadata.name=%.*s", STR_ARG(name));
    watched->informer =
        informer_new(references->agent->client, resource, namespace_, STR_NONE, selector);
    informer_add_handler(watched->informer, &handler, watched);
    map_put(references->watched, watched->key, watched);
    return watched;
}

static void notify(void *user) {
    Reference *reference = user;
    reference->changed(reference->user);
}

Reference *reference_acquire(References *references, const Resource *resource, Str namespace_,
                             Str name, void (*changed)(void *user), void *user) {
    _arena_free_ Arena *arena = arena_new();
    Str key = arena_printf(arena, "%.*s/%.*s/%.*s", STR_ARG(resource->plural), STR_ARG(namespace_),
                           STR_ARG(name));
    Watched *watched = map_get(references->watched, key);
    if (!watched)
        watched = watched_new(references, key, resource, namespace_, name);
    loop_timer_stop(&watched->linger);
    Reference *reference = memory_new(Reference);
    reference->watched = watched;
    reference->changed = changed;
    reference->user = user;
    reference->notify = (LoopTask){.fn = notify, .user = reference};
    list_append(&watched->holders, &reference->link);
    if (informer_is_synced(watched->informer))
        loop_post(references->agent->loop, &reference->notify);
    return reference;
}

void reference_release(Reference *reference) {
    if (!reference)
        return;
    Watched *watched = reference->watched;
    list_remove(&reference->link);
    loop_task_cancel(watched->references->agent->loop, &reference->notify);
    free(reference);
    if (list_is_empty(&watched->holders))
        loop_timer_start(&watched->linger, LINGER);
}

ReferenceState reference_state(const Reference *reference) {
    const Watched *watched = reference->watched;
    if (informer_get(watched->informer, watched->namespace_, watched->name))
        return REFERENCE_FOUND;
    return informer_is_synced(watched->informer) ? REFERENCE_MISSING : REFERENCE_PENDING;
}

Str reference_json(const Reference *reference) {
    const Watched *watched = reference->watched;
    const InformerObject *object =
        informer_get(watched->informer, watched->namespace_, watched->name);
    return object ? bytes_str(object->bytes) : STR_NONE;
}
