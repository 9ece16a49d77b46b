// Writes to a job's status: validateJobStatus, ValidateJobStatusUpdate and
// getStatusValidationOptions upstream. Most rules are asked only when what they are about has
// changed, so that a status that was bad before can still be written.

#include <inttypes.h>

#include "base/map.h"
#include "kinds/job.h"

typedef struct Change {
    FieldErrors *errors;
    const Value *spec, *status, *old; // old: the status before
} Change;

static const Path status_path = {.name = {"status", 6}, .index = -1};

static bool is_true(const Value *status, const char *type) {
    const Value *conditions = GET(status, "conditions");
    for (uint32_t i = 0; i < list_count(conditions); i++)
        if (tree_is(conditions->items[i], "type", type) &&
            tree_is(conditions->items[i], "status", "True"))
            return true;
    return false;
}

static bool finished(const Value *status) {
    return is_true(status, "Complete") || is_true(status, "Failed");
}

static bool turned(const Change *c, const char *type) {
    return is_true(c->status, type) != is_true(c->old, type);
}

static bool changed(const Change *c, const char *field) {
    return !value_equal(value_get(c->status, str_from(field)), value_get(c->old, str_from(field)));
}

static void refuse_conditions(Change *c, const char *detail) {
    field_invalid_unshown(c->errors, AT(&status_path, "conditions"), detail);
}

static void refuse(Change *c, const char *field, const char *detail) {
    const Value *value = value_get(c->status, str_from(field));
    field_invalid_value(c->errors, PATH(&status_path, str_from(field)), value, detail);
}

// ---- conditions

static void check_conditions(Change *c) {
    static const struct {
        const char *one, *other, *detail;
        bool always; // also when neither has changed
    } exclusive[] = {
        {"Complete", "Failed", "cannot set Complete=True and Failed=true conditions", false},
        {"Complete", "FailureTarget", "cannot set Complete=True and FailureTarget=true conditions",
         false},
        {"SuccessCriteriaMet", "Failed",
         "cannot set SuccessCriteriaMet=True and Failed=true conditions", true},
        {"SuccessCriteriaMet", "FailureTarget",
         "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions", true},
    };
    for (size_t i = 0; i < sizeof exclusive / sizeof *exclusive; i++)
        if (is_true(c->status, exclusive[i].one) && is_true(c->status, exclusive[i].other) &&
            (exclusive[i].always || turned(c, exclusive[i].one) || turned(c, exclusive[i].other)))
            refuse_conditions(c, exclusive[i].detail);
    bool met = is_true(c->status, "SuccessCriteriaMet"), complete = is_true(c->status, "Complete");
    if (is_true(c->status, "Failed") && !is_true(c->status, "FailureTarget") &&
        (turned(c, "Failed") || turned(c, "FailureTarget")))
        refuse_conditions(
            c, "cannot set Failed=True condition without the FailureTarget=true condition");
    if (complete && !met && (turned(c, "Complete") || turned(c, "SuccessCriteriaMet")))
        refuse_conditions(
            c, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
    if (complete && !met && GET(c->spec, "successPolicy"))
        refuse_conditions(c, "cannot set Complete=True for Job with SuccessPolicy unless "
                             "SuccessCriteriaMet=True");
}

static void check_terminal(Change *c) {
    static const char *const types[] = {"Failed", "Complete", "FailureTarget",
                                        "SuccessCriteriaMet"};
    for (size_t i = 0; i < 4; i++)
        if (is_true(c->old, types[i]) && !is_true(c->status, types[i]))
            refuse_conditions(c, arena_printf(c->errors->arena,
                                              "cannot disable the %s%s=True condition",
                                              i < 3 ? "terminal " : "", types[i])
                                     .ptr);
    if (is_true(c->old, "Complete") && !is_true(c->old, "SuccessCriteriaMet") &&
        is_true(c->status, "SuccessCriteriaMet"))
        refuse_conditions(
            c, "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
}

// ---- times; their texts in RFC 3339 at UTC sort as they are

static void check_times(Change *c) {
    Str start = GET_STR(c->status, "startTime"), end = GET_STR(c->status, "completionTime");
    Str old_end = GET_STR(c->old, "completionTime");
    bool complete = is_true(c->status, "Complete");
    bool end_changed = turned(c, "Complete") || changed(c, "completionTime");
    if (end.len && !complete && end_changed)
        refuse(c, "completionTime",
               "cannot set completionTime when there is no Complete=True condition");
    if (!end.len && complete && end_changed)
        field_required(c->errors, AT(&status_path, "completionTime"),
                       "completionTime is required for Complete jobs");
    if (start.len && end.len && str_cmp(end, start) < 0 &&
        (changed(c, "startTime") || changed(c, "completionTime")))
        refuse(c, "completionTime", "completionTime cannot be set before startTime");
    if (end.len && old_end.len && !str_eq(end, old_end))
        refuse(c, "completionTime", "completionTime cannot be mutated");
    if (GET_STR(c->old, "startTime").len && changed(c, "startTime") &&
        !value_bool_at(c->spec, "suspend", false))
        field_required(c->errors, AT(&status_path, "startTime"),
                       "startTime cannot be removed for unsuspended job");
}

// ---- pods

static void check_finished(Change *c) {
    bool turns = finished(c->status) != finished(c->old);
    const Value *uncounted = GET(c->status, "uncountedTerminatedPods");
    if (!finished(c->status))
        return;
    if (value_int_at(c->status, "active", 0) > 0 && (turns || changed(c, "active")))
        refuse(c, "active", "active>0 is invalid for finished job");
    if (!GET_STR(c->status, "startTime").len && (turns || changed(c, "startTime")))
        field_required(c->errors, AT(&status_path, "startTime"),
                       "startTime is required for finished job");
    if ((tree_count(uncounted, "failed") || tree_count(uncounted, "succeeded")) &&
        (turns || changed(c, "uncountedTerminatedPods")))
        refuse(c, "uncountedTerminatedPods",
               "uncountedTerminatedPods needs to be empty for finished job");
    if (value_int_at(c->status, "terminating", 0) > 0 && (turns || changed(c, "terminating")))
        refuse(c, "terminating", "terminating>0 is invalid for finished job");
}

static void check_counters(Change *c) {
    bool resizable = tree_is(c->spec, "completionMode", "Indexed") &&
                     value_equal(GET(c->spec, "completions"), GET(c->spec, "parallelism"));
    const char *const counters[] = {"failed", resizable ? NULL : "succeeded"};
    for (size_t i = 0; i < 2 && counters[i]; i++) {
        int64_t number = value_int_at(c->status, counters[i], 0);
        if (number < value_int_at(c->old, counters[i], 0))
            field_invalid_int(
                c->errors, PATH(&status_path, str_from(counters[i])), number,
                arena_printf(c->errors->arena, "cannot decrease the %s counter", counters[i]).ptr);
    }
    int64_t ready = value_int_at(c->status, "ready", 0);
    if (ready > value_int_at(c->status, "active", 0) &&
        (changed(c, "ready") || changed(c, "active")))
        field_invalid_int(c->errors, AT(&status_path, "ready"), ready,
                          "cannot set more ready pods than active");
}

// Uids of pods that ended are not empty, and none is in both lists. Each list's own are told by the
// table.
static void check_uncounted(Change *c) {
    static const Str lists[] = {{"succeeded", 9}, {"failed", 6}};
    const Value *uncounted = GET(c->status, "uncountedTerminatedPods");
    const Path *path = AT(&status_path, "uncountedTerminatedPods");
    _name_set_deinit_ NameSet seen = {.n = 0};
    for (size_t k = 0; k < 2; k++) {
        const Value *list = value_get(uncounted, lists[k]);
        for (uint32_t i = 0; i < list_count(list); i++) {
            Str uid = tree_string(list->items[i]);
            const Path *at = PATH_INDEX(PATH(path, lists[k]), i);
            if (!uid.len)
                field_invalid(c->errors, at, uid, "must not be empty");
            else if (k == 0)
                name_set_add(&seen, uid, list);
            else if (name_set_get(&seen, uid))
                field_duplicate(c->errors, at, uid);
        }
    }
}

// ---- indexes

static void check_indexes(Change *c, const char *field, Str text) {
    int64_t completions = value_int_at(c->spec, "completions", -1), total;
    Arena *arena = c->errors->arena;
    const char *problem =
        completions < 0 ? NULL : job_parse_indexes(arena, text, completions, &total);
    if (problem)
        field_invalid(c->errors, PATH(&status_path, str_from(field)), text,
                      arena_printf(arena, "error parsing %s: %s", field, problem).ptr);
}

static void check_all_indexes(Change *c) {
    Str completed = GET_STR(c->status, "completedIndexes");
    const Value *failed = GET(c->status, "failedIndexes");
    bool failed_changed = changed(c, "failedIndexes"), changes = changed(c, "completedIndexes");
    int64_t completions = value_int_at(c->spec, "completions", -1);
    if (changes)
        check_indexes(c, "completedIndexes", completed);
    if (failed_changed && failed && GET(c->spec, "backoffLimitPerIndex"))
        check_indexes(c, "failedIndexes", tree_string(failed));
    if (changes && completed.len && !tree_is(c->spec, "completionMode", "Indexed"))
        refuse(c, "completedIndexes",
               "cannot set non-empty completedIndexes when non-indexed completion mode");
    if (failed_changed && failed && !GET(c->spec, "backoffLimitPerIndex"))
        refuse(c, "failedIndexes",
               "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    if (!failed || completions < 0 || !(changes || failed_changed))
        return;
    int64_t both =
        job_indexes_overlap(c->errors->arena, completed, tree_string(failed), completions);
    if (both >= 0)
        refuse(c, "failedIndexes",
               arena_printf(c->errors->arena,
                            "failedIndexes and completedIndexes overlap at index: %" PRId64, both)
                   .ptr);
}

void job_validate_status(FieldErrors *errors, const Value *job, const Value *old) {
    Change change = {errors, GET(job, "spec"), GET(job, "status"), GET(old, "status")};
    check_uncounted(&change);
    check_conditions(&change);
    check_times(&change);
    check_finished(&change);
    check_counters(&change);
    check_all_indexes(&change);
    check_terminal(&change);
}
