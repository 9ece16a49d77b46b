#pragma once
// What must be known of an object of any kind: part of its metadata, read without building a tree.

#include "base/bytes.h"
#include "schema/typed.h"

typedef struct HeadOwner { // metav1.OwnerReference
    Str api_version, kind, name, uid;
    const bool *controller, *block_owner_deletion; // NULL when absent
} HeadOwner;
typedef struct ObjectHead {
    Str namespace_, name, uid, resource_version;
    Str deletion_timestamp; // as it is written; empty: not being deleted
    LIST(HeadOwner) owners;
    LIST(Str) finalizers;
} ObjectHead;

// Strings point into `json` where they need no unescaping. Returns 0, SCHEMA_E_TYPE, -EBADMSG or
// -E2BIG.
int object_head_read(Arena *arena, Str json, ObjectHead *ret) __attribute__((warn_unused_result));
// A reference to the object without its metadata.managedFields, often half of it, which no actor
// reads; updates without them keep them.
Bytes *object_without_managers(Bytes *object);
bool object_head_has_finalizer(const ObjectHead *head, Str finalizer);
