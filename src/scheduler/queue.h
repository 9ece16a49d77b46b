#pragma once
// The pods that wait for a node, as kube-scheduler's scheduling queue orders them: active ones by
// priority, then by age; those that no node took rest until something happens that could help them;
// then they come after the active ones until their backoff (1 s, doubling to 10 s) is over. Those
// that the API refused or did not answer wait their backoff out.
// https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/#pre-enqueue

#include "base/loop.h"
#include "base/str.h"

typedef struct SchedulingQueue SchedulingQueue;

typedef enum QueuePlace {
    QUEUE_ACTIVE,
    QUEUE_BACKOFF, // woken early
    QUEUE_ERROR,   // a timer runs for these
    QUEUE_UNSCHEDULABLE,
    QUEUE_IN_FLIGHT, // popped: being scheduled or bound
} QueuePlace;

typedef struct QueuedPod { // read only for others
    Str key, namespace_, name, uid;
    int32_t priority;
    int64_t generation; // metadata.generation when last looked at
    QueuePlace place;
    int64_t added;                        // loop_now() when it came or came back
    int64_t backoff_until;                // loop_now()
    int unschedulable_count, error_count; // in a row
    unsigned wake_on;                     // EVENT_* that could help
    uint64_t order;
    size_t heap; // 1 + index
    ListLink link;
    char text[];
} QueuedPod;

// `on_ready`: a pod can be popped now; called at the latest when the queue turns from empty.
SchedulingQueue *queue_new(Loop *loop, void (*on_ready)(void *user), void *user);
void queue_free(SchedulingQueue *queue);
QueuedPod *queue_add(SchedulingQueue *queue, Str namespace_, Str name, Str uid, int32_t priority);
QueuedPod *queue_get(const SchedulingQueue *queue, Str key);
void queue_remove(SchedulingQueue *queue, Str key); // wherever it is; fine when it is not there
QueuedPod *queue_pop(SchedulingQueue *queue);       // NULL when there is nothing to do
// A popped pod did not get a node: no node fits, until one of `wake_on` happens; or an error.
void queue_put_back(SchedulingQueue *queue, QueuedPod *pod, unsigned wake_on);
void queue_put_back_failed(SchedulingQueue *queue, QueuedPod *pod);
void queue_wake(SchedulingQueue *queue, unsigned events);
void queue_wake_pod(SchedulingQueue *queue, QueuedPod *pod); // the pod itself changed
size_t queue_count(const SchedulingQueue *queue, QueuePlace place);
