// DaemonSets: one pod on every node that wants it.
// https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/
// (pkg/controller/daemon upstream)
//
// A reconcile puts the set's pods beside the nodes, plans what each node lacks or has too many, and
// then what the update may replace (daemon_plan.c).

#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"
#include "controllers/daemon_plan.h"
#include "controllers/int_or_percent.h"

#define BURST 250 // pods made or deleted by one reconcile

// ---- status (updateDaemonSetStatus)

static void set_count(DaemonSync *sync, const char *key, int64_t number) {
    if (number)
        value_set_int(sync->owner.reconcile->arena, sync->status, str_from(key), number);
}

static void make_status(DaemonSync *sync) {
    Arena *arena = sync->owner.reconcile->arena;
    int64_t current = 0, misplaced = 0, ready = 0, available = 0, updated = 0;
    for (size_t i = 0; i < sync->n_places; i++) {
        const Place *place = sync->places[i];
        if (!place->n || !place->exists)
            continue;
        const PodFacts *pod = place->pods[0];
        if (!place->place.should_run) {
            misplaced++;
            continue;
        }
        current++;
        ready += pod->ready;
        available += daemon_is_available(sync, pod);
        updated += daemon_is_updated(sync, pod);
    }
    sync->status = value_new_object(arena);
    value_set_int(arena, sync->status, STR("currentNumberScheduled"), current);
    value_set_int(arena, sync->status, STR("numberMisscheduled"), misplaced);
    value_set_int(arena, sync->status, STR("desiredNumberScheduled"), (int64_t)sync->n_wanted);
    value_set_int(arena, sync->status, STR("numberReady"), ready);
    set_count(sync, "observedGeneration", value_int_at(sync->set, "metadata.generation", 0));
    set_count(sync, "updatedNumberScheduled", updated);
    set_count(sync, "numberAvailable", available);
    set_count(sync, "numberUnavailable", (int64_t)sync->n_wanted - available);
    static const char *const kept[] = {"collisionCount", "conditions"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        Value *own = value_get(value_get(sync->set, STR("status")), str_from(kept[i]));
        if (own)
            value_set(arena, sync->status, str_from(kept[i]), own);
    }
}

static bool is_live(void *user, const Revision *revision) {
    const DaemonSync *sync = user;
    for (size_t i = 0; i < sync->n_live; i++)
        if (str_eq(sync->live[i], revision->hash))
            return true;
    return false;
}

static void end(Reconcile *r) {
    DaemonSync *sync = r->state;
    if (sync->wait_ns)
        controller_enqueue_after(r->controller, r->namespace_, r->name, sync->wait_ns);
    if (sync->retry || sync->deleting)
        reconcile_done(r, sync->retry);
    else
        history_truncate(&sync->self->history, &sync->owner, &sync->revisions,
                         value_int_at(sync->set, "spec.revisionHistoryLimit", 10), is_live, sync);
}

static void update_status(Reconcile *r) {
    DaemonSync *sync = r->state;
    reconcile_write_status(r, kinds_resource_apps_v1_daemonsets(), sync->set, sync->status, end);
}

// ---- carrying it out

static void on_deleted(void *user, const PodOutcome *outcome) {
    Reconcile *r = user;
    ((DaemonSync *)r->state)->retry |= outcome->message.ptr != NULL;
    update_status(r);
}

static void delete_pods(Reconcile *r) {
    DaemonSync *sync = r->state;
    size_t n = sync->n_delete < BURST ? sync->n_delete : BURST;
    if (n)
        pods_delete(&sync->owner, sync->deletions, n, on_deleted, r);
    else
        update_status(r);
}

static void on_created(void *user, const PodOutcome *outcome) {
    Reconcile *r = user;
    ((DaemonSync *)r->state)->retry |= outcome->message.ptr != NULL;
    delete_pods(r);
}

// Calls take time, pods change meanwhile: what is to be deleted is copied.
static void keep_deletions(DaemonSync *sync) {
    Arena *arena = sync->owner.reconcile->arena;
    PodFacts *copies = arena_array_of(arena, PodFacts, sync->n_delete + 1);
    for (size_t i = 0; i < sync->n_delete; i++) {
        copies[i].name = arena_str(arena, sync->deletions[i]->name);
        copies[i].uid = arena_str(arena, sync->deletions[i]->uid);
        sync->deletions[i] = &copies[i];
    }
}

static Str pod_body(void *user, size_t i) {
    Reconcile *r = user;
    DaemonSync *sync = r->state;
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(daemon_pod(&sync->owner, sync->revisions.update, sync->create[i]), &body);
    return arena_str(r->arena, buf_view(&body));
}

static void reconcile_pods(Reconcile *r) {
    DaemonSync *sync = r->state;
    daemon_read_places(sync);
    make_status(sync);
    if (!sync->deleting)
        daemon_plan(sync);
    size_t n = sync->n_create < BURST ? sync->n_create : BURST;
    keep_deletions(sync);
    if (n)
        pods_create(&sync->owner, n, pod_body, on_created, r);
    else
        delete_pods(r);
}

static void on_claimed(void *user, const PodOutcome *outcome) {
    reconcile_done(user, outcome->message.ptr != NULL); // what was claimed comes as a change
}

static Value *set_of(Arena *arena, const InformerObject *object) {
    Value *set;
    ParseError error;
    if (!object || value_parse_json(arena, arena_str(arena, bytes_str(object->bytes)), NULL, &set,
                                    &error) != 0)
        return NULL;
    return set;
}

static Selector *selector_of(Arena *arena, const Value *set) {
    Selector *selector;
    Str message;
    return selector_from_value(arena, value_at(set, "spec.selector"), &selector, &message) == 0
               ? selector
               : NULL;
}

static void reconcile(Reconcile *r) {
    DaemonSetController *self = (DaemonSetController *)r->controller;
    DaemonSync *sync = arena_new_of(r->arena, DaemonSync);
    Value *set = set_of(r->arena, informer_get(self->sets, r->namespace_, r->name));
    sync->selector = set ? selector_of(r->arena, set) : NULL;
    if (!sync->selector || selector_is_everything(sync->selector) ||
        !daemon_template_read(r->arena, set, &sync->template)) {
        reconcile_done(r, false); // gone, or one that would claim every pod
        return;
    }
    r->state = sync;
    sync->self = self;
    sync->set = set;
    sync->owner = (PodOwner){.control = &self->control,
                             .reconcile = r,
                             .resource = kinds_resource_apps_v1_daemonsets(),
                             .uid = value_string_at(set, "metadata.uid"),
                             .object = set};
    sync->min_ready_seconds = (int32_t)value_int_at(set, "spec.minReadySeconds", 0);
    sync->deleting = value_string_at(set, "metadata.deletionTimestamp").len > 0;
    sync->surges = int_or_percent(value_at(set, "spec.updateStrategy.rollingUpdate.maxSurge"), 100,
                                  true, 0) > 0;
    if (!pod_control_is_settled(&sync->owner)) {
        controller_enqueue_after(&self->base, r->namespace_, r->name, 300 * NSEC_PER_SEC);
        reconcile_done(r, false);
        return;
    }
    if (pods_claim(&sync->owner, sync->selector, sync->deleting, on_claimed, r))
        return;
    if (history_sync(&self->history, &sync->owner, sync->selector, &sync->revisions))
        reconcile_pods(r);
}

// ---- what brings them in

static void forget_failures(DaemonSetController *self, Str uid) {
    MapIter it = {0};
    while (map_next(self->failed, &it))
        if (str_starts_with(it.key, uid))
            free(map_remove(self->failed, it.key));
}

static void on_set(void *user, const InformerObject *old, const InformerObject *now) {
    DaemonSetController *self = user;
    if (old && (!now || !str_eq(old->uid, now->uid))) {
        pod_control_forget(&self->control, old->uid);
        forget_failures(self, old->uid);
    }
    if (now)
        controller_enqueue(&self->base, now->namespace_, now->name);
}

typedef struct Orphan {
    DaemonSetController *self;
    const PodFacts *pod;
} Orphan;

static void enqueue_if_matching(void *user, const InformerObject *object) {
    const Orphan *orphan = user;
    _arena_free_ Arena *arena = arena_new();
    Value *set = set_of(arena, object);
    const Selector *selector = set ? selector_of(arena, set) : NULL;
    if (selector && pod_matches(selector, orphan->pod))
        controller_enqueue(&orphan->self->base, object->namespace_, object->name);
}

static void on_orphan(Controller *controller, const PodFacts *pod) {
    Orphan orphan = {(DaemonSetController *)controller, pod};
    informer_each(orphan.self->sets, pod->namespace_, enqueue_if_matching, &orphan);
}

typedef struct NodeChange {
    DaemonSetController *self;
    const DaemonNode *before, *now;
} NodeChange;

static void enqueue_if_concerned(void *user, const InformerObject *object) {
    const NodeChange *change = user;
    _arena_free_ Arena *arena = arena_new();
    DaemonTemplate template;
    Value *set = set_of(arena, object);
    if (!set || !daemon_template_read(arena, set, &template))
        return;
    DaemonPlace before = {0}, now = {0};
    if (change->before)
        before = daemon_place(&template, change->before->node);
    if (change->now)
        now = daemon_place(&template, change->now->node);
    if (before.should_run != now.should_run || before.may_continue != now.may_continue)
        controller_enqueue(&change->self->base, object->namespace_, object->name);
}

// Heartbeats concern nobody; labels and taints those sets alone for which they make a difference.
static void on_node(void *user, const InformerObject *old, const InformerObject *now) {
    DaemonSetController *self = user;
    Str name = (now ? now : old)->name;
    DaemonNode *node = now ? daemon_node_new(now) : NULL;
    DaemonNode *before = node ? map_put(self->nodes, name, node) : map_remove(self->nodes, name);
    NodeChange change = {self, before, node};
    if (daemon_node_differs(before, node))
        informer_each(self->sets, STR_NONE, enqueue_if_concerned, &change);
    daemon_node_free(before);
}

static void stop(Controller *controller) {
    DaemonSetController *self = (DaemonSetController *)controller;
    MapIter it = {0};
    while (map_next(self->nodes, &it))
        daemon_node_free(it.value);
    map_free(self->nodes);
    it = (MapIter){0};
    while (map_next(self->failed, &it))
        free(it.value);
    map_free(self->failed);
    pod_control_deinit(&self->control);
    free(self);
}

Controller *daemon_set_controller_start(Controllers *all) {
    static const InformerHandler on_sets = {.on_change = on_set}, on_nodes = {.on_change = on_node};
    const Resource *resource = kinds_resource_apps_v1_daemonsets();
    DaemonSetController *self = memory_new(DaemonSetController);
    self->nodes = map_new();
    self->failed = map_new();
    controller_init(&self->base, all, "daemon-set-controller", 2, reconcile, stop);
    self->sets = controller_informer(&self->base, resource, STR(""));
    Informer *nodes = controller_informer(&self->base, kinds_resource_core_v1_nodes(), STR(""));
    history_init(&self->history, &self->base, resource);
    pod_control_init(&self->control, &self->base, resource, "daemonset-controller", on_orphan);
    informer_add_handler(self->sets, &on_sets, self);
    informer_add_handler(nodes, &on_nodes, self);
    return &self->base;
}
