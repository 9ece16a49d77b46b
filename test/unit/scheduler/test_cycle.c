// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "fixture.h"

#define PLENTY "'allocatable':{'cpu':'4','memory':'8Gi','ephemeral-storage':'10Gi','pods':'110'}"
#define N1 "{'metadata':{'name':'n1','labels':{'disk':'ssd','size':'5'}},'status':{" PLENTY "}}"
#define N2 "{'metadata':{'name':'n2','labels':{'disk':'hdd'}},'status':{" PLENTY "}}"
#define TAINTED(taint)                                                                             \
    "{'metadata':{'name':'n1'},'spec':{'taints':[" taint "]},'status':{" PLENTY "}}"
#define NO_SCHEDULE "{'key':'k','value':'v','effect':'NoSchedule'}"
#define CORDONED "{'metadata':{'name':'n1'},'spec':{'unschedulable':true},'status':{" PLENTY "}}"

#define NOT_HELPFUL(n, m)                                                                          \
    " no new claims to deallocate, preemption: 0/" n " nodes are available: " m                    \
    " Preemption is not helpful for scheduling."
#define NO_VICTIMS(n)                                                                              \
    " no new claims to deallocate, preemption: 0/" n " nodes are available: " n                    \
    " No preemption victims found for incoming pod."

#define REQUIRED(terms)                                                                            \
    "'affinity':{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':{"               \
    "'nodeSelectorTerms':[" terms "]}}}"
#define EXPRESSION(key, op, values)                                                                \
    "{'matchExpressions':[{'key':'" key "','operator':'" op "','values':[" values "]}]}"
#define FIELD(op, values)                                                                          \
    "{'matchFields':[{'key':'metadata.name','operator':'" op "','values':[" values "]}]}"
#define WANTS(what) "'containers':[{'resources':{'requests':{" what "}}}]"
#define PORT(port) "'containers':[{'ports':[" port "]}]"

typedef struct Case {
    const char *what, *nodes[3], *assigned[3], *spec;
    const char *expected; // a node's name, or the message
    unsigned wake_on;
} Case;

static const Case cases[] = {
    {"no nodes", {0}, {0}, "", "no nodes available to schedule pods", EVENT_NODE_ADDED},
    {"nothing asked for", {N1}, {0}, "", "n1", 0},
    // NodeUnschedulable
    {"cordoned",
     {CORDONED},
     {0},
     "",
     "0/1 nodes are available: 1 node(s) were unschedulable." NOT_HELPFUL("1", "1"),
     EVENT_NODE_ADDED | EVENT_NODE_TAINTS},
    {"cordoned, tolerated",
     {CORDONED},
     {0},
     "'tolerations':[{'key':'node.kubernetes.io/unschedulable','operator':'Exists',"
     "'effect':'NoSchedule'}]",
     "n1",
     0},
    // NodeName
    {"another node by name",
     {N1},
     {0},
     "'nodeName':'n7'",
     "0/1 nodes are available: 1 node(s) didn't match the requested node name." NOT_HELPFUL("1",
                                                                                            "1"),
     EVENT_NODE_ADDED},
    // TaintToleration
    {"taint",
     {TAINTED(NO_SCHEDULE)},
     {0},
     "",
     "0/1 nodes are available: 1 node(s) had untolerated taint(s)." NOT_HELPFUL("1", "1"),
     EVENT_NODE_ADDED | EVENT_NODE_TAINTS},
    {"taint NoExecute",
     {TAINTED("{'key':'k','effect':'NoExecute'}")},
     {0},
     "",
     "0/1 nodes are available: 1 node(s) had untolerated taint(s)." NOT_HELPFUL("1", "1"),
     EVENT_NODE_ADDED | EVENT_NODE_TAINTS},
    {"taint PreferNoSchedule",
     {TAINTED("{'key':'k','effect':'PreferNoSchedule'}")},
     {0},
     "",
     "n1",
     0},
    {"taint, tolerated",
     {TAINTED(NO_SCHEDULE)},
     {0},
     "'tolerations':[{'key':'k','value':'v','effect':'NoSchedule'}]",
     "n1",
     0},
    {"the untainted one is better",
     {TAINTED("{'key':'k','effect':'PreferNoSchedule'}"), N2},
     {0},
     "",
     "n2",
     0},
    // NodeAffinity
    {"selector", {N1, N2}, {0}, "'nodeSelector':{'disk':'hdd'}", "n2", 0},
    {"selector without match",
     {N1, N2},
     {0},
     "'nodeSelector':{'disk':'tape'}",
     "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector." NOT_HELPFUL(
         "2", "2"),
     EVENT_NODE_ADDED | EVENT_NODE_LABELS},
    {"required affinity", {N1, N2}, {0}, REQUIRED(EXPRESSION("disk", "In", "'hdd'")), "n2", 0},
    {"one of two terms",
     {N1, N2},
     {0},
     REQUIRED(EXPRESSION("disk", "In", "'tape'") "," EXPRESSION("size", "Gt", "'4'")),
     "n1",
     0},
    {"metadata.name as a label",
     {N1},
     {0},
     REQUIRED(EXPRESSION("metadata.name", "In", "'n1'")),
     "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector." NOT_HELPFUL(
         "1", "1"),
     EVENT_NODE_ADDED | EVENT_NODE_LABELS},
    {"metadata.name as a field", {N1, N2}, {0}, REQUIRED(FIELD("In", "'n2'")), "n2", 0},
    {"metadata.name of a node that is not there",
     {N1, N2},
     {0},
     REQUIRED(FIELD("In", "'n3'")),
     "0/2 nodes are available: 2 node(s) didn't satisfy plugin(s) [NodeAffinity]." NOT_HELPFUL("2",
                                                                                               "2"),
     EVENT_NODE_ADDED | EVENT_NODE_LABELS},
    {"metadata.name of a node that is tainted",
     {TAINTED(NO_SCHEDULE), N2},
     {0},
     REQUIRED(FIELD("In", "'n1'")),
     "0/2 nodes are available: 1 node(s) didn't satisfy plugin(s) [NodeAffinity], 1 node(s) had "
     "untolerated taint(s)." NOT_HELPFUL("2", "2"),
     EVENT_NODE_ADDED | EVENT_NODE_LABELS | EVENT_NODE_TAINTS},
    {"two names at once",
     {N1, N2},
     {0},
     REQUIRED("{'matchFields':[{'key':'metadata.name','operator':'In','values':['n1']},"
              "{'key':'metadata.name','operator':'In','values':['n2']}]}"),
     "0/2 nodes are available: pod affinity terms conflict." NOT_HELPFUL("2", "2"),
     EVENT_NODE_ADDED | EVENT_NODE_LABELS},
    {"preferred affinity",
     {N1, N2},
     {0},
     "'affinity':{'nodeAffinity':{'preferredDuringSchedulingIgnoredDuringExecution':[{"
     "'weight':10,'preference':" EXPRESSION("disk", "In", "'hdd'") "}]}}",
     "n2",
     0},
    // NodePorts
    {"port taken",
     {N1},
     {"{'metadata':{'name':'a'},'spec':{'nodeName':'n1'," PORT("{'hostPort':80}") "}}"},
     PORT("{'hostPort':80,'protocol':'TCP'}"),
     "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod "
     "ports." NO_VICTIMS("1"),
     EVENT_NODE_ADDED | EVENT_POD_REMOVED},
    {"other protocol",
     {N1},
     {"{'metadata':{'name':'a'},'spec':{'nodeName':'n1'," PORT("{'hostPort':80}") "}}"},
     PORT("{'hostPort':80,'protocol':'UDP'}"),
     "n1",
     0},
    {"other address",
     {N1},
     {"{'metadata':{'name':'a'},'spec':{'nodeName':'n1'," PORT(
         "{'hostPort':80,'hostIP':'10.0.0.1'}") "}}"},
     PORT("{'hostPort':80,'hostIP':'10.0.0.2'}"),
     "n1",
     0},
    {"any address",
     {N1},
     {"{'metadata':{'name':'a'},'spec':{'nodeName':'n1'," PORT(
         "{'hostPort':80,'hostIP':'10.0.0.1'}") "}}"},
     PORT("{'hostPort':80,'hostIP':'0.0.0.0'}"),
     "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod "
     "ports." NO_VICTIMS("1"),
     EVENT_NODE_ADDED | EVENT_POD_REMOVED},
    {"port free on the other node",
     {N1, N2},
     {"{'metadata':{'name':'a'},'spec':{'nodeName':'n1'," PORT("{'hostPort':80}") "}}"},
     PORT("{'hostPort':80}"),
     "n2",
     0},
    // NodeResourcesFit
    {"just fits",
     {N1},
     {"{'metadata':{'name':'a'},'spec':{'nodeName':'n1'," WANTS("'cpu':'1500m'") "}}"},
     WANTS("'cpu':'2.5','memory':'8Gi'"),
     "n1",
     0},
    {"cpu is taken",
     {N1},
     {"{'metadata':{'name':'a'},'spec':{'nodeName':'n1'," WANTS("'cpu':'1501m'") "}}"},
     WANTS("'cpu':'2.5'"),
     "0/1 nodes are available: 1 Insufficient cpu." NO_VICTIMS("1"),
     EVENT_NODE_ADDED | EVENT_NODE_ALLOCATABLE | EVENT_POD_REMOVED},
    {"more than the node has",
     {N1},
     {0},
     WANTS("'cpu':'5','memory':'9Gi','ephemeral-storage':'1Ti'"),
     "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient ephemeral-storage, 1 "
     "Insufficient memory." NOT_HELPFUL("1", "1"),
     EVENT_NODE_ADDED | EVENT_NODE_ALLOCATABLE | EVENT_POD_REMOVED},
    {"extended resource that no node has",
     {N1},
     {0},
     WANTS("'example.com/gpu':'1'"),
     "0/1 nodes are available: 1 Insufficient example.com/gpu." NOT_HELPFUL("1", "1"),
     EVENT_NODE_ADDED | EVENT_NODE_ALLOCATABLE | EVENT_POD_REMOVED},
    {"extended resource that is taken",
     {"{'metadata':{'name':'n1'},'status':{'allocatable':{'pods':'5','example.com/gpu':'2'}}}"},
     {"{'metadata':{'name':'a'},'spec':{'nodeName':'n1'," WANTS("'example.com/gpu':'2'") "}}"},
     WANTS("'example.com/gpu':'1'"),
     "0/1 nodes are available: 1 Insufficient example.com/gpu." NO_VICTIMS("1"),
     EVENT_NODE_ADDED | EVENT_NODE_ALLOCATABLE | EVENT_POD_REMOVED},
    {"too many pods",
     {"{'metadata':{'name':'n1'},'status':{'allocatable':{'pods':'1'}}}"},
     {"{'metadata':{'name':'a'},'spec':{'nodeName':'n1'}}"},
     "",
     "0/1 nodes are available: 1 Too many pods." NO_VICTIMS("1"),
     EVENT_NODE_ADDED | EVENT_NODE_ALLOCATABLE | EVENT_POD_REMOVED},
    {"init containers count with their most",
     {N1},
     {0},
     "'initContainers':[{'resources':{'requests':{'cpu':'4100m'}}}],'containers':[{}]",
     "0/1 nodes are available: 1 Insufficient cpu." NOT_HELPFUL("1", "1"),
     EVENT_NODE_ADDED | EVENT_NODE_ALLOCATABLE | EVENT_POD_REMOVED},
    {"the emptier one is better",
     {N1, N2},
     {"{'metadata':{'name':'a'},'spec':{'nodeName':'n1'," WANTS("'cpu':'1'") "}}"},
     "",
     "n2",
     0},
    {"a pod without requests counts too",
     {N1, N2},
     {"{'metadata':{'name':'a'},'spec':{'nodeName':'n2','containers':[{}]}}"},
     "",
     "n1",
     0},
    // Several reasons
    {"one reason each",
     {TAINTED(NO_SCHEDULE), N2},
     {"{'metadata':{'name':'a'},'spec':{'nodeName':'n2'," WANTS("'cpu':'4'") "}}"},
     WANTS("'cpu':'1'"),
     "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). no new "
     "claims to deallocate, preemption: 0/2 nodes are available: 1 No preemption victims found "
     "for incoming pod, 1 Preemption is not helpful for scheduling.",
     EVENT_NODE_ADDED | EVENT_NODE_ALLOCATABLE | EVENT_NODE_TAINTS | EVENT_POD_REMOVED},
    {"never preempts",
     {CORDONED},
     {0},
     "'preemptionPolicy':'Never'",
     "0/1 nodes are available: 1 node(s) were unschedulable. no new claims to deallocate, "
     "preemption: not eligible due to preemptionPolicy=Never.",
     EVENT_NODE_ADDED | EVENT_NODE_TAINTS},
    {"lower priority in the way",
     {N1},
     {"{'metadata':{'name':'a'},'spec':{'nodeName':'n1','priority':1," WANTS("'cpu':'4'") "}}"},
     "'priority':2," WANTS("'cpu':'1'"),
     "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: not "
     "supported yet.",
     EVENT_NODE_ADDED | EVENT_NODE_ALLOCATABLE | EVENT_POD_REMOVED},
    // VolumeBinding
    {"claim",
     {N1},
     {0},
     "'volumes':[{'name':'v','persistentVolumeClaim':{'claimName':'data'}}]",
     "0/1 nodes are available: persistentvolumeclaim \"data\" not found." NOT_HELPFUL("1", "1"),
     0},
    {"ephemeral volume",
     {N1},
     {0},
     "'volumes':[{'name':'v','ephemeral':{}}]",
     "0/1 nodes are available: waiting for ephemeral volume controller to create the "
     "persistentvolumeclaim \"p-v\"." NOT_HELPFUL("1", "1"),
     0},
    // NotSupported
    {"required anti-affinity",
     {N1},
     {0},
     "'affinity':{'podAntiAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':[{"
     "'topologyKey':'kubernetes.io/hostname'}]}}",
     "0/1 nodes are available: required inter-pod affinity is not supported yet." NOT_HELPFUL("1",
                                                                                              "1"),
     0},
    {"preferred anti-affinity",
     {N1},
     {0},
     "'affinity':{'podAntiAffinity':{'preferredDuringSchedulingIgnoredDuringExecution':[{"
     "'weight':1,'podAffinityTerm':{'topologyKey':'kubernetes.io/hostname'}}]}}",
     "n1",
     0},
    {"required spread",
     {N1},
     {0},
     "'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':'zone',"
     "'whenUnsatisfiable':'DoNotSchedule'}]",
     "0/1 nodes are available: required topology spread is not supported yet." NOT_HELPFUL("1",
                                                                                           "1"),
     0},
};

static void check(const Case *c) {
    _arena_free_ Arena *arena = arena_new();
    Loop *loop = loop_new_simulated(1, 0);
    Snapshot *snapshot = snapshot_new();
    for (size_t i = 0; i < 3 && c->nodes[i]; i++)
        fixture_node(arena, snapshot, c->nodes[i]);
    for (size_t i = 0; i < 3 && c->assigned[i]; i++)
        fixture_assign(arena, snapshot, c->assigned[i]);
    Str text = arena_printf(arena, "{'metadata':{'name':'p'},'spec':{%s}}", c->spec);
    const Pod *pod = fixture_pod(arena, arena_cstr(arena, text));
    Cycle cycle = {.arena = arena,
                   .loop = loop,
                   .snapshot = snapshot,
                   .pod = pod,
                   .demand = demand_of(arena, pod)};
    CycleResult result = cycle_run(&cycle);
    Str got = result.node ? result.node->name : result.message;
    if (!str_eq(got, str_from(c->expected)))
        fail_msg("%s: %.*s\n instead of %s", c->what, STR_ARG(got), c->expected);
    if (result.wake_on != c->wake_on)
        fail_msg("%s: wakes on %#x instead of %#x", c->what, result.wake_on, c->wake_on);
    snapshot_free(snapshot);
    loop_free(loop);
}

static void test_cases(void **state) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(&cases[i]);
}

typedef struct Many {
    Arena *arena;
    Loop *loop;
    Snapshot *snapshot;
} Many;

static const NodeInfo *place(Many *many, const char *spec) {
    Arena *arena = many->arena;
    Str text = arena_printf(arena, "{'metadata':{'name':'p'},'spec':{%s}}", spec);
    const Pod *pod = fixture_pod(arena, arena_cstr(arena, text));
    Cycle cycle = {.arena = arena,
                   .loop = many->loop,
                   .snapshot = many->snapshot,
                   .pod = pod,
                   .demand = demand_of(arena, pod)};
    return cycle_run(&cycle).node;
}

static Many many_new(int n) {
    Many many = {arena_new(), loop_new_simulated(7, 0), snapshot_new()};
    for (int i = 0; i < n; i++) {
        Str text = arena_printf(many.arena, "{'metadata':{'name':'n%d'},'status':{" PLENTY "}}", i);
        fixture_node(many.arena, many.snapshot, arena_cstr(many.arena, text));
    }
    return many;
}

static void many_free(Many *many) {
    snapshot_free(many->snapshot);
    loop_free(many->loop);
    arena_free(many->arena);
}

// Among equals none is preferred.
static void test_equals_take_turns(void **state) {
    Many many = many_new(4);
    int counts[4] = {0};
    for (int i = 0; i < 400; i++)
        counts[place(&many, "")->name.ptr[1] - '0']++;
    for (int i = 0; i < 4; i++)
        assert_in_range(counts[i], 60, 140);
    many_free(&many);
}

// Pods that leave room for each other end up spread evenly.
static void test_a_burst_is_spread(void **state) {
    Many many = many_new(5);
    for (int i = 0; i < 50; i++) {
        const NodeInfo *node = place(&many, WANTS("'cpu':'100m'"));
        Str text = arena_printf(
            many.arena,
            "{'metadata':{'name':'a%d'},'spec':{'nodeName':'%.*s'," WANTS("'cpu':'100m'") "}}", i,
            STR_ARG(node->name));
        fixture_assign(many.arena, many.snapshot, arena_cstr(many.arena, text));
    }
    for (size_t i = 0; i < many.snapshot->n_nodes; i++)
        assert_int_equal(many.snapshot->nodes[i]->n_pods, 10);
    many_free(&many);
}

// With hundreds of nodes only some are looked at each time, and in the end all of them.
static void test_many_nodes_are_seen_in_turn(void **state) {
    Many many = many_new(300);
    size_t before = many.snapshot->next_start;
    assert_non_null(place(&many, ""));
    assert_int_equal(many.snapshot->next_start - before, 300 * (50 - 300 / 125) / 100);
    assert_non_null(place(&many, ""));
    assert_non_null(place(&many, ""));
    assert_int_equal(many.snapshot->next_start, 3 * 144 - 300);
    many_free(&many);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_equals_take_turns),
        cmocka_unit_test(test_a_burst_is_spread),
        cmocka_unit_test(test_many_nodes_are_seen_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
