// ReplicaSets and ReplicationControllers: a number of pods that are all alike. They differ in their
// group and in how the selector is written.
// https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/
// (pkg/controller/replicaset upstream)

#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"
#include "base/time.h"
#include "controllers/pod_control.h"

#define BURST 500 // pods made or deleted by one reconcile

typedef struct Kind {
    const Resource *(*resource)(void);
    const char *account, *component;
    bool plain_selector; // a map of labels
    bool counts_terminating;
} Kind;

static const Kind replica_sets = {kinds_resource_apps_v1_replicasets, "replicaset-controller",
                                  "replicaset-controller", false, true};
static const Kind replication_controllers = {kinds_resource_core_v1_replicationcontrollers,
                                             "replication-controller", "replication-controller",
                                             true, false};

typedef struct ReplicaSetController {
    Controller base;
    const Kind *kind;
    Informer *sets;
    InformerIndex *by_controller; // UID of what controls them (a Deployment)
    PodControl control;
} ReplicaSetController;

typedef struct Sync { // r->state
    ReplicaSetController *self;
    PodOwner owner;
    Value *set;
    Selector *selector;
    int32_t replicas, min_ready_seconds;
    bool deleting;
    // What there is.
    const PodFacts **active; // valid until the first call
    size_t n_active;
    int64_t labelled, ready, available, terminating;
    int64_t wait_ns;    // until one more becomes available; 0: none will
    Str body;           // of a new pod
    const char *failed; // the reason of condition ReplicaFailure
    PodOutcome outcome;
} Sync;

// ---- reading

static Selector *selector_of(Arena *arena, const Kind *kind, const Value *set) {
    const Value *given = value_at(set, "spec.selector");
    Selector *selector;
    Str message;
    if (kind->plain_selector)
        return given && given->n ? selector_from_map(arena, given) : NULL;
    return selector_from_value(arena, given, &selector, &message) == 0 ? selector : NULL;
}

static Value *set_of(Arena *arena, const InformerObject *object) {
    Value *set;
    ParseError error;
    if (!object || value_parse_json(arena, arena_str(arena, bytes_str(object->bytes)), NULL, &set,
                                    &error) != 0)
        return NULL;
    return set;
}

static bool has_labels(const StrMap *labels, const Value *wanted) {
    for (uint32_t i = 0; wanted && i < wanted->n; i++) {
        Str value = str_map_get(labels, wanted->members[i].key);
        if (!value.ptr || !str_eq(value, wanted->members[i].value->string))
            return false;
    }
    return true;
}

static void count(void *user, const PodFacts *pod) {
    Sync *sync = user;
    if (pod->deleting && pod->phase < POD_SUCCEEDED)
        sync->terminating++;
    if (!pod_facts_active(pod) || !pod_matches(sync->selector, pod))
        return;
    int64_t wait;
    sync->active[sync->n_active++] = pod;
    sync->labelled +=
        has_labels(&pod->labels, value_at(sync->set, "spec.template.metadata.labels"));
    sync->ready += pod->ready;
    sync->available +=
        pod_facts_available(pod, sync->min_ready_seconds, loop_wall(sync->self->base.loop), &wait);
    if (wait && (!sync->wait_ns || wait < sync->wait_ns))
        sync->wait_ns = wait;
}

// ---- which pods go first (controller.ActivePodsWithRanks)

typedef struct Ranked {
    const PodFacts *pod;
    size_t rank; // how many related pods share its node
    int64_t now;
} Ranked;

// Ages are compared by their order of magnitude, so that among pods of much the same age the choice
// is as good as random (KEP-2185).
static int age_order(int64_t since, int64_t now) {
    int64_t age = now - since;
    return age <= 0 ? -1 : 63 - __builtin_clzll((unsigned long long)age);
}

static int by_age(const Ranked *a, const Ranked *b, int64_t since_a, int64_t since_b) {
    int order = age_order(since_a, a->now) - age_order(since_b, a->now);
    return order ? order : str_cmp(a->pod->uid, b->pod->uid);
}

static int compare(const void *left, const void *right) {
    static const int phases[] = {[POD_PENDING] = 0, [POD_UNKNOWN] = 1, [POD_RUNNING] = 2};
    const Ranked *a = left, *b = right;
    if (!a->pod->node_name.len != !b->pod->node_name.len)
        return a->pod->node_name.len ? 1 : -1;
    if (a->pod->phase != b->pod->phase)
        return phases[a->pod->phase] - phases[b->pod->phase];
    if (a->pod->ready != b->pod->ready)
        return a->pod->ready ? 1 : -1;
    if (a->pod->deletion_cost != b->pod->deletion_cost)
        return a->pod->deletion_cost < b->pod->deletion_cost ? -1 : 1;
    if (a->rank != b->rank)
        return a->rank > b->rank ? -1 : 1;
    if (a->pod->ready && a->pod->ready_since != b->pod->ready_since)
        return by_age(a, b, a->pod->ready_since, b->pod->ready_since);
    if (a->pod->restarts != b->pod->restarts)
        return a->pod->restarts > b->pod->restarts ? -1 : 1;
    if (a->pod->created != b->pod->created)
        return by_age(a, b, a->pod->created, b->pod->created);
    return str_cmp(a->pod->uid, b->pod->uid);
}

typedef struct Neighbours {
    Map *by_node; // node name -> count, as a pointer's value
    const OwnedPods *pods;
} Neighbours;

static void count_neighbour(void *user, const PodFacts *pod) {
    Neighbours *neighbours = user;
    if (!pod_facts_active(pod) || !pod->node_name.len)
        return;
    uintptr_t n = (uintptr_t)map_get(neighbours->by_node, pod->node_name);
    map_put(neighbours->by_node, pod->node_name, (void *)(n + 1));
}

static void count_related(void *user, const InformerObject *set) {
    Neighbours *neighbours = user;
    owned_pods_each(neighbours->pods, set->uid, count_neighbour, neighbours);
}

static Str controller_uid(const Value *set) {
    const Value *owners = value_at(set, "metadata.ownerReferences");
    for (uint32_t i = 0; owners && i < owners->n; i++)
        if (value_bool_at(owners->items[i], "controller", false))
            return value_string_at(owners->items[i], "uid");
    return STR_NONE;
}

// Puts those first that are best given up.
static void rank(Sync *sync) {
    ReplicaSetController *self = sync->self;
    Arena *arena = sync->owner.reconcile->arena;
    _map_free_ Map *by_node = map_new();
    Neighbours neighbours = {by_node, self->control.pods};
    Str controller = controller_uid(sync->set);
    if (controller.len)
        informer_index_each(self->by_controller, controller, count_related, &neighbours);
    else
        owned_pods_each(self->control.pods, sync->owner.uid, count_neighbour, &neighbours);
    Ranked *ranked = arena_array_of(arena, Ranked, sync->n_active);
    int64_t now = loop_wall(self->base.loop);
    for (size_t i = 0; i < sync->n_active; i++)
        ranked[i] =
            (Ranked){sync->active[i], (uintptr_t)map_get(by_node, sync->active[i]->node_name), now};
    qsort(ranked, sync->n_active, sizeof *ranked, compare);
    for (size_t i = 0; i < sync->n_active; i++)
        sync->active[i] = ranked[i].pod;
}

// ---- status

static void end(Reconcile *r) {
    Sync *sync = r->state;
    if (sync->wait_ns)
        controller_enqueue_after(r->controller, r->namespace_, r->name, sync->wait_ns);
    reconcile_done(r, sync->failed != NULL);
}

static Value *condition_of(Sync *sync, const Value *old) {
    Arena *arena = sync->owner.reconcile->arena;
    Value *condition = value_new_object(arena);
    Str since = value_string_at(old, "lastTransitionTime");
    value_set_str(arena, condition, STR("type"), STR("ReplicaFailure"));
    value_set_str(arena, condition, STR("status"), STR("True"));
    if (!old)
        since = time_format(arena, loop_wall(sync->self->base.loop));
    value_set_str(arena, condition, STR("lastTransitionTime"), since);
    value_set_str(arena, condition, STR("reason"), str_from(sync->failed));
    value_set_str(arena, condition, STR("message"), sync->outcome.message);
    return condition;
}

static Value *conditions_of(Sync *sync, const Value *old) {
    Arena *arena = sync->owner.reconcile->arena;
    Value *conditions = value_new_array(arena);
    const Value *failure = NULL;
    for (uint32_t i = 0; old && i < old->n; i++) {
        if (str_eq(value_string_at(old->items[i], "type"), STR("ReplicaFailure")))
            failure = old->items[i];
        else
            value_push(arena, conditions, old->items[i]);
    }
    if (sync->failed)
        value_push(arena, conditions, condition_of(sync, failure));
    return conditions;
}

static void set_count(Arena *arena, Value *status, Str key, int64_t number) {
    if (number)
        value_set_int(arena, status, key, number);
}

static Value *status_of(Sync *sync) {
    Arena *arena = sync->owner.reconcile->arena;
    Value *status = value_new_object(arena);
    value_set_int(arena, status, STR("replicas"), (int64_t)sync->n_active);
    set_count(arena, status, STR("fullyLabeledReplicas"), sync->labelled);
    set_count(arena, status, STR("readyReplicas"), sync->ready);
    set_count(arena, status, STR("availableReplicas"), sync->available);
    if (sync->self->kind->counts_terminating)
        value_set_int(arena, status, STR("terminatingReplicas"), sync->terminating);
    set_count(arena, status, STR("observedGeneration"),
              value_int_at(sync->set, "metadata.generation", 0));
    Value *conditions = conditions_of(sync, value_at(sync->set, "status.conditions"));
    if (conditions->n)
        value_set(arena, status, STR("conditions"), conditions);
    return status;
}

static void update_status(Reconcile *r) {
    Sync *sync = r->state;
    reconcile_write_status(r, sync->self->kind->resource(), sync->set, status_of(sync), end);
}

// ---- pods

static void on_pods(void *user, const PodOutcome *outcome) {
    Reconcile *r = user;
    Sync *sync = r->state;
    sync->outcome = *outcome;
    if (!outcome->message.ptr)
        sync->failed = NULL;
    update_status(r);
}

static Str pod_body(void *user, size_t i) {
    return ((Sync *)((Reconcile *)user)->state)->body;
}

static void create(Reconcile *r, size_t n) {
    Sync *sync = r->state;
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(pod_from_template(&sync->owner, value_at(sync->set, "spec.template")), &body);
    sync->body = arena_str(r->arena, buf_view(&body));
    sync->failed = "FailedCreate";
    pods_create(&sync->owner, n, pod_body, on_pods, r);
}

static void manage(Reconcile *r) {
    Sync *sync = r->state;
    size_t wanted = (size_t)sync->replicas;
    if (sync->n_active < wanted) {
        size_t n = wanted - sync->n_active;
        create(r, n < BURST ? n : BURST);
    } else if (sync->n_active > wanted) {
        size_t n = sync->n_active - wanted;
        rank(sync);
        sync->failed = "FailedDelete";
        pods_delete(&sync->owner, sync->active, n < BURST ? n : BURST, on_pods, r);
    } else {
        update_status(r);
    }
}

static void on_claimed(void *user, const PodOutcome *outcome) {
    reconcile_done(user, outcome->message.ptr != NULL); // what was claimed comes as a change
}

static void reconcile(Reconcile *r) {
    ReplicaSetController *self = (ReplicaSetController *)r->controller;
    Value *set = set_of(r->arena, informer_get(self->sets, r->namespace_, r->name));
    Sync *sync = arena_new_of(r->arena, Sync);
    sync->selector = set ? selector_of(r->arena, self->kind, set) : NULL;
    if (!sync->selector || selector_is_everything(sync->selector)) {
        reconcile_done(r, false); // gone, or one that would claim every pod
        return;
    }
    r->state = sync;
    sync->self = self;
    sync->set = set;
    sync->owner = (PodOwner){.control = &self->control,
                             .reconcile = r,
                             .resource = self->kind->resource(),
                             .uid = value_string_at(set, "metadata.uid"),
                             .object = set};
    sync->replicas = (int32_t)value_int_at(set, "spec.replicas", 1);
    sync->min_ready_seconds = (int32_t)value_int_at(set, "spec.minReadySeconds", 0);
    sync->deleting = value_string_at(set, "metadata.deletionTimestamp").len > 0;
    bool settled = pod_control_is_settled(&sync->owner);
    if (settled && pods_claim(&sync->owner, sync->selector, sync->deleting, on_claimed, r))
        return;
    sync->active = arena_array_of(r->arena, const PodFacts *,
                                  owned_pods_count(self->control.pods, sync->owner.uid) + 1);
    owned_pods_each(self->control.pods, sync->owner.uid, count, sync);
    if (!settled)
        controller_enqueue_after(&self->base, r->namespace_, r->name, 300 * NSEC_PER_SEC);
    if (settled && !sync->deleting)
        manage(r);
    else
        update_status(r);
}

// ---- what brings them in

static void on_set(void *user, const InformerObject *old, const InformerObject *now) {
    ReplicaSetController *self = user;
    if (old && (!now || !str_eq(old->uid, now->uid)))
        pod_control_forget(&self->control, old->uid);
    if (now)
        controller_enqueue(&self->base, now->namespace_, now->name);
}

typedef struct Orphan {
    ReplicaSetController *self;
    const PodFacts *pod;
} Orphan;

static void enqueue_if_matching(void *user, const InformerObject *object) {
    const Orphan *orphan = user;
    _arena_free_ Arena *arena = arena_new();
    Value *set = set_of(arena, object);
    const Selector *selector = set ? selector_of(arena, orphan->self->kind, set) : NULL;
    if (selector && pod_matches(selector, orphan->pod))
        controller_enqueue(&orphan->self->base, object->namespace_, object->name);
}

static void on_orphan(Controller *controller, const PodFacts *pod) {
    Orphan orphan = {(ReplicaSetController *)controller, pod};
    informer_each(orphan.self->sets, pod->namespace_, enqueue_if_matching, &orphan);
}

static void index_by_controller(const InformerObject *object, InformerEmit emit, void *emit_user) {
    _arena_free_ Arena *arena = arena_new();
    Value *set = set_of(arena, object);
    Str uid = set ? controller_uid(set) : STR_NONE;
    if (uid.len)
        emit(emit_user, uid);
}

static void stop(Controller *controller) {
    ReplicaSetController *self = (ReplicaSetController *)controller;
    pod_control_deinit(&self->control);
    free(self);
}

static Controller *start(Controllers *all, const Kind *kind) {
    static const InformerHandler handler = {.on_change = on_set};
    ReplicaSetController *self = memory_new(ReplicaSetController);
    self->kind = kind;
    controller_init(&self->base, all, kind->account, 5, reconcile, stop);
    self->sets = controller_informer(&self->base, kind->resource(), STR(""));
    self->by_controller = informer_add_index(self->sets, index_by_controller);
    pod_control_init(&self->control, &self->base, kind->resource(), kind->component, on_orphan);
    informer_add_handler(self->sets, &handler, self);
    return &self->base;
}

Controller *replica_set_controller_start(Controllers *all) {
    return start(all, &replica_sets);
}

Controller *replication_controller_start(Controllers *all) {
    return start(all, &replication_controllers);
}
