#include "store/outbox.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

struct StoreWatch {
    ListLink link;
    Outbox *outbox;
    Bytes *prefix;
    int64_t position; // everything up to it was delivered
    int64_t told;     // the last revision that on_events was given
    bool live;        // gets DELIVERY_CHANGES
    bool busy;        // its catch-up is on the way
    bool ended;       // no callback may follow
    void (*on_events)(void *user, const StoreEvent *events, size_t n, int64_t revision);
    void (*on_error)(void *user, int error);
    void *user;
};

Row row_copy(const Row *row) {
    bytes_ref(row->key);
    bytes_ref(row->value);
    return *row;
}

void row_clear(Row *row) {
    bytes_unref(row->key);
    bytes_unref(row->value);
    *row = (Row){0};
}

void row_list_push(RowList *list, Row row) {
    if (list->n == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 1;
        list->items = memory_resize_array(list->items, list->capacity, sizeof(Row));
    }
    list->items[list->n++] = row;
}

void row_list_clear(RowList *list) {
    for (size_t i = 0; i < list->n; i++)
        row_clear(&list->items[i]);
    free(list->items);
    *list = (RowList){0};
}

Change change_copy(const Change *change) {
    bytes_ref(change->key);
    bytes_ref(change->value);
    bytes_ref(change->previous);
    return *change;
}

void change_clear(Change *change) {
    bytes_unref(change->key);
    bytes_unref(change->value);
    bytes_unref(change->previous);
    *change = (Change){0};
}

void change_list_push(ChangeList *list, Change change) {
    if (list->n == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 1;
        list->items = memory_resize_array(list->items, list->capacity, sizeof(Change));
    }
    list->items[list->n++] = change;
}

void change_list_clear(ChangeList *list) {
    for (size_t i = 0; i < list->n; i++)
        change_clear(&list->items[i]);
    free(list->items);
    *list = (ChangeList){0};
}

Delivery *delivery_new(DeliveryKind kind) {
    Delivery *delivery = memory_new(Delivery);
    delivery->kind = kind;
    delivery->remaining = -1;
    return delivery;
}

void delivery_free(Delivery *delivery) {
    row_list_clear(&delivery->rows);
    change_list_clear(&delivery->changes);
    free(delivery);
}

void deliveries_free(List *deliveries) {
    Delivery *delivery;
    list_for_each(delivery, deliveries, link) {
        list_remove(&delivery->link);
        delivery_free(delivery);
    }
}

static void outbox_run(void *user);

void outbox_init(Outbox *outbox, Loop *loop, void (*resume)(void *, StoreWatch *),
                 void (*closed)(void *), void *user) {
    *outbox = (Outbox){.loop = loop, .resume = resume, .closed = closed, .user = user};
    outbox->task = (LoopTask){.fn = outbox_run, .user = outbox};
    pthread_mutex_init(&outbox->lock, NULL);
    list_init(&outbox->queue);
    list_init(&outbox->watches);
    list_init(&outbox->syncs);
}

static void watch_free(StoreWatch *watch) {
    list_remove(&watch->link);
    bytes_unref(watch->prefix);
    free(watch);
}

void outbox_deinit(Outbox *outbox) {
    loop_task_cancel(outbox->loop, &outbox->task);
    deliveries_free(&outbox->queue);
    deliveries_free(&outbox->syncs);
    StoreWatch *watch;
    list_for_each(watch, &outbox->watches, link) watch_free(watch);
    pthread_mutex_destroy(&outbox->lock);
    free(outbox->events);
}

static void list_move(List *to, List *from) {
    for (ListLink *link; (link = list_first(from));) {
        list_remove(link);
        list_append(to, link);
    }
}

void outbox_push(Outbox *outbox, List *deliveries) {
    if (list_is_empty(deliveries))
        return;
    pthread_mutex_lock(&outbox->lock);
    list_move(&outbox->queue, deliveries);
    pthread_mutex_unlock(&outbox->lock);
    loop_post(outbox->loop, &outbox->task);
}

void outbox_push_one(Outbox *outbox, Delivery *delivery) {
    List one;
    list_init(&one);
    list_append(&one, &delivery->link);
    outbox_push(outbox, &one);
}

StoreWatch *outbox_watch(Outbox *outbox, Str prefix, int64_t from_revision,
                         void (*on_events)(void *, const StoreEvent *, size_t, int64_t),
                         void (*on_error)(void *, int), void *user) {
    StoreWatch *watch = memory_new(StoreWatch);
    watch->outbox = outbox;
    watch->prefix = bytes_new(prefix.ptr, prefix.len);
    watch->position = from_revision;
    watch->busy = true;
    watch->on_events = on_events;
    watch->on_error = on_error;
    watch->user = user;
    list_append(&outbox->watches, &watch->link);
    return watch;
}

Bytes *watch_prefix(const StoreWatch *watch) {
    return watch->prefix;
}
int64_t watch_position(const StoreWatch *watch) {
    return watch->position;
}

static void watch_end(StoreWatch *watch) {
    assert(!watch->ended);
    watch->ended = true;
    watch->outbox->reap = true;
}

static void outbox_reap(Outbox *outbox) {
    if (!outbox->reap || outbox->delivering)
        return;
    outbox->reap = false;
    StoreWatch *watch;
    list_for_each(watch, &outbox->watches, link) {
        if (watch->ended && !watch->busy)
            watch_free(watch);
    }
}

void outbox_watch_cancel(StoreWatch *watch) {
    Outbox *outbox = watch->outbox;
    watch_end(watch);
    outbox_reap(outbox);
    if (!list_is_empty(&outbox->syncs)) // one of them may have waited for this watch only
        loop_post(outbox->loop, &outbox->task);
}

static void watch_tell(StoreWatch *watch, const StoreEvent *events, size_t n, int64_t revision) {
    watch->told = revision;
    watch->on_events(watch->user, events, n, revision);
}

// Hands `watch` those of the changes that it has not seen, up to `revision`.
static void outbox_tell(Outbox *outbox, StoreWatch *watch, const ChangeList *changes,
                        int64_t revision) {
    if (outbox->events_capacity < changes->n) {
        outbox->events_capacity = changes->n;
        outbox->events = memory_resize_array(outbox->events, changes->n, sizeof(StoreEvent));
    }
    size_t n = 0;
    for (size_t i = 0; i < changes->n; i++) {
        const Change *change = &changes->items[i];
        if (change->revision <= watch->position ||
            !str_starts_with(bytes_str(change->key), bytes_str(watch->prefix)))
            continue;
        outbox->events[n++] = (StoreEvent){.deleted = !change->value,
                                           .key = bytes_str(change->key),
                                           .value = change->value,
                                           .previous = change->previous,
                                           .create_revision = change->create_revision,
                                           .revision = change->revision,
                                           .previous_revision = change->previous_revision};
    }
    assert(revision >= watch->position);
    watch->position = revision;
    if (n > 0 || !watch->live)
        watch_tell(watch, outbox->events, n, revision);
}

static void outbox_changes(Outbox *outbox, const Delivery *delivery) {
    StoreWatch *watch;
    list_for_each(watch, &outbox->watches, link) {
        if (watch->live && !watch->ended)
            outbox_tell(outbox, watch, &delivery->changes, delivery->revision);
    }
}

static void outbox_catch_up(Outbox *outbox, const Delivery *delivery) {
    StoreWatch *watch = delivery->watch;
    assert(watch->busy && !watch->live);
    watch->busy = false;
    outbox->reap |= watch->ended;
    if (!watch->ended)
        outbox_tell(outbox, watch, &delivery->changes, delivery->revision);
    if (watch->ended)
        return;
    watch->live = delivery->live;
    if (!watch->live) {
        watch->busy = true;
        outbox->resume(outbox->user, watch);
    }
}

static void outbox_watch_error(Outbox *outbox, const Delivery *delivery) {
    StoreWatch *watch = delivery->watch;
    assert(watch->busy);
    watch->busy = false;
    outbox->reap |= watch->ended;
    if (watch->ended)
        return;
    watch_end(watch);
    watch->on_error(watch->user, delivery->error);
}

static void outbox_answer(Delivery *delivery) {
    StoreRecord one;
    StoreRecord *records =
        delivery->rows.n <= 1 ? &one : memory_resize_array(NULL, delivery->rows.n, sizeof *records);
    for (size_t i = 0; i < delivery->rows.n; i++) {
        const Row *row = &delivery->rows.items[i];
        records[i] =
            (StoreRecord){bytes_str(row->key), row->value, row->create_revision, row->revision};
    }
    StoreResult result = {delivery->revision, records, delivery->rows.n, delivery->more,
                          delivery->remaining};
    delivery->done(delivery->user, delivery->error, &result);
    if (records != &one)
        free(records);
}

static bool outbox_reached(const Outbox *outbox, int64_t revision) {
    StoreWatch *watch;
    list_for_each(watch, &outbox->watches, link) {
        if (!watch->ended && !watch->live && watch->position < revision)
            return false;
    }
    return true;
}

// Tells every live watch that `revision` has been reached.
static void outbox_advance(Outbox *outbox, int64_t revision) {
    StoreWatch *watch;
    list_for_each(watch, &outbox->watches, link) {
        if (!watch->live || watch->ended || watch->told >= revision)
            continue;
        if (watch->position < revision) // nothing changed since
            watch->position = revision;
        watch_tell(watch, NULL, 0, watch->position);
    }
}

static void outbox_answer_syncs(Outbox *outbox) {
    Delivery *sync;
    list_for_each(sync, &outbox->syncs, link) {
        if (!outbox_reached(outbox, sync->revision))
            break;
        outbox_advance(outbox, sync->revision);
        list_remove(&sync->link);
        outbox_answer(sync);
        delivery_free(sync);
    }
}

// Every watch ends here, so that no sync waits any longer.
static void outbox_end(Outbox *outbox) {
    StoreWatch *watch;
    list_for_each(watch, &outbox->watches, link) {
        if (!watch->ended)
            watch_end(watch);
    }
    outbox_answer_syncs(outbox);
}

static void outbox_deliver(Outbox *outbox, Delivery *delivery) {
    switch (delivery->kind) {
    case DELIVERY_ANSWER:
        outbox_answer(delivery);
        break;
    case DELIVERY_CHANGES:
        outbox_changes(outbox, delivery);
        break;
    case DELIVERY_CATCH_UP:
        outbox_catch_up(outbox, delivery);
        break;
    case DELIVERY_WATCH_ERROR:
        outbox_watch_error(outbox, delivery);
        break;
    case DELIVERY_SYNC:
        list_append(&outbox->syncs, &delivery->link);
        return;
    case DELIVERY_CLOSED:
        outbox_end(outbox);
        break;
    }
    delivery_free(delivery);
}

static void outbox_run(void *user) {
    Outbox *outbox = user;
    List batch;
    list_init(&batch);
    pthread_mutex_lock(&outbox->lock);
    list_move(&batch, &outbox->queue);
    pthread_mutex_unlock(&outbox->lock);

    assert(!outbox->delivering);
    outbox->delivering = true;
    bool closed = false;
    for (ListLink *link; (link = list_first(&batch));) {
        Delivery *delivery = container_of(link, Delivery, link);
        list_remove(link);
        assert(!closed);
        closed = delivery->kind == DELIVERY_CLOSED;
        outbox_deliver(outbox, delivery);
        outbox_answer_syncs(outbox);
    }
    outbox_answer_syncs(outbox);
    outbox->delivering = false;
    outbox_reap(outbox);
    if (closed)
        outbox->closed(outbox->user); // frees the outbox
}
