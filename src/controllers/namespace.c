// Empties a namespace that is being deleted, pods first, and then lets it go: removes the finalizer
// "kubernetes". https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/,
// KEP-5080 (ordered deletion)
//
// A round looks at every kind, deletes what is there and counts what stays: objects with
// finalizers, pods in their grace period. If any do, the namespace's conditions say so, and an
// informer over the first such collection begins the next round when its objects go.

#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"
#include "base/time.h"
#include "controllers/kind_index.h"

// How often at most the counts in the conditions are brought up to date.
#define RECOUNT (1 * NSEC_PER_SEC)
#define LIST_QUERY STR("limit=500")

typedef struct NamespaceController {
    Controller base;
    Informer *namespaces;
    KindIndex *kinds;
    Map *watched; // namespace -> Remains
} NamespaceController;

typedef struct Remains { // what a terminating namespace waits for
    NamespaceController *self;
    Informer *informer;
    const Resource *resource;
    Str namespace_;
    char text[];
} Remains;

typedef struct Count { // in an arena
    Str what;
    int64_t n;
} Count;
typedef struct Counts {
    Count *items;
    size_t n;
} Counts;

typedef struct Round {
    size_t index; // of kind_index_at
    uint64_t generation; // of the kinds
    bool rest;    // pods are gone
    bool deleted; // the collection at hand
    const Resource *first_remaining;
    Counts resources, finalizers;
    Str failure; // of the first request that failed
} Round;

static KindIndex *kinds_of(const Reconcile *r) {
    return ((NamespaceController *)r->controller)->kinds;
}

static bool is_content(const Resource *resource) {
    return resource->namespaced && (resource->verbs & VERB_DELETECOLLECTION);
}

// What is waited for -----------------------------------------------------------------------------

static void forget(NamespaceController *self, Str namespace_) {
    Remains *remains = map_remove(self->watched, namespace_);
    if (!remains)
        return;
    informer_free(remains->informer);
    free(remains);
}

static void wake(const Remains *remains) {
    int64_t delay = informer_count(remains->informer) ? RECOUNT : 0;
    controller_enqueue_after(&remains->self->base, STR(""), remains->namespace_, delay);
}

static void on_remains(void *user, const InformerObject *old, const InformerObject *now) {
    const Remains *remains = user;
    if (!now && informer_is_synced(remains->informer))
        wake(remains);
}

// They may have gone since they were counted.
static void on_remains_synced(void *user) {
    const Remains *remains = user;
    if (!informer_count(remains->informer))
        wake(remains);
}

static void wait_for(NamespaceController *self, Str namespace_, const Resource *resource) {
    static const InformerHandler handler = {.on_change = on_remains,
                                            .on_synced = on_remains_synced};
    Remains *remains = map_get(self->watched, namespace_);
    if (remains && remains->resource == resource)
        return;
    forget(self, namespace_);
    remains = memory_zalloc(sizeof *remains + namespace_.len);
    memcpy(remains->text, namespace_.ptr, namespace_.len);
    remains->namespace_ = str_of(remains->text, namespace_.len);
    remains->self = self;
    remains->resource = resource;
    remains->informer = informer_new(self->base.client, resource, namespace_, STR_NONE, STR_NONE);
    informer_add_handler(remains->informer, &handler, remains);
    map_put(self->watched, namespace_, remains);
}

// The end of a round -----------------------------------------------------------------------------

static Value *namespace_value(Reconcile *r) {
    NamespaceController *self = (NamespaceController *)r->controller;
    const InformerObject *object = informer_get(self->namespaces, STR(""), r->name);
    Value *value;
    ParseError error;
    if (!object)
        return NULL;
    Str json = arena_str(r->arena, bytes_str(object->bytes));
    return value_parse_json(r->arena, json, NULL, &value, &error) == 0 ? value : NULL;
}

static void update(Reconcile *r, const Value *object, Str subresource, ClientDone done) {
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(object, &body);
    ClientTarget target = {.resource = kinds_resource_core_v1_namespaces(),
                           .name = r->name,
                           .subresource = subresource};
    client_update(r->controller->client, &target, buf_view(&body), done, r);
}

static void finalize(Reconcile *r) {
    forget((NamespaceController *)r->controller, r->name);
    Value *namespace_ = namespace_value(r);
    if (!namespace_) {
        reconcile_done(r, false);
        return;
    }
    Value *finalizers = value_at(namespace_, "spec.finalizers");
    for (uint32_t i = 0; finalizers && i < finalizers->n; i++)
        if (str_eq(finalizers->items[i]->string, STR("kubernetes")))
            value_remove_item(finalizers, i--);
    update(r, namespace_, STR("finalize"), reconcile_finish);
}

static int compare_str(const void *a, const void *b) {
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

static Str sentence(Arena *arena, const char *start, const Counts *counts, const char *verb) {
    Str *lines = arena_array_of(arena, Str, counts->n);
    for (size_t i = 0; i < counts->n; i++)
        lines[i] =
            arena_printf(arena, "%.*s %s %lld resource instances", STR_ARG(counts->items[i].what),
                         verb, (long long)counts->items[i].n);
    qsort(lines, counts->n, sizeof *lines, compare_str);
    return arena_printf(arena, "%s%.*s", start,
                        STR_ARG(arena_concat(arena, lines, counts->n, STR(", "))));
}

// Returns whether anything changed.
static bool set_condition(Arena *arena, Value *conditions, const char *type, bool status,
                          const char *reason, Str message, int64_t now) {
    Value *found = NULL;
    for (uint32_t i = 0; i < conditions->n; i++)
        if (str_eq(value_string_at(conditions->items[i], "type"), str_from(type)))
            found = conditions->items[i];
    Str word = status ? STR("True") : STR("False");
    bool same_status = found && str_eq(value_string_at(found, "status"), word);
    if (same_status && str_eq(value_string_at(found, "reason"), str_from(reason)) &&
        str_eq(value_string_at(found, "message"), message))
        return false;
    if (!found)
        value_push(arena, conditions, found = value_new_object(arena));
    value_set_str(arena, found, STR("type"), str_from(type));
    value_set_str(arena, found, STR("status"), word);
    if (!same_status)
        value_set_str(arena, found, STR("lastTransitionTime"), time_format(arena, now));
    value_set_str(arena, found, STR("reason"), str_from(reason));
    value_set_str(arena, found, STR("message"), message);
    return true;
}

// The five conditions of a namespace that has not gone at once, as kube-controller-manager words
// them.
static bool set_conditions(Reconcile *r, const Round *round, Value *namespace_) {
    Arena *arena = r->arena;
    int64_t now = loop_wall(r->controller->loop);
    Value *status = value_at_make(arena, namespace_, "status");
    Value *all = value_get(status, STR("conditions"));
    if (!all)
        value_set(arena, status, STR("conditions"), all = value_new_array(arena));
    bool failed = round->failure.len, content = round->resources.n, blocked = round->finalizers.n;
    Str gone = STR("All content successfully removed");
    bool changed =
        set_condition(arena, all, "NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered",
                      STR("All resources successfully discovered"), now);
    changed |=
        set_condition(arena, all, "NamespaceDeletionGroupVersionParsingFailure", false,
                      "ParsedGroupVersions", STR("All legacy kube types successfully parsed"), now);
    changed |= set_condition(
        arena, all, "NamespaceDeletionContentFailure", failed,
        failed ? "ContentDeletionFailed" : "ContentDeleted",
        failed ? arena_printf(arena, "Failed to delete all resource types, 1 remaining: %.*s",
                              STR_ARG(round->failure))
               : STR("All content successfully deleted, may be waiting on finalization"),
        now);
    changed |= set_condition(
        arena, all, "NamespaceContentRemaining", content,
        content ? "SomeResourcesRemain" : "ContentRemoved",
        content ? sentence(arena, "Some resources are remaining: ", &round->resources, "has")
                : gone,
        now);
    changed |= set_condition(
        arena, all, "NamespaceFinalizersRemaining", blocked,
        blocked ? "SomeFinalizersRemain" : "ContentRemoved",
        blocked ? sentence(arena, "Some content in the namespace has finalizers remaining: ",
                           &round->finalizers, "in")
                : gone,
        now);
    return changed;
}

static void on_failure_told(void *user, const ClientResult *result) {
    reconcile_done(user, true);
}

static void end_round(Reconcile *r) {
    Round *round = r->state;
    bool failed = round->failure.len;
    if (!round->first_remaining && !failed) {
        finalize(r);
        return;
    }
    if (round->first_remaining)
        wait_for((NamespaceController *)r->controller, r->name, round->first_remaining);
    Value *namespace_ = namespace_value(r);
    if (namespace_ && set_conditions(r, round, namespace_))
        update(r, namespace_, STR("status"), failed ? on_failure_told : reconcile_finish);
    else
        reconcile_done(r, failed);
}

// A round ----------------------------------------------------------------------------------------

static void look(Reconcile *r);

static void next(Reconcile *r) {
    Round *round = r->state;
    round->deleted = false;
    if (!round->rest && round->first_remaining) { // first the pods alone
        end_round(r);
        return;
    }
    if (!round->rest)
        round->rest = true;
    else
        round->index++;
    const Resource *resource;
    while ((resource = kind_index_at(kinds_of(r), round->index)) && !is_content(resource))
        round->index++;
    if (resource)
        look(r);
    else
        end_round(r);
}

static const Resource *at_hand(const Reconcile *r) {
    const Round *round = r->state;
    return round->rest ? kind_index_at(kinds_of(r), round->index) : kinds_resource_core_v1_pods();
}

// A kind came or went while the API answered: the round begins anew.
static bool is_outdated(Reconcile *r) {
    const Round *round = r->state;
    if (round->generation == kind_index_generation(kinds_of(r)))
        return false;
    reconcile_done(r, true);
    return true;
}

static void fail(Reconcile *r, const ClientResult *result) {
    Round *round = r->state;
    if (!round->failure.len)
        round->failure =
            arena_str(r->arena, result->status ? result->status->message : STR("no answer"));
    reconcile_should_retry(r, result); // for its log
    next(r);
}

static void add(Arena *arena, Counts *counts, Str what, int64_t n) {
    size_t i = 0;
    while (i < counts->n && !str_eq(counts->items[i].what, what))
        i++;
    if (i == counts->n) {
        counts->items = arena_grow(arena, counts->items, i * sizeof *counts->items,
                                   (i + 1) * sizeof *counts->items);
        counts->items[counts->n++] = (Count){arena_str(arena, what), 0};
    }
    counts->items[i].n += n;
}

static void count_remaining(Reconcile *r, const Value *list, const Value *items) {
    Round *round = r->state;
    const Resource *resource = at_hand(r);
    int64_t n = items->n + value_int_at(list, "metadata.remainingItemCount", 0);
    add(r->arena, &round->resources,
        arena_printf(r->arena, "%.*s.%.*s", STR_ARG(resource->plural), STR_ARG(resource->group)),
        n);
    for (uint32_t i = 0; i < items->n; i++) {
        const Value *finalizers = value_at(items->items[i], "metadata.finalizers");
        for (uint32_t j = 0; finalizers && j < finalizers->n; j++)
            add(r->arena, &round->finalizers, finalizers->items[j]->string, 1);
    }
    if (!round->first_remaining)
        round->first_remaining = resource;
}

static bool is_all_deleting(const Value *list, const Value *items) {
    for (uint32_t i = 0; i < items->n; i++)
        if (!value_string_at(items->items[i], "metadata.deletionTimestamp").len)
            return false;
    return value_int_at(list, "metadata.remainingItemCount", 0) == 0;
}

static void on_deleted(void *user, const ClientResult *result) {
    Reconcile *r = user;
    if (is_outdated(r))
        return;
    if (result->error && result->code != 404) {
        fail(r, result);
        return;
    }
    look(r); // what stays
}

static void on_listed(void *user, const ClientResult *result) {
    Reconcile *r = user;
    Round *round = r->state;
    Value *list;
    ParseError error;
    if (is_outdated(r))
        return;
    if (result->code == 404) { // no such kind here
        next(r);
        return;
    }
    if (result->error || value_parse_json(result->arena, result->body, NULL, &list, &error) != 0) {
        fail(r, result);
        return;
    }
    const Value *items = value_get(list, STR("items"));
    if (!items || items->kind != VALUE_ARRAY || !items->n) {
        next(r);
        return;
    }
    if (round->deleted || is_all_deleting(list, items)) {
        count_remaining(r, list, items);
        next(r);
        return;
    }
    round->deleted = true;
    ClientTarget target = {.resource = at_hand(r), .namespace_ = r->name};
    client_delete_collection(r->controller->client, &target, on_deleted, r);
}

static void look(Reconcile *r) {
    ClientTarget target = {
        .resource = at_hand(r), .namespace_ = r->name, .query = LIST_QUERY};
    client_list(r->controller->client, &target, on_listed, r);
}

static bool has_our_finalizer(const Namespace *ns) {
    for (size_t i = 0; i < ns->spec.finalizers.len; i++)
        if (str_eq(ns->spec.finalizers.items[i], STR("kubernetes")))
            return true;
    return false;
}

static void reconcile(Reconcile *r) {
    NamespaceController *self = (NamespaceController *)r->controller;
    Namespace *ns = reconcile_object(r, self->namespaces, STR(""), r->name, kinds_type_Namespace());
    if (!ns || !ns->metadata.deletion_timestamp || !has_our_finalizer(ns)) {
        forget(self, r->name);
        reconcile_done(r, false);
        return;
    }
    Round *round = arena_new_of(r->arena, Round);
    round->generation = kind_index_generation(self->kinds);
    r->state = round;
    look(r);
}

static void ignore_kind(void *user, const Resource *resource) {}

// What waited for objects of that kind looks again.
static void on_kind_removed(void *user, const Resource *resource) {
    NamespaceController *self = user;
    MapIter iter = {0};
    while (map_next(self->watched, &iter)) {
        Remains *remains = iter.value;
        if (remains->resource != resource)
            continue;
        controller_enqueue(&self->base, STR(""), remains->namespace_);
        map_remove(self->watched, iter.key);
        informer_free(remains->informer);
        free(remains);
    }
}

static void stop(Controller *controller) {
    NamespaceController *self = (NamespaceController *)controller;
    MapIter iter = {0};
    while (map_next(self->watched, &iter)) {
        informer_free(((Remains *)iter.value)->informer);
        free(iter.value);
    }
    map_free(self->watched);
    free(self);
}

Controller *namespace_controller_start(Controllers *all) {
    static const KindListener listener = {ignore_kind, on_kind_removed};
    NamespaceController *self = memory_new(NamespaceController);
    self->watched = map_new();
    controller_init(&self->base, all, "namespace-controller", 10, reconcile, stop);
    self->namespaces =
        controller_informer(&self->base, kinds_resource_core_v1_namespaces(), STR(""));
    self->kinds = kind_index_of(&self->base);
    kind_index_listen(self->kinds, &listener, self);
    controller_follow(&self->base, self->namespaces);
    return &self->base;
}
