#pragma once
// A local copy of a collection, kept by list and watch: synced once, then told of every change in
// order. Reconnects by itself (backoff with jitter, 410 lists again). Level based: after a gap,
// handlers see the difference. A collection that the server does not have counts as empty, and is
// looked for again.

#include "client/client.h"

typedef struct Informer Informer;

typedef struct InformerObject { // immutable; valid while in the cache or during a handler;
                                // reference to keep
    Str namespace_, name, uid;
    int64_t resource_version;
    Bytes *bytes; // the object as JSON; NULL in a light informer
} InformerObject;
// What an informer makes of an object itself; one reference, the caller's. Takes a reference of
// `bytes`.
InformerObject *informer_object_new(Str namespace_, Str name, Str uid, int64_t resource_version,
                                    Bytes *bytes);
InformerObject *informer_object_ref(const InformerObject *object);
void informer_object_unref(InformerObject *object);

typedef struct InformerHandler {
    // old NULL: added; now NULL: deleted; else changed.
    void (*on_change)(void *user, const InformerObject *old, const InformerObject *now);
    void (*on_synced)(void *user); // once, after the first list was delivered; may be NULL
} InformerHandler;

// `label_selector`, `field_selector`: as in a URL, unencoded; may be empty. Starts at once.
Informer *informer_new(Client *client, const Resource *resource, Str namespace_, Str label_selector,
                       Str field_selector);
// Of all namespaces, and without the objects themselves: `bytes` is there while a handler hears of
// the new object, else NULL. Handlers are added before the first answer.
Informer *informer_new_light(Client *client, const Resource *resource);
void informer_free(Informer *informer); // not from inside its own handlers
// A handler added late gets every object at hand as added, from the loop.
void informer_add_handler(Informer *informer, const InformerHandler *handler, void *user);
bool informer_is_synced(const Informer *informer);

const InformerObject *informer_get(const Informer *informer, Str namespace_, Str name);
size_t informer_count(const Informer *informer);
// It shows every write up to that resourceVersion; 0 before the first list.
int64_t informer_version(const Informer *informer);
// Visits in no particular order; `namespace_` empty: all. Costs what it visits, from the second call
// for a namespace on. The visitor must not change the informer.
void informer_each(Informer *informer, Str namespace_,
                   void (*visit)(void *user, const InformerObject *object), void *user);
// Index: `keys` emits any number of keys for an object; look-ups cost what they return. Add before
// on_synced.
typedef struct InformerIndex InformerIndex;
typedef void (*InformerEmit)(void *emit_user, Str key);
InformerIndex *informer_add_index(Informer *informer,
                                  void (*keys)(const InformerObject *object, InformerEmit emit,
                                               void *emit_user));
void informer_index_each(const InformerIndex *index, Str key,
                         void (*visit)(void *user, const InformerObject *object), void *user);
