// LimitRange and ResourceQuota. Paths and messages: ValidateLimitRange, ValidateResourceQuota and
// ValidateResourceQuotaUpdate in upstream's pkg/apis/core/validation/validation.go.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"

// SetDefaults_LimitRangeItem (pkg/apis/core/v1/defaults.go).
static void test_limit_range_defaults(void **state) {
    check_made(kinds_resource_core_v1_limitranges(),
               "{'spec':{'limits':[{'type':'Container','max':{'cpu':'4','memory':'1Gi'},"
               "'min':{'cpu':'1','example.com/"
               "a':'2'},'default':{'cpu':'2'}},{'type':'Pod','max':{'cpu':'1u'}}]}}",
               "spec.limits",
               "[{'type':'Container','max':{'cpu':'4','memory':'1Gi'},'min':{'cpu':'1','example."
               "com/a':'2'},"
               "'default':{'cpu':'2','memory':'1Gi'},"
               "'defaultRequest':{'cpu':'2','memory':'1Gi','example.com/a':'2'}},"
               "{'type':'Pod','max':{'cpu':'1m'}}]");
}

#define RANGE(item) "{'spec':{'limits':[{" item "}]}}"

static void test_limit_ranges(void **state) {
    CHECK(
        kinds_resource_core_v1_limitranges(),
        {RANGE(
             "'type':'Pod','max':{'cpu':'2'},'min':{'cpu':'1'},'maxLimitRequestRatio':{'cpu':'2'}"),
         ""},
        {RANGE("'type':'PersistentVolumeClaim','max':{'storage':'2Gi'}"), ""},
        {RANGE("'type':'example.com/thing','max':{'cpu':'2'}"), ""},
        {RANGE("'type':'Thing'"), "spec.limits[0].type: Invalid value: \"Thing\": must be a "
                                  "standard limit type or fully qualified\n"},
        {"{'spec':{'limits':[{'type':'Pod'},{'type':'Pod'}]}}",
         "spec.limits[1].type: Duplicate value: \"Pod\"\n"},
        {RANGE("'type':'Pod','default':{'cpu':'1'},'defaultRequest':{'cpu':'1'}"),
         "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'\n"
         "spec.limits[0].defaultRequest: Forbidden: may not be specified when `type` is 'Pod'\n"},
        {RANGE("'type':'PersistentVolumeClaim'"),
         "spec.limits[0].limits: Required value: either minimum or maximum storage value is "
         "required, but neither was "
         "provided\n"},
        {RANGE("'type':'Pod','max':{'storage':'1'}"),
         "spec.limits[0].max[storage]: Invalid value: \"storage\": must be a standard resource for "
         "containers\n"},
        {RANGE("'type':'PersistentVolumeClaim','max':{'storage':'1'},'min':{'thing':'1'}"),
         "spec.limits[0].min[thing]: Invalid value: \"thing\": must be a standard resource type or "
         "fully qualified\n"},
        {RANGE("'type':'Pod','max':{'cpu':'1'},'min':{'cpu':'2'}"),
         "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value "
         "1\n"},
        {RANGE("'type':'Container','min':{'cpu':'2'},'default':{'cpu':'3'},'defaultRequest':{'cpu':"
               "'1'}"),
         "spec.limits[0].defaultRequest[cpu]: Invalid value: \"1\": min value 2 is greater than "
         "default request value "
         "1\n"},
        {RANGE("'type':'Container','max':{'cpu':'2'},'default':{'cpu':'4'},'defaultRequest':{'cpu':"
               "'3'}"),
         "spec.limits[0].defaultRequest[cpu]: Invalid value: \"3\": default request value 3 is "
         "greater than max value 2\n"
         "spec.limits[0].default[cpu]: Invalid value: \"2\": default value 4 is greater than max "
         "value 2\n"},
        {RANGE("'type':'Container','default':{'cpu':'1'},'defaultRequest':{'cpu':'2'}"),
         "spec.limits[0].defaultRequest[cpu]: Invalid value: \"2\": default request value 2 is "
         "greater than default limit "
         "value 1\n"},
        {RANGE("'type':'Container','min':{'cpu':'3'},'default':{'cpu':'2'},'defaultRequest':{'cpu':"
               "'2'}"),
         "spec.limits[0].defaultRequest[cpu]: Invalid value: \"2\": min value 3 is greater than "
         "default request value 2\n"
         "spec.limits[0].default[cpu]: Invalid value: \"3\": min value 3 is greater than default "
         "value 2\n"},
        {RANGE("'type':'Pod','maxLimitRequestRatio':{'cpu':'500m'}"),
         "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less "
         "than 1\n"},
        {RANGE(
             "'type':'Pod','min':{'cpu':'1'},'max':{'cpu':'2'},'maxLimitRequestRatio':{'cpu':'3'}"),
         "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"3\": ratio 3 is greater than "
         "max/min = 2.000000\n"},
        {RANGE("'type':'Container','default':{'example.com/a':'2'},'defaultRequest':{'example.com/"
               "a':'1'}"),
         "spec.limits[0].defaultRequest[example.com/a]: Invalid value: \"1\": default value 2 must "
         "equal to "
         "defaultRequest value 1 in example.com/a\n"});
}

#define QUOTA(spec) "{'spec':{" spec "}}"
#define SCOPED(hard, term)                                                                         \
    "{'spec':{'hard':{" hard "},'scopeSelector':{'matchExpressions':[" term "]}}}"
#define MUST_EXIST                                                                                 \
    "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, "                         \
    "ResourceQuotaScopeNotTerminating, "                                                           \
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "                            \
    "ResourceQuotaScopeCrossNamespacePodAffinity"

static void test_quotas(void **state) {
    CHECK(
        kinds_resource_core_v1_resourcequotas(),
        {QUOTA("'hard':{'cpu':'1','requests.memory':'1Gi','limits.cpu':'2','pods':'3','count/"
               "jobs.batch':'4',"
               "'services.nodeports':'0','hugepages-2Mi':'2Mi','requests.hugepages-2Mi':'2Mi',"
               "'requests.example.com/gpu':'1','ephemeral-storage':'1'}"),
         ""},
        {QUOTA("'hard':{'thing':'1'}"),
         "spec.hard[thing]: Invalid value: \"thing\": must be a standard resource type or fully "
         "qualified\n"
         "spec.hard[thing]: Invalid value: \"thing\": must be a standard resource for quota\n"},
        {QUOTA("'hard':{'storage':'1'}"),
         "spec.hard[storage]: Invalid value: \"storage\": must be a standard resource for quota\n"},
        {QUOTA("'hard':{'cpu':'-1'}"),
         "spec.hard[cpu]: Invalid value: \"-1\": must be greater than or equal to 0\n"},
        {QUOTA("'hard':{'pods':'1500m'}"),
         "spec.hard[pods]: Invalid value: \"1500m\": must be an integer\n"},
        {QUOTA("'hard':{'pods':'1'},'scopes':['Sometimes']"),
         "spec.scopes: Invalid value: [\"Sometimes\"]: unsupported scope\n"},
        {QUOTA("'hard':{'cpu':'1'},'scopes':['BestEffort']"),
         "spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource\n"},
        {QUOTA("'hard':{'services':'1'},'scopes':['Terminating']"),
         "spec.scopes: Invalid value: [\"Terminating\"]: unsupported scope applied to resource\n"},
        {QUOTA("'hard':{'pods':'1'},'scopes':['VolumeAttributesClass']"),
         "spec.scopes: Invalid value: [\"VolumeAttributesClass\"]: unsupported scope applied to "
         "resource\n"},
        {QUOTA("'hard':{'requests.storage':'1','persistentvolumeclaims':'2'},'scopes':['"
               "VolumeAttributesClass']"),
         ""},
        {QUOTA("'hard':{'pods':'1'},'scopes':['BestEffort','NotBestEffort']"),
         "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\"]: conflicting scopes\n"},
        {QUOTA("'hard':{'pods':'1','cpu':'1'},'scopes':['Terminating','NotTerminating']"),
         "spec.scopes: Invalid value: [\"Terminating\",\"NotTerminating\"]: conflicting scopes\n"},
        {SCOPED("'pods':'1'", "{'scopeName':'PriorityClass','operator':'In','values':['high']}"),
         ""},
        {SCOPED("'pods':'1'", "{'scopeName':'CrossNamespacePodAffinity','operator':'Exists'}"), ""},
        {SCOPED("'pods':'1'", "{'scopeName':'Often','operator':'Exists'}"),
         "spec.scopeSelector.matchExpressions.scopeName: Invalid value: \"Often\": unsupported "
         "scope\n"},
        {SCOPED("'pods':'1'", "{'scopeName':'PriorityClass','operator':'In'}"),
         "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value "
         "when `operator` is 'In' "
         "or 'NotIn' for scope selector\n"},
        {SCOPED("'pods':'1'",
                "{'scopeName':'PriorityClass','operator':'DoesNotExist','values':['a']}"),
         "spec.scopeSelector.matchExpressions.values: Invalid value: [\"a\"]: must be no value "
         "when `operator` is 'Exist' "
         "or 'DoesNotExist' for scope selector\n"},
        {SCOPED("'pods':'1'", "{'scopeName':'PriorityClass','operator':'Is'}"),
         "spec.scopeSelector.matchExpressions.operator: Invalid value: \"Is\": not a valid "
         "selector operator\n"},
        {SCOPED("'pods':'1'", "{'scopeName':'BestEffort','operator':'DoesNotExist'}"),
         "spec.scopeSelector.matchExpressions.operator: Invalid value: "
         "\"DoesNotExist\": " MUST_EXIST "\n"});
}

static void test_quota_updates(void **state) {
    CHECK_CHANGES(kinds_resource_core_v1_resourcequotas(),
                  {QUOTA("'hard':{'pods':'1'},'scopes':['BestEffort','Terminating']"),
                   QUOTA("'hard':{'pods':'2'},'scopes':['Terminating','BestEffort']"), ""},
                  {QUOTA("'hard':{'pods':'1'},'scopes':['BestEffort']"),
                   QUOTA("'hard':{'pods':'1'}"),
                   "spec.scopes: Invalid value: null: field is immutable\n"});
    _arena_free_ Arena *arena = arena_new();
    FieldErrors errors = {.arena = arena};
    const Value *quota =
        road_parse(arena, "{'status':{'hard':{'thing':'1'},'used':{'pods':'-1'}}}");
    kinds_resource_core_v1_resourcequotas()->rules->validate_status_update(&errors, quota, quota);
    assert_string_equal(
        road_problems(&errors),
        "status.hard[thing]: Invalid value: \"thing\": must be a standard resource type or fully "
        "qualified\n"
        "status.hard[thing]: Invalid value: \"thing\": must be a standard resource for quota\n"
        "status.used[pods]: Invalid value: \"-1\": must be greater than or equal to 0\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_range_defaults),
        cmocka_unit_test(test_limit_ranges),
        cmocka_unit_test(test_quotas),
        cmocka_unit_test(test_quota_updates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
