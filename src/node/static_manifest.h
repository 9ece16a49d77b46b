#pragma once
// A static pod's file, made the pod that the node runs and the mirror pod that the API shows.

#include "base/arena.h"

typedef struct StaticManifest { // one allocation
    Str namespace_, name;       // NAME-NODE
    Str uid;                    // a hash of the node's name, the file's path and its content
    Str json;                   // the Pod, with its uid, defaults and annotations
} StaticManifest;

// YAML or JSON of one Pod; checked as the API server checks it. NULL with *ret_message (in `arena`)
// when it cannot be run.
StaticManifest *static_manifest_parse(Str text, Str path, Str node, Str *ret_message, Arena *arena);
StaticManifest *static_manifest_copy(const StaticManifest *manifest);
void static_manifest_free(StaticManifest *manifest); // NULL is fine
// The mirror pod, owned by the Node.
Str static_manifest_mirror(Arena *arena, const StaticManifest *manifest, Str node, Str node_uid);
// What a pod's annotation says it mirrors (empty when it is being deleted: it is to be made anew);
// STR_NONE when it is no mirror pod.
Str static_manifest_hash_of_mirror(Arena *arena, Str json);
