#include "image/summary.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "image/reference.h"
#include "image/strings.h"

// What a stranger wrote need not be UTF-8; then it is not told.
static json_t *json_of(Str s) {
    json_t *value = s.ptr ? json_stringn(s.ptr, s.len) : NULL;
    return value ? value : json_null();
}

static void set_str(json_t *object, const char *key, Str s) {
    if (s.ptr)
        json_object_set_new(object, key, json_of(s));
}

static json_t *json_of_strings(const ImageStrings *strings) {
    json_t *array = json_array();
    for (size_t i = 0; i < strings->n; i++)
        json_array_append_new(array, json_of(strings->items[i]));
    return array;
}

static void set_strings(json_t *object, const char *key, const ImageStrings *strings) {
    if (strings->n)
        json_object_set_new(object, key, json_of_strings(strings));
}

// The layers' names in the store are the last but one component of their paths.
static json_t *json_of_layers(const Image *image) {
    json_t *array = json_array();
    for (size_t i = 0; i < image->layers.n; i++) {
        Str directory = image->layers.items[i];
        if (str_ends_with(directory, STR("/fs")))
            directory.len -= 3;
        ptrdiff_t slash = str_find_last(directory, '/');
        json_array_append_new(array,
                              json_of(str_slice(directory, (size_t)(slash + 1), directory.len)));
    }
    return array;
}

static int append(const char *data, size_t len, void *user) {
    buf_append(user, data, len);
    return 0;
}

void image_summary_encode(const Image *image, bool names, Buf *out) {
    json_t *root = json_object();
    set_str(root, "id", image->id);
    set_str(root, "manifest", image->manifest);
    if (names) {
        json_object_set_new(root, "repoTags", json_of_strings(&image->repo_tags));
        json_object_set_new(root, "repoDigests", json_of_strings(&image->repo_digests));
    }
    json_object_set_new(root, "size", json_integer((json_int_t)image->size));
    set_str(root, "os", image->os);
    set_str(root, "architecture", image->architecture);
    set_str(root, "created", image->created);
    set_strings(root, "entrypoint", &image->entrypoint);
    set_strings(root, "cmd", &image->cmd);
    set_strings(root, "env", &image->env);
    set_str(root, "user", image->user);
    set_str(root, "workingDir", image->working_dir);
    set_str(root, "stopSignal", image->stop_signal);
    set_strings(root, "exposedPorts", &image->exposed_ports);
    set_strings(root, "volumes", &image->volumes);
    if (image->n_labels) {
        json_t *labels = json_object();
        for (size_t i = 0; i < image->n_labels; i++)
            json_object_setn_new(labels, image->labels[i].name.ptr, image->labels[i].name.len,
                                 json_of(image->labels[i].value));
        json_object_set_new(root, "labels", labels);
    }
    set_strings(root, "diffIds", &image->diff_ids);
    json_object_set_new(root, "layers", json_of_layers(image));
    json_dump_callback(root, append, out, JSON_COMPACT);
    json_decref(root);
}

static Str get_str(Arena *arena, const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return STR_NONE;
    return arena_str(arena, str_of(json_string_value(value), json_string_length(value)));
}

static ImageStrings get_strings(Arena *arena, const json_t *object, const char *key) {
    ImageStrings strings = {0};
    size_t i;
    json_t *value;
    json_array_foreach(json_object_get(object, key), i, value) {
        if (json_is_string(value))
            image_strings_push(
                arena, &strings,
                arena_str(arena, str_of(json_string_value(value), json_string_length(value))));
    }
    return strings;
}

static int compare_labels(const void *a, const void *b) {
    return str_cmp(((const ImageLabel *)a)->name, ((const ImageLabel *)b)->name);
}

static void get_labels(Arena *arena, json_t *object, Image *image) {
    image->labels = arena_array_of(arena, ImageLabel, json_object_size(object) + 1);
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        if (!json_is_string(value))
            continue;
        image->labels[image->n_labels++] = (ImageLabel){
            arena_str(arena, str_from(key)),
            arena_str(arena, str_of(json_string_value(value), json_string_length(value)))};
    }
    qsort(image->labels, image->n_labels, sizeof(ImageLabel), compare_labels);
}

static int decode(Arena *arena, json_t *root, const char *store_path, Image *image) {
    image->id = get_str(arena, root, "id");
    image->manifest = get_str(arena, root, "manifest");
    if (!reference_is_sha256(image->id) || !reference_is_sha256(image->manifest))
        return -EBADMSG;
    json_int_t size = json_integer_value(json_object_get(root, "size"));
    if (size < 0)
        return -EBADMSG;
    image->size = (uint64_t)size;
    image->os = get_str(arena, root, "os");
    image->architecture = get_str(arena, root, "architecture");
    image->created = get_str(arena, root, "created");
    image->entrypoint = get_strings(arena, root, "entrypoint");
    image->cmd = get_strings(arena, root, "cmd");
    image->env = get_strings(arena, root, "env");
    image->user = get_str(arena, root, "user");
    image->working_dir = get_str(arena, root, "workingDir");
    image->stop_signal = get_str(arena, root, "stopSignal");
    image->exposed_ports = get_strings(arena, root, "exposedPorts");
    image->volumes = get_strings(arena, root, "volumes");
    get_labels(arena, json_object_get(root, "labels"), image);
    image->diff_ids = get_strings(arena, root, "diffIds");
    ImageStrings names = get_strings(arena, root, "layers");
    if (names.n > IMAGE_LAYERS_MAX)
        return -EBADMSG;
    for (size_t i = 0; i < names.n; i++) {
        if (!reference_is_sha256(arena_printf(arena, "sha256:%.*s", STR_ARG(names.items[i]))))
            return -EBADMSG;
        image_strings_push(
            arena, &image->layers,
            arena_printf(arena, "%s/layers/%.*s/fs", store_path, STR_ARG(names.items[i])));
    }
    return 0;
}

int image_summary_decode(Arena *arena, Str text, const char *store_path, Image *ret_image) {
    *ret_image = (Image){0};
    json_t *root = json_loadb(text.ptr, text.len, 0, NULL);
    int error = json_is_object(root) ? decode(arena, root, store_path, ret_image) : -EBADMSG;
    json_decref(root);
    return error;
}
