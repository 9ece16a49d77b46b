// StatefulSets: pods with numbers, names and claims of their own, started and stopped in order.
// https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/
// (pkg/controller/statefulset upstream)
//
// A reconcile plans all that may happen now from the pods as they are, then does it: claims, new
// pods, deletions, status, old revisions.

#include <stdlib.h>

#include "base/memory.h"
#include "base/time.h"
#include "controllers/controller_history.h"
#include "controllers/int_or_percent.h"
#include "controllers/stateful_pods.h"

#define BURST 500 // pods made or deleted by one reconcile

typedef struct StatefulSetController {
    Controller base;
    Informer *sets, *claims;
    PodControl control;
    History history;
} StatefulSetController;

typedef struct Numbered { // a pod that there is
    int64_t ordinal;
    const PodFacts *pod; // valid until the first call
    bool available, healthy, old;
} Numbered;

typedef struct Sync { // r->state
    StatefulSetController *self;
    PodOwner owner;
    Value *set;
    Selector *selector;
    int64_t first, end, min_ready_seconds; // ordinals: first <= ordinal < end
    bool ordered, deleting;
    Revisions revisions;
    const Revision *current, *update;
    Numbered *members; // by ordinal
    size_t n_members;
    int64_t wait_ns; // until one more becomes available; 0: none will
    // The plan.
    ClaimPlan claims;
    int64_t *create;
    const PodFacts **deletions;
    size_t n_create, n_delete;
    bool retry;
    Value *status;
    Str *live; // names of revisions that pods have
    size_t n_live;
} Sync;

static int64_t now_of(const Sync *sync) {
    return loop_wall(sync->self->base.loop);
}

static Str revision_of(const PodFacts *pod) {
    return str_map_get(&pod->labels, STR("controller-revision-hash"));
}

static bool is_set_to(const Sync *sync, const char *path, Str value) {
    return str_eq(value_string_at(sync->set, path), value);
}

// ---- events

static void record_pod(const PodOwner *owner, const char *verb, Str pod, const char *error) {
    bool creates = verb[0] == 'c';
    if (error)
        pod_owner_event(owner, "Warning", creates ? "FailedCreate" : "FailedDelete",
                        arena_printf(owner->reconcile->arena,
                                     "%s Pod %.*s in StatefulSet %.*s failed error: %s", verb,
                                     STR_ARG(pod), STR_ARG(owner->reconcile->name), error));
    else
        pod_owner_event(owner, "Normal", creates ? "SuccessfulCreate" : "SuccessfulDelete",
                        arena_printf(owner->reconcile->arena,
                                     "%s Pod %.*s in StatefulSet %.*s successful", verb,
                                     STR_ARG(pod), STR_ARG(owner->reconcile->name)));
}

static void record_claim(const PodOwner *owner, const char *verb, Str claim, Str pod,
                         const char *error) {
    if (error)
        pod_owner_event(
            owner, "Warning", "FailedCreate",
            arena_printf(owner->reconcile->arena,
                         "%s Claim %.*s for Pod %.*s in StatefulSet %.*s failed error: %s", verb,
                         STR_ARG(claim), STR_ARG(pod), STR_ARG(owner->reconcile->name), error));
    else
        pod_owner_event(owner, "Normal", "SuccessfulCreate",
                        arena_printf(owner->reconcile->arena,
                                     "%s Claim %.*s Pod %.*s in StatefulSet %.*s success", verb,
                                     STR_ARG(claim), STR_ARG(pod),
                                     STR_ARG(owner->reconcile->name)));
}

static void record_recreation(Sync *sync, const PodFacts *pod) {
    const Reconcile *r = sync->owner.reconcile;
    bool failed = pod->phase == POD_FAILED;
    pod_owner_event(&sync->owner, failed ? "Warning" : "Normal",
                    failed ? "RecreatingFailedPod" : "RecreatingTerminatedPod",
                    arena_printf(sync->owner.reconcile->arena,
                                 "StatefulSet %.*s/%.*s is recreating %s Pod %.*s",
                                 STR_ARG(r->namespace_), STR_ARG(r->name),
                                 failed ? "failed" : "terminated", STR_ARG(pod->name)));
}

// ---- reading

static void read_pod(void *user, const PodFacts *pod) {
    Sync *sync = user;
    int64_t ordinal = stateful_ordinal(sync->owner.reconcile->name, pod->name), wait;
    if (ordinal < 0 || !pod_matches(sync->selector, pod))
        return;
    Numbered *member = &sync->members[sync->n_members++];
    *member = (Numbered){.ordinal = ordinal, .pod = pod};
    bool available =
        pod_facts_available(pod, (int32_t)sync->min_ready_seconds, now_of(sync), &wait);
    member->healthy = pod->phase == POD_RUNNING && pod->ready && !pod->deleting;
    member->available = member->healthy && available;
    member->old = !str_eq(revision_of(pod), sync->update->name);
    if (wait && (!sync->wait_ns || wait < sync->wait_ns))
        sync->wait_ns = wait;
}

static int by_ordinal(const void *left, const void *right) {
    const Numbered *a = left, *b = right;
    return a->ordinal < b->ordinal ? -1 : a->ordinal > b->ordinal;
}

static void read_pods(Sync *sync) {
    Arena *arena = sync->owner.reconcile->arena;
    const OwnedPods *pods = sync->self->control.pods;
    size_t n = owned_pods_count(pods, sync->owner.uid) + 1;
    sync->members = arena_array_of(arena, Numbered, n);
    sync->deletions = arena_array_of(arena, const PodFacts *, n);
    sync->create = arena_array_of(arena, int64_t, BURST);
    owned_pods_each(pods, sync->owner.uid, read_pod, sync);
    qsort(sync->members, sync->n_members, sizeof *sync->members, by_ordinal);
}

static bool is_wanted(const Sync *sync, const Numbered *member) {
    return member->ordinal >= sync->first && member->ordinal < sync->end;
}

// ---- the plan; each part says whether the next may follow

static void plan_deletion(Sync *sync, const PodFacts *pod) {
    if (sync->n_delete < BURST)
        sync->deletions[sync->n_delete++] = pod;
}

static bool plan_creation(Sync *sync, int64_t ordinal) {
    if (!claim_plan_pod(&sync->claims, ordinal, NULL, true, false)) {
        sync->retry = true; // once the old claim is gone
        return !sync->ordered;
    }
    sync->create[sync->n_create++] = ordinal;
    return !sync->ordered;
}

static bool plan_member(Sync *sync, const Numbered *member) {
    const PodFacts *pod = member->pod;
    if (pod->phase >= POD_SUCCEEDED) {
        if (!pod->deleting) {
            record_recreation(sync, pod);
            plan_deletion(sync, pod);
        }
        return !sync->ordered;
    }
    bool lacks = pod->phase == POD_PENDING && !pod->deleting;
    claim_plan_pod(&sync->claims, member->ordinal, pod, lacks, false);
    claim_plan_labels(&sync->claims, member->ordinal, pod);
    return member->available || !sync->ordered;
}

static bool plan_wanted(Sync *sync) {
    size_t at = 0;
    while (at < sync->n_members && sync->members[at].ordinal < sync->first)
        at++;
    for (int64_t ordinal = sync->first; ordinal < sync->end; ordinal++) {
        bool there = at < sync->n_members && sync->members[at].ordinal == ordinal;
        if (!there && sync->n_create == BURST)
            return false;
        if (there ? !plan_member(sync, &sync->members[at++]) : !plan_creation(sync, ordinal))
            return false;
    }
    return true;
}

// Those beyond the number of replicas, from the highest on. In order: one at a time, and none above
// one that is not well, unless it is that one itself.
static bool plan_unwanted(Sync *sync) {
    const Numbered *unwell = NULL;
    for (size_t i = 0; i < sync->n_members && !unwell; i++)
        if (!is_wanted(sync, &sync->members[i]) && !sync->members[i].healthy)
            unwell = &sync->members[i];
    for (size_t i = sync->n_members; i-- > 0;) {
        const Numbered *member = &sync->members[i];
        if (is_wanted(sync, member))
            continue;
        if (sync->ordered && (member->pod->deleting || (!member->available && member != unwell)))
            return false;
        if (member->pod->deleting)
            continue;
        claim_plan_pod(&sync->claims, member->ordinal, member->pod, false, true);
        plan_deletion(sync, member->pod);
        if (sync->ordered)
            return false;
    }
    return true;
}

static void plan_update(Sync *sync) {
    if (!is_set_to(sync, "spec.updateStrategy.type", STR("RollingUpdate")))
        return;
    const Value *rolling = value_at(sync->set, "spec.updateStrategy.rollingUpdate");
    int64_t from = sync->first + value_int_at(rolling, "partition", 0);
    int64_t budget = int_or_percent(value_get(rolling, STR("maxUnavailable")),
                                    sync->end - sync->first, false, 1);
    int64_t available = 0;
    for (size_t i = 0; i < sync->n_members; i++)
        available += is_wanted(sync, &sync->members[i]) && sync->members[i].available;
    budget = (budget < 1 ? 1 : budget) - (sync->end - sync->first - available);
    for (size_t i = sync->n_members; i-- > 0;) {
        const Numbered *member = &sync->members[i];
        if (!is_wanted(sync, member) || member->ordinal < from || !member->old ||
            member->pod->deleting || member->pod->phase >= POD_SUCCEEDED)
            continue;
        if (member->available && budget-- <= 0)
            continue; // those that serve nobody below it go all the same
        plan_deletion(sync, member->pod);
    }
}

// ---- status

static void set_count(Sync *sync, const char *key, int64_t number) {
    if (number)
        value_set_int(sync->owner.reconcile->arena, sync->status, str_from(key), number);
}

static void make_status(Sync *sync) {
    Arena *arena = sync->owner.reconcile->arena;
    int64_t ready = 0, available = 0, current = 0, updated = 0;
    int64_t replicas = (int64_t)sync->n_members, wanted = sync->end - sync->first;
    for (size_t i = 0; i < sync->n_members; i++) {
        const PodFacts *pod = sync->members[i].pod;
        ready += pod->phase == POD_RUNNING && pod->ready;
        available += pod->phase == POD_RUNNING &&
                     pod_facts_available(pod, (int32_t)sync->min_ready_seconds, now_of(sync), NULL);
        current += !pod->deleting && str_eq(revision_of(pod), sync->current->name);
        updated += !pod->deleting && !sync->members[i].old;
    }
    bool rolling = is_set_to(sync, "spec.updateStrategy.type", STR("RollingUpdate"));
    if (rolling && updated == wanted && ready == wanted && replicas == wanted) {
        sync->current = sync->update; // completeRollingUpdate
        current = updated;
    }
    sync->status = value_new_object(arena);
    value_set_int(arena, sync->status, STR("replicas"), replicas);
    value_set_int(arena, sync->status, STR("availableReplicas"), available);
    value_set_int(arena, sync->status, STR("collisionCount"),
                  value_int_at(sync->set, "status.collisionCount", 0));
    value_set_str(arena, sync->status, STR("currentRevision"), sync->current->name);
    value_set_str(arena, sync->status, STR("updateRevision"), sync->update->name);
    set_count(sync, "observedGeneration", value_int_at(sync->set, "metadata.generation", 0));
    set_count(sync, "readyReplicas", ready);
    set_count(sync, "currentReplicas", current);
    set_count(sync, "updatedReplicas", updated);
    Value *conditions = value_at(sync->set, "status.conditions");
    if (conditions && conditions->n)
        value_set(arena, sync->status, STR("conditions"), conditions);
}

static bool is_live(void *user, const Revision *revision) {
    const Sync *sync = user;
    bool live = revision == sync->current;
    for (size_t i = 0; !live && i < sync->n_live; i++)
        live = str_eq(sync->live[i], revision->name);
    return live;
}

// Pods may change while calls are under way, so what they have is noted before.
static void note_live(Sync *sync) {
    Arena *arena = sync->owner.reconcile->arena;
    sync->live = arena_array_of(arena, Str, sync->n_members + 1);
    for (size_t i = 0; i < sync->n_members; i++) {
        Str name = revision_of(sync->members[i].pod);
        if (!sync->n_live || !str_eq(sync->live[sync->n_live - 1], name))
            sync->live[sync->n_live++] = arena_str(arena, name);
    }
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

static void update_status(Reconcile *r) {
    Sync *sync = r->state;
    reconcile_write_status(r, kinds_resource_apps_v1_statefulsets(), sync->set, sync->status, end);
}

// ---- carrying it out

static void on_pods_deleted(void *user, const PodOutcome *outcome) {
    Reconcile *r = user;
    ((Sync *)r->state)->retry |= outcome->message.ptr != NULL;
    update_status(r);
}

static void delete_pods(Reconcile *r) {
    Sync *sync = r->state;
    if (sync->n_delete)
        pods_delete(&sync->owner, sync->deletions, sync->n_delete, on_pods_deleted, r);
    else
        update_status(r);
}

static void on_pods_created(void *user, const PodOutcome *outcome) {
    Reconcile *r = user;
    ((Sync *)r->state)->retry |= outcome->message.ptr != NULL;
    delete_pods(r);
}

static Str pod_body(void *user, size_t i) {
    Reconcile *r = user;
    Sync *sync = r->state;
    int64_t ordinal = sync->create[i];
    int64_t partition = value_int_at(sync->set, "spec.updateStrategy.rollingUpdate.partition", 0);
    bool rolling = is_set_to(sync, "spec.updateStrategy.type", STR("RollingUpdate"));
    bool current = rolling && ordinal < sync->first + partition && sync->current->template;
    const Revision *revision = current ? sync->current : sync->update;
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(stateful_pod(&sync->owner, revision->template, ordinal, revision->name),
                     &body);
    return arena_str(r->arena, buf_view(&body));
}

static void on_claims(void *user) {
    Reconcile *r = user;
    Sync *sync = r->state;
    if (sync->claims.failed) {
        sync->retry = true;
        update_status(r);
    } else if (sync->n_create) {
        pods_create(&sync->owner, sync->n_create, pod_body, on_pods_created, r);
    } else {
        delete_pods(r);
    }
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

static void manage(Reconcile *r) {
    Sync *sync = r->state;
    sync->update = sync->revisions.update;
    sync->current =
        revisions_find(&sync->revisions, value_string_at(sync->set, "status.currentRevision"));
    if (!sync->current)
        sync->current = sync->update;
    read_pods(sync);
    note_live(sync);
    make_status(sync);
    if (!sync->deleting && plan_wanted(sync) && plan_unwanted(sync))
        plan_update(sync);
    keep_deletions(sync);
    claim_plan_run(&sync->claims, on_claims, r);
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

static void read_set(Reconcile *r, Sync *sync) {
    Value *set = sync->set;
    sync->owner = (PodOwner){.control = &sync->self->control,
                             .reconcile = r,
                             .resource = kinds_resource_apps_v1_statefulsets(),
                             .uid = value_string_at(set, "metadata.uid"),
                             .object = set};
    sync->claims =
        (ClaimPlan){.owner = &sync->owner, .claims = sync->self->claims, .record = record_claim};
    sync->first = value_int_at(set, "spec.ordinals.start", 0);
    sync->end = sync->first + value_int_at(set, "spec.replicas", 1);
    sync->min_ready_seconds = value_int_at(set, "spec.minReadySeconds", 0);
    sync->ordered = !is_set_to(sync, "spec.podManagementPolicy", STR("Parallel"));
    sync->deleting = value_string_at(set, "metadata.deletionTimestamp").len > 0;
}

static void reconcile(Reconcile *r) {
    StatefulSetController *self = (StatefulSetController *)r->controller;
    Sync *sync = arena_new_of(r->arena, Sync);
    sync->self = self;
    sync->set = set_of(r->arena, informer_get(self->sets, r->namespace_, r->name));
    sync->selector = sync->set ? selector_of(r->arena, sync->set) : NULL;
    if (!sync->selector || selector_is_everything(sync->selector)) {
        reconcile_done(r, false); // gone, or one that would claim every pod
        return;
    }
    r->state = sync;
    read_set(r, sync);
    if (!pod_control_is_settled(&sync->owner)) {
        controller_enqueue_after(&self->base, r->namespace_, r->name, 300 * NSEC_PER_SEC);
        reconcile_done(r, false);
        return;
    }
    if (pods_claim(&sync->owner, sync->selector, sync->deleting, on_claimed, r))
        return;
    if (history_sync(&self->history, &sync->owner, sync->selector, &sync->revisions))
        manage(r);
}

// ---- what brings them in

static void on_set(void *user, const InformerObject *old, const InformerObject *now) {
    StatefulSetController *self = user;
    if (old && (!now || !str_eq(old->uid, now->uid)))
        pod_control_forget(&self->control, old->uid);
    if (now)
        controller_enqueue(&self->base, now->namespace_, now->name);
}

// The one set whose pod it can be is in its name.
static void on_orphan(Controller *controller, const PodFacts *pod) {
    StatefulSetController *self = (StatefulSetController *)controller;
    ptrdiff_t dash = str_find_last(pod->name, '-');
    if (dash <= 0)
        return;
    Str name = str_slice(pod->name, 0, (size_t)dash);
    if (stateful_ordinal(name, pod->name) >= 0 && informer_get(self->sets, pod->namespace_, name))
        controller_enqueue(controller, pod->namespace_, name);
}

static bool may_own(const PodOwner *owner, const PodFacts *pod) {
    return stateful_ordinal(owner->reconcile->name, pod->name) >= 0;
}

static void stop(Controller *controller) {
    StatefulSetController *self = (StatefulSetController *)controller;
    pod_control_deinit(&self->control);
    free(self);
}

Controller *stateful_set_controller_start(Controllers *all) {
    static const InformerHandler handler = {.on_change = on_set};
    const Resource *resource = kinds_resource_apps_v1_statefulsets();
    StatefulSetController *self = memory_new(StatefulSetController);
    controller_init(&self->base, all, "statefulset-controller", 5, reconcile, stop);
    self->sets = controller_informer(&self->base, resource, STR(""));
    self->claims =
        controller_informer(&self->base, kinds_resource_core_v1_persistentvolumeclaims(), STR(""));
    history_init(&self->history, &self->base, resource);
    pod_control_init(&self->control, &self->base, resource, "statefulset-controller", on_orphan);
    self->control.record = record_pod;
    self->control.may_own = may_own;
    informer_add_handler(self->sets, &handler, self);
    return &self->base;
}
