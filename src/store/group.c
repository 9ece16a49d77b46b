#include "store/group.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "store/writer.h"

enum {
    // Revisions reserved ahead; after a crash, what is left of them is skipped.
    RESERVE = 2000,
    // Volatile puts wait for company, but not in any amount.
    PENDING_CHANGES = 4096,
    PENDING_BYTES = 1 << 20,
    // When they cannot be written because the disk is full: refused above this many times the
    // amount.
    PENDING_PATIENCE = 4,
    PRUNE_BATCH = 32,
};

// What may happen to the writes of a group.
typedef enum Mode {
    MODE_VOLATILE, // none is durable: nothing is committed
    MODE_DURABLE,
    MODE_REFUSE_DURABLE, // a commit failed
    MODE_REFUSE_ALL,     // even reading fails
} Mode;

typedef struct Attempt {
    Group *group;
    Mode mode;
    int refusal;     // for what the mode refuses
    bool is_forced;  // commits even when nothing durable was written
    List deliveries; // what comes of it
    // Since the last sync or new watch: changes reach the watches before the answers go out.
    ChangeList changes;
    List answers;
    size_t writes;
    bool has_durable; // a write that needs the commit
    bool committed;
} Attempt;

void group_init(Group *group, Database *database) {
    *group = (Group){.database = database, .revision = database->revision};
    // Revisions may have been given out that left no trace. The one above them all is the first
    // that says something new: what is there without what was lost.
    if (database->is_clean)
        group->revision = database->reserved;
    else if (database->reserved > database->revision)
        group->revision = database->reserved + 1;
}

static void group_forget_pending(Group *group, size_t keep) {
    for (size_t i = keep; i < group->pending.n; i++) {
        group->pending_bytes -= group->pending.items[i].value->len;
        change_clear(&group->pending.items[i]);
    }
    group->pending.n = keep;
    if (keep == 0)
        change_list_clear(&group->pending);
}

static int group_open(Group *group) {
    if (group->is_open)
        return 0;
    int error = database_begin(group->database);
    for (size_t i = 0; !error && i < group->pending.n; i++)
        error = database_append(group->database, &group->pending.items[i]);
    group->is_open = !error;
    if (error)
        database_rollback(group->database);
    return error;
}

static void group_rollback(Group *group) {
    database_rollback(group->database);
    group->is_open = false;
}

// Reads need the transaction only while it holds something that is not in the database.
static int group_open_to_read(Group *group) {
    return group->pending.n ? group_open(group) : 0;
}

static int group_commit(Group *group) {
    int error = database_commit(group->database);
    if (error)
        return error;
    group->is_open = false;
    group_forget_pending(group, 0);
    return 0;
}

int group_close(Group *group) {
    int error = 0;
    if (group->pending.n || !group->database->is_clean) {
        error = group_open(group);
        if (!error) {
            group->database->reserved = group->revision; // nothing is lost, nothing to be skipped
            group->database->is_clean = true;
            error = database_save(group->database);
        }
        if (!error)
            error = group_commit(group);
        if (error)
            group_rollback(group);
    }
    group_forget_pending(group, 0);
    return error;
}

static Delivery *answer_new(Attempt *attempt, DeliveryKind kind, const Request *request,
                            int error) {
    Delivery *answer = delivery_new(kind);
    answer->done = request->done;
    answer->user = request->user;
    answer->error = error;
    answer->revision = attempt->group->revision;
    return answer;
}

static void attempt_answer(Attempt *attempt, const Request *request, int error, Row *row) {
    Delivery *answer = answer_new(attempt, DELIVERY_ANSWER, request, error);
    if (row && row->key)
        row_list_push(&answer->rows, *row);
    list_append(&attempt->answers, &answer->link);
}

static void attempt_flush(Attempt *attempt) {
    if (attempt->changes.n) {
        Delivery *delivery = delivery_new(DELIVERY_CHANGES);
        delivery->revision = attempt->group->revision;
        delivery->changes = attempt->changes;
        attempt->changes = (ChangeList){0};
        list_append(&attempt->deliveries, &delivery->link);
    }
    Delivery *answer;
    list_for_each(answer, &attempt->answers, link) {
        list_remove(&answer->link);
        list_append(&attempt->deliveries, &answer->link);
    }
}

static int attempt_get(Attempt *attempt, const Request *request) {
    Row row;
    int error = group_open_to_read(attempt->group);
    if (!error)
        error = database_find(attempt->group->database, request->key, &row);
    if (!error)
        attempt_answer(attempt, request, 0, &row);
    return error;
}

static int attempt_range(Attempt *attempt, const Request *request) {
    Group *group = attempt->group;
    int error = group_open_to_read(group);
    if (!error && request->revision)
        error = database_check_held(group->database, request->revision, group->revision);
    if (error == STORE_E_COMPACTED || error == STORE_E_FUTURE) {
        attempt_answer(attempt, request, error, NULL);
        return 0;
    }
    if (error)
        return error;
    Delivery *answer = answer_new(attempt, DELIVERY_ANSWER, request, 0);
    error = database_range(group->database, bytes_str(request->key), bytes_str(request->from),
                           request->revision, request->limit, answer);
    if (error)
        delivery_free(answer);
    else
        list_append(&attempt->answers, &answer->link);
    return error;
}

static bool request_is_volatile(const Request *request) {
    return request->kind == REQUEST_PUT && (request->flags & STORE_VOLATILE);
}

// Writes `change`, whose references it takes, and answers with `row`, likewise.
static int attempt_write(Attempt *attempt, const Request *request, Change change, Row row) {
    Group *group = attempt->group;
    int error = group_open(group);
    if (!error)
        error = database_append(group->database, &change);
    if (error) {
        change_clear(&change);
        row_clear(&row);
        return error;
    }
    group->revision = change.revision;
    attempt->writes++;
    if (request_is_volatile(request)) {
        Change kept = {bytes_ref(change.key),  bytes_ref(change.value), NULL,
                       change.create_revision, change.revision,         change.previous_revision};
        change_list_push(&group->pending, kept);
        group->pending_bytes += kept.value->len;
    } else {
        attempt->has_durable = true;
    }
    attempt_answer(attempt, request, 0, &row);
    change_list_push(&attempt->changes, change);
    return 0;
}

static int attempt_put(Attempt *attempt, const Request *request) {
    Row row;
    int error = group_open_to_read(attempt->group);
    if (!error)
        error = database_find(attempt->group->database, request->key, &row);
    if (error)
        return error;
    if (request->revision != STORE_ANY && request->revision != row.revision) {
        attempt_answer(attempt, request, STORE_E_CONFLICT, &row);
        return 0;
    }
    int64_t revision = attempt->group->revision + 1;
    Change change = {.key = bytes_ref(request->key),
                     .value = bytes_ref(request->value),
                     .previous = bytes_ref(row.value),
                     .create_revision = row.key ? row.create_revision : revision,
                     .revision = revision,
                     .previous_revision = row.revision};
    row_clear(&row);
    return attempt_write(attempt, request, change,
                         (Row){bytes_ref(request->key), bytes_ref(request->value),
                               change.create_revision, revision});
}

static int attempt_remove(Attempt *attempt, const Request *request) {
    Row row;
    int error = group_open_to_read(attempt->group);
    if (!error)
        error = database_find(attempt->group->database, request->key, &row);
    if (error)
        return error;
    if (!row.key || (request->revision != STORE_ANY && request->revision != row.revision)) {
        attempt_answer(attempt, request, STORE_E_CONFLICT, &row);
        return 0;
    }
    Change change = {.key = bytes_ref(request->key),
                     .previous = bytes_ref(row.value),
                     .create_revision = row.create_revision,
                     .revision = attempt->group->revision + 1,
                     .previous_revision = row.revision};
    return attempt_write(attempt, request, change, row);
}

static int attempt_watch(Attempt *attempt, const Request *request) {
    Group *group = attempt->group;
    attempt_flush(attempt); // what came before is read; what comes after is live
    int error = group_open_to_read(group);
    // It may have been forgotten while the watch was reading.
    if (!error && (request->is_first || request->revision < group->database->floor))
        error = database_check_held(group->database, request->revision, group->revision);
    if (error != 0 && error != STORE_E_COMPACTED && error != STORE_E_FUTURE)
        return error;
    Delivery *delivery = delivery_new(error ? DELIVERY_WATCH_ERROR : DELIVERY_CATCH_UP);
    delivery->watch = request->watch;
    delivery->error = error;
    if (!error) {
        error = database_changes(group->database, bytes_str(request->key), request->revision,
                                 &delivery->changes, &delivery->revision, &delivery->live);
        if (error) {
            delivery_free(delivery);
            return error;
        }
        if (delivery->live)
            delivery->revision = group->revision;
    }
    list_append(&attempt->deliveries, &delivery->link);
    return 0;
}

static int attempt_compact(Attempt *attempt, const Request *request) {
    Group *group = attempt->group;
    int error = group_open(group);
    if (!error)
        error = database_check_held(group->database, request->revision, group->revision);
    if (error == STORE_E_COMPACTED || error == STORE_E_FUTURE) {
        attempt_answer(attempt, request, error, NULL);
        return 0;
    }
    if (!error)
        error = database_prune(group->database, request->revision, SIZE_MAX);
    if (!error)
        error = database_save(group->database);
    if (error)
        return error;
    attempt->has_durable = true;
    attempt_answer(attempt, request, 0, NULL);
    return 0;
}

static void attempt_sync(Attempt *attempt, const Request *request) {
    attempt_flush(attempt);
    Delivery *answer = answer_new(attempt, DELIVERY_SYNC, request, 0);
    list_append(&attempt->deliveries, &answer->link);
}

static void attempt_refuse(Attempt *attempt, const Request *request, int error) {
    if (request->kind == REQUEST_WATCH) {
        attempt_flush(attempt);
        Delivery *delivery = delivery_new(DELIVERY_WATCH_ERROR);
        delivery->watch = request->watch;
        delivery->error = error;
        list_append(&attempt->deliveries, &delivery->link);
    } else {
        attempt_answer(attempt, request, error, NULL);
    }
}

// Why this request cannot be tried, or 0.
static int attempt_refusal(const Attempt *attempt, const Request *request) {
    const Group *group = attempt->group;
    if (request->error)
        return request->error;
    if (request->kind == REQUEST_SYNC)
        return 0;
    if (attempt->mode == MODE_REFUSE_ALL)
        return attempt->refusal;
    if (attempt->mode == MODE_REFUSE_DURABLE && request_is_volatile(request) &&
        (group->revision >= group->database->reserved ||
         group->pending.n >= PENDING_PATIENCE * PENDING_CHANGES ||
         group->pending_bytes >= (size_t)PENDING_PATIENCE * PENDING_BYTES))
        return attempt->refusal;
    bool is_durable = request->kind == REQUEST_REMOVE || request->kind == REQUEST_COMPACT ||
                      (request->kind == REQUEST_PUT && !request_is_volatile(request));
    return attempt->mode == MODE_REFUSE_DURABLE && is_durable ? attempt->refusal : 0;
}

static int attempt_request(Attempt *attempt, const Request *request) {
    int refusal = attempt_refusal(attempt, request);
    if (refusal) {
        attempt_refuse(attempt, request, refusal);
        return 0;
    }
    switch (request->kind) {
    case REQUEST_GET:
        return attempt_get(attempt, request);
    case REQUEST_RANGE:
        return attempt_range(attempt, request);
    case REQUEST_PUT:
        return attempt_put(attempt, request);
    case REQUEST_REMOVE:
        return attempt_remove(attempt, request);
    case REQUEST_WATCH:
        return attempt_watch(attempt, request);
    case REQUEST_COMPACT:
        return attempt_compact(attempt, request);
    case REQUEST_SYNC:
        attempt_sync(attempt, request);
        return 0;
    case REQUEST_CLOSE:
        break;
    }
    abort();
}

// What a commit carries besides: forgetting, reserving, giving back space.
static int attempt_tidy(Attempt *attempt) {
    Group *group = attempt->group;
    Database *database = group->database;
    bool save = false;
    int64_t target = group->revision - STORE_HISTORY;
    int error = 0;
    if (target >= database->floor + PRUNE_BATCH) {
        // Twice as fast as it grows, so that it gets there.
        error = database_prune(database, target, 2 * attempt->writes + PRUNE_BATCH);
        save = true;
    }
    if (!error)
        error = database_shrink(database);
    if (!error && (database->is_clean || database->reserved - group->revision < RESERVE / 2)) {
        database->reserved = group->revision + RESERVE;
        database->is_clean = false;
        save = true;
    }
    return !error && save ? database_save(database) : error;
}

static int attempt_run(Attempt *attempt, List *requests) {
    Group *group = attempt->group;
    list_init(&attempt->deliveries);
    list_init(&attempt->answers);
    int error = 0;
    Request *request;
    list_for_each(request, requests, link) {
        error = attempt_request(attempt, request);
        if (error)
            return error;
    }
    if (attempt->mode == MODE_DURABLE && (attempt->has_durable || attempt->is_forced)) {
        error = group_open(group);
        if (!error)
            error = attempt_tidy(attempt);
        if (!error)
            error = group_commit(group);
        if (error)
            return error;
        attempt->committed = true;
    }
    attempt_flush(attempt);
    return 0;
}

// Whether the group needs a commit before it is answered.
static Mode group_mode(const Group *group, List *requests, bool *ret_forced) {
    int64_t writes = 0;
    bool durable = false;
    Request *request;
    list_for_each(request, requests, link) {
        bool is_write = request->kind == REQUEST_PUT || request->kind == REQUEST_REMOVE ||
                        request->kind == REQUEST_COMPACT;
        if (!is_write || request->error)
            continue;
        writes++;
        durable |= !request_is_volatile(request);
    }
    *ret_forced =
        writes && (group->pending.n >= PENDING_CHANGES || group->pending_bytes >= PENDING_BYTES ||
                   group->revision + writes > group->database->reserved);
    return durable || *ret_forced ? MODE_DURABLE : MODE_VOLATILE;
}

typedef struct SavedGroup {
    int64_t revision, reserved, floor;
    bool is_clean;
    size_t pending;
} SavedGroup;

static SavedGroup group_save(const Group *group) {
    const Database *database = group->database;
    return (SavedGroup){group->revision, database->reserved, database->floor, database->is_clean,
                        group->pending.n};
}

// Undoes an attempt that failed with `error`.
static void attempt_undo(Attempt *attempt, const SavedGroup *before, int error) {
    Group *group = attempt->group;
    deliveries_free(&attempt->deliveries);
    deliveries_free(&attempt->answers);
    change_list_clear(&attempt->changes);
    group_rollback(group);
    group_forget_pending(group, before->pending);
    group->database->reserved = before->reserved;
    group->database->floor = before->floor;
    group->database->is_clean = before->is_clean;
    // After a full disk nothing was written. After other errors something may turn up once the
    // process is started again: its revisions are not given out a second time.
    if (error == STORE_E_FULL || group->revision > before->reserved)
        group->revision = before->revision;
}

int group_run(Group *group, List *requests, List *deliveries, bool *ret_committed) {
    Attempt attempt = {.group = group};
    attempt.mode = group_mode(group, requests, &attempt.is_forced);
    for (;;) {
        SavedGroup before = group_save(group);
        int error = attempt_run(&attempt, requests);
        if (!error)
            break;
        assert(attempt.mode != MODE_REFUSE_ALL);
        attempt_undo(&attempt, &before, error);
        attempt =
            (Attempt){.group = group,
                      .refusal = error,
                      .mode = attempt.mode == MODE_DURABLE ? MODE_REFUSE_DURABLE : MODE_REFUSE_ALL};
    }
    Delivery *delivery;
    list_for_each(delivery, &attempt.deliveries, link) {
        list_remove(&delivery->link);
        list_append(deliveries, &delivery->link);
    }
    *ret_committed = attempt.committed;
    return attempt.refusal;
}
