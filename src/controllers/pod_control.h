#pragma once
// How controllers make, delete, adopt and release pods, and how they wait for the effects: what a
// reconcile has written must show in the informer before the next one counts (pkg/controller's
// PodControl, ControllerExpectations and PodControllerRefManager upstream).

#include "controllers/owned_pods.h"
#include "schema/selector.h"

typedef struct PodOwner PodOwner;

typedef struct PodControl { // one for each controller
    OwnedPods *pods;
    EventRecorder *events;
    const char *finalizer; // that its pods have: adopting adds it, releasing takes it off; or NULL
    struct Expectations *expected; // private
    // Set after pod_control_init() where a controller differs. `record` writes the event of a
    // creation or deletion itself; `error`: why it failed, or NULL. `may_own`: whether a pod that
    // the selector matches can be the owner's.
    void (*record)(const PodOwner *owner, const char *verb, Str pod, const char *error);
    bool (*may_own)(const PodOwner *owner, const PodFacts *pod);
} PodControl;

// `component`: as events name their source ("replicaset-controller"). The rest as
// owned_pods_join().
void pod_control_init(PodControl *control, Controller *controller, const Resource *owner,
                      const char *component,
                      void (*adopts)(Controller *controller, const PodFacts *orphan));
void pod_control_deinit(PodControl *control);

// The owner of the reconcile at hand; strings and trees live in its arena.
struct PodOwner {
    PodControl *control;
    Reconcile *reconcile;
    const Resource *resource;
    Str uid;
    const Value *object; // as a tree
};

// Whether the informer shows all that was written for the owner. If not, its pods' changes queue it
// again; after five minutes it counts as shown, whatever has become of it.
bool pod_control_is_settled(const PodOwner *owner);
void pod_control_forget(PodControl *control, Str owner_uid); // the owner is gone

// A pod after that template (a PodTemplateSpec): in the owner's namespace, with its name and "-" as
// generateName, owned by it. The tree is the caller's to change further; `template`'s is shared.
Value *pod_from_template(const PodOwner *owner, const Value *template);
// {apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true}
Value *pod_owner_reference(const PodOwner *owner);

// An event about the owner.
void pod_owner_event(const PodOwner *owner, const char *type, const char *reason, Str message);

// How creations or deletions went. `status` is of the first refusal, NULL when there was none or
// the transport failed.
typedef struct PodOutcome {
    size_t asked, succeeded;
    int error;               // of the first failure, as ClientResult has it
    const ApiStatus *status; // in the reconcile's arena
    Str message;             // of the first failure; empty: none
} PodOutcome;
typedef void (*PodsDone)(void *user, const PodOutcome *outcome);

// Makes `n` pods: one, then two, four and so on, and stops at the first that fails, so that a
// refusal is not met n times (slowStartBatch). `body(user, i)` is the i-th as JSON. With events. A
// namespace that is being deleted counts as success. `done` comes once, perhaps from inside.
void pods_create(const PodOwner *owner, size_t n, Str (*body)(void *user, size_t i), PodsDone done,
                 void *user);
// Deletes them all, with events; one that is gone already counts as success.
void pods_delete(const PodOwner *owner, const PodFacts *const *pods, size_t n, PodsDone done,
                 void *user);

// Takes the control's finalizer off them all and then, if `deletes`, deletes them, with events. A pod
// that is gone counts as success.
void pods_let_go(const PodOwner *owner, const PodFacts *const *pods, size_t n, bool deletes,
                 PodsDone done, void *user);

// Makes the owner's pods those that `selector` matches: releases others, adopts matching ones
// without a controller unless the owner is being deleted. Returns how many calls that took; then
// `done` comes later, and the reconcile should end, since pods' changes will queue it again. 0:
// nothing to do, no callback.
size_t pods_claim(const PodOwner *owner, const Selector *selector, bool is_deleting, PodsDone done,
                  void *user);
bool pod_matches(const Selector *selector, const PodFacts *pod);
