#pragma once
// Small files of "key=value" lines that remember what runs across a restart of ours. They need not
// survive a crash of the machine (nothing that they tell of does), so nothing is synced; a file is
// replaced whole by rename(2).

#include "base/arena.h"
#include "base/buf.h"

#define RECORD_FORMAT 1 // a record of a later format is refused
#define RECORD_MAX (64 * 1024)

typedef struct Record {
    Str *keys, *values;
    size_t n;
} Record;

// "\" and newlines in values are escaped.
void record_put(Buf *buf, const char *key, Str value);
void record_put_int(Buf *buf, const char *key, int64_t value);
// Writes PATH.new and renames it. 0 or negative errno.
int record_save(const char *path, const Buf *buf) __attribute__((warn_unused_result));

// -EBADMSG for something else than a record, -EPROTONOSUPPORT for a later format.
int record_parse(Arena *arena, Str text, Record *ret) __attribute__((warn_unused_result));
int record_load(Arena *arena, const char *path, Record *ret) __attribute__((warn_unused_result));
Str record_get(const Record *record, const char *key);     // "" when absent
int64_t record_int(const Record *record, const char *key); // 0 when absent or no number
