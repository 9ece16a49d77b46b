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
#define SETS "/apis/apps/v1/namespaces/default/replicasets"
#define DEPLOYMENTS "/apis/apps/v1/namespaces/default/deployments"
#define WEB DEPLOYMENTS "/web"
#define SOON (200 * NSEC_PER_MSEC)

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
                             .selection = STR("replicaset-controller,deployment-controller,"
                                              "serviceaccount-controller")},
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

static Value *get(Sim *sim, const char *path) {
    Answer *answer = call(sim->api, "GET", path, NULL);
    assert_int_equal(answer->status, 200);
    return answer->json;
}

static const char *string_at(Sim *sim, const Value *value, const char *path) {
    return arena_cstr(sim->api->arena, value_string_at(value, path));
}

static const Value *items(Sim *sim, const char *path) {
    static const Value none = {.kind = VALUE_ARRAY};
    const Value *list = value_get(get(sim, path), STR("items"));
    return list ? list : &none;
}

static const char *annotation(Sim *sim, const Value *object, const char *name) {
    const Value *value = value_get(value_at(object, "metadata.annotations"), str_from(name));
    return value ? arena_cstr(sim->api->arena, value->string) : "";
}

static const char *image_of(Sim *sim, const Value *containers) {
    return string_at(sim, containers->items[0], "image");
}

// The set with that image; NULL: none.
static const Value *set_of(Sim *sim, const char *image) {
    const Value *sets = items(sim, SETS);
    for (uint32_t i = 0; i < sets->n; i++)
        if (!strcmp(image_of(sim, value_at(sets->items[i], "spec.template.spec.containers")),
                    image))
            return sets->items[i];
    return NULL;
}

static int64_t size_of(Sim *sim, const char *image) {
    const Value *set = set_of(sim, image);
    return set ? value_int_at(set, "spec.replicas", 1) : -1;
}

static int64_t status_number(Sim *sim, const char *field) {
    char at[64];
    snprintf(at, sizeof at, "status.%s", field);
    return value_int_at(get(sim, WEB), at, 0);
}

// "STATUS REASON MESSAGE"; "" when there is none.
static const char *condition(Sim *sim, const char *type) {
    const Value *list = value_at(get(sim, WEB), "status.conditions");
    for (uint32_t i = 0; list && i < list->n; i++)
        if (str_eq(value_string_at(list->items[i], "type"), str_from(type)))
            return arena_cstr(sim->api->arena,
                              arena_printf(sim->api->arena, "%s %s %s",
                                           string_at(sim, list->items[i], "status"),
                                           string_at(sim, list->items[i], "reason"),
                                           string_at(sim, list->items[i], "message")));
    return "";
}

static bool is_ready(const Value *pod) {
    const Value *conditions = value_at(pod, "status.conditions");
    for (uint32_t i = 0; conditions && i < conditions->n; i++)
        if (str_eq(value_string_at(conditions->items[i], "type"), STR("Ready")))
            return str_eq(value_string_at(conditions->items[i], "status"), STR("True"));
    return false;
}

static size_t count_ready(Sim *sim) {
    const Value *pods = items(sim, PODS);
    size_t n = 0;
    for (uint32_t i = 0; i < pods->n; i++)
        n += is_ready(pods->items[i]);
    return n;
}

// Up to `n` pods that are not ready become so, but never those with image "bad".
static size_t make_ready(Sim *sim, size_t n) {
    const Value *pods = items(sim, PODS);
    size_t made = 0;
    for (uint32_t i = 0; i < pods->n && made < n; i++) {
        const Value *pod = pods->items[i];
        if (is_ready(pod) || !strcmp(image_of(sim, value_at(pod, "spec.containers")), "bad"))
            continue;
        char path[256], patch[512];
        snprintf(path, sizeof path, PODS "/%s/status", string_at(sim, pod, "metadata.name"));
        snprintf(patch, sizeof patch,
                 "{\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\","
                 "\"status\":\"True\",\"lastTransitionTime\":\"%.*s\"}]}}",
                 STR_ARG(time_format(sim->api->arena, loop_wall(sim->api->loop))));
        made += call_patch(sim->api, "merge", path, patch)->status == 200; // else it went meanwhile
    }
    return made;
}

static void settle(Sim *sim) {
    for (int i = 0; i < 100; i++) {
        sim_run(sim, SOON);
        if (!make_ready(sim, 1000) && i > 2)
            return;
    }
    fail_msg("it does not come to rest");
}

static void create(Sim *sim, int replicas, const char *more) {
    char text[2048];
    snprintf(
        text, sizeof text,
        "{\"metadata\":{\"name\":\"web\",\"annotations\":{\"kubernetes.io/change-cause\":"
        "\"first\"}},\"spec\":{\"replicas\":%d,\"selector\":{\"matchLabels\":{\"app\":\"web\"}}"
        ",\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":[{"
        "\"name\":\"c\",\"image\":\"one\"}]}}%s}}",
        replicas, more);
    sim_create(sim, DEPLOYMENTS, text);
    sim_run(sim, SOON);
}

static void set_image(Sim *sim, const char *image) {
    char patch[256];
    snprintf(patch, sizeof patch,
             "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"%s\"}]"
             "}}}}",
             image);
    sim_patch(sim, WEB, patch);
}

static void scale(Sim *sim, int replicas) {
    char patch[64];
    snprintf(patch, sizeof patch, "{\"spec\":{\"replicas\":%d}}", replicas);
    sim_patch(sim, WEB, patch);
}

static size_t count_text(const char *text, const char *what) {
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

static void assert_nobody_writes(Sim *sim, int64_t ns) {
    int64_t revision = sim_revision(sim);
    sim_run(sim, ns);
    assert_int_equal(sim_revision(sim), revision);
}

// ---- creating

static void test_a_set_is_made(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create(sim, 3, "");
    const Value *set = set_of(sim, "one");
    assert_non_null(set);
    const char *name = string_at(sim, set, "metadata.name");
    const char *hash = string_at(sim, set, "metadata.labels.pod-template-hash");
    assert_true(!strncmp(name, "web-", 4) && !strcmp(name + 4, hash) && strlen(hash) > 4);
    // rand.SafeEncodeString: no vowels, nothing that looks like another.
    assert_int_equal(strspn(hash, "bcdfghjklmnpqrstvwxz2456789"), strlen(hash));
    assert_string_equal(hash, string_at(sim, set, "spec.selector.matchLabels.pod-template-hash"));
    assert_string_equal(hash,
                        string_at(sim, set, "spec.template.metadata.labels.pod-template-hash"));
    assert_string_equal(annotation(sim, set, "deployment.kubernetes.io/revision"), "1");
    assert_string_equal(annotation(sim, set, "deployment.kubernetes.io/desired-replicas"), "3");
    assert_string_equal(annotation(sim, set, "deployment.kubernetes.io/max-replicas"), "4");
    assert_string_equal(annotation(sim, set, "kubernetes.io/change-cause"), "first");
    const Value *owner = value_at(set, "metadata.ownerReferences")->items[0];
    assert_string_equal(string_at(sim, owner, "kind"), "Deployment");
    assert_true(value_bool_at(owner, "controller", false));
    // pkg/controller/deployment/sync.go: scaleReplicaSet's event.
    char event[128];
    snprintf(event, sizeof event, "Normal ScalingReplicaSet 1 Scaled up replica set %s from 0 to 3",
             name);
    assert_non_null(strstr(sim_events(sim, "web"), event));
    // deployment_util.go: the reasons; sync.go and progress.go: the messages.
    char message[256];
    snprintf(message, sizeof message, "True NewReplicaSetCreated Created new replica set \"%s\"",
             name);
    assert_true(!strcmp(condition(sim, "Progressing"), message) ||
                strstr(condition(sim, "Progressing"), "True ReplicaSetUpdated"));
    assert_string_equal(condition(sim, "Available"),
                        "False MinimumReplicasUnavailable Deployment does not have minimum "
                        "availability.");
    assert_int_equal(status_number(sim, "replicas"), 3);
    assert_int_equal(status_number(sim, "unavailableReplicas"), 3);
    settle(sim);
    snprintf(message, sizeof message,
             "True NewReplicaSetAvailable ReplicaSet \"%s\" has successfully progressed.", name);
    assert_string_equal(condition(sim, "Progressing"), message);
    assert_string_equal(condition(sim, "Available"),
                        "True MinimumReplicasAvailable Deployment has minimum availability.");
    assert_int_equal(status_number(sim, "readyReplicas"), 3);
    assert_int_equal(status_number(sim, "availableReplicas"), 3);
    assert_int_equal(status_number(sim, "updatedReplicas"), 3);
    assert_int_equal(status_number(sim, "unavailableReplicas"), 0);
    assert_int_equal(status_number(sim, "observedGeneration"), 1);
    assert_string_equal(annotation(sim, get(sim, WEB), "deployment.kubernetes.io/revision"), "1");
    assert_nobody_writes(sim, 2000 * NSEC_PER_SEC);
}

// ---- rolling

// From image one to two, with pods that become ready one by one: the promise holds all the way.
static void roll(Sim *sim, int replicas, int surge, int unavailable, int step_ready) {
    set_image(sim, "two");
    for (int i = 0; i < 2000; i++) {
        sim_run(sim, 2 * NSEC_PER_MSEC);
        assert_in_range(items(sim, PODS)->n, 0, replicas + surge);
        assert_in_range(count_ready(sim), replicas - unavailable, replicas + surge);
        if (i % 25 == 24)
            make_ready(sim, (size_t)step_ready);
        if (size_of(sim, "one") == 0 && status_number(sim, "availableReplicas") == replicas &&
            status_number(sim, "updatedReplicas") == replicas)
            break;
    }
    settle(sim);
    assert_int_equal(size_of(sim, "one"), 0);
    assert_int_equal(size_of(sim, "two"), replicas);
    assert_int_equal(items(sim, PODS)->n, replicas);
    assert_non_null(strstr(condition(sim, "Progressing"), "NewReplicaSetAvailable"));
    assert_nobody_writes(sim, 1000 * NSEC_PER_SEC);
}

static void test_rolling_default(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create(sim, 10, ""); // 25% of 10: 3 more, 2 fewer
    settle(sim);
    roll(sim, 10, 3, 2, 1);
    char event[128];
    snprintf(event, sizeof event, "Scaled down replica set %s from 10 to 8",
             string_at(sim, set_of(sim, "one"), "metadata.name"));
    assert_non_null(strstr(sim_events(sim, "web"), event));
}

#define STRATEGY(surge, unavailable)                                                               \
    ",\"strategy\":{\"rollingUpdate\":{\"maxSurge\":" surge ",\"maxUnavailable\":" unavailable "}" \
                                                                                               "}"

static void test_rolling_surge_only(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create(sim, 5, STRATEGY("1", "0"));
    settle(sim);
    roll(sim, 5, 1, 0, 3);
}

static void test_rolling_unavailable_only(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create(sim, 6, STRATEGY("0", "\"34%\"")); // rounded down: 2
    settle(sim);
    roll(sim, 6, 0, 2, 1);
}

// Both round to nothing (deploymentutil.ResolveFenceposts): one may be missing.
static void test_rolling_of_one(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create(sim, 1, STRATEGY("0", "\"25%\""));
    settle(sim);
    roll(sim, 1, 0, 1, 1);
}

// A third template while the second is on its way: what is not available goes first.
static void test_roll_over(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create(sim, 10, "");
    settle(sim);
    set_image(sim, "bad");
    sim_run(sim, SOON);
    assert_int_equal(size_of(sim, "bad"), 5);
    assert_int_equal(size_of(sim, "one"), 8);
    set_image(sim, "three");
    sim_run(sim, SOON);
    assert_in_range(count_ready(sim), 8, 13);
    settle(sim);
    assert_int_equal(size_of(sim, "three"), 10);
    assert_int_equal(size_of(sim, "bad"), 0);
    assert_int_equal(size_of(sim, "one"), 0);
}

static void test_recreate(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create(sim, 4, ",\"strategy\":{\"type\":\"Recreate\"}");
    settle(sim);
    // An old pod that takes its time to end.
    char path[256];
    snprintf(path, sizeof path, PODS "/%s",
             string_at(sim, items(sim, PODS)->items[0], "metadata.name"));
    sim_patch(sim, path, "{\"metadata\":{\"finalizers\":[\"example.com/slow\"]}}");
    set_image(sim, "two");
    sim_run(sim, 10 * NSEC_PER_SEC);
    assert_int_equal(size_of(sim, "one"), 0);
    assert_int_equal(size_of(sim, "two"), -1);
    assert_int_equal(items(sim, PODS)->n, 1);
    assert_int_equal(status_number(sim, "terminatingReplicas"), 1);
    sim_patch(sim, path, "{\"metadata\":{\"finalizers\":null}}");
    settle(sim);
    assert_int_equal(size_of(sim, "two"), 4);
    assert_int_equal(count_ready(sim), 4);
    assert_non_null(strstr(condition(sim, "Progressing"), "NewReplicaSetAvailable"));
    assert_nobody_writes(sim, 1000 * NSEC_PER_SEC);
}

// ---- undo and history

static void test_undo(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create(sim, 2, "");
    settle(sim);
    set_image(sim, "two");
    settle(sim);
    assert_string_equal(annotation(sim, get(sim, WEB), "deployment.kubernetes.io/revision"), "2");
    set_image(sim, "one"); // as kubectl rollout undo does
    settle(sim);
    assert_int_equal(items(sim, SETS)->n, 2);
    const Value *set = set_of(sim, "one");
    assert_string_equal(annotation(sim, set, "deployment.kubernetes.io/revision"), "3");
    assert_string_equal(annotation(sim, set, "deployment.kubernetes.io/revision-history"), "1");
    assert_string_equal(annotation(sim, get(sim, WEB), "deployment.kubernetes.io/revision"), "3");
    assert_int_equal(size_of(sim, "one"), 2);
    assert_int_equal(size_of(sim, "two"), 0);
}

static void test_history_limit(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create(sim, 1, ",\"revisionHistoryLimit\":2");
    settle(sim);
    for (int i = 0; i < 5; i++) {
        char image[32];
        snprintf(image, sizeof image, "next-%d", i);
        set_image(sim, image);
        settle(sim);
    }
    assert_int_equal(items(sim, SETS)->n, 3);
    assert_non_null(set_of(sim, "next-4"));
    assert_non_null(set_of(sim, "next-3"));
    assert_non_null(set_of(sim, "next-2"));
}

// ---- pausing, scaling

static void test_pause(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create(sim, 2, "");
    settle(sim);
    sim_patch(sim, WEB, "{\"spec\":{\"paused\":true}}");
    set_image(sim, "two");
    sim_run(sim, 700 * NSEC_PER_SEC);
    assert_null(set_of(sim, "two"));
    assert_string_equal(condition(sim, "Progressing"),
                        "Unknown DeploymentPaused Deployment is paused");
    scale(sim, 3); // which a paused one still does
    sim_run(sim, SOON);
    assert_int_equal(size_of(sim, "one"), 3);
    assert_nobody_writes(sim, 700 * NSEC_PER_SEC);
    sim_patch(sim, WEB, "{\"spec\":{\"paused\":false}}");
    settle(sim);
    assert_int_equal(size_of(sim, "two"), 3);
    assert_non_null(strstr(condition(sim, "Progressing"), "NewReplicaSetAvailable"));
}

// The documentation's example: 10 replicas, surge 3, unavailable 2, stuck at 8 and 5; scaled to 15
// it has 11 and 7.
static void test_proportional_scaling(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create(sim, 10, STRATEGY("3", "2"));
    settle(sim);
    set_image(sim, "bad");
    sim_run(sim, SOON);
    assert_int_equal(size_of(sim, "one"), 8);
    assert_int_equal(size_of(sim, "bad"), 5);
    scale(sim, 15);
    sim_run(sim, SOON);
    assert_int_equal(size_of(sim, "one"), 11);
    assert_int_equal(size_of(sim, "bad"), 7);
    assert_string_equal(
        annotation(sim, set_of(sim, "one"), "deployment.kubernetes.io/max-replicas"), "18");
    scale(sim, 0);
    sim_run(sim, SOON);
    assert_int_equal(size_of(sim, "one"), 0);
    assert_int_equal(size_of(sim, "bad"), 0);
    assert_int_equal(items(sim, PODS)->n, 0);
}

static void test_scale(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create(sim, 2, "");
    settle(sim);
    scale(sim, 6);
    settle(sim);
    assert_int_equal(size_of(sim, "one"), 6);
    assert_string_equal(
        annotation(sim, set_of(sim, "one"), "deployment.kubernetes.io/desired-replicas"), "6");
    scale(sim, 1);
    settle(sim);
    assert_int_equal(items(sim, PODS)->n, 1);
    assert_int_equal(status_number(sim, "replicas"), 1);
    assert_nobody_writes(sim, 1000 * NSEC_PER_SEC);
}

// Somebody sizes the set itself: the deployment takes it back, and rollouts go on.
static void test_set_scaled_by_hand(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create(sim, 2, "");
    settle(sim);
    char path[256];
    snprintf(path, sizeof path, SETS "/%s", string_at(sim, set_of(sim, "one"), "metadata.name"));
    sim_patch(sim, path, "{\"spec\":{\"replicas\":5}}");
    settle(sim);
    assert_int_equal(size_of(sim, "one"), 2);
    set_image(sim, "two");
    scale(sim, 5);
    settle(sim);
    assert_int_equal(size_of(sim, "two"), 5);
    assert_int_equal(size_of(sim, "one"), 0);
}

// ---- whose sets

static void test_adopts_and_releases(void **state) {
    World *world = *state;
    Sim *sim = world->sim;
    create(sim, 2, "");
    settle(sim);
    char path[256];
    snprintf(path, sizeof path, SETS "/%s", string_at(sim, set_of(sim, "one"), "metadata.name"));
    sim_patch(sim, path, "{\"metadata\":{\"labels\":{\"app\":\"other\"}}}");
    sim_run(sim, SOON);
    // Released, and its name is taken: another name for the same template.
    assert_null(value_at(get(sim, path), "metadata.ownerReferences"));
    assert_int_equal(items(sim, SETS)->n, 2);
    assert_int_equal(status_number(sim, "collisionCount"), 1);
    settle(sim);
    assert_int_equal(status_number(sim, "availableReplicas"), 2);
    // Back again, it is one of two of that template; the older one counts.
    sim_patch(sim, path, "{\"metadata\":{\"labels\":{\"app\":\"web\"}}}");
    settle(sim);
    assert_int_equal(value_at(get(sim, path), "metadata.ownerReferences")->n, 1);
    assert_int_equal(items(sim, PODS)->n, 2);
    assert_int_equal(value_int_at(get(sim, path), "spec.replicas", 0), 2);
    assert_nobody_writes(sim, 1000 * NSEC_PER_SEC);
}

// ---- trouble

static void test_deadline(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create(sim, 2, ",\"progressDeadlineSeconds\":60");
    settle(sim);
    set_image(sim, "bad");
    sim_run(sim, 50 * NSEC_PER_SEC);
    assert_non_null(strstr(condition(sim, "Progressing"), "True ReplicaSetUpdated"));
    sim_run(sim, 20 * NSEC_PER_SEC);
    char message[256];
    snprintf(message, sizeof message,
             "False ProgressDeadlineExceeded ReplicaSet \"%s\" has timed out progressing.",
             string_at(sim, set_of(sim, "bad"), "metadata.name"));
    assert_string_equal(condition(sim, "Progressing"), message);
    assert_nobody_writes(sim, 1000 * NSEC_PER_SEC);
    set_image(sim, "one");
    settle(sim);
    assert_non_null(strstr(condition(sim, "Progressing"), "True NewReplicaSetAvailable"));
    assert_int_equal(size_of(sim, "bad"), 0);
}

static bool refuse_pods(Sim *sim, HttpRequest *request) {
    if (!str_eq(request->method, STR("POST")) || !str_ends_with(request->path, STR("/pods")))
        return false;
    sim_refuse(request, 403, "Forbidden", "exceeded quota: q");
    return true;
}

static bool refuse_sets(Sim *sim, HttpRequest *request) {
    if (!str_eq(request->method, STR("POST")) || !str_ends_with(request->path, STR("/replicasets")))
        return false;
    sim_refuse(request, 422, "Invalid", "no such template");
    return true;
}

// The set cannot make its pods: the deployment says so, and the others stay.
static void test_refused_pods(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create(sim, 4, "");
    settle(sim);
    sim->intercept = refuse_pods;
    set_image(sim, "two");
    sim_run(sim, NSEC_PER_SEC);
    assert_string_equal(condition(sim, "ReplicaFailure"), "True FailedCreate exceeded quota: q");
    assert_in_range(count_ready(sim), 3, 4);
    sim_log_clear(sim);
    sim_run(sim, 60 * NSEC_PER_SEC);
    assert_in_range(count_text(sim_log(sim), "PUT "), 0, 2);
    sim->intercept = NULL;
    sim_run(sim, 120 * NSEC_PER_SEC);
    settle(sim);
    assert_string_equal(condition(sim, "ReplicaFailure"), "");
    assert_int_equal(size_of(sim, "two"), 4);
}

static void test_refused_set(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim->intercept = refuse_sets;
    create(sim, 4, ",\"progressDeadlineSeconds\":300");
    const char *told = condition(sim, "Progressing");
    assert_non_null(strstr(told, "False ReplicaSetCreateError Failed to create new replica set"));
    assert_non_null(strstr(told, "no such template"));
    assert_non_null(strstr(sim_events(sim, "web"), "Warning ReplicaSetCreateError"));
    sim_log_clear(sim);
    sim_run(sim, 600 * NSEC_PER_SEC);
    assert_in_range(count_text(sim_log(sim), "POST " SETS), 1, 15);
    assert_in_range(count_text(sim_log(sim), "PUT "), 1, 3);
    assert_non_null(strstr(condition(sim, "Progressing"), "False ProgressDeadlineExceeded"));
    sim->intercept = NULL;
    sim_run(sim, 600 * NSEC_PER_SEC);
    settle(sim);
    assert_int_equal(status_number(sim, "availableReplicas"), 4);
}

// Started again in the middle of a rollout, again and again.
static void test_restart(void **state) {
    World *world = *state;
    Sim *sim = world->sim;
    create(sim, 10, "");
    settle(sim);
    set_image(sim, "two");
    for (int i = 0; i < 12; i++) {
        sim_run(sim, (3 + 7 * i) * NSEC_PER_MSEC);
        controllers_free(world->controllers);
        make_ready(sim, 2);
        start_controllers(world);
        assert_in_range(items(sim, PODS)->n, 0, 13);
        assert_in_range(count_ready(sim), 8, 13);
    }
    settle(sim);
    assert_int_equal(size_of(sim, "two"), 10);
    assert_int_equal(size_of(sim, "one"), 0);
    assert_int_equal(items(sim, SETS)->n, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_a_set_is_made),
        TEST(test_rolling_default),
        TEST(test_rolling_surge_only),
        TEST(test_rolling_unavailable_only),
        TEST(test_rolling_of_one),
        TEST(test_roll_over),
        TEST(test_recreate),
        TEST(test_undo),
        TEST(test_history_limit),
        TEST(test_pause),
        TEST(test_proportional_scaling),
        TEST(test_scale),
        TEST(test_set_scaled_by_hand),
        TEST(test_adopts_and_releases),
        TEST(test_deadline),
        TEST(test_refused_pods),
        TEST(test_refused_set),
        TEST(test_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
