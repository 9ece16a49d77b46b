#pragma once
// An archive of images while it streams by: small documents are kept, layers are unpacked at once,
// without knowing yet whose they are, so that a pipe can be read and nothing is stored twice.

#include "base/map.h"
#include "image/publish.h"

typedef struct ArchiveFile {
    Str document; // the bytes, for JSON; else STR_NONE
    Str link;     // another file's path; else STR_NONE
    // A layer, unpacked into the working directory and not yet in the store.
    Str layer; // its name there; STR_NONE once it was committed
    Str blob, diff_id;
    uint64_t size;
    UnpackResult unpacked;
    Failure *failure; // why it could not be unpacked: only of interest when an image needs it
} ArchiveFile;

typedef struct Archive {
    Map *files;    // by clean path, to ArchiveFile
    int directory; // of an OCI layout that lies open, -1 otherwise
} Archive;

// Reads an archive from `fd`, compressed or not.
int archive_read_stream(Job *job, int fd, Archive *ret_archive) __attribute__((warn_unused_result));
// Uses a directory; its files are read when they are asked for.
void archive_use_directory(int fd, Archive *ret_archive);
void archive_deinit(Archive *archive);

// A document by path, links followed. STR_NONE when there is none.
Str archive_document(Job *job, Archive *archive, Str path);
// A layer by path. Returns 0 or fills job->failure.
int archive_layer(Job *job, Archive *archive, Str path, ArchiveFile **ret_layer)
    __attribute__((warn_unused_result));

// Unpacks all that `fd` gives, compressed or not, as one layer.
int archive_unpack_fd(Job *job, int fd, Str label, ArchiveFile *ret_layer)
    __attribute__((warn_unused_result));
