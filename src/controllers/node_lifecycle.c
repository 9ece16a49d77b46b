// Node conditions become taints, and a node whose lease is no longer renewed becomes Unknown. A
// renewal counts from when it was seen here, not from the time in it: clocks differ, and after a
// pause of ours every node gets its whole grace period again.
// https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller,
// https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-nodes-by-condition
#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"
#include "base/time.h"
#include "controllers/frame.h"

// kube-controller-manager's --node-monitor-grace-period and --node-startup-grace-period
#define GRACE_PERIOD (50 * NSEC_PER_SEC)
#define STARTUP_GRACE_PERIOD (60 * NSEC_PER_SEC)

typedef struct NodeLifecycleController {
    Controller base;
    Informer *nodes, *leases;
    Map *health; // node name -> Health
    EventRecorder *events;
} NodeLifecycleController;

typedef struct Health {
    int64_t heard;     // loop_now() when the node last gave a sign of life
    int64_t heartbeat; // lastHeartbeatTime of its condition Ready
    bool was_ready;
} Health;

static const struct { // which status of which condition is which taint
    Str condition, status, taint;
} taints_by_condition[] = {
    {STR("Ready"), STR("False"), STR("node.kubernetes.io/not-ready")},
    {STR("Ready"), STR("Unknown"), STR("node.kubernetes.io/unreachable")},
    {STR("MemoryPressure"), STR("True"), STR("node.kubernetes.io/memory-pressure")},
    {STR("DiskPressure"), STR("True"), STR("node.kubernetes.io/disk-pressure")},
    {STR("PIDPressure"), STR("True"), STR("node.kubernetes.io/pid-pressure")},
    {STR("NetworkUnavailable"), STR("True"), STR("node.kubernetes.io/network-unavailable")},
};
#define N_TAINTS (sizeof taints_by_condition / sizeof *taints_by_condition)
#define UNSCHEDULABLE STR("node.kubernetes.io/unschedulable")

static const NodeCondition *condition_of(const Node *node, Str type) {
    for (size_t i = 0; i < node->status.conditions.len; i++)
        if (str_eq(node->status.conditions.items[i].type, type))
            return &node->status.conditions.items[i];
    return NULL;
}

static bool has_condition(const Node *node, Str type, Str status) {
    const NodeCondition *condition = condition_of(node, type);
    return condition && str_eq(condition->status, status);
}

// Whether that NoSchedule taint is this controller's to set or clear, and which it should be.
static bool is_managed(const Node *node, Str key, bool *ret_wanted) {
    if (str_eq(key, UNSCHEDULABLE)) {
        *ret_wanted = node->spec.unschedulable;
        return true;
    }
    for (size_t i = 0; i < N_TAINTS; i++)
        if (str_eq(key, taints_by_condition[i].taint)) {
            *ret_wanted = has_condition(node, taints_by_condition[i].condition,
                                        taints_by_condition[i].status);
            return true;
        }
    return false;
}

static bool has_taint(const Node *node, Str key) {
    for (size_t i = 0; i < node->spec.taints.len; i++)
        if (str_eq(node->spec.taints.items[i].key, key) &&
            str_eq(node->spec.taints.items[i].effect, STR("NoSchedule")))
            return true;
    return false;
}

static void add_taint(Arena *arena, Value *taints, Str key, Str value, Str effect,
                      int64_t time_added) {
    Value *taint = value_new_object(arena);
    value_set_str(arena, taint, STR("key"), key);
    if (value.len)
        value_set_str(arena, taint, STR("value"), value);
    value_set_str(arena, taint, STR("effect"), effect);
    if (time_added)
        value_set_str(arena, taint, STR("timeAdded"), time_format(arena, time_added));
    value_push(arena, taints, taint);
}

// The list as it should be, or NULL when it is already.
static Value *wanted_taints(Arena *arena, const Node *node, int64_t now) {
    Value *taints = value_new_array(arena);
    bool changed = false, wanted;
    for (size_t i = 0; i < node->spec.taints.len; i++) {
        const Taint *taint = &node->spec.taints.items[i];
        if (str_eq(taint->effect, STR("NoSchedule")) && is_managed(node, taint->key, &wanted) &&
            !wanted)
            changed = true;
        else
            add_taint(arena, taints, taint->key, taint->value, taint->effect, taint->time_added);
    }
    for (size_t i = 0; i <= N_TAINTS; i++) {
        Str key = i < N_TAINTS ? taints_by_condition[i].taint : UNSCHEDULABLE;
        if (is_managed(node, key, &wanted) && wanted && !has_taint(node, key)) {
            add_taint(arena, taints, key, STR_NONE, STR("NoSchedule"), now);
            changed = true;
        }
    }
    return changed ? taints : NULL;
}

static void patch(Reconcile *r, Value *object, Str subresource) {
    Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(object, &body);
    ClientTarget target = {
        .resource = kinds_resource_core_v1_nodes(), .name = r->name, .subresource = subresource};
    client_patch(r->controller->client, &target, PATCH_STRATEGIC, buf_view(&body), reconcile_finish,
                 r);
    buf_deinit(&body);
}

static void patch_taints(Reconcile *r, const Node *node, Value *taints) {
    Value *object = value_new_object(r->arena), *spec = value_new_object(r->arena),
          *metadata = value_new_object(r->arena);
    value_set_str(r->arena, metadata, STR("resourceVersion"),
                  node->metadata.resource_version); // the list is replaced whole
    value_set(r->arena, object, STR("metadata"), metadata);
    value_set(r->arena, spec, STR("taints"), taints);
    value_set(r->arena, object, STR("spec"), spec);
    patch(r, object, STR_NONE);
}

static void patch_unknown(Reconcile *r, const Node *node, int64_t now) {
    static const Str types[] = {
        {"Ready", 5}, {"MemoryPressure", 14}, {"DiskPressure", 12}, {"PIDPressure", 11}};
    Value *object = value_new_object(r->arena), *status = value_new_object(r->arena);
    Value *conditions = value_new_array(r->arena);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (has_condition(node, types[i], STR("Unknown")))
            continue;
        bool never = !condition_of(node, types[i]);
        Value *condition = value_new_object(r->arena);
        value_set_str(r->arena, condition, STR("type"), types[i]);
        value_set_str(r->arena, condition, STR("status"), STR("Unknown"));
        value_set_str(r->arena, condition, STR("reason"),
                      never ? STR("NodeStatusNeverUpdated") : STR("NodeStatusUnknown"));
        value_set_str(r->arena, condition, STR("message"),
                      never ? STR("Kubelet never posted node status.")
                            : STR("Kubelet stopped posting node status."));
        if (never)
            value_set_str(r->arena, condition, STR("lastHeartbeatTime"),
                          time_format(r->arena, node->metadata.creation_timestamp));
        value_set_str(r->arena, condition, STR("lastTransitionTime"), time_format(r->arena, now));
        value_push(r->arena, conditions, condition);
    }
    value_set(r->arena, status, STR("conditions"), conditions);
    value_set(r->arena, object, STR("status"), status);
    patch(r, object, STR("status"));
}

static Health *health_of(NodeLifecycleController *self, const Node *node) {
    Health *health = map_get(self->health, node->metadata.name);
    const NodeCondition *ready = condition_of(node, STR("Ready"));
    int64_t heartbeat = ready ? ready->last_heartbeat_time : 0;
    if (health && health->heartbeat == heartbeat)
        return health;
    if (!health) {
        health = memory_new(Health);
        map_put(self->health, node->metadata.name, health);
    }
    health->heartbeat = heartbeat;
    health->heard = loop_now(self->base.loop);
    return health;
}

static void report(NodeLifecycleController *self, Health *health, const Node *node) {
    bool is_ready = has_condition(node, STR("Ready"), STR("True"));
    if (health->was_ready && !is_ready) {
        EventTarget target = {.api_version = STR("v1"),
                              .kind = STR("Node"),
                              .name = node->metadata.name,
                              .uid = node->metadata.uid};
        event_record(self->events, &target, "Normal", "NodeNotReady",
                     "Node %.*s status is now: NodeNotReady", STR_ARG(node->metadata.name));
    }
    health->was_ready = is_ready;
}

static void reconcile(Reconcile *r) {
    NodeLifecycleController *self = (NodeLifecycleController *)r->controller;
    Node *node = reconcile_object(r, self->nodes, STR(""), r->name, kinds_type_Node());
    if (!node) {
        free(map_remove(self->health, r->name));
        reconcile_done(r, false);
        return;
    }
    Health *health = health_of(self, node);
    report(self, health, node);
    int64_t grace = condition_of(node, STR("Ready")) ? GRACE_PERIOD : STARTUP_GRACE_PERIOD;
    int64_t left = health->heard + grace - loop_now(self->base.loop);
    int64_t now = loop_wall(self->base.loop);
    if (left > 0) {
        controller_enqueue_after(&self->base, STR(""), r->name, left);
    } else if (!has_condition(node, STR("Ready"), STR("Unknown"))) {
        patch_unknown(r, node, now); // the taint follows when the change comes back
        return;
    }
    Value *taints = wanted_taints(r->arena, node, now);
    if (taints)
        patch_taints(r, node, taints);
    else
        reconcile_done(r, false);
}

// A sign of life; the timer that runs for the node finds it.
static void on_lease(void *user, const InformerObject *old, const InformerObject *now) {
    NodeLifecycleController *self = user;
    bool is_heartbeat = now && str_eq(now->namespace_, STR("kube-node-lease"));
    Health *health = is_heartbeat ? map_get(self->health, now->name) : NULL;
    if (health)
        health->heard = loop_now(self->base.loop);
}

static void stop(Controller *controller) {
    NodeLifecycleController *self = (NodeLifecycleController *)controller;
    event_recorder_free(self->events);
    MapIter iter = {0};
    while (map_next(self->health, &iter))
        free(iter.value);
    map_free(self->health);
    free(self);
}

Controller *node_lifecycle_controller_start(Controllers *all) {
    static const InformerHandler watch_leases = {.on_change = on_lease};
    NodeLifecycleController *self = memory_new(NodeLifecycleController);
    self->health = map_new();
    controller_init(&self->base, all, "node-controller", 4, reconcile, stop);
    self->events = event_recorder_new(self->base.client, STR("node-controller"), STR_NONE);
    self->nodes = controller_informer(&self->base, kinds_resource_core_v1_nodes(), STR(""));
    self->leases =
        controller_informer(&self->base, kinds_resource_coordination_v1_leases(), STR_NONE);
    informer_add_handler(self->leases, &watch_leases, self);
    controller_follow(&self->base, self->nodes);
    return &self->base;
}
