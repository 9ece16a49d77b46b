#pragma once
// What the garbage collector's parts share.

#include "controllers/kind_index.h"
#include "controllers/owner_graph.h"

typedef struct GarbageCollector {
    Controller base;
    KindIndex *kinds;
    OwnerGraph *graph;
    List monitors;
    EventRecorder *events;
} GarbageCollector;

// The object that a reconcile is about, as the graph knew it when it began, and as the API server
// has it. In the reconcile's arena.
typedef struct GarbageItem {
    GarbageCollector *self;
    Str uid;
    GraphIdentity identity;
    ClientTarget target;
    ObjectHead live;
} GarbageItem;

GraphIdentity garbage_identity(Arena *arena, const GraphIdentity *identity);
// Where an object of that identity lives. False when there is no such kind (yet).
bool garbage_target(const GarbageCollector *self, const GraphIdentity *identity,
                    ClientTarget *ret_target);

// A merge patch of an object as it was read: metadata.uid and resourceVersion, so that it fails when
// another was quicker, and what `write` adds as further members of metadata.
void garbage_patch(GarbageCollector *self, const ClientTarget *target, const ObjectHead *head,
                   void (*write)(Buf *metadata, const ObjectHead *head, const void *what),
                   const void *what, ClientDone done, void *user);
void garbage_write_finalizers(Buf *metadata, const ObjectHead *head, const void *without_str);
// One owner reference as JSON; `unblock`: with blockOwnerDeletion false, if it has one.
void garbage_write_owner(Buf *buf, const HeadOwner *owner, bool unblock);

// Lets the dependents of r->state (a GarbageItem) go, then removes its finalizer "orphan".
void garbage_orphan(Reconcile *r);
