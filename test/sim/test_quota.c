// ResourceQuota, whole: what admission charges and refuses, and what the controller adds up.
// Wording: apiserver's admission/plugin/resourcequota/controller.go and pkg/quota/v1/evaluator/core.
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
#include "sim.h"

typedef struct World {
    Sim *sim;
    Controllers *controllers;
} World;

#define CORE "/api/v1/namespaces/default/"
#define PODS CORE "pods"
#define QUOTAS CORE "resourcequotas"

static void start(World *world) {
    world->controllers = controllers_new(
        &(ControllersConfig){.loop = world->sim->api->loop,
                             .client = sim_controller_client,
                             .user = world->sim,
                             .selection = STR("resourcequota-controller,namespace-controller"),
                             .cluster_ca = STR("the CA")},
        NULL);
    sim_run(world->sim, NSEC_PER_SEC);
}

static int setup(void **state) {
    World *world = calloc(1, sizeof *world);
    world->sim = sim_new();
    sim_add_service_account(world->sim);
    start(world);
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

static void quota(Sim *sim, const char *name, const char *spec) {
    char text[1024];
    snprintf(text, sizeof text, "{\"metadata\":{\"name\":\"%s\"},\"spec\":{%s}}", name, spec);
    sim_create(sim, QUOTAS, text);
    sim_run(sim, 100 * NSEC_PER_MSEC);
}

// status.used of a resource; "-" when there is none.
static const char *used(Sim *sim, const char *name, const char *resource) {
    char path[256];
    snprintf(path, sizeof path, QUOTAS "/%s", name);
    Answer *got = call(sim->api, "GET", path, NULL);
    assert_status(got, 200);
    const Value *value = value_get(value_at(got->json, "status.used"), str_from(resource));
    return value ? arena_cstr(sim->api->arena, value->string) : "-";
}

static Answer *pod(Sim *sim, const char *name, const char *resources, const char *more) {
    char text[1024];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"terminationGracePeriodSeconds\":0,"
             "\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{%s}}]%s}}",
             name, resources, more);
    return call(sim->api, "POST", PODS, text);
}

#define CPU(amount) "\"requests\":{\"cpu\":\"" amount "\"}"

static void test_counts(void **state) {
    Sim *sim = ((World *)*state)->sim;
    quota(sim, "q",
          "\"hard\":{\"pods\":\"2\",\"count/configmaps\":\"1\",\"configmaps\":\"5\",\"secrets\":"
          "\"1\",\"count/leases.coordination.k8s.io\":\"1\",\"count/nothing.example.com\":\"1\"}");
    assert_string_equal(used(sim, "q", "pods"), "0");
    assert_string_equal(used(sim, "q", "count/nothing.example.com"), "-");
    assert_status(pod(sim, "a", "", ""), 201);
    assert_string_equal(used(sim, "q", "pods"), "1"); // at once: admission charges
    assert_status(pod(sim, "b", "", ""), 201);
    assert_refused(pod(sim, "c", "", ""), 403,
                   "pods \"c\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, "
                   "limited: pods=2");
    sim_create(sim, CORE "configmaps", "{\"metadata\":{\"name\":\"m\"}}");
    assert_string_equal(used(sim, "q", "count/configmaps"), "1");
    assert_string_equal(used(sim, "q", "configmaps"), "1");
    Answer *refused = call(sim->api, "POST", CORE "configmaps", "{\"metadata\":{\"name\":\"n\"}}");
    assert_refused(refused, 403,
                   "configmaps \"n\" is forbidden: exceeded quota: q, requested: "
                   "count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1");
    const char *lease = "{\"metadata\":{\"name\":\"%s\"}}";
    char text[128];
    snprintf(text, sizeof text, lease, "l");
    const char *leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    sim_create(sim, leases, text);
    snprintf(text, sizeof text, lease, "l2");
    assert_status(call(sim->api, "POST", leases, text), 403);
    // Updates of what is counted cost nothing.
    assert_status(call_patch(sim->api, "merge", CORE "configmaps/m", "{\"data\":{\"a\":\"b\"}}"),
                  200);
    // What goes makes room.
    sim_delete(sim, PODS "/a");
    sim_delete(sim, CORE "configmaps/m");
    assert_status(call(sim->api, "DELETE", "/apis/coordination.k8s.io/v1/namespaces/default/leases/l",
                       NULL),
                  200);
    sim_run(sim, NSEC_PER_SEC);
    assert_string_equal(used(sim, "q", "pods"), "1");
    assert_string_equal(used(sim, "q", "configmaps"), "0");
    assert_string_equal(used(sim, "q", "count/leases.coordination.k8s.io"), "0");
    assert_status(pod(sim, "c", "", ""), 201);
}

static void test_compute(void **state) {
    Sim *sim = ((World *)*state)->sim;
    quota(sim, "q",
          "\"hard\":{\"requests.cpu\":\"1\",\"limits.memory\":\"1Gi\",\"requests.example.com/gpu\":"
          "\"2\"}");
    assert_refused(pod(sim, "a", "", ""), 403,
                   "pods \"a\" is forbidden: failed quota: q: must specify limits.memory for: c; "
                   "requests.cpu for: c");
    assert_status(pod(sim, "a",
                      "\"limits\":{\"memory\":\"512Mi\",\"example.com/gpu\":\"2\"},\"requests\":{"
                      "\"cpu\":\"600m\"}",
                      ""),
                  201);
    assert_string_equal(used(sim, "q", "requests.cpu"), "600m");
    assert_string_equal(used(sim, "q", "limits.memory"), "512Mi");
    assert_string_equal(used(sim, "q", "requests.example.com/gpu"), "2");
    assert_refused(
        pod(sim, "b", "\"limits\":{\"memory\":\"1Gi\"},\"requests\":{\"cpu\":\"600m\"}", ""), 403,
        "pods \"b\" is forbidden: exceeded quota: q, requested: limits.memory=1Gi,requests.cpu=600m, "
        "used: limits.memory=512Mi,requests.cpu=600m, limited: limits.memory=1Gi,requests.cpu=1");
    // A pod that has ended uses nothing.
    assert_status(call_patch(sim->api, "merge", PODS "/a/status",
                             "{\"status\":{\"phase\":\"Succeeded\"}}"),
                  200);
    sim_run(sim, NSEC_PER_SEC);
    assert_string_equal(used(sim, "q", "requests.cpu"), "0");
    // The controller adds up what was there before the quota.
    assert_status(pod(sim, "b", "\"limits\":{\"memory\":\"1Gi\"},\"requests\":{\"cpu\":\"600m\"}",
                      ""),
                  201);
    quota(sim, "later", "\"hard\":{\"cpu\":\"5\",\"count/pods\":\"9\",\"pods\":\"9\"}");
    assert_string_equal(used(sim, "later", "cpu"), "600m");
    assert_string_equal(used(sim, "later", "count/pods"), "2");
    assert_string_equal(used(sim, "later", "pods"), "1");
}

static void test_scopes(void **state) {
    Sim *sim = ((World *)*state)->sim;
    quota(sim, "best", "\"hard\":{\"pods\":\"5\"},\"scopes\":[\"BestEffort\"]");
    quota(sim, "not-best", "\"hard\":{\"pods\":\"5\"},\"scopes\":[\"NotBestEffort\"]");
    quota(sim, "ending", "\"hard\":{\"pods\":\"5\"},\"scopes\":[\"Terminating\"]");
    quota(sim, "staying", "\"hard\":{\"pods\":\"5\"},\"scopes\":[\"NotTerminating\"]");
    quota(sim, "critical",
          "\"hard\":{\"pods\":\"1\"},\"scopeSelector\":{\"matchExpressions\":[{\"scopeName\":"
          "\"PriorityClass\",\"operator\":\"In\",\"values\":[\"system-node-critical\"]}]}");
    quota(sim, "affine",
          "\"hard\":{\"pods\":\"0\"},\"scopes\":[\"CrossNamespacePodAffinity\"]");
    assert_status(pod(sim, "a", "", ""), 201);
    assert_status(pod(sim, "b", CPU("1"), ",\"activeDeadlineSeconds\":60"), 201);
    assert_status(pod(sim, "c", CPU("1"), ",\"priorityClassName\":\"system-node-critical\""), 201);
    static const struct {
        const char *quota, *used;
    } expected[] = {{"best", "1"},    {"not-best", "2"}, {"ending", "1"},
                    {"staying", "2"}, {"critical", "1"}, {"affine", "0"}};
    for (int round = 0; round < 2; round++) { // as admission charged, and as the controller adds up
        for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
            assert_string_equal(used(sim, expected[i].quota, "pods"), expected[i].used);
        sim_run(sim, 10 * NSEC_PER_SEC);
    }
    assert_status(pod(sim, "d", "", ",\"priorityClassName\":\"system-node-critical\""), 403);
    assert_refused(
        pod(sim, "e", "",
            ",\"affinity\":{\"podAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{"
            "\"topologyKey\":\"a\",\"labelSelector\":{},\"namespaces\":[\"x\"]}]}}"),
        403,
        "pods \"e\" is forbidden: exceeded quota: affine, requested: pods=1, used: pods=0, limited: "
        "pods=0");
}

static void test_services(void **state) {
    Sim *sim = ((World *)*state)->sim;
    quota(sim, "q", "\"hard\":{\"services\":\"2\",\"services.nodeports\":\"1\","
                    "\"services.loadbalancers\":\"0\"}");
    sim_create(sim, CORE "services",
               "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"ports\":[{\"port\":80}]}}");
    assert_string_equal(used(sim, "q", "services"), "2"); // with the one that was there: kubernetes
    assert_string_equal(used(sim, "q", "services.nodeports"), "0");
    assert_status(call_patch(sim->api, "merge", CORE "services/a",
                             "{\"spec\":{\"type\":\"NodePort\"}}"),
                  200);
    assert_string_equal(used(sim, "q", "services.nodeports"), "1");
    assert_string_equal(used(sim, "q", "services"), "2");
    assert_refused(call_patch(sim->api, "merge", CORE "services/a",
                              "{\"spec\":{\"type\":\"LoadBalancer\"}}"),
                   403,
                   "services \"a\" is forbidden: exceeded quota: q, requested: "
                   "services.loadbalancers=1, used: services.loadbalancers=0, limited: "
                   "services.loadbalancers=0");
    assert_status(call_patch(sim->api, "merge", CORE "services/a",
                             "{\"spec\":{\"type\":\"ClusterIP\",\"ports\":[{\"port\":80,"
                             "\"nodePort\":null}]}}"),
                  200);
    sim_run(sim, NSEC_PER_SEC);
    assert_string_equal(used(sim, "q", "services.nodeports"), "0");
}

static void test_claims(void **state) {
    Sim *sim = ((World *)*state)->sim;
    quota(sim, "q",
          "\"hard\":{\"persistentvolumeclaims\":\"2\",\"requests.storage\":\"10Gi\","
          "\"gold.storageclass.storage.k8s.io/requests.storage\":\"3Gi\","
          "\"gold.storageclass.storage.k8s.io/persistentvolumeclaims\":\"2\"}");
    const char *claim = "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"accessModes\":["
                        "\"ReadWriteOnce\"],\"storageClassName\":\"%s\",\"resources\":{"
                        "\"requests\":{\"storage\":\"%s\"}}}}";
    char text[512];
    snprintf(text, sizeof text, claim, "a", "gold", "2Gi");
    sim_create(sim, CORE "persistentvolumeclaims", text);
    assert_string_equal(used(sim, "q", "requests.storage"), "2Gi");
    assert_string_equal(used(sim, "q", "gold.storageclass.storage.k8s.io/requests.storage"), "2Gi");
    snprintf(text, sizeof text, claim, "b", "gold", "2Gi");
    assert_status(call(sim->api, "POST", CORE "persistentvolumeclaims", text), 403);
    snprintf(text, sizeof text, claim, "b", "iron", "2Gi");
    sim_create(sim, CORE "persistentvolumeclaims", text);
    sim_run(sim, 10 * NSEC_PER_SEC);
    assert_string_equal(used(sim, "q", "requests.storage"), "4Gi");
    assert_string_equal(used(sim, "q", "persistentvolumeclaims"), "2");
    assert_string_equal(
        used(sim, "q", "gold.storageclass.storage.k8s.io/persistentvolumeclaims"), "1");
}

#define MANY 40

// However many ask at the same time: not one more than the quota has.
static void test_concurrent_creates(void **state) {
    Sim *sim = ((World *)*state)->sim;
    Answer *answers[MANY];
    HttpCall *calls[MANY];
    quota(sim, "q", "\"hard\":{\"pods\":\"7\"}");
    quota(sim, "r", "\"hard\":{\"pods\":\"20\"}");
    int64_t before = sim_revision(sim);
    for (int i = 0; i < MANY; i++) {
        char text[256];
        snprintf(text, sizeof text,
                 "{\"metadata\":{\"name\":\"p%d\"},\"spec\":{\"containers\":[{\"name\":\"c\","
                 "\"image\":\"i\"}]}}",
                 i);
        answers[i] = call_start(sim->api, sim->api->admin, "POST", PODS, text, NULL, &calls[i]);
    }
    sim_run(sim, NSEC_PER_SEC);
    int made = 0;
    for (int i = 0; i < MANY; i++) {
        assert_true(answers[i]->done);
        assert_true(answers[i]->status == 201 || answers[i]->status == 403);
        made += answers[i]->status == 201;
    }
    assert_int_equal(made, 7);
    assert_string_equal(used(sim, "q", "pods"), "7");
    // Charges that come together are written together.
    assert_true(sim_revision(sim) - before < 7 + 2 * 7);
    sim_run(sim, 10 * NSEC_PER_SEC);
    assert_string_equal(used(sim, "q", "pods"), "7");
    assert_string_equal(used(sim, "r", "pods"), "7");
}

// Charged, but then the name was taken: the controller finds out.
static void test_charged_in_vain(void **state) {
    Sim *sim = ((World *)*state)->sim;
    quota(sim, "q", "\"hard\":{\"pods\":\"3\"}");
    assert_status(pod(sim, "a", "", ""), 201);
    assert_status(pod(sim, "a", "", ""), 409);
    sim_run(sim, 10 * NSEC_PER_SEC);
    assert_string_equal(used(sim, "q", "pods"), "1");
    int64_t revision = sim_revision(sim);
    sim_run(sim, 600 * NSEC_PER_SEC);
    assert_int_equal(sim_revision(sim), revision); // and then rests
}

static void test_dry_run(void **state) {
    Sim *sim = ((World *)*state)->sim;
    quota(sim, "q", "\"hard\":{\"pods\":\"1\"}");
    const char *body = "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\","
                       "\"image\":\"i\"}]}}";
    assert_status(call(sim->api, "POST", PODS "?dryRun=All", body), 201);
    assert_string_equal(used(sim, "q", "pods"), "0");
    assert_status(pod(sim, "a", "", ""), 201);
    assert_status(call(sim->api, "POST", PODS "?dryRun=All", body), 403);
}

static void test_changes_of_the_quota(void **state) {
    World *world = *state;
    Sim *sim = world->sim;
    quota(sim, "q", "\"hard\":{\"pods\":\"1\"}");
    assert_status(pod(sim, "a", "", ""), 201);
    assert_status(pod(sim, "b", "", ""), 403);
    sim_patch(sim, QUOTAS "/q", "{\"spec\":{\"hard\":{\"pods\":\"2\",\"secrets\":\"9\"}}}");
    sim_run(sim, 100 * NSEC_PER_MSEC);
    assert_string_equal(used(sim, "q", "secrets"), "0");
    assert_status(pod(sim, "b", "", ""), 201);
    // Once it is gone, it limits nothing; a controller that was away catches up.
    controllers_free(world->controllers);
    sim_delete(sim, PODS "/a");
    start(world);
    assert_string_equal(used(sim, "q", "pods"), "1");
    assert_status(call(sim->api, "DELETE", QUOTAS "/q", NULL), 200);
    assert_status(pod(sim, "c", "", ""), 201);
    assert_status(pod(sim, "d", "", ""), 201);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_counts),   T(test_compute),
        T(test_scopes),   T(test_services),
        T(test_claims),   T(test_concurrent_creates),
        T(test_dry_run),  T(test_charged_in_vain),
        T(test_changes_of_the_quota),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
