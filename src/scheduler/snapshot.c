#include "scheduler/snapshot.h"

#include <assert.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"
#include "base/memory.h"

Snapshot *snapshot_new(void) {
    Snapshot *snapshot = memory_new(Snapshot);
    snapshot->by_name = map_new();
    snapshot->pods = map_new();
    return snapshot;
}

static NodeInfo *node_info(Snapshot *snapshot, Str name) {
    NodeInfo *info = map_get(snapshot->by_name, name);
    if (info)
        return info;
    info = memory_zalloc(sizeof *info + name.len);
    memcpy(info + 1, name.ptr, name.len);
    info->name = str_of(info + 1, name.len);
    list_init(&info->pods);
    map_put(snapshot->by_name, name, info);
    return info;
}

static void drop_node_object(NodeInfo *info) {
    informer_object_unref(info->object);
    arena_free(info->arena);
    info->object = NULL;
    info->arena = NULL;
    info->node = NULL;
    info->allocatable = (Resources){0};
    info->allowed_pods = 0;
}

static void release(Snapshot *snapshot, NodeInfo *info) {
    if (info->node || info->n_pods)
        return;
    map_remove(snapshot->by_name, info->name);
    assert(info->requested.n_others == 0);
    free(info->requested.others);
    free(info);
}

// Nodes ------------------------------------------------------------------------------------------

static bool is_same_map(const StrMap *a, const StrMap *b) {
    if (a->len != b->len)
        return false;
    for (size_t i = 0; i < a->len; i++) {
        Str other = str_map_get(b, a->keys[i]);
        if (!other.ptr || !str_eq(other, a->values[i]))
            return false;
    }
    return true;
}

static bool has_same_taints(const NodeSpec *a, const NodeSpec *b) {
    if (a->unschedulable != b->unschedulable || a->taints.len != b->taints.len)
        return false;
    for (size_t i = 0; i < a->taints.len; i++) {
        const Taint *x = &a->taints.items[i], *y = &b->taints.items[i];
        if (!str_eq(x->key, y->key) || !str_eq(x->value, y->value) || !str_eq(x->effect, y->effect))
            return false;
    }
    return true;
}

static unsigned compare(const Node *old, const Node *now) {
    if (!old)
        return EVENT_NODE_ADDED;
    unsigned events = 0;
    if (!is_same_map(&old->status.allocatable, &now->status.allocatable))
        events |= EVENT_NODE_ALLOCATABLE;
    if (!is_same_map(&old->metadata.labels, &now->metadata.labels))
        events |= EVENT_NODE_LABELS;
    if (!has_same_taints(&old->spec, &now->spec))
        events |= EVENT_NODE_TAINTS;
    return events;
}

static void push_node(Snapshot *snapshot, NodeInfo *info) {
    if (snapshot->n_nodes == snapshot->capacity) {
        snapshot->capacity = snapshot->capacity ? 2 * snapshot->capacity : 4;
        snapshot->nodes =
            memory_resize_array(snapshot->nodes, snapshot->capacity, sizeof *snapshot->nodes);
    }
    info->index = snapshot->n_nodes;
    snapshot->nodes[snapshot->n_nodes++] = info;
}

unsigned snapshot_set_node(Snapshot *snapshot, const InformerObject *object) {
    Arena *arena = arena_new();
    Node *node = arena_new_of(arena, Node);
    if (typed_from_json(arena, kinds_type_Node(), bytes_str(object->bytes), node) != 0) {
        arena_free(arena); // the API server serves no such thing
        return 0;
    }
    NodeInfo *info = node_info(snapshot, object->name);
    unsigned events = compare(info->node, node);
    if (info->node && !events) {
        arena_free(arena);
        return 0;
    }
    if (!info->node)
        push_node(snapshot, info);
    drop_node_object(info);
    info->object = informer_object_ref(object);
    info->arena = arena;
    info->node = node;
    info->allocatable = resources_of(arena, &node->status.allocatable);
    info->allowed_pods = resources_other(&info->allocatable, STR("pods"));
    return events;
}

void snapshot_remove_node(Snapshot *snapshot, Str name) {
    NodeInfo *info = map_get(snapshot->by_name, name);
    if (!info || !info->node)
        return;
    NodeInfo *last = snapshot->nodes[--snapshot->n_nodes];
    last->index = info->index;
    snapshot->nodes[info->index] = last;
    drop_node_object(info);
    release(snapshot, info);
}

const NodeInfo *snapshot_node(const Snapshot *snapshot, Str name) {
    const NodeInfo *info = map_get(snapshot->by_name, name);
    return info && info->node ? info : NULL;
}

// Pods -------------------------------------------------------------------------------------------

static void count_other(Resources *sum, Str name, Amount change) {
    size_t i = 0;
    while (i < sum->n_others && !str_eq(sum->others[i].name, name))
        i++;
    if (i == sum->n_others) {
        sum->others = memory_resize_array(sum->others, ++sum->n_others, sizeof *sum->others);
        char *copy = memory_alloc(name.len);
        memcpy(copy, name.ptr, name.len);
        sum->others[i] = (NamedAmount){str_of(copy, name.len), 0};
    }
    sum->others[i].amount += change;
    if (sum->others[i].amount == 0) {
        free((char *)sum->others[i].name.ptr);
        sum->others[i] = sum->others[--sum->n_others];
    }
}

static void count(NodeInfo *info, const Demand *demand, int sign) {
    const Resources *requests = &demand->requests;
    info->requested.milli_cpu += sign * requests->milli_cpu;
    info->requested.memory += sign * requests->memory;
    info->requested.ephemeral_storage += sign * requests->ephemeral_storage;
    for (size_t i = 0; i < requests->n_others; i++)
        count_other(&info->requested, requests->others[i].name, sign * requests->others[i].amount);
    info->scored_milli_cpu += sign * demand->scored_milli_cpu;
    info->scored_memory += sign * demand->scored_memory;
    info->n_pods = sign > 0 ? info->n_pods + 1 : info->n_pods - 1;
}

static void remove_pod(Snapshot *snapshot, AssignedPod *pod) {
    NodeInfo *info = pod->node;
    map_remove(snapshot->pods, pod->key);
    list_remove(&pod->link);
    count(info, pod->demand, -1);
    free(pod->demand);
    free(pod);
    release(snapshot, info);
}

void snapshot_set_pod(Snapshot *snapshot, Str key, Str uid, Str node, const Demand *demand,
                      bool assumed) {
    AssignedPod *old = map_get(snapshot->pods, key);
    AssignedPod *pod = memory_zalloc(sizeof *pod + key.len + uid.len);
    memcpy(pod->text, key.ptr, key.len);
    if (uid.len)
        memcpy(pod->text + key.len, uid.ptr, uid.len);
    pod->key = str_of(pod->text, key.len);
    pod->uid = str_of(pod->text + key.len, uid.len);
    pod->assumed = assumed;
    pod->demand = demand_copy(demand);
    pod->node = node_info(snapshot, node);
    list_append(&pod->node->pods, &pod->link);
    count(pod->node, pod->demand, 1);
    if (old)
        remove_pod(snapshot, old);
    map_put(snapshot->pods, pod->key, pod);
}

const AssignedPod *snapshot_pod(const Snapshot *snapshot, Str key) {
    return map_get(snapshot->pods, key);
}

bool snapshot_remove_pod(Snapshot *snapshot, Str key) {
    AssignedPod *pod = map_get(snapshot->pods, key);
    if (!pod)
        return false;
    remove_pod(snapshot, pod);
    return true;
}

void snapshot_free(Snapshot *snapshot) {
    if (!snapshot)
        return;
    MapIter pods = {0};
    while (map_next(snapshot->pods, &pods))
        remove_pod(snapshot, pods.value);
    while (snapshot->n_nodes)
        snapshot_remove_node(snapshot, snapshot->nodes[0]->name);
    assert(map_count(snapshot->by_name) == 0);
    map_free(snapshot->by_name);
    map_free(snapshot->pods);
    free(snapshot->nodes);
    free(snapshot);
}
