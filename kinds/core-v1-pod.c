// Pods: the registry's strategy and what ValidatePodCreate and ValidatePodStatusUpdate upstream
// say of the object as a whole. Its parts are checked wherever they occur, by the rules of types.

#include "kinds/pod.h"
#include "kinds/rules.h"

// ---- preparation

static const Value *label(const Value *pod, const Value *key) {
    return value_get(value_at(pod, "metadata.labels"), tree_string(key));
}

// Adds "KEY in (VALUE)" for each key that the pod has a label of.
static void merge_label_keys(Arena *arena, const Value *pod, Value *term, Str keys,
                             const char *operator_) {
    Value *selector = value_get(term, STR("labelSelector"));
    const Value *list = value_get(term, keys);
    for (uint32_t i = 0; selector && list && list->kind == VALUE_ARRAY && i < list->n; i++) {
        const Value *value = label(pod, list->items[i]);
        if (!value)
            continue;
        Value *expressions = value_get(selector, STR("matchExpressions"));
        if (!expressions) {
            expressions = value_new_array(arena);
            value_set(arena, selector, STR("matchExpressions"), expressions);
        }
        Value *requirement = value_new_object(arena), *values = value_new_array(arena);
        value_push(arena, values, value_new_string(arena, tree_string(value)));
        value_set_str(arena, requirement, STR("key"), tree_string(list->items[i]));
        value_set_str(arena, requirement, STR("operator"), str_from(operator_));
        value_set(arena, requirement, STR("values"), values);
        value_push(arena, expressions, requirement);
    }
}

static void merge_pod_affinity(Arena *arena, const Value *pod, const Value *affinity) {
    static const Str lists[] = {{"preferredDuringSchedulingIgnoredDuringExecution", 47},
                                {"requiredDuringSchedulingIgnoredDuringExecution", 46}};
    for (size_t k = 0; k < 2; k++) {
        const Value *list = value_get(affinity, lists[k]);
        for (uint32_t i = 0; list && list->kind == VALUE_ARRAY && i < list->n; i++) {
            Value *term = k ? list->items[i] : value_get(list->items[i], STR("podAffinityTerm"));
            merge_label_keys(arena, pod, term, STR("matchLabelKeys"), "In");
            merge_label_keys(arena, pod, term, STR("mismatchLabelKeys"), "NotIn");
        }
    }
}

static void merge_spread(Arena *arena, const Value *pod) {
    const Value *list = value_at(pod, "spec.topologySpreadConstraints");
    for (uint32_t i = 0; list && list->kind == VALUE_ARRAY && i < list->n; i++)
        merge_label_keys(arena, pod, list->items[i], STR("matchLabelKeys"), "In");
}

// The condition that tells why a gated pod is not scheduled; its times stay unset, as upstream.
static void set_gated(Arena *arena, Value *status) {
    Value *conditions = value_new_array(arena), *condition = value_new_object(arena);
    value_set_str(arena, condition, STR("type"), STR("PodScheduled"));
    value_set_str(arena, condition, STR("status"), STR("False"));
    value_set(arena, condition, STR("lastProbeTime"), value_new_null(arena));
    value_set(arena, condition, STR("lastTransitionTime"), value_new_null(arena));
    value_set_str(arena, condition, STR("reason"), STR("SchedulingGated"));
    value_set_str(arena, condition, STR("message"),
                  STR("Scheduling is blocked due to non-empty scheduling gates"));
    value_push(arena, conditions, condition);
    value_set(arena, status, STR("conditions"), conditions);
}

static void prepare_create(Arena *arena, Value *pod) {
    Value *spec = value_get(pod, STR("spec")), *status = value_new_object(arena);
    value_set_str(arena, status, STR("phase"), STR("Pending"));
    value_set_str(arena, status, STR("qosClass"), pod_qos(spec));
    value_set(arena, pod, STR("status"), status);
    if (tree_count(spec, "schedulingGates"))
        set_gated(arena, status);
    merge_pod_affinity(arena, pod, value_at(spec, "affinity.podAffinity"));
    merge_pod_affinity(arena, pod, value_at(spec, "affinity.podAntiAffinity"));
    merge_spread(arena, pod);
}

static void prepare(Arena *arena, Value *pod, const Value *old) {
    Value *spec = value_get(pod, STR("spec"));
    if (spec && spec->kind == VALUE_OBJECT)
        pod_mirror_service_account(arena, spec); // admission may have set it
    if (old) {
        Value *status = value_get(old, STR("status"));
        if (status)
            value_set(arena, pod, STR("status"), status);
        else
            value_unset(pod, STR("status"));
    } else {
        prepare_create(arena, pod);
    }
}

const ResourceRules pod_rules = {
    .default_fn = pod_default,
    .prepare = prepare,
    .validate_update = pod_validate_update,
};

const TypeRules container_rules = {.default_fn = container_default};
const TypeRules pod_spec_rules = {.default_fn = pod_spec_default};
const TypeRules resource_requirements_rules = {.default_fn = resources_default};
