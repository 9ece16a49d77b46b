// What apps/v1, ReplicationControllers and disruption budgets refuse. Paths and messages are those
// of upstream's pkg/apis/apps/validation, pkg/apis/core/validation
// (ValidateReplicationControllerSpec) and pkg/apis/policy/validation.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "workload_road.h"

#define PODS SELECTOR "," TEMPLATE
#define GOOD "{'spec':{" PODS "}}"
#define NOT_NEGATIVE "must be greater than or equal to 0\n"
#define PERCENT                                                                                    \
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or "   \
    "'93%', regex used for validation is '[0-9]+%')\n"
#define LABELS_OFF "`selector` does not match template `labels`\n"

typedef struct Case {
    const char *json, *problems; // members of the spec (or status); "path: message\n" each
} Case;
#define CASES(cases) (cases), sizeof(cases) / sizeof *(cases)

static void refuse(const Resource *resource, const Case *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        _arena_free_ Arena *arena = arena_new();
        const char *problems = workload_create(arena, resource, cases[i].json, NULL);
        if (strcmp(problems, cases[i].problems))
            fail_msg("%s\n%sinstead of\n%s", cases[i].json, problems, cases[i].problems);
    }
}

// Pairs of specs: the old one is good.
typedef struct Update {
    const char *old, *now, *problems;
} Update;

static void refuse_update(const Resource *resource, const Update *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        _arena_free_ Arena *arena = arena_new();
        const char *problems =
            road_update(arena, resource, arena_printf(arena, "{'spec':{%s}}", cases[i].old).ptr,
                        arena_printf(arena, "{'spec':{%s}}", cases[i].now).ptr, NULL);
        if (strcmp(problems, cases[i].problems))
            fail_msg("%s\n%sinstead of\n%s", cases[i].now, problems, cases[i].problems);
    }
}

// Writes of the status, after `old`.
static void refuse_status(const Resource *resource, const char *good, const char *old,
                          const Case *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        _arena_free_ Arena *arena = arena_new();
        FieldErrors errors = {.arena = arena};
        Value *object, *before;
        Str message;
        assert_string_equal(road_create(arena, resource, good, &before), "");
        value_set(arena, before, STR("status"), road_parse(arena, old));
        object = value_copy(arena, before);
        value_set(arena, object, STR("status"), road_parse(arena, cases[i].json));
        assert_int_equal(schema_normalize(arena, resource->type, object, NULL, &message), 0);
        schema_validate_type(&errors, type_field(resource->type, STR("status"))->type,
                             value_get(object, STR("status")), NULL, PATH(NULL, STR("status")));
        if (resource->rules && resource->rules->validate_status_update)
            resource->rules->validate_status_update(&errors, object, before);
        const char *problems = road_problems(&errors);
        if (strcmp(problems, cases[i].problems))
            fail_msg("%s\n%sinstead of\n%s", cases[i].json, problems, cases[i].problems);
    }
}

static void test_deployment(void **state) {
    static const Case cases[] = {
        {PODS, ""},
        {TEMPLATE, "spec.selector: Required value\nspec.template.metadata.labels: Invalid value: "
                   "{\"app\":\"a\"}: " LABELS_OFF},
        {"'selector':{}," TEMPLATE,
         "spec.selector: Invalid value: {}: empty selector is invalid for deployment\n"},
        {"'selector':{'matchLabels':{'app':'b'}}," TEMPLATE,
         "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: " LABELS_OFF},
        {"'selector':{'matchExpressions':[{'key':'app','operator':'Is'}]}," TEMPLATE,
         "spec.selector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector "
         "operator\n"},
        {"'replicas':-1,'minReadySeconds':-1,'revisionHistoryLimit':-1,"
         "'progressDeadlineSeconds':-1," PODS,
         "spec.replicas: Invalid value: -1: " NOT_NEGATIVE
         "spec.minReadySeconds: Invalid value: -1: " NOT_NEGATIVE
         "spec.revisionHistoryLimit: Invalid value: -1: " NOT_NEGATIVE
         "spec.progressDeadlineSeconds: Invalid value: -1: " NOT_NEGATIVE
         "spec.progressDeadlineSeconds: Invalid value: -1: must be greater than minReadySeconds\n"},
        {"'minReadySeconds':600," PODS, "spec.progressDeadlineSeconds: Invalid value: 600: must be "
                                        "greater than minReadySeconds\n"},
        {SELECTOR ",'template':{" LABELS ",'spec':{" CONTAINERS
                  ",'restartPolicy':'Never','activeDeadlineSeconds':1}}",
         "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: "
         "\"Always\"\nspec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds "
         "in "
         "ReplicaSet is not Supported\n"},
        {SELECTOR ",'template':{" LABELS "}", "spec.template.spec.containers: Required value\n"},
        {"'strategy':{'type':'Foo'}," PODS,
         "spec.strategy: Unsupported value: {\"Type\":\"Foo\",\"RollingUpdate\":null}: supported "
         "values: \"Recreate\", \"RollingUpdate\"\n"},
        {"'strategy':{'type':'Recreate','rollingUpdate':{}}," PODS,
         "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is "
         "'Recreate'\n"},
        {"'strategy':{'rollingUpdate':{'maxUnavailable':0,'maxSurge':'0%'}}," PODS,
         "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when "
         "`maxSurge` is 0\n"},
        {"'strategy':{'rollingUpdate':{'maxUnavailable':-1,'maxSurge':'many'}}," PODS,
         "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: -1: " NOT_NEGATIVE
         "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"many\": " PERCENT},
        {"'strategy':{'rollingUpdate':{'maxUnavailable':'101%','maxSurge':'200%'}}," PODS,
         "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater "
         "than 100%\n"},
    };
    refuse(kinds_resource_apps_v1_deployments(), CASES(cases));
    static const Update updates[] = {
        {PODS, "'replicas':2," PODS, ""},
        {PODS,
         "'selector':{'matchLabels':{'app':'b'}},'template':{'metadata':{'labels':{'app':'b'}},"
         "'spec':{" CONTAINERS "}}",
         "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"b\"}}: field is immutable\n"},
    };
    refuse_update(kinds_resource_apps_v1_deployments(), CASES(updates));
    static const Case statuses[] = {
        {"{'replicas':3,'updatedReplicas':3,'readyReplicas':2,'availableReplicas':1,"
         "'collisionCount':2}",
         ""},
        {"{'replicas':1,'updatedReplicas':2,'readyReplicas':3,'availableReplicas':4,"
         "'collisionCount':1}",
         "status.updatedReplicas: Invalid value: 2: cannot be greater than status.replicas\n"
         "status.readyReplicas: Invalid value: 3: cannot be greater than status.replicas\n"
         "status.availableReplicas: Invalid value: 4: cannot be greater than status.replicas\n"
         "status.availableReplicas: Invalid value: 4: cannot be greater than readyReplicas\n"
         "status.collisionCount: Invalid value: 1: cannot be decremented\n"},
        {"{'observedGeneration':-1,'replicas':-1,'updatedReplicas':-1,'readyReplicas':-1,"
         "'availableReplicas':-1,'unavailableReplicas':-1,'terminatingReplicas':-1,"
         "'collisionCount':2}",
         "status.observedGeneration: Invalid value: -1: " NOT_NEGATIVE
         "status.replicas: Invalid value: -1: " NOT_NEGATIVE
         "status.updatedReplicas: Invalid value: -1: " NOT_NEGATIVE
         "status.readyReplicas: Invalid value: -1: " NOT_NEGATIVE
         "status.availableReplicas: Invalid value: -1: " NOT_NEGATIVE
         "status.unavailableReplicas: Invalid value: -1: " NOT_NEGATIVE
         "status.terminatingReplicas: Invalid value: -1: " NOT_NEGATIVE},
        {"{}", "status.collisionCount: Invalid value: 0: cannot be decremented\n"},
    };
    refuse_status(kinds_resource_apps_v1_deployments(), GOOD, "{'collisionCount':2}",
                  CASES(statuses));
}

static void test_daemon_set(void **state) {
    static const Case cases[] = {
        {PODS, ""},
        {TEMPLATE, "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: " LABELS_OFF},
        {"'selector':{}," TEMPLATE,
         "spec.selector: Invalid value: {}: empty selector is invalid for daemonset\n"},
        {"'minReadySeconds':-1,'revisionHistoryLimit':-1," PODS,
         "spec.minReadySeconds: Invalid value: -1: " NOT_NEGATIVE
         "spec.revisionHistoryLimit: Invalid value: -1: " NOT_NEGATIVE},
        {SELECTOR ",'template':{" LABELS ",'spec':{" CONTAINERS
                  ",'restartPolicy':'OnFailure','activeDeadlineSeconds':1}}",
         "spec.template.spec.restartPolicy: Unsupported value: \"OnFailure\": supported values: "
         "\"Always\"\nspec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds "
         "in "
         "DaemonSet is not Supported\n"},
        {"'updateStrategy':{'type':'Foo'}," PODS,
         "spec.updateStrategy: Unsupported value: {\"Type\":\"Foo\",\"RollingUpdate\":null}: "
         "supported values: \"RollingUpdate\", \"OnDelete\"\n"},
        {"'updateStrategy':{'rollingUpdate':{'maxUnavailable':1,'maxSurge':1}}," PODS,
         "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when "
         "maxUnavailable is non-zero\n"},
        {"'updateStrategy':{'rollingUpdate':{'maxUnavailable':'0%'}}," PODS,
         "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when "
         "maxSurge is 0\n"},
        {"'updateStrategy':{'rollingUpdate':{'maxUnavailable':0,'maxSurge':'101%'}}," PODS,
         "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: \"101%\": must not be greater "
         "than 100%\n"},
        {"'updateStrategy':{'rollingUpdate':{'maxUnavailable':'200%'}}," PODS,
         "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"200%\": must not be "
         "greater than 100%\n"},
        {"'updateStrategy':{'rollingUpdate':{'maxUnavailable':'x','maxSurge':-1}}," PODS,
         "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"x\": " PERCENT
         "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: -1: " NOT_NEGATIVE},
    };
    refuse(kinds_resource_apps_v1_daemonsets(), CASES(cases));
    static const Update updates[] = {
        {PODS,
         "'selector':{'matchLabels':{'app':'b'}},'template':{'metadata':{'labels':{'app':'b'}},"
         "'spec':{" CONTAINERS "}}",
         "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"b\"}}: field is immutable\n"},
    };
    refuse_update(kinds_resource_apps_v1_daemonsets(), CASES(updates));
    static const Case statuses[] = {
        {"{'currentNumberScheduled':-1,'numberMisscheduled':-1,'desiredNumberScheduled':-1,"
         "'numberReady':-1,'observedGeneration':-1,'updatedNumberScheduled':-1,"
         "'numberAvailable':-1,'numberUnavailable':-1,'collisionCount':0}",
         "status.currentNumberScheduled: Invalid value: -1: " NOT_NEGATIVE
         "status.numberMisscheduled: Invalid value: -1: " NOT_NEGATIVE
         "status.desiredNumberScheduled: Invalid value: -1: " NOT_NEGATIVE
         "status.numberReady: Invalid value: -1: " NOT_NEGATIVE
         "status.observedGeneration: Invalid value: -1: " NOT_NEGATIVE
         "status.updatedNumberScheduled: Invalid value: -1: " NOT_NEGATIVE
         "status.numberAvailable: Invalid value: -1: " NOT_NEGATIVE
         "status.numberUnavailable: Invalid value: -1: " NOT_NEGATIVE
         "status.collisionCount: Invalid value: 0: cannot be decremented\n"},
    };
    refuse_status(kinds_resource_apps_v1_daemonsets(), GOOD, "{'collisionCount':1}",
                  CASES(statuses));
}

#define CLAIM                                                                                      \
    "'volumeClaimTemplates':[{'metadata':{'name':'data'},'spec':{'accessModes':['ReadWriteOnce']," \
    "'resources':{'requests':{'storage':'1Gi'}}}}]"
#define MOUNTS(name)                                                                               \
    SELECTOR ",'template':{" LABELS ",'spec':{'containers':[{'name':'c','image':'i:1',"            \
             "'volumeMounts':[{'name':'" name "','mountPath':'/d'}]}]}}"

static void test_stateful_set(void **state) {
    static const Case cases[] = {
        {PODS, ""},
        {TEMPLATE, "spec.selector: Required value\nspec.template.metadata.labels: Invalid value: "
                   "{\"app\":\"a\"}: " LABELS_OFF},
        {"'selector':{}," TEMPLATE,
         "spec.selector: Invalid value: {}: empty selector is invalid for statefulset\n"},
        {"'replicas':-1,'minReadySeconds':-1,'ordinals':{'start':-1}," PODS,
         "spec.replicas: Invalid value: -1: " NOT_NEGATIVE
         "spec.minReadySeconds: Invalid value: -1: " NOT_NEGATIVE
         "spec.ordinals.start: Invalid value: -1: " NOT_NEGATIVE},
        {"'podManagementPolicy':'Foo'," PODS, "spec.podManagementPolicy: Invalid value: \"Foo\": "
                                              "must be 'OrderedReady' or 'Parallel'\n"},
        {"'updateStrategy':{'type':'Foo'}," PODS,
         "spec.updateStrategy: Invalid value: {\"Type\":\"Foo\",\"RollingUpdate\":null}: must be "
         "'RollingUpdate' or 'OnDelete'\n"},
        {"'updateStrategy':{'type':'OnDelete','rollingUpdate':{'partition':3,'maxUnavailable':1}}"
         "," PODS,
         "spec.updateStrategy.rollingUpdate: Invalid value: "
         "{\"Partition\":3,\"MaxUnavailable\":1}: "
         "only allowed for updateStrategy 'RollingUpdate'\n"},
        {"'updateStrategy':{'rollingUpdate':{'partition':-1,'maxUnavailable':0}}," PODS,
         "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: " NOT_NEGATIVE
         "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0\n"},
        {"'updateStrategy':{'rollingUpdate':{'maxUnavailable':'101%'}}," PODS,
         "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be "
         "greater than 100%\n"},
        {"'persistentVolumeClaimRetentionPolicy':{'whenDeleted':'Foo','whenScaled':'Bar'}," PODS,
         "spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: \"Foo\": "
         "supported values: \"Retain\", \"Delete\"\n"
         "spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: \"Bar\": "
         "supported values: \"Retain\", \"Delete\"\n"},
        {SELECTOR ",'template':{" LABELS ",'spec':{" CONTAINERS
                  ",'restartPolicy':'Never','activeDeadlineSeconds':1}}",
         "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: "
         "\"Always\"\nspec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds "
         "in "
         "StatefulSet is not Supported\n"},
        {"'serviceName':'a.b'," PODS,
         "spec.serviceName: Invalid value: \"a.b\": must not contain dots\n"},
        {CLAIM "," MOUNTS("data"), ""}, // a claim is a volume
        {CLAIM "," MOUNTS("other"),
         "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"other\"\n"},
    };
    refuse(kinds_resource_apps_v1_statefulsets(), CASES(cases));
    static const char others[] =
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', "
        "'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "
        "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden\n";
    static const Update updates[] = {
        {PODS,
         "'replicas':3,'ordinals':{'start':2},'updateStrategy':{'type':'OnDelete'},"
         "'revisionHistoryLimit':3,'persistentVolumeClaimRetentionPolicy':{'whenScaled':'Delete'},"
         "'minReadySeconds':4," SELECTOR ",'template':{" LABELS
         ",'spec':{'containers':[{'name':'d','image':'i:2'}]}}",
         ""},
        {PODS, "'serviceName':'s'," PODS, others},
        {PODS, "'podManagementPolicy':'Parallel'," PODS, others},
        {PODS, CLAIM "," PODS, others},
        {PODS,
         "'selector':{'matchLabels':{'app':'b'}},'template':{'metadata':{'labels':{'app':'b'}},"
         "'spec':{" CONTAINERS "}}",
         others},
    };
    refuse_update(kinds_resource_apps_v1_statefulsets(), CASES(updates));
    static const Case statuses[] = {
        {"{'replicas':1,'readyReplicas':2,'currentReplicas':2,'updatedReplicas':2,"
         "'availableReplicas':3}",
         "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas\n"
         "status.currentReplicas: Invalid value: 2: cannot be greater than status.replicas\n"
         "status.updatedReplicas: Invalid value: 2: cannot be greater than status.replicas\n"
         "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas\n"
         "status.availableReplicas: Invalid value: 3: cannot be greater than "
         "status.readyReplicas\n"},
        {"{'replicas':-1,'observedGeneration':-1,'collisionCount':-1,'readyReplicas':-1,"
         "'currentReplicas':-1,'updatedReplicas':-1,'availableReplicas':-1}",
         "status.observedGeneration: Invalid value: -1: " NOT_NEGATIVE
         "status.replicas: Invalid value: -1: " NOT_NEGATIVE
         "status.readyReplicas: Invalid value: -1: " NOT_NEGATIVE
         "status.currentReplicas: Invalid value: -1: " NOT_NEGATIVE
         "status.updatedReplicas: Invalid value: -1: " NOT_NEGATIVE
         "status.collisionCount: Invalid value: -1: " NOT_NEGATIVE
         "status.availableReplicas: Invalid value: -1: " NOT_NEGATIVE},
    };
    refuse_status(kinds_resource_apps_v1_statefulsets(), GOOD, "{}", CASES(statuses));
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal( // ValidateStatefulSetName: pods' host names are made of it
        road_create(arena, kinds_resource_apps_v1_statefulsets(),
                    "{'metadata':{'name':'a.b'},'spec':{" PODS "}}", NULL),
        "metadata.name: Invalid value: \"a.b\": must not contain dots\n");
}

static void test_replica_set(void **state) {
    static const Case cases[] = {
        {PODS, ""},
        {TEMPLATE, "spec.selector: Required value\nspec.template.metadata.labels: Invalid value: "
                   "{\"app\":\"a\"}: " LABELS_OFF},
        {"'selector':{}," TEMPLATE, // sic, "deployment"
         "spec.selector: Invalid value: {}: empty selector is invalid for deployment\n"},
        {"'replicas':-1,'minReadySeconds':-1," PODS,
         "spec.replicas: Invalid value: -1: " NOT_NEGATIVE
         "spec.minReadySeconds: Invalid value: -1: " NOT_NEGATIVE},
        {SELECTOR ",'template':{" LABELS ",'spec':{" CONTAINERS ",'restartPolicy':'Never'}}",
         "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: "
         "\"Always\"\n"},
    };
    refuse(kinds_resource_apps_v1_replicasets(), CASES(cases));
    static const Update updates[] = {
        {PODS,
         "'selector':{'matchLabels':{'app':'b'}},'template':{'metadata':{'labels':{'app':'b'}},"
         "'spec':{" CONTAINERS "}}",
         "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"b\"}}: field is immutable\n"},
    };
    refuse_update(kinds_resource_apps_v1_replicasets(), CASES(updates));
    static const Case statuses[] = {
        {"{'replicas':1,'fullyLabeledReplicas':2,'readyReplicas':2,'availableReplicas':3}",
         "status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas\n"
         "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas\n"
         "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas\n"
         "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas\n"},
        {"{'replicas':-1,'fullyLabeledReplicas':-1,'readyReplicas':-1,'availableReplicas':-1,"
         "'terminatingReplicas':-1,'observedGeneration':-1}",
         "status.replicas: Invalid value: -1: " NOT_NEGATIVE
         "status.fullyLabeledReplicas: Invalid value: -1: " NOT_NEGATIVE
         "status.readyReplicas: Invalid value: -1: " NOT_NEGATIVE
         "status.availableReplicas: Invalid value: -1: " NOT_NEGATIVE
         "status.terminatingReplicas: Invalid value: -1: " NOT_NEGATIVE
         "status.observedGeneration: Invalid value: -1: " NOT_NEGATIVE},
    };
    refuse_status(kinds_resource_apps_v1_replicasets(), GOOD, "{}", CASES(statuses));
}

static void test_replication_controller(void **state) {
    const Resource *resource = kinds_resource_core_v1_replicationcontrollers();
    static const Case cases[] = {
        {TEMPLATE, ""},
        {"'replicas':1", "spec.selector: Required value\nspec.template: Required value\n"},
        {"'template':{'spec':{" CONTAINERS "}}", "spec.selector: Required value\n"},
        {"'selector':{'app':'b'}," TEMPLATE,
         "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: " LABELS_OFF},
        {"'replicas':-1,'minReadySeconds':-1," TEMPLATE,
         "spec.replicas: Invalid value: -1: " NOT_NEGATIVE
         "spec.minReadySeconds: Invalid value: -1: " NOT_NEGATIVE},
        {"'template':{" LABELS ",'spec':{" CONTAINERS
         ",'restartPolicy':'Never','activeDeadlineSeconds':1}}",
         "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: "
         "\"Always\"\nspec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds "
         "in "
         "ReplicationController is not Supported\n"},
    };
    refuse(resource, CASES(cases));
    static const Update updates[] = {
        {TEMPLATE,
         "'selector':{'app':'b'},'template':{'metadata':{'labels':{'app':'b'}},'spec':{" CONTAINERS
         "}}",
         ""}, // a replication controller's may change
    };
    refuse_update(resource, CASES(updates));
    static const Case statuses[] = {
        {"{'replicas':1,'fullyLabeledReplicas':2,'readyReplicas':2,'availableReplicas':3}",
         "status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas\n"
         "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas\n"
         "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas\n"
         "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas\n"},
    };
    refuse_status(resource, "{'spec':{" TEMPLATE "}}", "{}", CASES(statuses));
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(road_create(arena, kinds_resource_core_v1_podtemplates(),
                                    "{'template':{'spec':{'containers':[{'name':'c'}]}}}", NULL),
                        "template.spec.containers[0].image: Required value\n");
}

// ValidateControllerRevision, ValidateControllerRevisionUpdate
static void test_controller_revision(void **state) {
    const Resource *resource = kinds_resource_apps_v1_controllerrevisions();
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(road_create(arena, resource, "{'revision':-1}", NULL),
                        "revision: Invalid value: -1: " NOT_NEGATIVE
                        "data: Required value: data is mandatory\n");
    assert_string_equal(road_update(arena, resource, "{'revision':1,'data':{'a':1}}",
                                    "{'revision':2,'data':{'a':1}}", NULL),
                        "");
    assert_string_equal(road_update(arena, resource, "{'revision':1,'data':{'a':1}}",
                                    "{'revision':1,'data':{'a':2}}", NULL),
                        "data: Invalid value: {\"a\":2}: field is immutable\n");
}

static void test_disruption_budget(void **state) {
    static const Case cases[] = {
        {"'minAvailable':'50%'," SELECTOR, ""},
        {"'maxUnavailable':0", ""},
        {"'minAvailable':1,'maxUnavailable':1",
         "spec: Invalid value: {\"MinAvailable\":1,\"Selector\":null,\"MaxUnavailable\":1,"
         "\"UnhealthyPodEvictionPolicy\":null}: minAvailable and maxUnavailable cannot be both "
         "set\n"},
        {"'minAvailable':-1", "spec.minAvailable: Invalid value: -1: " NOT_NEGATIVE},
        {"'minAvailable':'x'", "spec.minAvailable: Invalid value: \"x\": " PERCENT},
        {"'minAvailable':'101%'",
         "spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%\n"},
        {"'maxUnavailable':-1", "spec.maxUnavailable: Invalid value: -1: " NOT_NEGATIVE},
        {"'maxUnavailable':'1.1%'", "spec.maxUnavailable: Invalid value: \"1.1%\": " PERCENT},
        {"'maxUnavailable':'101%'",
         "spec.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%\n"},
        {"'unhealthyPodEvictionPolicy':'Never'",
         "spec.unhealthyPodEvictionPolicy: Unsupported value: \"Never\": supported values: "
         "\"AlwaysAllow\", \"IfHealthyBudget\"\n"},
        {"'selector':{'matchExpressions':[{'key':'a','operator':'In'}]}",
         "spec.selector.matchExpressions[0].values: Required value: must be specified when "
         "`operator` is 'In' or 'NotIn'\n"},
    };
    refuse(kinds_resource_policy_v1_poddisruptionbudgets(), CASES(cases));
    static const Case statuses[] = {
        {"{'disruptionsAllowed':-1,'currentHealthy':-1,'desiredHealthy':-1,'expectedPods':-1}",
         "status.disruptionsAllowed: Invalid value: -1: " NOT_NEGATIVE
         "status.currentHealthy: Invalid value: -1: " NOT_NEGATIVE
         "status.desiredHealthy: Invalid value: -1: " NOT_NEGATIVE
         "status.expectedPods: Invalid value: -1: " NOT_NEGATIVE},
    };
    refuse_status(kinds_resource_policy_v1_poddisruptionbudgets(), "{'spec':{}}", "{}",
                  CASES(statuses));
}

// The strategies' WarningsOnCreate: the name ends up in pods' names, and the template is looked at.
static void test_warnings(void **state) {
    const Resource *const resources[] = {
        kinds_resource_apps_v1_deployments(), kinds_resource_apps_v1_replicasets(),
        kinds_resource_core_v1_replicationcontrollers(), kinds_resource_apps_v1_daemonsets()};
    for (size_t i = 0; i < 4; i++) {
        _arena_free_ Arena *arena = arena_new();
        ValuePaths warnings = {0};
        Value *object = road_prepare(arena, resources[i],
                                     "{'metadata':{'name':'a.b'},'spec':{'template':{" LABELS
                                     ",'spec':{" CONTAINERS
                                     ",'nodeSelector':{'beta.kubernetes.io/os':'linux'}}}}}",
                                     NULL);
        resources[i]->rules->warn(arena, object, &warnings);
        assert_int_equal(warnings.n, i < 3 ? 2 : 1);
        if (i < 3)
            assert_true(str_starts_with(
                warnings.paths[0],
                STR("metadata.name: this is used in Pod names and hostnames, which can result in "
                    "surprising behavior; a DNS label is recommended: [")));
        assert_true(str_eq(warnings.paths[warnings.n - 1],
                           STR("spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated "
                               "since v1.14; use \"kubernetes.io/os\" instead")));
    }
    _arena_free_ Arena *arena = arena_new();
    ValuePaths warnings = {0};
    Value *set = road_prepare(arena, kinds_resource_apps_v1_statefulsets(),
                              "{'spec':{'revisionHistoryLimit':-1," PODS "}}", NULL);
    kinds_resource_apps_v1_statefulsets()->rules->warn(arena, set, &warnings);
    assert_int_equal(warnings.n, 1);
    assert_true(str_eq(warnings.paths[0],
                       STR("spec.revisionHistoryLimit: a negative value retains all historical "
                           "revisions; a value >= 0 is recommended")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deployment),
        cmocka_unit_test(test_daemon_set),
        cmocka_unit_test(test_stateful_set),
        cmocka_unit_test(test_replica_set),
        cmocka_unit_test(test_replication_controller),
        cmocka_unit_test(test_controller_revision),
        cmocka_unit_test(test_disruption_budget),
        cmocka_unit_test(test_warnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
