#include "rules/pod_status.h"

bool pod_is_terminal(const Pod *pod) {
    return str_eq(pod->status.phase, STR("Succeeded")) || str_eq(pod->status.phase, STR("Failed"));
}

bool pod_is_ready(const Pod *pod) {
    const PodCondition *ready = pod_condition(&pod->status, STR("Ready"));
    return ready && str_eq(ready->status, STR("True"));
}

bool pod_is_active(const Pod *pod) {
    return !pod_is_terminal(pod) && pod->metadata.deletion_timestamp == 0;
}

const PodCondition *pod_condition(const PodStatus *status, Str type) {
    for (size_t i = 0; i < status->conditions.len; i++) {
        if (str_eq(status->conditions.items[i].type, type))
            return &status->conditions.items[i];
    }
    return NULL;
}

static bool is_equal(const PodCondition *a, const PodCondition *b) {
    return str_eq(a->status, b->status) && str_eq(a->reason, b->reason) &&
           str_eq(a->message, b->message) && a->last_probe_time == b->last_probe_time &&
           a->last_transition_time == b->last_transition_time &&
           a->observed_generation == b->observed_generation;
}

bool pod_condition_set(Arena *arena, PodStatus *status, PodCondition condition, int64_t now) {
    const PodCondition *old = pod_condition(status, condition.type);
    size_t n = status->conditions.len;
    size_t at = old ? (size_t)(old - status->conditions.items) : n;
    condition.last_transition_time =
        old && str_eq(condition.status, old->status) ? old->last_transition_time : now;
    if (old && is_equal(&condition, old))
        return false;
    // A list of its own: the old one may be shared with the object that the status was copied from.
    PodCondition *items = arena_array_of(arena, PodCondition, old ? n : n + 1);
    if (n)
        memcpy(items, status->conditions.items, n * sizeof *items);
    items[at] = condition;
    status->conditions.items = items;
    status->conditions.len = old ? n : n + 1;
    return true;
}
