#pragma once
// Reading the image store: what the daemon links. Writing is seapod-image's alone, and so is every
// document that came from outside; what is read here was written by seapod-image, small and
// checked. Nothing here waits: files are a few KiB, and the one lock is only tried.
//
// DATA_DIR/images-store/ (mode 0700; doc/images.md tells it at length)
//   format                        "seapod-image-store 1": a newer number is refused
//   lock                          flock(2): shared while records or pins are written, exclusive
//                                 while garbage is marked; never held while bytes are copied
//   blobs/sha256/HEX              manifests, indexes and configs, byte for byte
//   layers/HEX/fs/                one unpacked layer, named by its diff id and shared by all images
//                                 that hold it: an overlayfs lower directory (whiteouts are 0/0
//                                 devices, opaque directories carry trusted.overlay.opaque=y)
//   layers/HEX/layer.json         its size; a directory in layers/ is always complete and synced
//   images/DOMAIN/PATH/:TAG       record: the digest that the tag stands for
//   images/DOMAIN/PATH/@DIGEST    record: the same, by digest (the "repo digest")
//   summaries/HEX                 per manifest: what this header reads, normalized by seapod-image
//   imported/HEX                  per archive that `import --new` took: its inode and manifests
//   pins/NAME                     a container's claim on an image: the manifest's digest
//   tmp/NAME/                     work in progress, its owner alive while it holds a flock on it
// An image is used only through a record; a record is written last, so a half-pulled image is never
// seen. Garbage collection deletes what neither a record, a pin nor a living tmp/NAME/claim uses.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

enum {
    // What is asked for is not there (or no longer whole).
    IMAGE_STORE_E_NOT_FOUND = 1,
    // Not an image name; see reference_parse.
    IMAGE_STORE_E_INVALID_NAME = 2,
    // The store was written by a newer version; nothing was read.
    IMAGE_STORE_E_NEWER = 3,
    // The lock is held exclusively for a few milliseconds; try again soon.
    IMAGE_STORE_E_BUSY = 4,
    // A short image id stands for more than one image.
    IMAGE_STORE_E_AMBIGUOUS = 5,
};

typedef struct ImageStore ImageStore;

// Opens DATA_DIR/images-store, making it when it is missing. Returns 0, IMAGE_STORE_E_NEWER or
// negative errno. The store may be used by one thread at a time.
int image_store_open(const char *data_dir, ImageStore **ret_store)
    __attribute__((warn_unused_result));
void image_store_free(ImageStore *store); // NULL is fine
static inline void image_store_freep(ImageStore **store) {
    image_store_free(*store);
}
#define _image_store_free_ __attribute__((cleanup(image_store_freep)))
const char *image_store_path(const ImageStore *store); // ".../images-store"; the store's

typedef struct ImageStrings {
    Str *items;
    size_t n;
} ImageStrings;

typedef struct ImageLabel {
    Str name, value;
} ImageLabel;

// One image: a manifest and its configuration. Everything lives in the arena it was read into.
typedef struct Image {
    Str id;       // "sha256:HEX" of the config: what runtimes call the image ID
    Str manifest; // "sha256:HEX" of the platform's manifest; the pin's name for the image
    // By record, sorted. image_store_resolve by name tells those of that repository alone.
    // An image that was imported from an archive has no repo digest.
    ImageStrings repo_tags;    // "docker.io/library/busybox:latest"
    ImageStrings repo_digests; // "docker.io/library/busybox@sha256:HEX"
    uint64_t size;             // bytes as stored in a registry: manifest, config and layers
    Str os, architecture;      // "linux", "amd64"
    Str created;               // RFC 3339 as the config says, or STR_NONE

    // OCI image-spec config.md, as given; STR_NONE and n == 0 when absent.
    ImageStrings entrypoint, cmd, env;
    Str user, working_dir, stop_signal;
    ImageStrings exposed_ports; // "80/tcp", sorted
    ImageStrings volumes;       // sorted
    ImageLabel *labels;         // sorted by name
    size_t n_labels;

    ImageStrings diff_ids; // lowest first, all of the config's
    // Absolute directories for overlayfs, lowest first; none for an image without layers. Layers
    // below one that hides everything under it are left out.
    ImageStrings layers;
} Image;

// Finds an image by name ("busybox", "repo@sha256:HEX") or by image id: "sha256:HEX", 64 hex
// digits, or, when `short_ids`, a prefix of at least 12 (for people at the command line). With both
// a tag and a digest in the name, the digest decides, as when pulling. Returns 0,
// IMAGE_STORE_E_NOT_FOUND, _INVALID_NAME, _AMBIGUOUS, or negative errno.
int image_store_resolve(ImageStore *store, Arena *arena, Str name, bool short_ids, Image *ret_image)
    __attribute__((warn_unused_result));

// All images, one for each id, sorted by it, with all their names. Returns 0 or negative
// errno; a damaged record is passed over.
int image_store_list(ImageStore *store, Arena *arena, Image **ret_images, size_t *ret_n)
    __attribute__((warn_unused_result));

// A pin keeps an image's layers from garbage collection while a container uses them, whatever
// becomes of the image's records. `name` is the caller's: [A-Za-z0-9_.-]{1,128}, such as a
// container id; an existing pin of that name is replaced. Write the pin before mounting the layers.
// Returns 0, IMAGE_STORE_E_BUSY, IMAGE_STORE_E_NOT_FOUND (the image is gone: resolve again), or
// negative errno.
int image_store_pin(ImageStore *store, Str name, const Image *image)
    __attribute__((warn_unused_result));
// Returns 0 (also when there was none) or negative errno.
int image_store_unpin(ImageStore *store, Str name) __attribute__((warn_unused_result));
// The manifest ("sha256:HEX") that a pin claims; IMAGE_STORE_E_NOT_FOUND, or negative errno.
int image_store_pinned(ImageStore *store, Arena *arena, Str name, Str *ret_manifest)
    __attribute__((warn_unused_result));
// The names of all pins, for a node that starts and drops those whose container is no more.
int image_store_pins(ImageStore *store, Arena *arena, ImageStrings *ret_names)
    __attribute__((warn_unused_result));
