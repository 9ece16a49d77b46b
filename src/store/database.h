#pragma once
// The SQLite file: its tables and statements on one connection, used by one thread at a time. Three
// tables:
//   change   every change that is held: one row a revision, with the value it wrote (NULL: removed)
//            and the revision it replaced. A key's current value is such a row too.
//   current  key -> the revision that wrote its current value
//   meta     one row: how far revisions are reserved, the oldest revision that is held
// A change is deleted once no held revision needs it: it was replaced by one that is no longer
// held.
//
// Functions return 0, negative errno, or STORE_E_FULL.

#include <sqlite3.h>

#include "store/outbox.h"

typedef enum DatabaseStatement {
    STATEMENT_BEGIN,
    STATEMENT_COMMIT,
    STATEMENT_ROLLBACK,
    STATEMENT_FIND,
    STATEMENT_LOAD,
    STATEMENT_INSERT,
    STATEMENT_SET,
    STATEMENT_UNSET,
    STATEMENT_WALK,
    STATEMENT_SINCE,
    STATEMENT_AT_LEAST,
    STATEMENT_PRUNE,
    STATEMENT_DELETE,
    STATEMENT_SAVE,
    STATEMENT_FREE_PAGES,
    STATEMENT_PAGES,
    STATEMENT_VACUUM,
    STATEMENTS,
} DatabaseStatement;

typedef struct Database {
    sqlite3 *sqlite;
    sqlite3_stmt *statements[STATEMENTS]; // prepared at first use
    int64_t reserved;                     // no revision above it was ever given out
    bool is_clean;                        // everything up to `reserved` is in the file
    int64_t floor;                        // the oldest revision that is held
    int64_t revision;                     // of the newest change, or the floor
    int wal_pages;                        // after the last commit
} Database;

// What a file of this version looks like, and how an older one becomes it. upgrades[i] is the SQL
// that turns format i + 1 into format i + 2.
typedef struct DatabaseFormat {
    int number;
    const char *const *upgrades;
} DatabaseFormat;
const DatabaseFormat *database_format(void);

// As store_sqlite_open(), without the lock.
int database_open(const char *path, const DatabaseFormat *format, Database **ret,
                  char **ret_message) __attribute__((warn_unused_result));
void database_close(Database *database); // NULL is fine

int database_begin(Database *database) __attribute__((warn_unused_result));
int database_commit(Database *database) __attribute__((warn_unused_result));
void database_rollback(Database *database); // also when nothing is open
// Copies the log into the file; when that fails, it can be tried again after the next commit.
void database_checkpoint(Database *database);

// *ret stays zeroed when the key is absent.
int database_find(Database *database, Bytes *key, Row *ret) __attribute__((warn_unused_result));
int database_append(Database *database, const Change *change) __attribute__((warn_unused_result));
// STORE_E_COMPACTED or STORE_E_FUTURE when the state at `revision` cannot be told; `now` is the
// newest.
int database_check_held(Database *database, int64_t revision, int64_t now)
    __attribute__((warn_unused_result));
// Fills in rows, more and remaining. `revision` 0: now; another must be held.
int database_range(Database *database, Str prefix, Str from, int64_t revision, size_t limit,
                   Delivery *answer) __attribute__((warn_unused_result));
// The changes with that prefix after `position`, some of them: *ret_position tells how far it got,
// *ret_end whether that is all.
int database_changes(Database *database, Str prefix, int64_t position, ChangeList *changes,
                     int64_t *ret_position, bool *ret_end) __attribute__((warn_unused_result));

// Raises the floor towards `target`, at most `limit` changes on. Inside a transaction, like the
// others below; database_save() must follow.
int database_prune(Database *database, int64_t target, size_t limit)
    __attribute__((warn_unused_result));
int database_save(Database *database)
    __attribute__((warn_unused_result)); // reserved, is_clean, floor
int database_shrink(Database *database) __attribute__((warn_unused_result)); // gives pages back

int database_error(Database *database, int result); // of an SQLite result code
