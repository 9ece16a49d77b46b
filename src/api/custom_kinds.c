#include "api/custom_kinds.h"

#include <assert.h>
#include <stdlib.h>

#include "api/custom_cleanup.h"
#include "api/nonresource.h"
#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "kinds/custom_resource.h"

typedef struct CustomKind CustomKind;
typedef struct Load Load;

struct CustomKinds {
    Api *api;
    Cache *definitions;
    Map *kinds; // by name of the definition
    LoopTask task;
    bool started;
    size_t loading;
};

struct CustomKind {
    CustomKinds *self;
    CachedObject *definition; // the newest
    Str json;                 // its JSON, which the tables refer to
    uint64_t hash;            // of what the tables were made of
    ServedKind *served;       // in the registry; NULL: not served
    Load *load;               // of tables that are to take its place
    Cleanup *cleanup;         // while its objects are deleted
    int64_t swept;            // what the cache knew when that began last
    bool dirty;
    char name[];
};

// The objects of a new kind, or of one whose tables change, are read from the store; what happens
// to them meanwhile is noted.
typedef struct Missed {
    char *key;
    size_t key_len;
    Bytes *value; // NULL: deleted
    int64_t create_revision, revision;
} Missed;
struct Load {
    CustomKind *kind; // NULL once nobody wants it any more
    ServedKind *served;
    uint64_t hash;
    Missed *missed;
    size_t n, capacity;
};

static void mark(CustomKind *kind) {
    kind->dirty = true;
    if (kind->self->started)
        loop_post(kind->self->api->loop, &kind->self->task);
}

static void mark_group(CustomKinds *self, Str name) {
    str_cut(&name, '.');
    MapIter it = {0};
    while (map_next(self->kinds, &it)) {
        Str other = it.key;
        str_cut(&other, '.');
        if (str_eq(other, name))
            mark(it.value);
    }
}

// ---- serving

static void on_idle(ServedKind *served) {
    CustomKind *kind = served->user;
    if (kind)
        mark(kind);
}

static void on_object(void *user, CachedObject *previous, CachedObject *object) {
    const ServedKind *served = user;
    CustomKind *kind = served->user;
    if (kind && kind->definition->deleting && !object)
        mark(kind);
}

static void stop_serving(CustomKind *kind) {
    if (!kind->served)
        return;
    kind->served->user = NULL;
    kind->served->idle = NULL;
    registry_remove_kind(kind->self->api->registry, kind->served);
    served_kind_unref(kind->served);
    kind->served = NULL;
}

// The tables' reference is the kind's from now on.
static bool serve(CustomKind *kind, ServedKind *served, uint64_t hash) {
    stop_serving(kind);
    served->user = kind;
    served->idle = on_idle;
    served->terminating = kind->definition->deleting;
    kind->hash = hash;
    if (!registry_add_kind(kind->self->api->registry, served)) {
        log_warn("api", "a custom kind has the name of a built-in one and is not served",
                 "definition=%s", kind->name);
        served_kind_unref(served);
        return false;
    }
    kind->served = served;
    cache_listen(served->cache, on_object, served);
    return true;
}

static uint64_t table_hash(const Value *definition) {
    Buf buf = BUF_INIT(VALUE_MAX_BYTES * 4);
    const Value *spec = value_get(definition, STR("spec"));
    const Value *names = value_at(definition, "status.acceptedNames");
    if (spec)
        value_write_json(spec, &buf);
    if (names)
        value_write_json(names, &buf);
    uint64_t hash = str_hash(buf_view(&buf));
    buf_deinit(&buf);
    return hash ? hash : 1;
}

static ServedKind *make_tables(CustomKind *kind, Str json) {
    Str message = STR("");
    ServedKind *served = custom_tables_build(json, &kind->json, &message);
    if (!served)
        log_error("api", "a custom resource definition can't be served",
                  "definition=%s reason=\"%.*s\"", kind->name, STR_ARG(message));
    return served;
}

// ---- reading its objects

static void load_free(Load *load) {
    for (size_t i = 0; i < load->n; i++) {
        bytes_unref(load->missed[i].value);
        free(load->missed[i].key);
    }
    free(load->missed);
    served_kind_unref(load->served);
    free(load);
}

static void load_abandon(CustomKind *kind) {
    if (kind->load)
        kind->load->kind = NULL;
    kind->load = NULL;
}

static Str key_in(const ServedKind *served, Str key) {
    Str prefix = served->versions[0].key_prefix;
    return str_starts_with(key, prefix) ? str_slice(key, prefix.len, key.len) : STR_NONE;
}

static CachedObject *decode(Api *api, const ServedKind *served, Str key, const Bytes *value,
                            int64_t create_revision, int64_t revision) {
    CachedObject *object = object_new(api->scratch, cache_served(served->cache), key, value,
                                      create_revision, revision);
    if (!object)
        log_error("api", "an object in the store can't be decoded and is not served",
                  "key=%.*s/%.*s", STR_ARG(served->stored_name), STR_ARG(key));
    return object;
}

static void catch_up(Api *api, const Load *load) {
    for (size_t i = 0; i < load->n; i++) {
        const Missed *missed = &load->missed[i];
        if (missed->revision <= cache_changed(load->served->cache))
            continue;
        Str key = str_of(missed->key, missed->key_len);
        CachedObject *object = missed->value ? decode(api, load->served, key, missed->value,
                                                      missed->create_revision, missed->revision)
                                             : NULL;
        if (object || !missed->value)
            cache_apply(load->served->cache, api->scratch, key, object, missed->revision,
                        loop_now(api->loop));
        object_unref(object);
    }
}

static void loaded(void *user, int error, const StoreResult *result) {
    Load *load = user;
    CustomKind *kind = load->kind;
    if (!kind) {
        load_free(load);
        return;
    }
    CustomKinds *self = kind->self;
    Api *api = self->api;
    self->loading--;
    kind->load = NULL;
    if (error) {
        log_error("api", "the objects of a custom kind can't be read", "definition=%s error=%d",
                  kind->name, error);
        load_free(load);
        return;
    }
    for (size_t i = 0; i < result->n; i++) {
        const StoreRecord *record = &result->records[i];
        Str key = key_in(load->served, record->key);
        CachedObject *object = key.ptr ? decode(api, load->served, key, record->value,
                                                record->create_revision, record->revision)
                                       : NULL;
        if (object)
            cache_load(load->served->cache, object);
    }
    cache_loaded(load->served->cache, result->revision);
    catch_up(api, load);
    if (serve(kind, load->served, load->hash))
        nonresource_refresh(api);
    load->served = NULL;
    load_free(load);
    mark(kind); // the status tells of it
}

static void load_start(CustomKind *kind, ServedKind *served, uint64_t hash) {
    CustomKinds *self = kind->self;
    load_abandon(kind);
    Load *load = memory_new(Load);
    load->kind = kind;
    load->served = served;
    load->hash = hash;
    kind->load = load;
    self->loading++;
    store_range(self->api->store, served->versions[0].key_prefix, STR(""), 0, 0, loaded, load);
}

void custom_kinds_missed(Api *api, const StoreEvent *event) {
    CustomKinds *self = api->custom_kinds;
    if (!self || !self->loading)
        return;
    MapIter it = {0};
    while (map_next(self->kinds, &it)) {
        Load *load = ((CustomKind *)it.value)->load;
        Str key = load ? key_in(load->served, event->key) : STR_NONE;
        if (!key.ptr)
            continue;
        if (load->n == load->capacity) {
            load->capacity = load->capacity ? load->capacity * 2 : 16;
            load->missed = memory_resize_array(load->missed, load->capacity, sizeof *load->missed);
        }
        char *copy = memory_alloc(key.len + 1);
        memcpy(copy, key.ptr, key.len);
        load->missed[load->n++] = (Missed){.key = copy,
                                           .key_len = key.len,
                                           .value = event->deleted ? NULL : bytes_ref(event->value),
                                           .create_revision = event->create_revision,
                                           .revision = event->revision};
    }
}

// ---- status

static void add_used(Map *map, Str name) {
    if (name.len)
        map_put(map, name, map);
}

static void collect_names(CustomKinds *self, const CustomKind *except, Map *resources, Map *kinds) {
    Str group = str_from(except->name);
    str_cut(&group, '.');
    MapIter it = {0};
    while (map_next(self->kinds, &it)) {
        const CustomKind *kind = it.value;
        Str other = it.key;
        str_cut(&other, '.');
        if (kind == except || !str_eq(other, group))
            continue;
        _arena_free_ Arena *arena = arena_new();
        const Value *tree = object_decode(arena, kind->definition);
        const Value *names = value_at(tree, "status.acceptedNames");
        const Value *shorts = value_get(names, STR("shortNames"));
        add_used(resources, value_string_at(names, "plural"));
        add_used(resources, value_string_at(names, "singular"));
        for (uint32_t i = 0; shorts && shorts->kind == VALUE_ARRAY && i < shorts->n; i++)
            add_used(resources, shorts->items[i]->string);
        add_used(kinds, value_string_at(names, "kind"));
        add_used(kinds, value_string_at(names, "listKind"));
    }
}

static bool decide_names(CustomKind *kind, Arena *arena, Value *tree) {
    _map_free_ Map *resources = map_new();
    _map_free_ Map *kinds = map_new();
    collect_names(kind->self, kind, resources, kinds);
    NamesInUse in_use = {resources, kinds};
    return definition_accept_names(arena, tree, &in_use, api_now(kind->self->api));
}

// Established is for ever, once the kind has been served.
static void set_established(CustomKind *kind, Arena *arena, Value *tree, bool accepted) {
    int64_t now = api_now(kind->self->api);
    if (definition_condition_is(tree, "Established", "True"))
        return;
    if (accepted && kind->served)
        definition_set_condition(arena, tree, "Established", "True", "InitialNamesAccepted",
                                 STR("the initial names have been accepted"), now);
    else if (accepted)
        definition_set_condition(arena, tree, "Established", "False", "Installing",
                                 STR("the initial names have been accepted"), now);
    else
        definition_set_condition(arena, tree, "Established", "False", "NotAccepted",
                                 STR("not all names are accepted"), now);
}

static void set_approval(CustomKind *kind, Arena *arena, Value *tree) {
    static const struct {
        const char *status, *reason;
    } said[] = {
        [CRD_APPROVAL_UNNEEDED] = {NULL, NULL},
        [CRD_APPROVAL_MISSING] = {"False", "MissingAnnotation"},
        [CRD_APPROVAL_INVALID] = {"False", "InvalidAnnotation"},
        [CRD_APPROVAL_BYPASSED] = {"False", "UnapprovedAnnotation"},
        [CRD_APPROVAL_GIVEN] = {"True", "ApprovedAnnotation"},
    };
    Str message;
    CrdApproval approval = crd_approval(arena, tree, &message);
    if (said[approval].status)
        definition_set_condition(arena, tree, "KubernetesAPIApprovalPolicyConformant",
                                 said[approval].status, said[approval].reason, message,
                                 api_now(kind->self->api));
}

static void ignore(void *user, int error, const StoreResult *result) {
    // Changed meanwhile: its event brings the next reconcile.
    if (error && error != STORE_E_CONFLICT)
        log_error("api", "the status of a definition can't be written", "error=%d", error);
}

static void write_definition(CustomKind *kind, Arena *arena, Value *tree) {
    const ServedResource *served = cache_served(kind->self->definitions);
    Str key = arena_printf(arena, "%.*s%s", STR_ARG(served->key_prefix), kind->name);
    const Value *finalizers = value_at(tree, "metadata.finalizers");
    if (kind->definition->deleting && !finalizers) {
        store_remove(kind->self->api->store, key, kind->definition->revision, ignore, NULL);
        return;
    }
    _bytes_unref_ Bytes *bytes = object_encode(served->storage, tree);
    store_put(kind->self->api->store, key, bytes, kind->definition->revision, 0, ignore, NULL);
}

// ---- reconcile

static bool should_be_served(const Value *tree) {
    return definition_condition_is(tree, "NamesAccepted", "True") ||
           definition_condition_is(tree, "Established", "True");
}

static void cleaned(void *user) {
    CustomKind *kind = user;
    kind->cleanup = NULL;
    mark(kind);
}

// Its objects first, then the finalizer; whoever deletes them honours their own finalizers.
static void clean_up(CustomKind *kind, Arena *arena, Value *tree) {
    int64_t now = api_now(kind->self->api);
    if (kind->served && snapshot_size(cache_root(kind->served->cache))) {
        // What is left has finalizers: nothing to do before something changes.
        bool news = cache_changed(kind->served->cache) != kind->swept;
        if (!kind->cleanup && news) {
            kind->swept = cache_changed(kind->served->cache);
            kind->cleanup = cleanup_start(kind->self->api, kind->served, cleaned, kind);
        }
        definition_set_condition(arena, tree, "Terminating", "True", "InstanceDeletionInProgress",
                                 STR("CustomResource deletion is in progress"), now);
        return;
    }
    if (kind->served && kind->served->writing)
        return; // on_idle() brings us back
    Value *finalizers = value_at(tree, "metadata.finalizers");
    for (uint32_t i = finalizers ? finalizers->n : 0; i-- > 0;)
        if (str_eq(finalizers->items[i]->string, CUSTOM_RESOURCE_CLEANUP))
            value_remove_item(finalizers, i);
    if (finalizers && !finalizers->n)
        value_unset(value_get(tree, STR("metadata")), STR("finalizers"));
    if (kind->served)
        definition_set_condition(arena, tree, "Terminating", "False", "InstanceDeletionCompleted",
                                 STR("removed all instances"), now);
    else
        definition_set_condition(arena, tree, "Terminating", "False", "NeverEstablished",
                                 STR("resource was never established"), now);
}

static bool has_cleanup(const Value *tree) {
    const Value *finalizers = value_at(tree, "metadata.finalizers");
    for (uint32_t i = 0; finalizers && finalizers->kind == VALUE_ARRAY && i < finalizers->n; i++)
        if (str_eq(finalizers->items[i]->string, CUSTOM_RESOURCE_CLEANUP))
            return true;
    return false;
}

static Str written(Arena *arena, const Value *tree) {
    Buf buf = BUF_INIT(VALUE_MAX_BYTES * 4);
    value_write_json(tree, &buf);
    Str text = arena_str(arena, buf_view(&buf));
    buf_deinit(&buf);
    return text;
}

static void reconcile(CustomKind *kind) {
    _arena_free_ Arena *arena = arena_new();
    Value *tree = value_copy(arena, object_decode(arena, kind->definition));
    Value *before = value_copy(arena, tree);
    kind->dirty = false;
    bool accepted = decide_names(kind, arena, tree);
    uint64_t hash = table_hash(tree);
    if (should_be_served(tree) && hash != (kind->load ? kind->load->hash : kind->hash)) {
        // The tables are made of the names as they are decided now, ahead of the write.
        ServedKind *served = make_tables(kind, written(arena, tree));
        if (served)
            load_start(kind, served, hash);
        else
            kind->hash = hash; // not again until it changes
        if (!kind->served && served)
            return; // the status waits until it is served
    }
    if (kind->load && !kind->served)
        return;
    set_established(kind, arena, tree, accepted);
    set_approval(kind, arena, tree);
    if (kind->served)
        kind->served->terminating = kind->definition->deleting;
    if (kind->definition->deleting && has_cleanup(tree))
        clean_up(kind, arena, tree);
    if (!value_equal(tree, before))
        write_definition(kind, arena, tree);
}

static void reconcile_dirty(void *user) {
    CustomKinds *self = user;
    MapIter it = {0};
    while (map_next(self->kinds, &it)) {
        CustomKind *kind = it.value;
        if (kind->dirty)
            reconcile(kind);
    }
}

// ---- definitions come and go

static void forget(CustomKinds *self, CustomKind *kind) {
    bool was_served = kind->served != NULL;
    if (kind->load)
        self->loading--;
    load_abandon(kind);
    cleanup_cancel(kind->cleanup);
    stop_serving(kind);
    object_unref(kind->definition);
    map_remove(self->kinds, str_from(kind->name));
    if (was_served && !self->api->closing)
        nonresource_refresh(self->api);
    if (!self->api->closing)
        mark_group(self, str_from(kind->name)); // its names are free
    free(kind);
}

static void on_definition(void *user, CachedObject *previous, CachedObject *object) {
    CustomKinds *self = user;
    Str name = (object ? object : previous)->name;
    CustomKind *kind = map_get(self->kinds, name);
    if (!object) {
        if (kind)
            forget(self, kind);
        return;
    }
    if (kind && !str_eq(kind->definition->uid, object->uid)) {
        forget(self, kind); // another one of that name
        kind = NULL;
    }
    if (!kind) {
        kind = memory_zalloc(sizeof *kind + name.len + 1);
        kind->self = self;
        memcpy(kind->name, name.ptr, name.len);
        map_put(self->kinds, name, kind);
    }
    object_unref(kind->definition);
    kind->definition = object_ref(object);
    kind->json = bytes_str(object->json);
    mark(kind);
    if (previous)
        mark_group(self, name); // it may have given a name away
}

void custom_kinds_register(Api *api) {
    CustomKinds *self = api->custom_kinds;
    MapIter it = {0};
    while (map_next(self->kinds, &it)) {
        CustomKind *kind = it.value;
        _arena_free_ Arena *arena = arena_new();
        const Value *tree = object_decode(arena, kind->definition);
        ServedKind *served = should_be_served(tree) ? make_tables(kind, kind->json) : NULL;
        if (served)
            serve(kind, served, table_hash(tree));
    }
    nonresource_refresh(api);
}

void custom_kinds_start(Api *api) {
    CustomKinds *self = api->custom_kinds;
    self->started = true;
    if (map_count(self->kinds))
        loop_post(api->loop, &self->task);
}

void custom_kinds_init(Api *api) {
    CustomKinds *self = memory_new(CustomKinds);
    api->custom_kinds = self;
    self->api = api;
    self->kinds = map_new();
    self->task.fn = reconcile_dirty;
    self->task.user = self;
    self->definitions =
        registry_cache(api->registry, STR("apiextensions.k8s.io/customresourcedefinitions"));
    assert(self->definitions);
    cache_listen(self->definitions, on_definition, self);
}

void custom_kinds_free(Api *api) {
    CustomKinds *self = api->custom_kinds;
    if (!self)
        return;
    loop_task_cancel(api->loop, &self->task);
    MapIter it = {0};
    while (map_next(self->kinds, &it))
        forget(self, it.value);
    map_free(self->kinds);
    api->custom_kinds = NULL;
    free(self);
}

// ---- requests

static bool is_definitions(const RequestInfo *info) {
    return str_eq(info->group, STR("apiextensions.k8s.io")) &&
           str_eq(info->resource, STR("customresourcedefinitions"));
}

ApiStatus *custom_kinds_refuse(ApiRequest *request) {
    const RequestInfo *info = &request->info;
    Arena *arena = request->arena;
    const ServedKind *served = request->served->kind;
    bool create = str_eq(info->verb, STR("create"));
    if (create && is_definitions(info) &&
        map_count(request->api->custom_kinds->kinds) >= CUSTOM_KINDS_MAX)
        return request_forbidden(request, STR(""),
                                 arena_printf(arena,
                                              "there are %d custom resource definitions, "
                                              "and no more are possible",
                                              CUSTOM_KINDS_MAX));
    if (served && create && served->terminating)
        return status_new(arena, 405, STR("MethodNotAllowed"),
                          STR("create not allowed while custom resource definition is "
                              "terminating"));
    return NULL;
}
