#pragma once
// One layer on its way from a source (the registry, an archive) into a directory: digests are taken
// here, parsing is left to sandboxed stages. Driven by poll(2), so that several layers and their
// downloads share one thread; each holds at most a few hundred KiB.

#include <poll.h>

#include "base/arena.h"
#include "image/stage.h"

typedef struct LayerFlow LayerFlow;

#define LAYER_FLOW_FDS 4

typedef struct LayerDone {
    Str blob;        // digest of the bytes as they were pushed
    Str diff_id;     // digest of the uncompressed tar
    uint64_t pushed; // bytes
    UnpackResult unpacked;
} LayerDone;

// `directory` (the layer's, empty) and `empty` (any empty one) stay the caller's, open until the
// flow is freed.
LayerFlow *layer_flow_new(int directory, int empty, const UnpackLimits *limits);
void layer_flow_free(LayerFlow *flow); // kills what still runs; NULL is fine

// Takes all of the bytes, or none while it still holds earlier ones: then offer them again after a
// step. At most 1 MiB at once.
bool layer_flow_push(LayerFlow *flow, const void *data, size_t len);
void layer_flow_finish(LayerFlow *flow); // no more bytes will come
uint64_t layer_flow_pushed(const LayerFlow *flow);

// Moves what can be moved without waiting. Returns 0 or fills `failure`; then only free it.
int layer_flow_step(LayerFlow *flow, Failure *failure) __attribute__((warn_unused_result));
bool layer_flow_is_idle(const LayerFlow *flow); // would take a push
bool layer_flow_is_done(const LayerFlow *flow); // layer_flow_end won't wait long
// Fills at most LAYER_FLOW_FDS entries for poll(2) and returns how many.
size_t layer_flow_poll(const LayerFlow *flow, struct pollfd *fds);
// After layer_flow_is_done. Returns 0 or fills `failure`.
int layer_flow_end(LayerFlow *flow, Arena *arena, LayerDone *ret_done, Failure *failure)
    __attribute__((warn_unused_result));
