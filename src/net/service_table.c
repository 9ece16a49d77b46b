#include "net/service_table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"
#include "kinds/kinds.h"

#define LISTENERS_MAX 4

typedef struct Entry { // NetBackends and what it owns
    NetBackends shown;
    const NetSlice **slices;
    NetService *service;
    char key[];
} Entry;

typedef struct SliceOwner { // a slice by its own name
    NetSlice *slice;
    Entry *entry;
} SliceOwner;

struct ServiceTable {
    Map *entries; // "namespace/name" -> Entry
    Map *slices;  // "namespace/name" of the slice -> SliceOwner
    char *node_name;
    Informer *service_informer, *slice_informer;
    struct {
        ServiceTableListener fn;
        void *user;
    } listeners[LISTENERS_MAX];
    size_t n_listeners;
    int waiting; // informers to be synced
};

static Str object_key(Arena *arena, const InformerObject *object) {
    return arena_printf(arena, "%.*s/%.*s", STR_ARG(object->namespace_), STR_ARG(object->name));
}

static Entry *entry_of(ServiceTable *self, Str key) {
    Entry *entry = map_get(self->entries, key);
    if (entry)
        return entry;
    entry = memory_zalloc(sizeof *entry + key.len);
    memcpy(entry->key, key.ptr, key.len);
    entry->shown.key = str_of(entry->key, key.len);
    map_put(self->entries, key, entry);
    return entry;
}

// Tells of the change, then drops an entry that holds nothing any more.
static void changed(ServiceTable *self, Entry *entry) {
    entry->shown.service = entry->service;
    entry->shown.slices = entry->slices;
    for (size_t i = 0; i < self->n_listeners; i++)
        self->listeners[i].fn.on_change(self->listeners[i].user, &entry->shown);
    if (entry->service || entry->shown.n_slices)
        return;
    map_remove(self->entries, entry->shown.key);
    free(entry->slices);
    free(entry);
}

static void on_service(void *user, const InformerObject *old, const InformerObject *now) {
    ServiceTable *self = user;
    _arena_free_ Arena *arena = arena_new();
    Entry *entry = entry_of(self, object_key(arena, now ? now : old));
    NetService *before = entry->service;
    entry->service = now ? net_service_parse(arena, now) : NULL;
    changed(self, entry);
    free(before);
}

static void entry_remove_slice(Entry *entry, const NetSlice *slice) {
    size_t i = 0;
    while (entry->slices[i] != slice)
        i++;
    // The order stays: a change moves as few endpoints as possible.
    memmove(&entry->slices[i], &entry->slices[i + 1],
            (entry->shown.n_slices - i - 1) * sizeof *entry->slices);
    entry->shown.n_slices--;
}

static void entry_add_slice(Entry *entry, const NetSlice *slice) {
    entry->slices =
        memory_resize_array(entry->slices, entry->shown.n_slices + 1, sizeof *entry->slices);
    entry->slices[entry->shown.n_slices++] = slice;
}

static void on_slice(void *user, const InformerObject *old, const InformerObject *now) {
    ServiceTable *self = user;
    _arena_free_ Arena *arena = arena_new();
    Str name = object_key(arena, now ? now : old), key;
    NetSlice *slice = now ? net_slice_parse(arena, now, str_from(self->node_name), &key) : NULL;
    Entry *entry = slice ? entry_of(self, key) : NULL;
    SliceOwner *owner = map_get(self->slices, name);
    if (!owner && !slice)
        return;
    if (!owner) {
        owner = memory_new(SliceOwner);
        map_put(self->slices, name, owner);
    }
    Entry *before = owner->entry;
    NetSlice *gone = owner->slice;
    if (before && before == entry) {
        size_t i = 0;
        while (entry->slices[i] != gone)
            i++;
        entry->slices[i] = slice;
    } else {
        if (before)
            entry_remove_slice(before, gone);
        if (entry)
            entry_add_slice(entry, slice);
    }
    owner->entry = entry;
    owner->slice = slice;
    if (!slice)
        free(map_remove(self->slices, name));
    if (before && before != entry)
        changed(self, before);
    if (entry)
        changed(self, entry);
    free(gone);
}

static void on_synced(void *user) {
    ServiceTable *self = user;
    if (--self->waiting)
        return;
    for (size_t i = 0; i < self->n_listeners; i++)
        if (self->listeners[i].fn.on_synced)
            self->listeners[i].fn.on_synced(self->listeners[i].user);
}

ServiceTable *service_table_new(Client *client, Str node_name) {
    static const InformerHandler services = {on_service, on_synced}, slices = {on_slice, on_synced};
    ServiceTable *self = memory_new(ServiceTable);
    self->entries = map_new();
    self->slices = map_new();
    self->node_name = memory_zalloc(node_name.len + 1);
    memcpy(self->node_name, node_name.ptr, node_name.len);
    self->waiting = 2;
    if (!client)
        return self;
    self->service_informer =
        informer_new(client, kinds_resource_core_v1_services(), STR_NONE, STR_NONE, STR_NONE);
    self->slice_informer = informer_new(client, kinds_resource_discovery_v1_endpointslices(),
                                        STR_NONE, STR_NONE, STR_NONE);
    informer_add_handler(self->service_informer, &services, self);
    informer_add_handler(self->slice_informer, &slices, self);
    return self;
}

void service_table_free(ServiceTable *self) {
    if (!self)
        return;
    informer_free(self->service_informer);
    informer_free(self->slice_informer);
    MapIter slices = {0}, entries = {0};
    while (map_next(self->slices, &slices)) {
        free(((SliceOwner *)slices.value)->slice);
        free(slices.value);
    }
    while (map_next(self->entries, &entries)) {
        Entry *entry = entries.value;
        free(entry->service);
        free(entry->slices);
        free(entry);
    }
    map_free(self->slices);
    map_free(self->entries);
    free(self->node_name);
    free(self);
}

void service_table_feed(ServiceTable *self, bool slice, const InformerObject *old,
                        const InformerObject *now) {
    if (slice)
        on_slice(self, old, now);
    else
        on_service(self, old, now);
}

void service_table_feed_synced(ServiceTable *self) {
    on_synced(self);
    on_synced(self);
}

void service_table_listen(ServiceTable *self, const ServiceTableListener *listener, void *user) {
    assert(self->n_listeners < LISTENERS_MAX);
    self->listeners[self->n_listeners].fn = *listener;
    self->listeners[self->n_listeners++].user = user;
}

bool service_table_is_synced(const ServiceTable *self) {
    return self->waiting == 0;
}

const NetBackends *service_table_get(const ServiceTable *self, Str namespace_, Str name) {
    char key[512];
    int len = snprintf(key, sizeof key, "%.*s/%.*s", STR_ARG(namespace_), STR_ARG(name));
    if (len < 0 || (size_t)len >= sizeof key)
        return NULL;
    const Entry *entry = map_get(self->entries, str_of(key, (size_t)len));
    return entry ? &entry->shown : NULL;
}

void service_table_each(const ServiceTable *self,
                        void (*visit)(void *user, const NetBackends *backends), void *user) {
    MapIter iter = {0};
    while (map_next(self->entries, &iter))
        visit(user, &((const Entry *)iter.value)->shown);
}
