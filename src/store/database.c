#include "store/database.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/memory.h"
#include "store/tree.h"

// A part of a catch-up: what it reads at once stays small.
enum { CHANGES_AT_ONCE = 512, CHANGES_SCANNED_AT_ONCE = 4096, CHANGES_BYTES_AT_ONCE = 1 << 20 };
// Free pages are given back when there are this many and they are a quarter of the file, in steps.
enum { FREE_PAGES_KEPT = 1024 };

static const char *const statement_texts[STATEMENTS] = {
    [STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
    [STATEMENT_COMMIT] = "COMMIT",
    [STATEMENT_ROLLBACK] = "ROLLBACK",
    [STATEMENT_FIND] = "SELECT change.revision, create_revision, value FROM current CROSS JOIN "
                       "change ON change.revision = current.revision WHERE current.key = ?1",
    [STATEMENT_LOAD] = "SELECT key, create_revision, value FROM change WHERE revision = ?1",
    [STATEMENT_INSERT] = "INSERT INTO change (revision, key, create_revision, previous_revision, "
                         "value) VALUES (?1, ?2, ?3, ?4, ?5)",
    [STATEMENT_SET] = "INSERT INTO current (key, revision) VALUES (?1, ?2) "
                      "ON CONFLICT (key) DO UPDATE SET revision = ?2",
    [STATEMENT_UNSET] = "DELETE FROM current WHERE key = ?1",
    [STATEMENT_WALK] = "SELECT key, revision FROM current WHERE key >= ?1 ORDER BY key",
    // Values are loaded apart: a column that is named is read, with all its overflow pages.
    [STATEMENT_SINCE] = "SELECT revision, key, create_revision, previous_revision FROM change "
                        "WHERE revision > ?1 ORDER BY revision",
    [STATEMENT_AT_LEAST] = "SELECT revision FROM change WHERE revision >= ?1 ORDER BY revision "
                           "LIMIT 1",
    [STATEMENT_PRUNE] = "SELECT revision, previous_revision, typeof(value) = 'null' FROM change "
                        "WHERE revision > ?1 AND revision <= ?2 ORDER BY revision LIMIT 1",
    [STATEMENT_DELETE] = "DELETE FROM change WHERE revision = ?1",
    [STATEMENT_SAVE] = "UPDATE meta SET reserved = ?1, floor = ?2, clean = ?3",
    [STATEMENT_FREE_PAGES] = "PRAGMA freelist_count",
    [STATEMENT_PAGES] = "PRAGMA page_count",
    [STATEMENT_VACUUM] = "PRAGMA incremental_vacuum(128)",
};

int database_error(Database *database, int result) {
    int cause = sqlite3_system_errno(database->sqlite);
    switch (result & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_NOMEM:
        abort(); // as everywhere
    case SQLITE_FULL:
        return STORE_E_FULL;
    case SQLITE_CORRUPT:
        return -EUCLEAN;
    case SQLITE_NOTADB:
        return -EINVAL;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_BUSY:
        return -EBUSY;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        if (cause == ENOSPC || cause == EDQUOT)
            return STORE_E_FULL;
        return cause ? -cause : -EIO;
    default:
        return -EIO;
    }
}

static int database_prepare(Database *database, DatabaseStatement which, sqlite3_stmt **ret) {
    sqlite3_stmt **statement = &database->statements[which];
    if (!*statement) {
        int result = sqlite3_prepare_v3(database->sqlite, statement_texts[which], -1,
                                        SQLITE_PREPARE_PERSISTENT, statement, NULL);
        if (result != SQLITE_OK)
            return database_error(database, result);
    }
    *ret = *statement;
    return 0;
}

static void statement_resetp(sqlite3_stmt **statement) {
    if (*statement) {
        sqlite3_reset(*statement);
        sqlite3_clear_bindings(*statement);
    }
}
#define _statement_reset_ __attribute__((cleanup(statement_resetp)))

static void bind_bytes(sqlite3_stmt *statement, int index, Str bytes) {
    int result =
        sqlite3_bind_blob64(statement, index, bytes.ptr ? bytes.ptr : "", bytes.len, SQLITE_STATIC);
    assert(result == SQLITE_OK);
}

static void bind_integer(sqlite3_stmt *statement, int index, int64_t value) {
    int result = sqlite3_bind_int64(statement, index, value);
    assert(result == SQLITE_OK);
}

static Str column_str(sqlite3_stmt *statement, int column) {
    if (sqlite3_column_type(statement, column) == SQLITE_NULL)
        return STR_NONE;
    const void *data = sqlite3_column_blob(statement, column); // NULL when it is empty
    return (Str){data ? data : "", (size_t)sqlite3_column_bytes(statement, column)};
}

static Bytes *column_bytes(sqlite3_stmt *statement, int column) {
    Str value = column_str(statement, column);
    return value.ptr ? bytes_new(value.ptr, value.len) : NULL;
}

// For statements without result rows.
static int database_run(Database *database, sqlite3_stmt *statement) {
    int result = sqlite3_step(statement);
    return result == SQLITE_ROW ? 0 : database_error(database, result);
}

static int database_run_plain(Database *database, DatabaseStatement which) {
    _statement_reset_ sqlite3_stmt *statement = NULL;
    int error = database_prepare(database, which, &statement);
    return error ? error : database_run(database, statement);
}

int database_begin(Database *database) {
    return database_run_plain(database, STATEMENT_BEGIN);
}
int database_commit(Database *database) {
    return database_run_plain(database, STATEMENT_COMMIT);
}

void database_rollback(Database *database) {
    for (int i = 0; i < STATEMENTS; i++)
        statement_resetp(&database->statements[i]);
    // Some errors have rolled it back already.
    if (!sqlite3_get_autocommit(database->sqlite))
        (void)database_run_plain(database, STATEMENT_ROLLBACK);
    assert(sqlite3_get_autocommit(database->sqlite));
}

void database_checkpoint(Database *database) {
    int log_pages = 0, done_pages = 0;
    int result = sqlite3_wal_checkpoint_v2(database->sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE,
                                           &log_pages, &done_pages);
    if (result == SQLITE_OK && log_pages == done_pages)
        database->wal_pages = 0; // the next commit starts it over
}

int database_find(Database *database, Bytes *key, Row *ret) {
    _statement_reset_ sqlite3_stmt *statement = NULL;
    int error = database_prepare(database, STATEMENT_FIND, &statement);
    if (error)
        return error;
    bind_bytes(statement, 1, bytes_str(key));
    int result = sqlite3_step(statement);
    *ret = (Row){0};
    if (result != SQLITE_ROW)
        return database_error(database, result);
    *ret = (Row){.key = bytes_ref(key),
                 .value = column_bytes(statement, 2),
                 .create_revision = sqlite3_column_int64(statement, 1),
                 .revision = sqlite3_column_int64(statement, 0)};
    return 0;
}

// The value that `revision` wrote; it must be there.
static int database_load(Database *database, int64_t revision, Row *ret) {
    _statement_reset_ sqlite3_stmt *statement = NULL;
    int error = database_prepare(database, STATEMENT_LOAD, &statement);
    if (error)
        return error;
    bind_integer(statement, 1, revision);
    int result = sqlite3_step(statement);
    if (result == SQLITE_DONE)
        return -EUCLEAN;
    if (result != SQLITE_ROW)
        return database_error(database, result);
    *ret = (Row){.key = column_bytes(statement, 0),
                 .value = column_bytes(statement, 2),
                 .create_revision = sqlite3_column_int64(statement, 1),
                 .revision = revision};
    return 0;
}

static int database_point(Database *database, const Change *change) {
    _statement_reset_ sqlite3_stmt *statement = NULL;
    int error =
        database_prepare(database, change->value ? STATEMENT_SET : STATEMENT_UNSET, &statement);
    if (error)
        return error;
    bind_bytes(statement, 1, bytes_str(change->key));
    if (change->value)
        bind_integer(statement, 2, change->revision);
    return database_run(database, statement);
}

int database_append(Database *database, const Change *change) {
    _statement_reset_ sqlite3_stmt *statement = NULL;
    int error = database_prepare(database, STATEMENT_INSERT, &statement);
    if (error)
        return error;
    bind_integer(statement, 1, change->revision);
    bind_bytes(statement, 2, bytes_str(change->key));
    bind_integer(statement, 3, change->create_revision);
    bind_integer(statement, 4, change->previous_revision);
    if (change->value)
        bind_bytes(statement, 5, bytes_str(change->value));
    error = database_run(database, statement);
    return error ? error : database_point(database, change);
}

int database_check_held(Database *database, int64_t revision, int64_t now) {
    if (revision > now)
        return STORE_E_FUTURE;
    if (revision == 0)
        revision = 1; // before every write
    if (revision < database->floor)
        return STORE_E_COMPACTED;
    if (revision == database->floor || revision == now)
        return 0;
    _statement_reset_ sqlite3_stmt *statement = NULL;
    int error = database_prepare(database, STATEMENT_AT_LEAST, &statement);
    if (error)
        return error;
    bind_integer(statement, 1, revision);
    int result = sqlite3_step(statement);
    if (result == SQLITE_DONE)
        return STORE_E_COMPACTED; // given out, and lost in a crash
    if (result != SQLITE_ROW)
        return database_error(database, result);
    // Revisions without a change are those that a crash lost, and the one a start begins with.
    int64_t next = sqlite3_column_int64(statement, 0);
    return next == revision || next == revision + 1 ? 0 : STORE_E_COMPACTED;
}

// key -> the first Change (without values) after `revision`.
static int database_changed_since(Database *database, Str prefix, int64_t revision, Tree *tree) {
    _statement_reset_ sqlite3_stmt *statement = NULL;
    int error = database_prepare(database, STATEMENT_SINCE, &statement);
    if (error)
        return error;
    bind_integer(statement, 1, revision);
    int result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        Str key = column_str(statement, 1);
        if (!str_starts_with(key, prefix) || tree_get(tree, key))
            continue;
        Change *change = memory_new(Change);
        change->previous_revision = sqlite3_column_int64(statement, 3);
        Bytes *bytes = bytes_new(key.ptr, key.len);
        tree_put(tree, bytes, change);
        bytes_unref(bytes);
    }
    return database_error(database, result);
}

// One row of a range, or one more that the limit cut off.
static int range_add(Database *database, int64_t revision, size_t limit, Delivery *answer) {
    if (revision == 0)
        return 0; // it did not exist then
    if (limit > 0 && answer->rows.n >= limit) {
        answer->remaining++;
        return 0;
    }
    Row row;
    int error = database_load(database, revision, &row);
    if (!error)
        row_list_push(&answer->rows, row);
    return error;
}

static TreeNode *within(TreeNode *node, Str prefix) {
    return node && str_starts_with(bytes_str(tree_key(node)), prefix) ? node : NULL;
}

// Walks the current keys and lays what they were at the old revision over them.
static int range_collect(Database *database, const Tree *changed, Str prefix, Str from,
                         size_t limit, Delivery *answer) {
    _statement_reset_ sqlite3_stmt *statement = NULL;
    int error = database_prepare(database, STATEMENT_WALK, &statement);
    if (error)
        return error;
    Str start = str_cmp(from, prefix) > 0 ? from : prefix;
    bind_bytes(statement, 1, start);
    TreeNode *then = within(tree_seek(changed, start), prefix);
    int result = sqlite3_step(statement);
    for (;;) {
        Str now = result == SQLITE_ROW ? column_str(statement, 0) : STR_NONE;
        if (result == SQLITE_ROW && !str_starts_with(now, prefix)) {
            now = STR_NONE;
            result = SQLITE_DONE;
        }
        if (result != SQLITE_ROW && result != SQLITE_DONE)
            return database_error(database, result);
        if (!now.ptr && !then)
            return 0;
        int order = !now.ptr ? 1 : !then ? -1 : str_cmp(now, bytes_str(tree_key(then)));
        int64_t revision = order < 0 ? sqlite3_column_int64(statement, 1)
                                     : ((Change *)tree_value(then))->previous_revision;
        error = range_add(database, revision, limit, answer);
        if (error)
            return error;
        if (order >= 0)
            then = within(tree_next(then), prefix);
        if (order <= 0)
            result = sqlite3_step(statement);
    }
}

int database_range(Database *database, Str prefix, Str from, int64_t revision, size_t limit,
                   Delivery *answer) {
    Tree *changed = tree_new();
    int error = revision ? database_changed_since(database, prefix, revision, changed) : 0;
    answer->remaining = 0;
    if (!error)
        error = range_collect(database, changed, prefix, from, limit, answer);
    answer->more = answer->remaining > 0;
    for (TreeNode *node = tree_seek(changed, STR("")); node; node = tree_next(node))
        free(tree_value(node));
    tree_free(changed);
    return error;
}

// The change in the statement's row, with its values.
static int database_take_change(Database *database, sqlite3_stmt *statement, Change *ret) {
    *ret = (Change){.create_revision = sqlite3_column_int64(statement, 2),
                    .revision = sqlite3_column_int64(statement, 0),
                    .previous_revision = sqlite3_column_int64(statement, 3)};
    Row row, previous = {0};
    int error = database_load(database, ret->revision, &row);
    if (!error && ret->previous_revision) {
        error = database_load(database, ret->previous_revision, &previous);
        if (error)
            row_clear(&row);
    }
    if (error)
        return error;
    ret->key = row.key;
    ret->value = row.value;
    ret->previous = previous.value;
    bytes_unref(previous.key);
    return 0;
}

int database_changes(Database *database, Str prefix, int64_t position, ChangeList *changes,
                     int64_t *ret_position, bool *ret_end) {
    _statement_reset_ sqlite3_stmt *statement = NULL;
    int error = database_prepare(database, STATEMENT_SINCE, &statement);
    if (error)
        return error;
    bind_integer(statement, 1, position);
    *ret_position = position;
    *ret_end = false;
    size_t bytes = 0;
    for (int scanned = 0; scanned < CHANGES_SCANNED_AT_ONCE; scanned++) {
        if (changes->n >= CHANGES_AT_ONCE || bytes >= CHANGES_BYTES_AT_ONCE)
            return 0;
        int result = sqlite3_step(statement);
        *ret_end = result == SQLITE_DONE;
        if (result != SQLITE_ROW)
            return database_error(database, result);
        *ret_position = sqlite3_column_int64(statement, 0);
        if (!str_starts_with(column_str(statement, 1), prefix))
            continue;
        Change change;
        error = database_take_change(database, statement, &change);
        if (error)
            return error;
        bytes += bytes_str(change.value).len + bytes_str(change.previous).len;
        change_list_push(changes, change);
    }
    return 0;
}

static int database_delete(Database *database, int64_t revision) {
    _statement_reset_ sqlite3_stmt *statement = NULL;
    int error = database_prepare(database, STATEMENT_DELETE, &statement);
    if (error)
        return error;
    bind_integer(statement, 1, revision);
    return database_run(database, statement);
}

// Forgets the oldest held change up to `target`: what it replaced, and itself when it removed a
// key.
static int database_prune_one(Database *database, int64_t target, bool *ret_none) {
    int64_t revision, previous;
    bool removed;
    {
        _statement_reset_ sqlite3_stmt *statement = NULL;
        int error = database_prepare(database, STATEMENT_PRUNE, &statement);
        if (error)
            return error;
        bind_integer(statement, 1, database->floor);
        bind_integer(statement, 2, target);
        int result = sqlite3_step(statement);
        *ret_none = result == SQLITE_DONE;
        if (result != SQLITE_ROW)
            return database_error(database, result);
        revision = sqlite3_column_int64(statement, 0);
        previous = sqlite3_column_int64(statement, 1);
        removed = sqlite3_column_int(statement, 2);
    }
    int error = previous ? database_delete(database, previous) : 0;
    if (!error && removed)
        error = database_delete(database, revision);
    if (!error)
        database->floor = revision;
    return error;
}

int database_prune(Database *database, int64_t target, size_t limit) {
    for (size_t i = 0; i < limit; i++) {
        bool none;
        int error = database_prune_one(database, target, &none);
        if (error)
            return error;
        if (none) {
            if (database->floor < target)
                database->floor = target;
            return 0;
        }
    }
    return 0;
}

int database_save(Database *database) {
    _statement_reset_ sqlite3_stmt *statement = NULL;
    int error = database_prepare(database, STATEMENT_SAVE, &statement);
    if (error)
        return error;
    bind_integer(statement, 1, database->reserved);
    bind_integer(statement, 2, database->floor);
    bind_integer(statement, 3, database->is_clean);
    return database_run(database, statement);
}

static int database_count(Database *database, DatabaseStatement which, int64_t *ret) {
    _statement_reset_ sqlite3_stmt *statement = NULL;
    int error = database_prepare(database, which, &statement);
    if (!error)
        error = database_run(database, statement);
    *ret = error ? 0 : sqlite3_column_int64(statement, 0);
    return error;
}

int database_shrink(Database *database) {
    int64_t free_pages, pages = 0;
    int error = database_count(database, STATEMENT_FREE_PAGES, &free_pages);
    if (!error && free_pages >= FREE_PAGES_KEPT)
        error = database_count(database, STATEMENT_PAGES, &pages);
    if (error || free_pages < FREE_PAGES_KEPT || free_pages < pages / 4)
        return error;
    _statement_reset_ sqlite3_stmt *statement = NULL;
    error = database_prepare(database, STATEMENT_VACUUM, &statement);
    if (error)
        return error;
    int result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) // a row a page
        ;
    return database_error(database, result);
}
