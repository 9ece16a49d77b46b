#pragma once
// One function per verb of seapod-image. Each returns 0 or fills job->failure.

#include "image/publish.h"
#include "image/registry.h"

int verb_pull(Job *job, Str name, const RegistryOptions *options)
    __attribute__((warn_unused_result));

typedef struct ImportOptions {
    const char *file;    // "-" is standard input
    ImageStrings names;  // as given; checked here
    bool rootfs;         // a plain root file system and no archive of images
    const Image *config; // for a root file system: entrypoint, cmd, env, ...
} ImportOptions;
int verb_import(Job *job, const ImportOptions *options) __attribute__((warn_unused_result));

int verb_list(Job *job) __attribute__((warn_unused_result));
// Names, or ids with all their names; then what is unused goes.
int verb_remove(Job *job, const ImageStrings *names) __attribute__((warn_unused_result));
int verb_collect(Job *job) __attribute__((warn_unused_result));
