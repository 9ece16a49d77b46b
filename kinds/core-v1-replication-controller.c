// Replication controllers and pod templates: ValidateReplicationControllerSpec and
// pkg/apis/core/v1/defaults.go upstream.

#include "kinds/workload.h"

// Labels and selector come from the template where they are not given
// (SetDefaults_ReplicationController).
static void default_labels(Arena *arena, Value *controller) {
    const Value *labels = value_at(controller, "spec.template.metadata.labels");
    if (!tree_count(controller, "spec.selector"))
        copy_to(arena, controller, "spec", STR("selector"), labels);
    if (!tree_count(controller, "metadata.labels"))
        copy_to(arena, controller, "metadata", STR("labels"), labels);
}

// The selector is a plain map.
static bool selects(const Value *selector, const Value *labels) {
    for (uint32_t i = 0; i < map_count_of(selector); i++)
        if (!value_equal(value_get(labels, selector->members[i].key), selector->members[i].value))
            return false;
    return true;
}

static void validate_spec(FieldErrors *errors, const Value *spec, const Path *path) {
    const Value *template = GET(spec, "template"), *labels = value_at(template, "metadata.labels");
    if (!tree_count(spec, "selector"))
        field_required(errors, AT(path, "selector"), "");
    if (!template) {
        field_required(errors, AT(path, "template"), "");
        return;
    }
    if (!selects(GET(spec, "selector"), labels))
        field_invalid_value(errors, AT(AT(AT(path, "template"), "metadata"), "labels"), labels,
                            "`selector` does not match template `labels`");
    workload_check_pods(errors, template, AT(path, "template"), "ReplicationController");
}
const TypeRules replication_controller_spec_rules = {.validate = validate_spec};

static void validate_status(FieldErrors *errors, const Value *controller, const Value *old) {
    static const char *const fields[] = {"fullyLabeledReplicas", "readyReplicas",
                                         "availableReplicas", NULL};
    const Value *status = GET(controller, "status");
    workload_check_replicas(errors, status, fields);
    workload_check_available(errors, status, "cannot be greater than readyReplicas");
}

static void warn(Arena *arena, const Value *controller, ValuePaths *warnings) {
    workload_warn(arena, controller, "spec.template", warnings);
}

const ResourceRules replication_controller_rules = {
    .default_fn = default_labels,
    .validate_status_update = validate_status,
    .warn = warn,
};

static void warn_template(Arena *arena, const Value *object, ValuePaths *warnings) {
    pod_template_warn(arena, GET(object, "template"), PATH(NULL, STR("template")), warnings);
}

const ResourceRules pod_template_rules = {.warn = warn_template};
