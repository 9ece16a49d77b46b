// Namespaces, nodes, service accounts, bindings, leases and label selectors.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "road.h"

static void test_namespaces(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const Resource *namespaces = kinds_resource_core_v1_namespaces();
    Value *object;
    assert_string_equal(
        road_create(arena, namespaces,
                    "{'metadata':{'labels':{'kubernetes.io/metadata.name':'x'}},"
                    "'spec':{'finalizers':['a/b']},'status':{'phase':'Terminating'}}",
                    &object),
        "");
    road_assert_json(arena, value_at(object, "metadata.labels"),
                     "{'kubernetes.io/metadata.name':'n'}");
    road_assert_json(arena, value_at(object, "spec"), "{'finalizers':['a/b','kubernetes']}");
    road_assert_json(arena, value_at(object, "status"), "{'phase':'Active'}");
    assert_string_equal(
        road_create(arena, namespaces, "{'metadata':{'name':'a.b'},'spec':{'finalizers':['x']}}",
                    NULL),
        "metadata.name: Invalid value: \"a.b\": must not contain dots\n"
        "spec.finalizers: Invalid value: \"x\": name is neither a standard finalizer name nor is "
        "it fully qualified\n");
    // Only the finalize subresource changes finalizers.
    assert_string_equal(
        road_update(arena, namespaces, "{}", "{'spec':{'finalizers':['a/b']}}", &object), "");
    road_assert_json(arena, value_at(object, "spec"), "{'finalizers':['kubernetes']}");
}

static void test_phase_of_namespaces(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const ResourceRules *rules = kinds_resource_core_v1_namespaces()->rules;
    FieldErrors errors = {.arena = arena};
    rules->validate_status_update(&errors, road_parse(arena, "{'status':{'phase':'Terminating'}}"),
                                  NULL);
    rules->validate_status_update(
        &errors, road_parse(arena, "{'metadata':{'deletionTimestamp':'t'},'status':{}}"), NULL);
    rules->validate_status_update(&errors, road_parse(arena, "{'status':{'phase':'Active'}}"),
                                  NULL);
    assert_string_equal(road_problems(&errors),
                        "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if "
                        "`deletionTimestamp` is empty\n"
                        "status.Phase: Invalid value: \"\": may only be 'Terminating' if "
                        "`deletionTimestamp` is not empty\n");
}

static const char *node(Arena *arena, const char *json, Value **ret) {
    return road_create(arena, kinds_resource_core_v1_nodes(), json, ret);
}

static void test_nodes(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *object;
    assert_string_equal(node(arena,
                             "{'spec':{'podCIDR':'10.42.0.0/24'},'status':{'capacity':{'cpu':'2',"
                             "'pods':'110'}}}",
                             &object),
                        "");
    road_assert_json(arena, value_at(object, "spec.podCIDRs"), "['10.42.0.0/24']");
    road_assert_json(arena, value_at(object, "status.allocatable"), "{'cpu':'2','pods':'110'}");
    assert_string_equal(
        node(arena, "{'status':{'capacity':{'cpu':'-1','pods':'1500m','memory':'1'}}}", NULL),
        "status.capacity.cpu: Invalid value: \"-1\": must be greater than or equal to 0\n"
        "status.capacity.pods: Invalid value: \"1500m\": must be an integer\n"
        "status.allocatable.cpu: Invalid value: \"-1\": must be greater than or equal to 0\n"
        "status.allocatable.pods: Invalid value: \"1500m\": must be an integer\n");
    assert_string_equal(
        node(arena, "{'spec':{'podCIDRs':['10.0.0.0/24','10.0.1.0/24']}}", NULL),
        "spec.podCIDRs: Invalid value: [\"10.0.0.0/24\",\"10.0.1.0/24\"]: may specify no more than "
        "one CIDR for each IP family\n");
    assert_string_equal(node(arena, "{'spec':{'podCIDR':'10.0.0.0'}}", NULL),
                        "spec.podCIDRs[0]: Invalid value: \"10.0.0.0\": must be a valid CIDR value,"
                        " (e.g. 10.9.8.0/24 or 2001:db8::/64)\n");
}

static void test_taints(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(
        node(arena,
             "{'spec':{'taints':[{'key':'a','effect':'NoSchedule'},{'key':'a','effect':'NoExecute'}"
             ",{'key':'a','value':'v','effect':'NoSchedule'}]}}",
             NULL),
        "spec.taints[2]: Duplicate value: {\"Key\":\"a\",\"Value\":\"v\",\"Effect\":\"NoSchedule\","
        "\"TimeAdded\":null}: taints must be unique by key and effect pair\n");
    assert_string_equal(
        node(arena, "{'spec':{'taints':[{'key':'a','effect':'Never'},{'key':'b'}]}}", NULL),
        "spec.taints[0].effect: Unsupported value: \"Never\": supported values: \"NoSchedule\", "
        "\"PreferNoSchedule\", \"NoExecute\"\n"
        "spec.taints[1].effect: Required value\n");
}

static void test_updates_of_nodes(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const Resource *nodes = kinds_resource_core_v1_nodes();
    assert_string_equal(road_update(arena, nodes, "{}",
                                    "{'spec':{'podCIDR':'10.0.0.0/24','providerID':'a://b'}}",
                                    NULL),
                        "");
    assert_string_equal(
        road_update(arena, nodes, "{'spec':{'podCIDR':'10.0.0.0/24','providerID':'a://b'}}",
                    "{'spec':{'podCIDR':'10.0.1.0/24','externalID':'x'}}", NULL),
        "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid\n"
        "spec.providerID: Forbidden: node updates may not change providerID except from \"\" to "
        "valid\n"
        "spec.externalID: Forbidden: may not be updated\n");
    assert_string_equal(
        road_update(
            arena, nodes, "{}",
            "{'status':{'addresses':[{'type':'InternalIP','address':'1.2.3.4'},{'type':"
            "'InternalIP','address':'1.2.3.5'},{'type':'InternalIP','address':'1.2.3.4'}]}}",
            NULL),
        "status.addresses[2]: Duplicate value: "
        "{\"Type\":\"InternalIP\",\"Address\":\"1.2.3.4\"}\n");
}

static void test_service_accounts_name_their_secrets_only(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *object;
    assert_string_equal(
        road_create(arena, kinds_resource_core_v1_serviceaccounts(),
                    "{'secrets':[{'name':'a','namespace':'other','kind':'Secret'}]}", &object),
        "");
    road_assert_json(arena, value_at(object, "secrets"), "[{'name':'a'}]");
}

static void test_bindings(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const Resource *bindings = kinds_resource_core_v1_bindings();
    assert_string_equal(road_create(arena, bindings, "{'target':{'name':'n'}}", NULL), "");
    assert_string_equal(road_create(arena, bindings, "{'target':{'kind':'Pod'}}", NULL),
                        "target.kind: Unsupported value: \"Pod\": supported values: \"Node\", "
                        "\"<empty>\"\ntarget.name: Required value\n");
}

static void test_leases(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const Resource *leases = kinds_resource_coordination_v1_leases();
    assert_string_equal(road_create(arena, leases,
                                    "{'spec':{'holderIdentity':'a','leaseDurationSeconds':40,"
                                    "'leaseTransitions':0}}",
                                    NULL),
                        "");
    assert_string_equal(
        road_create(arena, leases,
                    "{'spec':{'leaseDurationSeconds':0,'leaseTransitions':-1,'preferredHolder':'a'}"
                    "}",
                    NULL),
        "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0\n"
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0\n"
        "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined\n");
    assert_string_equal(road_create(arena, leases, "{'spec':{'strategy':'Best'}}", NULL),
                        "spec.strategy.strategy: Unsupported value: \"Best\": supported values: "
                        "\"OldestEmulationVersion\"\n");
}

static void test_pod_presets_and_selectors(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const Resource *presets = kinds_resource_settings_v1alpha1_podpresets();
    assert_string_equal(
        road_create(arena, presets, "{'spec':{'selector':{},'env':[{'name':'A'}]}}", NULL), "");
    assert_string_equal(road_create(arena, presets, "{'spec':{'selector':{}}}", NULL),
                        "spec.volumes.env.envFrom.volumeMounts: Required value: must specify at "
                        "least one\n");
    assert_string_equal(
        road_create(arena, presets,
                    "{'spec':{'env':[{'name':'A'}],'selector':{'matchLabels':{'a':'-'},"
                    "'matchExpressions':[{'key':'a','operator':'In'},{'key':'a','operator':"
                    "'Exists','values':['x']},{'key':'a','operator':'Is'}]}}}",
                    NULL),
        "spec.selector.matchExpressions[0].values: Required value: must be specified when "
        "`operator` is 'In' or 'NotIn'\n"
        "spec.selector.matchExpressions[1].values: Forbidden: may not be specified when `operator` "
        "is 'Exists' or 'DoesNotExist'\n"
        "spec.selector.matchExpressions[2].operator: Invalid value: \"Is\": not a valid selector "
        "operator\n"
        "spec.selector.matchLabels: Invalid value: \"-\": a valid label must be an empty string or "
        "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
        "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_namespaces),
        cmocka_unit_test(test_phase_of_namespaces),
        cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_taints),
        cmocka_unit_test(test_updates_of_nodes),
        cmocka_unit_test(test_service_accounts_name_their_secrets_only),
        cmocka_unit_test(test_bindings),
        cmocka_unit_test(test_leases),
        cmocka_unit_test(test_pod_presets_and_selectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
