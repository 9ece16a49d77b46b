#pragma once
// What the local backends share: the loop's side. A backend (perhaps on its own thread) pushes
// deliveries; they reach their callers on the loop in the order in which they were pushed: changes
// to the watches, answers to the calls.

#include <pthread.h>

#include "store/store.h"

// A state of one key, or a change of it, with references of its own.
typedef struct Row {
    Bytes *key, *value;
    int64_t create_revision, revision;
} Row;
typedef struct RowList {
    Row *items;
    size_t n, capacity;
} RowList;
Row row_copy(const Row *row); // shares key and value
void row_clear(Row *row);
void row_list_push(RowList *list, Row row); // takes over the row's references
void row_list_clear(RowList *list);

typedef struct Change {
    Bytes *key, *value, *previous; // value NULL: deleted; previous NULL: created
    int64_t create_revision, revision, previous_revision;
} Change;
typedef struct ChangeList {
    Change *items;
    size_t n, capacity;
} ChangeList;
Change change_copy(const Change *change); // shares key and values
void change_clear(Change *change);
void change_list_push(ChangeList *list, Change change); // takes over the change's references
void change_list_clear(ChangeList *list);

typedef enum DeliveryKind {
    DELIVERY_ANSWER,      // of a call
    DELIVERY_SYNC,        // the answer of store_sync(): waits for the watches
    DELIVERY_CHANGES,     // for every live watch
    DELIVERY_CATCH_UP,    // for one watch that is not live yet
    DELIVERY_WATCH_ERROR, // ends one watch
    DELIVERY_CLOSED,      // the last one
} DeliveryKind;

typedef struct Delivery {
    ListLink link;
    DeliveryKind kind;
    int error;
    int64_t revision; // the result's; of changes: everything up to it is there
    StoreDone done;
    void *user;
    RowList rows;
    bool more;
    int64_t remaining;
    ChangeList changes;
    StoreWatch *watch;
    bool live; // catch-up: this was the last part
} Delivery;

Delivery *delivery_new(DeliveryKind kind);
void delivery_free(Delivery *delivery);
void deliveries_free(List *deliveries);

typedef struct Outbox {
    Loop *loop;
    LoopTask task;
    pthread_mutex_t lock;
    List queue;   // of Delivery, under the lock
    List watches; // of StoreWatch, the loop's
    List syncs;   // of Delivery: waiting for watches that catch up
    bool delivering, reap;
    StoreEvent *events; // scratch
    size_t events_capacity;
    void (*resume)(void *user, StoreWatch *watch); // asks the backend for more of a catch-up
    void (*closed)(void *user);                    // may free the outbox
    void *user;
} Outbox;

void outbox_init(Outbox *outbox, Loop *loop, void (*resume)(void *, StoreWatch *),
                 void (*closed)(void *), void *user);
void outbox_deinit(Outbox *outbox);                 // frees watches and what was not delivered
void outbox_push(Outbox *outbox, List *deliveries); // takes them all; any thread
void outbox_push_one(Outbox *outbox, Delivery *delivery);

// A watch that waits for its first DELIVERY_CATCH_UP or DELIVERY_WATCH_ERROR; until then, and
// whenever `resume` was called, it stays allocated even when cancelled.
StoreWatch *outbox_watch(Outbox *outbox, Str prefix, int64_t from_revision,
                         void (*on_events)(void *, const StoreEvent *, size_t, int64_t),
                         void (*on_error)(void *, int), void *user);
void outbox_watch_cancel(StoreWatch *watch);
Bytes *watch_prefix(const StoreWatch *watch);    // immutable: any thread
int64_t watch_position(const StoreWatch *watch); // everything up to this revision was delivered
