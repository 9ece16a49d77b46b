#pragma once
// Which nodes a DaemonSet wants its pod on, and what that pod looks like there.
// https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#how-daemon-pods-are-scheduled

#include "controllers/controller_history.h"

typedef struct DaemonNode { // what is known of a node; kept while the node does not change
    Arena *arena;
    const Node *node;
} DaemonNode;
DaemonNode *daemon_node_new(const InformerObject *object); // NULL: not readable
void daemon_node_free(DaemonNode *node);
// Whether the two can differ for any DaemonSet; either may be NULL.
bool daemon_node_differs(const DaemonNode *a, const DaemonNode *b);

typedef struct DaemonTemplate {
    const PodSpec *spec; // with the tolerations that all daemon pods get
} DaemonTemplate;
// False: the template cannot be read.
bool daemon_template_read(Arena *arena, const Value *set, DaemonTemplate *ret);

typedef struct DaemonPlace {
    bool should_run, may_continue; // may_continue: a pod that runs there already stays
} DaemonPlace;
DaemonPlace daemon_place(const DaemonTemplate *template,
                         const Node *node); // nodeShouldRunDaemonPod

// The pod for that node.
Value *daemon_pod(const PodOwner *owner, const Revision *revision, Str node);
// The node that the pod is on or made for; strings live in `arena` or with the pod.
Str daemon_pod_node(Arena *arena, const PodFacts *pod);
