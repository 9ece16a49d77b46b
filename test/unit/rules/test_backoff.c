#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rules/backoff.h"

#define S NSEC_PER_SEC

// A container that ends after one second, again and again: the first restart is immediate, then 10 s doubling to 5 min.
static void test_crash_loop(void **state) {
    static const int64_t waits[] = {0, 10, 20, 40, 80, 160, 300, 300, 300};
    Backoff backoff;
    backoff_init(&backoff);
    int64_t now = 1700000000 * S;
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        int64_t ended = now + S;
        assert_int_equal(backoff_remaining(&backoff, ended, ended), waits[i] * S);
        now = ended + waits[i] * S;
        assert_int_equal(backoff_remaining(&backoff, ended, now), 0);
        backoff_next(&backoff, ended, now);
    }
}

// Ten minutes of running without trouble start it anew.
static void test_forgotten_after_ten_minutes(void **state) {
    Backoff backoff;
    backoff_init(&backoff);
    int64_t now = 1700000000 * S;
    for (int i = 0; i < 4; i++)
        backoff_next(&backoff, now, now);
    assert_int_equal(backoff.delay_ns, 80 * S);
    assert_int_equal(backoff_remaining(&backoff, now + 599 * S, now + 599 * S), 80 * S);
    int64_t later = now + 601 * S;
    assert_int_equal(backoff_remaining(&backoff, later, later), 0);
    backoff_next(&backoff, later, later);
    assert_int_equal(backoff.delay_ns, 10 * S);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash_loop),
        cmocka_unit_test(test_forgotten_after_ten_minutes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
