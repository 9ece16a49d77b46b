// The order of a pod's life: init containers and sidecars, hooks, gates, and containers that never
// stop crashing.
#include "agent_world.h"

#include <dirent.h>

#include "base/time.h"

#define IMAGE ",\"image\":\"busybox\",\"imagePullPolicy\":\"IfNotPresent\""

static Str uid_of(Fixture *f, const char *name) {
    return arena_str(f->api->arena, str_from(text_at(world_get(f, name), "metadata.uid")));
}

static const char *state_in(Fixture *f, const char *pod, const char *list, const char *name) {
    const Value *statuses = value_at(world_get(f, pod)->json,
                                     arena_printf(f->api->arena, "status.%s", list).ptr);
    for (uint32_t i = 0; statuses && i < statuses->n; i++) {
        const Value *state = value_get(statuses->items[i], STR("state"));
        if (str_eq(value_string_at(statuses->items[i], "name"), str_from(name)))
            return value_get(state, STR("running"))      ? "running"
                   : value_get(state, STR("terminated")) ? "terminated"
                                                         : "waiting";
    }
    return "";
}

#define INIT(name) state_in(f, "p", "initContainerStatuses", name)
#define MAIN(name) state_in(f, "p", "containerStatuses", name)

typedef struct Answers { // of exec probes, by the container's id
    Fixture *f;
    bool started;
    unsigned asked, stops;
} Answers;

static FakeExecResult on_exec(void *user, Str container_id, const Str *argv, size_t n_argv) {
    Answers *answers = user;
    answers->asked++;
    answers->stops += str_eq(argv[0], STR("stop"));
    return (FakeExecResult){.exit_code = str_eq(argv[0], STR("up")) && !answers->started};
}

static void create_with_sidecars(Fixture *f) {
    world_create(
        f, "p",
        "}],\"terminationGracePeriodSeconds\":20,\"initContainers\":["
        "{\"name\":\"first\"" IMAGE "},"
        "{\"name\":\"a\"" IMAGE ",\"restartPolicy\":\"Always\",\"startupProbe\":{\"exec\":{"
        "\"command\":[\"up\"]},\"periodSeconds\":1,\"failureThreshold\":100},\"lifecycle\":{"
        "\"preStop\":{\"exec\":{\"command\":[\"stop\"]}}}},"
        "{\"name\":\"second\"" IMAGE "},"
        "{\"name\":\"b\"" IMAGE ",\"restartPolicy\":\"Always\"}]}}");
}

// https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
static void test_sidecars_start_in_order(void **state) {
    Fixture *f = world_of(state);
    static Answers answers; // asked in the teardown, too
    answers = (Answers){.f = f};
    fake_on_exec(f->runtime, on_exec, &answers);
    fake_exit_after(f->runtime, STR("first"), 2 * NSEC_PER_SEC, 0);
    fake_exit_after(f->runtime, STR("second"), 2 * NSEC_PER_SEC, 0);
    create_with_sidecars(f);
    harness_run(f->api, NSEC_PER_SEC);
    assert_string_equal(INIT("first"), "running");
    assert_string_equal(INIT("a"), "waiting");
    harness_run(f->api, 5 * NSEC_PER_SEC);
    assert_string_equal(INIT("first"), "terminated");
    assert_string_equal(INIT("a"), "running");
    assert_string_equal(INIT("second"), "waiting"); // until the sidecar's startup probe says so
    assert_true(answers.asked >= 3);
    answers.started = true;
    harness_run(f->api, 2 * NSEC_PER_SEC);
    assert_string_equal(INIT("second"), "running");
    assert_string_equal(MAIN("c"), "waiting");
    harness_run(f->api, 3 * NSEC_PER_SEC);
    assert_string_equal(INIT("b"), "running");
    assert_string_equal(MAIN("c"), "running");
    assert_string_equal(text_at(world_get(f, "p"), "status.phase"), "Running");
    // A sidecar that ends is started again, whatever the pod's policy.
    fake_exit(f->runtime, fake_container(f->runtime, uid_of(f, "p"), STR("b")), 0, false);
    harness_run(f->api, NSEC_PER_SEC);
    assert_string_equal(INIT("b"), "running");
    assert_string_equal(MAIN("c"), "running");
}

static void test_sidecars_stop_last_in_reverse(void **state) {
    Fixture *f = world_of(state);
    static Answers answers;
    answers = (Answers){.f = f, .started = true};
    fake_on_exec(f->runtime, on_exec, &answers);
    fake_exit_after(f->runtime, STR("first"), NSEC_PER_MSEC, 0);
    fake_exit_after(f->runtime, STR("second"), NSEC_PER_MSEC, 0);
    create_with_sidecars(f);
    harness_run(f->api, 5 * NSEC_PER_SEC);
    assert_string_equal(MAIN("c"), "running");
    fake_ignore_term(f->runtime, STR("c"));
    fake_ignore_term(f->runtime, STR("b"));
    assert_status(call(f->api, "DELETE", PODS "/p", NULL), 200);
    harness_run(f->api, 15 * NSEC_PER_SEC);
    assert_string_equal(MAIN("c"), "running");
    assert_string_equal(INIT("b"), "running"); // it serves the main container to its end
    assert_int_equal(answers.stops, 0);
    harness_run(f->api, 6 * NSEC_PER_SEC);
    assert_string_equal(MAIN("c"), "terminated");
    assert_string_equal(INIT("a"), "running"); // b first
    harness_run(f->api, 60 * NSEC_PER_SEC);
    assert_int_equal(answers.stops, 1); // a's preStop
    assert_status(world_get(f, "p"), 404);
}

static const Value *condition(Fixture *f, const char *name, const char *type) {
    const Value *list = value_at(world_get(f, name)->json, "status.conditions");
    for (uint32_t i = 0; list && i < list->n; i++)
        if (str_eq(value_string_at(list->items[i], "type"), str_from(type)))
            return list->items[i];
    return NULL;
}

// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-readiness-gate
static void test_readiness_gates(void **state) {
    Fixture *f = world_of(state);
    world_create(f, "p", "}],\"readinessGates\":[{\"conditionType\":\"example.com/up\"}]}}");
    harness_run(f->api, 2 * NSEC_PER_SEC);
    const Value *ready = condition(f, "p", "Ready");
    assert_true(str_eq(value_string_at(ready, "status"), STR("False")));
    assert_true(str_eq(value_string_at(ready, "reason"), STR("ReadinessGatesNotReady")));
    assert_true(str_eq(value_string_at(ready, "message"),
                       STR("corresponding condition of pod readiness gate \"example.com/up\" does "
                           "not exist.")));
    assert_true(
        str_eq(value_string_at(condition(f, "p", "ContainersReady"), "status"), STR("True")));
    assert_status(call_patch(f->api, "strategic-merge", PODS "/p/status",
                             "{\"status\":{\"conditions\":[{\"type\":\"example.com/up\","
                             "\"status\":\"True\"}]}}"),
                  200);
    harness_run(f->api, 2 * NSEC_PER_SEC);
    assert_true(str_eq(value_string_at(condition(f, "p", "Ready"), "status"), STR("True")));
    // What others said of the pod stays.
    assert_non_null(condition(f, "p", "example.com/up"));
    assert_int_equal(value_int_at(condition(f, "p", "Ready"), "observedGeneration", 0), 1);
    assert_status(call_patch(f->api, "strategic-merge", PODS "/p",
                             "{\"spec\":{\"activeDeadlineSeconds\":5000}}"),
                  200);
    harness_run(f->api, 2 * NSEC_PER_SEC);
    assert_int_equal(number_at(world_get(f, "p"), "status.observedGeneration"), 2);
    assert_int_equal(value_int_at(condition(f, "p", "Ready"), "observedGeneration", 0), 2);
}

static void count_one(void *user, const RuntimeContainer *container) {
    ++*(size_t *)user;
}

static size_t files_in(const char *path) {
    DIR *directory = opendir(path);
    size_t n = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        n += entry->d_name[0] != '.';
    if (directory)
        closedir(directory);
    return n;
}

// After a hundred restarts there is no more of a container than after two. (It ends after so long
// that no backoff is left.)
static void test_a_hundred_restarts(void **state) {
    Fixture *f = world_of(state);
    fake_exit_after(f->runtime, STR("c"), 601 * NSEC_PER_SEC, 1);
    world_create(f, "p", "}]}}");
    harness_run(f->api, 100 * 602 * NSEC_PER_SEC);
    const Value *status = value_at(world_get(f, "p")->json, "status.containerStatuses")->items[0];
    assert_in_range(value_int_at(status, "restartCount", 0), 98, 100);
    size_t containers = 0;
    f->runtime->ops->each_container(f->runtime, count_one, &containers);
    assert_int_equal(containers, 2); // the one that runs and the one before
    assert_int_equal(files_in(world_pod_path(f, "p", "containers/c")), 2);
    const char *pins = arena_printf(f->api->arena, "%s/images-store/pins", f->directory).ptr;
    assert_int_equal(files_in(pins), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sidecars_start_in_order, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_sidecars_stop_last_in_reverse, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(test_readiness_gates, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_a_hundred_restarts, world_setup, world_teardown),
    };
    return cmocka_run_group_tests_name("life", tests, NULL, NULL);
}
