// What autoscaling/v2 refuses: pkg/apis/autoscaling/validation upstream.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "workload_road.h"

typedef struct Case {
    const char *json, *problems;
} Case;

static void refuse(const char *before, const Case *cases, size_t n, const char *after) {
    for (size_t i = 0; i < n; i++) {
        _arena_free_ Arena *arena = arena_new();
        const char *problems =
            workload_create(arena, kinds_resource_autoscaling_v2_horizontalpodautoscalers(),
                            arena_printf(arena, "%s%s%s", before, cases[i].json, after).ptr, NULL);
        if (strcmp(problems, cases[i].problems))
            fail_msg("%s\n%sinstead of\n%s", cases[i].json, problems, cases[i].problems);
    }
}

#define TARGET "'scaleTargetRef':{'kind':'Deployment','name':'d'}"

static void test_spec(void **state) {
    static const Case cases[] = {
        {TARGET ",'maxReplicas':2", ""},
        {TARGET, "spec.maxReplicas: Invalid value: 0: must be greater than 0\n"
                 "spec.maxReplicas: Invalid value: 0: must be greater than or equal to "
                 "`minReplicas`\n"},
        {TARGET ",'minReplicas':0,'maxReplicas':2",
         "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1\n"},
        {TARGET ",'minReplicas':3,'maxReplicas':2",
         "spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`\n"},
        {"'maxReplicas':2", "spec.scaleTargetRef.kind: Required value\n"
                            "spec.scaleTargetRef.name: Required value\n"},
        {"'maxReplicas':2,'scaleTargetRef':{'kind':'..','name':'a/b'}",
         "spec.scaleTargetRef.kind: Invalid value: \"..\": may not be '..'\n"
         "spec.scaleTargetRef.name: Invalid value: \"a/b\": may not contain '/'\n"},
    };
    refuse("", cases, sizeof cases / sizeof *cases, "");
}

#define METRIC TARGET ",'maxReplicas':2,'metrics':[{"
#define AT "spec.metrics[0]"
#define ALL                                                                                        \
    "supported values: \"ContainerResource\", \"External\", \"Object\", \"Pods\", \"Resource\"\n"

static void test_metrics(void **state) {
    static const Case cases[] = {
        {"'type':'Resource','resource':{'name':'cpu','target':{'type':'Utilization',"
         "'averageUtilization':50}}",
         ""},
        {"'type':'Object','object':{'describedObject':{'kind':'Service','name':'s'},'metric':{"
         "'name':'m'},'target':{'type':'Value','value':'1'}}",
         ""},
        {"'type':'Pods','pods':{'metric':{'name':'m'},'target':{'type':'AverageValue',"
         "'averageValue':'1'}}",
         ""},
        {"'type':'External','external':{'metric':{'name':'m'},'target':{'type':'Value','value':'1'}"
         "}",
         ""},
        {"'type':'ContainerResource','containerResource':{'name':'cpu','container':'c','target':{"
         "'type':'Utilization','averageUtilization':50}}",
         ""},
        {"", AT ".type: Required value: must specify a metric source type\n" AT
                ".type: Unsupported value: \"\": " ALL AT ".type: Unsupported value: \"\": " ALL},
        {"'type':'Other'", AT ".type: Unsupported value: \"Other\": " ALL AT
                              ".type: Unsupported value: \"Other\": " ALL},
        {"'type':'Pods'",
         AT ".pods: Required value: must populate information for the given metric source\n"},
        {"'type':'Pods','pods':{'metric':{'name':'m'},'target':{'type':'AverageValue',"
         "'averageValue':'1'}},'resource':{'name':'cpu','target':{'type':'Value'}}",
         AT ".resource: Forbidden: must populate the given metric source only\n"},
        {"'type':'Resource','resource':{'target':{'type':'Other','averageValue':'0',"
         "'averageUtilization':0}}",
         AT
         ".resource.name: Required value: must specify a resource name\n" AT
         ".resource.target.type: Invalid value: \"Other\": must be either Utilization, Value, or "
         "AverageValue\n" AT
         ".resource.target.averageValue: Invalid value: \"0\": must be positive\n" AT
         ".resource.target.averageUtilization: Invalid value: 0: must be greater than 0\n" AT
         ".resource.target.averageValue: Forbidden: may not set both a target raw value and a "
         "target utilization\n"},
        {"'type':'Resource','resource':{'name':'cpu','target':{}}", AT
         ".resource.target.type: Required value: must specify a metric target type\n" AT
         ".resource.target.type: Invalid value: \"\": must be either Utilization, Value, or "
         "AverageValue\n" AT ".resource.target.averageUtilization: Required value: must set either "
         "a target raw value or a target utilization\n"},
        {"'type':'Object','object':{'describedObject':{'kind':'Service'},'metric':{},'target':{"
         "'type':'Value'}}",
         AT ".object.describedObject.name: Required value\n" AT
            ".object.metric.name: Required value: must specify a metric name\n" AT
            ".object.target.averageValue: Required value: must set either a target value or "
            "averageValue\n"},
        {"'type':'External','external':{'metric':{'name':'a/b'},'target':{'type':'Value'}}",
         AT ".external.metric.name: Invalid value: \"a/b\": may not contain '/'\n" AT
            ".external.target.averageValue: Required value: must set either a target value for "
            "metric or a per-pod target\n"},
        {"'type':'External','external':{'metric':{'name':'m'},'target':{'type':'Value','value':'-1'"
         ","
         "'averageValue':'1'}}",
         AT ".external.target.value: Invalid value: \"-1\": must be positive\n" AT
            ".external.target.value: Forbidden: may not set both a target value for metric and a "
            "per-pod target\n"},
        {"'type':'Pods','pods':{'metric':{'name':'m'},'target':{'type':'AverageValue'}}",
         AT ".pods.target.averageValue: Required value: must specify a positive target "
            "averageValue\n"},
        {"'type':'ContainerResource','containerResource':{'name':'gpu','target':{'type':"
         "'Utilization','averageUtilization':1}}",
         AT ".containerResource.name: Invalid value: \"gpu\": must be a standard resource type or "
            "fully qualified\n" AT
            ".containerResource.name: Invalid value: \"gpu\": must be a standard resource for "
            "containers\n" AT ".containerResource.container: Required value: must specify a "
            "container\n"},
    };
    refuse(METRIC, cases, sizeof cases / sizeof *cases, "}]");
}

#define BEHAVIOR TARGET ",'maxReplicas':2,'behavior':{'scaleUp':{"
#define UP "spec.behavior.scaleUp"

static void test_behavior(void **state) {
    static const Case cases[] = {
        {"'stabilizationWindowSeconds':3600", ""},
        {"'stabilizationWindowSeconds':-1",
         UP ".stabilizationWindowSeconds: Invalid value: -1: must "
            "be greater than or equal to zero\n"},
        {"'stabilizationWindowSeconds':3601",
         UP ".stabilizationWindowSeconds: Invalid value: 3601: "
            "must be less than or equal to 3600\n"},
        {"'selectPolicy':'Other'", UP ".selectPolicy: Unsupported value: \"Other\": supported "
                                      "values: \"Disabled\", \"Max\", \"Min\"\n"},
        {"'policies':[{'type':'Other','value':0,'periodSeconds':0},{'type':'Pods','value':1,"
         "'periodSeconds':1801}]",
         UP
         ".policies[0].type: Unsupported value: \"Other\": supported values: \"Percent\", "
         "\"Pods\"\n" UP ".policies[0].value: Invalid value: 0: must be greater than zero\n" UP
         ".policies[0].periodSeconds: Invalid value: 0: must be greater than zero\n" UP
         ".policies[1].periodSeconds: Invalid value: 1801: must be less than or equal to 1800\n"},
        {"'tolerance':'-1m'",
         UP ".tolerance: Invalid value: \"-1m\": must be greater or equal to zero\n"},
    };
    refuse(BEHAVIOR, cases, sizeof cases / sizeof *cases, "}}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spec),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_behavior),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
