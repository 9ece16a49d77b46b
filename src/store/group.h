#pragma once
// How a group of calls is decided against the database and committed at once. No threads here.
//
// Volatile puts are kept in memory (`pending`) until the next commit that something durable needs.
// Meanwhile they also stand in a transaction that is open but not committed, so that reads have one
// place to look at; when that transaction fails or is rolled back, they are written into the next.

#include "store/database.h"

typedef struct Group {
    Database *database;
    int64_t revision;     // the store's
    ChangeList pending;   // volatile, acknowledged, not committed
    size_t pending_bytes; // of their values
    bool is_open;         // a transaction, with everything pending in it
} Group;

void group_init(Group *group, Database *database);
// Decides the requests (a list of Request, not REQUEST_CLOSE) and appends what is to be delivered.
// Returns 0, or the error with which durable writes were refused.
int group_run(Group *group, List *requests, List *deliveries, bool *ret_committed);
// Writes what is pending; the group is empty afterwards.
int group_close(Group *group) __attribute__((warn_unused_result));
