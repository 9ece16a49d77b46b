#pragma once
// One deletion, for DELETE of an object and for each object of a collection: now, after a grace
// period, or once the finalizers are gone (apiserver's registry/rest/delete.go and
// generic/registry/store.go).

#include "api/admission/admission.h"
#include "api/request.h"

typedef struct DeleteOptions {
    bool has_grace;
    int64_t grace_seconds;
    Str uid, resource_version; // preconditions; empty: none
    Str policy;                // "Orphan", "Background", "Foreground" or empty
    bool has_orphan, orphan;   // the old orphanDependents
} DeleteOptions;

// From the body, or from the query when there is none. dryRun goes into the request. NULL, 400, 415
// or 422.
ApiStatus *delete_options_parse(ApiRequest *request, DeleteOptions *ret)
    __attribute__((warn_unused_result));

typedef struct Deletion Deletion;
struct Deletion {
    ApiRequest *request;
    DeleteOptions options;
    Str namespace_, name;
    bool admitted; // as an eviction: admission is not asked again
    // Once: `refusal` says why it can't be; else `object` is what was deleted (`deleted`) or is
    // being deleted.
    void (*done)(Deletion *deletion, const ApiStatus *refusal);
    void *user;
    Value *object;
    bool deleted;
    // Private.
    CachedObject *current;
    Admission admission;
    int attempts;
    int64_t revision;
};
void deletion_run(Deletion *deletion);
