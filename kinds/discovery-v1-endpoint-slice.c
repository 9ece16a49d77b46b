// EndpointSlices: pkg/apis/discovery/validation upstream.

#include "kinds/address.h"
#include "kinds/pod.h"
#include "kinds/rules.h"

#define MAX_ENDPOINTS 1000
#define MAX_ADDRESSES 100
#define MAX_PORTS 20000
#define MAX_TOPOLOGY 16
#define MAX_HINTS 8

// ---- endpoints

// IsFullyQualifiedDomainName
static void check_domain(FieldErrors *errors, Str name, const Path *path) {
    Str rest = str_ends_with(name, STR(".")) ? str_slice(name, 0, name.len - 1) : name;
    if (!name.len) {
        field_required(errors, path, "");
        return;
    }
    if (!schema_check_format(errors, path, FORMAT_DNS_SUBDOMAIN, rest))
        return;
    if (str_find(rest, '.') < 0)
        field_invalid(errors, path, rest,
                      "should be a domain with at least two segments separated by dots");
    while (rest.ptr) {
        Str label = str_cut(&rest, '.');
        if (label.len > 63)
            field_invalid(errors, path, label, "must be no more than 63 bytes");
    }
}

static void check_address(FieldErrors *errors, Str type, Str text, const Path *path) {
    bool v6 = str_eq(type, STR("IPv6"));
    Address address;
    if (str_eq(type, STR("FQDN"))) {
        check_domain(errors, text, path);
    } else if (!address_parse(text, &address) || address.v6 != v6) {
        field_invalid(errors, path, text,
                      v6 ? "must be a valid IPv6 address" : "must be a valid IPv4 address");
    } else {
        address_check_not_special(errors, path, text);
    }
}

static void check_addresses(FieldErrors *errors, Str type, const Value *addresses,
                            const Path *path) {
    uint32_t n = list_count(addresses);
    if (!n)
        field_required(errors, path, "must contain at least 1 address");
    if (n > MAX_ADDRESSES)
        field_too_many(errors, path, n, MAX_ADDRESSES);
    if (!str_eq(type, STR("IPv4")) && !str_eq(type, STR("IPv6")) && !str_eq(type, STR("FQDN")))
        return;
    for (uint32_t i = 0; i < n && n <= MAX_ADDRESSES; i++)
        check_address(errors, type, tree_string(addresses->items[i]), PATH_INDEX(path, i));
}

// For zones or nodes.
static void check_hints(FieldErrors *errors, const Value *hints, FieldFormat format,
                        const Path *path) {
    _name_set_deinit_ NameSet names = {.n = 0};
    if (list_count(hints) > MAX_HINTS) {
        field_too_many(errors, path, list_count(hints), MAX_HINTS);
        return;
    }
    for (uint32_t i = 0; i < list_count(hints); i++) {
        const Path *at = AT(PATH_INDEX(path, i), "name");
        Str name = GET_STR(hints->items[i], "name");
        if (name_set_add(&names, name, hints))
            field_duplicate(errors, at, name);
        else
            schema_check_format(errors, at, format, name);
    }
}

static void check_endpoint(FieldErrors *errors, Str type, const Value *endpoint, const Path *path) {
    const Value *node = GET(endpoint, "nodeName"), *host = GET(endpoint, "hostname");
    const Value *topology = GET(endpoint, "deprecatedTopology"), *hints = GET(endpoint, "hints");
    check_addresses(errors, type, GET(endpoint, "addresses"), AT(path, "addresses"));
    if (node)
        schema_check_format(errors, AT(path, "nodeName"), FORMAT_DNS_SUBDOMAIN, tree_string(node));
    if (map_count_of(topology) > MAX_TOPOLOGY)
        field_too_many(errors, AT(path, "deprecatedTopology"), topology->n, MAX_TOPOLOGY);
    if (topology)
        schema_validate_labels(errors, topology, AT(path, "deprecatedTopology"));
    if (host)
        schema_check_format(errors, AT(path, "hostname"), FORMAT_DNS_LABEL, tree_string(host));
    check_hints(errors, GET(hints, "forZones"), FORMAT_LABEL_VALUE,
                AT(AT(path, "hints"), "forZones"));
    check_hints(errors, GET(hints, "forNodes"), FORMAT_DNS_SUBDOMAIN,
                AT(AT(path, "hints"), "forNodes"));
}

// ---- ports

static void check_ports(FieldErrors *errors, const Value *ports, const Path *path) {
    _name_set_deinit_ NameSet names = {.n = 0};
    if (list_count(ports) > MAX_PORTS) {
        field_too_many(errors, path, list_count(ports), MAX_PORTS);
        return;
    }
    for (uint32_t i = 0; i < list_count(ports); i++) {
        const Path *at = PATH_INDEX(path, i);
        Str name = GET_STR(ports->items[i], "name");
        const Value *application = GET(ports->items[i], "appProtocol");
        if (name.len)
            schema_check_format(errors, AT(at, "name"), FORMAT_DNS_LABEL, name);
        if (name_set_add(&names, name, ports))
            field_duplicate(errors, AT(at, "name"), name);
        if (application)
            schema_check_format(errors, AT(at, "appProtocol"), FORMAT_LABEL_KEY,
                                tree_string(application));
    }
}

static void validate(FieldErrors *errors, const Value *slice) {
    const Value *endpoints = GET(slice, "endpoints");
    const Path *path = AT(NULL, "endpoints");
    Str type = GET_STR(slice, "addressType");
    if (list_count(endpoints) > MAX_ENDPOINTS)
        field_too_many(errors, path, list_count(endpoints), MAX_ENDPOINTS);
    for (uint32_t i = 0; i < list_count(endpoints) && list_count(endpoints) <= MAX_ENDPOINTS; i++)
        check_endpoint(errors, type, endpoints->items[i], PATH_INDEX(path, i));
    check_ports(errors, GET(slice, "ports"), AT(NULL, "ports"));
}

const ResourceRules endpoint_slice_rules = {.validate = validate};
