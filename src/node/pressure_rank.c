// The order in which pods go: those above their request first, then by priority, then by how far
// above.
#include <stdlib.h>

#include "node/pressure.h"

#define SYSTEM_CRITICAL 2000000000

static int32_t priority_of(const Pod *pod) {
    return pod->spec.priority ? *pod->spec.priority : 0;
}

static int by_order(const void *a, const void *b) {
    const PressureCandidate *left = a, *right = b;
    bool left_above = left->used > left->requested, right_above = right->used > right->requested;
    if (left_above != right_above)
        return left_above ? -1 : 1;
    int32_t l = priority_of(left->pod), r = priority_of(right->pod);
    if (l != r)
        return l < r ? -1 : 1;
    int64_t l_above = left->used - left->requested, r_above = right->used - right->requested;
    return l_above > r_above ? -1 : l_above < r_above ? 1 : 0;
}

void pressure_rank(PressureCandidate *candidates, size_t n) {
    if (n)
        qsort(candidates, n, sizeof *candidates, by_order);
}

// kubelet/types IsCriticalPod(): static pods, and those of the system's priority classes.
bool pressure_is_critical(const Pod *pod) {
    Str source = str_map_get(&pod->metadata.annotations, STR("kubernetes.io/config.source"));
    return str_eq(source, STR("file")) || priority_of(pod) >= SYSTEM_CRITICAL;
}
