#include "api/registry.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/cache.h"
#include "base/arena.h"
#include "base/map.h"
#include "base/memory.h"

struct Registry {
    Arena *arena;
    ServedResource **served; // n of them
    size_t n, capacity;
    Map *by_plural; // "group/version/plural"
    Map *by_kind;   // "group/version/kind"
    Map *by_name;   // "group/plural": the first version
    Map *versions;  // "group/version", "group"
    Map *caches;    // "core/pods"
};

static Str group_in_store(Str group) {
    return str_is_empty(group) ? STR("core") : group;
}

// What an absent field counts as in a field selector: upstream formats the Go zero value.
static Str zero_of_path(const Type *type, Str path) {
    while (path.ptr && type) {
        Str step = str_cut(&path, '.');
        const Field *field = type_field(type, step);
        if (!field)
            return STR("");
        if (!path.ptr) {
            if (field->kind == FIELD_BOOL)
                return STR("false");
            if (field->kind == FIELD_INT32 || field->kind == FIELD_INT64)
                return STR("0");
            return STR("");
        }
        type = field->type;
    }
    return STR("");
}

static const Str *field_zeros(Arena *arena, const Resource *storage) {
    Str *zeros = arena_array_of(arena, Str, storage->n_selectable ? storage->n_selectable : 1);
    for (size_t i = 0; i < storage->n_selectable; i++)
        zeros[i] = zero_of_path(storage->type, storage->fields[i]);
    return zeros;
}

static const Resource *storage_of(const Resource *resource) {
    if (!resource->storage_version.ptr || str_is_empty(resource->storage_version))
        return resource;
    const Resource *storage =
        kinds_resource(resource->storage_group, resource->storage_version, resource->plural);
    return storage ? storage : resource;
}

static void registry_add(Registry *registry, const Resource *resource) {
    Arena *arena = registry->arena;
    ServedResource *served = arena_new_of(arena, ServedResource);
    served->resource = resource;
    served->storage = storage_of(resource);
    Str group = resource->group.ptr ? resource->group : STR("");
    if (resource->stored) {
        Str stored =
            arena_printf(arena, "%.*s/%.*s", STR_ARG(group_in_store(served->storage->group)),
                         STR_ARG(served->storage->plural));
        served->key_prefix = arena_printf(arena, "/registry/%.*s/", STR_ARG(stored));
        served->field_zeros = field_zeros(arena, served->storage);
        served->cache = map_get(registry->caches, stored);
        if (!served->cache) {
            served->cache = cache_new(served);
            map_put(registry->caches, stored, served->cache);
        }
    }
    if (registry->n == registry->capacity) {
        registry->capacity = registry->capacity ? registry->capacity * 2 : 64;
        registry->served =
            memory_resize_array(registry->served, registry->capacity, sizeof *registry->served);
    }
    registry->served[registry->n++] = served;
    map_put(registry->by_plural,
            arena_printf(arena, "%.*s/%.*s/%.*s", STR_ARG(group), STR_ARG(resource->version),
                         STR_ARG(resource->plural)),
            served);
    map_put(registry->by_kind,
            arena_printf(arena, "%.*s/%.*s/%.*s", STR_ARG(group), STR_ARG(resource->version),
                         STR_ARG(resource->kind)),
            served);
    Str name = arena_printf(arena, "%.*s/%.*s", STR_ARG(group), STR_ARG(resource->plural));
    if (!map_get(registry->by_name, name))
        map_put(registry->by_name, name, served);
    map_put(registry->versions, group, served);
    map_put(registry->versions,
            arena_printf(arena, "%.*s/%.*s", STR_ARG(group), STR_ARG(resource->version)), served);
}

Registry *registry_new(void) {
    Registry *registry = memory_new(Registry);
    registry->arena = arena_new();
    registry->by_plural = map_new();
    registry->by_kind = map_new();
    registry->by_name = map_new();
    registry->versions = map_new();
    registry->caches = map_new();
    const Resource *resource;
    for (size_t i = 0; (resource = kinds_resource_at(i)); i++)
        registry_add(registry, resource);
    return registry;
}

void registry_free(Registry *registry) {
    if (!registry)
        return;
    MapIter it = {0};
    while (map_next(registry->caches, &it))
        cache_free(it.value);
    map_free(registry->caches);
    map_free(registry->by_plural);
    map_free(registry->by_kind);
    map_free(registry->by_name);
    map_free(registry->versions);
    free(registry->served);
    arena_free(registry->arena);
    free(registry);
}

const ServedResource *registry_at(const Registry *registry, size_t index) {
    return index < registry->n ? registry->served[index] : NULL;
}

// Names in URLs are short; what does not fit the buffer is not served.
static void *find(const Map *map, Str a, Str b, Str c) {
    char key[512];
    int len = c.ptr
                  ? snprintf(key, sizeof key, "%.*s/%.*s/%.*s", STR_ARG(a), STR_ARG(b), STR_ARG(c))
                  : snprintf(key, sizeof key, "%.*s/%.*s", STR_ARG(a), STR_ARG(b));
    if (len < 0 || (size_t)len >= sizeof key)
        return NULL;
    return map_get(map, str_of(key, (size_t)len));
}

const ServedResource *registry_find(const Registry *registry, Str group, Str version, Str plural) {
    return plural.ptr ? find(registry->by_plural, group, version, plural) : NULL;
}

const ServedResource *registry_find_kind(const Registry *registry, Str group, Str version,
                                         Str kind) {
    return kind.ptr ? find(registry->by_kind, group, version, kind) : NULL;
}

const ServedResource *registry_find_any(const Registry *registry, Str group, Str plural) {
    return find(registry->by_name, group, plural, STR_NONE);
}

bool registry_has_group(const Registry *registry, Str group) {
    return map_get(registry->versions, group) != NULL;
}

bool registry_has_version(const Registry *registry, Str group, Str version) {
    return find(registry->versions, group, version, STR_NONE) != NULL;
}

Cache *registry_cache(const Registry *registry, Str stored_name) {
    return map_get(registry->caches, stored_name);
}

const Subresource *resource_subresource(const Resource *resource, Str name) {
    for (size_t i = 0; i < resource->n_subresources; i++) {
        if (str_eq(resource->subresources[i].name, name))
            return &resource->subresources[i];
    }
    return NULL;
}
