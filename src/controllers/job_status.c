// A job's status: what has ended is counted, exactly once, and the conditions say how it goes
// (syncJob and trackJobStatusAndRemoveFinalizers upstream).

#include <inttypes.h>

#include "base/time.h"
#include "controllers/job.h"

#define UNCOUNTED_MAX 500 // upstream's MaxUncountedPods

// ---- conditions

static Value *find_condition(const Value *status, const char *type) {
    const Value *conditions = value_at(status, "conditions");
    for (uint32_t i = 0; conditions && i < conditions->n; i++)
        if (str_eq(value_string_at(conditions->items[i], "type"), str_from(type)))
            return conditions->items[i];
    return NULL;
}

const Value *job_condition(const Value *status, const char *type) {
    const Value *condition = find_condition(status, type);
    return str_eq(value_string_at(condition, "status"), STR("True")) ? condition : NULL;
}

bool job_is_finished(const Value *job) {
    const Value *status = value_get(job, STR("status"));
    return job_condition(status, "Complete") || job_condition(status, "Failed");
}

bool job_condition_set(JobSync *sync, const char *type, bool is_true, Str reason, Str message) {
    Value *condition = find_condition(sync->status, type);
    Str state = is_true ? STR("True") : STR("False"), now = time_format(sync->arena, sync->now);
    if (!condition && !is_true)
        return false;
    if (condition && str_eq(value_string_at(condition, "status"), state) &&
        str_eq(value_string_at(condition, "reason"), reason) &&
        str_eq(value_string_at(condition, "message"), message))
        return false;
    if (!condition) {
        Value *list = value_at(sync->status, "conditions");
        if (!list)
            value_set(sync->arena, sync->status, STR("conditions"),
                      list = value_new_array(sync->arena));
        value_push(sync->arena, list, condition = value_new_object(sync->arena));
    }
    value_set_str(sync->arena, condition, STR("type"), str_from(type));
    value_set_str(sync->arena, condition, STR("status"), state);
    value_set_str(sync->arena, condition, STR("lastProbeTime"), now);
    value_set_str(sync->arena, condition, STR("lastTransitionTime"), now);
    value_set_str(sync->arena, condition, STR("reason"), reason);
    value_set_str(sync->arena, condition, STR("message"), message);
    return true;
}

// ---- how it ends

static void end_with(JobSync *sync, JobEnd end, const char *reason, Str message) {
    sync->end = end;
    sync->reason = str_from(reason);
    sync->message = message;
}

// What was decided before stays so.
static bool judge_interim(JobSync *sync) {
    static const struct {
        const char *type;
        JobEnd end;
    } interim[] = {{"SuccessCriteriaMet", JOB_SUCCEEDS}, {"FailureTarget", JOB_FAILS}};
    for (size_t i = 0; i < 2; i++) {
        const Value *condition = job_condition(sync->status, interim[i].type);
        if (!condition)
            continue;
        sync->end = interim[i].end;
        sync->reason = value_string_at(condition, "reason");
        sync->message = value_string_at(condition, "message");
        return true;
    }
    return false;
}

// Of restartPolicy OnFailure: the restarts of what runs count as failures.
static bool has_restarted_too_often(const JobSync *sync, int64_t limit) {
    int64_t restarts = 0;
    if (!str_eq(value_string_at(sync->spec, "template.spec.restartPolicy"), STR("OnFailure")))
        return false;
    for (size_t i = 0; i < sync->n_pods; i++)
        if (sync->pods[i].facts->phase == POD_RUNNING || sync->pods[i].facts->phase == POD_PENDING)
            restarts += sync->pods[i].facts->all_restarts;
    return limit == 0 ? restarts > 0 : restarts >= limit;
}

static bool judge_limits(JobSync *sync) {
    int64_t limit = value_int_at(sync->spec, "backoffLimit", 6), start;
    int64_t deadline = value_int_at(sync->spec, "activeDeadlineSeconds", -1);
    if (sync->failed > limit || has_restarted_too_often(sync, limit)) {
        end_with(sync, JOB_FAILS, "BackoffLimitExceeded",
                 STR("Job has reached the specified backoff limit"));
        return true;
    }
    if (deadline < 0 || sync->suspended ||
        time_parse(value_string_at(sync->status, "startTime"), &start) != 0)
        return false;
    int64_t elapsed = sync->now - start;
    if (elapsed / NSEC_PER_SEC >= deadline) {
        end_with(sync, JOB_FAILS, "DeadlineExceeded",
                 STR("Job was active longer than specified deadline"));
        return true;
    }
    if (deadline < INT64_MAX / NSEC_PER_SEC)
        controller_enqueue_after(sync->owner.reconcile->controller,
                                 sync->owner.reconcile->namespace_, sync->owner.reconcile->name,
                                 deadline * NSEC_PER_SEC - elapsed);
    return false;
}

static bool judge_indexes(JobSync *sync) {
    int64_t most = value_int_at(sync->spec, "maxFailedIndexes", INT64_MAX);
    int64_t failed = job_indexes_total(&sync->failed_indexes);
    if (failed > most)
        end_with(sync, JOB_FAILS, "MaxFailedIndexesExceeded",
                 STR("Job has exceeded the specified maximal number of failed indexes"));
    else if (failed && failed + job_indexes_total(&sync->done) >= sync->completions)
        end_with(sync, JOB_FAILS, "FailedIndexes", STR("Job has failed indexes"));
    return sync->end != JOB_GOES_ON;
}

// https://kubernetes.io/docs/concepts/workloads/controllers/job/#success-policy
static void judge_success_policy(JobSync *sync) {
    const Value *rules = value_at(sync->spec, "successPolicy.rules");
    for (uint32_t i = 0; rules && sync->done.n && i < rules->n; i++) {
        const Value *rule = rules->items[i];
        Str text = value_string_at(rule, "succeededIndexes");
        int64_t count = value_int_at(rule, "succeededCount", -1);
        bool met = !text.ptr && count >= 0 && job_indexes_total(&sync->done) >= count;
        if (text.ptr) {
            JobIndexes wanted = job_indexes_parse(sync->arena, text, sync->completions);
            int64_t common = job_indexes_common(&wanted, &sync->done);
            met = wanted.n &&
                  (common == job_indexes_total(&wanted) || (count >= 0 && common >= count));
        }
        if (!met)
            continue;
        end_with(sync, JOB_SUCCEEDS, "SuccessPolicy",
                 arena_printf(sync->arena, "Matched rules at index %" PRIu32, i));
        return;
    }
}

void job_judge(JobSync *sync) {
    if (judge_interim(sync))
        return;
    for (size_t i = 0; i < sync->n_pods; i++)
        if (sync->pods[i].failed && sync->pods[i].fails_job.ptr) {
            end_with(sync, JOB_FAILS, "PodFailurePolicy", sync->pods[i].fails_job);
            return;
        }
    if (judge_limits(sync) || !sync->indexed)
        return;
    if (sync->per_index < 0 || !judge_indexes(sync))
        judge_success_policy(sync);
}

// ---- counting

static void set_count(JobSync *sync, Str key, int64_t number) {
    if (number)
        value_set_int(sync->arena, sync->status, key, number);
    else
        value_unset(sync->status, key);
}

static Value *uncounted_list(JobSync *sync, Str key) {
    Value *uncounted = value_at_make(sync->arena, sync->status, "uncountedTerminatedPods");
    Value *list = value_get(uncounted, key);
    if (!list)
        value_set(sync->arena, uncounted, key, list = value_new_array(sync->arena));
    return list;
}

static const JobPod *tracked_pod(const JobSync *sync, Str uid) {
    for (size_t i = 0; i < sync->n_pods; i++)
        if (sync->pods[i].tracked && str_eq(sync->pods[i].uid, uid))
            return &sync->pods[i];
    return NULL;
}

static void count_list(JobSync *sync, Str key) {
    Value *uncounted = value_at_make(sync->arena, sync->status, "uncountedTerminatedPods");
    Value *list = value_get(uncounted, key), *left = value_new_array(sync->arena);
    for (uint32_t i = 0; list && i < list->n; i++)
        if (tracked_pod(sync, list->items[i]->string))
            value_push(sync->arena, left, list->items[i]);
    int64_t counted = list ? list->n - left->n : 0;
    set_count(sync, key, value_int_at(sync->status, arena_cstr(sync->arena, key), 0) + counted);
    if (left->n)
        value_set(sync->arena, uncounted, key, left);
    else
        value_unset(uncounted, key);
}

void job_status_count(JobSync *sync) {
    count_list(sync, STR("succeeded"));
    count_list(sync, STR("failed"));
}

// canRemoveFinalizer
static bool is_done_with(const JobSync *sync, const JobPod *pod) {
    if (sync->deleting || sync->end != JOB_GOES_ON || pod->succeeded)
        return true;
    return pod->failed && !pod->delayed;
}

// Returns whether it takes up room in the status.
static bool collect_pod(JobSync *sync, const JobPod *pod) {
    if (pod->succeeded) {
        if (!sync->indexed && pod->is_new)
            value_push(sync->arena, uncounted_list(sync, STR("succeeded")),
                       value_new_string(sync->arena, pod->uid));
        return sync->indexed ? !job_indexes_has(&sync->done_before, pod->index) : pod->is_new;
    }
    // When a job fails, what did not end yet has failed.
    bool fails =
        pod->failed ? pod->is_new : sync->end == JOB_FAILS && job_pod_has_valid_index(sync, pod);
    if (!fails || !pod->counts)
        return false;
    const Value *list = uncounted_list(sync, STR("failed"));
    for (uint32_t i = 0; i < list->n; i++)
        if (str_eq(list->items[i]->string, pod->uid))
            return false;
    value_push(sync->arena, (Value *)list, value_new_string(sync->arena, pod->uid));
    return true;
}

static size_t uncounted_total(const JobSync *sync) {
    const Value *succeeded = value_at(sync->status, "uncountedTerminatedPods.succeeded");
    const Value *failed = value_at(sync->status, "uncountedTerminatedPods.failed");
    return (succeeded ? succeeded->n : 0) + (failed ? failed->n : 0);
}

static void set_indexes(JobSync *sync) {
    Str done = job_indexes_write(sync->arena, &sync->done);
    set_count(sync, STR("succeeded"), job_indexes_total(&sync->done));
    if (done.len)
        value_set_str(sync->arena, sync->status, STR("completedIndexes"), done);
    else
        value_unset(sync->status, STR("completedIndexes"));
    if (sync->per_index >= 0)
        value_set_str(sync->arena, sync->status, STR("failedIndexes"),
                      job_indexes_write(sync->arena, &sync->failed_indexes));
}

size_t job_status_collect(JobSync *sync, const JobPod **ret, bool *ret_all) {
    size_t n = 0, taken;
    job_status_count(sync);
    taken = uncounted_total(sync);
    int64_t *done = arena_array_of(sync->arena, int64_t, sync->n_pods + 1);
    size_t n_done = 0;
    *ret_all = true;
    for (size_t i = 0; i < sync->n_pods && *ret_all; i++) {
        const JobPod *pod = &sync->pods[i];
        if (!pod->tracked || !is_done_with(sync, pod))
            continue;
        ret[n++] = pod;
        if (pod->succeeded && sync->indexed && job_pod_has_valid_index(sync, pod))
            done[n_done++] = pod->index;
        taken += collect_pod(sync, pod);
        *ret_all = taken < UNCOUNTED_MAX;
    }
    if (sync->indexed) { // those that wait for the next round do not count yet
        JobIndexes more = job_indexes_of(sync->arena, done, n_done);
        sync->done = job_indexes_union(sync->arena, &sync->done_before, &more);
        set_indexes(sync);
    }
    set_count(sync, STR("active"), sync->active);
    value_set_int(sync->arena, sync->status, STR("ready"), sync->ready);
    value_set_int(sync->arena, sync->status, STR("terminating"), sync->terminating);
    if (sync->end == JOB_FAILS)
        job_condition_set(sync, "FailureTarget", true, sync->reason, sync->message);
    else if (sync->end == JOB_SUCCEEDS)
        job_condition_set(sync, "SuccessCriteriaMet", true, sync->reason, sync->message);
    // The lists that stayed empty go.
    Value *uncounted = value_at_make(sync->arena, sync->status, "uncountedTerminatedPods");
    for (uint32_t i = uncounted->n; i-- > 0;)
        if (!uncounted->members[i].value->n)
            value_unset(uncounted, uncounted->members[i].key);
    return n;
}

bool job_status_finish(JobSync *sync) {
    if (sync->end == JOB_GOES_ON || uncounted_total(sync) || sync->terminating)
        return false;
    job_condition_set(sync, sync->end == JOB_FAILS ? "Failed" : "Complete", true, sync->reason,
                      sync->message);
    if (sync->end == JOB_SUCCEEDS)
        value_set_str(sync->arena, sync->status, STR("completionTime"),
                      time_format(sync->arena, sync->now));
    return true;
}
