// Node conditions become taints, and a node whose lease is no longer renewed becomes Unknown.
// https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller,
// https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-nodes-by-condition
#include <assert.h>
#include <stdlib.h>

#include "base/time.h"
#include "controllers/frame.h"

#define GRACE_PERIOD (40 * NSEC_PER_SEC) // kube-controller-manager's --node-monitor-grace-period

typedef struct NodeLifecycleController {
    Controller base;
    Informer *nodes, *leases;
} NodeLifecycleController;

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

static bool has_condition(const Node *node, Str type, Str status) {
    for (size_t i = 0; i < node->status.conditions.len; i++)
        if (str_eq(node->status.conditions.items[i].type, type))
            return str_eq(node->status.conditions.items[i].status, status);
    return false;
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
        Value *condition = value_new_object(r->arena);
        value_set_str(r->arena, condition, STR("type"), types[i]);
        value_set_str(r->arena, condition, STR("status"), STR("Unknown"));
        value_set_str(r->arena, condition, STR("reason"), STR("NodeStatusUnknown"));
        value_set_str(r->arena, condition, STR("message"),
                      STR("Kubelet stopped posting node status."));
        value_set_str(r->arena, condition, STR("lastTransitionTime"), time_format(r->arena, now));
        value_push(r->arena, conditions, condition);
    }
    value_set(r->arena, status, STR("conditions"), conditions);
    value_set(r->arena, object, STR("status"), status);
    patch(r, object, STR("status"));
}

// When the node was last heard of: its lease, or while it has none, its creation.
static int64_t last_heard(Reconcile *r, NodeLifecycleController *self, const Node *node) {
    Lease *lease =
        reconcile_object(r, self->leases, STR("kube-node-lease"), r->name, kinds_type_Lease());
    if (lease && lease->spec.renew_time > node->metadata.creation_timestamp)
        return lease->spec.renew_time;
    return node->metadata.creation_timestamp;
}

static void reconcile(Reconcile *r) {
    NodeLifecycleController *self = (NodeLifecycleController *)r->controller;
    Node *node = reconcile_object(r, self->nodes, STR(""), r->name, kinds_type_Node());
    if (!node) {
        reconcile_done(r, false);
        return;
    }
    int64_t now = loop_wall(self->base.loop), silence = now - last_heard(r, self, node);
    if (silence >= GRACE_PERIOD && !has_condition(node, STR("Ready"), STR("Unknown"))) {
        patch_unknown(r, node, now); // the taint follows when the change comes back
        return;
    }
    if (silence < GRACE_PERIOD)
        controller_enqueue_after(&self->base, STR(""), r->name, GRACE_PERIOD - silence);
    Value *taints = wanted_taints(r->arena, node, now);
    if (taints)
        patch_taints(r, node, taints);
    else
        reconcile_done(r, false);
}

static void stop(Controller *controller) {
    free(controller);
}

Controller *node_lifecycle_controller_start(Controllers *all) {
    NodeLifecycleController *self = calloc(1, sizeof *self);
    assert(self);
    controller_init(&self->base, all, "node-controller", 4, reconcile, stop);
    self->nodes = controller_informer(&self->base, kinds_resource_core_v1_nodes(), STR(""));
    self->leases =
        controller_informer(&self->base, kinds_resource_coordination_v1_leases(), STR_NONE);
    controller_follow(&self->base, self->nodes);
    return &self->base;
}
