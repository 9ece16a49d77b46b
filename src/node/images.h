#pragma once
// Images for pods: found in the store, or pulled by seapod-image, with a kubelet's pull policy,
// backoff and events.

#include "image/store.h"
#include "kinds/kinds.h"
#include "node/agent.h"

typedef struct ImageRequest ImageRequest;
typedef struct ImageResult {
    bool ok;
    Str reason, message; // else: ErrImagePull, ImagePullBackOff, ErrImageNeverPull,
                         // InvalidImageName, ImageInspectError
    int64_t retry_after; // ns until it is worth asking again; 0: never by itself
    const Image *image;  // when ok; like the strings, until images_release()
    Str reference;       // status.image: the full name
} ImageResult;

Images *images_new(NodeAgent *agent);
void images_free(Images *images);
// `done` once, later. Records the events Pulling, Pulled, Failed, BackOff for the container at
// `field_path`.
// The image is tried to be pulled with the pod's imagePullSecrets. `field_path` may be empty.
ImageRequest *images_ensure(Images *images, const Pod *pod, Str image, Str pull_policy,
                            Str field_path, void (*done)(void *user, const ImageResult *result),
                            void *user);
void images_release(ImageRequest *request); // before or after `done`; no callback any more. A pull
                                            // under way goes on
// Pins of volumes: this, the pod's uid, a dot and a number. Others are of containers, by their id.
#define IMAGE_PIN_PREFIX "volume."
// A container holds its image's layers from creation to removal.
int images_pin(Images *images, Str container_id, const Image *image)
    __attribute__((warn_unused_result));
void images_unpin(Images *images, Str container_id);
// Once after recovery: drops the claims of containers that `is_known` denies (they went while no
// agent ran).
void images_retain(Images *images, bool (*is_known)(void *user, Str pin), void *user);
// All images, largest first; with repo_digests and repo_tags. For the Node's status.
size_t images_list(Images *images, Arena *arena, const Image **ret);
// When the disk is fuller than the high threshold, images that no container has used for longest go
// until it is below the low one. Asked whenever it may have become fuller; costs a statvfs(2) then.
// https://kubernetes.io/docs/concepts/architecture/garbage-collection/#container-image-garbage-collection
void images_collect(Images *images);
// All that no container uses, at once: the disk is about to be full. True while some are going.
bool images_collect_unused(Images *images);
// Imports what lies in DATA_DIR/images/ and is new there, by seapod-image, in the background.
void images_import_directory(Images *images);
