// LimitRanges: what containers and claims of a namespace get when they say nothing, and the least
// and the most that they, and pods as a whole, may say.
// https://kubernetes.io/docs/concepts/policy/limit-range/ (plugin/pkg/admission/limitranger)

#include <stdarg.h>
#include <stdlib.h>

#include "api/admission/admission.h"
#include "api/server.h"
#include "kinds/resource_list.h"

#define ANNOTATION STR("kubernetes.io/limit-ranger")
#define MOST_ERRORS 64 // told at once

typedef struct Limits {
    Admission *admission;
    Arena *arena;
    const Value *item; // of a LimitRange
    Str type;          // "Container"
    Str errors[MOST_ERRORS];
    size_t n_errors;
} Limits;

static bool is_pod(const Admission *admission) {
    return admission_is(admission, STR(""), STR("pods"), STR(""));
}

static bool is_claim(const Admission *admission) {
    return admission_is(admission, STR(""), STR("persistentvolumeclaims"), STR(""));
}

static bool ranges_of(const Admission *admission, Cache **ret_cache, size_t *ret_from,
                      size_t *ret_to) {
    *ret_cache = registry_cache(admission->request->api->registry, STR("core/limitranges"));
    return admission_in_namespace(admission, *ret_cache, ret_from, ret_to);
}

// ---- defaults

typedef struct Words {
    Str text; // "a; b"
} Words;

static int by_key(const void *a, const void *b) {
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

// What `container` does not name of `list` ("limits") comes from `defaults`; the names that were
// set, sorted.
static Str fill(Arena *arena, Value *container, const char *list, const Value *defaults) {
    if (!defaults || defaults->kind != VALUE_OBJECT || !defaults->n)
        return STR("");
    Value *resources = value_at_make(arena, container, "resources");
    Value *given = value_at_make(arena, resources, list);
    Str *names = arena_array_of(arena, Str, defaults->n);
    size_t n = 0;
    for (uint32_t i = 0; i < defaults->n; i++) {
        Str name = defaults->members[i].key;
        if (value_get(given, name))
            continue;
        value_set(arena, given, name, value_copy(arena, defaults->members[i].value));
        names[n++] = name;
    }
    qsort(names, n, sizeof *names, by_key);
    return arena_concat(arena, names, n, STR(", "));
}

static void add_words(Arena *arena, Words *words, Str names, const char *what, const char *whose,
                      Str container) {
    if (!names.len)
        return;
    words->text = arena_printf(arena, "%.*s%s%.*s %s for %s %.*s", STR_ARG(words->text),
                               words->text.len ? "; " : "", STR_ARG(names), what, whose,
                               STR_ARG(container));
}

static void fill_containers(Arena *arena, const Value *containers, const char *whose,
                            const Value *item, Words *words) {
    for (uint32_t i = 0; containers && containers->kind == VALUE_ARRAY && i < containers->n; i++) {
        Value *container = containers->items[i];
        Str name = value_string_at(container, "name");
        Str limits = fill(arena, container, "limits", value_get(item, STR("default")));
        Str requests = fill(arena, container, "requests", value_get(item, STR("defaultRequest")));
        add_words(arena, words, requests, "request", whose, name);
        add_words(arena, words, limits, "limit", whose, name);
    }
}

static void fill_pod(Arena *arena, Value *pod, const Value *limit_range) {
    Words words = {STR("")};
    Value *spec = value_at_make(arena, pod, "spec");
    for (uint32_t i = 0; i < tree_count(limit_range, "spec.limits"); i++) {
        const Value *item = tree_item(limit_range, "spec.limits", i);
        if (!tree_is(item, "type", "Container"))
            continue;
        fill_containers(arena, value_get(spec, STR("containers")), "container", item, &words);
        fill_containers(arena, value_get(spec, STR("initContainers")), "init container", item,
                        &words);
    }
    if (words.text.len)
        value_set_str(
            arena, value_at_make(arena, pod, "metadata.annotations"), ANNOTATION,
            arena_printf(arena, "LimitRanger plugin set: %.*s", STR_ARG(words.text)));
}

ApiStatus *admission_limit_ranger_mutate(Admission *admission) {
    Cache *cache;
    size_t from, to;
    if (admission->operation != ADMISSION_CREATE || !is_pod(admission) ||
        !ranges_of(admission, &cache, &from, &to))
        return NULL;
    Arena *arena = admission->request->arena;
    for (size_t i = from; i < to; i++)
        fill_pod(arena, admission->object,
                 object_decode(arena, snapshot_at(cache_root(cache), i)));
    return NULL;
}

// ---- limits

static void tell(Limits *limits, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void tell(Limits *limits, const char *format, ...) {
    if (limits->n_errors == MOST_ERRORS)
        return;
    va_list args;
    va_start(args, format);
    Str text = arena_vprintf(limits->arena, format, args);
    va_end(args);
    for (size_t i = 0; i < limits->n_errors; i++) { // as Go's Aggregate: each once
        if (str_eq(limits->errors[i], text))
            return;
    }
    limits->errors[limits->n_errors++] = text;
}

typedef struct Bound {
    Str resource, text; // "cpu", "500m"
    Quantity quantity;
} Bound;

// What is asked for and limited of one resource.
typedef struct Asked {
    bool has_request, has_limit;
    Quantity request, limit;
    Str request_text, limit_text;
} Asked;

static void check_min(Limits *limits, const Bound *least, const Asked *asked) {
    Str type = limits->type;
    if (!asked->has_request)
        tell(limits, "minimum %.*s usage per %.*s is %.*s.  No request is specified",
             STR_ARG(least->resource), STR_ARG(type), STR_ARG(least->text));
    else if (quantity_cmp(asked->request, least->quantity) < 0)
        tell(limits, "minimum %.*s usage per %.*s is %.*s, but request is %.*s",
             STR_ARG(least->resource), STR_ARG(type), STR_ARG(least->text),
             STR_ARG(asked->request_text));
    else if (asked->has_limit && quantity_cmp(asked->limit, least->quantity) < 0)
        tell(limits, "minimum %.*s usage per %.*s is %.*s, but limit is %.*s",
             STR_ARG(least->resource), STR_ARG(type), STR_ARG(least->text),
             STR_ARG(asked->limit_text));
}

static void check_max(Limits *limits, const Bound *most, const Asked *asked) {
    Str type = limits->type;
    if (!asked->has_limit)
        tell(limits, "maximum %.*s usage per %.*s is %.*s.  No limit is specified",
             STR_ARG(most->resource), STR_ARG(type), STR_ARG(most->text));
    else if (quantity_cmp(asked->limit, most->quantity) > 0)
        tell(limits, "maximum %.*s usage per %.*s is %.*s, but limit is %.*s",
             STR_ARG(most->resource), STR_ARG(type), STR_ARG(most->text),
             STR_ARG(asked->limit_text));
    else if (asked->has_request && quantity_cmp(asked->request, most->quantity) > 0)
        tell(limits, "maximum %.*s usage per %.*s is %.*s, but request is %.*s",
             STR_ARG(most->resource), STR_ARG(type), STR_ARG(most->text),
             STR_ARG(asked->request_text));
}

// Claims have no limits: the request is what counts.
static void check_max_request(Limits *limits, const Bound *most, const Asked *asked) {
    if (!asked->has_request)
        tell(limits, "maximum %.*s usage per %.*s is %.*s.  No request is specified",
             STR_ARG(most->resource), STR_ARG(limits->type), STR_ARG(most->text));
    else if (quantity_cmp(asked->request, most->quantity) > 0)
        tell(limits, "maximum %.*s usage per %.*s is %.*s, but request is %.*s",
             STR_ARG(most->resource), STR_ARG(limits->type), STR_ARG(most->text),
             STR_ARG(asked->request_text));
}

static void check_ratio(Limits *limits, const Bound *most, const Asked *asked) {
    Str type = limits->type;
    if (!asked->has_request || !asked->request.nano) {
        tell(limits,
             "%.*s max limit to request ratio per %.*s is %.*s, but no request is specified or "
             "request is 0",
             STR_ARG(most->resource), STR_ARG(type), STR_ARG(most->text));
        return;
    }
    if (!asked->has_limit || !asked->limit.nano) {
        tell(limits,
             "%.*s max limit to request ratio per %.*s is %.*s, but no limit is specified or limit "
             "is 0",
             STR_ARG(most->resource), STR_ARG(type), STR_ARG(most->text));
        return;
    }
    double ratio = (double)asked->limit.nano / (double)asked->request.nano;
    if (ratio * 1000 > (double)quantity_milli_value(most->quantity))
        tell(limits, "%.*s max limit to request ratio per %.*s is %.*s, but provided ratio is %f",
             STR_ARG(most->resource), STR_ARG(type), STR_ARG(most->text), ratio);
}

typedef void Check(Limits *limits, const Bound *bound, const Asked *asked);
typedef Asked Look(Limits *limits, const void *of, Str resource);

static void check_each(Limits *limits, const char *member, Check *check, Look *look,
                       const void *of) {
    const Value *bounds = value_get(limits->item, str_from(member));
    for (uint32_t i = 0; bounds && bounds->kind == VALUE_OBJECT && i < bounds->n; i++) {
        Bound bound = {bounds->members[i].key, tree_string(bounds->members[i].value), {0}};
        if (quantity_parse(bound.text, &bound.quantity) != 0)
            continue;
        Asked asked = look(limits, of, bound.resource);
        check(limits, &bound, &asked);
    }
}

static bool read_quantity(const Value *list, Str resource, Quantity *ret, Str *ret_text) {
    *ret_text = tree_string(value_get(list, resource));
    return quantity_parse(*ret_text, ret) == 0;
}

static Asked look_at_resources(Limits *limits, const void *of, Str resource) {
    Asked asked = {0};
    asked.has_request = read_quantity(value_get(of, STR("requests")), resource, &asked.request,
                                      &asked.request_text);
    asked.has_limit =
        read_quantity(value_get(of, STR("limits")), resource, &asked.limit, &asked.limit_text);
    return asked;
}

typedef struct Totals {
    ResourceSums requests, limits;
    const Value *whole; // what the pod says for itself
} Totals;

static bool total(Limits *limits, const ResourceSums *sums, const Value *whole, Str resource,
                  Quantity *ret, Str *ret_text) {
    if (read_quantity(whole, resource, ret, ret_text))
        return true;
    const ResourceSum *sum = resource_sum(sums, resource);
    if (!sum)
        return false;
    *ret = sum->quantity;
    *ret_text = quantity_format(limits->arena, sum->quantity);
    return true;
}

static Asked look_at_totals(Limits *limits, const void *of, Str resource) {
    const Totals *totals = of;
    Asked asked = {0};
    asked.has_request = total(limits, &totals->requests, value_get(totals->whole, STR("requests")),
                              resource, &asked.request, &asked.request_text);
    asked.has_limit = total(limits, &totals->limits, value_get(totals->whole, STR("limits")),
                            resource, &asked.limit, &asked.limit_text);
    return asked;
}

static void check_all(Limits *limits, Look *look, const void *of) {
    check_each(limits, "min", check_min, look, of);
    check_each(limits, "max", check_max, look, of);
    check_each(limits, "maxLimitRequestRatio", check_ratio, look, of);
}

static void check_pod(Limits *limits, const Value *spec) {
    static const char *const lists[] = {"containers", "initContainers"};
    for (size_t i = 0; i < 2 && str_eq(limits->type, STR("Container")); i++) {
        for (uint32_t j = 0; j < tree_count(spec, lists[i]); j++)
            check_all(limits, look_at_resources,
                      value_get(tree_item(spec, lists[i], j), STR("resources")));
    }
    if (!str_eq(limits->type, STR("Pod")))
        return;
    Totals totals = {
        .requests = resource_aggregate(limits->arena, spec, STR("requests")),
        .limits = resource_aggregate(limits->arena, spec, STR("limits")),
        .whole = value_get(spec, STR("resources")),
    };
    check_all(limits, look_at_totals, &totals);
}

static void check_claim(Limits *limits, const Value *spec) {
    if (!str_eq(limits->type, STR("PersistentVolumeClaim")))
        return;
    const Value *resources = value_get(spec, STR("resources"));
    check_each(limits, "min", check_min, look_at_resources, resources);
    check_each(limits, "max", check_max_request, look_at_resources, resources);
}

static ApiStatus *check_range(Admission *admission, const Value *limit_range, bool pod) {
    Arena *arena = admission->request->arena;
    Limits limits = {.admission = admission, .arena = arena};
    const Value *spec = value_get(admission->object, STR("spec"));
    for (uint32_t i = 0; i < tree_count(limit_range, "spec.limits"); i++) {
        limits.item = tree_item(limit_range, "spec.limits", i);
        limits.type = value_string_at(limits.item, "type");
        if (pod)
            check_pod(&limits, spec);
        else
            check_claim(&limits, spec);
    }
    if (!limits.n_errors)
        return NULL;
    Str text = arena_concat(arena, limits.errors, limits.n_errors, STR(", "));
    return admission_forbidden(
        admission, limits.n_errors > 1 ? arena_printf(arena, "[%.*s]", STR_ARG(text)) : text);
}

ApiStatus *admission_limit_ranger_validate(Admission *admission) {
    bool create = admission->operation == ADMISSION_CREATE;
    bool update = admission->operation == ADMISSION_UPDATE;
    bool pod = (create && is_pod(admission)) ||
               (update && admission_is(admission, STR(""), STR("pods"), STR("resize")));
    bool claim = (create || update) && is_claim(admission);
    Cache *cache;
    size_t from, to;
    if ((!pod && !claim) || !ranges_of(admission, &cache, &from, &to))
        return NULL;
    Arena *arena = admission->request->arena;
    for (size_t i = from; i < to; i++) {
        const Value *limit_range = object_decode(arena, snapshot_at(cache_root(cache), i));
        ApiStatus *refusal = check_range(admission, limit_range, pod);
        if (refusal)
            return refusal;
    }
    return NULL;
}
