// The scheduler's word: a pod gets its node, once (kubernetes' registry/core/pod/storage
// BindingREST).

#include "api/admission/admission.h"
#include "api/decode.h"
#include "api/meta.h"
#include "api/modify.h"
#include "api/server.h"
#include "api/subresources.h"
#include "base/time.h"

#define MOST_ANNOTATIONS 1000 // that a scheduler may add

typedef struct PodBinding {
    Modify modify;
    Value *binding;
    Admission admission;
} PodBinding;

static const ApiStatus *conflict(const Modify *modify, Str why) {
    return status_conflict(modify->request->arena, STR(""), STR("pods/binding"), modify->name, why);
}

static void set_scheduled(ApiRequest *request, Value *pod) {
    Arena *arena = request->arena;
    Value *status = value_at_make(arena, pod, "status");
    Value *conditions = value_get(status, STR("conditions"));
    if (!conditions || conditions->kind != VALUE_ARRAY) {
        conditions = value_new_array(arena);
        value_set(arena, status, STR("conditions"), conditions);
    }
    for (uint32_t i = 0; i < conditions->n; i++) {
        if (str_eq(value_string_at(conditions->items[i], "type"), STR("PodScheduled")))
            value_remove_item(conditions, i--);
    }
    Value *condition = value_new_object(arena);
    value_set_str(arena, condition, STR("type"), STR("PodScheduled"));
    value_set_str(arena, condition, STR("status"), STR("True"));
    value_set(arena, condition, STR("lastProbeTime"), value_new_null(arena));
    value_set_str(arena, condition, STR("lastTransitionTime"),
                  time_format(arena, api_now(request->api)));
    int64_t generation = value_int_at(pod, "metadata.generation", 0);
    if (generation)
        value_set_int(arena, condition, STR("observedGeneration"), generation);
    value_push(arena, conditions, condition);
}

static void merge_annotations(Arena *arena, Value *pod, const Value *binding) {
    const Value *annotations = value_at(binding, "metadata.annotations");
    if (!annotations || !annotations->n)
        return;
    Value *into = value_at_make(arena, pod, "metadata.annotations");
    for (uint32_t i = 0; i < annotations->n; i++)
        value_set(arena, into, annotations->members[i].key, annotations->members[i].value);
}

static const ApiStatus *check_pod(const Modify *modify, const Value *pod, const Value *binding) {
    Arena *arena = modify->request->arena;
    Str uid = meta_uid(binding), version = meta_resource_version(binding);
    if (uid.len && !str_eq(uid, meta_uid(pod)))
        return conflict(
            modify,
            arena_printf(arena,
                         "Precondition failed: UID in precondition: %.*s, UID in object meta: "
                         "%.*s",
                         STR_ARG(uid), STR_ARG(meta_uid(pod))));
    if (version.len && !str_eq(version, meta_resource_version(pod)))
        return conflict(modify,
                        arena_printf(arena,
                                     "Precondition failed: ResourceVersion in precondition: %.*s, "
                                     "ResourceVersion in object meta: %.*s",
                                     STR_ARG(version), STR_ARG(meta_resource_version(pod))));
    if (meta_is_deleting(pod))
        return conflict(
            modify, arena_printf(arena, "pod %.*s is being deleted, cannot be assigned to a host",
                                 STR_ARG(modify->name)));
    Str node = value_string_at(pod, "spec.nodeName");
    if (node.len)
        return conflict(modify, arena_printf(arena, "pod %.*s is already assigned to node \"%.*s\"",
                                             STR_ARG(modify->name), STR_ARG(node)));
    const Value *gates = value_at(pod, "spec.schedulingGates");
    if (gates && gates->n)
        return conflict(modify, arena_printf(arena, "pod %.*s has non-empty .spec.schedulingGates",
                                             STR_ARG(modify->name)));
    return NULL;
}

static const ApiStatus *assign(Modify *modify, Value *pod) {
    const PodBinding *self = modify->user;
    Arena *arena = modify->request->arena;
    const ApiStatus *refusal = check_pod(modify, pod, self->binding);
    if (refusal)
        return refusal;
    value_set_str(arena, value_at_make(arena, pod, "spec"), STR("nodeName"),
                  value_string_at(self->binding, "target.name"));
    merge_annotations(arena, pod, self->binding);
    set_scheduled(modify->request, pod);
    return NULL;
}

static void assigned(Modify *modify, const ApiStatus *refusal) {
    ApiRequest *request = modify->request;
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

static ApiStatus *check_binding(ApiRequest *request, const Value *binding, Str name) {
    Arena *arena = request->arena;
    if (!str_eq(meta_name(binding), name))
        return status_bad_request(
            arena, arena_printf(arena, "name in URL does not match name in Binding object"));
    FieldErrors errors = {.arena = arena};
    const Path *target = PATH(NULL, STR("target"));
    Str kind = value_string_at(binding, "target.kind");
    if (kind.len && !str_eq(kind, STR("Node")))
        field_not_supported(&errors, PATH(target, STR("kind")), kind,
                            (Str[]){STR("Node"), STR("<empty>")}, 2);
    const Value *annotations = value_at(binding, "metadata.annotations");
    if (annotations && annotations->n > MOST_ANNOTATIONS)
        field_too_many(&errors, PATH(PATH(NULL, STR("metadata")), STR("annotations")),
                       annotations->n, MOST_ANNOTATIONS);
    if (!value_string_at(binding, "target.name").len)
        field_required(&errors, PATH(target, STR("name")), "");
    return errors.n ? status_invalid(arena, STR(""), STR("Binding"), name, &errors) : NULL;
}

static void admitted(ApiRequest *request, void *user, const ApiStatus *refusal) {
    PodBinding *self = user;
    if (refusal)
        request_status(request, refusal);
    else
        modify_run(&self->modify);
}

void pod_binding_create(ApiRequest *request) {
    Arena *arena = request->arena;
    PodBinding *self = arena_new_of(arena, PodBinding);
    DecodeTarget target = {STR(""), STR("v1"), STR("Binding"),
                           kinds_type(STR("io.k8s.api.core.v1.Binding"))};
    ApiStatus *refused = request_write_options(request, STR("CreateOptions"));
    if (!refused)
        refused = decode_body(request, &target, &self->binding);
    if (!refused)
        refused = meta_match_namespace(arena, self->binding, request->info.namespace_);
    Str name = request->info.name;
    if (!refused && !name.len)
        name = meta_name(self->binding);
    else if (!refused && !meta_name(self->binding).len)
        value_set_str(arena, meta_of(arena, self->binding), STR("name"), name);
    if (!refused)
        refused = check_binding(request, self->binding, name);
    if (refused) {
        request_status(request, refused);
        return;
    }
    self->modify = (Modify){
        .request = request,
        .served = registry_find(request->api->registry, STR(""), STR("v1"), STR("pods")),
        .namespace_ = request->info.namespace_,
        .name = name,
        .change = assign,
        .done = assigned,
        .user = self,
    };
    self->admission = (Admission){
        .request = request,
        .operation = ADMISSION_CREATE,
        .served = request->served,
        .subresource = STR("binding"),
        .namespace_ = request->info.namespace_,
        .name = name,
        .object = self->binding,
        .type = target.type,
    };
    admission_check(&self->admission, admitted, self);
}
