// A job's pods as it sees them (pkg/controller/job: backoff_utils.go, pod_failure_policy.go,
// indexed_job_utils.go upstream).

#include <inttypes.h>
#include <stdlib.h>

#include "controllers/job.h"
#include "rules/pod_status.h"

#define BACKOFF_FIRST (10 * NSEC_PER_SEC)
#define BACKOFF_MOST (600 * NSEC_PER_SEC)

// ---- the failure policy
// https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy

static bool is_exit_code_listed(const Value *requirement, int32_t code) {
    const Value *values = value_get(requirement, STR("values"));
    bool listed = false;
    for (uint32_t i = 0; values && i < values->n; i++)
        listed |= values->items[i]->integer == code;
    return str_eq(value_string_at(requirement, "operator"), STR("In")) == listed;
}

static const ContainerStatus *match_exit_code(const ContainerStatus *list, size_t n,
                                              const Value *requirement) {
    Str name = value_string_at(requirement, "containerName");
    for (size_t i = 0; i < n; i++) {
        const ContainerStateTerminated *ended = list[i].state.terminated;
        if (ended && ended->exit_code && (!name.ptr || str_eq(name, list[i].name)) &&
            is_exit_code_listed(requirement, ended->exit_code))
            return &list[i];
    }
    return NULL;
}

static const PodCondition *match_condition(const PodStatus *status, const Value *patterns) {
    for (size_t i = 0; i < status->conditions.len; i++) {
        const PodCondition *condition = &status->conditions.items[i];
        for (uint32_t k = 0; k < patterns->n; k++) {
            Str wanted = value_string_at(patterns->items[k], "status");
            if (str_eq(condition->type, value_string_at(patterns->items[k], "type")) &&
                str_eq(condition->status, wanted.len ? wanted : STR("True")))
                return condition;
        }
    }
    return NULL;
}

// Returns why the rule is for that pod; STR_NONE when it is not.
static Str match_rule(Arena *arena, const Value *rule, uint32_t index, const Pod *pod) {
    const Value *codes = value_get(rule, STR("onExitCodes"));
    const Value *conditions = value_get(rule, STR("onPodConditions"));
    Str action = value_string_at(rule, "action");
    if (codes) {
        const ContainerStatus *container = match_exit_code(
            pod->status.container_statuses.items, pod->status.container_statuses.len, codes);
        if (!container)
            container = match_exit_code(pod->status.init_container_statuses.items,
                                        pod->status.init_container_statuses.len, codes);
        if (!container)
            return STR_NONE;
        return arena_printf(arena,
                            "Container %.*s for pod %.*s/%.*s failed with exit code %d matching "
                            "%.*s rule at index %" PRIu32,
                            STR_ARG(container->name), STR_ARG(pod->metadata.namespace),
                            STR_ARG(pod->metadata.name),
                            (int)container->state.terminated->exit_code, STR_ARG(action), index);
    }
    const PodCondition *condition = conditions ? match_condition(&pod->status, conditions) : NULL;
    if (!condition)
        return STR_NONE;
    return arena_printf(arena,
                        "Pod %.*s/%.*s has condition %.*s matching %.*s rule at index %" PRIu32,
                        STR_ARG(pod->metadata.namespace), STR_ARG(pod->metadata.name),
                        STR_ARG(condition->type), STR_ARG(action), index);
}

static void apply_policy(const JobSync *sync, JobPod *pod, const Pod *object) {
    const Value *rules = value_at(sync->spec, "podFailurePolicy.rules");
    for (uint32_t i = 0; rules && i < rules->n; i++) {
        Str action = value_string_at(rules->items[i], "action");
        // Without limits per index, FailIndex means nothing.
        bool fails_index = str_eq(action, STR("FailIndex"));
        if (fails_index && sync->per_index < 0)
            continue;
        Str why = match_rule(sync->arena, rules->items[i], i, object);
        if (!why.ptr)
            continue;
        pod->counts = !str_eq(action, STR("Ignore"));
        pod->fails_index = fails_index;
        if (str_eq(action, STR("FailJob")))
            pod->fails_job = why;
        return;
    }
}

// ---- one pod

// When it ended: getFinishedTime upstream.
static int64_t ended_at(const Pod *pod) {
    int64_t latest = 0;
    for (size_t i = 0; i < pod->status.container_statuses.len; i++) {
        const ContainerStateTerminated *ended =
            pod->status.container_statuses.items[i].state.terminated;
        if (!ended || !ended->finished_at) {
            latest = 0;
            break;
        }
        if (ended->finished_at > latest)
            latest = ended->finished_at;
    }
    if (latest)
        return latest;
    const PodCondition *ready = pod_condition(&pod->status, STR("Ready"));
    if (ready && str_eq(ready->status, STR("False")) && ready->last_transition_time)
        return ready->last_transition_time;
    if (pod->metadata.deletion_timestamp) {
        const int64_t *grace = pod->metadata.deletion_grace_period_seconds;
        return pod->metadata.deletion_timestamp - (grace ? *grace : 0) * NSEC_PER_SEC;
    }
    return pod->metadata.creation_timestamp;
}

static int64_t number_of(const Pod *pod, const char *annotation) {
    Str text = str_map_get(&pod->metadata.annotations, str_from(annotation));
    int64_t number;
    return text.ptr && str_to_i64(text, &number) == 0 && number >= 0 && number <= INT32_MAX ? number
                                                                                            : 0;
}

static bool is_listed(const Value *uids, Str uid) {
    for (uint32_t i = 0; uids && i < uids->n; i++)
        if (str_eq(uids->items[i]->string, uid))
            return true;
    return false;
}

// Only pods that ended and are not counted yet are read whole: there are few of them at a time.
static void read_ended(const JobSync *sync, JobPod *pod) {
    Pod *object = arena_new_of(sync->arena, Pod);
    if (typed_from_json(sync->arena, kinds_type_Pod(),
                        arena_str(sync->arena, bytes_str(pod->facts->object->bytes)), object) != 0)
        return;
    pod->ended = ended_at(object);
    pod->index_failures = number_of(object, JOB_INDEX_FAILURES);
    pod->index_ignored = number_of(object, JOB_INDEX_IGNORED);
    if (pod->failed)
        apply_policy(sync, pod, object);
}

bool job_pod_has_valid_index(const JobSync *sync, const JobPod *pod) {
    return !sync->indexed || (pod->index >= 0 && pod->index < sync->completions);
}

static void add_pod(void *user, const PodFacts *facts) {
    JobSync *sync = user;
    if (facts->phase >= POD_SUCCEEDED && !facts->job_tracked)
        return; // counted long ago
    JobPod *pod = &sync->pods[sync->n_pods++];
    const Value *uncounted = value_at(sync->status, "uncountedTerminatedPods");
    *pod = (JobPod){.name = arena_str(sync->arena, facts->name),
                    .uid = arena_str(sync->arena, facts->uid),
                    .facts = facts,
                    .index = facts->job_index,
                    .active = pod_facts_active(facts),
                    .terminating = facts->deleting && facts->phase < POD_SUCCEEDED,
                    .tracked = facts->job_tracked,
                    .succeeded = facts->phase == POD_SUCCEEDED,
                    .counts = true};
    pod->ready = pod->active && facts->ready;
    pod->failed = facts->phase == POD_FAILED ||
                  (!sync->only_failed && facts->deleting && facts->phase != POD_SUCCEEDED);
    if (pod->tracked && (pod->failed || pod->succeeded))
        read_ended(sync, pod);
    pod->is_new =
        pod->tracked && (pod->failed || pod->succeeded) && job_pod_has_valid_index(sync, pod) &&
        !is_listed(value_get(uncounted, pod->failed ? STR("failed") : STR("succeeded")), pod->uid);
    sync->active += pod->active;
    sync->ready += pod->ready;
    sync->terminating += pod->terminating;
    sync->succeeded += pod->is_new && pod->succeeded;
    sync->failed += pod->is_new && pod->failed && pod->counts;
}

// ---- backing off

static void note_backoff(JobSync *sync) {
    int64_t last_success = 0, last_failure = 0, failures = 0;
    for (size_t i = 0; i < sync->n_pods; i++)
        if (sync->pods[i].is_new && sync->pods[i].succeeded && sync->pods[i].ended >= last_success)
            last_success = sync->pods[i].ended ? sync->pods[i].ended : 1;
    for (size_t i = 0; i < sync->n_pods; i++) {
        const JobPod *pod = &sync->pods[i];
        if (!pod->is_new || !pod->failed || pod->ended <= last_success)
            continue;
        failures++;
        if (pod->ended > last_failure)
            last_failure = pod->ended;
    }
    if (last_success)
        sync->backoff = (JobBackoff){0};
    sync->backoff.failures += failures;
    if (failures)
        sync->backoff.last = last_failure;
}

int64_t job_backoff_left(const JobBackoff *backoff, int64_t now) {
    if (!backoff->failures)
        return 0;
    int64_t delay = BACKOFF_FIRST;
    for (int64_t i = 1; i < backoff->failures && delay < BACKOFF_MOST; i++)
        delay *= 2;
    if (delay > BACKOFF_MOST)
        delay = BACKOFF_MOST;
    int64_t left = backoff->last + delay - now;
    return left > 0 ? left : 0;
}

// ---- indexes

static bool fails_its_index(const JobSync *sync, const JobPod *pod) {
    return pod->failed && pod->tracked &&
           (pod->fails_index || (pod->counts && pod->index_failures >= sync->per_index));
}

static void add_indexes(JobSync *sync) {
    Arena *arena = sync->arena;
    int64_t *done = arena_array_of(arena, int64_t, sync->n_pods + 1);
    int64_t *failed = arena_array_of(arena, int64_t, sync->n_pods + 1);
    size_t n_done = 0, n_failed = 0;
    for (size_t i = 0; i < sync->n_pods; i++) {
        const JobPod *pod = &sync->pods[i];
        if (!pod->tracked || !job_pod_has_valid_index(sync, pod))
            continue;
        if (pod->succeeded)
            done[n_done++] = pod->index;
        else if (sync->per_index >= 0 && fails_its_index(sync, pod))
            failed[n_failed++] = pod->index;
    }
    sync->done_before = job_indexes_parse(arena, value_string_at(sync->status, "completedIndexes"),
                                          sync->completions);
    sync->failed_indexes =
        job_indexes_parse(arena, value_string_at(sync->status, "failedIndexes"), sync->completions);
    JobIndexes more = job_indexes_of(arena, done, n_done);
    sync->done = job_indexes_union(arena, &sync->done_before, &more);
    more = job_indexes_of(arena, failed, n_failed);
    sync->failed_indexes = job_indexes_union(arena, &sync->failed_indexes, &more);
    sync->succeeded = job_indexes_total(&sync->done);
}

static int by_index(const void *left, const void *right) {
    const JobPod *a = *(JobPod *const *)left, *b = *(JobPod *const *)right;
    int64_t x = a->index_failures + a->index_ignored, y = b->index_failures + b->index_ignored;
    if (a->index != b->index)
        return a->index < b->index ? -1 : 1;
    if (x != y)
        return x < y ? -1 : 1;
    if (a->ended != b->ended)
        return a->ended < b->ended ? -1 : 1;
    return str_cmp(a->uid, b->uid);
}

// getPodsWithDelayedDeletionPerIndex: the last failed pod of each index that waits for another.
static void mark_delayed(JobSync *sync) {
    JobPod **candidates = arena_array_of(sync->arena, JobPod *, sync->n_pods + 1);
    int64_t *active = arena_array_of(sync->arena, int64_t, sync->n_pods + 1);
    size_t n = 0, n_active = 0;
    for (size_t i = 0; i < sync->n_pods; i++)
        if (sync->pods[i].active && sync->pods[i].index >= 0)
            active[n_active++] = sync->pods[i].index;
    JobIndexes running = job_indexes_of(sync->arena, active, n_active);
    for (size_t i = 0; i < sync->n_pods; i++) {
        JobPod *pod = &sync->pods[i];
        if (pod->tracked && pod->failed && job_pod_has_valid_index(sync, pod) &&
            !job_indexes_has(&sync->done, pod->index) && !job_indexes_has(&running, pod->index) &&
            !job_indexes_has(&sync->failed_indexes, pod->index))
            candidates[n++] = pod;
    }
    if (n)
        qsort(candidates, n, sizeof *candidates, by_index);
    for (size_t i = 0; i < n; i++)
        candidates[i]->delayed = i + 1 == n || candidates[i + 1]->index != candidates[i]->index;
}

const JobPod *job_pod_before(const JobSync *sync, int64_t index) {
    for (size_t i = 0; i < sync->n_pods; i++)
        if (sync->pods[i].delayed && sync->pods[i].index == index)
            return &sync->pods[i];
    return NULL;
}

void job_pods_read(JobSync *sync) {
    const Value *uncounted = value_at(sync->status, "uncountedTerminatedPods");
    const Value *succeeded = value_get(uncounted, STR("succeeded"));
    const Value *failed = value_get(uncounted, STR("failed"));
    sync->succeeded = value_int_at(sync->status, "succeeded", 0) + (succeeded ? succeeded->n : 0);
    sync->failed = value_int_at(sync->status, "failed", 0) + (failed ? failed->n : 0);
    sync->pods = arena_array_of(sync->arena, JobPod,
                                owned_pods_count(sync->owner.control->pods, sync->owner.uid) + 1);
    owned_pods_each(sync->owner.control->pods, sync->owner.uid, add_pod, sync);
    note_backoff(sync);
    if (!sync->indexed)
        return;
    add_indexes(sync);
    if (sync->per_index >= 0)
        mark_delayed(sync);
}

// ---- too many

// controller.ActivePods: what is given up first.
static int by_worth(const JobPod *x, const JobPod *y) {
    static const int phases[] = {[POD_PENDING] = 0, [POD_UNKNOWN] = 1, [POD_RUNNING] = 2};
    const PodFacts *a = x->facts, *b = y->facts;
    if (!a->node_name.len != !b->node_name.len)
        return a->node_name.len ? 1 : -1;
    if (a->phase != b->phase)
        return phases[a->phase] - phases[b->phase];
    if (a->ready != b->ready)
        return a->ready ? 1 : -1;
    if (a->ready && a->ready_since != b->ready_since)
        return a->ready_since > b->ready_since ? -1 : 1;
    if (a->restarts != b->restarts)
        return a->restarts > b->restarts ? -1 : 1;
    if (a->created != b->created)
        return a->created > b->created ? -1 : 1;
    return str_cmp(a->uid, b->uid);
}

static int compare_worth(const void *left, const void *right) {
    return by_worth(*(JobPod *const *)left, *(JobPod *const *)right);
}

static int compare_index_and_worth(const void *left, const void *right) {
    const JobPod *a = *(JobPod *const *)left, *b = *(JobPod *const *)right;
    if (a->index != b->index)
        return a->index < b->index ? -1 : 1;
    return by_worth(a, b);
}

size_t job_pods_surplus(JobSync *sync, size_t at_least, const JobPod **ret) {
    const JobPod **active = arena_array_of(sync->arena, const JobPod *, sync->n_pods + 1);
    size_t n = 0, n_left = 0, n_surplus = 0;
    for (size_t i = 0; i < sync->n_pods; i++)
        if (sync->pods[i].active)
            active[n++] = &sync->pods[i];
    if (n && sync->indexed)
        qsort(active, n, sizeof *active, compare_index_and_worth);
    for (size_t i = 0; i < n; i++) {
        bool twin = sync->indexed && i + 1 < n && active[i + 1]->index == active[i]->index;
        if (twin || !job_pod_has_valid_index(sync, active[i]))
            ret[n_surplus++] = active[i];
        else
            active[n_left++] = active[i];
    }
    if (n_surplus >= at_least)
        return n_surplus;
    if (n_left)
        qsort(active, n_left, sizeof *active, compare_worth);
    for (size_t i = 0; i < n_left && n_surplus < at_least; i++)
        ret[n_surplus++] = active[i];
    return n_surplus;
}
