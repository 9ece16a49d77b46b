#pragma once
// Between SQLite and the file system: keeps what each file held when it was last synced, so that a
// power failure can be staged, and fails on demand.

#include <stdbool.h>

void faulty_disk_install(void); // becomes SQLite's default; once
// From now on calls fail with this SQLite code (0: none): writing, or syncing.
void faulty_disk_fail(int write_error, int sync_error);
int faulty_disk_syncs(void); // so far
// Puts back what the files below `path` (path, path-wal) held when they were last synced: to `to`
// and to-wal. At this moment, while the store works on.
void faulty_disk_lose_power(const char *path, const char *to);
