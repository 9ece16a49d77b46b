// ResourceQuota, the last plugin: what the namespace's quotas count is charged before it is written.
// What is charged and then not written (a name that is taken) is found by the quota controller.
// https://kubernetes.io/docs/concepts/policy/resource-quotas/ (apiserver's
// admission/plugin/resourcequota/controller.go)

#include <stdlib.h>

#include "api/admission/quota_book.h"
#include "api/meta.h"
#include "api/server.h"
#include "kinds/tree.h"

typedef struct Quotas {
    Admission *admission;
    QuotaKind kind;
    ResourceAmounts usage, old; // of the object, now and before
    QuotaCharge *charges;
    size_t n, next;
} Quotas;

static bool is_core(const Admission *admission, const char *plural) {
    const Resource *resource = admission->served->resource;
    return !resource->group.len && str_eq(resource->plural, str_from(plural));
}

// New objects, and changes that can change what is used.
static bool handles(const Admission *admission) {
    bool create = admission->operation == ADMISSION_CREATE;
    bool update = admission->operation == ADMISSION_UPDATE;
    if (!admission->served->resource->namespaced || !admission->served->cache)
        return false;
    if (admission->subresource.len)
        return update && ((is_core(admission, "pods") &&
                           str_eq(admission->subresource, STR("resize"))) ||
                          (is_core(admission, "persistentvolumeclaims") &&
                           str_eq(admission->subresource, STR("status"))));
    return create || (update && (is_core(admission, "services") ||
                                 is_core(admission, "persistentvolumeclaims")));
}

static ResourceAmounts without_negatives(Arena *arena, const ResourceAmounts *now,
                                         const ResourceAmounts *before) {
    ResourceAmounts delta = {arena_array_of(arena, ResourceAmount, now->n + 1), 0};
    for (size_t i = 0; i < now->n; i++) {
        Quantity old;
        resource_amounts_get(before, now->items[i].name, &old);
        Quantity more = quantity_sub(now->items[i].quantity, old);
        if (more.nano > 0)
            delta.items[delta.n++] = (ResourceAmount){now->items[i].name, more};
    }
    return delta;
}

static Str negative_names(Arena *arena, const ResourceAmounts *usage) {
    Str *names = arena_array_of(arena, Str, usage->n + 1);
    size_t n = 0;
    for (size_t i = 0; i < usage->n; i++) {
        if (usage->items[i].quantity.nano < 0)
            names[n++] = usage->items[i].name;
    }
    return arena_concat(arena, names, n, STR(","));
}

// The names of status.hard that are about this kind of object.
static size_t names_of(const Quotas *self, const Value *quota, Str **ret_names) {
    Arena *arena = self->admission->request->arena;
    const Value *hard = value_at(quota, "status.hard");
    size_t n = 0;
    *ret_names = arena_array_of(arena, Str, (hard ? hard->n : 0) + 1);
    for (uint32_t i = 0; hard && hard->kind == VALUE_OBJECT && i < hard->n; i++) {
        if (quota_names_kind(arena, &self->kind, hard->members[i].key))
            (*ret_names)[n++] = hard->members[i].key;
    }
    return n;
}

static ApiStatus *check_used(const Quotas *self, const Value *quota, Str *names, size_t n) {
    Arena *arena = self->admission->request->arena;
    for (size_t i = 0; i < n; i++) {
        if (!value_get(value_at(quota, "status.used"), names[i]))
            return admission_forbidden(
                self->admission,
                arena_printf(arena, "status unknown for quota: %.*s, resources: %.*s",
                             STR_ARG(meta_name(quota)),
                             STR_ARG(arena_concat(arena, names, n, STR(",")))));
    }
    return NULL;
}

// What one quota has to say; adds a charge when it counts the object.
static ApiStatus *consider(Quotas *self, const Value *quota) {
    Admission *admission = self->admission;
    Arena *arena = admission->request->arena;
    Str *names;
    size_t n = names_of(self, quota, &names);
    if (!n || !quota_scopes_match(arena, &self->kind, quota, admission->object))
        return NULL;
    Str missing = quota_missing(arena, &self->kind, admission->object, names, n);
    if (missing.len)
        return admission_forbidden(admission, arena_printf(arena, "failed quota: %.*s: %.*s",
                                                           STR_ARG(meta_name(quota)),
                                                           STR_ARG(missing)));
    ApiStatus *refusal = check_used(self, quota, names, n);
    if (refusal)
        return refusal;
    Str negative = negative_names(arena, &self->usage);
    if (negative.len)
        return admission_forbidden(
            admission, arena_printf(arena, "quota usage is negative for resource(s): %.*s",
                                    STR_ARG(negative)));
    const ResourceAmounts nothing = {0};
    bool counted = admission->operation == ADMISSION_UPDATE &&
                   quota_scopes_match(arena, &self->kind, quota, admission->old);
    ResourceAmounts delta =
        without_negatives(arena, &self->usage, counted ? &self->old : &nothing);
    refusal = quota_check(admission, meta_name(quota), value_get(quota, STR("status")), &delta,
                          NULL);
    if (refusal || !delta.n)
        return refusal;
    self->charges[self->n++] = (QuotaCharge){
        .admission = admission,
        .namespace_ = admission->namespace_,
        .name = meta_name(quota),
        .amount = delta,
    };
    return NULL;
}

static void charged(QuotaCharge *charge, const ApiStatus *refusal);

static void charge_next(Quotas *self) {
    QuotaCharge *charge = &self->charges[self->next];
    charge->done = charged;
    quota_charge(charge);
}

static void charged(QuotaCharge *charge, const ApiStatus *refusal) {
    Admission *admission = charge->admission;
    Quotas *self = admission->quotas;
    self->next++;
    if (refusal || self->next == self->n)
        admission_continue(admission, refusal);
    else
        charge_next(self);
}

ApiStatus *admission_resource_quota(Admission *admission) {
    ApiRequest *request = admission->request;
    Arena *arena = request->arena;
    const Resource *resource = admission->served->resource;
    Cache *cache = registry_cache(request->api->registry, STR("core/resourcequotas"));
    size_t from, to;
    if (!handles(admission) || !admission_in_namespace(admission, cache, &from, &to))
        return NULL;
    Quotas *self = arena_new_of(arena, Quotas);
    *self = (Quotas){.admission = admission, .kind = {resource->group, resource->plural}};
    if (!quota_counts(&self->kind))
        return NULL;
    int64_t now = api_now(request->api);
    self->usage = quota_usage(arena, &self->kind, admission->object, now);
    if (admission->operation == ADMISSION_UPDATE)
        self->old = quota_usage(arena, &self->kind, admission->old, now);
    self->charges = arena_array_of(arena, QuotaCharge, to - from);
    for (size_t i = from; i < to; i++) {
        ApiStatus *refusal =
            consider(self, object_decode(arena, snapshot_at(cache_root(cache), i)));
        if (refusal)
            return refusal;
    }
    if (!self->n || request->dry_run)
        return NULL;
    admission->quotas = self;
    admission->pending = true;
    charge_next(self);
    return NULL;
}
