// Where a pod may run: affinity, tolerations, spreading, gates (validateAffinity,
// ValidateTolerations, validateTopologySpreadConstraints upstream). Label selectors are checked by
// their own rules.

#include "kinds/pod.h"

// ---- node affinity

static void check_expression(FieldErrors *errors, const Value *requirement, bool any_value,
                             const Path *path) {
    Str relation = GET_STR(requirement, "operator");
    const Value *values = GET(requirement, "values");
    uint32_t n = list_count(values);
    if (str_eq(relation, STR("In")) || str_eq(relation, STR("NotIn"))) {
        if (!n)
            field_required(errors, AT(path, "values"),
                           "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (str_eq(relation, STR("Exists")) || str_eq(relation, STR("DoesNotExist"))) {
        if (n)
            field_forbidden(errors, AT(path, "values"),
                            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else if (str_eq(relation, STR("Gt")) || str_eq(relation, STR("Lt"))) {
        if (n != 1)
            field_required(errors, AT(path, "values"),
                           "must be specified single value when `operator` is 'Lt' or 'Gt'");
    } else {
        field_invalid(errors, AT(path, "operator"), relation, "not a valid selector operator");
    }
    for (uint32_t i = 0; !any_value && i < n; i++)
        schema_check_format(errors, PATH_INDEX(AT(path, "values"), i), FORMAT_LABEL_VALUE,
                            tree_string(values->items[i]));
}

static void check_field(FieldErrors *errors, const Value *requirement, const Path *path) {
    Str relation = GET_STR(requirement, "operator"), key = GET_STR(requirement, "key");
    const Value *values = GET(requirement, "values");
    if (!str_eq(relation, STR("In")) && !str_eq(relation, STR("NotIn")))
        field_invalid(errors, AT(path, "operator"), relation, "not a valid selector operator");
    else if (list_count(values) != 1)
        field_required(errors, AT(path, "values"),
                       "must be only one value when `operator` is 'In' or 'NotIn' for node field "
                       "selector");
    if (!str_eq(key, STR("metadata.name"))) {
        field_invalid(errors, AT(path, "key"), key, "not a valid field selector key");
        return;
    }
    for (uint32_t i = 0; i < list_count(values); i++)
        schema_check_format(errors, PATH_INDEX(AT(path, "values"), i), FORMAT_DNS_SUBDOMAIN,
                            tree_string(values->items[i]));
}

static void check_node_term(FieldErrors *errors, const Value *term, bool any_value,
                            const Path *path) {
    const Value *expressions = GET(term, "matchExpressions"), *fields = GET(term, "matchFields");
    for (uint32_t i = 0; i < list_count(expressions); i++)
        check_expression(errors, expressions->items[i], any_value,
                         PATH_INDEX(AT(path, "matchExpressions"), i));
    for (uint32_t i = 0; i < list_count(fields); i++)
        check_field(errors, fields->items[i], PATH_INDEX(AT(path, "matchFields"), i));
}

#define REQUIRED "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED "preferredDuringSchedulingIgnoredDuringExecution"

static void check_weight(FieldErrors *errors, const Value *term, const Path *path) {
    int64_t weight = value_int_at(term, "weight", 0);
    if (weight < 1 || weight > 100)
        field_invalid_int(errors, AT(path, "weight"), weight, "must be in the range 1-100");
}

void node_selector_validate(FieldErrors *errors, const Value *selector, const Path *path) {
    const Value *terms = GET(selector, "nodeSelectorTerms");
    const Path *at = AT(path, "nodeSelectorTerms");
    if (!list_count(terms))
        field_required(errors, at, "must have at least one node selector term");
    for (uint32_t i = 0; i < list_count(terms); i++)
        check_node_term(errors, terms->items[i], false, PATH_INDEX(at, i));
}

static void check_node_affinity(FieldErrors *errors, const Value *affinity, const Path *path) {
    const Value *required = GET(affinity, REQUIRED), *preferred = GET(affinity, PREFERRED);
    if (required)
        node_selector_validate(errors, required, AT(path, REQUIRED));
    for (uint32_t i = 0; i < list_count(preferred); i++) {
        const Path *at = PATH_INDEX(AT(path, PREFERRED), i);
        check_weight(errors, preferred->items[i], at);
        check_node_term(errors, GET(preferred->items[i], "preference"), true, AT(at, "preference"));
    }
}

// ---- pod affinity

static void check_label_keys(FieldErrors *errors, const Value *keys, const Value *selector,
                             const Path *path) {
    if (list_count(keys) && !selector) {
        field_forbidden(errors, path, "must not be specified when labelSelector is not set");
        return;
    }
    for (uint32_t i = 0; i < list_count(keys); i++)
        schema_check_format(errors, PATH_INDEX(path, i), FORMAT_LABEL_KEY,
                            tree_string(keys->items[i]));
}

// A key is in the selector once, merged from matchLabelKeys; twice means that the client said it as
// well. Reported at the term, as upstream does.
static void check_repeated_keys(FieldErrors *errors, const Value *keys, const Value *selector,
                                const Path *path) {
    const Value *labels = GET(selector, "matchLabels");
    const Value *expressions = GET(selector, "matchExpressions");
    _name_set_deinit_ NameSet wanted = {.n = 0}, seen = {.n = 0};
    for (uint32_t i = 0; i < list_count(keys); i++)
        name_set_add(&wanted, tree_string(keys->items[i]), &keys->items[i]);
    for (uint32_t i = 0; i < map_count_of(labels); i++)
        name_set_add(&seen, labels->members[i].key, labels);
    for (uint32_t i = 0; i < list_count(expressions); i++) {
        Str key = GET_STR(expressions->items[i], "key");
        Value *const *position = name_set_get(&wanted, key);
        if (name_set_add(&seen, key, expressions) && position)
            field_invalid(errors, PATH_INDEX(path, position - keys->items), key,
                          "exists in both matchLabelKeys and labelSelector");
    }
}

static void check_opposite_keys(FieldErrors *errors, const Value *keys, const Value *mismatch,
                                const Path *path) {
    _name_set_deinit_ NameSet others = {.n = 0};
    for (uint32_t i = 0; i < list_count(mismatch); i++)
        name_set_add(&others, tree_string(mismatch->items[i]), mismatch);
    for (uint32_t i = 0; i < list_count(keys); i++)
        if (name_set_get(&others, tree_string(keys->items[i])))
            field_invalid(errors, PATH_INDEX(AT(path, "matchLabelKeys"), i),
                          tree_string(keys->items[i]),
                          "exists in both matchLabelKeys and mismatchLabelKeys");
}

static void check_pod_term(FieldErrors *errors, const Value *term, const Path *path) {
    const Value *namespaces = GET(term, "namespaces"), *selector = GET(term, "labelSelector");
    const Value *match = GET(term, "matchLabelKeys"), *mismatch = GET(term, "mismatchLabelKeys");
    Str key = GET_STR(term, "topologyKey");
    for (uint32_t i = 0; i < list_count(namespaces); i++)
        schema_check_format(errors, AT(path, "namespace"), FORMAT_DNS_LABEL,
                            tree_string(namespaces->items[i]));
    check_label_keys(errors, match, selector, AT(path, "matchLabelKeys"));
    check_label_keys(errors, mismatch, selector, AT(path, "mismatchLabelKeys"));
    if (match && selector)
        check_repeated_keys(errors, match, selector, path);
    if (match && mismatch)
        check_opposite_keys(errors, match, mismatch, path);
    if (!key.len)
        field_required(errors, AT(path, "topologyKey"), "can not be empty");
    schema_check_format(errors, AT(path, "topologyKey"), FORMAT_LABEL_KEY, key);
}

static void check_pod_affinity(FieldErrors *errors, const Value *affinity, const Path *path) {
    const Value *required = GET(affinity, REQUIRED), *preferred = GET(affinity, PREFERRED);
    for (uint32_t i = 0; i < list_count(required); i++)
        check_pod_term(errors, required->items[i], PATH_INDEX(AT(path, REQUIRED), i));
    for (uint32_t i = 0; i < list_count(preferred); i++) {
        const Path *at = PATH_INDEX(AT(path, PREFERRED), i);
        check_weight(errors, preferred->items[i], at);
        check_pod_term(errors, GET(preferred->items[i], "podAffinityTerm"),
                       AT(at, "podAffinityTerm"));
    }
}

// ---- tolerations

static void check_toleration_value(FieldErrors *errors, const Value *toleration, const Path *path) {
    static const Str operators[] = {{"Equal", 5}, {"Exists", 6}};
    Str relation = GET_STR(toleration, "operator"), value = GET_STR(toleration, "value");
    const Path *at = AT(path, "operator");
    if (!relation.len || str_eq(relation, operators[0]))
        schema_check_format(errors, at, FORMAT_LABEL_VALUE, value);
    else if (!str_eq(relation, operators[1]))
        field_not_supported(errors, at, relation, operators, 2);
    else if (value.len)
        field_invalid(errors, at, value, "value must be empty when `operator` is 'Exists'");
}

static void check_toleration(FieldErrors *errors, const Value *toleration, const Path *path) {
    static const Str effects[] = {{"NoSchedule", 10}, {"PreferNoSchedule", 16}, {"NoExecute", 9}};
    Str relation = GET_STR(toleration, "operator"), effect = GET_STR(toleration, "effect");
    if (!GET_STR(toleration, "key").len && !str_eq(relation, STR("Exists")))
        field_invalid(errors, AT(path, "operator"), relation,
                      "operator must be Exists when `key` is empty, which means \"match all values "
                      "and all keys\"");
    if (GET(toleration, "tolerationSeconds") && !str_eq(effect, effects[2]))
        field_invalid(errors, AT(path, "effect"), effect,
                      "effect must be 'NoExecute' when `tolerationSeconds` is set");
    check_toleration_value(errors, toleration, path);
    if (effect.len && !str_eq(effect, effects[0]) && !str_eq(effect, effects[1]) &&
        !str_eq(effect, effects[2]))
        field_not_supported(errors, AT(path, "effect"), effect, effects, 3);
}

void tolerations_validate(FieldErrors *errors, const Value *tolerations, const Path *path) {
    for (uint32_t i = 0; i < list_count(tolerations); i++)
        check_toleration(errors, tolerations->items[i], PATH_INDEX(path, i));
}

// ---- spreading

static void check_constraint(FieldErrors *errors, const Value *constraint, const Path *path) {
    static const Str actions[] = {{"DoNotSchedule", 13}, {"ScheduleAnyway", 14}};
    const Value *domains = GET(constraint, "minDomains");
    Str action = GET_STR(constraint, "whenUnsatisfiable");
    if (!GET_STR(constraint, "topologyKey").len)
        field_required(errors, AT(path, "topologyKey"), "can not be empty");
    if (!action.len)
        field_not_supported(errors, AT(path, "whenUnsatisfiable"), action, actions, 2);
    if (domains && !str_eq(action, actions[0])) {
        Str detail = arena_printf(errors->arena,
                                  "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not "
                                  "%.*s",
                                  STR_ARG(action));
        field_invalid_int(errors, AT(path, "minDomains"), domains->integer, detail.ptr);
    }
    const Value *keys = GET(constraint, "matchLabelKeys");
    const Value *selector = GET(constraint, "labelSelector");
    check_label_keys(errors, keys, selector, AT(path, "matchLabelKeys"));
    if (keys && selector)
        check_repeated_keys(errors, keys, selector, AT(path, "matchLabelKeys"));
}

static void check_spread(FieldErrors *errors, const Value *constraints, const Path *path) {
    _name_set_deinit_ NameSet later = {.n = 0};
    for (uint32_t i = 0; i < list_count(constraints); i++)
        check_constraint(errors, constraints->items[i], PATH_INDEX(path, i));
    for (uint32_t i = list_count(constraints); i-- > 0;) {
        Str key = arena_printf(errors->arena, "{%.*s, %.*s}",
                               STR_ARG(GET_STR(constraints->items[i], "topologyKey")),
                               STR_ARG(GET_STR(constraints->items[i], "whenUnsatisfiable")));
        if (name_set_add(&later, key, constraints))
            field_duplicate(errors, AT(PATH_INDEX(path, i), "{topologyKey, whenUnsatisfiable}"),
                            key);
    }
}

// ---- gates

static void check_gates(FieldErrors *errors, const Value *gates, const Path *path) {
    _name_set_deinit_ NameSet names = {.n = 0};
    for (uint32_t i = 0; i < list_count(gates); i++) {
        Str name = GET_STR(gates->items[i], "name");
        schema_check_format(errors, PATH_INDEX(path, i), FORMAT_LABEL_KEY, name);
        if (name_set_add(&names, name, gates))
            field_duplicate(errors, PATH_INDEX(path, i), name);
    }
}

void pod_validate_scheduling(FieldErrors *errors, const PodScope *scope) {
    const Value *spec = scope->spec, *affinity = GET(spec, "affinity");
    const Path *path = AT(scope->path, "affinity");
    schema_validate_labels(errors, GET(spec, "nodeSelector"), AT(scope->path, "nodeSelector"));
    if (affinity) {
        check_node_affinity(errors, GET(affinity, "nodeAffinity"), AT(path, "nodeAffinity"));
        check_pod_affinity(errors, GET(affinity, "podAffinity"), AT(path, "podAffinity"));
        check_pod_affinity(errors, GET(affinity, "podAntiAffinity"), AT(path, "podAntiAffinity"));
    }
    check_gates(errors, GET(spec, "schedulingGates"), AT(scope->path, "schedulingGates"));
    check_spread(errors, GET(spec, "topologySpreadConstraints"),
                 AT(scope->path, "topologySpreadConstraints"));
    tolerations_validate(errors, GET(spec, "tolerations"), AT(scope->path, "tolerations"));
}
