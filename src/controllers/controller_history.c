#include "controllers/controller_history.h"

#include <stdlib.h>

#include "base/time.h"

#define NAME_PREFIX_MAX 223 // ControllerRevisionName: room for a hash in 253
#define HASH_LABEL "controller-revision-hash"

// ---- reading

static Value *tree_of(Arena *arena, const InformerObject *object) {
    Value *tree;
    ParseError error;
    if (value_parse_json(arena, arena_str(arena, bytes_str(object->bytes)), NULL, &tree, &error) !=
        0)
        return NULL;
    return tree;
}

static const Value *controller_of(const Value *object) {
    const Value *owners = value_at(object, "metadata.ownerReferences");
    for (uint32_t i = 0; owners && i < owners->n; i++)
        if (value_bool_at(owners->items[i], "controller", false))
            return owners->items[i];
    return NULL;
}

typedef struct Reading {
    Arena *arena;
    const Selector *selector;
    Revisions *to;
    Str orphan; // name of one without a controller that is the owner's by its labels
} Reading;

static void read_owned(void *user, const InformerObject *object) {
    Reading *reading = user;
    Revisions *to = reading->to;
    Value *tree = tree_of(reading->arena, object);
    if (!tree || value_string_at(tree, "metadata.deletionTimestamp").len)
        return;
    to->items = arena_grow(reading->arena, to->items, to->n * sizeof(Revision),
                           (to->n + 1) * sizeof(Revision));
    Revision *revision = &to->items[to->n++];
    *revision = (Revision){.name = value_string_at(tree, "metadata.name"),
                           .uid = value_string_at(tree, "metadata.uid"),
                           .number = value_int_at(tree, "revision", 0),
                           .data = value_get(tree, STR("data"))};
    const Value *labels = value_at(tree, "metadata.labels");
    const Value *hash = value_get(labels, STR(HASH_LABEL));
    revision->hash = hash && hash->kind == VALUE_STRING ? hash->string : STR_NONE;
    revision->template = value_at(revision->data, "spec.template");
    if (time_parse(value_string_at(tree, "metadata.creationTimestamp"), &revision->created) != 0)
        revision->created = 0;
}

static void read_orphan(void *user, const InformerObject *object) {
    Reading *reading = user;
    Value *tree = tree_of(reading->arena, object);
    if (tree && !value_string_at(tree, "metadata.deletionTimestamp").len &&
        selector_matches(reading->selector, value_at(tree, "metadata.labels")))
        reading->orphan = value_string_at(tree, "metadata.name");
}

static int by_number(const void *left, const void *right) {
    const Revision *a = left, *b = right;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    if (a->created != b->created)
        return a->created < b->created ? -1 : 1;
    return str_cmp(a->name, b->name);
}

const Revision *revisions_find(const Revisions *revisions, Str name) {
    for (size_t i = 0; i < revisions->n; i++)
        if (str_eq(revisions->items[i].name, name))
            return &revisions->items[i];
    return NULL;
}

// ---- today's template

typedef struct Making {
    History *history;
    const PodOwner *owner;
    Value *data;
    Str name;
    int64_t collisions;
} Making;

static ClientTarget target_of(const PodOwner *owner, Str name) {
    return (ClientTarget){.resource = kinds_resource_apps_v1_controllerrevisions(),
                          .namespace_ = owner->reconcile->namespace_,
                          .name = name};
}

// {"spec": {"template": {..., "$patch": "replace"}}}: a strategic merge patch that brings the
// template back, as kubectl sends it (statefulset's and daemon's getPatch).
static Value *data_of(const PodOwner *owner) {
    Arena *arena = owner->reconcile->arena;
    Value *data = value_new_object(arena), *spec = value_new_object(arena);
    Value *template = value_new_object(arena);
    const Value *given = value_at(owner->object, "spec.template");
    for (uint32_t i = 0; given && i < given->n; i++)
        value_set(arena, template, given->members[i].key, given->members[i].value);
    value_set_str(arena, template, STR("$patch"), STR("replace"));
    value_set(arena, spec, STR("template"), template);
    value_set(arena, data, STR("spec"), spec);
    return data;
}

// HashControllerRevision: FNV-1a over the data and the collisions, in letters that form no words
// (rand.SafeEncodeString).
static Str hash_of(Arena *arena, Str data, int64_t collisions) {
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    Str count = collisions ? arena_printf(arena, "%lld", (long long)collisions) : STR("");
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < data.len; i++)
        hash = (hash ^ (uint8_t)data.ptr[i]) * 16777619U;
    for (size_t i = 0; i < count.len; i++)
        hash = (hash ^ (uint8_t)count.ptr[i]) * 16777619U;
    Str decimal = arena_printf(arena, "%u", hash);
    char *text = arena_alloc(arena, decimal.len);
    for (size_t i = 0; i < decimal.len; i++)
        text[i] = letters[(uint8_t)decimal.ptr[i] % (sizeof letters - 1)];
    return str_of(text, decimal.len);
}

static Str json_of(Arena *arena, const Value *value) {
    _buf_deinit_ Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(value, &buf);
    return arena_str(arena, buf_view(&buf));
}

static Value *revision_of(Making *making, int64_t number) {
    const PodOwner *owner = making->owner;
    Arena *arena = owner->reconcile->arena;
    Str hash = hash_of(arena, json_of(arena, making->data), making->collisions);
    Str prefix = owner->reconcile->name;
    if (prefix.len > NAME_PREFIX_MAX)
        prefix.len = NAME_PREFIX_MAX;
    making->name = arena_printf(arena, "%.*s-%.*s", STR_ARG(prefix), STR_ARG(hash));
    Value *revision = value_new_object(arena), *metadata = value_new_object(arena);
    Value *owners = value_new_array(arena);
    const Value *labels = value_at(owner->object, "spec.template.metadata.labels");
    Value *own = labels ? value_copy(arena, labels) : value_new_object(arena);
    value_set_str(arena, own, STR(HASH_LABEL), hash);
    const Value *annotations = value_at(owner->object, "metadata.annotations");
    value_set_str(arena, metadata, STR("name"), making->name);
    value_set_str(arena, metadata, STR("namespace"), owner->reconcile->namespace_);
    value_set(arena, metadata, STR("labels"), own);
    if (annotations)
        value_set(arena, metadata, STR("annotations"), value_copy(arena, annotations));
    value_push(arena, owners, pod_owner_reference(owner));
    value_set(arena, metadata, STR("ownerReferences"), owners);
    value_set_str(arena, revision, STR("apiVersion"), STR("apps/v1"));
    value_set_str(arena, revision, STR("kind"), STR("ControllerRevision"));
    value_set(arena, revision, STR("metadata"), metadata);
    value_set(arena, revision, STR("data"), making->data);
    value_set_int(arena, revision, STR("revision"), number);
    return revision;
}

// The name is taken by another template: the next one is tried once status.collisionCount says so.
static void count_collision(Making *making) {
    const PodOwner *owner = making->owner;
    Reconcile *r = owner->reconcile;
    Value *changed = value_copy(r->arena, owner->object);
    Value *status = value_at_make(r->arena, changed, "status");
    value_set_int(r->arena, status, STR("collisionCount"), making->collisions + 1);
    ClientTarget target = {.resource = owner->resource,
                           .namespace_ = r->namespace_,
                           .name = r->name,
                           .subresource = STR("status")};
    client_update(r->controller->client, &target, json_of(r->arena, changed), reconcile_finish, r);
}

static void on_taken(void *user, const ClientResult *result) {
    Making *making = user;
    Reconcile *r = making->owner->reconcile;
    Value *tree;
    ParseError error;
    if (result->error || value_parse_json(result->arena, result->body, NULL, &tree, &error) != 0) {
        reconcile_done(r, true);
        return;
    }
    const Value *controller = controller_of(tree);
    if (str_eq(value_string_at(controller, "uid"), making->owner->uid) &&
        value_equal(value_get(tree, STR("data")), making->data))
        reconcile_done(r, false); // ours: the informer is about to show it
    else
        count_collision(making);
}

static void on_made(void *user, const ClientResult *result) {
    Making *making = user;
    Reconcile *r = making->owner->reconcile;
    if (result->code != 409) {
        reconcile_finish(r, result);
        return;
    }
    ClientTarget target = target_of(making->owner, making->name);
    client_get(r->controller->client, &target, on_taken, making);
}

static void make(History *history, const PodOwner *owner, Value *data, int64_t number) {
    Arena *arena = owner->reconcile->arena;
    Making *making = arena_new_of(arena, Making);
    *making = (Making){.history = history,
                       .owner = owner,
                       .data = data,
                       .collisions = value_int_at(owner->object, "status.collisionCount", 0)};
    Str body = json_of(arena, revision_of(making, number));
    ClientTarget target = target_of(owner, STR_NONE);
    client_create(history->controller->client, &target, body, on_made, making);
}

static void renumber(History *history, const PodOwner *owner, Str name, int64_t number) {
    Reconcile *r = owner->reconcile;
    ClientTarget target = target_of(owner, name);
    client_patch(history->controller->client, &target, PATCH_MERGE,
                 arena_printf(r->arena, "{\"revision\":%lld}", (long long)number), reconcile_finish,
                 r);
}

static void adopt(History *history, const PodOwner *owner, Str name) {
    Reconcile *r = owner->reconcile;
    ClientTarget target = target_of(owner, name);
    Str reference = json_of(r->arena, pod_owner_reference(owner));
    client_patch(
        history->controller->client, &target, PATCH_STRATEGIC,
        arena_printf(r->arena, "{\"metadata\":{\"ownerReferences\":[%.*s]}}", STR_ARG(reference)),
        reconcile_finish, r);
}

bool history_sync(History *history, const PodOwner *owner, const Selector *selector,
                  Revisions *ret) {
    Arena *arena = owner->reconcile->arena;
    *ret = (Revisions){0};
    Reading reading = {arena, selector, ret, STR_NONE};
    informer_index_each(history->by_owner, owner->uid, read_owned, &reading);
    if (!value_string_at(owner->object, "metadata.deletionTimestamp").len)
        informer_index_each(history->by_owner,
                            arena_printf(arena, "/%.*s", STR_ARG(owner->reconcile->namespace_)),
                            read_orphan, &reading);
    if (reading.orphan.len) {
        adopt(history, owner, reading.orphan);
        return false;
    }
    if (ret->n)
        qsort(ret->items, ret->n, sizeof *ret->items, by_number);
    Value *data = data_of(owner);
    for (size_t i = 0; i < ret->n; i++)
        if (ret->items[i].data && value_equal(ret->items[i].data, data))
            ret->update = &ret->items[i];
    if (ret->update && ret->update == &ret->items[ret->n - 1])
        return true;
    int64_t number = ret->n ? ret->items[ret->n - 1].number + 1 : 1;
    if (ret->update)
        renumber(history, owner, ret->update->name, number);
    else
        make(history, owner, data, number);
    return false;
}

void history_truncate(History *history, const PodOwner *owner, const Revisions *revisions,
                      int64_t limit, bool (*is_live)(void *user, const Revision *revision),
                      void *user) {
    Reconcile *r = owner->reconcile;
    const Revision *oldest = NULL;
    int64_t spare = 0;
    for (size_t i = 0; i < revisions->n; i++) {
        const Revision *revision = &revisions->items[i];
        if (revision == revisions->update || is_live(user, revision))
            continue;
        oldest = oldest ? oldest : revision;
        spare++;
    }
    if (spare <= limit) {
        reconcile_done(r, false);
        return;
    }
    ClientTarget target = target_of(owner, oldest->name);
    client_delete(
        history->controller->client, &target,
        arena_printf(r->arena, "{\"preconditions\":{\"uid\":\"%.*s\"}}", STR_ARG(oldest->uid)),
        reconcile_finish, r);
}

// ---- what brings owners in

static void index_by_owner(const InformerObject *object, InformerEmit emit, void *emit_user) {
    _arena_free_ Arena *arena = arena_new();
    Value *tree = tree_of(arena, object);
    const Value *controller = tree ? controller_of(tree) : NULL;
    if (controller)
        emit(emit_user, value_string_at(controller, "uid"));
    else if (tree)
        emit(emit_user, arena_printf(arena, "/%.*s", STR_ARG(object->namespace_)));
}

static void on_revision(void *user, const InformerObject *old, const InformerObject *now) {
    History *history = user;
    const InformerObject *object = now ? now : old;
    _arena_free_ Arena *arena = arena_new();
    Value *tree = tree_of(arena, object);
    const Value *controller = tree ? controller_of(tree) : NULL;
    if (str_eq(value_string_at(controller, "kind"), history->owner->kind))
        controller_enqueue(history->controller, object->namespace_,
                           value_string_at(controller, "name"));
}

void history_init(History *history, Controller *controller, const Resource *owner) {
    static const InformerHandler handler = {.on_change = on_revision};
    history->controller = controller;
    history->owner = owner;
    history->revisions =
        controller_informer(controller, kinds_resource_apps_v1_controllerrevisions(), STR(""));
    history->by_owner = informer_add_index(history->revisions, index_by_owner);
    informer_add_handler(history->revisions, &handler, history);
}
