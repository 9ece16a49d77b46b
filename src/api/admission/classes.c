// Plugins that look a class up: Priority, DefaultStorageClass and RuntimeClass. Which class is the
// default is remembered until a class changes.

#include <inttypes.h>
#include <stdlib.h>

#include "api/admission/admission.h"
#include "api/meta.h"
#include "api/server.h"
#include "base/memory.h"
#include "kinds/tree.h"
#include "schema/quote.h"

typedef struct Default {
    bool known;
    int64_t revision; // the class cache's, when it was looked for
    CachedObject *object; // NULL: there is none; a reference
} Default;

struct ClassDefaults {
    Default priority, storage;
};

void class_defaults_init(Api *api) {
    api->class_defaults = memory_new(ClassDefaults);
}

void class_defaults_free(Api *api) {
    ClassDefaults *defaults = api->class_defaults;
    if (!defaults)
        return;
    object_unref(defaults->priority.object);
    object_unref(defaults->storage.object);
    free(defaults);
}

// Whether `a` is a better default than `b` (which may be NULL); neither, when `a` is none.
typedef bool Better(const Value *a, const Value *b);

static const Value *default_class(Arena *arena, Default *found, Cache *cache, Better *better) {
    if (!found->known || found->revision != cache_changed(cache)) {
        _arena_free_ Arena *scratch = arena_new();
        const Snapshot *root = cache_root(cache);
        const Value *best = NULL;
        object_unref(found->object);
        *found = (Default){.known = true, .revision = cache_changed(cache)};
        for (size_t i = 0; i < snapshot_size(root); i++) {
            CachedObject *object = snapshot_at(root, i);
            const Value *value = object_decode(scratch, object);
            if (!better(value, best))
                continue;
            best = value;
            object_unref(found->object);
            found->object = object_ref(object);
        }
    }
    return found->object ? object_decode(arena, found->object) : NULL;
}

static const Value *find_class(const Admission *admission, Str cache_name, Str name) {
    Cache *cache = registry_cache(admission->request->api->registry, cache_name);
    CachedObject *object = cache ? cache_get(cache, STR(""), name) : NULL;
    return object ? object_decode(admission->request->arena, object) : NULL;
}

// ---- Priority: https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
// (plugin/pkg/admission/priority)

#define PRIORITIES STR("scheduling.k8s.io/priorityclasses")
#define LOWER STR("PreemptLowerPriority")

static bool lower_default(const Value *a, const Value *b) {
    return value_bool_at(a, "globalDefault", false) &&
           (!b || value_int_at(a, "value", 0) < value_int_at(b, "value", 0));
}

static const Value *default_priority(Admission *admission) {
    Api *api = admission->request->api;
    return default_class(admission->request->arena, &api->class_defaults->priority,
                         registry_cache(api->registry, PRIORITIES), lower_default);
}

// Updates keep what creation gave.
static void keep_priority(Admission *admission) {
    static const char *const members[] = {"priority", "preemptionPolicy"};
    Arena *arena = admission->request->arena;
    Value *spec = value_at_make(arena, admission->object, "spec");
    const Value *old = value_get(admission->old, STR("spec"));
    for (size_t i = 0; i < 2; i++) {
        Value *was = value_get(old, str_from(members[i]));
        if (was && !value_get(spec, str_from(members[i])))
            value_set(arena, spec, str_from(members[i]), was);
    }
}

static ApiStatus *set_priority(Admission *admission, Value *spec, const Value *class) {
    Arena *arena = admission->request->arena;
    int64_t priority = value_int_at(class, "value", 0);
    Str policy = class ? value_string_at(class, "preemptionPolicy") : LOWER;
    const Value *given = value_get(spec, STR("priority"));
    Str given_policy = value_string_at(spec, "preemptionPolicy");
    if (given && given->kind == VALUE_INT && given->integer != priority)
        return admission_forbidden(admission,
                                   arena_printf(arena,
                                                "the integer value of priority (%" PRId64
                                                ") must not be provided in pod spec; priority "
                                                "admission controller computed %" PRId64
                                                " from the given PriorityClass name",
                                                given->integer, priority));
    value_set_int(arena, spec, STR("priority"), priority);
    if (!policy.len)
        return NULL;
    if (given_policy.len && !str_eq(given_policy, policy))
        return admission_forbidden(
            admission,
            arena_printf(arena,
                         "the string value of PreemptionPolicy (%.*s) must not be provided in pod "
                         "spec; priority admission controller computed %.*s from the given "
                         "PriorityClass name",
                         STR_ARG(given_policy), STR_ARG(policy)));
    value_set_str(arena, spec, STR("preemptionPolicy"), policy);
    return NULL;
}

ApiStatus *admission_priority(Admission *admission) {
    if (!admission_is(admission, STR(""), STR("pods"), STR("")))
        return NULL;
    if (admission->operation == ADMISSION_UPDATE)
        keep_priority(admission);
    if (admission->operation != ADMISSION_CREATE)
        return NULL;
    Arena *arena = admission->request->arena;
    Value *spec = value_at_make(arena, admission->object, "spec");
    Str name = value_string_at(spec, "priorityClassName");
    const Value *class = name.len ? find_class(admission, PRIORITIES, name)
                                  : default_priority(admission);
    if (name.len && !class)
        return admission_forbidden(
            admission,
            arena_printf(arena, "no PriorityClass with name %.*s was found", STR_ARG(name)));
    if (!name.len && class)
        value_set_str(arena, spec, STR("priorityClassName"), meta_name(class));
    return set_priority(admission, spec, class);
}

// Only one class may be the default.
ApiStatus *admission_priority_class(Admission *admission) {
    if ((admission->operation != ADMISSION_CREATE && admission->operation != ADMISSION_UPDATE) ||
        !admission_is(admission, STR("scheduling.k8s.io"), STR("priorityclasses"), STR("")) ||
        !value_bool_at(admission->object, "globalDefault", false))
        return NULL;
    const Value *other = default_priority(admission);
    if (!other || (admission->operation == ADMISSION_UPDATE &&
                   str_eq(meta_name(other), meta_name(admission->object))))
        return NULL;
    return admission_forbidden(
        admission, arena_printf(admission->request->arena,
                                "PriorityClass %.*s is already marked as default. Only one default "
                                "can exist",
                                STR_ARG(meta_name(other))));
}

// ---- DefaultStorageClass: https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass
// (plugin/pkg/admission/storage/storageclass/setdefault)

static bool is_marked(const Value *class) {
    const Value *annotations = value_at(class, "metadata.annotations");
    return str_eq(tree_string(value_get(annotations,
                                        STR("storageclass.kubernetes.io/is-default-class"))),
                  STR("true")) ||
           str_eq(tree_string(value_get(annotations,
                                        STR("storageclass.beta.kubernetes.io/is-default-class"))),
                  STR("true"));
}

// The newest wins, then the first by name.
static bool newer_default(const Value *a, const Value *b) {
    if (!is_marked(a))
        return false;
    int order = b ? str_cmp(value_string_at(a, "metadata.creationTimestamp"),
                            value_string_at(b, "metadata.creationTimestamp"))
                  : 1;
    return order > 0 || (order == 0 && str_cmp(meta_name(a), meta_name(b)) < 0);
}

ApiStatus *admission_default_storage_class(Admission *admission) {
    if (admission->operation != ADMISSION_CREATE ||
        !admission_is(admission, STR(""), STR("persistentvolumeclaims"), STR("")))
        return NULL;
    Api *api = admission->request->api;
    Arena *arena = admission->request->arena;
    Value *claim = admission->object;
    if (value_at(claim, "spec.storageClassName") ||
        value_get(value_at(claim, "metadata.annotations"),
                  STR("volume.beta.kubernetes.io/storage-class")))
        return NULL;
    const Value *class = default_class(
        arena, &api->class_defaults->storage,
        registry_cache(api->registry, STR("storage.k8s.io/storageclasses")), newer_default);
    if (class)
        value_set_str(arena, value_at_make(arena, claim, "spec"), STR("storageClassName"),
                      meta_name(class));
    return NULL;
}

// ---- RuntimeClass: https://kubernetes.io/docs/concepts/containers/runtime-class/
// (plugin/pkg/admission/runtimeclass)

// NULL with *ret_refusal when the pod names one that is not there.
static const Value *runtime_class(Admission *admission, ApiStatus **ret_refusal) {
    Str name = value_string_at(admission->object, "spec.runtimeClassName");
    if (!name.len)
        return NULL;
    const Value *class = find_class(admission, STR("node.k8s.io/runtimeclasses"), name);
    if (!class)
        *ret_refusal = admission_forbidden(
            admission,
            arena_printf(admission->request->arena, "pod rejected: RuntimeClass %.*s not found",
                         STR_ARG(quote_str(admission->request->arena, name))));
    return class;
}

static ApiStatus *set_overhead(Admission *admission, Value *spec, Value *fixed) {
    const Value *own = value_get(spec, STR("overhead"));
    if (own && !value_equal(own, fixed))
        return admission_forbidden(admission,
                                   STR("pod rejected: Pod's Overhead doesn't match RuntimeClass's "
                                       "defined Overhead"));
    value_set(admission->request->arena, spec, STR("overhead"), fixed);
    return NULL;
}

static ApiStatus *merge_selector(Admission *admission, Value *spec, const Value *selector) {
    Arena *arena = admission->request->arena;
    for (uint32_t i = 0; selector && selector->kind == VALUE_OBJECT && i < selector->n; i++) {
        Str key = selector->members[i].key, value = tree_string(selector->members[i].value);
        Value *own = value_at_make(arena, spec, "nodeSelector");
        const Value *there = value_get(own, key);
        if (there && !str_eq(tree_string(there), value))
            return admission_forbidden(
                admission,
                arena_printf(arena,
                             "conflict: runtimeClass.scheduling.nodeSelector[%.*s] = %.*s; "
                             "pod.spec.nodeSelector[%.*s] = %.*s",
                             STR_ARG(key), STR_ARG(value), STR_ARG(key),
                             STR_ARG(tree_string(there))));
        value_set_str(arena, own, key, value);
    }
    return NULL;
}

static void merge_tolerations(Arena *arena, Value *spec, const Value *tolerations) {
    for (uint32_t i = 0; tolerations && i < tolerations->n; i++) {
        Value *own = value_get(spec, STR("tolerations"));
        bool there = false;
        if (!own) {
            own = value_new_array(arena);
            value_set(arena, spec, STR("tolerations"), own);
        }
        for (uint32_t j = 0; j < own->n && !there; j++)
            there = value_equal(own->items[j], tolerations->items[i]);
        if (!there)
            value_push(arena, own, value_copy(arena, tolerations->items[i]));
    }
}

static bool is_new_pod(const Admission *admission) {
    return admission->operation == ADMISSION_CREATE &&
           admission_is(admission, STR(""), STR("pods"), STR(""));
}

ApiStatus *admission_runtime_class_mutate(Admission *admission) {
    ApiStatus *refusal = NULL;
    const Value *class = is_new_pod(admission) ? runtime_class(admission, &refusal) : NULL;
    if (!class)
        return refusal;
    Arena *arena = admission->request->arena;
    Value *spec = value_at_make(arena, admission->object, "spec");
    Value *overhead = value_at(class, "overhead.podFixed");
    if (overhead)
        refusal = set_overhead(admission, spec, value_copy(arena, overhead));
    if (!refusal)
        refusal = merge_selector(admission, spec, value_at(class, "scheduling.nodeSelector"));
    if (!refusal)
        merge_tolerations(arena, spec, value_at(class, "scheduling.tolerations"));
    return refusal;
}

ApiStatus *admission_runtime_class_validate(Admission *admission) {
    ApiStatus *refusal = NULL;
    if (!is_new_pod(admission))
        return NULL;
    const Value *class = runtime_class(admission, &refusal);
    const Value *fixed = value_at(class, "overhead.podFixed");
    const Value *own = value_at(admission->object, "spec.overhead");
    if (refusal)
        return refusal;
    if (fixed && (!own || !value_equal(own, fixed)))
        return admission_forbidden(admission,
                                   STR("pod rejected: Pod's Overhead doesn't match RuntimeClass's "
                                       "defined Overhead"));
    if (!fixed && own && own->n)
        return admission_forbidden(admission,
                                   STR("pod rejected: Pod Overhead set without corresponding "
                                       "RuntimeClass defined Overhead"));
    return NULL;
}
