// Webhook configurations and admission policies. Expected paths and messages are those of
// pkg/apis/admissionregistration/validation and apiserver's util/webhook/validation.go.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "road.h"

typedef struct Case {
    const char *json, *problems; // "path: message\n" each
} Case;

static void check(const Resource *resource, const char *frame, const Case *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        _arena_free_ Arena *arena = arena_new();
        const char *hole = strchr(frame, '@');
        Str json = arena_printf(arena, "%.*s%s%s", (int)(hole - frame), frame, cases[i].json,
                                hole + 1);
        const char *problems = road_create(arena, resource, json.ptr, NULL);
        if (strcmp(problems, cases[i].problems))
            fail_msg("%s\n%sinstead of\n%s", json.ptr, problems, cases[i].problems);
    }
}
#define CASES(cases) (cases), sizeof(cases) / sizeof *(cases)

#define HEAD "{'metadata':{'name':'w'},'webhooks':["
#define CLIENT "'clientConfig':{'url':'https://h'}"
#define REST "'sideEffects':'None','admissionReviewVersions':['v1']"
#define NAME "'name':'a.b.c'"

static const Resource *mutating(void) {
    return kinds_resource_admissionregistration_v1_mutatingwebhookconfigurations();
}
static const Resource *validating(void) {
    return kinds_resource_admissionregistration_v1_validatingwebhookconfigurations();
}

// SetDefaults_MutatingWebhook, SetDefaults_ValidatingWebhook, SetDefaults_Rule,
// SetDefaults_ServiceReference (pkg/apis/admissionregistration/v1/defaults.go).
static void test_defaults(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *made;
    const char *json = HEAD "{" NAME ",'clientConfig':{'service':{'namespace':'n','name':'s'}}," REST
                            ",'rules':[{'operations':['*'],'apiGroups':[''],'apiVersions':['v1'],"
                            "'resources':['pods']}]}]}";
    assert_string_equal(road_create(arena, mutating(), json, &made), "");
    road_assert_json(
        arena, value_at(made, "webhooks"),
        "[{'name':'a.b.c','clientConfig':{'service':{'namespace':'n','name':'s','port':443}},"
        "'rules':[{'operations':['*'],'apiGroups':[''],'apiVersions':['v1'],'resources':['pods'],"
        "'scope':'*'}],'failurePolicy':'Fail','matchPolicy':'Equivalent','namespaceSelector':{},"
        "'objectSelector':{},'sideEffects':'None','timeoutSeconds':10,"
        "'admissionReviewVersions':['v1'],'reinvocationPolicy':'Never'}]");
    assert_string_equal(road_create(arena, validating(), json, &made), "");
    road_assert_json(
        arena, value_at(made, "webhooks"),
        "[{'name':'a.b.c','clientConfig':{'service':{'namespace':'n','name':'s','port':443}},"
        "'rules':[{'operations':['*'],'apiGroups':[''],'apiVersions':['v1'],'resources':['pods'],"
        "'scope':'*'}],'failurePolicy':'Fail','matchPolicy':'Equivalent','namespaceSelector':{},"
        "'objectSelector':{},'sideEffects':'None','timeoutSeconds':10,"
        "'admissionReviewVersions':['v1']}]");
}

static const Case webhooks[] = {
    {"{" NAME "," CLIENT "," REST "}", ""},
    {"{" CLIENT "," REST "}", "webhooks[0].name: Required value\n"},
    {"{'name':'a.b'," CLIENT "," REST "}",
     "webhooks[0].name: Invalid value: \"a.b\": should be a domain with at least three segments "
     "separated by dots\n"},
    {"{" NAME "," CLIENT "," REST "},{" NAME "," CLIENT "," REST "}",
     "webhooks[1].name: Duplicate value: \"a.b.c\"\n"},
    {"{" NAME "," CLIENT ",'admissionReviewVersions':['v1']}",
     "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun\n"},
    {"{" NAME "," CLIENT ",'sideEffects':'Some','admissionReviewVersions':['v1']}",
     "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", "
     "\"NoneOnDryRun\"\n"},
    {"{" NAME "," CLIENT "," REST ",'failurePolicy':'x'}",
     "webhooks[0].failurePolicy: Unsupported value: \"x\": supported values: \"Fail\", "
     "\"Ignore\"\n"},
    {"{" NAME "," CLIENT "," REST ",'matchPolicy':'x'}",
     "webhooks[0].matchPolicy: Unsupported value: \"x\": supported values: \"Equivalent\", "
     "\"Exact\"\n"},
    {"{" NAME "," CLIENT "," REST ",'timeoutSeconds':0}",
     "webhooks[0].timeoutSeconds: Invalid value: 0: the timeout value must be between 1 and 30 "
     "seconds\n"},
    {"{" NAME "," CLIENT "," REST ",'timeoutSeconds':31}",
     "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 "
     "seconds\n"},
    {"{" NAME "," CLIENT ",'sideEffects':'None'}",
     "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1\n"},
    {"{" NAME "," CLIENT ",'sideEffects':'None','admissionReviewVersions':['v2']}",
     "webhooks[0].admissionReviewVersions: Invalid value: [\"v2\"]: must include at least one of "
     "v1, v1beta1\n"},
    {"{" NAME "," CLIENT ",'sideEffects':'None','admissionReviewVersions':['v1','v1']}",
     "webhooks[0].admissionReviewVersions[1]: Invalid value: \"v1\": duplicate version\n"},
    {"{" NAME "," CLIENT "," REST ",'matchConditions':[{'name':'n','expression':'true'}]}",
     "webhooks[0].matchConditions: Forbidden: match conditions are CEL expressions, which this "
     "server does not evaluate yet: without them the webhook would be asked too often\n"},
    {"{" NAME "," CLIENT "," REST
     ",'namespaceSelector':{'matchExpressions':[{'key':'a','operator':'X'}]}}",
     "webhooks[0].namespaceSelector.matchExpressions[0].operator: Invalid value: \"X\": not a valid "
     "selector operator\n"},
};

static void test_webhooks(void **state) {
    check(mutating(), HEAD "@]}", CASES(webhooks));
    check(validating(), HEAD "@]}", CASES(webhooks));
    static const Case reinvocation[] = {
        {"x", "webhooks[0].reinvocationPolicy: Unsupported value: \"x\": supported values: "
              "\"IfNeeded\", \"Never\"\n"},
        {"IfNeeded", ""},
    };
    check(mutating(), HEAD "{" NAME "," CLIENT "," REST ",'reinvocationPolicy':'@'}]}",
          CASES(reinvocation));
}

#define FORM "; desired format: https://host[/path]\n"

static void test_clients(void **state) {
    static const Case cases[] = {
        {"", "webhooks[0].clientConfig: Required value: exactly one of url or service is "
             "required\n"},
        {"'url':'https://h','service':{'namespace':'n','name':'s'}",
         "webhooks[0].clientConfig: Required value: exactly one of url or service is required\n"},
        {"'url':'http://h'", "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the "
                             "only allowed URL scheme" FORM},
        {"'url':'https:///p'",
         "webhooks[0].clientConfig.url: Invalid value: \"\": host must be specified" FORM},
        {"'url':'h/p'",
         "webhooks[0].clientConfig.url: Invalid value: \"\": 'https' is the only allowed URL "
         "scheme" FORM
         "webhooks[0].clientConfig.url: Invalid value: \"\": host must be specified" FORM},
        {"'url':'https://u:p@h/'", "webhooks[0].clientConfig.url: Invalid value: \"u:p\": user "
                                   "information is not permitted in the URL\n"},
        {"'url':'https://h/#f'", "webhooks[0].clientConfig.url: Invalid value: \"f\": fragments are "
                                 "not permitted in the URL\n"},
        {"'url':'https://h/?q=1'", "webhooks[0].clientConfig.url: Invalid value: \"q=1\": query "
                                   "parameters are not permitted in the URL\n"},
        {"'url':'https://[::1]:8443/p'", ""},
        {"'url':'https://h:x/'",
         "webhooks[0].clientConfig.url: Required value: url must be a valid URL" FORM},
        {"'service':{}", "webhooks[0].clientConfig.service.name: Required value\n"
                         "webhooks[0].clientConfig.service.namespace: Required value\n"},
        {"'service':{'namespace':'n','name':'s','port':65536}",
         "webhooks[0].clientConfig.service.port: Invalid value: 65536: port is not valid: must be "
         "between 1 and 65535, inclusive\n"},
        {"'service':{'namespace':'n','name':'s','path':'/a/b.c/'}", ""},
        {"'service':{'namespace':'n','name':'s','path':'//'}",
         "webhooks[0].clientConfig.service.path: Invalid value: \"//\": segment[0] may not be "
         "empty\n"},
        {"'service':{'namespace':'n','name':'s','path':'/a//b'}",
         "webhooks[0].clientConfig.service.path: Invalid value: \"/a//b\": segment[1] may not be "
         "empty\n"},
        {"'service':{'namespace':'n','name':'s','path':'foo'}",
         "webhooks[0].clientConfig.service.path: Invalid value: \"foo\": must start with a '/'\n"},
    };
    check(validating(), HEAD "{" NAME ",'clientConfig':{@}," REST "}]}", CASES(cases));
}

#define RULE "webhooks[0].rules[0]."

static void test_rules(void **state) {
    static const Case cases[] = {
        {"'operations':['CREATE'],'apiGroups':['a'],'apiVersions':['v1'],'resources':['pods',"
         "'pods/log','*/scale']",
         ""},
        {"", RULE "operations: Required value\n" RULE "apiGroups: Required value\n" RULE
                  "apiVersions: Required value\n" RULE "resources: Required value\n"},
        {"'operations':['*','CREATE'],'apiGroups':['*','a'],'apiVersions':['*','v1'],'resources':["
         "'*/*','a']",
         RULE "operations: Invalid value: [\"*\",\"CREATE\"]: if '*' is present, must not specify "
              "other operations\n" RULE
              "apiGroups: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other "
              "API groups\n" RULE "apiVersions: Invalid value: [\"*\",\"v1\"]: if '*' is present, "
              "must not specify other API versions\n" RULE
              "resources: Invalid value: [\"*/*\",\"a\"]: if '*/*' is present, must not specify "
              "other resources\n"},
        {"'operations':['X'],'apiGroups':[''],'apiVersions':[''],'resources':['']",
         RULE "operations[0]: Unsupported value: \"X\": supported values: \"*\", \"CONNECT\", "
              "\"CREATE\", \"DELETE\", \"UPDATE\"\n" RULE "apiVersions[0]: Required value\n" RULE
              "resources[0]: Required value\n"},
        {"'operations':['*'],'apiGroups':[''],'apiVersions':['*'],'resources':['*','a']",
         RULE "resources: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other "
              "resources without subresources\n"},
        {"'operations':['*'],'apiGroups':[''],'apiVersions':['*'],'resources':['a/*','a/x']",
         RULE "resources[1]: Invalid value: \"a/x\": if 'a/*' is present, must not specify a/x\n"},
        {"'operations':['*'],'apiGroups':[''],'apiVersions':['*'],'resources':['*/x','a/x']",
         RULE "resources[1]: Invalid value: \"a/x\": if '*/x' is present, must not specify a/x\n"},
        {"'operations':['*'],'apiGroups':[''],'apiVersions':['*'],'resources':['*'],'scope':'x'",
         RULE "scope: Unsupported value: \"x\": supported values: \"*\", \"Cluster\", "
              "\"Namespaced\"\n"},
    };
    check(validating(), HEAD "{" NAME "," CLIENT "," REST ",'rules':[{@}]}]}", CASES(cases));
}

#define MATCH                                                                                      \
    "'matchConstraints':{'resourceRules':[{'operations':['*'],'apiGroups':[''],'apiVersions':["    \
    "'v1'],'resources':['pods']}]}"

static void test_policies(void **state) {
    static const Case cases[] = {
        {MATCH ",'validations':[{'expression':'true'}]", ""},
        {"'validations':[{'expression':'true'}]", "spec.matchConstraints: Required value\n"},
        {"'matchConstraints':{},'validations':[{'expression':'true'}]",
         "spec.matchConstraints.resourceRules: Required value\n"},
        {MATCH, "spec.validations: Required value: validations or auditAnnotations must contain at "
                "least one item\nspec.auditAnnotations: Required value: validations or "
                "auditAnnotations must contain at least one item\n"},
        {MATCH ",'validations':[{'expression':' '}]",
         "spec.validations[0].expression: Required value: expression is not specified\n"},
        {MATCH ",'validations':[{'expression':'x','message':' '}]",
         "spec.validations[0].message: Invalid value: \" \": message must be non-empty if "
         "specified\n"},
        {MATCH ",'validations':[{'expression':'x','message':'a\\nb'}]",
         "spec.validations[0].message: Invalid value: \"a\\nb\": message must not contain line "
         "breaks\n"},
        {MATCH ",'validations':[{'expression':'x','messageExpression':' '}]",
         "spec.validations[0].messageExpression: Invalid value: \" \": must be non-empty if "
         "specified\n"},
        {MATCH ",'validations':[{'expression':'x','reason':'y'}]",
         "spec.validations[0].reason: Unsupported value: \"y\": supported values: \"Forbidden\", "
         "\"Invalid\", \"RequestEntityTooLarge\"\n"},
        {MATCH ",'validations':[{'expression':'x'}],'failurePolicy':'y'",
         "spec.failurePolicy: Unsupported value: \"y\": supported values: \"Fail\", \"Ignore\"\n"},
        {MATCH ",'validations':[{'expression':'x'}],'paramKind':{}",
         "spec.paramKind.apiVersion: Required value\nspec.paramKind.kind: Required value\n"},
        {MATCH ",'validations':[{'expression':'x'}],'paramKind':{'apiVersion':'a/b/c','kind':'K'}",
         "spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: "
         "a/b/c\n"},
        {MATCH ",'validations':[{'expression':'x'}],'matchConditions':[{'name':'n'},{'expression':"
               "'x'}]",
         "spec.matchConditions[0].expression: Required value\n"
         "spec.matchConditions[1].name: Required value\n"},
        {MATCH ",'validations':[{'expression':'x'}],'variables':[{}]",
         "spec.variables[0].name: Required value: name is not specified\n"
         "spec.variables[0].expression: Required value: expression is not specified\n"},
        {MATCH ",'auditAnnotations':[{'key':'k'}]",
         "spec.auditAnnotations[0].valueExpression: Required value: valueExpression is not "
         "specified\n"},
        {MATCH ",'auditAnnotations':[{'key':'k','valueExpression':'x'},{'key':'k',"
               "'valueExpression':'x'}]",
         "spec.auditAnnotations[1].key: Duplicate value: \"k\"\n"},
    };
    check(kinds_resource_admissionregistration_v1_validatingadmissionpolicies(),
          "{'metadata':{'name':'p'},'spec':{@}}", CASES(cases));
    _arena_free_ Arena *arena = arena_new();
    Value *made;
    assert_string_equal(
        road_create(arena, kinds_resource_admissionregistration_v1_validatingadmissionpolicies(),
                    "{'metadata':{'name':'p'},'spec':{" MATCH
                    ",'validations':[{'expression':'x'}]}}",
                    &made),
        "");
    assert_true(str_eq(value_string_at(made, "spec.failurePolicy"), STR("Fail")));
    road_assert_json(arena, value_at(made, "spec.matchConstraints"),
                     "{'namespaceSelector':{},'objectSelector':{},'resourceRules':[{'operations':["
                     "'*'],'apiGroups':[''],'apiVersions':['v1'],'resources':['pods'],'scope':'*'}],"
                     "'matchPolicy':'Equivalent'}");
}

static void test_bindings(void **state) {
    static const Case cases[] = {
        {"'policyName':'p','validationActions':['Deny','Audit']", ""},
        {"'validationActions':['Deny']", "spec.policyName: Required value\n"},
        {"'policyName':'p'", "spec.validationActions: Required value: at least one validation "
                             "action is required\n"},
        {"'policyName':'p','validationActions':['Deny','Deny']",
         "spec.validationActions[1]: Duplicate value: \"Deny\"\n"},
        {"'policyName':'p','validationActions':['x']",
         "spec.validationActions[0]: Unsupported value: \"x\": supported values: \"Audit\", "
         "\"Deny\", \"Warn\"\n"},
        {"'policyName':'p','validationActions':['Deny','Warn']",
         "spec.validationActions: Invalid value: [\"Deny\",\"Warn\"]: must not contain both Deny "
         "and Warn (repeating the same validation failure information in the API response and "
         "headers serves no purpose)\n"},
        {"'policyName':'p','validationActions':['Deny'],'paramRef':{}",
         "spec.paramRef: Required value: one of name or selector must be specified\n"
         "spec.paramRef.parameterNotFoundAction: Required value\n"},
        {"'policyName':'p','validationActions':['Deny'],'paramRef':{'name':'n','selector':{},"
         "'parameterNotFoundAction':'Deny'}",
         "spec.paramRef.name: Forbidden: name and selector are mutually exclusive\n"
         "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive\n"},
        {"'policyName':'p','validationActions':['Deny'],'matchResources':{'resourceRules':[{"
         "'operations':['*'],'apiGroups':[''],'apiVersions':['v1'],'resources':['pods'],"
         "'resourceNames':['a','a']}]}",
         "spec.matchResources.resourceRules[0].resourceNames[1]: Duplicate value: \"a\"\n"},
    };
    check(kinds_resource_admissionregistration_v1_validatingadmissionpolicybindings(),
          "{'metadata':{'name':'b'},'spec':{@}}", CASES(cases));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_webhooks),
        cmocka_unit_test(test_clients),  cmocka_unit_test(test_rules),
        cmocka_unit_test(test_policies), cmocka_unit_test(test_bindings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
