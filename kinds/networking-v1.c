// Network policies, addresses and ranges of services: pkg/apis/networking/validation upstream.

#include "kinds/address.h"
#include "kinds/pod.h"
#include "kinds/rules.h"

static const Path spec_path = {.name = {"spec", 4}, .index = -1};

// ---- network policies

// SetDefaults_NetworkPolicy
static void default_types(Arena *arena, Value *policy) {
    Value *spec = GET(policy, "spec");
    if (!spec || list_count(GET(spec, "policyTypes")))
        return;
    Value *types = value_new_array(arena);
    value_push(arena, types, value_new_string(arena, STR("Ingress")));
    if (list_count(GET(spec, "egress")))
        value_push(arena, types, value_new_string(arena, STR("Egress")));
    value_set(arena, spec, STR("policyTypes"), types);
}

static void check_port_number(FieldErrors *errors, int64_t number, const Path *path) {
    if (number < 1 || number > 65535)
        field_invalid_int(errors, path, number, "must be between 1 and 65535, inclusive");
}

static void check_port(FieldErrors *errors, const Value *entry, const Path *path) {
    static const Str protocols[] = {{"TCP", 3}, {"UDP", 3}, {"SCTP", 4}};
    Str protocol = GET_STR(entry, "protocol");
    const Value *port = GET(entry, "port"), *end = GET(entry, "endPort");
    const Path *end_path = AT(path, "endPort");
    if (!str_eq(protocol, protocols[0]) && !str_eq(protocol, protocols[1]) &&
        !str_eq(protocol, protocols[2]))
        field_not_supported(errors, AT(path, "protocol"), protocol, protocols, 3);
    if (!port) {
        if (end)
            field_invalid_int(errors, end_path, end->integer,
                              "may not be specified when `port` is not specified");
    } else if (port->kind == VALUE_STRING) {
        if (end)
            field_invalid_int(errors, end_path, end->integer,
                              "may not be specified when `port` is non-numeric");
        schema_check_format(errors, AT(path, "port"), FORMAT_PORT_NAME, port->string);
    } else {
        check_port_number(errors, port->integer, AT(path, "port"));
        if (end && end->integer < port->integer)
            field_invalid_int(errors, end_path, port->integer,
                              "must be greater than or equal to `port`");
        if (end)
            check_port_number(errors, end->integer, end_path);
    }
}

typedef struct Range {
    Address address;
    uint64_t bits;
} Range;

static bool read_range(Str text, Range *ret) {
    Str length = text;
    Str ip = str_cut(&length, '/');
    return address_parse(ip, &ret->address) && length.ptr && !str_to_u64(length, &ret->bits);
}

static bool contains(const Range *range, const Address *address) {
    if (range->address.v6 != address->v6)
        return false;
    for (uint64_t bit = 0; bit < range->bits; bit++)
        if ((range->address.bytes[bit / 8] ^ address->bytes[bit / 8]) & (0x80 >> bit % 8))
            return false;
    return true;
}

static void check_block(FieldErrors *errors, const Value *block, const Path *path) {
    Str cidr = GET_STR(block, "cidr");
    const Value *except = GET(block, "except");
    Range range, part;
    if (!cidr.len) {
        field_required(errors, AT(path, "cidr"), "");
        return;
    }
    if (!address_check_range(errors, AT(path, "cidr"), cidr) || !read_range(cidr, &range))
        return;
    for (uint32_t i = 0; i < list_count(except); i++) {
        const Path *at = PATH_INDEX(AT(path, "except"), i);
        Str text = tree_string(except->items[i]);
        if (address_check_range(errors, at, text) && read_range(text, &part) &&
            (!contains(&range, &part.address) || part.bits <= range.bits))
            field_invalid(errors, at, text, "must be a strict subset of `cidr`");
    }
}

static void check_peer(FieldErrors *errors, const Value *peer, const Path *path) {
    const Value *block = GET(peer, "ipBlock");
    unsigned n = (GET(peer, "podSelector") != NULL) + (GET(peer, "namespaceSelector") != NULL) +
                 (block != NULL);
    if (block)
        check_block(errors, block, AT(path, "ipBlock"));
    if (!n)
        field_required(errors, path, "must specify a peer");
    else if (n > 1 && block)
        field_forbidden(errors, path, "may not specify both ipBlock and another peer");
}

static void check_direction(FieldErrors *errors, const Value *policy, Str direction, Str other) {
    const Value *rules = value_get(GET(policy, "spec"), direction);
    for (uint32_t i = 0; i < list_count(rules); i++) {
        const Path *path = PATH_INDEX(PATH(&spec_path, direction), i);
        const Value *ports = GET(rules->items[i], "ports"),
                    *peers = value_get(rules->items[i], other);
        for (uint32_t k = 0; k < list_count(ports); k++)
            check_port(errors, ports->items[k], PATH_INDEX(AT(path, "ports"), k));
        for (uint32_t k = 0; k < list_count(peers); k++)
            check_peer(errors, peers->items[k], PATH_INDEX(PATH(path, other), k));
    }
}

static void validate_policy(FieldErrors *errors, const Value *policy) {
    static const Str known[] = {{"Egress", 6}, {"Ingress", 7}};
    const Value *types = value_at(policy, "spec.policyTypes");
    const Path *path = AT(&spec_path, "policyTypes");
    check_direction(errors, policy, STR("ingress"), STR("from"));
    check_direction(errors, policy, STR("egress"), STR("to"));
    if (list_count(types) > 2) {
        field_invalid_value(errors, path, types, "may not specify more than two policyTypes");
        return;
    }
    for (uint32_t i = 0; i < list_count(types); i++) {
        Str type = tree_string(types->items[i]);
        if (!str_eq(type, known[0]) && !str_eq(type, known[1]))
            field_not_supported(errors, PATH_INDEX(path, i), type, known, 2);
    }
}

const ResourceRules network_policy_rules = {.default_fn = default_types,
                                            .validate = validate_policy};

// ---- addresses

static void check_segment(FieldErrors *errors, const Value *parent, Str field, bool required,
                          const Path *path) {
    Str text = tree_string(value_get(parent, field));
    if (text.len)
        schema_check_format(errors, PATH(path, field), FORMAT_PATH_SEGMENT, text);
    else if (required)
        field_required(errors, PATH(path, field), "");
}

static void check_canonical(FieldErrors *errors, Str name) {
    const Path *path = AT(AT(NULL, "metadata"), "name");
    Address address;
    if (!address_parse(name, &address))
        field_invalid(
            errors, path, name,
            arena_printf(errors->arena, "ParseAddr(\"%.*s\"): unable to parse IP", STR_ARG(name))
                .ptr);
    else if (!str_eq(address_format(errors->arena, &address), name))
        field_invalid(errors, path, name, "must be a canonical format IP address");
}

static void validate_address(FieldErrors *errors, const Value *object) {
    const Value *parent = value_at(object, "spec.parentRef");
    const Path *path = AT(&spec_path, "parentRef");
    check_canonical(errors, tree_string(value_at(object, "metadata.name")));
    if (!parent) {
        field_required(errors, path, "");
        return;
    }
    Str group = GET_STR(parent, "group");
    if (group.len)
        schema_check_format(errors, AT(path, "group"), FORMAT_DNS_SUBDOMAIN, group);
    check_segment(errors, parent, STR("resource"), true, path);
    check_segment(errors, parent, STR("name"), true, path);
    check_segment(errors, parent, STR("namespace"), false, path);
}

const ResourceRules ip_address_rules = {.validate = validate_address,
                                        .name_format = FORMAT_PATH_SEGMENT};

// ---- ranges

static void validate_ranges(FieldErrors *errors, const Value *object) {
    const Value *cidrs = value_at(object, "spec.cidrs");
    const Path *path = AT(&spec_path, "cidrs");
    uint32_t n = list_count(cidrs);
    Range first, second;
    if (!n)
        field_required(errors, path, "at least one CIDR required");
    if (n > 2) {
        field_invalid_value(errors, path, cidrs, "may only hold up to 2 values");
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        address_check_range(errors, PATH_INDEX(path, i), tree_string(cidrs->items[i]));
    if (n == 2 && read_range(tree_string(cidrs->items[0]), &first) &&
        read_range(tree_string(cidrs->items[1]), &second) && first.address.v6 == second.address.v6)
        field_invalid_value(errors, path, cidrs,
                            "may specify no more than one IP for each IP family, i.e "
                            "192.168.0.0/24 and 2001:db8::/64");
}

// A range of the other family may be added; what is there stays.
static void validate_ranges_update(FieldErrors *errors, const Value *object, const Value *old) {
    const Value *cidrs = value_at(object, "spec.cidrs"), *before = value_at(old, "spec.cidrs");
    const Path *path = AT(&spec_path, "cidrs");
    for (uint32_t i = 0; i < list_count(before); i++)
        if (i >= list_count(cidrs)) {
            field_invalid_value(errors, path, cidrs, "field is immutable");
            return;
        } else if (!value_equal(cidrs->items[i], before->items[i])) {
            field_invalid_value(errors, PATH_INDEX(path, i), cidrs->items[i], "field is immutable");
        }
}

const ResourceRules service_cidr_rules = {.validate = validate_ranges,
                                          .validate_update = validate_ranges_update};
