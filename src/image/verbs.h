#pragma once
// One function per verb of seapod-image. Each returns 0 or fills job->failure.

#include "image/publish.h"
#include "image/registry.h"

int verb_pull(Job *job, Str name, const RegistryOptions *options)
    __attribute__((warn_unused_result));

typedef struct ImportOptions {
    ImageStrings files;  // "-" is standard input; a directory is a layout or full of archives
    bool only_new;       // pass over files that were imported before and are in the store still
    ImageStrings names;  // as given; checked here
    bool rootfs;         // a plain root file system and no archive of images
    const Image *config; // for a root file system: entrypoint, cmd, env, ...
} ImportOptions;
// Goes on after a file that fails; the failure at the end is the last one's, earlier ones are
// printed.
int verb_import(Job *job, const ImportOptions *options) __attribute__((warn_unused_result));

// One file or layout, open as `fd`; `*manifests` gets the digests of what it held.
int import_file(Job *job, const ImportOptions *options, const char *file, int fd, bool is_directory,
                ImageStrings *manifests) __attribute__((warn_unused_result));

int verb_list(Job *job) __attribute__((warn_unused_result));
// Names, or ids with all their names; then what is unused goes.
int verb_remove(Job *job, const ImageStrings *names) __attribute__((warn_unused_result));
int verb_collect(Job *job) __attribute__((warn_unused_result));
