#pragma once
// Who owns whom, in memory: a node for each object that has an owner, is one, or waits for its
// dependents, and an edge for each owner reference. Objects that are none of these cost nothing.
//
// An owner that nobody has seen yet is a virtual node, whose identity is what a dependent claims.
// What has to be looked at is told through OwnerGraphEvents; whoever looks asks the API server, for
// the graph may lag behind. (kube-controller-manager's pkg/controller/garbagecollector/graph_builder.go)

#include "base/list.h"
#include "client/object_head.h"

typedef struct OwnerGraph OwnerGraph;

typedef struct GraphIdentity {
    Str api_version, kind, namespace_, name;
} GraphIdentity;

typedef struct GraphNode {
    Str uid;
    GraphIdentity identity;
    const Resource *resource; // where it was seen; NULL: virtual
    List owners;              // GraphEdge.of_dependent
    List dependents;          // GraphEdge.of_owner
    size_t n_blocking;        // of the dependents: those with blockOwnerDeletion
    bool absent;              // known to be gone; dependents still name it
    bool deleting, deleting_dependents, orphaning;
    char *text;
} GraphNode;

typedef struct GraphEdge {
    ListLink of_owner, of_dependent;
    GraphNode *owner, *dependent;
    Str api_version, kind, name; // as the dependent writes
    bool blocks, kept;
    char text[];
} GraphEdge;

typedef struct OwnerGraphEvents {
    // Look whether the object should go, or may (it waits for its dependents).
    void (*attempt_delete)(void *user, Str uid);
    void (*attempt_orphan)(void *user, Str uid); // it waits for its dependents to be let go
    // The owner lives in another namespace than the dependent that names it.
    void (*invalid_namespace)(void *user, const GraphEdge *edge);
} OwnerGraphEvents;

OwnerGraph *owner_graph_new(const OwnerGraphEvents *events, void *user);
void owner_graph_free(OwnerGraph *graph);

// Nodes stay good until the graph is told of something new.
GraphNode *owner_graph_get(const OwnerGraph *graph, Str uid);
size_t owner_graph_size(const OwnerGraph *graph);
// An object was seen, new or changed.
void owner_graph_observe(OwnerGraph *graph, const Resource *resource, const ObjectHead *head);
// It was seen to go.
void owner_graph_forget(OwnerGraph *graph, Str uid);
// All of a kind are gone, and the kind.
void owner_graph_forget_kind(OwnerGraph *graph, const Resource *resource);
// The server has no object of that identity and uid. True: the node goes on under another identity
// that its dependents claim, to be looked at a while later.
bool owner_graph_absent(OwnerGraph *graph, Str uid, const GraphIdentity *identity);
// Looks again at the virtual nodes of a kind, now that there is one.
void owner_graph_retry_kind(OwnerGraph *graph, Str group, Str kind);

// A bounded memory of identities that the server was found not to have.
void owner_graph_note_absent(OwnerGraph *graph, Str uid, const GraphIdentity *identity);
bool owner_graph_is_absent(const OwnerGraph *graph, Str uid, const GraphIdentity *identity);
