#pragma once
// The keyed queue of a reconciler (client-go's util/workqueue): a key is processed by one worker at
// a time, however often it was added; adding a key that is being processed runs it once more
// afterwards.

#include "base/loop.h"
#include "base/str.h"

typedef struct WorkQueue WorkQueue;
typedef struct WorkQueueConfig {
    Loop *loop;
    int workers; // how many keys at once (0: 1)
    // Begins the work on a key ("namespace/name"); ends, now or later, with work_queue_done().
    void (*reconcile)(void *user, Str key);
    void *user;
    int64_t base_delay_ns, max_delay_ns; // rate limit per key; 0: 5 ms, 1,000 s
} WorkQueueConfig;
WorkQueue *work_queue_new(const WorkQueueConfig *config);
void work_queue_free(WorkQueue *queue);
void work_queue_add(WorkQueue *queue, Str key);
void work_queue_add_after(WorkQueue *queue, Str key,
                          int64_t delay_ns); // the earliest of several wins
// `retry`: comes again after its exponential delay; else its failures are forgotten.
void work_queue_done(WorkQueue *queue, Str key, bool retry);
// Paused: keys collect, nothing is begun.
void work_queue_pause(WorkQueue *queue, bool paused);
size_t work_queue_length(const WorkQueue *queue);
