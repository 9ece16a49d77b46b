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
#define SETS "/apis/apps/v1/namespaces/default/daemonsets"
#define REVISIONS "/apis/apps/v1/namespaces/default/controllerrevisions"
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
                             .selection = STR("daemonset-controller,serviceaccount-controller")},
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

static const Value *get(Sim *sim, const char *path) {
    Answer *answer = call(sim->api, "GET", path, NULL);
    assert_int_equal(answer->status, 200);
    return answer->json;
}

static Str node_of(const Value *pod) {
    Str bound = value_string_at(pod, "spec.nodeName");
    const Value *terms = value_at(pod, "spec.affinity.nodeAffinity."
                                       "requiredDuringSchedulingIgnoredDuringExecution."
                                       "nodeSelectorTerms");
    assert_int_equal(terms->n, 1);
    const Value *field = value_get(terms->items[0], STR("matchFields"))->items[0];
    assert_true(str_eq(value_string_at(field, "key"), STR("metadata.name")));
    Str wanted = value_get(field, STR("values"))->items[0]->string;
    assert_true(!bound.len || str_eq(bound, wanted));
    return wanted;
}

// The pods of a node, the first one in *ret_pod (may be NULL).
static int pods_on(Sim *sim, const char *node, const Value **ret_pod) {
    const Value *items = value_get(get(sim, PODS), STR("items"));
    int n = 0;
    for (uint32_t i = 0; items && i < items->n; i++) {
        if (!str_eq(node_of(items->items[i]), str_from(node)))
            continue;
        if (!n++ && ret_pod)
            *ret_pod = items->items[i];
    }
    return n;
}

static int count_pods(Sim *sim) {
    const Value *items = value_get(get(sim, PODS), STR("items"));
    return items ? (int)items->n : 0;
}

static const char *pod_on(Sim *sim, const char *node) {
    const Value *pod = NULL;
    assert_int_equal(pods_on(sim, node, &pod), 1);
    return arena_cstr(sim->api->arena, value_string_at(pod, "metadata.name"));
}

static Str image_on(Sim *sim, const char *node) {
    const Value *pod = NULL;
    assert_int_equal(pods_on(sim, node, &pod), 1);
    return value_string_at(value_at(pod, "spec.containers")->items[0], "image");
}

static int64_t status_of(Sim *sim, const char *field) {
    char at[64];
    snprintf(at, sizeof at, "status.%s", field);
    return value_int_at(get(sim, SETS "/ds"), at, 0);
}

// ---- what others do

static void set_pod(Sim *sim, const char *name, const char *phase, bool ready) {
    char path[256], patch[512];
    snprintf(path, sizeof path, PODS "/%s/status", name);
    snprintf(patch, sizeof patch,
             "{\"status\":{\"phase\":\"%s\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\","
             "\"lastTransitionTime\":\"%.*s\"}]}}",
             phase, ready ? "True" : "False",
             STR_ARG(time_format(sim->api->arena, loop_wall(sim->api->loop))));
    sim_patch(sim, path, patch);
    sim_run(sim, SOON);
}

// As scheduler and node would: bound, running, ready.
static void run_pod(Sim *sim, const char *node, const char *name) {
    char path[256], body[256];
    snprintf(path, sizeof path, PODS "/%s/binding", name);
    snprintf(body, sizeof body,
             "{\"metadata\":{\"name\":\"%s\"},\"target\":{\"kind\":\"Node\",\"name\":\"%s\"}}",
             name, node);
    sim_create(sim, path, body);
    set_pod(sim, name, "Running", true);
}

static void run_on(Sim *sim, const char *node) {
    run_pod(sim, node, pod_on(sim, node));
}

static void delete_pod(Sim *sim, const char *name) {
    char path[256];
    snprintf(path, sizeof path, PODS "/%s", name);
    sim_delete(sim, path);
    sim_run(sim, SOON);
}

// What is terminating ends at once.
static void end_terminating(Sim *sim) {
    const Value *items = value_get(get(sim, PODS), STR("items"));
    for (uint32_t i = 0; items && i < items->n; i++)
        if (value_string_at(items->items[i], "metadata.deletionTimestamp").len)
            delete_pod(sim, arena_cstr(sim->api->arena,
                                       value_string_at(items->items[i], "metadata.name")));
}

static void add_node(Sim *sim, const char *name, const char *more) {
    sim_add_node(sim, name, more);
    sim_run(sim, SOON);
}

static void create_set(Sim *sim, const char *pod, const char *more) {
    char text[2048];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"name\":\"ds\"},\"spec\":{\"selector\":{\"matchLabels\":{\"app\":"
             "\"ds\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"ds\"}},\"spec\":{"
             "\"containers\":[{\"name\":\"c\",\"image\":\"one\"}]%s}}%s}}",
             pod, more);
    sim_create(sim, SETS, text);
    sim_run(sim, SOON);
}

static void patch_set(Sim *sim, const char *patch) {
    sim_patch(sim, SETS "/ds", patch);
    sim_run(sim, SOON);
}

#define IMAGE(name)                                                                                \
    "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"" name         \
    "\"}]}}}}"

static void three_nodes(Sim *sim, const char *more) {
    add_node(sim, "n1", NULL);
    add_node(sim, "n2", NULL);
    add_node(sim, "n3", NULL);
    create_set(sim, "", more);
    run_on(sim, "n1");
    run_on(sim, "n2");
    run_on(sim, "n3");
}

// ---- tests

static void test_one_on_every_node(void **state) {
    Sim *sim = ((World *)*state)->sim;
    three_nodes(sim, "");
    assert_int_equal(count_pods(sim), 3);
    assert_int_equal(status_of(sim, "desiredNumberScheduled"), 3);
    assert_int_equal(status_of(sim, "currentNumberScheduled"), 3);
    assert_int_equal(status_of(sim, "numberReady"), 3);
    assert_int_equal(status_of(sim, "numberAvailable"), 3);
    assert_int_equal(status_of(sim, "updatedNumberScheduled"), 3);
    assert_int_equal(status_of(sim, "numberMisscheduled"), 0);
    assert_int_equal(status_of(sim, "observedGeneration"), 1);
    const Value *pod = NULL;
    pods_on(sim, "n1", &pod);
    const Value *tolerations = value_at(pod, "spec.tolerations");
    // AddOrUpdateDaemonPodTolerations: six without the node's network.
    assert_int_equal(tolerations->n, 6);
    assert_true(str_starts_with(value_string_at(pod, "metadata.name"), STR("ds-")));
    assert_non_null(strstr(sim_events(sim, "ds"), "Normal SuccessfulCreate 1 Created pod: ds-"));
    int64_t revision = sim_revision(sim);
    sim_run(sim, 600 * NSEC_PER_SEC);
    assert_int_equal(sim_revision(sim), revision);
}

// None: it is made. Too many: the youngest goes. Exactly one: nothing happens.
static void test_none_too_many_one(void **state) {
    Sim *sim = ((World *)*state)->sim;
    add_node(sim, "n1", NULL);
    create_set(sim, "", "");
    char first[64];
    snprintf(first, sizeof first, "%s", pod_on(sim, "n1"));
    run_on(sim, "n1");
    sim_create(sim, PODS,
               "{\"metadata\":{\"name\":\"more\",\"labels\":{\"app\":\"ds\"}},\"spec\":{"
               "\"nodeName\":\"n1\",\"affinity\":{\"nodeAffinity\":{"
               "\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":[{"
               "\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"n1\"]"
               "}]}]}}},\"containers\":[{\"name\":\"c\",\"image\":\"one\"}]}}");
    sim_run(sim, SOON);
    end_terminating(sim);
    assert_string_equal(pod_on(sim, "n1"), first);
    int64_t revision = sim_revision(sim);
    sim_run(sim, 60 * NSEC_PER_SEC);
    assert_int_equal(sim_revision(sim), revision);
    delete_pod(sim, first);
    assert_string_not_equal(pod_on(sim, "n1"), first);
}

static void test_nodes_come_and_go(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_set(sim, "", "");
    assert_int_equal(count_pods(sim), 0);
    add_node(sim, "n1", NULL);
    assert_int_equal(pods_on(sim, "n1", NULL), 1);
    add_node(sim, "n2", NULL);
    assert_int_equal(pods_on(sim, "n2", NULL), 1);
    sim_delete(sim, "/api/v1/nodes/n2"); // its pod was never bound
    sim_run(sim, SOON);
    assert_int_equal(count_pods(sim), 1);
    assert_int_equal(status_of(sim, "desiredNumberScheduled"), 1);
    // A node that is cordoned keeps its pod, and would get one.
    sim_patch(sim, "/api/v1/nodes/n1", "{\"spec\":{\"unschedulable\":true}}");
    delete_pod(sim, pod_on(sim, "n1"));
    assert_int_equal(pods_on(sim, "n1", NULL), 1);
}

// What a node says of its health concerns no set.
static void test_heartbeats(void **state) {
    Sim *sim = ((World *)*state)->sim;
    three_nodes(sim, "");
    sim_log_clear(sim);
    for (int i = 0; i < 5; i++) {
        char patch[128];
        snprintf(patch, sizeof patch, "{\"metadata\":{\"annotations\":{\"beat\":\"%d\"}}}", i);
        sim_patch(sim, "/api/v1/nodes/n1", patch);
        sim_run(sim, SOON);
    }
    assert_string_equal(sim_log(sim), "");
}

static void test_selected_nodes(void **state) {
    Sim *sim = ((World *)*state)->sim;
    add_node(sim, "n1", "{\"metadata\":{\"labels\":{\"disk\":\"ssd\"}}}");
    add_node(sim, "n2", NULL);
    create_set(sim, ",\"nodeSelector\":{\"disk\":\"ssd\"}", "");
    assert_int_equal(pods_on(sim, "n1", NULL), 1);
    assert_int_equal(pods_on(sim, "n2", NULL), 0);
    sim_patch(sim, "/api/v1/nodes/n2", "{\"metadata\":{\"labels\":{\"disk\":\"ssd\"}}}");
    sim_run(sim, SOON);
    assert_int_equal(pods_on(sim, "n2", NULL), 1);
    sim_patch(sim, "/api/v1/nodes/n1", "{\"metadata\":{\"labels\":{\"disk\":\"hdd\"}}}");
    sim_run(sim, SOON);
    assert_int_equal(pods_on(sim, "n1", NULL), 0);
    assert_int_equal(status_of(sim, "desiredNumberScheduled"), 1);
}

static void test_taints(void **state) {
    Sim *sim = ((World *)*state)->sim;
    add_node(sim, "n1", "{\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"NoSchedule\"}]}}");
    add_node(sim, "n2", NULL);
    create_set(sim, "", "");
    assert_int_equal(pods_on(sim, "n1", NULL), 0);
    run_on(sim, "n2");
    // NoSchedule leaves what runs, NoExecute does not.
    sim_patch(sim, "/api/v1/nodes/n2",
              "{\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"NoSchedule\"}]}}");
    sim_run(sim, SOON);
    end_terminating(sim);
    assert_int_equal(pods_on(sim, "n2", NULL), 1);
    assert_int_equal(status_of(sim, "numberMisscheduled"), 1);
    assert_int_equal(status_of(sim, "desiredNumberScheduled"), 0);
    sim_patch(sim, "/api/v1/nodes/n2",
              "{\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"NoExecute\"}]}}");
    sim_run(sim, SOON);
    end_terminating(sim);
    assert_int_equal(count_pods(sim), 0);
    patch_set(sim, "{\"spec\":{\"template\":{\"spec\":{\"tolerations\":[{\"key\":\"k\","
                   "\"operator\":\"Exists\"}]}}}}");
    assert_int_equal(count_pods(sim), 2);
}

static void test_rolling_update(void **state) {
    Sim *sim = ((World *)*state)->sim;
    three_nodes(sim, "");
    patch_set(sim, IMAGE("two"));
    int updated = 0;
    for (int i = 0; i < 3; i++) {
        // Never more than one node without an available pod.
        assert_in_range(status_of(sim, "numberAvailable"), 2, 3);
        end_terminating(sim);
        updated = 0;
        const char *const nodes[] = {"n1", "n2", "n3"};
        for (int j = 0; j < 3; j++) {
            if (!str_eq(image_on(sim, nodes[j]), STR("two")))
                continue;
            updated++;
            const Value *pod = NULL;
            pods_on(sim, nodes[j], &pod);
            if (!value_string_at(pod, "spec.nodeName").len)
                run_on(sim, nodes[j]);
        }
        assert_int_equal(updated, i + 1);
    }
    assert_int_equal(status_of(sim, "updatedNumberScheduled"), 3);
    assert_int_equal(status_of(sim, "numberAvailable"), 3);
    assert_int_equal(value_get(get(sim, REVISIONS), STR("items"))->n, 2);
    int64_t revision = sim_revision(sim);
    sim_run(sim, 600 * NSEC_PER_SEC);
    assert_int_equal(sim_revision(sim), revision);
}

static const char *new_pod_on(Sim *sim, const char *node) {
    const Value *items = value_get(get(sim, PODS), STR("items"));
    for (uint32_t i = 0; items && i < items->n; i++)
        if (str_eq(node_of(items->items[i]), str_from(node)) &&
            !value_string_at(items->items[i], "spec.nodeName").len)
            return arena_cstr(sim->api->arena, value_string_at(items->items[i], "metadata.name"));
    return NULL;
}

static void test_surge(void **state) {
    Sim *sim = ((World *)*state)->sim;
    three_nodes(sim, ",\"updateStrategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{"
                     "\"maxSurge\":1,\"maxUnavailable\":0}}");
    patch_set(sim, IMAGE("two"));
    for (int round = 0; round < 3; round++) {
        assert_int_equal(count_pods(sim), 4);
        assert_int_equal(status_of(sim, "numberAvailable"), 3);
        const char *const nodes[] = {"n1", "n2", "n3"};
        for (int i = 0; i < 3; i++) {
            const char *name = new_pod_on(sim, nodes[i]);
            if (!name)
                continue;
            run_pod(sim, nodes[i], name);
            end_terminating(sim);
            break;
        }
    }
    assert_int_equal(count_pods(sim), 3);
    assert_int_equal(status_of(sim, "updatedNumberScheduled"), 3);
}

static void test_on_delete(void **state) {
    Sim *sim = ((World *)*state)->sim;
    three_nodes(sim, ",\"updateStrategy\":{\"type\":\"OnDelete\"}");
    patch_set(sim, IMAGE("two"));
    assert_true(str_eq(image_on(sim, "n1"), STR("one")));
    delete_pod(sim, pod_on(sim, "n1"));
    assert_true(str_eq(image_on(sim, "n1"), STR("two")));
    assert_true(str_eq(image_on(sim, "n2"), STR("one")));
}

static void test_min_ready_seconds(void **state) {
    Sim *sim = ((World *)*state)->sim;
    add_node(sim, "n1", NULL);
    create_set(sim, "", ",\"minReadySeconds\":30");
    run_on(sim, "n1");
    sim_run(sim, 28 * NSEC_PER_SEC);
    assert_int_equal(status_of(sim, "numberReady"), 1);
    assert_int_equal(status_of(sim, "numberAvailable"), 0);
    assert_int_equal(status_of(sim, "numberUnavailable"), 1);
    sim_run(sim, 3 * NSEC_PER_SEC);
    assert_int_equal(status_of(sim, "numberAvailable"), 1);
}

// A pod that fails again and again is replaced more and more rarely.
static void test_failing_pods(void **state) {
    Sim *sim = ((World *)*state)->sim;
    add_node(sim, "n1", NULL);
    create_set(sim, "", "");
    int64_t began = loop_wall(sim->api->loop);
    for (int i = 0; i < 6; i++) {
        char name[64], path[128];
        snprintf(name, sizeof name, "%s", pod_on(sim, "n1"));
        snprintf(path, sizeof path, PODS "/%s", name);
        set_pod(sim, name, "Failed", false);
        for (int s = 0; s < 100 && sim_exists(sim, path); s++)
            sim_run(sim, NSEC_PER_SEC);
    }
    assert_in_range((loop_wall(sim->api->loop) - began) / NSEC_PER_SEC, 15, 60);
    assert_int_equal(pods_on(sim, "n1", NULL), 1);
    assert_non_null(strstr(sim_events(sim, "ds"),
                           "Warning FailedDaemonPod 1 Found failed daemon pod "
                           "default/ds-"));
    assert_non_null(strstr(sim_events(sim, "ds"), " on node n1, will try to kill it"));
}

static void test_restart(void **state) {
    World *world = *state;
    Sim *sim = world->sim;
    three_nodes(sim, "");
    patch_set(sim, IMAGE("two"));
    controllers_free(world->controllers);
    add_node(sim, "n4", NULL);
    start_controllers(world);
    assert_int_equal(pods_on(sim, "n4", NULL), 1);
    end_terminating(sim);
    assert_int_equal(count_pods(sim), 4);
    assert_int_equal(value_get(get(sim, REVISIONS), STR("items"))->n, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_one_on_every_node), TEST(test_none_too_many_one),
        TEST(test_nodes_come_and_go), TEST(test_heartbeats),
        TEST(test_selected_nodes),    TEST(test_taints),
        TEST(test_rolling_update),    TEST(test_surge),
        TEST(test_on_delete),         TEST(test_min_ready_seconds),
        TEST(test_failing_pods),      TEST(test_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
