// Roles and bindings: pkg/apis/rbac/v1/defaults.go and pkg/apis/rbac/validation upstream. Whether
// the author may grant what he writes is the API server's question.

#include "kinds/rules.h"
#include "kinds/tree.h"

#define GROUP STR("rbac.authorization.k8s.io")

// ---- rules

static void validate_rule(FieldErrors *errors, const Value *rule, const Path *path,
                          bool namespaced) {
    const Value *urls = value_get(rule, STR("nonResourceURLs"));
    const Path *urls_path = PATH(path, STR("nonResourceURLs"));
    uint32_t resources = tree_count(rule, "resources"), names = tree_count(rule, "resourceNames");
    if (!tree_count(rule, "verbs"))
        field_required(errors, PATH(path, STR("verbs")), "verbs must contain at least one value");
    if (tree_count(rule, "nonResourceURLs")) {
        if (namespaced)
            field_invalid_value(errors, urls_path, urls,
                                "namespaced rules cannot apply to non-resource URLs");
        if (tree_count(rule, "apiGroups") || resources || names)
            field_invalid_value(
                errors, urls_path, urls,
                "rules cannot apply to both regular resources and non-resource URLs");
        return;
    }
    if (!tree_count(rule, "apiGroups"))
        field_required(errors, PATH(path, STR("apiGroups")),
                       "resource rules must supply at least one api group");
    if (!resources)
        field_required(errors, PATH(path, STR("resources")),
                       "resource rules must supply at least one resource");
    if (names && resources > 1)
        field_required(errors, PATH(path, STR("resourceNames")),
                       "resource names cannot apply to multiple resources");
}

static void validate_rules(FieldErrors *errors, const Value *role, bool namespaced) {
    uint32_t n = tree_count(role, "rules");
    for (uint32_t i = 0; i < n; i++)
        validate_rule(errors, tree_item(role, "rules", i), PATH_INDEX(PATH(NULL, STR("rules")), i),
                      namespaced);
}

static void validate_role(FieldErrors *errors, const Value *role) {
    validate_rules(errors, role, true);
}
const ResourceRules role_rules = {.validate = validate_role, .name_format = FORMAT_PATH_SEGMENT};

static void validate_cluster_role(FieldErrors *errors, const Value *role) {
    validate_rules(errors, role, false);
    const Value *aggregation = value_get(role, STR("aggregationRule"));
    const Path *path = PATH(PATH(NULL, STR("aggregationRule")), STR("clusterRoleSelectors"));
    if (aggregation && !tree_count(aggregation, "clusterRoleSelectors"))
        field_required(errors, path,
                       "at least one clusterRoleSelector required if aggregationRule "
                       "is non-nil");
}
const ResourceRules cluster_role_rules = {
    .validate = validate_cluster_role,
    .name_format = FORMAT_PATH_SEGMENT,
};

// ---- bindings

static void default_subject(Arena *arena, Value *subject) {
    if (!tree_has_string(subject, "apiGroup") &&
        (tree_is(subject, "kind", "User") || tree_is(subject, "kind", "Group")))
        value_set_str(arena, subject, STR("apiGroup"), GROUP);
}
const TypeRules subject_rules = {.default_fn = default_subject};

static void check_subject_group(FieldErrors *errors, const Value *subject, const Path *path,
                                Str expected) {
    Str group = value_string_at(subject, "apiGroup");
    if (!str_eq(group, expected))
        field_not_supported(errors, PATH(path, STR("apiGroup")), group.ptr ? group : STR(""),
                            &expected, 1);
}

static void validate_subject(FieldErrors *errors, const Value *subject, const Path *path,
                             bool namespaced) {
    static const Str kinds[] = {{"ServiceAccount", 14}, {"User", 4}, {"Group", 5}};
    Str name = tree_string(value_get(subject, STR("name")));
    Str kind = tree_string(value_get(subject, STR("kind")));
    const Path *name_path = PATH(path, STR("name"));
    if (!name.len)
        field_required(errors, name_path, "");
    if (str_eq(kind, kinds[0])) {
        if (name.len)
            schema_check_format(errors, name_path, FORMAT_DNS_SUBDOMAIN, name);
        check_subject_group(errors, subject, path, STR(""));
        if (!namespaced && !tree_has_string(subject, "namespace"))
            field_required(errors, PATH(path, STR("namespace")), "");
    } else if (str_eq(kind, kinds[1]) || str_eq(kind, kinds[2])) {
        if (!name.len)
            field_invalid(errors, name_path, name,
                          str_eq(kind, kinds[1]) ? "user name cannot be empty"
                                                 : "group name cannot be empty");
        check_subject_group(errors, subject, path, GROUP);
    } else {
        field_not_supported(errors, PATH(path, STR("kind")), kind, kinds, 3);
    }
}

static void validate_role_ref(FieldErrors *errors, const Value *binding, bool namespaced) {
    static const Str group = {"rbac.authorization.k8s.io", 25};
    static const Str kinds[] = {{"Role", 4}, {"ClusterRole", 11}};
    const Value *ref = value_get(binding, STR("roleRef"));
    const Path *path = PATH(NULL, STR("roleRef"));
    Str kind = tree_string(value_get(ref, STR("kind")));
    Str name = tree_string(value_get(ref, STR("name")));
    if (!tree_is(ref, "apiGroup", group.ptr))
        field_not_supported(errors, PATH(path, STR("apiGroup")),
                            tree_string(value_get(ref, STR("apiGroup"))), &group, 1);
    if (!str_eq(kind, kinds[1]) && !(namespaced && str_eq(kind, kinds[0])))
        field_not_supported(errors, PATH(path, STR("kind")), kind, namespaced ? kinds : kinds + 1,
                            namespaced ? 2 : 1);
    if (!name.len)
        field_required(errors, PATH(path, STR("name")), "");
    else
        schema_check_format(errors, PATH(path, STR("name")), FORMAT_PATH_SEGMENT, name);
}

static void validate_binding(FieldErrors *errors, const Value *binding, bool namespaced) {
    validate_role_ref(errors, binding, namespaced);
    uint32_t n = tree_count(binding, "subjects");
    for (uint32_t i = 0; i < n; i++)
        validate_subject(errors, tree_item(binding, "subjects", i),
                         PATH_INDEX(PATH(NULL, STR("subjects")), i), namespaced);
}

static void validate_role_binding(FieldErrors *errors, const Value *binding) {
    validate_binding(errors, binding, true);
}
static void validate_cluster_role_binding(FieldErrors *errors, const Value *binding) {
    validate_binding(errors, binding, false);
}

// What a binding grants is fixed, so that whoever may change its subjects cannot change its
// meaning.
static void validate_binding_update(FieldErrors *errors, const Value *binding, const Value *old) {
    const Value *ref = value_get(binding, STR("roleRef"));
    if (value_equal(ref, value_get(old, STR("roleRef"))))
        return;
    Value *shown = value_new_object(errors->arena); // as upstream shows its internal RoleRef
    value_set_str(errors->arena, shown, STR("APIGroup"),
                  tree_string(value_get(ref, STR("apiGroup"))));
    value_set_str(errors->arena, shown, STR("Kind"), tree_string(value_get(ref, STR("kind"))));
    value_set_str(errors->arena, shown, STR("Name"), tree_string(value_get(ref, STR("name"))));
    field_invalid_value(errors, PATH(NULL, STR("roleRef")), shown, "cannot change roleRef");
}

const ResourceRules role_binding_rules = {
    .validate = validate_role_binding,
    .validate_update = validate_binding_update,
    .name_format = FORMAT_PATH_SEGMENT,
};
const ResourceRules cluster_role_binding_rules = {
    .validate = validate_cluster_role_binding,
    .validate_update = validate_binding_update,
    .name_format = FORMAT_PATH_SEGMENT,
};
