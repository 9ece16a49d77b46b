#pragma once
// What an object counts for in ResourceQuotas, and which of them count it: agreed between the API
// server, which charges quotas, and the controller, which adds up.
// https://kubernetes.io/docs/concepts/policy/resource-quotas/ (pkg/quota/v1/evaluator/core and
// apiserver's pkg/quota/v1/generic)

#include "rules/pod_resources.h"
#include "schema/value.h"

// Objects of one kind, by group ("" for core) and plural.
typedef struct QuotaKind {
    Str group, plural;
} QuotaKind;

// Whether a name of spec.hard ("requests.cpu", "count/jobs.batch") is about objects of the kind.
bool quota_names_kind(Arena *arena, const QuotaKind *kind, Str name);
// The other way round: the kind of a name that counts objects ("count/jobs.batch", "configmaps",
// "pods"); for what pods and claims ask for it is those. False when there is no such resource.
bool quota_kind_of_name(Arena *arena, Str name, QuotaKind *ret);
// Whether quotas count such objects at all.
bool quota_counts(const QuotaKind *kind);

// What one object uses, at that Unix time in nanoseconds: pods that have ended or overstayed their
// deletion only count as objects.
ResourceAmounts quota_usage(Arena *arena, const QuotaKind *kind, const Value *object, int64_t now);
// Whether all scopes of the quota (spec.scopes, spec.scopeSelector) apply to the object.
bool quota_scopes_match(Arena *arena, const QuotaKind *kind, const Value *quota,
                        const Value *object);
// Containers that do not say how much they want of what is limited: "must specify cpu for: a,b;
// memory for: a", or "". Only compute resources must be said.
Str quota_missing(Arena *arena, const QuotaKind *kind, const Value *object, const Str *names,
                  size_t n);

// Lists of quantities as objects hold them, in order; what is no quantity is left out.
ResourceAmounts quota_amounts(Arena *arena, const Value *list);
Value *quota_amounts_value(Arena *arena, const ResourceAmounts *amounts);
void quota_amounts_add(Arena *arena, ResourceAmounts *amounts, const ResourceAmounts *more);
// "a=1,b=2", sorted by name.
Str quota_amounts_text(Arena *arena, const ResourceAmounts *amounts);
bool quota_amounts_equal(const ResourceAmounts *a, const ResourceAmounts *b);
