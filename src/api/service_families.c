#include "api/service_families.h"

#include "api/meta.h"

static const Path spec_path = {.name = {"spec", 4}, .index = -1};

static uint32_t count(const Value *spec, const char *name) {
    const Value *list = value_get(spec, str_from(name));
    return list && list->kind == VALUE_ARRAY ? list->n : 0;
}

static bool is_headless_without_selector(const Value *spec) {
    const Value *selector = value_get(spec, STR("selector"));
    return str_eq(value_string_at(spec, "clusterIP"), STR("None")) && !(selector && selector->n);
}

static void init_policy(Arena *arena, Value *spec, const Value *old) {
    if (value_string_at(spec, "ipFamilyPolicy").len)
        return;
    Str policy = value_string_at(old, "spec.ipFamilyPolicy");
    if (!policy.len)
        policy = is_headless_without_selector(spec) ? STR("RequireDualStack") : STR("SingleStack");
    value_set_str(arena, spec, STR("ipFamilyPolicy"), policy);
}

static void check_policy(FieldErrors *errors, const Value *spec) {
    Str policy = value_string_at(spec, "ipFamilyPolicy");
    const Path *path = PATH(&spec_path, STR("ipFamilyPolicy"));
    if (!str_eq(policy, STR("SingleStack")))
        return;
    if (count(spec, "clusterIPs") == 2)
        field_invalid(errors, path, policy,
                      "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs "
                      "are specified");
    if (count(spec, "ipFamilies") == 2)
        field_invalid(errors, path, policy,
                      "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families "
                      "are specified");
}

static Value *families_of(Arena *arena, Value *spec) {
    Value *families = value_get(spec, STR("ipFamilies"));
    if (!families || families->kind != VALUE_ARRAY) {
        families = value_new_array(arena);
        value_set(arena, spec, STR("ipFamilies"), families);
    }
    return families;
}

static void add_family(Arena *arena, Value *families, Str family) {
    value_push(arena, families, value_new_string(arena, family));
}

// A family that isn't named follows from the address in its place.
static void infer_families(FieldErrors *errors, Value *spec, Value *families) {
    const Value *ips = value_get(spec, STR("clusterIPs"));
    for (uint32_t i = 0; i < count(spec, "clusterIPs"); i++) {
        Str ip = ips->items[i]->string;
        if (str_eq(ip, STR("None")))
            return;
        if (i < families->n)
            continue;
        if (str_find(ip, ':') >= 0)
            field_invalid_value(errors, PATH_INDEX(PATH(&spec_path, STR("clusterIPs")), i), ips,
                                "IPv6 is not configured on this cluster");
        else
            add_family(errors->arena, families, STR("IPv4"));
    }
}

static void check_families(FieldErrors *errors, const Value *spec, const Value *families) {
    Str policy = value_string_at(spec, "ipFamilyPolicy");
    if (str_eq(policy, STR("RequireDualStack")))
        field_invalid(errors, PATH(&spec_path, STR("ipFamilyPolicy")), policy,
                      "this cluster is not configured for dual-stack services");
    for (uint32_t i = 0; i < families->n; i++)
        if (!str_eq(families->items[i]->string, STR("IPv4")))
            field_invalid(errors, PATH_INDEX(PATH(&spec_path, STR("ipFamilies")), i),
                          families->items[i]->string, "not configured on this cluster");
}

static void init_families(FieldErrors *errors, Value *spec, const Value *old) {
    Arena *arena = errors->arena;
    init_policy(arena, spec, old);
    check_policy(errors, spec);
    Value *families = families_of(arena, spec);
    infer_families(errors, spec, families);
    if (errors->n)
        return;
    bool any = is_headless_without_selector(spec); // somebody else makes its endpoints
    if (!any)
        check_families(errors, spec, families);
    if (!families->n)
        add_family(arena, families, STR("IPv4"));
    if (any && families->n < 2 &&
        !str_eq(value_string_at(spec, "ipFamilyPolicy"), STR("SingleStack")))
        add_family(arena, families,
                   str_eq(families->items[0]->string, STR("IPv4")) ? STR("IPv6") : STR("IPv4"));
}

ApiStatus *service_init_families(Arena *arena, Value *service, const Value *old) {
    FieldErrors errors = {.arena = arena};
    Value *spec = value_at_make(arena, service, "spec");
    if (str_eq(value_string_at(spec, "type"), STR("ExternalName")))
        return NULL;
    init_families(&errors, spec, old);
    return errors.n ? status_invalid(arena, STR(""), STR("Service"), meta_name(service), &errors)
                    : NULL;
}
