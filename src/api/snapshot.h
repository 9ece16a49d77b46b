#pragma once
// An ordered, persistent (copy-on-write) map from key to CachedObject: a treap with
// reference-counted nodes. A root is a snapshot: taking one is a reference, changing the tree
// afterwards copies only the path that is shared. Objects are reached by rank, so a page of a list
// is a range of ranks.

#include "api/object.h"

typedef struct Snapshot Snapshot; // NULL is the empty tree

// Both consume the reference to `root` and return the new root. `object`'s reference is the
// caller's.
Snapshot *snapshot_put(Snapshot *root,
                       CachedObject *object);       // inserts, or replaces what has the same key
Snapshot *snapshot_remove(Snapshot *root, Str key); // unchanged when there is no such key
CachedObject *snapshot_get(const Snapshot *root, Str key); // borrowed; NULL when absent
size_t snapshot_size(const Snapshot *root);
size_t snapshot_rank(const Snapshot *root, Str key);          // how many keys are smaller
CachedObject *snapshot_at(const Snapshot *root, size_t rank); // borrowed; rank < size
Snapshot *snapshot_ref(Snapshot *root);
void snapshot_unref(Snapshot *root);
// Ranks [*ret_from, *ret_to) of the keys that begin with `prefix` (all when it is empty).
void snapshot_prefix(const Snapshot *root, Str prefix, size_t *ret_from, size_t *ret_to);
