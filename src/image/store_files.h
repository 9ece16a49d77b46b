#pragma once
// The store's files by name: what its reader (store.c) and its writer (depot.c) share.

#include "image/store.h"

#define STORE_FORMAT 1
#define STORE_RECORD_MAX 512 // bytes

struct ImageStore {
    int root;   // images-store/
    int lock;   // its lock file
    char *path; // absolute where the caller's was
};

// One name of an image.
typedef struct StoreRecord {
    Str repository; // "docker.io/library/busybox"
    Str suffix;     // ":latest" or "@sha256:HEX"
    Str target;     // what a registry resolves the name to: a manifest's digest or an index's
    Str manifest;   // the manifest for this platform
} StoreRecord;

typedef struct StoreRecords {
    StoreRecord *items;
    size_t n;
} StoreRecords;

// The same of an open file, which stays the caller's to close.
int store_read_descriptor(int fd, size_t max, Arena *arena, Str *ret_text)
    __attribute__((warn_unused_result));
// Reads a small regular file whole. Returns 0 or negative errno (-EFBIG above `max`).
int store_read_file(int directory, const char *path, size_t max, Arena *arena, Str *ret_text)
    __attribute__((warn_unused_result));
// Writes a file so that it is there whole or not at all, under `temporary` first (a path in the
// same directory tree); `sync` makes it survive a power cut, its name included. 0 or negative
// errno.
int store_write_file(int directory, const char *temporary, const char *path, Str text, bool sync)
    __attribute__((warn_unused_result));
int store_sync_directory(int directory, const char *path); // fsync(2); 0 or negative errno
// The part after "sha256:"; the digest must be valid.
Str store_hex(Str digest);
const char *store_blob_path(Arena *arena, Str digest);    // "blobs/sha256/HEX"
const char *store_layer_path(Arena *arena, Str diff_id);  // "layers/HEX"
const char *store_summary_path(Arena *arena, Str digest); // "summaries/HEX"
// Is the layer there? It is complete, then.
bool store_has_layer(const ImageStore *store, Arena *arena, Str diff_id);
// Are all directories of `image->layers` there?
bool store_has_layers(const ImageStore *store, const Image *image);

// 0, IMAGE_STORE_E_NOT_FOUND (also for a damaged record), negative errno.
int store_read_record(const ImageStore *store, Arena *arena, Str repository, Str suffix,
                      StoreRecord *ret_record) __attribute__((warn_unused_result));
// The records of one repository, or of all (STR_NONE). Sorted by repository and suffix.
int store_records(const ImageStore *store, Arena *arena, Str repository, StoreRecords *ret_records)
    __attribute__((warn_unused_result));
// 0, IMAGE_STORE_E_NOT_FOUND when it is missing, damaged or lacks a layer, negative errno.
int store_read_summary(const ImageStore *store, Arena *arena, Str manifest, Image *ret_image)
    __attribute__((warn_unused_result));
