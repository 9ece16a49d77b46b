#pragma once
// What seapod-image tells: results on stdout (with --json one object a line, also of progress), on
// a terminal one line with a bar per layer on stderr, nothing of that when stderr is no terminal.
//   {"type":"resolved","reference":"docker.io/library/x:1","digest":"sha256:..."}
//   {"type":"layer","digest":"sha256:...","state":"downloading","current":10,"total":20}
//   {"type":"image","reference":"...","id":"sha256:...", ...the summary and its names...}
//   {"type":"removed","reference":"..."}   {"type":"collected","layers":1,"blobs":2,"bytes":3}
//   {"type":"error","code":3,"reason":"not found","message":"..."}

#include "image/depot.h"

typedef struct Output Output;

typedef enum LayerState {
    LAYER_WAITING,
    LAYER_DOWNLOADING, // or read, on import; unpacked while it arrives
    LAYER_UNPACKING,   // all bytes are here
    LAYER_DONE,
    LAYER_EXISTS, // in the store already
} LayerState;

Output *output_new(bool json, bool quiet);
void output_free(Output *output); // leaves the bars as they are; NULL is fine

void output_resolved(Output *output, Str reference, Str digest);
// Adds a layer; `total` bytes (0: unknown). The number is for output_layer_state.
size_t output_layer(Output *output, Str digest, uint64_t total);
// `current` is bytes so far. Cheap: shows what a person can see, ten times a second.
void output_layer_state(Output *output, size_t layer, LayerState state, uint64_t current);
void output_image(Output *output, const Image *image, Str reference);
void output_list(Output *output, const Image *images, size_t n);
void output_removed(Output *output, Str reference);
void output_collected(Output *output, const DepotCollected *collected);
// The last line on stderr is the message; with --json also an object on stdout.
void output_failure(Output *output, const Failure *failure);
