#pragma once
// One scheduling cycle: which node takes this pod, or why none does. The plugins of
// plugins/plugins.h decide; nothing here waits or talks to anybody.
// https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/

#include "base/loop.h"
#include "scheduler/snapshot.h"

typedef struct Reason {
    Str text;
    size_t n_nodes;
} Reason;

typedef struct Cycle {
    Arena *arena;
    Loop *loop; // for its random numbers
    Snapshot *snapshot;
    const Pod *pod;
    Demand demand;
    // Set by a pre-filter: the only nodes that come into question (when `is_restricted`).
    bool is_restricted;
    Str *only_nodes;
    size_t n_only_nodes;
    // Why nodes were refused, and by how many.
    Reason *reasons;
    size_t n_reasons;
} Cycle;

typedef struct CycleResult {
    const NodeInfo *node; // NULL: none fits
    Str message;          // then, as kube-scheduler words it
    unsigned wake_on;     // EVENT_* that could change it
} CycleResult;

// `cycle` has arena, loop, snapshot, pod and demand set.
CycleResult cycle_run(Cycle *cycle);
// By filters: another node that is refused for this reason.
void cycle_reject(Cycle *cycle, Str reason);
