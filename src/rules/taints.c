#include "rules/taints.h"

bool toleration_tolerates(const Toleration *toleration, const Taint *taint) {
    if (toleration->effect.len && !str_eq(toleration->effect, taint->effect))
        return false;
    if (toleration->key.len && !str_eq(toleration->key, taint->key))
        return false;
    if (!toleration->operator.len || str_eq(toleration->operator, STR("Equal")))
        return str_eq(toleration->value, taint->value);
    return str_eq(toleration->operator, STR("Exists"));
}

bool tolerations_tolerate(const Toleration *tolerations, size_t n, const Taint *taint) {
    for (size_t i = 0; i < n; i++) {
        if (toleration_tolerates(&tolerations[i], taint))
            return true;
    }
    return false;
}

static unsigned taint_effect(const Taint *taint) {
    return str_eq(taint->effect, STR("NoSchedule"))         ? TAINT_NO_SCHEDULE
           : str_eq(taint->effect, STR("PreferNoSchedule")) ? TAINT_PREFER_NO_SCHEDULE
           : str_eq(taint->effect, STR("NoExecute"))        ? TAINT_NO_EXECUTE
                                                            : 0;
}

const Taint *taints_find_untolerated(const Taint *taints, size_t n_taints,
                                     const Toleration *tolerations, size_t n_tolerations,
                                     unsigned effects) {
    for (size_t i = 0; i < n_taints; i++) {
        if ((taint_effect(&taints[i]) & effects) &&
            !tolerations_tolerate(tolerations, n_tolerations, &taints[i]))
            return &taints[i];
    }
    return NULL;
}

bool taint_is_same(const Taint *a, const Taint *b) {
    return str_eq(a->key, b->key) && str_eq(a->effect, b->effect);
}
