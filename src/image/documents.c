#include "image/documents.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "image/reference.h"
#include "image/strings.h"
#include "image/summary.h"

#define INDEX_MAX 1024 // entries
#define SAVED_MAX 256  // images in an archive

static int bad(Failure *failure, const char *what) {
    return failure_set(failure, IMAGE_E_BAD_DATA, "%s", what);
}

static json_t *load(Str text, const char *what, Failure *failure) {
    json_error_t error;
    json_t *root = json_loadb(text.ptr, text.len, 0, &error);
    if (!root)
        failure_set(failure, IMAGE_E_BAD_DATA, "%s is not valid JSON: %s", what, error.text);
    return root;
}

static Str str_in(Arena *arena, const json_t *value) {
    if (!json_is_string(value))
        return STR_NONE;
    return arena_str(arena, str_of(json_string_value(value), json_string_length(value)));
}

static Str get_str(Arena *arena, const json_t *object, const char *key) {
    return str_in(arena, json_object_get(object, key));
}

// As get_str, but absent and "" are the same.
static Str get_filled(Arena *arena, const json_t *object, const char *key) {
    Str s = get_str(arena, object, key);
    return s.len ? s : STR_NONE;
}

int platform_parse(Str text, Platform *ret_platform) {
    Str parts[3] = {STR_NONE, STR_NONE, STR_NONE};
    size_t n = 0;
    while (text.ptr) {
        if (n == 3)
            return -EINVAL;
        parts[n] = str_cut(&text, '/');
        if (parts[n++].len == 0)
            return -EINVAL;
    }
    if (n == 1)
        *ret_platform = (Platform){STR("linux"), parts[0], STR_NONE};
    else
        *ret_platform = (Platform){parts[0], parts[1], parts[2]};
    return n > 0 ? 0 : -EINVAL;
}

Platform platform_of_host(void) {
    static const struct {
        const char *machine;
        Platform platform;
    } machines[] = {
        {"x86_64", {STR("linux"), STR("amd64"), STR_NONE}},
        {"aarch64", {STR("linux"), STR("arm64"), STR_NONE}},
        {"armv7l", {STR("linux"), STR("arm"), STR("v7")}},
        {"armv6l", {STR("linux"), STR("arm"), STR("v6")}},
        {"i686", {STR("linux"), STR("386"), STR_NONE}},
        {"riscv64", {STR("linux"), STR("riscv64"), STR_NONE}},
        {"ppc64le", {STR("linux"), STR("ppc64le"), STR_NONE}},
        {"s390x", {STR("linux"), STR("s390x"), STR_NONE}},
    };
    struct utsname name;
    if (uname(&name) == 0)
        for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
            if (strcmp(name.machine, machines[i].machine) == 0)
                return machines[i].platform;
    return machines[0].platform;
}

Str platform_format(Arena *arena, const Platform *platform) {
    return arena_printf(arena, "%.*s/%.*s%s%.*s", STR_ARG(platform->os),
                        STR_ARG(platform->architecture), platform->variant.len ? "/" : "",
                        STR_ARG(platform->variant));
}

int document_kind(Str text, DocumentKind *ret_kind, Failure *failure) {
    json_t *root = load(text, "manifest", failure);
    if (!root)
        return failure->code;
    json_t *layers = json_object_get(root, "layers"), *config = json_object_get(root, "config");
    json_t *manifests = json_object_get(root, "manifests");
    int code = 0;
    if (manifests && (layers || config))
        code = bad(failure, "document is both a manifest and an index"); // CVE-2021-41190
    else if (json_is_array(manifests))
        *ret_kind = DOCUMENT_INDEX;
    else if (json_is_array(layers) && json_is_object(config))
        *ret_kind = DOCUMENT_MANIFEST;
    else if (json_integer_value(json_object_get(root, "schemaVersion")) == 1)
        code = bad(failure, "image is in Docker's schema 1 format, which is no longer supported");
    else
        code = bad(failure, "document is neither an image manifest nor an index");
    json_decref(root);
    return code;
}

static int read_descriptor(Arena *arena, const json_t *object, Descriptor *ret, Failure *failure) {
    json_int_t size = json_integer_value(json_object_get(object, "size"));
    *ret = (Descriptor){.media_type = get_str(arena, object, "mediaType"),
                        .digest = get_str(arena, object, "digest"),
                        .size = size > 0 ? (uint64_t)size : 0};
    const char *reason;
    if (!ret->digest.ptr || !reference_digest_is_valid(ret->digest, &reason))
        return failure_set(failure, IMAGE_E_BAD_DATA, "descriptor with a bad digest: %s",
                           ret->digest.ptr ? reason : "missing");
    if (!reference_is_sha256(ret->digest))
        return failure_set(failure, IMAGE_E_BAD_DATA, "unsupported digest algorithm: %.*s",
                           STR_ARG(ret->digest));
    if (size < 0)
        return bad(failure, "descriptor with a negative size");
    const json_t *platform = json_object_get(object, "platform");
    ret->platform =
        (Platform){get_filled(arena, platform, "os"), get_filled(arena, platform, "architecture"),
                   get_filled(arena, platform, "variant")};
    const json_t *annotations = json_object_get(object, "annotations");
    ret->name = get_filled(arena, annotations, "io.containerd.image.name");
    if (!ret->name.ptr)
        ret->name = get_filled(arena, annotations, "org.opencontainers.image.ref.name");
    return 0;
}

static int read_descriptors(Arena *arena, const json_t *array, size_t max, Descriptors *ret,
                            Failure *failure) {
    size_t n = json_array_size(array);
    if (n > max)
        return failure_set(failure, IMAGE_E_BAD_DATA, "document lists %zu blobs, more than %zu", n,
                           max);
    *ret = (Descriptors){arena_array_of(arena, Descriptor, n + 1), n};
    for (size_t i = 0; i < n; i++) {
        int code = read_descriptor(arena, json_array_get(array, i), &ret->items[i], failure);
        if (code)
            return code;
    }
    return 0;
}

int document_manifest(Arena *arena, Str text, Manifest *ret_manifest, Failure *failure) {
    json_t *root = load(text, "manifest", failure);
    if (!root)
        return failure->code;
    int code =
        read_descriptor(arena, json_object_get(root, "config"), &ret_manifest->config, failure);
    if (!code)
        code = read_descriptors(arena, json_object_get(root, "layers"), IMAGE_LAYERS_MAX,
                                &ret_manifest->layers, failure);
    if (!code && ret_manifest->config.size > DOCUMENT_MAX)
        code = bad(failure, "image config is larger than 4 MiB");
    json_decref(root);
    return code;
}

int document_index(Arena *arena, Str text, Descriptors *ret_manifests, Failure *failure) {
    json_t *root = load(text, "index", failure);
    if (!root)
        return failure->code;
    int code = read_descriptors(arena, json_object_get(root, "manifests"), INDEX_MAX, ret_manifests,
                                failure);
    json_decref(root);
    return code;
}

static ImageStrings get_strings(Arena *arena, const json_t *object, const char *key) {
    ImageStrings strings = {0};
    const json_t *array = json_object_get(object, key);
    size_t i;
    json_t *value;
    if (json_is_string(array)) // very old images
        image_strings_push(arena, &strings, str_in(arena, array));
    json_array_foreach(array, i, value) if (json_is_string(value))
        image_strings_push(arena, &strings, str_in(arena, value));
    return strings;
}

static ImageStrings get_keys(Arena *arena, const json_t *object, const char *key) {
    ImageStrings strings = {0};
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(object, key), name, value)
        image_strings_push(arena, &strings, arena_str(arena, str_from(name)));
    image_strings_sort(&strings);
    return strings;
}

static void read_labels(Arena *arena, json_t *labels, Image *image) {
    image->labels = arena_array_of(arena, ImageLabel, json_object_size(labels) + 1);
    image->n_labels = 0;
    const char *name;
    json_t *value;
    json_object_foreach(labels, name, value) if (json_is_string(value))
        image->labels[image->n_labels++] =
        (ImageLabel){arena_str(arena, str_from(name)), str_in(arena, value)};
}

static int read_config(Arena *arena, json_t *root, Image *image, Failure *failure) {
    json_t *rootfs = json_object_get(root, "rootfs");
    json_t *config = json_object_get(root, "config");
    if (!json_is_array(json_object_get(rootfs, "diff_ids")))
        return bad(failure, "not a container image: its config has no rootfs.diff_ids");
    image->diff_ids = get_strings(arena, rootfs, "diff_ids");
    if (image->diff_ids.n != json_array_size(json_object_get(rootfs, "diff_ids")))
        return bad(failure, "image config with a bad diff id");
    for (size_t i = 0; i < image->diff_ids.n; i++)
        if (!reference_is_sha256(image->diff_ids.items[i]))
            return bad(failure, "image config with a bad diff id");
    if (image->diff_ids.n > IMAGE_LAYERS_MAX)
        return bad(failure, "image has more than 256 layers");
    image->os = get_filled(arena, root, "os");
    image->architecture = get_filled(arena, root, "architecture");
    image->created = get_filled(arena, root, "created");
    image->entrypoint = get_strings(arena, config, "Entrypoint");
    image->cmd = get_strings(arena, config, "Cmd");
    image->env = get_strings(arena, config, "Env");
    image->user = get_filled(arena, config, "User");
    image->working_dir = get_filled(arena, config, "WorkingDir");
    image->stop_signal = get_filled(arena, config, "StopSignal");
    image->exposed_ports = get_keys(arena, config, "ExposedPorts");
    image->volumes = get_keys(arena, config, "Volumes");
    read_labels(arena, json_object_get(config, "Labels"), image);
    return 0;
}

int document_config(Arena *arena, Str text, Image *ret_image, Failure *failure) {
    json_t *root = load(text, "image config", failure);
    if (!root)
        return failure->code;
    int code = read_config(arena, root, ret_image, failure);
    json_decref(root);
    return code;
}

// A variant that says no more than the architecture itself.
static Str effective_variant(const Platform *platform) {
    if (str_eq(platform->architecture, STR("arm64")) && str_eq(platform->variant, STR("v8")))
        return STR("");
    if (str_eq(platform->architecture, STR("amd64")) && str_eq(platform->variant, STR("v1")))
        return STR("");
    return platform->variant;
}

const Descriptor *index_choose(const Descriptors *manifests, const Platform *platform) {
    const Descriptor *second = NULL, *third = NULL;
    for (size_t i = 0; i < manifests->n; i++) {
        const Descriptor *candidate = &manifests->items[i];
        if (!candidate->platform.os.ptr) {
            third = third ? third : candidate;
            continue;
        }
        if (!str_eq(candidate->platform.os, platform->os) ||
            !str_eq(candidate->platform.architecture, platform->architecture))
            continue;
        Str variant = effective_variant(&candidate->platform);
        if (str_eq(variant, effective_variant(platform)))
            return candidate;
        // An older variant of arm runs on a newer one; amd64 beyond v1 might not.
        bool older =
            str_eq(platform->architecture, STR("arm")) && str_cmp(variant, platform->variant) < 0;
        if ((variant.len == 0 || older) && !second)
            second = candidate;
    }
    return second ? second : third;
}

static int read_saved(Arena *arena, json_t *root, SavedImage **ret_images, size_t *ret_n,
                      Failure *failure) {
    size_t n = json_array_size(root);
    if (!json_is_array(root) || n == 0 || n > SAVED_MAX)
        return bad(failure, "manifest.json lists no images, or too many");
    SavedImage *images = arena_array_of(arena, SavedImage, n);
    for (size_t i = 0; i < n; i++) {
        json_t *entry = json_array_get(root, i);
        images[i] =
            (SavedImage){get_str(arena, entry, "Config"), get_strings(arena, entry, "Layers"),
                         get_strings(arena, entry, "RepoTags")};
        if (!images[i].config.ptr || images[i].layers.n > IMAGE_LAYERS_MAX)
            return bad(failure, "manifest.json lacks a config or has too many layers");
    }
    *ret_images = images;
    *ret_n = n;
    return 0;
}

int document_saved(Arena *arena, Str text, SavedImage **ret_images, size_t *ret_n,
                   Failure *failure) {
    json_t *root = load(text, "manifest.json", failure);
    if (!root)
        return failure->code;
    int code = read_saved(arena, root, ret_images, ret_n, failure);
    json_decref(root);
    return code;
}

static json_t *json_of(Str s) {
    json_t *value = s.ptr ? json_stringn(s.ptr, s.len) : NULL;
    return value ? value : json_null();
}

static void set_strings(json_t *object, const char *key, const ImageStrings *strings, bool keys) {
    if (strings->n == 0)
        return;
    json_t *value = keys ? json_object() : json_array();
    for (size_t i = 0; i < strings->n; i++)
        if (keys)
            json_object_setn_new(value, strings->items[i].ptr, strings->items[i].len,
                                 json_object());
        else
            json_array_append_new(value, json_of(strings->items[i]));
    json_object_set_new(object, key, value);
}

static Str dump(Arena *arena, json_t *root) {
    char *text = json_dumps(root, JSON_COMPACT);
    if (!text)
        abort();
    Str copy = arena_str(arena, str_from(text));
    free(text);
    json_decref(root);
    return copy;
}

static json_t *write_descriptor(const char *media_type, Str digest, uint64_t size) {
    json_t *object = json_object();
    json_object_set_new(object, "mediaType", json_string(media_type));
    json_object_set_new(object, "digest", json_of(digest));
    json_object_set_new(object, "size", json_integer((json_int_t)size));
    return object;
}

Str document_write_manifest(Arena *arena, Str config_digest, size_t config_size,
                            const Descriptors *layers) {
    json_t *root = json_object(), *array = json_array();
    json_object_set_new(root, "schemaVersion", json_integer(2));
    json_object_set_new(root, "mediaType", json_string(MEDIA_OCI_MANIFEST));
    json_object_set_new(root, "config",
                        write_descriptor(MEDIA_OCI_CONFIG, config_digest, config_size));
    for (size_t i = 0; i < layers->n; i++)
        json_array_append_new(array, write_descriptor(MEDIA_OCI_LAYER, layers->items[i].digest,
                                                      layers->items[i].size));
    json_object_set_new(root, "layers", array);
    return dump(arena, root);
}

static void set_str(json_t *object, const char *key, Str s) {
    if (s.ptr)
        json_object_set_new(object, key, json_of(s));
}

Str document_write_config(Arena *arena, const Image *image) {
    json_t *root = json_object(), *config = json_object(), *rootfs = json_object();
    set_str(root, "created", image->created);
    set_str(root, "architecture", image->architecture);
    set_str(root, "os", image->os);
    set_str(config, "User", image->user);
    set_str(config, "WorkingDir", image->working_dir);
    set_str(config, "StopSignal", image->stop_signal);
    set_strings(config, "Env", &image->env, false);
    set_strings(config, "Entrypoint", &image->entrypoint, false);
    set_strings(config, "Cmd", &image->cmd, false);
    set_strings(config, "ExposedPorts", &image->exposed_ports, true);
    set_strings(config, "Volumes", &image->volumes, true);
    json_t *labels = json_object();
    for (size_t i = 0; i < image->n_labels; i++)
        json_object_setn_new(labels, image->labels[i].name.ptr, image->labels[i].name.len,
                             json_of(image->labels[i].value));
    json_object_set_new(config, "Labels", labels);
    json_object_set_new(root, "config", config);
    json_object_set_new(rootfs, "type", json_string("layers"));
    set_strings(rootfs, "diff_ids", &image->diff_ids, false);
    json_object_set_new(root, "rootfs", rootfs);
    return dump(arena, root);
}
