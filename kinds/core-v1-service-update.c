// What an update of a service keeps, drops and may change: patchAllocatedValues,
// NormalizeClusterIPs and dropTypeDependentFields of pkg/registry/core/service, and
// ValidateServiceUpdate upstream.

#include "kinds/address.h"
#include "kinds/service.h"

// ---- preparation

static const Value *spec_of(const Value *service) {
    return value_get(service, STR("spec"));
}

static bool same_field(const Value *service, const Value *old, const char *name) {
    return value_equal(value_get(spec_of(service), str_from(name)),
                       value_get(spec_of(old), str_from(name)));
}

static void take(Arena *arena, Value *spec, const Value *old_spec, const char *name) {
    Value *value = value_get(old_spec, str_from(name));
    if (value)
        value_set(arena, spec, str_from(name), value_copy(arena, value));
}

static bool uses_node_port(const Value *service, int64_t port) {
    uint32_t n = tree_count(service, "spec.ports");
    for (uint32_t i = 0; i < n; i++)
        if (value_int_at(tree_item(service, "spec.ports", i), "nodePort", 0) == port)
            return true;
    return false;
}

static int64_t node_port_named(const Value *service, Str name) {
    uint32_t n = tree_count(service, "spec.ports");
    for (uint32_t i = n; i-- > 0;) {
        const Value *port = tree_item(service, "spec.ports", i);
        if (str_eq(value_string_at(port, "name"), name))
            return value_int_at(port, "nodePort", 0);
    }
    return 0;
}

static void keep_node_ports(Arena *arena, Value *service, const Value *old) {
    Value *ports = value_at(service, "spec.ports");
    for (uint32_t i = 0; ports && ports->kind == VALUE_ARRAY && i < ports->n; i++) {
        int64_t given = value_int_at(ports->items[i], "nodePort", 0);
        int64_t before = node_port_named(old, value_string_at(ports->items[i], "name"));
        if (!given && before && !uses_node_port(service, before))
            value_set_int(arena, ports->items[i], STR("nodePort"), before);
    }
}

// An update that leaves out what the server gave out before means the same again.
static void keep_allocated(Arena *arena, Value *service, const Value *old) {
    Value *spec = value_at_make(arena, service, "spec");
    const Value *old_spec = spec_of(old);
    if (service_needs_cluster_ip(service) && service_needs_cluster_ip(old)) {
        if (!tree_has_string(spec, "clusterIP"))
            take(arena, spec, old_spec, "clusterIP");
        if (!tree_count(spec, "clusterIPs") && same_field(service, old, "clusterIP"))
            take(arena, spec, old_spec, "clusterIPs");
        if (!tree_count(spec, "ipFamilies") && same_field(service, old, "clusterIPs"))
            take(arena, spec, old_spec, "ipFamilies");
    }
    if (service_needs_node_port(service) && service_needs_node_port(old))
        keep_node_ports(arena, service, old);
    if (service_needs_health_port(service) && service_needs_health_port(old) &&
        !value_int_at(spec, "healthCheckNodePort", 0))
        take(arena, spec, old_spec, "healthCheckNodePort");
}

// clusterIPs[0] and clusterIP are one thing; clients that know only the latter change both.
static void normalize_cluster_ips(Arena *arena, Value *service, const Value *old) {
    Value *spec = value_at_make(arena, service, "spec");
    Str ip = value_string_at(spec, "clusterIP");
    bool follows =
        !tree_count(spec, "clusterIPs") ||
        (old && !same_field(service, old, "clusterIP") && same_field(service, old, "clusterIPs"));
    if (!follows)
        return;
    value_unset(spec, STR("clusterIPs"));
    if (!ip.len)
        return;
    Value *ips = value_new_array(arena);
    value_push(arena, ips, value_new_string(arena, ip));
    value_set(arena, spec, STR("clusterIPs"), ips);
}

static bool same_node_ports(const Value *service, const Value *old) {
    uint32_t n = tree_count(service, "spec.ports");
    for (uint32_t i = 0; i < n; i++) {
        int64_t port = value_int_at(tree_item(service, "spec.ports", i), "nodePort", 0);
        if (port && !uses_node_port(old, port))
            return false;
    }
    return true;
}

static void drop_node_ports(Value *service) {
    Value *ports = value_at(service, "spec.ports");
    for (uint32_t i = 0; ports && ports->kind == VALUE_ARRAY && i < ports->n; i++)
        value_unset(ports->items[i], STR("nodePort"));
}

static void drop_unchanged(Value *service, const Value *old, const char *name) {
    if (same_field(service, old, name))
        value_unset(value_get(service, STR("spec")), str_from(name));
}

// A change of type drops what only the old type had, unless the client changed it as well.
static void drop_for_type(Value *service, const Value *old) {
    Value *spec = value_get(service, STR("spec"));
    if (service_needs_cluster_ip(old) && !service_needs_cluster_ip(service)) {
        if (same_field(service, old, "clusterIP") && same_field(service, old, "clusterIPs")) {
            value_unset(spec, STR("clusterIP"));
            value_unset(spec, STR("clusterIPs"));
        }
        drop_unchanged(service, old, "ipFamilies");
        drop_unchanged(service, old, "ipFamilyPolicy");
    }
    if (service_needs_node_port(old) && !service_needs_node_port(service) &&
        same_node_ports(service, old))
        drop_node_ports(service);
    if (service_needs_health_port(old) && !service_needs_health_port(service))
        drop_unchanged(service, old, "healthCheckNodePort");
    if (service_is_type(old, "LoadBalancer") && !service_is_type(service, "LoadBalancer")) {
        drop_unchanged(service, old, "loadBalancerClass");
        drop_unchanged(service, old, "allocateLoadBalancerNodePorts");
    }
    if (service_is_type(old, "ExternalName") && !service_is_type(service, "ExternalName"))
        drop_unchanged(service, old, "externalName");
    if (service_is_external(old) && !service_is_external(service))
        drop_unchanged(service, old, "externalTrafficPolicy");
}

void service_prepare(Arena *arena, Value *service, const Value *old) {
    if (old)
        keep_allocated(arena, service, old);
    normalize_cluster_ips(arena, service, old);
    if (old)
        drop_for_type(service, old);
}

// ---- validation

static const Path spec_path = {.name = {"spec", 4}, .index = -1};

static void check_family(FieldErrors *errors, const Value *service, uint32_t i, Str ip,
                         const Path *path) {
    if (i >= tree_count(service, "spec.ipFamilies"))
        return;
    Str family = tree_string(tree_item(service, "spec.ipFamilies", i));
    bool v6 = address_is_v6(ip);
    if (str_eq(family, v6 ? STR("IPv4") : STR("IPv6"))) {
        Str detail =
            arena_printf(errors->arena, "expected an %.*s value as indicated by `ipFamilies[%u]`",
                         STR_ARG(family), i);
        field_invalid(errors, path, ip, detail.ptr);
    }
}

static void check_pair(FieldErrors *errors, const Value *service, const Path *path) {
    const Value *ip = value_at(service, "spec.clusterIP");
    const Value *ips = value_at(service, "spec.clusterIPs");
    uint32_t n = tree_count(service, "spec.clusterIPs");
    if (tree_string(ip).len) {
        if (!n)
            field_required(errors, path, "");
        else if (!str_eq(tree_string(ips->items[0]), tree_string(ip)))
            field_invalid_value(errors, path, ips, "first value must match `clusterIP`");
    } else if (n) {
        field_invalid_value(errors, path, ips, "must be empty when `clusterIP` is not specified");
    }
}

// Whether every entry is an address (or None where that may stand).
static bool check_each(FieldErrors *errors, const Value *ips, uint32_t n, const Path *path) {
    bool valid = true;
    for (uint32_t i = 0; i < n; i++) {
        Str ip = tree_string(ips->items[i]);
        if (!i && str_eq(ip, STR("None"))) {
            if (n > 1) {
                field_invalid_value(errors, path, ips, "'None' must be the first and only value");
                valid = false;
            }
            continue;
        }
        valid = address_check(errors, PATH_INDEX(path, i), ip) && valid;
    }
    if (n > 2)
        field_invalid_value(errors, path, ips, "may only hold up to 2 values");
    return valid;
}

static void check_family_duplicates(FieldErrors *errors, const Value *service) {
    uint32_t n = tree_count(service, "spec.ipFamilies");
    for (uint32_t i = 1; i < n && i < 8; i++)
        for (uint32_t j = 0; j < i; j++) {
            Str family = tree_string(tree_item(service, "spec.ipFamilies", i));
            if (!str_eq(family, tree_string(tree_item(service, "spec.ipFamilies", j))))
                continue;
            field_duplicate(errors, PATH_INDEX(PATH(&spec_path, STR("ipFamilies")), i), family);
            break;
        }
}

void service_validate_addresses(FieldErrors *errors, const Value *service) {
    const Value *ips = value_at(service, "spec.clusterIPs");
    uint32_t n = tree_count(service, "spec.clusterIPs");
    const Path *path = PATH(&spec_path, STR("clusterIPs"));
    if (service_is_type(service, "ExternalName"))
        return;
    check_pair(errors, service, path);
    check_family_duplicates(errors, service);
    if (!check_each(errors, ips, n, path))
        return;
    if (n > 1 && (n > 2 || address_is_v6(tree_string(ips->items[0])) ==
                               address_is_v6(tree_string(ips->items[1]))))
        field_invalid_value(errors, path, ips,
                            "may specify no more than one IP for each IP family");
    if (!service_is_headless(service))
        for (uint32_t i = 0; i < n; i++)
            check_family(errors, service, i, tree_string(ips->items[i]), PATH_INDEX(path, i));
}

// clusterIPs and ipFamilies: the first stays for life, a second may come and go.
static void check_list_update(FieldErrors *errors, const Value *service, const Value *old,
                              const char *name, const char *singular) {
    const Value *now = value_get(spec_of(service), str_from(name));
    const Value *before = value_get(spec_of(old), str_from(name));
    uint32_t n_now = now ? now->n : 0, n_before = before ? before->n : 0;
    const Path *path = PATH(&spec_path, str_from(name));
    const Value *shown = now ? now : value_new_null(errors->arena);
    if (n_now == n_before) {
        for (uint32_t i = 0; i < n_now; i++)
            if (!value_equal(now->items[i], before->items[i]))
                field_invalid_value(errors, PATH_INDEX(path, i), shown, "may not change once set");
        return;
    }
    if (n_before > n_now && !n_now) {
        Str detail = arena_printf(errors->arena, "primary %s can not be unset", singular);
        field_invalid_value(errors, PATH_INDEX(path, 0), shown, detail.ptr);
    }
    if (n_before && n_now && !value_equal(now->items[0], before->items[0]))
        field_invalid_value(errors, PATH_INDEX(path, 0), shown, "may not change once set");
    if (n_before > n_now && n_now == 1 && !tree_is(service, "spec.ipFamilyPolicy", "SingleStack")) {
        Str detail =
            arena_printf(errors->arena,
                         "must be set to 'SingleStack' when releasing the secondary %s", singular);
        field_invalid_value(errors, PATH(&spec_path, STR("ipFamilyPolicy")),
                            value_at(service, "spec.ipFamilyPolicy"), detail.ptr);
    }
}

void service_validate_class(FieldErrors *errors, const Value *service, const Value *old) {
    const Value *class = value_at(service, "spec.loadBalancerClass");
    const Path *path = PATH(&spec_path, STR("loadBalancerClass"));
    bool balancer = service_is_type(service, "LoadBalancer");
    if (old) {
        if (balancer && service_is_type(old, "LoadBalancer") &&
            !same_field(service, old, "loadBalancerClass"))
            field_invalid_value(errors, path, class, "may not change once set");
        return; // the rest is checked with the service as such
    }
    if (class && balancer)
        schema_check_format(errors, path, FORMAT_LABEL_KEY, tree_string(class));
    else if (class)
        field_forbidden(errors, path, "may only be used when `type` is 'LoadBalancer'");
}

void service_validate_update(FieldErrors *errors, const Value *service, const Value *old) {
    bool external_name =
        service_is_type(service, "ExternalName") || service_is_type(old, "ExternalName");
    bool headless = service_is_headless(service), was_headless = service_is_headless(old);
    if (!external_name && !(headless && was_headless))
        check_list_update(errors, service, old, "clusterIPs", "clusterIP");
    if (!external_name && !headless && !was_headless)
        check_list_update(errors, service, old, "ipFamilies", "ipFamily");
    service_validate_class(errors, service, old);
    if (service_needs_health_port(service) && service_needs_health_port(old) &&
        !same_field(service, old, "healthCheckNodePort"))
        field_forbidden(errors, PATH(&spec_path, STR("healthCheckNodePort")), "field is immutable");
}
