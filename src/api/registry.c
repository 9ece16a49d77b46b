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
    const ServedResource **served; // n of them; the first n_fixed are built in
    size_t n, n_fixed, capacity;
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
        zeros[i] = zero_of_path(storage->type, resource_field_path(storage, i));
    return zeros;
}

static const Resource *storage_of(const Resource *resource) {
    if (!resource->storage_version.ptr || str_is_empty(resource->storage_version))
        return resource;
    const Resource *storage =
        kinds_resource(resource->storage_group, resource->storage_version, resource->plural);
    return storage ? storage : resource;
}

static Str stored_name(Arena *arena, const Resource *storage) {
    return arena_printf(arena, "%.*s/%.*s", STR_ARG(group_in_store(storage->group)),
                        STR_ARG(storage->plural));
}

static Str prefix_of(Arena *arena, Str stored) {
    return arena_printf(arena, "/registry/%.*s/", STR_ARG(stored));
}

// ---- the maps: keys joined by slashes

#define KEY_MAX 512 // names in URLs are short; what does not fit is not served

static Str join(char key[KEY_MAX], Str a, Str b, Str c) {
    int len = c.ptr ? snprintf(key, KEY_MAX, "%.*s/%.*s/%.*s", STR_ARG(a), STR_ARG(b), STR_ARG(c))
                    : snprintf(key, KEY_MAX, "%.*s/%.*s", STR_ARG(a), STR_ARG(b));
    return len < 0 || len >= KEY_MAX ? STR_NONE : str_of(key, (size_t)len);
}

static void *find(const Map *map, Str a, Str b, Str c) {
    char buffer[KEY_MAX];
    Str key = join(buffer, a, b, c);
    return key.ptr ? map_get(map, key) : NULL;
}

static void put_if_new(Map *map, Str key, const ServedResource *served) {
    assert(key.ptr);
    if (!map_get(map, key))
        map_put(map, key, (void *)served);
}

static void drop_if_own(Map *map, Str key, const ServedResource *served) {
    if (key.ptr && map_get(map, key) == served)
        map_remove(map, key);
}

static void enter(Registry *registry, const ServedResource *served) {
    const Resource *r = served->resource;
    char key[KEY_MAX];
    put_if_new(registry->by_plural, join(key, r->group, r->version, r->plural), served);
    put_if_new(registry->by_kind, join(key, r->group, r->version, r->kind), served);
    put_if_new(registry->by_name, join(key, r->group, r->plural, STR_NONE), served);
    put_if_new(registry->versions, r->group, served);
    put_if_new(registry->versions, join(key, r->group, r->version, STR_NONE), served);
}

static void leave(Registry *registry, const ServedResource *served) {
    const Resource *r = served->resource;
    char key[KEY_MAX];
    drop_if_own(registry->by_plural, join(key, r->group, r->version, r->plural), served);
    drop_if_own(registry->by_kind, join(key, r->group, r->version, r->kind), served);
    drop_if_own(registry->by_name, join(key, r->group, r->plural, STR_NONE), served);
    drop_if_own(registry->versions, r->group, served);
    drop_if_own(registry->versions, join(key, r->group, r->version, STR_NONE), served);
}

// ---- the list

static void insert(Registry *registry, const ServedResource *served, size_t at) {
    if (registry->n == registry->capacity) {
        registry->capacity = registry->capacity ? registry->capacity * 2 : 64;
        registry->served =
            memory_resize_array(registry->served, registry->capacity, sizeof *registry->served);
    }
    memmove(registry->served + at + 1, registry->served + at,
            (registry->n - at) * sizeof *registry->served);
    registry->served[at] = served;
    registry->n++;
}

static void add_built_in(Registry *registry, const Resource *resource) {
    Arena *arena = registry->arena;
    ServedResource *served = arena_new_of(arena, ServedResource);
    served->resource = resource;
    served->storage = storage_of(resource);
    if (resource->stored) {
        Str stored = stored_name(arena, served->storage);
        served->key_prefix = prefix_of(arena, stored);
        served->field_zeros = field_zeros(arena, served->storage);
        served->cache = map_get(registry->caches, stored);
        if (!served->cache) {
            served->cache = cache_new(served);
            map_put(registry->caches, stored, served->cache);
        }
    }
    insert(registry, served, registry->n);
    enter(registry, served);
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
        add_built_in(registry, resource);
    registry->n_fixed = registry->n;
    return registry;
}

// ---- kinds that come and go

ServedKind *served_kind_new(Arena *arena, const Resource *resources, size_t n,
                            const Resource *storage) {
    ServedKind *kind = memory_new(ServedKind);
    kind->references = 1;
    kind->arena = arena;
    kind->stored_name = stored_name(arena, storage);
    // One more than are served: the form at rest, which the cache refers to.
    ServedResource *served = arena_array_of(arena, ServedResource, n + 1);
    Str prefix = prefix_of(arena, kind->stored_name);
    const Str *zeros = field_zeros(arena, storage);
    for (size_t i = 0; i <= n; i++)
        served[i] = (ServedResource){.resource = i < n ? &resources[i] : storage,
                                     .storage = storage,
                                     .key_prefix = prefix,
                                     .field_zeros = zeros,
                                     .kind = kind};
    kind->versions = served;
    kind->n_versions = n;
    kind->cache = cache_new(&served[n]);
    for (size_t i = 0; i <= n; i++)
        served[i].cache = kind->cache;
    return kind;
}

ServedKind *served_kind_ref(ServedKind *kind) {
    kind->references++;
    return kind;
}

void served_kind_unref(ServedKind *kind) {
    if (!kind)
        return;
    assert(kind->references > 0);
    if (--kind->references > 0)
        return;
    cache_free(kind->cache);
    arena_free(kind->arena);
    free(kind);
}

// v2 before v1 before v1beta2 before v1alpha1, others behind them by name: apimachinery's
// pkg/version.CompareKubeAwareVersionStrings.
typedef struct VersionRank {
    int stage; // 3 GA, 2 beta, 1 alpha, 0 no such version
    uint64_t major, minor;
} VersionRank;

static bool take_number(Str *rest, uint64_t *ret) {
    size_t n = 0;
    while (n < rest->len && rest->ptr[n] >= '0' && rest->ptr[n] <= '9')
        n++;
    Str digits = str_slice(*rest, 0, n);
    *rest = str_slice(*rest, n, rest->len);
    return n > 0 && digits.ptr[0] != '0' && str_to_u64(digits, ret) == 0;
}

static VersionRank version_rank(Str version) {
    VersionRank rank = {.stage = 3}, none = {0};
    if (!str_starts_with(version, STR("v")))
        return none;
    version = str_slice(version, 1, version.len);
    if (!take_number(&version, &rank.major))
        return none;
    if (!version.len)
        return rank;
    size_t beta = sizeof "beta" - 1, alpha = sizeof "alpha" - 1;
    bool is_beta = str_starts_with(version, STR("beta"));
    if (!is_beta && !str_starts_with(version, STR("alpha")))
        return none;
    rank.stage = is_beta ? 2 : 1;
    version = str_slice(version, is_beta ? beta : alpha, version.len);
    return take_number(&version, &rank.minor) && !version.len ? rank : none;
}

int version_compare(Str a, Str b) {
    VersionRank x = version_rank(a), y = version_rank(b);
    if (x.stage != y.stage)
        return y.stage - x.stage;
    if (x.major != y.major)
        return x.major < y.major ? 1 : -1;
    if (x.minor != y.minor)
        return x.minor < y.minor ? 1 : -1;
    return str_cmp(a, b);
}

static int compare_served(const Resource *a, const Resource *b) {
    int order = str_cmp(a->group, b->group);
    if (!order)
        order = version_compare(a->version, b->version);
    return order ? order : str_cmp(a->plural, b->plural);
}

bool registry_add_kind(Registry *registry, ServedKind *kind) {
    for (size_t i = 0; i < kind->n_versions; i++) {
        const Resource *r = kind->versions[i].resource;
        if (registry_find(registry, r->group, r->version, r->plural))
            return false;
    }
    if (map_get(registry->caches, kind->stored_name))
        return false;
    served_kind_ref(kind);
    map_put(registry->caches, kind->stored_name, kind->cache);
    for (size_t i = 0; i < kind->n_versions; i++) {
        const ServedResource *served = &kind->versions[i];
        size_t low = registry->n_fixed, high = registry->n;
        while (low < high) { // the first that comes behind it
            size_t middle = (low + high) / 2;
            if (compare_served(registry->served[middle]->resource, served->resource) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        insert(registry, served, low);
        enter(registry, served);
    }
    return true;
}

void registry_remove_kind(Registry *registry, ServedKind *kind) {
    if (map_get(registry->caches, kind->stored_name) != kind->cache)
        return;
    map_remove(registry->caches, kind->stored_name);
    size_t kept = registry->n_fixed;
    for (size_t i = registry->n_fixed; i < registry->n; i++) {
        if (registry->served[i]->kind == kind)
            leave(registry, registry->served[i]);
        else
            registry->served[kept++] = registry->served[i];
    }
    registry->n = kept;
    // Names that this kind held for the whole group pass to others.
    for (size_t i = registry->n_fixed; i < registry->n; i++) {
        if (str_eq(registry->served[i]->resource->group, kind->versions->resource->group))
            enter(registry, registry->served[i]);
    }
    cache_end_watches(kind->cache);
    served_kind_unref(kind);
}

void registry_free(Registry *registry) {
    if (!registry)
        return;
    while (registry->n > registry->n_fixed)
        registry_remove_kind(registry, registry->served[registry->n - 1]->kind);
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

bool registry_age(Registry *registry, int64_t now) {
    bool more = false;
    MapIter it = {0};
    while (map_next(registry->caches, &it))
        more |= cache_age(it.value, now);
    return more;
}

const ServedResource *registry_at(const Registry *registry, size_t index) {
    return index < registry->n ? registry->served[index] : NULL;
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
