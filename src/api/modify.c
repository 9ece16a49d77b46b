#include "api/modify.h"

#include "api/meta.h"
#include "api/output.h"
#include "api/server.h"
#include "api/write.h"

#define MAX_ATTEMPTS 20

static void again(ApiRequest *request, void *user, int error) {
    modify_run(user);
}

static void shown(ApiRequest *request, void *user, int error) {
    Modify *modify = user;
    modify->done(modify, NULL);
}

static void stored(ApiRequest *request, void *user, int error, const StoreResult *result) {
    Modify *modify = user;
    if (error == STORE_E_CONFLICT && modify->attempts < MAX_ATTEMPTS) {
        request_wait_revision(request, result->revision, 0, again, modify);
    } else if (error == STORE_E_CONFLICT) {
        const Resource *resource = modify->served->resource;
        modify->done(
            modify, status_conflict(
                        request->arena, resource->group, resource->plural, modify->name,
                        STR("the object has been modified; please apply your changes to the latest "
                            "version and try again")));
    } else if (error) {
        modify->done(modify, request_store_error(request, error));
    } else {
        meta_set_revision(request->arena, modify->object, result->revision);
        request_wait_revision(request, result->revision, 0, shown, modify);
    }
}

void modify_run(Modify *modify) {
    ApiRequest *request = modify->request;
    Arena *arena = request->arena;
    const ServedResource *served = modify->served;
    modify->attempts++;
    CachedObject *current = cache_get(served->cache, modify->namespace_, modify->name);
    if (!current) {
        modify->done(modify, status_not_found(arena, served->resource->group,
                                              served->resource->plural, modify->name));
        return;
    }
    int64_t revision = current->revision;
    modify->object = output_from_storage(arena, served, object_decode(arena, current));
    const ApiStatus *refusal = modify->change(modify, modify->object);
    if (refusal || request->dry_run) {
        modify->done(modify, refusal);
        return;
    }
    _bytes_unref_ Bytes *bytes = write_encode(request, served, modify->object, &refusal);
    if (!bytes) {
        modify->done(modify, refusal);
        return;
    }
    request_store_put(request, write_key(arena, served, modify->namespace_, modify->name), bytes,
                      revision, write_flags(served, modify->namespace_), stored, modify);
}
