// Random calls, many in flight, against a model: the list of all writes in the order of the calls.
// SEAPOD_TEST_SEED=N runs one seed again.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rand.h"
#include "harness.h"

enum { KEYS = 24, CALLS = 3000, WATCHES = 8, SEEDS = 7, NONE = -1 };

typedef struct Write {
    int key, previous; // the write it replaced, or NONE
    bool deleted;
    int64_t revision; // 0 until it is known
    int64_t create_revision;
} Write;

typedef struct Model Model;
typedef struct Call {
    Model *model;
    enum { CALL_WRITE, CALL_GET, CALL_RANGE } kind;
    int write;    // what it adds, or NONE when it must conflict
    int existing; // the write that it finds there, or NONE
    int key, from;
    int known; // writes that were acknowledged before the call
    int64_t revision;
    size_t limit;
} Call;

typedef struct Watcher {
    Model *model;
    StoreWatch *watch;
    int prefix;   // index into prefixes
    int64_t from; // revision
    int64_t told;
    int next; // the next write it may be told of
} Watcher;

struct Model {
    Harness *h;
    Rand rand;
    Write writes[CALLS];
    int n_writes, n_known; // known: the first n_known have their revisions
    int current[KEYS];     // the last write of a key in the order of the calls, or NONE
    int in_flight;
    int compacted;  // writes[compacted] is the oldest one whose state is held
    int64_t newest; // revision
    Watcher watchers[WATCHES];
    size_t events, conflicts;
};

static const char *const prefixes[] = {"", "a/", "b/", "a/1", "c/nothing"};

static Str key_name(int key, char buffer[16]) {
    return str_of(buffer, (size_t)snprintf(buffer, 16, "%c/%d", "ab"[key % 2], key));
}

static Bytes *value_of(int write) {
    char text[32];
    int len = snprintf(text, sizeof text, "value of write %d", write);
    return bytes_new(text, (size_t)len);
}

static uint64_t below(Model *model, uint64_t limit) {
    return rand_below(&model->rand, limit);
}

static void assert_value(const Bytes *value, int write) {
    Bytes *expected = value_of(write);
    if (!value || !str_eq(bytes_str(value), bytes_str(expected)))
        fail_msg("expected \"%s\", found \"%s\"", expected->data, value ? value->data : "nothing");
    bytes_unref(expected);
}

static void assert_record(const Model *model, const StoreRecord *record, int write) {
    char buffer[16];
    assert_true(str_eq(record->key, key_name(model->writes[write].key, buffer)));
    assert_value(record->value, write);
    assert_int_equal(record->revision, model->writes[write].revision);
    assert_int_equal(record->create_revision, model->writes[write].create_revision);
}

static void call_finish(Call *call) {
    if (--call->model->in_flight == 0)
        loop_stop(call->model->h->loop);
    free(call);
}

static void write_done(void *user, int error, const StoreResult *result) {
    Call *call = user;
    Model *model = call->model;
    if (call->write == NONE) {
        assert_int_equal(error, STORE_E_CONFLICT);
        assert_int_equal(result->n, call->existing != NONE);
        if (result->n)
            assert_record(model, &result->records[0], call->existing);
        model->conflicts++;
        call_finish(call);
        return;
    }
    Write *write = &model->writes[call->write];
    assert_int_equal(error, 0);
    assert_int_equal(call->write, model->n_known); // answered in order
    assert_true(result->revision > model->newest);
    model->n_known++;
    model->newest = write->revision = result->revision;
    bool created = write->previous == NONE;
    write->create_revision =
        created ? write->revision : model->writes[write->previous].create_revision;
    assert_int_equal(result->n, 1);
    assert_record(model, &result->records[0], write->deleted ? write->previous : call->write);
    call_finish(call);
}

// The last known write whose revision is not above `revision`, or NONE.
static int write_at(const Model *model, int64_t revision) {
    int found = NONE;
    for (int i = 0; i < model->n_known && model->writes[i].revision <= revision; i++)
        found = i;
    return found;
}

// What `key` was after `write`: the write that made it so, or NONE.
static int state_at(const Model *model, int write, int key) {
    for (; write >= 0; write--) {
        if (model->writes[write].key == key)
            return model->writes[write].deleted ? NONE : write;
    }
    return NONE;
}

static void get_done(void *user, int error, const StoreResult *result) {
    Call *call = user;
    const Model *model = call->model;
    assert_int_equal(error, 0);
    int moment = write_at(model, result->revision);
    assert_true(moment >= call->known - 1); // not older than what was acknowledged before
    int expected = state_at(model, moment, call->key);
    assert_int_equal(result->n, expected != NONE);
    if (result->n)
        assert_record(model, &result->records[0], expected);
    call_finish(call);
}

static int compare_names(const void *a, const void *b) {
    char x[16], y[16];
    return str_cmp(key_name(*(const int *)a, x), key_name(*(const int *)b, y));
}

static void range_done(void *user, int error, const StoreResult *result) {
    Call *call = user;
    const Model *model = call->model;
    assert_int_equal(error, 0);
    int moment = write_at(model, call->revision ? call->revision : result->revision);
    if (!call->revision)
        assert_true(moment >= call->known - 1);
    int keys[KEYS], n = 0;
    char name[16], from[16];
    for (int key = 0; key < KEYS; key++) {
        Str text = key_name(key, name);
        if (str_starts_with(text, str_from(prefixes[call->key])) &&
            (call->from == NONE || str_cmp(text, key_name(call->from, from)) >= 0) &&
            state_at(model, moment, key) != NONE)
            keys[n++] = key;
    }
    qsort(keys, (size_t)n, sizeof *keys, compare_names);
    size_t expected = call->limit && call->limit < (size_t)n ? call->limit : (size_t)n;
    assert_int_equal(result->n, expected);
    assert_int_equal(result->more, expected < (size_t)n);
    assert_int_equal(result->remaining, (size_t)n - expected);
    for (size_t i = 0; i < result->n; i++)
        assert_record(model, &result->records[i], state_at(model, moment, keys[i]));
    call_finish(call);
}

static Call *call_new(Model *model) {
    Call *call = calloc(1, sizeof *call);
    call->model = model;
    call->known = model->n_known;
    model->in_flight++;
    return call;
}

static void start_write(Model *model) {
    Call *call = call_new(model);
    call->key = (int)below(model, KEYS);
    int current = model->current[call->key];
    call->existing = current != NONE && model->writes[current].deleted ? NONE : current;
    bool remove = below(model, 5) == 0;

    int64_t expected = STORE_ANY;
    bool matches = true;
    switch (below(model, 4)) {
    case 0:
        expected = STORE_ABSENT;
        matches = call->existing == NONE;
        break;
    case 1: // the revision of some write, most often of the one that is there
        if (model->n_known > 0) {
            int write =
                call->existing != NONE && call->existing < model->n_known && below(model, 4) != 0
                    ? call->existing
                    : (int)below(model, (uint64_t)model->n_known);
            expected = model->writes[write].revision;
            matches = write == call->existing;
        }
        break;
    }
    if (remove && call->existing == NONE)
        matches = false;
    call->write = matches ? model->n_writes++ : NONE;
    if (matches) {
        model->writes[call->write] =
            (Write){.key = call->key, .previous = call->existing, .deleted = remove};
        model->current[call->key] = call->write;
    }
    char name[16];
    Str key = key_name(call->key, name);
    if (remove) {
        store_remove(model->h->store, key, expected, write_done, call);
    } else {
        Bytes *value = value_of(call->write);
        store_put(model->h->store, key, value, expected, below(model, 3) ? 0 : STORE_VOLATILE,
                  write_done, call);
        bytes_unref(value);
    }
}

// A revision that is held, or 0.
static int64_t held_revision(Model *model) {
    if (model->n_known <= model->compacted)
        return 0;
    int n = model->n_known - model->compacted;
    return model->writes[model->compacted + (int)below(model, (uint64_t)n)].revision;
}

static void start_range(Model *model) {
    Call *call = call_new(model);
    call->key = (int)below(model, sizeof prefixes / sizeof *prefixes);
    call->from = below(model, 3) ? NONE : (int)below(model, KEYS);
    call->limit = below(model, 2) ? below(model, 8) : 0;
    call->revision = below(model, 2) ? held_revision(model) : 0;
    char name[16];
    store_range(model->h->store, str_from(prefixes[call->key]),
                call->from == NONE ? STR_NONE : key_name(call->from, name), call->revision,
                call->limit, range_done, call);
}

static void start_get(Model *model) {
    Call *call = call_new(model);
    call->key = (int)below(model, KEYS);
    char name[16];
    store_get(model->h->store, key_name(call->key, name), get_done, call);
}

// Watches are told before the answer of the write comes, so revisions may be news to the model.
static void watch_events(void *user, const StoreEvent *events, size_t n, int64_t revision) {
    Watcher *watcher = user;
    Model *model = watcher->model;
    assert_true(revision >= watcher->told);
    for (size_t i = 0; i < n; i++) {
        char name[16];
        const Write *write;
        do { // skips what the watch must not see, and nothing else
            assert_true(watcher->next < model->n_writes);
            write = &model->writes[watcher->next++];
        } while ((write->revision && write->revision <= watcher->from) ||
                 !str_starts_with(key_name(write->key, name), str_from(prefixes[watcher->prefix])));
        assert_true(str_eq(events[i].key, key_name(write->key, name)));
        assert_int_equal(events[i].deleted, write->deleted);
        if (!write->deleted)
            assert_value(events[i].value, watcher->next - 1);
        assert_int_equal(events[i].previous != NULL, write->previous != NONE);
        if (events[i].previous)
            assert_value(events[i].previous, write->previous);
        assert_true(events[i].revision > watcher->told && events[i].revision <= revision);
        if (write->revision)
            assert_int_equal(events[i].revision, write->revision);
        model->events++;
    }
    watcher->told = revision;
}

static void watch_error(void *user, int error) {
    fail_msg("a watch ended with %d", error);
}

static void toggle_watch(Model *model) {
    Watcher *watcher = &model->watchers[below(model, WATCHES)];
    if (watcher->watch) {
        store_watch_cancel(model->h->store, watcher->watch);
        watcher->watch = NULL;
        return;
    }
    *watcher = (Watcher){.model = model,
                         .prefix = (int)below(model, sizeof prefixes / sizeof *prefixes),
                         .from = held_revision(model)};
    if (!watcher->from)
        return;
    watcher->told = watcher->from;
    watcher->next = write_at(model, watcher->from) + 1;
    watcher->watch = store_watch(model->h->store, str_from(prefixes[watcher->prefix]),
                                 watcher->from, watch_events, watch_error, watcher);
}

// Nothing in flight, and every watch was told everything.
static void settle(Model *model) {
    while (model->in_flight)
        loop_run(model->h->loop);
    int64_t revision = do_sync(model->h);
    assert_true(revision >= model->newest);
    for (int i = 0; i < WATCHES; i++) {
        Watcher *watcher = &model->watchers[i];
        if (!watcher->watch)
            continue;
        assert_true(watcher->told >= revision);
        for (int w = watcher->next; w < model->n_writes; w++) {
            char name[16];
            assert_false(str_starts_with(key_name(model->writes[w].key, name),
                                         str_from(prefixes[watcher->prefix])));
        }
    }
}

static void compact(Model *model) {
    settle(model);
    int64_t revision = held_revision(model);
    if (!revision)
        return;
    _reply_clear_ Reply reply = do_compact(model->h, revision);
    assert_int_equal(reply.error, 0);
    int oldest = write_at(model, revision);
    if (oldest > model->compacted) {
        _reply_clear_ Reply old =
            do_range(model->h, "", "", model->writes[model->compacted].revision, 0);
        assert_int_equal(old.error, STORE_E_COMPACTED);
        model->compacted = oldest;
    }
}

static void reopen(Model *model) {
    settle(model);
    for (int i = 0; i < WATCHES; i++)
        model->watchers[i].watch = NULL;
    int64_t revision = do_sync(model->h);
    harness_close(model->h);
    harness_open(model->h);
    assert_int_equal(do_sync(model->h), revision);
}

static void run_seed(const Backend *backend, uint64_t seed) {
    Model *model = calloc(1, sizeof *model);
    model->h = harness_new(backend);
    rand_seed(&model->rand, seed);
    memset(model->current, 0xff, sizeof model->current);
    for (int i = 0; i < CALLS; i++) {
        uint64_t what = below(model, 1000);
        if (what < 600)
            start_write(model);
        else if (what < 750)
            start_get(model);
        else if (what < 900)
            start_range(model);
        else if (what < 960)
            toggle_watch(model);
        else if (what < 994)
            settle(model);
        else if (what < 997)
            compact(model);
        else if (backend->on_disk)
            reopen(model);
        if (model->in_flight > (int)below(model, 200))
            settle(model);
    }
    settle(model);
    assert_true(model->n_writes > CALLS / 4 && model->conflicts > 100 && model->events > 100);
    harness_free(model->h);
    free(model);
}

static void run_seeds(const Backend *backend) {
    const char *given = getenv("SEAPOD_TEST_SEED");
    for (uint64_t i = 0; i < SEEDS; i++) {
        // The same ones each time, and a new one.
        uint64_t seed = given           ? strtoull(given, NULL, 10)
                        : i < SEEDS - 1 ? i + 1
                                        : (uint64_t)time(NULL);
        printf("%s: SEAPOD_TEST_SEED=%llu\n", backend->name, (unsigned long long)seed);
        fflush(stdout);
        run_seed(backend, seed);
        if (given)
            return;
    }
}

static void test_memory(void **state) {
    run_seeds(backend_memory());
}
static void test_sqlite(void **state) {
    run_seeds(backend_sqlite());
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory),
                                       cmocka_unit_test(test_sqlite)};
    return cmocka_run_group_tests_name("store model", tests, NULL, NULL);
}
