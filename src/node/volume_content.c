// Volumes whose files come from objects of the API: configMap, secret, downwardAPI, projected.
#include <errno.h>
#include <stdlib.h>

#include "node/atomic_writer.h"
#include "node/fields.h"
#include "node/volume_private.h"

#define DEFAULT_MODE 0644

typedef struct Payload {
    PodVolume *volume;
    Arena *arena;
    AtomicFile *files;
    size_t n, capacity;
    Str *errors; // all are told at once, as a kubelet does
    size_t n_errors, errors_capacity;
    uint32_t default_mode;
    bool waiting;
} Payload;

static void *grow(Arena *arena, void *items, size_t *capacity, size_t n, size_t size) {
    if (n < *capacity)
        return items;
    size_t more = *capacity ? *capacity * 2 : 8;
    items = arena_grow(arena, items, *capacity * size, more * size);
    *capacity = more;
    return items;
}

static void add_error(Payload *payload, Str message) {
    for (size_t i = 0; i < payload->n_errors; i++)
        if (str_eq(payload->errors[i], message))
            return;
    payload->errors = grow(payload->arena, payload->errors, &payload->errors_capacity,
                           payload->n_errors, sizeof(Str));
    payload->errors[payload->n_errors++] = message;
}

static AtomicFile *add_file(Payload *payload, Str path, Str data, const int32_t *mode) {
    payload->files =
        grow(payload->arena, payload->files, &payload->capacity, payload->n, sizeof(AtomicFile));
    AtomicFile *file = &payload->files[payload->n++];
    *file = (AtomicFile){.path = path,
                         .data = data.ptr ? data : STR(""),
                         .mode = mode ? (uint32_t)*mode : payload->default_mode};
    return file;
}

// Config maps and secrets ------------------------------------------------------------------------

static VolumeObject *find_object(PodVolume *volume, const Resource *resource, Str name) {
    for (size_t i = 0; i < volume->n_objects; i++)
        if (volume->objects[i].resource == resource && str_eq(volume->objects[i].name, name))
            return &volume->objects[i];
    return NULL;
}

static int read_object(Payload *payload, const VolumeObject *object, StrMap *ret_text,
                       StrMap *ret_binary) {
    Str json = arena_str(payload->arena, reference_json(object->reference));
    int error;
    *ret_binary = (StrMap){0};
    if (object->resource == kinds_resource_core_v1_secrets()) {
        Secret secret;
        error = typed_from_json(payload->arena, kinds_type_Secret(), json, &secret);
        *ret_text = secret.data;
        return error;
    }
    ConfigMap map;
    error = typed_from_json(payload->arena, kinds_type_ConfigMap(), json, &map);
    *ret_text = map.data;
    *ret_binary = map.binary_data;
    return error;
}

static void add_all(Payload *payload, const StrMap *map) {
    for (size_t i = 0; i < map->len; i++)
        add_file(payload, map->keys[i], map->values[i], NULL);
}

static void add_items(Payload *payload, const Resource *resource, const KeyToPath *items, size_t n,
                      bool optional, const StrMap *text, const StrMap *binary) {
    const char *noun = resource == kinds_resource_core_v1_secrets() ? "secret" : "config";
    for (size_t i = 0; i < n; i++) {
        Str data = str_map_get(text, items[i].key);
        if (!data.ptr)
            data = str_map_get(binary, items[i].key);
        if (data.ptr)
            add_file(payload, items[i].path, data, items[i].mode);
        else if (!optional) {
            add_error(payload, arena_printf(payload->arena, "references non-existent %s key: %.*s",
                                            noun, STR_ARG(items[i].key)));
            return;
        }
    }
}

static void add_object(Payload *payload, const Resource *resource, Str name, const KeyToPath *items,
                       size_t n_items, const bool *optional_field) {
    bool optional = optional_field && *optional_field;
    const VolumeObject *object = find_object(payload->volume, resource, name);
    ReferenceState state = reference_state(object->reference);
    StrMap text = {0}, binary = {0};
    if (state == REFERENCE_PENDING) {
        payload->waiting = true;
        return;
    }
    if (state == REFERENCE_MISSING && !optional) {
        add_error(payload, arena_printf(payload->arena, "%.*s \"%.*s\" not found",
                                        STR_ARG(resource->singular), STR_ARG(name)));
        return;
    }
    if (state == REFERENCE_FOUND && read_object(payload, object, &text, &binary) != 0) {
        add_error(payload, arena_printf(payload->arena, "%.*s \"%.*s\" cannot be read",
                                        STR_ARG(resource->singular), STR_ARG(name)));
        return;
    }
    if (n_items)
        add_items(payload, resource, items, n_items, optional, &text, &binary);
    else {
        add_all(payload, &text);
        add_all(payload, &binary);
    }
}

// Downward API -----------------------------------------------------------------------------------

static void add_downward(Payload *payload, const DownwardAPIVolumeFile *items, size_t n) {
    const PodVolumes *owner = payload->volume->owner;
    for (size_t i = 0; i < n; i++) {
        Str value = STR(""), message;
        int error = 0;
        if (items[i].field_ref)
            error = field_of_metadata(payload->arena, &owner->pod->metadata,
                                      items[i].field_ref->field_path, &value, &message);
        else if (items[i].resource_field_ref)
            error = field_of_resource(owner->agent, payload->arena, owner->pod, NULL,
                                      items[i].resource_field_ref, &value, &message);
        if (error)
            add_error(payload, message);
        else
            add_file(payload, items[i].path, value, items[i].mode);
    }
}

// Tokens -----------------------------------------------------------------------------------------

static const int64_t *run_as_user(const Pod *pod, const Container *container) {
    if (container->security_context && container->security_context->run_as_user)
        return container->security_context->run_as_user;
    return pod->spec.security_context ? pod->spec.security_context->run_as_user : NULL;
}

// The user that all containers of the pod run as; -1 when they differ or one does not say.
static int64_t common_user(const Pod *pod) {
    int64_t user = -1;
    const PodSpec *spec = &pod->spec;
    for (size_t i = 0; i < spec->init_containers.len + spec->containers.len; i++) {
        const Container *container = i < spec->init_containers.len
                                         ? &spec->init_containers.items[i]
                                         : &spec->containers.items[i - spec->init_containers.len];
        const int64_t *own = run_as_user(pod, container);
        if (!own || (user >= 0 && *own != user))
            return -1;
        user = *own;
    }
    return user;
}

static void add_token(Payload *payload, size_t index, const ServiceAccountTokenProjection *source) {
    PodVolume *volume = payload->volume;
    Str text, message;
    int error = volume_token_get(volume->tokens[index], payload->arena, &text, &message);
    if (error == VOLUME_E_WAITING)
        payload->waiting = true;
    else if (error)
        add_error(payload, message);
    if (error)
        return;
    // Nobody but who needs it: with a known user it is his alone.
    int64_t user = common_user(volume->owner->pod);
    int32_t narrow = 0600;
    bool is_narrow = user >= 0 || volume_group(volume) >= 0;
    AtomicFile *file = add_file(payload, source->path, text, is_narrow ? &narrow : NULL);
    file->user = user > 0 ? (uint32_t)user : 0;
}

// Sources ----------------------------------------------------------------------------------------

static void add_projected(Payload *payload, const ProjectedVolumeSource *projected) {
    for (size_t i = 0; i < projected->sources.len; i++) {
        const VolumeProjection *source = &projected->sources.items[i];
        if (source->config_map)
            add_object(payload, kinds_resource_core_v1_configmaps(), source->config_map->name,
                       source->config_map->items.items, source->config_map->items.len,
                       source->config_map->optional);
        else if (source->secret)
            add_object(payload, kinds_resource_core_v1_secrets(), source->secret->name,
                       source->secret->items.items, source->secret->items.len,
                       source->secret->optional);
        else if (source->downward_api)
            add_downward(payload, source->downward_api->items.items,
                         source->downward_api->items.len);
        else if (source->service_account_token)
            add_token(payload, i, source->service_account_token);
        else
            add_error(payload, STR("clusterTrustBundle and podCertificate are not supported by "
                                   "this node"));
    }
}

static void collect(Payload *payload, const Volume *spec) {
    const int32_t *mode = NULL;
    if (spec->config_map)
        mode = spec->config_map->default_mode;
    else if (spec->secret)
        mode = spec->secret->default_mode;
    else if (spec->downward_api)
        mode = spec->downward_api->default_mode;
    else if (spec->projected)
        mode = spec->projected->default_mode;
    payload->default_mode = mode ? (uint32_t)*mode : DEFAULT_MODE;
    if (spec->config_map)
        add_object(payload, kinds_resource_core_v1_configmaps(), spec->config_map->name,
                   spec->config_map->items.items, spec->config_map->items.len,
                   spec->config_map->optional);
    else if (spec->secret)
        add_object(payload, kinds_resource_core_v1_secrets(), spec->secret->secret_name,
                   spec->secret->items.items, spec->secret->items.len, spec->secret->optional);
    else if (spec->downward_api)
        add_downward(payload, spec->downward_api->items.items, spec->downward_api->items.len);
    else
        add_projected(payload, spec->projected);
}

bool volume_has_content(const Volume *spec) {
    return spec->config_map || spec->secret || spec->downward_api || spec->projected;
}

// What is asked of the API, once ------------------------------------------------------------------

static void acquire_object(PodVolume *volume, const Resource *resource, Str name) {
    const PodVolumes *owner = volume->owner;
    if (find_object(volume, resource, name))
        return;
    VolumeObject *object = &volume->objects[volume->n_objects++];
    object->resource = resource;
    object->name = arena_str(owner->arena, name);
    object->reference =
        reference_acquire(owner->agent->references, resource, owner->pod->metadata.namespace, name,
                          volume_changed, volume);
}

static void acquire_projected(PodVolume *volume, const ProjectedVolumeSource *projected) {
    volume->n_tokens = projected->sources.len;
    volume->tokens = arena_array_of(volume->owner->arena, VolumeToken *, volume->n_tokens);
    for (size_t i = 0; i < projected->sources.len; i++) {
        const VolumeProjection *source = &projected->sources.items[i];
        if (source->config_map)
            acquire_object(volume, kinds_resource_core_v1_configmaps(), source->config_map->name);
        else if (source->secret)
            acquire_object(volume, kinds_resource_core_v1_secrets(), source->secret->name);
        else if (source->service_account_token)
            volume->tokens[i] = volume_token_new(volume, i);
    }
}

static void acquire(PodVolume *volume) {
    const Volume *spec = volume_spec(volume);
    size_t most = spec->projected ? spec->projected->sources.len : 1;
    volume->acquired = true;
    volume->objects = arena_array_of(volume->owner->arena, VolumeObject, most);
    if (spec->config_map)
        acquire_object(volume, kinds_resource_core_v1_configmaps(), spec->config_map->name);
    else if (spec->secret)
        acquire_object(volume, kinds_resource_core_v1_secrets(), spec->secret->secret_name);
    else if (spec->projected)
        acquire_projected(volume, spec->projected);
}

void volume_content_retry(PodVolume *volume) {
    for (size_t i = 0; i < volume->n_tokens; i++)
        if (volume->tokens[i])
            volume_token_retry(volume->tokens[i]);
}

void volume_content_release(PodVolume *volume) {
    for (size_t i = 0; i < volume->n_objects; i++)
        reference_release(volume->objects[i].reference);
    for (size_t i = 0; i < volume->n_tokens; i++)
        volume_token_free(volume->tokens[i]);
    volume->n_objects = volume->n_tokens = 0;
}

static Str all_errors(const Payload *payload) {
    if (payload->n_errors == 1)
        return payload->errors[0];
    return arena_printf(
        payload->arena, "[%.*s]",
        STR_ARG(arena_concat(payload->arena, payload->errors, payload->n_errors, STR(", "))));
}

int volume_content(PodVolume *volume, Arena *arena, Str *ret_message) {
    const Volume *spec = volume_spec(volume);
    if (!volume->acquired)
        acquire(volume);
    Payload payload = {.volume = volume, .arena = arena};
    collect(&payload, spec);
    if (payload.waiting)
        return VOLUME_E_WAITING;
    if (payload.n_errors) {
        *ret_message = all_errors(&payload);
        return -ENOENT;
    }
    // Secrets and tokens never touch the disk.
    int error = spec->config_map ? volume_make_directory(volume, arena, ret_message)
                                 : volume_make_tmpfs(volume, arena, ret_message);
    if (error)
        return error;
    AtomicFiles files = {.items = payload.files, .n = payload.n, .group = volume_group(volume)};
    return atomic_write(arena, volume->path.ptr, &files, loop_wall(volume->owner->agent->loop),
                        ret_message);
}
