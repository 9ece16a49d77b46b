#pragma once
// Server-side apply and metadata.managedFields: who set which field last.
// https://kubernetes.io/docs/reference/using-api/server-side-apply/
// Trees are of the request's version, in normal form and defaulted (`live`) or as the client sent
// them (`config`).

#include "schema/status.h"

#define SCHEMA_E_APPLY 4

typedef struct ApplyRequest {
    const Resource *resource;
    Str api_version; // of the request: "v1", "apps/v1"
    Str manager;     // the fieldManager parameter; empty: "unknown"
    Str subresource; // "" for the object itself, "status", ...
    int64_t now_ns;  // Unix time, for the entry
    bool force;      // take fields over from other managers
} ApplyRequest;

// Applies `config` to `live` (NULL: the object is made). *ret is a new tree with its managedFields;
// it still has to be normalized, defaulted and validated. Returns 0, or SCHEMA_E_APPLY with
// *ret_status: 409 with a cause for every conflict, 400, or what a decoding error is upstream.
int apply_merge(Arena *arena, const ApplyRequest *request, const Value *live, const Value *config,
                Value **ret, ApiStatus **ret_status) __attribute__((warn_unused_result));

// Brings the managedFields of `object`, which a create (`live` is NULL), an update or a patch is
// about to store, up to date. What the client sent there counts, except through a subresource; an
// empty list forgets all. An object that was never tracked stays so until it is applied.
void apply_track_update(Arena *arena, const ApplyRequest *request, const Value *live,
                        Value *object);
