// The whole agent in virtual time: a real API server on a memory store, and a runtime and a network
// that run nothing.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../api/harness.h"
#include "base/time.h"
#include "node/cgroup.h"
#include "node/fake.h"
#include "node/node.h"

#define PODS "/api/v1/namespaces/default/pods"
#define DIGEST "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

typedef struct Fixture {
    Harness *api;
    Runtime *runtime;
    NodeNetwork *network;
    Client *client;
    NodeAgent *agent;
    char directory[64], cgroup[64];
    bool ready, stopped;
} Fixture;

static void put_file(const Fixture *f, const char *path, const char *text) {
    _arena_free_ Arena *arena = arena_new();
    char *full = arena_cstr(arena, arena_printf(arena, "%s/%s", f->directory, path));
    for (char *p = full + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
        *p = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void put_image(const Fixture *f) {
    put_file(f, "images-store/format", "seapod-image-store 1\n");
    put_file(f, "images-store/layers/" DIGEST "/fs/bin/sh", "");
    put_file(f, "images-store/summaries/" DIGEST,
             "{\"id\":\"sha256:" DIGEST "\",\"manifest\":\"sha256:" DIGEST "\",\"size\":1,"
             "\"cmd\":[\"sh\"],\"layers\":[\"" DIGEST "\"]}");
    put_file(f, "images-store/images/docker.io/library/busybox/:latest",
             "sha256:" DIGEST "\nsha256:" DIGEST "\n");
}

static void on_ready(void *user, int error) {
    assert_int_equal(error, 0);
    ((Fixture *)user)->ready = true;
}

static void on_stopped(void *user) {
    ((Fixture *)user)->stopped = true;
}

static void start_agent(Fixture *f) {
    Loop *loop = f->api->loop;
    static const Str groups[] = {{"system:nodes", 12}};
    HttpPeer peer = {.address = STR("@"),
                     .local = true,
                     .user = STR("system:node:n1"),
                     .groups = groups,
                     .n_groups = 1};
    f->client = client_new(loop, http_client_new_local(loop, loop, api_handle, f->api->api, &peer),
                           STR("kubelet"));
    f->runtime = runtime_fake_new(loop);
    f->network = network_fake_new(loop);
    NodeConfig config = {.loop = loop,
                         .client = f->client,
                         .runtime = f->runtime,
                         .network = f->network,
                         .name = STR("n1"),
                         .address = STR("192.0.2.7"),
                         .port = 10250,
                         .data_directory = str_from(f->directory),
                         .log_directory = arena_printf(f->api->arena, "%s/log", f->directory),
                         .cgroup_parent = str_from(f->cgroup),
                         .cluster_domain = STR("cluster.local")};
    assert_int_equal(node_new(&config, on_ready, f, &f->agent), 0);
    harness_run(f->api, NSEC_PER_SEC);
    assert_true(f->ready);
}

static void stop_agent(Fixture *f) {
    f->ready = f->stopped = false;
    node_stop(f->agent, on_stopped, f);
    harness_run(f->api, NSEC_PER_SEC);
    assert_true(f->stopped);
    client_free(f->client);
    network_fake_free(f->network);
    f->agent = NULL;
}

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    *state = f;
    CgroupHost *cgroups;
    if (geteuid() != 0 || cgroup_host_new(&cgroups) != 0)
        return 0; // each test skips itself
    cgroup_host_free(cgroups);
    snprintf(f->directory, sizeof f->directory, "/tmp/seapod-agent-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->cgroup, sizeof f->cgroup, "/seapod-agent-%d", getpid());
    put_image(f);
    f->api = harness_new();
    assert_status(call(f->api, "POST", "/api/v1/namespaces/default/serviceaccounts",
                       "{\"metadata\":{\"name\":\"default\"}}"),
                  201);
    assert_status(
        call(f->api, "POST", "/api/v1/namespaces/default/configmaps",
             "{\"metadata\":{\"name\":\"kube-root-ca.crt\"},\"data\":{\"ca.crt\":\"CA\"}}"),
        201);
    start_agent(f);
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where) {
    return remove(path);
}

static int teardown(void **state) {
    Fixture *f = *state;
    if (f->api) {
        call(f->api, "DELETE", PODS, NULL);
        harness_run(f->api, 60 * NSEC_PER_SEC);
        if (f->agent)
            stop_agent(f);
        harness_free(f->api);
        CgroupHost *cgroups;
        assert_int_equal(cgroup_host_new(&cgroups), 0);
        assert_int_equal(cgroup_remove(cgroups, str_from(f->cgroup)), 0);
        cgroup_host_free(cgroups);
        // Nothing of a pod is left, no mount either.
        assert_int_equal(nftw(f->directory, remove_entry, 32, FTW_DEPTH | FTW_PHYS), 0);
    }
    free(f);
    return 0;
}

static Fixture *fixture(void **state) {
    Fixture *f = *state;
    if (!f->api)
        skip();
    return f;
}

static Answer *create(Fixture *f, const char *name, const char *spec) {
    const char *body = arena_printf(f->api->arena,
                                    "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"nodeName\":\"n1\","
                                    "\"containers\":[{\"name\":\"c\",\"image\":\"busybox\","
                                    "\"imagePullPolicy\":\"IfNotPresent\"%s",
                                    name, spec)
                           .ptr;
    Answer *answer = call(f->api, "POST", PODS, body);
    assert_status(answer, 201);
    return answer;
}

static Answer *get(Fixture *f, const char *name) {
    return call(f->api, "GET", arena_printf(f->api->arena, PODS "/%s", name).ptr, NULL);
}

// STATE of the one container: "running", "waiting" or "terminated", and a member of it.
static const char *state_of(Fixture *f, const char *name, const char *state, const char *member) {
    Answer *answer = get(f, name);
    const Value *statuses = value_at(answer->json, "status.containerStatuses");
    if (!statuses || statuses->kind != VALUE_ARRAY || statuses->n != 1)
        return "";
    const Value *found = value_at(value_get(statuses->items[0], STR("state")), state);
    if (!found)
        return "";
    Str text = member ? value_string_at(found, member) : STR("yes");
    return arena_cstr(f->api->arena, text);
}

static bool has_event(Fixture *f, const char *text) {
    Answer *answer = call(f->api, "GET", "/api/v1/namespaces/default/events", NULL);
    return memmem(answer->body.ptr, answer->body.len, text, strlen(text));
}

static const char *pod_path(Fixture *f, const char *name, const char *path) {
    return arena_printf(f->api->arena, "%s/pods/%s/%s", f->directory,
                        text_at(get(f, name), "metadata.uid"), path)
        .ptr;
}

static void test_pod_runs(void **state) {
    Fixture *f = fixture(state);
    create(f, "one", "}]}}");
    harness_run(f->api, NSEC_PER_SEC);
    assert_string_equal(state_of(f, "one", "running", NULL), "yes");
    Answer *pod = get(f, "one");
    assert_string_equal(text_at(pod, "status.phase"), "Running");
    const Value *volumes = value_at(pod->json, "spec.volumes");
    assert_int_equal(volumes->n, 1); // kube-api-access, by admission
    const char *volume = arena_printf(f->api->arena, "volumes/kubernetes.io~projected/%.*s/",
                                      STR_ARG(value_string_at(volumes->items[0], "name")))
                             .ptr;
    const char *const files[] = {"token", "ca.crt", "namespace"};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(
            access(pod_path(f, "one", arena_printf(f->api->arena, "%s%s", volume, files[i]).ptr),
                   R_OK),
            0);
    const char *directory = pod_path(f, "one", "");
    assert_status(call(f->api, "DELETE", PODS "/one", NULL), 200);
    harness_run(f->api, 60 * NSEC_PER_SEC);
    assert_status(get(f, "one"), 404);
    assert_int_equal(access(directory, F_OK), -1);
}

static void test_waits_for_volume(void **state) {
    Fixture *f = fixture(state);
    create(f, "two",
           ",\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/v\"}]}],\"volumes\":[{"
           "\"name\":\"v\",\"configMap\":{\"name\":\"late\"}}]}}");
    harness_run(f->api, 5 * NSEC_PER_SEC);
    assert_string_equal(state_of(f, "two", "waiting", "reason"), "ContainerCreating");
    assert_true(has_event(f,
                          "MountVolume.SetUp failed for volume \\\"v\\\" : configmap \\\"late\\\" "
                          "not found"));
    assert_status(call(f->api, "POST", "/api/v1/namespaces/default/configmaps",
                       "{\"metadata\":{\"name\":\"late\"},\"data\":{\"k\":\"v\"}}"),
                  201);
    harness_run(f->api, 200 * NSEC_PER_MSEC);
    assert_string_equal(state_of(f, "two", "running", NULL), "yes");
}

static void test_config_error(void **state) {
    Fixture *f = fixture(state);
    create(f, "three",
           ",\"env\":[{\"name\":\"A\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":"
           "\"late\",\"key\":\"k\"}}}]}]}}");
    harness_run(f->api, 2 * NSEC_PER_SEC);
    assert_string_equal(state_of(f, "three", "waiting", "reason"), "CreateContainerConfigError");
    assert_string_equal(state_of(f, "three", "waiting", "message"), "configmap \"late\" not found");
    assert_true(has_event(f, "Error: configmap \\\"late\\\" not found"));
    assert_status(call(f->api, "POST", "/api/v1/namespaces/default/configmaps",
                       "{\"metadata\":{\"name\":\"late\"},\"data\":{\"k\":\"v\"}}"),
                  201);
    harness_run(f->api, 30 * NSEC_PER_SEC);
    assert_string_equal(state_of(f, "three", "running", NULL), "yes");
}

static void test_termination_message(void **state) {
    Fixture *f = fixture(state);
    create(f, "four", "}],\"restartPolicy\":\"Never\"}}");
    harness_run(f->api, NSEC_PER_SEC);
    FILE *file = fopen(pod_path(f, "four", "containers/c/0"), "w");
    assert_non_null(file);
    fputs("out of luck", file);
    fclose(file);
    Str uid = str_from(text_at(get(f, "four"), "metadata.uid"));
    fake_exit(f->runtime, fake_container(f->runtime, uid, STR("c")), 3, false);
    harness_run(f->api, NSEC_PER_SEC);
    assert_string_equal(state_of(f, "four", "terminated", "message"), "out of luck");
    assert_string_equal(text_at(get(f, "four"), "status.phase"), "Failed");
}

static bool group_exists(Fixture *f, const char *uid) {
    CgroupHost *host;
    assert_int_equal(cgroup_host_new(&host), 0);
    Str path = cgroup_pod_path(f->api->arena, str_from(f->cgroup), QOS_BEST_EFFORT, str_from(uid));
    bool exists = access(cgroup_file(f->api->arena, host, 0, path, "cgroup.procs").ptr, F_OK) == 0;
    cgroup_host_free(host);
    return exists;
}

static void test_stop_at_any_time(void **state) { // of the end of a pod
    Fixture *f = fixture(state);
    int found = 0;
    for (int i = 0; i < 12; i++) {
        create(f, "five", "}]}}");
        harness_run(f->api, NSEC_PER_SEC);
        const char *directory = pod_path(f, "five", "");
        const char *uid = text_at(get(f, "five"), "metadata.uid");
        call(f->api, "DELETE", PODS "/five?gracePeriodSeconds=1", NULL);
        harness_run(f->api, i * NSEC_PER_MSEC);
        stop_agent(f);
        call(f->api, "DELETE", PODS "/five?gracePeriodSeconds=0", NULL);
        assert_status(get(f, "five"), 404);
        found += group_exists(f, uid);
        start_agent(f); // and what the pod left goes
        assert_false(group_exists(f, uid));
        assert_int_equal(access(directory, F_OK), -1);
    }
    assert_true(found); // some were stopped before the end of the pod
}

// A container that ends a second after each start: how long it waits, by the times in its status.
typedef struct Wait {
    const char *backoff; // as the status says it; NULL: started again at once
    int seconds;
} Wait;

static const Value *container_status(Fixture *f, const char *name) {
    const Value *statuses = value_at(get(f, name)->json, "status.containerStatuses");
    assert_non_null(statuses);
    return statuses->items[0];
}

static int64_t seconds_at(const Value *status, const char *path) {
    int64_t ns;
    assert_int_equal(time_parse(value_string_at(status, path), &ns), 0);
    return ns / NSEC_PER_SEC;
}

static void run_until_restart(Fixture *f, const char *name, int64_t count, const char *backoff) {
    bool waited = false;
    for (int i = 0; i < 1000; i++) {
        const Value *status = container_status(f, name);
        if (value_int_at(status, "restartCount", -1) == count &&
            value_at(status, "state.running")) {
            assert_int_equal(waited, backoff != NULL);
            return;
        }
        Str reason = value_string_at(status, "state.waiting.reason");
        if (str_eq(reason, STR("CrashLoopBackOff"))) {
            waited = true;
            const char *message = state_of(f, name, "waiting", "message");
            assert_non_null(backoff);
            assert_true(str_starts_with(
                str_from(message),
                arena_printf(f->api->arena,
                             "back-off %s restarting failed container=c pod=%s_default(", backoff,
                             name)));
        }
        harness_run(f->api, NSEC_PER_SEC);
    }
    fail_msg("no restart %d", (int)count);
}

// The container that runs now ends after that long; then it is started again after `wait`.
static void expect_wait(Fixture *f, const char *name, int64_t runs_s, Wait wait) {
    int64_t count = value_int_at(container_status(f, name), "restartCount", -1);
    int64_t started = seconds_at(container_status(f, name), "state.running.startedAt");
    int64_t left = (started + runs_s) * NSEC_PER_SEC - loop_wall(f->api->loop);
    harness_run(f->api, left > 0 ? left : 0);
    Str uid = str_from(text_at(get(f, name), "metadata.uid"));
    fake_exit(f->runtime, fake_container(f->runtime, uid, STR("c")), 1, false);
    harness_run(f->api, 10 * NSEC_PER_MSEC);
    run_until_restart(f, name, count + 1, wait.backoff);
    const Value *status = container_status(f, name);
    int64_t waited = seconds_at(status, "state.running.startedAt") -
                     seconds_at(status, "lastState.terminated.finishedAt");
    assert_in_range(waited, wait.seconds, wait.seconds + 1);
}

static int64_t backoff_events(Fixture *f, const char *name) {
    Answer *answer = call(f->api, "GET", "/api/v1/namespaces/default/events", NULL);
    const Value *items = value_at(answer->json, "items");
    int64_t count = 0;
    for (uint32_t i = 0; i < items->n; i++)
        if (str_eq(value_string_at(items->items[i], "reason"), STR("BackOff")) &&
            str_eq(value_string_at(items->items[i], "involvedObject.name"), str_from(name)))
            count += value_int_at(items->items[i], "count", 1);
    return count;
}

// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy
static void test_crash_loop(void **state) {
    Fixture *f = fixture(state);
    create(f, "six", "}]}}");
    harness_run(f->api, NSEC_PER_SEC);
    static const Wait waits[] = {{NULL, 0},     {"10s", 10},    {"20s", 20},   {"40s", 40},
                                 {"1m20s", 80}, {"2m40s", 160}, {"5m0s", 300}, {"5m0s", 300}};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        expect_wait(f, "six", 1, waits[i]);
        if (i <= 3) // later the recorder drops some, as client-go's does: 25 at once, 12 an hour
            assert_int_equal(backoff_events(f, "six"), i);
    }
    expect_wait(f, "six", 595, (Wait){"5m0s", 300}); // not yet ten minutes
    expect_wait(f, "six", 605, (Wait){NULL, 0});     // forgotten
    expect_wait(f, "six", 1, (Wait){"10s", 10});
    assert_string_equal(text_at(get(f, "six"), "status.phase"), "Running");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pod_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waits_for_volume, setup, teardown),
        cmocka_unit_test_setup_teardown(test_config_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_termination_message, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_at_any_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash_loop, setup, teardown),
    };
    return cmocka_run_group_tests_name("agent", tests, NULL, NULL);
}
