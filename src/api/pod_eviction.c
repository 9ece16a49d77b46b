// Eviction: a deletion that asks the pod's disruption budget first (EvictionREST of kubernetes'
// registry/core/pod/storage/eviction.go).
// https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/

#include "api/admission/admission.h"
#include "api/decode.h"
#include "api/delete.h"
#include "api/meta.h"
#include "api/modify.h"
#include "api/server.h"
#include "api/subresources.h"
#include "base/time.h"
#include "schema/selector.h"

#define MAX_ATTEMPTS 20
#define MOST_DISRUPTED 2000 // pods that a budget remembers as being evicted

typedef struct Evict {
    Admission admission;
    DeleteOptions options; // the client's
    Deletion deletion;
    Modify budget, mark;
    Str budget_name;
    enum { EVICT_FREELY, EVICT_UNHEALTHY, EVICT_GRANTED } how;
    int attempts;
} Evict;

static void begin(Evict *self);

// ---- answers

static ApiRequest *request_of(const Evict *self) {
    return self->admission.request;
}

static void succeed(ApiRequest *request) {
    Value *status = value_new_object(request->arena);
    value_set_str(request->arena, status, STR("kind"), STR("Status"));
    value_set_str(request->arena, status, STR("apiVersion"), STR("v1"));
    value_set(request->arena, status, STR("metadata"), value_new_object(request->arena));
    value_set_str(request->arena, status, STR("status"), STR("Success"));
    value_set_int(request->arena, status, STR("code"), 201);
    request_object(request, 201, NULL, status);
}

// 429, with what the budget says.
static ApiStatus *too_many(Arena *arena, int retry_after, Str cause) {
    ApiStatus *status = status_too_many_requests(
        arena, STR("Cannot evict pod as it would violate the pod's disruption budget."),
        retry_after);
    ApiStatusCause *causes = arena_new_of(arena, ApiStatusCause);
    *causes = (ApiStatusCause){.type = STR("DisruptionBudget"), .message = cause};
    status->causes = causes;
    status->n_causes = 1;
    return status;
}

static ApiStatus *still_processed(Arena *arena, Str name) {
    return too_many(
        arena, 10,
        arena_printf(arena, "The disruption budget %.*s is still being processed by the server.",
                     STR_ARG(name)));
}

// The pod has changed under our hands: look again, or let the client do so.
static void refuse(Evict *self, const ApiStatus *refusal) {
    ApiRequest *request = request_of(self);
    bool ours = refusal->code == 409 && !self->options.resource_version.len;
    if (ours && self->how == EVICT_FREELY && ++self->attempts < MAX_ATTEMPTS)
        begin(self);
    else if (ours && self->how == EVICT_UNHEALTHY)
        request_status(request, still_processed(request->arena, self->budget_name));
    else
        request_status(request, refusal);
}

// ---- third, the pod: a condition says why it goes, and it is deleted

static void deleted(Deletion *deletion, const ApiStatus *refusal) {
    Evict *self = deletion->user;
    if (refusal)
        refuse(self, refusal);
    else
        succeed(deletion->request);
}

static const ApiStatus *check_preconditions(const Modify *mark, const Value *pod) {
    const Evict *self = mark->user;
    const DeleteOptions *options = &self->deletion.options;
    Arena *arena = mark->request->arena;
    if (options->uid.len && !str_eq(options->uid, meta_uid(pod)))
        return status_conflict(
            arena, STR(""), STR("Pod"), mark->name,
            arena_printf(arena,
                         "the UID in the precondition (%.*s) does not match the UID in record "
                         "(%.*s). The object might have been deleted and then recreated",
                         STR_ARG(options->uid), STR_ARG(meta_uid(pod))));
    if (options->resource_version.len &&
        !str_eq(options->resource_version, meta_resource_version(pod)))
        return status_conflict(
            arena, STR(""), STR("Pod"), mark->name,
            arena_printf(arena,
                         "the ResourceVersion in the precondition (%.*s) does not match the "
                         "ResourceVersion in record (%.*s). The object might have been modified",
                         STR_ARG(options->resource_version), STR_ARG(meta_resource_version(pod))));
    return NULL;
}

// The condition of that type, new or with what it says taken out but for the time.
static Value *condition_of(Arena *arena, Value *object, Str type) {
    Value *status = value_at_make(arena, object, "status");
    Value *conditions = value_get(status, STR("conditions"));
    if (!conditions || conditions->kind != VALUE_ARRAY) {
        conditions = value_new_array(arena);
        value_set(arena, status, STR("conditions"), conditions);
    }
    for (uint32_t i = 0; i < conditions->n; i++)
        if (str_eq(value_string_at(conditions->items[i], "type"), type))
            return conditions->items[i];
    Value *condition = value_new_object(arena);
    value_set_str(arena, condition, STR("type"), type);
    value_push(arena, conditions, condition);
    return condition;
}

static void set_condition(ApiRequest *request, Value *object, Str type, Str status, Str reason,
                          Str message, int64_t generation) {
    Arena *arena = request->arena;
    Value *condition = condition_of(arena, object, type);
    if (!str_eq(value_string_at(condition, "status"), status))
        value_set_str(arena, condition, STR("lastTransitionTime"),
                      time_format(arena, api_now(request->api)));
    value_set_str(arena, condition, STR("status"), status);
    value_set_str(arena, condition, STR("reason"), reason);
    value_set_str(arena, condition, STR("message"), message);
    if (generation)
        value_set_int(arena, condition, STR("observedGeneration"), generation);
}

static const ApiStatus *mark(Modify *modify, Value *pod) {
    const ApiStatus *refusal = check_preconditions(modify, pod);
    if (!refusal)
        set_condition(modify->request, pod, STR("DisruptionTarget"), STR("True"),
                      STR("EvictionByEvictionAPI"), STR("Eviction API: evicting"),
                      value_int_at(pod, "metadata.generation", 0));
    return refusal;
}

static void marked(Modify *modify, const ApiStatus *refusal) {
    Evict *self = modify->user;
    if (refusal) {
        refuse(self, refusal);
        return;
    }
    if (self->deletion.options.resource_version.len) // which is what we just wrote
        self->deletion.options.resource_version = meta_resource_version(modify->object);
    deletion_run(&self->deletion);
}

// `version` is the pod's, when it must not have changed since it was looked at.
static void evict(Evict *self, Str version) {
    ApiRequest *request = request_of(self);
    self->deletion = (Deletion){
        .request = request,
        .options = self->options,
        .namespace_ = request->info.namespace_,
        .name = request->info.name,
        .admitted = true,
        .done = deleted,
        .user = self,
    };
    if (version.len && !self->options.resource_version.len)
        self->deletion.options.resource_version = version;
    self->mark = (Modify){
        .request = request,
        .served = request->served,
        .namespace_ = request->info.namespace_,
        .name = request->info.name,
        .change = mark,
        .done = marked,
        .user = self,
    };
    if (request->dry_run)
        deletion_run(&self->deletion);
    else
        modify_run(&self->mark);
}

// ---- second, the budget: one disruption less is allowed (checkAndDecrement)

static const ApiStatus *take_disruption(Modify *modify, Value *budget) {
    ApiRequest *request = modify->request;
    Arena *arena = request->arena;
    Value *status = value_at_make(arena, budget, "status");
    int64_t observed = value_int_at(status, "observedGeneration", 0);
    int64_t allowed = value_int_at(status, "disruptionsAllowed", 0);
    Value *pods = value_at_make(arena, status, "disruptedPods");
    if (observed < value_int_at(budget, "metadata.generation", 0))
        return still_processed(arena, modify->name);
    if (allowed < 0)
        return status_forbidden(arena, STR("policy"), STR("poddisruptionbudget"), modify->name,
                                STR("pdb disruptions allowed is negative"));
    if (pods->n > MOST_DISRUPTED)
        return status_forbidden(
            arena, STR("policy"), STR("poddisruptionbudget"), modify->name,
            STR("DisruptedPods map too big - too many evictions not confirmed by "
                "PDB controller"));
    if (!allowed)
        return too_many(arena, 0,
                        arena_printf(arena,
                                     "The disruption budget %.*s needs %lld healthy pods and has "
                                     "%lld currently",
                                     STR_ARG(modify->name),
                                     (long long)value_int_at(status, "desiredHealthy", 0),
                                     (long long)value_int_at(status, "currentHealthy", 0)));
    value_set_int(arena, status, STR("disruptionsAllowed"), allowed - 1);
    if (allowed == 1)
        set_condition(request, budget, STR("DisruptionAllowed"), STR("False"),
                      STR("InsufficientPods"), STR(""), observed);
    // Its controller does not count the pod from now on, though it is still there.
    value_set_str(arena, pods, request->info.name, time_format(arena, api_now(request->api)));
    return NULL;
}

static void taken(Modify *modify, const ApiStatus *refusal) {
    Evict *self = modify->user;
    if (refusal)
        request_status(modify->request, refusal);
    else
        evict(self, STR(""));
}

// ---- first: what stands in the way

static bool is_ready(const Value *pod) {
    const Value *conditions = value_at(pod, "status.conditions");
    for (uint32_t i = 0; conditions && conditions->kind == VALUE_ARRAY && i < conditions->n; i++)
        if (str_eq(value_string_at(conditions->items[i], "type"), STR("Ready")))
            return str_eq(value_string_at(conditions->items[i], "status"), STR("True"));
    return false;
}

// The budgets of the namespace that select the pod: how many, and the first of them.
static size_t find_budgets(const Evict *self, const ServedResource *served, const Value *pod,
                           const Value **ret) {
    Arena *arena = request_of(self)->arena;
    const Value *labels = value_at(pod, "metadata.labels");
    size_t from, to, n = 0;
    admission_in_namespace(&self->admission, served->cache, &from, &to);
    for (size_t i = from; i < to; i++) {
        const Value *budget = object_decode(arena, snapshot_at(cache_root(served->cache), i));
        Selector *selector;
        Str message;
        if (selector_from_value(arena, value_at(budget, "spec.selector"), &selector, &message) !=
                0 ||
            !selector_matches(selector, labels))
            continue;
        if (!n++)
            *ret = budget;
    }
    return n;
}

// A pod that does not count as healthy may go when its budget says so, or has what it needs.
static bool may_go_unhealthy(const Value *budget) {
    int64_t desired = value_int_at(budget, "status.desiredHealthy", 0);
    return str_eq(value_string_at(budget, "spec.unhealthyPodEvictionPolicy"), STR("AlwaysAllow")) ||
           (desired > 0 && value_int_at(budget, "status.currentHealthy", 0) >= desired);
}

static void ask_budget(Evict *self, const Value *pod) {
    ApiRequest *request = request_of(self);
    const ServedResource *served = registry_find(request->api->registry, STR("policy"), STR("v1"),
                                                 STR("poddisruptionbudgets"));
    const Value *budget = NULL;
    size_t n = find_budgets(self, served, pod, &budget);
    self->how = EVICT_GRANTED;
    if (n > 1) {
        request_status(request,
                       status_new(request->arena, 500, STR(""),
                                  STR("This pod has more than one PodDisruptionBudget, "
                                      "which the eviction subresource does not support.")));
        return;
    }
    if (!n) {
        evict(self, STR(""));
        return;
    }
    self->budget_name = meta_name(budget);
    if (!is_ready(pod) && may_go_unhealthy(budget)) {
        self->how = EVICT_UNHEALTHY;
        evict(self, meta_resource_version(pod));
        return;
    }
    self->budget = (Modify){
        .request = request,
        .served = served,
        .namespace_ = request->info.namespace_,
        .name = self->budget_name,
        .change = take_disruption,
        .done = taken,
        .user = self,
    };
    modify_run(&self->budget);
}

static void begin(Evict *self) {
    ApiRequest *request = request_of(self);
    CachedObject *current =
        cache_get(request->served->cache, request->info.namespace_, request->info.name);
    if (!current) {
        request_status(request, request_not_found(request, request->info.name));
        return;
    }
    const Value *pod = object_decode(request->arena, current);
    Str phase = value_string_at(pod, "status.phase");
    bool over =
        str_eq(phase, STR("Succeeded")) || str_eq(phase, STR("Failed")) || meta_is_deleting(pod);
    self->how = EVICT_FREELY;
    if (over)
        evict(self, STR(""));
    else if (str_eq(phase, STR("Pending"))) // it may become healthy meanwhile
        evict(self, meta_resource_version(pod));
    else
        ask_budget(self, pod);
}

// ---- the request

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

static void admitted(ApiRequest *request, void *user, const ApiStatus *refusal) {
    Evict *self = user;
    read_options(request, self->admission.object, &self->options);
    if (refusal)
        request_status(request, refusal);
    else
        begin(self);
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
