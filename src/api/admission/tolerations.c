// DefaultTolerationSeconds: pods leave a node that is gone after five minutes, unless they say otherwise.

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
