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
#define BUDGETS "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
#define BUDGET BUDGETS "/b"
#define DEPLOYMENTS "/apis/apps/v1/namespaces/default/deployments"
#define SOON (200 * NSEC_PER_MSEC)

typedef struct World {
    Sim *sim;
    Controllers *controllers;
} World;

static int setup(void **state) {
    World *world = calloc(1, sizeof *world);
    world->sim = sim_new();
    world->controllers = controllers_new(
        &(ControllersConfig){.loop = world->sim->api->loop,
                             .client = sim_controller_client,
                             .user = world->sim,
                             .cluster_ca = STR("the CA"),
                             .selection = STR("replicaset-controller,deployment-controller,"
                                              "disruption-controller,serviceaccount-controller")},
        NULL);
    sim_run(world->sim, NSEC_PER_SEC);
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

static const char *string_at(Sim *sim, const Value *value, const char *path) {
    return arena_cstr(sim->api->arena, value_string_at(value, path));
}

static const Value *pods(Sim *sim) {
    static const Value none = {.kind = VALUE_ARRAY};
    const Value *list = value_get(get(sim, PODS), STR("items"));
    return list ? list : &none;
}

static const char *pod_name(Sim *sim, size_t i) {
    assert_true(pods(sim)->n > i);
    return string_at(sim, pods(sim)->items[i], "metadata.name");
}

static void set_ready(Sim *sim, const char *name, bool ready) {
    char path[256], patch[512];
    snprintf(path, sizeof path, PODS "/%s/status", name);
    snprintf(patch, sizeof patch,
             "{\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":"
             "\"%s\",\"lastTransitionTime\":\"%.*s\"}]}}",
             ready ? "True" : "False",
             STR_ARG(time_format(sim->api->arena, loop_wall(sim->api->loop))));
    sim_patch(sim, path, patch);
}

static void all_ready(Sim *sim) {
    size_t n = pods(sim)->n;
    for (size_t i = 0; i < n; i++)
        set_ready(sim, pod_name(sim, i), true);
    sim_run(sim, SOON);
}

static void create_deployment(Sim *sim, int replicas) {
    char text[1024];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":%d,\"selector\":{"
             "\"matchLabels\":{\"app\":\"web\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":"
             "\"web\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}",
             replicas);
    sim_create(sim, DEPLOYMENTS, text);
    sim_run(sim, SOON);
}

static void create_budget(Sim *sim, const char *limit) {
    char text[512];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"name\":\"b\"},\"spec\":{\"selector\":{\"matchLabels\":{\"app\":"
             "\"web\"}},%s}}",
             limit);
    sim_create(sim, BUDGETS, text);
    sim_run(sim, SOON);
}

// A pod with label app=web; `owner`: its controller as JSON, may be "".
static void create_pod(Sim *sim, const char *name, const char *owner) {
    char text[1024];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"app\":\"web\"},\"ownerReferences\":[%s]}"
             ",\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}",
             name, owner);
    sim_create(sim, PODS, text);
    sim_run(sim, SOON);
}

// "allowed/healthy/desired/expected"
static const char *counts(Sim *sim) {
    const Value *status = value_get(get(sim, BUDGET), STR("status"));
    return arena_cstr(sim->api->arena,
                      arena_printf(sim->api->arena, "%d/%d/%d/%d",
                                   (int)value_int_at(status, "disruptionsAllowed", -1),
                                   (int)value_int_at(status, "currentHealthy", -1),
                                   (int)value_int_at(status, "desiredHealthy", -1),
                                   (int)value_int_at(status, "expectedPods", -1)));
}

static const char *condition(Sim *sim) {
    const Value *list = value_at(get(sim, BUDGET), "status.conditions");
    if (!list)
        return "";
    assert_int_equal(list->n, 1);
    const Value *item = list->items[0];
    assert_true(str_eq(value_string_at(item, "type"), STR("DisruptionAllowed")));
    return arena_cstr(sim->api->arena,
                      arena_printf(sim->api->arena, "%s %s %s", string_at(sim, item, "status"),
                                   string_at(sim, item, "reason"),
                                   string_at(sim, item, "message")));
}

static int evict(Sim *sim, const char *pod) {
    char path[256], body[256];
    snprintf(path, sizeof path, PODS "/%s/eviction", pod);
    snprintf(body, sizeof body,
             "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"%s\"}}",
             pod);
    return call(sim->api, "POST", path, body)->status;
}

static void assert_nobody_writes(Sim *sim, int64_t ns) {
    int64_t revision = sim_revision(sim);
    sim_run(sim, ns);
    assert_int_equal(sim_revision(sim), revision);
}

// ---- counting

static void test_share_of_a_deployment(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_deployment(sim, 3);
    create_budget(sim, "\"minAvailable\":\"50%\""); // rounded up: 2
    assert_string_equal(counts(sim), "0/0/2/3");
    // pkg/apis/policy: the reasons of DisruptionAllowed.
    assert_string_equal(condition(sim), "False InsufficientPods ");
    all_ready(sim);
    assert_string_equal(counts(sim), "1/3/2/3");
    assert_string_equal(condition(sim), "True SufficientPods ");
    assert_int_equal(value_int_at(get(sim, BUDGET), "status.observedGeneration", 0), 1);
    assert_nobody_writes(sim, 1000 * NSEC_PER_SEC);
    sim_patch(sim, DEPLOYMENTS "/web", "{\"spec\":{\"replicas\":6}}");
    sim_run(sim, SOON);
    assert_string_equal(counts(sim), "0/3/3/6");
    sim_patch(sim, BUDGET, "{\"spec\":{\"minAvailable\":null,\"maxUnavailable\":4}}");
    sim_run(sim, SOON);
    assert_string_equal(counts(sim), "1/3/2/6");
    assert_int_equal(value_int_at(get(sim, BUDGET), "status.observedGeneration", 0), 2);
    assert_nobody_writes(sim, 1000 * NSEC_PER_SEC);
}

static void test_pods_come_and_go(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_budget(sim, "\"minAvailable\":1");
    assert_string_equal(counts(sim), "0/0/1/0");
    assert_non_null(strstr(sim_events(sim, "b"), "Normal NoPods 1 No matching pods found"));
    create_pod(sim, "x", "");
    create_pod(sim, "y", "");
    all_ready(sim);
    assert_string_equal(counts(sim), "1/2/1/2");
    set_ready(sim, "x", false);
    sim_run(sim, SOON);
    assert_string_equal(counts(sim), "0/1/1/2");
    sim_patch(sim, PODS "/x", "{\"metadata\":{\"labels\":{\"app\":\"other\"}}}");
    sim_run(sim, SOON);
    assert_string_equal(counts(sim), "0/1/1/1");
    sim_delete(sim, PODS "/y");
    sim_run(sim, SOON);
    assert_string_equal(counts(sim), "0/0/1/0");
    sim_patch(sim, BUDGET, "{\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"other\"}}}}");
    sim_run(sim, SOON);
    assert_string_equal(counts(sim), "0/0/1/1");
    // Gone and made anew, it starts again.
    sim_delete(sim, BUDGET);
    create_pod(sim, "z", "");
    create_budget(sim, "\"minAvailable\":1");
    assert_string_equal(counts(sim), "0/0/1/1");
}

// ---- eviction

static void test_evictions(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_deployment(sim, 3);
    create_budget(sim, "\"maxUnavailable\":1");
    all_ready(sim);
    assert_string_equal(counts(sim), "1/3/2/3");
    char second[64];
    snprintf(second, sizeof second, "%s", pod_name(sim, 1));
    assert_int_equal(evict(sim, pod_name(sim, 0)), 201);
    assert_int_equal(evict(sim, second), 429);
    sim_run(sim, SOON);
    assert_string_equal(counts(sim), "0/2/2/3"); // its replacement is not ready yet
    assert_int_equal(evict(sim, second), 429);
    all_ready(sim);
    assert_string_equal(counts(sim), "1/3/2/3");
    assert_int_equal(evict(sim, second), 201);
}

// A pod whose eviction was granted does not count, until it is clear that nobody deletes it.
static void test_granted_and_not_deleted(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_deployment(sim, 3);
    create_budget(sim, "\"maxUnavailable\":2");
    all_ready(sim);
    char patch[256];
    snprintf(patch, sizeof patch,
             "{\"status\":{\"disruptedPods\":{\"%s\":\"%.*s\",\"x\":\"%.*s\"}}}", pod_name(sim, 0),
             STR_ARG(time_format(sim->api->arena, loop_wall(sim->api->loop))),
             STR_ARG(time_format(sim->api->arena, loop_wall(sim->api->loop))));
    sim_patch(sim, BUDGET "/status", patch);
    sim_run(sim, SOON);
    assert_string_equal(counts(sim), "1/2/1/3");
    assert_int_equal(value_at(get(sim, BUDGET), "status.disruptedPods")->n, 1); // there is no x
    assert_nobody_writes(sim, 110 * NSEC_PER_SEC);
    sim_run(sim, 20 * NSEC_PER_SEC);
    assert_string_equal(counts(sim), "2/3/1/3");
    assert_null(value_at(get(sim, BUDGET), "status.disruptedPods"));
    assert_non_null(strstr(sim_events(sim, pod_name(sim, 0)),
                           "Warning NotDeleted 1 Pod was expected by PDB default/b to be deleted "
                           "but it wasn't"));
    assert_nobody_writes(sim, 1000 * NSEC_PER_SEC);
}

static void test_stale_condition(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_pod(sim, "x", "");
    char patch[512];
    snprintf(patch, sizeof patch,
             "{\"status\":{\"conditions\":[{\"type\":\"DisruptionTarget\",\"status\":\"True\","
             "\"reason\":\"EvictionByEvictionAPI\",\"lastTransitionTime\":\"%.*s\"}]}}",
             STR_ARG(time_format(sim->api->arena, loop_wall(sim->api->loop))));
    sim_patch(sim, PODS "/x/status", patch);
    assert_nobody_writes(sim, 110 * NSEC_PER_SEC);
    sim_run(sim, 20 * NSEC_PER_SEC);
    assert_string_equal(sim_condition(sim, "x", "DisruptionTarget"), "False  ");
    assert_nobody_writes(sim, 1000 * NSEC_PER_SEC);
}

// ---- other controllers

static void test_unmanaged(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_pod(sim, "x", "");
    create_budget(sim, "\"maxUnavailable\":1");
    all_ready(sim);
    assert_string_equal(counts(sim), "0/1/0/0");
    assert_int_equal(evict(sim, "x"), 429);
    assert_non_null(strstr(sim_events(sim, "b"), "Warning UnmanagedPods"));
}

#define OWNER(version, kind, uid)                                                                  \
    "{\"apiVersion\":\"" version "\",\"kind\":\"" kind "\",\"name\":\"o\",\"uid\":\"" uid          \
    "\",\"controller\":true}"

static void test_unknown_controllers(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_budget(sim, "\"maxUnavailable\":1");
    create_pod(sim, "x", OWNER("apps/v1", "ReplicaSet", "u"));
    assert_string_equal(condition(sim), "False SyncFailed found no controllers for pod \"x\"");
    assert_non_null(strstr(sim_events(sim, "b"),
                           "Warning CalculateExpectedPodCountFailed 1 Failed to calculate the "
                           "number of expected pods: found no controllers for pod \"x\""));
    sim_delete(sim, PODS "/x");
    create_pod(sim, "y", OWNER("apps/v1", "DaemonSet", "u"));
    assert_string_equal(condition(sim), "False SyncFailed daemonsets.apps does not implement the "
                                        "scale subresource");
    assert_nobody_writes(sim, 1000 * NSEC_PER_SEC);
    sim_delete(sim, PODS "/y");
    create_pod(sim, "z", OWNER("example.com/v1", "Nothing", "u"));
    assert_string_equal(condition(sim), "False SyncFailed no matches for kind \"Nothing\" in "
                                        "version \"example.com/v1\"");
    sim_delete(sim, PODS "/z");
    sim_run(sim, SOON);
    assert_string_equal(condition(sim), "False InsufficientPods ");
}

static void test_custom_kind(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_create(sim, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
               "{\"metadata\":{\"name\":\"teams.example.com\"},\"spec\":{\"group\":\"example.com\","
               "\"scope\":\"Namespaced\",\"names\":{\"plural\":\"teams\",\"kind\":\"Team\"},"
               "\"versions\":[{\"name\":\"v1\",\"served\":true,\"storage\":true,\"schema\":{"
               "\"openAPIV3Schema\":{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":"
               "true}},\"subresources\":{\"scale\":{\"specReplicasPath\":\".spec.replicas\","
               "\"statusReplicasPath\":\".status.replicas\"}}}]}}");
    sim_run(sim, NSEC_PER_SEC);
    sim_create(sim, "/apis/example.com/v1/namespaces/default/teams",
               "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Team\",\"metadata\":{\"name\":\"o\"},"
               "\"spec\":{\"replicas\":5}}");
    const Value *team = get(sim, "/apis/example.com/v1/namespaces/default/teams/o");
    char owner[256];
    snprintf(owner, sizeof owner,
             "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Team\",\"name\":\"o\",\"uid\":\"%s\","
             "\"controller\":true}",
             string_at(sim, team, "metadata.uid"));
    create_pod(sim, "x", owner);
    create_pod(sim, "y", owner);
    create_budget(sim, "\"maxUnavailable\":\"60%\"");
    all_ready(sim);
    assert_string_equal(counts(sim), "0/2/2/5");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_share_of_a_deployment),   TEST(test_pods_come_and_go), TEST(test_evictions),
        TEST(test_granted_and_not_deleted), TEST(test_stale_condition),  TEST(test_unmanaged),
        TEST(test_unknown_controllers),     TEST(test_custom_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
