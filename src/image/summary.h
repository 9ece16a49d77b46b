#pragma once
// The summary of an image: the one document about it that the daemon reads. seapod-image makes it
// from the manifest and the config, which strangers wrote, and so bounds and checks it.

#include "base/buf.h"
#include "image/store.h"

#define IMAGE_SUMMARY_MAX (1u << 20) // bytes; an image that needs more is refused
#define IMAGE_LAYERS_MAX 256         // overlayfs stacks 500, Docker makes 127

// Appends one line of JSON without the newline. With `names`, also repoTags and repoDigests, which
// are the records' and not the summary's (the output of --json).
void image_summary_encode(const Image *image, bool names, Buf *out);
// `store_path` is what image->layers are made absolute with. Returns 0 or -EBADMSG.
int image_summary_decode(Arena *arena, Str text, const char *store_path, Image *ret_image)
    __attribute__((warn_unused_result));
