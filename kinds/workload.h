#pragma once
// What the rules of the kinds that make pods from a template share. Paths and messages are those of
// upstream's pkg/apis/{apps,batch,core}/validation.

#include "kinds/pod.h"
#include "kinds/rules.h"

// The value at a path becomes a copy of `from`, which may be NULL: then nothing changes.
static inline void copy_to(Arena *arena, Value *object, const char *parent, Str name,
                           const Value *from) {
    if (from)
        value_set(arena, value_at_make(arena, object, parent), name, value_copy(arena, from));
}

// ---- selectors and templates; `path` is that of the spec, which has both

// A selector of `kind` ("deployment") must be there and select something.
void workload_check_selector(FieldErrors *errors, const Value *spec, const Path *path,
                             const char *kind);
// The labels of the template are those that the selector asks for. Without a selector they are not.
void workload_check_labels(FieldErrors *errors, const Value *spec, const Path *path);
// Pods that run on: restartPolicy Always and no deadline. `kind` as messages call it ("DaemonSet").
void workload_check_pods(FieldErrors *errors, const Value *template, const Path *path,
                         const char *kind);

// ---- numbers that may be percentages

// Not negative, or a percentage (ValidatePositiveIntOrPercent); an absent one passes.
void workload_check_amount(FieldErrors *errors, const Value *amount, const Path *path);
void workload_check_hundred(FieldErrors *errors, const Value *amount, const Path *path);
int64_t
workload_amount(const Value *amount); // the number, or that of the percentage; 0 when absent

// ---- status

// Each number of `fields` (a NULL-terminated list of names) is at most status.replicas.
void workload_check_replicas(FieldErrors *errors, const Value *status, const char *const *fields);
// availableReplicas is at most readyReplicas; `detail` says so.
void workload_check_available(FieldErrors *errors, const Value *status, const char *detail);
void workload_check_collisions(FieldErrors *errors, const Value *object, const Value *old);

// ---- warnings

// About the name of a new object, which its pods will have in theirs, and about the template at
// `path` ("spec.template").
void workload_warn(Arena *arena, const Value *object, const char *path, ValuePaths *warnings);
