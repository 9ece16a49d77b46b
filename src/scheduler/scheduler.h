#pragma once
// Binds pods to nodes: a queue of unscheduled pods, a snapshot of nodes and what is on them, a
// table of plugins (filter, score), one binding at a time.
// https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/

#include "client/client.h"

typedef struct Scheduler Scheduler;
typedef struct SchedulerConfig {
    Loop *loop;
    Client *client;     // as system:kube-scheduler; stays the caller's
    Str scheduler_name; // empty: "default-scheduler"
} SchedulerConfig;
Scheduler *scheduler_new(const SchedulerConfig *config); // starts at once
void scheduler_free(Scheduler *scheduler);
