// Pods get what the PodPresets of their namespace say that select them. As in Kubernetes v1.19
// (plugin/pkg/admission/podpreset), but for conflicts: there a conflict kept every preset from the
// pod, here the entry in question stays as the pod has it and the rest is applied. doc/podpreset.md
// tells it to users.

#include "api/admission/admission.h"
#include "api/meta.h"
#include "api/server.h"
#include "base/map.h"
#include "schema/selector.h"

#define PREFIX "podpreset.admission.kubernetes.io/"
#define MIRROR "kubernetes.io/config.mirror"
#define LONGEST_LABEL 63 // the part of an annotation's name behind the slash

typedef struct Preset {
    Str name;
    const Value *spec;
    Str version;
    Map *volumes; // its own, by name
} Preset;

// What all presets together bring of one kind (variables, volumes, mounts): one entry a key.
typedef struct Offer {
    Str key;
    Value *entry;
    const Preset *preset;
    bool refused; // nobody gets it: presets disagree, or a volume that the pod has otherwise
} Offer;

typedef struct Offers {
    Str list; // "env"
    Str by;   // "name"
    const char *what;
    Offer *items;
    size_t n;
    Map *index;
} Offers;

typedef struct Presets {
    Admission *admission;
    Arena *arena;
    Preset *items;
    size_t n;
    Offers env, volumes, mounts;
    Str conflicts; // for people; empty: none
} Presets;

static bool has_annotation(const Value *pod, Str name, const char *value) {
    const Value *found = value_get(value_at(pod, "metadata.annotations"), name);
    return found && (!value || (found->kind == VALUE_STRING &&
                                str_eq(found->string, str_from(value))));
}

static void drop_map(void *map) {
    map_free(map);
}

static Map *map_in(Arena *arena) {
    Map *map = map_new();
    arena_defer(arena, drop_map, map);
    return map;
}

static Map *index_of(Arena *arena, const Value *list, Str by) {
    Map *map = map_in(arena);
    for (uint32_t i = 0; list && list->kind == VALUE_ARRAY && i < list->n; i++) {
        const Value *key = value_get(list->items[i], by);
        map_put(map, key && key->kind == VALUE_STRING ? key->string : STR(""), list->items[i]);
    }
    return map;
}

static Value *list_of(Arena *arena, Value *owner, Str name) {
    Value *list = value_get(owner, name);
    if (!list || list->kind != VALUE_ARRAY) {
        list = value_new_array(arena);
        value_set(arena, owner, name, list);
    }
    return list;
}

// ---- which presets

static bool selects(Arena *arena, const Value *spec, const Value *pod) {
    const Value *value = value_get(spec, STR("selector"));
    Selector *selector = NULL;
    Str message;
    if (!value) // Go's zero value: an empty selector
        return true;
    return selector_from_value(arena, value, &selector, &message) == 0 &&
           selector_matches(selector, value_at(pod, "metadata.labels"));
}

static void find_presets(Presets *self, const Snapshot *root, size_t from, size_t to) {
    Arena *arena = self->arena;
    self->items = arena_array_of(arena, Preset, to - from);
    for (size_t i = from; i < to; i++) {
        CachedObject *object = snapshot_at(root, i);
        const Value *preset = object_decode(arena, object), *spec = value_get(preset, STR("spec"));
        if (!selects(arena, spec, self->admission->object))
            continue;
        self->items[self->n++] = (Preset){
            .name = object->name,
            .spec = spec,
            .version = meta_resource_version(preset),
            .volumes = index_of(arena, value_get(spec, STR("volumes")), STR("name")),
        };
    }
}

// ---- conflicts

static void note(Presets *self, Str text) {
    if (self->conflicts.len > ADMISSION_LONGEST_NOTE)
        return;
    self->conflicts = self->conflicts.len
                          ? arena_concat(self->arena, (Str[]){self->conflicts, text}, 2, STR("; "))
                          : text;
}

static void note_rivals(Presets *self, const Offers *offers, const Offer *offer, Str rival) {
    note(self, arena_printf(self->arena,
                            "presets %.*s and %.*s differ in %s %.*s, which is left as it is",
                            STR_ARG(offer->preset->name), STR_ARG(rival), offers->what,
                            STR_ARG(offer->key)));
}

static void note_own(Presets *self, const Offers *offers, const Offer *offer, Str container) {
    note(self,
         arena_printf(self->arena, "preset %.*s differs in %s %.*s from the pod%s%.*s, which keeps "
                                   "its own",
                      STR_ARG(offer->preset->name), offers->what, STR_ARG(offer->key),
                      container.len ? "'s container " : "", STR_ARG(container)));
}

// A mount goes the way of its preset's volume.
static bool lost_volume(const Presets *self, const Preset *preset, const Value *entry) {
    Str name = value_string_at(entry, "name");
    const Offer *volume =
        map_get(preset->volumes, name) ? map_get(self->volumes.index, name) : NULL;
    return volume && volume->refused;
}

static void collect(Presets *self, Offers *offers, const char *list, const char *by,
                    const char *what) {
    Arena *arena = self->arena;
    *offers = (Offers){str_from(list), str_from(by), what, NULL, 0, map_in(arena)};
    size_t most = 0;
    for (size_t i = 0; i < self->n; i++) {
        const Value *entries = value_get(self->items[i].spec, offers->list);
        most += entries ? entries->n : 0;
    }
    offers->items = arena_array_of(arena, Offer, most + 1);
    for (size_t i = 0; i < self->n; i++) {
        const Preset *preset = &self->items[i];
        const Value *entries = value_get(preset->spec, offers->list);
        for (uint32_t j = 0; entries && j < entries->n; j++) {
            Value *entry = entries->items[j];
            Str key = value_string_at(entry, by);
            Offer *there = map_get(offers->index, key);
            if (offers == &self->mounts && lost_volume(self, preset, entry))
                continue;
            if (there && !there->refused && !value_equal(there->entry, entry)) {
                there->refused = true;
                note_rivals(self, offers, there, preset->name);
            }
            if (there)
                continue;
            Offer *offer = &offers->items[offers->n++];
            *offer = (Offer){key, entry, preset, false};
            map_put(offers->index, key, offer);
        }
    }
}

// ---- applying

// `container` is empty for the pod itself.
static void give(Presets *self, Offers *offers, Value *owner, Str container) {
    Arena *arena = self->arena;
    if (!offers->n)
        return;
    const Map *own = index_of(arena, value_get(owner, offers->list), offers->by);
    for (size_t i = 0; i < offers->n; i++) {
        Offer *offer = &offers->items[i];
        const Value *there = map_get(own, offer->key);
        if (there && !offer->refused && !value_equal(there, offer->entry)) {
            note_own(self, offers, offer, container);
            if (offers == &self->volumes)
                offer->refused = true;
        } else if (!there && !offer->refused) {
            value_push(arena, list_of(arena, owner, offers->list),
                       value_copy(arena, offer->entry));
        }
    }
}

// Sources have no key: all are added, the pod's own come first and so lose where names meet, as in
// v1.19.
static void give_sources(Presets *self, Value *container) {
    for (size_t i = 0; i < self->n; i++) {
        const Value *sources = value_get(self->items[i].spec, STR("envFrom"));
        for (uint32_t j = 0; sources && j < sources->n; j++)
            value_push(self->arena, list_of(self->arena, container, STR("envFrom")),
                       value_copy(self->arena, sources->items[j]));
    }
}

static void give_containers(Presets *self, const Value *containers) {
    for (uint32_t i = 0; containers && containers->kind == VALUE_ARRAY && i < containers->n; i++) {
        Value *container = containers->items[i];
        Str name = value_string_at(container, "name");
        give(self, &self->env, container, name);
        give_sources(self, container);
        give(self, &self->mounts, container, name);
    }
}

static void annotate(Presets *self) {
    Value *annotations =
        value_at_make(self->arena, self->admission->object, "metadata.annotations");
    for (size_t i = 0; i < self->n; i++) {
        Str name = arena_printf(self->arena, PREFIX "podpreset-%.*s", STR_ARG(self->items[i].name));
        if (name.len - strlen(PREFIX) <= LONGEST_LABEL) // else no valid name: the pod goes without
            value_set_str(self->arena, annotations, name, self->items[i].version);
    }
}

ApiStatus *admission_pod_preset(Admission *admission) {
    Value *pod = admission->object;
    if (admission->operation != ADMISSION_CREATE || admission->again ||
        !admission_is(admission, STR(""), STR("pods"), STR("")))
        return NULL;
    Cache *cache =
        registry_cache(admission->request->api->registry, STR("settings.k8s.io/podpresets"));
    size_t from, to;
    if (!admission_in_namespace(admission, cache, &from, &to) ||
        has_annotation(pod, STR(MIRROR), NULL) || has_annotation(pod, STR(PREFIX "exclude"), "true"))
        return NULL;
    Presets self = {.admission = admission, .arena = admission->request->arena};
    find_presets(&self, cache_root(cache), from, to);
    if (!self.n)
        return NULL;
    Value *spec = value_at_make(self.arena, pod, "spec");
    collect(&self, &self.volumes, "volumes", "name", "volume");
    give(&self, &self.volumes, spec, STR(""));
    collect(&self, &self.env, "env", "name", "variable");
    collect(&self, &self.mounts, "volumeMounts", "mountPath", "the mount at");
    give_containers(&self, value_get(spec, STR("initContainers")));
    give_containers(&self, value_get(spec, STR("containers")));
    annotate(&self);
    if (self.conflicts.len)
        admission_note(admission, "PodPresetConflict", self.conflicts);
    return NULL;
}
