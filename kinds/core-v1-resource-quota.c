// ResourceQuota: ValidateResourceQuota and pkg/apis/core/helper upstream.

#include "kinds/pod.h"
#include "kinds/resource_list.h"
#include "kinds/rules.h"

static bool is_one_of(Str name, const Str *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(name, list[i]))
            return true;
    return false;
}
#define IS_ONE_OF(name, ...)                                                                       \
    is_one_of((name), (const Str[]){__VA_ARGS__}, sizeof((const Str[]){__VA_ARGS__}) / sizeof(Str))

static bool is_quota_resource(Str name) {
    return str_starts_with(name, STR("hugepages-")) ||
           str_starts_with(name, STR("requests.hugepages-")) ||
           IS_ONE_OF(name, STR("cpu"), STR("memory"), STR("ephemeral-storage"), STR("requests.cpu"),
                     STR("requests.memory"), STR("requests.storage"),
                     STR("requests.ephemeral-storage"), STR("limits.cpu"), STR("limits.memory"),
                     STR("limits.ephemeral-storage"), STR("pods"), STR("resourcequotas"),
                     STR("services"), STR("replicationcontrollers"), STR("secrets"),
                     STR("persistentvolumeclaims"), STR("configmaps"), STR("services.nodeports"),
                     STR("services.loadbalancers"));
}

// ---- what is counted

static void check_hard(FieldErrors *errors, const Value *list, const Path *path) {
    for (uint32_t i = 0; i < map_count_of(list); i++) {
        Str name = list->members[i].key, text = tree_string(list->members[i].value);
        const Path *at = PATH_KEY(path, name);
        Quantity quantity;
        resource_check_name(errors, name, at);
        if (str_find(name, '/') < 0 && !is_quota_resource(name))
            field_invalid(errors, at, name, "must be a standard resource for quota");
        if (quantity_parse(text, &quantity))
            continue;
        if (quantity.nano < 0)
            field_invalid(errors, at, text, "must be greater than or equal to 0");
        if (resource_is_whole(errors->arena, name) && quantity_milli_value(quantity) % 1000)
            field_invalid(errors, at, text, "must be an integer");
    }
}

// ---- scopes

static bool is_scope(Str scope) {
    return IS_ONE_OF(scope, STR("Terminating"), STR("NotTerminating"), STR("BestEffort"),
                     STR("NotBestEffort"), STR("PriorityClass"), STR("CrossNamespacePodAffinity"),
                     STR("VolumeAttributesClass"));
}

// IsResourceQuotaScopeValidForResource
static bool applies(Str scope, Str resource) {
    bool pods = str_eq(resource, STR("pods"));
    bool compute = IS_ONE_OF(resource, STR("cpu"), STR("memory"), STR("limits.cpu"),
                             STR("limits.memory"), STR("requests.cpu"), STR("requests.memory"));
    if (str_eq(scope, STR("BestEffort")))
        return pods;
    if (str_eq(scope, STR("VolumeAttributesClass")))
        return IS_ONE_OF(resource, STR("persistentvolumeclaims"), STR("requests.storage"));
    return !is_scope(scope) || pods || compute;
}

static void check_resources(FieldErrors *errors, const Value *spec, Str scope, const Value *shown,
                            const Path *path) {
    const Value *hard = GET(spec, "hard");
    for (uint32_t i = 0; i < map_count_of(hard); i++)
        if (is_quota_resource(hard->members[i].key) && !applies(scope, hard->members[i].key))
            field_invalid_value(errors, path, shown, "unsupported scope applied to resource");
}

typedef struct Scopes {
    bool best_effort, not_best_effort, terminating, not_terminating;
} Scopes;

static void note_scope(Scopes *scopes, Str scope) {
    scopes->best_effort = scopes->best_effort || str_eq(scope, STR("BestEffort"));
    scopes->not_best_effort = scopes->not_best_effort || str_eq(scope, STR("NotBestEffort"));
    scopes->terminating = scopes->terminating || str_eq(scope, STR("Terminating"));
    scopes->not_terminating = scopes->not_terminating || str_eq(scope, STR("NotTerminating"));
}

static void check_conflicts(FieldErrors *errors, Scopes scopes, const Value *shown,
                            const Path *path) {
    if (scopes.best_effort && scopes.not_best_effort)
        field_invalid_value(errors, path, shown, "conflicting scopes");
    if (scopes.terminating && scopes.not_terminating)
        field_invalid_value(errors, path, shown, "conflicting scopes");
}

#define MAX_SCOPES 100 // there are seven; upstream has no limit

static void check_scopes(FieldErrors *errors, const Value *spec, const Path *path) {
    const Value *scopes = GET(spec, "scopes");
    Scopes seen = {.terminating = false};
    if (list_count(scopes) > MAX_SCOPES) {
        field_too_many(errors, path, list_count(scopes), MAX_SCOPES);
        return;
    }
    for (uint32_t i = 0; i < list_count(scopes); i++) {
        Str scope = tree_string(scopes->items[i]);
        if (!is_scope(scope))
            field_invalid_value(errors, path, scopes, "unsupported scope");
        check_resources(errors, spec, scope, scopes, path);
        note_scope(&seen, scope);
    }
    check_conflicts(errors, seen, scopes, path);
}

static void check_operator(FieldErrors *errors, const Value *term, const Path *path) {
    Str relation = GET_STR(term, "operator"), scope = GET_STR(term, "scopeName");
    const Value *values = GET(term, "values");
    bool exists = str_eq(relation, STR("Exists"));
    if (!exists && IS_ONE_OF(scope, STR("BestEffort"), STR("NotBestEffort"), STR("Terminating"),
                             STR("NotTerminating"), STR("CrossNamespacePodAffinity")))
        field_invalid(errors, AT(path, "operator"), relation,
                      "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, "
                      "ResourceQuotaScopeNotTerminating, "
                      "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
                      "ResourceQuotaScopeCrossNamespacePodAffinity");
    if (str_eq(relation, STR("In")) || str_eq(relation, STR("NotIn"))) {
        if (!list_count(values))
            field_required(
                errors, AT(path, "values"),
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
    } else if (exists || str_eq(relation, STR("DoesNotExist"))) {
        if (list_count(values))
            field_invalid_value(
                errors, AT(path, "values"), values,
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector");
    } else {
        field_invalid(errors, AT(path, "operator"), relation, "not a valid selector operator");
    }
}

// The paths have no index: so upstream.
static void check_selector(FieldErrors *errors, const Value *spec, const Path *path) {
    const Value *selector = GET(spec, "scopeSelector"), *terms = GET(selector, "matchExpressions");
    Scopes seen = {.terminating = false};
    if (list_count(terms) > MAX_SCOPES) {
        field_too_many(errors, path, list_count(terms), MAX_SCOPES);
        return;
    }
    for (uint32_t i = 0; i < list_count(terms); i++) {
        Str scope = GET_STR(terms->items[i], "scopeName");
        if (!is_scope(scope))
            field_invalid(errors, AT(path, "scopeName"), scope, "unsupported scope");
        check_resources(errors, spec, scope, selector, path);
        check_operator(errors, terms->items[i], path);
        note_scope(&seen, scope);
    }
    check_conflicts(errors, seen, selector, path);
}

// ---- the kind

static void default_lists(Arena *arena, Value *quota) {
    resource_round_list(arena, value_at(quota, "spec.hard"));
    resource_round_list(arena, value_at(quota, "status.hard"));
    resource_round_list(arena, value_at(quota, "status.used"));
}

static void validate(FieldErrors *errors, const Value *quota) {
    const Path *path = PATH(NULL, STR("spec"));
    const Value *spec = GET(quota, "spec");
    check_hard(errors, GET(spec, "hard"), AT(path, "hard"));
    check_scopes(errors, spec, AT(path, "scopes"));
    check_selector(errors, spec, AT(AT(path, "scopeSelector"), "matchExpressions"));
}

static bool has_all(const Value *list, const Value *of) {
    for (uint32_t i = 0; i < list_count(of); i++) {
        bool found = false;
        for (uint32_t k = 0; k < list_count(list) && !found; k++)
            found = value_equal(list->items[k], of->items[i]);
        if (!found)
            return false;
    }
    return true;
}

// What a quota counts is fixed. Order does not matter.
static void validate_update(FieldErrors *errors, const Value *quota, const Value *old) {
    const Value *scopes = value_at(quota, "spec.scopes"), *before = value_at(old, "spec.scopes");
    if (list_count(scopes) > MAX_SCOPES || list_count(before) > MAX_SCOPES)
        return;
    if (!has_all(scopes, before) || !has_all(before, scopes))
        field_invalid_value(errors, AT(PATH(NULL, STR("spec")), "scopes"), scopes,
                            "field is immutable");
}

static void validate_status(FieldErrors *errors, const Value *quota, const Value *old) {
    const Path *path = PATH(NULL, STR("status"));
    check_hard(errors, value_at(quota, "status.hard"), AT(path, "hard"));
    check_hard(errors, value_at(quota, "status.used"), AT(path, "used"));
}

const ResourceRules resource_quota_rules = {
    .default_fn = default_lists,
    .validate = validate,
    .validate_update = validate_update,
    .validate_status_update = validate_status,
};
