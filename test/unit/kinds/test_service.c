// Services and endpoints.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "road.h"

static const char *spec(Arena *arena, const char *fields, Value **ret) {
    const char *json = arena_printf(arena, "{'spec':{%s}}", fields).ptr;
    return road_create(arena, kinds_resource_core_v1_services(), json, ret);
}

static const char *update(Arena *arena, const char *old, const char *now, Value **ret) {
    return road_update(arena, kinds_resource_core_v1_services(),
                       arena_printf(arena, "{'spec':{%s}}", old).ptr,
                       arena_printf(arena, "{'spec':{%s}}", now).ptr, ret);
}

static void test_defaults(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *service;
    assert_string_equal(spec(arena, "'ports':[{'port':80}]", &service), "");
    road_assert_json(arena, value_at(service, "spec"),
                     "{'ports':[{'protocol':'TCP','port':80,'targetPort':80}],'type':'ClusterIP',"
                     "'sessionAffinity':'None','internalTrafficPolicy':'Cluster'}");
    assert_string_equal(spec(arena,
                             "'type':'LoadBalancer','sessionAffinity':'ClientIP','ports':[{'port':"
                             "80,'targetPort':'http'}]",
                             &service),
                        "");
    road_assert_json(
        arena, value_at(service, "spec"),
        "{'ports':[{'protocol':'TCP','port':80,'targetPort':'http'}],'type':'LoadBalancer',"
        "'sessionAffinity':'ClientIP','sessionAffinityConfig':{'clientIP':{'timeoutSeconds':10800"
        "}},'externalTrafficPolicy':'Cluster','internalTrafficPolicy':'Cluster',"
        "'allocateLoadBalancerNodePorts':true}");
    assert_string_equal(spec(arena, "'clusterIP':'None'", &service), "");
    road_assert_json(arena, value_at(service, "spec.clusterIPs"), "['None']");
}

static void test_ports(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(spec(arena, "", NULL), "spec.ports: Required value\n");
    assert_string_equal(spec(arena, "'ports':[{'port':80},{'port':443}]", NULL),
                        "spec.ports[0].name: Required value\nspec.ports[1].name: Required value\n");
    assert_string_equal(
        spec(arena, "'ports':[{}]", NULL),
        "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive\n"
        "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive\n");
    assert_string_equal(
        spec(arena, "'ports':[{'name':'a','port':80,'nodePort':3},{'name':'a','port':80}]", NULL),
        "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'\n"
        "spec.ports[1].name: Duplicate value: \"a\"\n"
        "spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,"
        "\"Port\":80,\"TargetPort\":0,\"NodePort\":0}\n");
    assert_string_equal(spec(arena,
                             "'type':'NodePort','ports':[{'name':'a','port':80,'nodePort':30000},{"
                             "'name':'b','port':81,'nodePort':30000},{'name':'c','port':82,"
                             "'nodePort':30000,'protocol':'UDP'}]",
                             NULL),
                        "spec.ports[1].nodePort: Duplicate value: 30000\n");
    assert_string_equal(spec(arena, "'ports':[{'port':80,'targetPort':'no_port'}]", NULL),
                        "spec.ports[0].targetPort: Invalid value: \"no_port\": must contain only "
                        "alpha-numeric characters (a-z, 0-9), and hyphens (-)\n");
    assert_string_equal(spec(arena, "'ports':[{'port':80,'protocol':'ICMP'}]", NULL),
                        "spec.ports[0].protocol: Unsupported value: \"ICMP\": supported values: "
                        "\"SCTP\", \"TCP\", \"UDP\"\n");
}

static void test_types(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(spec(arena, "'type':'ExternalName','externalName':'a.example.'", NULL), "");
    assert_string_equal(spec(arena, "'type':'ExternalName','clusterIP':'10.0.0.1'", NULL),
                        "spec.clusterIPs: Forbidden: may not be set for ExternalName services\n"
                        "spec.externalName: Required value\n");
    assert_string_equal(
        spec(arena, "'type':'NodePort','clusterIP':'None','ports':[{'port':80}]", NULL),
        "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort "
        "services\n");
    assert_string_equal(spec(arena, "'type':'Best','ports':[{'port':80}]", NULL),
                        "spec.type: Unsupported value: \"Best\": supported values: \"ClusterIP\", "
                        "\"ExternalName\", \"LoadBalancer\", \"NodePort\"\n");
    assert_string_equal(spec(arena,
                             "'ports':[{'port':80}],'externalTrafficPolicy':'Local',"
                             "'loadBalancerClass':'a/b','loadBalancerSourceRanges':['10.0.0.0/33']",
                             NULL),
                        "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is "
                        "'LoadBalancer'\n"
                        "spec.LoadBalancerSourceRanges[0]: Invalid value: \"10.0.0.0/33\": must be "
                        "a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)\n"
                        "spec.loadBalancerClass: Forbidden: may only be used when `type` is "
                        "'LoadBalancer'\n"
                        "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for "
                        "externally-accessible services\n");
    assert_string_equal(spec(arena,
                             "'type':'LoadBalancer','externalTrafficPolicy':'Local','ports':[{"
                             "'port':80}]",
                             NULL),
                        ""); // one is given out
}

static void test_addresses(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(
        spec(arena, "'ports':[{'port':80}],'clusterIP':'10.1','clusterIPs':['10.0.0.1']", NULL),
        "spec.clusterIPs: Invalid value: [\"10.0.0.1\"]: first value must match `clusterIP`\n");
    assert_string_equal(spec(arena, "'ports':[{'port':80}],'clusterIP':'10.0.0.256'", NULL),
                        "spec.clusterIPs[0]: Invalid value: \"10.0.0.256\": must be a valid IP "
                        "address, (e.g. 10.9.8.7 or 2001:db8::ffff)\n");
    assert_string_equal(
        spec(arena,
             "'ports':[{'port':80}],'clusterIP':'10.0.0.1','clusterIPs':['10.0.0.1','10.0.0.2']",
             NULL),
        "spec.clusterIPs: Invalid value: [\"10.0.0.1\",\"10.0.0.2\"]: may specify no more than one "
        "IP for each IP family\n");
    assert_string_equal(
        spec(arena, "'ports':[{'port':80}],'clusterIP':'fd00::1','ipFamilies':['IPv4']", NULL),
        "spec.clusterIPs[0]: Invalid value: \"fd00::1\": expected an IPv4 value as indicated by "
        "`ipFamilies[0]`\n");
    assert_string_equal(
        spec(arena, "'ports':[{'port':80}],'externalIPs':['127.0.0.1','::','169.254.1.1']", NULL),
        "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range "
        "(127.0.0.0/8, ::1/128)\n"
        "spec.externalIPs[1]: Invalid value: \"::\": may not be unspecified (::)\n"
        "spec.externalIPs[2]: Invalid value: \"169.254.1.1\": may not be in the link-local range "
        "(169.254.0.0/16, fe80::/10)\n");
}

static void test_updates_keep_what_was_given_out(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *service;
    assert_string_equal(update(arena,
                               "'type':'NodePort','clusterIP':'10.0.0.1','ports':[{'port':80,"
                               "'nodePort':30080}]",
                               "'type':'NodePort','ports':[{'port':81}]", &service),
                        "");
    road_assert_json(arena, value_at(service, "spec.clusterIPs"), "['10.0.0.1']");
    assert_int_equal(value_int_at(value_at(service, "spec.ports")->items[0], "nodePort", 0), 30080);
    // A change of type drops what only the old one had.
    assert_string_equal(update(arena,
                               "'type':'NodePort','clusterIP':'10.0.0.1','ports':[{'port':80,"
                               "'nodePort':30080}]",
                               "'type':'ClusterIP','clusterIP':'10.0.0.1','externalTrafficPolicy':"
                               "'Cluster','ports':[{'port':80,'nodePort':30080}]",
                               &service),
                        "");
    road_assert_json(arena, value_at(service, "spec.ports"),
                     "[{'protocol':'TCP','port':80,'targetPort':80}]");
    assert_null(value_at(service, "spec.externalTrafficPolicy"));
    assert_string_equal(update(arena, "'clusterIP':'10.0.0.1','ports':[{'port':80}]",
                               "'type':'ExternalName','externalName':'a.b','clusterIP':'10.0.0.1',"
                               "'clusterIPs':['10.0.0.1']",
                               &service),
                        "");
    assert_null(value_at(service, "spec.clusterIP"));
}

static void test_updates_that_are_refused(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const char *old = "'clusterIP':'10.0.0.1','ports':[{'port':80}]";
    assert_string_equal(
        update(arena, old, "'clusterIP':'10.0.0.2','ports':[{'port':80}]", NULL),
        "spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set\n");
    assert_string_equal(update(arena, old, "'clusterIP':'None','ports':[{'port':80}]", NULL),
                        "spec.clusterIPs[0]: Invalid value: [\"None\"]: may not change once set\n");
    assert_string_equal(
        update(arena,
               "'clusterIP':'10.0.0.1','clusterIPs':['10.0.0.1','fd00::1'],'ports':[{'port':80}]",
               "'clusterIP':'10.0.0.1','clusterIPs':['10.0.0.1'],'ports':[{'port':80}]", NULL),
        "spec.ipFamilyPolicy: Invalid value: null: must be set to 'SingleStack' when releasing the "
        "secondary clusterIP\n");
    assert_string_equal(
        update(arena, "'type':'LoadBalancer','loadBalancerClass':'a/b','ports':[{'port':80}]",
               "'type':'LoadBalancer','loadBalancerClass':'a/c','ports':[{'port':80}]", NULL),
        "spec.loadBalancerClass: Invalid value: \"a/c\": may not change once set\n");
}

static const char *status(Arena *arena, const char *type, const char *ingress) {
    FieldErrors errors = {.arena = arena};
    const Resource *services = kinds_resource_core_v1_services();
    Value *service = road_prepare(
        arena, services,
        arena_printf(arena,
                     "{'spec':{'type':'%s','ports':[{'port':80}]},'status':{'loadBalancer':{"
                     "'ingress':[%s]}}}",
                     type, ingress)
            .ptr,
        NULL);
    services->rules->validate_status_update(&errors, service, service);
    return road_problems(&errors);
}

static void test_status(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(status(arena, "LoadBalancer", "{'ip':'1.2.3.4'},{'hostname':'a.b'}"), "");
    assert_string_equal(status(arena, "ClusterIP", "{'ip':'1.2.3.4'}"),
                        "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` "
                        "is 'LoadBalancer'\n");
    assert_string_equal(
        status(arena, "LoadBalancer", "{'hostname':'1.2.3.4','ipMode':'VIP'}"),
        "status.loadBalancer.ingress[0].ipMode: Forbidden: may not be specified when `ip` is not "
        "set\n"
        "status.loadBalancer.ingress[0].hostname: Invalid value: \"1.2.3.4\": must be a DNS name, "
        "not an IP address\n");
}

static const char *endpoints(Arena *arena, const char *subset) {
    return road_create(arena, kinds_resource_core_v1_endpoints(),
                       arena_printf(arena, "{'subsets':[{%s}]}", subset).ptr, NULL);
}

static void test_endpoints(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(endpoints(arena, "'addresses':[{'ip':'10.0.0.1'}],'ports':[{'port':80}]"),
                        "");
    assert_string_equal(
        endpoints(arena, "'ports':[{'port':80}]"),
        "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`\n");
    assert_string_equal(
        endpoints(arena, "'addresses':[{'ip':'x'}]"),
        "subsets[0].addresses[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. "
        "10.9.8.7 or 2001:db8::ffff)\n"
        "subsets[0].addresses[0].ip: Invalid value: \"x\": must be a valid IP address\n");
    assert_string_equal(
        endpoints(arena, "'notReadyAddresses':[{'ip':'ff02::1'}],'ports':[{'port':80},{'port':81,"
                         "'name':'b'}]"),
        "subsets[0].notReadyAddresses[0].ip: Invalid value: \"ff02::1\": may not be in the "
        "link-local multicast range (224.0.0.0/24, ff02::/10)\n"
        "subsets[0].ports[0].name: Required value\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_updates_keep_what_was_given_out),
        cmocka_unit_test(test_updates_that_are_refused),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_endpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
