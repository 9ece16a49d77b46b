// DELETE of a collection: every object that a list would show, a bounded number of deletions at a
// time.

#include <inttypes.h>

#include "api/delete.h"
#include "api/list_options.h"
#include "api/output.h"
#include "api/server.h"
#include "api/verbs.h"

#define AT_ONCE 64

typedef struct Collection {
    ApiRequest *request;
    ListOptions list;
    DeleteOptions options;
    Snapshot *root;
    size_t first, next, end;
    int64_t count;
    size_t running;
    const ApiStatus *failed;
    bool started; // inside go_on(): a deletion that ends at once must not recurse
} Collection;

static void go_on(Collection *collection);

static void drop_root(void *user) {
    snapshot_unref(((Collection *)user)->root);
}

static void one_done(Deletion *deletion, const ApiStatus *refusal) {
    Collection *collection = deletion->user;
    collection->running--;
    if (refusal && refusal->code != 404 && !collection->failed)
        collection->failed = refusal;
    if (!collection->started)
        go_on(collection);
}

static void answer(Collection *collection) {
    ApiRequest *request = collection->request;
    if (collection->failed) {
        request_status(request, collection->failed);
        return;
    }
    const Resource *resource = request->served->resource;
    Arena *arena = request->arena;
    Value *list = value_new_object(arena);
    value_set_str(arena, list, STR("kind"), resource->list_kind);
    value_set_str(arena, list, STR("apiVersion"),
                  resource->group.len ? arena_printf(arena, "%.*s/%.*s", STR_ARG(resource->group),
                                                     STR_ARG(resource->version))
                                      : resource->version);
    value_set_str(arena, value_at_make(arena, list, "metadata"), STR("resourceVersion"),
                  arena_printf(arena, "%" PRId64, request->api->revision));
    Value *items = value_new_array(arena);
    value_set(arena, list, STR("items"), items);
    for (size_t i = collection->first; i < collection->end; i++) {
        CachedObject *object = snapshot_at(collection->root, i);
        if (!filter_matches(&collection->list.filter, object))
            continue;
        Value *item = output_from_storage(arena, request->served, object_decode(arena, object));
        value_unset(item, STR("kind"));
        value_unset(item, STR("apiVersion"));
        value_push(arena, items, item);
    }
    request_object(request, 200, NULL, list);
}

static void delete_one(Collection *collection, CachedObject *object) {
    Deletion *deletion = arena_new_of(collection->request->arena, Deletion);
    deletion->request = collection->request;
    deletion->options = collection->options;
    deletion->namespace_ = object->namespace_;
    deletion->name = object->name;
    deletion->done = one_done;
    deletion->user = collection;
    collection->running++;
    deletion_run(deletion);
}

static void go_on(Collection *collection) {
    collection->started = true;
    while (collection->running < AT_ONCE && collection->next < collection->end &&
           !collection->failed) {
        if (collection->list.limit > 0 && collection->count >= collection->list.limit) {
            collection->end = collection->next;
            break;
        }
        CachedObject *object = snapshot_at(collection->root, collection->next++);
        if (!filter_matches(&collection->list.filter, object))
            continue;
        collection->count++;
        delete_one(collection, object);
    }
    collection->started = false;
    if (collection->running == 0)
        answer(collection);
}

void verb_delete_collection(ApiRequest *request) {
    Collection *collection = arena_new_of(request->arena, Collection);
    collection->request = request;
    ApiStatus *refused = list_options_parse(request, false, &collection->list);
    Str token = collection->list.continue_token, start = STR("");
    int64_t revision; // of the list that it continues: what is there now is deleted
    if (!refused && token.len)
        refused = continue_decode(request->arena, token, &revision, &start);
    if (!refused)
        refused = delete_options_parse(request, &collection->options);
    if (refused) {
        request_status(request, refused);
        return;
    }
    collection->root = snapshot_ref(cache_root(request->served->cache));
    arena_defer(request->arena, drop_root, collection);
    collection->end = snapshot_size(collection->root);
    collection->first = collection->next = snapshot_rank(collection->root, start);
    go_on(collection);
}
