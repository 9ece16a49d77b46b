// Images from files: `docker save`, OCI layouts (a tar or a directory), plain root file systems.

#include "image/archive.h"
#include "image/digest.h"
#include "image/reference.h"
#include "image/strings.h"
#include "image/verbs.h"

typedef struct Import {
    Job *job;
    const ImportOptions *options;
    StoreRecord *named; // options->names as records
    size_t n_named;
    Archive archive;
    ImageStrings *manifests; // of what was imported
} Import;

static int bad(Import *import, const char *what) {
    return failure_set(import->job->failure, IMAGE_E_BAD_DATA, "%s", what);
}

// Parses a name for an imported image: it has a tag, never a digest.
static int name_record(Job *job, Str name, StoreRecord *ret_record) {
    ImageReference reference;
    Str message;
    if (reference_parse(job->arena, name, &reference, &message) != 0)
        return failure_set(job->failure, IMAGE_E_USAGE, "%.*s", STR_ARG(message));
    if (reference.digest.ptr)
        return failure_set(job->failure, IMAGE_E_USAGE,
                           "an image cannot be imported under a digest: %.*s", STR_ARG(name));
    *ret_record = (StoreRecord){
        .repository = reference_repository(job->arena, &reference),
        .suffix = arena_printf(job->arena, ":%.*s", STR_ARG(reference.tag)),
    };
    return 0;
}

static int parse_names(Import *import) {
    const ImageStrings *names = &import->options->names;
    import->named = arena_array_of(import->job->arena, StoreRecord, names->n + 1);
    import->n_named = names->n;
    for (size_t i = 0; i < names->n; i++) {
        int code = name_record(import->job, names->items[i], &import->named[i]);
        if (code)
            return code;
    }
    return 0;
}

// Puts the layers of a manifest into the store, after the claim that keeps them there.
static int commit_layers(Import *import, ArchiveFile *const *layers, size_t n) {
    Job *job = import->job;
    for (size_t i = 0; i < n; i++) {
        if (!layers[i]->layer.ptr) // committed for another image, or for this one before
            continue;
        int code = depot_commit_layer(job->depot, layers[i]->layer, layers[i]->diff_id,
                                      &layers[i]->unpacked, job->failure);
        if (code)
            return code;
        layers[i]->layer = STR_NONE;
    }
    return 0;
}

// An image whose parts are all known: `records` or, when the command line names it, those names.
static int finish_image(Import *import, Publication *publication, Image *image,
                        ArchiveFile *const *layers, const StoreRecord *records, size_t n_records) {
    Job *job = import->job;
    publication->records = import->n_named ? import->named : records;
    publication->n_records = import->n_named ? import->n_named : n_records;
    if (publication->n_records == 0)
        return failure_set(job->failure, IMAGE_E_USAGE,
                           "the archive does not name its image: give it one with --name");
    for (size_t i = 0; i < image->diff_ids.n; i++)
        if (!str_eq(layers[i]->diff_id, image->diff_ids.items[i]))
            return failure_set(job->failure, IMAGE_E_BAD_DATA,
                               "layer %zu unpacks to %.*s, but the config says %.*s", i + 1,
                               STR_ARG(layers[i]->diff_id), STR_ARG(image->diff_ids.items[i]));
    Str manifest_digest = sha256_of(job->arena, publication->manifest);
    if (!publication->target.ptr)
        publication->target = manifest_digest;
    int code = publish_claim(job, manifest_digest, sha256_of(job->arena, publication->config),
                             publication->target, &image->diff_ids);
    if (!code)
        code = commit_layers(import, layers, image->diff_ids.n);
    if (!code)
        code = publish_image(job, publication, image);
    if (!code)
        image_strings_push(job->arena, import->manifests, image->manifest);
    for (size_t i = 0; !code && i < image->repo_tags.n; i++)
        output_image(job->output, image, image->repo_tags.items[i]);
    return code;
}

// manifest.json of docker save: paths in the archive, uncompressed or not, and full names.
static int import_saved(Import *import, const SavedImage *saved) {
    Job *job = import->job;
    Publication publication = {.config = archive_document(job, &import->archive, saved->config)};
    Image image = {0};
    if (!publication.config.ptr)
        return failure_set(job->failure, IMAGE_E_BAD_DATA, "the archive lacks the config %.*s",
                           STR_ARG(saved->config));
    int code = document_config(job->arena, publication.config, &image, job->failure);
    if (code)
        return code;
    if (image.diff_ids.n != saved->layers.n)
        return bad(import, "the config and manifest.json don't have the same number of layers");
    ArchiveFile **layers = arena_array_of(job->arena, ArchiveFile *, saved->layers.n + 1);
    Descriptors descriptors = {arena_array_of(job->arena, Descriptor, saved->layers.n + 1),
                               saved->layers.n};
    for (size_t i = 0; i < saved->layers.n; i++) {
        code = archive_layer(job, &import->archive, saved->layers.items[i], &layers[i]);
        if (code)
            return code;
        // As a registry would be given it: the blob's digest, which may be compressed.
        descriptors.items[i] = (Descriptor){.digest = layers[i]->blob, .size = layers[i]->size};
        publication.layers_size += layers[i]->size;
    }
    publication.manifest =
        document_write_manifest(job->arena, sha256_of(job->arena, publication.config),
                                publication.config.len, &descriptors);
    StoreRecord *records = arena_array_of(job->arena, StoreRecord, saved->repo_tags.n + 1);
    for (size_t i = 0; i < saved->repo_tags.n; i++) {
        code = name_record(job, saved->repo_tags.items[i], &records[i]);
        if (code)
            return code;
    }
    return finish_image(import, &publication, &image, layers, records, saved->repo_tags.n);
}

static int refuse_names_for_many(Import *import, size_t n) {
    if (import->n_named == 0 || n < 2)
        return 0;
    return failure_set(import->job->failure, IMAGE_E_USAGE,
                       "the archive holds several images: --name cannot name them all");
}

static int import_all_saved(Import *import, Str text) {
    SavedImage *images;
    size_t n;
    int code = document_saved(import->job->arena, text, &images, &n, import->job->failure);
    if (!code)
        code = refuse_names_for_many(import, n);
    for (size_t i = 0; !code && i < n; i++)
        code = import_saved(import, &images[i]);
    return code;
}

// A document of an OCI layout, checked against its digest.
static int read_blob(Import *import, const Descriptor *descriptor, Str *ret_text) {
    Job *job = import->job;
    Str path =
        arena_printf(job->arena, "blobs/sha256/%.*s", STR_ARG(store_hex(descriptor->digest)));
    *ret_text = archive_document(job, &import->archive, path);
    if (!ret_text->ptr)
        return failure_set(job->failure, IMAGE_E_BAD_DATA, "the archive lacks %.*s",
                           STR_ARG(descriptor->digest));
    if (!str_eq(sha256_of(job->arena, *ret_text), descriptor->digest))
        return failure_set(job->failure, IMAGE_E_BAD_DATA, "%.*s in the archive has another digest",
                           STR_ARG(descriptor->digest));
    return 0;
}

static int import_manifest(Import *import, Publication *publication, const StoreRecord *records,
                           size_t n_records) {
    Job *job = import->job;
    Manifest manifest;
    Image image = {0};
    int code = document_manifest(job->arena, publication->manifest, &manifest, job->failure);
    if (!code)
        code = read_blob(import, &manifest.config, &publication->config);
    if (!code)
        code = document_config(job->arena, publication->config, &image, job->failure);
    if (code)
        return code;
    if (image.diff_ids.n != manifest.layers.n)
        return bad(import, "the config and the manifest don't have the same number of layers");
    ArchiveFile **layers = arena_array_of(job->arena, ArchiveFile *, manifest.layers.n + 1);
    for (size_t i = 0; i < manifest.layers.n; i++) {
        const Descriptor *layer = &manifest.layers.items[i];
        Str path = arena_printf(job->arena, "blobs/sha256/%.*s", STR_ARG(store_hex(layer->digest)));
        code = archive_layer(job, &import->archive, path, &layers[i]);
        if (code)
            return code;
        if (!str_eq(layers[i]->blob, layer->digest))
            return failure_set(job->failure, IMAGE_E_BAD_DATA,
                               "%.*s in the archive has another digest", STR_ARG(layer->digest));
        publication->layers_size += layer->size;
    }
    return finish_image(import, publication, &image, layers, records, n_records);
}

// Follows an index to this platform's manifest.
static int import_descriptor(Import *import, const Descriptor *descriptor,
                             const StoreRecord *records, size_t n_records) {
    Job *job = import->job;
    Publication publication = {.target = descriptor->digest};
    const Descriptor *at = descriptor;
    for (int depth = 0; depth < 4; depth++) {
        Str text;
        DocumentKind kind;
        int code = read_blob(import, at, &text);
        if (!code)
            code = document_kind(text, &kind, job->failure);
        if (code)
            return code;
        if (kind == DOCUMENT_MANIFEST) {
            publication.manifest = text;
            return import_manifest(import, &publication, records, n_records);
        }
        Descriptors *manifests = arena_new_of(job->arena, Descriptors);
        if (depth == 0)
            publication.index = text;
        code = document_index(job->arena, text, manifests, job->failure);
        if (code)
            return code;
        at = index_choose(manifests, &job->platform);
        if (!at)
            return failure_set(job->failure, IMAGE_E_NOT_FOUND,
                               "no image for platform %s in the archive",
                               platform_format(job->arena, &job->platform).ptr);
    }
    return bad(import, "too many indexes inside indexes");
}

// Does the annotation hold a name, or only the tag of one?
static bool is_whole_name(Str name) {
    return str_find(name, '/') >= 0 || str_find(name, ':') >= 0;
}

static const Descriptor *choose_named(Import *import, const Descriptors *all, Str name) {
    Descriptors same = {arena_array_of(import->job->arena, Descriptor, all->n), 0};
    for (size_t i = 0; i < all->n; i++)
        if (str_eq(all->items[i].name, name))
            same.items[same.n++] = all->items[i];
    return index_choose(&same, &import->job->platform);
}

static int import_named(Import *import, const Descriptors *all, Str name) {
    Job *job = import->job;
    StoreRecord record;
    int code = 0;
    size_t n_records = 0;
    const Descriptor *chosen = choose_named(import, all, name);
    if (!chosen)
        return failure_set(job->failure, IMAGE_E_NOT_FOUND,
                           "no image for platform %s in the archive",
                           platform_format(job->arena, &job->platform).ptr);
    if (name.ptr && is_whole_name(name)) {
        code = name_record(job, name, &record);
        n_records = 1;
    }
    return code ? code : import_descriptor(import, chosen, &record, n_records);
}

// index.json of an OCI layout: entries of one name are one image's platforms.
static int import_layout(Import *import, Str text) {
    Job *job = import->job;
    Descriptors all;
    ImageStrings names = {0};
    int code = document_index(job->arena, text, &all, job->failure);
    if (!code && all.n == 0)
        return bad(import, "the archive's index.json lists no image");
    for (size_t i = 0; !code && i < all.n; i++) {
        bool seen = false;
        for (size_t j = 0; j < names.n; j++)
            seen = seen || str_eq(names.items[j], all.items[i].name);
        if (!seen)
            image_strings_push(job->arena, &names, all.items[i].name);
    }
    if (!code)
        code = refuse_names_for_many(import, names.n);
    for (size_t i = 0; !code && i < names.n; i++)
        code = import_named(import, &all, names.items[i]);
    return code;
}

static int import_archive(Import *import) {
    Job *job = import->job;
    Str saved = archive_document(job, &import->archive, STR("manifest.json"));
    Str index = archive_document(job, &import->archive, STR("index.json"));
    // Newer versions of docker write both; index.json knows the manifest as it was pulled, but only
    // when it also names the image.
    if (index.ptr && saved.ptr && !import->n_named) {
        Descriptors all;
        bool named = document_index(job->arena, index, &all, job->failure) == 0 && all.n > 0;
        job->failure->code = 0;
        for (size_t i = 0; i < all.n && named; i++)
            named = all.items[i].name.ptr && is_whole_name(all.items[i].name);
        if (named)
            saved = STR_NONE;
    }
    if (saved.ptr)
        return import_all_saved(import, saved);
    if (index.ptr)
        return import_layout(import, index);
    return bad(import, "neither manifest.json nor index.json in it: no archive of images (a plain "
                       "root file system needs --rootfs)");
}

static int import_rootfs(Import *import, int fd) {
    Job *job = import->job;
    ArchiveFile *layer = arena_new_of(job->arena, ArchiveFile);
    if (import->n_named == 0)
        return failure_set(job->failure, IMAGE_E_USAGE, "--rootfs needs --name");
    int code = archive_unpack_fd(job, fd, STR("sha256:root"), layer);
    if (code)
        return code;
    Image image = *import->options->config;
    image.os = job->platform.os;
    image.architecture = job->platform.architecture;
    image_strings_push(job->arena, &image.diff_ids, layer->diff_id);
    Descriptor descriptor = {.digest = layer->blob, .size = layer->size};
    Descriptors layers = {&descriptor, 1};
    Publication publication = {.config = document_write_config(job->arena, &image),
                               .layers_size = layer->size};
    publication.manifest = document_write_manifest(
        job->arena, sha256_of(job->arena, publication.config), publication.config.len, &layers);
    return finish_image(import, &publication, &image, &layer, NULL, 0);
}

int import_file(Job *job, const ImportOptions *options, const char *file, int fd, bool is_directory,
                ImageStrings *manifests) {
    Import import = {.job = job, .options = options, .archive = {NULL, -1}, .manifests = manifests};
    int code = parse_names(&import);
    if (!code && options->rootfs && is_directory)
        code = failure_set(job->failure, IMAGE_E_USAGE,
                           "--rootfs wants a tar: tar -C %s -c . | seapod image import --rootfs -",
                           file);
    else if (!code && options->rootfs)
        code = import_rootfs(&import, fd);
    if (code || options->rootfs)
        return code;
    if (is_directory)
        archive_use_directory(fd, &import.archive);
    else
        code = archive_read_stream(job, fd, &import.archive);
    if (!code)
        code = import_archive(&import);
    archive_deinit(&import.archive);
    return code;
}
