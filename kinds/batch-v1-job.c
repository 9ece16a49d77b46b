// Jobs: pkg/apis/batch/v1/defaults.go and pkg/registry/batch/job/strategy.go upstream.

#include "kinds/workload.h"

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

const ResourceRules job_rules = {
    .default_fn = default_job,
    .prepare = prepare,
};
