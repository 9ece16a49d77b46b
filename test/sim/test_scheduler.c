// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdlib.h>

#include "scheduler/scheduler.h"
#include "sim.h"

typedef struct World {
    Sim *sim;
    Scheduler *scheduler;
} World;

static int setup(void **state) {
    World *world = calloc(1, sizeof *world);
    world->sim = sim_new();
    sim_add_service_account(world->sim);
    world->scheduler = scheduler_new(&(SchedulerConfig){
        .loop = world->sim->api->loop, .client = sim_client(world->sim, "system:kube-scheduler")});
    *state = world;
    return 0;
}

static int teardown(void **state) {
    World *world = *state;
    scheduler_free(world->scheduler);
    sim_free(world->sim);
    free(world);
    return 0;
}

#define NOT_HELPFUL                                                                                \
    " no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not "      \
    "helpful for scheduling."

static void test_pod_gets_the_node(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_add_node(sim, "n1", NULL);
    sim_add_pod(sim, "a", NULL);
    sim_run(sim, 10 * NSEC_PER_MSEC);
    assert_string_equal(text_at(sim_pod(sim, "a"), "spec.nodeName"), "n1");
    assert_string_equal(sim_condition(sim, "a", "PodScheduled"), "True  ");
    assert_string_equal(sim_events(sim, "a"),
                        "Normal Scheduled 1 Successfully assigned default/a to n1\n");
}

static void test_no_nodes_yet(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_add_pod(sim, "a", NULL);
    sim_run(sim, 10 * NSEC_PER_MSEC);
    assert_string_equal(text_at(sim_pod(sim, "a"), "spec.nodeName"), "");
    assert_string_equal(sim_condition(sim, "a", "PodScheduled"),
                        "False Unschedulable no nodes available to schedule pods");
    assert_string_equal(sim_events(sim, "a"),
                        "Warning FailedScheduling 1 no nodes available to schedule pods\n");
    sim_add_node(sim, "n1", NULL);
    sim_run(sim, 100 * NSEC_PER_MSEC);
    assert_string_equal(text_at(sim_pod(sim, "a"), "spec.nodeName"), "n1");
    assert_string_equal(sim_condition(sim, "a", "PodScheduled"), "True  ");
}

// The seed's pod: metadata.name is no label.
static void test_expression_on_metadata_name(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_add_node(sim, "n1", NULL);
    sim_add_pod(
        sim, "a",
        "\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":"
        "{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"metadata.name\","
        "\"operator\":\"In\",\"values\":[\"n1\"]}]}]}}}");
    sim_run(sim, 20 * NSEC_PER_SEC);
    assert_string_equal(sim_condition(sim, "a", "PodScheduled"),
                        "False Unschedulable 0/1 nodes are available: 1 node(s) didn't match Pod's "
                        "node affinity/selector." NOT_HELPFUL);
    assert_string_equal(text_at(sim_pod(sim, "a"), "status.phase"), "Pending");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pod_gets_the_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_nodes_yet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expression_on_metadata_name, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
