// Who owns what after an apply or an update: structured-merge-diff's merge/update.go with the
// layers that apimachinery's pkg/util/managedfields puts around it. Every entry is taken to be of
// the request's version.

#include "schema/apply.h"

#include <assert.h>

#include "base/time.h"
#include "schema/granule.h"
#include "schema/managers.h"
#include "schema/quote.h"

#define LAST_APPLIED STR("kubectl.kubernetes.io/last-applied-configuration")

typedef struct Application {
    Arena *arena;
    const ApplyRequest *request;
    Granule root;
    Managers managers;
    GranuleChanges changes; // from the live object to the new one
} Application;

static Application application(Arena *arena, const ApplyRequest *request) {
    return (Application){
        .arena = arena, .request = request, .root = granule_of_type(request->resource->type)};
}

// Fields that nobody manages.
static FieldSet unmanaged(Arena *arena) {
    static const char json[] =
        "{\"f:apiVersion\":{},\"f:kind\":{},\"f:metadata\":{\".\":{},\"f:name\":{},\"f:namespace\":"
        "{},\"f:creationTimestamp\":{},\"f:selfLink\":{},\"f:uid\":{},\"f:clusterName\":{},"
        "\"f:generation\":{},\"f:managedFields\":{},\"f:resourceVersion\":{}}}";
    Value *value = NULL;
    ParseError error;
    if (value_parse_json(arena, str_from(json), NULL, &value, &error))
        return (FieldSet){0};
    return field_set_from_value(arena, value);
}

// A write to the object does not touch its status, nor a write to the status the rest of it.
static void drop_ignored(const ApplyRequest *request, FieldSet *set) {
    if (!request->resource->status_split)
        return;
    Str ignored = !request->subresource.len                     ? STR("f:status")
                  : str_eq(request->subresource, STR("status")) ? STR("f:spec")
                                                                : STR_NONE;
    FieldNode *node = ignored.ptr ? field_set_find(set, ignored) : NULL;
    if (!node)
        return;
    size_t after = (size_t)(set->nodes + set->n - (node + 1));
    memmove(node, node + 1, after * sizeof(FieldNode));
    set->n--;
}

// What upstream compares a new object with: the type's zero value, where structs are there already.
static Value *empty_object(Arena *arena, const ApplyRequest *request) {
    Value *object = value_new_object(arena);
    Str message;
    int r = schema_normalize(arena, request->resource->type, object, NULL, &message);
    assert(!r);
    return object;
}

// A copy without managedFields, so that these do not manage themselves.
static Value *without_managed_fields(Arena *arena, const Value *object) {
    Value *copy = value_copy(arena, object);
    Value *metadata = value_get(copy, STR("metadata"));
    if (metadata)
        value_unset(metadata, STR("managedFields"));
    return copy;
}

static Manager self(Arena *arena, const ApplyRequest *request, Str operation) {
    return (Manager){.name = request->manager.len ? request->manager : STR("unknown"),
                     .operation = operation,
                     .api_version = request->api_version,
                     .subresource = request->subresource,
                     .time = time_format(arena, request->now_ns)};
}

static GranuleChanges changes_between(Application *a, const Value *before, const Value *after) {
    GranuleChanges changes = granule_compare(a->arena, a->root, before, after);
    drop_ignored(a->request, &changes.added);
    drop_ignored(a->request, &changes.modified);
    drop_ignored(a->request, &changes.removed);
    return changes;
}

// What every other manager loses by the changes; `keep` is not one of them.
static void take_away(Application *a, const Manager *keep) {
    FieldSet set = field_set_union(a->arena, &a->changes.modified, &a->changes.added);
    for (size_t i = 0; i < a->managers.n; i++) {
        Manager *manager = &a->managers.items[i];
        if (manager == keep)
            continue;
        FieldSet lost = field_set_intersection(a->arena, &manager->fields, &set);
        manager->fields = field_set_difference(a->arena, &manager->fields, &lost);
        manager->fields = field_set_difference(a->arena, &manager->fields, &a->changes.removed);
    }
}

// --- updates ---

static bool is_reset(const Value *object) {
    const Value *entries = value_at(object, "metadata.managedFields");
    if (!entries || entries->kind != VALUE_ARRAY)
        return false;
    return !entries->n ||
           (entries->n == 1 && entries->items[0]->kind == VALUE_OBJECT && !entries->items[0]->n);
}

// False when the object is not tracked and shall stay so.
static bool managers_for_update(Application *a, const Value *live, const Value *object) {
    bool own_word = !a->request->subresource.len; // what the client sent counts
    if (own_word && is_reset(object))
        return !live;
    if (!own_word || !managers_decode(a->arena, object, &a->managers) || !a->managers.n)
        managers_decode(a->arena, live, &a->managers);
    return a->managers.n || !live;
}

static void track(Application *a, const Value *before, const Value *after) {
    Arena *arena = a->arena;
    FieldSet none = unmanaged(arena);
    a->changes = changes_between(a, before, after);
    take_away(a, NULL);
    FieldSet mine = field_set_union(arena, &a->changes.modified, &a->changes.added);
    mine = field_set_difference(arena, &mine, &a->changes.removed);
    mine = field_set_difference(arena, &mine, &none);
    if (!field_set_is_empty(&mine)) {
        Manager manager = self(arena, a->request, STR("Update"));
        Manager *known = managers_find(&a->managers, &manager);
        manager.fields = mine;
        if (known) {
            known->fields = field_set_union(arena, &known->fields, &mine);
            known->time = manager.time;
        } else {
            managers_add(arena, &a->managers, manager);
        }
    }
    managers_drop_empty(&a->managers);
    managers_cap(arena, &a->managers);
}

void apply_track_update(Arena *arena, const ApplyRequest *request, const Value *live,
                        Value *object) {
    Application a = application(arena, request);
    if (!managers_for_update(&a, live, object)) {
        managers_encode(arena, &(Managers){0}, object);
        return;
    }
    const Value *before = live ? without_managed_fields(arena, live) : empty_object(arena, request);
    track(&a, before, without_managed_fields(arena, object));
    managers_encode(arena, &a.managers, object);
}

// --- apply ---

static int refuse(ApiStatus **ret_status, ApiStatus *status) {
    *ret_status = status;
    return SCHEMA_E_APPLY;
}

// "default/x; /v1, Kind=Pod"
static Str describe(Arena *arena, const ApplyRequest *request, const Value *config) {
    Str namespace = value_string_at(config, "metadata.namespace");
    return arena_printf(arena, "%.*s/%.*s; %s%.*s, Kind=%.*s", STR_ARG(namespace),
                        STR_ARG(value_string_at(config, "metadata.name")),
                        str_find(request->api_version, '/') < 0 ? "/" : "",
                        STR_ARG(request->api_version), STR_ARG(request->resource->kind));
}

static int refuse_config(Arena *arena, const ApplyRequest *request, const Value *config, Str why,
                         ApiStatus **ret_status) {
    Str what = describe(arena, request, config);
    return refuse(ret_status, status_new(arena, 500, STR(""),
                                         arena_printf(arena,
                                                      "failed to create typed patch object "
                                                      "(%.*s): %.*s",
                                                      STR_ARG(what), STR_ARG(why))));
}

// A checked copy of what the client sent, scalars in canonical form.
static int check_config(Arena *arena, const ApplyRequest *request, const Value *config, Value **ret,
                        ApiStatus **ret_status) {
    Str version = value_string_at(config, "apiVersion"), kind = value_string_at(config, "kind");
    Str message;
    ValuePaths unknown = {0};
    // managedfields/internal/versioncheck.go, with the object's type as Go prints it
    if (!str_eq(version, request->api_version) || !str_eq(kind, request->resource->kind))
        return refuse(ret_status,
                      status_bad_request(
                          arena, arena_printf(arena, "invalid object type: %s%.*s, Kind=%.*s",
                                              str_find(version, '/') < 0 ? "/" : "",
                                              STR_ARG(version), STR_ARG(kind))));
    const Value *managed = value_at(config, "metadata.managedFields");
    if (managed && managed->kind != VALUE_NULL)
        return refuse(ret_status,
                      status_bad_request(arena, STR("metadata.managedFields must be nil")));
    *ret = value_copy(arena, config);
    if (schema_normalize_scalars(arena, request->resource->type, *ret, &unknown, &message))
        return refuse_config(arena, request, config, message, ret_status);
    if (unknown.n)
        return refuse_config(
            arena, request, config,
            arena_printf(arena, ".%.*s: field not declared in schema", STR_ARG(unknown.paths[0])),
            ret_status);
    return 0;
}

// Takes out what this manager applied last time, does not apply now, and nobody else owns.
static Value *prune(Application *a, Value *merged, const FieldSet *last) {
    Arena *arena = a->arena;
    if (field_set_is_empty(last))
        return merged;
    FieldSet managed = {0};
    for (size_t i = 0; i < a->managers.n; i++)
        managed = field_set_union(arena, &managed, &a->managers.items[i].fields);
    managed = granule_ensure_named(arena, a->root, &managed);
    FieldSet all = granule_fields(arena, a->root, merged);
    all = granule_ensure_named(arena, a->root, &all);
    // what would remain if all of it went, and what somebody owns, stays
    const Value *bare = granule_remove(arena, a->root, value_copy(arena, merged), last);
    FieldSet remains = {0};
    if (bare)
        remains = granule_fields(arena, a->root, bare);
    remains = granule_ensure_named(arena, a->root, &remains);
    FieldSet stays = field_set_union(arena, &remains, &managed);
    FieldSet goes = field_set_difference(arena, &all, &stays);
    Value *pruned = granule_remove(arena, a->root, value_copy(arena, merged), &goes);
    // of that, only what was this manager's
    FieldSet left = {0};
    if (pruned)
        left = granule_fields(arena, a->root, pruned);
    left = granule_ensure_named(arena, a->root, &left);
    FieldSet was_mine = granule_ensure_named(arena, a->root, last);
    goes = field_set_difference(arena, &all, &left);
    goes = field_set_intersection(arena, &goes, &was_mine);
    pruned = granule_remove(arena, a->root, merged, &goes);
    return pruned ? pruned : value_new_object(arena);
}

typedef struct Conflicts {
    Arena *arena;
    ApiStatusCause *causes;
    size_t n;
    Str manager; // at hand, printed
    Buf text;    // the message's lines
} Conflicts;

static void add_conflict(void *user, Str path) {
    Conflicts *conflicts = user;
    if (!(conflicts->n & (conflicts->n - 1))) // the capacity is the next power of two
        conflicts->causes =
            arena_grow(conflicts->arena, conflicts->causes, conflicts->n * sizeof(ApiStatusCause),
                       (conflicts->n ? conflicts->n * 2 : 1) * sizeof(ApiStatusCause));
    conflicts->causes[conflicts->n++] =
        (ApiStatusCause){.type = STR("FieldManagerConflict"),
                         .message = arena_printf(conflicts->arena, "conflict with %.*s",
                                                 STR_ARG(conflicts->manager)),
                         .field = path};
    buf_printf(&conflicts->text, "\n- %.*s", STR_ARG(path));
}

static Str print_manager(Arena *arena, const Manager *manager) {
    Str name = quote_str(arena, manager->name);
    if (manager->subresource.len) {
        Str subresource = quote_str(arena, manager->subresource);
        name =
            arena_printf(arena, "%.*s with subresource %.*s", STR_ARG(name), STR_ARG(subresource));
    }
    if (str_eq(manager->operation, STR("Update")))
        name = arena_printf(arena, "%.*s using %.*s", STR_ARG(name), STR_ARG(manager->api_version));
    return name;
}

// The fields that kubectl applied the client-side way and that still are as it left them: taking
// these over is no conflict.
static FieldSet applied_by_client(Application *a, const Value *live) {
    Arena *arena = a->arena;
    const Value *annotations = value_at(live, "metadata.annotations");
    const Value *text = value_get(annotations, LAST_APPLIED);
    Value *config;
    ParseError error;
    Str message;
    if (!str_eq(a->request->manager, STR("kubectl")) || !text || text->kind != VALUE_STRING ||
        value_parse_json(arena, text->string, NULL, &config, &error) ||
        !str_eq(value_string_at(config, "apiVersion"), a->request->api_version) ||
        schema_normalize_scalars(arena, a->request->resource->type, config, NULL, &message))
        return (FieldSet){0};
    FieldSet fields = granule_fields(arena, a->root, config);
    GranuleChanges changes = granule_compare(arena, a->root, config, live);
    fields = field_set_difference(arena, &fields, &changes.modified);
    fields = field_set_difference(arena, &fields, &changes.added);
    return field_set_difference(arena, &fields, &changes.removed);
}

// Lists the fields that other managers would lose; NULL when there are none.
static ApiStatus *find_conflicts(Application *a, const Manager *me, const Value *live) {
    Arena *arena = a->arena;
    Conflicts conflicts = {.arena = arena, .text = BUF_INIT(1 << 20)};
    FieldSet set = field_set_union(arena, &a->changes.modified, &a->changes.added);
    FieldSet allowed = applied_by_client(a, live);
    set = field_set_difference(arena, &set, &allowed);
    for (size_t i = 0; i < a->managers.n; i++) {
        const Manager *manager = &a->managers.items[i];
        FieldSet lost = {0};
        if (manager != me)
            lost = field_set_intersection(arena, &manager->fields, &set);
        if (field_set_is_empty(&lost))
            continue;
        conflicts.manager = print_manager(arena, manager);
        buf_printf(&conflicts.text, "%sconflicts with %.*s:", conflicts.n ? "\n" : "",
                   STR_ARG(conflicts.manager));
        field_set_each(arena, &lost, add_conflict, &conflicts);
    }
    ApiStatus *status = NULL;
    if (conflicts.n) {
        Str message = conflicts.n == 1
                          ? arena_printf(arena, "Apply failed with 1 conflict: %.*s: %.*s",
                                         STR_ARG(conflicts.causes[0].message),
                                         STR_ARG(conflicts.causes[0].field))
                          : arena_printf(arena, "Apply failed with %zu conflicts: %.*s",
                                         conflicts.n, STR_ARG(buf_view(&conflicts.text)));
        status = status_new(arena, 409, STR("Conflict"), message);
        status->causes = conflicts.causes;
        status->n_causes = conflicts.n;
    }
    buf_deinit(&conflicts.text);
    return status;
}

// kubectl reads the annotation again when somebody goes back to client-side apply.
static void update_last_applied(Arena *arena, const ApplyRequest *request, const Value *config,
                                Value *object) {
    Value *annotations = value_at(object, "metadata.annotations");
    if (!str_eq(request->manager, STR("kubectl")) || !value_get(annotations, LAST_APPLIED))
        return;
    Value *copy = without_managed_fields(arena, config);
    Value *own = value_at(copy, "metadata.annotations");
    if (own)
        value_unset(own, LAST_APPLIED);
    _buf_deinit_ Buf buf = BUF_INIT(256 * 1024);
    value_write_json(copy, &buf);
    buf_char(&buf, '\n');
    if (!buf.failed)
        value_set_str(arena, annotations, LAST_APPLIED, arena_str(arena, buf_view(&buf)));
}

static void prepare_managers(Application *a, const Value *live, const Value *bare_live) {
    const ApplyRequest *request = a->request;
    managers_decode(a->arena, live, &a->managers);
    if (a->managers.n || !live)
        return;
    // never tracked: what is there belongs to somebody before us
    ApplyRequest before = *a->request;
    before.manager = STR("before-first-apply");
    a->request = &before;
    track(a, empty_object(a->arena, request), bare_live);
    a->request = request;
}

int apply_merge(Arena *arena, const ApplyRequest *request, const Value *live, const Value *config,
                Value **ret, ApiStatus **ret_status) {
    Application a = application(arena, request);
    Value *checked;
    Str message;
    int r = check_config(arena, request, config, &checked, ret_status);
    if (r)
        return r;
    if (!granule_check(arena, a.root, checked, &message))
        return refuse_config(arena, request, config, message, ret_status);
    const Value *before = live ? without_managed_fields(arena, live) : empty_object(arena, request);
    prepare_managers(&a, live, before);
    managers_sort_by_name(&a.managers); // conflicts are told in this order
    Value *object = granule_merge(arena, a.root, before, checked);

    Manager manager = self(arena, request, STR("Apply"));
    Manager *me = managers_find(&a.managers, &manager);
    FieldSet last = me ? me->fields : (FieldSet){0}, none = unmanaged(arena);
    if (!me)
        me = managers_add(arena, &a.managers, manager);
    me->api_version = request->api_version;
    me->fields = granule_fields(arena, a.root, checked);
    drop_ignored(request, &me->fields);
    object = prune(&a, object, &last);

    a.changes = changes_between(&a, before, object);
    ApiStatus *conflict = request->force ? NULL : find_conflicts(&a, me, before);
    if (conflict)
        return refuse(ret_status, conflict);
    take_away(&a, me);
    me->fields = field_set_difference(arena, &me->fields, &none);
    if (!live || !value_equal(before, object) || !field_set_equal(&last, &me->fields))
        me->time = manager.time;
    managers_drop_empty(&a.managers);
    update_last_applied(arena, request, checked, object);
    managers_encode(arena, &a.managers, object);
    *ret = object;
    return 0;
}
