#include "contract.h"

#include <stdio.h>
#include <stdlib.h>

static void old_revisions(Harness *h) {
    int64_t empty = do_sync(h);
    int64_t a1 = must_put(h, "k/a", "1");
    int64_t b1 = must_put(h, "k/b", "1");
    int64_t a2 = must_put(h, "k/a", "2");
    int64_t other = must_put(h, "other", "1");
    int64_t b_gone = must_remove(h, "k/b");
    int64_t b2 = must_put(h, "k/b", "2");
    int64_t c1 = must_put(h, "k/c", "1");
    int64_t a_gone = must_remove(h, "k/a");
    assert_range(h, "k/", "", empty, 0, "");
    assert_range(h, "k/", "", a1, 0, "k/a=1");
    assert_range(h, "k/", "", b1, 0, "k/a=1 k/b=1");
    assert_range(h, "k/", "", a2, 0, "k/a=2 k/b=1");
    assert_range(h, "k/", "", other, 0, "k/a=2 k/b=1");
    assert_range(h, "", "", other, 0, "k/a=2 k/b=1 other=1");
    assert_range(h, "k/", "", b_gone, 0, "k/a=2");
    assert_range(h, "k/", "", b2, 0, "k/a=2 k/b=2");
    assert_range(h, "k/", "", c1, 0, "k/a=2 k/b=2 k/c=1");
    assert_range(h, "k/", "", a_gone, 0, "k/b=2 k/c=1");
    assert_range(h, "k/", "", 0, 0, "k/b=2 k/c=1");
    // from and limit there
    assert_range(h, "k/", "k/b", c1, 0, "k/b=2 k/c=1");
    assert_range(h, "k/", "", c1, 1, "k/a=2 +2");
    assert_range(h, "k/", "k/b", b1, 1, "k/b=1");

    _reply_clear_ Reply old = do_range(h, "k/", "", b_gone, 0);
    assert_int_equal(old.revision, a_gone); // the store's, not the one that was asked for
    assert_int_equal(old.records[0].create_revision, a1);
    assert_int_equal(old.records[0].revision, a2);
    _reply_clear_ Reply later = do_range(h, "k/", "", b2, 0);
    assert_int_equal(later.records[1].create_revision, b2);
}

// Pages at the revision of the first one are one consistent list, whatever is written meanwhile.
static void pages(Harness *h) {
    char key[32], expected[64];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "p/%03d", i);
        must_put(h, key, "old");
    }
    int64_t revision = 0;
    char from[40] = "";
    for (int i = 0; i < 100; i += 10) {
        _reply_clear_ Reply page = do_range(h, "p/", from, revision, 10);
        assert_int_equal(page.error, 0);
        assert_int_equal(page.n, 10);
        assert_int_equal(page.more, i < 90);
        assert_int_equal(page.remaining, 90 - i);
        for (int k = 0; k < 10; k++) {
            snprintf(expected, sizeof expected, "p/%03d", i + k);
            assert_string_equal(page.records[k].key, expected);
            assert_true(str_eq(bytes_str(page.records[k].value), STR("old")));
        }
        if (!revision)
            revision = page.revision;
        snprintf(from, sizeof from, "%sx", page.records[9].key);
        snprintf(key, sizeof key, "p/%03d", (i + 10) % 100);
        must_put(h, key, "new");
        snprintf(key, sizeof key, "p/%03d", (i + 11) % 100);
        must_remove(h, key);
        snprintf(key, sizeof key, "p/%03dz", (i + 12) % 100);
        must_put(h, key, "inserted");
    }
}

static void future(Harness *h) {
    int64_t revision = must_put(h, "a", "1");
    _reply_clear_ Reply range = do_range(h, "", "", revision + 1, 0);
    assert_int_equal(range.error, STORE_E_FUTURE);
    assert_int_equal(range.n, 0);
    _reply_clear_ Reply compact = do_compact(h, revision + 1);
    assert_int_equal(compact.error, STORE_E_FUTURE);
    Seen seen = {0};
    seen_start(h, &seen, "", revision + 1);
    seen_wait_error(&seen);
    assert_int_equal(seen.error, STORE_E_FUTURE);
    seen_stop(&seen);
}

static void compaction(Harness *h) {
    int64_t a1 = must_put(h, "a", "1");
    int64_t a2 = must_put(h, "a", "2");
    must_put(h, "b", "1");
    must_remove(h, "b");
    int64_t a3 = must_put(h, "a", "3");
    int64_t last = must_remove(h, "a");

    _reply_clear_ Reply compact = do_compact(h, a2);
    assert_int_equal(compact.error, 0);
    assert_int_equal(compact.revision, last);
    _reply_clear_ Reply old = do_range(h, "", "", a1, 0);
    assert_int_equal(old.error, STORE_E_COMPACTED);
    assert_range(h, "", "", a2, 0, "a=2"); // its own state stays
    assert_range(h, "", "", a3, 0, "a=3");
    _reply_clear_ Reply again = do_compact(h, a1);
    assert_int_equal(again.error, STORE_E_COMPACTED);
    _reply_clear_ Reply same = do_compact(h, a2);
    assert_int_equal(same.error, 0);

    Seen compacted = {0}, first = {0}, held = {0};
    seen_start(h, &compacted, "", a1);
    seen_start(h, &first, "", 0);
    seen_start(h, &held, "", a2);
    seen_wait_error(&compacted);
    assert_int_equal(compacted.error, STORE_E_COMPACTED);
    seen_wait_error(&first);
    assert_int_equal(first.error, STORE_E_COMPACTED);
    seen_wait(&held, last);
    assert_string_equal(held.text, "+b=1 -b<1 ~a=3<2 -a<3 ");
    seen_stop(&compacted);
    seen_stop(&first);

    _reply_clear_ Reply all = do_compact(h, last);
    assert_int_equal(all.error, 0);
    assert_range(h, "", "", 0, 0, "");
    assert_range(h, "", "", last, 0, "");
    int64_t next = must_put(h, "a", "4");
    assert_true(next > last);
    seen_wait(&held, next); // a live watch does not mind
    assert_string_equal(held.text, "+b=1 -b<1 ~a=3<2 -a<3 +a=4 ");
    seen_stop(&held);
    Seen late = {0};
    seen_start(h, &late, "", last);
    seen_wait(&late, next);
    assert_string_equal(late.text, "+a=4 ");
    seen_stop(&late);
}

// Writes n revisions, a hundred in flight, to ten keys.
static int64_t write_many(Harness *h, int n) {
    enum { FLIGHT = 100 };
    static Reply replies[FLIGHT];
    int64_t last = 0;
    for (int i = 0; i < n; i += FLIGHT) {
        for (int k = 0; k < FLIGHT; k++) {
            char key[32], value[32];
            snprintf(key, sizeof key, "many/%d", (i + k) % 10);
            snprintf(value, sizeof value, "%d", i + k);
            start_put(h, key, value, STORE_ANY, 0, &replies[k]);
        }
        for (int k = 0; k < FLIGHT; k++) {
            harness_wait(h, &replies[k].is_done);
            assert_int_equal(replies[k].error, 0);
            last = replies[k].revision;
            reply_clear(&replies[k]);
        }
    }
    return last;
}

static void bounded(Harness *h) {
    int64_t first = must_put(h, "first", "1");
    int64_t gone = must_put(h, "gone", "1");
    must_remove(h, "gone");
    int64_t last = write_many(h, STORE_HISTORY + 2000);
    // What must be held, is held, down to the last revision.
    Seen held = {0};
    seen_start(h, &held, "", last - STORE_HISTORY);
    seen_wait(&held, last);
    assert_int_equal(held.events, STORE_HISTORY);
    seen_stop(&held);
    _reply_clear_ Reply old = do_range(h, "many/", "", last - STORE_HISTORY, 0);
    assert_int_equal(old.error, 0);
    assert_int_equal(old.n, 10);
    // What came long before is forgotten, but what is current stays.
    Seen seen = {0};
    seen_start(h, &seen, "", first);
    seen_wait_error(&seen);
    assert_int_equal(seen.error, STORE_E_COMPACTED);
    seen_stop(&seen);
    _reply_clear_ Reply range = do_range(h, "", "", gone, 0);
    assert_int_equal(range.error, STORE_E_COMPACTED);
    assert_range(h, "first", "", 0, 0, "first=1");
    assert_range(h, "first", "", last - 5, 0, "first=1");
    assert_range(h, "gone", "", 0, 0, "");
}

const Contract *contract_history(size_t *ret_n) {
    static const Contract contracts[] = {
        {"range at old revisions", old_revisions},
        {"pages of one revision while it changes", pages},
        {"a revision that is not reached yet", future},
        {"compaction", compaction},
        {"history is bounded", bounded},
    };
    *ret_n = sizeof contracts / sizeof *contracts;
    return contracts;
}
