#include "controllers/owner_graph.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"

#define MAX_ABSENT 500 // as upstream's absentOwnerCache

struct OwnerGraph {
    OwnerGraphEvents events;
    void *user;
    Map *nodes; // uid -> GraphNode
    Map *absent;
    char *absent_keys[MAX_ABSENT]; // the oldest is replaced first
    size_t next_absent;
};

OwnerGraph *owner_graph_new(const OwnerGraphEvents *events, void *user) {
    OwnerGraph *graph = memory_new(OwnerGraph);
    graph->events = *events;
    graph->user = user;
    graph->nodes = map_new();
    graph->absent = map_new();
    return graph;
}

static void node_free(GraphNode *node) {
    GraphEdge *edge;
    list_for_each(edge, &node->owners, of_dependent) free(edge);
    free(node->text);
    free(node);
}

void owner_graph_free(OwnerGraph *graph) {
    MapIter iter = {0};
    while (map_next(graph->nodes, &iter))
        node_free(iter.value);
    map_free(graph->nodes);
    map_free(graph->absent);
    for (size_t i = 0; i < MAX_ABSENT; i++)
        free(graph->absent_keys[i]);
    free(graph);
}

GraphNode *owner_graph_get(const OwnerGraph *graph, Str uid) {
    return map_get(graph->nodes, uid);
}

size_t owner_graph_size(const OwnerGraph *graph) {
    return map_count(graph->nodes);
}

// ---- identities

static Str put(char **at, Str s) {
    char *start = *at;
    if (s.len)
        memcpy(start, s.ptr, s.len);
    *at += s.len;
    return str_of(start, s.len);
}

// `identity` and `uid` may lie in the text that is replaced.
static void set_identity(GraphNode *node, Str uid, const GraphIdentity *identity) {
    size_t len = uid.len + identity->api_version.len + identity->kind.len +
                 identity->namespace_.len + identity->name.len;
    char *text = memory_alloc(len ? len : 1), *at = text;
    GraphIdentity own;
    Str own_uid = put(&at, uid);
    own.api_version = put(&at, identity->api_version);
    own.kind = put(&at, identity->kind);
    own.namespace_ = put(&at, identity->namespace_);
    own.name = put(&at, identity->name);
    free(node->text);
    node->text = text;
    node->uid = own_uid;
    node->identity = own;
}

static int compare_identity(const GraphIdentity *a, const GraphIdentity *b) {
    int order = str_cmp(a->kind, b->kind);
    if (!order)
        order = str_cmp(a->api_version, b->api_version);
    if (!order)
        order = str_cmp(a->namespace_, b->namespace_);
    return order ? order : str_cmp(a->name, b->name);
}

static bool has_coordinates(const GraphEdge *edge, const GraphIdentity *identity) {
    return str_eq(edge->api_version, identity->api_version) && str_eq(edge->kind, identity->kind) &&
           str_eq(edge->name, identity->name);
}

static bool is_elsewhere(const GraphEdge *edge, const GraphIdentity *owner) {
    return owner->namespace_.len && !str_eq(owner->namespace_, edge->dependent->identity.namespace_);
}

static bool means(const GraphEdge *edge, const GraphIdentity *owner) {
    return !is_elsewhere(edge, owner) && has_coordinates(edge, owner);
}

static Str absent_key(Str uid, const GraphIdentity *identity, char *buffer, size_t size) {
    int n = snprintf(buffer, size, "%.*s/%.*s/%.*s/%.*s/%.*s", STR_ARG(uid),
                     STR_ARG(identity->api_version), STR_ARG(identity->kind),
                     STR_ARG(identity->namespace_), STR_ARG(identity->name));
    return n > 0 && (size_t)n < size ? str_of(buffer, (size_t)n) : STR_NONE;
}

void owner_graph_note_absent(OwnerGraph *graph, Str uid, const GraphIdentity *identity) {
    char buffer[1024];
    Str key = absent_key(uid, identity, buffer, sizeof buffer);
    if (!key.len || map_get(graph->absent, key))
        return;
    char **slot = &graph->absent_keys[graph->next_absent++ % MAX_ABSENT];
    if (*slot)
        map_remove(graph->absent, str_from(*slot));
    free(*slot);
    *slot = memory_alloc(key.len + 1);
    memcpy(*slot, buffer, key.len + 1);
    map_put(graph->absent, key, graph);
}

bool owner_graph_is_absent(const OwnerGraph *graph, Str uid, const GraphIdentity *identity) {
    char buffer[1024];
    Str key = absent_key(uid, identity, buffer, sizeof buffer);
    return key.len && map_get(graph->absent, key);
}

// ---- nodes and edges

static void attempt_delete(OwnerGraph *graph, const GraphNode *node) {
    graph->events.attempt_delete(graph->user, node->uid);
}

static GraphNode *node_new(OwnerGraph *graph, Str uid, const GraphIdentity *identity) {
    GraphNode *node = memory_new(GraphNode);
    set_identity(node, uid, identity);
    list_init(&node->owners);
    list_init(&node->dependents);
    map_put(graph->nodes, uid, node);
    return node;
}

// Frees the node when there is nothing to remember of it.
static void drop_if_plain(OwnerGraph *graph, GraphNode *node) {
    if (!list_is_empty(&node->owners) || !list_is_empty(&node->dependents) ||
        node->deleting_dependents || node->orphaning)
        return;
    map_remove(graph->nodes, node->uid);
    node_free(node);
}

static void set_blocks(OwnerGraph *graph, GraphEdge *edge, bool blocks) {
    GraphNode *owner = edge->owner;
    if (edge->blocks == blocks)
        return;
    edge->blocks = blocks;
    owner->n_blocking += blocks ? 1 : (size_t)-1;
    if (!owner->n_blocking && owner->deleting_dependents)
        attempt_delete(graph, owner); // nothing holds it any more
}

static void remove_edge(OwnerGraph *graph, GraphEdge *edge) {
    GraphNode *owner = edge->owner, *dependent = edge->dependent;
    set_blocks(graph, edge, false);
    list_remove(&edge->of_owner);
    list_remove(&edge->of_dependent);
    free(edge);
    if (owner != dependent) // who owns himself is still at work
        drop_if_plain(graph, owner);
}

// A reference to an owner that the graph has already. What does not fit may be wrong: then the
// dependent is looked at, which asks the server for each of its owners.
static bool is_doubtful(OwnerGraph *graph, const GraphEdge *edge) {
    const GraphNode *owner = edge->owner;
    const GraphIdentity *identity = &owner->identity;
    if (owner->absent || owner->deleting_dependents)
        return true;
    if (is_elsewhere(edge, identity)) {
        if (owner->resource)
            graph->events.invalid_namespace(graph->user, edge);
        return true;
    }
    // A virtual owner without a namespace may be of a namespaced kind all the same.
    return !has_coordinates(edge, identity) ||
           (!owner->resource && !str_eq(identity->namespace_, edge->dependent->identity.namespace_));
}

static void add_edge(OwnerGraph *graph, GraphNode *dependent, const HeadOwner *reference,
                     bool *doubtful) {
    size_t len = reference->api_version.len + reference->kind.len + reference->name.len;
    GraphEdge *edge = memory_zalloc(sizeof *edge + len);
    char *at = edge->text;
    edge->api_version = put(&at, reference->api_version);
    edge->kind = put(&at, reference->kind);
    edge->name = put(&at, reference->name);
    edge->dependent = dependent;
    edge->kept = true;
    GraphNode *owner = owner_graph_get(graph, reference->uid);
    bool is_new = !owner;
    if (is_new)
        owner = node_new(graph, reference->uid,
                         &(GraphIdentity){reference->api_version, reference->kind,
                                          dependent->identity.namespace_, reference->name});
    edge->owner = owner;
    list_append(&owner->dependents, &edge->of_owner);
    list_append(&dependent->owners, &edge->of_dependent);
    set_blocks(graph, edge, reference->block_owner_deletion && *reference->block_owner_deletion);
    if (is_new)
        attempt_delete(graph, owner); // is there such an object?
    else if (is_doubtful(graph, edge))
        *doubtful = true;
}

static GraphEdge *find_edge(GraphNode *node, const HeadOwner *reference) {
    GraphEdge *edge;
    list_for_each(edge, &node->owners, of_dependent) {
        if (!edge->kept && str_eq(edge->owner->uid, reference->uid) &&
            str_eq(edge->api_version, reference->api_version) &&
            str_eq(edge->kind, reference->kind) && str_eq(edge->name, reference->name))
            return edge;
    }
    return NULL;
}

static void set_owners(OwnerGraph *graph, GraphNode *node, const ObjectHead *head) {
    bool doubtful = false;
    GraphEdge *edge;
    list_for_each(edge, &node->owners, of_dependent) edge->kept = false;
    for (size_t i = 0; i < head->owners.len; i++) {
        const HeadOwner *reference = &head->owners.items[i];
        edge = find_edge(node, reference);
        if (edge) {
            edge->kept = true;
            set_blocks(graph, edge,
                       reference->block_owner_deletion && *reference->block_owner_deletion);
        } else if (reference->uid.len)
            add_edge(graph, node, reference, &doubtful);
    }
    list_for_each(edge, &node->owners, of_dependent) {
        if (!edge->kept)
            remove_edge(graph, edge);
    }
    if (doubtful)
        attempt_delete(graph, node);
}

// ---- what is seen

// The virtual node turns out to be this object: dependents that mean another are looked at.
static void check_dependents(OwnerGraph *graph, const GraphNode *node) {
    GraphEdge *edge;
    list_for_each(edge, &node->dependents, of_owner) {
        if (means(edge, &node->identity))
            continue;
        if (is_elsewhere(edge, &node->identity))
            graph->events.invalid_namespace(graph->user, edge);
        attempt_delete(graph, edge->dependent);
    }
}

static void attempt_dependents(OwnerGraph *graph, const GraphNode *node) {
    GraphEdge *edge;
    list_for_each(edge, &node->dependents, of_owner) attempt_delete(graph, edge->dependent);
}

static void process_transitions(OwnerGraph *graph, GraphNode *node, bool orphan, bool foreground) {
    if (orphan && !node->orphaning)
        graph->events.attempt_orphan(graph->user, node->uid);
    node->orphaning = orphan;
    if (orphan || foreground == node->deleting_dependents)
        return;
    node->deleting_dependents = foreground;
    if (!foreground)
        return;
    attempt_dependents(graph, node);
    attempt_delete(graph, node);
}

void owner_graph_observe(OwnerGraph *graph, const Resource *resource, const ObjectHead *head) {
    bool deleting = head->deletion_timestamp.len > 0;
    bool orphan = deleting && object_head_has_finalizer(head, STR("orphan"));
    bool foreground = deleting && object_head_has_finalizer(head, STR("foregroundDeletion"));
    GraphNode *node = owner_graph_get(graph, head->uid);
    if (!head->uid.len || (!node && !head->owners.len && !orphan && !foreground))
        return;
    char version[512];
    int n = snprintf(version, sizeof version, "%.*s%s%.*s", STR_ARG(resource->group),
                     resource->group.len ? "/" : "", STR_ARG(resource->version));
    GraphIdentity identity = {str_of(version, n > 0 ? (size_t)n : 0), resource->kind,
                              head->namespace_, head->name};
    if (!node)
        node = node_new(graph, head->uid, &identity);
    else if (compare_identity(&node->identity, &identity) != 0)
        set_identity(node, head->uid, &identity);
    bool was_virtual = !node->resource;
    node->resource = resource;
    node->absent = false;
    node->deleting = deleting;
    if (was_virtual)
        check_dependents(graph, node);
    set_owners(graph, node, head);
    process_transitions(graph, node, orphan, foreground);
    drop_if_plain(graph, node);
}

// The node stays while dependents name it, so that they are looked at anew when they change.
static void gone(OwnerGraph *graph, GraphNode *node) {
    GraphEdge *edge;
    node->resource = NULL;
    node->absent = true;
    node->deleting = node->deleting_dependents = node->orphaning = false;
    list_for_each(edge, &node->owners, of_dependent) remove_edge(graph, edge);
    if (!list_is_empty(&node->dependents))
        owner_graph_note_absent(graph, node->uid, &node->identity);
    attempt_dependents(graph, node);
    drop_if_plain(graph, node);
}

void owner_graph_forget(OwnerGraph *graph, Str uid) {
    GraphNode *node = owner_graph_get(graph, uid);
    if (node && !node->absent)
        gone(graph, node);
}

static bool is_of_kind(const GraphNode *node, Str group, Str kind) {
    Str rest = node->identity.api_version;
    Str first = str_cut(&rest, '/');
    return str_eq(node->identity.kind, kind) && str_eq(rest.ptr ? first : STR(""), group);
}

// Calls `each` for nodes that are collected first, because it changes the graph.
static void for_each_node(OwnerGraph *graph, const Resource *resource, Str group, Str kind,
                          void (*each)(OwnerGraph *graph, Str uid)) {
    _arena_free_ Arena *arena = arena_new();
    Str *uids = arena_array_of(arena, Str, owner_graph_size(graph) + 1);
    size_t n = 0;
    MapIter iter = {0};
    while (map_next(graph->nodes, &iter)) {
        const GraphNode *node = iter.value;
        if (resource ? node->resource == resource
                     : !node->resource && is_of_kind(node, group, kind))
            uids[n++] = arena_str(arena, node->uid);
    }
    for (size_t i = 0; i < n; i++)
        each(graph, uids[i]);
}

void owner_graph_forget_kind(OwnerGraph *graph, const Resource *resource) {
    for_each_node(graph, resource, STR_NONE, STR_NONE, owner_graph_forget);
}

static void look_at(OwnerGraph *graph, Str uid) {
    graph->events.attempt_delete(graph->user, uid);
}

void owner_graph_retry_kind(OwnerGraph *graph, Str group, Str kind) {
    for_each_node(graph, NULL, group, kind, look_at);
}

// ---- what the server does not have

// The first claim after `absent` in order, else the first of all: so each gets its turn.
static bool next_claim(const GraphNode *node, const GraphIdentity *absent, GraphIdentity *ret) {
    GraphIdentity first = {0}, following = {0};
    bool any = false, follows = false;
    GraphEdge *edge;
    list_for_each(edge, &node->dependents, of_owner) {
        GraphIdentity claim = {edge->api_version, edge->kind, edge->dependent->identity.namespace_,
                               edge->name};
        if (!absent->namespace_.len && str_eq(claim.api_version, absent->api_version) &&
            str_eq(claim.kind, absent->kind))
            claim.namespace_ = STR("");
        if (compare_identity(&claim, absent) == 0)
            continue;
        if (!any || compare_identity(&claim, &first) < 0)
            first = claim;
        any = true;
        if (compare_identity(absent, &claim) < 0 &&
            (!follows || compare_identity(&claim, &following) < 0)) {
            following = claim;
            follows = true;
        }
    }
    *ret = follows ? following : first;
    return any;
}

// Returns whether some dependents mean another object.
static bool attempt_matching(OwnerGraph *graph, const GraphNode *node,
                             const GraphIdentity *identity) {
    bool others = false, matched = false;
    GraphEdge *edge;
    list_for_each(edge, &node->dependents, of_owner) {
        others |= !means(edge, identity);
        if (!means(edge, identity))
            continue;
        if (!matched)
            owner_graph_note_absent(graph, node->uid, identity);
        matched = true;
        attempt_delete(graph, edge->dependent);
    }
    return others;
}

bool owner_graph_absent(OwnerGraph *graph, Str uid, const GraphIdentity *identity) {
    GraphNode *node = owner_graph_get(graph, uid);
    if (!node || node->absent)
        return false;
    bool same = compare_identity(&node->identity, identity) == 0;
    if (node->resource) { // seen: only what was seen can be gone
        if (same)
            gone(graph, node);
        else
            attempt_matching(graph, node, identity);
        return false;
    }
    if (!attempt_matching(graph, node, identity)) {
        gone(graph, node);
        return false;
    }
    GraphIdentity claim;
    if (!same || !next_claim(node, identity, &claim))
        return false;
    set_identity(node, node->uid, &claim);
    return true;
}
