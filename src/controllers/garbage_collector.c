// Deletes what has lost its owners, and sees to it that an owner deleted in the foreground goes
// after its dependents. https://kubernetes.io/docs/concepts/architecture/garbage-collection/
//
// A light informer of each kind feeds the graph of owners (owner_graph.h), and the graph says which
// objects to look at. Looking means asking the API server for the object and for each of its owners:
// the decision rests on what is there now. (kube-controller-manager's pkg/controller/garbagecollector)

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "controllers/garbage.h"

#define ORPHAN STR("orphan")
#define FOREGROUND STR("foregroundDeletion")

typedef struct Monitor { // of one kind
    ListLink link;
    GarbageCollector *self;
    const Resource *resource;
    Informer *informer;
} Monitor;

typedef enum OwnerState { OWNER_SOLID, OWNER_DANGLING, OWNER_WAITING } OwnerState;

typedef struct Attempt { // r->state
    GarbageItem item;    // first
    size_t next;         // owner to ask for
    OwnerState *states;  // of the owners asked so far
    GraphIdentity owner; // at hand
} Attempt;

// ---- requests

GraphIdentity garbage_identity(Arena *arena, const GraphIdentity *identity) {
    return (GraphIdentity){arena_str(arena, identity->api_version), arena_str(arena, identity->kind),
                           arena_str(arena, identity->namespace_), arena_str(arena, identity->name)};
}

bool garbage_target(const GarbageCollector *self, const GraphIdentity *identity,
                    ClientTarget *ret_target) {
    const Resource *resource = kind_index_find(self->kinds, identity->api_version, identity->kind);
    if (!resource || !identity->name.len)
        return false;
    *ret_target = (ClientTarget){
        .resource = resource, .namespace_ = identity->namespace_, .name = identity->name};
    return true;
}

static void write_string(Buf *buf, Str string) {
    value_write_json(&(Value){.kind = VALUE_STRING, .string = string}, buf);
}

void garbage_patch(GarbageCollector *self, const ClientTarget *target, const ObjectHead *head,
                   void (*write)(Buf *metadata, const ObjectHead *head, const void *what),
                   const void *what, ClientDone done, void *user) {
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    buf_str(&body, STR("{\"metadata\":{\"uid\":"));
    write_string(&body, head->uid);
    buf_str(&body, STR(",\"resourceVersion\":"));
    write_string(&body, head->resource_version);
    write(&body, head, what);
    buf_str(&body, STR("}}"));
    client_patch(self->base.client, target, PATCH_MERGE, buf_view(&body), done, user);
}

void garbage_write_finalizers(Buf *metadata, const ObjectHead *head, const void *without_str) {
    const Str *without = without_str;
    bool any = false;
    buf_str(metadata, STR(",\"finalizers\":["));
    for (size_t i = 0; i < head->finalizers.len; i++) {
        if (str_eq(head->finalizers.items[i], *without))
            continue;
        if (any)
            buf_char(metadata, ',');
        any = true;
        write_string(metadata, head->finalizers.items[i]);
    }
    buf_char(metadata, ']');
}

void garbage_write_owner(Buf *buf, const HeadOwner *owner, bool unblock) {
    buf_str(buf, STR("{\"apiVersion\":"));
    write_string(buf, owner->api_version);
    buf_str(buf, STR(",\"kind\":"));
    write_string(buf, owner->kind);
    buf_str(buf, STR(",\"name\":"));
    write_string(buf, owner->name);
    buf_str(buf, STR(",\"uid\":"));
    write_string(buf, owner->uid);
    if (owner->controller)
        buf_printf(buf, ",\"controller\":%s", *owner->controller ? "true" : "false");
    if (owner->block_owner_deletion)
        buf_printf(buf, ",\"blockOwnerDeletion\":%s",
                   *owner->block_owner_deletion && !unblock ? "true" : "false");
    buf_char(buf, '}');
}

// `what`: the Attempt; its solid owners stay, or NULL: all of them, but none blocks.
static void write_owners(Buf *metadata, const ObjectHead *head, const void *what) {
    const Attempt *attempt = what;
    bool any = false;
    buf_str(metadata, STR(",\"ownerReferences\":["));
    for (size_t i = 0; i < head->owners.len; i++) {
        if (attempt && attempt->states[i] != OWNER_SOLID)
            continue;
        if (any)
            buf_char(metadata, ',');
        any = true;
        garbage_write_owner(metadata, &head->owners.items[i], !attempt);
    }
    buf_char(metadata, ']');
}

// ---- ends

static void item_absent(Reconcile *r) {
    const GarbageItem *item = r->state;
    reconcile_done(r, owner_graph_absent(item->self->graph, item->uid, &item->identity));
}

static void on_written(void *user, const ClientResult *result) {
    Reconcile *r = user;
    if (result->code == 404)
        item_absent(r);
    else
        reconcile_done(r, result->code == 409 || reconcile_should_retry(r, result));
}

static void delete_item(Reconcile *r, const char *policy) {
    Attempt *attempt = r->state;
    Str options = arena_printf(
        r->arena,
        "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"preconditions\":{\"uid\":\"%.*s\","
        "\"resourceVersion\":\"%.*s\"},\"propagationPolicy\":\"%s\"}",
        STR_ARG(attempt->item.uid), STR_ARG(attempt->item.live.resource_version), policy);
    client_delete(r->controller->client, &attempt->item.target, options, on_written, r);
}

static void on_unblocked(void *user, const ClientResult *result) {
    Reconcile *r = user;
    Attempt *attempt = r->state;
    if (result->error) {
        on_written(user, result);
        return;
    }
    ObjectHead now; // only its version is of interest
    if (object_head_read(r->arena, arena_str(r->arena, result->body), &now) == 0)
        attempt->item.live.resource_version = now.resource_version;
    delete_item(r, "Foreground");
}

// ---- deciding

// Whether a dependent of the node waits for its own: then this may be a cycle, in which each waits
// for the next.
static bool has_waiting_dependent(const GraphNode *node) {
    const GraphEdge *edge;
    list_for_each(edge, &node->dependents, of_owner) {
        if (edge->dependent->deleting_dependents)
            return true;
    }
    return false;
}

static void decide(Reconcile *r) {
    Attempt *attempt = r->state;
    GarbageCollector *self = attempt->item.self;
    const ObjectHead *live = &attempt->item.live;
    size_t count[3] = {0};
    for (size_t i = 0; i < live->owners.len; i++)
        count[attempt->states[i]]++;
    const GraphNode *node = owner_graph_get(self->graph, attempt->item.uid);
    if (count[OWNER_SOLID]) {
        if (count[OWNER_DANGLING] || count[OWNER_WAITING])
            garbage_patch(self, &attempt->item.target, live, write_owners, attempt, on_written, r);
        else
            reconcile_done(r, false);
    } else if (count[OWNER_WAITING] && node && !list_is_empty(&node->dependents)) {
        if (has_waiting_dependent(node))
            garbage_patch(self, &attempt->item.target, live, write_owners, NULL, on_unblocked, r);
        else
            delete_item(r, "Foreground");
    } else {
        delete_item(r, object_head_has_finalizer(live, ORPHAN)       ? "Orphan"
                       : object_head_has_finalizer(live, FOREGROUND) ? "Foreground"
                                                                     : "Background");
    }
}

static void ask_next(Reconcile *r);

static void owner_is(Reconcile *r, OwnerState state) {
    Attempt *attempt = r->state;
    attempt->states[attempt->next++] = state;
    ask_next(r);
}

static void on_owner(void *user, const ClientResult *result) {
    Reconcile *r = user;
    Attempt *attempt = r->state;
    Str uid = attempt->item.live.owners.items[attempt->next].uid;
    ObjectHead owner;
    if (result->error && result->code != 404) {
        reconcile_done(r, reconcile_should_retry(r, result));
        return;
    }
    if (result->code == 404 || object_head_read(r->arena, result->body, &owner) != 0 ||
        !str_eq(owner.uid, uid)) {
        owner_graph_note_absent(attempt->item.self->graph, uid, &attempt->owner);
        owner_is(r, OWNER_DANGLING);
        return;
    }
    bool waits =
        owner.deletion_timestamp.len && object_head_has_finalizer(&owner, FOREGROUND);
    owner_is(r, waits ? OWNER_WAITING : OWNER_SOLID);
}

static void ask_next(Reconcile *r) {
    Attempt *attempt = r->state;
    GarbageCollector *self = attempt->item.self;
    if (attempt->next == attempt->item.live.owners.len) {
        decide(r);
        return;
    }
    const HeadOwner *owner = &attempt->item.live.owners.items[attempt->next];
    attempt->owner = (GraphIdentity){owner->api_version, owner->kind, STR(""), owner->name};
    bool absent = owner_graph_is_absent(self->graph, owner->uid, &attempt->owner);
    attempt->owner.namespace_ = attempt->item.identity.namespace_;
    if (absent || owner_graph_is_absent(self->graph, owner->uid, &attempt->owner)) {
        owner_is(r, OWNER_DANGLING);
        return;
    }
    ClientTarget target;
    if (!garbage_target(self, &attempt->owner, &target)) {
        log_debug("controllers", "owner of an unknown kind", "owner=%.*s/%.*s",
                  STR_ARG(owner->kind), STR_ARG(owner->name));
        reconcile_done(r, true);
        return;
    }
    if (target.resource->namespaced && !attempt->item.identity.namespace_.len) {
        reconcile_done(r, false); // a mistake that no time mends
        return;
    }
    if (!target.resource->namespaced)
        attempt->owner.namespace_ = target.namespace_ = STR("");
    client_get(r->controller->client, &target, on_owner, r);
}

// An owner deleted in the foreground: it goes when nothing blocks it any more.
static void process_deleting_dependents(Reconcile *r, const GraphNode *node) {
    static const Str finalizer = {"foregroundDeletion", 18};
    Attempt *attempt = r->state;
    GarbageCollector *self = attempt->item.self;
    if (!node->n_blocking) {
        if (object_head_has_finalizer(&attempt->item.live, finalizer))
            garbage_patch(self, &attempt->item.target, &attempt->item.live,
                          garbage_write_finalizers, &finalizer, on_written, r);
        else
            reconcile_done(r, false);
        return;
    }
    const GraphEdge *edge;
    list_for_each(edge, &node->dependents, of_owner) {
        if (edge->blocks && !edge->dependent->deleting_dependents)
            controller_enqueue(&self->base, STR(""), edge->dependent->uid);
    }
    reconcile_done(r, false);
}

static void on_live(void *user, const ClientResult *result) {
    Reconcile *r = user;
    Attempt *attempt = r->state;
    GarbageItem *item = &attempt->item;
    OwnerGraph *graph = item->self->graph;
    if (result->error && result->code != 404) {
        reconcile_done(r, reconcile_should_retry(r, result));
        return;
    }
    if (result->code == 404 ||
        object_head_read(r->arena, arena_str(r->arena, result->body), &item->live) != 0 ||
        !str_eq(item->live.uid, item->uid)) {
        item_absent(r);
        return;
    }
    const GraphNode *node = owner_graph_get(graph, item->uid);
    if (node && !node->resource) { // it is no ghost: from now on its informer tells of it
        owner_graph_observe(graph, item->target.resource, &item->live);
        node = owner_graph_get(graph, item->uid);
    }
    if (node && str_eq(r->namespace_, ORPHAN))
        garbage_orphan(r);
    else if (node && node->deleting_dependents)
        process_deleting_dependents(r, node);
    else if (!node || !item->live.owners.len)
        reconcile_done(r, false);
    else {
        attempt->states = arena_array_of(r->arena, OwnerState, item->live.owners.len);
        ask_next(r);
    }
}

// Keys are "/UID", and "orphan/UID" for letting dependents go.
static void reconcile(Reconcile *r) {
    GarbageCollector *self = (GarbageCollector *)r->controller;
    const GraphNode *node = owner_graph_get(self->graph, r->name);
    bool orphan = str_eq(r->namespace_, ORPHAN);
    if (!node || node->absent ||
        (node->deleting && !node->deleting_dependents && !(orphan && node->orphaning))) {
        reconcile_done(r, false); // being deleted is a one-way road
        return;
    }
    Attempt *attempt = arena_new_of(r->arena, Attempt);
    r->state = attempt;
    attempt->item.self = self;
    attempt->item.uid = r->name;
    attempt->item.identity = garbage_identity(r->arena, &node->identity);
    if (!garbage_target(self, &attempt->item.identity, &attempt->item.target)) {
        log_debug("controllers", "object of an unknown kind", "kind=%.*s version=%.*s",
                  STR_ARG(node->identity.kind), STR_ARG(node->identity.api_version));
        reconcile_done(r, true);
        return;
    }
    if (!attempt->item.target.resource->namespaced)
        attempt->item.identity.namespace_ = attempt->item.target.namespace_ = STR("");
    else if (!attempt->item.identity.namespace_.len) {
        reconcile_done(r, false); // a cluster-wide object names an owner in some namespace
        return;
    }
    client_get(self->base.client, &attempt->item.target, on_live, r);
}

// ---- what the graph and the informers tell

static void attempt_delete(void *user, Str uid) {
    controller_enqueue(user, STR(""), uid);
}

static void attempt_orphan(void *user, Str uid) {
    controller_enqueue(user, ORPHAN, uid);
}

static void invalid_namespace(void *user, const GraphEdge *edge) {
    const GarbageCollector *self = user;
    const GraphIdentity *dependent = &edge->dependent->identity;
    EventTarget target = {.api_version = dependent->api_version,
                          .kind = dependent->kind,
                          .namespace_ = dependent->namespace_,
                          .name = dependent->name,
                          .uid = edge->dependent->uid};
    event_record(self->events, &target, "Warning", "OwnerRefInvalidNamespace",
                 "ownerRef [%.*s/%.*s, namespace: %.*s, name: %.*s, uid: %.*s] does not exist in "
                 "namespace \"%.*s\"",
                 STR_ARG(edge->api_version), STR_ARG(edge->kind), STR_ARG(dependent->namespace_),
                 STR_ARG(edge->name), STR_ARG(edge->owner->uid), STR_ARG(dependent->namespace_));
}

static void on_change(void *user, const InformerObject *old, const InformerObject *now) {
    const Monitor *monitor = user;
    OwnerGraph *graph = monitor->self->graph;
    if (!now) {
        owner_graph_forget(graph, old->uid);
        return;
    }
    _arena_free_ Arena *arena = arena_new();
    ObjectHead head;
    if (object_head_read(arena, bytes_str(now->bytes), &head) == 0)
        owner_graph_observe(graph, monitor->resource, &head);
}

static Monitor *start_monitor(GarbageCollector *self, const Resource *resource) {
    static const InformerHandler handler = {.on_change = on_change};
    Monitor *monitor = memory_new(Monitor);
    monitor->self = self;
    monitor->resource = resource;
    monitor->informer = informer_new_light(self->base.client, resource);
    informer_add_handler(monitor->informer, &handler, monitor);
    list_append(&self->monitors, &monitor->link);
    return monitor;
}

static void stop_monitor(Monitor *monitor) {
    list_remove(&monitor->link);
    informer_free(monitor->informer);
    free(monitor);
}

static void on_kind_added(void *user, const Resource *resource) {
    GarbageCollector *self = user;
    start_monitor(self, resource);
    owner_graph_retry_kind(self->graph, resource->group, resource->kind);
}

static void on_kind_removed(void *user, const Resource *resource) {
    GarbageCollector *self = user;
    Monitor *monitor;
    list_for_each(monitor, &self->monitors, link) {
        if (monitor->resource == resource)
            stop_monitor(monitor);
    }
    owner_graph_forget_kind(self->graph, resource);
}

static void stop(Controller *controller) {
    GarbageCollector *self = (GarbageCollector *)controller;
    Monitor *monitor;
    list_for_each(monitor, &self->monitors, link) stop_monitor(monitor);
    event_recorder_free(self->events);
    owner_graph_free(self->graph);
    free(self);
}

Controller *garbage_collector_start(Controllers *all) {
    static const OwnerGraphEvents events = {attempt_delete, attempt_orphan, invalid_namespace};
    static const KindListener listener = {on_kind_added, on_kind_removed};
    GarbageCollector *self = memory_new(GarbageCollector);
    list_init(&self->monitors);
    self->graph = owner_graph_new(&events, self);
    controller_init(&self->base, all, "generic-garbage-collector", 20, reconcile, stop);
    self->events =
        event_recorder_new(self->base.client, STR("garbage-collector-controller"), STR_NONE);
    self->kinds = kind_index_of(&self->base);
    kind_index_listen(self->kinds, &listener, self);
    const Resource *resource;
    for (size_t i = 0; (resource = kind_index_at(self->kinds, i)); i++) {
        if (!str_eq(resource->kind, STR("Event"))) // many, and they own nothing
            controller_wait_for(&self->base, start_monitor(self, resource)->informer);
    }
    return &self->base;
}
