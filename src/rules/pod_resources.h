#pragma once
// What a pod asks for as a whole, and its quality of service class. What its status says of resizes
// under way is not looked at: a pod's resources cannot be changed yet.
// https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers
// https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
// https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/

#include "base/quantity.h"
#include "kinds/kinds.h"

typedef struct ResourceAmount {
    Str name; // "cpu", "memory", "example.com/gpu"
    Quantity quantity;
} ResourceAmount;
typedef struct ResourceAmounts { // in an arena, in the order in which they were first named
    ResourceAmount *items;
    size_t n;
} ResourceAmounts;

// Absent is zero; ret_quantity then holds zero, and the result is false.
bool resource_amounts_get(const ResourceAmounts *amounts, Str name, Quantity *ret_quantity);
// component-helpers' PodRequests: containers that run at the same time add up, with sidecars (init
// containers that are restarted always) and whichever init container needs most; what the pod
// itself asks for replaces that; overhead comes on top. `missing` (may be NULL) is what a container
// that does not name a resource counts for (the scheduler's scores use 100m and 200Mi).
ResourceAmounts pod_requests(Arena *arena, const PodSpec *spec, const ResourceAmounts *missing);
// The same of the limits (PodLimits); overhead only on top of what is limited.
ResourceAmounts pod_limits(Arena *arena, const PodSpec *spec);

// "Guaranteed", "Burstable" or "BestEffort" (ComputePodQOS).
Str pod_qos_class(const PodSpec *spec);
