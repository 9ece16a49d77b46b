// Deletion with propagationPolicy Orphan: the dependents lose their reference to the owner, and then
// the owner its finalizer.

#include "controllers/garbage.h"

#define AT_ONCE 32 // dependents being patched

typedef struct Orphaning {
    Reconcile *r;
    GarbageItem *item; // the owner
    struct Dependent *dependents;
    size_t n, next, running;
    bool failed;
} Orphaning;

typedef struct Dependent {
    Orphaning *all;
    Str uid;
    ClientTarget target;
    ObjectHead live;
} Dependent;

static void go_on(Orphaning *all);

static void on_released(void *user, const ClientResult *result) {
    Reconcile *r = user;
    reconcile_done(r, result->code == 409 || reconcile_should_retry(r, result));
}

static void finish(Orphaning *all) {
    static const Str finalizer = {"orphan", 6};
    if (all->failed)
        reconcile_done(all->r, true);
    else if (object_head_has_finalizer(&all->item->live, finalizer))
        garbage_patch(all->item->self, &all->item->target, &all->item->live,
                      garbage_write_finalizers, &finalizer, on_released, all->r);
    else
        reconcile_done(all->r, false);
}

static void ended(Orphaning *all, const ClientResult *result) {
    all->running--;
    if (result && (result->code == 409 || reconcile_should_retry(all->r, result)))
        all->failed = true;
    go_on(all);
}

static void on_patched(void *user, const ClientResult *result) {
    ended(((Dependent *)user)->all, result);
}

// The whole list goes with the version that it was read at, so built-in and custom kinds take one
// road.
static void write_others(Buf *metadata, const ObjectHead *head, const void *owner_uid) {
    const Str *uid = owner_uid;
    bool any = false;
    buf_str(metadata, STR(",\"ownerReferences\":["));
    for (size_t i = 0; i < head->owners.len; i++) {
        if (str_eq(head->owners.items[i].uid, *uid))
            continue;
        if (any)
            buf_char(metadata, ',');
        any = true;
        garbage_write_owner(metadata, &head->owners.items[i], false);
    }
    buf_char(metadata, ']');
}

static void on_dependent(void *user, const ClientResult *result) {
    Dependent *dependent = user;
    Orphaning *all = dependent->all;
    Arena *arena = all->r->arena;
    if (result->error) {
        ended(all, result);
        return;
    }
    bool names = false;
    if (object_head_read(arena, arena_str(arena, result->body), &dependent->live) == 0 &&
        str_eq(dependent->live.uid, dependent->uid)) {
        for (size_t i = 0; i < dependent->live.owners.len; i++)
            names |= str_eq(dependent->live.owners.items[i].uid, all->item->uid);
    }
    if (names)
        garbage_patch(all->item->self, &dependent->target, &dependent->live, write_others,
                      &all->item->uid, on_patched, dependent);
    else
        ended(all, NULL);
}

static void go_on(Orphaning *all) {
    while (all->next < all->n && all->running < AT_ONCE) {
        Dependent *dependent = &all->dependents[all->next++];
        all->running++;
        client_get(all->r->controller->client, &dependent->target, on_dependent, dependent);
    }
    if (!all->running)
        finish(all);
}

void garbage_orphan(Reconcile *r) {
    GarbageItem *item = r->state;
    const GraphNode *node = owner_graph_get(item->self->graph, item->uid);
    Orphaning *all = arena_new_of(r->arena, Orphaning);
    all->r = r;
    all->item = item;
    const GraphEdge *edge;
    size_t n = 0;
    list_for_each(edge, &node->dependents, of_owner) n++;
    all->dependents = arena_array_of(r->arena, Dependent, n + 1);
    list_for_each(edge, &node->dependents, of_owner) {
        GraphIdentity identity = garbage_identity(r->arena, &edge->dependent->identity);
        Dependent *dependent = &all->dependents[all->n];
        *dependent = (Dependent){.all = all, .uid = arena_str(r->arena, edge->dependent->uid)};
        if (garbage_target(item->self, &identity, &dependent->target))
            all->n++;
        else
            all->failed = true;
    }
    go_on(all);
}
