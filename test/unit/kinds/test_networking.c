// Ingresses, network policies, addresses and ranges of services. Paths and messages:
// pkg/apis/networking/validation upstream; IsDomainPrefixedPath and IsWildcardDNS1123Subdomain:
// apimachinery's pkg/util/validation.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"

#define SERVICE "'backend':{'service':{'name':'s','port':{'number':80}}}"
#define RULE(rule) "{'spec':{'rules':[" rule "]}}"
#define HTTP(path) RULE("{'http':{'paths':[{" path "}]}}")
#define BACKEND(backend) "{'spec':{'defaultBackend':{" backend "}}}"
#define PATHS "spec.rules[0].http.paths[0]."

static void test_ingresses(void **state) {
    const Resource *ingresses = kinds_resource_networking_v1_ingresses();
    CHECK(ingresses, {HTTP("'path':'/a','pathType':'Prefix'," SERVICE), ""},
          {BACKEND("'resource':{'apiGroup':'example.com','kind':'K','name':'n'}"), ""},
          {RULE("{'host':'*.example.com'}"), ""},
          {"{'spec':{}}",
           "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified\n"},
          {BACKEND(""),
           "spec.defaultBackend: Invalid value: \"\": resource or service backend is required\n"},
          {BACKEND("'service':{'name':'s','port':{'number':1}},'resource':{'kind':'K','name':'n'}"),
           "spec.defaultBackend: Invalid value: \"\": cannot set both resource and service "
           "backends\n"},
          {BACKEND("'service':{'name':'','port':{}}"),
           "spec.defaultBackend.service.name: Required value\n"
           "spec.defaultBackend: Required value: port name or number is required\n"},
          {BACKEND("'service':{'name':'s','port':{'name':'a','number':1}}"),
           "spec.defaultBackend: Invalid value: \"\": cannot set both port name & port number\n"},
          {BACKEND("'service':{'name':'s','port':{'number':65536}}"),
           "spec.defaultBackend.service.port.number: Invalid value: 65536: must be between 1 and "
           "65535, inclusive\n"},
          {BACKEND("'resource':{'kind':'','name':'a/b'}"),
           "spec.defaultBackend.resource.kind: Required value\n"
           "spec.defaultBackend.resource.name: Invalid value: \"a/b\": may not contain '/'\n"},
          {RULE("{'host':'10.0.0.1'}"), "spec.rules[0].host: Invalid value: \"10.0.0.1\": must be "
                                        "a DNS name, not an IP address\n"},
          {RULE("{'host':'a.*.b'}"),
           "spec.rules[0].host: Invalid value: \"a.*.b\": a wildcard DNS-1123 subdomain must start "
           "with '*.', followed by a "
           "valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or "
           "'.' and end with an "
           "alphanumeric character (e.g. '*.example.com', regex used for validation is "
           "'\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')\n"},
          {RULE("{'http':{'paths':[]}}"), "spec.rules[0].http.paths: Required value\n"},
          {HTTP(SERVICE), PATHS "pathType: Required value: pathType must be specified\n"},
          {HTTP("'pathType':'Regex'," SERVICE),
           PATHS "pathType: Unsupported value: \"Regex\": supported values: \"Exact\", "
                 "\"ImplementationSpecific\", "
                 "\"Prefix\"\n"},
          {HTTP("'pathType':'Exact'," SERVICE),
           PATHS "path: Invalid value: \"\": must be an absolute path\n"},
          {HTTP("'path':'/a//b/..','pathType':'Prefix'," SERVICE),
           PATHS "path: Invalid value: \"/a//b/..\": must not contain '//'\n" PATHS
                 "path: Invalid value: \"/a//b/..\": cannot end with '/..'\n"},
          {HTTP("'path':'a','pathType':'ImplementationSpecific'," SERVICE),
           PATHS "path: Invalid value: \"a\": must be an absolute path\n"},
          {"{'metadata':{'annotations':{'kubernetes.io/"
           "ingress.class':'c'}},'spec':{'ingressClassName':'c','rules':[{}]}}",
           "metadata.annotations.kubernetes.io/ingress.class: Invalid value: \"c\": can not be set "
           "when the class field is "
           "also set\n"});
    _arena_free_ Arena *arena = arena_new();
    FieldErrors errors = {.arena = arena};
    const Value *ingress = road_parse(
        arena, "{'status':{'loadBalancer':{'ingress':[{'ip':'x','hostname':'10.0.0.1'}]}}}");
    ingresses->rules->validate_status_update(&errors, ingress, ingress);
    assert_string_equal(road_problems(&errors),
                        "status.loadBalancer.ingress[0].ip: Invalid value: \"x\": must be a valid "
                        "IP address, (e.g. 10.9.8.7 "
                        "or 2001:db8::ffff)\n"
                        "status.loadBalancer.ingress[0].hostname: Invalid value: \"10.0.0.1\": "
                        "must be a DNS name, not an IP "
                        "address\n");
}

#define CLASS(rest) "{'spec':{'controller':'example.com/c'" rest "}}"

static void test_ingress_classes(void **state) {
    const Resource *classes = kinds_resource_networking_v1_ingressclasses();
    CHECK(classes, {CLASS(",'parameters':{'kind':'K','name':'n'}"), ""},
          {CLASS(",'parameters':{'kind':'K','name':'n','scope':'Namespace','namespace':'ns'}"), ""},
          {"{'spec':{}}", "spec.controller: Required value\n"},
          {"{'spec':{'controller':'c'}}", "spec.controller: Invalid value: \"c\": must be a "
                                          "domain-prefixed path (such as \"acme.io/foo\")\n"},
          {"{'spec':{'controller':'a.b/c d'}}",
           "spec.controller: Invalid value: \"c d\": Invalid path (regex used for validation is "
           "'[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')\n"},
          {CLASS(",'parameters':{'kind':'','name':'n','namespace':'ns'}"),
           "spec.parameters.kind: Required value\n"
           "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'\n"},
          {CLASS(",'parameters':{'kind':'K','name':'n','scope':'Namespace'}"),
           "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'\n"},
          {CLASS(",'parameters':{'kind':'K','name':'n','scope':'World'}"),
           "spec.parameters.scope: Unsupported value: \"World\": supported values: \"Cluster\", "
           "\"Namespace\"\n"});
    CHECK_CHANGES(classes,
                  {CLASS(""), "{'spec':{'controller':'example.com/d'}}",
                   "spec.controller: Invalid value: \"example.com/d\": field is immutable\n"});
    check_made(classes, CLASS(",'parameters':{'kind':'K','name':'n'}"), "spec.parameters.scope",
               "'Cluster'");
}

#define POLICY(rest) "{'spec':{'podSelector':{}" rest "}}"
#define PORT(port) POLICY(",'ingress':[{'ports':[{" port "}]}]")
#define FROM(peer) POLICY(",'ingress':[{'from':[{" peer "}]}]")

static void test_network_policies(void **state) {
    const Resource *policies = kinds_resource_networking_v1_networkpolicies();
    CHECK(
        policies, {POLICY(""), ""}, {PORT("'port':80,'endPort':90"), ""},
        {PORT("'port':'http'"), ""},
        {FROM("'ipBlock':{'cidr':'10.0.0.0/8','except':['10.1.0.0/16']}"), ""},
        {FROM("'podSelector':{},'namespaceSelector':{}"), ""},
        {PORT("'protocol':'ICMP'"),
         "spec.ingress[0].ports[0].protocol: Unsupported value: \"ICMP\": supported values: "
         "\"TCP\", \"UDP\", \"SCTP\"\n"},
        {PORT("'port':0"), "spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and "
                           "65535, inclusive\n"},
        {PORT("'port':80,'endPort':79"), "spec.ingress[0].ports[0].endPort: Invalid value: 80: "
                                         "must be greater than or equal to `port`\n"},
        {PORT("'port':'http','endPort':90"), "spec.ingress[0].ports[0].endPort: Invalid value: 90: "
                                             "may not be specified when `port` is non-numeric\n"},
        {PORT("'endPort':90"), "spec.ingress[0].ports[0].endPort: Invalid value: 90: may not be "
                               "specified when `port` is not specified\n"},
        {FROM(""), "spec.ingress[0].from[0]: Required value: must specify a peer\n"},
        {POLICY(",'egress':[{'to':[{'podSelector':{},'ipBlock':{'cidr':'10.0.0.0/8'}}]}]"),
         "spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer\n"},
        {FROM("'ipBlock':{'cidr':''}"), "spec.ingress[0].from[0].ipBlock.cidr: Required value\n"},
        {FROM("'ipBlock':{'cidr':'10.0.0.1'}"),
         "spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"10.0.0.1\": must be a valid CIDR "
         "value, (e.g. 10.9.8.0/24 "
         "or 2001:db8::/64)\n"},
        {FROM("'ipBlock':{'cidr':'10.0.0.0/8','except':['10.0.0.0/8','11.0.0.0/16']}"),
         "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a "
         "strict subset of `cidr`\n"
         "spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: \"11.0.0.0/16\": must be a "
         "strict subset of `cidr`\n"},
        {POLICY(",'policyTypes':['In']"), "spec.policyTypes[0]: Unsupported value: \"In\": "
                                          "supported values: \"Egress\", \"Ingress\"\n"},
        {POLICY(",'policyTypes':['Ingress','Egress','Ingress']"),
         "spec.policyTypes: Invalid value: [\"Ingress\",\"Egress\",\"Ingress\"]: may not specify "
         "more than two "
         "policyTypes\n"});
    // SetDefaults_NetworkPolicy and SetDefaults_NetworkPolicyPort
    // (pkg/apis/networking/v1/defaults.go)
    check_made(policies, POLICY(""), "spec.policyTypes", "['Ingress']");
    check_made(policies, POLICY(",'egress':[{'ports':[{'port':1}]}]"), "spec",
               "{'podSelector':{},'egress':[{'ports':[{'protocol':'TCP','port':1}]}],'policyTypes':"
               "['Ingress','Egress']}");
}

#define ADDRESS(name, parent) "{'metadata':{'name':'" name "'},'spec':{" parent "}}"
#define PARENT "'parentRef':{'resource':'services','namespace':'ns','name':'s'}"

static void test_addresses(void **state) {
    const Resource *addresses = kinds_resource_networking_v1_ipaddresses();
    CHECK(addresses, {ADDRESS("10.0.0.1", PARENT), ""}, {ADDRESS("fd00::1", PARENT), ""},
          {ADDRESS("x", PARENT),
           "metadata.name: Invalid value: \"x\": ParseAddr(\"x\"): unable to parse IP\n"},
          {ADDRESS("FD00::1", PARENT),
           "metadata.name: Invalid value: \"FD00::1\": must be a canonical format IP address\n"},
          {ADDRESS("10.0.0.1", ""), "spec.parentRef: Required value\n"},
          {ADDRESS("10.0.0.1", "'parentRef':{}"),
           "spec.parentRef.resource: Required value\nspec.parentRef.name: Required value\n"});
    CHECK_CHANGES(
        addresses,
        {ADDRESS("10.0.0.1", PARENT),
         ADDRESS("10.0.0.1", "'parentRef':{'resource':'services','name':'t'}"),
         "spec.parentRef: Invalid value: {\"resource\":\"services\",\"name\":\"t\"}: field is "
         "immutable\n"});
    const Resource *ranges = kinds_resource_networking_v1_servicecidrs();
    CHECK(ranges, {"{'spec':{'cidrs':['10.0.0.0/8','fd00::/64']}}", ""},
          {"{'spec':{}}", "spec.cidrs: Required value: at least one CIDR required\n"},
          {"{'spec':{'cidrs':['a','b','c']}}",
           "spec.cidrs: Invalid value: [\"a\",\"b\",\"c\"]: may only hold up to 2 values\n"},
          {"{'spec':{'cidrs':['10.0.0.0']}}",
           "spec.cidrs[0]: Invalid value: \"10.0.0.0\": must be a valid CIDR value, (e.g. "
           "10.9.8.0/24 or 2001:db8::/64)\n"},
          {"{'spec':{'cidrs':['10.0.0.0/8','11.0.0.0/8']}}",
           "spec.cidrs: Invalid value: [\"10.0.0.0/8\",\"11.0.0.0/8\"]: may specify no more than "
           "one IP for each IP family, "
           "i.e 192.168.0.0/24 and 2001:db8::/64\n"});
    CHECK_CHANGES(
        ranges,
        {"{'spec':{'cidrs':['10.0.0.0/8']}}", "{'spec':{'cidrs':['10.0.0.0/8','fd00::/64']}}", ""},
        {"{'spec':{'cidrs':['10.0.0.0/8']}}", "{'spec':{'cidrs':['11.0.0.0/8']}}",
         "spec.cidrs[0]: Invalid value: \"11.0.0.0/8\": field is immutable\n"},
        {"{'spec':{'cidrs':['10.0.0.0/8','fd00::/64']}}", "{'spec':{'cidrs':['10.0.0.0/8']}}",
         "spec.cidrs: Invalid value: [\"10.0.0.0/8\"]: field is immutable\n"});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ingresses),
        cmocka_unit_test(test_ingress_classes),
        cmocka_unit_test(test_network_policies),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
