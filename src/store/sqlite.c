// The store in one SQLite file: calls become requests to the writer thread, which answers through
// the outbox.

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/limits.h"
#include "store/writer.h"

typedef struct SqliteStore {
    Store store;
    Outbox outbox;
    Writer *writer;
    int lock; // of PATH.lock
    bool is_closing;
    void (*closed)(void *user);
    void *closed_user;
} SqliteStore;

static SqliteStore *sqlite_store(Store *store) {
    SqliteStore *self = container_of(store, SqliteStore, store);
    assert(!self->is_closing);
    return self;
}

static Bytes *copy(Str str) {
    return bytes_new(str.ptr, str.len);
}

static void sqlite_get(Store *store, Str key, StoreDone done, void *user) {
    Request *request = writer_request_new(REQUEST_GET, done, user);
    request->error = limits_check_key(key);
    if (!request->error)
        request->key = copy(key);
    writer_submit(sqlite_store(store)->writer, request);
}

static void sqlite_range(Store *store, Str prefix, Str from, int64_t revision, size_t limit,
                         StoreDone done, void *user) {
    Request *request = writer_request_new(REQUEST_RANGE, done, user);
    request->error = limits_check_prefix(prefix, from);
    if (!request->error) {
        request->key = copy(prefix);
        request->from = copy(from);
    }
    request->revision = revision;
    request->limit = limit;
    writer_submit(sqlite_store(store)->writer, request);
}

static void sqlite_put(Store *store, Str key, Bytes *value, int64_t expected, unsigned flags,
                       StoreDone done, void *user) {
    Request *request = writer_request_new(REQUEST_PUT, done, user);
    request->error = limits_check_put(key, value);
    if (!request->error) {
        request->key = copy(key);
        request->value = bytes_ref(value);
    }
    request->revision = expected;
    request->flags = flags;
    writer_submit(sqlite_store(store)->writer, request);
}

static void sqlite_remove(Store *store, Str key, int64_t expected, StoreDone done, void *user) {
    Request *request = writer_request_new(REQUEST_REMOVE, done, user);
    request->error = limits_check_key(key);
    if (!request->error)
        request->key = copy(key);
    request->revision = expected;
    writer_submit(sqlite_store(store)->writer, request);
}

static void sqlite_read_on(SqliteStore *self, StoreWatch *watch, bool is_first, int error) {
    Request *request = writer_request_new(REQUEST_WATCH, NULL, NULL);
    request->error = error;
    request->watch = watch;
    request->key = bytes_ref(watch_prefix(watch));
    request->revision = watch_position(watch);
    request->is_first = is_first;
    writer_submit(self->writer, request);
}

// The watch took one part of what it has to catch up with.
static void sqlite_resume(void *user, StoreWatch *watch) {
    SqliteStore *self = user;
    if (!self->is_closing)
        sqlite_read_on(self, watch, false, 0);
}

static StoreWatch *sqlite_watch(Store *store, Str prefix, int64_t from_revision,
                                void (*on_events)(void *, const StoreEvent *, size_t, int64_t),
                                void (*on_error)(void *, int), void *user) {
    SqliteStore *self = sqlite_store(store);
    StoreWatch *watch =
        outbox_watch(&self->outbox, prefix, from_revision, on_events, on_error, user);
    sqlite_read_on(self, watch, true, limits_check_prefix(prefix, STR_NONE));
    return watch;
}

static void sqlite_sync(Store *store, StoreDone done, void *user) {
    writer_submit(sqlite_store(store)->writer, writer_request_new(REQUEST_SYNC, done, user));
}

static void sqlite_compact(Store *store, int64_t revision, StoreDone done, void *user) {
    Request *request = writer_request_new(REQUEST_COMPACT, done, user);
    request->revision = revision;
    writer_submit(sqlite_store(store)->writer, request);
}

static void sqlite_close(Store *store, void (*closed)(void *user), void *user) {
    SqliteStore *self = sqlite_store(store);
    self->is_closing = true;
    self->closed = closed;
    self->closed_user = user;
    writer_submit(self->writer, writer_request_new(REQUEST_CLOSE, NULL, NULL));
}

static void sqlite_closed(void *user) {
    SqliteStore *self = user;
    writer_free(self->writer);
    outbox_deinit(&self->outbox);
    close(self->lock);
    if (self->closed)
        self->closed(self->closed_user);
    free(self);
}

static const StoreOps sqlite_ops = {
    .get = sqlite_get,
    .range = sqlite_range,
    .put = sqlite_put,
    .remove = sqlite_remove,
    .watch = sqlite_watch,
    .watch_cancel = outbox_watch_cancel,
    .sync = sqlite_sync,
    .compact = sqlite_compact,
    .close = sqlite_close,
};

__attribute__((format(printf, 2, 3))) static void say(char **ret_message, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (vasprintf(ret_message, format, args) < 0)
        abort();
    va_end(args);
}

// Holds PATH.lock, which names the process that holds it, as long as its descriptor is open.
static int sqlite_lock(const char *path, int *ret_fd, char **ret_message) {
    char *name, text[32] = "";
    if (asprintf(&name, "%s.lock", path) < 0)
        abort();
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600), error = 0;
    if (fd < 0) {
        error = -errno;
        say(ret_message, "cannot open %s: %s", name, strerror(errno));
    } else if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        error = errno == EWOULDBLOCK ? -EBUSY : -errno;
        ssize_t len = pread(fd, text, sizeof text - 1, 0);
        int directory = (int)(strrchr(path, '/') ? strrchr(path, '/') - path : 0);
        if (error == -EBUSY)
            say(ret_message, "data directory %.*s is in use by another seapod (pid %d)",
                directory ? directory : 1, directory ? path : ".", len > 0 ? atoi(text) : 0);
        else
            say(ret_message, "cannot lock %s: %s", name, strerror(-error));
    } else {
        int len = snprintf(text, sizeof text, "%d\n", (int)getpid());
        // Only for the message above: a full disk must not keep us from starting.
        if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)len, 0) < 0)
            errno = 0;
    }
    if (error && fd >= 0)
        close(fd);
    free(name);
    *ret_fd = error ? -1 : fd;
    return error;
}

int store_sqlite_open(Loop *loop, const char *path, Store **ret, char **ret_message) {
    *ret = NULL;
    *ret_message = NULL;
    int lock;
    int error = sqlite_lock(path, &lock, ret_message);
    if (error)
        return error;
    Database *database;
    error = database_open(path, database_format(), &database, ret_message);
    if (error) {
        close(lock);
        return error;
    }
    SqliteStore *self = memory_new(SqliteStore);
    self->store = (Store){&sqlite_ops, loop};
    self->lock = lock;
    outbox_init(&self->outbox, loop, sqlite_resume, sqlite_closed, self);
    error = writer_new(database, &self->outbox, &self->writer);
    if (error) {
        say(ret_message, "cannot start the store's thread: %s", strerror(-error));
        outbox_deinit(&self->outbox);
        close(lock);
        free(self);
        return error;
    }
    *ret = &self->store;
    return 0;
}
