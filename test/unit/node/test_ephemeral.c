// Ephemeral containers: from the API's subresource to what the runtime is told.
#include "agent_world.h"

#define DEBUG PODS "/p/ephemeralcontainers"

static Answer *add(Fixture *f, const char *name, const char *more) {
    const char *body =
        arena_printf(f->api->arena,
                     "{\"spec\":{\"ephemeralContainers\":[{\"name\":\"%s\",\"image\":\"busybox\","
                     "\"imagePullPolicy\":\"IfNotPresent\"%s}]}}",
                     name, more)
            .ptr;
    return call_patch(f->api, "strategic-merge", DEBUG, body);
}

static const Value *status_of(Fixture *f, const char *name) {
    const Value *statuses = value_at(world_get(f, "p")->json, "status.ephemeralContainerStatuses");
    for (uint32_t i = 0; statuses && i < statuses->n; i++)
        if (str_eq(value_string_at(statuses->items[i], "name"), str_from(name)))
            return statuses->items[i];
    return NULL;
}

static void test_life(void **state) {
    Fixture *f = world_of(state);
    world_create(f, "p", "}]}}");
    harness_run(f->api, NSEC_PER_SEC);
    Str uid = str_from(text_at(world_get(f, "p"), "metadata.uid"));
    assert_int_equal(number_at(world_get(f, "p"), "metadata.generation"), 1);
    assert_status(add(f, "debug", ",\"targetContainerName\":\"c\",\"stdin\":true"), 200);
    harness_run(f->api, NSEC_PER_SEC);
    const Value *status = status_of(f, "debug");
    assert_non_null(status);
    assert_non_null(value_at(status, "state.running"));
    assert_null(value_get(status, STR("started"))); // nobody asks it
    assert_int_equal(number_at(world_get(f, "p"), "metadata.generation"), 2);
    assert_int_equal(number_at(world_get(f, "p"), "status.observedGeneration"), 2);
    assert_true(world_has_event(f, "spec.ephemeralContainers{debug}"));
    Str target = fake_container_target(f->runtime, fake_container(f->runtime, uid, STR("debug")));
    assert_true(str_eq(target, fake_container(f->runtime, uid, STR("c"))));

    // A second one in front of it; the first goes on under its name.
    Str first = fake_container(f->runtime, uid, STR("debug"));
    assert_status(call_patch(f->api, "json", DEBUG,
                             "[{\"op\":\"add\",\"path\":\"/spec/ephemeralContainers/0\",\"value\":{"
                             "\"name\":\"two\",\"image\":\"busybox\"}}]"),
                  200);
    harness_run(f->api, NSEC_PER_SEC);
    assert_true(str_eq(first, fake_container(f->runtime, uid, STR("debug"))));
    fake_exit(f->runtime, first, 7, false);
    harness_run(f->api, 60 * NSEC_PER_SEC);
    status = status_of(f, "debug");
    assert_int_equal(value_int_at(status, "state.terminated.exitCode", 0), 7);
    assert_int_equal(value_int_at(status, "restartCount", -1), 0); // never again
    assert_string_equal(text_at(world_get(f, "p"), "status.phase"), "Running");
    assert_string_equal(world_state(f, "p", "running", NULL), "yes");
}

static void test_survives_a_restart_of_the_agent(void **state) {
    Fixture *f = world_of(state);
    world_create(f, "p", "}]}}");
    harness_run(f->api, NSEC_PER_SEC);
    assert_status(add(f, "debug", ""), 200);
    harness_run(f->api, NSEC_PER_SEC);
    fake_exit(f->runtime,
              fake_container(f->runtime, str_from(text_at(world_get(f, "p"), "metadata.uid")),
                             STR("debug")),
              0, false);
    harness_run(f->api, NSEC_PER_SEC);
    assert_non_null(value_at(status_of(f, "debug"), "state.terminated"));
}

static void test_waits_for_its_target(void **state) {
    Fixture *f = world_of(state);
    world_create(f, "p", "}],\"initContainers\":[{\"name\":\"i\",\"image\":\"busybox\"}]}}");
    fake_fail(f->runtime, FAKE_CREATE_CONTAINER, 1, -5, STR("out of luck"));
    harness_run(f->api, NSEC_PER_SEC); // the init container is tried again in 10 s
    assert_status(add(f, "debug", ",\"targetContainerName\":\"c\""), 200);
    harness_run(f->api, NSEC_PER_SEC);
    assert_string_equal(
        arena_cstr(f->api->arena, value_string_at(status_of(f, "debug"), "state.waiting.message")),
        "unable to find target container c"); // kuberuntime_container.go getTargetID
}

// ValidatePodEphemeralContainersUpdate in pkg/apis/core/validation/validation.go.
static void test_what_may_change(void **state) {
    Fixture *f = world_of(state);
    world_create(f, "p", "}]}}");
    assert_status(add(f, "debug", ""), 200);
    assert_refused(add(f, "debug", ",\"command\":[\"other\"]"), 422,
                   "Pod \"p\" is invalid: spec.ephemeralContainers: Forbidden: existing ephemeral "
                   "containers \"debug\" may not be changed\n+ "
                   "spec.ephemeralContainers[0].command: [\"other\"]\n");
    assert_refused(call_patch(f->api, "merge", DEBUG, "{\"spec\":{\"ephemeralContainers\":[]}}"),
                   422,
                   "Pod \"p\" is invalid: spec.ephemeralContainers: Forbidden: existing ephemeral "
                   "containers \"debug\" may not be removed\n");
    assert_refused(
        add(f, "c", ""), 422,
        "Pod \"p\" is invalid: spec.ephemeralContainers[0].name: Duplicate value: \"c\"");
    assert_refused(add(f, "more", ",\"targetContainerName\":\"none\""), 422,
                   "Pod \"p\" is invalid: spec.ephemeralContainers[0].targetContainerName: Not "
                   "found: \"none\"");
    assert_refused(add(f, "more", ",\"lifecycle\":{\"preStop\":{\"sleep\":{\"seconds\":1}}}"), 422,
                   "Pod \"p\" is invalid: spec.ephemeralContainers[0].lifecycle: Forbidden: cannot "
                   "be set for an Ephemeral Container");
    // Labels and the rest of the spec stay as they were, without a word.
    Answer *changed =
        call_patch(f->api, "merge", DEBUG,
                   "{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"priority\":7}}");
    assert_status(changed, 200);
    assert_string_equal(text_at(changed, "metadata.labels.a"), "");
    assert_int_equal(number_at(changed, "spec.priority"), 0);
    // Through the pod itself none may be added.
    assert_status(call_patch(f->api, "strategic-merge", PODS "/p",
                             "{\"spec\":{\"ephemeralContainers\":[{\"name\":\"x\",\"image\":\"i\"}]"
                             "}}"),
                  422);
    assert_status(call(f->api, "GET", DEBUG, NULL), 200);
    HttpClient *editor = harness_client(f->api, "jane", "dev");
    assert_status(call_as(f->api, editor, "GET", DEBUG, NULL), 403);
    http_client_free(editor);
}

static void test_not_of_static_pods(void **state) {
    Fixture *f = world_of(state);
    assert_status(call(f->api, "POST", PODS,
                       "{\"metadata\":{\"name\":\"p\",\"annotations\":{"
                       "\"kubernetes.io/config.mirror\":\"x\"}},\"spec\":{\"nodeName\":\"n2\","
                       "\"automountServiceAccountToken\":false,\"containers\":[{\"name\":\"c\","
                       "\"image\":\"busybox\"}]}}"),
                  201);
    assert_refused(add(f, "debug", ""), 422,
                   "Pod \"p\" is invalid: : Forbidden: static pods do not support ephemeral "
                   "containers");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_life, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_survives_a_restart_of_the_agent, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(test_waits_for_its_target, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_what_may_change, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_not_of_static_pods, world_setup, world_teardown),
    };
    return cmocka_run_group_tests_name("ephemeral", tests, NULL, NULL);
}
