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

#define PODS "/api/v1/namespaces/default/pods"
#define SETS "/apis/apps/v1/namespaces/default/replicasets"
#define CONTROLLERS "/api/v1/namespaces/default/replicationcontrollers"
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
                             .selection = STR("replicaset-controller,replicationcontroller-"
                                              "controller,serviceaccount-controller")},
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

static size_t count_pods(Sim *sim, const char *query) {
    char path[256];
    snprintf(path, sizeof path, PODS "%s", query);
    const Value *items = value_get(get(sim, path), STR("items"));
    return items ? items->n : 0;
}

static const Value *pod_at(Sim *sim, size_t i) {
    const Value *items = value_get(get(sim, PODS), STR("items"));
    assert_true(items && items->n > i);
    return items->items[i];
}

static const char *pod_name(Sim *sim, size_t i) {
    return arena_cstr(sim->api->arena, value_string_at(pod_at(sim, i), "metadata.name"));
}

static void set_pod_status(Sim *sim, const char *name, const char *phase, bool ready) {
    char path[256], patch[512];
    snprintf(path, sizeof path, PODS "/%s/status", name);
    snprintf(patch, sizeof patch,
             "{\"status\":{\"phase\":\"%s\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\","
             "\"lastTransitionTime\":\"%.*s\"}]}}",
             phase, ready ? "True" : "False",
             STR_ARG(time_format(sim->api->arena, loop_wall(sim->api->loop))));
    sim_patch(sim, path, patch);
}

static void create_set(Sim *sim, const char *name, int replicas, const char *more) {
    char text[1024];
    snprintf(
        text, sizeof text,
        "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"replicas\":%d,\"selector\":{\"matchLabels\":{"
        "\"app\":\"%s\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"%s\"}},\"spec\":{"
        "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}%s}}",
        name, replicas, name, name, more);
    sim_create(sim, SETS, text);
    sim_run(sim, SOON);
}

static int64_t status_number(Sim *sim, const char *path, const char *field) {
    char at[64];
    snprintf(at, sizeof at, "status.%s", field);
    return value_int_at(get(sim, path), at, 0);
}

static void scale(Sim *sim, const char *path, int replicas) {
    char patch[64];
    snprintf(patch, sizeof patch, "{\"spec\":{\"replicas\":%d}}", replicas);
    sim_patch(sim, path, patch);
    sim_run(sim, SOON);
}

static size_t count_text(const char *text, const char *what) {
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

// ---- making

static void test_pods_are_made(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_set(sim, "web", 3, "");
    assert_int_equal(count_pods(sim, ""), 3);
    const Value *pod = pod_at(sim, 0), *owners = value_at(pod, "metadata.ownerReferences");
    assert_string_equal(arena_cstr(sim->api->arena, value_string_at(pod, "metadata.generateName")),
                        "web-");
    assert_int_equal(owners->n, 1);
    assert_true(str_eq(value_string_at(owners->items[0], "apiVersion"), STR("apps/v1")));
    assert_true(str_eq(value_string_at(owners->items[0], "kind"), STR("ReplicaSet")));
    assert_true(str_eq(value_string_at(owners->items[0], "uid"),
                       value_string_at(get(sim, SETS "/web"), "metadata.uid")));
    assert_true(value_bool_at(owners->items[0], "controller", false));
    assert_true(value_bool_at(owners->items[0], "blockOwnerDeletion", false));
    assert_int_equal(status_number(sim, SETS "/web", "replicas"), 3);
    assert_int_equal(status_number(sim, SETS "/web", "fullyLabeledReplicas"), 3);
    assert_int_equal(status_number(sim, SETS "/web", "observedGeneration"), 1);
    assert_int_equal(status_number(sim, SETS "/web", "readyReplicas"), 0);
    // pkg/controller/controller_utils.go: SuccessfulCreatePodReason.
    assert_non_null(strstr(sim_events(sim, "web"), "Normal SuccessfulCreate 1 Created pod: web-"));
    for (size_t i = 0; i < 2; i++)
        set_pod_status(sim, pod_name(sim, i), "Running", true);
    sim_run(sim, SOON);
    assert_int_equal(status_number(sim, SETS "/web", "readyReplicas"), 2);
    assert_int_equal(status_number(sim, SETS "/web", "availableReplicas"), 2);
    // And then nobody writes.
    int64_t revision = sim_revision(sim);
    sim_run(sim, 600 * NSEC_PER_SEC);
    assert_int_equal(sim_revision(sim), revision);
}

static void test_lost_pods_are_replaced(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_set(sim, "web", 2, "");
    char path[128];
    snprintf(path, sizeof path, PODS "/%s", pod_name(sim, 0));
    sim_delete(sim, path);
    sim_run(sim, SOON);
    assert_int_equal(count_pods(sim, ""), 2);
    set_pod_status(sim, pod_name(sim, 0), "Failed", false);
    sim_run(sim, SOON);
    assert_int_equal(count_pods(sim, ""), 3);
    assert_int_equal(count_pods(sim, "?fieldSelector=status.phase%3DFailed"), 1);
    assert_int_equal(status_number(sim, SETS "/web", "replicas"), 2);
}

static void test_min_ready_seconds(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_set(sim, "web", 1, ",\"minReadySeconds\":30");
    set_pod_status(sim, pod_name(sim, 0), "Running", true);
    sim_run(sim, 29 * NSEC_PER_SEC);
    assert_int_equal(status_number(sim, SETS "/web", "readyReplicas"), 1);
    assert_int_equal(status_number(sim, SETS "/web", "availableReplicas"), 0);
    sim_run(sim, 2 * NSEC_PER_SEC);
    assert_int_equal(status_number(sim, SETS "/web", "availableReplicas"), 1);
}

// ---- scaling

static void test_scaling_down_gives_up_the_least(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_set(sim, "web", 4, "");
    char keep[64], cheap[64], path[160];
    snprintf(keep, sizeof keep, "%s", pod_name(sim, 0));
    snprintf(cheap, sizeof cheap, "%s", pod_name(sim, 1));
    // 0 is ready, 1 is ready and cheap, 2 runs, 3 is pending.
    set_pod_status(sim, keep, "Running", true);
    set_pod_status(sim, cheap, "Running", true);
    set_pod_status(sim, pod_name(sim, 2), "Running", false);
    snprintf(path, sizeof path, PODS "/%s", cheap);
    sim_patch(
        sim, path,
        "{\"metadata\":{\"annotations\":{\"controller.kubernetes.io/pod-deletion-cost\":\"-5\"}}}");
    sim_run(sim, SOON);
    scale(sim, SETS "/web", 2);
    assert_int_equal(count_pods(sim, ""), 2);
    assert_non_null(strstr(sim_events(sim, "web"), "Normal SuccessfulDelete 1 Deleted pod: web-"));
    assert_true(sim_exists(sim, path));
    scale(sim, SETS "/web", 1);
    assert_int_equal(count_pods(sim, ""), 1);
    assert_string_equal(pod_name(sim, 0), keep);
    scale(sim, SETS "/web", 0);
    assert_int_equal(count_pods(sim, ""), 0);
    assert_int_equal(status_number(sim, SETS "/web", "replicas"), 0);
}

static void test_many(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_set(sim, "web", 1200, "");
    sim_run(sim, 5 * NSEC_PER_SEC);
    assert_int_equal(count_pods(sim, ""), 1200);
    scale(sim, SETS "/web", 7);
    sim_run(sim, 5 * NSEC_PER_SEC);
    assert_int_equal(count_pods(sim, ""), 7);
}

// ---- whose pods

static void test_adopts_and_releases(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_create(sim, PODS,
               "{\"metadata\":{\"name\":\"bare\",\"labels\":{\"app\":\"web\"}},\"spec\":{"
               "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
    create_set(sim, "web", 2, "");
    assert_int_equal(count_pods(sim, ""), 2);
    assert_int_equal(value_at(get(sim, PODS "/bare"), "metadata.ownerReferences")->n, 1);
    sim_patch(sim, PODS "/bare", "{\"metadata\":{\"labels\":{\"app\":\"other\"}}}");
    sim_run(sim, SOON);
    assert_null(value_at(get(sim, PODS "/bare"), "metadata.ownerReferences"));
    assert_int_equal(count_pods(sim, "?labelSelector=app%3Dweb"), 2);
    // A pod that begins to match while enough are there is adopted, and one goes.
    sim_patch(sim, PODS "/bare", "{\"metadata\":{\"labels\":{\"app\":\"web\"}}}");
    sim_run(sim, SOON);
    assert_int_equal(count_pods(sim, ""), 2);
}

// Pods of another controller stay its own, whatever their labels.
static void test_others_pods(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_create(
        sim, PODS,
        "{\"metadata\":{\"name\":\"theirs\",\"labels\":{\"app\":\"web\"},\"ownerReferences\":[{"
        "\"apiVersion\":\"batch/v1\",\"kind\":\"Job\",\"name\":\"j\",\"uid\":\"u\",\"controller\":"
        "true}]},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
    create_set(sim, "web", 1, "");
    assert_int_equal(count_pods(sim, ""), 2);
    const Value *owners = value_at(get(sim, PODS "/theirs"), "metadata.ownerReferences");
    assert_int_equal(owners->n, 1);
}

static void test_replication_controller(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_create(
        sim, CONTROLLERS,
        "{\"metadata\":{\"name\":\"rc\"},\"spec\":{\"replicas\":2,\"selector\":{\"app\":\"rc\"},"
        "\"template\":{\"metadata\":{\"labels\":{\"app\":\"rc\"}},\"spec\":{\"containers\":[{"
        "\"name\":\"c\",\"image\":\"i\"}]}}}}");
    sim_run(sim, SOON);
    assert_int_equal(count_pods(sim, "?labelSelector=app%3Drc"), 2);
    const Value *owners = value_at(pod_at(sim, 0), "metadata.ownerReferences");
    assert_true(str_eq(value_string_at(owners->items[0], "kind"), STR("ReplicationController")));
    assert_int_equal(status_number(sim, CONTROLLERS "/rc", "replicas"), 2);
    scale(sim, CONTROLLERS "/rc", 1);
    assert_int_equal(count_pods(sim, ""), 1);
}

// ---- trouble

static bool refuse_pods(Sim *sim, HttpRequest *request) {
    if (!str_eq(request->method, STR("POST")) || !str_ends_with(request->path, STR("/pods")))
        return false;
    sim_refuse(request, 403, "Forbidden", "exceeded quota: q");
    return true;
}

// A refusal is met once a round, later and later, and is told in the status.
static void test_refused_pods(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim->intercept = refuse_pods;
    create_set(sim, "web", 100, "");
    const Value *conditions = value_at(get(sim, SETS "/web"), "status.conditions");
    assert_int_equal(conditions->n, 1);
    assert_true(str_eq(value_string_at(conditions->items[0], "type"), STR("ReplicaFailure")));
    assert_true(str_eq(value_string_at(conditions->items[0], "reason"), STR("FailedCreate")));
    assert_true(str_eq(value_string_at(conditions->items[0], "message"), STR("exceeded quota: q")));
    assert_non_null(strstr(sim_events(sim, "web"), "Warning FailedCreate"));
    sim_log_clear(sim);
    sim_run(sim, 60 * NSEC_PER_SEC);
    assert_in_range(count_text(sim_log(sim), "POST " PODS), 1, 15);
    sim->intercept = NULL;
    sim_run(sim, 120 * NSEC_PER_SEC);
    assert_int_equal(count_pods(sim, ""), 100);
    conditions = value_at(get(sim, SETS "/web"), "status.conditions");
    assert_true(!conditions || conditions->n == 0);
}

// Started again in the middle, they count right.
static void test_restart(void **state) {
    World *world = *state;
    Sim *sim = world->sim;
    create_set(sim, "web", 50, "");
    scale(sim, SETS "/web", 80);
    controllers_free(world->controllers);
    sim_patch(sim, SETS "/web", "{\"spec\":{\"replicas\":60}}");
    start_controllers(world);
    assert_int_equal(count_pods(sim, ""), 60);
}

// Never more than asked for at any moment, even though what was written shows late.
static void test_slow_watch(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_set(sim, "web", 5, "");
    for (int i = 0; i < 5; i++) {
        char patch[128];
        snprintf(patch, sizeof patch, "{\"metadata\":{\"annotations\":{\"n\":\"%d\"}}}", i);
        sim_patch(sim, SETS "/web", patch);
        scale(sim, SETS "/web", 5 + i);
        assert_int_equal(count_pods(sim, ""), 5 + i);
    }
    assert_int_equal(count_text(sim_log(sim), "POST " PODS), 9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_pods_are_made),
        TEST(test_lost_pods_are_replaced),
        TEST(test_min_ready_seconds),
        TEST(test_scaling_down_gives_up_the_least),
        TEST(test_many),
        TEST(test_adopts_and_releases),
        TEST(test_others_pods),
        TEST(test_replication_controller),
        TEST(test_refused_pods),
        TEST(test_restart),
        TEST(test_slow_watch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
