// Autoscalers of the older version: what it has no fields for is kept in annotations
// (pkg/apis/autoscaling/v1/conversion.go upstream). They are stored as autoscaling/v2.

#include "kinds/kinds.h"
#include "kinds/workload.h"

#define METRICS "autoscaling.alpha.kubernetes.io/metrics"
#define CURRENT_METRICS "autoscaling.alpha.kubernetes.io/current-metrics"
#define CONDITIONS "autoscaling.alpha.kubernetes.io/conditions"
#define BEHAVIOR "autoscaling.alpha.kubernetes.io/behavior"
#define DEFAULT_UTILIZATION 80

// ---- metrics: the same values under other names

typedef struct Renamed {
    const char *source, *old, *now; // paths in the source
} Renamed;

static const Renamed wanted[] = {
    {"object", "target", "describedObject"},
    {"object", "metricName", "metric.name"},
    {"object", "selector", "metric.selector"},
    {"object", "targetValue", "target.value"},
    {"object", "averageValue", "target.averageValue"},
    {"pods", "metricName", "metric.name"},
    {"pods", "selector", "metric.selector"},
    {"pods", "targetAverageValue", "target.averageValue"},
    {"resource", "name", "name"},
    {"resource", "targetAverageUtilization", "target.averageUtilization"},
    {"resource", "targetAverageValue", "target.averageValue"},
    {"containerResource", "name", "name"},
    {"containerResource", "container", "container"},
    {"containerResource", "targetAverageUtilization", "target.averageUtilization"},
    {"containerResource", "targetAverageValue", "target.averageValue"},
    {"external", "metricName", "metric.name"},
    {"external", "metricSelector", "metric.selector"},
    {"external", "targetValue", "target.value"},
    {"external", "targetAverageValue", "target.averageValue"},
    {NULL, NULL, NULL},
};

static const Renamed seen[] = {
    {"object", "target", "describedObject"},
    {"object", "metricName", "metric.name"},
    {"object", "selector", "metric.selector"},
    {"object", "currentValue", "current.value"},
    {"object", "averageValue", "current.averageValue"},
    {"pods", "metricName", "metric.name"},
    {"pods", "selector", "metric.selector"},
    {"pods", "currentAverageValue", "current.averageValue"},
    {"resource", "name", "name"},
    {"resource", "currentAverageUtilization", "current.averageUtilization"},
    {"resource", "currentAverageValue", "current.averageValue"},
    {"containerResource", "name", "name"},
    {"containerResource", "container", "container"},
    {"containerResource", "currentAverageUtilization", "current.averageUtilization"},
    {"containerResource", "currentAverageValue", "current.averageValue"},
    {"external", "metricName", "metric.name"},
    {"external", "metricSelector", "metric.selector"},
    {"external", "currentValue", "current.value"},
    {"external", "currentAverageValue", "current.averageValue"},
    {NULL, NULL, NULL},
};

static void set_at(Arena *arena, Value *object, const char *path, Value *value) {
    const char *dot = strchr(path, '.');
    if (dot)
        object =
            value_at_make(arena, object, arena_cstr(arena, str_of(path, (size_t)(dot - path))));
    value_set(arena, object, str_from(dot ? dot + 1 : path), value);
}

static Value *rename_metric(Arena *arena, const Value *metric, const Renamed *names, bool to_old) {
    Value *made = value_new_object(arena);
    value_set_str(arena, made, STR("type"), GET_STR(metric, "type"));
    for (; names->source; names++) {
        const Value *source = value_get(metric, str_from(names->source));
        Value *value = value_at(source, to_old ? names->now : names->old);
        if (value)
            set_at(arena, value_at_make(arena, made, names->source),
                   to_old ? names->old : names->now, value);
    }
    return made;
}

// What kind of target it is followed from which values there were.
static void name_target(Arena *arena, Value *metric) {
    static const struct {
        const char *source, *when, *then, *otherwise;
    } rules[] = {
        {"object", "target.averageValue", "AverageValue", "Value"},
        {"pods", "target.averageValue", "AverageValue", "AverageValue"},
        {"resource", "target.averageUtilization", "Utilization", "AverageValue"},
        {"containerResource", "target.averageUtilization", "Utilization", "AverageValue"},
        {"external", "target.value", "Value", "AverageValue"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        Value *source = value_get(metric, str_from(rules[i].source));
        if (source)
            value_set_str(
                arena, value_at_make(arena, source, "target"), STR("type"),
                str_from(value_at(source, rules[i].when) ? rules[i].then : rules[i].otherwise));
    }
}

static Value *rename_metrics(Arena *arena, const Value *list, const Renamed *names, bool to_old) {
    Value *made = value_new_array(arena);
    for (uint32_t i = 0; i < list_count(list); i++) {
        Value *metric = rename_metric(arena, list->items[i], names, to_old);
        if (!to_old && names == wanted)
            name_target(arena, metric);
        value_push(arena, made, metric);
    }
    return made;
}

// The use of CPU as a percentage has a field of its own.
static bool is_cpu_utilization(const Value *metric, const char *path) {
    return tree_is(metric, "type", "Resource") && tree_is(metric, "resource.name", "cpu") &&
           value_at(metric, path);
}

static Value *cpu_metric(Arena *arena, Value *percent, bool is_wanted) {
    Value *metric = value_new_object(arena);
    value_set_str(arena, metric, STR("type"), STR("Resource"));
    Value *resource = value_at_make(arena, metric, "resource");
    value_set_str(arena, resource, STR("name"), STR("cpu"));
    Value *values = value_at_make(arena, resource, is_wanted ? "target" : "current");
    if (is_wanted)
        value_set_str(arena, values, STR("type"), STR("Utilization"));
    value_set(arena, values, STR("averageUtilization"), percent);
    return metric;
}

// ---- annotations

static void annotate(Arena *arena, Value *object, const char *key, const Value *value) {
    _buf_deinit_ Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(value, &buf);
    value_set_str(arena, value_at_make(arena, object, "metadata.annotations"), str_from(key),
                  arena_str(arena, buf_view(&buf)));
}

// An annotation's value, NULL when there is none or it is no JSON of that kind.
static Value *annotated(Arena *arena, const Value *object, const char *key, ValueKind kind) {
    const Value *text = value_get(value_at(object, "metadata.annotations"), str_from(key));
    Value *value = NULL;
    ParseError error;
    if (!text || text->kind != VALUE_STRING ||
        value_parse_json(arena, text->string, NULL, &value, &error) != 0)
        return NULL;
    return value->kind == kind ? value : NULL;
}

static void drop_annotation(Value *object, const char *key) {
    value_unset(value_at(object, "metadata.annotations"), str_from(key));
}

// The behavior is written with Go's names, as upstream does; read with either.
static Value *lower_names(Arena *arena, const Value *value) {
    if (value->kind == VALUE_ARRAY) {
        Value *list = value_new_array(arena);
        for (uint32_t i = 0; i < value->n; i++)
            value_push(arena, list, lower_names(arena, value->items[i]));
        return list;
    }
    if (value->kind != VALUE_OBJECT)
        return value_copy(arena, value);
    Value *object = value_new_object(arena);
    for (uint32_t i = 0; i < value->n; i++) {
        char *name = arena_cstr(arena, value->members[i].key);
        if (name[0] >= 'A' && name[0] <= 'Z')
            name[0] += 'a' - 'A';
        if (value->members[i].value->kind != VALUE_NULL)
            value_set(arena, object, str_of(name, value->members[i].key.len),
                      lower_names(arena, value->members[i].value));
    }
    return object;
}

// ---- there and back

static void to_storage(Arena *arena, Value *object) {
    Value *spec = value_at_make(arena, object, "spec"),
          *status = value_at_make(arena, object, "status");
    const Value *metrics = annotated(arena, object, METRICS, VALUE_ARRAY);
    const Value *current = annotated(arena, object, CURRENT_METRICS, VALUE_ARRAY);
    Value *conditions = annotated(arena, object, CONDITIONS, VALUE_ARRAY);
    const Value *behavior = annotated(arena, object, BEHAVIOR, VALUE_OBJECT);
    Value *cpu = GET(spec, "targetCPUUtilizationPercentage");
    Value *used = GET(status, "currentCPUUtilizationPercentage");
    Value *all = rename_metrics(arena, metrics, wanted, false);
    if (cpu || !all->n)
        value_push(arena, all,
                   cpu_metric(arena, cpu ? cpu : value_new_int(arena, DEFAULT_UTILIZATION), true));
    value_unset(spec, STR("targetCPUUtilizationPercentage"));
    value_set(arena, spec, STR("metrics"), all);
    if (behavior)
        value_set(arena, spec, STR("behavior"), lower_names(arena, behavior));
    value_unset(status, STR("currentCPUUtilizationPercentage"));
    Value *shown = rename_metrics(arena, current, seen, false);
    if (!shown->n && used)
        value_push(arena, shown, cpu_metric(arena, used, false));
    if (conditions)
        value_set(arena, status, STR("conditions"), conditions);
    if (status->n || shown->n) // Go writes it even when there are none
        value_set(arena, status, STR("currentMetrics"), shown->n ? shown : value_new_null(arena));
    else
        value_unset(object, STR("status"));
    static const char *const keys[] = {METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR};
    for (size_t i = 0; i < 4; i++)
        drop_annotation(object, keys[i]);
    Value *annotations = value_at(object, "metadata.annotations");
    if (annotations && !annotations->n)
        value_unset(GET(object, "metadata"), STR("annotations"));
}

static void from_storage(Arena *arena, Value *object) {
    Value *spec = value_at_make(arena, object, "spec"),
          *status = value_at_make(arena, object, "status");
    const Value *metrics = GET(spec, "metrics"), *current = GET(status, "currentMetrics");
    const Value *behavior = GET(spec, "behavior"), *conditions = GET(status, "conditions");
    Value *others = value_new_array(arena);
    for (uint32_t i = 0; i < list_count(metrics); i++) {
        Value *metric = metrics->items[i];
        if (!is_cpu_utilization(metric, "resource.target.averageUtilization"))
            value_push(arena, others, metric);
        else if (!GET(spec, "targetCPUUtilizationPercentage"))
            value_set(arena, spec, STR("targetCPUUtilizationPercentage"),
                      value_at(metric, "resource.target.averageUtilization"));
    }
    for (uint32_t i = 0; i < list_count(current); i++)
        if (is_cpu_utilization(current->items[i], "resource.current.averageUtilization"))
            value_set(arena, status, STR("currentCPUUtilizationPercentage"),
                      value_at(current->items[i], "resource.current.averageUtilization"));
    if (others->n)
        annotate(arena, object, METRICS, rename_metrics(arena, others, wanted, true));
    if (list_count(current))
        annotate(arena, object, CURRENT_METRICS, rename_metrics(arena, current, seen, true));
    if (list_count(conditions))
        annotate(arena, object, CONDITIONS, conditions);
    if (behavior)
        annotate(arena, object, BEHAVIOR,
                 pod_internal_shape(arena, kinds_type_HorizontalPodAutoscalerBehavior(), behavior));
    value_unset(spec, STR("metrics"));
    value_unset(spec, STR("behavior"));
    value_unset(status, STR("currentMetrics"));
    value_unset(status, STR("conditions"));
    if (!status->n)
        value_unset(object, STR("status"));
}

// ---- rules

// An annotation comes from the other object, or goes when that has none.
static void keep_annotation(Arena *arena, Value *object, const Value *old, const char *key) {
    Value *value = value_get(value_at(old, "metadata.annotations"), str_from(key));
    if (value)
        value_set(arena, value_at_make(arena, object, "metadata.annotations"), str_from(key),
                  value);
    else
        drop_annotation(object, key);
}

// Annotations that stand for the status are no client's to change, and the other way round.
static void prepare(Arena *arena, Value *object, const Value *old) {
    keep_annotation(arena, object, old, CURRENT_METRICS);
    keep_annotation(arena, object, old, CONDITIONS);
}

static void prepare_status(Arena *arena, Value *object, const Value *old) {
    keep_annotation(arena, object, old, METRICS);
    keep_annotation(arena, object, old, BEHAVIOR);
}

// Both versions are checked as the newer one.
static void validate(FieldErrors *errors, const Value *object) {
    static const struct {
        const char *key;
        ValueKind kind;
        const char *detail;
    } texts[] = {{METRICS, VALUE_ARRAY, "must be a JSON list of metrics"},
                 {BEHAVIOR, VALUE_OBJECT, "must be a JSON object"}};
    const Path *annotations = AT(PATH(NULL, STR("metadata")), "annotations");
    for (size_t i = 0; i < 2; i++) {
        Str key = str_from(texts[i].key);
        const Value *text = value_get(value_at(object, "metadata.annotations"), key);
        if (text && !annotated(errors->arena, object, texts[i].key, texts[i].kind))
            field_invalid(errors, PATH_KEY(annotations, key), tree_string(text), texts[i].detail);
    }
    const Resource *newer = kinds_resource_autoscaling_v2_horizontalpodautoscalers();
    Value *copy = value_copy(errors->arena, object);
    Str message;
    to_storage(errors->arena, copy);
    if (schema_normalize(errors->arena, newer->type, copy, NULL, &message) != 0) {
        field_invalid(errors, PATH_KEY(annotations, STR(METRICS)), STR(""),
                      arena_cstr(errors->arena, message));
        return;
    }
    schema_validate_type(errors, newer->type, copy, NULL, NULL);
    newer->rules->validate(errors, copy);
}

const ResourceRules horizontal_pod_autoscaler_v1_rules = {
    .prepare = prepare,
    .prepare_status = prepare_status,
    .validate = validate,
    .from_storage = from_storage,
    .to_storage = to_storage,
};
