// The cells of what makes pods (`kubectl get deployments` and the like), as upstream's printers
// print them.

#include <inttypes.h>

#include "api/table_cells.h"
#include "base/time.h"
#include "schema/selector.h"

static Str or_empty(Str text) {
    return text.ptr ? text : STR("");
}

// ---- scalars

static Str scalar_text(const CellInput *input, const char *otherwise) {
    const Value *field = input->field;
    if (field && field->kind == VALUE_INT)
        return arena_printf(input->arena, "%" PRId64, field->integer);
    return field && field->kind == VALUE_STRING ? field->string : str_from(otherwise);
}

static Value *or_na(const CellInput *input) {
    return cell_string(input, scalar_text(input, "N/A"));
}

static Value *or_unset(const CellInput *input) {
    return cell_string(input, scalar_text(input, "<unset>"));
}

static Value *integer(const CellInput *input) {
    const Value *field = input->field;
    return value_new_int(input->arena, field && field->kind == VALUE_INT ? field->integer : 0);
}

static Value *true_or_false(const CellInput *input) {
    const Value *field = input->field;
    bool set = field && field->kind == VALUE_BOOL;
    return cell_string(input, !set ? STR("<unset>") : field->boolean ? STR("True") : STR("False"));
}

static Value *age_or_none(const CellInput *input) {
    const Value *field = input->field;
    if (!field || field->kind != VALUE_STRING || !field->string.len)
        return cell_string(input, STR("<none>"));
    return cell_age(input, field->string);
}

// ---- templates

static Value *items(const CellInput *input, const char *member) {
    uint32_t n = cell_count(input->field);
    Str *texts = arena_array_of(input->arena, Str, n + 1);
    for (uint32_t i = 0; i < n; i++)
        texts[i] = or_empty(value_string_at(input->field->items[i], member));
    return cell_string(input, arena_concat(input->arena, texts, n, STR(",")));
}

static Value *item_names(const CellInput *input) {
    return items(input, "name");
}

static Value *item_images(const CellInput *input) {
    return items(input, "image");
}

static Value *label_selector(const CellInput *input) {
    Str text = selector_string(input->arena, input->field);
    return cell_string(input, text.len ? text : STR("<none>"));
}

static Value *replicas_ready(const CellInput *input) {
    int64_t ready = value_int_at(input->object, "status.readyReplicas", 0);
    int64_t wanted = value_int_at(input->object, "spec.replicas", 0);
    return cell_string(input, arena_printf(input->arena, "%" PRId64 "/%" PRId64, ready, wanted));
}

// "daemonset.apps/fluentd" (formatControllerRef upstream).
static Value *controller(const CellInput *input) {
    const Value *owners = value_at(input->object, "metadata.ownerReferences");
    for (uint32_t i = 0; i < cell_count(owners); i++) {
        const Value *owner = owners->items[i];
        if (!value_bool_at(owner, "controller", false))
            continue;
        Str group = or_empty(value_string_at(owner, "apiVersion"));
        bool grouped = str_find(group, '/') >= 0;
        group = grouped ? str_cut(&group, '/') : STR("");
        Str kind = arena_str(input->arena, or_empty(value_string_at(owner, "kind")));
        for (size_t k = 0; k < kind.len; k++)
            if (kind.ptr[k] >= 'A' && kind.ptr[k] <= 'Z')
                ((char *)kind.ptr)[k] += 'a' - 'A';
        return cell_string(input, arena_printf(input->arena, "%.*s%s%.*s/%.*s", STR_ARG(kind),
                                               grouped ? "." : "", STR_ARG(group),
                                               STR_ARG(value_string_at(owner, "name"))));
    }
    return cell_string(input, STR("<none>"));
}

// ---- jobs

static bool has_condition(const Value *object, const char *type) {
    const Value *conditions = value_at(object, "status.conditions");
    for (uint32_t i = 0; i < cell_count(conditions); i++)
        if (str_eq(value_string_at(conditions->items[i], "type"), str_from(type)))
            return str_eq(value_string_at(conditions->items[i], "status"), STR("True"));
    return false;
}

static Value *job_status(const CellInput *input) {
    const Value *job = input->object;
    Str status = has_condition(job, "Complete")                ? STR("Complete")
                 : has_condition(job, "Failed")                ? STR("Failed")
                 : value_at(job, "metadata.deletionTimestamp") ? STR("Terminating")
                 : has_condition(job, "Suspended")             ? STR("Suspended")
                 : has_condition(job, "FailureTarget")         ? STR("FailureTarget")
                 : has_condition(job, "SuccessCriteriaMet")    ? STR("SuccessCriteriaMet")
                                                               : STR("Running");
    return cell_string(input, status);
}

static Value *job_completions(const CellInput *input) {
    int64_t succeeded = value_int_at(input->object, "status.succeeded", 0);
    int64_t completions = value_int_at(input->object, "spec.completions", -1);
    int64_t parallelism = value_int_at(input->object, "spec.parallelism", 0);
    Str text = arena_printf(input->arena, "%" PRId64 "/%" PRId64, succeeded,
                            completions < 0 ? 1 : completions);
    if (completions < 0 && parallelism > 1)
        text = arena_printf(input->arena, "%.*s of %" PRId64, STR_ARG(text), parallelism);
    return cell_string(input, text);
}

static Value *job_duration(const CellInput *input) {
    int64_t from, to;
    if (time_parse(or_empty(value_string_at(input->object, "status.startTime")), &from) != 0)
        return cell_string(input, STR(""));
    if (time_parse(or_empty(value_string_at(input->object, "status.completionTime")), &to) != 0)
        to = input->now;
    return cell_string(input, time_human_duration(input->arena, to - from));
}

// ---- autoscalers

static Value *scale_reference(const CellInput *input) {
    const Value *target = value_at(input->object, "spec.scaleTargetRef");
    return cell_string(input, arena_printf(input->arena, "%.*s/%.*s",
                                           STR_ARG(value_string_at(target, "kind")),
                                           STR_ARG(value_string_at(target, "name"))));
}

static Str percent(Arena *arena, const Value *values, const char *otherwise) {
    const Value *number = value_get(values, STR("averageUtilization"));
    return number && number->kind == VALUE_INT
               ? arena_printf(arena, "%" PRId64 "%%", number->integer)
               : str_from(otherwise);
}

static Str quantity(const Value *values, const char *name, const char *otherwise) {
    Str text = value_string_at(values, name);
    return text.len ? text : str_from(otherwise);
}

// One metric: what it is, and what it should be (formatHPAMetrics upstream).
static Str metric_text(Arena *arena, const Value *metric, const Value *seen) {
    static const struct {
        Str type, field;
        bool of_resource;
    } sources[] = {{{"External", 8}, {"external", 8}, false},
                   {{"Pods", 4}, {"pods", 4}, false},
                   {{"Object", 6}, {"object", 6}, false},
                   {{"Resource", 8}, {"resource", 8}, true},
                   {{"ContainerResource", 17}, {"containerResource", 17}, true}};
    Str type = or_empty(value_string_at(metric, "type"));
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        if (!str_eq(type, sources[i].type))
            continue;
        const Value *source = value_get(metric, sources[i].field);
        const Value *target = value_get(source, STR("target"));
        const Value *current = value_get(value_get(seen, sources[i].field), STR("current"));
        bool averaged = value_string_at(target, "averageValue").len > 0;
        const char *which = averaged || i == 1 ? "averageValue" : "value";
        Str name = or_empty(value_string_at(source, "name"));
        if (!sources[i].of_resource)
            return arena_printf(
                arena, "%.*s/%.*s%s", STR_ARG(quantity(current, which, "<unknown>")),
                STR_ARG(quantity(target, which, "0")), averaged && i != 1 ? " (avg)" : "");
        if (averaged)
            return arena_printf(arena, "%.*s: %.*s/%.*s", STR_ARG(name),
                                STR_ARG(quantity(current, which, "<unknown>")),
                                STR_ARG(quantity(target, which, "0")));
        return arena_printf(arena, "%.*s: %.*s/%.*s", STR_ARG(name),
                            STR_ARG(percent(arena, current, "<unknown>")),
                            STR_ARG(percent(arena, target, "<auto>")));
    }
    return STR("<unknown type>");
}

#define SHOWN_METRICS 2

static Value *metric_targets(const CellInput *input) {
    const Value *metrics = value_at(input->object, "spec.metrics");
    const Value *seen = value_at(input->object, "status.currentMetrics");
    Str texts[SHOWN_METRICS];
    uint32_t n = cell_count(metrics), shown = n < SHOWN_METRICS ? n : SHOWN_METRICS;
    for (uint32_t i = 0; i < shown; i++)
        texts[i] = metric_text(input->arena, metrics->items[i],
                               i < cell_count(seen) ? seen->items[i] : NULL);
    Str text = n ? arena_concat(input->arena, texts, shown, STR(", ")) : STR("<none>");
    if (n > shown)
        text = arena_printf(input->arena, "%.*s + %u more...", STR_ARG(text), n - shown);
    return cell_string(input, text);
}

// What the older version says of the CPU.
static Value *cpu_target(const CellInput *input) {
    int64_t target = value_int_at(input->object, "spec.targetCPUUtilizationPercentage", -1);
    int64_t current = value_int_at(input->object, "status.currentCPUUtilizationPercentage", -1);
    if (target < 0)
        return cell_string(input, STR("<none>"));
    Str now = current < 0 ? STR("<unknown>") : arena_printf(input->arena, "%" PRId64 "%%", current);
    return cell_string(input,
                       arena_printf(input->arena, "cpu: %.*s/%" PRId64 "%%", STR_ARG(now), target));
}

CellFunction table_workload_cell(Str name) {
    static const CellEntry table[] = {
        {STR("or_na"), or_na},
        {STR("or_unset"), or_unset},
        {STR("number"), integer},
        {STR("true_or_false"), true_or_false},
        {STR("age_or_none"), age_or_none},
        {STR("item_names"), item_names},
        {STR("item_images"), item_images},
        {STR("selector"), label_selector},
        {STR("replicas_ready"), replicas_ready},
        {STR("controller"), controller},
        {STR("job_status"), job_status},
        {STR("job_completions"), job_completions},
        {STR("job_duration"), job_duration},
        {STR("scale_reference"), scale_reference},
        {STR("metric_targets"), metric_targets},
        {STR("cpu_target"), cpu_target},
    };
    return cell_find(table, sizeof table / sizeof *table, name);
}
