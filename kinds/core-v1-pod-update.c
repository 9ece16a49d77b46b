// What may change of a pod: ValidatePodUpdate upstream.

#include "base/map.h"
#include "kinds/kinds.h"
#include "kinds/pod.h"
#include "schema/value_index.h"

static const Value *in_spec(const Value *pod, Str name) {
    return value_get(value_get(pod, STR("spec")), name);
}
static const Path *at(Path *storage, Str name) {
    *storage = (Path){.parent = &pod_spec_path, .name = name, .index = -1};
    return storage;
}
#define SPEC(name) at(&(Path){0}, STR(name))

// ---- fields that may change

// False when nothing more can be compared. A missing image is the table's to report.
static bool check_containers(FieldErrors *errors, const Value *pod, const Value *old, Str which) {
    if (list_count(in_spec(pod, which)) == list_count(in_spec(old, which)))
        return true;
    field_forbidden(errors, PATH(&pod_spec_path, which),
                    "pod updates may not add or remove containers");
    return false;
}

static bool check_deadline(FieldErrors *errors, const Value *pod, const Value *old) {
    const Value *now = in_spec(pod, STR("activeDeadlineSeconds"));
    const Value *before = in_spec(old, STR("activeDeadlineSeconds"));
    if (!now && before) {
        field_invalid_value(errors, SPEC("activeDeadlineSeconds"), NULL,
                            "must not update from a positive integer to nil value");
    } else if (now && before && before->integer < now->integer) {
        field_invalid_int(errors, SPEC("activeDeadlineSeconds"), now->integer,
                          "must be less than or equal to previous value");
        return false;
    }
    return true;
}

// All but tolerationSeconds.
static bool same_toleration(const Value *a, const Value *b) {
    static const Str fields[] = {{"key", 3}, {"operator", 8}, {"value", 5}, {"effect", 6}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!value_equal(value_get(a, fields[i]), value_get(b, fields[i])))
            return false;
    return true;
}

static void check_tolerations(FieldErrors *errors, const Value *pod, const Value *old) {
    const Value *now = in_spec(pod, STR("tolerations"));
    const Value *before = in_spec(old, STR("tolerations"));
    if (value_equal(now, before))
        return;
    for (uint32_t i = 0; i < list_count(before); i++) {
        bool found = false;
        for (uint32_t j = 0; j < list_count(now) && !found; j++)
            found = same_toleration(before->items[i], now->items[j]);
        if (found)
            continue;
        field_forbidden(errors, SPEC("tolerations"),
                        "existing toleration can not be modified except its tolerationSeconds");
        return;
    }
}

static void check_gates(FieldErrors *errors, const Value *pod, const Value *old) {
    const Value *now = in_spec(pod, STR("schedulingGates"));
    const Value *before = in_spec(old, STR("schedulingGates"));
    if (!list_count(now) || value_equal(now, before))
        return;
    _map_free_ Map *known = map_new();
    for (uint32_t i = 0; i < list_count(before); i++)
        map_put(known, value_string_at(before->items[i], "name"), known);
    for (uint32_t i = 0; i < list_count(now); i++) {
        Str name = value_string_at(now->items[i], "name");
        if (map_get(known, name))
            continue;
        Str detail = arena_printf(errors->arena,
                                  "only deletion is allowed, but found new scheduling gate '%.*s'",
                                  STR_ARG(name));
        field_forbidden(errors, PATH(PATH_INDEX(SPEC("schedulingGates"), i), STR("name")),
                        detail.ptr);
    }
}

// ---- what may change while a pod is gated

static void check_node_selector(FieldErrors *errors, const Value *now, const Value *old) {
    _value_index_deinit_ ValueIndex index = value_index(now);
    for (uint32_t i = 0; old && old->kind == VALUE_OBJECT && i < old->n; i++) {
        const Member *member = value_index_find(&index, old->members[i].key);
        if (!member || !value_equal(old->members[i].value, member->value)) {
            Value *none = value_new_object(errors->arena);
            field_invalid_value(errors, SPEC("nodeSelector"), now ? now : none,
                                "only additions to spec.nodeSelector are allowed (no mutations or "
                                "deletions)");
            return;
        }
    }
}

static bool has_only_additions(const Value *now, const Value *old, Str list) {
    const Value *after = value_get(now, list), *before = value_get(old, list);
    if (list_count(after) < list_count(before))
        return false;
    for (uint32_t i = 0; i < list_count(before); i++)
        if (!value_equal(before->items[i], after->items[i]))
            return false;
    return true;
}

static bool term_has_only_additions(const Value *now, const Value *old) {
    bool was_empty = !tree_count(old, "matchExpressions") && !tree_count(old, "matchFields");
    bool is_empty = !tree_count(now, "matchExpressions") && !tree_count(now, "matchFields");
    if (was_empty) // it matched nothing
        return is_empty;
    return has_only_additions(now, old, STR("matchExpressions")) &&
           has_only_additions(now, old, STR("matchFields"));
}

static void check_node_affinity(FieldErrors *errors, const Value *now, const Value *old) {
    const char *where = "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    const Path *path = PATH(PATH(PATH(SPEC("affinity"), STR("nodeAffinity")),
                                 STR("requiredDuringSchedulingIgnoredDuringExecution")),
                            STR("nodeSelectorTerms"));
    const Value *before = value_at(old, where), *after = value_at(now, where);
    if (list_count(before) && list_count(before) != list_count(after)) {
        field_invalid_value(
            errors, path, pod_internal_shapes(errors->arena, kinds_type_NodeSelectorTerm(), after),
            "no additions/deletions to non-empty NodeSelectorTerms list are "
            "allowed");
        return;
    }
    for (uint32_t i = 0; i < list_count(before); i++)
        if (!term_has_only_additions(after->items[i], before->items[i]))
            field_invalid_value(
                errors, PATH_INDEX(path, i),
                pod_internal_shape(errors->arena, kinds_type_NodeSelectorTerm(), after->items[i]),
                "only additions are allowed (no mutations or deletions)");
}

// ---- everything else must stay

static void keep(Arena *arena, Value *spec, const Value *old, Str name) {
    Value *value = value_get(old, name);
    if (value)
        value_set(arena, spec, name, value);
    else
        value_unset(spec, name);
}

static void keep_images(Arena *arena, Value *spec, const Value *old, Str which) {
    const Value *now = value_get(spec, which), *before = value_get(old, which);
    for (uint32_t i = 0; i < list_count(now) && i < list_count(before); i++)
        keep(arena, now->items[i], before->items[i], STR("image"));
}

static void keep_node_affinity(Arena *arena, Value *spec, const Value *old) {
    Value *before = value_at(old, "affinity.nodeAffinity");
    Value *affinity = value_get(spec, STR("affinity"));
    if (before)
        value_set(arena, value_at_make(arena, spec, "affinity"), STR("nodeAffinity"), before);
    else if (affinity)
        value_unset(affinity, STR("nodeAffinity"));
    if (affinity && !affinity->n && !value_get(old, STR("affinity")))
        value_unset(spec, STR("affinity"));
}

static void keep_gated(FieldErrors *errors, Value *spec, const Value *old) {
    const Value *selector = value_get(spec, STR("nodeSelector"));
    const Value *affinity = value_at(spec, "affinity.nodeAffinity");
    const Value *old_affinity = value_at(old, "affinity.nodeAffinity");
    if (!value_equal(selector, value_get(old, STR("nodeSelector")))) {
        check_node_selector(errors, selector, value_get(old, STR("nodeSelector")));
        keep(errors->arena, spec, old, STR("nodeSelector"));
    }
    if (!value_equal(affinity, old_affinity)) {
        if (old_affinity)
            check_node_affinity(errors, affinity, old_affinity);
        keep_node_affinity(errors->arena, spec, old);
    }
}

static void keep_grace_period(Arena *arena, Value *spec, const Value *old) {
    if (value_int_at(old, "terminationGracePeriodSeconds", 0) < 0 &&
        value_int_at(spec, "terminationGracePeriodSeconds", 0) == 1)
        keep(arena, spec, old, STR("terminationGracePeriodSeconds"));
}

#define UPDATABLE                                                                                  \
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"      \
    "`spec.tolerations` (only additions to existing tolerations),"                                 \
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"

static void check_rest(FieldErrors *errors, const Value *pod, const Value *old) {
    Arena *arena = errors->arena;
    const Value *before = value_get(old, STR("spec"));
    Value *spec = value_copy(arena, value_get(pod, STR("spec")));
    keep_images(arena, spec, before, STR("containers"));
    keep_images(arena, spec, before, STR("initContainers"));
    keep(arena, spec, before, STR("activeDeadlineSeconds"));
    keep(arena, spec, before, STR("schedulingGates"));
    keep(arena, spec, before, STR("tolerations"));
    keep_grace_period(arena, spec, before);
    if (tree_count(before, "schedulingGates"))
        keep_gated(errors, spec, before);
    if (value_equal(spec, before))
        return;
    Str parts[] = {STR("pod updates may not change fields other than " UPDATABLE "\n"),
                   pod_difference(arena, before, spec)};
    field_forbidden(errors, &pod_spec_path,
                    arena_cstr(arena, arena_concat(arena, parts, 2, STR(""))));
}

void pod_validate_update(FieldErrors *errors, const Value *pod, const Value *old) {
    pod_validate_annotation_update(errors, pod, old);
    if (value_equal(value_get(pod, STR("spec")), value_get(old, STR("spec"))))
        return;
    if (!check_containers(errors, pod, old, STR("containers")) ||
        !check_containers(errors, pod, old, STR("initContainers")) ||
        !check_deadline(errors, pod, old))
        return;
    check_tolerations(errors, pod, old);
    check_gates(errors, pod, old);
    check_rest(errors, pod, old);
}
