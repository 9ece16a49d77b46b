// Manifests, indexes, configs and lists of saved images come from strangers; their digests only say
// that they are what the stranger meant.
#include <assert.h>
#include <stdint.h>

#include "image/documents.h"
#include "image/reference.h"
#include "image/summary.h"

static void check_descriptors(const Descriptors *descriptors) {
    for (size_t i = 0; i < descriptors->n; i++)
        assert(reference_is_sha256(descriptors->items[i].digest));
    Platform platform = {STR("linux"), STR("amd64"), STR_NONE};
    const Descriptor *chosen = index_choose(descriptors, &platform);
    assert(!chosen ||
           (chosen >= descriptors->items && chosen < descriptors->items + descriptors->n));
}

// What the daemon reads of a config says the same as the config.
static void check_config(Arena *arena, Image *image) {
    _buf_deinit_ Buf out = BUF_INIT(IMAGE_SUMMARY_MAX);
    Image again;
    image->id = image->manifest =
        STR("sha256:7cc4b5aefd1d0cadf8d97d4350462ba51c694ebca145b08d7d41b41acc8db5aa");
    image_summary_encode(image, false, &out);
    if (out.failed)
        return;
    assert(image_summary_decode(arena, buf_view(&out), "/store", &again) == 0);
    assert(again.cmd.n == image->cmd.n && again.env.n == image->env.n &&
           again.diff_ids.n == image->diff_ids.n && again.n_labels == image->n_labels);
    for (size_t i = 0; i < again.diff_ids.n; i++)
        assert(reference_is_sha256(again.diff_ids.items[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _arena_free_ Arena *arena = arena_new();
    Str text = str_of(data, size);
    Failure failure = {0};
    DocumentKind kind;
    Manifest manifest = {0};
    Descriptors index;
    Image image = {0};
    SavedImage *saved;
    size_t n;
    if (document_kind(text, &kind, &failure) != 0)
        assert(failure.code == IMAGE_E_BAD_DATA && failure.message[0]);
    if (document_manifest(arena, text, &manifest, &failure) == 0)
        check_descriptors(&manifest.layers);
    if (document_index(arena, text, &index, &failure) == 0)
        check_descriptors(&index);
    if (document_config(arena, text, &image, &failure) == 0)
        check_config(arena, &image);
    if (document_saved(arena, text, &saved, &n, &failure) == 0)
        assert(n > 0 && saved[0].config.ptr);
    return 0;
}
