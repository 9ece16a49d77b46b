// What the SQLite store promises beyond the contract: the file.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "store/database.h"

static int setup(void **state) {
    *state = harness_new(backend_sqlite());
    return 0;
}

static int teardown(void **state) {
    harness_free(*state);
    return 0;
}

static void reopen(Harness *h) {
    harness_close(h);
    harness_open(h);
}

static void file_path(const Harness *h, const char *suffix, char path[128]) {
    snprintf(path, 128, "%s%s", h->path, suffix);
}

static off_t file_size(const Harness *h, const char *suffix) {
    char path[128];
    struct stat status;
    file_path(h, suffix, path);
    return stat(path, &status) == 0 ? status.st_size : 0;
}

static void file_exec(const Harness *h, const char *sql) {
    sqlite3 *sqlite;
    assert_int_equal(sqlite3_open(h->path, &sqlite), SQLITE_OK);
    char *message = NULL;
    if (sqlite3_exec(sqlite, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    sqlite3_close(sqlite);
}

static void assert_refused(const char *path, int error, const char *expected) {
    Loop *loop = loop_new();
    Store *store = NULL;
    char *message = NULL;
    assert_int_equal(store_sqlite_open(loop, path, &store, &message), error);
    assert_null(store);
    assert_non_null(message);
    if (!strstr(message, expected) || strchr(message, '\n'))
        fail_msg("expected \"%s\" in \"%s\"", expected, message);
    free(message);
    loop_free(loop);
}

static void test_reopen(void **state) {
    Harness *h = *state;
    int64_t first = must_put(h, "a", "1");
    must_put(h, "a", "2");
    must_put(h, "b", "1");
    must_remove(h, "b");
    _reply_clear_ Reply lease = do_put(h, "lease", "1", STORE_ANY, STORE_VOLATILE);
    _reply_clear_ Reply renewed = do_put(h, "lease", "2", lease.revision, STORE_VOLATILE);
    int64_t last = do_sync(h);
    reopen(h);
    assert_int_equal(do_sync(h), last);
    assert_range(h, "", "", 0, 0, "a=2 lease=2");
    assert_range(h, "", "", first, 0, "a=1");
    _reply_clear_ Reply get = do_get(h, "a");
    assert_int_equal(get.records[0].create_revision, first);
    _reply_clear_ Reply kept = do_get(h, "lease");
    assert_int_equal(kept.records[0].revision, renewed.revision);
    Seen seen = {0};
    seen_start(h, &seen, "", first);
    seen_wait(&seen, last);
    assert_string_equal(seen.text, "~a=2<1 +b=1 -b<1 +lease=1 ~lease=2<1 ");
    int64_t next = must_put(h, "c", "1");
    assert_true(next > last);
    seen_stop(&seen);
    // What was forgotten stays forgotten.
    _reply_clear_ Reply compact = do_compact(h, last);
    assert_int_equal(compact.error, 0);
    reopen(h);
    _reply_clear_ Reply old = do_range(h, "", "", first, 0);
    assert_int_equal(old.error, STORE_E_COMPACTED);
    assert_range(h, "", "", last, 0, "a=2 lease=2");
    assert_range(h, "", "", 0, 0, "a=2 c=1 lease=2");
}

static void test_idle_reopen_changes_nothing(void **state) {
    Harness *h = *state;
    must_put(h, "a", "1");
    int64_t last = must_remove(h, "a");
    for (int i = 0; i < 3; i++) {
        reopen(h);
        assert_int_equal(do_sync(h), last);
    }
    _reply_clear_ Reply compact = do_compact(h, last); // now nothing tells the revision but meta
    assert_int_equal(compact.error, 0);
    reopen(h);
    assert_int_equal(do_sync(h), last);
}

static void test_modes(void **state) {
    Harness *h = *state;
    static const char *const suffixes[] = {"", "-wal", ".lock"};
    must_put(h, "a", "1");
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char path[128];
        struct stat status;
        file_path(h, suffixes[i], path);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
    }
}

static void test_lock(void **state) {
    Harness *h = *state;
    char expected[160];
    snprintf(expected, sizeof expected, "data directory %s is in use by another seapod (pid %d)",
             h->directory, (int)getpid());
    assert_refused(h->path, -EBUSY, expected);
    pid_t child = fork();
    if (child == 0) {
        Store *store;
        char *message = NULL;
        int error = store_sqlite_open(loop_new(), h->path, &store, &message);
        _exit(error == -EBUSY && strcmp(message, expected) == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    must_put(h, "a", "1"); // none the worse for it
    reopen(h);
    assert_range(h, "", "", 0, 0, "a=1");
}

static void test_newer(void **state) {
    Harness *h = *state;
    must_put(h, "a", "1");
    harness_close(h);
    file_exec(h, "PRAGMA user_version = 1000");
    assert_refused(h->path, STORE_E_NEWER,
                   "was written by a newer seapod (format 1000, this one knows formats up to 1)");
    file_exec(h, "PRAGMA user_version = 1");
    harness_open(h);
    assert_range(h, "", "", 0, 0, "a=1");
}

static void write_file(const char *path, const char *data, size_t len) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    close(fd);
}

static void test_not_a_store(void **state) {
    Harness *h = *state;
    harness_close(h);
    char text[8192];
    memset(text, 'x', sizeof text);
    write_file(h->path, text, sizeof text);
    assert_refused(h->path, -EINVAL, "is not a seapod store");
    write_file(h->path, "short", 5);
    assert_refused(h->path, -EINVAL, "is not a seapod store");
    unlink(h->path);
    file_exec(h, "CREATE TABLE theirs (a)");
    assert_refused(h->path, -EINVAL, "is not a seapod store");
    file_exec(h, "PRAGMA user_version = 1");
    assert_refused(h->path, -EINVAL, "is not a seapod store");
    unlink(h->path);
    assert_refused("/nonexistent/state.db", -ENOENT, "/nonexistent/state.db");
    assert_refused(h->directory, -EISDIR, "Is a directory");
    char path[128];
    file_path(h, ".lock", path);
    unlink(path);
    snprintf(path, sizeof path, "%s.lock", h->directory);
    unlink(path);
    write_file(h->path, "", 0); // empty is as good as missing
    harness_open(h);
    must_put(h, "a", "1");
}

static void test_damaged(void **state) {
    Harness *h = *state;
    must_put(h, "a", "1");
    harness_close(h);
    file_exec(h, "UPDATE meta SET reserved = 1");
    assert_refused(h->path, -EUCLEAN, "damaged");
}

// The state of all files: sizes and times.
static void fingerprint(const Harness *h, char *text, size_t size) {
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    size_t len = 0;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char path[128];
        struct stat status = {0};
        file_path(h, suffixes[i], path);
        (void)!stat(path, &status);
        len += (size_t)snprintf(text + len, size - len, "%lld %lld.%ld ", (long long)status.st_size,
                                (long long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    }
}

static void test_volatile_does_not_wake_the_disk(void **state) {
    Harness *h = *state;
    char before[256], after[256];
    must_put(h, "a", "1");
    fingerprint(h, before, sizeof before);
    for (int i = 0; i < 500; i++) {
        _reply_clear_ Reply lease = do_put(h, "lease", "renewed", STORE_ANY, STORE_VOLATILE);
        assert_int_equal(lease.error, 0);
        _reply_clear_ Reply get = do_get(h, "lease");
        assert_int_equal(get.records[0].revision, lease.revision);
        _reply_clear_ Reply conflict = do_put(h, "a", "2", STORE_ABSENT, 0);
        assert_int_equal(conflict.error, STORE_E_CONFLICT); // nothing to write either
    }
    fingerprint(h, after, sizeof after);
    assert_string_equal(before, after);
    must_put(h, "a", "2");
    fingerprint(h, after, sizeof after);
    assert_string_not_equal(before, after);
    reopen(h);
    assert_range(h, "", "", 0, 0, "a=2 lease=renewed");
}

static void put_many(Harness *h, int n, size_t size) {
    enum { FLIGHT = 200 };
    static Reply replies[FLIGHT];
    Bytes *value = bytes_alloc(size);
    memset(value->data, 'v', size);
    for (int i = 0; i < n; i += FLIGHT) {
        for (int k = 0; k < FLIGHT; k++) {
            char key[32];
            snprintf(key, sizeof key, "key%d", (i + k) % 500);
            replies[k] = reply_of(h);
            store_put(h->store, str_from(key), value, STORE_ANY, 0, reply_done, &replies[k]);
        }
        for (int k = 0; k < FLIGHT; k++) {
            harness_wait(h, &replies[k].is_done);
            assert_int_equal(replies[k].error, 0);
            reply_clear(&replies[k]);
        }
    }
    bytes_unref(value);
}

static void test_sizes_are_bounded(void **state) {
    Harness *h = *state;
    enum { SIZE = 2000, MIB = 1 << 20 };
    put_many(h, 15000, SIZE);
    off_t once = file_size(h, "");
    put_many(h, 30000, SIZE);
    // 10,000 changes of 2,000 bytes and what a page wastes; however many came before.
    assert_true(file_size(h, "") < once + once / 10 + 4 * MIB);
    assert_true(file_size(h, "") < 45 * MIB);
    assert_true(file_size(h, "-wal") < 24 * MIB);
    // Without the history there is little left, and the file shrinks while it is used.
    int64_t revision = do_sync(h);
    _reply_clear_ Reply compact = do_compact(h, revision);
    assert_int_equal(compact.error, 0);
    put_many(h, 15000, 10);
    assert_true(file_size(h, "") < 15 * MIB);
    assert_true(file_size(h, "-wal") <= 5 * MIB);
    harness_close(h);
    assert_int_equal(file_size(h, "-wal"), 0);
    harness_open(h);
}

static void test_upgrade(void **state) {
    Harness *h = *state;
    must_put(h, "a", "1");
    harness_close(h);
    static const char *const upgrades[] = {
        "CREATE TABLE added (x INTEGER); INSERT INTO added VALUES (7);",
        "UPDATE added SET x = x + 1; UPDATE change SET value = CAST('upgraded' AS BLOB);"};
    static const char *const broken[] = {"CREATE TABLE added (x INTEGER);", "no such statement"};
    Database *database;
    char *message = NULL;
    // In one transaction: a step that fails leaves nothing of the ones before it.
    assert_int_not_equal(database_open(h->path, &(DatabaseFormat){3, broken}, &database, &message),
                         0);
    assert_non_null(message);
    free(message);
    message = NULL;
    assert_int_equal(database_open(h->path, &(DatabaseFormat){3, upgrades}, &database, &message),
                     0);
    Bytes *key = bytes_new("a", 1);
    Row row;
    assert_int_equal(database_find(database, key, &row), 0);
    assert_true(str_eq(bytes_str(row.value), STR("upgraded")));
    row_clear(&row);
    bytes_unref(key);
    database_close(database);
    // This version refuses it now, and the copy is as it was.
    assert_refused(h->path, STORE_E_NEWER, "format 3");
    char copy[128];
    file_path(h, ".format-1", copy);
    assert_int_equal(rename(copy, h->path), 0);
    harness_open(h);
    assert_range(h, "", "", 0, 0, "a=1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reopen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idle_reopen_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_a_store, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_volatile_does_not_wake_the_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sizes_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_upgrade, setup, teardown),
    };
    return cmocka_run_group_tests_name("store sqlite", tests, NULL, NULL);
}
