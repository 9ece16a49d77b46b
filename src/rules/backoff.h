#pragma once
// How long to wait before a container is started again or an image pulled again: 10 s, doubling up
// to 5 min, forgotten after twice that long without trouble. client-go's util/flowcontrol Backoff
// as the kubelet uses it.
// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy

#include "base/loop.h"

#define BACKOFF_FIRST (10 * NSEC_PER_SEC)
#define BACKOFF_LAST (300 * NSEC_PER_SEC)

typedef struct Backoff {
    int64_t delay_ns; // 0: no trouble known
    int64_t updated;  // when delay_ns was set, Unix ns
} Backoff;

static inline void backoff_init(Backoff *backoff) {
    *backoff = (Backoff){0};
}
// How long the next try must still wait at `now`, counted from `since` (when the last one ended).
// 0: go. Unix ns.
int64_t backoff_remaining(const Backoff *backoff, int64_t since, int64_t now);
// Another try begins at `now`; the last one ended at `since`.
void backoff_next(Backoff *backoff, int64_t since, int64_t now);
