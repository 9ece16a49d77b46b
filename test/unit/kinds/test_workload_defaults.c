// Defaults of what makes pods. Each expectation is that of upstream's pkg/apis/GROUP/VERSION/
// defaults.go and its tests (defaults_test.go), not our own output.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "workload_road.h"

// SetDefaults_Deployment
static void test_deployment(void **state) {
    workload_becomes(kinds_resource_apps_v1_deployments(), SELECTOR "," TEMPLATE,
                     "'replicas':1," SELECTOR "," DEFAULTED_TEMPLATE
                     ",'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxUnavailable':'25%',"
                     "'maxSurge':'25%'}},'revisionHistoryLimit':10,'progressDeadlineSeconds':600");
    workload_becomes(kinds_resource_apps_v1_deployments(),
                     "'replicas':0,'strategy':{'type':'Recreate'},'revisionHistoryLimit':0,"
                     "'progressDeadlineSeconds':601," SELECTOR "," TEMPLATE,
                     "'replicas':0," SELECTOR "," DEFAULTED_TEMPLATE
                     ",'strategy':{'type':'Recreate'},'revisionHistoryLimit':0,"
                     "'progressDeadlineSeconds':601");
    workload_becomes(kinds_resource_apps_v1_deployments(),
                     "'strategy':{'rollingUpdate':{'maxSurge':0}}," SELECTOR "," TEMPLATE,
                     "'replicas':1," SELECTOR "," DEFAULTED_TEMPLATE
                     ",'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxUnavailable':'25%',"
                     "'maxSurge':0}},'revisionHistoryLimit':10,'progressDeadlineSeconds':600");
}

// SetDefaults_DaemonSet; the annotation is that of the conversion (apps/v1/conversion.go).
static void test_daemon_set(void **state) {
    const Resource *resource = kinds_resource_apps_v1_daemonsets();
    workload_becomes(resource, SELECTOR "," TEMPLATE,
                     SELECTOR "," DEFAULTED_TEMPLATE
                              ",'updateStrategy':{'type':'RollingUpdate','rollingUpdate':{"
                              "'maxUnavailable':1,'maxSurge':0}},'revisionHistoryLimit':10");
    workload_becomes(resource, "'updateStrategy':{'type':'OnDelete'}," SELECTOR "," TEMPLATE,
                     SELECTOR "," DEFAULTED_TEMPLATE
                              ",'updateStrategy':{'type':'OnDelete'},'revisionHistoryLimit':10");
    _arena_free_ Arena *arena = arena_new();
    Value *set;
    assert_string_equal(workload_create(arena, resource, SELECTOR "," TEMPLATE, &set), "");
    road_assert_json(arena, value_at(set, "metadata.annotations"),
                     "{'deprecated.daemonset.template.generation':'1'}");
    assert_string_equal(
        road_update(arena, resource, "{'spec':{" SELECTOR "," TEMPLATE "}}",
                    "{'metadata':{'annotations':{'deprecated.daemonset.template.generation':'7'}},"
                    "'spec':{" SELECTOR ",'template':{" LABELS
                    ",'spec':{'containers':[{'name':'c','image':'i:2'}]}}}}",
                    &set),
        "");
    road_assert_json(arena, value_at(set, "metadata.annotations"),
                     "{'deprecated.daemonset.template.generation':'2'}");
}

#define SET_DEFAULTS                                                                               \
    "'podManagementPolicy':'OrderedReady','revisionHistoryLimit':10,"                              \
    "'persistentVolumeClaimRetentionPolicy':{'whenDeleted':'Retain','whenScaled':'Retain'}"

// SetDefaults_StatefulSet
static void test_stateful_set(void **state) {
    const Resource *resource = kinds_resource_apps_v1_statefulsets();
    workload_becomes(resource, "'serviceName':'s'," SELECTOR "," TEMPLATE,
                     "'replicas':1,'serviceName':'s'," SELECTOR "," DEFAULTED_TEMPLATE
                     ",'updateStrategy':{'type':'RollingUpdate','rollingUpdate':{'partition':0,"
                     "'maxUnavailable':1}}," SET_DEFAULTS);
    // A type that is given brings no settings with it.
    workload_becomes(resource,
                     "'serviceName':'s','updateStrategy':{'type':'RollingUpdate'}," SELECTOR
                     "," TEMPLATE,
                     "'replicas':1,'serviceName':'s'," SELECTOR "," DEFAULTED_TEMPLATE
                     ",'updateStrategy':{'type':'RollingUpdate'}," SET_DEFAULTS);
    _arena_free_ Arena *arena = arena_new();
    Value *set;
    assert_string_equal(
        workload_create(
            arena, resource,
            "'serviceName':'s','volumeClaimTemplates':[{'metadata':{'name':'d'},'spec':{"
            "'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'1Gi'}}"
            "}}]," SELECTOR "," TEMPLATE,
            &set),
        "");
    road_assert_json(arena, value_at(set, "spec.volumeClaimTemplates"),
                     "[{'apiVersion':'v1','kind':'PersistentVolumeClaim','metadata':{'name':'d'},"
                     "'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':"
                     "'1Gi'}},'volumeMode':'Filesystem'},'status':{'phase':'Pending'}}]");
}

// SetDefaults_ReplicaSet, SetDefaults_ReplicationController
static void test_replicas(void **state) {
    workload_becomes(kinds_resource_apps_v1_replicasets(), SELECTOR "," TEMPLATE,
                     "'replicas':1," SELECTOR "," DEFAULTED_TEMPLATE);
    workload_becomes(kinds_resource_core_v1_replicationcontrollers(), TEMPLATE,
                     "'replicas':1,'selector':{'app':'a'}," DEFAULTED_TEMPLATE);
    _arena_free_ Arena *arena = arena_new();
    Value *controller;
    assert_string_equal(workload_create(arena, kinds_resource_core_v1_replicationcontrollers(),
                                        TEMPLATE, &controller),
                        "");
    road_assert_json(arena, value_at(controller, "metadata.labels"), "{'app':'a'}");
    assert_string_equal(
        road_create(arena, kinds_resource_core_v1_replicationcontrollers(),
                    "{'metadata':{'labels':{'own':'1'}},'spec':{'selector':{'app':'a'}," TEMPLATE
                    "}}",
                    &controller),
        "");
    road_assert_json(arena, value_at(controller, "metadata.labels"), "{'own':'1'}");
}

#define JOB_TEMPLATE "'template':{'spec':{" CONTAINERS ",'restartPolicy':'Never'}}"
#define JOB_LABELS                                                                                 \
    "{'job-name':'n','batch.kubernetes.io/job-name':'n','controller-uid':'u',"                     \
    "'batch.kubernetes.io/controller-uid':'u'}"
#define DEFAULTED_JOB                                                                              \
    "'selector':{'matchLabels':{'batch.kubernetes.io/"                                             \
    "controller-uid':'u'}},'manualSelector':false,"                                                \
    "'template':{'metadata':{'labels':" JOB_LABELS                                                 \
    "}," DEFAULTED_POD_SPEC("Never") "},'completionMode':'NonIndexed','suspend':false"

static Value *make_job(Arena *arena, const char *metadata, const char *spec) {
    Value *job;
    const char *json =
        arena_printf(arena, "{'metadata':{'uid':'u'%s},'spec':{%s}}", metadata, spec).ptr;
    assert_string_equal(road_create(arena, kinds_resource_batch_v1_jobs(), json, &job), "");
    return job;
}

static void job_becomes(const char *spec, const char *expected) {
    _arena_free_ Arena *arena = arena_new();
    road_assert_json(arena, value_at(make_job(arena, "", spec), "spec"),
                     arena_printf(arena, "{%s}", expected).ptr);
}

// SetDefaults_Job, and generateSelector of pkg/registry/batch/job/strategy.go
static void test_job(void **state) {
    job_becomes(JOB_TEMPLATE, DEFAULTED_JOB ",'completions':1,'parallelism':1,'backoffLimit':6,"
                                            "'podReplacementPolicy':'TerminatingOrFailed'");
    job_becomes("'parallelism':2," JOB_TEMPLATE,
                DEFAULTED_JOB ",'parallelism':2,'backoffLimit':6,"
                              "'podReplacementPolicy':'TerminatingOrFailed'");
    job_becomes("'completions':3," JOB_TEMPLATE,
                DEFAULTED_JOB ",'completions':3,'parallelism':1,'backoffLimit':6,"
                              "'podReplacementPolicy':'TerminatingOrFailed'");
    job_becomes("'podFailurePolicy':{'rules':[{'action':'Ignore','onPodConditions':[{'type':"
                "'DisruptionTarget'}]}]}," JOB_TEMPLATE,
                DEFAULTED_JOB
                ",'completions':1,'parallelism':1,'backoffLimit':6,'podReplacementPolicy':'Failed',"
                "'podFailurePolicy':{'rules':[{'action':'Ignore','onPodConditions':[{'type':"
                "'DisruptionTarget','status':'True'}]}]}");
    _arena_free_ Arena *arena = arena_new();
    Value *job = make_job(arena, "",
                          "'completionMode':'Indexed','completions':2,'backoffLimitPerIndex':1,"
                          "'suspend':true," JOB_TEMPLATE);
    assert_int_equal(value_int_at(job, "spec.backoffLimit", 0), INT32_MAX);
    assert_true(value_bool_at(job, "spec.suspend", false));
    // The job has its pods' labels, unless it has its own.
    road_assert_json(arena, value_at(job, "metadata.labels"), JOB_LABELS);
    job = make_job(arena, ",'labels':{'own':'1'}", JOB_TEMPLATE);
    road_assert_json(arena, value_at(job, "metadata.labels"), "{'own':'1'}");
    job = make_job(arena, "",
                   "'manualSelector':true," SELECTOR ",'template':{" LABELS ",'spec':{" CONTAINERS
                   ",'restartPolicy':'Never'}}");
    road_assert_json(arena, value_at(job, "spec.selector"), "{'matchLabels':{'app':'a'}}");
    road_assert_json(arena, value_at(job, "metadata.labels"), "{'app':'a'}");
}

// SetDefaults_CronJob: the jobs get their own defaults when they are made.
static void test_cron_job(void **state) {
    workload_becomes(
        kinds_resource_batch_v1_cronjobs(),
        "'schedule':'* * * * *','jobTemplate':{'spec':{" JOB_TEMPLATE "}}",
        "'schedule':'* * * * *','concurrencyPolicy':'Allow','suspend':false,"
        "'jobTemplate':{'metadata':{},'spec':{'template':{'metadata':{}," DEFAULTED_POD_SPEC(
            "Never") "}}},'successfulJobsHistoryLimit':3,"
                     "'failedJobsHistoryLimit':1");
}

#define SCALED "'scaleTargetRef':{'kind':'Deployment','name':'d'},'maxReplicas':5"
#define CPU                                                                                        \
    "'metrics':[{'type':'Resource','resource':{'name':'cpu','target':{'type':'Utilization',"       \
    "'averageUtilization':80}}}]"

// SetDefaults_HorizontalPodAutoscaler, GenerateHPAScaleUpRules, GenerateHPAScaleDownRules
static void test_autoscaler(void **state) {
    const Resource *resource = kinds_resource_autoscaling_v2_horizontalpodautoscalers();
    workload_becomes(resource, SCALED, SCALED ",'minReplicas':1," CPU);
    workload_becomes(
        resource,
        SCALED ",'minReplicas':2,'behavior':{'scaleDown':{"
               "'stabilizationWindowSeconds':60}}",
        SCALED ",'minReplicas':2," CPU
               ",'behavior':{'scaleUp':{'stabilizationWindowSeconds':0,'selectPolicy':'Max',"
               "'policies':[{'type':'Pods','value':4,'periodSeconds':15},{'type':'Percent',"
               "'value':100,'periodSeconds':15}]},'scaleDown':{'stabilizationWindowSeconds':60"
               ",'selectPolicy':'Max','policies':[{'type':'Percent','value':100,"
               "'periodSeconds':15}]}}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deployment),   cmocka_unit_test(test_daemon_set),
        cmocka_unit_test(test_stateful_set), cmocka_unit_test(test_replicas),
        cmocka_unit_test(test_job),          cmocka_unit_test(test_cron_job),
        cmocka_unit_test(test_autoscaler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
