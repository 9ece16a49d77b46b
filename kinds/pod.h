#pragma once
// What the rules of pods and of what pods are made of (core-v1-pod*.c) share.

#include "kinds/tree.h"
#include "schema/check.h"

static const Path pod_spec_path = {.name = {"spec", 4}, .index = -1};

// ComputePodQOS: "Guaranteed", "Burstable" or "BestEffort".
Str pod_qos(const Value *spec);
// Whether an image reference has the tag latest, which is also what a good one without tag and
// digest means.
bool image_is_latest(Str image);
// Init containers that are restarted always: sidecars.
static inline bool container_is_sidecar(const Value *container) {
    return str_eq(tree_string(value_get(container, STR("restartPolicy"))), STR("Always"));
}

// Defaults; TypeRules and ResourceRules in the files about validation name them.
void pod_default(Arena *arena, Value *pod);
void pod_spec_default(Arena *arena, Value *spec);
void pod_mirror_service_account(Arena *arena, Value *spec);
void pod_default_resources(Arena *arena, Value *spec); // of the pod as a whole
void container_default(Arena *arena, Value *container);
void resources_default(Arena *arena, Value *resources);

// What differs, a line for each field, for people: "- PATH: OLD" and "+ PATH: NEW". Bounded.
Str pod_difference(Arena *arena, const Value *old, const Value *now);

// ResourceRules' validate_update.
void pod_validate_annotation_update(FieldErrors *errors, const Value *pod, const Value *old);
void pod_validate_update(FieldErrors *errors, const Value *pod, const Value *old);
