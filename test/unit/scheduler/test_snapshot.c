// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "fixture.h"

typedef struct Fixture {
    Arena *arena;
    Snapshot *snapshot;
} Fixture;

static int setup(void **state) {
    static Fixture fixture;
    fixture = (Fixture){arena_new(), snapshot_new()};
    *state = &fixture;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    snapshot_free(f->snapshot);
    arena_free(f->arena);
    return 0;
}

static unsigned set_node(Fixture *f, const char *text) {
    return fixture_node(f->arena, f->snapshot, text);
}

static void test_events_of_a_node(void **state) {
    Fixture *f = *state;
    assert_int_equal(set_node(f, "{'metadata':{'name':'n'},'status':{'allocatable':{'cpu':'1'}}}"),
                     EVENT_NODE_ADDED);
    // A heartbeat.
    assert_int_equal(set_node(f, "{'metadata':{'name':'n','annotations':{'a':'b'}},'status':{"
                                 "'allocatable':{'cpu':'1'},'conditions':[{'type':'Ready',"
                                 "'lastHeartbeatTime':'2026-01-01T00:00:00Z'}]}}"),
                     0);
    assert_int_equal(set_node(f, "{'metadata':{'name':'n'},'status':{'allocatable':{'cpu':'2'}}}"),
                     EVENT_NODE_ALLOCATABLE);
    assert_int_equal(set_node(f, "{'metadata':{'name':'n','labels':{'a':'b'}},'status':{"
                                 "'allocatable':{'cpu':'2','memory':'1'}}}"),
                     EVENT_NODE_ALLOCATABLE | EVENT_NODE_LABELS);
    assert_int_equal(set_node(f, "{'metadata':{'name':'n','labels':{'a':'c'}},'spec':{"
                                 "'unschedulable':true},'status':{'allocatable':{'cpu':'2',"
                                 "'memory':'1'}}}"),
                     EVENT_NODE_TAINTS | EVENT_NODE_LABELS);
    assert_int_equal(set_node(f, "{'metadata':{'name':'n','labels':{'a':'c'}},'spec':{'taints':[{"
                                 "'key':'k','effect':'NoSchedule'}],'unschedulable':true},"
                                 "'status':{'allocatable':{'cpu':'2','memory':'1'}}}"),
                     EVENT_NODE_TAINTS);
    assert_int_equal(f->snapshot->n_nodes, 1);
}

static const char A[] = "{'metadata':{'name':'a','uid':'1'},'spec':{'nodeName':'n','containers':[{"
                        "'resources':{'requests':{'cpu':'250m','memory':'1Mi',"
                        "'example.com/gpu':'2'}}},{'resources':{'requests':{'cpu':'1'}}}]}}";

// Pods may be known before their node, and outlive it.
static void test_pods_count(void **state) {
    Fixture *f = *state;
    fixture_assign(f->arena, f->snapshot, A);
    assert_null(snapshot_node(f->snapshot, STR("n")));
    assert_int_equal(f->snapshot->n_nodes, 0);
    set_node(f, "{'metadata':{'name':'n'}}");
    const NodeInfo *info = snapshot_node(f->snapshot, STR("n"));
    assert_true(info->requested.milli_cpu == 1250);
    assert_true(info->requested.memory == 1 << 20);
    assert_true(resources_other(&info->requested, STR("example.com/gpu")) == 2);
    assert_true(info->scored_memory == (201 << 20));
    assert_int_equal(info->n_pods, 1);
    fixture_assign(f->arena, f->snapshot, A); // again: it replaces itself
    assert_true(info->requested.milli_cpu == 1250);
    assert_int_equal(info->n_pods, 1);
    snapshot_remove_node(f->snapshot, STR("n"));
    assert_null(snapshot_node(f->snapshot, STR("n")));
    assert_non_null(snapshot_pod(f->snapshot, STR("default/a")));
    set_node(f, "{'metadata':{'name':'n'}}");
    info = snapshot_node(f->snapshot, STR("n"));
    assert_int_equal(info->n_pods, 1);
    assert_true(snapshot_remove_pod(f->snapshot, STR("default/a")));
    assert_false(snapshot_remove_pod(f->snapshot, STR("default/a")));
    assert_true(info->requested.milli_cpu == 0 && info->requested.memory == 0);
    assert_true(info->scored_memory == 0 && info->scored_milli_cpu == 0);
    assert_int_equal(info->requested.n_others, 0);
    assert_int_equal(info->n_pods, 0);
}

// What was assumed for one node turns out to be on another.
static void test_a_pod_moves(void **state) {
    Fixture *f = *state;
    set_node(f, "{'metadata':{'name':'n'}}");
    set_node(f, "{'metadata':{'name':'m'}}");
    const Pod *pod = fixture_pod(f->arena, A);
    Demand demand = demand_of(f->arena, pod);
    snapshot_set_pod(f->snapshot, STR("default/a"), STR("1"), STR("m"), &demand, true);
    assert_true(snapshot_pod(f->snapshot, STR("default/a"))->assumed);
    assert_int_equal(snapshot_node(f->snapshot, STR("m"))->n_pods, 1);
    fixture_assign(f->arena, f->snapshot, A);
    assert_false(snapshot_pod(f->snapshot, STR("default/a"))->assumed);
    assert_int_equal(snapshot_node(f->snapshot, STR("m"))->n_pods, 0);
    assert_int_equal(snapshot_node(f->snapshot, STR("n"))->n_pods, 1);
}

static void test_removal_keeps_the_others(void **state) {
    Fixture *f = *state;
    set_node(f, "{'metadata':{'name':'a'}}");
    set_node(f, "{'metadata':{'name':'b'}}");
    set_node(f, "{'metadata':{'name':'c'}}");
    snapshot_remove_node(f->snapshot, STR("a"));
    snapshot_remove_node(f->snapshot, STR("nobody"));
    assert_int_equal(f->snapshot->n_nodes, 2);
    snapshot_remove_node(f->snapshot, STR("c"));
    assert_int_equal(f->snapshot->n_nodes, 1);
    assert_true(str_eq(f->snapshot->nodes[0]->name, STR("b")));
}

// Requests as large as 64 bits hold add up and come apart again.
static void test_huge_requests(void **state) {
    Fixture *f = *state;
    set_node(f, "{'metadata':{'name':'n'},'status':{'allocatable':{'memory':'1Gi'}}}");
    for (int i = 0; i < 3; i++) {
        Str text = arena_printf(f->arena,
                                "{'metadata':{'name':'p%d'},'spec':{'nodeName':'n','containers':[{"
                                "'resources':{'requests':{'memory':'9E'}}}]}}",
                                i);
        fixture_assign(f->arena, f->snapshot, arena_cstr(f->arena, text));
    }
    const NodeInfo *info = snapshot_node(f->snapshot, STR("n"));
    assert_true(info->requested.memory > INT64_MAX);
    snapshot_remove_pod(f->snapshot, STR("default/p0"));
    snapshot_remove_pod(f->snapshot, STR("default/p1"));
    snapshot_remove_pod(f->snapshot, STR("default/p2"));
    assert_true(info->requested.memory == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_events_of_a_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pods_count, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_pod_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removal_keeps_the_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_huge_requests, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
