#pragma once
// What depot.c and collect.c share.

#include "image/depot.h"

struct Depot {
    ImageStore *store;
    int work;        // tmp/NAME, held by a flock while we live
    char name[64];   // NAME
    int empty;       // tmp/NAME/empty
    unsigned serial; // of names in the working directory
};

// layers/HEX/layer.json
typedef struct LayerSize {
    uint64_t bytes, entries;
    bool opaque_root;
} LayerSize;
// `path` is the layer's directory, below the store's root. Returns 0 or negative errno.
int depot_read_layer(const Depot *depot, const char *path, LayerSize *ret_size)
    __attribute__((warn_unused_result));
