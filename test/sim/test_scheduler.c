// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
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
    assert_string_equal(sim_node_of(sim, "a"), "n1");
    assert_string_equal(sim_condition(sim, "a", "PodScheduled"), "True  ");
    assert_string_equal(sim_events(sim, "a"),
                        "Normal Scheduled 1 Successfully assigned default/a to n1\n");
}

static void test_no_nodes_yet(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_add_pod(sim, "a", NULL);
    sim_run(sim, 10 * NSEC_PER_MSEC);
    assert_string_equal(sim_node_of(sim, "a"), "");
    assert_string_equal(sim_condition(sim, "a", "PodScheduled"),
                        "False Unschedulable no nodes available to schedule pods");
    assert_string_equal(sim_events(sim, "a"),
                        "Warning FailedScheduling 1 no nodes available to schedule pods\n");
    sim_add_node(sim, "n1", NULL);
    sim_run(sim, 10 * NSEC_PER_MSEC);
    assert_string_equal(sim_node_of(sim, "a"), "n1");
    assert_string_equal(sim_condition(sim, "a", "PodScheduled"), "True  ");
}

// The seed's pod: metadata.name is no label. It is told once and then left in peace.
static void test_expression_on_metadata_name(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_add_node(sim, "n1", NULL);
    sim_add_pod(
        sim, "a",
        "\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":"
        "{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"metadata.name\","
        "\"operator\":\"In\",\"values\":[\"n1\"]}]}]}}}");
    sim_run(sim, 3600 * NSEC_PER_SEC);
    assert_string_equal(sim_condition(sim, "a", "PodScheduled"),
                        "False Unschedulable 0/1 nodes are available: 1 node(s) didn't match Pod's "
                        "node affinity/selector." NOT_HELPFUL);
    assert_string_equal(text_at(sim_pod(sim, "a"), "status.phase"), "Pending");
    assert_string_equal(sim_events(sim, "a"),
                        "Warning FailedScheduling 1 0/1 nodes are available: 1 node(s) didn't "
                        "match Pod's node affinity/selector." NOT_HELPFUL "\n");
}

#define TAINT "{\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"NoSchedule\"}]}}"

static void test_untainted_node_takes_it(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_add_node(sim, "n1", TAINT);
    sim_add_pod(sim, "a", NULL);
    sim_run(sim, 10 * NSEC_PER_MSEC);
    assert_string_equal(sim_condition(sim, "a", "PodScheduled"),
                        "False Unschedulable 0/1 nodes are available: 1 node(s) had untolerated "
                        "taint(s)." NOT_HELPFUL);
    sim_patch(sim, "/api/v1/nodes/n1", "{\"spec\":{\"taints\":null}}");
    sim_run(sim, 10 * NSEC_PER_MSEC);
    assert_string_equal(sim_node_of(sim, "a"), "n1");
}

static void test_new_toleration_helps(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_add_node(sim, "n1", TAINT);
    sim_add_pod(sim, "a", NULL);
    sim_run(sim, 10 * NSEC_PER_MSEC);
    assert_string_equal(sim_node_of(sim, "a"), "");
    assert_status(call_patch(sim->api, "json", "/api/v1/namespaces/default/pods/a",
                             "[{\"op\":\"add\",\"path\":\"/spec/tolerations/-\",\"value\":{"
                             "\"key\":\"k\",\"operator\":\"Exists\"}}]"),
                  200);
    sim_run(sim, 10 * NSEC_PER_MSEC);
    assert_string_equal(sim_node_of(sim, "a"), "n1");
}

static void test_scheduling_gates(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_add_node(sim, "n1", NULL);
    sim_add_pod(sim, "a", "\"schedulingGates\":[{\"name\":\"example.com/wait\"}]");
    sim_run(sim, 60 * NSEC_PER_SEC);
    assert_string_equal(sim_condition(sim, "a", "PodScheduled"),
                        "False SchedulingGated Scheduling is blocked due to non-empty scheduling "
                        "gates");
    assert_string_equal(sim_events(sim, "a"), "");
    sim_patch(sim, "/api/v1/namespaces/default/pods/a", "{\"spec\":{\"schedulingGates\":null}}");
    sim_run(sim, 10 * NSEC_PER_MSEC);
    assert_string_equal(sim_node_of(sim, "a"), "n1");
}

static void test_somebody_elses_pod(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_add_node(sim, "n1", NULL);
    sim_add_pod(sim, "a", "\"schedulerName\":\"other\"");
    sim_run(sim, 60 * NSEC_PER_SEC);
    assert_string_equal(sim_node_of(sim, "a"), "");
    assert_string_equal(sim_condition(sim, "a", "PodScheduled"), "");
}

#define ROOM(n) "{\"status\":{\"allocatable\":{\"pods\":\"" n "\"}}}"

static int count_bound(Sim *sim, int n) {
    char name[16];
    int bound = 0;
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "p%d", i);
        bound += *sim_node_of(sim, name) != 0;
    }
    return bound;
}

// Pods that come faster than bindings are confirmed do not overfill the node.
static void test_a_burst_fills_no_more_than_the_room(void **state) {
    Sim *sim = ((World *)*state)->sim;
    char path[64], body[256];
    sim_add_node(sim, "n1", ROOM("7"));
    for (int i = 0; i < 10; i++) {
        snprintf(body, sizeof body,
                 "{\"metadata\":{\"name\":\"p%d\"},\"spec\":{\"containers\":[{\"name\":\"c\","
                 "\"image\":\"i\"}]}}",
                 i);
        call_start(sim->api, sim->api->admin, "POST", "/api/v1/namespaces/default/pods", body, NULL,
                   NULL);
    }
    sim_run(sim, 100 * NSEC_PER_MSEC);
    assert_int_equal(count_bound(sim, 10), 7);
    char left[16]; // one of those without a node; which, nobody promises
    for (int i = 0; i < 10; i++) {
        snprintf(path, sizeof path, "p%d", i);
        if (!*sim_node_of(sim, path))
            snprintf(left, sizeof left, "p%d", i);
    }
    assert_string_equal(sim_condition(sim, left, "PodScheduled"),
                        "False Unschedulable 0/1 nodes are available: 1 Too many pods. no new "
                        "claims to deallocate, preemption: 0/1 nodes are available: 1 No "
                        "preemption victims found for incoming pod.");
    sim_add_pod(sim, "p10", NULL);
    sim_run(sim, 100 * NSEC_PER_MSEC);
    assert_string_equal(sim_node_of(sim, "p10"), "");
    for (int i = 0, n = 0; i < 10 && n < 2; i++) {
        snprintf(path, sizeof path, "p%d", i);
        if (!*sim_node_of(sim, path))
            continue;
        snprintf(path, sizeof path, "/api/v1/namespaces/default/pods/p%d", i);
        sim_delete(sim, path);
        sim_add_pod(sim, strrchr(path, '/') + 1, "\"schedulerName\":\"nobody\"");
        n++;
    }
    sim_run(sim, 100 * NSEC_PER_MSEC);
    assert_int_equal(count_bound(sim, 11), 7);
}

// A pod that has ended takes no room, though it is still there.
static void test_an_ended_pod_leaves_room(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_add_node(sim, "n1", ROOM("1"));
    sim_add_pod(sim, "a", NULL);
    sim_add_pod(sim, "b", NULL);
    sim_run(sim, 10 * NSEC_PER_MSEC);
    assert_string_equal(sim_node_of(sim, "a"), "n1");
    assert_string_equal(sim_node_of(sim, "b"), "");
    sim_patch(sim, "/api/v1/namespaces/default/pods/a/status",
              "{\"status\":{\"phase\":\"Succeeded\"}}");
    sim_run(sim, 10 * NSEC_PER_MSEC);
    assert_string_equal(sim_node_of(sim, "b"), "n1");
}

static bool is_binding(const HttpRequest *request) {
    return str_ends_with(request->path, STR("/binding"));
}

static bool refuse_bindings(Sim *sim, HttpRequest *request) {
    int *left = sim->user;
    if (!is_binding(request) || !*left)
        return false;
    --*left;
    sim_refuse(request, 500, "InternalError", "not today");
    return true;
}

static void test_a_refused_binding_is_tried_again(void **state) {
    Sim *sim = ((World *)*state)->sim;
    int refusals = 2;
    sim->user = &refusals;
    sim->intercept = refuse_bindings;
    sim_add_node(sim, "n1", ROOM("1"));
    sim_add_pod(sim, "a", NULL);
    sim_run(sim, 500 * NSEC_PER_MSEC);
    assert_int_equal(refusals, 1);
    assert_string_equal(sim_node_of(sim, "a"), "");
    assert_string_equal(sim_condition(sim, "a", "PodScheduled"),
                        "False SchedulerError running Bind plugin \"DefaultBinder\": not today");
    sim_run(sim, 2000 * NSEC_PER_MSEC);
    assert_int_equal(refusals, 0);
    assert_string_equal(sim_node_of(sim, "a"), "");
    sim_run(sim, 2000 * NSEC_PER_MSEC);
    assert_string_equal(sim_node_of(sim, "a"), "n1"); // 1 s and 2 s after
    assert_string_equal(sim_events(sim, "a"),
                        "Warning FailedScheduling 2 running Bind plugin \"DefaultBinder\": not "
                        "today\nNormal Scheduled 1 Successfully assigned default/a to n1\n");
}

static HttpRequest *held;

static bool hold_binding(Sim *sim, HttpRequest *request) {
    if (!is_binding(request) || held)
        return false;
    held = request;
    return true;
}

// The room that a pod is given counts at once, and is free again when the binding fails.
static void test_assumed_and_forgotten(void **state) {
    Sim *sim = ((World *)*state)->sim;
    held = NULL;
    sim->intercept = hold_binding;
    sim_add_node(sim, "n1", ROOM("1"));
    sim_add_pod(sim, "a", NULL);
    sim_add_pod(sim, "b", NULL);
    sim_run(sim, 100 * NSEC_PER_MSEC);
    assert_non_null(held);
    assert_string_equal(sim_node_of(sim, "b"), "");
    sim_refuse(held, 500, "InternalError", "not today");
    sim_run(sim, 100 * NSEC_PER_MSEC);
    assert_string_equal(sim_node_of(sim, "b"), "n1");
    assert_string_equal(sim_node_of(sim, "a"), "");
}

static void test_deleted_while_being_bound(void **state) {
    Sim *sim = ((World *)*state)->sim;
    held = NULL;
    sim->intercept = hold_binding;
    sim_add_node(sim, "n1", ROOM("1"));
    sim_add_pod(sim, "a", NULL);
    sim_run(sim, 100 * NSEC_PER_MSEC);
    assert_non_null(held);
    sim_delete(sim, "/api/v1/namespaces/default/pods/a");
    sim_run(sim, 100 * NSEC_PER_MSEC);
    // The next one of that name has nothing to do with it.
    sim_add_pod(sim, "a", NULL);
    sim_run(sim, 100 * NSEC_PER_MSEC);
    assert_string_equal(sim_node_of(sim, "a"), "n1");
    sim_refuse(held, 404, "NotFound", "pods \\\"a\\\" not found");
    sim_run(sim, 100 * NSEC_PER_MSEC);
    sim_add_pod(sim, "b", NULL);
    sim_run(sim, 100 * NSEC_PER_MSEC);
    assert_string_equal(sim_node_of(sim, "b"), ""); // the second "a" is still counted
}

// The answer to a binding is lost, but the binding was made.
static bool lose_answer(Sim *sim, HttpRequest *request) {
    if (!is_binding(request) || sim->user)
        return false;
    sim->user = sim;
    const char *target = arena_cstr(sim->api->arena, request->path);
    call_start(sim->api, sim->api->admin, "POST", target,
               arena_cstr(sim->api->arena, request->body), NULL, NULL);
    http_respond_abort(request);
    return true;
}

static void test_the_answer_is_lost(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim->intercept = lose_answer;
    sim_add_node(sim, "n1", ROOM("1"));
    sim_add_pod(sim, "a", NULL);
    sim_run(sim, 20 * NSEC_PER_SEC);
    assert_string_equal(sim_node_of(sim, "a"), "n1");
    assert_string_equal(sim_condition(sim, "a", "PodScheduled"), "True  ");
    sim_add_pod(sim, "b", NULL);
    sim_run(sim, 1 * NSEC_PER_SEC);
    assert_string_equal(sim_node_of(sim, "b"), ""); // "a" is counted
}

static void test_the_api_restarts(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_add_node(sim, "n1", ROOM("2"));
    sim_add_pod(sim, "a", NULL);
    sim_run(sim, 100 * NSEC_PER_MSEC);
    sim_restart_api(sim);
    sim_add_pod(sim, "b", NULL);
    sim_add_pod(sim, "c", NULL);
    sim_run(sim, 2 * NSEC_PER_SEC);
    assert_string_equal(sim_node_of(sim, "b"), "n1");
    assert_string_equal(sim_node_of(sim, "c"), "");
    // Away for a while, and the world has moved on.
    sim->cut = true;
    sim_restart_api(sim);
    sim->cut = true;
    sim_delete(sim, "/api/v1/namespaces/default/pods/a");
    sim_run(sim, 300 * NSEC_PER_SEC);
    sim->cut = false;
    sim_run(sim, 61 * NSEC_PER_SEC);
    assert_string_equal(sim_node_of(sim, "c"), "n1");
}

// With pods that wait and pods that run, an hour passes without a request but renewed watches.
static void test_idle(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_add_node(sim, "n1", ROOM("1"));
    sim_add_pod(sim, "a", NULL);
    sim_add_pod(sim, "b", NULL);
    sim_run(sim, 30 * NSEC_PER_SEC);
    sim_log_clear(sim);
    int64_t revision = sim_revision(sim);
    // The node says that it lives.
    for (int i = 0; i < 12; i++) {
        char body[256];
        snprintf(body, sizeof body,
                 "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\","
                 "\"lastHeartbeatTime\":\"2026-11-23T%02d:00:00Z\"}]}}",
                 i);
        sim_patch(sim, "/api/v1/nodes/n1/status", body);
        sim_run(sim, 300 * NSEC_PER_SEC);
    }
    assert_int_equal(sim_revision(sim), revision + 12);
    Str log = sim->log;
    while (log.len) {
        Str line = str_cut(&log, '\n');
        if (line.len && (!str_starts_with(line, STR("GET ")) ||
                         !strstr(arena_cstr(sim->api->arena, line), "watch=true")))
            fail_msg("%.*s", STR_ARG(line));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pod_gets_the_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_nodes_yet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expression_on_metadata_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_untainted_node_takes_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_new_toleration_helps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scheduling_gates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_somebody_elses_pod, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_burst_fills_no_more_than_the_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_ended_pod_leaves_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_refused_binding_is_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_assumed_and_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deleted_while_being_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_answer_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_api_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idle, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
