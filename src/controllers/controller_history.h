#pragma once
// The templates that StatefulSets and DaemonSets had, kept as ControllerRevisions so that pods of
// several can stand side by side and `kubectl rollout undo` has something to go back to
// (pkg/controller/history upstream).

#include "controllers/pod_control.h"

typedef struct Revision { // in the reconcile's arena
    Str name, uid, hash;  // hash: its label controller-revision-hash
    int64_t number, created;
    Value *data;
    const Value *template; // a PodTemplateSpec with "$patch": "replace"
} Revision;

typedef struct History { // one for each controller
    Informer *revisions;
    InformerIndex *by_owner;
    Controller *controller;
    const Resource *owner;
} History;

typedef struct Revisions {
    Revision *items; // oldest first
    size_t n;
    const Revision *update; // that of today's template
} Revisions;

// The owner is queued when a revision of its changes.
void history_init(History *history, Controller *controller, const Resource *owner);

// Reads the owner's revisions. False: something had to be written first (today's template, its
// number, an orphan's owner); the reconcile is then ended by this and comes again with the change.
bool history_sync(History *history, const PodOwner *owner, const Selector *selector,
                  Revisions *ret);
// Ends the reconcile; before, deletes the oldest revision that is not live when more than `limit`
// are not. The next one goes with the next reconcile, which its end brings.
void history_truncate(History *history, const PodOwner *owner, const Revisions *revisions,
                      int64_t limit, bool (*is_live)(void *user, const Revision *revision),
                      void *user);
const Revision *revisions_find(const Revisions *revisions, Str name); // NULL: none
