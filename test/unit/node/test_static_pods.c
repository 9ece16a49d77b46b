// Static pods and their mirrors.
#include "agent_world.h"

#include <stdio.h>
#include <unistd.h>

#include "node/agent.h"
#include "node/static_pods.h"

#define MIRROR "metadata.annotations"

static const char web[] = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {app: web}}\n"
                          "spec:\n  terminationGracePeriodSeconds: 5\n  containers:\n"
                          "  - {name: c, image: busybox, imagePullPolicy: IfNotPresent}\n";

static void put(Fixture *f, const char *name, const char *text) {
    world_put_file(f, arena_printf(f->api->arena, "manifests/%s", name).ptr, text);
    static_pods_scan(f->agent->static_pods);
    harness_run(f->api, 2 * NSEC_PER_SEC);
}

static void drop(Fixture *f, const char *name) {
    unlink(arena_printf(f->api->arena, "%s/manifests/%s", f->directory, name).ptr);
    static_pods_scan(f->agent->static_pods);
}

static const char *annotation(const Answer *pod, const char *key) {
    Str text = value_get(value_at(pod->json, MIRROR), str_from(key))
                   ? value_get(value_at(pod->json, MIRROR), str_from(key))->string
                   : STR("");
    return text.ptr;
}

static void test_mirror(void **state) {
    Fixture *f = world_of(state);
    put(f, "web.yaml", web);
    Answer *pod = world_get(f, "web-n1");
    assert_status(pod, 200);
    assert_string_equal(world_state(f, "web-n1", "running", NULL), "yes");
    assert_string_equal(text_at(pod, "status.phase"), "Running");
    assert_string_equal(text_at(pod, "metadata.labels.app"), "web");
    assert_string_equal(text_at(pod, "spec.nodeName"), "n1");
    Str hash = str_from(annotation(pod, "kubernetes.io/config.hash"));
    assert_true(str_starts_with(str_from(annotation(pod, "kubernetes.io/config.mirror")),
                                str_slice(hash, 0, 32)));
    const Value *owner = value_at(pod->json, "metadata.ownerReferences")->items[0];
    assert_true(str_eq(value_string_at(owner, "kind"), STR("Node")));
    assert_true(value_string_at(owner, "uid").len > 0);
    assert_true(fake_container(f->runtime, str_slice(hash, 0, 32), STR("c")).len > 0);

    // The mirror alone can be deleted: it comes back, and nothing was stopped.
    Str uid = arena_str(f->api->arena, str_from(text_at(pod, "metadata.uid")));
    size_t started = fake_count(f->runtime, FAKE_START_CONTAINER);
    assert_status(call(f->api, "DELETE", PODS "/web-n1?gracePeriodSeconds=0", NULL), 200);
    harness_run(f->api, 3 * NSEC_PER_SEC);
    pod = world_get(f, "web-n1");
    assert_status(pod, 200);
    assert_false(str_eq(uid, str_from(text_at(pod, "metadata.uid"))));
    assert_string_equal(text_at(pod, "status.phase"), "Running");
    assert_int_equal(fake_count(f->runtime, FAKE_START_CONTAINER), started);

    // So does one that was deleted with a grace period.
    assert_status(call(f->api, "DELETE", PODS "/web-n1", NULL), 200);
    harness_run(f->api, 10 * NSEC_PER_SEC);
    pod = world_get(f, "web-n1");
    assert_status(pod, 200);
    assert_string_equal(text_at(pod, "metadata.deletionTimestamp"), "");
    assert_int_equal(fake_count(f->runtime, FAKE_START_CONTAINER), started);
    drop(f, "web.yaml");
    harness_run(f->api, 30 * NSEC_PER_SEC);
    assert_status(world_get(f, "web-n1"), 404);
    assert_int_equal(fake_container(f->runtime, str_slice(hash, 0, 32), STR("c")).len, 0);
}

static void test_change(void **state) {
    Fixture *f = world_of(state);
    put(f, "web.yaml", web);
    Answer *before = world_get(f, "web-n1");
    const char *text = arena_printf(f->api->arena, "%s  hostname: other\n", web).ptr;
    put(f, "web.yaml", text);
    harness_run(f->api, 10 * NSEC_PER_SEC);
    Answer *after = world_get(f, "web-n1");
    assert_string_equal(text_at(after, "spec.hostname"), "other");
    assert_string_not_equal(text_at(after, "metadata.uid"), text_at(before, "metadata.uid"));
    assert_string_equal(text_at(after, "status.phase"), "Running");
    drop(f, "web.yaml");
    harness_run(f->api, 30 * NSEC_PER_SEC);
    assert_status(world_get(f, "web-n1"), 404);
}

static void test_bad_files(void **state) {
    Fixture *f = world_of(state);
    put(f, "a.yaml", "kind: [");
    put(f, "b.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n");
    put(f, "c.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: Bad_Name}\nspec: {containers: []}\n");
    put(f, "d.json",
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"good\"},\"spec\":{"
        "\"containers\":[{\"name\":\"c\",\"image\":\"busybox\",\"imagePullPolicy\":"
        "\"IfNotPresent\"}]}}");
    Answer *list = call(f->api, "GET", PODS, NULL);
    assert_int_equal(value_at(list->json, "items")->n, 1);
    assert_string_equal(world_state(f, "good-n1", "running", NULL), "yes");
    static const char *const names[] = {"a.yaml", "b.yaml", "c.yaml", "d.json"};
    for (size_t i = 0; i < 4; i++)
        drop(f, names[i]);
    harness_run(f->api, 60 * NSEC_PER_SEC);
    assert_status(world_get(f, "good-n1"), 404);
}

// A mirror whose static pod is no more, and a pod that only says that it is one.
static void test_orphan(void **state) {
    Fixture *f = world_of(state);
    assert_status(call(f->api, "POST", PODS,
                       "{\"metadata\":{\"name\":\"lost\",\"annotations\":{"
                       "\"kubernetes.io/config.mirror\":\"x\"}},\"spec\":{\"nodeName\":\"n1\","
                       "\"containers\":[{\"name\":\"c\",\"image\":\"busybox\"}]}}"),
                  201);
    harness_run(f->api, 2 * NSEC_PER_SEC);
    assert_status(world_get(f, "lost"), 404);
    assert_int_equal(fake_count(f->runtime, FAKE_RUN_SANDBOX), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mirror, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_change, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_bad_files, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_orphan, world_setup, world_teardown),
    };
    return cmocka_run_group_tests_name("static_pods", tests, NULL, NULL);
}
