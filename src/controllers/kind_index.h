#pragma once
// Every kind that objects can be stored of: the built-in ones, and custom ones, which come and go
// with their CustomResourceDefinitions. For controllers that work on all kinds.

#include "controllers/frame.h"

typedef struct KindIndex KindIndex;
typedef struct KindListener {
    void (*on_added)(void *user, const Resource *resource);
    void (*on_removed)(void *user, const Resource *resource); // the pointer is good during the call
} KindListener;

// Shared by the controllers; this one waits until the custom kinds are known.
KindIndex *kind_index_of(Controller *controller);
// Of custom kinds alone; the built-in ones are there from the beginning. No more than 4 listeners.
void kind_index_listen(KindIndex *index, const KindListener *listener, void *user);
// Grows with every kind that comes or goes.
uint64_t kind_index_generation(const KindIndex *index);
// One version of each kind that can be listed, watched and deleted. NULL past the end; the order is
// stable within a generation.
const Resource *kind_index_at(const KindIndex *index, size_t i);
// By what an owner reference says; any version of a custom kind finds it. NULL when unknown.
const Resource *kind_index_find(const KindIndex *index, Str api_version, Str kind);
