// Horizontal pod autoscalers: pkg/apis/autoscaling/validation and
// pkg/apis/autoscaling/v2/defaults.go upstream.

#include "base/quantity.h"
#include "kinds/workload.h"

#define MOST_STABILIZATION 3600 // seconds
#define MOST_PERIOD 1800

// ---- defaults

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
    add(arena, value_at_make(arena, autoscaler, "spec"),
        "{\"metrics\":[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":"
        "{\"type\":\"Utilization\",\"averageUtilization\":80}}}]}");
}

// ---- behavior

static void validate_scaling_rules(FieldErrors *errors, const Value *rules, const Path *path) {
    const Value *policy = GET(rules, "selectPolicy"), *tolerance = GET(rules, "tolerance");
    int64_t window = value_int_at(rules, "stabilizationWindowSeconds", 0);
    static const Str selections[] = {{"Disabled", 8}, {"Max", 3}, {"Min", 3}};
    Quantity quantity;
    if (window < 0)
        field_invalid_int(errors, AT(path, "stabilizationWindowSeconds"), window,
                          "must be greater than or equal to zero");
    if (window > MOST_STABILIZATION)
        field_invalid_int(errors, AT(path, "stabilizationWindowSeconds"), window,
                          "must be less than or equal to 3600");
    if (policy && !str_eq(policy->string, selections[0]) &&
        !str_eq(policy->string, selections[1]) && !str_eq(policy->string, selections[2]))
        field_not_supported(errors, AT(path, "selectPolicy"), policy->string, selections, 3);
    if (!tree_count(rules, "policies"))
        field_required(errors, AT(path, "policies"), "must specify at least one Policy");
    if (tolerance && quantity_parse(tolerance->string, &quantity) == 0 && quantity.nano < 0)
        field_invalid_value(errors, AT(path, "tolerance"), tolerance,
                            "must be greater or equal to zero");
}
const TypeRules hpa_scaling_rules_rules = {.validate = validate_scaling_rules};

static void validate_scaling_policy(FieldErrors *errors, const Value *policy, const Path *path) {
    static const Str types[] = {{"Percent", 7}, {"Pods", 4}};
    int64_t period = value_int_at(policy, "periodSeconds", 0);
    if (!tree_is(policy, "type", "Pods") && !tree_is(policy, "type", "Percent"))
        field_not_supported(errors, AT(path, "type"), GET_STR(policy, "type"), types, 2);
    if (value_int_at(policy, "value", 0) <= 0)
        field_invalid_int(errors, AT(path, "value"), value_int_at(policy, "value", 0),
                          "must be greater than zero");
    if (period <= 0)
        field_invalid_int(errors, AT(path, "periodSeconds"), period, "must be greater than zero");
    if (period > MOST_PERIOD)
        field_invalid_int(errors, AT(path, "periodSeconds"), period,
                          "must be less than or equal to 1800");
}
const TypeRules hpa_scaling_policy_rules = {.validate = validate_scaling_policy};

// ---- metrics

static void check_reference(FieldErrors *errors, const Value *reference, const Path *path) {
    static const Str fields[] = {{"kind", 4}, {"name", 4}};
    for (size_t i = 0; i < 2; i++) {
        Str text = tree_string(value_get(reference, fields[i]));
        if (!text.len)
            field_required(errors, PATH(path, fields[i]), "");
        else
            schema_check_format(errors, PATH(path, fields[i]), FORMAT_PATH_SEGMENT, text);
    }
}

static void check_identifier(FieldErrors *errors, const Value *metric, const Path *path) {
    Str name = GET_STR(metric, "name");
    if (!name.len)
        field_required(errors, AT(path, "name"), "must specify a metric name");
    else
        schema_check_format(errors, AT(path, "name"), FORMAT_PATH_SEGMENT, name);
}

static void check_positive(FieldErrors *errors, const Value *target, const Path *path,
                           const char *field) {
    const Value *value = value_get(target, str_from(field));
    Quantity quantity;
    if (value && value->kind == VALUE_STRING && quantity_parse(value->string, &quantity) == 0 &&
        quantity.nano <= 0)
        field_invalid(errors, PATH(path, str_from(field)), value->string, "must be positive");
}

static void check_target(FieldErrors *errors, const Value *target, const Path *path) {
    Str type = GET_STR(target, "type");
    if (!type.len)
        field_required(errors, AT(path, "type"), "must specify a metric target type");
    if (!str_eq(type, STR("Utilization")) && !str_eq(type, STR("Value")) &&
        !str_eq(type, STR("AverageValue")))
        field_invalid(errors, AT(path, "type"), type,
                      "must be either Utilization, Value, or AverageValue");
    check_positive(errors, target, path, "value");
    check_positive(errors, target, path, "averageValue");
    if (value_int_at(target, "averageUtilization", 1) < 1)
        field_invalid_int(errors, AT(path, "averageUtilization"),
                          value_int_at(target, "averageUtilization", 1), "must be greater than 0");
}

static void check_object(FieldErrors *errors, const Value *source, const Path *path) {
    const Value *target = GET(source, "target");
    check_reference(errors, GET(source, "describedObject"), AT(path, "describedObject"));
    check_identifier(errors, GET(source, "metric"), AT(path, "metric"));
    check_target(errors, target, AT(path, "target"));
    if (!GET(target, "value") && !GET(target, "averageValue"))
        field_required(errors, AT(AT(path, "target"), "averageValue"),
                       "must set either a target value or averageValue");
}

static void check_external(FieldErrors *errors, const Value *source, const Path *path) {
    const Value *target = GET(source, "target");
    bool value = GET(target, "value"), average = GET(target, "averageValue");
    check_identifier(errors, GET(source, "metric"), AT(path, "metric"));
    check_target(errors, target, AT(path, "target"));
    if (!value && !average)
        field_required(errors, AT(AT(path, "target"), "averageValue"),
                       "must set either a target value for metric or a per-pod target");
    if (value && average)
        field_forbidden(errors, AT(AT(path, "target"), "value"),
                        "may not set both a target value for metric and a per-pod target");
}

static void check_pods(FieldErrors *errors, const Value *source, const Path *path) {
    check_identifier(errors, GET(source, "metric"), AT(path, "metric"));
    check_target(errors, GET(source, "target"), AT(path, "target"));
    if (!value_at(source, "target.averageValue"))
        field_required(errors, AT(AT(path, "target"), "averageValue"),
                       "must specify a positive target averageValue");
}

static void check_resource_target(FieldErrors *errors, const Value *target, const Path *path) {
    bool average = GET(target, "averageValue"), utilization = GET(target, "averageUtilization");
    check_target(errors, target, path);
    if (!utilization && !average)
        field_required(errors, AT(path, "averageUtilization"),
                       "must set either a target raw value or a target utilization");
    if (utilization && average)
        field_forbidden(errors, AT(path, "averageValue"),
                        "may not set both a target raw value and a target utilization");
}

static void check_resource(FieldErrors *errors, const Value *source, const Path *path) {
    if (!GET_STR(source, "name").len)
        field_required(errors, AT(path, "name"), "must specify a resource name");
    check_resource_target(errors, GET(source, "target"), AT(path, "target"));
}

static void check_container_resource(FieldErrors *errors, const Value *source, const Path *path) {
    Str container = GET_STR(source, "container");
    if (!GET_STR(source, "name").len)
        field_required(errors, AT(path, "name"), "must specify a resource name");
    else
        container_validate_resource_name(errors, GET_STR(source, "name"), AT(path, "name"));
    if (!container.len)
        field_required(errors, AT(path, "container"), "must specify a container");
    else
        schema_check_format(errors, AT(path, "container"), FORMAT_DNS_LABEL, container);
    check_resource_target(errors, GET(source, "target"), AT(path, "target"));
}

typedef struct Source {
    Str type, field;
    void (*check)(FieldErrors *errors, const Value *source, const Path *path);
} Source;

// In the order in which upstream looks.
static const Source sources[] = {
    {{"Object", 6}, {"object", 6}, check_object},
    {{"External", 8}, {"external", 8}, check_external},
    {{"Pods", 4}, {"pods", 4}, check_pods},
    {{"Resource", 8}, {"resource", 8}, check_resource},
    {{"ContainerResource", 17}, {"containerResource", 17}, check_container_resource},
};
#define N_SOURCES (sizeof sources / sizeof *sources)

static const Source *source_of(Str type) {
    for (size_t i = 0; i < N_SOURCES; i++)
        if (str_eq(type, sources[i].type))
            return &sources[i];
    return NULL;
}

static void refuse_type(FieldErrors *errors, Str type, const Path *path) {
    static const Str types[] = {
        {"ContainerResource", 17}, {"External", 8}, {"Object", 6}, {"Pods", 4}, {"Resource", 8}};
    field_not_supported(errors, AT(path, "type"), type, types, 5);
}

static void validate_metric(FieldErrors *errors, const Value *metric, const Path *path) {
    Str type = GET_STR(metric, "type");
    const Source *expected = source_of(type);
    size_t present = 0;
    if (!type.len)
        field_required(errors, AT(path, "type"), "must specify a metric source type");
    if (!expected)
        refuse_type(errors, type, path);
    for (size_t i = 0; i < N_SOURCES; i++) {
        const Value *source = value_get(metric, sources[i].field);
        if (source && ++present == 1)
            sources[i].check(errors, source, PATH(path, sources[i].field));
    }
    if (!expected)
        refuse_type(errors, type, path); // upstream says it twice
    else if (!value_get(metric, expected->field))
        field_required(errors, PATH(path, expected->field),
                       "must populate information for the given metric source");
    for (size_t i = 0; i < N_SOURCES && present != 1; i++)
        if (value_get(metric, sources[i].field) && &sources[i] != expected)
            field_forbidden(errors, PATH(path, sources[i].field),
                            "must populate the given metric source only");
}
const TypeRules metric_spec_rules = {.validate = validate_metric};

// ---- the rest

static void check_spec(FieldErrors *errors, const Value *spec) {
    const Path *path = PATH(NULL, STR("spec"));
    const Value *least = GET(spec, "minReplicas");
    int64_t most = value_int_at(spec, "maxReplicas", 0);
    if (least && least->integer < 1)
        field_invalid_int(errors, AT(path, "minReplicas"), least->integer,
                          "must be greater than or equal to 1");
    if (most < 1)
        field_invalid_int(errors, AT(path, "maxReplicas"), most, "must be greater than 0");
    if (least && most < least->integer)
        field_invalid_int(errors, AT(path, "maxReplicas"), most,
                          "must be greater than or equal to `minReplicas`");
    check_reference(errors, GET(spec, "scaleTargetRef"), AT(path, "scaleTargetRef"));
}

static void validate(FieldErrors *errors, const Value *autoscaler) {
    check_spec(errors, GET(autoscaler, "spec"));
}

const ResourceRules horizontal_pod_autoscaler_rules = {
    .default_fn = default_metrics,
    .validate = validate,
};
