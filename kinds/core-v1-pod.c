// Pods: the registry's strategy and what ValidatePodCreate and ValidatePodStatusUpdate upstream
// say of the object as a whole. Its parts are checked wherever they occur, by the rules of types.

#include "kinds/pod.h"
#include "kinds/rules.h"
#include "schema/format.h"

// ---- preparation

static const Value *label(const Value *pod, const Value *key) {
    return value_get(value_at(pod, "metadata.labels"), tree_string(key));
}

// Adds "KEY in (VALUE)" for each key that the pod has a label of.
static void merge_label_keys(Arena *arena, const Value *pod, Value *term, Str keys,
                             const char *operator_) {
    Value *selector = value_get(term, STR("labelSelector"));
    const Value *list = value_get(term, keys);
    for (uint32_t i = 0; selector && i < list_count(list); i++) {
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
        for (uint32_t i = 0; i < list_count(list); i++) {
            Value *term = k ? list->items[i] : value_get(list->items[i], STR("podAffinityTerm"));
            merge_label_keys(arena, pod, term, STR("matchLabelKeys"), "In");
            merge_label_keys(arena, pod, term, STR("mismatchLabelKeys"), "NotIn");
        }
    }
}

static void merge_spread(Arena *arena, const Value *pod) {
    const Value *list = value_at(pod, "spec.topologySpreadConstraints");
    for (uint32_t i = 0; i < list_count(list); i++)
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

// What is off in the version of Kubernetes that we speak, unless its feature gate is set, is
// dropped without a word (DropDisabledPodFields).
static void drop_disabled(Value *spec) {
    static const Str lists[] = {{"initContainers", 14}, {"containers", 10}};
    value_unset(spec, STR("workloadRef")); // GenericWorkload
    for (size_t k = 0; k < 2; k++) {       // ContainerStopSignals
        const Value *list = value_get(spec, lists[k]);
        for (uint32_t i = 0; i < list_count(list); i++) {
            Value *lifecycle = GET(list->items[i], "lifecycle");
            if (lifecycle)
                value_unset(lifecycle, STR("stopSignal"));
        }
    }
    const Value *volumes =
        GET(spec, "volumes"); // ClusterTrustBundleProjection, PodCertificateRequest
    for (uint32_t i = 0; i < list_count(volumes); i++) {
        const Value *sources = value_at(volumes->items[i], "projected.sources");
        for (uint32_t j = 0; j < list_count(sources); j++) {
            value_unset(sources->items[j], STR("clusterTrustBundle"));
            value_unset(sources->items[j], STR("podCertificate"));
        }
    }
}

static void prepare_create(Arena *arena, Value *pod) {
    Value *spec = GET(pod, "spec"), *status = value_new_object(arena);
    value_set_str(arena, status, STR("phase"), STR("Pending"));
    value_set_str(arena, status, STR("qosClass"), pod_qos(spec));
    value_set(arena, pod, STR("status"), status);
    if (tree_count(spec, "schedulingGates"))
        set_gated(arena, status);
    merge_pod_affinity(arena, pod, value_at(spec, "affinity.podAffinity"));
    merge_pod_affinity(arena, pod, value_at(spec, "affinity.podAntiAffinity"));
    merge_spread(arena, pod);
    if (!tree_is(spec, "os.name", "windows"))
        pod_apply_apparmor_annotations(arena, pod);
}

static void prepare(Arena *arena, Value *pod, const Value *old) {
    Value *spec = GET(pod, "spec");
    if (spec && spec->kind == VALUE_OBJECT) {
        pod_mirror_service_account(arena, spec); // admission may have set it
        drop_disabled(spec);
    }
    if (old) {
        Value *status = GET(old, "status");
        if (status)
            value_set(arena, pod, STR("status"), status);
        else
            value_unset(pod, STR("status"));
    } else {
        prepare_create(arena, pod);
    }
}

// ---- validation of what templates may leave open

static void check_tokens(FieldErrors *errors, const Value *spec) {
    const Value *volumes = GET(spec, "volumes");
    if (GET_STR(spec, "serviceAccountName").len)
        return;
    for (uint32_t i = 0; i < list_count(volumes); i++) {
        const Value *sources = value_at(volumes->items[i], "projected.sources");
        const Path *path =
            AT(AT(PATH_INDEX(AT(&pod_spec_path, "volumes"), i), "projected"), "sources");
        for (uint32_t j = 0; j < list_count(sources); j++)
            if (GET(sources->items[j], "serviceAccountToken"))
                field_forbidden(errors, AT(PATH_INDEX(path, j), "serviceAccountToken"),
                                "must not be specified when serviceAccountName is not set");
    }
}

static void check_images(FieldErrors *errors, const Value *spec) {
    static const Str lists[] = {
        {"containers", 10}, {"initContainers", 14}, {"ephemeralContainers", 19}};
    for (size_t k = 0; k < 3; k++) {
        const Value *list = value_get(spec, lists[k]);
        for (uint32_t i = 0; i < list_count(list); i++) {
            Str image = GET_STR(list->items[i], "image");
            if (str_trim(image).len != image.len)
                field_invalid(errors, AT(PATH_INDEX(PATH(&pod_spec_path, lists[k]), i), "image"),
                              image, "must not have leading or trailing whitespace");
        }
    }
}

// The claim that is made for a volume is called after the pod.
static void check_claims(FieldErrors *errors, const Value *pod, const Value *volumes) {
    Str name = value_string_at(pod, "metadata.name");
    _name_set_deinit_ NameSet made = {.n = 0};
    for (uint32_t i = 0; i < list_count(volumes); i++) {
        Str parts[] = {name, GET_STR(volumes->items[i], "name")};
        if (!name.len || !parts[1].len || !GET(volumes->items[i], "ephemeral"))
            continue;
        Str claim = arena_concat(errors->arena, parts, 2, STR("-"));
        FormatProblems problems = format_check(errors->arena, FORMAT_DNS_SUBDOMAIN, claim);
        name_set_add(&made, claim, volumes);
        for (size_t k = 0; k < problems.n; k++)
            field_invalid(errors, AT(PATH_INDEX(AT(&pod_spec_path, "volumes"), i), "name"),
                          parts[1],
                          arena_printf(errors->arena, "PVC name \"%.*s\": %.*s", STR_ARG(claim),
                                       STR_ARG(problems.messages[k]))
                              .ptr);
    }
    for (uint32_t i = 0; i < list_count(volumes); i++) {
        Str claim = value_string_at(volumes->items[i], "persistentVolumeClaim.claimName");
        const Path *path = PATH_INDEX(AT(&pod_spec_path, "volumes"), i);
        if (claim.len && name_set_get(&made, claim))
            field_invalid(errors, AT(AT(path, "persistentVolumeClaim"), "claimName"), claim,
                          "must not reference a PVC that gets created for an ephemeral volume");
    }
}

static void check_image_volumes(FieldErrors *errors, const Value *volumes) {
    for (uint32_t i = 0; i < list_count(volumes); i++) {
        const Value *image = GET(volumes->items[i], "image");
        if (image && !GET_STR(image, "reference").len)
            field_required(
                errors, AT(AT(PATH_INDEX(AT(&pod_spec_path, "volumes"), i), "image"), "reference"),
                "");
    }
}

static void validate(FieldErrors *errors, const Value *pod) {
    const Value *spec = GET(pod, "spec");
    pod_validate_annotations(errors, pod, AT(PATH(NULL, STR("metadata")), "annotations"));
    check_tokens(errors, spec);
    check_images(errors, spec);
    check_claims(errors, pod, GET(spec, "volumes"));
    check_image_volumes(errors, GET(spec, "volumes"));
}

static void validate_create(FieldErrors *errors, const Value *pod) {
    const Value *spec = GET(pod, "spec");
    if (GET(spec, "ephemeralContainers"))
        field_forbidden(errors, AT(&pod_spec_path, "ephemeralContainers"),
                        "cannot be set on create");
    if (GET_STR(spec, "nodeName").len && GET(spec, "schedulingGates"))
        field_forbidden(errors, AT(&pod_spec_path, "nodeName"),
                        "cannot be set until all schedulingGates have been cleared");
    pod_validate_annotations_agree(errors, pod, &pod_spec_path);
}

static const SubresourceRules pod_subresources[] = {
    {{"ephemeralcontainers", 19}, pod_prepare_ephemeral, pod_validate_ephemeral, false},
};

const ResourceRules pod_rules = {
    .default_fn = pod_default,
    .prepare = prepare,
    .prepare_status = pod_prepare_status,
    .validate = validate,
    .validate_create = validate_create,
    .validate_update = pod_validate_update,
    .validate_status_update = pod_validate_status_update,
    .warn = pod_warn,
    .warn_on_create = true,
    .subresources = pod_subresources,
    .n_subresources = 1,
};
