// pods/ephemeralcontainers: containers are added to a running pod, and nothing else changes.
// podEphemeralContainersStrategy and ValidatePodEphemeralContainersUpdate upstream.

#include "kinds/pod.h"

#define MIRROR_ANNOTATION "kubernetes.io/config.mirror"

static const Str list_name = {"ephemeralContainers", 19};

// Everything but the list and what the request says of itself is taken from the stored pod.
void pod_prepare_ephemeral(Arena *arena, Value *pod, const Value *old) {
    Value *kept = value_copy(arena, old);
    Value *containers = value_get(GET(pod, "spec"), list_name);
    Value *fields = value_at(pod, "metadata.managedFields");
    Value *spec = value_at_make(arena, kept, "spec");
    if (containers)
        value_set(arena, spec, list_name, containers);
    else
        value_unset(spec, list_name);
    if (fields)
        value_set(arena, value_at_make(arena, kept, "metadata"), STR("managedFields"), fields);
    *pod = *kept;
}

static const Value *find(const Value *containers, Str name) {
    for (uint32_t i = 0; i < list_count(containers); i++)
        if (str_eq(GET_STR(containers->items[i], "name"), name))
            return containers->items[i];
    return NULL;
}

// The list with this one item alone, so that a difference has a path in the spec.
static Value *alone(Arena *arena, const Value *container) {
    Value *spec = value_new_object(arena), *list = value_new_array(arena);
    value_push(arena, list, value_copy(arena, container));
    value_set(arena, spec, list_name, list);
    return spec;
}

static void check_kept(FieldErrors *errors, const Value *old, const Value *now) {
    const Path *path = PATH(&pod_spec_path, list_name);
    Str name = GET_STR(old, "name");
    if (!now) {
        field_forbidden(errors, path,
                        arena_printf(errors->arena,
                                     "existing ephemeral containers \"%.*s\" may not be removed\n",
                                     STR_ARG(name))
                            .ptr);
    } else if (!value_equal(old, now)) {
        Str parts[] = {
            arena_printf(errors->arena,
                         "existing ephemeral containers \"%.*s\" may not be changed\n",
                         STR_ARG(name)),
            pod_difference(errors->arena, alone(errors->arena, old), alone(errors->arena, now))};
        field_forbidden(errors, path,
                        arena_cstr(errors->arena, arena_concat(errors->arena, parts, 2, STR(""))));
    }
}

void pod_validate_ephemeral(FieldErrors *errors, const Value *pod, const Value *old) {
    const Value *now = value_get(GET(pod, "spec"), list_name);
    const Value *before = value_get(GET(old, "spec"), list_name);
    pod_validate_annotation_update(errors, pod, old);
    if (value_get(value_at(old, "metadata.annotations"), STR(MIRROR_ANNOTATION))) {
        errors->n = 0; // nothing else is told then
        field_forbidden(errors, PATH(NULL, STR("")),
                        "static pods do not support ephemeral containers");
        return;
    }
    for (uint32_t i = 0; i < list_count(before); i++)
        check_kept(errors, before->items[i], find(now, GET_STR(before->items[i], "name")));
}
