#pragma once
// Which taints of a node a pod tolerates, as api/core/v1 Toleration.ToleratesTaint and
// component-helpers' FindMatchingUntoleratedTaint decide it.
// https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/

#include "kinds/kinds.h"

enum { // effects, to be combined
    TAINT_NO_SCHEDULE = 1,
    TAINT_PREFER_NO_SCHEDULE = 2,
    TAINT_NO_EXECUTE = 4,
};

// An empty effect stands for all effects, an empty key for all keys, no operator for Equal. The
// operators Lt and Gt (KEP-5471, alpha and off by default in v1.35) match nothing.
bool toleration_tolerates(const Toleration *toleration, const Taint *taint);
bool tolerations_tolerate(const Toleration *tolerations, size_t n, const Taint *taint);
// The first taint with one of `effects` that no toleration tolerates, or NULL.
const Taint *taints_find_untolerated(const Taint *taints, size_t n_taints,
                                     const Toleration *tolerations, size_t n_tolerations,
                                     unsigned effects);
// The same taint as far as a node's list goes: by key and effect, whatever the value
// (Taint.MatchTaint).
bool taint_is_same(const Taint *a, const Taint *b);
