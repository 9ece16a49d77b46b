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

static bool is_shallow(const Value *value, int depth) {
    if (value->kind != VALUE_OBJECT && value->kind != VALUE_ARRAY)
        return true;
    if (depth <= 0)
        return false;
    for (uint32_t i = 0; i < value->n; i++) {
        if (!is_shallow(value->kind == VALUE_OBJECT ? value->members[i].value : value->items[i],
                        depth - 1))
            return false;
    }
    return true;
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
    // With its resourceVersion it must be a document that the caches can read.
    if (bytes->len <= VALUE_MAX_BYTES - 64 && is_shallow(object, VALUE_MAX_DEPTH))
        return bytes;
    bool long_ = bytes->len > VALUE_MAX_BYTES - 64;
    bytes_unref(bytes);
    *ret_status = long_
                      ? status_too_large(arena, arena_printf(arena, "limit is %d", VALUE_MAX_BYTES))
                      : status_bad_request(arena, STR("the object is nested too deeply"));
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
    if (!old && resource->idle)
        request_warn(request, arena_printf(request->arena,
                                           "nothing acts on objects of kind %.*s yet: this one is "
                                           "kept, and that is all",
                                           STR_ARG(resource->kind)));
    ValuePaths warnings = {0};
    if (resource->rules && resource->rules->warn && !(old && resource->rules->warn_on_create))
        resource->rules->warn(request->arena, object, &warnings);
    for (size_t i = 0; i < warnings.n; i++)
        request_warn(request, warnings.paths[i]);
    return NULL;
}

// The manager's name when the client gives none: its User-Agent up to the slash.
static Str manager_of(const ApiRequest *request) {
    if (request->field_manager.len)
        return request->field_manager;
    Str agent = http_header(request->http, STR("User-Agent"));
    Str name = str_cut(&agent, '/');
    return name.len > 128 ? str_slice(name, 0, 128) : name;
}

ApplyRequest write_apply_request(const ApiRequest *request, const ServedResource *served) {
    const Resource *resource = served->resource;
    return (ApplyRequest){
        .resource = resource,
        .api_version = resource->group.len
                           ? arena_printf(request->arena, "%.*s/%.*s", STR_ARG(resource->group),
                                          STR_ARG(resource->version))
                           : resource->version,
        .manager = manager_of(request),
        .subresource = request->info.subresource,
        .now_ns = api_now(request->api),
    };
}

// Events and leases are written often, by one manager, and never applied: not worth their weight.
static bool is_tracked(const Resource *resource) {
    return !str_eq(resource->kind, STR("Event")) && !str_eq(resource->kind, STR("Lease"));
}

void write_track(ApiRequest *request, const ServedResource *served, const Value *live,
                 Value *object) {
    if (!is_tracked(served->resource) && !(live && value_at(live, "metadata.managedFields"))) {
        value_unset(value_at_make(request->arena, object, "metadata"), STR("managedFields"));
        return;
    }
    ApplyRequest apply = write_apply_request(request, served);
    apply_track_update(request->arena, &apply, live, object);
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
    {"admissionregistration.k8s.io", "mutatingwebhookconfigurations", false, false},
    {"admissionregistration.k8s.io", "validatingwebhookconfigurations", false, false},
    {"apiregistration.k8s.io", "apiservices", false, false},
    {"apiextensions.k8s.io", "customresourcedefinitions", false, false},
    {"coordination.k8s.io", "leases", true, false},
    {"events.k8s.io", "events", true, true},
    {"node.k8s.io", "runtimeclasses", false, false},
    {"policy", "poddisruptionbudgets", false, false},
    {"rbac.authorization.k8s.io", "clusterrolebindings", true, true},
    {"rbac.authorization.k8s.io", "clusterroles", true, true},
    {"rbac.authorization.k8s.io", "rolebindings", true, true},
    {"rbac.authorization.k8s.io", "roles", true, true},
    {"storage.k8s.io", "csidrivers", false, false},
    {"storage.k8s.io", "csinodes", false, false},
    {"storage.k8s.io", "csistoragecapacities", false, false},
    {"storage.k8s.io", "volumeattachments", false, false},
};

static const Strategy *strategy_of(const Resource *resource) {
    static const Strategy usual = {"", "", false, true};
    static const Strategy custom = {"", "", false, false};
    if (resource->type->custom)
        return &custom;
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

bool write_orphans_dependents(const Resource *resource) {
    return is_core(resource, "replicationcontrollers") ||
           (str_eq(resource->group, STR("batch")) && str_eq(resource->plural, STR("jobs")));
}

void write_prepare_create(ApiRequest *request, const ServedResource *served, Value *object) {
    Arena *arena = request->arena;
    const Resource *resource = served->resource;
    Value *metadata = meta_of(arena, object);
    value_unset(metadata, STR("generation"));
    if (resource->generation)
        value_set_int(arena, metadata, STR("generation"), 1);
    // Nodes register with their status; every other kind's is the system's to say.
    if (resource->status_split && !is_core(resource, "nodes"))
        value_unset(object, STR("status"));
    if (resource->rules && resource->rules->prepare)
        resource->rules->prepare(arena, object, NULL);
}
