#pragma once
// What a pod's status says, as upstream's pkg/api/v1/pod reads and writes it.
// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/

#include "kinds/kinds.h"

// Phase Succeeded or Failed: all containers have stopped and none starts again.
bool pod_is_terminal(const Pod *pod);
// Its condition Ready is True.
bool pod_is_ready(const Pod *pod);
// Neither terminal nor being deleted: one that a controller counts.
bool pod_is_active(const Pod *pod);
// NULL when there is none of that type.
const PodCondition *pod_condition(const PodStatus *status, Str type);
// Adds or replaces the condition of that type. last_transition_time becomes `now` (Unix ns) when
// the condition is new or its status changed, else it stays what it was. Returns whether anything
// changed. The strings of `condition` are not copied.
bool pod_condition_set(Arena *arena, PodStatus *status, PodCondition condition, int64_t now);
