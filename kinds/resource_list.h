#pragma once
// Lists of resources (cpu, memory, hugepages-2Mi, example.com/gpu, ...) and the names in them:
// pkg/apis/core/helper and component-helpers' resource.

#include "base/quantity.h"
#include "kinds/tree.h"
#include "schema/check.h"

typedef struct ResourceSum {
    Str name;
    Quantity quantity;
} ResourceSum;
typedef struct ResourceSums { // in an arena
    ResourceSum *items;
    size_t n;
} ResourceSums;

// What containers ask for (`list` is "requests") or may use ("limits") together: those that run at
// the same time add up, and each init container counts while it runs (AggregateContainerRequests).
ResourceSums resource_aggregate(Arena *arena, const Value *spec, Str list);
const ResourceSum *resource_sum(const ResourceSums *sums, Str name); // NULL when absent

// No prefix, or one of kubernetes.io (IsNativeResource).
bool resource_is_native(Str name);
bool resource_is_hugepages(Str name);
// A prefix that is not kubernetes.io's (IsExtendedResourceName).
bool resource_is_extended(Arena *arena, Str name);
// Counted in pieces (IsIntegerResourceName).
bool resource_is_whole(Arena *arena, Str name);
// Known without a prefix (IsStandardResourceName).
bool resource_is_standard(Str name);
// Of the native ones, what may be used beyond the request (IsOvercommitAllowed).
bool resource_can_overcommit(Str name);
// ValidateResourceName: a qualified name, and without a prefix one that is known. False when it
// reports.
bool resource_check_name(FieldErrors *errors, Str name, const Path *path);
// validateOverhead, of pods and runtime classes.
void resource_validate_overhead(FieldErrors *errors, const Value *overhead, const Path *path);
// SetDefaults_ResourceList: finer than thousandths is rounded up. `list` may be NULL.
void resource_round_list(Arena *arena, Value *list);
// What a pod as a whole may ask for: cpu, memory, hugepages.
bool resource_is_pod_level(Str name);
