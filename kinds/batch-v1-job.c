// Jobs: pkg/apis/batch/v1/defaults.go and pkg/registry/batch/job/strategy.go upstream. What is also
// true of the templates of cron jobs is in batch-v1-job-spec.c.

#include <inttypes.h>

#include "kinds/job.h"
#include "kinds/kinds.h"
#include "schema/format.h"
#include "schema/selector.h"

// ---- defaults, of jobs alone: the template of a cron job keeps what it says

static void default_int(Arena *arena, Value *spec, Str name, int64_t number) {
    if (!value_get(spec, name))
        value_set_int(arena, spec, name, number);
}

static void default_str(Arena *arena, Value *spec, Str name, Str text) {
    if (!value_get(spec, name))
        value_set_str(arena, spec, name, text);
}

static void default_job(Arena *arena, Value *job) {
    Value *spec = value_at_make(arena, job, "spec");
    if (!GET(spec, "parallelism"))
        default_int(arena, spec, STR("completions"), 1);
    default_int(arena, spec, STR("parallelism"), 1);
    default_int(arena, spec, STR("backoffLimit"),
                GET(spec, "backoffLimitPerIndex") ? INT32_MAX : 6);
    if (!tree_count(job, "metadata.labels"))
        copy_to(arena, job, "metadata", STR("labels"), value_at(spec, "template.metadata.labels"));
    default_str(arena, spec, STR("completionMode"), STR("NonIndexed"));
    if (!GET(spec, "suspend"))
        value_set_bool(arena, spec, STR("suspend"), false);
    default_str(arena, spec, STR("podReplacementPolicy"),
                GET(spec, "podFailurePolicy") ? STR("Failed") : STR("TerminatingOrFailed"));
    if (!GET(spec, "manualSelector"))
        value_set_bool(arena, spec, STR("manualSelector"), false);
}

// ---- the selector

#define CONTROLLER_UID "batch.kubernetes.io/controller-uid"

// The pods of a job carry its name and uid, and the uid alone selects them (generateSelector). What
// the client gave stays, and is refused when it does not fit.
static void make_selector(Arena *arena, Value *job) {
    Str name = value_string_at(job, "metadata.name"), uid = value_string_at(job, "metadata.uid");
    Value *labels = value_at_make(arena, job, "spec.template.metadata.labels");
    default_str(arena, labels, STR("job-name"), name);
    default_str(arena, labels, STR("batch.kubernetes.io/job-name"), name);
    default_str(arena, labels, STR("controller-uid"), uid);
    default_str(arena, labels, STR(CONTROLLER_UID), uid);
    default_str(arena, value_at_make(arena, job, "spec.selector.matchLabels"), STR(CONTROLLER_UID),
                uid);
}

static void prepare(Arena *arena, Value *job, const Value *old) {
    if (old || value_bool_at(job, "spec.manualSelector", false))
        return;
    // Labels that came from the template go on doing so.
    const Value *labels = value_at(job, "metadata.labels");
    bool follow = !tree_count(job, "metadata.labels") ||
                  value_equal(labels, value_at(job, "spec.template.metadata.labels"));
    make_selector(arena, job);
    if (follow)
        copy_to(arena, job, "metadata", STR("labels"),
                value_at(job, "spec.template.metadata.labels"));
}

// ---- validation

static void check_label(FieldErrors *errors, const Value *job, Str key, Str expected) {
    const Value *labels = value_at(job, "spec.template.metadata.labels");
    const Path *path = AT(AT(AT(PATH(NULL, STR("spec")), "template"), "metadata"), "labels");
    const Value *label = value_get(labels, key);
    const char *detail = arena_printf(errors->arena, "must be '%.*s'", STR_ARG(expected)).ptr;
    if (!label)
        field_required(errors, PATH_KEY(path, key), detail);
    else if (!str_eq(tree_string(label), expected))
        field_invalid_value(errors, PATH_KEY(path, key), labels, detail);
}

// ValidateGeneratedSelector
static void check_generated(FieldErrors *errors, const Value *job) {
    static const Str keys[] = {{"controller-uid", 14},
                               {"job-name", 8},
                               {CONTROLLER_UID, sizeof CONTROLLER_UID - 1},
                               {"batch.kubernetes.io/job-name", 28}};
    Arena *arena = errors->arena;
    Str uid = value_string_at(job, "metadata.uid"), name = value_string_at(job, "metadata.name");
    Value *expected = value_new_object(arena);
    for (size_t i = 0; i < 4; i++) {
        Str value = i % 2 ? name : uid;
        check_label(errors, job, keys[i], value);
        value_set_str(arena, expected, keys[i], value);
    }
    const Value *given = value_at(job, "spec.selector");
    Selector *selector;
    Str message;
    if (selector_from_value(arena, given, &selector, &message) == 0 &&
        !selector_matches(selector, expected))
        field_invalid_value(errors, AT(PATH(NULL, STR("spec")), "selector"), given,
                            "`selector` not auto-generated");
}

// The pods of an indexed job are named after it and their index.
static void check_host_name(FieldErrors *errors, const Value *job) {
    int64_t completions = value_int_at(job, "spec.completions", 0);
    Str name = value_string_at(job, "metadata.name");
    if (!tree_is(job, "spec.completionMode", "Indexed") || completions <= 0)
        return;
    Str last = arena_printf(errors->arena, "%.*s-%" PRId64, STR_ARG(name), completions - 1);
    if (format_check(errors->arena, FORMAT_DNS_LABEL, last).n)
        field_invalid(errors, AT(PATH(NULL, STR("metadata")), "name"), name,
                      arena_printf(errors->arena,
                                   "will not able to create pod with invalid DNS label: %.*s",
                                   STR_ARG(last))
                          .ptr);
}

static void validate(FieldErrors *errors, const Value *job) {
    const Value *spec = GET(job, "spec");
    const Path *path = PATH(NULL, STR("spec"));
    if (!GET(spec, "selector"))
        field_required(errors, AT(path, "selector"), "");
    else if (!value_bool_at(spec, "manualSelector", false))
        check_generated(errors, job);
    workload_check_labels(errors, spec, path);
    check_host_name(errors, job);
}

// ---- updates

static void check_completions(FieldErrors *errors, const Value *spec, const Value *old) {
    const Value *now = GET(spec, "completions");
    const Path *path = AT(PATH(NULL, STR("spec")), "completions");
    if (value_equal(now, GET(old, "completions")))
        return;
    if (!tree_is(spec, "completionMode", "Indexed"))
        field_invalid_value(errors, path, now, "field is immutable");
    else if (now && !value_equal(now, GET(spec, "parallelism")))
        field_invalid_value(errors, path, now,
                            "can only be modified in tandem with spec.parallelism");
}

static void keep(Arena *arena, Value *object, const Value *from, Str name) {
    Value *value = value_get(from, name);
    if (value)
        value_set(arena, object, name, value);
    else
        value_unset(object, name);
}

// Where its pods go may change while a job waits and has not begun: the old template takes over
// what the new one says of that, and then they must be the same.
static Value *with_directives(Arena *arena, const Value *old, const Value *template) {
    Value *same = value_copy(arena, old);
    Value *spec = value_at_make(arena, same, "spec");
    const Value *now = GET(template, "spec");
    const Value *affinity = GET(now, "affinity"), *node = GET(affinity, "nodeAffinity");
    if (node)
        value_set(arena, value_at_make(arena, spec, "affinity"), STR("nodeAffinity"),
                  (Value *)node);
    else if (GET(spec, "affinity"))
        value_unset(GET(spec, "affinity"), STR("nodeAffinity"));
    Value *rest = GET(spec, "affinity");
    if (rest && !rest->n && !affinity)
        value_unset(spec, STR("affinity"));
    else if (!rest && affinity && !affinity->n)
        value_set(arena, spec, STR("affinity"), value_new_object(arena));
    keep(arena, spec, now, STR("nodeSelector"));
    keep(arena, spec, now, STR("tolerations"));
    keep(arena, spec, now, STR("schedulingGates"));
    Value *metadata = value_at_make(arena, same, "metadata");
    keep(arena, metadata, GET(template, "metadata"), STR("annotations"));
    keep(arena, metadata, GET(template, "metadata"), STR("labels"));
    return same;
}

static void check_template(FieldErrors *errors, const Value *job, const Value *old) {
    const Value *template = value_at(job, "spec.template"),
                *before = value_at(old, "spec.template");
    bool waits = value_bool_at(old, "spec.suspend", false) && !value_at(old, "status.startTime");
    if (waits)
        before = with_directives(errors->arena, before, template);
    if (value_equal(template, before))
        return;
    // As upstream shows its internal type: the metadata's members, then the spec.
    Value *shown = value_copy(errors->arena, GET(template, "metadata"));
    value_set(errors->arena, shown, STR("Spec"),
              pod_internal_shape(errors->arena, kinds_type_PodSpec(), GET(template, "spec")));
    field_invalid_value(errors, AT(PATH(NULL, STR("spec")), "template"), shown,
                        "field is immutable");
}

static void validate_update(FieldErrors *errors, const Value *job, const Value *old) {
    static const Str fixed[] = {{"selector", 8},          {"completionMode", 14},
                                {"podFailurePolicy", 16}, {"backoffLimitPerIndex", 20},
                                {"managedBy", 9},         {"successPolicy", 13}};
    const Value *spec = GET(job, "spec"), *before = GET(old, "spec");
    check_completions(errors, spec, before);
    check_template(errors, job, old);
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        const Value *now = value_get(spec, fixed[i]);
        const Field *field = type_field(kinds_type_JobSpec(), fixed[i]);
        if (value_equal(now, value_get(before, fixed[i])))
            continue;
        if (now && now->kind == VALUE_OBJECT)
            now = pod_internal_shape(errors->arena, field->type, now);
        field_invalid_value(errors, PATH(PATH(NULL, STR("spec")), fixed[i]), now,
                            "field is immutable");
    }
}

static void warn(Arena *arena, const Value *job, ValuePaths *warnings) {
    job_warn(arena, GET(job, "spec"), "spec", warnings);
    workload_warn(arena, job, "spec.template", warnings);
}

const ResourceRules job_rules = {
    .default_fn = default_job,
    .prepare = prepare,
    .validate = validate,
    .validate_update = validate_update,
    .validate_status_update = job_validate_status,
    .warn = warn,
};
