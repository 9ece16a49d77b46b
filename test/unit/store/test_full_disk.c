// A full disk: clear answers, nothing lost, and it works again once there is room. On a small tmpfs
// in a mount namespace of our own.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

#define PLACE "/tmp/seapod-test-store-full"

static bool has_namespace;

static void small_disk(const char *options) {
    if (!has_namespace) {
        print_message("no mount namespace (not root?): skipped\n");
        skip();
    }
    (void)umount(PLACE);
    assert_int_equal(mount("tmpfs", PLACE, "tmpfs", 0, options), 0);
}

static void resize(const char *options) {
    assert_int_equal(mount("tmpfs", PLACE, "tmpfs", MS_REMOUNT, options), 0);
}

// Takes up every byte that is left.
static void fill(void) {
    int fd = open(PLACE "/filler", O_WRONLY | O_CREAT | O_APPEND, 0600);
    char block[4096] = {1};
    assert_true(fd >= 0);
    while (write(fd, block, sizeof block) > 0)
        ;
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

static Harness *open_there(void) {
    Harness *h = calloc(1, sizeof *h);
    h->backend = backend_sqlite();
    snprintf(h->path, sizeof h->path, "%s/state.db", PLACE);
    harness_open(h);
    alarm(60);
    return h;
}

static void close_there(Harness *h) {
    if (h->store)
        harness_close(h);
    loop_free(h->loop);
    free(h);
    assert_int_equal(umount(PLACE), 0);
}

static int put_large(Harness *h, int number, int64_t *ret_revision) {
    char key[16], text[64 * 1024];
    snprintf(key, sizeof key, "k%04d", number);
    memset(text, 'a' + number % 26, sizeof text);
    text[sizeof text - 1] = 0;
    _reply_clear_ Reply reply = do_put(h, key, text, STORE_ABSENT, 0);
    *ret_revision = reply.revision;
    return reply.error;
}

static void assert_all_there(Harness *h, int n) {
    _reply_clear_ Reply range = do_range(h, "k", "", 0, 0);
    assert_int_equal(range.error, 0);
    assert_int_equal(range.n, n);
    for (int i = 0; i < n; i++) {
        assert_int_equal(range.records[i].value->len, 64 * 1024 - 1);
        assert_int_equal(range.records[i].value->data[1000], 'a' + i % 26);
    }
}

static void test_fills_and_recovers(void **state) {
    small_disk("size=6m");
    Harness *h = open_there();
    Seen seen = {0};
    seen_start(h, &seen, "", do_sync(h));
    int n = 0, error;
    int64_t revision, last = 0;
    while ((error = put_large(h, n, &revision)) == 0) {
        n++;
        last = revision;
    }
    assert_int_equal(error, STORE_E_FULL);
    assert_true(n > 10);
    for (int i = 0; i < 3; i++) // and stays so
        assert_int_equal(put_large(h, n, &revision), STORE_E_FULL);
    assert_int_equal(do_sync(h), last); // nothing was written
    assert_all_there(h, n);
    assert_int_equal(seen.events, n);
    // What need not be on disk goes on, also right beside what fails.
    Reply lease, durable, renewed, stale;
    char *large = calloc(1, 64 * 1024);
    memset(large, 'x', 64 * 1024 - 1);
    start_put(h, "lease", "1", STORE_ABSENT, STORE_VOLATILE, &lease);
    start_put(h, "durable", large, STORE_ABSENT, 0, &durable);
    start_put(h, "lease", "2", STORE_ANY, STORE_VOLATILE, &renewed);
    start_put(h, "durable", "x", last, STORE_VOLATILE, &stale);
    harness_wait(h, &stale.is_done);
    free(large);
    assert_int_equal(lease.error, 0);
    assert_int_equal(durable.error, STORE_E_FULL);
    assert_int_equal(renewed.error, 0);
    assert_true(renewed.revision > lease.revision);
    assert_int_equal(stale.error, STORE_E_CONFLICT); // because the durable one is not there
    assert_int_equal(stale.n, 0);
    assert_range(h, "lease", "", 0, 0, "lease=2");
    do_sync(h);
    assert_int_equal(seen.events, n + 2);
    reply_clear(&lease);
    reply_clear(&durable);
    reply_clear(&renewed);
    reply_clear(&stale);

    resize("size=20m");
    assert_int_equal(put_large(h, n, &revision), 0);
    n++;
    seen_wait(&seen, revision);
    assert_int_equal(seen.events, n + 2);
    seen_stop(&seen);
    harness_close(h);
    harness_open(h);
    assert_all_there(h, n);
    assert_range(h, "lease", "", 0, 0, "lease=2");
    close_there(h);
}

static void test_removing_makes_room(void **state) {
    small_disk("size=8m");
    Harness *h = open_there();
    int64_t revision;
    int n = 0;
    while (put_large(h, n, &revision) == 0)
        n++;
    assert_all_there(h, n);
    // Another program's file goes, or here: the log shrinks when the store is opened again.
    harness_close(h);
    harness_open(h);
    assert_all_there(h, n);
    close_there(h);
}

static void test_starts_on_a_full_disk(void **state) {
    small_disk("size=4m");
    Harness *h = open_there();
    must_put(h, "a", "1");
    harness_close(h);
    fill();
    harness_open(h);
    assert_range(h, "", "", 0, 0, "a=1");
    _reply_clear_ Reply lease = do_put(h, "lease", "1", STORE_ANY, STORE_VOLATILE);
    assert_int_equal(lease.error, STORE_E_FULL); // its revision cannot be reserved
    _reply_clear_ Reply put = do_put(h, "a", "2", STORE_ANY, 0);
    assert_int_equal(put.error, STORE_E_FULL);
    assert_int_equal(unlink(PLACE "/filler"), 0);
    must_put(h, "a", "3");
    // Closing on a full disk loses what was volatile, and nothing else.
    _reply_clear_ Reply again = do_put(h, "lease", "1", STORE_ANY, STORE_VOLATILE);
    assert_int_equal(again.error, 0);
    harness_close(h);
    harness_open(h);
    assert_range(h, "", "", 0, 0, "a=3 lease=1");
    close_there(h);
}

static void test_no_room_for_a_new_one(void **state) {
    small_disk("size=1m");
    fill();
    Loop *loop = loop_new();
    Store *store;
    char *message = NULL;
    assert_int_equal(store_sqlite_open(loop, PLACE "/state.db", &store, &message), -ENOSPC);
    assert_string_equal(message, "cannot open " PLACE "/state.db: no space left on the disk");
    free(message);
    loop_free(loop);
    assert_int_equal(unlink(PLACE "/filler"), 0);
    Harness *h = open_there(); // what is left over does no harm
    must_put(h, "a", "1");
    close_there(h);
}

int main(void) {
    (void)mkdir(PLACE, 0700);
    has_namespace =
        unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fills_and_recovers), cmocka_unit_test(test_removing_makes_room),
        cmocka_unit_test(test_starts_on_a_full_disk), cmocka_unit_test(test_no_room_for_a_new_one)};
    int failed = cmocka_run_group_tests_name("store full disk", tests, NULL, NULL);
    (void)umount(PLACE);
    (void)rmdir(PLACE);
    return failed;
}
