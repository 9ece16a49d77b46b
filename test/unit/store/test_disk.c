// What an acknowledgement is worth when the power fails, and what happens when the disk does.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faulty_disk.h"
#include "harness.h"

static int setup(void **state) {
    faulty_disk_install();
    *state = harness_new(backend_sqlite());
    return 0;
}

static int teardown(void **state) {
    Harness *h = *state;
    faulty_disk_fail(0, 0);
    harness_rest(h);
    char command[256];
    snprintf(command, sizeof command, "rm -f '%s'/*", h->directory);
    assert_int_equal(system(command), 0);
    harness_free(h);
    return 0;
}

// Opens what a power failure at this moment would leave.
static Harness *after_power_failure(const Harness *h) {
    Harness *other = calloc(1, sizeof *other);
    other->backend = h->backend;
    snprintf(other->path, sizeof other->path, "%s/lost.db", h->directory);
    faulty_disk_lose_power(h->path, other->path);
    harness_open(other);
    return other;
}

static void forget(Harness *other) {
    harness_rest(other);
    unlink(other->path);
    free(other);
}

static void test_acknowledged_is_on_disk(void **state) {
    Harness *h = *state;
    enum { FLIGHT = 20 };
    Reply replies[FLIGHT];
    for (int round = 0; round < 60; round++) {
        char value[3000], key[16];
        for (int i = 0; i < FLIGHT; i++) {
            snprintf(key, sizeof key, "k%d", i);
            snprintf(value, sizeof value, "%d.%d%*s", round, i, round * 40, "");
            start_put(h, key, value, STORE_ANY, i == 7 ? STORE_VOLATILE : 0, &replies[i]);
        }
        int acknowledged = round % FLIGHT; // with those behind it perhaps on the way
        harness_wait(h, &replies[acknowledged].is_done);
        if (round % 3 == 0) {
            Harness *other = after_power_failure(h);
            assert_true(do_sync(other) >= replies[acknowledged].revision);
            for (int i = 0; i <= acknowledged; i++) {
                if (i == 7)
                    continue;
                snprintf(key, sizeof key, "k%d", i);
                snprintf(value, sizeof value, "%d.%d ", round, i);
                _reply_clear_ Reply get = do_get(other, key);
                assert_int_equal(get.n, 1);
                if (round && !str_starts_with(bytes_str(get.records[0].value), str_from(value)))
                    fail_msg("expected %s, found %.20s", value, get.records[0].value->data);
                assert_int_equal(get.records[0].revision, replies[i].revision);
            }
            forget(other);
        }
        for (int i = 0; i < FLIGHT; i++) {
            harness_wait(h, &replies[i].is_done);
            assert_int_equal(replies[i].error, 0);
            reply_clear(&replies[i]);
        }
    }
}

static void test_one_sync_a_group(void **state) {
    Harness *h = *state;
    must_put(h, "a", "0");
    int before = faulty_disk_syncs();
    for (int i = 0; i < 20; i++)
        must_put(h, "a", "1");
    assert_int_equal(faulty_disk_syncs() - before, 20);
    Reply replies[200];
    before = faulty_disk_syncs();
    for (int i = 0; i < 200; i++)
        start_put(h, "a", "1", STORE_ANY, 0, &replies[i]);
    for (int i = 0; i < 200; i++) {
        harness_wait(h, &replies[i].is_done);
        reply_clear(&replies[i]);
    }
    assert_true(faulty_disk_syncs() - before < 20); // two or so, however the threads are scheduled
    before = faulty_disk_syncs();
    for (int i = 0; i < 20; i++) {
        _reply_clear_ Reply lease = do_put(h, "lease", "1", STORE_ANY, STORE_VOLATILE);
        _reply_clear_ Reply get = do_get(h, "lease");
        _reply_clear_ Reply range = do_range(h, "", "", 0, 0);
        assert_int_equal(lease.error | get.error | range.error, 0);
    }
    assert_int_equal(faulty_disk_syncs(), before);
}

// The file system says that it is full, or broken, when writing or only when syncing.
static void fails_and_recovers(Harness *h, int write_error, int sync_error, int expected) {
    Seen seen = {0};
    int64_t before = must_put(h, "a", "1");
    seen_start(h, &seen, "", before);
    _reply_clear_ Reply first = do_put(h, "lease", "1", STORE_ABSENT, STORE_VOLATILE);
    faulty_disk_fail(write_error, sync_error);
    Reply puts[3], removed = reply_of(h), got = reply_of(h);
    start_put(h, "a", "2", before, 0, &puts[0]);
    start_put(h, "lease", "2", first.revision, STORE_VOLATILE, &puts[1]);
    start_put(h, "b", "1", STORE_ABSENT, 0, &puts[2]);
    store_remove(h->store, STR("a"), STORE_ANY, reply_done, &removed);
    store_get(h->store, STR("a"), reply_done, &got);
    harness_wait(h, &got.is_done);
    assert_int_equal(puts[0].error, expected);
    assert_int_equal(puts[1].error, 0);
    assert_int_equal(puts[2].error, expected);
    assert_int_equal(removed.error, expected);
    assert_int_equal(got.error, 0);
    assert_int_equal(got.records[0].revision, before);
    assert_true(puts[1].revision > first.revision);
    _reply_clear_ Reply compact = do_compact(h, before);
    assert_int_equal(compact.error, expected);
    assert_range(h, "", "", 0, 0, "a=1 lease=2");
    assert_range(h, "", "", before, 0, "a=1");
    faulty_disk_fail(0, 0);
    int64_t last = must_put(h, "a", "3");
    seen_wait(&seen, last);
    assert_string_equal(seen.text, "+lease=1 ~lease=2<1 ~a=3<1 ");
    seen_stop(&seen);
    harness_close(h);
    harness_open(h);
    assert_range(h, "", "", 0, 0, "a=3 lease=2");
    assert_int_equal(do_sync(h), last);
    for (int i = 0; i < 3; i++)
        reply_clear(&puts[i]);
    reply_clear(&removed);
    reply_clear(&got);
    must_remove(h, "a");
    must_remove(h, "lease");
}

static void test_full(void **state) {
    fails_and_recovers(*state, SQLITE_FULL, 0, STORE_E_FULL);
}

static void test_broken(void **state) {
    fails_and_recovers(*state, SQLITE_IOERR_WRITE, 0, -EIO);
    fails_and_recovers(*state, 0, SQLITE_IOERR_FSYNC, -EIO);
}

// While durable writes fail, volatile ones go on to a limit: memory is not the disk.
static void test_patience_has_a_limit(void **state) {
    Harness *h = *state;
    must_put(h, "a", "1");
    faulty_disk_fail(SQLITE_FULL, 0);
    int accepted = 0, error = 0;
    char *value = calloc(1, 10001);
    memset(value, 'v', 10000);
    while (!error && accepted < 100000) {
        _reply_clear_ Reply put = do_put(h, "lease", value, STORE_ANY, STORE_VOLATILE);
        error = put.error;
        accepted += !error;
    }
    free(value);
    assert_int_equal(error, STORE_E_FULL);
    assert_in_range(accepted, 100, 2000);
    faulty_disk_fail(0, 0);
    must_put(h, "a", "2");
    _reply_clear_ Reply put = do_put(h, "lease", "again", STORE_ANY, STORE_VOLATILE);
    assert_int_equal(put.error, 0);
}

// Nothing can be written while it closes: what was durable is there afterwards.
static void test_close_on_a_broken_disk(void **state) {
    Harness *h = *state;
    must_put(h, "a", "1");
    _reply_clear_ Reply lease = do_put(h, "lease", "1", STORE_ANY, STORE_VOLATILE);
    assert_int_equal(lease.error, 0);
    faulty_disk_fail(SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC);
    harness_close(h);
    faulty_disk_fail(0, 0);
    harness_open(h);
    assert_range(h, "", "", 0, 0, "a=1");
    int64_t next = must_put(h, "a", "2");
    assert_true(next > lease.revision);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_acknowledged_is_on_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_sync_a_group, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_patience_has_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_on_a_broken_disk, setup, teardown),
    };
    return cmocka_run_group_tests_name("store disk", tests, NULL, NULL);
}
