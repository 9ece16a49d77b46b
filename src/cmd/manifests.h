#pragma once
// DATA_DIR/manifests/: objects that are applied once at each start, as `kubectl apply --server-side
// --force-conflicts` would. Files in the order of their names, documents in theirs; what goes away
// there is not deleted.

#include "http/client.h"

typedef struct Manifests Manifests;

// Takes the client, which may do anything. Goes on in the background; logs what could not be
// applied. Does nothing without the directory.
Manifests *manifests_apply(Loop *loop, HttpClient *client, const char *directory);
void manifests_free(Manifests *manifests); // NULL is fine
