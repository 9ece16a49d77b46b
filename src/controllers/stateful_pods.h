#pragma once
// What a StatefulSet's pods look like, and the claims that each of them has: names, labels, volumes
// (stateful_set_utils.go upstream).

#include "controllers/pod_control.h"

#define ORDINAL_MAX INT32_MAX

// The number in "SET-NUMBER", or -1: not a pod of that set.
int64_t stateful_ordinal(Str set, Str pod);
// The pod of that number after `template`, labelled with the revision.
Value *stateful_pod(const PodOwner *owner, const Value *template, int64_t ordinal, Str revision);

typedef struct ClaimStep ClaimStep;
typedef struct ClaimPlan { // of one reconcile, in its arena
    const PodOwner *owner;
    const Informer *claims;
    void (*record)(const PodOwner *owner, const char *verb, Str claim, Str pod, const char *error);
    ClaimStep *steps;
    size_t n, next, running;
    bool failed;
    void (*done)(void *user);
    void *user;
} ClaimPlan;

// Plans what the claims of a pod lack. `pod`: as it is now, NULL: about to be made. `makes`:
// missing claims are made. `leaves`: the set is scaled down below it. False: a claim is being
// deleted, so that the pod cannot be made yet.
bool claim_plan_pod(ClaimPlan *plan, int64_t ordinal, const PodFacts *pod, bool makes, bool leaves);
// Plans what an adopted pod lacks of the labels that say which one it is.
void claim_plan_labels(ClaimPlan *plan, int64_t ordinal, const PodFacts *pod);
// Carries it out, then calls done, perhaps from inside; plan->failed says whether all went well.
void claim_plan_run(ClaimPlan *plan, void (*done)(void *user), void *user);
