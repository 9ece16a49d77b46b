// Eviction: a deletion that asks politely. Until PodDisruptionBudgets are served, nobody objects.
// https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/

#include "api/admission/admission.h"
#include "api/decode.h"
#include "api/delete.h"
#include "api/meta.h"
#include "api/server.h"
#include "api/subresources.h"

static void evicted(Deletion *deletion, const ApiStatus *refusal) {
    ApiRequest *request = deletion->request;
    if (refusal) {
        request_status(request, refusal);
        return;
    }
    Value *status = value_new_object(request->arena);
    value_set_str(request->arena, status, STR("kind"), STR("Status"));
    value_set_str(request->arena, status, STR("apiVersion"), STR("v1"));
    value_set(request->arena, status, STR("metadata"), value_new_object(request->arena));
    value_set_str(request->arena, status, STR("status"), STR("Success"));
    value_set_int(request->arena, status, STR("code"), 201);
    request_object(request, 201, NULL, status);
}

static void read_options(ApiRequest *request, const Value *eviction, DeleteOptions *options) {
    const Value *given = value_get(eviction, STR("deleteOptions"));
    const Value *grace = value_get(given, STR("gracePeriodSeconds"));
    if (grace && grace->kind == VALUE_INT) {
        options->has_grace = true;
        options->grace_seconds = grace->integer < 0 ? 1 : grace->integer;
    }
    options->uid = value_string_at(given, "preconditions.uid");
    options->resource_version = value_string_at(given, "preconditions.resourceVersion");
    options->policy = value_string_at(given, "propagationPolicy");
    const Value *dry_run = value_get(given, STR("dryRun"));
    if (dry_run && dry_run->kind == VALUE_ARRAY && dry_run->n)
        request->dry_run = true;
}

typedef struct Evict {
    Deletion deletion;
    Admission admission;
} Evict;

static void admitted(ApiRequest *request, void *user, const ApiStatus *refusal) {
    Evict *self = user;
    read_options(request, self->admission.object, &self->deletion.options);
    if (refusal)
        request_status(request, refusal);
    else
        deletion_run(&self->deletion);
}

void pod_eviction_create(ApiRequest *request) {
    Value *eviction = NULL;
    DecodeTarget target = {STR("policy"), STR("v1"), STR("Eviction"),
                           kinds_type(STR("io.k8s.api.policy.v1.Eviction"))};
    ApiStatus *refused = request_write_options(request, STR("CreateOptions"));
    if (!refused)
        refused = decode_body(request, &target, &eviction);
    if (!refused && meta_name(eviction).len && !str_eq(meta_name(eviction), request->info.name))
        refused = status_bad_request(request->arena,
                                     STR("name in URL does not match name in Eviction object"));
    if (refused) {
        request_status(request, refused);
        return;
    }
    Evict *self = arena_new_of(request->arena, Evict);
    self->deletion = (Deletion){
        .request = request,
        .namespace_ = request->info.namespace_,
        .name = request->info.name,
        .admitted = true,
        .done = evicted,
    };
    self->admission = (Admission){
        .request = request,
        .operation = ADMISSION_CREATE,
        .served = request->served,
        .subresource = STR("eviction"),
        .namespace_ = request->info.namespace_,
        .name = request->info.name,
        .object = eviction,
        .type = target.type,
    };
    admission_check(&self->admission, admitted, self);
}
