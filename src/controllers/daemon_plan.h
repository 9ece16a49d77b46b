#pragma once
// What a DaemonSet lacks on each node or has too many there, and what its update may replace now:
// looks only, writes nothing but events.

#include "base/map.h"
#include "controllers/daemon_nodes.h"

typedef struct DaemonSetController {
    Controller base;
    Informer *sets;
    PodControl control;
    History history;
    Map *nodes;  // name -> DaemonNode
    Map *failed; // "set's UID/node" -> DaemonFailed
} DaemonSetController;

typedef struct DaemonFailed { // pods of a set that failed on a node
    int64_t delay, until;
} DaemonFailed;

typedef struct Place { // a node with the set's pods on it
    Str node;
    DaemonPlace place;
    bool exists;
    const PodFacts **pods; // the oldest first, those bound to the node before others
    size_t n;
} Place;

typedef struct DaemonSync { // r->state of a reconcile
    DaemonSetController *self;
    PodOwner owner;
    Value *set;
    Selector *selector;
    int32_t min_ready_seconds;
    bool deleting, surges;
    DaemonTemplate template;
    Revisions revisions;
    Map *by_node; // -> Place; during daemon_read_places()
    Place **places;
    size_t n_places, n_wanted;
    int64_t wait_ns; // until something is due; 0: nothing is
    Str *live;       // hashes that pods have
    size_t n_live;
    // The plan.
    Str *create; // names of nodes
    const PodFacts **deletions;
    size_t n_create, n_delete;
    Value *status;
    bool retry;
} DaemonSync;

// Puts the set's pods beside the nodes that want them or have them.
void daemon_read_places(DaemonSync *sync);
// Fills `create` and `deletions`. What is missing or too many is put right before an update goes
// on.
void daemon_plan(DaemonSync *sync);
// These note in sync->wait_ns when the answer will change by itself.
bool daemon_is_available(DaemonSync *sync, const PodFacts *pod);
bool daemon_is_updated(const DaemonSync *sync, const PodFacts *pod);
