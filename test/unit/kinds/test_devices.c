// resource.k8s.io: classes, slices, claims and their templates. Paths and messages:
// pkg/apis/resource/validation upstream.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"

#define IDENTIFIER                                                                                 \
    "a valid C identifier must start with alphabetic character or '_', followed by a string of "   \
    "alphanumeric characters or "                                                                  \
    "'_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is "              \
    "'[A-Za-z_][A-Za-z0-9_]*')"
#define OPAQUE "'opaque':{'driver':'d.example.com','parameters':{'a':1}}"

static void test_classes(void **state) {
    const Resource *classes = kinds_resource_resource_v1_deviceclasses();
    CHECK(classes, {"{'spec':{}}", ""},
          {"{'spec':{'selectors':[{'cel':{'expression':'true'}}],'config':[{" OPAQUE "}]}}", ""},
          {"{'spec':{'selectors':[{}],'config':[{}]}}",
           "spec.selectors[0].cel: Required value\nspec.config[0].opaque: Required value\n"},
          {"{'spec':{'config':[{'opaque':{'driver':'','parameters':[1]}}]}}",
           "spec.config[0].opaque.driver: Required value\n"
           "spec.config[0].opaque.parameters: Invalid value: \"<value omitted>\": parameters must "
           "be a valid JSON object\n"},
          {"{'spec':{'config':[{'opaque':{'driver':'d'}}]}}",
           "spec.config[0].opaque.parameters: Required value\n"});
    check_made(classes, "{'spec':{'extendedResourceName':'example.com/gpu'}}", "spec", "{}");
}

#define SLICE(rest)                                                                                \
    "{'spec':{'driver':'d.example.com','pool':{'name':'p','generation':1,'resourceSliceCount':1}"  \
    "," rest "}}"
#define DEVICE(rest) SLICE("'nodeName':'n','devices':[{'name':'gpu'," rest "}]")

static void test_slices(void **state) {
    const Resource *slices = kinds_resource_resource_v1_resourceslices();
    CHECK(slices, {SLICE("'nodeName':'n'"), ""},
          {DEVICE("'attributes':{'a':{'string':'x'},'d.example.com/"
                  "b':{'version':'1.2.3-rc.1+b.02'},'c':{'int':0},'e':{'bool':"
                  "false}},'capacity':{'memory':{'value':'1Gi'}}"),
           ""},
          {"{'spec':{'driver':'','pool':{'name':'','generation':-1,'resourceSliceCount':0},'"
           "allNodes':true}}",
           "spec.driver: Required value\nspec.pool.name: Required value\n"
           "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero\n"
           "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero\n"},
          {SLICE("'devices':[]"), "spec: Required value: exactly one of `nodeName`, "
                                  "`nodeSelector`, or `allNodes` is required\n"},
          {SLICE("'nodeName':'n','allNodes':true"),
           "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, "
           "`nodeSelector`, or `allNodes` is "
           "required, but multiple fields are set\n"},
          {SLICE("'nodeSelector':{'nodeSelectorTerms':[{},{}]}"),
           "spec.nodeSelector.nodeSelectorTerms: Invalid value: [{},{}]: must have exactly one "
           "node selector term\n"},
          {SLICE("'nodeName':'n','devices':[{'name':'a'},{'name':'a'}]"),
           "spec.devices[1].name: Duplicate value: \"a\"\n"},
          {DEVICE("'attributes':{'1a':{},'/b':{'int':1,'bool':true},'x/':{'version':'1.02.3'}}"),
           "spec.devices[0].attributes[1a]: Invalid value: \"1a\": " IDENTIFIER "\n"
           "spec.devices[0].attributes[1a]: Required value: exactly one value must be specified\n"
           "spec.devices[0].attributes[/b]: Required value: the domain must not be empty\n"
           "spec.devices[0].attributes[/b]: Invalid value: {\"int\":1,\"bool\":true}: exactly one "
           "value must be specified\n"
           "spec.devices[0].attributes[x/]: Required value: the name must not be empty\n"
           "spec.devices[0].attributes[x/].version: Invalid value: \"1.02.3\": must be a string "
           "compatible with semver.org "
           "spec 2.0.0\n"});
    CHECK_CHANGES(slices,
                  {SLICE("'nodeName':'n'"), SLICE("'nodeName':'m'"),
                   "spec.nodeName: Invalid value: \"m\": field is immutable\n"},
                  {SLICE("'nodeName':'n'"),
                   "{'spec':{'driver':'e','pool':{'name':'q','generation':2,'resourceSliceCount':1}"
                   ",'nodeName':'n'}}",
                   "spec.pool.name: Invalid value: \"q\": field is immutable\n"
                   "spec.driver: Invalid value: \"e\": field is immutable\n"});
    check_made(
        slices,
        DEVICE("'taints':[{'key':'k','effect':'NoSchedule'}],'allNodes':true,'bindsToNode':true"),
        "spec.devices", "[{'name':'gpu'}]");
}

#define CLAIM(devices) "{'spec':{'devices':{" devices "}}}"
#define EXACTLY(rest) CLAIM("'requests':[{'name':'r','exactly':{'deviceClassName':'c'" rest "}}]")
#define DEVICES "spec.devices."
#define MUST_NAME                                                                                  \
    "must be the name of a request in the claim or the name of a request and a subrequest "        \
    "separated by '/'\n"

static void test_claims(void **state) {
    const Resource *claims = kinds_resource_resource_v1_resourceclaims();
    CHECK(
        claims, {CLAIM(""), ""}, {EXACTLY(""), ""}, {EXACTLY(",'allocationMode':'All'"), ""},
        {CLAIM("'requests':[{'name':'r','firstAvailable':[{'name':'a','deviceClassName':'c'}]}],'"
               "constraints':[{'requests':"
               "['r/a'],'matchAttribute':'d/x'}],'config':[{'requests':['r']," OPAQUE "}]"),
         ""},
        {CLAIM("'requests':[{'name':'r'}]"), DEVICES
         "requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required\n"},
        {CLAIM("'requests':[{'name':'r','exactly':{'deviceClassName':'c'},'firstAvailable':[{'name'"
               ":'a',"
               "'deviceClassName':'c'}]}]"),
         DEVICES "requests[0]: Invalid value: null: exactly one of `exactly` or `firstAvailable` "
                 "is required, but multiple "
                 "fields are set\n"},
        {CLAIM("'requests':[{'name':'r','exactly':{}},{'name':'r','exactly':{'deviceClassName':'c'}"
               "}]"),
         DEVICES "requests[0].exactly.deviceClassName: Required value\n" DEVICES
                 "requests[1].name: Duplicate value: \"r\"\n"},
        {EXACTLY(",'allocationMode':'Most'"),
         DEVICES "requests[0].exactly.allocationMode: Unsupported value: \"Most\": supported "
                 "values: \"All\", "
                 "\"ExactCount\"\n"},
        {EXACTLY(",'allocationMode':'All','count':2"),
         DEVICES "requests[0].exactly.count: Invalid value: 2: must not be specified when "
                 "allocationMode is 'All'\n"},
        {EXACTLY(",'count':-1"),
         DEVICES "requests[0].exactly.count: Invalid value: -1: must be greater than zero\n"},
        {CLAIM("'constraints':[{'requests':['x','a/b/c']},{'matchAttribute':'y'}]"),
         DEVICES "constraints[0].requests[0]: Invalid value: \"x\": " MUST_NAME DEVICES
                 "constraints[0].requests[1]: Invalid value: \"a/b/c\": " MUST_NAME DEVICES
                 "constraints[0].matchAttribute: Required value\n" DEVICES
                 "constraints[1].matchAttribute: Invalid value: \"y\": must include a domain\n"});
    // SetDefaults_ExactDeviceRequest (pkg/apis/resource/v1/defaults.go); tolerations belong to a
    // feature that is off.
    check_made(
        claims, EXACTLY(",'tolerations':[{'key':'k'}]"), "spec.devices.requests",
        "[{'name':'r','exactly':{'deviceClassName':'c','allocationMode':'ExactCount','count':1}}]");
    CHECK_CHANGES(
        claims, {CLAIM(""), EXACTLY(""),
                 "spec: Invalid value: "
                 "{\"devices\":{\"requests\":[{\"name\":\"r\",\"exactly\":{\"deviceClassName\":"
                 "\"c\",\"allocationMode\":\"ExactCount\",\"count\":1}}]}}: field is immutable\n"});
    const Resource *templates = kinds_resource_resource_v1_resourceclaimtemplates();
    CHECK(templates, {"{'spec':{'spec':{'devices':{}}}}", ""},
          {"{'spec':{'metadata':{'labels':{'a':'b "
           "c'}},'spec':{'devices':{'requests':[{'name':'r'}]}}}}",
           "spec.metadata.labels: Invalid value: \"b c\": a valid label must be an empty string or "
           "consist of alphanumeric "
           "characters, '-', '_' or '.', and must start and end with an alphanumeric character "
           "(e.g. 'MyValue',  or "
           "'my_value',  or '12345', regex used for validation is "
           "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')\n"
           "spec.spec.devices.requests[0]: Required value: exactly one of `exactly` or "
           "`firstAvailable` is required\n"});
}

#define RESULT "{'request':'r','driver':'d','pool':'p','device':'x'}"
#define STATUS(status)                                                                             \
    "{'spec':{'devices':{'requests':[{'name':'r','exactly':{'deviceClassName':'c'}}]}},'status':"  \
    "{" status "}}"
#define ALLOCATED "'allocation':{'devices':{'results':[" RESULT "]}}"

static const char *set_status(Arena *arena, const char *old_json, const char *json) {
    const ResourceRules *rules = kinds_resource_resource_v1_resourceclaims()->rules;
    const Value *old = road_parse(arena, old_json);
    Value *object = road_parse(arena, json);
    FieldErrors errors = {.arena = arena};
    rules->prepare_status(arena, object, old);
    rules->validate_status_update(&errors, object, old);
    return road_problems(&errors);
}

static void test_claim_status(void **state) {
    static const Change changes[] = {
        {STATUS(""), STATUS(ALLOCATED ",'reservedFor':[{'resource':'pods','name':'p','uid':'u'}]"),
         ""},
        {STATUS(ALLOCATED), STATUS(""), ""},
        {STATUS(""), STATUS("'reservedFor':[{}]"),
         "status.reservedFor[0].resource: Required value\nstatus.reservedFor[0].name: Required "
         "value\n"
         "status.reservedFor[0].uid: Required value\n"
         "status.reservedFor: Forbidden: may not be specified when `allocated` is not set\n"},
        {STATUS(""),
         STATUS("'allocation':{'devices':{'results':[{'request':'q','driver':'d','pool':'p','"
                "device':'x'}],"
                "'config':[{'source':'From'," OPAQUE "}]}}"),
         "status.allocation.devices.results[0].request: Invalid value: \"q\": " MUST_NAME
         "status.allocation.devices.config[0].source: Unsupported value: \"From\": supported "
         "values: \"FromClaim\", "
         "\"FromClass\"\n"},
        {STATUS(ALLOCATED), STATUS("'allocation':{'devices':{}}"),
         "status.allocation: Invalid value: {\"devices\":{}}: field is immutable\n"},
        {STATUS(ALLOCATED),
         STATUS(ALLOCATED ",'devices':[{'driver':'d','pool':'p','device':'y','networkData':{'ips':"
                          "['10.0.0.1']}}]"),
         "status.devices[0]: Invalid value: \"d/p/y\": must be an allocated device in the claim\n"
         "status.devices[0].networkData.ips[0]: Invalid value: \"10.0.0.1\": must be a valid CIDR "
         "value, (e.g. 10.9.8.0/24 or "
         "2001:db8::/64)\n"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        _arena_free_ Arena *arena = arena_new();
        assert_string_equal(set_status(arena, changes[i].old, changes[i].json),
                            changes[i].problems);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_claim_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
