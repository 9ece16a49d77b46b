#include "client/informer.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "client/object_head.h"

#define PAGE_LIMIT 500
#define BACKOFF_FIRST (200 * NSEC_PER_MSEC)
#define BACKOFF_LAST (30 * NSEC_PER_SEC)
#define SHORT_WATCH (1 * NSEC_PER_SEC) // an end this early is no end in order

// An object and what the informer keeps with it. InformerObject is what the outside sees.
typedef struct Entry {
    InformerObject object; // first
    _Atomic uint32_t references;
    uint32_t generation; // of the last list that held it
    char text[];         // namespace, name, uid, and "namespace/name" as key
} Entry;

typedef struct Handler {
    ListLink link;
    Informer *informer;
    InformerHandler handler;
    void *user;
    LoopTask catch_up; // tells a late handler of what is there
} Handler;

struct InformerIndex {
    ListLink link;
    void (*keys)(const InformerObject *object, InformerEmit emit, void *emit_user);
    Map *buckets; // key -> Map of object key -> Entry
};

struct Informer {
    Client *client;
    const Resource *resource;
    Arena *arena;
    ClientTarget target;
    Str selectors; // query
    Map *entries;  // "namespace/name" -> Entry
    List handlers, indexes;
    InformerIndex *by_namespace; // from the first question for one on
    ClientCall *call;
    LoopTimer retry;
    int64_t backoff;
    uint32_t generation;
    Str version, continue_token; // malloc'ed
    int64_t watch_started;       // loop_now()
    bool synced, must_list;
    bool light;       // keeps no bytes
    bool listed_last; // nothing was heard since the last list
};

InformerObject *informer_object_ref(const InformerObject *object) {
    Entry *entry = (Entry *)object;
    atomic_fetch_add_explicit(&entry->references, 1, memory_order_relaxed);
    return &entry->object;
}

void informer_object_unref(InformerObject *object) {
    Entry *entry = (Entry *)object;
    if (!entry || atomic_fetch_sub_explicit(&entry->references, 1, memory_order_acq_rel) != 1)
        return;
    bytes_unref(entry->object.bytes);
    free(entry);
}

static Str entry_key(const Entry *entry) {
    const InformerObject *o = &entry->object;
    return str_of(entry->text + o->uid.len, o->namespace_.len + 1 + o->name.len);
}

// The key holds namespace and name, so these are slices of it.
static Entry *entry_new(Str namespace_, Str name, Str uid, int64_t version, Bytes *bytes) {
    Entry *entry = calloc(1, sizeof *entry + uid.len + namespace_.len + 1 + name.len);
    assert(entry);
    char *p = entry->text;
    memcpy(p, uid.ptr ? uid.ptr : "", uid.len);
    entry->object.uid = str_of(p, uid.len);
    p += uid.len;
    memcpy(p, namespace_.ptr ? namespace_.ptr : "", namespace_.len);
    entry->object.namespace_ = str_of(p, namespace_.len);
    p += namespace_.len;
    *p++ = '/';
    memcpy(p, name.ptr, name.len);
    entry->object.name = str_of(p, name.len);
    entry->object.resource_version = version;
    entry->object.bytes = bytes;
    entry->references = 1;
    return entry;
}

InformerObject *informer_object_new(Str namespace_, Str name, Str uid, int64_t resource_version,
                                    Bytes *bytes) {
    return &entry_new(namespace_, name, uid, resource_version, bytes_ref(bytes))->object;
}

// Index upkeep ------------------------------------------------------------------------------------

typedef struct Emission {
    InformerIndex *index;
    Entry *entry;
    bool remove;
} Emission;

static void emit(void *user, Str key) {
    Emission *emission = user;
    Map *bucket = map_get(emission->index->buckets, key);
    if (emission->remove) {
        if (!bucket)
            return;
        map_remove(bucket, entry_key(emission->entry));
        if (!map_count(bucket)) {
            map_remove(emission->index->buckets, key);
            map_free(bucket);
        }
        return;
    }
    if (!bucket) {
        bucket = map_new();
        map_put(emission->index->buckets, key, bucket);
    }
    map_put(bucket, entry_key(emission->entry), emission->entry);
}

static void reindex(Informer *informer, Entry *entry, bool remove) {
    InformerIndex *index;
    list_for_each(index, &informer->indexes, link) {
        Emission emission = {index, entry, remove};
        index->keys(&entry->object, emit, &emission);
    }
}

InformerIndex *informer_add_index(Informer *informer,
                                  void (*keys)(const InformerObject *object, InformerEmit emit,
                                               void *emit_user)) {
    InformerIndex *index = calloc(1, sizeof *index);
    assert(index);
    index->keys = keys;
    index->buckets = map_new();
    list_append(&informer->indexes, &index->link);
    MapIter iter = {0};
    while (map_next(informer->entries, &iter)) {
        Emission emission = {index, iter.value, false};
        keys(&((Entry *)iter.value)->object, emit, &emission);
    }
    return index;
}

void informer_index_each(const InformerIndex *index, Str key,
                         void (*visit)(void *user, const InformerObject *object), void *user) {
    const Map *bucket = map_get(index->buckets, key);
    MapIter iter = {0};
    while (bucket && map_next(bucket, &iter))
        visit(user, &((Entry *)iter.value)->object);
}

// Changes -----------------------------------------------------------------------------------------

static void tell(Informer *informer, const InformerObject *old, const InformerObject *now) {
    Handler *handler;
    list_for_each(handler, &informer->handlers, link) {
        if (list_is_linked(&handler->catch_up.link))
            continue; // it will see everything in one go
        handler->handler.on_change(handler->user, old, now);
    }
}

static void replace(Informer *informer, Entry *old, Entry *now) {
    if (old)
        reindex(informer, old, true);
    if (now) {
        map_put(informer->entries, entry_key(now), now);
        reindex(informer, now, false);
    } else
        map_remove(informer->entries, entry_key(old));
    tell(informer, old ? &old->object : NULL, now ? &now->object : NULL);
    if (now && informer->light) {
        bytes_unref(now->object.bytes);
        now->object.bytes = NULL;
    }
    if (old)
        informer_object_unref(&old->object);
}

static void apply(Informer *informer, Bytes *bytes, bool deleted) {
    _arena_free_ Arena *arena = arena_new();
    ObjectHead head;
    int64_t version;
    if (object_head_read(arena, bytes_str(bytes), &head) != 0 || !head.name.len)
        return;
    if (str_to_i64(head.resource_version, &version) != 0)
        version = 0;
    Entry *now = entry_new(head.namespace_, head.name, head.uid, version,
                           informer->light ? bytes_ref(bytes) : object_without_managers(bytes));
    now->generation = informer->generation;
    Entry *old = map_get(informer->entries, entry_key(now));
    if (deleted || (old && old->object.resource_version == version &&
                    str_eq(old->object.uid, now->object.uid))) {
        if (old)
            old->generation = informer->generation;
        if (deleted && old)
            replace(informer, old, NULL);
        informer_object_unref(&now->object);
        return;
    }
    if (old && !str_eq(old->object.uid, now->object.uid)) {
        replace(informer, old, NULL); // another object of that name: its deletion was missed
        old = NULL;
    }
    replace(informer, old, now);
}

// List and watch ----------------------------------------------------------------------------------

static void begin(void *user);

static void set_string(Str *slot, Str value) {
    free((char *)slot->ptr);
    *slot = STR_NONE;
    if (!value.len)
        return;
    char *copy = malloc(value.len);
    assert(copy);
    memcpy(copy, value.ptr, value.len);
    *slot = str_of(copy, value.len);
}

static void retry_later(Informer *informer) {
    int64_t delay = informer->backoff;
    informer->backoff = delay * 2 < BACKOFF_LAST ? delay * 2 : BACKOFF_LAST;
    delay += (int64_t)(loop_random(client_loop(informer->client)) % (uint64_t)delay); // jitter
    loop_timer_start(&informer->retry, delay);
}

// What we know is older than what the server remembers: list anew, at once, but not again and again
// should the server go on saying so.
static void list_anew(Informer *informer) {
    informer->must_list = true;
    if (informer->listed_last)
        retry_later(informer);
    else
        begin(informer);
}

static void drop_unseen(Informer *informer) {
    MapIter iter = {0};
    while (map_next(informer->entries, &iter)) {
        Entry *entry = iter.value;
        if (entry->generation != informer->generation)
            replace(informer, entry, NULL);
    }
}

static void set_synced(Informer *informer) {
    bool first = !informer->synced;
    informer->synced = true;
    Handler *handler;
    list_for_each(handler, &informer->handlers, link) if (first && handler->handler.on_synced &&
                                                          !list_is_linked(&handler->catch_up.link))
        handler->handler.on_synced(handler->user);
}

static void on_listed(void *user, const ClientResult *result) {
    Informer *informer = user;
    informer->call = NULL;
    Value *list = NULL;
    ParseError parse_error;
    if (result->error ||
        value_parse_json(result->arena, result->body, NULL, &list, &parse_error) != 0) {
        if (result->code == 404) // not served (yet): there are none of them
            set_synced(informer);
        else if (result->code == 410)
            set_string(&informer->continue_token, STR_NONE);
        else
            log_warn("client", "list failed", "resource=%.*s code=%d error=\"%.*s\"",
                     STR_ARG(informer->resource->plural), result->code,
                     STR_ARG(result->status ? result->status->message : STR("no answer")));
        retry_later(informer);
        return;
    }
    const Value *items = value_get(list, STR("items"));
    for (uint32_t i = 0; items && items->kind == VALUE_ARRAY && i < items->n; i++) {
        Buf buf = BUF_INIT(2 * VALUE_MAX_BYTES);
        value_write_json(items->items[i], &buf);
        _bytes_unref_ Bytes *bytes = buf_bytes(&buf);
        buf_deinit(&buf);
        apply(informer, bytes, false);
    }
    set_string(&informer->continue_token, value_string_at(list, "metadata.continue"));
    if (!informer->continue_token.len) {
        set_string(&informer->version, value_string_at(list, "metadata.resourceVersion"));
        drop_unseen(informer);
        informer->must_list = false;
        informer->listed_last = true;
        set_synced(informer);
    }
    begin(informer);
}

static void on_event(void *user, Str type, Bytes *bytes) {
    Informer *informer = user;
    _arena_free_ Arena *arena = arena_new();
    ObjectHead head;
    if (str_eq(type, STR("ERROR")) || object_head_read(arena, bytes_str(bytes), &head) != 0) {
        client_cancel(informer->call);
        informer->call = NULL;
        list_anew(informer); // 410 as a rule
        return;
    }
    informer->backoff = BACKOFF_FIRST;
    informer->listed_last = false;
    set_string(&informer->version, head.resource_version);
    if (str_eq(type, STR("BOOKMARK")))
        return;
    apply(informer, bytes, str_eq(type, STR("DELETED")));
}

static void on_watch_done(void *user, const ClientResult *result) {
    Informer *informer = user;
    informer->call = NULL;
    bool was_short =
        loop_now(client_loop(informer->client)) - informer->watch_started < SHORT_WATCH;
    if (!was_short)
        informer->backoff = BACKOFF_FIRST;
    if (result->code == 410) {
        list_anew(informer);
        return;
    }
    if (result->code == 404)
        informer->must_list = true;
    if (result->error || was_short)
        retry_later(informer);
    else
        begin(informer); // the server ends a watch now and then
}

static void begin(void *user) {
    Informer *informer = user;
    _arena_free_ Arena *arena = arena_new();
    ClientTarget target = informer->target;
    if (!informer->must_list) {
        informer->watch_started = loop_now(client_loop(informer->client));
        target.query = informer->selectors;
        informer->call = client_watch(informer->client, &target, informer->version, on_event,
                                      on_watch_done, informer);
        return;
    }
    if (!informer->continue_token.len)
        informer->generation++;
    target.query = arena_printf(arena, "%.*s%slimit=%d%s%.*s", STR_ARG(informer->selectors),
                                informer->selectors.len ? "&" : "", PAGE_LIMIT,
                                informer->continue_token.len ? "&continue=" : "",
                                STR_ARG(http_percent_encode(arena, informer->continue_token)));
    informer->call = client_list(informer->client, &target, on_listed, informer);
}

Informer *informer_new(Client *client, const Resource *resource, Str namespace_, Str label_selector,
                       Str field_selector) {
    Informer *informer = calloc(1, sizeof *informer);
    assert(informer);
    Arena *arena = informer->arena = arena_new_small();
    informer->client = client;
    informer->resource = resource;
    informer->target =
        (ClientTarget){.resource = resource, .namespace_ = arena_str(arena, namespace_)};
    Str parts[2];
    size_t n = 0;
    if (label_selector.len)
        parts[n++] = arena_printf(arena, "labelSelector=%.*s",
                                  STR_ARG(http_percent_encode(arena, label_selector)));
    if (field_selector.len)
        parts[n++] = arena_printf(arena, "fieldSelector=%.*s",
                                  STR_ARG(http_percent_encode(arena, field_selector)));
    informer->selectors = n ? arena_concat(arena, parts, n, STR("&")) : STR_NONE;
    informer->entries = map_new();
    list_init(&informer->handlers);
    list_init(&informer->indexes);
    informer->backoff = BACKOFF_FIRST;
    informer->must_list = true;
    loop_timer_init(&informer->retry, client_loop(client), begin, informer);
    begin(informer);
    return informer;
}

Informer *informer_new_light(Client *client, const Resource *resource) {
    Informer *informer = informer_new(client, resource, STR_NONE, STR_NONE, STR_NONE);
    informer->light = true;
    return informer;
}

static void catch_up(void *user) {
    Handler *handler = user;
    Informer *informer = handler->informer;
    MapIter iter = {0};
    while (map_next(informer->entries, &iter))
        handler->handler.on_change(handler->user, NULL, &((Entry *)iter.value)->object);
    if (informer->synced && handler->handler.on_synced)
        handler->handler.on_synced(handler->user);
}

void informer_add_handler(Informer *informer, const InformerHandler *handler, void *user) {
    Handler *added = calloc(1, sizeof *added);
    assert(added);
    added->informer = informer;
    added->handler = *handler;
    added->user = user;
    added->catch_up = (LoopTask){.fn = catch_up, .user = added};
    list_append(&informer->handlers, &added->link);
    if (map_count(informer->entries) || informer->synced)
        loop_post(client_loop(informer->client), &added->catch_up);
}

void informer_free(Informer *informer) {
    if (!informer)
        return;
    if (informer->call)
        client_cancel(informer->call);
    loop_timer_stop(&informer->retry);
    MapIter iter = {0};
    while (map_next(informer->entries, &iter))
        informer_object_unref(&((Entry *)iter.value)->object);
    map_free(informer->entries);
    Handler *handler;
    list_for_each(handler, &informer->handlers, link) {
        loop_task_cancel(client_loop(informer->client), &handler->catch_up);
        free(handler);
    }
    InformerIndex *index;
    list_for_each(index, &informer->indexes, link) {
        MapIter buckets = {0};
        while (map_next(index->buckets, &buckets))
            map_free(buckets.value);
        map_free(index->buckets);
        free(index);
    }
    free((char *)informer->version.ptr);
    free((char *)informer->continue_token.ptr);
    arena_free(informer->arena);
    free(informer);
}

bool informer_is_synced(const Informer *informer) {
    return informer->synced;
}

const InformerObject *informer_get(const Informer *informer, Str namespace_, Str name) {
    char stack[512];
    size_t len = namespace_.len + 1 + name.len;
    if (len > sizeof stack) // longer than any valid name
        return NULL;
    memcpy(stack, namespace_.ptr ? namespace_.ptr : "", namespace_.len);
    stack[namespace_.len] = '/';
    memcpy(stack + namespace_.len + 1, name.ptr ? name.ptr : "", name.len);
    Entry *entry = map_get(informer->entries, str_of(stack, len));
    return entry ? &entry->object : NULL;
}

int64_t informer_version(const Informer *informer) {
    int64_t version;
    return informer->version.len && str_to_i64(informer->version, &version) == 0 ? version : 0;
}

size_t informer_count(const Informer *informer) {
    return map_count(informer->entries);
}

static void namespace_key(const InformerObject *object, InformerEmit add, void *user) {
    add(user, object->namespace_);
}

void informer_each(Informer *informer, Str namespace_,
                   void (*visit)(void *user, const InformerObject *object), void *user) {
    if (namespace_.len) {
        if (!informer->by_namespace)
            informer->by_namespace = informer_add_index(informer, namespace_key);
        informer_index_each(informer->by_namespace, namespace_, visit, user);
        return;
    }
    MapIter iter = {0};
    while (map_next(informer->entries, &iter))
        visit(user, &((Entry *)iter.value)->object);
}
