// Writes to the status of pods, annotations that mean something, and warnings.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "kinds/pod.h"
#include "pod_road.h"

static Value *with_status(Arena *arena, const char *spec, const char *status) {
    Str message;
    Value *pod = road_parse(
        arena, arena_printf(arena,
                            "{'metadata':{'name':'p','namespace':'default','resourceVersion':'1'},"
                            "'spec':{%s},'status':{%s}}",
                            spec, status)
                   .ptr);
    assert_int_equal(
        schema_normalize(arena, kinds_resource_core_v1_pods()->type, pod, NULL, &message), 0);
    schema_default(arena, kinds_resource_core_v1_pods(), pod);
    return pod;
}

// What is wrong with a status, as the API server checks writes to the status endpoint.
static const char *status_update(Arena *arena, const char *spec, const char *old, const char *now,
                                 Value **ret) {
    const Resource *pods = kinds_resource_core_v1_pods();
    Value *before = with_status(arena, spec, old), *after = with_status(arena, spec, now);
    FieldErrors errors = {.arena = arena};
    pods->rules->prepare_status(arena, after, before);
    schema_validate_type(&errors, kinds_type_PodStatus(), value_get(after, STR("status")),
                         value_get(before, STR("status")), PATH(NULL, STR("status")));
    pods->rules->validate_status_update(&errors, after, before);
    if (ret)
        *ret = after;
    return road_problems(&errors);
}

#define ENDED(code)                                                                                \
    "'containerStatuses':[{'name':'c','state':{'terminated':{'exitCode':" code "}}}]"
#define RUNNING "'containerStatuses':[{'name':'c','state':{'running':{}}}]"
#define NOT_AGAIN                                                                                  \
    "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated "     \
    "state\n"
#define RULES                                                                                      \
    "'containers':[{'name':'c','image':'i','restartPolicy':'Never','restartPolicyRules':[{"        \
    "'action':'Restart','exitCodes':{'operator':'In','values':[3]}}]}]"

static void test_status(void **state) {
    static const struct {
        const char *spec, *old, *now, *problems;
    } cases[] = {
        {"", "", "'phase':'Running','podIP':'10.0.0.1','nominatedNodeName':'n'", ""},
        {"", "", "'phase':'x'",
         "status.phase: Unsupported value: \"x\": supported values: \"Failed\", \"Pending\", "
         "\"Running\", \"Succeeded\", \"Unknown\"\n"},
        {"", "'qosClass':'Burstable'", "'qosClass':'Guaranteed'",
         "status.qosClass: Invalid value: \"Guaranteed\": field is immutable\n"},
        {"", "'qosClass':'Burstable'", "'phase':'Running'", ""},
        {"", "", "'nominatedNodeName':'N'",
         "status.nominatedNodeName: Invalid value: \"N\": a lowercase RFC 1123 subdomain must "
         "consist of lower case alphanumeric characters, '-' or '.', and must start and end with "
         "an alphanumeric character (e.g. 'example.com', regex used for validation is "
         "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')\n"},
        {"", "", "'conditions':[{'type':'Ready','status':'True'},{'type':'a b','status':'True'}]",
         "metadata.conditions[1].Type: Invalid value: \"a b\": name part must consist of "
         "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
         "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
         "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')\n"},
        {"'restartPolicy':'Always'", ENDED("0"), RUNNING, ""},
        {"'restartPolicy':'OnFailure'", ENDED("1"), RUNNING, ""},
        {"'restartPolicy':'OnFailure'", ENDED("0"), RUNNING, NOT_AGAIN},
        {"'restartPolicy':'Never'", ENDED("1"), RUNNING, NOT_AGAIN},
        {"'restartPolicy':'Never'", ENDED("1"), "", ""},
        {"'restartPolicy':'Never'", RUNNING, ENDED("1"), ""},
        {"'restartPolicy':'Always'," RULES, ENDED("3"), RUNNING, ""},
        {"'restartPolicy':'Always'," RULES, ENDED("4"), RUNNING, NOT_AGAIN},
        {"'restartPolicy':'Never','initContainers':[{'name':'s','restartPolicy':'Always'}]",
         "'initContainerStatuses':[{'name':'s','state':{'terminated':{'exitCode':0}}}]",
         "'initContainerStatuses':[{'name':'s','state':{'running':{}}}]", ""},
        {"'restartPolicy':'Always'",
         "'ephemeralContainerStatuses':[{'name':'e','state':{'terminated':{'exitCode':0}}}]",
         "'ephemeralContainerStatuses':[{'name':'e','state':{'running':{}}}]",
         "status.ephemeralContainerStatuses[0].state: Forbidden: may not be transitioned to "
         "non-terminated state\n"},
        {"", "", "'podIPs':[{'ip':'10.0.0.1'},{'ip':'fd00::1'}]", ""},
        {"", "", "'podIPs':[{'ip':'10.0.0.1'},{'ip':'10.0.0.1'}]",
         "status.podIPs: Invalid value: [{\"IP\":\"10.0.0.1\"},{\"IP\":\"10.0.0.1\"}]: may specify "
         "no more than one IP for each IP family\n"
         "status.podIPs[1]: Duplicate value: {\"IP\":\"10.0.0.1\"}\n"},
        {"", "", "'podIPs':[{'ip':'x'}]",
         "status.podIPs[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or "
         "2001:db8::ffff)\n"},
        {"", "", "'hostIP':'10.0.0.2','hostIPs':[{'ip':'10.0.0.1'}]",
         "status.hostIPs[0].ip: Invalid value: \"10.0.0.1\": must be equal to `hostIP`\n"},
        {"'resourceClaims':[{'name':'a','resourceClaimName':'x'}]", "",
         "'resourceClaimStatuses':[{'name':'a'},{'name':'b'}]",
         "status.resourceClaimStatuses[1].name: Invalid value: \"b\": must match the name of an "
         "entry in `spec.resourceClaims`\n"},
        {"", "", "'containerStatuses':[{'name':'c','user':{'linux':{'uid':-1,'gid':0}}}]",
         "status.containerStatuses[0].linux.uid: Invalid value: -1: must be between 0 and "
         "2147483647, inclusive\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _arena_free_ Arena *arena = arena_new();
        const char *problems =
            status_update(arena, cases[i].spec, cases[i].old, cases[i].now, NULL);
        if (strcmp(problems, cases[i].problems))
            fail_msg("%s: %s -> %s\n%sinstead of\n%s", cases[i].spec, cases[i].old, cases[i].now,
                     problems, cases[i].problems);
    }
}

// What a writer leaves out is kept.
static void test_status_kept(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *pod;
    assert_string_equal(
        status_update(arena, "",
                      "'qosClass':'Burstable','observedGeneration':3,'conditions':[{'type':'Ready',"
                      "'status':'True','observedGeneration':2}]",
                      "'podIP':'10.0.0.1','conditions':[{'type':'Ready','status':'False'}]", &pod),
        "");
    road_assert_json(arena, value_at(pod, "status.qosClass"), "'Burstable'");
    road_assert_json(arena, value_at(pod, "status.observedGeneration"), "3");
    road_assert_json(arena, value_at(pod, "status.podIPs"), "[{'ip':'10.0.0.1'}]");
    assert_int_equal(value_int_at(tree_item(pod, "status.conditions", 0), "observedGeneration", 0),
                     2);
}

static const char *annotated(Arena *arena, const char *annotation) {
    return pod_create(arena, arena_printf(arena, "'annotations':{%s}", annotation).ptr,
                      POD_CONTAINERS, NULL);
}

#define A(key) "metadata.annotations[" key "]"
#define APPARMOR "container.apparmor.security.beta.kubernetes.io/"

static void test_annotations(void **state) {
    static const PodCase cases[] = {
        {"'kubernetes.io/config.mirror':'x'",
         A("kubernetes.io/config.mirror") ": Invalid value: \"x\": must set spec.nodeName if "
                                          "mirror "
                                          "pod annotation is set\n"},
        {"'controller.kubernetes.io/pod-deletion-cost':'+1'",
         A("controller.kubernetes.io/pod-deletion-cost") ": Invalid value: \"+1\": must be a 32bit "
                                                         "integer\n"},
        {"'controller.kubernetes.io/pod-deletion-cost':'0'", ""},
        {"'seccomp.security.alpha.kubernetes.io/pod':'x'",
         "metadata.annotations.seccomp.security.alpha.kubernetes.io/pod: Invalid value: \"x\": "
         "must "
         "be a valid seccomp profile\n"},
        {"'" APPARMOR "d':'unconfined'",
         A(APPARMOR "d") ": Invalid value: \"d\": container not found\n"},
        {"'" APPARMOR "c':'x'",
         A(APPARMOR "c") ": Invalid value: \"x\": invalid AppArmor profile name: \"x\"\n"},
    };
    pod_check(POD_CASES(cases), annotated);
    _arena_free_ Arena *arena = arena_new();
    Value *pod;
    assert_string_equal(
        pod_create(arena, "'annotations':{'" APPARMOR "c':'localhost/a'}", POD_CONTAINERS, &pod),
        "");
    road_assert_json(
        arena, value_at(tree_item(pod, "spec.containers", 0), "securityContext.appArmorProfile"),
        "{'type':'Localhost','localhostProfile':'a'}");
    assert_string_equal(
        pod_create(arena, "'annotations':{'" APPARMOR "c':'localhost/a'}",
                   "'containers':[{'name':'c','image':'i','securityContext':{'appArmorProfile':{"
                   "'type':'Localhost','localhostProfile':'b'}}}]",
                   NULL),
        "spec.containers[0].securityContext.appArmorProfile.localhostProfile: Forbidden: apparmor "
        "profile in annotation and field must match\n");
    assert_string_equal(
        pod_create(arena, "'annotations':{'seccomp.security.alpha.kubernetes.io/pod':'unconfined'}",
                   POD_CONTAINERS ",'securityContext':{'seccompProfile':{'type':'RuntimeDefault'}}",
                   NULL),
        "spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field "
        "must match\n");
}

// What is off in this version is dropped.
static void test_dropped(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *pod;
    assert_string_equal(
        pod_create(arena, "",
                   "'workloadRef':{'name':'w','podGroup':'g'},'containers':[{'name':'c','image':"
                   "'i','lifecycle':{'stopSignal':'SIGTERM'}}]",
                   &pod),
        "");
    assert_null(value_at(pod, "spec.workloadRef"));
    road_assert_json(arena, value_get(tree_item(pod, "spec.containers", 0), STR("lifecycle")),
                     "{}");
}

static const char *warnings(Arena *arena, const char *json) {
    Value *pod;
    ValuePaths list = {0};
    Str text = STR("");
    pod_create(arena, "'annotations':{'security.alpha.kubernetes.io/sysctls':''}", json, &pod);
    kinds_resource_core_v1_pods()->rules->warn(arena, pod, &list);
    assert_true(list.n > 0); // the annotation
    for (size_t i = 1; i < list.n; i++)
        text = arena_printf(arena, "%.*s%.*s\n", STR_ARG(text), STR_ARG(list.paths[i]));
    return arena_cstr(arena, text);
}

static void test_warnings(void **state) {
    static const PodCase cases[] = {
        {POD_CONTAINERS, ""},
        {"'containers':[{'name':'c','image':'i','env':[{'name':'A','value':'x'},{'name':'A','value'"
         ":'y'},{'name':'A','value':'$(A)z'}]}]",
         "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when "
         "using apply\n"},
        {"'containers':[{'name':'c','image':'i','ports':[{'containerPort':80},{'containerPort':80},"
         "{'containerPort':80,'hostPort':8}]}]",
         "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]\n"
         "spec.containers[0].ports[2]: overlapping port definition with "
         "spec.containers[0].ports[0]\n"
         "spec.containers[0].ports[2]: overlapping port definition with "
         "spec.containers[0].ports[1]\n"},
        {"'containers':[{'name':'c','image':'i','resources':{'requests':{'memory':'500m'}}}]",
         "spec.containers[0].resources.requests[memory]: fractional byte value \"500m\" is "
         "invalid, "
         "must be an integer\n"},
        {POD_CONTAINERS ",'terminationGracePeriodSeconds':-1",
         "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will "
         "be "
         "treated as 1\n"},
        {POD_CONTAINERS ",'imagePullSecrets':[{'name':'a'},{'name':'a'},{}],'hostAliases':[{'ip':"
                        "'1.2.3.4'},{'ip':'1.2.3.4'}]",
         "spec.hostAliases[1].ip: duplicate ip \"1.2.3.4\"\n"
         "spec.imagePullSecrets[1].name: duplicate name \"a\"\n"
         "spec.imagePullSecrets[2].name: invalid empty name \"\"\n"},
        {POD_CONTAINERS ",'volumes':[{'name':'v','gitRepo':{'repository':'r'}}]",
         "spec.volumes[0].gitRepo: deprecated in v1.11\n"},
    };
    pod_check(POD_CASES(cases), warnings);
    static const PodCase scheduling[] = {
        {POD_CONTAINERS ",'nodeSelector':{'beta.kubernetes.io/os':'linux'}",
         "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "
         "\"kubernetes.io/os\" instead\n"},
        {POD_CONTAINERS ",'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':'z',"
                        "'whenUnsatisfiable':'DoNotSchedule'}]",
         "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in "
         "matching "
         "no pod\n"},
    };
    for (size_t i = 0; i < sizeof scheduling / sizeof *scheduling; i++) {
        _arena_free_ Arena *arena = arena_new();
        Value *pod;
        ValuePaths list = {0};
        pod_create(arena, "", scheduling[i].json, &pod);
        kinds_resource_core_v1_pods()->rules->warn(arena, pod, &list);
        assert_int_equal(list.n, 1);
        assert_string_equal(arena_printf(arena, "%.*s\n", STR_ARG(list.paths[0])).ptr,
                            scheduling[i].problems);
    }
}

static void test_template_warnings(void **state) {
    _arena_free_ Arena *arena = arena_new();
    ValuePaths list = {0};
    Value *template = road_parse(
        arena, "{'metadata':{'annotations':{'security.alpha.kubernetes.io/sysctls':''}},'spec':{"
               "'containers':[{'name':'c','ports':[{'containerPort':80},{'containerPort':80}]}]}}");
    pod_template_warn(arena, template, PATH(PATH(NULL, STR("spec")), STR("template")), &list);
    assert_int_equal(list.n, 2);
    assert_string_equal(arena_cstr(arena, list.paths[0]),
                        "spec.template.metadata.annotations[security.alpha.kubernetes.io/sysctls]: "
                        "non-functional in v1.11+; use the \"sysctls\" field instead");
    assert_string_equal(arena_cstr(arena, list.paths[1]),
                        "spec.template.spec.containers[0].ports[1]: duplicate port definition with "
                        "spec.template.spec.containers[0].ports[0]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),      cmocka_unit_test(test_status_kept),
        cmocka_unit_test(test_annotations), cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_warnings),    cmocka_unit_test(test_template_warnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
