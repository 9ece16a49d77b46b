#include "controllers/daemon_plan.h"

#include <stdlib.h>

#include "base/memory.h"
#include "controllers/int_or_percent.h"

#define FAILED_FIRST NSEC_PER_SEC // until a failed pod is deleted; doubles each time
#define FAILED_LAST (15 * 60 * NSEC_PER_SEC)

static int64_t now_of(const DaemonSync *sync) {
    return loop_wall(sync->self->base.loop);
}

static void wait_for(DaemonSync *sync, int64_t ns) {
    if (ns > 0 && (!sync->wait_ns || ns < sync->wait_ns))
        sync->wait_ns = ns;
}

bool daemon_is_available(DaemonSync *sync, const PodFacts *pod) {
    int64_t wait;
    bool available = pod_facts_available(pod, sync->min_ready_seconds, now_of(sync), &wait);
    wait_for(sync, wait);
    return available;
}

static Str hash_of(const PodFacts *pod) {
    return str_map_get(&pod->labels, STR("controller-revision-hash"));
}

bool daemon_is_updated(const DaemonSync *sync, const PodFacts *pod) {
    return str_eq(hash_of(pod), sync->revisions.update->hash);
}

// ---- pods beside nodes

static Place *place_of(DaemonSync *sync, Str node) {
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

static void read_nodes(DaemonSync *sync) {
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
    DaemonSync *sync = user;
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

void daemon_read_places(DaemonSync *sync) {
    Arena *arena = sync->owner.reconcile->arena;
    const OwnedPods *pods = sync->self->control.pods;
    size_t n = owned_pods_count(pods, sync->owner.uid) + 1;
    _map_free_ Map *by_node = map_new();
    sync->by_node = by_node;
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

static void plan_deletion(DaemonSync *sync, const PodFacts *pod) {
    if (!pod->deleting)
        sync->deletions[sync->n_delete++] = pod;
}

static void record_ended(DaemonSync *sync, const PodFacts *pod, Str node) {
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
static bool may_replace(DaemonSync *sync, const PodFacts *pod, Str node) {
    if (pod->phase != POD_FAILED)
        return true;
    Arena *arena = sync->owner.reconcile->arena;
    Str key = arena_printf(arena, "%.*s/%.*s", STR_ARG(sync->owner.uid), STR_ARG(node));
    int64_t now = loop_now(sync->self->base.loop);
    DaemonFailed *failed = map_get(sync->self->failed, key);
    if (failed && now < failed->until) {
        wait_for(sync, failed->until - now);
        return false;
    }
    if (!failed) {
        failed = memory_new(DaemonFailed);
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
static void plan_surging(DaemonSync *sync, const PodFacts **running, size_t n) {
    const PodFacts *oldest[2] = {NULL, NULL}; // of the old template, of the new one
    for (size_t i = 0; i < n; i++) {
        bool updated = daemon_is_updated(sync, running[i]);
        if (oldest[updated])
            plan_deletion(sync, running[i]);
        else
            oldest[updated] = running[i];
    }
    if (oldest[0] && oldest[1] && (!oldest[0]->ready || daemon_is_available(sync, oldest[1])))
        plan_deletion(sync, oldest[0]);
}

static void plan_place(DaemonSync *sync, const Place *place) { // podsShouldBeOnNode
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
static bool pair_of(const DaemonSync *sync, const Place *place, Pair *ret) {
    *ret = (Pair){NULL, NULL};
    for (size_t i = 0; i < place->n; i++) {
        const PodFacts *pod = place->pods[i];
        if (pod->deleting)
            continue;
        const PodFacts **to = daemon_is_updated(sync, pod) ? &ret->new : &ret->old;
        if (*to)
            return false;
        *to = pod;
    }
    return true;
}

static void plan_replacing(DaemonSync *sync, int64_t budget) {
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
            budget -= !daemon_is_available(sync, pair.new);
        } else if (!daemon_is_available(sync, pair.old)) {
            plan_deletion(sync, pair.old); // it serves nobody
            budget--;
        } else {
            candidates[n++] = pair.old;
        }
    }
    for (size_t i = 0; i < n && budget > 0; i++, budget--)
        plan_deletion(sync, candidates[i]);
}

static void plan_adding(DaemonSync *sync, int64_t budget) {
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
            budget -= pair.old && !daemon_is_available(sync, pair.new);
        else if (pair.old && !daemon_is_available(sync, pair.old))
            sync->create[sync->n_create++] = place->node;
        else if (pair.old)
            candidates[n++] = place->node;
    }
    for (size_t i = 0; i < n && budget > 0; i++, budget--)
        sync->create[sync->n_create++] = candidates[i];
}

static void plan_update(DaemonSync *sync) {
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

void daemon_plan(DaemonSync *sync) {
    for (size_t i = 0; i < sync->n_places; i++)
        plan_place(sync, sync->places[i]);
    if (!sync->n_create && !sync->n_delete)
        plan_update(sync);
}
