#include "contract.h"

#include <stdio.h>
#include <stdlib.h>

static void never_inside_the_call(Harness *h) {
    Reply replies[6];
    for (int i = 0; i < 6; i++)
        replies[i] = reply_of(h);
    Bytes *value = bytes_new("1", 1);
    store_put(h->store, STR("a"), value, STORE_ANY, 0, reply_done, &replies[0]);
    store_get(h->store, STR("a"), reply_done, &replies[1]);
    store_range(h->store, STR(""), STR(""), 0, 0, reply_done, &replies[2]);
    store_remove(h->store, STR("a"), STORE_ANY, reply_done, &replies[3]);
    store_sync(h->store, reply_done, &replies[4]);
    store_get(h->store, STR(""), reply_done, &replies[5]); // nor an early error
    for (int i = 0; i < 6; i++)
        assert_false(replies[i].is_done);
    harness_wait(h, &replies[5].is_done);
    for (int i = 0; i < 6; i++) {
        assert_true(replies[i].is_done);
        reply_clear(&replies[i]);
    }
    bytes_unref(value);
}

static void decided_in_order(Harness *h) {
    Reply first, second, third, removed = reply_of(h), fourth;
    start_put(h, "a", "1", STORE_ABSENT, 0, &first);
    start_put(h, "a", "2", STORE_ABSENT, 0, &second);
    start_put(h, "a", "3", STORE_ANY, 0, &third);
    store_remove(h->store, STR("a"), STORE_ANY, reply_done, &removed);
    start_put(h, "a", "4", STORE_ABSENT, 0, &fourth);
    harness_wait(h, &fourth.is_done);
    assert_int_equal(first.error, 0);
    assert_int_equal(second.error, STORE_E_CONFLICT);
    assert_int_equal(second.records[0].revision, first.revision);
    assert_int_equal(third.error, 0);
    assert_int_equal(removed.error, 0);
    assert_int_equal(removed.records[0].revision, third.revision);
    assert_int_equal(fourth.error, 0);
    assert_true(first.revision < third.revision && third.revision < removed.revision &&
                removed.revision < fourth.revision);
    assert_true(first.order < second.order && second.order < third.order &&
                third.order < removed.order && removed.order < fourth.order);
    assert_range(h, "", "", 0, 0, "a=4");
    reply_clear(&first);
    reply_clear(&second);
    reply_clear(&third);
    reply_clear(&removed);
    reply_clear(&fourth);
}

// A hundred writers read, add one and put on the revision that they read, until it works.
enum { WRITERS = 100, ROUNDS = 5 };
typedef struct Counter {
    Harness *h;
    int left, conflicts, *running;
    unsigned flags;
} Counter;

static void counter_read(Counter *counter);

static void counter_put_done(void *user, int error, const StoreResult *result) {
    Counter *counter = user;
    if (error) {
        assert_int_equal(error, STORE_E_CONFLICT);
        counter->conflicts++;
    } else if (--counter->left == 0) {
        if (--*counter->running == 0)
            loop_stop(counter->h->loop);
        return;
    }
    counter_read(counter);
}

static void counter_get_done(void *user, int error, const StoreResult *result) {
    Counter *counter = user;
    assert_int_equal(error, 0);
    char text[16];
    int len =
        snprintf(text, sizeof text, "%d", result->n ? atoi(result->records[0].value->data) + 1 : 1);
    Bytes *value = bytes_new(text, (size_t)len);
    store_put(counter->h->store, STR("counter"), value,
              result->n ? result->records[0].revision : STORE_ABSENT, counter->flags,
              counter_put_done, counter);
    bytes_unref(value);
}

static void counter_read(Counter *counter) {
    store_get(counter->h->store, STR("counter"), counter_get_done, counter);
}

static void concurrent_writers(Harness *h) {
    static Counter counters[WRITERS];
    int running = WRITERS, conflicts = 0;
    for (int i = 0; i < WRITERS; i++) {
        counters[i] = (Counter){h, ROUNDS, 0, &running, i % 2 ? STORE_VOLATILE : 0};
        counter_read(&counters[i]);
    }
    while (running)
        loop_run(h->loop);
    for (int i = 0; i < WRITERS; i++)
        conflicts += counters[i].conflicts;
    assert_true(conflicts > 0);
    char expected[32];
    snprintf(expected, sizeof expected, "counter=%d", WRITERS * ROUNDS);
    assert_range(h, "", "", 0, 0, expected);
}

static void volatile_puts(Harness *h) {
    Seen seen = {0};
    int64_t start = do_sync(h);
    seen_start(h, &seen, "", start);
    _reply_clear_ Reply first = do_put(h, "lease", "1", STORE_ABSENT, STORE_VOLATILE);
    assert_int_equal(first.error, 0);
    assert_int_equal(first.records[0].create_revision, first.revision);
    _reply_clear_ Reply second = do_put(h, "lease", "2", first.revision, STORE_VOLATILE);
    assert_int_equal(second.error, 0);
    assert_int_equal(second.records[0].create_revision, first.revision);
    assert_range(h, "", "", 0, 0, "lease=2");
    assert_range(h, "", "", first.revision, 0, "lease=1");
    assert_range(h, "", "", start, 0, "");
    _reply_clear_ Reply stale = do_put(h, "lease", "x", first.revision, 0);
    assert_int_equal(stale.error, STORE_E_CONFLICT);
    // A durable write on top of a volatile one, and the other way round.
    _reply_clear_ Reply third = do_put(h, "lease", "3", second.revision, 0);
    assert_int_equal(third.error, 0);
    _reply_clear_ Reply fourth = do_put(h, "lease", "4", third.revision, STORE_VOLATILE);
    assert_int_equal(fourth.error, 0);
    int64_t other = must_put(h, "other", "1");
    _reply_clear_ Reply fifth = do_put(h, "other", "2", other, STORE_VOLATILE);
    assert_int_equal(fifth.error, 0);
    _reply_clear_ Reply removed = do_remove(h, "lease", fourth.revision);
    assert_int_equal(removed.error, 0);
    seen_wait(&seen, removed.revision);
    assert_string_equal(seen.text, "+lease=1 ~lease=2<1 ~lease=3<2 ~lease=4<3 +other=1 "
                                   "~other=2<1 -lease<4 ");
    Seen held = {0};
    seen_start(h, &held, "", start);
    seen_wait(&held, removed.revision);
    assert_string_equal(held.text, seen.text);
    seen_stop(&seen);
    seen_stop(&held);
}

static void many_volatile_puts(Harness *h) {
    enum { PUTS = 6000 };
    static Reply puts[PUTS];
    int64_t start = do_sync(h);
    for (int i = 0; i < PUTS; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i % 50);
        start_put(h, key, "a heartbeat", STORE_ANY, STORE_VOLATILE, &puts[i]);
        if (i % 7 == 6)
            harness_wait(h, &puts[i - 3].is_done);
    }
    Seen seen = {0};
    seen_start(h, &seen, "", start);
    do_sync(h);
    assert_int_equal(seen.events, PUTS);
    seen_stop(&seen);
    for (int i = 0; i < PUTS; i++) {
        assert_int_equal(puts[i].error, 0);
        reply_clear(&puts[i]);
    }
}

typedef struct Closing {
    Harness *h;
    int done;
    bool closed;
} Closing;

static void count_done(void *user, int error, const StoreResult *result) {
    Closing *closing = user;
    assert_false(closing->closed);
    assert_int_equal(error, 0);
    closing->done++;
}

static void on_closed(void *user) {
    Closing *closing = user;
    closing->closed = true;
    closing->h->store = NULL;
    loop_stop(closing->h->loop);
}

static void count_and_close(void *user, int error, const StoreResult *result) {
    count_done(user, error, result);
    Closing *closing = user;
    store_close(closing->h->store, on_closed, closing);
}

static void close_finishes(Harness *h) {
    Closing closing = {.h = h};
    Seen seen = {0};
    seen_start(h, &seen, "", do_sync(h));
    Bytes *value = bytes_new("1", 1);
    for (int i = 0; i < 50; i++)
        store_put(h->store, STR("a"), value, STORE_ANY, i % 2 ? STORE_VOLATILE : 0, count_done,
                  &closing);
    store_sync(h->store, count_done, &closing);
    store_range(h->store, STR(""), STR(""), 0, 0, count_done, &closing);
    bytes_unref(value);
    store_close(h->store, on_closed, &closing);
    assert_false(closing.closed); // never inside the call
    harness_wait(h, &closing.closed);
    assert_int_equal(closing.done, 52);
    assert_int_equal(seen.events, 50);
    seen.watch = NULL; // gone with the store
    seen_stop(&seen);
}

static void close_inside_callback(Harness *h) {
    Closing closing = {.h = h};
    Seen caught_up = {0}, behind = {0};
    seen_start(h, &caught_up, "", do_sync(h));
    Bytes *value = bytes_new("1", 1);
    for (int i = 0; i < 1999; i++)
        store_put(h->store, STR("a"), value, STORE_ANY, 0, count_done, &closing);
    store_put(h->store, STR("a"), value, STORE_ANY, 0, count_and_close, &closing);
    seen_start(h, &behind, "", 0); // with much to read, and a sync that waits for it
    store_sync(h->store, count_done, &closing);
    bytes_unref(value);
    harness_wait(h, &closing.closed);
    assert_int_equal(closing.done, 2001);
    caught_up.watch = behind.watch = NULL;
    seen_stop(&caught_up);
    seen_stop(&behind);
}

const Contract *contract_orders(size_t *ret_n) {
    static const Contract contracts[] = {
        {"done comes later, never inside the call", never_inside_the_call},
        {"writes are decided in the order of the calls", decided_in_order},
        {"concurrent writers lose no update", concurrent_writers},
        {"volatile puts", volatile_puts},
        {"many volatile puts", many_volatile_puts},
        {"close finishes what was begun", close_finishes},
        {"close from inside a callback", close_inside_callback},
    };
    *ret_n = sizeof contracts / sizeof *contracts;
    return contracts;
}
