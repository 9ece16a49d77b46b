// DaemonSets: one pod on every node that wants it.
// https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/
// (pkg/controller/daemon upstream)
//
// A reconcile puts the set's pods beside the nodes, plans what each node lacks or has too many, and
// then what the update may replace.

#include <inttypes.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"
#include "base/time.h"
#include "controllers/daemon_nodes.h"
#include "controllers/int_or_percent.h"

#define BURST 250                 // pods made or deleted by one reconcile
#define FAILED_FIRST NSEC_PER_SEC // until a failed pod is deleted; doubles each time
#define FAILED_LAST (15 * 60 * NSEC_PER_SEC)

typedef struct DaemonSetController {
    Controller base;
    Informer *sets;
    PodControl control;
    History history;
    Map *nodes;  // name -> DaemonNode
    Map *failed; // "set's UID/node" -> Failed
} DaemonSetController;

typedef struct Failed { // pods of a set that failed on a node
    int64_t delay, until;
} Failed;

typedef struct Place { // a node with the set's pods on it
    Str node;
    DaemonPlace place;
    bool exists;
    const PodFacts **pods; // the oldest first, those bound to the node before others
    size_t n;
} Place;

typedef struct Sync { // r->state
    DaemonSetController *self;
    PodOwner owner;
    Value *set;
    Selector *selector;
    int32_t min_ready_seconds;
    bool deleting, surges;
    DaemonTemplate template;
    Revisions revisions;
    Map *by_node; // -> Place
    Place **places;
    size_t n_places, n_wanted;
    int64_t wait_ns; // until something is due; 0: nothing is
    // The plan.
    Str *create; // names of nodes
    const PodFacts **deletions;
    size_t n_create, n_delete;
    Value *status;
    Str *live; // hashes that pods have
    size_t n_live;
    bool retry;
} Sync;

static int64_t now_of(const Sync *sync) {
    return loop_wall(sync->self->base.loop);
}

static void wait_for(Sync *sync, int64_t ns) {
    if (ns > 0 && (!sync->wait_ns || ns < sync->wait_ns))
        sync->wait_ns = ns;
}

static bool is_available(Sync *sync, const PodFacts *pod) {
    int64_t wait;
    bool available = pod_facts_available(pod, sync->min_ready_seconds, now_of(sync), &wait);
    wait_for(sync, wait);
    return available;
}

static Str hash_of(const PodFacts *pod) {
    return str_map_get(&pod->labels, STR("controller-revision-hash"));
}

static bool is_updated(const Sync *sync, const PodFacts *pod) {
    return str_eq(hash_of(pod), sync->revisions.update->hash);
}

// ---- pods beside nodes

static Place *place_of(Sync *sync, Str node) {
    Arena *arena = sync->owner.reconcile->arena;
    Place *place = map_get(sync->by_node, node);
    if (place)
        return place;
    place = arena_new_of(arena, Place);
    place->node = arena_str(arena, node);
    place->exists = map_get(sync->self->nodes, node) != NULL;
    map_put(sync->by_node, place->node, place);
    sync->places = arena_grow(arena, sync->places, sync->n_places * sizeof(Place *),
                              (sync->n_places + 1) * sizeof(Place *));
    sync->places[sync->n_places++] = place;
    return place;
}

static void read_nodes(Sync *sync) {
    MapIter it = {0};
    while (map_next(sync->self->nodes, &it)) {
        const DaemonNode *node = it.value;
        DaemonPlace where = daemon_place(&sync->template, node->node);
        if (where.should_run || where.may_continue)
            place_of(sync, it.key)->place = where;
        sync->n_wanted += where.should_run;
    }
}

static void read_pod(void *user, const PodFacts *pod) {
    Sync *sync = user;
    Arena *arena = sync->owner.reconcile->arena;
    Str node = daemon_pod_node(arena, pod);
    if (!node.len || !pod_matches(sync->selector, pod))
        return;
    Place *place = place_of(sync, node);
    place->pods = arena_grow(arena, place->pods, place->n * sizeof *place->pods,
                             (place->n + 1) * sizeof *place->pods);
    place->pods[place->n++] = pod;
    Str hash = hash_of(pod);
    if (!sync->n_live || !str_eq(sync->live[sync->n_live - 1], hash))
        sync->live[sync->n_live++] = arena_str(arena, hash);
}

static int by_age(const void *left, const void *right) { // podByCreationTimestampAndPhase
    const PodFacts *a = *(const PodFacts *const *)left, *b = *(const PodFacts *const *)right;
    if (!a->node_name.len != !b->node_name.len)
        return a->node_name.len ? -1 : 1;
    if (a->created != b->created)
        return a->created < b->created ? -1 : 1;
    return str_cmp(a->name, b->name);
}

static void read_places(Sync *sync) {
    Arena *arena = sync->owner.reconcile->arena;
    const OwnedPods *pods = sync->self->control.pods;
    size_t n = owned_pods_count(pods, sync->owner.uid) + 1;
    sync->live = arena_array_of(arena, Str, n);
    sync->deletions = arena_array_of(arena, const PodFacts *, n);
    read_nodes(sync);
    owned_pods_each(pods, sync->owner.uid, read_pod, sync);
    sync->create = arena_array_of(arena, Str, sync->n_places + 1);
    for (size_t i = 0; i < sync->n_places; i++)
        if (sync->places[i]->n > 1)
            qsort(sync->places[i]->pods, sync->places[i]->n, sizeof(PodFacts *), by_age);
}

// ---- the plan: one on every node

static void plan_deletion(Sync *sync, const PodFacts *pod) {
    if (!pod->deleting)
        sync->deletions[sync->n_delete++] = pod;
}

static void record_ended(Sync *sync, const PodFacts *pod, Str node) {
    if (pod->phase == POD_FAILED)
        pod_owner_event(
            &sync->owner, "Warning", "FailedDaemonPod",
            arena_printf(sync->owner.reconcile->arena,
                         "Found failed daemon pod %.*s/%.*s on node %.*s, will try to kill it",
                         STR_ARG(pod->namespace_), STR_ARG(pod->name), STR_ARG(node)));
    else
        pod_owner_event(
            &sync->owner, "Normal", "SucceededDaemonPod",
            arena_printf(sync->owner.reconcile->arena,
                         "Found succeeded daemon pod %.*s/%.*s on node %.*s, will try to delete it",
                         STR_ARG(pod->namespace_), STR_ARG(pod->name), STR_ARG(node)));
}

// A pod that fails over and over is not replaced over and over: it stays for a while each time.
static bool may_replace(Sync *sync, const PodFacts *pod, Str node) {
    if (pod->phase != POD_FAILED)
        return true;
    Arena *arena = sync->owner.reconcile->arena;
    Str key = arena_printf(arena, "%.*s/%.*s", STR_ARG(sync->owner.uid), STR_ARG(node));
    int64_t now = loop_now(sync->self->base.loop);
    Failed *failed = map_get(sync->self->failed, key);
    if (failed && now < failed->until) {
        wait_for(sync, failed->until - now);
        return false;
    }
    if (!failed) {
        failed = memory_new(Failed);
        map_put(sync->self->failed, key, failed);
    }
    bool calm = now - failed->until > 2 * FAILED_LAST;
    failed->delay = !failed->delay || calm ? FAILED_FIRST : failed->delay * 2;
    if (failed->delay > FAILED_LAST)
        failed->delay = FAILED_LAST;
    failed->until = now + failed->delay;
    return true;
}

// Two that run side by side during an update that surges: the old one goes once it is of no use or
// the new one is available.
static void plan_surging(Sync *sync, const PodFacts **running, size_t n) {
    const PodFacts *oldest[2] = {NULL, NULL}; // of the old template, of the new one
    for (size_t i = 0; i < n; i++) {
        bool updated = is_updated(sync, running[i]);
        if (oldest[updated])
            plan_deletion(sync, running[i]);
        else
            oldest[updated] = running[i];
    }
    if (oldest[0] && oldest[1] && (!oldest[0]->ready || is_available(sync, oldest[1])))
        plan_deletion(sync, oldest[0]);
}

static void plan_place(Sync *sync, const Place *place) { // podsShouldBeOnNode
    Arena *arena = sync->owner.reconcile->arena;
    size_t n = 0;
    if (place->place.should_run && !place->n) {
        sync->create[sync->n_create++] = place->node;
        return;
    }
    if (!place->place.may_continue) {
        // Without its node a bound pod is the garbage collector's.
        for (size_t i = 0; i < place->n; i++)
            if (place->exists || !place->pods[i]->node_name.len)
                plan_deletion(sync, place->pods[i]);
        return;
    }
    const PodFacts **running = arena_array_of(arena, const PodFacts *, place->n + 1);
    for (size_t i = 0; i < place->n; i++) {
        const PodFacts *pod = place->pods[i];
        if (pod->deleting)
            continue;
        if (pod->phase < POD_SUCCEEDED) {
            running[n++] = pod;
        } else if (may_replace(sync, pod, place->node)) {
            record_ended(sync, pod, place->node);
            plan_deletion(sync, pod);
        }
    }
    if (sync->surges)
        plan_surging(sync, running, n);
    else
        for (size_t i = 1; i < n; i++)
            plan_deletion(sync, running[i]);
}

// ---- the plan: updates (rollingUpdate)

typedef struct Pair { // on one node
    const PodFacts *old, *new;
} Pair;

// False: there are several of one template, which is mended first.
static bool pair_of(const Sync *sync, const Place *place, Pair *ret) {
    *ret = (Pair){NULL, NULL};
    for (size_t i = 0; i < place->n; i++) {
        const PodFacts *pod = place->pods[i];
        if (pod->deleting)
            continue;
        const PodFacts **to = is_updated(sync, pod) ? &ret->new : &ret->old;
        if (*to)
            return false;
        *to = pod;
    }
    return true;
}

static void plan_replacing(Sync *sync, int64_t budget) {
    const PodFacts **candidates =
        arena_array_of(sync->owner.reconcile->arena, const PodFacts *, sync->n_places + 1);
    size_t n = 0;
    for (size_t i = 0; i < sync->n_places; i++) {
        const Place *place = sync->places[i];
        Pair pair;
        if (!place->n && !place->place.should_run)
            continue;
        if (!pair_of(sync, place, &pair) || !pair.old == !pair.new) {
            budget--;
        } else if (pair.new) {
            budget -= !is_available(sync, pair.new);
        } else if (!is_available(sync, pair.old)) {
            plan_deletion(sync, pair.old); // it serves nobody
            budget--;
        } else {
            candidates[n++] = pair.old;
        }
    }
    for (size_t i = 0; i < n && budget > 0; i++, budget--)
        plan_deletion(sync, candidates[i]);
}

static void plan_adding(Sync *sync, int64_t budget) {
    Str *candidates = arena_array_of(sync->owner.reconcile->arena, Str, sync->n_places + 1);
    size_t n = 0;
    for (size_t i = 0; i < sync->n_places; i++) {
        const Place *place = sync->places[i];
        Pair pair;
        if (!place->n || !place->place.should_run)
            continue;
        if (!pair_of(sync, place, &pair))
            budget--;
        else if (pair.new)
            budget -= pair.old && !is_available(sync, pair.new);
        else if (pair.old && !is_available(sync, pair.old))
            sync->create[sync->n_create++] = place->node;
        else if (pair.old)
            candidates[n++] = place->node;
    }
    for (size_t i = 0; i < n && budget > 0; i++, budget--)
        sync->create[sync->n_create++] = candidates[i];
}

static void plan_update(Sync *sync) {
    if (!str_eq(value_string_at(sync->set, "spec.updateStrategy.type"), STR("RollingUpdate")))
        return;
    const Value *rolling = value_at(sync->set, "spec.updateStrategy.rollingUpdate");
    int64_t wanted = (int64_t)sync->n_wanted;
    int64_t unavailable =
        int_or_percent(value_get(rolling, STR("maxUnavailable")), wanted, true, 1);
    int64_t surge = int_or_percent(value_get(rolling, STR("maxSurge")), wanted, true, 0);
    if (sync->surges)
        plan_adding(sync, surge);
    else
        plan_replacing(sync, unavailable > 0 ? unavailable : 1);
}

// What is missing or too many is put right before the update goes on.
static void plan(Sync *sync) {
    for (size_t i = 0; i < sync->n_places; i++)
        plan_place(sync, sync->places[i]);
    if (!sync->n_create && !sync->n_delete)
        plan_update(sync);
}

// ---- status (updateDaemonSetStatus)

static void set_count(Sync *sync, const char *key, int64_t number) {
    if (number)
        value_set_int(sync->owner.reconcile->arena, sync->status, str_from(key), number);
}

static void make_status(Sync *sync) {
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
        available += is_available(sync, pod);
        updated += is_updated(sync, pod);
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
    const Sync *sync = user;
    for (size_t i = 0; i < sync->n_live; i++)
        if (str_eq(sync->live[i], revision->hash))
            return true;
    return false;
}

static void end(Reconcile *r) {
    Sync *sync = r->state;
    if (sync->wait_ns)
        controller_enqueue_after(r->controller, r->namespace_, r->name, sync->wait_ns);
    if (sync->retry || sync->deleting)
        reconcile_done(r, sync->retry);
    else
        history_truncate(&sync->self->history, &sync->owner, &sync->revisions,
                         value_int_at(sync->set, "spec.revisionHistoryLimit", 10), is_live, sync);
}

static void on_status(void *user, const ClientResult *result) {
    Reconcile *r = user;
    if (result->error && reconcile_should_retry(r, result))
        reconcile_done(r, true);
    else
        end(r);
}

static void update_status(Reconcile *r) {
    Sync *sync = r->state;
    const Value *old = value_get(sync->set, STR("status"));
    if (old && value_equal(old, sync->status)) {
        end(r);
        return;
    }
    Value *changed = value_copy(r->arena, sync->set);
    value_set(r->arena, changed, STR("status"), sync->status);
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(changed, &body);
    ClientTarget target = {.resource = kinds_resource_apps_v1_daemonsets(),
                           .namespace_ = r->namespace_,
                           .name = r->name,
                           .subresource = STR("status")};
    client_update(r->controller->client, &target, buf_view(&body), on_status, r);
}

// ---- carrying it out

static void on_deleted(void *user, const PodOutcome *outcome) {
    Reconcile *r = user;
    ((Sync *)r->state)->retry |= outcome->message.ptr != NULL;
    update_status(r);
}

static void delete_pods(Reconcile *r) {
    Sync *sync = r->state;
    size_t n = sync->n_delete < BURST ? sync->n_delete : BURST;
    if (n)
        pods_delete(&sync->owner, sync->deletions, n, on_deleted, r);
    else
        update_status(r);
}

static void on_created(void *user, const PodOutcome *outcome) {
    Reconcile *r = user;
    ((Sync *)r->state)->retry |= outcome->message.ptr != NULL;
    delete_pods(r);
}

// Calls take time, pods change meanwhile: what is to be deleted is copied.
static void keep_deletions(Sync *sync) {
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
    Sync *sync = r->state;
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(daemon_pod(&sync->owner, sync->revisions.update, sync->create[i]), &body);
    return arena_str(r->arena, buf_view(&body));
}

static void reconcile_pods(Reconcile *r) {
    Sync *sync = r->state;
    _map_free_ Map *by_node = map_new();
    sync->by_node = by_node;
    read_places(sync);
    make_status(sync);
    if (!sync->deleting)
        plan(sync);
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
    Sync *sync = arena_new_of(r->arena, Sync);
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
