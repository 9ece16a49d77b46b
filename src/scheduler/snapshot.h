#pragma once
// The nodes and what is on them, kept up to date change by change. Pods that were given a node but
// whose binding is still under way are counted as if they were there ("assumed"), so that the next
// pod sees the room they take.

#include "base/list.h"
#include "base/map.h"
#include "client/informer.h"
#include "scheduler/demand.h"

// What happened, for those who wait for it (Plugin.wakes).
enum {
    EVENT_NODE_ADDED = 1,
    EVENT_NODE_ALLOCATABLE = 2,
    EVENT_NODE_LABELS = 4,
    EVENT_NODE_TAINTS = 8,  // or spec.unschedulable
    EVENT_POD_REMOVED = 16, // an assigned pod went, or its binding failed
};

typedef struct NodeInfo {
    Str name;
    InformerObject *object; // what `node` points into
    Arena *arena;
    const Node *node;      // NULL while pods name a node that is not there
    Resources allocatable; // as are the others' names: in the arena
    Amount allowed_pods;
    Resources requested; // by all pods; entries of `others` own their names
    Amount scored_milli_cpu, scored_memory;
    List pods; // of AssignedPod
    size_t n_pods;
    size_t index; // in Snapshot.nodes while `node` is set
} NodeInfo;

typedef struct AssignedPod {
    ListLink link;
    NodeInfo *node;
    Demand *demand;
    bool assumed; // the API has not said so yet
    Str key, uid;
    char text[];
} AssignedPod;

typedef struct Snapshot {
    NodeInfo **nodes; // those that exist, in no particular order
    size_t n_nodes, capacity;
    size_t next_start; // where the next search begins, so that all nodes are seen in turn
    Map *by_name;      // NodeInfo
    Map *pods;         // "namespace/name" -> AssignedPod
} Snapshot;

Snapshot *snapshot_new(void);
void snapshot_free(Snapshot *snapshot);
// Adds or replaces a node. Returns the EVENT_NODE_* that it amounts to, 0 for a change that no
// decision hangs on (a heartbeat).
unsigned snapshot_set_node(Snapshot *snapshot, const InformerObject *object);
void snapshot_remove_node(Snapshot *snapshot, Str name);
const NodeInfo *snapshot_node(const Snapshot *snapshot, Str name); // NULL unless it exists
// Counts a pod on a node; replaces what was known of the pod of that key.
void snapshot_set_pod(Snapshot *snapshot, Str key, Str uid, Str node, const Demand *demand,
                      bool assumed);
const AssignedPod *snapshot_pod(const Snapshot *snapshot, Str key); // NULL when not on any node
bool snapshot_remove_pod(Snapshot *snapshot, Str key);              // whether it was there
