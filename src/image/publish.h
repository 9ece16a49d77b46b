#pragma once
// The last steps of pull and import: from documents and unpacked layers to an image with names.

#include "image/documents.h"
#include "image/output.h"

// What all verbs that bring images in work with.
typedef struct Job {
    Depot *depot;
    Arena *arena; // until the program ends
    Output *output;
    UnpackLimits limits;
    Platform platform;
    Failure *failure;
} Job;

typedef struct Publication {
    Str manifest; // the documents' bytes
    Str config;
    Str index;                  // STR_NONE unless the name stands for an index
    Str target;                 // digest of the index or of the manifest
    const StoreRecord *records; // only `repository` and `suffix` count
    size_t n_records;
    uint64_t layers_size; // bytes as in the manifest
} Publication;

// Claims the image's parts, so that no collection takes them until the depot is closed.
int publish_claim(Job *job, Str manifest_digest, Str config_digest, Str target,
                  const ImageStrings *diff_ids) __attribute__((warn_unused_result));
// Writes blobs, summary and records; all layers must be in the store. Fills what publishing tells
// of
// `*image` (whose config part is given) and returns 0, or fills job->failure.
int publish_image(Job *job, const Publication *publication, Image *image)
    __attribute__((warn_unused_result));
