// PodDisruptionBudgets: says of each how many of its pods may be evicted now; the API's eviction
// takes from that. Also takes back what an eviction has written on a pod that then was not deleted.
// https://kubernetes.io/docs/tasks/run-application/configure-pdb/
// (pkg/controller/disruption upstream)

#include <limits.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/time.h"
#include "controllers/disruption_count.h"
#include "controllers/int_or_percent.h"
#include "controllers/kind_index.h"
#include "schema/selector.h"

#define GONE_IN (120 * NSEC_PER_SEC) // DeletionTimeout, stalePodDisruptionTimeout
#define POD STR("pod/")              // before a pod's name in the queue; no budget is called so

typedef struct DisruptionController {
    Controller base;
    Informer *budgets, *pods, *sets, *deployments, *controllers, *stateful_sets;
    KindIndex *kinds;
    BudgetCounts *counts;
    EventRecorder *events;
} DisruptionController;

typedef struct Sync { // r->state
    DisruptionController *self;
    Value *budget;
    Map *scales;      // UID of a controller -> what it wants, plus one, as a pointer's value
    BudgetOwner *ask; // those whose scale the API must tell; copies
    size_t n_ask, next;
    int64_t expected, desired;
    Str failure; // empty: none
    int64_t recheck_ns;
} Sync;

static Value *parse(Arena *arena, const InformerObject *object) {
    Value *value;
    ParseError error;
    if (!object || value_parse_json(arena, arena_str(arena, bytes_str(object->bytes)), NULL, &value,
                                    &error) != 0)
        return NULL;
    return value;
}

static void event(Reconcile *r, const char *type, const char *reason, Str message) {
    const Sync *sync = r->state;
    EventTarget target = {.api_version = STR("policy/v1"),
                          .kind = STR("PodDisruptionBudget"),
                          .namespace_ = r->namespace_,
                          .name = r->name,
                          .uid = value_string_at(sync->budget, "metadata.uid"),
                          .resource_version =
                              value_string_at(sync->budget, "metadata.resourceVersion")};
    event_record(sync->self->events, &target, type, reason, "%.*s", STR_ARG(message));
}

// ---- status

static const Value *condition_of(const Value *object, Str type) {
    const Value *conditions = value_at(object, "status.conditions");
    for (uint32_t i = 0; conditions && i < conditions->n; i++)
        if (str_eq(value_string_at(conditions->items[i], "type"), type))
            return conditions->items[i];
    return NULL;
}

// meta.SetStatusCondition of DisruptionAllowed, the others kept.
static Value *conditions_with(Reconcile *r, Str status, Str reason, Str message, int64_t observed) {
    const Sync *sync = r->state;
    const Value *given = value_at(sync->budget, "status.conditions");
    const Value *old = condition_of(sync->budget, STR("DisruptionAllowed"));
    Value *conditions = value_new_array(r->arena), *condition = value_new_object(r->arena);
    bool same = old && str_eq(value_string_at(old, "status"), status);
    value_set_str(r->arena, condition, STR("type"), STR("DisruptionAllowed"));
    value_set_str(r->arena, condition, STR("status"), status);
    if (observed)
        value_set_int(r->arena, condition, STR("observedGeneration"), observed);
    value_set_str(r->arena, condition, STR("lastTransitionTime"),
                  same ? value_string_at(old, "lastTransitionTime")
                       : time_format(r->arena, loop_wall(sync->self->base.loop)));
    value_set_str(r->arena, condition, STR("reason"), reason);
    value_set_str(r->arena, condition, STR("message"), message);
    for (uint32_t i = 0; given && i < given->n; i++)
        if (given->items[i] != old)
            value_push(r->arena, conditions, given->items[i]);
    value_push(r->arena, conditions, condition);
    return conditions;
}

static void tell_not_deleted(Reconcile *r, Str pod) {
    const Sync *sync = r->state;
    const InformerObject *object = informer_get(sync->self->pods, r->namespace_, pod);
    EventTarget target = {.api_version = STR("v1"),
                          .kind = STR("Pod"),
                          .namespace_ = r->namespace_,
                          .name = pod,
                          .uid = object ? object->uid : STR("")};
    event_record(sync->self->events, &target, "Warning", "NotDeleted",
                 "Pod was expected by PDB %.*s/%.*s to be deleted but it wasn't",
                 STR_ARG(r->namespace_), STR_ARG(r->name));
}

// Pods whose eviction was granted and that are still to be deleted; *ret_healthy of them are so.
static Value *disrupted_of(Reconcile *r, const BudgetCount *count, int64_t *ret_healthy) {
    Sync *sync = r->state;
    const Value *old = value_at(sync->budget, "status.disruptedPods");
    Value *kept = value_new_object(r->arena);
    int64_t now = loop_wall(sync->self->base.loop), granted;
    *ret_healthy = 0;
    for (uint32_t i = 0; old && i < old->n; i++) {
        const Member *member = &old->members[i];
        const BudgetPod *pod = map_get(count->pods, member->key);
        if (!pod || pod->deleting || time_parse(member->value->string, &granted) != 0)
            continue;
        int64_t left = granted + GONE_IN - now;
        if (left < 0) {
            tell_not_deleted(r, member->key);
            continue;
        }
        if (!sync->recheck_ns || left < sync->recheck_ns)
            sync->recheck_ns = left + NSEC_PER_SEC; // times are whole seconds
        *ret_healthy += pod->healthy;
        value_set(r->arena, kept, member->key, member->value);
    }
    return kept;
}

static Value *status_of(Reconcile *r, const BudgetCount *count) {
    Sync *sync = r->state;
    Arena *arena = r->arena;
    Value *status = value_new_object(arena);
    int64_t generation = value_int_at(sync->budget, "metadata.generation", 0), leaving;
    Value *disrupted = disrupted_of(r, count, &leaving);
    int64_t healthy = (int64_t)count->healthy - leaving;
    // A budget without pods is safe when its first ones come.
    int64_t allowed = sync->expected > 0 && healthy > sync->desired ? healthy - sync->desired : 0;
    if (generation)
        value_set_int(arena, status, STR("observedGeneration"), generation);
    if (disrupted->n)
        value_set(arena, status, STR("disruptedPods"), disrupted);
    value_set_int(arena, status, STR("disruptionsAllowed"), allowed);
    value_set_int(arena, status, STR("currentHealthy"), healthy);
    value_set_int(arena, status, STR("desiredHealthy"), sync->desired);
    value_set_int(arena, status, STR("expectedPods"), sync->expected);
    value_set(arena, status, STR("conditions"),
              conditions_with(r, allowed ? STR("True") : STR("False"),
                              allowed ? STR("SufficientPods") : STR("InsufficientPods"), STR(""),
                              generation));
    return status;
}

// Nothing may be evicted while the count is not known (failSafe).
static Value *failed_status_of(Reconcile *r) {
    const Sync *sync = r->state;
    const Value *old = value_get(sync->budget, STR("status"));
    static const char *const counts[] = {"disruptionsAllowed", "currentHealthy", "desiredHealthy",
                                         "expectedPods"};
    Value *status = old ? value_copy(r->arena, old) : value_new_object(r->arena);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (i == 0 || !value_get(status, str_from(counts[i])))
            value_set_int(r->arena, status, str_from(counts[i]), 0);
    value_set(r->arena, status, STR("conditions"),
              conditions_with(r, STR("False"), STR("SyncFailed"), sync->failure,
                              value_int_at(status, "observedGeneration", 0)));
    return status;
}

static void end(Reconcile *r, bool retry) {
    const Sync *sync = r->state;
    if (sync->recheck_ns)
        controller_enqueue_after(r->controller, r->namespace_, r->name, sync->recheck_ns);
    reconcile_done(r, retry);
}

static void on_status(void *user, const ClientResult *result) {
    Reconcile *r = user;
    end(r, result->error && reconcile_should_retry(r, result));
}

// Said when the status changes, not at every look.
static void tell(Reconcile *r, const BudgetCount *count) {
    const Sync *sync = r->state;
    const Value *spec = value_get(sync->budget, STR("spec")),
                *least = value_get(spec, STR("minAvailable"));
    if (sync->failure.len)
        event(r, "Warning", "CalculateExpectedPodCountFailed",
              arena_printf(r->arena, "Failed to calculate the number of expected pods: %.*s",
                           STR_ARG(sync->failure)));
    else if (!map_count(count->pods))
        event(r, "Normal", "NoPods", STR("No matching pods found"));
    else if (count->unmanaged && !(least && least->kind == VALUE_INT))
        event(r, "Warning", "UnmanagedPods",
              arena_printf(r->arena,
                           "Pods selected by this PodDisruptionBudget (selector: %.*s) were found "
                           "to be unmanaged. As a result, the status of the PDB cannot be "
                           "calculated correctly, which may result in undefined behavior. To "
                           "account for these pods please set \".spec.minAvailable\" field of the "
                           "PDB to an integer value.",
                           STR_ARG(selector_string(r->arena, value_get(spec, STR("selector"))))));
}

static void write_status(Reconcile *r) {
    Sync *sync = r->state;
    const BudgetCount *count = budget_counts_get(sync->self->counts, r->namespace_, r->name);
    if (!count) { // gone meanwhile
        end(r, false);
        return;
    }
    const Value *old = value_get(sync->budget, STR("status"));
    Value *status = sync->failure.len ? failed_status_of(r) : status_of(r, count);
    if (old && value_equal(old, status)) {
        end(r, false);
        return;
    }
    tell(r, count);
    value_set(r->arena, sync->budget, STR("status"), status);
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(sync->budget, &body);
    ClientTarget target = {.resource = kinds_resource_policy_v1_poddisruptionbudgets(),
                           .namespace_ = r->namespace_,
                           .name = r->name,
                           .subresource = STR("status")};
    client_update(r->controller->client, &target, buf_view(&body), on_status, r);
}

// ---- how many pods there should be: what their controllers want, each counted once

static void add_scale(Sync *sync, Str uid, int64_t replicas) {
    if (!map_put(sync->scales, uid, (void *)(uintptr_t)(replicas + 1)))
        sync->expected += replicas;
}

static const Value *controller_of(const Value *object) {
    const Value *owners = value_at(object, "metadata.ownerReferences");
    for (uint32_t i = 0; owners && i < owners->n; i++)
        if (value_bool_at(owners->items[i], "controller", false))
            return owners->items[i];
    return NULL;
}

// The object if it is that very one.
static Value *exactly(Reconcile *r, Informer *informer, Str name, Str uid) {
    const InformerObject *object = informer_get(informer, r->namespace_, name);
    return object && str_eq(object->uid, uid) ? parse(r->arena, object) : NULL;
}

static void fail_without_controller(Reconcile *r, const BudgetOwner *owner) {
    Sync *sync = r->state;
    const BudgetCount *count = budget_counts_get(sync->self->counts, r->namespace_, r->name);
    MapIter it = {0};
    while (count && map_next(count->pods, &it)) {
        const BudgetOwner *its = ((BudgetPod *)it.value)->owner;
        if (its && str_eq(its->uid, owner->uid))
            sync->failure =
                arena_printf(r->arena, "found no controllers for pod \"%.*s\"", STR_ARG(it.key));
    }
}

static Informer *informer_of(const DisruptionController *self, const BudgetOwner *owner) {
    bool apps = str_starts_with(owner->api_version, STR("apps/"));
    if (apps && str_eq(owner->kind, STR("ReplicaSet")))
        return self->sets;
    if (apps && str_eq(owner->kind, STR("StatefulSet")))
        return self->stateful_sets;
    if (str_eq(owner->api_version, STR("v1")) && str_eq(owner->kind, STR("ReplicationController")))
        return self->controllers;
    return NULL;
}

static void count_owner(Reconcile *r, const BudgetOwner *owner) {
    Sync *sync = r->state;
    Informer *informer = informer_of(sync->self, owner);
    if (!informer) {
        BudgetOwner *copy = &sync->ask[sync->n_ask++];
        copy->api_version = arena_str(r->arena, owner->api_version);
        copy->kind = arena_str(r->arena, owner->kind);
        copy->name = arena_str(r->arena, owner->name);
        copy->uid = arena_str(r->arena, owner->uid);
        return;
    }
    const Value *object = exactly(r, informer, owner->name, owner->uid);
    if (!object) {
        fail_without_controller(r, owner);
        return;
    }
    Str uid = owner->uid;
    const Value *above = informer == sync->self->sets ? controller_of(object) : NULL;
    if (above && str_eq(value_string_at(above, "kind"), STR("Deployment"))) {
        const Value *deployment =
            exactly(r, sync->self->deployments, value_string_at(above, "name"),
                    value_string_at(above, "uid"));
        if (deployment) {
            object = deployment;
            uid = value_string_at(above, "uid");
        }
    }
    add_scale(sync, uid, value_int_at(object, "spec.replicas", 1));
}

static void conclude(Reconcile *r) {
    Sync *sync = r->state;
    const Value *spec = value_get(sync->budget, STR("spec"));
    const Value *most = value_get(spec, STR("maxUnavailable")),
                *least = value_get(spec, STR("minAvailable"));
    if (most) {
        sync->desired = sync->expected - int_or_percent(most, sync->expected, true, 0);
        if (sync->desired < 0)
            sync->desired = 0;
    } else if (least) {
        sync->desired = int_or_percent(least, sync->expected, true, 0);
    }
    write_status(r);
}

static void ask_next(Reconcile *r);

static void on_scale(void *user, const ClientResult *result) {
    Reconcile *r = user;
    Sync *sync = r->state;
    const BudgetOwner *owner = &sync->ask[sync->next++];
    const Resource *resource = kind_index_find(sync->self->kinds, owner->api_version, owner->kind);
    Value *scale;
    ParseError error;
    if (!result->error &&
        value_parse_json(r->arena, arena_str(r->arena, result->body), NULL, &scale, &error) == 0 &&
        str_eq(value_string_at(scale, "metadata.uid"), owner->uid))
        add_scale(sync, owner->uid, value_int_at(scale, "spec.replicas", 0));
    else if (result->error && result->code != 404)
        sync->failure = result->status ? arena_str(r->arena, result->status->message)
                                       : STR("the API server does not answer");
    else if (result->code == 404 && result->status && !result->status->name.len && resource)
        sync->failure = arena_printf(
            r->arena, "%.*s%s%.*s does not implement the scale subresource",
            STR_ARG(resource->plural), resource->group.len ? "." : "", STR_ARG(resource->group));
    else
        fail_without_controller(r, owner);
    ask_next(r);
}

static void ask_next(Reconcile *r) {
    Sync *sync = r->state;
    if (sync->next == sync->n_ask || sync->failure.len) {
        conclude(r);
        return;
    }
    const BudgetOwner *owner = &sync->ask[sync->next];
    const Resource *resource = kind_index_find(sync->self->kinds, owner->api_version, owner->kind);
    if (!resource) {
        sync->failure = arena_printf(r->arena, "no matches for kind \"%.*s\" in version \"%.*s\"",
                                     STR_ARG(owner->kind), STR_ARG(owner->api_version));
        conclude(r);
        return;
    }
    ClientTarget target = {.resource = resource,
                           .namespace_ = r->namespace_,
                           .name = owner->name,
                           .subresource = STR("scale")};
    client_get(r->controller->client, &target, on_scale, r);
}

// ---- pods that were to be evicted and are still there

// In how long the condition is stale; -1: there is none that could be (stale ones: 0).
static int64_t stale_in(const DisruptionController *self, const Value *pod) {
    const Value *condition = condition_of(pod, STR("DisruptionTarget"));
    Str phase = value_string_at(pod, "status.phase");
    int64_t since;
    if (!condition || !str_eq(value_string_at(condition, "status"), STR("True")) ||
        str_eq(value_string_at(condition, "reason"), STR("TerminationByKubelet")) ||
        value_string_at(pod, "metadata.deletionTimestamp").len || str_eq(phase, STR("Failed")) ||
        str_eq(phase, STR("Succeeded")) ||
        time_parse(value_string_at(condition, "lastTransitionTime"), &since) != 0)
        return -1;
    int64_t left = since + GONE_IN - loop_wall(self->base.loop);
    return left > 0 ? left : 0;
}

static void reconcile_pod(Reconcile *r, Str name) {
    DisruptionController *self = (DisruptionController *)r->controller;
    const Value *pod = parse(r->arena, informer_get(self->pods, r->namespace_, name));
    int64_t left = pod ? stale_in(self, pod) : -1;
    if (left > 0)
        controller_enqueue_after(&self->base, r->namespace_, r->name, left);
    if (left) {
        reconcile_done(r, false);
        return;
    }
    Str version = value_string_at(pod, "metadata.resourceVersion");
    Str patch = arena_printf(
        r->arena,
        "{\"metadata\":{\"resourceVersion\":\"%.*s\"},\"status\":{\"conditions\":[{\"type\":"
        "\"DisruptionTarget\",\"status\":\"False\",\"reason\":null,\"message\":null,"
        "\"lastTransitionTime\":\"%.*s\"}]}}",
        STR_ARG(version), STR_ARG(time_format(r->arena, loop_wall(self->base.loop))));
    ClientTarget target = {.resource = kinds_resource_core_v1_pods(),
                           .namespace_ = r->namespace_,
                           .name = name,
                           .subresource = STR("status")};
    client_patch(r->controller->client, &target, PATCH_STRATEGIC, patch, reconcile_finish, r);
}

static void free_map(void *map) {
    map_free(map);
}

static void reconcile(Reconcile *r) {
    DisruptionController *self = (DisruptionController *)r->controller;
    if (str_starts_with(r->name, POD)) {
        reconcile_pod(r, str_slice(r->name, POD.len, r->name.len));
        return;
    }
    Value *budget = parse(r->arena, informer_get(self->budgets, r->namespace_, r->name));
    const BudgetCount *count = budget_counts_get(self->counts, r->namespace_, r->name);
    if (!budget || !count) {
        reconcile_done(r, false);
        return;
    }
    Sync *sync = arena_new_of(r->arena, Sync);
    r->state = sync;
    sync->self = self;
    sync->budget = budget;
    sync->scales = map_new();
    arena_defer(r->arena, free_map, sync->scales);
    sync->ask = arena_array_of(r->arena, BudgetOwner, map_count(count->owners) + 1);
    const Value *least = value_at(budget, "spec.minAvailable");
    MapIter it = {0};
    if (value_at(budget, "spec.maxUnavailable") || (least && least->kind == VALUE_STRING))
        while (map_next(count->owners, &it) && !sync->failure.len)
            count_owner(r, it.value);
    else if (least)
        sync->expected = (int64_t)map_count(count->pods);
    ask_next(r);
}

// ---- what brings them in

static void on_budget(void *user, const InformerObject *old, const InformerObject *now) {
    DisruptionController *self = user;
    if (old && (!now || !str_eq(old->uid, now->uid)))
        budget_counts_drop(self->counts, old->namespace_, old->name);
    if (!now)
        return;
    _arena_free_ Arena *arena = arena_new();
    const Value *budget = parse(arena, now);
    budget_counts_put(self->counts, now->namespace_, now->name, value_at(budget, "spec.selector"));
    controller_enqueue(&self->base, now->namespace_, now->name);
}

static void enqueue(void *user, Str namespace_, Str name) {
    controller_enqueue(user, namespace_, name);
}

static void watch_eviction(DisruptionController *self, const InformerObject *object,
                           const Value *pod) {
    _arena_free_ Arena *arena = arena_new();
    int64_t left = stale_in(self, pod);
    if (left >= 0)
        controller_enqueue_after(&self->base, object->namespace_,
                                 arena_printf(arena, "pod/%.*s", STR_ARG(object->name)), left);
}

static void on_pod(void *user, const InformerObject *old, const InformerObject *now) {
    DisruptionController *self = user;
    const InformerObject *object = now ? now : old;
    bool counted = budget_counts_each(self->counts, object->namespace_, NULL, NULL);
    Str text = now ? bytes_str(now->bytes) : STR("");
    bool evicted = memmem(text.ptr, text.len, "\"DisruptionTarget\"", 18) != NULL;
    if (!counted && !evicted)
        return;
    _arena_free_ Arena *arena = arena_new();
    const Value *pod = parse(arena, now);
    budget_counts_change(self->counts, object->namespace_, object->name, pod, enqueue, self);
    if (pod && evicted)
        watch_eviction(self, object, pod);
}

static void on_owner(void *user, const InformerObject *old, const InformerObject *now) {
    DisruptionController *self = user;
    budget_counts_each(self->counts, (now ? now : old)->namespace_, enqueue, self);
}

static void stop(Controller *controller) {
    DisruptionController *self = (DisruptionController *)controller;
    budget_counts_free(self->counts);
    event_recorder_free(self->events);
    free(self);
}

static Informer *follow_owner(DisruptionController *self, const Resource *resource) {
    static const InformerHandler owner = {.on_change = on_owner};
    Informer *informer = controller_informer(&self->base, resource, STR(""));
    informer_add_handler(informer, &owner, self);
    return informer;
}

Controller *disruption_controller_start(Controllers *all) {
    static const InformerHandler budget = {.on_change = on_budget}, pod = {.on_change = on_pod};
    DisruptionController *self = memory_new(DisruptionController);
    controller_init(&self->base, all, "disruption-controller", 1, reconcile, stop);
    self->events = event_recorder_new(self->base.client, STR("controllermanager"), STR_NONE);
    self->kinds = kind_index_of(&self->base);
    self->pods = controller_informer(&self->base, kinds_resource_core_v1_pods(), STR(""));
    self->counts = budget_counts_new(self->pods);
    self->budgets =
        controller_informer(&self->base, kinds_resource_policy_v1_poddisruptionbudgets(), STR(""));
    informer_add_handler(self->budgets, &budget, self);
    informer_add_handler(self->pods, &pod, self);
    self->sets = follow_owner(self, kinds_resource_apps_v1_replicasets());
    self->deployments = follow_owner(self, kinds_resource_apps_v1_deployments());
    self->stateful_sets = follow_owner(self, kinds_resource_apps_v1_statefulsets());
    self->controllers = follow_owner(self, kinds_resource_core_v1_replicationcontrollers());
    return &self->base;
}
