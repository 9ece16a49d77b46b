// Garbage collection in virtual time: the cases of test/e2e/apimachinery/garbage_collector.go that
// need no other controller, and those of test/integration/garbagecollector.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controllers/controllers.h"
#include "sim.h"

#define MAPS "/api/v1/namespaces/default/configmaps"
#define WAIT (2 * NSEC_PER_SEC)

static Controllers *controllers;

static void start_controllers(Sim *sim) {
    controllers = controllers_new(&(ControllersConfig){.loop = sim->api->loop,
                                                       .client = sim_controller_client,
                                                       .user = sim,
                                                       .selection = STR("garbage-collector-controller"),
                                                       .cluster_ca = STR("the CA")},
                                  NULL);
    sim_run(sim, NSEC_PER_SEC);
}

static int setup(void **state) {
    *state = sim_new();
    start_controllers(*state);
    return 0;
}

static int teardown(void **state) {
    controllers_free(controllers);
    sim_free(*state);
    return 0;
}

static const char *uid_of(Sim *sim, const char *path) {
    Answer *answer = call(sim->api, "GET", path, NULL);
    assert_status(answer, 200);
    return text_at(answer, "metadata.uid");
}

static const char *path_of(Sim *sim, const char *name) {
    return arena_printf(sim->api->arena, MAPS "/%s", name).ptr;
}

// A ConfigMap; `owners`: the inside of metadata.ownerReferences, NULL: none.
static void make(Sim *sim, const char *name, const char *owners) {
    sim_create(sim, MAPS,
               arena_printf(sim->api->arena,
                            "{\"metadata\":{\"name\":\"%s\",\"ownerReferences\":[%s]}}", name,
                            owners ? owners : "")
                   .ptr);
}

static const char *reference(Sim *sim, const char *name, const char *uid, const char *more) {
    return arena_printf(sim->api->arena,
                        "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":\"%s\",\"uid\":"
                        "\"%s\"%s}",
                        name, uid, more)
        .ptr;
}

#define BLOCKS ",\"controller\":true,\"blockOwnerDeletion\":true"

static const char *owned_by(Sim *sim, const char *owner) {
    return reference(sim, owner, uid_of(sim, path_of(sim, owner)), BLOCKS);
}

static bool there(Sim *sim, const char *name) {
    return sim_exists(sim, path_of(sim, name));
}

static void delete(Sim *sim, const char *path, const char *policy) {
    char body[64];
    snprintf(body, sizeof body, "{\"propagationPolicy\":\"%s\"}", policy);
    assert_status(call(sim->api, "DELETE", path, body), 200);
}

static unsigned owners_of(Sim *sim, const char *name) {
    const Value *owners =
        value_at(call(sim->api, "GET", path_of(sim, name), NULL)->json, "metadata.ownerReferences");
    return owners ? owners->n : 0;
}

// ---- background

static void test_background(void **state) {
    Sim *sim = *state;
    make(sim, "owner", NULL);
    make(sim, "child", owned_by(sim, "owner"));
    make(sim, "grandchild", owned_by(sim, "child"));
    make(sim, "stranger", NULL);
    sim_run(sim, WAIT);
    assert_true(there(sim, "grandchild"));
    delete(sim, path_of(sim, "owner"), "Background");
    assert_false(there(sim, "owner")); // at once: the rest follows
    sim_run(sim, WAIT);
    assert_false(there(sim, "child"));
    assert_false(there(sim, "grandchild"));
    assert_true(there(sim, "stranger"));
    int64_t revision = sim_revision(sim);
    sim_run(sim, 600 * NSEC_PER_SEC);
    assert_int_equal(sim_revision(sim), revision); // and then nobody writes
}

// Owners that were never there, or are there with another uid, are none (absent owners are asked
// for at the API server).
static void test_absent_owner(void **state) {
    Sim *sim = *state;
    make(sim, "owner", NULL);
    const char *ghost = reference(sim, "ghost", "11111111-2222-3333-4444-555555555555", "");
    const char *impostor = reference(sim, "owner", "11111111-2222-3333-4444-666666666666", "");
    make(sim, "a", ghost);
    make(sim, "b", impostor);
    make(sim, "c",
         arena_printf(sim->api->arena, "%s,%s", ghost, owned_by(sim, "owner")).ptr);
    sim_run(sim, WAIT);
    assert_false(there(sim, "a"));
    assert_false(there(sim, "b"));
    assert_true(there(sim, "c")); // one owner is real
    delete(sim, path_of(sim, "owner"), "Background");
    sim_run(sim, WAIT);
    assert_false(there(sim, "c"));
}

// What happened while nobody watched is found when the controller starts.
static void test_restart(void **state) {
    Sim *sim = *state;
    make(sim, "owner", NULL);
    make(sim, "child", owned_by(sim, "owner"));
    make(sim, "waiting", NULL);
    make(sim, "blocker", owned_by(sim, "waiting"));
    sim_run(sim, WAIT);
    controllers_free(controllers);
    for (size_t i = 0; i < sim->n_clients; i++)
        client_free(sim->clients[i]);
    sim->n_clients = 0;
    delete(sim, path_of(sim, "owner"), "Background");
    delete(sim, path_of(sim, "waiting"), "Foreground");
    sim_run(sim, WAIT);
    assert_true(there(sim, "child"));
    assert_true(there(sim, "waiting"));
    start_controllers(sim);
    sim_run(sim, WAIT);
    assert_false(there(sim, "child"));
    assert_false(there(sim, "blocker"));
    assert_false(there(sim, "waiting"));
}

// ---- foreground

// "keep the rc around until all its pods are deleted": an owner waits for dependents that block it.
static void test_foreground(void **state) {
    Sim *sim = *state;
    make(sim, "owner", NULL);
    make(sim, "held", owned_by(sim, "owner"));
    sim_patch(sim, MAPS "/held", "{\"metadata\":{\"finalizers\":[\"x.io/hold\"]}}");
    make(sim, "quick", owned_by(sim, "owner"));
    make(sim, "grandchild", owned_by(sim, "held"));
    sim_run(sim, WAIT);
    delete(sim, path_of(sim, "owner"), "Foreground");
    sim_run(sim, WAIT);
    assert_false(there(sim, "quick"));
    assert_false(there(sim, "grandchild"));
    assert_true(there(sim, "held"));
    Answer *owner = call(sim->api, "GET", path_of(sim, "owner"), NULL);
    assert_status(owner, 200);
    assert_true(str_eq(value_at(owner->json, "metadata.finalizers")->items[0]->string,
                       STR("foregroundDeletion")));
    sim_patch(sim, MAPS "/held", "{\"metadata\":{\"finalizers\":null}}");
    sim_run(sim, WAIT);
    assert_false(there(sim, "held"));
    assert_false(there(sim, "owner"));
}

// Without blockOwnerDeletion a dependent holds nobody up.
static void test_foreground_without_blocking(void **state) {
    Sim *sim = *state;
    make(sim, "owner", NULL);
    make(sim, "held", reference(sim, "owner", uid_of(sim, MAPS "/owner"), ""));
    sim_patch(sim, MAPS "/held", "{\"metadata\":{\"finalizers\":[\"x.io/hold\"]}}");
    sim_run(sim, WAIT);
    delete(sim, path_of(sim, "owner"), "Foreground");
    sim_run(sim, WAIT);
    assert_false(there(sim, "owner"));
    assert_true(there(sim, "held"));
    assert_true(text_at(call(sim->api, "GET", MAPS "/held", NULL), "metadata.deletionTimestamp")[0]);
}

// "not delete dependents that have both valid owner and owner waiting for dependents".
static void test_valid_and_waiting_owner(void **state) {
    Sim *sim = *state;
    make(sim, "goes", NULL);
    make(sim, "stays", NULL);
    make(sim, "both",
         arena_printf(sim->api->arena, "%s,%s", owned_by(sim, "goes"),
                      reference(sim, "stays", uid_of(sim, MAPS "/stays"), ""))
             .ptr);
    make(sim, "one", owned_by(sim, "goes"));
    sim_run(sim, WAIT);
    delete(sim, path_of(sim, "goes"), "Foreground");
    sim_run(sim, WAIT);
    assert_false(there(sim, "goes"));
    assert_false(there(sim, "one"));
    assert_true(there(sim, "both"));
    assert_int_equal(owners_of(sim, "both"), 1);
    assert_string_equal(
        text_at(call(sim->api, "GET", MAPS "/both", NULL), "metadata.deletionTimestamp"), "");
}

// "not be blocked by dependency circle", in the foreground and in the background.
static void test_circle(void **state) {
    Sim *sim = *state;
    const char *const policies[] = {"Foreground", "Background"};
    for (int i = 0; i < 2; i++) {
        make(sim, "one", NULL);
        make(sim, "two", owned_by(sim, "one"));
        make(sim, "three", owned_by(sim, "two"));
        sim_patch(sim, MAPS "/one",
                  arena_printf(sim->api->arena, "{\"metadata\":{\"ownerReferences\":[%s]}}",
                               owned_by(sim, "three"))
                      .ptr);
        sim_run(sim, WAIT);
        assert_true(there(sim, "two"));
        delete(sim, path_of(sim, "one"), policies[i]);
        sim_run(sim, 30 * NSEC_PER_SEC);
        assert_false(there(sim, "one"));
        assert_false(there(sim, "two"));
        assert_false(there(sim, "three"));
    }
}

// Who owns himself neither blocks nor goes.
static void test_self(void **state) {
    Sim *sim = *state;
    make(sim, "self", NULL);
    sim_patch(sim, MAPS "/self",
              arena_printf(sim->api->arena, "{\"metadata\":{\"ownerReferences\":[%s]}}",
                           owned_by(sim, "self"))
                  .ptr);
    sim_run(sim, WAIT);
    assert_true(there(sim, "self"));
    delete(sim, path_of(sim, "self"), "Background");
    sim_run(sim, WAIT);
    assert_false(there(sim, "self"));
}

// ---- orphans

// "orphan pods created by rc if delete options say so".
static void test_orphan(void **state) {
    Sim *sim = *state;
    char name[16];
    make(sim, "owner", NULL);
    make(sim, "other", NULL);
    for (int i = 0; i < 50; i++) { // more than are patched at once
        snprintf(name, sizeof name, "child-%d", i);
        make(sim, name, owned_by(sim, "owner"));
    }
    make(sim, "both",
         arena_printf(sim->api->arena, "%s,%s", owned_by(sim, "owner"),
                      reference(sim, "other", uid_of(sim, MAPS "/other"), ""))
             .ptr);
    sim_run(sim, WAIT);
    Answer *marked =
        call(sim->api, "DELETE", MAPS "/owner", "{\"propagationPolicy\":\"Orphan\"}");
    assert_status(marked, 200);
    assert_true(
        str_eq(value_at(marked->json, "metadata.finalizers")->items[0]->string, STR("orphan")));
    sim_run(sim, WAIT);
    assert_false(there(sim, "owner"));
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "child-%d", i);
        assert_true(there(sim, name));
        assert_int_equal(owners_of(sim, name), 0);
    }
    assert_int_equal(owners_of(sim, "both"), 1);
    sim_run(sim, 600 * NSEC_PER_SEC);
    assert_true(there(sim, "child-0"));
}

// ---- wrong references

// A namespaced owner is looked for in the dependent's namespace alone; an event tells
// (reportInvalidNamespaceOwnerRef).
static void test_owner_elsewhere(void **state) {
    Sim *sim = *state;
    sim_create(sim, "/api/v1/namespaces", "{\"metadata\":{\"name\":\"other\"}}");
    sim_create(sim, "/api/v1/namespaces/other/configmaps", "{\"metadata\":{\"name\":\"owner\"}}");
    sim_create(sim, "/api/v1/namespaces/other/configmaps",
               arena_printf(sim->api->arena,
                            "{\"metadata\":{\"name\":\"good\",\"ownerReferences\":[%s]}}",
                            reference(sim, "owner",
                                      uid_of(sim, "/api/v1/namespaces/other/configmaps/owner"), ""))
                   .ptr);
    sim_run(sim, WAIT);
    const char *uid = uid_of(sim, "/api/v1/namespaces/other/configmaps/owner");
    make(sim, "bad", reference(sim, "owner", uid, ""));
    sim_run(sim, WAIT);
    assert_false(there(sim, "bad"));
    char expected[400];
    snprintf(expected, sizeof expected,
             "Warning OwnerRefInvalidNamespace 1 ownerRef [v1/ConfigMap, namespace: default, name: "
             "owner, uid: %s] does not exist in namespace \"default\"\n",
             uid);
    assert_string_equal(sim_events(sim, "bad"), expected);
    assert_true(sim_exists(sim, "/api/v1/namespaces/other/configmaps/good"));
}

// The other way round: the bad dependent is seen first, and shares a virtual owner with a good one.
static void test_bad_before_good(void **state) {
    Sim *sim = *state;
    sim_create(sim, "/api/v1/namespaces", "{\"metadata\":{\"name\":\"other\"}}");
    sim_create(sim, "/api/v1/namespaces/other/configmaps", "{\"metadata\":{\"name\":\"owner\"}}");
    const char *uid = uid_of(sim, "/api/v1/namespaces/other/configmaps/owner");
    make(sim, "bad", reference(sim, "owner", uid, ""));
    sim_create(sim, "/api/v1/namespaces/other/configmaps",
               arena_printf(sim->api->arena,
                            "{\"metadata\":{\"name\":\"good\",\"ownerReferences\":[%s]}}",
                            reference(sim, "owner", uid, ""))
                   .ptr);
    sim_run(sim, 30 * NSEC_PER_SEC);
    assert_false(there(sim, "bad"));
    assert_true(sim_exists(sim, "/api/v1/namespaces/other/configmaps/good"));
    assert_status(call(sim->api, "DELETE", "/api/v1/namespaces/other/configmaps/owner", NULL), 200);
    sim_run(sim, WAIT);
    assert_false(sim_exists(sim, "/api/v1/namespaces/other/configmaps/good"));
}

// A cluster-wide dependent of a namespaced owner stays, and so does what names a kind that nobody
// knows.
static void test_unknown_owner(void **state) {
    Sim *sim = *state;
    make(sim, "owner", NULL);
    sim_create(sim, "/api/v1/namespaces",
               arena_printf(sim->api->arena,
                            "{\"metadata\":{\"name\":\"kept\",\"ownerReferences\":[%s]}}",
                            reference(sim, "nobody", "11111111-2222-3333-4444-555555555555", ""))
                   .ptr);
    make(sim, "strange",
         "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Thing\",\"name\":\"t\",\"uid\":\"1\"}");
    sim_run(sim, 60 * NSEC_PER_SEC);
    assert_true(sim_exists(sim, "/api/v1/namespaces/kept"));
    assert_true(there(sim, "strange"));
}

// Cluster-wide owners, here a Node, own things in any namespace.
static void test_cluster_owner(void **state) {
    Sim *sim = *state;
    sim_add_node(sim, "n", NULL);
    sim_create(sim, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
               arena_printf(sim->api->arena,
                            "{\"metadata\":{\"name\":\"n\",\"ownerReferences\":[{\"apiVersion\":"
                            "\"v1\",\"kind\":\"Node\",\"name\":\"n\",\"uid\":\"%s\"}]}}",
                            uid_of(sim, "/api/v1/nodes/n"))
                   .ptr);
    sim_run(sim, WAIT);
#define LEASE "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n"
    assert_true(sim_exists(sim, LEASE));
    sim_delete(sim, "/api/v1/nodes/n");
    sim_run(sim, WAIT);
    assert_false(sim_exists(sim, LEASE));
}

// Kinds that come at run time own and are owned, and go with all they have ("should support cascading
// deletion of custom resources").
static void test_custom_kinds(void **state) {
    Sim *sim = *state;
#define CRONTABS "/apis/example.com/v1/namespaces/default/crontabs"
    sim_create(sim, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
               "{\"metadata\":{\"name\":\"crontabs.example.com\"},\"spec\":{\"group\":\"example."
               "com\",\"scope\":\"Namespaced\",\"names\":{\"plural\":\"crontabs\",\"kind\":"
               "\"CronTab\"},\"versions\":[{\"name\":\"v1\",\"served\":true,\"storage\":true,"
               "\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\","
               "\"x-kubernetes-preserve-unknown-fields\":true}}}]}}");
    sim_run(sim, WAIT);
    const char *const policies[] = {"Background", "Foreground", "Orphan"};
    for (int i = 0; i < 3; i++) {
        sim_create(sim, CRONTABS,
                   "{\"apiVersion\":\"example.com/v1\",\"kind\":\"CronTab\",\"metadata\":{\"name\":"
                   "\"owner\"}}");
        Str owner = arena_printf(sim->api->arena,
                                 "{\"apiVersion\":\"example.com/v1\",\"kind\":\"CronTab\","
                                 "\"name\":\"owner\",\"uid\":\"%s\",\"blockOwnerDeletion\":true}",
                                 uid_of(sim, CRONTABS "/owner"));
        make(sim, "child", owner.ptr);
        sim_create(sim, CRONTABS,
                   arena_printf(sim->api->arena,
                                "{\"apiVersion\":\"example.com/v1\",\"kind\":\"CronTab\",\"metadata\":"
                                "{\"name\":\"child\",\"ownerReferences\":[%s]}}",
                                owner.ptr)
                       .ptr);
        sim_run(sim, WAIT);
        assert_true(there(sim, "child"));
        delete(sim, CRONTABS "/owner", policies[i]);
        sim_run(sim, WAIT);
        assert_false(sim_exists(sim, CRONTABS "/owner"));
        assert_int_equal(there(sim, "child"), i == 2);
        assert_int_equal(sim_exists(sim, CRONTABS "/child"), i == 2);
    }
}

// Requests fail; nothing is lost, and nothing that has an owner goes.
static unsigned requests;
static bool fail_sometimes(Sim *sim, HttpRequest *request) {
    if (str_eq(request->method, STR("GET")) && request->query.len)
        return false; // lists and watches
    if ((++requests * 2654435761u) >> 30) // one in four, without a pattern
        return false;
    sim_refuse(request, 500, "InternalError", "not now");
    return true;
}

static void test_failures(void **state) {
    Sim *sim = *state;
    make(sim, "owner", NULL);
    make(sim, "child", owned_by(sim, "owner"));
    make(sim, "kept", owned_by(sim, "child"));
    sim_run(sim, WAIT);
    sim->intercept = fail_sometimes;
    delete(sim, path_of(sim, "child"), "Orphan");
    sim_run(sim, 60 * NSEC_PER_SEC);
    assert_false(there(sim, "child"));
    assert_true(there(sim, "kept"));
    assert_int_equal(owners_of(sim, "kept"), 0);
    make(sim, "child", owned_by(sim, "owner"));
    delete(sim, path_of(sim, "owner"), "Foreground");
    sim_run(sim, 60 * NSEC_PER_SEC);
    assert_false(there(sim, "child"));
    assert_false(there(sim, "owner"));
}

// One look at an object costs the same, however many there are: no request is about anything but the
// dependents.
static void test_work(void **state) {
    Sim *sim = *state;
    char name[16];
    make(sim, "owner", NULL);
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "child-%d", i);
        make(sim, name, owned_by(sim, "owner"));
        snprintf(name, sizeof name, "other-%d", i);
        make(sim, name, NULL);
    }
    sim_run(sim, WAIT);
    sim_log_clear(sim);
    delete(sim, path_of(sim, "owner"), "Background");
    sim_run(sim, WAIT);
    int gets = 0, deletes = 0;
    for (const char *line = sim_log(sim); line && *line; line = strchr(line, '\n') + 1) {
        gets += !strncmp(line, "GET ", 4);
        deletes += !strncmp(line, "DELETE ", 7);
        if (strstr(line, "other-") && strstr(line, "other-") < strchr(line, '\n'))
            fail_msg("%s", line);
    }
    assert_int_equal(deletes, 40);
    assert_in_range(gets, 40, 45);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_background),
        TEST(test_absent_owner),
        TEST(test_restart),
        TEST(test_foreground),
        TEST(test_foreground_without_blocking),
        TEST(test_valid_and_waiting_owner),
        TEST(test_circle),
        TEST(test_self),
        TEST(test_orphan),
        TEST(test_owner_elsewhere),
        TEST(test_bad_before_good),
        TEST(test_unknown_owner),
        TEST(test_cluster_owner),
        TEST(test_custom_kinds),
        TEST(test_failures),
        TEST(test_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
