// Endpoint slices, priority classes, runtime classes and storage.k8s.io. Paths and messages:
// pkg/apis/discovery, scheduling, node and storage/validation upstream (validation.go).

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"

#define SLICE(type, endpoint) "{'addressType':'" type "','endpoints':[" endpoint "]}"
#define LABEL                                                                                      \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "   \
    "must start and end with "                                                                     \
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "      \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"

static void test_endpoint_slices(void **state) {
    const Resource *slices = kinds_resource_discovery_v1_endpointslices();
    CHECK(
        slices,
        {SLICE("IPv4", "{'addresses':['10.0.0.1'],'hostname':'h','nodeName':'n','hints':{'forZones'"
                       ":[{'name':'z'}]}}"),
         ""},
        {SLICE("IPv6", "{'addresses':['fd00::1']}"), ""},
        {SLICE("FQDN", "{'addresses':['a.example.com.']}"), ""},
        {"{'endpoints':[]}", "addressType: Required value\n"},
        {SLICE("IPX", ""), "addressType: Unsupported value: \"IPX\": supported values: \"FQDN\", "
                           "\"IPv4\", \"IPv6\"\n"},
        {SLICE("IPv4", "{'addresses':[]}"),
         "endpoints[0].addresses: Required value: must contain at least 1 address\n"},
        {SLICE("IPv4", "{'addresses':['fd00::1','127.0.0.1']}"),
         "endpoints[0].addresses[0]: Invalid value: \"fd00::1\": must be a valid IPv4 address\n"
         "endpoints[0].addresses[1]: Invalid value: \"127.0.0.1\": may not be in the loopback "
         "range (127.0.0.0/8, "
         "::1/128)\n"},
        {SLICE("IPv6", "{'addresses':['10.0.0.1']}"),
         "endpoints[0].addresses[0]: Invalid value: \"10.0.0.1\": must be a valid IPv6 address\n"},
        {SLICE("FQDN", "{'addresses':['single']}"),
         "endpoints[0].addresses[0]: Invalid value: \"single\": should be a domain with at least "
         "two segments separated by "
         "dots\n"},
        {SLICE("IPv4", "{'addresses':['10.0.0.1'],'hostname':'A'}"),
         "endpoints[0].hostname: Invalid value: \"A\": " LABEL "\n"},
        {SLICE("IPv4",
               "{'addresses':['10.0.0.1'],'hints':{'forZones':[{'name':'z'},{'name':'z'}]}}"),
         "endpoints[0].hints.forZones[1].name: Duplicate value: \"z\"\n"},
        {SLICE("IPv4", "{'addresses':['10.0.0.1'],'hints':{'forNodes':[{'name':'1'},{'name':'2'},{'"
                       "name':'3'},{'name':'4'},"
                       "{'name':'5'},{'name':'6'},{'name':'7'},{'name':'8'},{'name':'9'}]}}"),
         "endpoints[0].hints.forNodes: Too many: 9: must have at most 8 items\n"},
        {"{'addressType':'IPv4','endpoints':[],'ports':[{'port':1},{'port':2}]}",
         "ports[1].name: Duplicate value: \"\"\n"},
        {"{'addressType':'IPv4','endpoints':[],'ports':[{'name':'A','protocol':'ICMP','appProtocol'"
         ":'a b'}]}",
         "ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", "
         "\"UDP\"\n"
         "ports[0].name: Invalid value: \"A\": " LABEL "\n"
         "ports[0].appProtocol: Invalid value: \"a b\": name part must consist of alphanumeric "
         "characters, '-', '_' or "
         "'.', and must start and end with an alphanumeric character (e.g. 'MyName',  or "
         "'my.name',  or '123-abc', regex "
         "used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')\n"});
    CHECK_CHANGES(slices, {SLICE("IPv4", ""), SLICE("IPv6", ""),
                           "addressType: Invalid value: \"IPv6\": field is immutable\n"});
    check_made(slices, "{'addressType':'IPv4','endpoints':[],'ports':[{'port':80}]}", "ports",
               "[{'name':'','protocol':'TCP','port':80}]");
}

#define NAMED(name, rest) "{'metadata':{'name':'" name "'}," rest "}"
#define RESERVED                                                                                   \
    "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for "       \
    "system use only. error: "

static void test_priority_classes(void **state) {
    const Resource *classes = kinds_resource_scheduling_v1_priorityclasses();
    CHECK(classes, {NAMED("a", "'value':1000000000"), ""},
          {NAMED("system-node-critical", "'value':2000001000"), ""},
          {NAMED("a", "'value':1000000001"),
           "value: Forbidden: maximum allowed value of a user defined priority is 1000000000\n"},
          {NAMED("system-mine", "'value':1"),
           RESERVED "system-mine is not a known system priority class\n"},
          {NAMED("system-cluster-critical", "'value':1"),
           RESERVED "value of system-cluster-critical PriorityClass must be 2000000000\n"},
          {NAMED("system-cluster-critical", "'value':2000000000,'globalDefault':true"),
           RESERVED "globalDefault of system-cluster-critical PriorityClass must be false\n"},
          {NAMED("a", "'value':1,'preemptionPolicy':'Maybe'"),
           "preemptionPolicy: Unsupported value: \"Maybe\": supported values: \"Never\", "
           "\"PreemptLowerPriority\"\n"});
    CHECK_CHANGES(
        classes, {"{'value':1}", "{'value':1,'description':'d','globalDefault':true}", ""},
        {"{'value':1}", "{'value':2}", "value: Forbidden: may not be changed in an update.\n"},
        {"{'value':1}", "{'value':1,'preemptionPolicy':'Never'}",
         "preemptionPolicy: Invalid value: \"Never\": field is immutable\n"});
    check_made(classes, "{'value':1}", "preemptionPolicy", "'PreemptLowerPriority'");
}

static void test_runtime_classes(void **state) {
    const Resource *classes = kinds_resource_node_v1_runtimeclasses();
    CHECK(classes,
          {"{'handler':'runc','overhead':{'podFixed':{'cpu':'1m','memory':'1Mi'}},'scheduling':{'"
           "nodeSelector':{'a':'b'},"
           "'tolerations':[{'key':'k','operator':'Exists'}]}}",
           ""},
          {"{'handler':'A'}", "handler: Invalid value: \"A\": " LABEL "\n"},
          {"{'handler':'a','overhead':{'podFixed':{'storage':'1'}}}",
           "overhead.podFixed.limits[storage]: Invalid value: \"storage\": must be a standard "
           "resource for containers\n"},
          {"{'handler':'a','scheduling':{'tolerations':[{'key':'k','operator':'Exists'},{'key':'k',"
           "'operator':'Exists'}]}}",
           "scheduling.tolerations[1]: Duplicate value: {\"key\":\"k\",\"operator\":\"Exists\"}\n"},
          {"{'handler':'a','scheduling':{'tolerations':[{'operator':'Equal'}]}}",
           "scheduling.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists "
           "when `key` is empty, which "
           "means \"match all values and all keys\"\n"});
    CHECK_CHANGES(classes, {"{'handler':'a'}", "{'handler':'b'}",
                            "handler: Invalid value: \"b\": field is immutable\n"});
}

static void test_storage_classes(void **state) {
    const Resource *classes = kinds_resource_storage_v1_storageclasses();
    CHECK(
        classes, {"{'provisioner':'Example.com/P','parameters':{'a':''}}", ""},
        {"{}", "provisioner: Required value\n"},
        {"{'provisioner':'p','reclaimPolicy':'Recycle','volumeBindingMode':'Never'}",
         "reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\"\n"
         "volumeBindingMode: Unsupported value: \"Never\": supported values: \"Immediate\", "
         "\"WaitForFirstConsumer\"\n"},
        {"{'provisioner':'p','parameters':{'':'a'}}",
         "parameters: Invalid value: \"\": field can not be empty.\n"},
        {"{'provisioner':'p','allowedTopologies':[{'matchLabelExpressions':[{'key':'k','values':[]}"
         ",{'key':'k',"
         "'values':['a','a']}]}]}",
         "allowedTopologies[0].matchLabelExpressions[0].values: Required value\n"
         "allowedTopologies[0].matchLabelExpressions[1].values[1]: Duplicate value: \"a\"\n"
         "allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: \"k\"\n"},
        {"{'provisioner':'p','allowedTopologies':[{},{}]}",
         "allowedTopologies[1].matchLabelExpressions: Duplicate value: \"\"\n"});
    CHECK_CHANGES(
        classes,
        {"{'provisioner':'p'}",
         "{'provisioner':'p','allowVolumeExpansion':true,'mountOptions':['ro']}", ""},
        {"{'provisioner':'p','parameters':{'a':'b'}}",
         "{'provisioner':'q','reclaimPolicy':'Retain','volumeBindingMode':'WaitForFirstConsumer'}",
         "volumeBindingMode: Invalid value: \"WaitForFirstConsumer\": field is immutable\n"
         "parameters: Forbidden: updates to parameters are forbidden.\n"
         "provisioner: Forbidden: updates to provisioner are forbidden.\n"
         "reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden.\n"});
    check_made(classes, "{'provisioner':'p'}", "reclaimPolicy", "'Delete'");
    check_made(classes, "{'provisioner':'p'}", "volumeBindingMode", "'Immediate'");
    CHECK(kinds_resource_storage_v1_volumeattributesclasses(),
          {"{'driverName':'d.example.com','parameters':{'a':'b'}}", ""},
          {"{}", "driverName: Required value\nparameters: Required value: must contain at least "
                 "one key/value pair\n"});
    CHECK_CHANGES(kinds_resource_storage_v1_volumeattributesclasses(),
                  {"{'driverName':'d','parameters':{'a':'b'}}",
                   "{'driverName':'e','parameters':{'a':'c'}}",
                   "driverName: Forbidden: updates to driverName are forbidden.\n"
                   "parameters: Forbidden: updates to parameters are forbidden.\n"});
}

#define ATTACHMENT(source) "{'spec':{'attacher':'a','nodeName':'n','source':{" source "}}}"
#define INLINE(rest) ATTACHMENT("'inlineVolumeSpec':{'accessModes':['ReadWriteOnce']" rest "}")
#define CSI ",'csi':{'driver':'d','volumeHandle':'h'}"
#define EXACTLY "must specify exactly one of inlineVolumeSpec and persistentVolumeName\n"

static void test_attachments(void **state) {
    const Resource *attachments = kinds_resource_storage_v1_volumeattachments();
    CHECK(attachments, {ATTACHMENT("'persistentVolumeName':'v'"), ""}, {INLINE(CSI), ""},
          {ATTACHMENT(""), "spec.source: Required value: " EXACTLY},
          {ATTACHMENT("'persistentVolumeName':'v','inlineVolumeSpec':{}"),
           "spec.source: Forbidden: " EXACTLY},
          {ATTACHMENT("'persistentVolumeName':''"),
           "spec.source.persistentVolumeName: Required value: must specify non empty "
           "persistentVolumeName\n"},
          {INLINE(CSI ",'storageClassName':'c','capacity':{'storage':'1'},'"
                      "persistentVolumeReclaimPolicy':'Delete',"
                      "'volumeMode':'Block','claimRef':{}"),
           "spec.source.inlineVolumeSpec.claimRef: Forbidden: may not be specified in the context "
           "of inline volumes\n"
           "spec.source.inlineVolumeSpec.capacity: Forbidden: may not be specified in the context "
           "of inline volumes\n"
           "spec.source.inlineVolumeSpec.persistentVolumeReclaimPolicy: Forbidden: may only be "
           "Retain in the context of "
           "inline volumes\n"
           "spec.source.inlineVolumeSpec.storageClassName: Forbidden: may not be specified in the "
           "context of inline volumes\n"
           "spec.source.inlineVolumeSpec.volumeMode: Forbidden: may not specify volumeMode other "
           "than Filesystem in the "
           "context of inline volumes\n"},
          {INLINE(",'hostPath':{'path':'/a'}"),
           "spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context "
           "of inline volumes\n"});
    CHECK_CHANGES(
        attachments,
        {ATTACHMENT("'persistentVolumeName':'v'"), ATTACHMENT("'persistentVolumeName':'w'"),
         "spec: Invalid value: "
         "{\"attacher\":\"a\",\"source\":{\"persistentVolumeName\":\"w\"},\"nodeName\":\"n\"}: "
         "field is immutable\n"});
}

static void test_csi(void **state) {
    const Resource *drivers = kinds_resource_storage_v1_csidrivers();
    CHECK(drivers, {"{'spec':{}}", ""},
          {"{'spec':{'fsGroupPolicy':'Some','volumeLifecycleModes':['Eternal'],'"
           "nodeAllocatableUpdatePeriodSeconds':9,"
           "'tokenRequests':[{'audience':'a','expirationSeconds':599},{'audience':'a','"
           "expirationSeconds':4294967297}]}}",
           "spec.fsGroupPolicy: Unsupported value: \"Some\": supported values: "
           "\"ReadWriteOnceWithFSType\", \"File\", "
           "\"None\"\n"
           "spec.tokenRequests[0].expirationSeconds: Invalid value: 599: may not specify a "
           "duration less than 10 minutes\n"
           "spec.tokenRequests[1].audience: Duplicate value: \"a\"\n"
           "spec.tokenRequests[1].expirationSeconds: Invalid value: 4294967297: may not specify a "
           "duration larger than 2^32 "
           "seconds\n"
           "spec.volumeLifecycleModes: Unsupported value: \"Eternal\": supported values: "
           "\"Ephemeral\", \"Persistent\"\n"
           "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or "
           "equal to 10 seconds\n"});
    check_made(drivers, "{'spec':{}}", "spec",
               "{'attachRequired':true,'podInfoOnMount':false,'volumeLifecycleModes':['Persistent']"
               ",'storageCapacity':false,"
               "'fsGroupPolicy':'ReadWriteOnceWithFSType','requiresRepublish':false,'seLinuxMount':"
               "false}");
    CHECK_CHANGES(
        drivers, {"{'spec':{}}", "{'spec':{'podInfoOnMount':true,'storageCapacity':true}}", ""},
        {"{'spec':{}}", "{'spec':{'attachRequired':false,'volumeLifecycleModes':['Ephemeral']}}",
         "spec.attachedRequired: Invalid value: false: field is immutable\n"
         "spec.volumeLifecycleModes: Invalid value: [\"Ephemeral\"]: field is immutable\n"});
    const Resource *nodes = kinds_resource_storage_v1_csinodes();
    CHECK(nodes,
          {"{'spec':{'drivers':[{'name':'d','nodeID':'i','topologyKeys':['a/"
           "b'],'allocatable':{'count':3}}]}}",
           ""},
          {"{'spec':{'drivers':[{'name':'','nodeID':'','topologyKeys':['a','a',''],'allocatable':{'"
           "count':-1}}]}}",
           "spec.drivers[0].name: Required value\nspec.drivers[0].nodeID: Required value\n"
           "spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to "
           "0\n"
           "spec.drivers[0].topologyKeys: Duplicate value: \"a\"\nspec.drivers[0].topologyKeys: "
           "Required value\n"},
          {"{'spec':{'drivers':[{'name':'d','nodeID':'a'},{'name':'d','nodeID':'b'}]}}",
           "spec.drivers[1].name: Duplicate value: \"d\"\n"});
    CHECK_CHANGES(nodes,
                  {"{'spec':{'drivers':[{'name':'d','nodeID':'a'}]}}",
                   "{'spec':{'drivers':[{'name':'d','nodeID':'a','allocatable':{'count':3}},{'name'"
                   ":'e','nodeID':'b'}]}}",
                   ""},
                  {"{'spec':{'drivers':[{'name':'d','nodeID':'a'}]}}",
                   "{'spec':{'drivers':[{'name':'d','nodeID':'b'}]}}",
                   "CSINodeDriver: Invalid value: "
                   "{\"name\":\"d\",\"nodeID\":\"b\",\"topologyKeys\":[]}: field is immutable\n"});
    const Resource *capacities = kinds_resource_storage_v1_csistoragecapacities();
    CHECK(capacities, {"{'storageClassName':'c','capacity':'1Gi','nodeTopology':{}}", ""},
          {"{'storageClassName':'c','capacity':'-1','maximumVolumeSize':'-2'}",
           "capacity: Invalid value: \"-1\": must be greater than or equal to 0\n"
           "maximumVolumeSize: Invalid value: \"-2\": must be greater than or equal to 0\n"});
    CHECK_CHANGES(capacities,
                  {"{'storageClassName':'c'}", "{'storageClassName':'c','capacity':'1'}", ""},
                  {"{'storageClassName':'c'}", "{'storageClassName':'d'}",
                   "storageClassName: Invalid value: \"d\": field is immutable\n"});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoint_slices), cmocka_unit_test(test_priority_classes),
        cmocka_unit_test(test_runtime_classes), cmocka_unit_test(test_storage_classes),
        cmocka_unit_test(test_attachments),     cmocka_unit_test(test_csi),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
