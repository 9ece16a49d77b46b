// Replica sets and controller revisions: ValidateReplicaSetSpec and ValidateControllerRevision
// upstream.

#include "kinds/workload.h"

static void validate_spec(FieldErrors *errors, const Value *spec, const Path *path) {
    workload_check_selector(errors, spec, path, "deployment"); // sic
    workload_check_labels(errors, spec, path);
    workload_check_pods(errors, GET(spec, "template"), AT(path, "template"), "ReplicaSet");
}
const TypeRules replica_set_spec_rules = {.validate = validate_spec};

static void validate_status(FieldErrors *errors, const Value *set, const Value *old) {
    static const char *const fields[] = {"fullyLabeledReplicas", "readyReplicas",
                                         "availableReplicas", NULL};
    const Value *status = GET(set, "status");
    workload_check_replicas(errors, status, fields);
    workload_check_available(errors, status, "cannot be greater than readyReplicas");
}

static void warn(Arena *arena, const Value *set, ValuePaths *warnings) {
    workload_warn(arena, set, "spec.template", warnings);
}

const ResourceRules replica_set_rules = {
    .validate_status_update = validate_status,
    .warn = warn,
};

// ---- controller revisions

static void validate_revision(FieldErrors *errors, const Value *revision) {
    if (!GET(revision, "data"))
        field_required(errors, PATH(NULL, STR("data")), "data is mandatory");
}

const ResourceRules controller_revision_rules = {.validate = validate_revision};
