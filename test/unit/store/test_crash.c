// A process that writes is killed at any moment: nothing that was acknowledged as durable is lost,
// and no revision that anybody saw comes a second time.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

enum { KEYS = 8, ROUNDS = 30, FLIGHT = 12 };

typedef struct Report {
    int64_t revision;
    int64_t number; // of the write; 0: a revision that a watch was told of
    int32_t key;    // or how many events the watch was told
    int32_t is_volatile;
} Report;

// The child: writes on and on, reports each acknowledgement.
typedef struct Slot {
    struct Writer *writer;
    Report report;
} Slot;
typedef struct Writer {
    Harness *h;
    int pipe;
    int64_t next;
    Slot slots[FLIGHT];
} Writer;

static void report(const Writer *writer, Report report) {
    if (write(writer->pipe, &report, sizeof report) != (ssize_t)sizeof report)
        _exit(2);
}

static void write_next(Slot *slot);

static void write_done(void *user, int error, const StoreResult *result) {
    Slot *slot = user;
    if (error)
        _exit(3);
    slot->report.revision = result->revision;
    report(slot->writer, slot->report);
    write_next(slot);
}

static void write_next(Slot *slot) {
    Writer *writer = slot->writer;
    int64_t number = writer->next++;
    slot->report =
        (Report){.number = number, .key = (int32_t)(number % KEYS), .is_volatile = number % 3 == 0};
    char key[16], text[4096];
    snprintf(key, sizeof key, "k%d", slot->report.key);
    int len = snprintf(text, sizeof text, "%lld%*s", (long long)number, (int)(number % 3000), "");
    Bytes *value = bytes_new(text, (size_t)len);
    store_put(writer->h->store, str_from(key), value, STORE_ANY,
              slot->report.is_volatile ? STORE_VOLATILE : 0, write_done, slot);
    bytes_unref(value);
}

static void told(void *user, const StoreEvent *events, size_t n, int64_t revision) {
    report(user, (Report){.revision = revision, .key = (int32_t)n});
}

static void watch_failed(void *user, int error) {
    _exit(4);
}

static void child_run(Harness *h, int pipe, int64_t first) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    harness_open(h);
    int64_t revision = do_sync(h);
    Writer *writer = calloc(1, sizeof *writer);
    *writer = (Writer){.h = h, .pipe = pipe, .next = first};
    store_watch(h->store, STR(""), revision, told, watch_failed, writer);
    for (int i = 0; i < FLIGHT; i++) {
        writer->slots[i].writer = writer;
        write_next(&writer->slots[i]);
    }
    loop_run(h->loop);
    _exit(5);
}

// The parent: what it knows.
typedef struct Known {
    int64_t durable[KEYS]; // number of the last durable acknowledged write
    int64_t durable_revision[KEYS];
    int64_t highest;            // number of any write
    int64_t newest;             // revision of any report
    size_t acknowledged, exact; // exact: the last durable write was the last at all
} Known;

static void learn(Known *known, int pipe, int64_t floor) {
    Report report;
    ssize_t n;
    while ((n = read(pipe, &report, sizeof report)) == (ssize_t)sizeof report) {
        // No revision of an earlier process comes again with something new.
        bool is_news = report.number > 0 || report.key > 0;
        assert_true(is_news ? report.revision > floor : report.revision >= floor);
        if (report.revision > known->newest)
            known->newest = report.revision;
        if (report.number > known->highest)
            known->highest = report.number;
        if (report.number && !report.is_volatile) {
            known->durable[report.key] = report.number;
            known->durable_revision[report.key] = report.revision;
        }
        known->acknowledged += report.number != 0;
    }
    assert_int_equal(n, 0); // reports are written whole
}

static void check(Harness *h, Known *known) {
    for (int key = 0; key < KEYS; key++) {
        char name[16];
        snprintf(name, sizeof name, "k%d", key);
        _reply_clear_ Reply get = do_get(h, name);
        assert_int_equal(get.error, 0);
        if (!known->durable[key])
            continue;
        assert_int_equal(get.n, 1);
        int64_t number = atoll(get.records[0].value->data);
        assert_true(number >= known->durable[key]); // or one that was on its way
        if (number == known->durable[key]) {
            assert_int_equal(get.records[0].revision, known->durable_revision[key]);
            known->exact++;
        }
        assert_int_equal(get.records[0].value->len,
                         (size_t)(number % 3000 ? number % 3000 : 0) +
                             (size_t)snprintf(NULL, 0, "%lld", (long long)number));
    }
    // Nobody can go on from what was lost as if nothing had happened: the newest revision that was
    // seen is either still known, with what came after it, or refused.
    _reply_clear_ Reply range = do_range(h, "", "", known->newest, 0);
    assert_true(range.error == 0 || range.error == STORE_E_COMPACTED);
    assert_true(do_sync(h) >= known->newest);
}

static void test_killed(void **state) {
    Harness *h = harness_new(backend_sqlite());
    harness_rest(h);
    Known known = {0};
    for (int round = 0; round < ROUNDS; round++) {
        int pipes[2];
        assert_int_equal(pipe(pipes), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            close(pipes[0]);
            child_run(h, pipes[1], known.highest + 1000);
        }
        close(pipes[1]);
        int64_t floor = known.newest;
        usleep((useconds_t)(5000 + (round * 7919) % 40000));
        kill(child, SIGKILL);
        learn(&known, pipes[0], floor);
        close(pipes[0]);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        if (round % 3 == 0) // else the next process finds what the killed one left
            continue;
        harness_open(h);
        check(h, &known);
        int64_t revision = must_put(h, "other", "1");
        assert_true(revision > known.newest);
        known.newest = revision;
        harness_rest(h);
    }
    assert_true(known.acknowledged > ROUNDS);
    assert_true(known.exact > 0);
    harness_open(h);
    check(h, &known);
    harness_free(h);
}

// A volatile write that is lost takes its revision with it.
static void test_lost_revisions_are_not_held(void **state) {
    Harness *h = harness_new(backend_sqlite());
    int64_t before = must_put(h, "lease", "durable");
    harness_rest(h);
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        harness_open(h);
        int64_t durable = must_put(h, "other", "1"); // so that what follows needs no disk
        Reply first = do_put(h, "lease", "lost", STORE_ANY, STORE_VOLATILE);
        Reply second = do_put(h, "lease", "lost too", STORE_ANY, STORE_VOLATILE);
        int64_t revisions[3] = {durable, first.revision, second.revision};
        if (write(pipes[1], revisions, sizeof revisions) != (ssize_t)sizeof revisions)
            _exit(1);
        pause();
    }
    int64_t revisions[3];
    assert_int_equal(read(pipes[0], revisions, sizeof revisions), sizeof revisions);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(pipes[0]);
    close(pipes[1]);

    harness_open(h);
    assert_range(h, "", "", 0, 0, "lease=durable other=1");
    int64_t now = do_sync(h);
    assert_true(now > revisions[2]);
    for (int again = 0; again < 3; again++) {
        for (int i = 1; i < 3; i++) {
            _reply_clear_ Reply range = do_range(h, "", "", revisions[i], 0);
            assert_int_equal(range.error, STORE_E_COMPACTED);
            Seen seen = {0};
            seen_start(h, &seen, "", revisions[i]);
            seen_wait_error(&seen);
            assert_int_equal(seen.error, STORE_E_COMPACTED);
            seen_stop(&seen);
        }
        // But whoever saw only what is still there misses nothing.
        Seen seen = {0};
        seen_start(h, &seen, "", before);
        seen_wait(&seen, now);
        assert_string_equal(seen.text, again < 2 ? "+other=1 " : "+other=1 +more=1 ");
        seen_stop(&seen);
        assert_range(h, "", "", revisions[0], 0, "lease=durable other=1");
        assert_range(h, "", "", now, 0, "lease=durable other=1");
        if (again == 0) { // nor does another start change that
            harness_close(h);
            harness_open(h);
            assert_int_equal(do_sync(h), now);
        } else if (again == 1) {
            must_put(h, "more", "1");
            do_sync(h);
        }
    }
    harness_free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed),
                                       cmocka_unit_test(test_lost_revisions_are_not_held)};
    return cmocka_run_group_tests_name("store crash", tests, NULL, NULL);
}
