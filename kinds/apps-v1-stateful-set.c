// Stateful sets: ValidateStatefulSetSpec and pkg/apis/apps/v1/{defaults,conversion}.go upstream.

#include "kinds/kinds.h"
#include "kinds/workload.h"

// ---- the strategy

// A type that is left out brings an update with it, a type that is given does not.
static void default_strategy(Arena *arena, Value *strategy) {
    if (GET_STR(strategy, "type").len)
        return;
    value_set_str(arena, strategy, STR("type"), STR("RollingUpdate"));
    if (!GET(strategy, "rollingUpdate"))
        value_set(arena, strategy, STR("rollingUpdate"), value_new_object(arena));
}

static void validate_strategy(FieldErrors *errors, const Value *strategy, const Path *path) {
    const Value *update = GET(strategy, "rollingUpdate"), *most = GET(update, "maxUnavailable");
    Value *shown =
        pod_internal_shape(errors->arena, kinds_type_StatefulSetUpdateStrategy(), strategy);
    const Path *most_path = AT(AT(path, "rollingUpdate"), "maxUnavailable");
    if (tree_is(strategy, "type", "RollingUpdate")) {
        workload_check_amount(errors, most, most_path);
        if (most && !workload_amount(most))
            field_invalid_value(errors, most_path, most, "cannot be 0");
        workload_check_hundred(errors, most, most_path);
    } else if (!tree_is(strategy, "type", "OnDelete")) {
        field_invalid_value(errors, path, shown, "must be 'RollingUpdate' or 'OnDelete'");
    } else if (update) {
        field_invalid_value(errors, AT(path, "rollingUpdate"), GET(shown, "RollingUpdate"),
                            "only allowed for updateStrategy 'RollingUpdate'");
    }
}
const TypeRules stateful_set_update_strategy_rules = {.default_fn = default_strategy,
                                                      .validate = validate_strategy};

// ---- claims

// Claims in a set say what they are, and have a state, as those that are made of them.
static void default_claims(Arena *arena, Value *set) {
    Value *claims = value_at(set, "spec.volumeClaimTemplates");
    for (uint32_t i = 0; i < list_count(claims); i++) {
        Value *claim = claims->items[i];
        if (claim->kind != VALUE_OBJECT)
            continue;
        value_set_str(arena, claim, STR("apiVersion"), STR("v1"));
        value_set_str(arena, claim, STR("kind"), STR("PersistentVolumeClaim"));
        Value *status = value_at_make(arena, claim, "status");
        if (!GET_STR(status, "phase").len)
            value_set_str(arena, status, STR("phase"), STR("Pending"));
        Value *spec = value_at_make(arena, claim, "spec");
        if (!GET(spec, "volumeMode"))
            value_set_str(arena, spec, STR("volumeMode"), STR("Filesystem"));
    }
}

// The template as its pods will be: each claim is a volume, unless the template has one of its
// name.
static Value *with_claims(Arena *arena, const Value *spec) {
    Value *template = value_copy(arena, GET(spec, "template"));
    const Value *claims = GET(spec, "volumeClaimTemplates");
    Value *volumes = value_at(template, "spec.volumes");
    if (!list_count(claims))
        return template;
    if (!volumes) {
        volumes = value_new_array(arena);
        value_set(arena, value_at_make(arena, template, "spec"), STR("volumes"), volumes);
    }
    _name_set_deinit_ NameSet own = {.n = 0};
    for (uint32_t i = 0; i < volumes->n; i++)
        name_set_add(&own, GET_STR(volumes->items[i], "name"), volumes);
    for (uint32_t i = 0; i < claims->n; i++) {
        Str name = value_string_at(claims->items[i], "metadata.name");
        if (!name.len || name_set_get(&own, name))
            continue;
        Value *volume = value_new_object(arena);
        value_set_str(arena, volume, STR("name"), name);
        value_set_str(arena, value_at_make(arena, volume, "persistentVolumeClaim"),
                      STR("claimName"), name);
        value_push(arena, volumes, volume);
    }
    return template;
}

// ---- the rest

static void validate_spec(FieldErrors *errors, const Value *spec, const Path *path) {
    Str management = GET_STR(spec, "podManagementPolicy");
    if (!str_eq(management, STR("OrderedReady")) && !str_eq(management, STR("Parallel")))
        field_invalid(errors, AT(path, "podManagementPolicy"), management,
                      "must be 'OrderedReady' or 'Parallel'");
    if (GET_STR(spec, "serviceName").len)
        schema_check_format(errors, AT(path, "serviceName"), FORMAT_DNS_LABEL,
                            GET_STR(spec, "serviceName"));
    workload_check_selector(errors, spec, path, "statefulset");
    workload_check_labels(errors, spec, path);
    if (GET(spec, "template"))
        schema_validate_type(errors, kinds_type_PodTemplateSpec(), with_claims(errors->arena, spec),
                             NULL, AT(path, "template"));
    workload_check_pods(errors, GET(spec, "template"), AT(path, "template"), "StatefulSet");
}
const TypeRules stateful_set_spec_rules = {.validate = validate_spec};

static void validate_update(FieldErrors *errors, const Value *set, const Value *old) {
    static const Str mutable_fields[] = {
        {"replicas", 8},
        {"ordinals", 8},
        {"template", 8},
        {"updateStrategy", 14},
        {"revisionHistoryLimit", 20},
        {"persistentVolumeClaimRetentionPolicy", 36},
        {"minReadySeconds", 15},
    };
    Value *now = value_copy(errors->arena, GET(set, "spec"));
    Value *before = value_copy(errors->arena, GET(old, "spec"));
    for (size_t i = 0; i < sizeof mutable_fields / sizeof *mutable_fields; i++) {
        value_unset(now, mutable_fields[i]);
        value_unset(before, mutable_fields[i]);
    }
    if (!value_equal(now, before))
        field_forbidden(errors, PATH(NULL, STR("spec")),
                        "updates to statefulset spec for fields other than 'replicas', 'ordinals', "
                        "'template', 'updateStrategy', 'revisionHistoryLimit', "
                        "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are "
                        "forbidden");
}

static void validate_status(FieldErrors *errors, const Value *set, const Value *old) {
    static const char *const fields[] = {"readyReplicas", "currentReplicas", "updatedReplicas",
                                         "availableReplicas", NULL};
    const Value *status = GET(set, "status");
    workload_check_replicas(errors, status, fields);
    workload_check_available(errors, status, "cannot be greater than status.readyReplicas");
    workload_check_collisions(errors, set, old);
}

static void warn(Arena *arena, const Value *set, ValuePaths *warnings) {
    pod_template_warn(arena, value_at(set, "spec.template"),
                      AT(PATH(NULL, STR("spec")), "template"), warnings);
    if (value_int_at(set, "spec.revisionHistoryLimit", 0) < 0)
        warning_add(arena, warnings, AT(PATH(NULL, STR("spec")), "revisionHistoryLimit"),
                    STR("a negative value retains all historical revisions; a value >= 0 is "
                        "recommended"));
}

const ResourceRules stateful_set_rules = {
    .default_fn = default_claims,
    .validate_update = validate_update,
    .validate_status_update = validate_status,
    .warn = warn,
    .name_format = FORMAT_DNS_LABEL,
};
