#include "api/write.h"

#include "api/meta.h"
#include "api/output.h"
#include "api/server.h"

Str write_key(Arena *arena, const ServedResource *served, Str namespace_, Str name) {
    return served->resource->namespaced
               ? arena_printf(arena, "%.*s%.*s/%.*s", STR_ARG(served->key_prefix),
                              STR_ARG(namespace_), STR_ARG(name))
               : arena_printf(arena, "%.*s%.*s", STR_ARG(served->key_prefix), STR_ARG(name));
}

// The one loss rule (design.md): node heartbeats and events need not survive a power cut.
unsigned write_flags(const ServedResource *served, Str namespace_) {
    const Resource *resource = served->storage;
    bool lease =
        str_eq(resource->plural, STR("leases")) && str_eq(namespace_, STR("kube-node-lease"));
    return lease || str_eq(resource->kind, STR("Event")) ? STORE_VOLATILE : 0;
}

Bytes *write_encode(ApiRequest *request, const ServedResource *served, const Value *object,
                    const ApiStatus **ret_status) {
    Arena *arena = request->arena;
    Bytes *bytes;
    if (served->resource == served->storage) {
        bytes = object_encode(served->storage, object);
    } else {
        Value *copy = value_copy(arena, object);
        bytes = object_encode(served->storage, output_to_storage(arena, served, copy));
    }
    if (bytes->len <= STORE_MAX_VALUE)
        return bytes;
    bytes_unref(bytes);
    *ret_status = status_too_large(arena, arena_printf(arena, "limit is %d", STORE_MAX_VALUE));
    return NULL;
}

ApiStatus *write_validate(ApiRequest *request, const ServedResource *served, const Value *object,
                          const Value *old) {
    FieldErrors errors = {.arena = request->arena};
    const Resource *resource = served->resource;
    schema_validate(&errors, resource, object, old);
    if (errors.n)
        return status_invalid(request->arena, resource->group, resource->kind, meta_name(object),
                              &errors);
    ValuePaths warnings = {0};
    if (resource->rules && resource->rules->warn)
        resource->rules->warn(request->arena, object, &warnings);
    for (size_t i = 0; i < warnings.n; i++)
        request_warn(request, warnings.paths[i]);
    return NULL;
}

typedef struct Answer {
    int code;
    const ServedResource *served;
    Value *object;
} Answer;

static void shown(ApiRequest *request, void *user, int error) {
    Answer *answer = user;
    request_object(request, answer->code, answer->served, answer->object);
}

void write_answer(ApiRequest *request, int code, const ServedResource *served, Value *object,
                  int64_t revision) {
    Answer *answer = arena_new_of(request->arena, Answer);
    *answer = (Answer){code, served, object};
    meta_set_revision(request->arena, object, revision);
    request_wait_revision(request, revision, 0, shown, answer);
}

typedef struct Strategy {
    const char *group, *plural;
    bool create_on_update, unconditional_update;
} Strategy;

// What differs from the usual (no create on update, unconditional update allowed); each from its
// registry's strategy.go.
static const Strategy strategies[] = {
    {"", "endpoints", true, true},
    {"", "events", true, true},
    {"", "limitranges", true, true},
    {"", "podtemplates", true, true},
    {"", "services", true, true},
    {"coordination.k8s.io", "leases", true, false},
    {"events.k8s.io", "events", true, true},
    {"rbac.authorization.k8s.io", "clusterrolebindings", true, true},
    {"rbac.authorization.k8s.io", "clusterroles", true, true},
    {"rbac.authorization.k8s.io", "rolebindings", true, true},
    {"rbac.authorization.k8s.io", "roles", true, true},
};

static const Strategy *strategy_of(const Resource *resource) {
    static const Strategy usual = {"", "", false, true};
    for (size_t i = 0; i < sizeof strategies / sizeof *strategies; i++) {
        if (str_eq(resource->group, str_from(strategies[i].group)) &&
            str_eq(resource->plural, str_from(strategies[i].plural)))
            return &strategies[i];
    }
    return &usual;
}

bool write_allows_create_on_update(const Resource *resource) {
    return strategy_of(resource)->create_on_update;
}

bool write_allows_unconditional_update(const Resource *resource) {
    return strategy_of(resource)->unconditional_update;
}

static bool is_core(const Resource *resource, const char *plural) {
    return !resource->group.len && str_eq(resource->plural, str_from(plural));
}

void write_prepare_create(ApiRequest *request, const ServedResource *served, Value *object) {
    Arena *arena = request->arena;
    const Resource *resource = served->resource;
    Value *metadata = meta_of(arena, object);
    value_unset(metadata, STR("managedFields"));
    value_unset(metadata, STR("generation"));
    if (resource->generation)
        value_set_int(arena, metadata, STR("generation"), 1);
    // Nodes register with their status; every other kind's is the system's to say.
    if (resource->status_split && !is_core(resource, "nodes"))
        value_unset(object, STR("status"));
    if (resource->rules && resource->rules->prepare)
        resource->rules->prepare(arena, object, NULL);
}
