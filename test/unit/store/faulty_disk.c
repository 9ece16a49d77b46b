#include "faulty_disk.h"

#include <assert.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Disk {
    sqlite3_vfs vfs, *real;
    pthread_mutex_t lock; // of the copies
    atomic_int write_error, sync_error, syncs;
} Disk;

typedef struct File {
    sqlite3_file base;
    char path[256];
    sqlite3_file *real; // behind this structure
} File;

static Disk *disk(void) {
    static Disk the_disk = {.lock = PTHREAD_MUTEX_INITIALIZER};
    return &the_disk;
}

static void copy_file(const char *from, const char *to) {
    char buffer[65536];
    FILE *in = fopen(from, "r");
    if (!in) {
        unlink(to);
        return;
    }
    FILE *out = fopen(to, "w");
    assert(out);
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, in)) > 0;) {
        size_t written = fwrite(buffer, 1, n, out);
        assert(written == n);
    }
    fclose(in);
    fclose(out);
}

static void synced_path(const char *path, char ret[300]) {
    snprintf(ret, 300, "%s.synced", path);
}

static sqlite3_file *real_of(sqlite3_file *file) {
    return ((File *)file)->real;
}

static int file_close(sqlite3_file *file) {
    sqlite3_file *real = real_of(file);
    return real->pMethods->xClose(real);
}

static int file_read(sqlite3_file *file, void *data, int n, sqlite3_int64 at) {
    sqlite3_file *real = real_of(file);
    return real->pMethods->xRead(real, data, n, at);
}

static int file_write(sqlite3_file *file, const void *data, int n, sqlite3_int64 at) {
    sqlite3_file *real = real_of(file);
    int error = atomic_load(&disk()->write_error);
    return error ? error : real->pMethods->xWrite(real, data, n, at);
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size) {
    sqlite3_file *real = real_of(file);
    return real->pMethods->xTruncate(real, size);
}

static int file_sync(sqlite3_file *file, int flags) {
    sqlite3_file *real = real_of(file);
    int error = atomic_load(&disk()->sync_error);
    if (error)
        return error;
    char synced[300];
    synced_path(((File *)file)->path, synced);
    pthread_mutex_lock(&disk()->lock);
    copy_file(((File *)file)->path, synced); // instead of the disk
    pthread_mutex_unlock(&disk()->lock);
    atomic_fetch_add(&disk()->syncs, 1);
    (void)real;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret) {
    sqlite3_file *real = real_of(file);
    return real->pMethods->xFileSize(real, ret);
}

static int file_lock(sqlite3_file *file, int level) {
    sqlite3_file *real = real_of(file);
    return real->pMethods->xLock(real, level);
}

static int file_unlock(sqlite3_file *file, int level) {
    sqlite3_file *real = real_of(file);
    return real->pMethods->xUnlock(real, level);
}

static int file_check(sqlite3_file *file, int *ret) {
    sqlite3_file *real = real_of(file);
    return real->pMethods->xCheckReservedLock(real, ret);
}

static int file_control(sqlite3_file *file, int operation, void *argument) {
    sqlite3_file *real = real_of(file);
    return real->pMethods->xFileControl(real, operation, argument);
}

static int file_sector(sqlite3_file *file) {
    sqlite3_file *real = real_of(file);
    return real->pMethods->xSectorSize(real);
}

static int file_traits(sqlite3_file *file) {
    sqlite3_file *real = real_of(file);
    return real->pMethods->xDeviceCharacteristics(real);
}

static int disk_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags,
                     int *ret_flags) {
    static const sqlite3_io_methods methods = {
        // Version 1 has no shared memory: the store must do without.
        .iVersion = 1,
        .xClose = file_close,
        .xRead = file_read,
        .xWrite = file_write,
        .xTruncate = file_truncate,
        .xSync = file_sync,
        .xFileSize = file_size,
        .xLock = file_lock,
        .xUnlock = file_unlock,
        .xCheckReservedLock = file_check,
        .xFileControl = file_control,
        .xSectorSize = file_sector,
        .xDeviceCharacteristics = file_traits,
    };
    File *file = (File *)base;
    snprintf(file->path, sizeof file->path, "%s", path ? path : "");
    file->real = (sqlite3_file *)(file + 1);
    int result = disk()->real->xOpen(disk()->real, path, file->real, flags, ret_flags);
    file->base.pMethods = file->real->pMethods ? &methods : NULL;
    return result;
}

static int disk_delete(sqlite3_vfs *vfs, const char *path, int sync_directory) {
    char synced[300];
    synced_path(path, synced);
    pthread_mutex_lock(&disk()->lock);
    unlink(synced);
    pthread_mutex_unlock(&disk()->lock);
    return disk()->real->xDelete(disk()->real, path, sync_directory);
}

void faulty_disk_install(void) {
    Disk *d = disk();
    if (d->real)
        return;
    d->real = sqlite3_vfs_find(NULL);
    d->vfs = *d->real;
    d->vfs.zName = "faulty";
    d->vfs.szOsFile = (int)sizeof(File) + d->real->szOsFile;
    d->vfs.xOpen = disk_open;
    d->vfs.xDelete = disk_delete;
    int result = sqlite3_vfs_register(&d->vfs, 1);
    assert(result == SQLITE_OK);
}

void faulty_disk_fail(int write_error, int sync_error) {
    atomic_store(&disk()->write_error, write_error);
    atomic_store(&disk()->sync_error, sync_error);
}

int faulty_disk_syncs(void) {
    return atomic_load(&disk()->syncs);
}

void faulty_disk_lose_power(const char *path, const char *to) {
    static const char *const suffixes[] = {"", "-wal"};
    pthread_mutex_lock(&disk()->lock);
    for (int i = 0; i < 2; i++) {
        char file[256], synced[300], target[256];
        snprintf(file, sizeof file, "%s%s", path, suffixes[i]);
        snprintf(target, sizeof target, "%s%s", to, suffixes[i]);
        synced_path(file, synced);
        copy_file(synced, target);
    }
    pthread_mutex_unlock(&disk()->lock);
}
