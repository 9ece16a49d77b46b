// TaintNodesByCondition: a node that has just registered takes no pods before its conditions are known
// (plugin/pkg/admission/nodetaint).

#include "api/admission/admission.h"

#define NOT_READY "node.kubernetes.io/not-ready"

ApiStatus *admission_taint_nodes(Admission *admission) {
    if (admission->operation != ADMISSION_CREATE ||
        !admission_is(admission, STR(""), STR("nodes"), STR("")))
        return NULL;
    Arena *arena = admission->request->arena;
    Value *spec = value_at_make(arena, admission->object, "spec");
    Value *taints = value_get(spec, STR("taints"));
    for (uint32_t i = 0; taints && taints->kind == VALUE_ARRAY && i < taints->n; i++) {
        if (str_eq(value_string_at(taints->items[i], "key"), STR(NOT_READY)) &&
            str_eq(value_string_at(taints->items[i], "effect"), STR("NoSchedule")))
            return NULL;
    }
    if (!taints) {
        taints = value_new_array(arena);
        value_set(arena, spec, STR("taints"), taints);
    }
    Value *taint = value_new_object(arena);
    value_set_str(arena, taint, STR("key"), STR(NOT_READY));
    value_set_str(arena, taint, STR("effect"), STR("NoSchedule"));
    value_push(arena, taints, taint);
    return NULL;
}
