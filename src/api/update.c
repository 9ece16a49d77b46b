#include "api/update.h"

#include "api/auth/authz.h"
#include "api/decode.h"
#include "api/meta.h"
#include "api/output.h"
#include "api/server.h"
#include "api/verbs.h"
#include "api/write.h"

#define MAX_ATTEMPTS 20 // each lost to another writer, with the newest state in hand

static const char conflict_text[] =
    "the object has been modified; please apply your changes to the latest version and try again";

static void attempt(Update *update);

static void refuse(Update *update, const ApiStatus *status) {
    write_release(update->request, update->request->served, NULL);
    request_status(update->request, status);
}

static void answer(Update *update, int code, Value *object) {
    ApiRequest *request = update->request;
    if (update->scale)
        request_object(request, code, &update->scale->served,
                       scale_show(request->arena, update->scale, object));
    else
        request_object(request, code, request->served, object);
}

static ApiStatus *conflict(const Update *update, Str why) {
    const RequestInfo *info = &update->request->info;
    return status_conflict(update->request->arena, info->group, info->resource, info->name, why);
}

// ---- what each endpoint may change

static void keep_member(Arena *arena, Value *object, const Value *old, Str key) {
    Value *value = value_get(old, key);
    if (value)
        value_set(arena, object, key, value);
    else
        value_unset(object, key);
}

// namespaces/NAME/finalize changes spec.finalizers alone.
static void take_finalizers(Update *update) {
    Arena *arena = update->request->arena;
    Value *finalizers = value_at(update->object, "spec.finalizers");
    Value *kept = value_copy(arena, update->old);
    Value *spec = value_at_make(arena, kept, "spec");
    if (finalizers)
        value_set(arena, spec, STR("finalizers"), finalizers);
    else
        value_unset(spec, STR("finalizers"));
    *update->object = *kept;
}

// The status of custom kinds alone, and who manages it (statusStrategy.PrepareForUpdate).
static void take_status(Update *update) {
    Arena *arena = update->request->arena;
    Value *kept = value_copy(arena, update->old);
    keep_member(arena, kept, update->object, STR("status"));
    keep_member(arena, meta_of(arena, kept), value_get(update->object, STR("metadata")),
                STR("managedFields"));
    *update->object = *kept;
}

// A write to the status endpoint changes status, labels and annotations, nothing else; and the main
// one everything but status.
static void split_status(Update *update) {
    Arena *arena = update->request->arena;
    Value *object = update->object;
    const Value *old = update->old;
    if (str_eq(update->request->info.subresource, STR("finalize"))) {
        take_finalizers(update);
        return;
    }
    if (!str_eq(update->request->info.subresource, STR("status"))) {
        const Resource *resource = update->request->served->resource;
        const SubresourceRules *own =
            schema_subresource_rules(resource, update->request->info.subresource);
        if (resource->status_split && !(own && own->takes_status))
            keep_member(arena, object, old, STR("status"));
        return;
    }
    if (update->request->served->kind) {
        take_status(update);
        return;
    }
    for (uint32_t i = 0; i < object->n; i++) {
        Str key = object->members[i].key;
        if (str_eq(key, STR("status")) || str_eq(key, STR("metadata")) || value_get(old, key))
            continue;
        value_unset(object, key);
        i--;
    }
    for (uint32_t i = 0; i < old->n; i++) {
        Str key = old->members[i].key;
        if (!str_eq(key, STR("status")) && !str_eq(key, STR("metadata")))
            value_set(arena, object, key, old->members[i].value);
    }
    keep_member(arena, meta_of(arena, object), value_get(old, STR("metadata")),
                STR("ownerReferences"));
}

static bool is_core(const ApiRequest *request, const char *plural) {
    const Resource *resource = request->served->resource;
    return !resource->group.len && str_eq(resource->plural, str_from(plural));
}

static void set_generation(Update *update) {
    const Resource *resource = update->request->served->resource;
    bool changed = meta_spec_changed(update->object, update->old) ||
                   (resource->type->custom && !resource->status_split &&
                    !value_equal(value_get(update->object, STR("status")),
                                 value_get(update->old, STR("status")))) ||
                   (resource->generation_annotations &&
                    !value_equal(value_at(update->object, "metadata.annotations"),
                                 value_at(update->old, "metadata.annotations")));
    if (!resource->generation || !changed)
        return;
    Value *metadata = meta_of(update->request->arena, update->object);
    value_set_int(update->request->arena, metadata, STR("generation"),
                  value_int_at(update->old, "metadata.generation", 0) + 1);
}

static ApiStatus *validate(Update *update) {
    ApiRequest *request = update->request;
    const ServedResource *served = request->served;
    const Resource *resource = served->resource;
    const SubresourceRules *own = schema_subresource_rules(resource, request->info.subresource);
    if (!own && !str_eq(request->info.subresource, STR("status")))
        return write_validate(request, served, update->object, update->old);
    FieldErrors errors = {.arena = request->arena};
    if (own) {
        schema_validate_subresource(&errors, resource, own, update->object, update->old);
        return errors.n ? status_invalid(request->arena, resource->group, resource->kind,
                                         meta_name(update->object), &errors)
                        : NULL;
    }
    schema_validate_metadata(&errors, resource, update->object, update->old);
    if (resource->type->custom) // what the schema says at its root may be about the status
        schema_validate_type(&errors, resource->type, update->object, update->old, NULL);
    const Field *field = type_field(resource->type, STR("status"));
    const Value *status = value_get(update->object, STR("status"));
    if (field && field->type && status)
        schema_validate_type(&errors, field->type, status, value_get(update->old, STR("status")),
                             PATH(NULL, STR("status")));
    if (resource->rules && resource->rules->validate_status_update)
        resource->rules->validate_status_update(&errors, update->object, update->old);
    return errors.n ? status_invalid(request->arena, resource->group, resource->kind,
                                     meta_name(update->object), &errors)
                    : NULL;
}

// ---- storing

// The last finalizer of an object that is being deleted is gone.
static bool deletes(const Update *update) {
    if (!meta_is_deleting(update->old) || meta_has_finalizers(update->object))
        return false;
    if (value_int_at(update->old, "metadata.deletionGracePeriodSeconds", 0) != 0)
        return false;
    const Value *finalizers = value_at(update->object, "spec.finalizers");
    return !is_core(update->request, "namespaces") || !finalizers || finalizers->n == 0;
}

static void again(ApiRequest *request, void *user, int error) {
    attempt(user);
}

static void removed(ApiRequest *request, void *user, int error, const StoreResult *result);

static void stored(ApiRequest *request, void *user, int error, const StoreResult *result) {
    Update *update = user;
    if (error == STORE_E_CONFLICT && update->attempts < MAX_ATTEMPTS) {
        write_release(request, request->served, NULL);
        request_wait_revision(request, result->revision, 0, again, update);
        return;
    }
    if (error == STORE_E_CONFLICT) {
        refuse(update, conflict(update, str_from(conflict_text)));
    } else if (error) {
        refuse(update, request_store_error(request, error));
    } else {
        const ScaleView *scale = update->scale;
        write_keep(request, request->served, update->object, update->old);
        admission_tell(&update->admission);
        write_answer(request, update->creating ? 201 : 200,
                     scale ? &scale->served : request->served,
                     scale ? scale_show(request->arena, scale, update->object) : update->object,
                     result->revision);
    }
}

static void gone(ApiRequest *request, void *user, int error) {
    Update *update = user;
    answer(update, 200, update->object);
}

static void removed(ApiRequest *request, void *user, int error, const StoreResult *result) {
    Update *update = user;
    if (error) {
        stored(request, user, error, result);
        return;
    }
    write_release(request, request->served, update->object);
    request_wait_revision(request, result->revision, 0, gone, update);
}

static void store(Update *update) {
    ApiRequest *request = update->request;
    const ServedResource *served = request->served;
    const ApiStatus *status = NULL;
    if (update->old && meta_same(request->arena, update->object, update->old)) {
        answer(update, 200, update->old); // nothing to write
        return;
    }
    if (request->dry_run) {
        answer(update, update->creating ? 201 : 200, update->object);
        return;
    }
    Str namespace_ = request_namespace(request);
    Str key = write_key(request->arena, served, namespace_, request->info.name);
    int64_t expected = update->current ? update->current->revision : STORE_ABSENT;
    if (update->old && deletes(update)) {
        request_store_remove(request, key, expected, removed, update);
        return;
    }
    _bytes_unref_ Bytes *bytes = write_encode(request, served, update->object, &status);
    if (bytes)
        request_store_put(request, key, bytes, expected, write_flags(served, namespace_), stored,
                          update);
    else
        refuse(update, status);
}

static void reserved(ApiRequest *request, void *user, const ApiStatus *refusal) {
    Update *update = user;
    if (refusal)
        refuse(update, refusal);
    else
        store(update);
}

static void validated(ApiRequest *request, void *user, const ApiStatus *refusal) {
    Update *update = user;
    if (refusal)
        refuse(update, refusal);
    else if (str_eq(request->info.subresource, STR("")))
        write_reserve(request, request->served, update->object, update->old, reserved, update);
    else
        store(update);
}

// ---- from the current object to the new one

static ApiStatus *check_version(const Update *update) {
    const ApiRequest *request = update->request;
    Arena *arena = request->arena;
    Str version = meta_resource_version(update->object);
    if (version.len && !str_eq(version, STR("0"))) {
        int64_t revision;
        if (str_to_i64(version, &revision) != 0)
            return status_bad_request(
                arena, arena_printf(arena,
                                    "metadata.resourceVersion: Invalid value: \"%.*s\": "
                                    "strconv.ParseUint: parsing \"%.*s\": invalid syntax",
                                    STR_ARG(version), STR_ARG(version)));
        return revision == update->current->revision ? NULL
                                                     : conflict(update, str_from(conflict_text));
    }
    if (write_allows_unconditional_update(request->served->resource))
        return NULL;
    FieldErrors errors = {.arena = arena};
    // A number without a sign, which Go prints so.
    field_add(&errors, FIELD_ERROR_INVALID,
              PATH(PATH(NULL, STR("metadata")), STR("resourceVersion")), STR("0x0"),
              STR("must be specified for an update"));
    return status_invalid(arena, request->info.group, request->info.resource, request->info.name,
                          &errors);
}

static void prepare_create(Update *update) {
    ApiRequest *request = update->request;
    meta_wipe(update->object);
    meta_fill(request->api, request->arena, update->object);
    value_unset(meta_of(request->arena, update->object), STR("resourceVersion"));
    write_prepare_create(request, request->served, update->object);
}

static void prepare_update(Update *update) {
    ApiRequest *request = update->request;
    const Resource *resource = request->served->resource;
    Arena *arena = request->arena;
    meta_set_revision(arena, update->object, update->current->revision);
    split_status(update);
    bool whole = !request->info.subresource.len || update->scale;
    if (resource->rules && resource->rules->prepare && whole)
        resource->rules->prepare(arena, update->object, update->old);
    const SubresourceRules *own = schema_subresource_rules(resource, request->info.subresource);
    if (own)
        own->prepare(arena, update->object, update->old);
    if (resource->rules && resource->rules->prepare_status &&
        str_eq(request->info.subresource, STR("status")))
        resource->rules->prepare_status(arena, update->object, update->old);
    meta_carry_over(arena, update->object, update->old);
    if (!str_eq(request->info.subresource, STR("status")))
        set_generation(update);
}

static void mutated(ApiRequest *request, void *user, const ApiStatus *refusal) {
    Update *update = user;
    if (refusal) {
        refuse(update, refusal);
        return;
    }
    const ApiStatus *refused = NULL;
    if (update->scale) {
        refused = scale_validate(request->arena, update->scale, update->sent);
        scale_take(request->arena, update->scale, update->object, update->sent);
        if (!update->applies)
            write_track(request, request->served, update->old, update->object);
    }
    meta_unique_owners(request, update->object, true);
    if (refused) {
        refuse(update, refused);
        return;
    }
    if (update->creating) {
        schema_default(request->arena, request->served->resource, update->object);
        refused = authz_check_escalation(request, update->object, NULL);
        if (!refused)
            prepare_create(update);
    } else {
        refused = check_version(update);
        if (!refused)
            refused = authz_check_escalation(request, update->object, update->old);
        if (!refused)
            prepare_update(update);
    }
    if (!refused)
        refused = validate(update);
    if (refused)
        refuse(update, refused);
    else
        admission_validate(&update->admission, validated, update);
}

static ApiStatus *check_identity(Update *update) {
    ApiRequest *request = update->request;
    Arena *arena = request->arena;
    const RequestInfo *info = &request->info;
    ApiStatus *refused = meta_match_namespace(arena, update->sent, request_namespace(request));
    if (refused)
        return refused;
    Str name = meta_name(update->sent);
    if (!name.len)
        return status_bad_request(arena,
                                  arena_printf(arena,
                                               "the name of the object (%.*s based on URL) was "
                                               "undeterminable: name must be provided",
                                               STR_ARG(info->name)));
    if (!str_eq(name, info->name))
        return status_bad_request(
            arena, arena_printf(arena,
                                "the name of the object (%.*s) does not match the name on the "
                                "URL (%.*s)",
                                STR_ARG(name), STR_ARG(info->name)));
    Str uid = meta_uid(update->sent);
    if (!uid.len)
        return NULL;
    if (!update->current && update->applies) // handlers/patch.go, applyPatch
        return conflict(update, arena_printf(arena,
                                             "uid mismatch: the provided object specified uid "
                                             "%.*s, and no existing object was found",
                                             STR_ARG(uid)));
    if (!update->current)
        return conflict(
            update,
            arena_printf(arena,
                         "Precondition failed: UID in precondition: %.*s, UID in object meta: ",
                         STR_ARG(uid)));
    if (!str_eq(uid, update->current->uid))
        return conflict(
            update,
            arena_printf(arena,
                         "Precondition failed: UID in precondition: %.*s, UID in object meta: "
                         "%.*s",
                         STR_ARG(uid), STR_ARG(update->current->uid)));
    return NULL;
}

static ApiStatus *check_create(Update *update) {
    ApiRequest *request = update->request;
    bool allowed = update->applies || write_allows_create_on_update(request->served->resource);
    if (!allowed || request->info.subresource.len)
        return request_not_found(request, request->info.name);
    Attributes attributes = attributes_of(request);
    attributes.verb = STR("create");
    Str reason;
    if (!authorize(request->api->authorizer, request->arena, &attributes, &reason))
        return authz_forbidden(request->arena, &attributes, reason);
    return NULL;
}

// What the client asks for, and the object that it makes.
static void transform(Update *update, const Value *old, const ApiStatus **ret_refusal) {
    Arena *arena = update->request->arena;
    bool whole = !update->scale || update->applies;
    update->sent = update->transform(update, whole ? update->old : old, ret_refusal);
    update->object = whole ? update->sent : value_copy(arena, update->old);
    if (update->scale && update->applies && !*ret_refusal)
        update->sent = scale_show(arena, update->scale, update->object);
}

static void drop_object(void *object) {
    object_unref(object);
}

static void attempt(Update *update) {
    ApiRequest *request = update->request;
    const ServedResource *served = request->served;
    Arena *arena = request->arena;
    update->attempts++;
    update->current =
        object_ref(cache_get(served->cache, request_namespace(request), request->info.name));
    if (update->current)
        arena_defer(arena, drop_object, update->current);
    update->creating = update->current == NULL;
    update->old = update->current
                      ? output_from_storage(arena, served, object_decode(arena, update->current))
                      : NULL;
    const ApiStatus *refused = update->creating ? check_create(update) : NULL;
    const Value *old = update->old;
    if (!refused && update->scale)
        old = scale_show(arena, update->scale, update->old);
    if (!refused)
        transform(update, old, &refused);
    if (!refused)
        refused = check_identity(update);
    if (refused) {
        refuse(update, refused);
        return;
    }
    if (!update->applies && !update->scale)
        write_track(request, served, update->old, update->object);
    bool is_namespace = is_core(request, "namespaces");
    update->admission = (Admission){
        .request = request,
        .operation = update->creating ? ADMISSION_CREATE : ADMISSION_UPDATE,
        .served = served,
        .subresource = request->info.subresource,
        .namespace_ = is_namespace ? request->info.name : request->info.namespace_,
        .name = request->info.name,
        .object = update->sent,
        .old = update->scale ? (Value *)old : update->old,
    };
    admission_mutate(&update->admission, mutated, update);
}

const Resource *update_sent_resource(const ApiRequest *request) {
    const ScaleView *scale = scale_view(request);
    return scale ? &scale->resource : request->served->resource;
}

void update_run(Update *update) {
    update->scale = scale_view(update->request);
    attempt(update);
}

// ---- PUT

static Value *replace(Update *update, const Value *current, const ApiStatus **ret_refusal) {
    return value_copy(update->request->arena, update->state);
}

void verb_update(ApiRequest *request) {
    Value *object = NULL;
    const Resource *resource = update_sent_resource(request);
    DecodeTarget target = decode_target(resource);
    ApiStatus *refused = request_write_options(request, STR("UpdateOptions"));
    if (!refused)
        refused = decode_body(request, &target, &object);
    if (refused) {
        request_status(request, refused);
        return;
    }
    meta_of(request->arena, object);
    meta_unique_owners(request, object, false);
    schema_default(request->arena, resource, object);
    Update *update = arena_new_of(request->arena, Update);
    update->request = request;
    update->transform = replace;
    update->state = object;
    update_run(update);
}
