#include "agent_world.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/time.h"
#include "node/cgroup.h"

static void test_pod_runs(void **state) {
    Fixture *f = world_of(state);
    world_create(f, "one", "}]}}");
    harness_run(f->api, NSEC_PER_SEC);
    assert_string_equal(world_state(f, "one", "running", NULL), "yes");
    Answer *pod = world_get(f, "one");
    assert_string_equal(text_at(pod, "status.phase"), "Running");
    const Value *volumes = value_at(pod->json, "spec.volumes");
    assert_int_equal(volumes->n, 1); // kube-api-access, by admission
    const char *volume = arena_printf(f->api->arena, "volumes/kubernetes.io~projected/%.*s/",
                                      STR_ARG(value_string_at(volumes->items[0], "name")))
                             .ptr;
    const char *const files[] = {"token", "ca.crt", "namespace"};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(
            access(
                world_pod_path(f, "one", arena_printf(f->api->arena, "%s%s", volume, files[i]).ptr),
                R_OK),
            0);
    const char *directory = world_pod_path(f, "one", "");
    assert_status(call(f->api, "DELETE", PODS "/one", NULL), 200);
    harness_run(f->api, 60 * NSEC_PER_SEC);
    assert_status(world_get(f, "one"), 404);
    assert_int_equal(access(directory, F_OK), -1);
}

static void test_waits_for_volume(void **state) {
    Fixture *f = world_of(state);
    world_create(f, "two",
                 ",\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/v\"}]}],\"volumes\":[{"
                 "\"name\":\"v\",\"configMap\":{\"name\":\"late\"}}]}}");
    harness_run(f->api, 5 * NSEC_PER_SEC);
    assert_string_equal(world_state(f, "two", "waiting", "reason"), "ContainerCreating");
    assert_true(
        world_has_event(f, "MountVolume.SetUp failed for volume \\\"v\\\" : configmap \\\"late\\\" "
                           "not found"));
    assert_status(call(f->api, "POST", "/api/v1/namespaces/default/configmaps",
                       "{\"metadata\":{\"name\":\"late\"},\"data\":{\"k\":\"v\"}}"),
                  201);
    harness_run(f->api, 200 * NSEC_PER_MSEC);
    assert_string_equal(world_state(f, "two", "running", NULL), "yes");
}

static void test_config_error(void **state) {
    Fixture *f = world_of(state);
    world_create(f, "three",
                 ",\"env\":[{\"name\":\"A\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":"
                 "\"late\",\"key\":\"k\"}}}]}]}}");
    harness_run(f->api, 2 * NSEC_PER_SEC);
    assert_string_equal(world_state(f, "three", "waiting", "reason"), "CreateContainerConfigError");
    assert_string_equal(world_state(f, "three", "waiting", "message"),
                        "configmap \"late\" not found");
    assert_true(world_has_event(f, "Error: configmap \\\"late\\\" not found"));
    // It starts when what it lacks is there, not at the next try.
    assert_status(call(f->api, "POST", "/api/v1/namespaces/default/configmaps",
                       "{\"metadata\":{\"name\":\"late\"},\"data\":{\"other\":\"v\"}}"),
                  201);
    harness_run(f->api, NSEC_PER_SEC);
    assert_string_equal(world_state(f, "three", "waiting", "message"),
                        "couldn't find key k in ConfigMap default/late");
    assert_status(call_patch(f->api, "merge", "/api/v1/namespaces/default/configmaps/late",
                             "{\"data\":{\"k\":\"v\"}}"),
                  200);
    harness_run(f->api, NSEC_PER_SEC);
    assert_string_equal(world_state(f, "three", "running", NULL), "yes");
}

static void test_termination_message(void **state) {
    Fixture *f = world_of(state);
    world_create(f, "four", "}],\"restartPolicy\":\"Never\"}}");
    harness_run(f->api, NSEC_PER_SEC);
    FILE *file = fopen(world_pod_path(f, "four", "containers/c/0"), "w");
    assert_non_null(file);
    fputs("out of luck", file);
    fclose(file);
    Str uid = str_from(text_at(world_get(f, "four"), "metadata.uid"));
    fake_exit(f->runtime, fake_container(f->runtime, uid, STR("c")), 3, false);
    harness_run(f->api, NSEC_PER_SEC);
    assert_string_equal(world_state(f, "four", "terminated", "message"), "out of luck");
    assert_string_equal(text_at(world_get(f, "four"), "status.phase"), "Failed");
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
    Fixture *f = world_of(state);
    int found = 0;
    for (int i = 0; i < 12; i++) {
        world_create(f, "five", "}]}}");
        harness_run(f->api, NSEC_PER_SEC);
        const char *directory = world_pod_path(f, "five", "");
        const char *uid = text_at(world_get(f, "five"), "metadata.uid");
        call(f->api, "DELETE", PODS "/five?gracePeriodSeconds=1", NULL);
        harness_run(f->api, i * NSEC_PER_MSEC);
        world_stop_agent(f);
        call(f->api, "DELETE", PODS "/five?gracePeriodSeconds=0", NULL);
        assert_status(world_get(f, "five"), 404);
        found += group_exists(f, uid);
        world_start_agent(f); // and what the pod left goes
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
    const Value *statuses = value_at(world_get(f, name)->json, "status.containerStatuses");
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
            const char *message = world_state(f, name, "waiting", "message");
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
    Str uid = str_from(text_at(world_get(f, name), "metadata.uid"));
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
    Fixture *f = world_of(state);
    world_create(f, "six", "}]}}");
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
    assert_string_equal(text_at(world_get(f, "six"), "status.phase"), "Running");
}

// One that cannot be started counts as ended, and its process, which waits for that, goes.
static void test_start_fails(void **state) {
    Fixture *f = world_of(state);
    fake_fail(f->runtime, FAKE_START_CONTAINER, 1, -EIO, STR("no start today"));
    world_create(f, "seven", "}]}}");
    harness_run(f->api, NSEC_PER_SEC);
    const Value *status = container_status(f, "seven");
    assert_non_null(value_at(status, "state.running"));
    assert_int_equal(value_int_at(status, "restartCount", -1), 1);
    assert_int_equal(value_int_at(status, "lastState.terminated.exitCode", -1), 128);
    assert_true(world_has_event(f, "Error: no start today"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pod_runs, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_waits_for_volume, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_config_error, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_termination_message, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_stop_at_any_time, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_crash_loop, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_start_fails, world_setup, world_teardown),
    };
    return cmocka_run_group_tests_name("agent", tests, NULL, NULL);
}
