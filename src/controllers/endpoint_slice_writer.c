#include "controllers/endpoint_slice_writer.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"

// After this long a write that the informer never showed (made and removed while its watch was
// down) is no longer waited for.
#define PATIENCE (5 * NSEC_PER_SEC)

struct SliceWriter {
    Controller *controller;
    char *manager;
    Informer *slices;
    InformerIndex *by_service;
    Map *pending; // service key -> List of Pending
};

typedef struct PendingList {
    List items;
} PendingList;

typedef struct Pending { // a write
    ListLink link;
    int64_t version; // INT64_MAX: it was deleted
    int64_t since;   // loop_now()
    char name[];
} Pending;

typedef struct Run {
    SliceWriter *writer;
    Reconcile *reconcile;
    SlicePlan plan;
    size_t at;
    bool retry;
} Run;

// ---- what the informer has to show first

static void forget(SliceWriter *writer, Str service_key, PendingList *list) {
    Pending *pending;
    list_for_each(pending, &list->items, link) free(pending);
    map_remove(writer->pending, service_key);
    free(list);
}

static void expect(SliceWriter *writer, Reconcile *r, Str name, int64_t version) {
    PendingList *list = map_get(writer->pending, r->key);
    if (!list) {
        list = memory_new(PendingList);
        list_init(&list->items);
        map_put(writer->pending, r->key, list);
    }
    Pending *pending = memory_zalloc(sizeof *pending + name.len + 1);
    memcpy(pending->name, name.ptr, name.len);
    pending->version = version;
    pending->since = loop_now(writer->controller->loop);
    list_append(&list->items, &pending->link);
}

static bool is_shown(const SliceWriter *writer, Str namespace_, const Pending *pending) {
    const InformerObject *object =
        informer_get(writer->slices, namespace_, str_from(pending->name));
    if (pending->version == INT64_MAX)
        return !object;
    return object && object->resource_version >= pending->version;
}

static bool is_current(SliceWriter *writer, Reconcile *r) {
    PendingList *list = map_get(writer->pending, r->key);
    if (!list)
        return true;
    int64_t now = loop_now(writer->controller->loop);
    Pending *pending;
    list_for_each(pending, &list->items, link) {
        if (!is_shown(writer, r->namespace_, pending) && now - pending->since < PATIENCE)
            continue;
        list_remove(&pending->link);
        free(pending);
    }
    if (!list_is_empty(&list->items)) {
        controller_enqueue_after(writer->controller, r->namespace_, r->name, PATIENCE);
        return false;
    }
    forget(writer, r->key, list);
    return true;
}

// ---- slices by service

typedef struct Labels {
    Str service, manager;
} Labels;

static Labels labels_of(Arena *arena, const InformerObject *object) {
    EndpointSlice *slice = arena_new_of(arena, EndpointSlice);
    if (typed_from_json(arena, kinds_type_EndpointSlice(), bytes_str(object->bytes), slice) != 0)
        return (Labels){STR_NONE, STR_NONE};
    return (Labels){str_map_get(&slice->metadata.labels, SLICE_SERVICE_LABEL),
                    str_map_get(&slice->metadata.labels, SLICE_MANAGED_BY_LABEL)};
}

static void index_keys(const InformerObject *object, InformerEmit emit, void *emit_user) {
    _arena_free_ Arena *arena = arena_new();
    Labels labels = labels_of(arena, object);
    if (labels.service.len)
        emit(emit_user, arena_printf(arena, "%.*s/%.*s/%.*s", STR_ARG(labels.manager),
                                     STR_ARG(object->namespace_), STR_ARG(labels.service)));
}

static void enqueue_service(SliceWriter *writer, const InformerObject *object) {
    _arena_free_ Arena *arena = arena_new();
    Labels labels = labels_of(arena, object);
    if (labels.service.len && str_eq(labels.manager, str_from(writer->manager)))
        controller_enqueue(writer->controller, object->namespace_, labels.service);
}

static void on_slice(void *user, const InformerObject *old, const InformerObject *now) {
    if (old)
        enqueue_service(user, old);
    if (now)
        enqueue_service(user, now);
}

typedef struct Collect {
    Reconcile *reconcile;
    EndpointSlice **items;
    size_t n;
} Collect;

static void collect(void *user, const InformerObject *object) {
    Collect *all = user;
    Arena *arena = all->reconcile->arena;
    EndpointSlice *slice = arena_new_of(arena, EndpointSlice);
    Str json = arena_str(arena, bytes_str(object->bytes));
    if (typed_from_json(arena, kinds_type_EndpointSlice(), json, slice) != 0)
        return;
    all->items = arena_grow(arena, all->items, all->n * sizeof *all->items,
                            (all->n + 1) * sizeof *all->items);
    all->items[all->n++] = slice;
}

bool slice_writer_existing(SliceWriter *writer, Reconcile *r, EndpointSlice ***ret, size_t *ret_n) {
    *ret = NULL;
    *ret_n = 0;
    if (!is_current(writer, r))
        return false;
    Collect all = {.reconcile = r};
    Str key = arena_printf(r->arena, "%s/%.*s", writer->manager, STR_ARG(r->key));
    informer_index_each(writer->by_service, key, collect, &all);
    *ret = all.items;
    *ret_n = all.n;
    return true;
}

// ---- writing

static void step(Run *run);

static void note_written(Run *run, const ClientResult *result) {
    EndpointSlice *slice = arena_new_of(result->arena, EndpointSlice);
    int64_t version;
    if (typed_from_json(result->arena, kinds_type_EndpointSlice(), result->body, slice) == 0 &&
        str_to_i64(slice->metadata.resource_version, &version) == 0)
        expect(run->writer, run->reconcile, slice->metadata.name, version);
}

static void on_written(void *user, const ClientResult *result) {
    Run *run = user;
    // A namespace that ends takes no new ones (403); its objects go anyway.
    bool ends =
        result->code == 403 && result->status && str_eq(result->status->reason, STR("Forbidden"));
    if (!result->error)
        note_written(run, result);
    else if (!ends)
        run->retry |= reconcile_should_retry(run->reconcile, result);
    step(run);
}

static void on_removed(void *user, const ClientResult *result) {
    Run *run = user;
    if (!result->error || result->code == 404) {
        size_t i = run->at - 1 - run->plan.n_create - run->plan.n_update;
        expect(run->writer, run->reconcile, run->plan.remove[i]->metadata.name, INT64_MAX);
    } else {
        run->retry |= reconcile_should_retry(run->reconcile, result);
    }
    step(run);
}

static void write_slice(Run *run, const EndpointSlice *slice) {
    Reconcile *r = run->reconcile;
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    typed_write_json(kinds_type_EndpointSlice(), slice, &body);
    ClientTarget target = {.resource = kinds_resource_discovery_v1_endpointslices(),
                           .namespace_ = r->namespace_,
                           .name = slice->metadata.name};
    if (target.name.len)
        client_update(r->controller->client, &target, buf_view(&body), on_written, run);
    else
        client_create(r->controller->client, &target, buf_view(&body), on_written, run);
}

static void step(Run *run) {
    const SlicePlan *plan = &run->plan;
    Reconcile *r = run->reconcile;
    size_t i = run->at++;
    if (i < plan->n_create) {
        write_slice(run, plan->create[i]);
        return;
    }
    i -= plan->n_create;
    if (i < plan->n_update) {
        write_slice(run, plan->update[i]);
        return;
    }
    i -= plan->n_update;
    if (i < plan->n_remove) {
        ClientTarget target = {.resource = kinds_resource_discovery_v1_endpointslices(),
                               .namespace_ = r->namespace_,
                               .name = plan->remove[i]->metadata.name};
        client_delete(r->controller->client, &target, STR(""), on_removed, run);
        return;
    }
    reconcile_done(r, run->retry);
}

void slice_writer_run(SliceWriter *writer, Reconcile *r, const SlicePlan *plan) {
    Run *run = arena_new_of(r->arena, Run);
    *run = (Run){.writer = writer, .reconcile = r, .plan = *plan};
    step(run);
}

void slice_writer_remove_all(SliceWriter *writer, Reconcile *r, EndpointSlice **existing,
                             size_t n) {
    slice_writer_run(writer, r, &(SlicePlan){.remove = existing, .n_remove = n});
}

// ---- life

SliceWriter *slice_writer_new(Controller *controller, Str manager) {
    static const InformerHandler handler = {.on_change = on_slice};
    SliceWriter *writer = memory_new(SliceWriter);
    writer->controller = controller;
    writer->manager = memory_zalloc(manager.len + 1);
    memcpy(writer->manager, manager.ptr, manager.len);
    writer->pending = map_new();
    writer->slices =
        controller_informer(controller, kinds_resource_discovery_v1_endpointslices(), STR(""));
    writer->by_service = informer_add_index(writer->slices, index_keys);
    informer_add_handler(writer->slices, &handler, writer);
    return writer;
}

void slice_writer_free(SliceWriter *writer) {
    MapIter iter = {0};
    while (map_next(writer->pending, &iter)) {
        PendingList *list = iter.value;
        Pending *pending;
        list_for_each(pending, &list->items, link) free(pending);
        free(list);
    }
    map_free(writer->pending);
    free(writer->manager);
    free(writer);
}
