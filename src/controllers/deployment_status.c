// What a deployment's status says (pkg/controller/deployment/progress.go, sync.go).

#include "base/time.h"
#include "controllers/deployment.h"

static const Value *find(const Value *conditions, const char *type) {
    for (uint32_t i = 0; conditions && i < conditions->n; i++)
        if (str_eq(value_string_at(conditions->items[i], "type"), str_from(type)))
            return conditions->items[i];
    return NULL;
}

static void drop(Value *conditions, const char *type) {
    for (uint32_t i = conditions->n; i-- > 0;)
        if (str_eq(value_string_at(conditions->items[i], "type"), str_from(type)))
            value_remove_item(conditions, i);
}

static bool has(const Value *condition, const char *field, const char *text) {
    return condition && str_eq(value_string_at(condition, field), str_from(text));
}

static void push(Rollout *rollout, const char *type, Str status, Str reason, Str message,
                 Str changed, Str updated) {
    Arena *arena = rollout->arena;
    Value *condition = value_new_object(arena);
    value_set_str(arena, condition, STR("type"), str_from(type));
    value_set_str(arena, condition, STR("status"), status);
    value_set_str(arena, condition, STR("lastUpdateTime"), updated);
    value_set_str(arena, condition, STR("lastTransitionTime"), changed);
    if (reason.len)
        value_set_str(arena, condition, STR("reason"), reason);
    if (message.len)
        value_set_str(arena, condition, STR("message"), message);
    drop(rollout->conditions, type);
    value_push(arena, rollout->conditions, condition);
}

static void put(Rollout *rollout, const char *type, const char *status, const char *reason,
                Str message) {
    const Value *old = find(rollout->conditions, type);
    Str now = time_format(rollout->arena, rollout->now);
    Str changed = has(old, "status", status) ? value_string_at(old, "lastTransitionTime") : now;
    push(rollout, type, str_from(status), str_from(reason), message, changed, now);
}

void rollout_set_condition(Rollout *rollout, const char *type, const char *status,
                           const char *reason, Str message) {
    const Value *old = find(rollout->conditions, type);
    if (!has(old, "status", status) || !has(old, "reason", reason))
        put(rollout, type, status, reason, message);
}

void rollout_note(Rollout *rollout) {
    const Value *progress = find(rollout->conditions, "Progressing");
    bool is_paused = has(progress, "reason", "DeploymentPaused");
    if (rollout->deadline < 0 || rollout->deleting)
        return;
    if (rollout->paused && !is_paused && !has(progress, "reason", "ProgressDeadlineExceeded"))
        rollout_set_condition(rollout, "Progressing", "Unknown", "DeploymentPaused",
                              STR("Deployment is paused"));
    else if (!rollout->paused && is_paused)
        rollout_set_condition(rollout, "Progressing", "Unknown", "DeploymentResumed",
                              STR("Deployment is resumed"));
    else if (!progress && rollout->current)
        rollout_set_condition(rollout, "Progressing", "True", "FoundNewReplicaSet",
                              arena_printf(rollout->arena, "Found new replica set \"%.*s\"",
                                           STR_ARG(rollout->current->name)));
}

void rollout_note_failure(Rollout *rollout, Str message) {
    const Value *progress = find(rollout->conditions, "Progressing");
    if (rollout->deadline >= 0 && !has(progress, "reason", "ProgressDeadlineExceeded"))
        rollout_set_condition(rollout, "Progressing", "False", "ReplicaSetCreateError", message);
}

// ---- counts

static void set_count(Arena *arena, Value *status, const char *key, int64_t number) {
    if (number)
        value_set_int(arena, status, str_from(key), number);
}

// deploymentutil calculateStatus, without the conditions.
static Value *counts_of(const Rollout *rollout) {
    Arena *arena = rollout->arena;
    Value *status = value_new_object(arena);
    int64_t wanted = 0, actual = 0, ready = 0, available = 0, terminating = 0;
    for (size_t i = 0; i < rollout->n; i++) {
        const RolloutSet *set = rollout->sets[i];
        wanted += set->wanted;
        actual += set->actual;
        ready += set->ready;
        available += set->available;
        terminating += set->terminating;
    }
    set_count(arena, status, "observedGeneration",
              value_int_at(rollout->deployment, "metadata.generation", 0));
    set_count(arena, status, "replicas", actual);
    set_count(arena, status, "updatedReplicas", rollout->current ? rollout->current->actual : 0);
    set_count(arena, status, "readyReplicas", ready);
    set_count(arena, status, "availableReplicas", available);
    set_count(arena, status, "unavailableReplicas", wanted > available ? wanted - available : 0);
    value_set_int(arena, status, STR("terminatingReplicas"), terminating);
    if (rollout->collisions >= 0)
        value_set_int(arena, status, STR("collisionCount"), rollout->collisions);
    return status;
}

static int64_t count(const Value *status, const char *field) {
    return value_int_at(status, field, 0);
}

// deploymentutil.DeploymentComplete
bool rollout_is_complete(const Rollout *rollout, const Value *status) {
    return count(status, "updatedReplicas") == rollout->replicas &&
           count(status, "replicas") == rollout->replicas &&
           count(status, "availableReplicas") == rollout->replicas &&
           count(status, "observedGeneration") >=
               value_int_at(rollout->deployment, "metadata.generation", 0);
}

// deploymentutil.DeploymentProgressing
static bool has_progressed(const Value *old, const Value *now) {
    return count(now, "updatedReplicas") > count(old, "updatedReplicas") ||
           count(now, "replicas") - count(now, "updatedReplicas") <
               count(old, "replicas") - count(old, "updatedReplicas") ||
           count(now, "readyReplicas") > count(old, "readyReplicas") ||
           count(now, "availableReplicas") > count(old, "availableReplicas");
}

// When the deadline passes, by the condition (Unix ns); INT64_MAX: never.
static int64_t due(const Rollout *rollout, const Value *progress) {
    int64_t updated;
    if (rollout->deadline < 0 || !progress || has(progress, "reason", "NewReplicaSetAvailable") ||
        has(progress, "reason", "ProgressDeadlineExceeded") ||
        time_parse(value_string_at(progress, "lastUpdateTime"), &updated) != 0)
        return INT64_MAX;
    return updated + rollout->deadline * NSEC_PER_SEC;
}

// ---- conditions

static Str about(const Rollout *rollout, const char *what) {
    const RolloutSet *current = rollout->current;
    return arena_printf(rollout->arena, "%s \"%.*s\" %s", current ? "ReplicaSet" : "Deployment",
                        STR_ARG(current ? current->name : rollout->name), what);
}

// syncRolloutStatus
static void judge_progress(Rollout *rollout, const Value *status) {
    const Value *progress = find(rollout->conditions, "Progressing");
    const Value *old = value_get(rollout->deployment, STR("status"));
    if (rollout->deadline < 0) {
        drop(rollout->conditions, "Progressing");
        return;
    }
    if (count(status, "replicas") == count(status, "updatedReplicas") &&
        has(progress, "reason", "NewReplicaSetAvailable"))
        return; // complete: a pod that fails later is no rollout
    if (rollout_is_complete(rollout, status))
        rollout_set_condition(rollout, "Progressing", "True", "NewReplicaSetAvailable",
                              about(rollout, "has successfully progressed."));
    else if (has_progressed(old, status))
        put(rollout, "Progressing", "True", "ReplicaSetUpdated", about(rollout, "is progressing."));
    else if (due(rollout, progress) < rollout->now)
        rollout_set_condition(rollout, "Progressing", "False", "ProgressDeadlineExceeded",
                              about(rollout, "has timed out progressing."));
}

static const Value *failure_of(const RolloutSet *set) {
    return set && set->object ? find(value_at(set->object, "status.conditions"), "ReplicaFailure")
                              : NULL;
}

// A set's failure is the deployment's; the current set's rather than another's.
static void take_failure(Rollout *rollout) {
    const Value *failure = failure_of(rollout->current);
    const Value *old = find(rollout->conditions, "ReplicaFailure");
    for (size_t i = 0; i < rollout->n && !failure; i++)
        failure = failure_of(rollout->sets[i]);
    if (!failure) {
        drop(rollout->conditions, "ReplicaFailure");
        return;
    }
    Str status = value_string_at(failure, "status"), reason = value_string_at(failure, "reason");
    Str changed = value_string_at(failure, "lastTransitionTime");
    if (!old || !str_eq(value_string_at(old, "status"), status) ||
        !str_eq(value_string_at(old, "reason"), reason))
        push(rollout, "ReplicaFailure", status, reason, value_string_at(failure, "message"),
             changed, changed);
}

static void judge_availability(Rollout *rollout, const Value *status) {
    bool enough =
        count(status, "availableReplicas") >= (int64_t)rollout->replicas - rollout->max_unavailable;
    rollout_set_condition(rollout, "Available", enough ? "True" : "False",
                          enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
                          enough ? STR("Deployment has minimum availability.")
                                 : STR("Deployment does not have minimum availability."));
}

Value *rollout_status(Rollout *rollout, int64_t *ret_check_ns) {
    Value *status = counts_of(rollout);
    judge_availability(rollout, status);
    if (!rollout->paused && !rollout->deleting) {
        judge_progress(rollout, status);
        take_failure(rollout);
    }
    value_set(rollout->arena, status, STR("conditions"), rollout->conditions);
    int64_t at = due(rollout, find(rollout->conditions, "Progressing"));
    *ret_check_ns = 0;
    if (at != INT64_MAX && !rollout->paused && !rollout_is_complete(rollout, status))
        *ret_check_ns = (at > rollout->now ? at - rollout->now : 0) + NSEC_PER_SEC;
    return status;
}
