// Two small plugins about pods: DefaultTolerationSeconds and Priority.

#include <inttypes.h>

#include "api/admission/admission.h"

#define NOT_READY "node.kubernetes.io/not-ready"
#define UNREACHABLE "node.kubernetes.io/unreachable"
#define TOLERATION_SECONDS 300 // upstream's --default-not-ready-toleration-seconds

static bool tolerates(const Value *tolerations, Str key) {
    for (uint32_t i = 0; tolerations && tolerations->kind == VALUE_ARRAY && i < tolerations->n;
         i++) {
        Str own = value_string_at(tolerations->items[i], "key");
        Str effect = value_string_at(tolerations->items[i], "effect");
        if ((!own.len || str_eq(own, key)) && (!effect.len || str_eq(effect, STR("NoExecute"))))
            return true;
    }
    return false;
}

static void tolerate(Arena *arena, Value *spec, const char *key) {
    Value *tolerations = value_get(spec, STR("tolerations"));
    if (tolerates(tolerations, str_from(key)))
        return;
    if (!tolerations) {
        tolerations = value_new_array(arena);
        value_set(arena, spec, STR("tolerations"), tolerations);
    }
    Value *toleration = value_new_object(arena);
    value_set_str(arena, toleration, STR("key"), str_from(key));
    value_set_str(arena, toleration, STR("operator"), STR("Exists"));
    value_set_str(arena, toleration, STR("effect"), STR("NoExecute"));
    value_set_int(arena, toleration, STR("tolerationSeconds"), TOLERATION_SECONDS);
    value_push(arena, tolerations, toleration);
}

ApiStatus *admission_default_tolerations(Admission *admission) {
    bool write =
        admission->operation == ADMISSION_CREATE || admission->operation == ADMISSION_UPDATE;
    if (!write || !admission_is(admission, STR(""), STR("pods"), STR("")))
        return NULL;
    Arena *arena = admission->request->arena;
    Value *spec = value_at_make(arena, admission->object, "spec");
    tolerate(arena, spec, NOT_READY);
    tolerate(arena, spec, UNREACHABLE);
    return NULL;
}

// ---- priority: https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/

static bool find_class(Str name, int64_t *ret_value) {
    static const struct {
        const char *name;
        int64_t value;
    } classes[] = {
        // every cluster has these two; PriorityClass objects come with their API group
        {"system-cluster-critical", 2000000000},
        {"system-node-critical", 2000001000},
    };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (str_eq(name, str_from(classes[i].name))) {
            *ret_value = classes[i].value;
            return true;
        }
    }
    return false;
}

ApiStatus *admission_priority(Admission *admission) {
    if (admission->operation != ADMISSION_CREATE ||
        !admission_is(admission, STR(""), STR("pods"), STR("")))
        return NULL;
    Arena *arena = admission->request->arena;
    Value *spec = value_at_make(arena, admission->object, "spec");
    Str name = value_string_at(spec, "priorityClassName");
    int64_t priority = 0;
    if (name.len && !find_class(name, &priority))
        return admission_forbidden(
            admission,
            arena_printf(arena, "no PriorityClass with name %.*s was found", STR_ARG(name)));
    const Value *given = value_get(spec, STR("priority"));
    if (given && given->kind == VALUE_INT && given->integer != priority)
        return admission_forbidden(admission,
                                   arena_printf(arena,
                                                "the integer value of priority (%" PRId64
                                                ") must not be provided in pod spec; "
                                                "priority admission controller computed %" PRId64
                                                " from the given PriorityClass name",
                                                given->integer, priority));
    value_set_int(arena, spec, STR("priority"), priority);
    Str policy = value_string_at(spec, "preemptionPolicy");
    if (policy.len && !str_eq(policy, STR("PreemptLowerPriority")))
        return admission_forbidden(
            admission,
            arena_printf(
                arena,
                "the string value of PreemptionPolicy (%.*s) must not be provided in pod spec; "
                "priority admission controller computed PreemptLowerPriority from the given "
                "PriorityClass name",
                STR_ARG(policy)));
    value_set_str(arena, spec, STR("preemptionPolicy"), STR("PreemptLowerPriority"));
    return NULL;
}
