#pragma once
// The JSON documents of images, as strangers write them: OCI image-spec (manifest.md,
// image-index.md, config.md, image-layout.md) and Docker's schema 2 forms of them, and
// manifest.json of `docker save`.

#include "image/failure.h"
#include "image/store.h"

#define DOCUMENT_MAX (4u << 20) // bytes of a manifest, index or config

#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_DOCKER_INDEX "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"

typedef struct Platform {
    Str os, architecture, variant; // "linux", "arm", "v7"
} Platform;

// "linux/amd64", "linux/arm/v7" or "arm64". Returns 0 or -EINVAL.
int platform_parse(Str text, Platform *ret_platform) __attribute__((warn_unused_result));
Platform platform_of_host(void);
Str platform_format(Arena *arena, const Platform *platform);

typedef struct Descriptor {
    Str media_type;
    Str digest; // valid sha256
    uint64_t size;
    Platform platform; // os is STR_NONE when an index doesn't tell
    Str name;          // by annotation, in an archive's index; or STR_NONE
} Descriptor;

typedef struct Descriptors {
    Descriptor *items;
    size_t n;
} Descriptors;

typedef enum DocumentKind { DOCUMENT_MANIFEST, DOCUMENT_INDEX } DocumentKind;

typedef struct Manifest {
    Descriptor config;
    Descriptors layers; // lowest first
} Manifest;

// Tells the kind by content; a document that could pass for both is refused. Each returns 0 or
// fills `failure` with IMAGE_E_BAD_DATA.
int document_kind(Str text, DocumentKind *ret_kind, Failure *failure)
    __attribute__((warn_unused_result));
int document_manifest(Arena *arena, Str text, Manifest *ret_manifest, Failure *failure)
    __attribute__((warn_unused_result));
int document_index(Arena *arena, Str text, Descriptors *ret_manifests, Failure *failure)
    __attribute__((warn_unused_result));
// The config's part of `*ret_image` (id, manifest, size and names stay untouched).
int document_config(Arena *arena, Str text, Image *ret_image, Failure *failure)
    __attribute__((warn_unused_result));

// The entry for a platform: the same variant, or its default, before one without. NULL when none.
const Descriptor *index_choose(const Descriptors *manifests, const Platform *platform);

// manifest.json of `docker save`.
typedef struct SavedImage {
    Str config;             // a path in the archive
    ImageStrings layers;    // paths, lowest first
    ImageStrings repo_tags; // may be empty
} SavedImage;
int document_saved(Arena *arena, Str text, SavedImage **ret_images, size_t *ret_n, Failure *failure)
    __attribute__((warn_unused_result));

// Writes an OCI manifest over a config and uncompressed layers; `layers` by diff id and size.
Str document_write_manifest(Arena *arena, Str config_digest, size_t config_size,
                            const Descriptors *layers);
// Writes an OCI config with what `image` tells of it.
Str document_write_config(Arena *arena, const Image *image);
