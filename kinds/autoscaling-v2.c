// Horizontal pod autoscalers: pkg/apis/autoscaling/v2/defaults.go upstream.

#include "kinds/rules.h"
#include "kinds/tree.h"

static void add(Arena *arena, Value *object, const char *json) {
    ParseError error;
    Value *given = NULL;
    if (value_parse_json(arena, str_from(json), NULL, &given, &error))
        return; // the texts below parse
    for (uint32_t i = 0; i < given->n; i++)
        if (!value_get(object, given->members[i].key))
            value_set(arena, object, given->members[i].key, given->members[i].value);
}

// A behavior that says anything says all of it (GenerateHPAScaleUpRules, ...DownRules).
static void default_behavior(Arena *arena, Value *behavior) {
    add(arena, value_at_make(arena, behavior, "scaleUp"),
        "{\"stabilizationWindowSeconds\":0,\"selectPolicy\":\"Max\",\"policies\":["
        "{\"type\":\"Pods\",\"value\":4,\"periodSeconds\":15},"
        "{\"type\":\"Percent\",\"value\":100,\"periodSeconds\":15}]}");
    add(arena, value_at_make(arena, behavior, "scaleDown"),
        "{\"selectPolicy\":\"Max\",\"policies\":["
        "{\"type\":\"Percent\",\"value\":100,\"periodSeconds\":15}]}");
}
const TypeRules horizontal_pod_autoscaler_behavior_rules = {.default_fn = default_behavior};

static void default_metrics(Arena *arena, Value *autoscaler) {
    if (!tree_count(autoscaler, "spec.metrics"))
        value_unset(value_at_make(arena, autoscaler, "spec"), STR("metrics"));
    add(arena, value_at_make(arena, autoscaler, "spec"),
        "{\"metrics\":[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":"
        "{\"type\":\"Utilization\",\"averageUtilization\":80}}}]}");
}

const ResourceRules horizontal_pod_autoscaler_rules = {
    .default_fn = default_metrics,
};
