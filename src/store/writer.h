#pragma once
// The thread that owns the database. It takes whatever calls have queued up as one group, decides
// them in order, commits once, and hands the outcome to the outbox.

#include "store/database.h"
#include "store/outbox.h"

typedef enum RequestKind {
    REQUEST_GET,
    REQUEST_RANGE,
    REQUEST_PUT,
    REQUEST_REMOVE,
    REQUEST_WATCH, // the next part of a watch's catch-up
    REQUEST_SYNC,
    REQUEST_COMPACT,
    REQUEST_CLOSE, // the last one
} RequestKind;

typedef struct Request {
    ListLink link;
    RequestKind kind;
    int error;        // refused before it got here
    Bytes *key;       // or prefix
    Bytes *from;      // range
    Bytes *value;     // put
    int64_t revision; // expected, or of the range, the compaction, the watch's position
    size_t limit;
    unsigned flags;
    bool is_first; // watch: has not read anything yet
    StoreWatch *watch;
    StoreDone done;
    void *user;
} Request;

typedef struct Writer Writer;

// Starts the thread. Takes the database over; the outbox must outlive the writer.
int writer_new(Database *database, Outbox *outbox, Writer **ret)
    __attribute__((warn_unused_result));
Request *writer_request_new(RequestKind kind, StoreDone done, void *user);
void writer_submit(Writer *writer, Request *request); // takes it over
// After DELIVERY_CLOSED came: ends the thread and frees everything.
void writer_free(Writer *writer);
