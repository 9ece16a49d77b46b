#include "controllers/owned_pods.h"

#include <assert.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"
#include "rules/pod_status.h"

#define LISTENERS_MAX 16

typedef struct Group { // the pods of one controller, or those of a namespace without one
    List pods;
    size_t n;
} Group;

typedef struct Entry { // one allocation, with all strings
    PodFacts facts;
    ListLink link; // in its group
    Str owner_api_version, owner_kind, owner_name;
} Entry;

typedef struct Listener {
    Controller *controller;
    const Resource *owner;
    void (*adopts)(Controller *controller, const PodFacts *orphan);
} Listener;

struct OwnedPods {
    Informer *informer;
    Map *entries; // "namespace/name" -> Entry
    Map *groups;  // owner's UID, or "/namespace" -> Group
    Listener listeners[LISTENERS_MAX];
    size_t n_listeners;
};

// ---- entries

static PodPhase phase_of(Str phase) {
    static const struct {
        const char *name;
        PodPhase phase;
    } phases[] = {{"Running", POD_RUNNING},
                  {"Unknown", POD_UNKNOWN},
                  {"Succeeded", POD_SUCCEEDED},
                  {"Failed", POD_FAILED}};
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        if (str_eq(phase, str_from(phases[i].name)))
            return phases[i].phase;
    return POD_PENDING;
}

static int32_t restarts_of(const PodStatus *status) {
    int32_t most = 0;
    for (size_t i = 0; i < status->container_statuses.len; i++)
        if (status->container_statuses.items[i].restart_count > most)
            most = status->container_statuses.items[i].restart_count;
    return most;
}

static int32_t all_restarts_of(const PodStatus *status) {
    int64_t all = 0;
    for (size_t i = 0; i < status->container_statuses.len; i++)
        all += status->container_statuses.items[i].restart_count;
    for (size_t i = 0; i < status->init_container_statuses.len; i++)
        all += status->init_container_statuses.items[i].restart_count;
    return all < INT32_MAX ? (int32_t)all : INT32_MAX;
}

static int32_t job_index_of(const ObjectMeta *metadata) {
    Str text = str_map_get(&metadata->annotations, STR("batch.kubernetes.io/job-completion-index"));
    int64_t index;
    if (!text.ptr || str_to_i64(text, &index) != 0 || index < 0 || index > INT32_MAX)
        return -1;
    return (int32_t)index;
}

static bool is_job_tracked(const ObjectMeta *metadata) {
    for (size_t i = 0; i < metadata->finalizers.len; i++)
        if (str_eq(metadata->finalizers.items[i], STR("batch.kubernetes.io/job-tracking")))
            return true;
    return false;
}

// https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost
static int32_t deletion_cost_of(const ObjectMeta *metadata) {
    Str text =
        str_map_get(&metadata->annotations, STR("controller.kubernetes.io/pod-deletion-cost"));
    int64_t cost = 0;
    if (!text.ptr || str_to_i64(text, &cost) != 0 || cost < INT32_MIN || cost > INT32_MAX)
        return 0;
    return (int32_t)cost;
}

static const OwnerReference *controller_of(const ObjectMeta *metadata) {
    for (size_t i = 0; i < metadata->owner_references.len; i++) {
        const OwnerReference *owner = &metadata->owner_references.items[i];
        if (owner->controller && *owner->controller)
            return owner;
    }
    return NULL;
}

static Str pack(char **at, Str s) {
    char *to = *at;
    memcpy(to, s.ptr ? s.ptr : "", s.len);
    *at += s.len;
    return str_of(to, s.len);
}

static Entry *entry_pack(const InformerObject *object, const Pod *pod) {
    static const OwnerReference nobody;
    const OwnerReference *owner = controller_of(&pod->metadata);
    owner = owner ? owner : &nobody;
    const StrMap *labels = &pod->metadata.labels;
    Str texts[] = {pod->spec.node_name, owner->uid, owner->api_version, owner->kind, owner->name};
    size_t fixed = sizeof(Entry) + 2 * labels->len * sizeof(Str), text = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        text += texts[i].len;
    for (size_t i = 0; i < labels->len; i++)
        text += labels->keys[i].len + labels->values[i].len;
    Entry *entry = memory_zalloc(fixed + text);
    char *at = (char *)entry + fixed;
    PodFacts *facts = &entry->facts;
    facts->object = informer_object_ref(object);
    facts->namespace_ = object->namespace_;
    facts->name = object->name;
    facts->uid = object->uid;
    facts->node_name = pack(&at, texts[0]);
    facts->owner_uid = pack(&at, texts[1]);
    entry->owner_api_version = pack(&at, texts[2]);
    entry->owner_kind = pack(&at, texts[3]);
    entry->owner_name = pack(&at, texts[4]);
    facts->labels = (StrMap){(Str *)(entry + 1), (Str *)(entry + 1) + labels->len, labels->len};
    for (size_t i = 0; i < labels->len; i++) {
        facts->labels.keys[i] = pack(&at, labels->keys[i]);
        facts->labels.values[i] = pack(&at, labels->values[i]);
    }
    const PodCondition *ready = pod_condition(&pod->status, STR("Ready"));
    facts->phase = phase_of(pod->status.phase);
    facts->ready = pod_is_ready(pod);
    facts->ready_since = facts->ready ? ready->last_transition_time : 0;
    facts->deleting = pod->metadata.deletion_timestamp != 0;
    facts->created = pod->metadata.creation_timestamp;
    facts->restarts = restarts_of(&pod->status);
    facts->all_restarts = all_restarts_of(&pod->status);
    facts->job_index = job_index_of(&pod->metadata);
    facts->job_tracked = is_job_tracked(&pod->metadata);
    facts->deletion_cost = deletion_cost_of(&pod->metadata);
    return entry;
}

static Entry *entry_new(const InformerObject *object) {
    _arena_free_ Arena *arena = arena_new();
    Pod *pod = arena_new_of(arena, Pod);
    if (typed_from_json(arena, kinds_type_Pod(), bytes_str(object->bytes), pod) != 0)
        return NULL;
    return entry_pack(object, pod);
}

static Str group_key(Arena *arena, const PodFacts *pod) {
    return pod->owner_uid.len ? pod->owner_uid
                              : arena_printf(arena, "/%.*s", STR_ARG(pod->namespace_));
}

static void join_group(OwnedPods *self, Arena *arena, Entry *entry) {
    Str key = group_key(arena, &entry->facts);
    Group *group = map_get(self->groups, key);
    if (!group) {
        group = memory_new(Group);
        list_init(&group->pods);
        map_put(self->groups, key, group);
    }
    list_append(&group->pods, &entry->link);
    group->n++;
}

static void leave_group(OwnedPods *self, Arena *arena, Entry *entry) {
    Str key = group_key(arena, &entry->facts);
    Group *group = map_get(self->groups, key);
    list_remove(&entry->link);
    if (--group->n)
        return;
    map_remove(self->groups, key);
    free(group);
}

static void entry_free(Entry *entry) {
    if (!entry)
        return;
    informer_object_unref((InformerObject *)entry->facts.object);
    free(entry);
}

// ---- telling the controllers

static bool is_of_kind(const Entry *entry, const Resource *resource) {
    if (!str_eq(entry->owner_kind, resource->kind))
        return false;
    Str version = entry->owner_api_version, group = str_cut(&version, '/');
    return version.ptr ? str_eq(group, resource->group) : str_is_empty(resource->group);
}

static void tell_owner(OwnedPods *self, const Entry *entry) {
    for (size_t i = 0; i < self->n_listeners; i++)
        if (is_of_kind(entry, self->listeners[i].owner))
            controller_enqueue(self->listeners[i].controller, entry->facts.namespace_,
                               entry->owner_name);
}

static bool same_labels(const StrMap *a, const StrMap *b) {
    for (size_t i = 0; i < a->len; i++) {
        Str value = str_map_get(b, a->keys[i]);
        if (!value.ptr || !str_eq(value, a->values[i]))
            return false;
    }
    return a->len == b->len;
}

static void tell(OwnedPods *self, const Entry *before, const Entry *now) {
    if (before && before->facts.owner_uid.len &&
        !(now && str_eq(now->facts.owner_uid, before->facts.owner_uid)))
        tell_owner(self, before);
    if (now && now->facts.owner_uid.len) {
        tell_owner(self, now);
        return;
    }
    if (!now || now->facts.deleting)
        return;
    if (before && !before->facts.owner_uid.len &&
        same_labels(&before->facts.labels, &now->facts.labels))
        return;
    for (size_t i = 0; i < self->n_listeners; i++)
        if (self->listeners[i].adopts)
            self->listeners[i].adopts(self->listeners[i].controller, &now->facts);
}

static void on_pod(void *user, const InformerObject *old, const InformerObject *now) {
    OwnedPods *self = user;
    const InformerObject *object = now ? now : old;
    _arena_free_ Arena *arena = arena_new();
    Str key = arena_printf(arena, "%.*s/%.*s", STR_ARG(object->namespace_), STR_ARG(object->name));
    Entry *entry = now ? entry_new(now) : NULL;
    Entry *before = entry ? map_put(self->entries, key, entry) : map_remove(self->entries, key);
    if (before)
        leave_group(self, arena, before);
    if (entry)
        join_group(self, arena, entry);
    tell(self, before, entry);
    entry_free(before);
}

// ---- the part that controllers share

static void *make(void) {
    OwnedPods *self = memory_new(OwnedPods);
    self->entries = map_new();
    self->groups = map_new();
    return self;
}

static void drop(void *part) {
    OwnedPods *self = part;
    MapIter it = {0};
    while (map_next(self->entries, &it))
        entry_free(it.value);
    map_free(self->entries);
    it = (MapIter){0};
    while (map_next(self->groups, &it))
        free(it.value);
    map_free(self->groups);
    free(self);
}

OwnedPods *owned_pods_join(Controller *controller, const Resource *owner,
                           void (*adopts)(Controller *controller, const PodFacts *orphan)) {
    static const ControllersPart part = {make, drop};
    static const InformerHandler handler = {.on_change = on_pod};
    bool is_new;
    OwnedPods *self = controllers_part(controller->all, &part, &is_new);
    self->informer = controller_informer(controller, kinds_resource_core_v1_pods(), STR(""));
    if (is_new)
        informer_add_handler(self->informer, &handler, self);
    assert(self->n_listeners < LISTENERS_MAX);
    self->listeners[self->n_listeners++] = (Listener){controller, owner, adopts};
    return self;
}

Informer *owned_pods_informer(const OwnedPods *pods) {
    return pods->informer;
}

static void each(const OwnedPods *self, Str key, void (*visit)(void *user, const PodFacts *pod),
                 void *user) {
    Group *group = map_get(self->groups, key);
    Entry *entry;
    if (group)
        list_for_each(entry, &group->pods, link) visit(user, &entry->facts);
}

void owned_pods_each(const OwnedPods *pods, Str owner_uid,
                     void (*visit)(void *user, const PodFacts *pod), void *user) {
    each(pods, owner_uid, visit, user);
}

size_t owned_pods_count(const OwnedPods *pods, Str owner_uid) {
    const Group *group = map_get(pods->groups, owner_uid);
    return group ? group->n : 0;
}

void owned_pods_each_orphan(const OwnedPods *pods, Str namespace_,
                            void (*visit)(void *user, const PodFacts *pod), void *user) {
    _arena_free_ Arena *arena = arena_new();
    each(pods, arena_printf(arena, "/%.*s", STR_ARG(namespace_)), visit, user);
}

const PodFacts *owned_pods_get(const OwnedPods *pods, Str namespace_, Str name) {
    _arena_free_ Arena *arena = arena_new();
    const Entry *entry = map_get(
        pods->entries, arena_printf(arena, "%.*s/%.*s", STR_ARG(namespace_), STR_ARG(name)));
    return entry ? &entry->facts : NULL;
}

bool pod_facts_available(const PodFacts *pod, int32_t min_ready_seconds, int64_t now,
                         int64_t *ret_wait_ns) {
    int64_t wait = 0;
    if (pod->ready && min_ready_seconds > 0)
        wait = pod->ready_since + min_ready_seconds * NSEC_PER_SEC - now;
    if (ret_wait_ns)
        *ret_wait_ns = wait > 0 ? wait : 0;
    return pod->ready && wait <= 0;
}
