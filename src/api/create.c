// POST: decode, admit, default, validate, store.

#include "api/admission/admission.h"
#include "api/auth/authz.h"
#include "api/decode.h"
#include "api/meta.h"
#include "api/server.h"
#include "api/verbs.h"
#include "api/write.h"

#define NAME_ATTEMPTS 8 // for generateName, as upstream's RetryGenerateName

typedef struct Create {
    ApiRequest *request;
    Value *object;
    Admission admission;
    bool generated;
    bool versioned; // the client sent a resourceVersion
    int attempts;
} Create;

static void refuse(Create *create, const ApiStatus *status) {
    write_release(create->request, create->request->served, NULL);
    request_status(create->request, status);
}

static void try_store(Create *create);

static void already_exists(Create *create) {
    ApiRequest *request = create->request;
    Str name = meta_name(create->object);
    if (create->generated && ++create->attempts < NAME_ATTEMPTS) {
        meta_generate_name(request->api, request->arena, create->object);
        try_store(create);
        return;
    }
    ApiStatus *status =
        status_already_exists(request->arena, request->info.group, request->info.resource, name);
    // rest/create.go, CheckGeneratedNameError
    if (value_string_at(create->object, "metadata.generateName").len) {
        status->message = arena_printf(request->arena,
                                       "%.*s, the server was not able to generate a unique name "
                                       "for the object",
                                       STR_ARG(status->message));
        status->retry_after_seconds = 1;
    }
    const CachedObject *there =
        cache_get(request->served->cache, meta_namespace(create->object), name);
    if (there && there->deleting)
        status->message =
            arena_printf(request->arena, "object is being deleted: %.*s", STR_ARG(status->message));
    refuse(create, status);
}

static void stored(ApiRequest *request, void *user, int error, const StoreResult *result) {
    Create *create = user;
    if (error == STORE_E_CONFLICT) {
        already_exists(create);
    } else if (error) {
        refuse(create, request_store_error(request, error));
    } else {
        write_keep(request, request->served, create->object, NULL);
        admission_tell(&create->admission);
        write_answer(request, 201, request->served, create->object, result->revision);
    }
}

static void try_store(Create *create) {
    ApiRequest *request = create->request;
    Str namespace_ = meta_namespace(create->object), name = meta_name(create->object);
    const ApiStatus *status = NULL;
    if (create->versioned) { // apiserver's storage.ErrResourceVersionSetOnCreate, an error as it is
        refuse(create, status_new(request->arena, 500, STR(""),
                                  STR("resourceVersion should not be set on objects to be "
                                      "created")));
        return;
    }
    // Known to be there: no need to ask the store.
    if (cache_get(request->served->cache, namespace_, name)) {
        already_exists(create);
        return;
    }
    _bytes_unref_ Bytes *bytes = write_encode(request, request->served, create->object, &status);
    if (!bytes) {
        refuse(create, status);
        return;
    }
    request_store_put(request, write_key(request->arena, request->served, namespace_, name), bytes,
                      STORE_ABSENT, write_flags(request->served, namespace_), stored, create);
}

static void reserved(ApiRequest *request, void *user, const ApiStatus *refusal) {
    Create *create = user;
    if (refusal)
        refuse(create, refusal);
    else if (!request->dry_run)
        try_store(create);
    else if (cache_get(request->served->cache, meta_namespace(create->object),
                       meta_name(create->object)))
        already_exists(create);
    else
        request_object(request, 201, request->served, create->object);
}

static void validated(ApiRequest *request, void *user, const ApiStatus *refusal) {
    Create *create = user;
    if (refusal)
        refuse(create, refusal);
    else
        write_reserve(request, request->served, create->object, NULL, reserved, create);
}

static void mutated(ApiRequest *request, void *user, const ApiStatus *refusal) {
    Create *create = user;
    const ServedResource *served = request->served;
    Value *object = create->object;
    if (refusal) {
        refuse(create, refusal);
        return;
    }
    meta_unique_owners(request, object, true);
    schema_default(request->arena, served->resource, object);
    meta_fill(request->api, request->arena, object);
    if (!meta_name(object).len && value_string_at(object, "metadata.generateName").len) {
        create->generated = true;
        meta_generate_name(request->api, request->arena, object);
    }
    ApiStatus *refused = authz_check_escalation(request, object, NULL);
    if (!refused) {
        write_prepare_create(request, served, object);
        refused = write_validate(request, served, object, NULL);
    }
    if (refused) {
        refuse(create, refused);
        return;
    }
    create->admission.name = meta_name(object);
    admission_validate(&create->admission, validated, create);
}

void verb_create(ApiRequest *request) {
    Arena *arena = request->arena;
    const ServedResource *served = request->served;
    DecodeTarget target = decode_target(served->resource);
    Create *create = arena_new_of(arena, Create);
    create->request = request;
    ApiStatus *refused = request_write_options(request, STR("CreateOptions"));
    if (!refused)
        refused = decode_body(request, &target, &create->object);
    if (!refused) {
        meta_of(arena, create->object);
        meta_wipe(create->object);
        refused = meta_match_namespace(arena, create->object, request_namespace(request));
    }
    if (refused) {
        request_status(request, refused);
        return;
    }
    Str version = meta_resource_version(create->object);
    int64_t revision; // what is no number is no version
    create->versioned = version.len && str_to_i64(version, &revision) == 0 && revision != 0;
    value_unset(meta_of(arena, create->object), STR("resourceVersion"));
    meta_unique_owners(request, create->object, false);
    schema_default(arena, served->resource, create->object);
    write_track(request, served, NULL, create->object);
    bool is_namespace =
        !served->resource->group.len && str_eq(served->resource->plural, STR("namespaces"));
    create->admission = (Admission){
        .request = request,
        .operation = ADMISSION_CREATE,
        .served = served,
        .subresource = STR(""),
        .namespace_ = is_namespace ? meta_name(create->object) : request->info.namespace_,
        .name = meta_name(create->object),
        .object = create->object,
    };
    admission_mutate(&create->admission, mutated, create);
}
