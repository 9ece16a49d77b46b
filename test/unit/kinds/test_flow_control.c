// Flow schemas, priority levels and certificate requests. Paths and messages:
// pkg/apis/flowcontrol/validation and pkg/apis/certificates/validation upstream.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"

#define SCHEMA(rest) "{'spec':{'priorityLevelConfiguration':{'name':'p'}" rest "}}"
#define RULES(rule) SCHEMA(",'rules':[{" rule "}]")
#define USER "'subjects':[{'kind':'User','user':{'name':'u'}}]"
#define RESOURCES                                                                                  \
    "'resourceRules':[{'verbs':['get'],'apiGroups':[''],'resources':['pods'],'namespaces':['*']}]"

static void test_flow_schemas(void **state) {
    const Resource *schemas = kinds_resource_flowcontrol_v1_flowschemas();
    CHECK(
        schemas, {SCHEMA(""), ""}, {RULES(USER "," RESOURCES), ""},
        {"{'metadata':{'name':'exempt'},'spec':{'matchingPrecedence':1,'priorityLevelConfiguration'"
         ":{'name':'p'}}}",
         ""},
        {"{'spec':{'priorityLevelConfiguration':{'name':''}}}",
         "spec.priorityLevelConfiguration.name: Required value: must reference a priority level\n"},
        {SCHEMA(",'matchingPrecedence':-1"),
         "spec.matchingPrecedence: Invalid value: -1: must be a positive value\n"},
        {SCHEMA(",'matchingPrecedence':10001"),
         "spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000\n"},
        {SCHEMA(",'matchingPrecedence':1"),
         "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may "
         "have matchingPrecedence 1\n"},
        {SCHEMA(",'distinguisherMethod':{'type':'ByMood'}"),
         "spec.distinguisherMethod.type: Unsupported value: \"ByMood\": supported values: "
         "\"ByNamespace\", \"ByUser\"\n"},
        {RULES("'subjects':[]"),
         "spec.rules[0].subjects: Required value: subjects must contain at least one value\n"
         "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to "
         "be non-empty\n"},
        {RULES("'subjects':[{'kind':'Robot'}]," RESOURCES),
         "spec.rules[0].subjects[0].kind: Unsupported value: \"Robot\": supported values: "
         "\"Group\", \"ServiceAccount\", "
         "\"User\"\n"},
        {RULES("'subjects':[{'kind':'User','group':{'name':'g'}}]," RESOURCES),
         "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not "
         "'Group'\n"
         "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is "
         "'User'\n"},
        {RULES("'subjects':[{'kind':'Group','group':{'name':''}},{'kind':'ServiceAccount','"
               "serviceAccount':{'name':'noxu',"
               "'namespace':''}}]," RESOURCES),
         "spec.rules[0].subjects[0].group.name: Required value\n"
         "spec.rules[0].subjects[1].serviceAccount.namespace: Required value: must specify "
         "namespace for service "
         "account\n"},
        {RULES(USER ",'resourceRules':[{'verbs':['feel'],'apiGroups':[],'resources':['*','pods'],'"
                    "namespaces':[]}]"),
         "spec.rules[0].resourceRules[0].verbs: Unsupported value: [\"feel\"]: supported values: "
         "\"connect\", \"create\", "
         "\"delete\", \"deletecollection\", \"get\", \"list\", \"patch\", \"proxy\", \"update\", "
         "\"watch\"\n"
         "spec.rules[0].resourceRules[0].apiGroups: Required value: resource rules must supply at "
         "least one api group\n"
         "spec.rules[0].resourceRules[0].resources: Invalid value: [\"*\",\"pods\"]: if '*' is "
         "present, must not specify "
         "other resources\n"
         "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not "
         "cluster scoped must supply "
         "at least one namespace\n"},
        {RULES(USER ",'nonResourceRules':[{'verbs':['*','get'],'nonResourceURLs':['healthz','/a//"
                    "b','/a*','/a b','']}]"),
         "spec.rules[0].nonResourceRules[0].verbs: Invalid value: [\"*\",\"get\"]: if '*' is "
         "present, must not specify "
         "other verbs\n"
         "spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: \"healthz\": must "
         "start with slash\n"
         "spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: \"/a//b\": must not "
         "contain double slash\n"
         "spec.rules[0].nonResourceRules[0].nonResourceURLs[2]: Invalid value: \"/a*\": wildcard "
         "can only do suffix "
         "matching\n"
         "spec.rules[0].nonResourceRules[0].nonResourceURLs[3]: Invalid value: \"/a b\": must not "
         "contain white-space\n"
         "spec.rules[0].nonResourceRules[0].nonResourceURLs[4]: Invalid value: \"\": must not be "
         "empty\n"});
    check_made(schemas, SCHEMA(""), "spec.matchingPrecedence", "1000");
}

#define LEVEL(rest) "{'spec':{'type':'Limited','limited':{" rest "}}}"
#define QUEUED(queuing) LEVEL("'limitResponse':{'type':'Queue','queuing':{" queuing "}}")

static void test_priority_levels(void **state) {
    const Resource *levels = kinds_resource_flowcontrol_v1_prioritylevelconfigurations();
    CHECK(
        levels, {"{'spec':{'type':'Exempt'}}", ""},
        {LEVEL("'limitResponse':{'type':'Reject'}"), ""}, {QUEUED(""), ""},
        {"{'spec':{'type':'Other'}}",
         "spec.type: Unsupported value: \"Other\": supported values: \"Exempt\", \"Limited\"\n"},
        {"{'spec':{'type':'Limited','exempt':{}}}",
         "spec.exempt: Forbidden: must be nil if the type is Limited\n"
         "spec.limited: Required value: must not be empty when type is Limited\n"},
        {"{'spec':{'type':'Exempt','limited':{'limitResponse':{'type':'Reject'}}}}",
         "spec.limited: Forbidden: must be nil if the type is not Limited\n"},
        {"{'spec':{'type':'Exempt','exempt':{'nominalConcurrencyShares':-1,'lendablePercent':101}}"
         "}",
         "spec.exempt.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer\n"
         "spec.exempt.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive\n"},
        {LEVEL("'borrowingLimitPercent':-1,'limitResponse':{'type':'Drop'}"),
         "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a "
         "non-negative integer\n"
         "spec.limited.limitResponse.type: Unsupported value: \"Drop\": supported values: "
         "\"Queue\", \"Reject\"\n"},
        {LEVEL("'limitResponse':{'type':'Queue'}"),
         "spec.limited.limitResponse.queuing: Required value: must not be empty "
         "if limited.limitResponse.type is Limited\n"},
        {LEVEL("'limitResponse':{'type':'Reject','queuing':{}}"),
         "spec.limited.limitResponse.queuing: Forbidden: must be nil if limited.limitResponse.type "
         "is not Limited\n"},
        {QUEUED("'queues':10000001,'handSize':2,'queueLengthLimit':-1"),
         "spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: -1: must be "
         "positive\n"
         "spec.limited.limitResponse.queuing.queues: Invalid value: 10000001: must not be greater "
         "than 10000000\n"},
        {QUEUED("'queues':4"), "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: "
                               "should not be greater than "
                               "queues (4)\n"},
        {QUEUED("'queues':512"),
         "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of "
         "deckSize 512 and handSize 8 should not be greater than 60\n"});
    // pkg/apis/flowcontrol/v1/defaults.go
    check_made(levels, QUEUED(""), "spec.limited",
               "{'nominalConcurrencyShares':30,'limitResponse':{'type':'Queue','queuing':{'queues':"
               "64,'handSize':8,"
               "'queueLengthLimit':50}},'lendablePercent':0}");
    check_made(levels, "{'spec':{'type':'Exempt','exempt':{}}}", "spec.exempt",
               "{'nominalConcurrencyShares':0,'lendablePercent':0}");
}

#define REQUEST(rest) "{'spec':{'request':'YQ=='," rest "}}"
#define GOOD "'signerName':'example.com/s','usages':['client auth']"

static void test_certificate_requests(void **state) {
    const Resource *requests = kinds_resource_certificates_v1_certificatesigningrequests();
    CHECK(requests, {REQUEST(GOOD), ""}, {REQUEST(GOOD ",'expirationSeconds':600"), ""},
          {REQUEST("'signerName':''"),
           "spec.usages: Required value\nspec.signerName: Required value\n"},
          {REQUEST("'signerName':'s','usages':['any']"),
           "spec.signerName: Invalid value: \"s\": must be a fully qualified domain and path of "
           "the form "
           "'example.com/signer-name'\n"},
          {REQUEST("'signerName':'example/s','usages':['any']"),
           "spec.signerName: Invalid value: \"example\": should be a domain with at least two "
           "segments separated by dots\n"},
          {REQUEST("'signerName':'kubernetes.io/legacy-unknown','usages':['any']"),
           "spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy "
           "signerName is not allowed via this "
           "API version\n"},
          {REQUEST("'signerName':'a.b/c','usages':['any','any'],'expirationSeconds':599"),
           "spec.usages[1]: Duplicate value: \"any\"\n"
           "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 "
           "seconds (10 minutes)\n"});
    _arena_free_ Arena *arena = arena_new();
    const char *problems =
        road_create(arena, requests, REQUEST("'signerName':'a.b/c','usages':['fun']"), NULL);
    assert_non_null(strstr(
        problems,
        "spec.usages[0]: Unsupported value: \"fun\": supported values: \"any\", \"cert sign\", "));
    // certificatesigningrequest/strategy.go: the main road keeps the spec.
    Value *kept;
    assert_string_equal(road_update(arena, requests, REQUEST(GOOD),
                                    REQUEST("'signerName':'x.y/z','usages':['any']"), &kept),
                        "");
    assert_true(str_eq(value_string_at(kept, "spec.signerName"), STR("example.com/s")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flow_schemas),
        cmocka_unit_test(test_priority_levels),
        cmocka_unit_test(test_certificate_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
