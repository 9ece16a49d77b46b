#include "controllers/kind_index.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "schema/value.h"

#define MAX_LISTENERS 4
#define NEEDED (VERB_LIST | VERB_WATCH | VERB_DELETE)

typedef struct CustomKind {
    ListLink link;
    Arena *arena;
    Resource resource; // one of its versions, preferably the stored one
    Str definition;
} CustomKind;

struct KindIndex {
    const Resource **built_in;
    size_t n_built_in;
    List custom;
    struct {
        KindListener listener;
        void *user;
    } listeners[MAX_LISTENERS];
    size_t n_listeners;
    uint64_t generation;
};

// ---- custom kinds

static bool is_established(const Value *definition) {
    const Value *conditions = value_at(definition, "status.conditions");
    for (uint32_t i = 0; conditions && i < conditions->n; i++) {
        if (str_eq(value_string_at(conditions->items[i], "type"), STR("Established")))
            return str_eq(value_string_at(conditions->items[i], "status"), STR("True"));
    }
    return false;
}

// The stored version if it is served, else the first that is.
static Str served_version(const Value *definition) {
    const Value *versions = value_at(definition, "spec.versions");
    Str found = STR_NONE;
    for (uint32_t i = 0; versions && i < versions->n; i++) {
        const Value *version = versions->items[i];
        if (!value_bool_at(version, "served", false))
            continue;
        if (!found.len || value_bool_at(version, "storage", false))
            found = value_string_at(version, "name");
    }
    return found;
}

static CustomKind *custom_of(KindIndex *index, Str definition) {
    CustomKind *custom;
    list_for_each(custom, &index->custom, link) {
        if (str_eq(custom->definition, definition))
            return custom;
    }
    return NULL;
}

static void remove_custom(KindIndex *index, CustomKind *custom) {
    list_remove(&custom->link);
    index->generation++;
    for (size_t i = 0; i < index->n_listeners; i++)
        index->listeners[i].listener.on_removed(index->listeners[i].user, &custom->resource);
    arena_free(custom->arena);
}

static void add_custom(KindIndex *index, Str name, const Value *definition, Str version) {
    Arena *arena = arena_new();
    CustomKind *custom = arena_new_of(arena, CustomKind);
    custom->arena = arena;
    custom->definition = arena_str(arena, name);
    custom->resource = (Resource){
        .group = arena_str(arena, value_string_at(definition, "spec.group")),
        .version = arena_str(arena, version),
        .plural = arena_str(arena, value_string_at(definition, "spec.names.plural")),
        .kind = arena_str(arena, value_string_at(definition, "spec.names.kind")),
        .list_kind = arena_str(arena, value_string_at(definition, "spec.names.listKind")),
        .verbs = VERB_ALL,
        .namespaced = str_eq(value_string_at(definition, "spec.scope"), STR("Namespaced")),
        .stored = true,
    };
    list_append(&index->custom, &custom->link);
    index->generation++;
    for (size_t i = 0; i < index->n_listeners; i++)
        index->listeners[i].listener.on_added(index->listeners[i].user, &custom->resource);
}

static void on_definition(void *user, const InformerObject *old, const InformerObject *now) {
    KindIndex *index = user;
    _arena_free_ Arena *arena = arena_new();
    Value *definition = NULL;
    ParseError error;
    if (now && value_parse_json(arena, bytes_str(now->bytes), NULL, &definition, &error) != 0)
        return;
    Str name = now ? now->name : old->name;
    CustomKind *there = custom_of(index, name);
    Str version = now && is_established(definition) ? served_version(definition) : STR_NONE;
    if (there && (!version.len || !str_eq(there->resource.version, version))) {
        remove_custom(index, there);
        there = NULL;
    }
    if (!there && version.len)
        add_custom(index, name, definition, version);
}

// ---- the index

static bool is_wanted(const Resource *resource) {
    return resource->stored && !resource->storage_version.len &&
           (resource->verbs & NEEDED) == NEEDED;
}

static void *kind_index_new(void) {
    KindIndex *index = memory_new(KindIndex);
    list_init(&index->custom);
    size_t n = 0;
    while (kinds_resource_at(n))
        n++;
    index->built_in = memory_resize_array(NULL, n + 1, sizeof *index->built_in);
    for (size_t i = 0; i < n; i++) {
        if (is_wanted(kinds_resource_at(i)))
            index->built_in[index->n_built_in++] = kinds_resource_at(i);
    }
    return index;
}

static void kind_index_free(void *part) {
    KindIndex *index = part;
    CustomKind *custom;
    list_for_each(custom, &index->custom, link) arena_free(custom->arena);
    free(index->built_in);
    free(index);
}

KindIndex *kind_index_of(Controller *controller) {
    static const ControllersPart part = {kind_index_new, kind_index_free};
    static const InformerHandler handler = {.on_change = on_definition};
    bool is_new;
    KindIndex *index = controllers_part(controller->all, &part, &is_new);
    const Resource *definitions = kinds_resource(STR("apiextensions.k8s.io"), STR("v1"),
                                                 STR("customresourcedefinitions"));
    Informer *informer =
        definitions ? controller_informer(controller, definitions, STR("")) : NULL;
    if (informer && is_new)
        informer_add_handler(informer, &handler, index);
    return index;
}

void kind_index_listen(KindIndex *index, const KindListener *listener, void *user) {
    assert(index->n_listeners < MAX_LISTENERS);
    index->listeners[index->n_listeners].listener = *listener;
    index->listeners[index->n_listeners++].user = user;
}

uint64_t kind_index_generation(const KindIndex *index) {
    return index->generation;
}

const Resource *kind_index_at(const KindIndex *index, size_t i) {
    if (i < index->n_built_in)
        return index->built_in[i];
    i -= index->n_built_in;
    CustomKind *custom;
    list_for_each(custom, &index->custom, link) {
        if (i-- == 0)
            return &custom->resource;
    }
    return NULL;
}

const Resource *kind_index_find(const KindIndex *index, Str api_version, Str kind) {
    Str version = api_version, group = str_cut(&version, '/');
    if (!version.ptr) {
        version = group;
        group = STR("");
    }
    const Resource *resource = kinds_resource_of_kind(group, version, kind);
    if (resource && resource->stored && (resource->verbs & VERB_GET))
        return resource;
    CustomKind *custom;
    list_for_each(custom, &index->custom, link) {
        if (str_eq(custom->resource.group, group) && str_eq(custom->resource.kind, kind))
            return &custom->resource;
    }
    return NULL;
}
