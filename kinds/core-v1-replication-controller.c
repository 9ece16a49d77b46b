// Replication controllers and pod templates: pkg/apis/core/v1/defaults.go upstream.

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

const ResourceRules replication_controller_rules = {
    .default_fn = default_labels,
};

const ResourceRules pod_template_rules = {
    .warn = NULL,
};
