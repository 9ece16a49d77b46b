// Validating admission policies and their bindings: pkg/apis/admissionregistration/validation
// upstream. Their expressions are kept as they are: nothing compiles or evaluates them yet.

#include "kinds/admission_rule.h"
#include "kinds/name_set.h"
#include "kinds/rules.h"
#include "kinds/tree.h"
#include "schema/format.h"

#define MOST_CONDITIONS 64
#define MOST_AUDIT_ANNOTATIONS 20
#define LONGEST_AUDIT_EXPRESSION (5 * 1024)

static bool is_blank(const Value *owner, const char *member) {
    return str_trim(value_string_at(owner, member)).len == 0;
}

// ---- what both match

static void validate_match(FieldErrors *errors, const Value *match, const Path *path) {
    static const char *const lists[] = {"resourceRules", "excludeResourceRules"};
    for (size_t i = 0; i < 2; i++) {
        const Path *rules = PATH(path, str_from(lists[i]));
        for (uint32_t j = 0; j < tree_count(match, lists[i]); j++) {
            const Value *rule = tree_item(match, lists[i], j);
            const Path *names = PATH(PATH_INDEX(rules, j), STR("resourceNames"));
            _name_set_deinit_ NameSet seen = {0};
            for (uint32_t k = 0; k < tree_count(rule, "resourceNames"); k++) {
                Str name = tree_string(tree_item(rule, "resourceNames", k));
                if (name_set_add(&seen, name, rule))
                    field_duplicate(errors, PATH_INDEX(names, k), name);
            }
            admission_rule_validate(errors, rule, PATH_INDEX(rules, j));
        }
    }
}

// ---- policies

static void validate_param_kind(FieldErrors *errors, const Value *kind, const Path *path) {
    const Path *at = PATH(path, STR("apiVersion"));
    Str api_version = value_string_at(kind, "apiVersion"), version = api_version;
    Str group = str_cut(&version, '/');
    if (!version.ptr) {
        version = group;
        group = STR("");
    }
    if (!api_version.len)
        field_required(errors, at, "");
    else if (str_find(version, '/') >= 0)
        field_invalid(errors, at, api_version,
                      arena_printf(errors->arena, "unexpected GroupVersion string: %.*s",
                                   STR_ARG(api_version))
                          .ptr);
    else if (!version.len)
        field_invalid(errors, at, api_version, "version must be specified");
    else {
        if (group.len)
            schema_check_format(errors, at, FORMAT_DNS_SUBDOMAIN, group);
        schema_check_format(errors, at, FORMAT_DNS_LABEL_1035, version);
    }
    if (!tree_has_string(kind, "kind"))
        field_required(errors, PATH(path, STR("kind")), "");
}

static void validate_conditions(FieldErrors *errors, const Value *spec, const Path *path) {
    uint32_t n = tree_count(spec, "matchConditions");
    _name_set_deinit_ NameSet names = {0};
    if (n > MOST_CONDITIONS)
        field_too_many(errors, path, n, MOST_CONDITIONS);
    for (uint32_t i = 0; i < n; i++) {
        const Value *condition = tree_item(spec, "matchConditions", i);
        const Path *at = PATH_INDEX(path, i);
        Str name = value_string_at(condition, "name");
        if (is_blank(condition, "expression"))
            field_required(errors, PATH(at, STR("expression")), "");
        if (!name.len)
            field_required(errors, PATH(at, STR("name")), "");
        else if (schema_check_format(errors, PATH(at, STR("name")), FORMAT_LABEL_KEY, name) &&
                 name_set_add(&names, name, condition))
            field_duplicate(errors, PATH(at, STR("name")), name);
    }
}

static void validate_validation(FieldErrors *errors, const Value *validation, const Path *path) {
    Str message = value_string_at(validation, "message");
    Str trimmed = str_trim(message);
    if (is_blank(validation, "expression"))
        field_required(errors, PATH(path, STR("expression")), "expression is not specified");
    if (tree_has_string(validation, "messageExpression") &&
        is_blank(validation, "messageExpression"))
        field_invalid(errors, PATH(path, STR("messageExpression")),
                      value_string_at(validation, "messageExpression"),
                      "must be non-empty if specified");
    if (message.len && !trimmed.len)
        field_invalid(errors, PATH(path, STR("message")), message,
                      "message must be non-empty if specified");
    else if (str_find(trimmed, '\n') >= 0 || str_find(trimmed, '\r') >= 0)
        field_invalid(errors, PATH(path, STR("message")), message,
                      "message must not contain line breaks");
}

static void validate_audit(FieldErrors *errors, const Value *policy, const Value *spec,
                           const Path *path) {
    uint32_t n = tree_count(spec, "auditAnnotations");
    Str policy_name = value_string_at(policy, "metadata.name");
    _name_set_deinit_ NameSet keys = {0};
    if (n > MOST_AUDIT_ANNOTATIONS)
        field_invalid_value(errors, path, value_get(spec, STR("auditAnnotations")),
                            "must not have more than 20 auditAnnotations");
    for (uint32_t i = 0; i < n; i++) {
        const Value *annotation = tree_item(spec, "auditAnnotations", i);
        const Path *at = PATH_INDEX(path, i), *expression = PATH(at, STR("valueExpression"));
        Str key = value_string_at(annotation, "key");
        schema_check_format(errors, PATH(at, STR("key")), FORMAT_LABEL_KEY,
                            arena_printf(errors->arena, "%.*s/%.*s", STR_ARG(policy_name),
                                         STR_ARG(key)));
        if (is_blank(annotation, "valueExpression"))
            field_required(errors, expression, "valueExpression is not specified");
        else if (value_string_at(annotation, "valueExpression").len > LONGEST_AUDIT_EXPRESSION)
            field_required(errors, expression, "must not exceed 5kb in length");
        if (name_set_add(&keys, key, annotation))
            field_duplicate(errors, PATH(at, STR("key")), key);
    }
}

static void validate_policy(FieldErrors *errors, const Value *policy) {
    const Value *spec = value_get(policy, STR("spec"));
    const Path *path = PATH(NULL, STR("spec"));
    const Path *validations = PATH(path, STR("validations"));
    const Path *audit = PATH(path, STR("auditAnnotations"));
    const Path *match = PATH(path, STR("matchConstraints"));
    if (value_get(spec, STR("paramKind")))
        validate_param_kind(errors, value_get(spec, STR("paramKind")),
                            PATH(path, STR("paramKind")));
    if (!value_get(spec, STR("matchConstraints")))
        field_required(errors, match, "");
    else {
        validate_match(errors, value_get(spec, STR("matchConstraints")), match);
        if (!tree_count(spec, "matchConstraints.resourceRules"))
            field_required(errors, PATH(match, STR("resourceRules")), "");
    }
    validate_conditions(errors, spec, PATH(path, STR("matchConditions")));
    for (uint32_t i = 0; i < tree_count(spec, "variables"); i++) {
        const Value *variable = tree_item(spec, "variables", i);
        const Path *at = PATH_INDEX(PATH(path, STR("variables")), i);
        if (is_blank(variable, "name"))
            field_required(errors, PATH(at, STR("name")), "name is not specified");
        if (is_blank(variable, "expression"))
            field_required(errors, PATH(at, STR("expression")), "expression is not specified");
    }
    if (!tree_count(spec, "validations") && !tree_count(spec, "auditAnnotations")) {
        const char *text = "validations or auditAnnotations must contain at least one item";
        field_required(errors, validations, text);
        field_required(errors, audit, text);
    }
    for (uint32_t i = 0; i < tree_count(spec, "validations"); i++)
        validate_validation(errors, tree_item(spec, "validations", i), PATH_INDEX(validations, i));
    validate_audit(errors, policy, spec, audit);
}

static void warn(Arena *arena, const Value *object, ValuePaths *warnings) {
    warnings->paths = arena_array_of(arena, Str, 1);
    warnings->paths[0] = STR("admission policies are stored, but this server does not evaluate them "
                             "yet: nothing is refused because of them");
    warnings->n = 1;
}

const ResourceRules validating_admission_policy_rules = {.validate = validate_policy, .warn = warn};

// ---- bindings

static void validate_param_ref(FieldErrors *errors, const Value *ref, const Path *path) {
    static const char exclusive[] = "name and selector are mutually exclusive";
    Str name = value_string_at(ref, "name");
    const Value *selector = value_get(ref, STR("selector"));
    if (name.len)
        schema_check_format(errors, PATH(path, STR("name")), FORMAT_PATH_SEGMENT, name);
    if (name.len && selector) {
        field_forbidden(errors, PATH(path, STR("name")), exclusive);
        field_forbidden(errors, PATH(path, STR("selector")), exclusive);
    }
    if (!name.len && !selector)
        field_required(errors, path, "one of name or selector must be specified");
    if (!tree_has_string(ref, "parameterNotFoundAction"))
        field_required(errors, PATH(path, STR("parameterNotFoundAction")), "");
}

static void validate_actions(FieldErrors *errors, const Value *spec, const Path *path) {
    uint32_t n = tree_count(spec, "validationActions");
    bool deny = false, warns = false;
    _name_set_deinit_ NameSet seen = {0};
    for (uint32_t i = 0; i < n; i++) {
        Str action = tree_string(tree_item(spec, "validationActions", i));
        if (name_set_add(&seen, action, spec))
            field_duplicate(errors, PATH_INDEX(path, i), action);
        deny |= str_eq(action, STR("Deny"));
        warns |= str_eq(action, STR("Warn"));
    }
    if (deny && warns)
        field_invalid_value(errors, path, value_get(spec, STR("validationActions")),
                            "must not contain both Deny and Warn (repeating the same validation "
                            "failure information in the API response and headers serves no "
                            "purpose)");
    if (!n)
        field_required(errors, path, "at least one validation action is required");
}

static void validate_binding(FieldErrors *errors, const Value *binding) {
    const Value *spec = value_get(binding, STR("spec"));
    const Path *path = PATH(NULL, STR("spec"));
    Str policy = value_string_at(spec, "policyName");
    if (!policy.len)
        field_required(errors, PATH(path, STR("policyName")), "");
    else
        schema_check_format(errors, PATH(path, STR("policyName")), FORMAT_DNS_SUBDOMAIN, policy);
    if (value_get(spec, STR("paramRef")))
        validate_param_ref(errors, value_get(spec, STR("paramRef")), PATH(path, STR("paramRef")));
    validate_match(errors, value_get(spec, STR("matchResources")),
                   PATH(path, STR("matchResources")));
    validate_actions(errors, spec, PATH(path, STR("validationActions")));
}

const ResourceRules validating_admission_policy_binding_rules = {.validate = validate_binding,
                                                                 .warn = warn};
