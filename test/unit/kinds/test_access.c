// Roles, bindings of roles, and access reviews.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "road.h"

static const char *role(Arena *arena, const char *rule) {
    return road_create(arena, kinds_resource_rbac_v1_roles(),
                       arena_printf(arena, "{'rules':[{%s}]}", rule).ptr, NULL);
}

static void test_roles(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(role(arena, "'verbs':['get'],'apiGroups':[''],'resources':['pods']"), "");
    assert_string_equal(
        role(arena, ""),
        "rules[0].verbs: Required value: verbs must contain at least one value\n"
        "rules[0].apiGroups: Required value: resource rules must supply at least one api group\n"
        "rules[0].resources: Required value: resource rules must supply at least one resource\n");
    assert_string_equal(role(arena, "'verbs':['get'],'apiGroups':[''],'resources':['pods','nodes'],"
                                    "'resourceNames':['a']"),
                        "rules[0].resourceNames: Required value: resource names cannot apply to "
                        "multiple resources\n");
    assert_string_equal(role(arena, "'verbs':['get'],'nonResourceURLs':['/x']"),
                        "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules "
                        "cannot apply to non-resource URLs\n");
}

static void test_cluster_roles(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const Resource *roles = kinds_resource_rbac_v1_clusterroles();
    // Names of roles are freer than others: they need only fit into a URL.
    assert_string_equal(road_create(arena, roles,
                                    "{'metadata':{'name':'system:a B'},'rules':[{'verbs':['*'],"
                                    "'nonResourceURLs':['*']}]}",
                                    NULL),
                        "");
    assert_string_equal(road_create(arena, roles, "{'metadata':{'name':'a/b'},'rules':[]}", NULL),
                        "metadata.name: Invalid value: \"a/b\": may not contain '/'\n");
    assert_string_equal(
        road_create(arena, roles,
                    "{'rules':[{'verbs':['*'],'resources':['x'],'nonResourceURLs':['*']}]}", NULL),
        "rules[0].nonResourceURLs: Invalid value: [\"*\"]: rules cannot apply to both regular "
        "resources and non-resource URLs\n");
    assert_string_equal(road_create(arena, roles, "{'aggregationRule':{}}", NULL),
                        "aggregationRule.clusterRoleSelectors: Required value: at least one "
                        "clusterRoleSelector required if aggregationRule is non-nil\n");
}

#define REF "'roleRef':{'kind':'Role','name':'r'}"

static void test_bindings(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const Resource *bindings = kinds_resource_rbac_v1_rolebindings();
    Value *object;
    assert_string_equal(road_create(arena, bindings,
                                    "{" REF ",'subjects':[{'kind':'User','name':'u'},{'kind':"
                                    "'ServiceAccount','name':'s'}]}",
                                    &object),
                        "");
    road_assert_json(arena, value_at(object, "roleRef"),
                     "{'apiGroup':'rbac.authorization.k8s.io','kind':'Role','name':'r'}");
    road_assert_json(arena, value_at(object, "subjects"),
                     "[{'kind':'User','apiGroup':'rbac.authorization.k8s.io','name':'u'},"
                     "{'kind':'ServiceAccount','name':'s'}]");
    assert_string_equal(
        road_create(arena, bindings,
                    "{'roleRef':{'apiGroup':'x','kind':'Pod'},'subjects':[{'kind':'Group'},{'kind':"
                    "'Dog','name':'d'},{'kind':'User','apiGroup':'x','name':'u'}]}",
                    NULL),
        "roleRef.apiGroup: Unsupported value: \"x\": supported values: "
        "\"rbac.authorization.k8s.io\"\n"
        "roleRef.kind: Unsupported value: \"Pod\": supported values: \"Role\", \"ClusterRole\"\n"
        "roleRef.name: Required value\n"
        "subjects[0].name: Required value\n"
        "subjects[0].name: Invalid value: \"\": group name cannot be empty\n"
        "subjects[1].kind: Unsupported value: \"Dog\": supported values: \"ServiceAccount\", "
        "\"User\", \"Group\"\n"
        "subjects[2].apiGroup: Unsupported value: \"x\": supported values: "
        "\"rbac.authorization.k8s.io\"\n");
    assert_string_equal(
        road_update(arena, bindings, "{" REF "}", "{'roleRef':{'kind':'Role','name':'other'}}",
                    NULL),
        "roleRef: Invalid value: {\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"Role\","
        "\"Name\":\"other\"}: cannot change roleRef\n");
}

static void test_cluster_role_bindings(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(
        road_create(arena, kinds_resource_rbac_v1_clusterrolebindings(),
                    "{" REF ",'subjects':[{'kind':'ServiceAccount','name':'s'}]}", NULL),
        "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"\n"
        "subjects[0].namespace: Required value\n");
}

static void test_reviews(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const Resource *reviews = kinds_resource_authorization_v1_subjectaccessreviews();
    assert_string_equal(
        road_create(arena, reviews,
                    "{'spec':{'user':'u','resourceAttributes':{'verb':'get','resource':'pods'}}}",
                    NULL),
        "");
    assert_string_equal(road_create(arena, reviews, "{'metadata':{'name':'a'},'spec':{}}", NULL),
                        "spec.resourceAttributes: Invalid value: null: exactly one of "
                        "nonResourceAttributes or resourceAttributes must be specified\n"
                        "spec.user: Invalid value: \"\": at least one of user or group must be "
                        "specified\n"
                        "metadata: Invalid value: {\"name\":\"a\"}: must be empty\n");
    assert_string_equal(
        road_create(arena, kinds_resource_authorization_v1_localsubjectaccessreviews(),
                    "{'metadata':{'namespace':'a'},'spec':{'user':'u','resourceAttributes':{"
                    "'namespace':'b'}}}",
                    NULL),
        "spec.resourceAttributes.namespace: Invalid value: \"b\": must match metadata.namespace\n");
    assert_string_equal(
        road_create(arena, kinds_resource_authorization_v1_selfsubjectaccessreviews(),
                    "{'spec':{'nonResourceAttributes':{'path':'/x','verb':'get'}}}", NULL),
        "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roles),    cmocka_unit_test(test_cluster_roles),
        cmocka_unit_test(test_bindings), cmocka_unit_test(test_cluster_role_bindings),
        cmocka_unit_test(test_reviews),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
