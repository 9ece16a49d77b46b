// The store in memory: everything is decided inside the call, and delivered by the outbox later.

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "store/limits.h"
#include "store/outbox.h"
#include "store/tree.h"

typedef struct MemoryStore {
    Store store;
    Outbox outbox;
    Tree *rows; // key -> Row
    int64_t revision;
    int64_t floor;   // the oldest revision that is held
    Change *history; // a ring: the change of revision R stands at R % STORE_HISTORY
    void (*closed)(void *user);
    void *closed_user;
    bool closing;
} MemoryStore;

static MemoryStore *memory_store(Store *store) {
    MemoryStore *self = container_of(store, MemoryStore, store);
    assert(!self->closing);
    return self;
}

static Delivery *answer_new(const MemoryStore *self, DeliveryKind kind, StoreDone done, void *user,
                            int error) {
    Delivery *answer = delivery_new(kind);
    answer->done = done;
    answer->user = user;
    answer->error = error;
    answer->revision = self->revision;
    return answer;
}

static void memory_answer(MemoryStore *self, StoreDone done, void *user, int error,
                          const Row *row) {
    Delivery *answer = answer_new(self, DELIVERY_ANSWER, done, user, error);
    if (row)
        row_list_push(&answer->rows, row_copy(row));
    outbox_push_one(&self->outbox, answer);
}

static void memory_get(Store *store, Str key, StoreDone done, void *user) {
    MemoryStore *self = memory_store(store);
    int error = limits_check_key(key);
    memory_answer(self, done, user, error, error ? NULL : tree_get(self->rows, key));
}

static Change *memory_change(const MemoryStore *self, int64_t revision) {
    assert(revision > self->floor && revision <= self->revision);
    return &self->history[revision % STORE_HISTORY];
}

// 0, or why the state at `revision` cannot be told. 0 is the same as 1: before every write.
static int memory_check_held(const MemoryStore *self, int64_t revision) {
    if (revision > self->revision)
        return STORE_E_FUTURE;
    return (revision ? revision : 1) < self->floor ? STORE_E_COMPACTED : 0;
}

// key -> the first Change after `revision`, which tells what the key was at `revision`.
static Tree *memory_changed_since(const MemoryStore *self, Str prefix, int64_t revision) {
    Tree *changed = tree_new();
    for (int64_t r = revision + 1; r <= self->revision; r++) {
        Change *change = memory_change(self, r);
        Str key = bytes_str(change->key);
        if (str_starts_with(key, prefix) && !tree_get(changed, key))
            tree_put(changed, change->key, change);
    }
    return changed;
}

static TreeNode *within(TreeNode *node, Str prefix) {
    return node && str_starts_with(bytes_str(tree_key(node)), prefix) ? node : NULL;
}

// Walks the rows and lays what they were at the old revision over them.
static void memory_collect(const MemoryStore *self, const Tree *changed, Str prefix, Str from,
                           size_t limit, Delivery *answer) {
    Str start = str_cmp(from, prefix) > 0 ? from : prefix;
    TreeNode *now = within(tree_seek(self->rows, start), prefix);
    TreeNode *then = within(tree_seek(changed, start), prefix);
    answer->remaining = 0;
    while (now || then) {
        int order = !now    ? 1
                    : !then ? -1
                            : str_cmp(bytes_str(tree_key(now)), bytes_str(tree_key(then)));
        Row row = {0};
        if (order < 0) {
            row = *(Row *)tree_value(now);
        } else {
            const Change *change = tree_value(then);
            row = (Row){change->key, change->previous, change->create_revision,
                        change->previous_revision};
        }
        if (order <= 0)
            now = within(tree_next(now), prefix);
        if (order >= 0)
            then = within(tree_next(then), prefix);
        if (!row.value)
            continue; // created later
        if (limit == 0 || answer->rows.n < limit)
            row_list_push(&answer->rows, row_copy(&row));
        else
            answer->remaining++;
    }
    answer->more = answer->remaining > 0;
}

static void memory_range(Store *store, Str prefix, Str from, int64_t revision, size_t limit,
                         StoreDone done, void *user) {
    MemoryStore *self = memory_store(store);
    int error = limits_check_prefix(prefix, from);
    if (!error && revision != 0)
        error = memory_check_held(self, revision);
    Delivery *answer = answer_new(self, DELIVERY_ANSWER, done, user, error);
    if (!error) {
        Tree *changed = memory_changed_since(self, prefix, revision ? revision : self->revision);
        memory_collect(self, changed, prefix, from, limit, answer);
        tree_free(changed);
    }
    outbox_push_one(&self->outbox, answer);
}

static void memory_forget(MemoryStore *self, int64_t revision) {
    while (self->floor < revision) {
        change_clear(memory_change(self, self->floor + 1));
        self->floor++;
    }
}

// Takes over the references of `change`, which gets the next revision.
static void memory_commit(MemoryStore *self, Change change) {
    assert(change.revision == self->revision + 1);
    if (change.revision - self->floor > STORE_HISTORY)
        memory_forget(self, self->floor + 1);
    self->revision = change.revision;
    *memory_change(self, change.revision) = change;

    Delivery *delivery = delivery_new(DELIVERY_CHANGES);
    delivery->revision = change.revision;
    change_list_push(&delivery->changes, change_copy(&change));
    outbox_push_one(&self->outbox, delivery);
}

static void memory_put(Store *store, Str key, Bytes *value, int64_t expected, unsigned flags,
                       StoreDone done, void *user) {
    MemoryStore *self = memory_store(store);
    int error = limits_check_put(key, value);
    if (error) {
        memory_answer(self, done, user, error, NULL);
        return;
    }
    Row *row = tree_get(self->rows, key);
    if (expected != STORE_ANY && expected != (row ? row->revision : STORE_ABSENT)) {
        memory_answer(self, done, user, STORE_E_CONFLICT, row);
        return;
    }
    int64_t revision = self->revision + 1;
    Change change = {.value = bytes_ref(value), .revision = revision};
    if (row) {
        change.key = bytes_ref(row->key);
        change.previous = row->value; // its reference moves
        change.create_revision = row->create_revision;
        change.previous_revision = row->revision;
    } else {
        row = memory_new(Row);
        row->key = bytes_new(key.ptr, key.len);
        row->create_revision = revision;
        tree_put(self->rows, row->key, row);
        change.key = bytes_ref(row->key);
        change.create_revision = revision;
    }
    row->value = bytes_ref(value);
    row->revision = revision;
    memory_commit(self, change);
    memory_answer(self, done, user, 0, row);
}

static void memory_remove(Store *store, Str key, int64_t expected, StoreDone done, void *user) {
    MemoryStore *self = memory_store(store);
    int error = limits_check_key(key);
    Row *row = error ? NULL : tree_get(self->rows, key);
    if (!error && (!row || (expected != STORE_ANY && expected != row->revision)))
        error = STORE_E_CONFLICT;
    if (error) {
        memory_answer(self, done, user, error, row);
        return;
    }
    memory_commit(self, (Change){.key = bytes_ref(row->key),
                                 .previous = bytes_ref(row->value),
                                 .create_revision = row->create_revision,
                                 .revision = self->revision + 1,
                                 .previous_revision = row->revision});
    memory_answer(self, done, user, 0, row);
    tree_remove(self->rows, key);
    row_clear(row);
    free(row);
}

static StoreWatch *memory_watch(Store *store, Str prefix, int64_t from_revision,
                                void (*on_events)(void *, const StoreEvent *, size_t, int64_t),
                                void (*on_error)(void *, int), void *user) {
    MemoryStore *self = memory_store(store);
    StoreWatch *watch =
        outbox_watch(&self->outbox, prefix, from_revision, on_events, on_error, user);
    int error = limits_check_prefix(prefix, STR_NONE);
    if (!error)
        error = memory_check_held(self, from_revision);
    Delivery *delivery = delivery_new(error ? DELIVERY_WATCH_ERROR : DELIVERY_CATCH_UP);
    delivery->watch = watch;
    delivery->error = error;
    delivery->revision = self->revision;
    delivery->live = true;
    for (int64_t r = from_revision ? from_revision + 1 : 2; !error && r <= self->revision; r++) {
        const Change *change = memory_change(self, r);
        if (str_starts_with(bytes_str(change->key), prefix))
            change_list_push(&delivery->changes, change_copy(change));
    }
    outbox_push_one(&self->outbox, delivery);
    return watch;
}

static void memory_sync(Store *store, StoreDone done, void *user) {
    MemoryStore *self = memory_store(store);
    outbox_push_one(&self->outbox, answer_new(self, DELIVERY_SYNC, done, user, 0));
}

static void memory_compact(Store *store, int64_t revision, StoreDone done, void *user) {
    MemoryStore *self = memory_store(store);
    int error = memory_check_held(self, revision);
    if (!error)
        memory_forget(self, revision);
    memory_answer(self, done, user, error, NULL);
}

static void memory_close(Store *store, void (*closed)(void *user), void *user) {
    MemoryStore *self = memory_store(store);
    self->closing = true;
    self->closed = closed;
    self->closed_user = user;
    outbox_push_one(&self->outbox, delivery_new(DELIVERY_CLOSED));
}

static void memory_closed(void *user) {
    MemoryStore *self = user;
    for (TreeNode *node = tree_seek(self->rows, STR("")); node; node = tree_next(node)) {
        Row *row = tree_value(node);
        row_clear(row);
        free(row);
    }
    tree_free(self->rows);
    memory_forget(self, self->revision);
    free(self->history);
    outbox_deinit(&self->outbox);
    if (self->closed)
        self->closed(self->closed_user);
    free(self);
}

static const StoreOps memory_ops = {
    .get = memory_get,
    .range = memory_range,
    .put = memory_put,
    .remove = memory_remove,
    .watch = memory_watch,
    .watch_cancel = outbox_watch_cancel,
    .sync = memory_sync,
    .compact = memory_compact,
    .close = memory_close,
};

Store *store_memory_new(Loop *loop) {
    MemoryStore *self = memory_new(MemoryStore);
    self->store = (Store){&memory_ops, loop};
    self->rows = tree_new();
    self->revision = self->floor = 1; // never 0, which means "now"
    self->history = memory_zalloc(STORE_HISTORY * sizeof(Change));
    outbox_init(&self->outbox, loop, NULL, memory_closed, self);
    return &self->store;
}
