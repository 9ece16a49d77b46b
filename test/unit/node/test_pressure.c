// A node that runs short: its conditions, and which pods go.
#include "agent_world.h"

#include "node/pressure.h"

static const Value *node_condition(Fixture *f, const char *type) {
    const Value *list =
        value_at(call(f->api, "GET", "/api/v1/nodes/n1", NULL)->json, "status.conditions");
    for (uint32_t i = 0; list && i < list->n; i++)
        if (str_eq(value_string_at(list->items[i], "type"), str_from(type)))
            return list->items[i];
    fail_msg("no condition %s", type);
    return NULL;
}

static bool holds(Fixture *f, const char *type) {
    return str_eq(value_string_at(node_condition(f, type), "status"), STR("True"));
}

static const char *phase(Fixture *f, const char *name) {
    return text_at(world_get(f, name), "status.phase");
}

static void make(Fixture *f, const char *name, const char *resources, const char *more) {
    world_create(f, name,
                 arena_printf(f->api->arena, ",\"resources\":{%s}}]%s}}", resources, more).ptr);
}

#define SMALL "\"requests\":{\"memory\":\"10Mi\"}"

static void test_memory(void **state) {
    Fixture *f = world_of(state);
    assert_status(call(f->api, "POST", "/apis/scheduling.k8s.io/v1/priorityclasses",
                       "{\"metadata\":{\"name\":\"high\"},\"value\":1000}"),
                  201);
    make(f, "low", SMALL, "");
    make(f, "high", SMALL, ",\"priorityClassName\":\"high\"");
    harness_run(f->api, 2 * NSEC_PER_SEC);
    assert_string_equal(phase(f, "low"), "Running");
    assert_false(holds(f, "MemoryPressure"));
    f->host.memory_available = 50LL << 20; // below 100Mi
    harness_run(f->api, 12 * NSEC_PER_SEC);
    assert_true(holds(f, "MemoryPressure"));
    assert_true(str_eq(value_string_at(node_condition(f, "MemoryPressure"), "reason"),
                       STR("KubeletHasInsufficientMemory")));
    assert_string_equal(phase(f, "low"), "Failed");
    assert_string_equal(phase(f, "high"), "Running"); // one at a time, by priority
    Answer *low = world_get(f, "low");
    assert_string_equal(text_at(low, "status.reason"), "Evicted");
    assert_string_equal(text_at(low, "status.message"),
                        "The node was low on resource: memory. Threshold quantity: 102400Ki, "
                        "available: 51200Ki. ");
    assert_true(memmem(low->body.ptr, low->body.len, "TerminationByKubelet", 20));
    assert_true(world_has_event(f, "The node was low on resource: memory."));

    // A pod without requests is not taken now; one with requests is.
    f->host.memory_available = 4LL << 30;
    world_create(f, "best", "}]}}");
    make(f, "burst", SMALL, "");
    harness_run(f->api, 3 * NSEC_PER_SEC);
    assert_string_equal(phase(f, "best"), "Failed");
    assert_string_equal(text_at(world_get(f, "best"), "status.message"),
                        "Pod was rejected: The node had condition: [MemoryPressure]. ");
    assert_string_equal(phase(f, "burst"), "Running");
    // The condition stays for five minutes.
    harness_run(f->api, 200 * NSEC_PER_SEC);
    assert_true(holds(f, "MemoryPressure"));
    harness_run(f->api, 130 * NSEC_PER_SEC);
    assert_false(holds(f, "MemoryPressure"));
    assert_string_equal(phase(f, "high"), "Running");
}

static void test_disk_and_pids(void **state) {
    Fixture *f = world_of(state);
    make(f, "a", SMALL, "");
    make(f, "critical", SMALL, ",\"priorityClassName\":\"system-node-critical\"");
    harness_run(f->api, 2 * NSEC_PER_SEC);
    f->host.inodes_free = 40000; // below 5 %
    harness_run(f->api, 35 * NSEC_PER_SEC);
    assert_true(holds(f, "DiskPressure"));
    assert_false(holds(f, "MemoryPressure"));
    assert_string_equal(phase(f, "a"), "Failed");
    assert_string_equal(text_at(world_get(f, "a"), "status.message"),
                        "The node was low on resource: inodes. Threshold quantity: 50000, "
                        "available: 40000. ");
    assert_string_equal(phase(f, "critical"), "Running"); // never
    make(f, "b", SMALL, "");
    harness_run(f->api, 3 * NSEC_PER_SEC);
    assert_string_equal(text_at(world_get(f, "b"), "status.message"),
                        "Pod was rejected: The node had condition: [DiskPressure]. ");
    assert_false(holds(f, "PIDPressure"));
}

static void test_allocatable(void **state) {
    Fixture *f = world_of(state);
    const Value *status =
        value_get(call(f->api, "GET", "/api/v1/nodes/n1", NULL)->json, STR("status"));
    int64_t capacity, left;
    Str memory = value_string_at(status, "capacity.memory");
    assert_int_equal(str_to_i64(str_slice(memory, 0, memory.len - 2), &capacity), 0);
    memory = value_string_at(status, "allocatable.memory");
    assert_int_equal(str_to_i64(str_slice(memory, 0, memory.len - 2), &left), 0);
    assert_int_equal(capacity - left, 100 * 1024);
}

// eviction/helpers.go rankMemoryPressure: above the request, then priority, then how far above.
static void test_rank(void **state) {
    static const int32_t ten = 10;
    Pod low = {0}, high = {.spec = {.priority = &ten}};
    PressureCandidate candidates[] = {
        {&high, 100, 10}, {&low, 5, 10}, {&low, 20, 10}, {&low, 50, 10}, {&high, 5, 10}};
    pressure_rank(candidates, 5);
    assert_int_equal(candidates[0].used, 50);
    assert_int_equal(candidates[1].used, 20);
    assert_int_equal(candidates[2].used, 100);
    assert_ptr_equal(candidates[3].pod, &low);
    assert_ptr_equal(candidates[4].pod, &high);
}

static void test_thresholds(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Str message;
    assert_int_equal(
        pressure_check_thresholds(
            arena, STR("memory.available<1Gi, nodefs.available<5%,pid.available<1000"), &message),
        0);
    assert_int_equal(pressure_check_thresholds(arena, STR(""), &message), 0);
    static const char *const bad[] = {"memory<1", "memory.available", "memory.available<x",
                                      "nodefs.available<0%", "nodefs.available<200%"};
    for (size_t i = 0; i < 5; i++)
        assert_true(pressure_check_thresholds(arena, str_from(bad[i]), &message) < 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_memory, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_disk_and_pids, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_allocatable, world_setup, world_teardown),
        cmocka_unit_test(test_rank),
        cmocka_unit_test(test_thresholds),
    };
    return cmocka_run_group_tests_name("pressure", tests, NULL, NULL);
}
