// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <string.h>

#include "client/work_queue.h"

typedef struct Fixture {
    Loop *loop;
    WorkQueue *queue;
    char began[256]; // keys in the order in which work on them began
    bool finish;     // work ends at once, and
    bool retry;      // whether it is to come again
    bool free;       // the first work ends the queue
} Fixture;

static void reconcile(void *user, Str key) {
    Fixture *f = user;
    size_t len = strlen(f->began);
    snprintf(f->began + len, sizeof f->began - len, "%.*s ", STR_ARG(key));
    if (f->free) {
        work_queue_free(f->queue);
        f->queue = NULL;
    } else if (f->finish) {
        work_queue_done(f->queue, key, f->retry);
    }
}

static Fixture fixture;

static void start(void **state, int workers) {
    fixture = (Fixture){.loop = loop_new_simulated(1, 0)};
    fixture.queue = work_queue_new(&(WorkQueueConfig){
        .loop = fixture.loop, .workers = workers, .reconcile = reconcile, .user = &fixture});
    *state = &fixture;
}

static int setup(void **state) {
    start(state, 0);
    return 0;
}

static int setup_two_workers(void **state) {
    start(state, 2);
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    work_queue_free(f->queue);
    assert_int_equal(loop_run(f->loop), 0); // nothing is left that would touch it
    loop_free(f->loop);
    return 0;
}

static void later(Fixture *f, int64_t ns) {
    assert_int_equal(loop_run_until(f->loop, loop_now(f->loop) + ns), 0);
}

static void add(Fixture *f, const char *key) {
    work_queue_add(f->queue, str_from(key));
}

static void done(Fixture *f, const char *key, bool retry) {
    work_queue_done(f->queue, str_from(key), retry);
    later(f, 0);
}

#define assert_began(f, text)                                                                      \
    do {                                                                                           \
        assert_string_equal((f)->began, text);                                                     \
        (f)->began[0] = 0;                                                                         \
    } while (0)

static void test_never_from_inside_add(void **state) {
    Fixture *f = *state;
    add(f, "a");
    assert_began(f, "");
    assert_int_equal(work_queue_length(f->queue), 1);
    later(f, 0);
    assert_began(f, "a ");
    assert_int_equal(work_queue_length(f->queue), 0);
}

static void test_one_worker_one_key(void **state) {
    Fixture *f = *state;
    add(f, "a");
    add(f, "b");
    add(f, "a");
    later(f, 0);
    assert_began(f, "a ");
    done(f, "a", false);
    assert_began(f, "b ");
    done(f, "b", false);
    assert_began(f, "");
}

static void test_added_while_worked_on(void **state) {
    Fixture *f = *state;
    add(f, "a");
    later(f, 0);
    add(f, "a");
    add(f, "a");
    later(f, NSEC_PER_SEC);
    assert_began(f, "a ");
    done(f, "a", false);
    assert_began(f, "a ");
    done(f, "a", false);
    later(f, NSEC_PER_SEC);
    assert_began(f, "");
}

static void test_two_workers_never_on_one_key(void **state) {
    Fixture *f = *state;
    add(f, "a");
    later(f, 0);
    add(f, "a");
    add(f, "b");
    add(f, "c");
    later(f, 0);
    assert_began(f, "a b ");
    done(f, "b", false);
    assert_began(f, "c ");
    done(f, "a", false);
    assert_began(f, "a ");
}

static void test_retries_wait_longer_and_longer(void **state) {
    Fixture *f = *state;
    add(f, "a");
    later(f, 0);
    int64_t delay = 5 * NSEC_PER_MSEC;
    for (int i = 0; i < 30; i++) {
        assert_began(f, "a ");
        done(f, "a", true);
        later(f, delay - 1);
        assert_began(f, "");
        later(f, 1);
        delay = delay * 2 < 1000 * NSEC_PER_SEC ? delay * 2 : 1000 * NSEC_PER_SEC;
    }
    assert_began(f, "a ");
    done(f, "a", false); // forgotten
    add(f, "a");
    later(f, 0);
    done(f, "a", true);
    assert_began(f, "a ");
    later(f, 5 * NSEC_PER_MSEC);
    assert_began(f, "a ");
}

static void test_an_addition_does_not_wait_for_the_retry(void **state) {
    Fixture *f = *state;
    for (int i = 0; i < 10; i++) {
        add(f, "a");
        later(f, 0);
        assert_began(f, "a ");
        done(f, "a", true);
    }
    add(f, "a");
    later(f, 0);
    assert_began(f, "a ");
    done(f, "a", false);
    later(f, 3600 * NSEC_PER_SEC); // and the retry is off
    assert_began(f, "");
}

static void test_the_earliest_delay_wins(void **state) {
    Fixture *f = *state;
    work_queue_add_after(f->queue, STR("a"), 10 * NSEC_PER_SEC);
    work_queue_add_after(f->queue, STR("a"), 2 * NSEC_PER_SEC);
    work_queue_add_after(f->queue, STR("a"), 5 * NSEC_PER_SEC);
    later(f, 2 * NSEC_PER_SEC - 1);
    assert_began(f, "");
    later(f, 1);
    assert_began(f, "a ");
    done(f, "a", false);
    later(f, 60 * NSEC_PER_SEC);
    assert_began(f, "");
    work_queue_add_after(f->queue, STR("a"), 0);
    later(f, 0);
    assert_began(f, "a ");
}

// Asked for again while it is worked on: that holds although the work says that all is well.
static void test_a_delay_set_at_work(void **state) {
    Fixture *f = *state;
    add(f, "a");
    later(f, 0);
    work_queue_add_after(f->queue, STR("a"), 2 * NSEC_PER_SEC);
    done(f, "a", false);
    assert_began(f, "a ");
    later(f, 2 * NSEC_PER_SEC);
    assert_began(f, "a ");
}

static void test_pause(void **state) {
    Fixture *f = *state;
    f->finish = true;
    work_queue_pause(f->queue, true);
    add(f, "a");
    add(f, "b");
    later(f, NSEC_PER_SEC);
    assert_began(f, "");
    assert_int_equal(work_queue_length(f->queue), 2);
    work_queue_pause(f->queue, false);
    later(f, 0);
    assert_began(f, "a b ");
}

static void test_freed_at_work(void **state) {
    Fixture *f = *state;
    f->free = true;
    add(f, "a");
    add(f, "b");
    work_queue_add_after(f->queue, STR("c"), NSEC_PER_SEC);
    later(f, 10 * NSEC_PER_SEC);
    assert_began(f, "a ");
}

static void test_work_that_ends_at_once(void **state) {
    Fixture *f = *state;
    f->finish = true;
    for (int i = 0; i < 10; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        add(f, key);
    }
    later(f, 0);
    assert_began(f, "k0 k1 k2 k3 k4 k5 k6 k7 k8 k9 ");
    f->retry = true;
    add(f, "a");
    later(f, 36 * NSEC_PER_MSEC); // 0, 5, 15, 35 ms
    assert_began(f, "a a a a ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_never_from_inside_add, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_worker_one_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_added_while_worked_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_workers_never_on_one_key, setup_two_workers,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_retries_wait_longer_and_longer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_addition_does_not_wait_for_the_retry, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_the_earliest_delay_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_delay_set_at_work, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
        cmocka_unit_test_setup_teardown(test_freed_at_work, setup, teardown),
        cmocka_unit_test_setup_teardown(test_work_that_ends_at_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
