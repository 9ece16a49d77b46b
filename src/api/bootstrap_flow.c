// Upstream's mandatory and suggested flow schemas and priority levels, as data
// (apiserver's pkg/apis/flowcontrol/bootstrap/default.go). Nothing acts on them yet; stock clients
// list them.

#include "api/bootstrap.h"

#define TEXT(...) #__VA_ARGS__
#define AUTO_UPDATE                                                                                \
    "\"metadata\":{\"annotations\":{\"apf.kubernetes.io/autoupdate-spec\":\"true\"}},"
#define HEAD(kind)                                                                                 \
    "{\"apiVersion\":\"flowcontrol.apiserver.k8s.io/v1\",\"kind\":\"" kind "\"," AUTO_UPDATE
#define URL "/apis/flowcontrol.apiserver.k8s.io/v1/"

#define LEVEL(level, spec)                                                                         \
    {                                                                                              \
        .cache = "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations",                       \
        .path = URL "prioritylevelconfigurations", .name = level,                                 \
        .json = HEAD("PriorityLevelConfiguration") "\"spec\":" spec "}"                            \
    }
#define QUEUES(level, shares, lendable, queues, hand_size)                                         \
    LEVEL(level, "{\"type\":\"Limited\",\"limited\":{\"nominalConcurrencyShares\":" #shares        \
                 ",\"lendablePercent\":" #lendable                                                 \
                 ",\"limitResponse\":{\"type\":\"Queue\",\"queuing\":{\"queues\":" #queues         \
                 ",\"handSize\":" #hand_size ",\"queueLengthLimit\":50}}}}")

#define SCHEMA(schema, precedence, level, distinguisher, subjects, rules)                          \
    {                                                                                              \
        .cache = "flowcontrol.apiserver.k8s.io/flowschemas", .path = URL "flowschemas",           \
        .name = schema,                                                                            \
        .json = HEAD("FlowSchema") "\"spec\":{\"matchingPrecedence\":" #precedence                 \
                                   ",\"priorityLevelConfiguration\":{\"name\":\"" level            \
                                   "\"}," distinguisher "\"rules\":[{\"subjects\":[" subjects      \
                                   "]," rules "}]}}"                                               \
    }
#define ONE_FLOW ""
#define BY_USER "\"distinguisherMethod\":{\"type\":\"ByUser\"},"
#define BY_NAMESPACE "\"distinguisherMethod\":{\"type\":\"ByNamespace\"},"
#define USER(name) "{\"kind\":\"User\",\"user\":{\"name\":\"" name "\"}}"
#define GROUP(name) "{\"kind\":\"Group\",\"group\":{\"name\":\"" name "\"}}"
#define EVERYBODY GROUP("system:unauthenticated") "," GROUP("system:authenticated")
#define SYSTEM_ACCOUNTS                                                                            \
    "{\"kind\":\"ServiceAccount\",\"serviceAccount\":{\"name\":\"*\",\"namespace\":"               \
    "\"kube-system\"}}"
#define RESOURCES(verbs, group, resources, scope)                                                  \
    "{\"verbs\":[" verbs "],\"apiGroups\":[\"" group "\"],\"resources\":[" resources               \
    "],\"namespaces\":[\"*\"]" scope "}"
#define CLUSTER_TOO ",\"clusterScope\":true"
#define LEASES(verbs) RESOURCES(verbs, "coordination.k8s.io", "\"leases\"", "")
#define EVERYTHING                                                                                 \
    "\"resourceRules\":[" RESOURCES("\"*\"", "*", "\"*\"", CLUSTER_TOO)                            \
        "],\"nonResourceRules\":[" TEXT({"verbs" : ["*"], "nonResourceURLs" : ["*"]}) "]"

static const WellKnownObject objects[] = {
    LEVEL("exempt", TEXT({
              "type" : "Exempt",
              "exempt" : {"nominalConcurrencyShares" : 0, "lendablePercent" : 0}
          })),
    LEVEL("catch-all", TEXT({
              "type" : "Limited",
              "limited" : {
                  "nominalConcurrencyShares" : 5,
                  "lendablePercent" : 0,
                  "limitResponse" : {"type" : "Reject"}
              }
          })),
    QUEUES("system", 30, 33, 64, 6),
    QUEUES("node-high", 40, 25, 64, 6),
    QUEUES("leader-election", 10, 0, 16, 4),
    QUEUES("workload-high", 40, 50, 128, 6),
    QUEUES("workload-low", 100, 90, 128, 6),
    QUEUES("global-default", 20, 50, 128, 6),

    SCHEMA("exempt", 1, "exempt", ONE_FLOW, GROUP("system:masters"), EVERYTHING),
    SCHEMA("probes", 2, "exempt", ONE_FLOW, EVERYBODY,
           "\"nonResourceRules\":[" TEXT({
               "verbs" : ["get"],
               "nonResourceURLs" : [ "/healthz", "/readyz", "/livez" ]
           }) "]"),
    SCHEMA("system-leader-election", 100, "leader-election", BY_USER,
           USER("system:kube-controller-manager") "," USER(
               "system:kube-scheduler") "," SYSTEM_ACCOUNTS,
           "\"resourceRules\":[" LEASES("\"get\",\"create\",\"update\"") "]"),
    SCHEMA("system-node-high", 400, "node-high", BY_USER, GROUP("system:nodes"),
           "\"resourceRules\":[" RESOURCES("\"*\"", "", "\"nodes\",\"nodes/status\"",
                                           CLUSTER_TOO) "," LEASES("\"*\"") "]"),
    SCHEMA("system-nodes", 500, "system", BY_USER, GROUP("system:nodes"), EVERYTHING),
    SCHEMA("kube-controller-manager", 800, "workload-high", BY_NAMESPACE,
           USER("system:kube-controller-manager"), EVERYTHING),
    SCHEMA("kube-scheduler", 800, "workload-high", BY_NAMESPACE, USER("system:kube-scheduler"),
           EVERYTHING),
    SCHEMA("kube-system-service-accounts", 900, "workload-high", BY_NAMESPACE, SYSTEM_ACCOUNTS,
           EVERYTHING),
    SCHEMA("service-accounts", 9000, "workload-low", BY_USER, GROUP("system:serviceaccounts"),
           EVERYTHING),
    SCHEMA("global-default", 9900, "global-default", BY_USER, EVERYBODY, EVERYTHING),
    SCHEMA("catch-all", 10000, "catch-all", BY_USER, EVERYBODY, EVERYTHING),
};

const WellKnownObject *bootstrap_flow_at(size_t index) {
    return index < sizeof objects / sizeof *objects ? &objects[index] : NULL;
}
