// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <errno.h>

#include "pki/pki.h"
#include "pki/rotation.h"

#define START (1790000000LL * NSEC_PER_SEC)
#define DAY (24 * 3600 * NSEC_PER_SEC)
#define YEAR (365 * DAY)

typedef struct Holder { // of one certificate
    Arena *arena;
    PkiPair ca, pair;
    int renewals, failures;
} Holder;

static int renew(void *user, int64_t not_before, int64_t not_after) {
    Holder *holder = user;
    if (holder->failures > 0) {
        holder->failures--;
        return -EIO;
    }
    holder->renewals++;
    return pki_issue(holder->arena, &holder->ca, &(PkiSubject){.common_name = STR("x")}, PKI_SERVER,
                     NULL, 0, not_before, not_after, &holder->pair);
}

static void holder_init(Holder *holder) {
    *holder = (Holder){.arena = arena_new()};
    assert_int_equal(
        pki_ca_new(holder->arena, STR("CA"), START - DAY, START + 20 * YEAR, &holder->ca), 0);
}

static void run(Loop *loop, int64_t ns) {
    assert_int_equal(loop_run_until(loop, loop_now(loop) + ns), 0);
}

// Ten years, day by day: there is always a certificate with time left, and no more than needed.
static void test_ten_years(void **state) {
    Loop *loop = loop_new_simulated(1, START);
    Holder holder;
    int error;
    holder_init(&holder);
    PkiRotation *rotation = pki_rotation_new(loop, YEAR, renew, &holder, &error);
    assert_non_null(rotation);
    assert_int_equal(holder.renewals, 1);
    for (int day = 0; day < 3650; day++) {
        int64_t expires;
        run(loop, DAY);
        assert_int_equal(pki_certificate_expiry(holder.pair.certificate, &expires), 0);
        assert_true(expires - loop_wall(loop) > 70 * DAY);
    }
    assert_in_range(holder.renewals, 12, 14); // every 292 days
    pki_rotation_free(rotation);
    run(loop, YEAR);
    assert_in_range(holder.renewals, 12, 14);
    loop_free(loop);
    arena_free(holder.arena);
}

// What fails is tried again each hour; the old certificate goes on.
static void test_failures(void **state) {
    Loop *loop = loop_new_simulated(1, START);
    Holder holder;
    int error;
    holder_init(&holder);
    PkiRotation *rotation = pki_rotation_new(loop, YEAR, renew, &holder, &error);
    holder.failures = 5;
    run(loop, 293 * DAY);
    assert_int_equal(holder.failures, 0);
    assert_int_equal(holder.renewals, 2);
    pki_rotation_free(rotation);
    holder.failures = 1; // the first time, there is nothing to go on with
    assert_null(pki_rotation_new(loop, YEAR, renew, &holder, &error));
    assert_int_equal(error, -EIO);
    loop_free(loop);
    arena_free(holder.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_years),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests_name("pki rotation", tests, NULL, NULL);
}
