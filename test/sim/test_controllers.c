// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>

#include "controllers/controllers.h"
#include "pki/pki.h"
#include "scheduler/scheduler.h"
#include "sim.h"

typedef struct World {
    Sim *sim;
    Controllers *controllers;
} World;

static World *world_new(Sim *sim) {
    World *world = calloc(1, sizeof *world);
    world->sim = sim;
    world->controllers = controllers_new(&(ControllersConfig){.loop = world->sim->api->loop,
                                                              .client = sim_controller_client,
                                                              .user = world->sim,
                                                              .cluster_ca = STR("the CA"),
                                                              .service_account_key =
                                                                  sim->api->service_account_key},
                                         NULL);
    return world;
}

static void world_free(World *world) {
    controllers_free(world->controllers);
    sim_free(world->sim);
    free(world);
}

static int setup(void **state) {
    *state = world_new(sim_new());
    sim_run(((World *)*state)->sim, NSEC_PER_SEC);
    return 0;
}

static int teardown(void **state) {
    world_free(*state);
    return 0;
}

// Service accounts, root CA ----------------------------------------------------------------------

#define ACCOUNT(ns) "/api/v1/namespaces/" ns "/serviceaccounts/default"
#define ROOT_CA(ns) "/api/v1/namespaces/" ns "/configmaps/kube-root-ca.crt"

static const char *ca_of(Sim *sim, const char *path) {
    Answer *answer = call(sim->api, "GET", path, NULL);
    const Value *data = answer->json ? value_get(answer->json, STR("data")) : NULL;
    const Value *ca = data ? value_get(data, STR("ca.crt")) : NULL;
    return ca ? arena_cstr(sim->api->arena, ca->string) : "";
}

static void test_what_every_namespace_has(void **state) {
    Sim *sim = ((World *)*state)->sim;
    assert_true(sim_exists(sim, ACCOUNT("default")));
    assert_true(sim_exists(sim, ACCOUNT("kube-system")));
    assert_true(sim_exists(sim, ACCOUNT("kube-public")));
    assert_true(sim_exists(sim, ACCOUNT("kube-node-lease")));
    assert_string_equal(ca_of(sim, ROOT_CA("default")), "the CA");
    assert_string_equal(ca_of(sim, ROOT_CA("kube-node-lease")), "the CA");
    sim_create(sim, "/api/v1/namespaces", "{\"metadata\":{\"name\":\"new\"}}");
    sim_run(sim, 10 * NSEC_PER_MSEC);
    assert_true(sim_exists(sim, ACCOUNT("new")));
    assert_string_equal(ca_of(sim, ROOT_CA("new")), "the CA");
}

static void test_it_comes_back(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_delete(sim, ACCOUNT("default"));
    sim_delete(sim, ROOT_CA("default"));
    sim_patch(sim, ROOT_CA("kube-public"), "{\"data\":{\"ca.crt\":\"forged\"}}");
    sim_run(sim, 10 * NSEC_PER_MSEC);
    assert_true(sim_exists(sim, ACCOUNT("default")));
    assert_string_equal(ca_of(sim, ROOT_CA("default")), "the CA");
    assert_string_equal(ca_of(sim, ROOT_CA("kube-public")), "the CA");
}

// Namespaces -------------------------------------------------------------------------------------

#define NS "/api/v1/namespaces/doomed"

static void begin_end(Sim *sim) {
    assert_status(call(sim->api, "DELETE", NS, NULL), 200);
}

static void make_doomed(Sim *sim) {
    sim_create(sim, "/api/v1/namespaces", "{\"metadata\":{\"name\":\"doomed\"}}");
    sim_run(sim, 10 * NSEC_PER_MSEC); // its service account
    sim_create(sim, NS "/configmaps", "{\"metadata\":{\"name\":\"a\"}}");
    sim_create(sim, NS "/secrets", "{\"metadata\":{\"name\":\"b\"}}");
    sim_create(sim, "/apis/rbac.authorization.k8s.io/v1/namespaces/doomed/roles",
               "{\"metadata\":{\"name\":\"c\"}}");
}

#define POD                                                                                        \
    "{\"metadata\":{\"name\":\"p\"%s},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":"        \
    "\"i\"}]%s}}"

static void add_pod(Sim *sim, const char *metadata, const char *spec) {
    char text[1024];
    snprintf(text, sizeof text, POD, metadata, spec);
    sim_create(sim, NS "/pods", text);
}

static const char *condition(Sim *sim, const char *type) {
    Answer *answer = call(sim->api, "GET", NS, NULL);
    assert_status(answer, 200);
    const Value *list = value_at(answer->json, "status.conditions");
    for (uint32_t i = 0; list && i < list->n; i++) {
        const Value *item = list->items[i];
        if (str_eq(value_string_at(item, "type"), str_from(type)))
            return arena_cstr(sim->api->arena,
                              arena_printf(sim->api->arena, "%.*s %.*s %.*s",
                                           STR_ARG(value_string_at(item, "status")),
                                           STR_ARG(value_string_at(item, "reason")),
                                           STR_ARG(value_string_at(item, "message"))));
    }
    return "";
}

static void test_namespace_and_all_in_it(void **state) {
    Sim *sim = ((World *)*state)->sim;
    make_doomed(sim);
    add_pod(sim, "", "");
    begin_end(sim);
    sim_run(sim, 100 * NSEC_PER_MSEC);
    assert_false(sim_exists(sim, NS));
    assert_false(sim_exists(sim, NS "/configmaps/a"));
    assert_false(sim_exists(sim, NS "/pods/p"));
    // And one of that name may live again.
    make_doomed(sim);
    sim_run(sim, 10 * NSEC_PER_MSEC);
    assert_true(sim_exists(sim, ACCOUNT("doomed")));
}

// A pod takes its time; the rest stays until it has gone.
static void test_pods_go_first(void **state) {
    Sim *sim = ((World *)*state)->sim;
    make_doomed(sim);
    sim_add_node(sim, "n1", NULL);
    add_pod(sim, "", ",\"nodeName\":\"n1\"");
    begin_end(sim);
    sim_run(sim, 25 * NSEC_PER_SEC);
    assert_true(sim_exists(sim, NS "/configmaps/a"));
    Answer *pod = call(sim->api, "GET", NS "/pods/p", NULL);
    assert_int_equal(strlen(text_at(pod, "metadata.deletionTimestamp")), 20);
    assert_int_equal(number_at(pod, "metadata.deletionGracePeriodSeconds"), 30);
    assert_string_equal(condition(sim, "NamespaceContentRemaining"),
                        "True SomeResourcesRemain Some resources are remaining: pods. has 1 "
                        "resource instances");
    assert_string_equal(condition(sim, "NamespaceFinalizersRemaining"),
                        "False ContentRemoved All content successfully removed");
    sim_delete(sim, NS "/pods/p"); // as its node does
    sim_run(sim, 100 * NSEC_PER_MSEC);
    assert_false(sim_exists(sim, NS));
    assert_false(sim_exists(sim, NS "/configmaps/a"));
}

#define FINALIZER "\"finalizers\":[\"example.com/keep\"]"

static void test_finalizers_hold_it(void **state) {
    Sim *sim = ((World *)*state)->sim;
    make_doomed(sim);
    sim_create(sim, NS "/configmaps", "{\"metadata\":{\"name\":\"kept\"," FINALIZER "}}");
    sim_create(sim, NS "/configmaps",
               "{\"metadata\":{\"name\":\"kept2\",\"finalizers\":[\"example.com/keep\","
               "\"example.com/more\"]}}");
    begin_end(sim);
    sim_run(sim, 2 * NSEC_PER_SEC);
    assert_true(sim_exists(sim, NS "/configmaps/kept"));
    assert_false(sim_exists(sim, NS "/configmaps/a")); // all others have gone
    assert_false(sim_exists(sim, NS "/secrets/b"));
    assert_false(sim_exists(sim, "/apis/rbac.authorization.k8s.io/v1/namespaces/doomed/roles/c"));
    assert_string_equal(text_at(call(sim->api, "GET", NS, NULL), "status.phase"), "Terminating");
    assert_string_equal(condition(sim, "NamespaceContentRemaining"),
                        "True SomeResourcesRemain Some resources are remaining: configmaps. has 2 "
                        "resource instances");
    assert_string_equal(condition(sim, "NamespaceFinalizersRemaining"),
                        "True SomeFinalizersRemain Some content in the namespace has finalizers "
                        "remaining: example.com/keep in 2 resource instances, example.com/more in "
                        "1 resource instances");
    assert_string_equal(condition(sim, "NamespaceDeletionContentFailure"),
                        "False ContentDeleted All content successfully deleted, may be waiting on "
                        "finalization");
    assert_string_equal(condition(sim, "NamespaceDeletionDiscoveryFailure"),
                        "False ResourcesDiscovered All resources successfully discovered");
    assert_string_equal(condition(sim, "NamespaceDeletionGroupVersionParsingFailure"),
                        "False ParsedGroupVersions All legacy kube types successfully parsed");
    // Nobody asks again and again.
    sim_log_clear(sim);
    int64_t revision = sim_revision(sim);
    sim_run(sim, 20 * NSEC_PER_SEC);
    assert_int_equal(sim_revision(sim), revision);
    assert_string_equal(sim_log(sim), "");
    sim_patch(sim, NS "/configmaps/kept2", "{\"metadata\":{\"finalizers\":null}}");
    sim_run(sim, 2 * NSEC_PER_SEC);
    assert_string_equal(condition(sim, "NamespaceContentRemaining"),
                        "True SomeResourcesRemain Some resources are remaining: configmaps. has 1 "
                        "resource instances");
    sim_patch(sim, NS "/configmaps/kept", "{\"metadata\":{\"finalizers\":null}}");
    sim_run(sim, 100 * NSEC_PER_MSEC);
    assert_false(sim_exists(sim, NS));
}

static void test_finalizers_of_its_own(void **state) {
    Sim *sim = ((World *)*state)->sim;
    make_doomed(sim);
    sim_patch(sim, NS, "{\"metadata\":{" FINALIZER "}}");
    begin_end(sim);
    sim_run(sim, 2 * NSEC_PER_SEC);
    assert_true(sim_exists(sim, NS));
    assert_false(sim_exists(sim, NS "/configmaps/a"));
    sim_patch(sim, NS, "{\"metadata\":{\"finalizers\":null}}");
    sim_run(sim, 100 * NSEC_PER_MSEC);
    assert_false(sim_exists(sim, NS));
}

static bool refuse_secrets(Sim *sim, HttpRequest *request) {
    if (!str_eq(request->path, STR(NS "/secrets")) || !sim->user)
        return false;
    sim_refuse(request, 500, "InternalError", "no secrets today");
    return true;
}

static void test_failures_are_told_and_tried_again(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim->intercept = refuse_secrets;
    make_doomed(sim);
    sim->user = sim;
    begin_end(sim);
    sim_run(sim, 2 * NSEC_PER_SEC);
    assert_true(sim_exists(sim, NS));
    assert_false(sim_exists(sim, NS "/configmaps/a")); // what can go has gone
    assert_string_equal(condition(sim, "NamespaceDeletionContentFailure"),
                        "True ContentDeletionFailed Failed to delete all resource types, 1 "
                        "remaining: no secrets today");
    sim->user = NULL;
    sim_run(sim, 20 * NSEC_PER_SEC);
    assert_false(sim_exists(sim, NS));
}

// Whatever happens first of what happens at once: it ends.
static void test_every_order(void **state) {
    for (uint64_t seed = 2; seed < 40; seed++) {
        World *world = world_new(sim_new_seeded(seed));
        Sim *sim = world->sim;
        sim_run(sim, NSEC_PER_SEC);
        make_doomed(sim);
        sim_add_node(sim, "n1", NULL);
        add_pod(sim, "", ",\"nodeName\":\"n1\"");
        call_start(sim->api, sim->api->admin, "DELETE", NS, NULL, NULL, NULL);
        sim_run(sim, (int64_t)(seed % 4) * NSEC_PER_MSEC);
        call_start(sim->api, sim->api->admin, "DELETE", NS "/pods/p", "{\"gracePeriodSeconds\":0}",
                   NULL, NULL);
        sim_run(sim, 2 * NSEC_PER_SEC);
        assert_false(sim_exists(sim, NS));
        world_free(world);
    }
}

static HttpRequest *held;

static bool hold_deletion(Sim *sim, HttpRequest *request) {
    if (held || !str_eq(request->method, STR("DELETE")))
        return false;
    held = request;
    return true;
}

// The controllers may end in the middle of a round (teardown; nothing may leak).
static void test_freed_in_a_round(void **state) {
    Sim *sim = ((World *)*state)->sim;
    held = NULL;
    sim->intercept = hold_deletion;
    make_doomed(sim);
    begin_end(sim);
    sim_run(sim, NSEC_PER_SEC);
    assert_non_null(held);
    assert_true(sim_exists(sim, NS));
}

// Nodes ------------------------------------------------------------------------------------------

#define NODE "/api/v1/nodes/n1"

// "key=value:effect" of each taint.
static const char *taints(Sim *sim) {
    Arena *arena = sim->api->arena;
    const Value *list = value_at(call(sim->api, "GET", NODE, NULL)->json, "spec.taints");
    Str text = STR("");
    for (uint32_t i = 0; list && i < list->n; i++)
        text = arena_printf(arena, "%.*s%s%.*s:%.*s", STR_ARG(text), i ? " " : "",
                            STR_ARG(value_string_at(list->items[i], "key")),
                            STR_ARG(value_string_at(list->items[i], "effect")));
    return arena_cstr(arena, text);
}

static void set_node_condition(Sim *sim, const char *type, const char *status) {
    char patch[512];
    snprintf(patch, sizeof patch,
             "{\"status\":{\"conditions\":[{\"type\":\"%s\",\"status\":\"%s\",\"reason\":\"r\","
             "\"message\":\"m\",\"lastHeartbeatTime\":\"2026-09-21T13:%02d:%02dZ\"}]}}",
             type, status, (int)(loop_now(sim->api->loop) / NSEC_PER_SEC / 60 % 60),
             (int)(loop_now(sim->api->loop) / NSEC_PER_SEC % 60));
    assert_status(call_patch(sim->api, "strategic-merge", NODE "/status", patch), 200);
    sim_run(sim, 10 * NSEC_PER_MSEC);
}

static const char *ready(Sim *sim) {
    Answer *answer = call(sim->api, "GET", NODE, NULL);
    const Value *list = value_at(answer->json, "status.conditions");
    for (uint32_t i = 0; list && i < list->n; i++)
        if (str_eq(value_string_at(list->items[i], "type"), STR("Ready")))
            return arena_cstr(sim->api->arena,
                              arena_printf(sim->api->arena, "%.*s %.*s %.*s",
                                           STR_ARG(value_string_at(list->items[i], "status")),
                                           STR_ARG(value_string_at(list->items[i], "reason")),
                                           STR_ARG(value_string_at(list->items[i], "message"))));
    return "";
}

static void test_conditions_become_taints(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_create(sim, "/api/v1/nodes",
               "{\"metadata\":{\"name\":\"n1\"},\"status\":{\"conditions\":[{\"type\":\"Ready\","
               "\"status\":\"False\"}]}}");
    sim_run(sim, 10 * NSEC_PER_MSEC);
    assert_string_equal(taints(sim), "node.kubernetes.io/not-ready:NoSchedule"); // of admission
    set_node_condition(sim, "Ready", "True");
    assert_string_equal(taints(sim), "");
    sim_patch(sim, NODE,
              "{\"spec\":{\"taints\":[{\"key\":\"mine\",\"value\":\"v\",\"effect\":"
              "\"NoSchedule\"}]}}");
    set_node_condition(sim, "Ready", "False");
    assert_string_equal(taints(sim), "mine:NoSchedule node.kubernetes.io/not-ready:NoSchedule");
    set_node_condition(sim, "MemoryPressure", "True");
    set_node_condition(sim, "Ready", "True");
    assert_string_equal(taints(sim),
                        "mine:NoSchedule node.kubernetes.io/memory-pressure:NoSchedule");
    set_node_condition(sim, "MemoryPressure", "False");
    sim_patch(sim, NODE, "{\"spec\":{\"unschedulable\":true}}");
    sim_run(sim, 10 * NSEC_PER_MSEC);
    assert_string_equal(taints(sim), "mine:NoSchedule node.kubernetes.io/unschedulable:NoSchedule");
    sim_patch(sim, NODE, "{\"spec\":{\"unschedulable\":null}}");
    sim_run(sim, 10 * NSEC_PER_MSEC);
    assert_string_equal(taints(sim), "mine:NoSchedule");
}

#define LEASES "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"

// The node's clock may be wrong: what counts is that the lease changes.
static void renew(Sim *sim) {
    static int n;
    char lease[256];
    snprintf(lease, sizeof lease,
             "{\"metadata\":{\"name\":\"n1\"},\"spec\":{\"holderIdentity\":\"n1\",\"renewTime\":"
             "\"2001-01-01T%02d:%02d:%02d.000000Z\"}}",
             n / 3600 % 24, n / 60 % 60, n % 60);
    n++;
    if (sim_exists(sim, LEASES "/n1"))
        sim_patch(sim, LEASES "/n1", lease);
    else
        sim_create(sim, LEASES, lease);
}

static void live(Sim *sim, int64_t seconds) {
    for (int64_t i = 0; i < seconds; i += 10) {
        renew(sim);
        sim_run(sim, 10 * NSEC_PER_SEC);
    }
}

static void test_a_silent_node(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_add_node(sim, "n1", NULL);
    live(sim, 600);
    assert_string_equal(ready(sim), "True KubeletReady ");
    sim_run(sim, 39 * NSEC_PER_SEC); // 49 s after the last renewal
    assert_string_equal(ready(sim), "True KubeletReady ");
    sim_run(sim, 2 * NSEC_PER_SEC);
    assert_string_equal(ready(sim),
                        "Unknown NodeStatusUnknown Kubelet stopped posting node status.");
    assert_string_equal(taints(sim), "node.kubernetes.io/unreachable:NoSchedule");
    assert_string_equal(sim_events(sim, "n1"),
                        "Normal NodeNotReady 1 Node n1 status is now: NodeNotReady\n");
    // It stays so, and nobody writes.
    int64_t revision = sim_revision(sim);
    sim_run(sim, 600 * NSEC_PER_SEC);
    assert_int_equal(sim_revision(sim), revision);
    // It speaks again.
    renew(sim);
    set_node_condition(sim, "Ready", "True");
    assert_string_equal(taints(sim), "");
    live(sim, 120);
    assert_string_equal(ready(sim), "True r m");
}

static void test_a_node_that_never_spoke(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_create(sim, "/api/v1/nodes", "{\"metadata\":{\"name\":\"n1\"}}");
    sim_run(sim, 59 * NSEC_PER_SEC);
    assert_string_equal(ready(sim), "");
    sim_run(sim, 2 * NSEC_PER_SEC);
    assert_string_equal(ready(sim),
                        "Unknown NodeStatusNeverUpdated Kubelet never posted node status.");
    assert_string_equal(taints(sim), "node.kubernetes.io/unreachable:NoSchedule");
    assert_string_equal(sim_events(sim, "n1"), "");
}

// Controllers that were away a while give every node its time.
static void test_no_verdict_after_a_pause(void **state) {
    World *world = *state;
    Sim *sim = world->sim;
    sim_add_node(sim, "n1", NULL);
    live(sim, 100);
    controllers_free(world->controllers);
    world->controllers = NULL;
    sim_run(sim, 3600 * NSEC_PER_SEC);
    world->controllers = controllers_new(&(ControllersConfig){.loop = sim->api->loop,
                                                              .client = sim_controller_client,
                                                              .user = sim,
                                                              .cluster_ca = STR("the CA")},
                                         NULL);
    sim_run(sim, 45 * NSEC_PER_SEC);
    assert_string_equal(ready(sim), "True KubeletReady ");
    sim_run(sim, 10 * NSEC_PER_SEC);
    assert_string_equal(ready(sim),
                        "Unknown NodeStatusUnknown Kubelet stopped posting node status.");
}

static void test_a_node_that_is_deleted(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_add_node(sim, "n1", NULL);
    live(sim, 20);
    sim_delete(sim, NODE);
    int64_t revision = sim_revision(sim);
    sim_run(sim, 600 * NSEC_PER_SEC);
    assert_int_equal(sim_revision(sim), revision);
}

// The whole ---------------------------------------------------------------------------------------

static void test_selection(void **state) {
    Sim *sim = ((World *)*state)->sim;
    char *message = NULL;
    ControllersConfig config = {.loop = sim->api->loop,
                                .client = sim_controller_client,
                                .user = sim,
                                .selection = STR("*,-cronjob-contoller")};
    assert_null(controllers_new(&config, &message));
    assert_string_equal(message, "there is no controller \"-cronjob-contoller\"");
    free(message);
}

static void test_only_those_selected(void **state) {
    World *world = *state;
    Sim *sim = world->sim;
    controllers_free(world->controllers);
    world->controllers =
        controllers_new(&(ControllersConfig){.loop = sim->api->loop,
                                             .client = sim_controller_client,
                                             .user = sim,
                                             .cluster_ca = STR("the CA"),
                                             .selection = STR("*,-serviceaccount-controller")},
                        NULL);
    sim_create(sim, "/api/v1/namespaces", "{\"metadata\":{\"name\":\"new\"}}");
    sim_run(sim, NSEC_PER_SEC);
    assert_false(sim_exists(sim, ACCOUNT("new")));
    assert_true(sim_exists(sim, ROOT_CA("new")));
}

static void test_the_api_restarts(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_add_node(sim, "n1", NULL);
    for (int i = 0; i < 5; i++) {
        live(sim, 30);
        sim_restart_api(sim);
    }
    live(sim, 60);
    assert_string_equal(ready(sim), "True KubeletReady ");
    make_doomed(sim);
    begin_end(sim);
    sim_run(sim, NSEC_PER_SEC);
    assert_false(sim_exists(sim, NS));
}

// A whole control plane with a node that renews its lease: in an hour the only writes are the
// renewals, the only requests renewed watches.
static void test_idle(void **state) {
    Sim *sim = ((World *)*state)->sim;
    Scheduler *scheduler = scheduler_new(&(SchedulerConfig){
        .loop = sim->api->loop, .client = sim_client(sim, "system:kube-scheduler")});
    sim_add_node(sim, "n1", NULL);
    for (int i = 0; i < 10; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%d", i);
        sim_add_pod(sim, name, NULL);
    }
    live(sim, 60);
    sim_log_clear(sim);
    int64_t revision = sim_revision(sim);
    live(sim, 3600);
    assert_int_equal(sim_revision(sim), revision + 360);
    Str log = sim->log;
    while (log.len) {
        Str line = str_cut(&log, '\n');
        if (line.len && (!str_starts_with(line, STR("GET ")) ||
                         !strstr(arena_cstr(sim->api->arena, line), "watch=true")))
            fail_msg("%.*s", STR_ARG(line));
    }
    scheduler_free(scheduler);
}

// Aggregated ClusterRoles ------------------------------------------------------------------------

#define ROLES "/apis/rbac.authorization.k8s.io/v1/clusterroles"

static const Value *rules_of(Sim *sim, const char *role) {
    Answer *answer = call(
        sim->api, "GET", arena_printf(sim->api->arena, ROLES "/%s", role).ptr, NULL);
    assert_status(answer, 200);
    return value_get(answer->json, STR("rules"));
}

static bool has_rule(Sim *sim, const char *role, const char *resource) {
    const Value *rules = rules_of(sim, role);
    for (uint32_t i = 0; rules && i < rules->n; i++) {
        const Value *resources = value_get(rules->items[i], STR("resources"));
        for (uint32_t j = 0; resources && j < resources->n; j++) {
            if (str_eq(resources->items[j]->string, str_from(resource)))
                return true;
        }
    }
    return false;
}

// What `kubectl describe clusterrole admin` shows.
static void test_aggregated_roles(void **state) {
    Sim *sim = ((World *)*state)->sim;
    assert_true(has_rule(sim, "view", "pods/log"));
    assert_false(has_rule(sim, "view", "secrets"));
    assert_true(has_rule(sim, "edit", "pods/log"));
    assert_true(has_rule(sim, "edit", "secrets"));
    assert_true(has_rule(sim, "admin", "secrets"));
    assert_true(has_rule(sim, "admin", "rolebindings"));
    sim_create(sim, ROLES,
               "{\"metadata\":{\"name\":\"crontabs\",\"labels\":{\"rbac.authorization.k8s.io/"
               "aggregate-to-view\":\"true\"}},\"rules\":[{\"apiGroups\":[\"stable.example.com\"],"
               "\"resources\":[\"crontabs\"],\"verbs\":[\"get\",\"list\",\"watch\"]}]}");
    sim_run(sim, NSEC_PER_SEC);
    assert_true(has_rule(sim, "view", "crontabs"));
    assert_true(has_rule(sim, "edit", "crontabs"));
    assert_true(has_rule(sim, "admin", "crontabs"));
    // What people write into an aggregated role is overwritten.
    sim_patch(sim, ROLES "/view", "{\"rules\":[]}");
    sim_run(sim, NSEC_PER_SEC);
    assert_true(has_rule(sim, "view", "pods/log"));
    sim_patch(sim, ROLES "/crontabs", "{\"metadata\":{\"labels\":null}}");
    sim_run(sim, NSEC_PER_SEC);
    assert_false(has_rule(sim, "view", "crontabs"));
    assert_false(has_rule(sim, "admin", "crontabs"));
    int64_t revision = sim_revision(sim);
    sim_create(sim, ROLES, "{\"metadata\":{\"name\":\"other\"},\"rules\":[]}");
    sim_log_clear(sim);
    sim_run(sim, 10 * NSEC_PER_SEC);
    assert_int_equal(sim_revision(sim), revision + 1);
    assert_null(strstr(sim_log(sim), "PATCH"));
}

// Tokens -----------------------------------------------------------------------------------------

#define SECRETS(ns) "/api/v1/namespaces/" ns "/secrets"

static Str secret_data(Sim *sim, const char *path, const char *key) {
    Answer *answer = call(sim->api, "GET", path, NULL);
    Str plain = STR("");
    const Value *value =
        answer->status == 200 ? value_get(value_get(answer->json, STR("data")), str_from(key)) : NULL;
    if (value)
        assert_int_equal(pki_base64_decode(sim->api->arena, value->string, &plain), 0);
    return plain;
}

static bool is_good_token(Sim *sim, Str token) {
    Str body = arena_printf(sim->api->arena, "{\"spec\":{\"token\":\"%.*s\"}}", STR_ARG(token));
    Answer *answer = call(sim->api, "POST", "/apis/authentication.k8s.io/v1/tokenreviews",
                          arena_cstr(sim->api->arena, body));
    assert_status(answer, 201);
    return value_bool_at(answer->json, "status.authenticated", false);
}

// Secrets of service accounts are filled, and go with their account (tokens_controller.go).
static void test_tokens_in_secrets(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_create(sim, "/api/v1/namespaces/default/serviceaccounts",
               "{\"metadata\":{\"name\":\"robot\"}}");
    sim_create(sim, SECRETS("default"),
               "{\"metadata\":{\"name\":\"t\",\"annotations\":{\"kubernetes.io/service-account."
               "name\":\"robot\"}},\"type\":\"kubernetes.io/service-account-token\"}");
    sim_create(sim, SECRETS("default"),
               "{\"metadata\":{\"name\":\"lost\",\"annotations\":{\"kubernetes.io/service-account."
               "name\":\"nobody\"}},\"type\":\"kubernetes.io/service-account-token\"}");
    sim_run(sim, NSEC_PER_SEC);
    Str token = secret_data(sim, SECRETS("default") "/t", "token");
    assert_true(is_good_token(sim, token));
    assert_true(str_eq(secret_data(sim, SECRETS("default") "/t", "ca.crt"), STR("the CA")));
    assert_true(str_eq(secret_data(sim, SECRETS("default") "/t", "namespace"), STR("default")));
    assert_false(sim_exists(sim, SECRETS("default") "/lost"));
    // Taken out, it comes anew, and the old one is none any more.
    sim_patch(sim, SECRETS("default") "/t", "{\"data\":{\"token\":null}}");
    sim_run(sim, NSEC_PER_SEC);
    assert_true(is_good_token(sim, secret_data(sim, SECRETS("default") "/t", "token")));
    assert_false(is_good_token(sim, token));
    sim_delete(sim, "/api/v1/namespaces/default/serviceaccounts/robot");
    sim_run(sim, NSEC_PER_SEC);
    assert_false(sim_exists(sim, SECRETS("default") "/t"));
}

static void make_bootstrap(Sim *sim, const char *id, const char *more) {
    sim_create(sim, SECRETS("kube-system"),
               arena_printf(sim->api->arena,
                            "{\"metadata\":{\"name\":\"bootstrap-token-%s\"},\"type\":\"bootstrap."
                            "kubernetes.io/token\",\"stringData\":{\"token-id\":\"%s\","
                            "\"token-secret\":\"0123456789abcdef\"%s}}",
                            id, id, more)
                   .ptr);
}

static Str signature_of(Sim *sim, const char *id) {
    Answer *answer =
        call(sim->api, "GET", "/api/v1/namespaces/kube-public/configmaps/cluster-info", NULL);
    const Value *value =
        value_get(value_get(answer->json, STR("data")),
                  arena_printf(sim->api->arena, "jws-kubeconfig-%s", id));
    return value ? value->string : STR("");
}

// Expired tokens go, and those meant for it sign the cluster-info (pkg/controller/bootstrap).
static void test_bootstrap_tokens(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_create(sim, "/api/v1/namespaces/kube-public/configmaps",
               "{\"metadata\":{\"name\":\"cluster-info\"},\"data\":{\"kubeconfig\":\"config\","
               "\"jws-kubeconfig-gone00\":\"x\"}}");
    make_bootstrap(sim, "signer",
                   ",\"usage-bootstrap-signing\":\"true\",\"expiration\":\"2026-09-21T16:00:00Z\"");
    make_bootstrap(sim, "silent", ",\"expiration\":\"2026-09-21T15:00:00Z\"");
    make_bootstrap(sim, "broken", ",\"expiration\":\"tomorrow\"");
    make_bootstrap(sim, "always", "");
    sim_run(sim, NSEC_PER_SEC);
    // HMAC-SHA256 of "HEADER.PAYLOAD" by the token's secret, the payload left out (RFC 7515, F).
    Str expected = pki_jws_detached(sim->api->arena, STR("signer"), STR("0123456789abcdef"),
                                    STR("config"));
    assert_true(str_eq(signature_of(sim, "signer"), expected));
    assert_int_equal(signature_of(sim, "silent").len, 0);
    assert_int_equal(signature_of(sim, "gone00").len, 0);
    assert_false(sim_exists(sim, SECRETS("kube-system") "/bootstrap-token-broken"));
    assert_true(sim_exists(sim, SECRETS("kube-system") "/bootstrap-token-silent"));
    sim_patch(sim, "/api/v1/namespaces/kube-public/configmaps/cluster-info",
              "{\"data\":{\"kubeconfig\":\"another\"}}");
    sim_run(sim, NSEC_PER_SEC);
    assert_false(str_eq(signature_of(sim, "signer"), expected));
    sim_run(sim, 3600 * NSEC_PER_SEC);
    assert_false(sim_exists(sim, SECRETS("kube-system") "/bootstrap-token-silent"));
    sim_run(sim, 3600 * NSEC_PER_SEC);
    assert_false(sim_exists(sim, SECRETS("kube-system") "/bootstrap-token-signer"));
    assert_int_equal(signature_of(sim, "signer").len, 0);
    assert_true(sim_exists(sim, SECRETS("kube-system") "/bootstrap-token-always"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_what_every_namespace_has),
        TEST(test_it_comes_back),
        TEST(test_namespace_and_all_in_it),
        TEST(test_pods_go_first),
        TEST(test_finalizers_hold_it),
        TEST(test_finalizers_of_its_own),
        TEST(test_failures_are_told_and_tried_again),
        cmocka_unit_test(test_every_order),
        TEST(test_freed_in_a_round),
        TEST(test_conditions_become_taints),
        TEST(test_a_silent_node),
        TEST(test_a_node_that_never_spoke),
        TEST(test_no_verdict_after_a_pause),
        TEST(test_a_node_that_is_deleted),
        TEST(test_aggregated_roles),
        TEST(test_tokens_in_secrets),
        TEST(test_bootstrap_tokens),
        TEST(test_selection),
        TEST(test_only_those_selected),
        TEST(test_the_api_restarts),
        TEST(test_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
