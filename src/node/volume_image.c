// Volumes that are the content of an image: pulled like a container's, mounted read-only, without
// set-user-ID and without execution.
// https://kubernetes.io/docs/tasks/configure-pod-container/image-volumes/
#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "node/images.h"
#include "node/rootfs.h"
#include "node/volume_private.h"

// The name of the claim that keeps the image's layers as long as they are mounted.
static Str pin_name(Arena *arena, const PodVolume *volume) {
    return arena_printf(arena, IMAGE_PIN_PREFIX "%.*s.%zu",
                        STR_ARG(volume->owner->pod->metadata.uid), volume->index);
}

static void on_image(void *user, const ImageResult *result) {
    PodVolume *volume = user;
    volume->image = result;
    volume_changed(volume);
}

static int ask(PodVolume *volume) {
    const ImageVolumeSource *source = volume_spec(volume)->image;
    PodVolumes *owner = volume->owner;
    volume->image_request = images_ensure(owner->agent->images, owner->pod, source->reference,
                                          source->pull_policy, STR(""), on_image, volume);
    return VOLUME_E_WAITING;
}

static int mount_image(PodVolume *volume, Arena *arena, const Image *image, Str *ret_message) {
    NodeAgent *agent = volume->owner->agent;
    int error = volume_make_directory(volume, arena, ret_message);
    if (!error && images_pin(agent->images, pin_name(arena, volume), image) != 0) {
        *ret_message = STR("the image went while it was to be mounted");
        error = -EAGAIN;
    }
    Str empty = arena_printf(arena, "%.*s.empty", STR_ARG(volume->path));
    if (!error && mkdir(empty.ptr, 0755) != 0 && errno != EEXIST)
        error = -errno;
    return error ? error
                 : rootfs_mount_read_only(arena, image->layers.items, image->layers.n, empty,
                                          volume->path.ptr, ret_message);
}

int volume_image(PodVolume *volume, Arena *arena, Str *ret_message) {
    if (volume_is_mounted(volume, arena)) // by an agent before this one
        return 0;
    if (!volume->image_request)
        return ask(volume);
    if (!volume->image)
        return VOLUME_E_WAITING;
    int error;
    if (volume->image->ok)
        error = mount_image(volume, arena, volume->image->image, ret_message);
    else {
        *ret_message = arena_printf(arena, "%.*s: %.*s", STR_ARG(volume->image->reason),
                                    STR_ARG(volume->image->message));
        error = -EAGAIN;
    }
    volume_image_release(volume); // the next try asks anew
    return error;
}

void volume_image_release(PodVolume *volume) {
    if (volume->image_request)
        images_release(volume->image_request);
    volume->image_request = NULL;
    volume->image = NULL;
}

void volume_image_unpin(PodVolume *volume) {
    _arena_free_ Arena *arena = arena_new();
    if (volume_spec(volume)->image)
        images_unpin(volume->owner->agent->images, pin_name(arena, volume));
}
