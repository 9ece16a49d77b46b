// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const Backend *backend_memory(void) {
    static const Backend backend = {.name = "memory"};
    return &backend;
}

const Backend *backend_simulated(void) {
    static const Backend backend = {.name = "simulated", .simulated = true};
    return &backend;
}

const Backend *backend_sqlite(void) {
    static const Backend backend = {.name = "sqlite", .on_disk = true};
    return &backend;
}

static int replies;

Harness *harness_new(const Backend *backend) {
    alarm(120); // nothing here takes that long
    Harness *h = calloc(1, sizeof *h);
    h->backend = backend;
    snprintf(h->directory, sizeof h->directory, "/tmp/seapod-test-store-XXXXXX");
    assert_non_null(mkdtemp(h->directory));
    snprintf(h->path, sizeof h->path, "%s/state.db", h->directory);
    harness_open(h);
    return h;
}

void harness_open(Harness *h) {
    assert_null(h->store);
    if (!h->loop)
        h->loop = h->backend->simulated ? loop_new_simulated(1, 0) : loop_new();
    if (h->backend->on_disk) {
        char *message = NULL;
        int error = store_sqlite_open(h->loop, h->path, &h->store, &message);
        if (error)
            fail_msg("open %s: %d %s", h->path, error, message ? message : "");
        assert_null(message);
    } else {
        h->store = store_memory_new(h->loop);
    }
}

static void on_closed(void *user) {
    Harness *h = user;
    h->store = NULL;
    loop_stop(h->loop);
}

void harness_close(Harness *h) {
    store_close(h->store, on_closed, h);
    while (h->store)
        loop_run(h->loop);
}

void harness_rest(Harness *h) {
    if (h->store)
        harness_close(h);
    loop_free(h->loop);
    h->loop = NULL;
}

void harness_free(Harness *h) {
    harness_rest(h);
    static const char *const suffixes[] = {"",      "-wal",      "-shm",     "-journal",
                                           ".lock", ".format-1", ".format-0"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", h->path, suffixes[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(h->directory), 0);
    free(h);
}

Reply reply_of(Harness *h) {
    return (Reply){.loop = h->loop};
}

void reply_done(void *user, int error, const StoreResult *result) {
    Reply *reply = user;
    assert_false(reply->is_done);
    assert_non_null(result);
    reply->is_done = true;
    reply->error = error;
    reply->revision = result->revision;
    reply->more = result->more;
    reply->remaining = result->remaining;
    reply->n = result->n;
    reply->order = replies++;
    reply->records = calloc(result->n + 1, sizeof *reply->records);
    for (size_t i = 0; i < result->n; i++) {
        const StoreRecord *record = &result->records[i];
        reply->records[i] =
            (Record){strndup(record->key.ptr, record->key.len), bytes_ref(record->value),
                     record->create_revision, record->revision};
    }
    loop_stop(reply->loop);
}

void reply_clear(Reply *reply) {
    for (size_t i = 0; i < reply->n; i++) {
        free(reply->records[i].key);
        bytes_unref(reply->records[i].value);
    }
    free(reply->records);
    *reply = (Reply){0};
}

void harness_wait(Harness *h, const bool *flag) {
    while (!*flag)
        assert_int_equal(loop_run(h->loop), 0);
}

static Reply wait_for(Harness *h, Reply *reply) {
    harness_wait(h, &reply->is_done);
    return *reply;
}

Reply do_get(Harness *h, const char *key) {
    Reply reply = reply_of(h);
    store_get(h->store, str_from(key), reply_done, &reply);
    return wait_for(h, &reply);
}

void start_put(Harness *h, const char *key, const char *value, int64_t expected, unsigned flags,
               Reply *reply) {
    *reply = reply_of(h);
    Bytes *bytes = bytes_new(value, strlen(value));
    store_put(h->store, str_from(key), bytes, expected, flags, reply_done, reply);
    bytes_unref(bytes);
}

Reply do_put(Harness *h, const char *key, const char *value, int64_t expected, unsigned flags) {
    Reply reply;
    start_put(h, key, value, expected, flags, &reply);
    return wait_for(h, &reply);
}

Reply do_remove(Harness *h, const char *key, int64_t expected) {
    Reply reply = reply_of(h);
    store_remove(h->store, str_from(key), expected, reply_done, &reply);
    return wait_for(h, &reply);
}

Reply do_range(Harness *h, const char *prefix, const char *from, int64_t revision, size_t limit) {
    Reply reply = reply_of(h);
    store_range(h->store, str_from(prefix), str_from(from), revision, limit, reply_done, &reply);
    return wait_for(h, &reply);
}

Reply do_compact(Harness *h, int64_t revision) {
    Reply reply = reply_of(h);
    store_compact(h->store, revision, reply_done, &reply);
    return wait_for(h, &reply);
}

int64_t do_sync(Harness *h) {
    _reply_clear_ Reply reply = reply_of(h);
    store_sync(h->store, reply_done, &reply);
    wait_for(h, &reply);
    assert_int_equal(reply.error, 0);
    return reply.revision;
}

int64_t must_put(Harness *h, const char *key, const char *value) {
    _reply_clear_ Reply reply = do_put(h, key, value, STORE_ANY, 0);
    assert_int_equal(reply.error, 0);
    return reply.revision;
}

int64_t must_remove(Harness *h, const char *key) {
    _reply_clear_ Reply reply = do_remove(h, key, STORE_ANY);
    assert_int_equal(reply.error, 0);
    return reply.revision;
}

char *reply_text(const Reply *reply) {
    char *text = NULL;
    size_t len;
    FILE *file = open_memstream(&text, &len);
    for (size_t i = 0; i < reply->n; i++)
        fprintf(file, "%s%s=%.*s", i ? " " : "", reply->records[i].key,
                STR_ARG(bytes_str(reply->records[i].value)));
    if (reply->more)
        fprintf(file, " +%lld", (long long)reply->remaining);
    fclose(file);
    return text;
}

void assert_range(Harness *h, const char *prefix, const char *from, int64_t revision, size_t limit,
                  const char *expected) {
    _reply_clear_ Reply reply = do_range(h, prefix, from, revision, limit);
    assert_int_equal(reply.error, 0);
    char *text = reply_text(&reply);
    assert_string_equal(text, expected);
    free(text);
}

static void seen_add(Seen *seen, const StoreEvent *event) {
    char *piece;
    int len;
    if (event->deleted)
        len = asprintf(&piece, "-%.*s<%.*s ", STR_ARG(event->key),
                       STR_ARG(bytes_str(event->previous)));
    else if (event->previous)
        len = asprintf(&piece, "~%.*s=%.*s<%.*s ", STR_ARG(event->key),
                       STR_ARG(bytes_str(event->value)), STR_ARG(bytes_str(event->previous)));
    else
        len =
            asprintf(&piece, "+%.*s=%.*s ", STR_ARG(event->key), STR_ARG(bytes_str(event->value)));
    assert_true(len > 0);
    seen->text = realloc(seen->text, seen->len + (size_t)len + 1);
    memcpy(seen->text + seen->len, piece, (size_t)len + 1);
    seen->len += (size_t)len;
    free(piece);
}

static void seen_events(void *user, const StoreEvent *events, size_t n, int64_t revision) {
    Seen *seen = user;
    assert_false(seen->has_error);
    assert_true(revision >= seen->revision);
    for (size_t i = 0; i < n; i++) {
        const StoreEvent *event = &events[i];
        assert_true(event->revision > seen->last_event);
        assert_true(event->revision > seen->revision); // nothing is told twice
        assert_true(event->revision <= revision);
        assert_true(event->previous_revision < event->revision);
        assert_int_equal(event->previous_revision > 0, event->previous != NULL);
        assert_int_equal(event->deleted, event->value == NULL);
        if (!event->previous)
            assert_int_equal(event->create_revision, event->revision);
        else
            assert_true(event->create_revision <= event->previous_revision);
        seen->last_event = event->revision;
        seen_add(seen, event);
    }
    seen->events += n;
    seen->calls++;
    seen->revision = revision;
    if (seen->hook)
        seen->hook(seen);
    if (seen->goal && revision >= seen->goal) {
        seen->reached = true;
        loop_stop(seen->h->loop);
    }
}

static void seen_error(void *user, int error) {
    Seen *seen = user;
    assert_false(seen->has_error);
    seen->has_error = true;
    seen->error = error;
    seen->watch = NULL;
    loop_stop(seen->h->loop);
}

void seen_start(Harness *h, Seen *seen, const char *prefix, int64_t from_revision) {
    seen->h = h;
    seen->text = strdup("");
    seen->watch =
        store_watch(h->store, str_from(prefix), from_revision, seen_events, seen_error, seen);
    assert_non_null(seen->watch);
    assert_int_equal(seen->calls, 0);
    assert_false(seen->has_error);
}

void seen_wait(Seen *seen, int64_t revision) {
    if (seen->revision >= revision)
        return;
    seen->goal = revision;
    seen->reached = false;
    harness_wait(seen->h, &seen->reached);
    seen->goal = 0;
}

void seen_wait_error(Seen *seen) {
    harness_wait(seen->h, &seen->has_error);
}

void seen_stop(Seen *seen) {
    if (seen->watch)
        store_watch_cancel(seen->h->store, seen->watch);
    free(seen->text);
    *seen = (Seen){0};
}
