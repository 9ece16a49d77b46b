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
#define CLAIMS "/api/v1/namespaces/default/persistentvolumeclaims"
#define SETS "/apis/apps/v1/namespaces/default/statefulsets"
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
                             .selection = STR("statefulset-controller,serviceaccount-controller")},
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

// "web-0 web-1": the names in that collection.
static const char *names(Sim *sim, const char *path) {
    static char text[2048];
    const Value *items = value_get(get(sim, path), STR("items"));
    size_t n = 0;
    text[0] = 0;
    for (uint32_t i = 0; items && i < items->n && n < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s", i ? " " : "",
                              STR_ARG(value_string_at(items->items[i], "metadata.name")));
    return text;
}

static int64_t status_of(Sim *sim, const char *field) {
    char at[64];
    snprintf(at, sizeof at, "status.%s", field);
    return value_int_at(get(sim, SETS "/web"), at, 0);
}

static Str string_of(Sim *sim, const char *path, const char *field) {
    return value_string_at(get(sim, path), field);
}

static Str label_of(Sim *sim, const char *pod, Str label) {
    char path[128];
    snprintf(path, sizeof path, PODS "/%s", pod);
    const Value *value = value_get(value_at(get(sim, path), "metadata.labels"), label);
    return value ? value->string : STR_NONE;
}

static Str image_of(Sim *sim, const char *pod) {
    char path[128];
    snprintf(path, sizeof path, PODS "/%s", pod);
    return value_string_at(value_at(get(sim, path), "spec.containers")->items[0], "image");
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

static void ready(Sim *sim, const char *name) {
    set_pod(sim, name, "Running", true);
}

static void patch_set(Sim *sim, const char *patch) {
    sim_patch(sim, SETS "/web", patch);
    sim_run(sim, SOON);
}

static void create_set(Sim *sim, int replicas, const char *more) {
    char text[2048];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":%d,\"serviceName\":\"nginx\","
             "\"selector\":{\"matchLabels\":{\"app\":\"web\"}},\"template\":{\"metadata\":{"
             "\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":"
             "\"one\"}]}}%s}}",
             replicas, more);
    sim_create(sim, SETS, text);
    sim_run(sim, SOON);
}

#define PARALLEL ",\"podManagementPolicy\":\"Parallel\""
#define WITH_CLAIM                                                                                 \
    ",\"volumeClaimTemplates\":[{\"metadata\":{\"name\":\"data\"},\"spec\":{\"accessModes\":["     \
    "\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"1Mi\"}}}}]"
#define IMAGE(name)                                                                                \
    "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"" name         \
    "\"}]}}}}"

static void create_ready(Sim *sim, int replicas, const char *more) {
    create_set(sim, replicas, more);
    for (int i = 0; i < replicas; i++) {
        char name[32];
        snprintf(name, sizeof name, "web-%d", i);
        ready(sim, name);
    }
}

// ---- tests

static void test_pods_start_in_order(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_set(sim, 3, "");
    assert_string_equal(names(sim, PODS), "web-0");
    sim_run(sim, 60 * NSEC_PER_SEC);
    assert_string_equal(names(sim, PODS), "web-0");
    ready(sim, "web-0");
    assert_string_equal(names(sim, PODS), "web-0 web-1");
    ready(sim, "web-1");
    ready(sim, "web-2");
    assert_string_equal(names(sim, PODS), "web-0 web-1 web-2");
    Str revision = string_of(sim, SETS "/web", "status.currentRevision");
    assert_true(
        str_eq(label_of(sim, "web-1", STR("statefulset.kubernetes.io/pod-name")), STR("web-1")));
    assert_true(str_eq(label_of(sim, "web-1", STR("apps.kubernetes.io/pod-index")), STR("1")));
    assert_true(str_eq(label_of(sim, "web-1", STR("controller-revision-hash")), revision));
    assert_true(str_eq(string_of(sim, PODS "/web-1", "spec.hostname"), STR("web-1")));
    assert_true(str_eq(string_of(sim, PODS "/web-1", "spec.subdomain"), STR("nginx")));
    assert_int_equal(status_of(sim, "replicas"), 3);
    assert_int_equal(status_of(sim, "readyReplicas"), 3);
    assert_int_equal(status_of(sim, "availableReplicas"), 3);
    assert_int_equal(status_of(sim, "currentReplicas"), 3);
    assert_int_equal(status_of(sim, "updatedReplicas"), 3);
    // pkg/controller/statefulset/stateful_pod_control.go: recordPodEvent.
    assert_non_null(strstr(sim_events(sim, "web"), "Normal SuccessfulCreate 1 create Pod web-0 in "
                                                   "StatefulSet web successful"));
    int64_t version = sim_revision(sim);
    sim_run(sim, 600 * NSEC_PER_SEC);
    assert_int_equal(sim_revision(sim), version);
}

static void test_pods_stop_in_order(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_ready(sim, 3, "");
    // One that is not well is waited for while another below it is not well either.
    set_pod(sim, "web-0", "Running", false);
    set_pod(sim, "web-2", "Running", false);
    patch_set(sim, "{\"spec\":{\"replicas\":0}}");
    assert_string_equal(names(sim, PODS), "web-0 web-1 web-2");
    ready(sim, "web-2");
    assert_string_equal(names(sim, PODS), "");
    const char *events = sim_events(sim, "web");
    const char *second = strstr(events, "delete Pod web-2"), *last = strstr(events, "Pod web-0 in");
    assert_non_null(second);
    assert_non_null(last);
    assert_true(second < strstr(events, "delete Pod web-1"));
    assert_true(strstr(events, "delete Pod web-1") < strstr(events, "delete Pod web-0"));
}

static void test_parallel(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_set(sim, 3, PARALLEL ",\"ordinals\":{\"start\":5}");
    assert_string_equal(names(sim, PODS), "web-5 web-6 web-7");
    patch_set(sim, "{\"spec\":{\"ordinals\":{\"start\":7},\"replicas\":2}}");
    assert_string_equal(names(sim, PODS), "web-7 web-8");
    patch_set(sim, "{\"spec\":{\"replicas\":700}}");
    sim_run(sim, 5 * NSEC_PER_SEC);
    assert_int_equal(status_of(sim, "replicas"), 700);
}

static void test_claims(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_ready(sim, 2, WITH_CLAIM);
    assert_string_equal(names(sim, CLAIMS), "data-web-0 data-web-1");
    const Value *volume = value_at(get(sim, PODS "/web-1"), "spec.volumes")->items[0];
    assert_true(str_eq(value_string_at(volume, "name"), STR("data")));
    assert_true(
        str_eq(value_string_at(volume, "persistentVolumeClaim.claimName"), STR("data-web-1")));
    assert_true(str_eq(string_of(sim, CLAIMS "/data-web-1", "metadata.labels.app"), STR("web")));
    // pkg/controller/statefulset/stateful_pod_control.go: recordClaimEvent.
    assert_non_null(strstr(sim_events(sim, "web"), "Normal SuccessfulCreate 1 create Claim "
                                                   "data-web-0 Pod web-0 in StatefulSet web "
                                                   "success"));
    Str uid = string_of(sim, CLAIMS "/data-web-1", "metadata.uid");
    sim_delete(sim, PODS "/web-1");
    sim_run(sim, SOON);
    assert_string_equal(names(sim, PODS), "web-0 web-1");
    assert_true(str_eq(string_of(sim, CLAIMS "/data-web-1", "metadata.uid"), uid));
    ready(sim, "web-1");
    patch_set(sim, "{\"spec\":{\"replicas\":1}}");
    assert_string_equal(names(sim, CLAIMS), "data-web-0 data-web-1");
    assert_null(value_at(get(sim, CLAIMS "/data-web-1"), "metadata.ownerReferences"));
}

static Str owner_kind(Sim *sim, const char *path) {
    const Value *owners = value_at(get(sim, path), "metadata.ownerReferences");
    return owners && owners->n == 1 ? value_string_at(owners->items[0], "kind") : STR_NONE;
}

static void test_claims_are_given_up(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_ready(sim, 2,
                 WITH_CLAIM ",\"persistentVolumeClaimRetentionPolicy\":{\"whenDeleted\":\"Delete\","
                            "\"whenScaled\":\"Delete\"}");
    assert_true(str_eq(owner_kind(sim, CLAIMS "/data-web-1"), STR("StatefulSet")));
    patch_set(sim, "{\"spec\":{\"replicas\":1}}");
    assert_true(str_eq(owner_kind(sim, CLAIMS "/data-web-1"), STR("Pod")));
    assert_true(str_eq(owner_kind(sim, CLAIMS "/data-web-0"), STR("StatefulSet")));
    // The pod comes back once the old claim is gone, with a new one.
    patch_set(sim, "{\"spec\":{\"replicas\":2}}");
    assert_string_equal(names(sim, PODS), "web-0");
    sim_patch(sim, CLAIMS "/data-web-1", "{\"metadata\":{\"finalizers\":null}}");
    sim_delete(sim, CLAIMS "/data-web-1");
    sim_run(sim, 20 * NSEC_PER_SEC);
    assert_string_equal(names(sim, PODS), "web-0 web-1");
    assert_true(str_eq(owner_kind(sim, CLAIMS "/data-web-1"), STR("StatefulSet")));
    patch_set(sim, "{\"spec\":{\"persistentVolumeClaimRetentionPolicy\":{\"whenDeleted\":"
                   "\"Retain\"}}}");
    assert_true(str_eq(owner_kind(sim, CLAIMS "/data-web-0"), STR("")));
}

static void test_lost_pods_come_back(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_ready(sim, 2, "");
    Str uid = string_of(sim, PODS "/web-0", "metadata.uid");
    set_pod(sim, "web-0", "Failed", false);
    assert_string_equal(names(sim, PODS), "web-0 web-1");
    assert_false(str_eq(string_of(sim, PODS "/web-0", "metadata.uid"), uid));
    assert_non_null(strstr(sim_events(sim, "web"), "Warning RecreatingFailedPod 1 StatefulSet "
                                                   "default/web is recreating failed Pod web-0"));
    sim_delete(sim, PODS "/web-1");
    sim_run(sim, SOON);
    assert_string_equal(names(sim, PODS), "web-0"); // in order: web-0 is not ready yet
    ready(sim, "web-0");
    assert_string_equal(names(sim, PODS), "web-0 web-1");
}

static void test_rolling_update(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_ready(sim, 3, "");
    Str first = string_of(sim, SETS "/web", "status.currentRevision");
    patch_set(sim, IMAGE("two"));
    assert_true(str_eq(image_of(sim, "web-2"), STR("two")));
    assert_true(str_eq(image_of(sim, "web-1"), STR("one")));
    assert_true(str_eq(string_of(sim, SETS "/web", "status.currentRevision"), first));
    assert_int_equal(status_of(sim, "updatedReplicas"), 1);
    assert_int_equal(status_of(sim, "currentReplicas"), 2);
    ready(sim, "web-2");
    assert_true(str_eq(image_of(sim, "web-1"), STR("two")));
    assert_true(str_eq(image_of(sim, "web-0"), STR("one")));
    ready(sim, "web-1");
    ready(sim, "web-0");
    Str second = string_of(sim, SETS "/web", "status.updateRevision");
    assert_false(str_eq(first, second));
    assert_true(str_eq(string_of(sim, SETS "/web", "status.currentRevision"), second));
    assert_int_equal(status_of(sim, "currentReplicas"), 3);
    // Back to the first: no third revision, the first one's number is the newest.
    patch_set(sim, IMAGE("one"));
    assert_true(str_eq(string_of(sim, SETS "/web", "status.updateRevision"), first));
    const Value *items = value_get(get(sim, REVISIONS), STR("items"));
    assert_int_equal(items->n, 2);
    for (uint32_t i = 0; i < 2; i++)
        if (str_eq(value_string_at(items->items[i], "metadata.name"), first))
            assert_int_equal(value_int_at(items->items[i], "revision", 0), 3);
}

static void test_partition(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_ready(sim, 3,
                 ",\"updateStrategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{"
                 "\"partition\":2}}");
    patch_set(sim, IMAGE("two"));
    ready(sim, "web-2");
    assert_true(str_eq(image_of(sim, "web-2"), STR("two")));
    assert_true(str_eq(image_of(sim, "web-1"), STR("one")));
    // A pod below the partition comes back as it was.
    sim_delete(sim, PODS "/web-0");
    sim_run(sim, SOON);
    assert_true(str_eq(image_of(sim, "web-0"), STR("one")));
    ready(sim, "web-0");
    patch_set(sim, "{\"spec\":{\"updateStrategy\":{\"rollingUpdate\":{\"partition\":1}}}}");
    assert_true(str_eq(image_of(sim, "web-1"), STR("two")));
    ready(sim, "web-1");
    assert_true(str_eq(image_of(sim, "web-0"), STR("one")));
}

static void test_max_unavailable(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_ready(sim, 4,
                 PARALLEL ",\"updateStrategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{"
                          "\"maxUnavailable\":\"50%\"}}");
    patch_set(sim, IMAGE("two"));
    assert_true(str_eq(image_of(sim, "web-3"), STR("two")));
    assert_true(str_eq(image_of(sim, "web-2"), STR("two")));
    assert_true(str_eq(image_of(sim, "web-1"), STR("one")));
    ready(sim, "web-3");
    assert_true(str_eq(image_of(sim, "web-1"), STR("two")));
    assert_true(str_eq(image_of(sim, "web-0"), STR("one")));
}

static void test_on_delete(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_ready(sim, 2, ",\"updateStrategy\":{\"type\":\"OnDelete\"}");
    patch_set(sim, IMAGE("two"));
    assert_true(str_eq(image_of(sim, "web-1"), STR("one")));
    sim_delete(sim, PODS "/web-0");
    sim_run(sim, SOON);
    assert_true(str_eq(image_of(sim, "web-0"), STR("two")));
    assert_true(str_eq(image_of(sim, "web-1"), STR("one")));
}

static void test_history_is_bounded(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_ready(sim, 1, ",\"revisionHistoryLimit\":2");
    for (int i = 0; i < 6; i++) {
        char patch[256];
        snprintf(patch, sizeof patch, IMAGE("image%d"), i);
        patch_set(sim, patch);
        ready(sim, "web-0");
    }
    sim_run(sim, NSEC_PER_SEC);
    assert_int_equal(value_get(get(sim, REVISIONS), STR("items"))->n, 3);
}

// Somebody else has the revision's name: another is found, and counted.
static void test_collision(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_ready(sim, 1, "");
    const char *name =
        arena_cstr(sim->api->arena, string_of(sim, SETS "/web", "status.updateRevision"));
    char path[256], body[512];
    snprintf(path, sizeof path, REVISIONS "/%s", name);
    sim_delete(sim, SETS "/web");
    sim_delete(sim, path);
    sim_delete(sim, PODS "/web-0");
    snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"%s\"},\"data\":{},\"revision\":1}",
             name);
    sim_create(sim, REVISIONS, body);
    create_set(sim, 1, "");
    assert_string_equal(names(sim, PODS), "web-0");
    assert_int_equal(status_of(sim, "collisionCount"), 1);
}

static void test_min_ready_seconds(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_set(sim, 2, ",\"minReadySeconds\":30");
    ready(sim, "web-0");
    sim_run(sim, 28 * NSEC_PER_SEC);
    assert_string_equal(names(sim, PODS), "web-0");
    assert_int_equal(status_of(sim, "readyReplicas"), 1);
    assert_int_equal(status_of(sim, "availableReplicas"), 0);
    sim_run(sim, 3 * NSEC_PER_SEC);
    assert_string_equal(names(sim, PODS), "web-0 web-1");
    assert_int_equal(status_of(sim, "availableReplicas"), 1);
}

// Only pods with a name of the set's are adopted; and they keep their revision.
static void test_adoption(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_create(sim, PODS,
               "{\"metadata\":{\"name\":\"other\",\"labels\":{\"app\":\"web\"}},\"spec\":{"
               "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
    sim_create(sim, PODS,
               "{\"metadata\":{\"name\":\"web-1\",\"labels\":{\"app\":\"web\"}},\"spec\":{"
               "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
    create_set(sim, 2, ",\"updateStrategy\":{\"type\":\"OnDelete\"}");
    ready(sim, "web-0");
    assert_string_equal(names(sim, PODS), "other web-0 web-1");
    assert_true(str_eq(owner_kind(sim, PODS "/web-1"), STR("StatefulSet")));
    assert_true(str_eq(label_of(sim, "web-1", STR("apps.kubernetes.io/pod-index")), STR("1")));
    assert_true(str_eq(owner_kind(sim, PODS "/other"), STR("")));
}

static bool refuse_pods(Sim *sim, HttpRequest *request) {
    if (!str_eq(request->method, STR("POST")) || !str_ends_with(request->path, STR("/pods")))
        return false;
    sim_refuse(request, 403, "Forbidden", "exceeded quota: q");
    return true;
}

static void test_refused_pods(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim->intercept = refuse_pods;
    create_set(sim, 2, "");
    assert_non_null(strstr(sim_events(sim, "web"), "Warning FailedCreate"));
    assert_non_null(strstr(sim_events(sim, "web"), "create Pod web-0 in StatefulSet web failed "
                                                   "error: exceeded quota: q"));
    sim_log_clear(sim);
    sim_run(sim, 60 * NSEC_PER_SEC);
    size_t n = 0;
    for (const char *at = sim_log(sim); (at = strstr(at, "POST " PODS)); at++)
        n++;
    assert_in_range(n, 1, 15);
    sim->intercept = NULL;
    sim_run(sim, 120 * NSEC_PER_SEC);
    assert_string_equal(names(sim, PODS), "web-0");
}

// Started again in the middle of an update, they go on where it was.
static void test_restart(void **state) {
    World *world = *state;
    Sim *sim = world->sim;
    create_ready(sim, 3, "");
    patch_set(sim, IMAGE("two"));
    controllers_free(world->controllers);
    sim_delete(sim, PODS "/web-0");
    start_controllers(world);
    assert_true(str_eq(image_of(sim, "web-2"), STR("two")));
    assert_true(str_eq(image_of(sim, "web-1"), STR("one")));
    for (int i = 0; i < 3; i++) {
        ready(sim, "web-0");
        ready(sim, "web-2");
        ready(sim, "web-1");
    }
    assert_string_equal(names(sim, PODS), "web-0 web-1 web-2");
    assert_true(str_eq(image_of(sim, "web-1"), STR("two")));
    assert_true(str_eq(string_of(sim, SETS "/web", "status.currentRevision"),
                       string_of(sim, SETS "/web", "status.updateRevision")));
    int64_t version = sim_revision(sim);
    sim_run(sim, 600 * NSEC_PER_SEC);
    assert_int_equal(sim_revision(sim), version);
}

static bool refuse_some(Sim *sim, HttpRequest *request) {
    return loop_random(sim->api->loop) % 10 == 0 &&
           (str_eq(request->method, STR("PUT")) || str_eq(request->method, STR("POST"))) &&
           (sim_refuse(request, 500, "InternalError", "chaos"), true);
}

// Pods that fail, go and get ready, updates and scaling at random, a tenth of all writes refused,
// the controllers started anew: in the end the set is what it should be, and nobody writes.
static void test_chaos(void **state) {
    World *world = *state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        controllers_free(world->controllers);
        sim_free(world->sim);
        Sim *sim = world->sim = sim_new_seeded(seed);
        start_controllers(world);
        int replicas = 3;
        create_set(sim, 3, seed % 2 ? PARALLEL WITH_CLAIM : WITH_CLAIM);
        sim->intercept = refuse_some;
        for (int step = 0; step < 60; step++) {
            char name[32], path[96], patch[256];
            snprintf(name, sizeof name, "web-%d", (int)(loop_random(sim->api->loop) % 5));
            snprintf(path, sizeof path, PODS "/%s", name);
            switch (loop_random(sim->api->loop) % 8) {
            case 0:
                replicas = (int)(loop_random(sim->api->loop) % 5);
                snprintf(patch, sizeof patch, "{\"spec\":{\"replicas\":%d}}", replicas);
                patch_set(sim, patch);
                break;
            case 1:
                snprintf(patch, sizeof patch, IMAGE("i%d"), step % 3);
                patch_set(sim, patch);
                break;
            case 2:
                if (sim_exists(sim, path))
                    sim_delete(sim, path);
                break;
            case 3:
                if (sim_exists(sim, path))
                    set_pod(sim, name, "Failed", false);
                break;
            case 4:
                controllers_free(world->controllers);
                start_controllers(world);
                break;
            default:
                if (sim_exists(sim, path))
                    ready(sim, name);
            }
            sim_run(sim, SOON);
        }
        sim->intercept = NULL;
        for (int round = 0; round < 40; round++) {
            sim_run(sim, 30 * NSEC_PER_SEC);
            const Value *items = value_get(get(sim, PODS), STR("items"));
            for (uint32_t i = 0; items && i < items->n; i++) {
                Str name = value_string_at(items->items[i], "metadata.name");
                if (!str_eq(value_string_at(items->items[i], "status.phase"), STR("Running")))
                    ready(sim, arena_cstr(sim->api->arena, name));
            }
        }
        assert_int_equal(status_of(sim, "replicas"), replicas);
        assert_int_equal(status_of(sim, "readyReplicas"), replicas);
        assert_int_equal(status_of(sim, "updatedReplicas"), replicas);
        static const char *const all[] = {"", "web-0", "web-0 web-1", "web-0 web-1 web-2",
                                          "web-0 web-1 web-2 web-3"};
        assert_string_equal(names(sim, PODS), all[replicas]);
        int64_t version = sim_revision(sim);
        sim_run(sim, 600 * NSEC_PER_SEC); // events live for an hour
        assert_int_equal(sim_revision(sim), version);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_pods_start_in_order),
        TEST(test_pods_stop_in_order),
        TEST(test_parallel),
        TEST(test_claims),
        TEST(test_claims_are_given_up),
        TEST(test_lost_pods_come_back),
        TEST(test_rolling_update),
        TEST(test_partition),
        TEST(test_max_unavailable),
        TEST(test_on_delete),
        TEST(test_history_is_bounded),
        TEST(test_collision),
        TEST(test_min_ready_seconds),
        TEST(test_adoption),
        TEST(test_refused_pods),
        TEST(test_restart),
        TEST(test_chaos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
