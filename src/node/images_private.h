#pragma once
// What images.c (finding and pulling) and image_collect.c (their end) share.

#include "base/map.h"
#include "base/spawn.h"
#include "node/images.h"

struct Images {
    NodeAgent *agent;
    ImageStore *store;
    int store_error;
    List pulls;
    Map *troubles; // "POD-UID IMAGE" -> Trouble
    // image_collect.c
    Map *uses; // manifest digest -> ImageUse
    Child *collector;
};

typedef struct ImageUse { // Unix ns
    int64_t found;        // when this process saw it first
    int64_t used;         // when a container of it was made or removed, 0: not by this process
} ImageUse;

ImageUse *image_use(Images *images, Str manifest);
void image_uses_free(Images *images);

// Of what may go, as many as it takes to free that much; longest unused first. Sets `chosen` (of
// length n) and returns the bytes that they come to. `uses[i]` and `pinned[i]` are of images[i].
int64_t image_choose(const Image *images, size_t n, const ImageUse *uses, const bool *pinned,
                     int64_t now, int64_t min_age, int64_t to_free, bool *chosen);
