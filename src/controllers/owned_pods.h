#pragma once
// What controllers of pods need to know of each pod, kept once for all of them and found by the
// pod's controller. A change of a pod costs the same however many there are.

#include "controllers/frame.h"

typedef struct OwnedPods OwnedPods;

typedef enum PodPhase { POD_PENDING, POD_RUNNING, POD_UNKNOWN, POD_SUCCEEDED, POD_FAILED } PodPhase;

typedef struct PodFacts { // strings are valid while the pod does not change
    Str namespace_, name, uid, node_name;
    Str owner_uid; // of its controller; empty: it has none
    StrMap labels;
    PodPhase phase;
    bool ready, deleting;
    int64_t created, ready_since; // Unix ns
    int32_t restarts;             // of the container that was restarted most
    int32_t all_restarts;         // of its containers and init containers together
    int32_t job_index;            // annotation batch.kubernetes.io/job-completion-index; or -1
    bool job_tracked;             // has the finalizer batch.kubernetes.io/job-tracking
    int32_t deletion_cost;        // annotation controller.kubernetes.io/pod-deletion-cost
    const InformerObject *object; // the whole pod
} PodFacts;

// Begins to keep them for `controller` (which then waits for their informer): it is queued the
// owner's "namespace/name" when a pod changes whose controller is of that kind. `adopts` (may be
// NULL) is told of pods without a controller that are new or whose labels changed.
OwnedPods *owned_pods_join(Controller *controller, const Resource *owner,
                           void (*adopts)(Controller *controller, const PodFacts *orphan));
Informer *owned_pods_informer(const OwnedPods *pods);
// Visits the pods whose controller has that UID, oldest change first. The visitor writes nothing.
void owned_pods_each(const OwnedPods *pods, Str owner_uid,
                     void (*visit)(void *user, const PodFacts *pod), void *user);
// How many those are.
size_t owned_pods_count(const OwnedPods *pods, Str owner_uid);
// Visits the pods of a namespace that have no controller.
void owned_pods_each_orphan(const OwnedPods *pods, Str namespace_,
                            void (*visit)(void *user, const PodFacts *pod), void *user);
const PodFacts *owned_pods_get(const OwnedPods *pods, Str namespace_, Str name); // NULL: none

// Neither ended nor being deleted: one that counts (controller.IsPodActive).
static inline bool pod_facts_active(const PodFacts *pod) {
    return pod->phase < POD_SUCCEEDED && !pod->deleting;
}
// Ready for `min_ready_seconds` at `now`; else *ret_wait_ns (may be NULL) is how long that takes
// yet, or 0 when it is not ready (podutil.IsPodAvailable).
bool pod_facts_available(const PodFacts *pod, int32_t min_ready_seconds, int64_t now,
                         int64_t *ret_wait_ns);
