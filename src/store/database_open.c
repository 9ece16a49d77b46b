// Opening the file: settings, format, upgrades.

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/database.h"

enum { APPLICATION_ID = 0x5ea90d01, FORMAT = 1 };

static const char schema[] =
    "CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), reserved INTEGER NOT NULL, "
    "  floor INTEGER NOT NULL, clean INTEGER NOT NULL);"
    "CREATE TABLE change (revision INTEGER PRIMARY KEY, key BLOB NOT NULL, "
    "  create_revision INTEGER NOT NULL, previous_revision INTEGER NOT NULL, value BLOB);"
    "CREATE TABLE current (key BLOB PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO meta VALUES (1, 1, 1, 1);"; // the first revision is 1: 0 means "now"

// One writer, which owns the file: no shared memory file, no other process in between. The page
// cache is small, because whoever reads much keeps its own copies; nothing is written before a
// commit.
static const char lock[] = "PRAGMA locking_mode = EXCLUSIVE";          // before anything is read
static const char settings_new[] = "PRAGMA auto_vacuum = INCREMENTAL"; // while there is nothing
static const char settings[] = "PRAGMA journal_mode = WAL;"
                               "PRAGMA synchronous = FULL;" // a commit is on disk when it returns
                               "PRAGMA journal_size_limit = 4194304;"
                               "PRAGMA cache_size = -128;"
                               "PRAGMA cache_spill = OFF;"
                               "PRAGMA temp_store = MEMORY;";

const DatabaseFormat *database_format(void) {
    static const DatabaseFormat format = {FORMAT, NULL};
    return &format;
}

__attribute__((format(printf, 2, 3))) static void say(char **ret_message, const char *format, ...) {
    va_list args;
    va_start(args, format);
    free(*ret_message);
    if (vasprintf(ret_message, format, args) < 0)
        abort();
    va_end(args);
}

static int database_failed(Database *database, int result, const char *path, char **ret_message) {
    int error = database_error(database, result);
    if (error == -EINVAL)
        say(ret_message, "%s is not a seapod store", path);
    else
        say(ret_message, "cannot open %s: %s", path,
            error == STORE_E_FULL                             ? "no space left on the disk"
            : error < 0 && error != -EIO && error != -EUCLEAN ? strerror(-error)
                                                              : sqlite3_errmsg(database->sqlite));
    return error == STORE_E_FULL ? -ENOSPC : error;
}

static int database_exec(Database *database, const char *sql) {
    return sqlite3_exec(database->sqlite, sql, NULL, NULL, NULL);
}

static int first_integer(void *user, int columns, char **values, char **names) {
    *(int64_t *)user = values[0] ? strtoll(values[0], NULL, 10) : 0;
    return 0;
}

static int database_integer(Database *database, const char *sql, int64_t *ret) {
    *ret = 0;
    return sqlite3_exec(database->sqlite, sql, first_integer, ret, NULL);
}

static int wal_hook(void *user, sqlite3 *sqlite, const char *name, int pages) {
    ((Database *)user)->wal_pages = pages;
    return SQLITE_OK;
}

static int database_create(Database *database) {
    char sql[1024];
    snprintf(sql, sizeof sql,
             "BEGIN IMMEDIATE; PRAGMA application_id = %d; PRAGMA user_version = %d; %s COMMIT;",
             APPLICATION_ID, FORMAT, schema);
    return database_exec(database, sql);
}

// After a copy, in one transaction.
static int database_upgrade(Database *database, const char *path, int from,
                            const DatabaseFormat *format) {
    char *copy, *sql;
    if (asprintf(&copy, "%s.format-%d", path, from) < 0)
        abort();
    (void)unlink(copy); // of an attempt that did not get to its end
    sql = sqlite3_mprintf("VACUUM INTO %Q", copy);
    int result = database_exec(database, sql);
    sqlite3_free(sql);
    free(copy);
    if (result == SQLITE_OK)
        result = database_exec(database, "BEGIN IMMEDIATE");
    for (int number = from; result == SQLITE_OK && number < format->number; number++) {
        char version[64];
        snprintf(version, sizeof version, "PRAGMA user_version = %d", number + 1);
        result = database_exec(database, format->upgrades[number - 1]);
        if (result == SQLITE_OK)
            result = database_exec(database, version);
    }
    return result == SQLITE_OK ? database_exec(database, "COMMIT") : result;
}

// Brings the file to `format`, or says why that cannot be.
static int database_settle(Database *database, const char *path, const DatabaseFormat *format,
                           char **ret_message) {
    int64_t number = 0, application = 0, tables = 0;
    int result = database_exec(database, lock);
    if (result == SQLITE_OK)
        result = database_integer(database, "PRAGMA user_version", &number);
    if (result == SQLITE_OK)
        result = database_integer(database, "PRAGMA application_id", &application);
    if (result == SQLITE_OK)
        result = database_integer(database, "SELECT count(*) FROM sqlite_schema", &tables);
    if (result != SQLITE_OK)
        return database_failed(database, result, path, ret_message);
    bool is_new = !number && !application && !tables;
    if (!is_new && (application != APPLICATION_ID || number < 1)) {
        say(ret_message, "%s is not a seapod store", path);
        return -EINVAL;
    }
    if (number > format->number) {
        say(ret_message,
            "%s was written by a newer seapod (format %lld, this one knows formats up to %d)", path,
            (long long)number, format->number);
        return STORE_E_NEWER;
    }
    if (is_new)
        result = database_exec(database, settings_new);
    if (result == SQLITE_OK)
        result = database_exec(database, settings);
    if (result == SQLITE_OK && is_new)
        result = database_create(database);
    else if (result == SQLITE_OK && number < format->number)
        result = database_upgrade(database, path, (int)number, format);
    if (result != SQLITE_OK)
        return database_failed(database, result, path, ret_message);
    return 0;
}

static int database_read_meta(Database *database, const char *path, char **ret_message) {
    int64_t clean = 0;
    int result = database_integer(database, "SELECT reserved FROM meta", &database->reserved);
    if (result == SQLITE_OK)
        result = database_integer(database, "SELECT clean FROM meta", &clean);
    if (result == SQLITE_OK)
        result = database_integer(database, "SELECT floor FROM meta", &database->floor);
    if (result == SQLITE_OK)
        result =
            database_integer(database, "SELECT max(revision) FROM change", &database->revision);
    if (result != SQLITE_OK)
        return database_failed(database, result, path, ret_message);
    database->is_clean = clean;
    if (database->revision < database->floor)
        database->revision = database->floor;
    if (database->floor < 1 || database->reserved < database->revision) {
        say(ret_message, "%s is damaged: it holds revision %lld but reserved only %lld", path,
            (long long)database->revision, (long long)database->reserved);
        return -EUCLEAN;
    }
    return 0;
}

int database_open(const char *path, const DatabaseFormat *format, Database **ret,
                  char **ret_message) {
    *ret = NULL;
    // SQLite would make it with the umask's mode; its other files take the mode of this one.
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        int error = -errno;
        say(ret_message, "cannot open %s: %s", path, strerror(errno));
        return error;
    }
    close(fd);

    Database *database = memory_new(Database);
    int result =
        sqlite3_open_v2(path, &database->sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    int error;
    if (result != SQLITE_OK) {
        error = database_failed(database, result, path, ret_message);
    } else {
        sqlite3_extended_result_codes(database->sqlite, 1);
        sqlite3_wal_hook(database->sqlite, wal_hook, database); // instead of SQLite's checkpoints
        error = database_settle(database, path, format, ret_message);
        if (!error)
            error = database_read_meta(database, path, ret_message);
    }
    if (error)
        database_close(database);
    else
        *ret = database;
    return error;
}

void database_close(Database *database) {
    if (!database)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(database->statements[i]);
    sqlite3_close(database->sqlite);
    free(database);
}
