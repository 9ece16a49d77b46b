#include "rules/quota.h"

#include <stdlib.h>

#include "base/loop.h"
#include "base/time.h"
#include "kinds/resource_list.h"
#include "schema/typed.h"

#define CLASS_SUFFIX STR(".storageclass.storage.k8s.io/")

static bool is_core(const QuotaKind *kind, const char *plural) {
    return !kind->group.len && str_eq(kind->plural, str_from(plural));
}

// ---- lists

static ResourceAmount *find(const ResourceAmounts *amounts, Str name) {
    for (size_t i = 0; i < amounts->n; i++) {
        if (str_eq(amounts->items[i].name, name))
            return &amounts->items[i];
    }
    return NULL;
}

static void put(Arena *arena, ResourceAmounts *amounts, Str name, Quantity quantity) {
    amounts->items = arena_grow(arena, amounts->items, amounts->n * sizeof(ResourceAmount),
                                (amounts->n + 1) * sizeof(ResourceAmount));
    amounts->items[amounts->n++] = (ResourceAmount){name, quantity};
}

static void put_count(Arena *arena, ResourceAmounts *amounts, Str name, int64_t count) {
    put(arena, amounts, name, quantity_from_int(count, QUANTITY_DECIMAL_SI));
}

ResourceAmounts quota_amounts(Arena *arena, const Value *list) {
    ResourceAmounts amounts = {0};
    Quantity quantity;
    for (uint32_t i = 0; list && list->kind == VALUE_OBJECT && i < list->n; i++) {
        if (quantity_parse(tree_string(list->members[i].value), &quantity) == 0)
            put(arena, &amounts, list->members[i].key, quantity);
    }
    return amounts;
}

Value *quota_amounts_value(Arena *arena, const ResourceAmounts *amounts) {
    Value *value = value_new_object(arena);
    for (size_t i = 0; i < amounts->n; i++)
        value_set_str(arena, value, amounts->items[i].name,
                      quantity_format(arena, amounts->items[i].quantity));
    return value;
}

void quota_amounts_add(Arena *arena, ResourceAmounts *amounts, const ResourceAmounts *more) {
    for (size_t i = 0; i < more->n; i++) {
        ResourceAmount *amount = find(amounts, more->items[i].name);
        if (amount)
            amount->quantity = quantity_add(amount->quantity, more->items[i].quantity);
        else
            put(arena, amounts, more->items[i].name, more->items[i].quantity);
    }
}

static int by_name(const void *a, const void *b) {
    return str_cmp(((const ResourceAmount *)a)->name, ((const ResourceAmount *)b)->name);
}

Str quota_amounts_text(Arena *arena, const ResourceAmounts *amounts) {
    ResourceAmount *sorted = arena_array_of(arena, ResourceAmount, amounts->n + 1);
    Str *parts = arena_array_of(arena, Str, amounts->n + 1);
    if (amounts->n)
        memcpy(sorted, amounts->items, amounts->n * sizeof *sorted);
    qsort(sorted, amounts->n, sizeof *sorted, by_name);
    for (size_t i = 0; i < amounts->n; i++) {
        Str quantity = quantity_format(arena, sorted[i].quantity);
        parts[i] = arena_printf(arena, "%.*s=%.*s", STR_ARG(sorted[i].name), STR_ARG(quantity));
    }
    return arena_concat(arena, parts, amounts->n, STR(","));
}

bool quota_amounts_equal(const ResourceAmounts *a, const ResourceAmounts *b) {
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const ResourceAmount *other = find(b, a->items[i].name);
        if (!other || quantity_cmp(a->items[i].quantity, other->quantity) != 0)
            return false;
    }
    return true;
}

// ---- names

static Str count_name(Arena *arena, const QuotaKind *kind) {
    return kind->group.len ? arena_printf(arena, "count/%.*s.%.*s", STR_ARG(kind->plural),
                                          STR_ARG(kind->group))
                           : arena_printf(arena, "count/%.*s", STR_ARG(kind->plural));
}

// Kinds that were counted under their plain names before there was count/.
static bool has_alias(const QuotaKind *kind) {
    return is_core(kind, "configmaps") || is_core(kind, "secrets") ||
           is_core(kind, "replicationcontrollers") || is_core(kind, "resourcequotas");
}

static bool is_among(Str name, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (str_eq(name, str_from(names[i])))
            return true;
    }
    return false;
}

static bool names_pods(Str name) {
    static const char *const names[] = {"pods",
                                        "cpu",
                                        "memory",
                                        "ephemeral-storage",
                                        "requests.cpu",
                                        "requests.memory",
                                        "requests.ephemeral-storage",
                                        "limits.cpu",
                                        "limits.memory",
                                        "limits.ephemeral-storage"};
    return is_among(name, names, sizeof names / sizeof *names) || resource_is_hugepages(name) ||
           str_starts_with(name, STR("requests.hugepages-")) ||
           (!resource_is_native(name) && str_starts_with(name, STR("requests.")));
}

static bool names_services(Str name) {
    static const char *const names[] = {"services", "services.nodeports", "services.loadbalancers"};
    return is_among(name, names, sizeof names / sizeof *names);
}

// "persistentvolumeclaims", "requests.storage", and both of one storage class.
static bool names_claims(Str name) {
    static const char *const names[] = {"persistentvolumeclaims", "requests.storage"};
    for (size_t i = 0; i < 2; i++) {
        Str plain = str_from(names[i]);
        if (str_eq(name, plain))
            return true;
        if (!str_ends_with(name, plain))
            continue;
        Str class = str_slice(name, 0, name.len - plain.len);
        if (str_ends_with(class, CLASS_SUFFIX))
            return true;
    }
    return false;
}

bool quota_names_kind(Arena *arena, const QuotaKind *kind, Str name) {
    if (str_eq(name, count_name(arena, kind)))
        return quota_counts(kind);
    if (is_core(kind, "pods"))
        return names_pods(name);
    if (is_core(kind, "services"))
        return names_services(name);
    if (is_core(kind, "persistentvolumeclaims"))
        return names_claims(name);
    return has_alias(kind) && str_eq(name, kind->plural);
}

bool quota_kind_of_name(Arena *arena, Str name, QuotaKind *ret) {
    if (str_starts_with(name, STR("count/"))) {
        Str group = str_slice(name, 6, name.len), plural = str_cut(&group, '.');
        *ret = (QuotaKind){group.ptr ? group : STR(""), plural};
        return plural.len && quota_counts(ret);
    }
    *ret = (QuotaKind){STR(""), name};
    if (has_alias(ret))
        return true;
    if (names_claims(name))
        ret->plural = STR("persistentvolumeclaims");
    else if (names_services(name))
        ret->plural = STR("services");
    else if (names_pods(name))
        ret->plural = STR("pods");
    else
        return false;
    return true;
}

bool quota_counts(const QuotaKind *kind) {
    return !str_eq(kind->plural, STR("events")); // upstream's DefaultIgnoredResources
}

// ---- usage

// QuotaV1Pod: what has ended or should have does not hold anybody up.
static bool pod_runs(const Value *pod, int64_t now) {
    int64_t deleted;
    if (tree_is(pod, "status.phase", "Failed") || tree_is(pod, "status.phase", "Succeeded"))
        return false;
    if (!value_at(pod, "metadata.deletionGracePeriodSeconds") ||
        time_parse(value_string_at(pod, "metadata.deletionTimestamp"), &deleted) != 0)
        return true;
    int64_t grace = value_int_at(pod, "metadata.deletionGracePeriodSeconds", 0);
    return now <= deleted + grace * NSEC_PER_SEC;
}

static const PodSpec *spec_of(Arena *arena, const Value *pod) {
    const Value *spec = value_get(pod, STR("spec"));
    PodSpec *typed = arena_zalloc(arena, sizeof *typed);
    return spec && typed_from_value(arena, kinds_type_PodSpec(), spec, typed) == 0 ? typed : NULL;
}

static void put_compute(Arena *arena, ResourceAmounts *usage, const ResourceAmounts *requests,
                        const ResourceAmounts *limits) {
    static const char *const plain[] = {"cpu", "memory", "ephemeral-storage"};
    Quantity quantity;
    for (size_t i = 0; i < 3; i++) {
        Str name = str_from(plain[i]);
        if (resource_amounts_get(requests, name, &quantity)) {
            put(arena, usage, name, quantity);
            put(arena, usage, arena_printf(arena, "requests.%s", plain[i]), quantity);
        }
        if (resource_amounts_get(limits, name, &quantity))
            put(arena, usage, arena_printf(arena, "limits.%s", plain[i]), quantity);
    }
    for (size_t i = 0; i < requests->n; i++) {
        const ResourceAmount *amount = &requests->items[i];
        bool pages = resource_is_hugepages(amount->name);
        if (pages)
            put(arena, usage, amount->name, amount->quantity);
        if (pages || resource_is_extended(arena, amount->name))
            put(arena, usage, arena_printf(arena, "requests.%.*s", STR_ARG(amount->name)),
                amount->quantity);
    }
}

static void put_pod(Arena *arena, ResourceAmounts *usage, const Value *pod, int64_t now) {
    const PodSpec *spec = pod_runs(pod, now) ? spec_of(arena, pod) : NULL;
    if (!spec)
        return;
    ResourceAmounts requests = pod_requests(arena, spec, NULL), limits = pod_limits(arena, spec);
    put_count(arena, usage, STR("pods"), 1);
    put_compute(arena, usage, &requests, &limits);
}

static void put_service(Arena *arena, ResourceAmounts *usage, const Value *service) {
    bool balancer = tree_is(service, "spec.type", "LoadBalancer");
    bool all = tree_is(service, "spec.type", "NodePort") ||
               (balancer && value_bool_at(service, "spec.allocateLoadBalancerNodePorts", true));
    uint32_t n = tree_count(service, "spec.ports");
    int64_t ports = all ? n : 0;
    for (uint32_t i = 0; balancer && !all && i < n; i++)
        ports += value_int_at(tree_item(service, "spec.ports", i), "nodePort", 0) != 0;
    put_count(arena, usage, STR("services"), 1);
    put_count(arena, usage, STR("services.loadbalancers"), balancer);
    put_count(arena, usage, STR("services.nodeports"), ports);
}

static Str claim_class(const Value *claim) {
    Str old = tree_string(value_get(value_at(claim, "metadata.annotations"),
                                    STR("volume.beta.kubernetes.io/storage-class")));
    return old.len ? old : value_string_at(claim, "spec.storageClassName");
}

// Whole bytes, the larger of what is asked for and what has been given.
static bool claim_storage(const Value *claim, Quantity *ret) {
    Quantity given;
    if (quantity_parse(value_string_at(claim, "spec.resources.requests.storage"), ret) != 0)
        return false;
    if (quantity_parse(value_string_at(claim, "status.allocatedResources.storage"), &given) == 0 &&
        quantity_cmp(given, *ret) > 0)
        *ret = given;
    *ret = quantity_from_int(quantity_value(*ret), ret->format);
    return true;
}

static void put_claim(Arena *arena, ResourceAmounts *usage, const Value *claim) {
    Str class = claim_class(claim);
    Quantity storage;
    Str suffix = CLASS_SUFFIX;
    put_count(arena, usage, STR("persistentvolumeclaims"), 1);
    if (class.len)
        put_count(arena, usage,
                  arena_printf(arena, "%.*s%.*spersistentvolumeclaims", STR_ARG(class),
                               STR_ARG(suffix)),
                  1);
    if (!claim_storage(claim, &storage))
        return;
    put(arena, usage, STR("requests.storage"), storage);
    if (class.len)
        put(arena, usage,
            arena_printf(arena, "%.*s%.*srequests.storage", STR_ARG(class), STR_ARG(suffix)),
            storage);
}

ResourceAmounts quota_usage(Arena *arena, const QuotaKind *kind, const Value *object, int64_t now) {
    ResourceAmounts usage = {0};
    put_count(arena, &usage, count_name(arena, kind), 1);
    if (is_core(kind, "pods"))
        put_pod(arena, &usage, object, now);
    else if (is_core(kind, "services"))
        put_service(arena, &usage, object);
    else if (is_core(kind, "persistentvolumeclaims"))
        put_claim(arena, &usage, object);
    else if (has_alias(kind))
        put_count(arena, &usage, kind->plural, 1);
    return usage;
}

// ---- scopes

static bool term_reaches_out(const Value *term) {
    return tree_count(term, "namespaces") || value_get(term, STR("namespaceSelector"));
}

static bool reaches_out(const Value *spec) {
    static const char *const required[] = {
        "affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution",
        "affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution"};
    static const char *const preferred[] = {
        "affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution",
        "affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution"};
    for (size_t i = 0; i < 2; i++) {
        for (uint32_t j = 0; j < tree_count(spec, required[i]); j++) {
            if (term_reaches_out(tree_item(spec, required[i], j)))
                return true;
        }
        for (uint32_t j = 0; j < tree_count(spec, preferred[i]); j++) {
            if (term_reaches_out(
                    value_get(tree_item(spec, preferred[i], j), STR("podAffinityTerm"))))
                return true;
        }
    }
    return false;
}

// A scope whose value is a name, of which an object may have several (or none).
static bool names_match(const Value *term, const Str *names, size_t n) {
    Str relation = value_string_at(term, "operator");
    bool among = false;
    for (uint32_t i = 0; i < tree_count(term, "values"); i++) {
        for (size_t j = 0; j < n; j++)
            among |= str_eq(tree_string(tree_item(term, "values", i)), names[j]);
    }
    if (str_eq(relation, STR("In")))
        return among;
    if (str_eq(relation, STR("NotIn")))
        return !among;
    if (str_eq(relation, STR("DoesNotExist")))
        return n == 0;
    return n > 0;
}

static bool pod_in_scope(Arena *arena, const Value *term, Str scope, const Value *pod) {
    const Value *spec = value_get(pod, STR("spec"));
    Str class = value_string_at(spec, "priorityClassName");
    bool terminating = value_int_at(spec, "activeDeadlineSeconds", -1) >= 0;
    if (str_eq(scope, STR("Terminating")))
        return terminating;
    if (str_eq(scope, STR("NotTerminating")))
        return !terminating;
    if (str_eq(scope, STR("BestEffort")) || str_eq(scope, STR("NotBestEffort"))) {
        const PodSpec *typed = spec_of(arena, pod);
        bool best = typed && str_eq(pod_qos_class(typed), STR("BestEffort"));
        return best == str_eq(scope, STR("BestEffort"));
    }
    if (str_eq(scope, STR("PriorityClass")))
        return names_match(term, &class, class.len > 0);
    return str_eq(scope, STR("CrossNamespacePodAffinity")) && reaches_out(spec);
}

static bool claim_in_scope(const Value *term, Str scope, const Value *claim) {
    static const char *const paths[] = {"spec.volumeAttributesClassName",
                                        "status.currentVolumeAttributesClassName",
                                        "status.modifyVolumeStatus.targetVolumeAttributesClassName"};
    Str names[3];
    size_t n = 0;
    for (size_t i = 0; i < 3; i++) {
        Str name = value_string_at(claim, paths[i]);
        if (name.len)
            names[n++] = name;
    }
    return str_eq(scope, STR("VolumeAttributesClass")) && names_match(term, names, n);
}

static bool in_scope(Arena *arena, const QuotaKind *kind, const Value *term, Str scope,
                     const Value *object) {
    if (is_core(kind, "pods"))
        return pod_in_scope(arena, term, scope, object);
    return is_core(kind, "persistentvolumeclaims") && claim_in_scope(term, scope, object);
}

bool quota_scopes_match(Arena *arena, const QuotaKind *kind, const Value *quota,
                        const Value *object) {
    for (uint32_t i = 0; i < tree_count(quota, "spec.scopes"); i++) {
        Str scope = tree_string(tree_item(quota, "spec.scopes", i));
        if (!in_scope(arena, kind, NULL, scope, object)) // no operator: Exists
            return false;
    }
    for (uint32_t i = 0; i < tree_count(quota, "spec.scopeSelector.matchExpressions"); i++) {
        const Value *term = tree_item(quota, "spec.scopeSelector.matchExpressions", i);
        if (!in_scope(arena, kind, term, value_string_at(term, "scopeName"), object))
            return false;
    }
    return true;
}

// ---- what must be said

static int by_text(const void *a, const void *b) {
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

// "requests.cpu" and "cpu" want resources.requests.cpu.
static bool says(const Value *container, Str name) {
    bool limit = str_starts_with(name, STR("limits."));
    ptrdiff_t dot = str_find(name, '.');
    Str resource = dot < 0 ? name : str_slice(name, (size_t)dot + 1, name.len);
    return value_get(value_at(container, limit ? "resources.limits" : "resources.requests"),
                     resource) != NULL;
}

static Str silent_containers(Arena *arena, const Value *pod, Str name) {
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    size_t most = tree_count(pod, lists[0]) + tree_count(pod, lists[1]), n = 0;
    Str *names = arena_array_of(arena, Str, most + 1);
    for (size_t i = 0; i < 2; i++) {
        for (uint32_t j = 0; j < tree_count(pod, lists[i]); j++) {
            const Value *container = tree_item(pod, lists[i], j);
            if (!says(container, name))
                names[n++] = value_string_at(container, "name");
        }
    }
    qsort(names, n, sizeof *names, by_text);
    return arena_concat(arena, names, n, STR(","));
}

Str quota_missing(Arena *arena, const QuotaKind *kind, const Value *object, const Str *names,
                  size_t n) {
    // Sorted. Upstream calls it a mistake that these must be said, and keeps it.
    static const char *const must[] = {"cpu",          "limits.cpu",      "limits.memory",
                                       "memory",       "requests.cpu",    "requests.memory"};
    Str text = STR("");
    for (size_t i = 0; is_core(kind, "pods") && i < sizeof must / sizeof *must; i++) {
        Str name = str_from(must[i]);
        bool limited = false;
        for (size_t j = 0; j < n; j++)
            limited |= str_eq(names[j], name);
        Str containers = limited ? silent_containers(arena, object, name) : STR("");
        if (containers.len)
            text = arena_printf(arena, "%.*s%s%.*s for: %.*s", STR_ARG(text), text.len ? "; " : "",
                                STR_ARG(name), STR_ARG(containers));
    }
    return text.len ? arena_printf(arena, "must specify %.*s", STR_ARG(text)) : text;
}
