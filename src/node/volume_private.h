#pragma once
// What volumes.c (the volumes of a pod), volume_plain.c (directories and host paths),
// volume_content.c (files from objects of the API) and volume_token.c (tokens of service accounts)
// share.

#include "node/images.h"
#include "node/references.h"
#include "node/volumes.h"

#define VOLUME_E_WAITING 1 // something that was asked for has not come yet

typedef struct VolumeToken VolumeToken;
typedef struct VolumeClaim VolumeClaim;

typedef struct VolumeObject { // a config map or secret that a volume shows
    const Resource *resource;
    Str name; // in the PodVolumes' arena
    Reference *reference;
} VolumeObject;

typedef struct PodVolume {
    PodVolumes *owner;
    size_t index;   // in spec.volumes
    Str path;       // on the host; in the owner's arena
    bool read_only; // its content is ours alone
    bool ready;     // stays so when a later update fails
    Str message;    // malloc'ed: why it is not ready or not up to date
    int64_t delay;
    LoopTimer retry;
    LoopTask check;
    bool acquired; // `objects` and `tokens` are there
    VolumeObject *objects;
    VolumeToken **tokens; // one per source of the projected volume, NULL where it is another kind
    size_t n_objects, n_tokens;
    ImageRequest *image_request;
    const ImageResult *image; // of image_request, once it is answered
    VolumeClaim *claim;
} PodVolume;

struct PodVolumes {
    NodeAgent *agent;
    Arena *arena, *pod_arena; // of the whole; of `pod`
    Pod *pod;                 // a copy: metadata and spec
    Str directory;            // DATA_DIR/pods/UID
    PodVolume *items;
    size_t n;
    void (*changed)(void *user);
    void *user;
    LoopTask tell;
};

static inline const Volume *volume_spec(const PodVolume *volume) {
    return &volume->owner->pod->spec.volumes.items[volume->index];
}
void volume_changed(void *volume); // looks at it again, soon

// volume_plain.c. All return 0 or negative errno with *ret_message; fine when it is done already.
int volume_make_directory(PodVolume *volume, Arena *arena, Str *ret_message);
int volume_make_tmpfs(PodVolume *volume, Arena *arena, Str *ret_message);
int volume_empty_dir(PodVolume *volume, Arena *arena, Str *ret_message);
int volume_host_path(PodVolume *volume, Arena *arena, Str *ret_message);
int volume_check_host_path(Arena *arena, const HostPathVolumeSource *source, Str *ret_message);
int volume_own_by_group(PodVolume *volume, Arena *arena, Str *ret_message); // its top directory
int64_t volume_group(const PodVolume *volume);                              // fsGroup; -1: none
bool volume_is_mounted(const PodVolume *volume, Arena *arena);

// volume_image.c, volume_claim.c. Also VOLUME_E_WAITING.
int volume_image(PodVolume *volume, Arena *arena, Str *ret_message);
void volume_image_release(PodVolume *volume); // a request under way
void volume_image_unpin(PodVolume *volume);   // the volume is about to go
int volume_claim(PodVolume *volume, Arena *arena, Str *ret_message);
void volume_claim_free(VolumeClaim *claim);
void volume_claim_retry(VolumeClaim *claim); // what failed is asked for again at the next look
// It lies elsewhere than its kind says.
void volume_set_path(PodVolume *volume, Str path, bool read_only);

// volume_content.c. Also VOLUME_E_WAITING.
bool volume_has_content(const Volume *spec);
int volume_content(PodVolume *volume, Arena *arena, Str *ret_message);
void volume_content_retry(PodVolume *volume); // what failed is asked for again at the next look
void volume_content_release(PodVolume *volume);

// volume_token.c
VolumeToken *volume_token_new(PodVolume *volume, size_t source);
void volume_token_free(VolumeToken *token);
void volume_token_retry(VolumeToken *token);
// The token (good until the next turn of the loop), asked for when there is none and no error since
// the last retry.
int volume_token_get(VolumeToken *token, Arena *arena, Str *ret, Str *ret_message);

// volume_remove.c: what is in volumes/ and volume-subpaths/ of a pod's directory. `done` may be
// NULL.
void volume_remove_all(Loop *loop, Str directory, void (*done)(void *user), void *user);
