// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>

#include "controllers/endpoint_slice_plan.h"

// A cluster's slices as a plan leaves them.
typedef struct World {
    Arena *arena;
    EndpointSlice *slices[64];
    size_t n;
    int named, written;
    SliceWish wish;
    SliceGroup group;
} World;

static const int32_t port_80 = 80, port_81 = 81;
static const bool yes = true, no = false;
static DiscoveryEndpointPort http[] = {{.name = {"", 0}, .protocol = {"TCP", 3}, .port = &port_80}};
static DiscoveryEndpointPort other[] = {
    {.name = {"", 0}, .protocol = {"TCP", 3}, .port = &port_81}};

static int setup(void **state) {
    World *w = calloc(1, sizeof *w);
    w->arena = arena_new();
    w->group = (SliceGroup){.ports = http, .n_ports = 1};
    w->wish = (SliceWish){.namespace_ = STR("default"),
                          .generate_name = STR("web-"),
                          .owner = {.uid = STR("u1")},
                          .groups = &w->group,
                          .n_groups = 1,
                          .max_per_slice = 10,
                          .placeholder = true};
    slice_map_set(w->arena, &w->wish.labels, SLICE_SERVICE_LABEL, STR("web"));
    *state = w;
    return 0;
}

static int teardown(void **state) {
    World *w = *state;
    arena_free(w->arena);
    free(w);
    return 0;
}

static Endpoint endpoint(Arena *arena, int number) {
    Endpoint e = {.conditions = {&yes, &yes, &no}};
    e.addresses.items = arena_new_of(arena, Str);
    e.addresses.items[0] = arena_printf(arena, "10.0.%d.%d", number / 256, number % 256);
    e.addresses.len = 1;
    return e;
}

// Endpoints first..last-1 are wanted.
static void want(World *w, int first, int last) {
    w->group.n_endpoints = (size_t)(last - first);
    w->group.endpoints = arena_array_of(w->arena, Endpoint, w->group.n_endpoints + 1);
    for (int i = first; i < last; i++)
        w->group.endpoints[i - first] = endpoint(w->arena, i);
}

static SlicePlan run(World *w) {
    SlicePlan plan;
    EndpointSlice *before[64]; // as an informer would give them: copies
    for (size_t i = 0; i < w->n; i++) {
        before[i] = arena_new_of(w->arena, EndpointSlice);
        *before[i] = *w->slices[i];
        size_t size = w->slices[i]->endpoints.len * sizeof(Endpoint);
        before[i]->endpoints.items = arena_alloc(w->arena, size + 1);
        if (size)
            memcpy(before[i]->endpoints.items, w->slices[i]->endpoints.items, size);
    }
    slice_plan(w->arena, &w->wish, before, w->n, &plan);
    for (size_t i = 0; i < plan.n_update; i++)
        for (size_t j = 0; j < w->n; j++)
            if (str_eq(plan.update[i]->metadata.name, w->slices[j]->metadata.name))
                w->slices[j] = plan.update[i];
    for (size_t i = 0; i < plan.n_remove; i++)
        for (size_t j = 0; j < w->n; j++)
            if (str_eq(plan.remove[i]->metadata.name, w->slices[j]->metadata.name))
                w->slices[j--] = w->slices[--w->n];
    for (size_t i = 0; i < plan.n_create; i++) {
        plan.create[i]->metadata.name = arena_printf(w->arena, "web-%d", w->named++);
        w->slices[w->n++] = plan.create[i];
    }
    return plan;
}

static size_t total(const World *w) {
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        assert_true(w->slices[i]->endpoints.len <= w->wish.max_per_slice);
        n += w->slices[i]->endpoints.len;
    }
    return n;
}

#define assert_plan(plan, creates, updates, removes)                                               \
    do {                                                                                           \
        SlicePlan p = plan;                                                                        \
        assert_int_equal(p.n_create, creates);                                                     \
        assert_int_equal(p.n_update, updates);                                                     \
        assert_int_equal(p.n_remove, removes);                                                     \
    } while (0)

static void test_as_few_slices_as_hold_them(void **state) {
    World *w = *state;
    want(w, 0, 25);
    assert_plan(run(w), 3, 0, 0);
    assert_int_equal(total(w), 25);
    assert_plan(run(w), 0, 0, 0); // nothing changed, nothing is written
}

static void test_one_change_is_one_write(void **state) {
    World *w = *state;
    want(w, 0, 25);
    run(w);
    want(w, 1, 25); // one goes
    assert_plan(run(w), 0, 1, 0);
    assert_int_equal(total(w), 24);
    want(w, 1, 26); // another comes: into the fullest slice with room
    assert_plan(run(w), 0, 1, 0);
    assert_int_equal(total(w), 25);
    w->group.endpoints[7].conditions.ready = &no;
    assert_plan(run(w), 0, 1, 0);
    assert_plan(run(w), 0, 0, 0);
}

// Upstream's TestReconcileEndpointSlicesSomePreexisting and UpdatePacking: what is written anyway
// is filled first, what is not written stays as it is.
static void test_written_slices_are_filled_first(void **state) {
    World *w = *state;
    want(w, 0, 25);
    run(w);         // 10, 10, 5
    want(w, 3, 28); // three of the first go, three others come
    assert_plan(run(w), 0, 1, 0);
    assert_int_equal(total(w), 25);
}

static void test_more_than_there_is_room(void **state) {
    World *w = *state;
    want(w, 0, 5);
    run(w);
    want(w, 0, 17); // 12 more: a full slice of its own, two into the one that has room
    assert_plan(run(w), 1, 1, 0);
    assert_int_equal(total(w), 17);
    assert_int_equal(w->n, 2);
}

static void test_empty_slices_go(void **state) {
    World *w = *state;
    want(w, 0, 25);
    run(w);
    want(w, 20, 25);
    assert_plan(run(w), 0, 0, 2);
    assert_int_equal(w->n, 1);
}

static void test_a_placeholder(void **state) {
    World *w = *state;
    want(w, 0, 0);
    assert_plan(run(w), 1, 0, 0);
    assert_int_equal(w->slices[0]->ports.len, 0);
    assert_plan(run(w), 0, 0, 0);
    want(w, 0, 3); // it is used again
    assert_plan(run(w), 0, 1, 0);
    assert_int_equal(w->slices[0]->ports.len, 1);
    want(w, 0, 0);
    assert_plan(run(w), 0, 1, 0);
    assert_int_equal(total(w), 0);
    w->wish.placeholder = false;
    assert_plan(run(w), 0, 0, 1);
    assert_plan(run(w), 0, 0, 0);
}

static void test_ports_that_differ(void **state) {
    World *w = *state;
    want(w, 0, 4);
    SliceGroup both[] = {w->group, w->group};
    both[1].ports = other;
    both[1].endpoints = arena_array_of(w->arena, Endpoint, 2);
    both[1].endpoints[0] = endpoint(w->arena, 100);
    both[1].n_endpoints = 1;
    w->wish.groups = both;
    w->wish.n_groups = 2;
    assert_plan(run(w), 2, 0, 0);
    both[1].ports = http; // the port of the first group: they could share, but nothing forces them
    both[0].ports = other;
    run(w);
    assert_int_equal(w->n, 2);
    assert_int_equal(total(w), 5);
}

static void test_labels_and_owner(void **state) {
    World *w = *state;
    want(w, 0, 15);
    run(w);
    slice_map_set(w->arena, &w->wish.labels, STR("a"), STR("b"));
    // slice_map_set() changes the map that the slices share: they are old ones
    StrMap old = {0};
    slice_map_set(w->arena, &old, SLICE_SERVICE_LABEL, STR("web"));
    for (size_t i = 0; i < w->n; i++)
        w->slices[i]->metadata.labels = old;
    assert_plan(run(w), 0, 2, 0);
    w->wish.owner.uid = STR("u2"); // a service of the same name
    assert_plan(run(w), 0, 2, 0);
    assert_plan(run(w), 0, 0, 0);
}

// Any order of comings and goings ends with the right endpoints, each once.
static void test_random_changes(void **state) {
    World *w = *state;
    srand(7);
    for (int round = 0; round < 200; round++) {
        int first = rand() % 50, last = first + rand() % 80;
        want(w, first, last);
        run(w);
        assert_int_equal(total(w), last - first);
        bool seen[200] = {false};
        for (size_t i = 0; i < w->n; i++)
            for (size_t j = 0; j < w->slices[i]->endpoints.len; j++) {
                int number;
                Str address = w->slices[i]->endpoints.items[j].addresses.items[0];
                assert_int_equal(sscanf(arena_cstr(w->arena, address), "10.0.0.%d", &number), 1);
                assert_true(number >= first && number < last && !seen[number]);
                seen[number] = true;
            }
        assert_plan(run(w), 0, 0, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_as_few_slices_as_hold_them),
        TEST(test_one_change_is_one_write),
        TEST(test_written_slices_are_filled_first),
        TEST(test_more_than_there_is_room),
        TEST(test_empty_slices_go),
        TEST(test_a_placeholder),
        TEST(test_ports_that_differ),
        TEST(test_labels_and_owner),
        TEST(test_random_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
