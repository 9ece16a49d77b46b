// What containers and pods ask for: validateResourceRequirements, validatePodResources and
// validatePodResourceClaims upstream.

#include <stdlib.h>

#include "kinds/kinds.h"
#include "kinds/pod.h"
#include "kinds/resource_list.h"
#include "kinds/rules.h"

// Finer than thousandths is rounded up. Only quantities that end so need to be looked at.
void resource_round_list(Arena *arena, Value *list) {
    for (uint32_t i = 0; i < map_count_of(list); i++) {
        Str text = tree_string(list->members[i].value);
        Quantity quantity;
        if (!text.len || (text.ptr[text.len - 1] != 'n' && text.ptr[text.len - 1] != 'u' &&
                          str_find(text, 'e') < 0))
            continue;
        if (quantity_parse(text, &quantity) == 0)
            list->members[i].value =
                value_new_string(arena, quantity_format(arena, quantity_round_milli(quantity)));
    }
}

static void default_resources(Arena *arena, Value *resources) {
    resource_round_list(arena, GET(resources, "limits"));
    resource_round_list(arena, GET(resources, "requests"));
}
const TypeRules resource_requirements_rules = {.default_fn = default_resources};

void pod_spec_default(Arena *arena, Value *spec) {
    pod_mirror_service_account(arena, spec);
    resource_round_list(arena, GET(spec, "overhead"));
}

// ---- names

typedef void CheckName(FieldErrors *errors, Str name, const Path *path);

bool resource_check_name(FieldErrors *errors, Str name, const Path *path) {
    if (!schema_check_format(errors, path, FORMAT_LABEL_KEY, name))
        return false;
    if (str_find(name, '/') >= 0 || resource_is_standard(name))
        return true;
    field_invalid(errors, path, name, "must be a standard resource type or fully qualified");
    return false;
}

void container_validate_resource_name(FieldErrors *errors, Str name, const Path *path) {
    if (str_eq(name, STR("cpu")) || str_eq(name, STR("memory")))
        return;
    resource_check_name(errors, name, path);
    if (str_find(name, '/') < 0) {
        if (!str_eq(name, STR("ephemeral-storage")) && !resource_is_hugepages(name))
            field_invalid(errors, path, name, "must be a standard resource for containers");
    } else if (!resource_is_native(name) && !resource_is_extended(errors->arena, name)) {
        field_invalid(errors, path, name, "doesn't follow extended resource name standard");
    }
}

static void check_pod_name(FieldErrors *errors, Str name, const Path *path) {
    static const Str supported[] = {{"cpu", 3}, {"hugepages-", 10}, {"memory", 6}};
    if (resource_check_name(errors, name, path) && !resource_is_pod_level(name))
        field_not_supported(errors, path, name, supported, 3);
}

// ---- quantities

static bool is_divisible(Str name, Quantity quantity) {
    Quantity page;
    if (quantity_parse(str_slice(name, STR("hugepages-").len, name.len), &page) < 0 ||
        page.nano <= 0 || quantity_milli_value(page) % 1000)
        return false;
    return quantity_value(quantity) % quantity_value(page) == 0;
}

static void check_quantity(FieldErrors *errors, Str name, Str text, Quantity quantity,
                           const Path *path) {
    if (quantity.nano < 0)
        field_invalid(errors, path, text, "must be greater than or equal to 0");
    if (resource_is_whole(errors->arena, name) && quantity_milli_value(quantity) % 1000)
        field_invalid(errors, path, text, "must be an integer");
    if (resource_is_hugepages(name) && !is_divisible(name, quantity))
        field_invalid(errors, path, text,
                      arena_printf(errors->arena, "%.*s is not positive integer multiple of %.*s",
                                   STR_ARG(text), STR_ARG(name))
                          .ptr);
}

typedef struct Kinds { // of resources that are named
    bool compute, huge;
} Kinds;

static void note_kind(Kinds *kinds, Str name) {
    kinds->huge = kinds->huge || resource_is_hugepages(name);
    kinds->compute = kinds->compute || str_eq(name, STR("cpu")) || str_eq(name, STR("memory"));
}

static void check_against_limit(FieldErrors *errors, Str name, Str text, Quantity quantity,
                                const Value *limits, const Path *path) {
    Arena *arena = errors->arena;
    const Value *limit = value_get(limits, name);
    const Path *requests = AT(path, "requests");
    Str limit_text = tree_string(limit);
    Quantity most;
    bool overcommit = resource_can_overcommit(name);
    if (!limit) {
        if (!overcommit)
            field_required(errors, AT(path, "limits"),
                           "Limit must be set for non overcommitable resources");
        return;
    }
    if (quantity_parse(limit_text, &most) < 0)
        return;
    int order = quantity_cmp(quantity, most);
    if (order && !overcommit)
        field_invalid(errors, requests, text,
                      arena_printf(arena, "must be equal to %.*s limit of %.*s", STR_ARG(name),
                                   STR_ARG(limit_text))
                          .ptr);
    else if (order > 0)
        field_invalid(errors, requests, text,
                      arena_printf(arena, "must be less than or equal to %.*s limit of %.*s",
                                   STR_ARG(name), STR_ARG(limit_text))
                          .ptr);
}

#define MAX_RESOURCES 1000 // upstream has no limit; this one keeps the comparisons short

static void check_requirements(FieldErrors *errors, const Value *limits, const Value *requests,
                               CheckName *check, const Path *path) {
    Kinds kinds = {.huge = false};
    Quantity quantity;
    if (map_count_of(limits) > MAX_RESOURCES || map_count_of(requests) > MAX_RESOURCES) {
        field_too_many(errors, path, map_count_of(limits) + map_count_of(requests), MAX_RESOURCES);
        return;
    }
    for (uint32_t i = 0; i < map_count_of(limits); i++) {
        Str name = limits->members[i].key, text = tree_string(limits->members[i].value);
        const Path *at = PATH_KEY(AT(path, "limits"), name);
        check(errors, name, at);
        if (quantity_parse(text, &quantity) == 0)
            check_quantity(errors, name, text, quantity, at);
        note_kind(&kinds, name);
    }
    for (uint32_t i = 0; i < map_count_of(requests); i++) {
        Str name = requests->members[i].key, text = tree_string(requests->members[i].value);
        const Path *at = PATH_KEY(AT(path, "requests"), name);
        check(errors, name, at);
        note_kind(&kinds, name);
        if (quantity_parse(text, &quantity) < 0)
            continue;
        check_quantity(errors, name, text, quantity, at);
        check_against_limit(errors, name, text, quantity, limits, path);
    }
    if (kinds.huge && !kinds.compute)
        field_forbidden(errors, path, "HugePages require cpu or memory");
}

// ---- claims

static int compare_names(const void *a, const void *b) {
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

static void report_unknown_claim(FieldErrors *errors, const Value *claims, Str name,
                                 const Path *path) {
    uint32_t n = 0;
    Str *names = arena_array_of(errors->arena, Str, list_count(claims) + 1);
    for (uint32_t i = 0; i < list_count(claims); i++)
        if (GET_STR(claims->items[i], "name").len)
            names[n++] = GET_STR(claims->items[i], "name");
    qsort(names, n, sizeof *names, compare_names);
    Str parts[] = {STR("must be one of the names in pod.spec.resourceClaims"),
                   n ? arena_concat(errors->arena, names, n, STR(", ")) : STR("which is empty")};
    size_t before = errors->n;
    field_not_found(errors, path, name);
    pod_error_detail(errors, before,
                     arena_concat(errors->arena, parts, 2, n ? STR(": ") : STR(" ")));
}

#define MAX_CLAIMS 1000 // as above

static bool has_claim(const Value *claims, Str name) {
    for (uint32_t i = 0; i < list_count(claims); i++)
        if (str_eq(GET_STR(claims->items[i], "name"), name))
            return true;
    return false;
}

static void check_claim_names(FieldErrors *errors, const PodScope *scope, const Value *list,
                              const Path *path) {
    const Value *claims = GET(scope->spec, "resourceClaims");
    _name_set_deinit_ NameSet whole = {.n = 0}, parts = {.n = 0}, with_parts = {.n = 0};
    if (list_count(list) > MAX_CLAIMS || list_count(claims) > MAX_CLAIMS) {
        field_too_many(errors, path, list_count(list), MAX_CLAIMS);
        return;
    }
    for (uint32_t i = 0; i < list_count(list); i++) {
        const Path *at = PATH_INDEX(path, i);
        Str name = GET_STR(list->items[i], "name"), request = GET_STR(list->items[i], "request");
        Str both[] = {name, request};
        if (!name.len) {
            field_required(errors, at, "");
            continue;
        }
        if (request.len)
            schema_check_format(errors, AT(at, "request"), FORMAT_DNS_LABEL, request);
        Str key = arena_concat(errors->arena, both, 2, STR("/"));
        if (name_set_get(&whole, name) || (!request.len && name_set_get(&with_parts, name)))
            field_duplicate(errors, at, name);
        else if (request.len && name_set_add(&parts, key, list))
            field_duplicate(errors, at, key);
        name_set_add(request.len ? &with_parts : &whole, name, list);
        if (!has_claim(claims, name))
            report_unknown_claim(errors, claims, name, at);
    }
}

void container_validate_resources(FieldErrors *errors, const PodScope *scope,
                                  const Value *container, const Path *path) {
    const Value *resources = GET(container, "resources");
    if (!map_count_of(resources))
        return;
    const Path *at = AT(path, "resources");
    check_requirements(errors, GET(resources, "limits"), GET(resources, "requests"),
                       container_validate_resource_name, at);
    if (GET(resources, "claims"))
        check_claim_names(errors, scope, GET(resources, "claims"), AT(at, "claims"));
}

void resource_validate_overhead(FieldErrors *errors, const Value *overhead, const Path *path) {
    check_requirements(errors, overhead, NULL, container_validate_resource_name, path);
}

void pod_validate_overhead(FieldErrors *errors, const PodScope *scope) {
    const Value *overhead = GET(scope->spec, "overhead");
    if (overhead)
        resource_validate_overhead(errors, overhead, AT(scope->path, "overhead"));
}

static void check_claim_source(FieldErrors *errors, const Value *claim, const Path *path) {
    static const Str fields[] = {{"resourceClaimName", 17}, {"resourceClaimTemplateName", 25}};
    unsigned n = 0;
    for (size_t i = 0; i < 2; i++)
        n += value_get(claim, fields[i]) != NULL;
    Value *shown =
        n == 1 ? NULL : pod_internal_shape(errors->arena, kinds_type_PodResourceClaim(), claim);
    if (n == 2)
        field_invalid_value(errors, path, shown,
                            "at most one of `resourceClaimName` or `resourceClaimTemplateName` may "
                            "be specified");
    if (n == 0)
        field_invalid_value(errors, path, shown,
                            "must specify one of: `resourceClaimName`, "
                            "`resourceClaimTemplateName`");
    for (size_t i = 0; i < 2; i++)
        if (value_get(claim, fields[i]))
            schema_check_format(errors, PATH(path, fields[i]), FORMAT_DNS_SUBDOMAIN,
                                tree_string(value_get(claim, fields[i])));
}

void pod_validate_resource_claims(FieldErrors *errors, const PodScope *scope) {
    const Value *claims = GET(scope->spec, "resourceClaims");
    for (uint32_t i = 0; i < list_count(claims); i++) {
        const Path *at = PATH_INDEX(AT(scope->path, "resourceClaims"), i);
        Str name = GET_STR(claims->items[i], "name");
        if (name.len)
            schema_check_format(errors, AT(at, "name"), FORMAT_DNS_LABEL, name);
        else
            field_required(errors, AT(at, "name"), "");
        check_claim_source(errors, claims->items[i], at);
    }
}

// ---- the pod as a whole

static Quantity quantity_of(const Value *list, Str name) {
    Quantity quantity = {.nano = 0};
    const Value *value = value_get(list, name);
    if (!value || quantity_parse(tree_string(value), &quantity) < 0)
        quantity = (Quantity){.nano = 0};
    return quantity;
}

// The containers' sum must not be more than the pod's.
static void check_sum(FieldErrors *errors, const PodScope *scope, Str list, const char *what,
                      bool huge_only, const Path *path) {
    Arena *arena = errors->arena;
    const Value *whole = value_get(GET(scope->spec, "resources"), list);
    ResourceSums sums = resource_aggregate(arena, scope->spec, list);
    for (size_t i = 0; i < sums.n; i++) {
        Str name = sums.items[i].name;
        Quantity given = quantity_of(whole, name);
        if ((huge_only && !resource_is_hugepages(name)) ||
            quantity_cmp(sums.items[i].quantity, given) <= 0)
            continue;
        Str sum = quantity_format(arena, sums.items[i].quantity);
        field_invalid(errors, PATH_KEY(PATH(path, list), name), quantity_format(arena, given),
                      arena_printf(arena,
                                   "must be greater than or equal to aggregate container %s of "
                                   "%.*s",
                                   what, STR_ARG(sum))
                          .ptr);
    }
}

static void check_container_limits(FieldErrors *errors, const PodScope *scope, const Path *path) {
    const Value *most = value_at(scope->spec, "resources.limits");
    const Value *containers = GET(scope->spec, "containers");
    for (uint32_t i = 0; i < list_count(containers); i++) {
        const Value *limits = value_at(containers->items[i], "resources.limits");
        for (uint32_t k = 0; k < map_count_of(limits); k++) {
            Str name = limits->members[k].key;
            if (!value_get(most, name) ||
                quantity_cmp(quantity_of(limits, name), quantity_of(most, name)) <= 0)
                continue;
            const Path *at = AT(PATH_KEY(PATH_INDEX(AT(path, "containers"), i), name), "limits");
            field_invalid(errors, at, tree_string(limits->members[k].value),
                          arena_printf(errors->arena,
                                       "must be less than or equal to pod limits of "
                                       "%.*s",
                                       STR_ARG(tree_string(value_get(most, name))))
                              .ptr);
        }
    }
}

void pod_validate_resources(FieldErrors *errors, const PodScope *scope) {
    const Value *resources = GET(scope->spec, "resources");
    const Path *path = AT(scope->path, "resources");
    if (!resources)
        return;
    if (GET(resources, "claims"))
        field_forbidden(errors, AT(path, "claims"),
                        "claims cannot be set for Resources at pod-level");
    check_requirements(errors, GET(resources, "limits"), GET(resources, "requests"), check_pod_name,
                       path);
    if (map_count_of(GET(resources, "limits")) > MAX_RESOURCES)
        return;
    check_sum(errors, scope, STR("requests"), "requests", false, path);
    check_sum(errors, scope, STR("limits"), "limits", true, path);
    check_container_limits(errors, scope, path);
}
