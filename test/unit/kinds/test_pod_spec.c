// What is wrong with a pod's spec beside its containers and volumes: scheduling, DNS, security,
// operating systems; and that templates are checked the same way.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "pod_road.h"

#define KEY_RULE                                                                                   \
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "  \
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for " \
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')\n"
#define VALUE_RULE                                                                                 \
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "    \
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value', " \
    " or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')\n"

// A pod that uses about everything that is allowed.
static void test_everything(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(
        pod_create(
            arena,
            "'labels':{'app':'web'},'annotations':{'controller.kubernetes.io/"
            "pod-deletion-cost':'-5'}",
            "'activeDeadlineSeconds':100,'hostname':'h','subdomain':'s','nodeName':'n',"
            "'serviceAccountName':'a','priorityClassName':'p','runtimeClassName':'r',"
            "'nodeSelector':{'kubernetes.io/os':'linux'},'os':{'name':'linux'},"
            "'readinessGates':[{'conditionType':'example.com/x'}],"
            "'imagePullSecrets':[{'name':'x'}],'preemptionPolicy':'Never',"
            "'hostAliases':[{'ip':'10.0.0.1','hostnames':['a.b']}],"
            "'dnsPolicy':'None','dnsConfig':{'nameservers':['10.0.0.1','fd00::1'],'searches':["
            "'a.b.','_x.y','.'],'options':[{'name':'ndots','value':'5'}]},"
            "'tolerations':[{'operator':'Exists'},{'key':'a','value':'b','effect':'NoExecute',"
            "'tolerationSeconds':5}],"
            "'securityContext':{'runAsUser':1000,'fsGroup':0,'supplementalGroups':[1],'sysctls':[{"
            "'name':'net.core.somaxconn','value':'1'},{'name':'kernel/shm_rmid_forced','value':'1'}"
            "],'fsGroupChangePolicy':'OnRootMismatch','seccompProfile':{'type':'RuntimeDefault'},"
            "'supplementalGroupsPolicy':'Strict','seLinuxChangePolicy':'Recursive'},"
            "'affinity':{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':{"
            "'nodeSelectorTerms':[{'matchExpressions':[{'key':'metadata.name','operator':'In',"
            "'values':['x']},{'key':'cpu','operator':'Gt','values':['3']}],'matchFields':[{'key':"
            "'metadata.name','operator':'In','values':['n']}]}]},"
            "'preferredDuringSchedulingIgnoredDuringExecution':[{'weight':1,'preference':{"
            "'matchExpressions':[{'key':'a','operator':'DoesNotExist'}]}}]},'podAntiAffinity':{"
            "'preferredDuringSchedulingIgnoredDuringExecution':[{'weight':100,'podAffinityTerm':{"
            "'topologyKey':'kubernetes.io/hostname','labelSelector':{'matchExpressions':[{'key':"
            "'app','operator':'In','values':['web']}]},'namespaces':['x'],'namespaceSelector':{},"
            "'matchLabelKeys':['v'],'mismatchLabelKeys':['app']}}]}},"
            "'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':'zone','whenUnsatisfiable':"
            "'DoNotSchedule','minDomains':2,'labelSelector':{'matchLabels':{'app':'web'}},"
            "'nodeAffinityPolicy':'Honor'},{'maxSkew':1,'topologyKey':'zone','whenUnsatisfiable':"
            "'ScheduleAnyway','labelSelector':{},'matchLabelKeys':['app']}],"
            "'volumes':[{'name':'v'},{'name':'i','image':{'reference':'x'}}],"
            "'initContainers':[{'name':'s','image':'i','restartPolicy':'Always','startupProbe':{"
            "'exec':{'command':['true']}}},{'name':'t','image':'i','restartPolicy':'Never'}],"
            "'containers':[{'name':'c','image':'i','ports':[{'containerPort':80,'name':'web'},{"
            "'containerPort':80,'protocol':'UDP'}],'volumeMounts':[{'name':'v','mountPath':'/v'},{"
            "'name':'i','mountPath':'/i','subPath':'x'}],'env':[{'name':'F','valueFrom':{"
            "'fileKeyRef':{'volumeName':'v','path':'a/b','key':'K'}}}]}]",
            NULL),
        "");
}

static void test_scalars(void **state) {
    static const PodCase cases[] = {
        {"'restartPolicy':'x'",
         "spec.restartPolicy: Unsupported value: \"x\": supported values: \"Always\", "
         "\"OnFailure\", \"Never\"\n"},
        {"'dnsPolicy':'x'",
         "spec.dnsPolicy: Unsupported value: \"x\": supported values: \"ClusterFirstWithHostNet\", "
         "\"ClusterFirst\", \"Default\", \"None\"\n"},
        {"'activeDeadlineSeconds':0",
         "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, "
         "inclusive\n"},
        {"'hostname':'a.b'", "spec.hostname: Invalid value: \"a.b\": must not contain dots\n"},
        {"'nodeSelector':{'a b':'c'}", "spec.nodeSelector: Invalid value: \"a b\": " KEY_RULE},
        {"'readinessGates':[{'conditionType':'a b'}]",
         "spec.readinessGates[0].conditionType: Invalid value: \"a b\": " KEY_RULE},
        {"'schedulingGates':[{'name':'a b'},{'name':'x'},{'name':'x'}]",
         "spec.schedulingGates[0]: Invalid value: \"a b\": " KEY_RULE
         "spec.schedulingGates[2]: Duplicate value: \"x\"\n"},
        {"'schedulingGates':[{'name':'x'}],'nodeName':'n'",
         "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared\n"},
        {"'hostAliases':[{'ip':'x','hostnames':['A']}]",
         "spec.hostAliases[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 "
         "or 2001:db8::ffff)\n"
         "spec.hostAliases[0].hostnames[0]: Invalid value: \"A\": a lowercase RFC 1123 subdomain "
         "must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
         "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
         "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')\n"},
        {"'hostUsers':false,'hostNetwork':true,'hostPID':true,'hostIPC':true",
         "spec.hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false\n"
         "spec.HostPID: Forbidden: when `pod.Spec.HostUsers` is false\n"
         "spec.HostIPC: Forbidden: when `pod.Spec.HostUsers` is false\n"},
        {"'hostnameOverride':'a.b.c'", ""},
        {"'hostnameOverride':'a','setHostnameAsFQDN':true",
         "spec.hostnameOverride: Forbidden: setHostnameAsFQDN and hostnameOverride are mutually "
         "exclusive\n"},
    };
    pod_check(POD_CASES(cases), pod_spec);
}

static void test_dns(void **state) {
    static const PodCase cases[] = {
        {"'dnsPolicy':'None'",
         "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None\n"},
        {"'dnsPolicy':'None','dnsConfig':{}", "spec.dnsConfig.nameservers: Required value: must "
                                              "provide at least one DNS nameserver when "
                                              "`dnsPolicy` is None\n"},
        {"'dnsConfig':{'nameservers':['10.0.0.1','10.0.0.2','10.0.0.3','x']}",
         "spec.dnsConfig.nameservers: Invalid value: [\"10.0.0.1\",\"10.0.0.2\",\"10.0.0.3\","
         "\"x\"]: must not have more than 3 nameservers\n"
         "spec.dnsConfig.nameservers[3]: Invalid value: \"x\": must be a valid IP address, (e.g. "
         "10.9.8.7 or 2001:db8::ffff)\n"},
        {"'dnsConfig':{'searches':['a..b']}",
         "spec.dnsConfig.searches[0]: Invalid value: \"a..b\": a lowercase RFC 1123 subdomain must "
         "consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end "
         "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
         "'_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')\n"},
        {"'dnsConfig':{'options':[{'value':'5'}]}",
         "spec.dnsConfig.options[0]: Required value: must not be empty\n"},
    };
    pod_check(POD_CASES(cases), pod_spec);
    _arena_free_ Arena *arena = arena_new();
    _buf_deinit_ Buf many = BUF_INIT(1 << 16);
    for (int i = 0; i < 33; i++)
        buf_printf(&many, "%s'a'", i ? "," : "");
    const char *problems = pod_spec(
        arena,
        arena_printf(arena, "'dnsConfig':{'searches':[%.*s]}", STR_ARG(buf_view(&many))).ptr);
    assert_non_null(strstr(problems, "must not have more than 32 search paths\n"));
}

static void test_tolerations(void **state) {
    static const PodCase cases[] = {
        {"'tolerations':[{'key':'a b','operator':'Exists'}]",
         "spec.tolerations[0].key: Invalid value: \"a b\": " KEY_RULE},
        {"'tolerations':[{'value':'x'}]",
         "spec.tolerations[0].operator: Invalid value: \"\": operator must be Exists when `key` is "
         "empty, which means \"match all values and all keys\"\n"},
        {"'tolerations':[{'key':'a','operator':'Exists','value':'x'}]",
         "spec.tolerations[0].operator: Invalid value: \"x\": value must be empty when `operator` "
         "is 'Exists'\n"},
        {"'tolerations':[{'key':'a','value':'a b'}]",
         "spec.tolerations[0].operator: Invalid value: \"a b\": " VALUE_RULE},
        {"'tolerations':[{'key':'a','operator':'Gt','value':'1'}]",
         "spec.tolerations[0].operator: Unsupported value: \"Gt\": supported values: \"Equal\", "
         "\"Exists\"\n"},
        {"'tolerations':[{'key':'a','operator':'Exists','tolerationSeconds':1}]",
         "spec.tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when "
         "`tolerationSeconds` is set\n"},
        {"'tolerations':[{'key':'a','operator':'Exists','effect':'x'}]",
         "spec.tolerations[0].effect: Unsupported value: \"x\": supported values: \"NoSchedule\", "
         "\"PreferNoSchedule\", \"NoExecute\"\n"},
    };
    pod_check(POD_CASES(cases), pod_spec);
}

#define NODE "spec.affinity.nodeAffinity."
#define REQUIRED "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED "preferredDuringSchedulingIgnoredDuringExecution"
#define TERM(term) "'affinity':{'nodeAffinity':{'" REQUIRED "':{'nodeSelectorTerms':[" term "]}}}"
#define EXPRESSION(members) TERM("{'matchExpressions':[{" members "}]}")
#define FIELD(members) TERM("{'matchFields':[{" members "}]}")
#define TERMS NODE REQUIRED ".nodeSelectorTerms"

static void test_node_affinity(void **state) {
    static const PodCase cases[] = {
        {TERM("{}"), ""},
        {"'affinity':{'nodeAffinity':{'" REQUIRED "':{}}}",
         TERMS ": Required value: must have at least one node selector term\n"},
        {EXPRESSION("'key':'a b','operator':'Exists'"),
         TERMS "[0].matchExpressions[0].key: Invalid value: \"a b\": " KEY_RULE},
        {EXPRESSION("'key':'a','operator':'In'"),
         TERMS "[0].matchExpressions[0].values: Required value: must be specified when `operator` "
               "is 'In' or 'NotIn'\n"},
        {EXPRESSION("'key':'a','operator':'In','values':['a b']"),
         TERMS "[0].matchExpressions[0].values[0]: Invalid value: \"a b\": " VALUE_RULE},
        {EXPRESSION("'key':'a','operator':'Exists','values':['a']"),
         TERMS "[0].matchExpressions[0].values: Forbidden: may not be specified when `operator` is "
               "'Exists' or 'DoesNotExist'\n"},
        {EXPRESSION("'key':'a','operator':'Gt','values':['1','2']"), TERMS
         "[0].matchExpressions[0].values: Required value: must be specified single value when "
         "`operator` is 'Lt' or 'Gt'\n"},
        {EXPRESSION("'key':'a','operator':'x'"),
         TERMS "[0].matchExpressions[0].operator: Invalid value: \"x\": not a valid selector "
               "operator\n"},
        {FIELD("'key':'metadata.name','operator':'In','values':['a','b']"),
         TERMS "[0].matchFields[0].values: Required value: must be only one value when `operator` "
               "is 'In' or 'NotIn' for node field selector\n"},
        {FIELD("'key':'metadata.uid','operator':'Exists'"), TERMS
         "[0].matchFields[0].operator: Invalid value: \"Exists\": not a valid selector "
         "operator\n" TERMS
         "[0].matchFields[0].key: Invalid value: \"metadata.uid\": not a valid field selector "
         "key\n"},
        {"'affinity':{'nodeAffinity':{'" PREFERRED "':[{'weight':101,'preference':{}}]}}",
         NODE PREFERRED "[0].weight: Invalid value: 101: must be in the range 1-100\n"},
        {"'affinity':{'nodeAffinity':{'" PREFERRED "':[{'weight':1,'preference':{"
         "'matchExpressions':[{'key':'a','operator':'In','values':['a b']}]}}]}}",
         ""},
    };
    pod_check(POD_CASES(cases), pod_spec);
}

#define POD_TERM(members) "'affinity':{'podAffinity':{'" REQUIRED "':[{" members "}]}}"
#define AFFINITY "spec.affinity.podAffinity." REQUIRED "[0]"

static void test_pod_affinity(void **state) {
    static const PodCase cases[] = {
        {POD_TERM("'topologyKey':'zone'"), ""},
        {POD_TERM(""),
         AFFINITY ".topologyKey: Required value: can not be empty\n" AFFINITY
                  ".topologyKey: Invalid value: \"\": name part must be non-empty\n" AFFINITY
                  ".topologyKey: Invalid value: \"\": " KEY_RULE},
        {POD_TERM("'topologyKey':'z','namespaces':['A.b']"),
         AFFINITY ".namespace: Invalid value: \"A.b\": a lowercase RFC 1123 label must consist of "
                  "lower case alphanumeric characters or '-', and must start and end with an "
                  "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
                  "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')\n"},
        {POD_TERM("'topologyKey':'z','matchLabelKeys':['a']"),
         AFFINITY ".matchLabelKeys: Forbidden: must not be specified when labelSelector is not "
                  "set\n"},
        {POD_TERM("'topologyKey':'z','labelSelector':{},'matchLabelKeys':['a'],"
                  "'mismatchLabelKeys':['a']"),
         AFFINITY ".matchLabelKeys[0]: Invalid value: \"a\": exists in both matchLabelKeys and "
                  "mismatchLabelKeys\n"},
        {POD_TERM("'topologyKey':'z','labelSelector':{'matchExpressions':[{'key':'a','operator':"
                  "'In'}]}"),
         AFFINITY ".labelSelector.matchExpressions[0].values: Required value: must be specified "
                  "when `operator` is 'In' or 'NotIn'\n"},
        {"'affinity':{'podAntiAffinity':{'" PREFERRED "':[{'weight':0,'podAffinityTerm':{"
         "'topologyKey':'z'}}]}}",
         "spec.affinity.podAntiAffinity." PREFERRED
         "[0].weight: Invalid value: 0: must be in the range 1-100\n"},
    };
    pod_check(POD_CASES(cases), pod_spec);
    _arena_free_ Arena *arena = arena_new(); // merged from matchLabelKeys it would be there twice
    assert_string_equal(
        pod_create(arena, "'labels':{'a':'b'}",
                   POD_CONTAINERS "," POD_TERM("'topologyKey':'z','matchLabelKeys':['a'],"
                                               "'labelSelector':{'matchLabels':{'a':'b'}}"),
                   NULL),
        AFFINITY "[0]: Invalid value: \"a\": exists in both matchLabelKeys and labelSelector\n");
}

#define SPREAD(members) "'topologySpreadConstraints':[{" members "}]"
#define T "spec.topologySpreadConstraints[0]"

static void test_spread(void **state) {
    static const PodCase cases[] = {
        {SPREAD(""),
         T ".maxSkew: Invalid value: 0: must be greater than zero\n" T
           ".topologyKey: Required value: can not be empty\n" T
           ".whenUnsatisfiable: Unsupported value: \"\": supported values: \"DoNotSchedule\", "
           "\"ScheduleAnyway\"\n"},
        {SPREAD("'maxSkew':1,'topologyKey':'z','whenUnsatisfiable':'x'"),
         T ".whenUnsatisfiable: Unsupported value: \"x\": supported values: \"DoNotSchedule\", "
           "\"ScheduleAnyway\"\n"},
        {SPREAD("'maxSkew':1,'topologyKey':'z','whenUnsatisfiable':'ScheduleAnyway','minDomains':"
                "0"),
         T ".minDomains: Invalid value: 0: must be greater than zero\n" T
           ".minDomains: Invalid value: 0: can only use minDomains if "
           "whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway\n"},
        {SPREAD("'maxSkew':1,'topologyKey':'z','whenUnsatisfiable':'ScheduleAnyway',"
                "'nodeTaintsPolicy':'x'"),
         T ".nodeTaintsPolicy: Unsupported value: \"x\": supported values: \"Honor\", "
           "\"Ignore\"\n"},
        {SPREAD("'maxSkew':1,'topologyKey':'z','whenUnsatisfiable':'ScheduleAnyway'},{'maxSkew':2,"
                "'topologyKey':'z','whenUnsatisfiable':'ScheduleAnyway'"),
         T ".{topologyKey, whenUnsatisfiable}: Duplicate value: \"{z, ScheduleAnyway}\"\n"},
        {SPREAD("'maxSkew':1,'topologyKey':'z','whenUnsatisfiable':'ScheduleAnyway',"
                "'matchLabelKeys':['a']"),
         T ".matchLabelKeys: Forbidden: must not be specified when labelSelector is not set\n"},
    };
    pod_check(POD_CASES(cases), pod_spec);
}

#define S "spec.securityContext."

static void test_security(void **state) {
    static const PodCase cases[] = {
        {"'securityContext':{'runAsUser':-1,'fsGroup':-2,'supplementalGroups':[0,-3]}",
         S "fsGroup: Invalid value: -2: must be between 0 and 2147483647, inclusive\n" S
           "runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive\n" S
           "supplementalGroups[1]: Invalid value: -3: must be between 0 and 2147483647, "
           "inclusive\n"},
        {"'shareProcessNamespace':true,'hostPID':true",
         S "shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot "
           "both be enabled\n"},
        {"'securityContext':{'sysctls':[{'name':'a..b','value':''},{'name':'k.x','value':''},{"
         "'name':'k.x','value':''},{'value':''}]}",
         S "sysctls[3].name: Required value\n" S
           "sysctls[0].name: Invalid value: \"a..b\": must have at most 253 characters and match "
           "regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$\n" S
           "sysctls[2].name: Duplicate value: \"k.x\"\n"},
        {"'hostNetwork':true,'hostIPC':true,'securityContext':{'sysctls':[{'name':'net.x','value':"
         "''},{'name':'kernel/shm_rmid_forced','value':''},{'name':'vm.x','value':''}]}",
         S "sysctls[0].name: Invalid value: \"net.x\": may not be specified when 'hostNetwork' is "
           "true\n" S "sysctls[1].name: Invalid value: \"kernel/shm_rmid_forced\": may not be "
           "specified when 'hostIPC' is true\n"},
        {"'securityContext':{'fsGroupChangePolicy':'x'}",
         S "fsGroupChangePolicy: Unsupported value: \"x\": supported values: \"Always\", "
           "\"OnRootMismatch\"\n"},
        {"'securityContext':{'seLinuxChangePolicy':'x'}",
         S "seLinuxChangePolicy: Unsupported value: \"x\": supported values: \"MountOption\", "
           "\"Recursive\"\n"},
    };
    pod_check(POD_CASES(cases), pod_spec);
}

static void test_os(void **state) {
    static const PodCase cases[] = {
        {"'os':{}", "spec.os.name: Required value: cannot be empty\n"},
        {"'os':{'name':'x'}",
         "spec.os: Unsupported value: \"x\": supported values: \"linux\", \"windows\"\n"},
        {"'os':{'name':'linux'},'securityContext':{'windowsOptions':{}}",
         S "windowsOptions: Forbidden: windows options cannot be set for a linux pod\n"},
        {"'os':{'name':'windows'},'hostPID':true,'securityContext':{'runAsUser':1}",
         "spec.hostPID: Forbidden: cannot be set for a windows pod\n" S
         "runAsUser: Forbidden: cannot be set for a windows pod\n"},
        {"'securityContext':{'windowsOptions':{'hostProcess':true}}",
         "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any "
         "hostProcess containers\n"},
    };
    pod_check(POD_CASES(cases), pod_spec);
}

// The rules are on the type: a template's spec gets the same, at its own path.
static void test_template(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Str message;
    Value *template = road_parse(
        arena, "{'spec':{'containers':[{'name':'c','image':' i','ports':[{'containerPort':80}],"
               "'volumeMounts':[{'name':'x','mountPath':'/x'}]}],'hostNetwork':true}}");
    assert_int_equal(
        schema_normalize(arena, kinds_type_PodTemplateSpec(), template, NULL, &message), 0);
    schema_default_type(arena, kinds_type_PodTemplateSpec(), template);
    FieldErrors errors = {.arena = arena};
    const Path *path = PATH(PATH(NULL, STR("spec")), STR("template"));
    schema_validate_type(&errors, kinds_type_PodTemplateSpec(), template, NULL, path);
    assert_string_equal(
        road_problems(&errors),
        "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"x\"\n");
    FieldErrors more = {.arena = arena};
    schema_validate_type(&more, kinds_type_PodTemplateSpec(),
                         road_parse(arena,
                                    "{'metadata':{'labels':{'a b':'c'}},'spec':{'containers':"
                                    "[{'name':'c','image':'i','terminationMessagePolicy':"
                                    "'File'}],'ephemeralContainers':[{'name':'e','image':"
                                    "'i'}]}}"),
                         NULL, path);
    assert_string_equal(road_problems(&more),
                        "spec.template.labels: Invalid value: \"a b\": " KEY_RULE
                        "spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers "
                        "not allowed in pod template\n");
    // What only pods get is not there.
    assert_null(value_at(template, "spec.enableServiceLinks"));
    assert_non_null(value_at(template, "spec.schedulerName"));
}

// Long lists cost no more than their length.
static void test_large(void **state) {
    _arena_free_ Arena *arena = arena_new();
    _buf_deinit_ Buf spec = BUF_INIT(1 << 24);
    buf_str(&spec, STR("'volumes':["));
    for (int i = 0; i < 20000; i++)
        buf_printf(&spec, "%s{'name':'v%d'}", i ? "," : "", i);
    buf_str(&spec, STR("],'containers':[{'name':'c','image':'i','volumeMounts':["));
    for (int i = 0; i < 20000; i++)
        buf_printf(&spec, "%s{'name':'v%d','mountPath':'/%d'}", i ? "," : "", i, i);
    buf_append(&spec, "]}]", 4);
    assert_string_equal(pod_create(arena, "", spec.data, NULL), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_dns),
        cmocka_unit_test(test_tolerations),
        cmocka_unit_test(test_node_affinity),
        cmocka_unit_test(test_pod_affinity),
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_security),
        cmocka_unit_test(test_os),
        cmocka_unit_test(test_template),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
