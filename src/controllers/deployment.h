#pragma once
// One look at a Deployment and its ReplicaSets, and what is to become of them. Reading, planning
// and the status are functions of that look alone; only deployment.c makes calls.
// https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
// (pkg/controller/deployment upstream)

#include "client/informer.h"
#include "schema/value.h"

typedef struct RolloutSet {                        // a ReplicaSet of the deployment
    Value *object;                                 // NULL: still to be created
    Str name, uid, created;                        // created: as metadata.creationTimestamp
    int64_t revision;                              // 0: none
    int32_t replicas;                              // spec.replicas
    int32_t actual, ready, available, terminating; // of the status
    bool deleting, observed;                       // observed: the status is about the newest spec
    // The plan.
    int32_t wanted;
    bool annotated; // `object` was changed otherwise, and is to be written
    bool sized;     // its annotations are to tell the size of the deployment
    bool removed;
} RolloutSet;

typedef struct Rollout { // in an arena
    Arena *arena;
    int64_t now; // Unix ns
    Value *deployment;
    Str name;
    int32_t replicas, max_surge, max_unavailable;
    int64_t history_limit, deadline; // -1: none. Sets; seconds
    bool rolling, paused, deleting;
    RolloutSet **sets; // oldest first, the newest template's among them
    size_t n;
    RolloutSet *current; // of the newest template; NULL: there is none yet
    Value *conditions;   // as they are to be
    int64_t revision;    // as the deployment's annotation is to be; 0: as it is
    int64_t collisions;  // -1: none yet
} Rollout;

// ---- deployment_read.c

Rollout *rollout_new(Arena *arena, Value *deployment, int64_t now);
// Adds a set that belongs to the deployment.
void rollout_add(Rollout *rollout, Value *set);
// To be called after the last rollout_add(): finds the current one.
void rollout_ready(Rollout *rollout);
Str rollout_annotation(const Value *object, const char *name); // STR_NONE: not there
void rollout_annotate(Arena *arena, Value *object, const char *name, Str value);
bool rollout_same_template(const Value *a, const Value *b); // but for the label of the hash
// Plans a set for the newest template, and makes it the current one.
void rollout_add_current(Rollout *rollout, int32_t replicas);
// That set as JSON tree; `owner` is the reference to the deployment.
Value *rollout_new_set(const Rollout *rollout, Value *owner);
// Brings the annotations of the current set up to date, and the deployment's revision.
void rollout_sync_revision(Rollout *rollout);
// Writes the plan for a set that exists into `set->object`; false: nothing changes.
bool rollout_apply(const Rollout *rollout, RolloutSet *set);

#define ROLLOUT_REVISION "deployment.kubernetes.io/revision"
#define ROLLOUT_HISTORY "deployment.kubernetes.io/revision-history"
#define ROLLOUT_DESIRED "deployment.kubernetes.io/desired-replicas"
#define ROLLOUT_MAX "deployment.kubernetes.io/max-replicas"

// ---- deployment_plan.c

// Decides how many replicas each set should have, whether there must be a new one, and which old
// ones go.
void rollout_plan(Rollout *rollout);

// ---- deployment_status.c

// Sets a condition, unless it has that status and reason already
// (deploymentutil.SetDeploymentCondition).
void rollout_set_condition(Rollout *rollout, const char *type, const char *status,
                           const char *reason, Str message);
// The new set could not be created.
void rollout_note_failure(Rollout *rollout, Str message);
// Before the plan: what pausing and finding a set mean for the condition Progressing.
void rollout_note(Rollout *rollout);
// The status after the plan was carried out. `*ret_check_ns`: when unchanged, in how long progress
// is to be judged again; 0: not at all.
Value *rollout_status(Rollout *rollout, int64_t *ret_check_ns);
// All replicas are of the newest template and available, as that status says.
bool rollout_is_complete(const Rollout *rollout, const Value *status);
