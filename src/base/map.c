#include "base/map.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/memory.h"

// Entries stand in an array in the order in which they came; an open-addressed table of numbers
// finds them. So the order of iteration does not depend on the hash key, and a simulated run
// repeats. A removed entry leaves a hole (key NULL) until the next rebuild.

typedef struct Entry {
    uint64_t hash;
    char *key;
    size_t len;
    void *value;
} Entry;

struct Map {
    Entry *entries;
    uint32_t *slots; // 0 empty, else 1 + index of the entry; a hole keeps its slot
    size_t n_entries, capacity;
    size_t n_slots; // a power of two, at least 4/3 of capacity
    size_t count;
};

Map *map_new(void) {
    return memory_new(Map);
}

static void map_clear(Map *map) {
    free(map->entries);
    free(map->slots);
    *map = (Map){0};
}

void map_free(Map *map) {
    if (!map)
        return;
    for (size_t i = 0; i < map->n_entries; i++)
        free(map->entries[i].key);
    map_clear(map);
    free(map);
}

static Entry *find(const Map *map, Str key, uint64_t hash) {
    if (!map->n_slots)
        return NULL;
    for (size_t at = hash & (map->n_slots - 1); map->slots[at];
         at = (at + 1) & (map->n_slots - 1)) {
        Entry *entry = &map->entries[map->slots[at] - 1];
        if (entry->hash == hash && entry->key && str_eq((Str){entry->key, entry->len}, key))
            return entry;
    }
    return NULL;
}

static void set_slot(Map *map, uint64_t hash, size_t index) {
    size_t at = hash & (map->n_slots - 1);
    while (map->slots[at])
        at = (at + 1) & (map->n_slots - 1);
    map->slots[at] = (uint32_t)(index + 1);
}

// Drops the holes and leaves room for as many entries again, and for one at least.
static void rebuild(Map *map) {
    size_t capacity = map->count < 4 ? 6 : map->count * 2;
    assert(capacity < UINT32_MAX);
    size_t n_slots = 8;
    while (n_slots * 3 < capacity * 4)
        n_slots *= 2;
    Map fresh = {.capacity = capacity, .n_slots = n_slots, .count = map->count};
    fresh.entries = memory_resize_array(NULL, capacity, sizeof(Entry));
    fresh.slots = memory_zalloc(n_slots * sizeof *fresh.slots);
    for (size_t i = 0; i < map->n_entries; i++) {
        if (!map->entries[i].key)
            continue;
        fresh.entries[fresh.n_entries] = map->entries[i];
        set_slot(&fresh, map->entries[i].hash, fresh.n_entries++);
    }
    free(map->entries);
    free(map->slots);
    *map = fresh;
}

void *map_get(const Map *map, Str key) {
    const Entry *entry = find(map, key, str_hash(key));
    return entry ? entry->value : NULL;
}

void *map_put(Map *map, Str key, void *value) {
    assert(value);
    uint64_t hash = str_hash(key);
    Entry *entry = find(map, key, hash);
    if (entry) {
        void *replaced = entry->value;
        entry->value = value;
        return replaced;
    }
    if (map->n_entries == map->capacity || (map->capacity > 64 && map->count < map->capacity / 8))
        rebuild(map);
    entry = &map->entries[map->n_entries];
    *entry =
        (Entry){.hash = hash, .key = memory_alloc(key.len + 1), .len = key.len, .value = value};
    if (key.len)
        memcpy(entry->key, key.ptr, key.len);
    entry->key[key.len] = '\0';
    set_slot(map, hash, map->n_entries++);
    map->count++;
    return NULL;
}

void *map_remove(Map *map, Str key) {
    Entry *entry = find(map, key, str_hash(key));
    if (!entry)
        return NULL;
    void *value = entry->value;
    free(entry->key);
    entry->key = NULL;
    if (--map->count == 0)
        map_clear(map);
    return value;
}

size_t map_count(const Map *map) {
    return map->count;
}

bool map_next(const Map *map, MapIter *iter) {
    while (iter->position < map->n_entries) {
        const Entry *entry = &map->entries[iter->position++];
        if (!entry->key)
            continue;
        iter->key = (Str){entry->key, entry->len};
        iter->value = entry->value;
        return true;
    }
    return false;
}
