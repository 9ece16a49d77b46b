// Empties a namespace that is being deleted, pods first, and then lets it go: removes the finalizer
// "kubernetes". https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/,
// KEP-5080 (ordered deletion)
//
// One round deletes a collection and looks whether anything is left of it. What has finalizers or a
// grace period takes its time: an informer over just that collection wakes the reconcile when its
// objects go.
#include <assert.h>
#include <stdlib.h>

#include "base/map.h"
#include "controllers/frame.h"

typedef struct NamespaceController {
    Controller base;
    Informer *namespaces;
    Map *watched; // namespace -> Remains
} NamespaceController;

typedef struct Remains { // what a terminating namespace waits for
    NamespaceController *self;
    Informer *informer;
    size_t resource; // index of kinds_resource_at
} Remains;

typedef struct Round {
    size_t resource; // at hand
    bool pods_only;
} Round;

static const Resource *content(size_t index) {
    const Resource *resource = kinds_resource_at(index);
    return resource && resource->namespaced && resource->stored &&
                   (resource->verbs & VERB_DELETECOLLECTION) && !resource->storage_version.len
               ? resource
               : NULL;
}

static bool is_pods(const Resource *resource) {
    return resource == kinds_resource_core_v1_pods();
}

static void forget(NamespaceController *self, Str namespace_) {
    Remains *remains = map_remove(self->watched, namespace_);
    if (!remains)
        return;
    informer_free(remains->informer);
    free(remains);
}

static void on_remains(void *user, const InformerObject *old, const InformerObject *now) {
    Remains *remains = user;
    if (!now)
        controller_enqueue(&remains->self->base, STR(""), old->namespace_);
}

static void wait_for(NamespaceController *self, Str namespace_, size_t resource) {
    static const InformerHandler handler = {.on_change = on_remains};
    Remains *remains = map_get(self->watched, namespace_);
    if (remains && remains->resource == resource)
        return;
    forget(self, namespace_);
    remains = calloc(1, sizeof *remains);
    assert(remains);
    remains->self = self;
    remains->resource = resource;
    remains->informer = informer_new(self->base.client, kinds_resource_at(resource), namespace_,
                                     STR_NONE, STR_NONE);
    informer_add_handler(remains->informer, &handler, remains);
    map_put(self->watched, namespace_, remains);
}

static void next(Reconcile *r);

static void on_left(void *user, const ClientResult *result) {
    Reconcile *r = user;
    Round *round = r->state;
    Value *list;
    ParseError error;
    if (result->error || value_parse_json(result->arena, result->body, NULL, &list, &error) != 0) {
        reconcile_done(r, true);
        return;
    }
    const Value *items = value_get(list, STR("items"));
    if (items && items->n) {
        wait_for((NamespaceController *)r->controller, r->name, round->resource);
        reconcile_done(r, false);
        return;
    }
    round->resource++;
    if (round->pods_only) {
        round->pods_only = false;
        round->resource = 0;
    }
    next(r);
}

static void on_deleted(void *user, const ClientResult *result) {
    Reconcile *r = user;
    Round *round = r->state;
    if (result->error && result->code != 404) {
        reconcile_done(r, reconcile_should_retry(r, result));
        return;
    }
    ClientTarget target = {.resource = kinds_resource_at(round->resource),
                           .namespace_ = r->name,
                           .query = STR("limit=1")};
    client_list(r->controller->client, &target, on_left, r);
}

static void finalize(Reconcile *r) {
    NamespaceController *self = (NamespaceController *)r->controller;
    forget(self, r->name);
    const InformerObject *object = informer_get(self->namespaces, STR(""), r->name);
    Value *ns;
    ParseError error;
    if (!object || value_parse_json(r->arena, arena_str(r->arena, bytes_str(object->bytes)), NULL,
                                    &ns, &error) != 0) {
        reconcile_done(r, false);
        return;
    }
    Value *finalizers = value_at(ns, "spec.finalizers");
    for (uint32_t i = 0; finalizers && i < finalizers->n; i++)
        if (str_eq(finalizers->items[i]->string, STR("kubernetes")))
            value_remove_item(finalizers, i--);
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(ns, &body);
    ClientTarget target = {.resource = kinds_resource_core_v1_namespaces(),
                           .name = r->name,
                           .subresource = STR("finalize")};
    client_update(self->base.client, &target, buf_view(&body), reconcile_finish, r);
}

static void next(Reconcile *r) {
    Round *round = r->state;
    for (;; round->resource++) {
        if (!kinds_resource_at(round->resource)) {
            finalize(r);
            return;
        }
        const Resource *resource = content(round->resource);
        if (resource && (!round->pods_only || is_pods(resource)))
            break;
    }
    ClientTarget target = {.resource = kinds_resource_at(round->resource), .namespace_ = r->name};
    client_delete_collection(r->controller->client, &target, on_deleted, r);
}

static void reconcile(Reconcile *r) {
    NamespaceController *self = (NamespaceController *)r->controller;
    Namespace *ns = reconcile_object(r, self->namespaces, STR(""), r->name, kinds_type_Namespace());
    if (!ns || !ns->metadata.deletion_timestamp) {
        forget(self, r->name);
        reconcile_done(r, false);
        return;
    }
    bool ours = false;
    for (size_t i = 0; i < ns->spec.finalizers.len; i++)
        ours |= str_eq(ns->spec.finalizers.items[i], STR("kubernetes"));
    if (!ours) {
        reconcile_done(r, false);
        return;
    }
    Round *round = arena_new_of(r->arena, Round);
    round->pods_only = true;
    r->state = round;
    next(r);
}

static void stop(Controller *controller) {
    NamespaceController *self = (NamespaceController *)controller;
    MapIter iter = {0};
    while (map_next(self->watched, &iter)) {
        informer_free(((Remains *)iter.value)->informer);
        free(iter.value);
    }
    map_free(self->watched);
    free(self);
}

Controller *namespace_controller_start(Controllers *all) {
    NamespaceController *self = calloc(1, sizeof *self);
    assert(self);
    self->watched = map_new();
    controller_init(&self->base, all, "namespace-controller", 10, reconcile, stop);
    self->namespaces =
        controller_informer(&self->base, kinds_resource_core_v1_namespaces(), STR(""));
    controller_follow(&self->base, self->namespaces);
    return &self->base;
}
