// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>

#include "base/time.h"
#include "controllers/controllers.h"
#include "sim.h"

// Reasons and messages: pkg/controller/job/job_controller.go, pod_failure_policy.go and
// success_policy.go upstream, and the constants of k8s.io/api/batch/v1.

#define PODS "/api/v1/namespaces/default/pods"
#define JOBS "/apis/batch/v1/namespaces/default/jobs"
#define JOB JOBS "/j"
#define SOON (100 * NSEC_PER_MSEC)

typedef struct World {
    Sim *sim;
    Controllers *controllers;
} World;

static void start_controllers(World *world) {
    world->controllers = controllers_new(
        &(ControllersConfig){.loop = world->sim->api->loop,
                             .client = sim_controller_client,
                             .user = world->sim,
                             .cluster_ca = STR("the CA"),
                             .selection = STR("job-controller,garbage-collector-controller,"
                                              "serviceaccount-controller")},
        NULL);
    sim_run(world->sim, NSEC_PER_SEC);
}

static int setup(void **state) {
    World *world = calloc(1, sizeof *world);
    world->sim = sim_new();
    start_controllers(world);
    *state = world;
    return 0;
}

static int teardown(void **state) {
    World *world = *state;
    controllers_free(world->controllers);
    sim_free(world->sim);
    free(world);
    return 0;
}

// ---- the world as it is

static Value *get(Sim *sim, const char *path) {
    Answer *answer = call(sim->api, "GET", path, NULL);
    assert_int_equal(answer->status, 200);
    return answer->json;
}

static const Value *pods(Sim *sim) {
    return value_get(get(sim, PODS), STR("items"));
}

static size_t count_pods(Sim *sim) {
    const Value *items = pods(sim);
    return items ? items->n : 0;
}

// The pods that run or wait, by name; returns how many.
static size_t active(Sim *sim, const char **names) {
    const Value *items = pods(sim);
    size_t n = 0;
    for (uint32_t i = 0; items && i < items->n; i++) {
        Str phase = value_string_at(items->items[i], "status.phase");
        if (str_eq(phase, STR("Succeeded")) || str_eq(phase, STR("Failed")) ||
            value_string_at(items->items[i], "metadata.deletionTimestamp").len)
            continue;
        if (names)
            names[n] =
                arena_cstr(sim->api->arena, value_string_at(items->items[i], "metadata.name"));
        n++;
    }
    return n;
}

// How many pods still have the finalizer.
static size_t count_tracked(Sim *sim) {
    const Value *items = pods(sim);
    size_t n = 0;
    for (uint32_t i = 0; items && i < items->n; i++) {
        const Value *finalizers = value_at(items->items[i], "metadata.finalizers");
        n += finalizers && finalizers->n;
    }
    return n;
}

static int64_t number(Sim *sim, const char *field) {
    char at[64];
    snprintf(at, sizeof at, "status.%s", field);
    return value_int_at(get(sim, JOB), at, 0);
}

static const char *text(Sim *sim, const char *field) {
    return arena_cstr(sim->api->arena, value_string_at(get(sim, JOB), field));
}

// "STATUS REASON MESSAGE", or "".
static const char *condition(Sim *sim, const char *type) {
    Arena *arena = sim->api->arena;
    const Value *list = value_at(get(sim, JOB), "status.conditions");
    for (uint32_t i = 0; list && i < list->n; i++) {
        const Value *item = list->items[i];
        if (str_eq(value_string_at(item, "type"), str_from(type)))
            return arena_cstr(arena, arena_printf(arena, "%.*s %.*s %.*s",
                                                  STR_ARG(value_string_at(item, "status")),
                                                  STR_ARG(value_string_at(item, "reason")),
                                                  STR_ARG(value_string_at(item, "message"))));
    }
    return "";
}

static void assert_event(Sim *sim, const char *event) {
    assert_non_null(strstr(sim_events(sim, "j"), event));
}

static void assert_quiet(Sim *sim) {
    int64_t revision = sim_revision(sim);
    sim_run(sim, 3600 * NSEC_PER_SEC);
    assert_int_equal(sim_revision(sim), revision);
}

// ---- what happens to it

// `spec`: members of the job's spec; `pod`: of its pods' (JSON without braces, may be empty).
static void create_job(Sim *sim, const char *spec, const char *pod) {
    char body[2048];
    snprintf(body, sizeof body,
             "{\"metadata\":{\"name\":\"j\"},\"spec\":{%s%s\"template\":{\"spec\":{\"containers\":["
             "{\"name\":\"c\",\"image\":\"i\"}],\"restartPolicy\":\"Never\"%s%s}}}}",
             spec, *spec ? "," : "", *pod ? "," : "", pod);
    sim_create(sim, JOBS, body);
    sim_run(sim, SOON);
}

static void set_status(Sim *sim, const char *name, const char *status) {
    char path[256];
    snprintf(path, sizeof path, PODS "/%s/status", name);
    sim_patch(sim, path, status);
}

static void end_pod(Sim *sim, const char *name, const char *phase, int exit_code) {
    char status[512];
    Str now = time_format(sim->api->arena, loop_wall(sim->api->loop));
    snprintf(status, sizeof status,
             "{\"status\":{\"phase\":\"%s\",\"containerStatuses\":[{\"name\":\"c\",\"image\":\"i\","
             "\"imageID\":\"\",\"ready\":false,\"restartCount\":0,\"state\":{\"terminated\":{"
             "\"exitCode\":%d,\"finishedAt\":\"%.*s\"}}}]}}",
             phase, exit_code, STR_ARG(now));
    set_status(sim, name, status);
}

static void end_active(Sim *sim, size_t expected, const char *phase) {
    const char *names[64];
    assert_int_equal(active(sim, names), expected);
    for (size_t i = 0; i < expected; i++)
        end_pod(sim, names[i], phase, strcmp(phase, "Failed") ? 0 : 1);
    sim_run(sim, SOON);
}

static void succeed(Sim *sim, size_t expected) {
    end_active(sim, expected, "Succeeded");
}

static void break_down(Sim *sim, size_t expected) {
    end_active(sim, expected, "Failed");
}

// The running pod of that index.
static const char *pod_of(Sim *sim, int index) {
    const char *names[64];
    size_t n = active(sim, names);
    char start[32];
    snprintf(start, sizeof start, "j-%d-", index);
    for (size_t i = 0; i < n; i++)
        if (strncmp(names[i], start, strlen(start)) == 0)
            return names[i];
    return NULL;
}

static void end_index(Sim *sim, int index, const char *phase, int exit_code) {
    const char *name = pod_of(sim, index);
    assert_non_null(name);
    end_pod(sim, name, phase, exit_code);
    sim_run(sim, SOON);
}

// ---- completions

static void test_completions(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim, "\"completions\":3,\"parallelism\":2", "");
    assert_int_equal(count_pods(sim), 2);
    assert_int_equal(count_tracked(sim), 2);
    assert_int_equal(number(sim, "active"), 2);
    assert_true(strlen(text(sim, "status.startTime")) > 0);
    assert_event(sim, "Normal SuccessfulCreate 1 Created pod: j-");
    const char *names[4];
    active(sim, names);
    set_status(sim, names[0],
               "{\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":"
               "\"True\"}]}}");
    sim_run(sim, SOON);
    assert_int_equal(number(sim, "ready"), 1);
    succeed(sim, 2);
    assert_int_equal(number(sim, "succeeded"), 2);
    assert_int_equal(number(sim, "active"), 1);
    assert_int_equal(count_pods(sim), 3);
    assert_string_equal(condition(sim, "Complete"), "");
    succeed(sim, 1);
    assert_string_equal(condition(sim, "SuccessCriteriaMet"),
                        "True CompletionsReached Reached expected number of succeeded pods");
    assert_string_equal(condition(sim, "Complete"),
                        "True CompletionsReached Reached expected number of succeeded pods");
    assert_int_equal(number(sim, "succeeded"), 3);
    assert_int_equal(number(sim, "active"), 0);
    assert_int_equal(count_tracked(sim), 0);
    assert_true(strlen(text(sim, "status.completionTime")) > 0);
    assert_event(sim, "Normal Completed 1 Job completed");
    assert_int_equal(count_pods(sim), 3);
    assert_quiet(sim);
}

// Without completions: no new pods once one has succeeded, done when the others have ended.
static void test_work_queue(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim, "\"parallelism\":3", "");
    const char *names[4];
    assert_int_equal(active(sim, names), 3);
    end_pod(sim, names[0], "Succeeded", 0);
    sim_run(sim, SOON);
    assert_int_equal(active(sim, NULL), 2);
    assert_string_equal(condition(sim, "Complete"), "");
    succeed(sim, 2);
    assert_int_equal(count_pods(sim), 3);
    assert_int_equal(number(sim, "succeeded"), 3);
    assert_int_equal(strncmp(condition(sim, "Complete"), "True", 4), 0);
}

static void test_nothing_to_do(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim, "\"completions\":0", "");
    assert_int_equal(strncmp(condition(sim, "Complete"), "True", 4), 0);
    assert_int_equal(count_pods(sim), 0);
}

static void test_many(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim, "\"completions\":700,\"parallelism\":700", "");
    sim_run(sim, 5 * NSEC_PER_SEC);
    assert_int_equal(active(sim, NULL), 700);
    const Value *items = pods(sim);
    for (uint32_t i = 0; i < items->n; i++)
        end_pod(sim, arena_cstr(sim->api->arena, value_string_at(items->items[i], "metadata.name")),
                "Succeeded", 0);
    sim_run(sim, 5 * NSEC_PER_SEC);
    assert_int_equal(number(sim, "succeeded"), 700);
    assert_int_equal(count_tracked(sim), 0);
    assert_int_equal(strncmp(condition(sim, "Complete"), "True", 4), 0);
}

// ---- failures

static void test_backoff(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim, "\"backoffLimit\":2", "");
    break_down(sim, 1);
    assert_int_equal(number(sim, "failed"), 1);
    sim_run(sim, 9 * NSEC_PER_SEC);
    assert_int_equal(active(sim, NULL), 0);
    sim_run(sim, 2 * NSEC_PER_SEC);
    break_down(sim, 1);
    sim_run(sim, 18 * NSEC_PER_SEC);
    assert_int_equal(active(sim, NULL), 0);
    sim_run(sim, 3 * NSEC_PER_SEC);
    break_down(sim, 1);
    assert_int_equal(number(sim, "failed"), 3);
    assert_string_equal(condition(sim, "FailureTarget"),
                        "True BackoffLimitExceeded Job has reached the specified backoff limit");
    assert_string_equal(condition(sim, "Failed"),
                        "True BackoffLimitExceeded Job has reached the specified backoff limit");
    assert_event(sim, "Warning BackoffLimitExceeded 1 Job has reached the specified backoff limit");
    assert_int_equal(count_tracked(sim), 0);
    assert_quiet(sim);
}

// What still runs when a job fails is ended, and counts as failed.
static void test_failure_ends_the_others(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim, "\"backoffLimit\":0,\"completions\":3,\"parallelism\":3", "");
    const char *names[4];
    active(sim, names);
    end_pod(sim, names[0], "Failed", 1);
    sim_run(sim, SOON);
    assert_int_equal(count_pods(sim), 1);
    assert_int_equal(number(sim, "failed"), 3);
    assert_int_equal(number(sim, "active"), 0);
    assert_int_equal(strncmp(condition(sim, "Failed"), "True", 4), 0);
    assert_event(sim, "Normal SuccessfulDelete 1 Deleted pod: j-");
}

static void test_restarts_count(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_create(sim, JOBS,
               "{\"metadata\":{\"name\":\"j\"},\"spec\":{\"backoffLimit\":2,\"template\":{\"spec\":"
               "{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}],\"restartPolicy\":\"OnFailure\""
               "}}}}");
    sim_run(sim, SOON);
    const char *names[4];
    active(sim, names);
    for (int restarts = 1; restarts < 3; restarts++) {
        char status[256];
        assert_string_equal(condition(sim, "Failed"), "");
        snprintf(status, sizeof status,
                 "{\"status\":{\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"c\","
                 "\"image\":\"i\",\"imageID\":\"\",\"ready\":false,\"restartCount\":%d}]}}",
                 restarts);
        set_status(sim, names[0], status);
        sim_run(sim, SOON);
    }
    assert_string_equal(condition(sim, "Failed"),
                        "True BackoffLimitExceeded Job has reached the specified backoff limit");
}

static void test_deadline(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim, "\"activeDeadlineSeconds\":30", "");
    sim_run(sim, 28 * NSEC_PER_SEC);
    assert_string_equal(condition(sim, "Failed"), "");
    sim_run(sim, 3 * NSEC_PER_SEC);
    assert_string_equal(condition(sim, "Failed"),
                        "True DeadlineExceeded Job was active longer than specified deadline");
    assert_event(sim, "Warning DeadlineExceeded 1 Job was active longer than specified deadline");
    assert_int_equal(count_pods(sim), 0);
}

// ---- indexes

#define INDEXED "\"completionMode\":\"Indexed\",\"completions\":4,\"parallelism\":4"

static void test_indexed(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim, INDEXED, "");
    char path[256];
    snprintf(path, sizeof path, PODS "/%s", pod_of(sim, 2));
    const Value *pod = get(sim, path);
    const Value *annotations = value_at(pod, "metadata.annotations");
    const Value *labels = value_at(pod, "metadata.labels");
    Str index = STR("batch.kubernetes.io/job-completion-index");
    assert_true(str_eq(value_get(annotations, index)->string, STR("2")));
    assert_true(str_eq(value_get(labels, index)->string, STR("2")));
    assert_true(str_eq(value_string_at(pod, "spec.hostname"), STR("j-2")));
    const Value *env = value_at(value_at(pod, "spec.containers")->items[0], "env");
    assert_int_equal(env->n, 1);
    assert_true(str_eq(value_string_at(env->items[0], "name"), STR("JOB_COMPLETION_INDEX")));
    assert_true(str_eq(value_string_at(env->items[0], "valueFrom.fieldRef.fieldPath"),
                       STR("metadata.labels['batch.kubernetes.io/job-completion-index']")));
    end_index(sim, 0, "Succeeded", 0);
    end_index(sim, 3, "Succeeded", 0);
    assert_string_equal(text(sim, "status.completedIndexes"), "0,3");
    assert_int_equal(number(sim, "succeeded"), 2);
    end_index(sim, 1, "Failed", 1);
    assert_null(pod_of(sim, 1));
    sim_run(sim, 11 * NSEC_PER_SEC);
    end_index(sim, 1, "Succeeded", 0);
    assert_string_equal(text(sim, "status.completedIndexes"), "0,1,3");
    end_index(sim, 2, "Succeeded", 0);
    assert_string_equal(text(sim, "status.completedIndexes"), "0-3");
    assert_int_equal(number(sim, "failed"), 1);
    assert_int_equal(strncmp(condition(sim, "Complete"), "True", 4), 0);
    assert_quiet(sim);
}

static void test_limit_per_index(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim, INDEXED ",\"backoffLimitPerIndex\":1", "");
    end_index(sim, 1, "Failed", 1);
    assert_int_equal(count_tracked(sim), 4); // the failed one waits for its successor
    sim_run(sim, 11 * NSEC_PER_SEC);
    char path[256];
    snprintf(path, sizeof path, PODS "/%s", pod_of(sim, 1));
    const Value *annotations = value_at(get(sim, path), "metadata.annotations");
    assert_true(
        str_eq(value_get(annotations, STR("batch.kubernetes.io/job-index-failure-count"))->string,
               STR("1")));
    assert_int_equal(number(sim, "failed"), 1);
    end_index(sim, 1, "Failed", 1);
    assert_string_equal(text(sim, "status.failedIndexes"), "1");
    sim_run(sim, 60 * NSEC_PER_SEC);
    assert_null(pod_of(sim, 1));
    for (int i = 0; i < 4; i += 1 + (i == 0))
        end_index(sim, i, "Succeeded", 0);
    assert_string_equal(condition(sim, "Failed"), "True FailedIndexes Job has failed indexes");
    assert_string_equal(text(sim, "status.completedIndexes"), "0,2,3");
    assert_int_equal(count_tracked(sim), 0);
}

static void test_too_many_failed_indexes(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim, INDEXED ",\"backoffLimitPerIndex\":0,\"maxFailedIndexes\":1", "");
    end_index(sim, 0, "Failed", 1);
    assert_string_equal(condition(sim, "Failed"), "");
    end_index(sim, 2, "Failed", 1);
    assert_string_equal(condition(sim, "Failed"),
                        "True MaxFailedIndexesExceeded Job has exceeded the specified maximal "
                        "number of failed indexes");
    assert_string_equal(text(sim, "status.failedIndexes"), "0,2");
}

static void test_success_policy(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim,
               INDEXED ",\"successPolicy\":{\"rules\":[{\"succeededIndexes\":\"0\"},{"
                       "\"succeededIndexes\":\"1-3\",\"succeededCount\":2}]}",
               "");
    end_index(sim, 1, "Succeeded", 0);
    assert_string_equal(condition(sim, "Complete"), "");
    end_index(sim, 3, "Succeeded", 0);
    assert_string_equal(condition(sim, "Complete"), "True SuccessPolicy Matched rules at index 1");
    assert_int_equal(number(sim, "succeeded"), 2);
    assert_int_equal(number(sim, "failed"), 0);
    assert_int_equal(count_pods(sim), 2);
}

// ---- the failure policy

#define POLICY(action, code)                                                                       \
    "\"podFailurePolicy\":{\"rules\":[{\"action\":\"" action                                       \
    "\",\"onExitCodes\":{\"operator\":\"In\",\"values\":[" code "]}}]}"

static void test_policy_fails_the_job(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim, POLICY("FailJob", "42"), "");
    const char *names[4];
    char expected[256];
    active(sim, names);
    end_pod(sim, names[0], "Failed", 42);
    sim_run(sim, SOON);
    snprintf(expected, sizeof expected,
             "True PodFailurePolicy Container c for pod default/%s failed with exit code 42 "
             "matching FailJob rule at index 0",
             names[0]);
    assert_string_equal(condition(sim, "Failed"), expected);
}

static void test_policy_ignores(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim,
               "\"backoffLimit\":0,\"podFailurePolicy\":{\"rules\":[{\"action\":\"Ignore\","
               "\"onPodConditions\":[{\"type\":\"DisruptionTarget\",\"status\":\"True\"}]}]}",
               "");
    const char *names[4];
    active(sim, names);
    set_status(sim, names[0],
               "{\"status\":{\"phase\":\"Failed\",\"conditions\":[{\"type\":\"DisruptionTarget\","
               "\"status\":\"True\"}]}}");
    sim_run(sim, 15 * NSEC_PER_SEC);
    assert_int_equal(number(sim, "failed"), 0);
    break_down(sim, 1);
    assert_int_equal(number(sim, "failed"), 1);
    assert_int_equal(strncmp(condition(sim, "Failed"), "True", 4), 0);
}

static void test_policy_fails_an_index(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim, INDEXED ",\"backoffLimitPerIndex\":5," POLICY("FailIndex", "7"), "");
    end_index(sim, 3, "Failed", 7);
    assert_string_equal(text(sim, "status.failedIndexes"), "3");
    end_index(sim, 2, "Failed", 8);
    assert_string_equal(text(sim, "status.failedIndexes"), "3");
}

// ---- pausing, changing, going

static void test_suspend(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim, "\"suspend\":true,\"completions\":2,\"parallelism\":2", "");
    assert_int_equal(count_pods(sim), 0);
    assert_string_equal(text(sim, "status.startTime"), "");
    assert_string_equal(condition(sim, "Suspended"), "True JobSuspended Job suspended");
    assert_event(sim, "Normal Suspended 1 Job suspended");
    sim_patch(sim, JOB, "{\"spec\":{\"suspend\":false}}");
    sim_run(sim, SOON);
    assert_int_equal(active(sim, NULL), 2);
    assert_string_equal(condition(sim, "Suspended"), "False JobResumed Job resumed");
    assert_event(sim, "Normal Resumed 1 Job resumed");
    assert_true(strlen(text(sim, "status.startTime")) > 0);
    sim_patch(sim, JOB, "{\"spec\":{\"suspend\":true}}");
    sim_run(sim, SOON);
    assert_int_equal(count_pods(sim), 0);
    assert_int_equal(number(sim, "failed"), 0);
    assert_int_equal(number(sim, "active"), 0);
    assert_quiet(sim);
}

static void test_parallelism_changes(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim, "\"completions\":9,\"parallelism\":1", "");
    sim_patch(sim, JOB, "{\"spec\":{\"parallelism\":4}}");
    sim_run(sim, SOON);
    assert_int_equal(active(sim, NULL), 4);
    sim_patch(sim, JOB, "{\"spec\":{\"parallelism\":2}}");
    sim_run(sim, SOON);
    assert_int_equal(count_pods(sim), 2);
    assert_int_equal(number(sim, "failed"), 0);
}

// With podReplacementPolicy Failed a pod that is ending holds its place until it is gone.
static void test_replacement_waits(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_add_node(sim, "n", NULL);
    create_job(sim, "\"podReplacementPolicy\":\"Failed\"", "\"nodeName\":\"n\"");
    const char *names[4];
    char path[256];
    assert_int_equal(active(sim, names), 1);
    snprintf(path, sizeof path, PODS "/%s", names[0]);
    assert_int_equal(call(sim->api, "DELETE", path, NULL)->status, 200);
    sim_run(sim, 30 * NSEC_PER_SEC);
    assert_int_equal(active(sim, NULL), 0);
    assert_int_equal(number(sim, "terminating"), 1);
    end_pod(sim, names[0], "Failed", 143);
    sim_run(sim, 15 * NSEC_PER_SEC);
    assert_int_equal(active(sim, NULL), 1);
    assert_int_equal(number(sim, "failed"), 1);
}

static void test_pod_deleted(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim, "", "");
    const char *names[4];
    char path[256];
    active(sim, names);
    snprintf(path, sizeof path, PODS "/%s", names[0]);
    assert_int_equal(call(sim->api, "DELETE", path, NULL)->status, 200);
    sim_run(sim, 15 * NSEC_PER_SEC);
    assert_int_equal(number(sim, "failed"), 1);
    assert_int_equal(count_pods(sim), 1);
}

static void test_job_deleted(void **state) {
    Sim *sim = ((World *)*state)->sim;
    static const char *const policies[] = {"Background", "Foreground"};
    for (size_t i = 0; i < 2; i++) {
        char options[64];
        create_job(sim, "\"completions\":3,\"parallelism\":2", "");
        const char *names[4];
        active(sim, names);
        end_pod(sim, names[0], "Succeeded", 0);
        sim_run(sim, SOON);
        snprintf(options, sizeof options, "{\"propagationPolicy\":\"%s\"}", policies[i]);
        assert_int_equal(call(sim->api, "DELETE", JOB, options)->status, 200);
        sim_run(sim, 10 * NSEC_PER_SEC);
        assert_false(sim_exists(sim, JOB));
        assert_int_equal(count_pods(sim), 0);
    }
}

// Left behind, pods lose the finalizer and stay.
static void test_orphans(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim, "", "");
    assert_int_equal(call(sim->api, "DELETE", JOB, "{\"propagationPolicy\":\"Orphan\"}")->status,
                     200);
    sim_run(sim, 10 * NSEC_PER_SEC);
    assert_false(sim_exists(sim, JOB));
    assert_int_equal(count_pods(sim), 1);
    assert_int_equal(count_tracked(sim), 0);
}

static void test_managed_by_another(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_job(sim, "\"managedBy\":\"example.com/other\"", "");
    assert_int_equal(count_pods(sim), 0);
}

// ---- trouble

static bool refuse_status(Sim *sim, HttpRequest *request) {
    if (!str_eq(request->method, STR("PUT")) || !str_ends_with(request->path, STR("/status")))
        return false;
    int *left = sim->user;
    if ((*left)-- > 0)
        return false;
    sim_refuse(request, 500, "InternalError", "no");
    return true;
}

// Stopped after any write, it goes on where it was: each pod counts once.
static void test_stopped_anywhere(void **state) {
    World *world = *state;
    Sim *sim = world->sim;
    for (int stop = 0; stop < 4; stop++) {
        int left = stop;
        create_job(sim, "\"completions\":2,\"parallelism\":2,\"backoffLimit\":1", "");
        const char *names[4];
        assert_int_equal(active(sim, names), 2);
        sim->user = &left;
        sim->intercept = refuse_status;
        end_pod(sim, names[0], "Succeeded", 0);
        end_pod(sim, names[1], "Failed", 1);
        sim_run(sim, SOON);
        controllers_free(world->controllers);
        sim->intercept = NULL;
        start_controllers(world);
        sim_run(sim, 15 * NSEC_PER_SEC);
        assert_int_equal(number(sim, "succeeded"), 1);
        assert_int_equal(number(sim, "failed"), 1);
        succeed(sim, 1);
        assert_int_equal(number(sim, "succeeded"), 2);
        assert_int_equal(strncmp(condition(sim, "Complete"), "True", 4), 0);
        assert_int_equal(
            call(sim->api, "DELETE", JOB, "{\"propagationPolicy\":\"Background\"}")->status, 200);
        sim_run(sim, 10 * NSEC_PER_SEC);
        assert_int_equal(count_pods(sim), 0);
    }
}

static bool refuse_pods(Sim *sim, HttpRequest *request) {
    if (!str_eq(request->method, STR("POST")) || !str_ends_with(request->path, STR("/pods")))
        return false;
    sim_refuse(request, 403, "Forbidden", "exceeded quota: q");
    ++*(int *)sim->user;
    return true;
}

static void test_refused_pods(void **state) {
    Sim *sim = ((World *)*state)->sim;
    int refused = 0;
    sim->user = &refused;
    sim->intercept = refuse_pods;
    create_job(sim, "\"completions\":50,\"parallelism\":50", "");
    sim_run(sim, 60 * NSEC_PER_SEC);
    assert_event(sim, "Warning FailedCreate");
    assert_in_range(refused, 2, 25);
    sim->intercept = NULL;
    sim_run(sim, 120 * NSEC_PER_SEC);
    assert_int_equal(active(sim, NULL), 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_completions),
        TEST(test_work_queue),
        TEST(test_nothing_to_do),
        TEST(test_many),
        TEST(test_backoff),
        TEST(test_failure_ends_the_others),
        TEST(test_restarts_count),
        TEST(test_deadline),
        TEST(test_indexed),
        TEST(test_limit_per_index),
        TEST(test_too_many_failed_indexes),
        TEST(test_success_policy),
        TEST(test_policy_fails_the_job),
        TEST(test_policy_ignores),
        TEST(test_policy_fails_an_index),
        TEST(test_suspend),
        TEST(test_parallelism_changes),
        TEST(test_replacement_waits),
        TEST(test_pod_deleted),
        TEST(test_job_deleted),
        TEST(test_orphans),
        TEST(test_managed_by_another),
        TEST(test_stopped_anywhere),
        TEST(test_refused_pods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
