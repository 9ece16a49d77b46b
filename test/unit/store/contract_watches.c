#include "contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void live(Harness *h) {
    int64_t before = must_put(h, "a", "0");
    Seen seen = {0};
    seen_start(h, &seen, "", before);
    seen_wait(&seen, before);
    assert_string_equal(seen.text, "");
    must_put(h, "a", "1");
    must_put(h, "b", "1");
    must_put(h, "b", "");
    must_remove(h, "a");
    int64_t last = must_put(h, "a", "2");
    seen_wait(&seen, last);
    assert_string_equal(seen.text, "~a=1<0 +b=1 ~b=<1 -a<1 +a=2 ");
    seen_stop(&seen);
    must_put(h, "a", "3"); // nobody listens
}

static void from_held_revision(Harness *h) {
    int64_t empty = do_sync(h);
    int64_t first = must_put(h, "a", "1");
    must_put(h, "b", "1");
    int64_t third = must_put(h, "a", "2");
    int64_t last = must_remove(h, "b");
    struct {
        int64_t from;
        const char *expected;
    } cases[] = {{0, "+a=1 +b=1 ~a=2<1 -b<1 "},
                 {empty, "+a=1 +b=1 ~a=2<1 -b<1 "},
                 {first, "+b=1 ~a=2<1 -b<1 "},
                 {third, "-b<1 "},
                 {last, ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Seen seen = {0};
        seen_start(h, &seen, "", cases[i].from);
        seen_wait(&seen, last);
        assert_string_equal(seen.text, cases[i].expected);
        seen_stop(&seen);
    }
}

static void prefix(Harness *h) {
    Seen pods = {0}, all = {0}, one = {0};
    int64_t start = do_sync(h);
    must_put(h, "pods/a", "1");
    seen_start(h, &pods, "pods/", start);
    seen_start(h, &all, "", start);
    seen_start(h, &one, "pods/a", start);
    must_put(h, "nodes/a", "1");
    must_put(h, "pods/b", "1");
    must_put(h, "pods", "1");
    must_remove(h, "nodes/a");
    int64_t last = must_put(h, "pods/a/log", "1");
    seen_wait(&pods, last);
    seen_wait(&all, last);
    seen_wait(&one, last);
    assert_string_equal(pods.text, "+pods/a=1 +pods/b=1 +pods/a/log=1 ");
    assert_string_equal(one.text, "+pods/a=1 +pods/a/log=1 ");
    assert_string_equal(all.text,
                        "+pods/a=1 +nodes/a=1 +pods/b=1 +pods=1 -nodes/a<1 +pods/a/log=1 ");
    seen_stop(&pods);
    seen_stop(&all);
    seen_stop(&one);
}

// Whatever was told is what a reader of the same revision finds.
static void no_gap_after_range(Harness *h) {
    enum { WRITES = 200 };
    static Reply puts[WRITES];
    Reply range = {0};
    char value[16];
    Seen seen = {0};
    bool watching = false;
    for (int i = 0; i < WRITES; i++) {
        snprintf(value, sizeof value, "%d", i);
        start_put(h, "k", value, STORE_ANY, i % 3 ? 0 : STORE_VOLATILE, &puts[i]);
        if (i == WRITES / 2) {
            range = reply_of(h);
            store_range(h->store, STR(""), STR(""), 0, 0, reply_done, &range);
        }
    }
    for (int i = 0; i < WRITES; i++) {
        while (!puts[i].is_done) {
            if (range.is_done && !watching) { // with the rest still in flight
                watching = true;
                seen_start(h, &seen, "", range.revision);
            }
            loop_run(h->loop);
        }
        assert_int_equal(puts[i].error, 0);
    }
    assert_true(range.is_done);
    if (!watching)
        seen_start(h, &seen, "", range.revision);
    seen_wait(&seen, puts[WRITES - 1].revision);
    int listed = atoi(range.records[0].value->data);
    assert_true(listed >= WRITES / 2); // what was called before it
    assert_int_equal(range.records[0].revision, puts[listed].revision);
    char *expected = NULL;
    size_t len;
    FILE *file = open_memstream(&expected, &len);
    for (int i = listed + 1; i < WRITES; i++)
        fprintf(file, "~k=%d<%d ", i, i - 1);
    fclose(file);
    assert_string_equal(seen.text, expected);
    free(expected);
    seen_stop(&seen);
    reply_clear(&range);
    for (int i = 0; i < WRITES; i++)
        reply_clear(&puts[i]);
}

static void other_cancels(Seen *seen) {
    Seen *other = seen->hook_user;
    if (other->watch) {
        store_watch_cancel(seen->h->store, other->watch);
        other->watch = NULL;
        other->has_error = true; // from here on a callback fails the test
    }
}

static void cancel(Harness *h) {
    int64_t start = must_put(h, "a", "1");
    Seen early = {0}; // before anything was delivered
    seen_start(h, &early, "", 0);
    store_watch_cancel(h->store, early.watch);
    early.watch = NULL;
    early.has_error = true;

    // Inside a callback: itself, one that comes before it, one that comes after it.
    Seen before = {0}, middle = {0}, after = {0}, self = {0}, last = {0};
    seen_start(h, &before, "", start);
    seen_start(h, &middle, "", start);
    seen_start(h, &after, "", start);
    seen_start(h, &self, "", start);
    seen_wait(&self, start);
    before.hook = other_cancels;
    before.hook_user = &middle;
    after.hook = other_cancels;
    after.hook_user = &before;
    self.hook = other_cancels;
    self.hook_user = &self;
    must_put(h, "a", "2");
    int64_t end = must_put(h, "a", "3");
    seen_start(h, &last, "", end);
    seen_wait(&last, end);
    do_sync(h);
    assert_string_equal(before.text, "~a=2<1 ");
    assert_string_equal(middle.text, "");
    assert_string_equal(after.text, "~a=2<1 ~a=3<2 ");
    assert_string_equal(self.text, "~a=2<1 ");
    seen_stop(&early);
    seen_stop(&before);
    seen_stop(&middle);
    seen_stop(&after);
    seen_stop(&self);
    seen_stop(&last);
}

static void starts_another(Seen *seen) {
    Seen *other = seen->hook_user;
    if (!other->watch && seen->events > 0)
        seen_start(seen->h, other, "", seen->revision);
}

static void watch_inside_callback(Harness *h) {
    int64_t start = do_sync(h);
    Seen outer = {0}, inner = {0};
    outer.hook = starts_another;
    outer.hook_user = &inner;
    seen_start(h, &outer, "", start);
    seen_wait(&outer, start);
    static Reply puts[20];
    for (int i = 0; i < 20; i++)
        start_put(h, "a", "1", STORE_ANY, 0, &puts[i]);
    harness_wait(h, &puts[19].is_done);
    int64_t last = puts[19].revision;
    seen_wait(&outer, last);
    assert_non_null(inner.watch);
    seen_wait(&inner, last);
    assert_int_equal(outer.events, 20);
    // What the outer one had been told when it started the inner one, plus the inner one's: all.
    assert_true(inner.events < 20);
    assert_true(str_ends_with(str_from(outer.text), str_from(inner.text)));
    for (int i = 0; i < 20; i++)
        reply_clear(&puts[i]);
    seen_stop(&outer);
    seen_stop(&inner);
}

static void sync_barrier(Harness *h) {
    Seen pods = {0}, nodes = {0}, late = {0};
    int64_t start = do_sync(h);
    seen_start(h, &pods, "pods/", start);
    seen_start(h, &nodes, "nodes/", start);
    static Reply puts[50];
    for (int i = 0; i < 50; i++)
        start_put(h, "pods/a", "1", STORE_ANY, 0, &puts[i]);
    seen_start(h, &late, "", start);
    int64_t revision = do_sync(h);
    assert_true(puts[49].is_done); // and decided before it
    assert_int_equal(revision, puts[49].revision);
    assert_int_equal(pods.events, 50);
    assert_int_equal(pods.revision, revision);
    assert_int_equal(late.events, 50);
    assert_int_equal(late.revision, revision);
    assert_int_equal(nodes.events, 0);
    assert_int_equal(nodes.revision, revision); // it knows that it is up to date
    for (int i = 0; i < 50; i++)
        reply_clear(&puts[i]);
    seen_stop(&pods);
    seen_stop(&nodes);
    seen_stop(&late);
}

// A sync also waits for a watch that still reads old changes, and for nobody once that is
// cancelled.
static void sync_waits_for_catch_up(Harness *h) {
    enum { WRITES = 3000 };
    static Reply puts[WRITES];
    for (int i = 0; i < WRITES; i++)
        start_put(h, "a", "1", STORE_ANY, 0, &puts[i]);
    for (int i = 0; i < WRITES; i++) {
        harness_wait(h, &puts[i].is_done);
        reply_clear(&puts[i]);
    }
    Seen seen = {0}, cancelled = {0};
    seen_start(h, &seen, "", 0);
    do_sync(h);
    assert_int_equal(seen.events, WRITES);
    seen_stop(&seen);

    seen_start(h, &cancelled, "", 0);
    Reply sync = reply_of(h);
    store_sync(h->store, reply_done, &sync);
    seen_stop(&cancelled);
    harness_wait(h, &sync.is_done);
    reply_clear(&sync);
}

// Readers of many sizes and starts see the same log.
static void watchers_agree(Harness *h) {
    enum { WATCHES = 30, WRITES = 300 };
    static Seen seen[WATCHES];
    static Reply puts[WRITES];
    int started = 0;
    for (int i = 0; i < WRITES; i++) {
        char key[16], value[16];
        snprintf(key, sizeof key, "k%d", i % 7);
        snprintf(value, sizeof value, "%d", i);
        start_put(h, key, value, STORE_ANY, 0, &puts[i]);
        if (i % 10 == 0)
            seen_start(h, &seen[started++], "", 0);
    }
    do_sync(h);
    for (int i = 1; i < WATCHES; i++)
        assert_string_equal(seen[i].text, seen[0].text);
    assert_int_equal(seen[0].events, WRITES);
    for (int i = 0; i < WATCHES; i++)
        seen_stop(&seen[i]);
    for (int i = 0; i < WRITES; i++)
        reply_clear(&puts[i]);
}

const Contract *contract_watches(size_t *ret_n) {
    static const Contract contracts[] = {
        {"watch: live", live},
        {"watch: from a held revision", from_held_revision},
        {"watch: prefix", prefix},
        {"watch: no gap after a range", no_gap_after_range},
        {"watch: cancel, also inside callbacks", cancel},
        {"watch: another one from inside a callback", watch_inside_callback},
        {"sync: every watch has been told", sync_barrier},
        {"sync: waits for a watch that catches up", sync_waits_for_catch_up},
        {"watch: all see the same log", watchers_agree},
    };
    *ret_n = sizeof contracts / sizeof *contracts;
    return contracts;
}
