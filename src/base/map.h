#pragma once
// Hash map from a string to a pointer. Keys are copied. Iteration goes in the order in which the
// keys were first put, so that it repeats from run to run (sort keys where order shows).

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

typedef struct Map Map;

Map *map_new(void);
void map_free(Map *map); // frees keys, not values; NULL is fine
static inline void map_freep(Map **map) {
    map_free(*map);
}
#define _map_free_ __attribute__((cleanup(map_freep)))
void *map_get(const Map *map, Str key);        // NULL when absent
void *map_put(Map *map, Str key, void *value); // value != NULL; returns the one it replaced
void *map_remove(Map *map, Str key);           // returns what it held, NULL when absent
size_t map_count(const Map *map);
// Iteration: `MapIter it = {0}; while (map_next(map, &it)) use(it.key, it.value);`
// The entry at hand may be removed; nothing may be added meanwhile.
typedef struct MapIter {
    size_t position;
    Str key;
    void *value;
} MapIter;
bool map_next(const Map *map, MapIter *iter);
