// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>

#include "scheduler/queue.h"

typedef struct Fixture {
    Loop *loop;
    SchedulingQueue *queue;
    int ready;
} Fixture;

static void on_ready(void *user) {
    ((Fixture *)user)->ready++;
}

static int setup(void **state) {
    static Fixture fixture;
    fixture = (Fixture){.loop = loop_new_simulated(1, 0)};
    fixture.queue = queue_new(fixture.loop, on_ready, &fixture);
    *state = &fixture;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    queue_free(f->queue);
    assert_int_equal(loop_run(f->loop), 0);
    loop_free(f->loop);
    return 0;
}

static void later(Fixture *f, int64_t ns) {
    assert_int_equal(loop_run_until(f->loop, loop_now(f->loop) + ns), 0);
}

static QueuedPod *add(Fixture *f, const char *name, int32_t priority) {
    return queue_add(f->queue, STR("ns"), str_from(name), STR("uid"), priority);
}

static const char *pop(Fixture *f) {
    static char name[64];
    QueuedPod *pod = queue_pop(f->queue);
    if (!pod)
        return "-";
    snprintf(name, sizeof name, "%.*s", STR_ARG(pod->name));
    return name;
}

static QueuedPod *get(Fixture *f, const char *key) {
    return queue_get(f->queue, str_from(key));
}

static void test_by_priority_then_age(void **state) {
    Fixture *f = *state;
    assert_string_equal(pop(f), "-");
    add(f, "old", 0);
    later(f, 1);
    add(f, "young", 0);
    add(f, "urgent", 1000);
    add(f, "least", -5);
    assert_int_equal(f->ready, 4);
    assert_string_equal(pop(f), "urgent");
    assert_string_equal(pop(f), "old");
    assert_string_equal(pop(f), "young");
    assert_string_equal(pop(f), "least");
    assert_string_equal(pop(f), "-");
    assert_int_equal(queue_count(f->queue, QUEUE_IN_FLIGHT), 4);
}

// Any mix of additions and removals comes out in order.
static void test_heap(void **state) {
    Fixture *f = *state;
    enum { N = 500 };
    char name[16];
    uint32_t seed = 12345;
    for (int i = 0; i < N; i++) {
        seed = seed * 1664525u + 1013904223u;
        snprintf(name, sizeof name, "p%d", i);
        add(f, name, (int32_t)(seed >> 24));
    }
    for (int i = 0; i < N; i += 3) {
        snprintf(name, sizeof name, "ns/p%d", i);
        queue_remove(f->queue, str_from(name));
    }
    int32_t last = INT32_MAX;
    int n = 0;
    for (QueuedPod *pod; (pod = queue_pop(f->queue)); n++) {
        assert_true(pod->priority <= last);
        last = pod->priority;
    }
    assert_int_equal(n, N - (N + 2) / 3);
}

static void test_rests_until_something_could_help(void **state) {
    Fixture *f = *state;
    add(f, "a", 0);
    add(f, "b", 0);
    queue_put_back(f->queue, queue_pop(f->queue), 4);
    queue_put_back(f->queue, queue_pop(f->queue), 8 | 1);
    f->ready = 0;
    later(f, 3600 * NSEC_PER_SEC);
    assert_int_equal(f->ready, 0);
    queue_wake(f->queue, 2);
    assert_string_equal(pop(f), "-");
    queue_wake(f->queue, 8);
    assert_int_equal(f->ready, 1);
    assert_string_equal(pop(f), "b");
    assert_string_equal(pop(f), "-");
    queue_wake_pod(f->queue, get(f, "ns/a"));
    assert_string_equal(pop(f), "a");
    queue_wake_pod(f->queue, get(f, "ns/a")); // in flight: nothing to wake
    assert_string_equal(pop(f), "-");
}

// One that was just refused comes after all that are active, whatever its priority, but does not
// wait when there are none.
static void test_woken_early(void **state) {
    Fixture *f = *state;
    add(f, "refused", 1000);
    queue_put_back(f->queue, queue_pop(f->queue), 1);
    queue_wake(f->queue, 1);
    assert_int_equal(queue_count(f->queue, QUEUE_BACKOFF), 1);
    add(f, "new", 0);
    assert_string_equal(pop(f), "new");
    assert_string_equal(pop(f), "refused");
    // Once its backoff is over, its priority counts again.
    queue_put_back(f->queue, get(f, "ns/refused"), 1);
    queue_wake(f->queue, 1);
    add(f, "next", 0);
    later(f, 2 * NSEC_PER_SEC);
    assert_string_equal(pop(f), "refused");
    assert_string_equal(pop(f), "next");
}

static int64_t time_until_ready(Fixture *f) {
    int64_t start = loop_now(f->loop);
    f->ready = 0;
    while (!f->ready)
        later(f, 100 * NSEC_PER_MSEC);
    return (loop_now(f->loop) - start) / (100 * NSEC_PER_MSEC);
}

static void test_errors_back_off(void **state) {
    Fixture *f = *state;
    QueuedPod *pod = add(f, "a", 0);
    static const int64_t expected[] = {10, 20, 40, 80, 100, 100};
    for (size_t i = 0; i < 6; i++) {
        assert_ptr_equal(queue_pop(f->queue), pod);
        queue_put_back_failed(f->queue, pod);
        queue_wake(f->queue, ~0u); // no event helps
        assert_string_equal(pop(f), "-");
        assert_int_equal(time_until_ready(f), expected[i]);
    }
    // A verdict in between, and errors count anew.
    assert_ptr_equal(queue_pop(f->queue), pod);
    queue_put_back(f->queue, pod, 1);
    queue_wake(f->queue, 1);
    assert_ptr_equal(queue_pop(f->queue), pod);
    queue_put_back_failed(f->queue, pod);
    assert_int_equal(time_until_ready(f), 10);
}

static void test_removed_wherever_it_is(void **state) {
    Fixture *f = *state;
    add(f, "active", 0);
    queue_remove(f->queue, STR("ns/active"));
    add(f, "flying", 0);
    queue_pop(f->queue);
    queue_remove(f->queue, STR("ns/flying"));
    add(f, "resting", 0);
    queue_put_back(f->queue, queue_pop(f->queue), 1);
    queue_remove(f->queue, STR("ns/resting"));
    add(f, "early", 0);
    queue_put_back(f->queue, queue_pop(f->queue), 1);
    queue_wake(f->queue, 1);
    queue_remove(f->queue, STR("ns/early"));
    add(f, "failed", 0);
    queue_put_back_failed(f->queue, queue_pop(f->queue));
    queue_remove(f->queue, STR("ns/failed"));
    queue_remove(f->queue, STR("ns/nobody"));
    for (int place = QUEUE_ACTIVE; place <= QUEUE_IN_FLIGHT; place++)
        assert_int_equal(queue_count(f->queue, (QueuePlace)place), 0);
    assert_string_equal(pop(f), "-");
    // And no timer is left: the loop has nothing to do (teardown runs it to its end).
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_by_priority_then_age, setup, teardown),
        cmocka_unit_test_setup_teardown(test_heap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rests_until_something_could_help, setup, teardown),
        cmocka_unit_test_setup_teardown(test_woken_early, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors_back_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removed_wherever_it_is, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
