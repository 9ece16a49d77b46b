#include "api/delete.h"

#include "api/custom_kinds.h"
#include "api/meta.h"
#include "api/output.h"
#include "api/server.h"
#include "api/verbs.h"
#include "api/write.h"
#include "base/time.h"

#define MAX_ATTEMPTS 20

static void attempt(Deletion *deletion);

static bool is_core(const Deletion *deletion, const char *plural) {
    const Resource *resource = deletion->request->served->resource;
    return !resource->group.len && str_eq(resource->plural, str_from(plural));
}

static ApiStatus *conflict(const Deletion *deletion, Str why) {
    const Resource *resource = deletion->request->served->resource;
    // Upstream names the kind here, not the resource.
    return status_conflict(deletion->request->arena, resource->group, resource->kind,
                           deletion->name, why);
}

static ApiStatus *check_preconditions(const Deletion *deletion) {
    Arena *arena = deletion->request->arena;
    const DeleteOptions *options = &deletion->options;
    if (options->uid.len && !str_eq(options->uid, deletion->current->uid))
        return conflict(
            deletion,
            arena_printf(arena,
                         "the UID in the precondition (%.*s) does not match the UID in record "
                         "(%.*s). The object might have been deleted and then recreated",
                         STR_ARG(options->uid), STR_ARG(deletion->current->uid)));
    Str version = meta_resource_version(deletion->object);
    if (options->resource_version.len && !str_eq(options->resource_version, version))
        return conflict(
            deletion,
            arena_printf(arena,
                         "the ResourceVersion in the precondition (%.*s) does not match the "
                         "ResourceVersion in record (%.*s). The object might have been modified",
                         STR_ARG(options->resource_version), STR_ARG(version)));
    return NULL;
}

// ---- the store

static void finished(ApiRequest *request, void *user, int error) {
    Deletion *deletion = user;
    deletion->done(deletion, NULL);
}

static void again(ApiRequest *request, void *user, int error) {
    attempt(user);
}

static void stored(ApiRequest *request, void *user, int error, const StoreResult *result) {
    Deletion *deletion = user;
    if (error == STORE_E_CONFLICT && deletion->attempts < MAX_ATTEMPTS) {
        request_wait_revision(request, result->revision, 0, again, deletion);
        return;
    }
    if (error) {
        deletion->done(
            deletion,
            error == STORE_E_CONFLICT
                ? conflict(deletion, STR("the object has been modified; please apply your changes "
                                         "to the latest version and try again"))
                : request_store_error(request, error));
        return;
    }
    if (deletion->deleted)
        write_release(request, request->served, deletion->object);
    else
        meta_set_revision(request->arena, deletion->object, result->revision);
    request_wait_revision(request, result->revision, 0, finished, deletion);
}

static void remove_now(Deletion *deletion) {
    ApiRequest *request = deletion->request;
    deletion->deleted = true;
    if (request->dry_run) {
        deletion->done(deletion, NULL);
        return;
    }
    Str key = write_key(request->arena, request->served, deletion->namespace_, deletion->name);
    request_store_remove(request, key, deletion->current->revision, stored, deletion);
}

static void write_marked(Deletion *deletion) {
    ApiRequest *request = deletion->request;
    const ServedResource *served = request->served;
    const ApiStatus *status = NULL;
    if (request->dry_run) {
        deletion->done(deletion, NULL);
        return;
    }
    _bytes_unref_ Bytes *bytes = write_encode(request, served, deletion->object, &status);
    if (!bytes) {
        deletion->done(deletion, status);
        return;
    }
    Str key = write_key(request->arena, served, deletion->namespace_, deletion->name);
    request_store_put(request, key, bytes, deletion->current->revision,
                      write_flags(served, deletion->namespace_), stored, deletion);
}

// ---- marking

static void mark(Deletion *deletion, int64_t at, int64_t grace) {
    Arena *arena = deletion->request->arena;
    Value *metadata = meta_of(arena, deletion->object);
    if (!meta_is_deleting(deletion->object)) {
        int64_t generation = value_int_at(metadata, "generation", 0);
        if (generation > 0)
            value_set_int(arena, metadata, STR("generation"), generation + 1);
    }
    value_set_str(arena, metadata, STR("deletionTimestamp"), time_format(arena, at));
    value_set_int(arena, metadata, STR("deletionGracePeriodSeconds"), grace);
}

static void set_finalizer(Deletion *deletion, Str finalizer, bool wanted) {
    Arena *arena = deletion->request->arena;
    bool there = meta_has_finalizer(deletion->object, finalizer);
    if (there == wanted)
        return;
    Value *metadata = meta_of(arena, deletion->object);
    Value *finalizers = value_get(metadata, STR("finalizers"));
    if (!finalizers) {
        finalizers = value_new_array(arena);
        value_set(arena, metadata, STR("finalizers"), finalizers);
    }
    if (wanted) {
        value_push(arena, finalizers, value_new_string(arena, finalizer));
        return;
    }
    for (uint32_t i = finalizers->n; i-- > 0;) {
        if (str_eq(finalizers->items[i]->string, finalizer))
            value_remove_item(finalizers, i);
    }
    if (!finalizers->n)
        value_unset(metadata, STR("finalizers"));
}

#define ORPHAN STR("orphan")
#define FOREGROUND STR("foregroundDeletion")

// What the garbage collector has to do first becomes a finalizer.
static void set_propagation(Deletion *deletion) {
    const DeleteOptions *options = &deletion->options;
    if (!deletion->request->api->config.garbage_collector)
        return;
    bool orphan = meta_has_finalizer(deletion->object, ORPHAN);
    bool foreground = meta_has_finalizer(deletion->object, FOREGROUND);
    if (options->has_orphan) {
        orphan = options->orphan;
        foreground = false;
    } else if (options->policy.len) {
        orphan = str_eq(options->policy, STR("Orphan"));
        foreground = str_eq(options->policy, STR("Foreground"));
    } else if (!orphan && !foreground) {
        orphan = write_orphans_dependents(deletion->request->served->resource);
    }
    if (str_eq(deletion->request->served->resource->kind, STR("Event")))
        orphan = foreground = false; // events have no dependents
    set_finalizer(deletion, ORPHAN, orphan);
    set_finalizer(deletion, FOREGROUND, foreground);
}

// The grace period that a pod gets (podStrategy.CheckGracefulDelete).
static int64_t pod_grace(const Deletion *deletion) {
    const Value *pod = deletion->object;
    int64_t grace = deletion->options.has_grace
                        ? deletion->options.grace_seconds
                        : value_int_at(pod, "spec.terminationGracePeriodSeconds", 0);
    Str phase = value_string_at(pod, "status.phase");
    if (!value_string_at(pod, "spec.nodeName").len || str_eq(phase, STR("Failed")) ||
        str_eq(phase, STR("Succeeded")))
        return 0;
    return grace < 0 ? 1 : grace;
}

typedef enum Grace { GRACE_NONE, GRACE_PENDING, GRACE_MARKED } Grace;

// Pods end gracefully: the node ends the containers and deletes with grace 0. A deletion under way
// can only be shortened.
static Grace apply_grace(Deletion *deletion) {
    Value *object = deletion->object;
    int64_t now = api_now(deletion->request->api);
    if (!is_core(deletion, "pods"))
        return GRACE_NONE;
    if (!meta_is_deleting(object)) {
        int64_t grace = pod_grace(deletion);
        mark(deletion, now + grace * NSEC_PER_SEC, grace);
        return GRACE_MARKED;
    }
    int64_t pending = value_int_at(object, "metadata.deletionGracePeriodSeconds", 0);
    if (pending == 0)
        return GRACE_NONE;
    int64_t grace = deletion->options.grace_seconds;
    if (!deletion->options.has_grace || grace >= pending)
        return GRACE_PENDING;
    int64_t at = now;
    if (time_parse(value_string_at(object, "metadata.deletionTimestamp"), &at) == 0)
        at += (grace - pending) * NSEC_PER_SEC;
    if (at < now) {
        at = now;
        grace = grace ? 1 : 0;
    }
    mark(deletion, at, grace);
    return GRACE_MARKED;
}

// A namespace is emptied by its controller first, and goes when spec.finalizers is empty.
static void delete_namespace(Deletion *deletion) {
    Arena *arena = deletion->request->arena;
    const Value *finalizers = value_at(deletion->object, "spec.finalizers");
    bool held = finalizers && finalizers->kind == VALUE_ARRAY && finalizers->n > 0;
    if (!held && !meta_has_finalizers(deletion->object)) {
        remove_now(deletion);
        return;
    }
    if (meta_is_deleting(deletion->object)) {
        deletion->done(deletion, NULL);
        return;
    }
    value_set_str(arena, meta_of(arena, deletion->object), STR("deletionTimestamp"),
                  time_format(arena, api_now(deletion->request->api)));
    value_set_str(arena, value_at_make(arena, deletion->object, "status"), STR("phase"),
                  STR("Terminating"));
    write_marked(deletion);
}

// A custom kind goes after its objects: custom_kinds.c takes the finalizer away
// (customresourcedefinition/etcd.go, REST.Delete).
static void delete_definition(Deletion *deletion) {
    Arena *arena = deletion->request->arena;
    int64_t now = api_now(deletion->request->api);
    set_finalizer(deletion, CUSTOM_RESOURCE_CLEANUP, true);
    value_set_str(arena, meta_of(arena, deletion->object), STR("deletionTimestamp"),
                  time_format(arena, now));
    definition_set_condition(arena, deletion->object, "Terminating", "True",
                             "InstanceDeletionPending",
                             STR("CustomResourceDefinition marked for deletion; CustomResource "
                                 "deletion will begin soon"),
                             now);
    write_marked(deletion);
}

static bool is_definition(const Deletion *deletion) {
    const Resource *resource = deletion->request->served->resource;
    return str_eq(resource->group, STR("apiextensions.k8s.io")) &&
           str_eq(resource->plural, STR("customresourcedefinitions"));
}

static void proceed(Deletion *deletion) {
    if (is_definition(deletion) && !deletion->current->deleting) {
        set_propagation(deletion);
        delete_definition(deletion);
        return;
    }
    if (is_core(deletion, "namespaces")) {
        set_propagation(deletion);
        delete_namespace(deletion);
        return;
    }
    Grace grace = apply_grace(deletion);
    if (grace == GRACE_PENDING) {
        deletion->done(deletion, NULL);
        return;
    }
    set_propagation(deletion);
    bool held = meta_has_finalizers(deletion->object);
    int64_t seconds = value_int_at(deletion->object, "metadata.deletionGracePeriodSeconds", 0);
    if (grace == GRACE_MARKED && (seconds > 0 || held)) {
        write_marked(deletion);
    } else if (held) {
        bool was_deleting = deletion->current->deleting;
        if (!was_deleting)
            mark(deletion, api_now(deletion->request->api), 0);
        if (was_deleting && !grace)
            deletion->done(deletion, NULL); // nothing to add: the finalizers have it
        else
            write_marked(deletion);
    } else {
        remove_now(deletion);
    }
}

static void validated(ApiRequest *request, void *user, const ApiStatus *refusal) {
    Deletion *deletion = user;
    if (refusal)
        deletion->done(deletion, refusal);
    else
        proceed(deletion);
}

static void mutated(ApiRequest *request, void *user, const ApiStatus *refusal) {
    Deletion *deletion = user;
    if (refusal)
        deletion->done(deletion, refusal);
    else
        admission_validate(&deletion->admission, validated, deletion);
}

// As admission shows them to webhooks.
static const Value *options_value(Arena *arena, const DeleteOptions *options) {
    Value *value = value_new_object(arena);
    if (options->has_grace)
        value_set_int(arena, value, STR("gracePeriodSeconds"), options->grace_seconds);
    if (options->uid.len)
        value_set_str(arena, value_at_make(arena, value, "preconditions"), STR("uid"),
                      options->uid);
    if (options->resource_version.len)
        value_set_str(arena, value_at_make(arena, value, "preconditions"), STR("resourceVersion"),
                      options->resource_version);
    if (options->has_orphan)
        value_set_bool(arena, value, STR("orphanDependents"), options->orphan);
    if (options->policy.len)
        value_set_str(arena, value, STR("propagationPolicy"), options->policy);
    return value;
}

static void drop_object(void *object) {
    object_unref(object);
}

static void attempt(Deletion *deletion) {
    ApiRequest *request = deletion->request;
    const ServedResource *served = request->served;
    Arena *arena = request->arena;
    deletion->attempts++;
    deletion->deleted = false;
    deletion->current = object_ref(cache_get(served->cache, deletion->namespace_, deletion->name));
    if (!deletion->current) {
        deletion->done(deletion, request_not_found(request, deletion->name));
        return;
    }
    arena_defer(arena, drop_object, deletion->current);
    deletion->object = output_from_storage(arena, served, object_decode(arena, deletion->current));
    ApiStatus *refused = check_preconditions(deletion);
    if (refused) {
        deletion->done(deletion, refused);
        return;
    }
    if (deletion->admitted) {
        proceed(deletion);
        return;
    }
    bool is_namespace = is_core(deletion, "namespaces");
    deletion->admission = (Admission){
        .request = request,
        .operation = ADMISSION_DELETE,
        .served = served,
        .subresource = request->info.subresource,
        .namespace_ = is_namespace ? deletion->name : deletion->namespace_,
        .name = deletion->name,
        .old = deletion->object,
        .options = options_value(arena, &deletion->options),
    };
    admission_mutate(&deletion->admission, mutated, deletion);
}

void deletion_run(Deletion *deletion) {
    attempt(deletion);
}

// ---- DELETE of one object

// Kinds whose registry answers with the object that was deleted; the others with a Status.
static bool returns_deleted_object(const Resource *resource) {
    static const char *const core[] = {
        "pods",           "services",          "serviceaccounts",       "podtemplates",
        "resourcequotas", "persistentvolumes", "persistentvolumeclaims"};
    for (size_t i = 0; !resource->group.len && i < sizeof core / sizeof *core; i++) {
        if (str_eq(resource->plural, str_from(core[i])))
            return true;
    }
    return str_eq(resource->group, STR("storage.k8s.io"));
}

static void answer(Deletion *deletion, const ApiStatus *refusal) {
    ApiRequest *request = deletion->request;
    const Resource *resource = request->served->resource;
    if (refusal)
        request_status(request, refusal);
    else if (deletion->deleted && !returns_deleted_object(resource))
        request_success(request, 200, resource->plural, deletion->name, deletion->current->uid);
    else
        request_object(
            request,
            !deletion->deleted && deletion->options.has_orphan && !deletion->options.orphan ? 202
                                                                                            : 200,
            request->served, deletion->object);
}

void verb_delete(ApiRequest *request) {
    Deletion *deletion = arena_new_of(request->arena, Deletion);
    ApiStatus *refused = delete_options_parse(request, &deletion->options);
    if (refused) {
        request_status(request, refused);
        return;
    }
    deletion->request = request;
    deletion->namespace_ = request_namespace(request);
    deletion->name = request->info.name;
    deletion->done = answer;
    deletion_run(deletion);
}
