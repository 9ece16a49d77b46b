#pragma once
// What each disruption budget selects, counted as pods come, change and go: a pod's change costs as
// much as its namespace has budgets, and a budget's reconcile as much as its pods have controllers.

#include "base/map.h"
#include "client/informer.h"
#include "schema/value.h"

typedef struct BudgetOwner { // controls pods that a budget selects
    Str api_version, kind, name, uid;
    size_t n_pods;
} BudgetOwner;

typedef struct BudgetPod {
    bool healthy; // ready, and not being deleted
    bool deleting;
    BudgetOwner *owner; // NULL: none
} BudgetPod;

typedef struct BudgetCount {
    size_t healthy, unmanaged;
    Map *pods;   // name -> BudgetPod
    Map *owners; // UID -> BudgetOwner
} BudgetCount;

typedef struct BudgetCounts BudgetCounts;

// `pods` must not be synced yet; it is asked for the pods that there are when a budget comes.
BudgetCounts *budget_counts_new(Informer *pods);
void budget_counts_free(BudgetCounts *counts);
// Counts for that budget from now on.
void budget_counts_put(BudgetCounts *counts, Str namespace_, Str name, const Value *selector);
void budget_counts_drop(BudgetCounts *counts, Str namespace_, Str name);
const BudgetCount *budget_counts_get(const BudgetCounts *counts, Str namespace_, Str name);
// A pod changed (`pod` NULL: it is gone). `touched` hears of each budget whose pod it was or is.
void budget_counts_change(BudgetCounts *counts, Str namespace_, Str name, const Value *pod,
                          void (*touched)(void *user, Str namespace_, Str name), void *user);
// Whether the namespace has budgets, and each of them (`visit` may be NULL).
bool budget_counts_each(const BudgetCounts *counts, Str namespace_,
                        void (*visit)(void *user, Str namespace_, Str name), void *user);
