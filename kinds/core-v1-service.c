// Services: SetDefaults_Service, ValidateService and the registry's strategy upstream.

#include "kinds/address.h"
#include "kinds/rules.h"
#include "kinds/service.h"

#define AFFINITY_SECONDS 10800 // three hours
#define AFFINITY_MAX_SECONDS 86400

// ---- defaults

static void default_port(Arena *arena, Value *port) {
    const Value *target = value_get(port, STR("targetPort"));
    bool unset = !target || (target->kind == VALUE_INT && !target->integer) ||
                 (target->kind == VALUE_STRING && !target->string.len);
    if (unset)
        value_set_int(arena, port, STR("targetPort"), value_int_at(port, "port", 0));
}
const TypeRules service_port_rules = {.default_fn = default_port};

static void default_affinity(Arena *arena, Value *spec) {
    if (!tree_is(spec, "sessionAffinity", "ClientIP")) {
        if (tree_is(spec, "sessionAffinity", "None"))
            value_unset(spec, STR("sessionAffinityConfig"));
    } else if (!value_at(spec, "sessionAffinityConfig.clientIP.timeoutSeconds")) {
        value_set_int(arena, value_at_make(arena, spec, "sessionAffinityConfig.clientIP"),
                      STR("timeoutSeconds"), AFFINITY_SECONDS);
    }
}

static void default_spec(Arena *arena, Value *spec) {
    Str type = value_string_at(spec, "type");
    bool cluster_ip = str_eq(type, STR("ClusterIP")), balancer = str_eq(type, STR("LoadBalancer"));
    bool node_port = str_eq(type, STR("NodePort"));
    default_affinity(arena, spec);
    if ((balancer || node_port || (cluster_ip && tree_count(spec, "externalIPs"))) &&
        !tree_has_string(spec, "externalTrafficPolicy"))
        value_set_str(arena, spec, STR("externalTrafficPolicy"), STR("Cluster"));
    if ((cluster_ip || node_port || balancer) && !value_get(spec, STR("internalTrafficPolicy")))
        value_set_str(arena, spec, STR("internalTrafficPolicy"), STR("Cluster"));
    if (balancer && !value_get(spec, STR("allocateLoadBalancerNodePorts")))
        value_set_bool(arena, spec, STR("allocateLoadBalancerNodePorts"), true);
}
const TypeRules service_spec_rules = {.default_fn = default_spec};

static void default_status(Arena *arena, Value *service) {
    if (!service_is_type(service, "LoadBalancer"))
        return;
    Value *ingress = value_at(service, "status.loadBalancer.ingress");
    for (uint32_t i = 0; ingress && ingress->kind == VALUE_ARRAY && i < ingress->n; i++)
        if (tree_has_string(ingress->items[i], "ip") &&
            !value_get(ingress->items[i], STR("ipMode")))
            value_set_str(arena, ingress->items[i], STR("ipMode"), STR("VIP"));
}

// ---- validation

static const Path *in_spec(Path *storage, Str name) {
    static const Path spec = {.name = {"spec", 4}, .index = -1};
    *storage = (Path){.parent = &spec, .name = name, .index = -1};
    return storage;
}
#define SPEC(name) in_spec(&(Path){0}, STR(name))

static void check_port_number(FieldErrors *errors, const Path *path, int64_t port) {
    if (port < 1 || port > 65535)
        field_invalid_int(errors, path, port, "must be between 1 and 65535, inclusive");
}

static void check_target_port(FieldErrors *errors, const Value *target, const Path *path) {
    if (target && target->kind == VALUE_STRING)
        schema_check_format(errors, path, FORMAT_PORT_NAME, target->string);
    else
        check_port_number(errors, path, target && target->kind == VALUE_INT ? target->integer : 0);
}

// As upstream shows its internal ServicePort with only these two fields set.
static Value *shown_port(Arena *arena, const Value *port) {
    Value *shown = value_new_object(arena);
    Str protocol = value_string_at(port, "protocol");
    value_set_str(arena, shown, STR("Name"), STR(""));
    value_set_str(arena, shown, STR("Protocol"), protocol.ptr ? protocol : STR(""));
    value_set(arena, shown, STR("AppProtocol"), value_new_null(arena));
    value_set_int(arena, shown, STR("Port"), value_int_at(port, "port", 0));
    value_set_int(arena, shown, STR("TargetPort"), 0);
    value_set_int(arena, shown, STR("NodePort"), 0);
    return shown;
}

static bool same_protocol_and(const Value *a, const Value *b, const char *field) {
    return str_eq(value_string_at(a, "protocol"), value_string_at(b, "protocol")) &&
           value_int_at(a, field, 0) == value_int_at(b, field, 0);
}

// A port is compared with those before it: the first of several is not at fault.
static void check_port_duplicates(FieldErrors *errors, const Value *ports, uint32_t i,
                                  const Path *path) {
    const Value *port = ports->items[i];
    bool name = false, node_port = false, same = false;
    for (uint32_t j = 0; j < i; j++) {
        const Value *other = ports->items[j];
        name = name || (tree_has_string(port, "name") &&
                        str_eq(value_string_at(port, "name"), value_string_at(other, "name")));
        node_port = node_port || (value_int_at(port, "nodePort", 0) &&
                                  same_protocol_and(port, other, "nodePort"));
        same = same || same_protocol_and(port, other, "port");
    }
    if (name)
        field_duplicate(errors, PATH(path, STR("name")), value_string_at(port, "name"));
    if (node_port)
        field_duplicate_value(errors, PATH(path, STR("nodePort")),
                              value_get(port, STR("nodePort")));
    if (same)
        field_duplicate_value(errors, path, shown_port(errors->arena, port));
}

#define MAX_PORTS 1000 // upstream has no limit; this one keeps the checks above short

static void validate_ports(FieldErrors *errors, const Value *service) {
    const Value *ports = value_at(service, "spec.ports");
    uint32_t n = tree_count(service, "spec.ports");
    if (!n && !service_is_headless(service) && !service_is_type(service, "ExternalName"))
        field_required(errors, SPEC("ports"), "");
    if (n > MAX_PORTS) {
        field_too_many(errors, SPEC("ports"), n, MAX_PORTS);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        const Value *port = ports->items[i];
        const Path *path = PATH_INDEX(SPEC("ports"), i);
        if (n > 1 && !tree_has_string(port, "name"))
            field_required(errors, PATH(path, STR("name")), "");
        if (!tree_has_string(port, "protocol"))
            field_required(errors, PATH(path, STR("protocol")), "");
        check_target_port(errors, value_get(port, STR("targetPort")),
                          PATH(path, STR("targetPort")));
        if (service_is_type(service, "ClusterIP") && value_int_at(port, "nodePort", 0))
            field_forbidden(errors, PATH(path, STR("nodePort")),
                            "may not be used when `type` is 'ClusterIP'");
        check_port_duplicates(errors, ports, i, path);
    }
}

static void validate_external_name(FieldErrors *errors, const Value *service) {
    static const char *const unwanted[] = {"clusterIPs", "ipFamilies", "ipFamilyPolicy"};
    const Value *spec = value_get(service, STR("spec"));
    for (size_t i = 0; i < sizeof unwanted / sizeof unwanted[0]; i++)
        if (value_get(spec, str_from(unwanted[i])))
            field_forbidden(errors, PATH(PATH(NULL, STR("spec")), str_from(unwanted[i])),
                            "may not be set for ExternalName services");
    Str name = value_string_at(service, "spec.externalName");
    if (name.len && name.ptr[name.len - 1] == '.') // fully qualified
        name.len--;
    if (name.len)
        schema_check_format(errors, SPEC("externalName"), FORMAT_DNS_SUBDOMAIN, name);
    else
        field_required(errors, SPEC("externalName"), "");
}

static void validate_type(FieldErrors *errors, const Value *service) {
    const Path *first = PATH_INDEX(SPEC("clusterIPs"), 0);
    if (service_is_type(service, "ExternalName"))
        validate_external_name(errors, service);
    else if (service_is_headless(service) && service_is_type(service, "LoadBalancer"))
        field_invalid(errors, first, STR("None"),
                      "may not be set to 'None' for LoadBalancer services");
    else if (service_is_headless(service) && service_is_type(service, "NodePort"))
        field_invalid(errors, first, STR("None"), "may not be set to 'None' for NodePort services");
}

static void validate_affinity(FieldErrors *errors, const Value *service) {
    const Value *config = value_at(service, "spec.sessionAffinityConfig");
    const Path *path = SPEC("sessionAffinityConfig");
    const Path *client = PATH(path, STR("clientIP"));
    const char *missing = "when session affinity type is ClientIP";
    if (tree_is(service, "spec.sessionAffinity", "None") && config)
        field_forbidden(errors, path, "must not be set when session affinity is None");
    if (!tree_is(service, "spec.sessionAffinity", "ClientIP"))
        return;
    const Value *seconds = value_at(config, "clientIP.timeoutSeconds");
    if (!config)
        field_required(errors, path, missing);
    else if (!value_get(config, STR("clientIP")))
        field_required(errors, client, missing);
    else if (!seconds)
        field_required(errors, PATH(client, STR("timeoutSeconds")), missing);
    else if (seconds->integer <= 0 || seconds->integer > AFFINITY_MAX_SECONDS)
        field_invalid_int(errors, PATH(client, STR("timeoutSeconds")), seconds->integer,
                          "must be greater than 0 and less than 86400");
}

static void validate_external_addresses(FieldErrors *errors, const Value *service) {
    uint32_t n = tree_count(service, "spec.externalIPs");
    for (uint32_t i = 0; i < n; i++) {
        Str address = tree_string(tree_item(service, "spec.externalIPs", i));
        const Path *path = PATH_INDEX(SPEC("externalIPs"), i);
        if (address_check(errors, path, address))
            address_check_not_special(errors, path, address);
    }
}

#define SOURCE_RANGES STR("service.beta.kubernetes.io/load-balancer-source-ranges")

static void validate_source_ranges(FieldErrors *errors, const Value *service) {
    const char *only = "may only be used when `type` is 'LoadBalancer'";
    bool balancer = service_is_type(service, "LoadBalancer");
    uint32_t n = tree_count(service, "spec.loadBalancerSourceRanges");
    const Value *annotation = value_get(value_at(service, "metadata.annotations"), SOURCE_RANGES);
    const Path *path =
        n ? SPEC("LoadBalancerSourceRanges")
          : PATH_KEY(PATH(PATH(NULL, STR("metadata")), STR("annotations")), SOURCE_RANGES);
    if ((n || annotation) && !balancer)
        field_forbidden(errors, path, only);
    for (uint32_t i = 0; i < n; i++)
        address_check_range(
            errors, PATH_INDEX(path, i),
            str_trim(tree_string(tree_item(service, "spec.loadBalancerSourceRanges", i))));
    Str rest = n ? STR_NONE : str_trim(tree_string(annotation));
    while (rest.len)
        address_check_range(errors, path, str_trim(str_cut(&rest, ',')));
}

static void validate_balancer(FieldErrors *errors, const Value *service) {
    const Value *allocate = value_at(service, "spec.allocateLoadBalancerNodePorts");
    bool balancer = service_is_type(service, "LoadBalancer");
    if (allocate && !balancer)
        field_forbidden(errors, SPEC("allocateLoadBalancerNodePorts"),
                        "may only be used when `type` is 'LoadBalancer'");
    if (!allocate && balancer)
        field_required(errors, PATH(NULL, STR("allocateLoadBalancerNodePorts")), "");
    service_validate_class(errors, service, NULL);
}

static void validate_traffic_policies(FieldErrors *errors, const Value *service) {
    Str policy = value_string_at(service, "spec.externalTrafficPolicy");
    int64_t health = value_int_at(service, "spec.healthCheckNodePort", 0);
    if (!service_is_external(service) && policy.len)
        field_invalid(errors, SPEC("externalTrafficPolicy"), policy,
                      "may only be set for externally-accessible services");
    if (service_is_external(service) && !policy.len)
        field_required(errors, SPEC("externalTrafficPolicy"), "");
    if (service_needs_health_port(service)) {
        if (health) // else one is given out after this
            check_port_number(errors, SPEC("healthCheckNodePort"), health);
    } else if (health) {
        field_invalid_int(errors, SPEC("healthCheckNodePort"), health,
                          "may only be set when `type` is 'LoadBalancer' and "
                          "`externalTrafficPolicy` is 'Local'");
    }
    if (service_needs_cluster_ip(service) && !value_at(service, "spec.internalTrafficPolicy"))
        field_required(errors, SPEC("internalTrafficPolicy"), "");
}

static void validate(FieldErrors *errors, const Value *service) {
    validate_ports(errors, service);
    validate_type(errors, service);
    schema_validate_labels(errors, value_at(service, "spec.selector"), SPEC("selector"));
    validate_affinity(errors, service);
    service_validate_addresses(errors, service);
    validate_external_addresses(errors, service);
    validate_source_ranges(errors, service);
    validate_balancer(errors, service);
    validate_traffic_policies(errors, service);
}

static void validate_ingress(FieldErrors *errors, const Value *ingress, const Path *path) {
    static const Str modes[] = {{"Proxy", 5}, {"VIP", 3}};
    Str ip = value_string_at(ingress, "ip"), host = value_string_at(ingress, "hostname");
    const Value *mode = value_get(ingress, STR("ipMode"));
    Address address;
    if (ip.len)
        address_check(errors, PATH(path, STR("ip")), ip);
    if (!mode && ip.len)
        field_required(errors, PATH(path, STR("ipMode")), "must be specified when `ip` is set");
    else if (mode && !ip.len)
        field_forbidden(errors, PATH(path, STR("ipMode")),
                        "may not be specified when `ip` is not set");
    else if (mode && !str_eq(tree_string(mode), modes[0]) && !str_eq(tree_string(mode), modes[1]))
        field_not_supported(errors, PATH(path, STR("ipMode")), tree_string(mode), modes, 2);
    if (!host.len)
        return;
    schema_check_format(errors, PATH(path, STR("hostname")), FORMAT_DNS_SUBDOMAIN, host);
    if (address_parse(host, &address))
        field_invalid(errors, PATH(path, STR("hostname")), host,
                      "must be a DNS name, not an IP address");
}

static void validate_status_update(FieldErrors *errors, const Value *service, const Value *old) {
    const Path *path = PATH(PATH(PATH(NULL, STR("status")), STR("loadBalancer")), STR("ingress"));
    uint32_t n = tree_count(service, "status.loadBalancer.ingress");
    if (n && !service_is_type(service, "LoadBalancer")) {
        field_forbidden(errors, path, "may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        validate_ingress(errors, tree_item(service, "status.loadBalancer.ingress", i),
                         PATH_INDEX(path, i));
}

const ResourceRules service_rules = {
    .default_fn = default_status,
    .prepare = service_prepare,
    .validate = validate,
    .validate_update = service_validate_update,
    .validate_status_update = validate_status_update,
    .name_format = FORMAT_DNS_LABEL_1035,
};
