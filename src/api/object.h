#pragma once
// A stored object as the watch cache holds it: its JSON with resourceVersion in place, and the few
// values that are asked for without decoding it. Immutable, reference-counted, on the API's loop
// only.
//
// At rest (in the store) it is {"kind":K,"apiVersion":V,"metadata":{...},...}: those three first
// and in this order, metadata without resourceVersion, which is the store's revision. That makes
// adding the resourceVersion, and dropping kind and apiVersion inside a list, a matter of copying
// bytes.

#include "api/registry.h"
#include "base/bytes.h"
#include "schema/value.h"

typedef struct CachedObject {
    uint32_t references;
    int64_t revision, create_revision;
    Bytes *json;
    Str key; // "namespace/name", or "name" in cluster scope
    Str namespace_, name, uid;
    const Value *labels; // NULL when there are none
    const Str *fields;   // storage->n_selectable values
    bool deleting;       // metadata.deletionTimestamp is set
} CachedObject;

// Takes `stored` (bytes at rest) apart. NULL when they are no such object; `scratch` is reset.
CachedObject *object_new(Arena *scratch, const ServedResource *served, Str key, const Bytes *stored,
                         int64_t create_revision, int64_t revision);
// The same object as of another revision (a deletion's).
CachedObject *object_at_revision(Arena *scratch, const ServedResource *served,
                                 const CachedObject *object, int64_t revision);
CachedObject *object_ref(CachedObject *object); // NULL gives NULL
void object_unref(CachedObject *object);        // NULL is fine

// Bytes at rest for the store. Drops metadata.resourceVersion.
Bytes *object_encode(const Resource *storage, const Value *object);
// The tree of a cached object, resourceVersion included. Strings point into its JSON: hold a
// reference as long as the arena lives (this does so itself).
Value *object_decode(Arena *arena, CachedObject *object);
// The object's JSON from "metadata" on, without the opening brace: `"metadata":{...}...}`.
Str object_json_tail(const CachedObject *object);
