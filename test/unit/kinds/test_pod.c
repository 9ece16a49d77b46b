// Pods as a whole: defaults, preparation, what may change.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "pod_road.h"

static void assert_at(Arena *arena, const Value *pod, const char *path, const char *json) {
    road_assert_json(arena, value_at(pod, path), json);
}
static const Value *container(const Value *pod, uint32_t i) {
    return value_at(pod, "spec.containers")->items[i];
}

static void test_defaults(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *pod;
    assert_string_equal(pod_create(arena, "", POD_CONTAINERS, &pod), "");
    road_assert_json(
        arena, value_get(pod, STR("spec")),
        "{'containers':[{'name':'c','image':'i','imagePullPolicy':'Always','resources':{},"
        "'terminationMessagePath':'/dev/termination-log','terminationMessagePolicy':'File'}],"
        "'restartPolicy':'Always','terminationGracePeriodSeconds':30,'dnsPolicy':'ClusterFirst',"
        "'securityContext':{},'schedulerName':'default-scheduler','enableServiceLinks':true}");
    assert_at(arena, pod, "status", "{'phase':'Pending','qosClass':'BestEffort'}");
}

static void test_pull_policy(void **state) {
    static const struct {
        const char *image, *policy;
    } cases[] = {
        {"nginx", "Always"},
        {"nginx:latest", "Always"},
        {"nginx:1.25", "IfNotPresent"},
        {"localhost:5000/nginx", "Always"},
        {"localhost:5000/nginx:1", "IfNotPresent"},
        {"a.example/b__c/d--e_f.g", "Always"},
        {"nginx@sha256:0000000000000000000000000000000000000000000000000000000000000000",
         "IfNotPresent"},
        {"nginx:latest@sha256:0000000000000000000000000000000000000000000000000000000000000000",
         "Always"},
        {"Not/A Name", "IfNotPresent"}, // what can't be read has no tag
        {"UPPER", "IfNotPresent"},
        {"a..b", "IfNotPresent"},
        {"[::1]:5000/x", "Always"},
        {"host:port/x", "IfNotPresent"},
        {"/x", "IfNotPresent"},
        {"x/", "IfNotPresent"},
        {"x:", "IfNotPresent"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _arena_free_ Arena *arena = arena_new();
        Value *pod;
        Str spec = arena_printf(arena, "'containers':[{'name':'c','image':'%s'}]", cases[i].image);
        pod_create(arena, "", spec.ptr, &pod);
        Str policy = value_string_at(container(pod, 0), "imagePullPolicy");
        if (!str_eq(policy, str_from(cases[i].policy)))
            fail_msg("%s: %.*s", cases[i].image, STR_ARG(policy));
    }
}

static void test_requests(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *pod;
    assert_string_equal(
        pod_create(arena, "",
                   "'containers':[{'name':'c','image':'i','resources':{'limits':{'cpu':2,'memory':"
                   "'1Gi'},'requests':{'cpu':'100u'}}}]",
                   &pod),
        "");
    road_assert_json(
        arena, value_get(container(pod, 0), STR("resources")),
        "{'limits':{'cpu':'2','memory':'1Gi'},'requests':{'cpu':'1m','memory':'1Gi'}}");
    assert_at(arena, pod, "status.qosClass", "'Burstable'");
    assert_string_equal(
        pod_create(arena, "",
                   "'hostNetwork':true,'containers':[{'name':'c','image':'i','resources':{'limits':"
                   "{'cpu':2,'memory':'1Gi'}},'ports':[{'containerPort':80}]}]",
                   &pod),
        "");
    assert_at(arena, pod, "status.qosClass", "'Guaranteed'");
    road_assert_json(arena, value_get(container(pod, 0), STR("ports")),
                     "[{'containerPort':80,'hostPort':80,'protocol':'TCP'}]");
}

static void test_pod_level_resources(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *pod;
    assert_string_equal(
        pod_create(arena, "",
                   "'resources':{'limits':{'cpu':4,'memory':'2Gi'}},'initContainers':[{'name':'s',"
                   "'image':'i','restartPolicy':'Always','resources':{'requests':{'cpu':'500m'}}},"
                   "{'name':'t','image':'i','resources':{'requests':{'cpu':3}}}],'containers':[{"
                   "'name':'c','image':'i','resources':{'requests':{'cpu':1}}}]",
                   &pod),
        "");
    // The init container needs 3 while the sidecar runs with 500m.
    assert_at(arena, pod, "spec.resources",
              "{'limits':{'cpu':'4','memory':'2Gi'},'requests':{'cpu':'3500m','memory':'2Gi'}}");
    assert_at(arena, pod, "status.qosClass", "'Burstable'");
}

static void test_qos(void **state) {
    static const struct {
        const char *containers, *qos;
    } cases[] = {
        {"{'requests':{'cpu':'1'}}", "Burstable"},
        {"{'requests':{'cpu':'0'}}", "BestEffort"},
        {"{'requests':{'example.com/gpu':'1'},'limits':{'example.com/gpu':'1'}}", "BestEffort"},
        {"{'limits':{'cpu':'1','memory':'1Gi'}}", "Guaranteed"},
        {"{'limits':{'cpu':'1','memory':'1Gi'},'requests':{'cpu':'500m'}}", "Burstable"},
        {"{'limits':{'cpu':'1'}}", "Burstable"},
        {"{'limits':{'cpu':'1','memory':'1Gi'}}},{'name':'d','image':'i','resources':{}",
         "Burstable"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _arena_free_ Arena *arena = arena_new();
        Value *pod;
        Str spec = arena_printf(arena, "'containers':[{'name':'c','image':'i','resources':%s}]",
                                cases[i].containers);
        assert_string_equal(pod_create(arena, "", spec.ptr, &pod), "");
        Str qos = value_string_at(pod, "status.qosClass");
        if (!str_eq(qos, str_from(cases[i].qos)))
            fail_msg("%s: %.*s", cases[i].containers, STR_ARG(qos));
    }
}

static void test_service_account(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *pod;
    assert_string_equal(pod_create(arena, "", POD_CONTAINERS ",'serviceAccount':'a'", &pod), "");
    assert_at(arena, pod, "spec.serviceAccountName", "'a'");
    assert_string_equal(pod_create(arena, "",
                                   POD_CONTAINERS ",'serviceAccount':'a','serviceAccountName':'b'",
                                   &pod),
                        "");
    assert_at(arena, pod, "spec.serviceAccount", "'b'");
}

static void test_label_keys(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *pod;
    assert_string_equal(
        pod_create(arena, "'labels':{'app':'web','v':'1'}",
                   POD_CONTAINERS
                   ",'affinity':{'podAntiAffinity':{'requiredDuringSchedulingIgnoredDuringExecution"
                   "':[{'topologyKey':'zone','labelSelector':{'matchLabels':{'x':'y'}},"
                   "'matchLabelKeys':['app','none'],'mismatchLabelKeys':['v']}]}},"
                   "'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':'zone',"
                   "'whenUnsatisfiable':'DoNotSchedule','labelSelector':{},'matchLabelKeys':['v']}"
                   "]",
                   &pod),
        "");
    const Value *term = tree_item(
        pod, "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution", 0);
    road_assert_json(arena, value_get(term, STR("labelSelector")),
                     "{'matchLabels':{'x':'y'},'matchExpressions':[{'key':'app','operator':'In',"
                     "'values':['web']},{'key':'v','operator':'NotIn','values':['1']}]}");
    road_assert_json(
        arena, value_get(tree_item(pod, "spec.topologySpreadConstraints", 0), STR("labelSelector")),
        "{'matchExpressions':[{'key':'v','operator':'In','values':['1']}]}");
}

static void test_gated(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *pod;
    assert_string_equal(
        pod_create(arena, "", POD_CONTAINERS ",'schedulingGates':[{'name':'g'}]", &pod), "");
    road_assert_json(arena, value_at(pod, "status.conditions"),
                     "[{'type':'PodScheduled','status':'False','reason':'SchedulingGated',"
                     "'lastProbeTime':null,'lastTransitionTime':null,"
                     "'message':'Scheduling is blocked due to non-empty scheduling gates'}]");
}

// ---- updates

static const char *update(Arena *arena, const char *old, const char *now) {
    return road_update(arena, kinds_resource_core_v1_pods(), pod_json(arena, "", old),
                       pod_json(arena, "", now), NULL);
}

#define ONLY                                                                                       \
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"    \
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "        \
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set " \
    "to 1 if it was previously negative)\n"
#define C POD_CONTAINERS
#define TERMS                                                                                      \
    ",'affinity':{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':{"              \
    "'nodeSelectorTerms':"
#define TERMS_PATH                                                                                 \
    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
#define A "{'key':'a','operator':'Exists'}"
#define B "{'key':'b','operator':'Exists'}"
#define GATE ",'schedulingGates':[{'name':'g'}]"

static void test_update(void **state) {
    static const struct {
        const char *old, *now, *problems;
    } cases[] = {
        {C, C, ""},
        {C, "'containers':[{'name':'c','image':'j','imagePullPolicy':'Always'}]", ""},
        {C, "'containers':[{'name':'c','image':'j:1'}]",
         ONLY "- spec.containers[0].imagePullPolicy: \"Always\"\n"
              "+ spec.containers[0].imagePullPolicy: \"IfNotPresent\"\n\n"},
        {C, C ",'nodeName':'n'", ONLY "+ spec.nodeName: \"n\"\n\n"},
        {C, "'containers':[{'name':'c','image':'i'},{'name':'d','image':'i'}]",
         "spec.containers: Forbidden: pod updates may not add or remove containers\n"},
        {C, C ",'initContainers':[{'name':'d','image':'i'}]",
         "spec.initContainers: Forbidden: pod updates may not add or remove containers\n"},
        {C, C ",'activeDeadlineSeconds':5", ""},
        {C ",'activeDeadlineSeconds':5", C ",'activeDeadlineSeconds':4", ""},
        {C ",'activeDeadlineSeconds':5", C ",'activeDeadlineSeconds':6",
         "spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous "
         "value\n"},
        {C ",'activeDeadlineSeconds':5", C,
         "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer "
         "to nil value\n"},
        {C ",'tolerations':[{'key':'a','operator':'Exists'}]",
         C ",'tolerations':[{'key':'b','operator':'Exists'},{'key':'a','operator':'Exists'}]", ""},
        {C ",'tolerations':[{'key':'a','operator':'Exists','effect':'NoExecute'}]",
         C ",'tolerations':[{'key':'a','operator':'Exists','effect':'NoExecute',"
           "'tolerationSeconds':3}]",
         ""},
        {C ",'tolerations':[{'key':'a','operator':'Exists'}]", C,
         "spec.tolerations: Forbidden: existing toleration can not be modified except its "
         "tolerationSeconds\n"},
        {C GATE, C, ""},
        {C GATE, C ",'schedulingGates':[{'name':'h'}]",
         "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new "
         "scheduling gate 'h'\n"},
        {C ",'terminationGracePeriodSeconds':-1", C ",'terminationGracePeriodSeconds':1", ""},
        {C ",'terminationGracePeriodSeconds':5", C ",'terminationGracePeriodSeconds':1",
         ONLY "- spec.terminationGracePeriodSeconds: 5\n"
              "+ spec.terminationGracePeriodSeconds: 1\n\n"},
        {C GATE, C GATE ",'nodeSelector':{'a':'b'}", ""},
        {C GATE ",'nodeSelector':{'a':'b'}", C ",'nodeSelector':{'a':'b','c':'d'}", ""},
        {C, C ",'nodeSelector':{'a':'b'}", ONLY "+ spec.nodeSelector: {\"a\":\"b\"}\n\n"},
        {C GATE ",'nodeSelector':{'a':'b'}", C ",'nodeSelector':{'a':'c'}",
         "spec.nodeSelector: Invalid value: {\"a\":\"c\"}: only additions to spec.nodeSelector are "
         "allowed (no mutations or deletions)\n"},
        {C GATE ",'nodeSelector':{'a':'b'}", C,
         "spec.nodeSelector: Invalid value: {}: only additions to spec.nodeSelector are allowed "
         "(no mutations or deletions)\n"},
        {C GATE, C TERMS "[{'matchExpressions':[" A "]}]}}}", ""},
        {C GATE TERMS "[{'matchExpressions':[" A "]}]}}}",
         C TERMS "[{'matchExpressions':[" A "," B "]}]}}}", ""},
        {C GATE TERMS "[{'matchExpressions':[" A "]}]}}}",
         C TERMS "[{'matchExpressions':[" B "]}]}}}",
         TERMS_PATH "[0]: Invalid value: {\"MatchExpressions\":[{\"Key\":\"b\",\"Operator\":"
                    "\"Exists\",\"Values\":null}],\"MatchFields\":null}: only additions are "
                    "allowed (no mutations or deletions)\n"},
        {C GATE TERMS "[{'matchExpressions':[" A "]}]}}}",
         C TERMS "[{'matchExpressions':[" A "]},{'matchExpressions':[" B "]}]}}}",
         TERMS_PATH ": Invalid value: [{\"MatchExpressions\":[{\"Key\":\"a\",\"Operator\":"
                    "\"Exists\",\"Values\":null}],\"MatchFields\":null},{\"MatchExpressions\":[{"
                    "\"Key\":\"b\",\"Operator\":\"Exists\",\"Values\":null}],\"MatchFields\":null}"
                    "]: no additions/deletions to non-empty NodeSelectorTerms list are allowed\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _arena_free_ Arena *arena = arena_new();
        const char *problems = update(arena, cases[i].old, cases[i].now);
        if (strcmp(problems, cases[i].problems))
            fail_msg("%s\n%s\n%sinstead of\n%s", cases[i].old, cases[i].now, problems,
                     cases[i].problems);
    }
}

static void test_update_keeps_status(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *pod;
    assert_string_equal(
        road_update(arena, kinds_resource_core_v1_pods(), pod_json(arena, "", C),
                    "{'metadata':{'name':'p'},'spec':{" C "},'status':{'phase':'Running'}}", &pod),
        "");
    assert_at(arena, pod, "status.phase", "'Pending'");
}

static void test_update_annotations(void **state) {
    static const struct {
        const char *old, *now, *problems;
    } cases[] = {
        {"'a':'b'", "'c':'d'", ""},
        {"", "'kubernetes.io/config.mirror':'x'",
         "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod "
         "annotation\n"},
        {"'kubernetes.io/config.mirror':'x'", "'kubernetes.io/config.mirror':'y'",
         "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not remove or update "
         "mirror pod annotation\n"},
        {"'container.apparmor.security.beta.kubernetes.io/c':'unconfined'", "",
         "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: Forbidden: may "
         "not remove or update AppArmor annotations\n"},
        {"", "'container.apparmor.security.beta.kubernetes.io/c':'unconfined'",
         "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: Forbidden: may "
         "not add AppArmor annotations\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _arena_free_ Arena *arena = arena_new();
        const Resource *pods = kinds_resource_core_v1_pods();
        Str old = arena_printf(arena, "'annotations':{%s}", cases[i].old);
        Str now = arena_printf(arena, "'annotations':{%s}", cases[i].now);
        const char *spec = "'nodeName':'n','containers':[{'name':'c','image':'i','securityContext'"
                           ":{'appArmorProfile':{'type':'Unconfined'}}}]";
        const char *problems = road_update(arena, pods, pod_json(arena, old.ptr, spec),
                                           pod_json(arena, now.ptr, spec), NULL);
        if (strcmp(problems, cases[i].problems))
            fail_msg("%s\n%sinstead of\n%s", cases[i].now, problems, cases[i].problems);
    }
}

// A difference stays short however much differs.
static void test_difference_is_bounded(void **state) {
    _arena_free_ Arena *arena = arena_new();
    _buf_deinit_ Buf many = BUF_INIT(1 << 20);
    buf_str(&many, STR(C ",'nodeSelector':{"));
    for (int i = 0; i < 1000; i++)
        buf_printf(&many, "%s'k%d':'v'", i ? "," : "", i);
    buf_append(&many, "}", sizeof "}");
    const char *problems = update(arena, C ",'nodeSelector':{'x':'y'}", many.data);
    assert_non_null(strstr(problems, "\n  ...\n"));
    assert_true(strlen(problems) < 4096);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_pull_policy),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_pod_level_resources),
        cmocka_unit_test(test_qos),
        cmocka_unit_test(test_service_account),
        cmocka_unit_test(test_label_keys),
        cmocka_unit_test(test_gated),
        cmocka_unit_test(test_update),
        cmocka_unit_test(test_update_keeps_status),
        cmocka_unit_test(test_update_annotations),
        cmocka_unit_test(test_difference_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
