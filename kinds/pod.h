#pragma once
// What the rules of pods and of what pods are made of (core-v1-pod*.c, core-v1-container*.c,
// core-v1-volume*.c) share. Paths and messages are those of upstream's pkg/apis/core/validation,
// oddities included, since tools and people look for them.

#include "kinds/name_set.h"
#include "kinds/tree.h"
#include "schema/check.h"

static const Path pod_spec_path = {.name = {"spec", 4}, .index = -1};

// ---- walking

// Items of a list that is a member, 0 without one.
static inline uint32_t list_count(const Value *list) {
    return list && list->kind == VALUE_ARRAY ? list->n : 0;
}
static inline uint32_t map_count_of(const Value *map) {
    return map && map->kind == VALUE_OBJECT ? map->n : 0;
}
// Members by a literal name.
#define GET(object, name) value_get((object), STR(name))
#define GET_STR(object, name) tree_string(GET(object, name))
#define AT(path, name) PATH((path), STR(name))

// ---- what they have in common

// Adds ": TEXT" to the error that was just reported, if it was (`before` is errors->n before).
void pod_error_detail(FieldErrors *errors, size_t before, Str text);
// The value as upstream's internal Go type shows it in an error: every field, by its Go name.
Value *pod_internal_shape(Arena *arena, const Type *type, const Value *value);
Value *pod_internal_shapes(Arena *arena, const Type *type, const Value *list);

// ComputePodQOS: "Guaranteed", "Burstable" or "BestEffort".
Str pod_qos(const Value *spec);
// Whether an image reference has the tag latest, which is also what a good one without tag and
// digest means.
bool image_is_latest(Str image);
// Init containers that are restarted always: sidecars.
static inline bool container_is_sidecar(const Value *container) {
    return str_eq(GET_STR(container, "restartPolicy"), STR("Always"));
}

// ---- defaults

void pod_default(Arena *arena, Value *pod);
void pod_spec_default(Arena *arena, Value *spec);
void pod_mirror_service_account(Arena *arena, Value *spec);
void pod_default_resources(Arena *arena, Value *spec); // of the pod as a whole

// ---- validation of the spec, in pods and templates

typedef struct PodScope { // what a part of a spec needs to know of the whole
    const Value *spec;
    const Path *path; // of the spec
    NameSet volumes;  // the good ones, by name
    bool host_users;  // no user namespace of its own
    bool never_restarts;
    const Value *grace; // terminationGracePeriodSeconds
} PodScope;

void pod_validate_volumes(FieldErrors *errors, PodScope *scope);
void pod_validate_containers(FieldErrors *errors, const PodScope *scope);
void pod_validate_scheduling(FieldErrors *errors, const PodScope *scope);
void pod_validate_security(FieldErrors *errors, const PodScope *scope);
void pod_validate_os(FieldErrors *errors, const PodScope *scope);
void pod_validate_resource_claims(FieldErrors *errors, const PodScope *scope);
void pod_validate_resources(FieldErrors *errors, const PodScope *scope);
void pod_validate_overhead(FieldErrors *errors, const PodScope *scope);

// ---- parts of containers

void container_validate_env(FieldErrors *errors, const PodScope *scope, const Value *container,
                            const Path *path);
void container_validate_mounts(FieldErrors *errors, const PodScope *scope, const Value *container,
                               const Path *path);
void container_validate_resources(FieldErrors *errors, const PodScope *scope,
                                  const Value *container, const Path *path);
void container_validate_resource_name(FieldErrors *errors, Str name, const Path *path);
void container_validate_security(FieldErrors *errors, const PodScope *scope, const Value *container,
                                 const Path *path);
void container_validate_lifecycle(FieldErrors *errors, const PodScope *scope,
                                  const Value *container, const Path *path);

// ---- fields of several kinds

// A field of the pod for a file (`in_volume`) or a variable.
void pod_validate_field_ref(FieldErrors *errors, const Value *ref, const Path *path,
                            bool in_volume);
void pod_validate_resource_field_ref(FieldErrors *errors, const Value *ref, const Path *path,
                                     bool in_volume);
// Relative, and without "..".
void pod_validate_local_path(FieldErrors *errors, Str text, const Path *path);
// The same, and not starting with "..", which is kept for the node's own use.
void pod_validate_file_path(FieldErrors *errors, Str text, const Path *path);
bool pod_path_has_backstep(Str text);
void pod_validate_user_id(FieldErrors *errors, const Value *id, const Path *path);

// ValidateNodeSelector: at least one term.
void node_selector_validate(FieldErrors *errors, const Value *selector, const Path *path);
void tolerations_validate(FieldErrors *errors, const Value *tolerations, const Path *path);
// The name of a CSI driver that is not empty (ValidateCSIDriverName).
void csi_driver_validate(FieldErrors *errors, Str driver, const Path *path);
// What one source of a volume (`name` is "nfs") must obey besides the table's rules; sources of pods
// and of persistent volumes obey the same.
void volume_source_validate(FieldErrors *errors, Str name, const Value *source, const Path *path);

// ---- pods

// What differs, a line for each field, for people: "- PATH: OLD" and "+ PATH: NEW". Bounded.
Str pod_difference(Arena *arena, const Value *old, const Value *now);
// Of a pod or a template, whose annotations are at `path`.
void pod_validate_annotations(FieldErrors *errors, const Value *pod, const Path *path);
// Those that a field has replaced say what the field says; of pods asked when they are new alone.
// `path` is the spec's.
void pod_validate_annotations_agree(FieldErrors *errors, const Value *pod, const Path *path);
void pod_validate_annotation_update(FieldErrors *errors, const Value *pod, const Value *old);
// Where the field is not set, an AppArmor annotation sets it.
void pod_apply_apparmor_annotations(Arena *arena, Value *pod);
// ResourceRules' functions.
void pod_validate_update(FieldErrors *errors, const Value *pod, const Value *old);
void pod_prepare_status(Arena *arena, Value *pod, const Value *old);
void pod_validate_status_update(FieldErrors *errors, const Value *pod, const Value *old);
// Of pods/ephemeralcontainers.
void pod_prepare_ephemeral(Arena *arena, Value *pod, const Value *old);
void pod_validate_ephemeral(FieldErrors *errors, const Value *pod, const Value *old);
void pod_warn(Arena *arena, const Value *pod, ValuePaths *warnings);
// A name that is no DNS label and ends up `where`.
void pod_name_warn(Arena *arena, const Value *object, const char *where, ValuePaths *warnings);
// The same of a template at `path`, for the kinds that have one.
void pod_template_warn(Arena *arena, const Value *template, const Path *path, ValuePaths *warnings);
