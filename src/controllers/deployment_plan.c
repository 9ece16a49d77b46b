// How many replicas each ReplicaSet of a deployment should have.

#include <stdlib.h>

#include "controllers/deployment.h"

static int64_t total(const Rollout *rollout) {
    int64_t n = 0;
    for (size_t i = 0; i < rollout->n; i++)
        n += rollout->sets[i]->wanted;
    return n;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

// What is about to be deleted does not count, though the status of its set may still do so.
static int64_t available(const Rollout *rollout) {
    int64_t n = 0;
    for (size_t i = 0; i < rollout->n; i++)
        n += least(rollout->sets[i]->available, rollout->sets[i]->wanted);
    return n;
}

static bool is_old(const Rollout *rollout, size_t i) {
    return rollout->sets[i] != rollout->current;
}

// ---- little by little

// How many the current set may have now, given what all have (deploymentutil.NewRSNewReplicas).
static int32_t grown(const Rollout *rollout, int32_t from) {
    int64_t room = (int64_t)rollout->replicas + rollout->max_surge - total(rollout);
    int64_t more = least(room, (int64_t)rollout->replicas - from);
    return room <= 0 ? from : from + (int32_t)more;
}

// Takes up to `n` from old sets, oldest first; only what is not available, if so asked.
static int64_t shrink_old(Rollout *rollout, int64_t n, bool only_unavailable) {
    int64_t taken = 0;
    for (size_t i = 0; i < rollout->n && taken < n; i++) {
        RolloutSet *set = rollout->sets[i];
        if (!is_old(rollout, i))
            continue;
        int64_t have = only_unavailable ? set->wanted - set->available : set->wanted;
        int64_t take = have > 0 ? least(n - taken, have) : 0;
        set->wanted -= (int32_t)take;
        taken += take;
    }
    return taken;
}

// What is not available goes first, or it would block the rollout for ever; then as many as the
// others' availability allows (reconcileOldReplicaSets).
static void shrink(Rollout *rollout) {
    int64_t least_available = (int64_t)rollout->replicas - rollout->max_unavailable;
    const RolloutSet *current = rollout->current;
    int64_t starting = current->wanted - least(current->wanted, current->available);
    int64_t most = total(rollout) - least_available - starting;
    if (most <= 0)
        return;
    most -= shrink_old(rollout, most, true);
    shrink_old(rollout, least(most, available(rollout) - least_available), false);
}

static void plan_rolling(Rollout *rollout) {
    RolloutSet *current = rollout->current;
    if (!current) {
        rollout_add_current(rollout, grown(rollout, 0));
    } else {
        int32_t wanted = current->wanted > rollout->replicas ? rollout->replicas
                                                             : grown(rollout, current->wanted);
        if (wanted != current->wanted) {
            current->wanted = wanted;
            return;
        }
    }
    shrink(rollout);
}

// ---- all at once

static void plan_recreate(Rollout *rollout) {
    bool ended = true;
    for (size_t i = 0; i < rollout->n; i++) {
        RolloutSet *set = rollout->sets[i];
        if (!is_old(rollout, i))
            continue;
        ended &= !set->wanted && set->observed && !set->actual && !set->terminating;
        set->wanted = 0;
    }
    if (!ended)
        return;
    if (!rollout->current)
        rollout_add_current(rollout, rollout->replicas);
    rollout->current->wanted = rollout->replicas;
}

// ---- another size

// The only one that has replicas, or the newest when none has; NULL: several have
// (deploymentutil.FindActiveOrLatest).
static RolloutSet *only_active(const Rollout *rollout) {
    RolloutSet *active = NULL;
    size_t n = 0;
    for (size_t i = 0; i < rollout->n; i++)
        if (rollout->sets[i]->wanted > 0) {
            active = rollout->sets[i];
            n++;
        }
    if (n || !rollout->n)
        return n == 1 ? active : NULL;
    return rollout->current ? rollout->current : rollout->sets[rollout->n - 1];
}

static bool annotated_number(const RolloutSet *set, const char *name, int64_t *ret) {
    return str_to_i64(rollout_annotation(set->object, name), ret) == 0;
}

static bool is_saturated(const Rollout *rollout) {
    const RolloutSet *current = rollout->current;
    int64_t desired;
    return current && annotated_number(current, ROLLOUT_DESIRED, &desired) &&
           desired == rollout->replicas && current->wanted == rollout->replicas &&
           current->available == rollout->replicas;
}

// By how much a set's share of the deployment grows or shrinks
// (deploymentutil.getReplicaSetFraction).
static int64_t fraction(const Rollout *rollout, const RolloutSet *set) {
    int64_t before, most = (int64_t)rollout->replicas + rollout->max_surge;
    if (!rollout->replicas)
        return -(int64_t)set->wanted;
    if (!annotated_number(set, ROLLOUT_MAX, &before) || before <= 0)
        before = value_int_at(rollout->deployment, "status.replicas", 0);
    if (before <= 0)
        return 0;
    return (int64_t)((double)set->wanted * (double)most / (double)before + 0.5) - set->wanted;
}

// Larger first, of equal ones the newer (older when shrinking).
static int by_size(const void *left, const void *right, bool newer) {
    const RolloutSet *a = *(RolloutSet *const *)left, *b = *(RolloutSet *const *)right;
    if (a->wanted != b->wanted)
        return a->wanted > b->wanted ? -1 : 1;
    int order = str_cmp(a->created, b->created);
    return newer ? -order : order;
}

static int by_size_newer(const void *left, const void *right) {
    return by_size(left, right, true);
}

static int by_size_older(const void *left, const void *right) {
    return by_size(left, right, false);
}

// In the middle of a rollout each set gets its share, so that the mixture stays.
// https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#proportional-scaling
static void scale_in_proportion(Rollout *rollout) {
    RolloutSet **active = arena_array_of(rollout->arena, RolloutSet *, rollout->n);
    size_t n = 0;
    for (size_t i = 0; i < rollout->n; i++)
        if (rollout->sets[i]->wanted > 0)
            active[n++] = rollout->sets[i];
    int64_t allowed = rollout->replicas ? (int64_t)rollout->replicas + rollout->max_surge : 0;
    int64_t left = rollout->rolling ? allowed - total(rollout) : 0; // else the old ones go anyway
    qsort(active, n, sizeof(RolloutSet *), left > 0 ? by_size_newer : by_size_older);
    for (size_t i = 0; i < n; i++) {
        int64_t share = left ? fraction(rollout, active[i]) : 0;
        if (left > 0 ? share > left : share < left)
            share = left;
        active[i]->wanted += (int32_t)share;
        active[i]->sized = true;
        left -= share;
    }
    if (n && left) // what rounding left over
        active[0]->wanted = active[0]->wanted + left > 0 ? (int32_t)(active[0]->wanted + left) : 0;
}

static void plan_scale(Rollout *rollout) {
    RolloutSet *only = only_active(rollout);
    if (only) {
        only->wanted = rollout->replicas;
        only->sized = true;
    } else if (is_saturated(rollout)) {
        for (size_t i = 0; i < rollout->n; i++)
            if (is_old(rollout, i))
                rollout->sets[i]->wanted = 0;
    } else {
        scale_in_proportion(rollout);
    }
}

// Whether sets with replicas were made for another size of the deployment (isScalingEvent).
static bool was_scaled(const Rollout *rollout) {
    int64_t desired;
    for (size_t i = 0; i < rollout->n; i++)
        if (rollout->sets[i]->replicas > 0 &&
            annotated_number(rollout->sets[i], ROLLOUT_DESIRED, &desired) &&
            desired != rollout->replicas)
            return true;
    return false;
}

// ---- history

static int by_revision(const void *left, const void *right) {
    const RolloutSet *a = *(RolloutSet *const *)left, *b = *(RolloutSet *const *)right;
    if (a->revision != b->revision)
        return a->revision < b->revision ? -1 : 1;
    return str_cmp(a->created, b->created);
}

// Old sets beyond spec.revisionHistoryLimit go, the first ones first, once they are empty.
static void clean_up(Rollout *rollout) {
    RolloutSet **old = arena_array_of(rollout->arena, RolloutSet *, rollout->n + 1);
    size_t n = 0;
    if (rollout->history_limit < 0)
        return;
    for (size_t i = 0; i < rollout->n; i++)
        if (is_old(rollout, i) && !rollout->sets[i]->deleting)
            old[n++] = rollout->sets[i];
    qsort(old, n, sizeof(RolloutSet *), by_revision);
    for (size_t i = 0; (int64_t)i < (int64_t)n - rollout->history_limit; i++)
        old[i]->removed =
            !old[i]->replicas && !old[i]->wanted && !old[i]->actual && old[i]->observed;
}

void rollout_plan(Rollout *rollout) {
    if (rollout->deleting)
        return;
    if (rollout->paused || was_scaled(rollout)) {
        plan_scale(rollout);
        clean_up(rollout);
        return;
    }
    if (rollout->rolling)
        plan_rolling(rollout);
    else
        plan_recreate(rollout);
    if (rollout_is_complete(rollout, value_get(rollout->deployment, STR("status"))))
        clean_up(rollout);
}
