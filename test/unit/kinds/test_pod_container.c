// What is wrong with containers: names, images, ports, environment, probes, resources, kinds.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "pod_road.h"

static const char *whole(Arena *arena, const char *spec) {
    return pod_create(arena, "", spec, NULL);
}

#define LABEL_RULE                                                                                 \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "   \
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "     \
    "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')\n"
#define SUBDOMAIN_RULE                                                                             \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "   \
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "  \
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')\n"
#define C0 "spec.containers[0]."
#define PORT_RULE "must be between 1 and 65535, inclusive\n"

static void test_lists(void **state) {
    static const PodCase cases[] = {
        {"", "spec.containers: Required value\n"},
        {"'containers':[{}]", C0 "name: Required value\n" C0 "image: Required value\n"},
        {"'containers':[{'name':'C','image':'i'}]", C0 "name: Invalid value: \"C\": " LABEL_RULE},
        {"'containers':[{'name':'c','image':'i'},{'name':'c','image':'i'}]",
         "spec.containers[1].name: Duplicate value: \"c\"\n"},
        {"'containers':[{'name':'c','image':' i'}]",
         C0 "image: Invalid value: \" i\": must not have leading or trailing whitespace\n"},
        {"'containers':[{'name':'c','image':'i','imagePullPolicy':'x'}]",
         C0 "imagePullPolicy: Unsupported value: \"x\": supported values: \"Always\", "
            "\"IfNotPresent\", \"Never\"\n"},
        {"'containers':[{'name':'c','image':'i','terminationMessagePolicy':'x'}]",
         C0 "terminationMessagePolicy: Unsupported value: \"x\": supported values: \"File\", "
            "\"FallbackToLogsOnError\"\n"},
        {"'containers':[{'name':'c','image':'i'}],'initContainers':[{'name':'c','image':'i'}]",
         "spec.initContainers[0].name: Duplicate value: \"c\"\n"},
        {"'containers':[{'name':'c','image':'i'}],'initContainers':[{'name':'d','image':'i',"
         "'livenessProbe':{'exec':{'command':['x']}},'lifecycle':{'preStop':{'sleep':{'seconds':1"
         "}}}}]",
         "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without "
         "restartPolicy=Always\n"
         "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers "
         "without restartPolicy=Always\n"},
        {"'containers':[{'name':'c','image':'i'}],'initContainers':[{'name':'d','image':'i',"
         "'restartPolicy':'Always','readinessProbe':{'exec':{'command':['x']}}}]",
         ""},
        {"'containers':[{'name':'c','image':'i'}],'ephemeralContainers':[{'name':'c','image':'i',"
         "'ports':[{'containerPort':80}],'resources':{'limits':{'cpu':1}},'targetContainerName':"
         "'x','lifecycle':{}}]",
         "spec.ephemeralContainers[0].name: Duplicate value: \"c\"\n"
         "spec.ephemeralContainers[0].targetContainerName: Not found: \"x\"\n"
         "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container\n"
         "spec.ephemeralContainers[0].resources: Forbidden: cannot be set for an Ephemeral "
         "Container\n"
         "spec.ephemeralContainers[0].lifecycle: Forbidden: cannot be set for an Ephemeral "
         "Container\n"
         "spec.ephemeralContainers: Forbidden: cannot be set on create\n"},
    };
    pod_check(POD_CASES(cases), whole);
}

static void test_ports(void **state) {
    static const PodCase cases[] = {
        {"'ports':[{'containerPort':80,'name':'http'},{'containerPort':80,'protocol':'UDP'}]", ""},
        {"'ports':[{}]", C0 "ports[0].containerPort: Required value\n"},
        {"'ports':[{'containerPort':70000,'hostPort':-1}]",
         C0 "ports[0].hostPort: Invalid value: -1: " PORT_RULE C0
            "ports[0].containerPort: Invalid value: 70000: " PORT_RULE},
        {"'ports':[{'containerPort':80,'name':'a'},{'containerPort':81,'name':'a'}]",
         C0 "ports[1].name: Duplicate value: \"a\"\n"},
        {"'ports':[{'containerPort':80,'name':'1'}]",
         C0 "ports[0].name: Invalid value: \"1\": must contain at least one letter (a-z)\n"},
        {"'ports':[{'containerPort':80,'protocol':'x'}]",
         C0 "ports[0].protocol: Unsupported value: \"x\": supported values: \"SCTP\", \"TCP\", "
            "\"UDP\"\n"},
        {"'ports':[{'containerPort':80,'hostPort':8},{'containerPort':81,'hostPort':8}]",
         C0 "ports[1].hostPort: Duplicate value: \"TCP//8\"\n"},
    };
    pod_check(POD_CASES(cases), pod_container);
    static const PodCase host[] = {
        {"'hostNetwork':true,'containers':[{'name':'c','image':'i','ports':[{'containerPort':80,"
         "'hostPort':81}]}]",
         C0
         "ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is "
         "true\n"},
    };
    pod_check(POD_CASES(host), whole);
}

#define FROM C0 "env[0].valueFrom"
#define ENV(members) "'env':[{'name':'A'," members "}]"

static void test_env(void **state) {
    static const PodCase cases[] = {
        {"'env':[{'name':'A'},{'name':'b.c','value':'$(A)'},{'name':'A','value':'x'}]", ""},
        {"'env':[{'value':'x'}]", C0 "env[0].name: Required value\n"},
        {"'env':[{'name':'A=B'}]",
         C0 "env[0].name: Invalid value: \"A=B\": a valid environment variable name must consist "
            "only of printable ASCII characters other than '='\n"},
        {ENV("'valueFrom':{}"),
         FROM ": Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, "
              "`configMapKeyRef`, `secretKeyRef` or `fileKeyRef`\n"},
        {ENV("'value':'x','valueFrom':{'fieldRef':{'fieldPath':'metadata.name'}}"),
         FROM ": Invalid value: \"\": may not be specified when `value` is not empty\n"},
        {ENV("'valueFrom':{'fieldRef':{'fieldPath':'metadata.name'},'secretKeyRef':{'name':'s',"
             "'key':'k'}}"),
         FROM ": Invalid value: \"\": may not have more than one field specified at a time\n"},
        {ENV("'valueFrom':{'fieldRef':{}}"), FROM ".fieldRef.fieldPath: Required value\n"},
        {ENV("'valueFrom':{'fieldRef':{'fieldPath':'metadata.labels[\\u0027a/b\\u0027]'}}"), ""},
        {ENV("'valueFrom':{'fieldRef':{'fieldPath':'spec.x'}}"),
         FROM ".fieldRef.fieldPath: Invalid value: \"spec.x\": error converting fieldPath: field "
              "label not supported: spec.x\n"},
        {ENV("'valueFrom':{'fieldRef':{'apiVersion':'v2','fieldPath':'metadata.name'}}"),
         FROM ".fieldRef.fieldPath: Invalid value: \"metadata.name\": error converting fieldPath: "
              "unsupported pod version: v2\n"},
        {ENV("'valueFrom':{'fieldRef':{'fieldPath':'metadata.labels'}}"),
         FROM ".fieldRef.fieldPath: Unsupported value: \"metadata.labels\": supported values: "
              "\"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", "
              "\"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", "
              "\"status.podIP\", \"status.podIPs\"\n"},
        {ENV("'valueFrom':{'resourceFieldRef':{'resource':'limits.cpu','divisor':'1m'}}"), ""},
        {ENV("'valueFrom':{'resourceFieldRef':{'resource':'limits.hugepages-2Mi','divisor':'1Mi'}}"
             ""),
         ""},
        {ENV("'valueFrom':{'resourceFieldRef':{}}"),
         FROM ".resourceFieldRef.resource: Required value\n"},
        {ENV("'valueFrom':{'resourceFieldRef':{'resource':'x'}}"),
         FROM ".resourceFieldRef.resource: Unsupported value: \"x\": supported values: "
              "\"limits.cpu\", \"limits.ephemeral-storage\", \"limits.memory\", \"requests.cpu\", "
              "\"requests.ephemeral-storage\", \"requests.memory\"\n"},
        {ENV("'valueFrom':{'resourceFieldRef':{'resource':'limits.cpu','divisor':'2'}}"),
         FROM ".resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m "
              "and 1 are supported with the cpu resource\n"},
        {ENV("'valueFrom':{'resourceFieldRef':{'resource':'limits.memory','divisor':'5Mi'}}"),
         FROM ".resourceFieldRef.divisor: Invalid value: \"limits.memory\": only divisor's values "
              "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the "
              "memory resource\n"},
        {ENV("'valueFrom':{'configMapKeyRef':{'key':'k'}}"),
         FROM ".configMapKeyRef.name: Invalid value: \"\": " SUBDOMAIN_RULE},
        {ENV("'valueFrom':{'secretKeyRef':{'name':'s'}}"),
         FROM ".secretKeyRef.key: Required value\n"},
        {ENV("'valueFrom':{'fileKeyRef':{'volumeName':'v','path':'../x','key':'K'}}"),
         FROM ".fileKeyRef.volumeName: Not found: \"v\"\n" FROM
              ".fileKeyRef.path: Invalid value: \"../x\": must not contain '..'\n"},
        {"'envFrom':[{'prefix':'A_','configMapRef':{'name':'c'}},{'secretRef':{'name':'s'}}]", ""},
        {"'envFrom':[{}]",
         C0 "envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`\n"},
        {"'envFrom':[{'configMapRef':{},'secretRef':{'name':'s'}}]",
         C0 "envFrom[0].configMapRef.name: Required value\n" C0
            "envFrom: Invalid value: \"\": may not have more than one field specified at a time\n"},
    };
    pod_check(POD_CASES(cases), pod_container);
}

#define LIVE C0 "livenessProbe"

static void test_probes(void **state) {
    static const PodCase cases[] = {
        {"'livenessProbe':{'httpGet':{'port':'web','httpHeaders':[{'name':'X-A','value':'b'}]}},"
         "'readinessProbe':{'grpc':{'port':5},'successThreshold':2},'startupProbe':{'tcpSocket':{"
         "'port':80}},'lifecycle':{'preStop':{'sleep':{'seconds':30}}}",
         ""},
        {"'livenessProbe':{}", LIVE ": Required value: must specify a handler type\n"},
        {"'livenessProbe':{'exec':{}}", LIVE ".exec.command: Required value\n"},
        {"'livenessProbe':{'exec':{'command':['x']},'httpGet':{'port':1}}",
         LIVE ".httpGet: Forbidden: may not specify more than 1 handler type\n"},
        {"'livenessProbe':{'httpGet':{}}", LIVE ".httpGet.port: Invalid value: 0: " PORT_RULE},
        {"'livenessProbe':{'httpGet':{'port':'http_8080'}}",
         LIVE ".httpGet.port: Invalid value: \"http_8080\": must contain only alpha-numeric "
              "characters (a-z, 0-9), and hyphens (-)\n"},
        {"'livenessProbe':{'httpGet':{'port':1,'scheme':'x'}}",
         LIVE ".httpGet.scheme: Unsupported value: \"x\": supported values: \"HTTP\", \"HTTPS\"\n"},
        {"'livenessProbe':{'httpGet':{'port':1,'httpHeaders':[{'name':'a b','value':''}]}}",
         LIVE ".httpGet.httpHeaders: Invalid value: \"a b\": a valid HTTP header must consist of "
              "alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is "
              "'[-A-Za-z0-9]+')\n"},
        {"'livenessProbe':{'tcpSocket':{'port':0}}",
         LIVE ".tcpSocket.port: Invalid value: 0: " PORT_RULE},
        {"'livenessProbe':{'grpc':{'port':0}}", LIVE ".grpc.port: Invalid value: 0: " PORT_RULE},
        {"'livenessProbe':{'tcpSocket':{'port':1},'successThreshold':2}",
         LIVE ".successThreshold: Invalid value: 2: must be 1\n"},
        {"'startupProbe':{'tcpSocket':{'port':1},'successThreshold':2}",
         C0 "startupProbe.successThreshold: Invalid value: 2: must be 1\n"},
        {"'livenessProbe':{'tcpSocket':{'port':1},'periodSeconds':-1}",
         LIVE ".periodSeconds: Invalid value: -1: must be greater than or equal to 0\n"},
        {"'livenessProbe':{'tcpSocket':{'port':1},'terminationGracePeriodSeconds':0}",
         LIVE ".terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0\n"},
        {"'readinessProbe':{'tcpSocket':{'port':1},'terminationGracePeriodSeconds':1}",
         C0 "readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for "
            "readinessProbes\n"},
        {"'lifecycle':{'postStart':{}}",
         C0 "lifecycle.postStart: Required value: must specify a handler type\n"},
        {"'lifecycle':{'preStop':{'sleep':{'seconds':31}}}",
         C0 "lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than "
            "terminationGracePeriodSeconds (30)\n"},
    };
    pod_check(POD_CASES(cases), pod_container);
}

#define LIMITS C0 "resources.limits"
#define REQUESTS C0 "resources.requests"

static void test_resources(void **state) {
    static const PodCase cases[] = {
        {"'resources':{'limits':{'cpu':1,'memory':'1Gi','ephemeral-storage':'1Gi','hugepages-2Mi':"
         "'4Mi','example.com/gpu':2}}",
         ""},
        {"'resources':{'limits':{'cpu':1},'requests':{'cpu':2}}",
         REQUESTS ": Invalid value: \"2\": must be less than or equal to cpu limit of 1\n"},
        {"'resources':{'requests':{'cpu':-1}}",
         REQUESTS "[cpu]: Invalid value: \"-1\": must be greater than or equal to 0\n"},
        {"'resources':{'requests':{'disk':1}}",
         REQUESTS "[disk]: Invalid value: \"disk\": must be a standard resource type or fully "
                  "qualified\n" REQUESTS
                  "[disk]: Invalid value: \"disk\": must be a standard resource for containers\n"},
        {"'resources':{'requests':{'pods':1}}",
         REQUESTS "[pods]: Invalid value: \"pods\": must be a standard resource for containers\n"},
        {"'resources':{'limits':{'requests.example.com/x':1}}",
         LIMITS "[requests.example.com/x]: Invalid value: \"requests.example.com/x\": doesn't "
                "follow extended resource name standard\n" REQUESTS
                "[requests.example.com/x]: Invalid value: \"requests.example.com/x\": doesn't "
                "follow extended resource name standard\n"},
        {"'resources':{'requests':{'example.com/gpu':1}}",
         LIMITS ": Required value: Limit must be set for non overcommitable resources\n"},
        {"'resources':{'limits':{'example.com/gpu':2},'requests':{'example.com/gpu':1}}",
         REQUESTS ": Invalid value: \"1\": must be equal to example.com/gpu limit of 2\n"},
        {"'resources':{'limits':{'example.com/gpu':'500m'}}",
         LIMITS "[example.com/gpu]: Invalid value: \"500m\": must be an integer\n" REQUESTS
                "[example.com/gpu]: Invalid value: \"500m\": must be an integer\n"},
        {"'resources':{'limits':{'hugepages-2Mi':'2Mi'}}",
         C0 "resources: Forbidden: HugePages require cpu or memory\n"},
        {"'resources':{'limits':{'cpu':1,'hugepages-2Mi':'3Mi'}}",
         LIMITS "[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of "
                "hugepages-2Mi\n" REQUESTS
                "[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of "
                "hugepages-2Mi\n"},
        {"'resources':{'limits':{'a b':1}}", LIMITS
         "[a b]: Invalid value: \"a b\": name part must consist of alphanumeric characters, "
         "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
         "'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
         "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')\n" LIMITS
         "[a b]: Invalid value: \"a b\": must be a standard resource for containers\n" REQUESTS
         "[a b]: Invalid value: \"a b\": name part must consist of alphanumeric characters, "
         "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
         "'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
         "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')\n" REQUESTS
         "[a b]: Invalid value: \"a b\": must be a standard resource for containers\n"},
        {"'resources':{'claims':[{'name':'x'}]}",
         C0 "resources.claims[0]: Not found: \"x\": must be one of the names in "
            "pod.spec.resourceClaims which is empty\n"},
        {"'resizePolicy':[{'resourceName':'cpu','restartPolicy':'NotRequired'}]", ""},
        {"'resizePolicy':[{'resourceName':'x','restartPolicy':'y'},{'resourceName':'x',"
         "'restartPolicy':'NotRequired'}]",
         C0 "resizePolicy: Unsupported value: \"x\": supported values: \"cpu\", \"memory\"\n" C0
            "resizePolicy: Unsupported value: \"y\": supported values: \"NotRequired\", "
            "\"RestartContainer\"\n" C0 "resizePolicy[1]: Duplicate value: \"x\"\n" C0
            "resizePolicy: Unsupported value: \"x\": supported values: \"cpu\", \"memory\"\n"},
    };
    pod_check(POD_CASES(cases), pod_container);
    static const PodCase claims[] = {
        {"'resourceClaims':[{'name':'b','resourceClaimName':'x'},{'name':'a',"
         "'resourceClaimTemplateName':'y'}],'containers':[{'name':'c','image':'i','resources':{"
         "'claims':[{'name':'a','request':'r'},{'name':'a','request':'q'},{'name':'a'},{'name':"
         "'z'}]}}]",
         C0 "resources.claims[2]: Duplicate value: \"a\"\n" C0
            "resources.claims[3]: Not found: \"z\": must be one of the names in "
            "pod.spec.resourceClaims: a, b\n"},
        {"'resourceClaims':[{'name':'b'}]," POD_CONTAINERS,
         "spec.resourceClaims[0]: Invalid value: {\"Name\":\"b\",\"ResourceClaimName\":null,"
         "\"ResourceClaimTemplateName\":null}: must specify one of: `resourceClaimName`, "
         "`resourceClaimTemplateName`\n"},
        {"'restartPolicy':'Never','containers':[{'name':'c','image':'i','resizePolicy':[{"
         "'resourceName':'cpu','restartPolicy':'RestartContainer'}]}]",
         C0 "resizePolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when "
            "`restartPolicy` is 'Never'\n"},
    };
    pod_check(POD_CASES(claims), whole);
}

static void test_pod_resources(void **state) {
    static const PodCase cases[] = {
        {"'resources':{'limits':{'cpu':1}}," POD_CONTAINERS, ""},
        {"'resources':{'claims':[{'name':'x'}]}," POD_CONTAINERS,
         "spec.resources.claims: Forbidden: claims cannot be set for Resources at pod-level\n"},
        {"'resources':{'limits':{'example.com/gpu':1}}," POD_CONTAINERS,
         "spec.resources.limits[example.com/gpu]: Unsupported value: \"example.com/gpu\": "
         "supported "
         "values: \"cpu\", \"hugepages-\", \"memory\"\n"},
        {"'resources':{'requests':{'cpu':1}},'containers':[{'name':'c','image':'i','resources':{"
         "'requests':{'cpu':2}}}]",
         "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to "
         "aggregate container requests of 2\n"},
        {"'resources':{'limits':{'cpu':1}},'containers':[{'name':'c','image':'i','resources':{"
         "'requests':{'cpu':1},'limits':{'cpu':2}}}]",
         "spec.resources.containers[0][cpu].limits: Invalid value: \"2\": must be less than or "
         "equal to pod limits of 1\n"},
        {"'overhead':{'disk':1}," POD_CONTAINERS,
         "spec.overhead.limits[disk]: Invalid value: \"disk\": must be a standard resource type or "
         "fully qualified\nspec.overhead.limits[disk]: Invalid value: \"disk\": must be a standard "
         "resource for containers\n"},
    };
    pod_check(POD_CASES(cases), whole);
}

static void test_restart_policy(void **state) {
    static const PodCase cases[] = {
        {"'restartPolicy':'Never','restartPolicyRules':[{'action':'Restart','exitCodes':{"
         "'operator':'In','values':[3]}}]",
         ""},
        {"'restartPolicy':'x'",
         C0 "restartPolicy: Unsupported value: \"x\": supported values: \"Always\", \"Never\", "
            "\"OnFailure\"\n"},
        {"'restartPolicyRules':[{'action':'Restart','exitCodes':{'operator':'In','values':[3]}}]",
         C0 "restartPolicy: Required value: must specify restartPolicy when restart rules are "
            "used\n"},
        {"'restartPolicy':'Never','restartPolicyRules':[{'action':'x'},{'action':'Restart',"
         "'exitCodes':{'values':[3]}}]",
         C0 "restartPolicyRules[0].action: Unsupported value: \"x\": supported values: "
            "\"Restart\"\n" C0 "restartPolicyRules[0].exitCodes: Required value: must be "
            "specified\n" C0 "restartPolicyRules[1].exitCodes.operator: Unsupported value: \"\": "
            "supported values: \"In\", \"NotIn\"\n"},
    };
    pod_check(POD_CASES(cases), pod_container);
}

#define CONTEXT C0 "securityContext"

static void test_security_context(void **state) {
    static const PodCase cases[] = {
        {"'securityContext':{'runAsUser':0,'privileged':true,'seccompProfile':{'type':'Localhost',"
         "'localhostProfile':'a/b'},'appArmorProfile':{'type':'RuntimeDefault'}}",
         ""},
        {"'securityContext':{'runAsUser':-1,'runAsGroup':4294967296}", CONTEXT
         ".runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive\n" CONTEXT
         ".runAsGroup: Invalid value: 4294967296: must be between 0 and 2147483647, "
         "inclusive\n"},
        {"'securityContext':{'procMount':'Unmasked'}",
         CONTEXT ".procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use "
                 "`Unmasked`\n"},
        {"'securityContext':{'privileged':true,'allowPrivilegeEscalation':false}",
         CONTEXT ": Invalid value: {\"Capabilities\":null,\"Privileged\":true,\"SELinuxOptions\":"
                 "null,\"WindowsOptions\":null,\"RunAsUser\":null,\"RunAsGroup\":null,"
                 "\"RunAsNonRoot\":null,\"ReadOnlyRootFilesystem\":null,"
                 "\"AllowPrivilegeEscalation\":false,\"ProcMount\":null,\"SeccompProfile\":null,"
                 "\"AppArmorProfile\":null}: cannot set `allowPrivilegeEscalation` to false and "
                 "`privileged` to true\n"},
        {"'securityContext':{'seccompProfile':{}}",
         CONTEXT ".seccompProfile.type: Required value: type is required when seccompProfile is "
                 "set\n"},
        {"'securityContext':{'seccompProfile':{'type':'x'}}",
         CONTEXT ".seccompProfile.type: Unsupported value: \"x\": supported values: \"Localhost\", "
                 "\"RuntimeDefault\", \"Unconfined\"\n"},
        {"'securityContext':{'seccompProfile':{'type':'Localhost'}}",
         CONTEXT ".seccompProfile.localhostProfile: Required value: must be set when seccomp type "
                 "is Localhost\n"},
        {"'securityContext':{'seccompProfile':{'type':'Localhost','localhostProfile':'/a/..'}}",
         CONTEXT ".seccompProfile.localhostProfile: Invalid value: \"/a/..\": must be a relative "
                 "path\n" CONTEXT
                 ".seccompProfile.localhostProfile: Invalid value: \"/a/..\": must not contain "
                 "'..'\n"},
        {"'securityContext':{'seccompProfile':{'type':'Unconfined','localhostProfile':'a'}}",
         CONTEXT ".seccompProfile.localhostProfile: Invalid value: {\"Type\":\"Unconfined\","
                 "\"LocalhostProfile\":\"a\"}: can only be set when seccomp type is Localhost\n"},
        {"'securityContext':{'appArmorProfile':{}}",
         CONTEXT ".appArmorProfile.type: Required value: type is required when appArmorProfile is "
                 "set\n"},
        {"'securityContext':{'appArmorProfile':{'type':'Localhost','localhostProfile':' a'}}",
         CONTEXT
         ".appArmorProfile.localhostProfile: Invalid value: \" a\": must not be padded with "
         "whitespace\n"},
        {"'securityContext':{'appArmorProfile':{'type':'Localhost'}}", CONTEXT
         ".appArmorProfile.localhostProfile: Required value: must be set when AppArmor type "
         "is Localhost\n"},
        {"'securityContext':{'appArmorProfile':{'type':'Unconfined','localhostProfile':'a'}}",
         CONTEXT ".appArmorProfile.localhostProfile: Invalid value: \"a\": can only be set when "
                 "AppArmor type is Localhost\n"},
        {"'securityContext':{'windowsOptions':{'runAsUserName':'a\\\\b\\\\c'}}",
         CONTEXT ".windowsOptions.runAsUserName: Invalid value: \"a\\\\b\\\\c\": runAsUserName "
                 "cannot contain more than one backslash\n"},
        {"'securityContext':{'windowsOptions':{'runAsUserName':'dom\\\\ .'}}", CONTEXT
         ".windowsOptions.runAsUserName: Invalid value: \"dom\\\\ .\": runAsUserName's User "
         "cannot contain only periods or spaces\n"},
    };
    pod_check(POD_CASES(cases), pod_container);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_env),
        cmocka_unit_test(test_probes),
        cmocka_unit_test(test_resources),
        cmocka_unit_test(test_pod_resources),
        cmocka_unit_test(test_restart_policy),
        cmocka_unit_test(test_security_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
