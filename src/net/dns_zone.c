#include "net/dns_zone.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"

#define ADDRESSES_MAX 1000 // in one answer; TCP holds some more

typedef struct Holding { // what a service has put into the zone's maps
    uint32_t *addresses;
    size_t n;
} Holding;

struct DnsZone {
    ServiceTable *services;
    char *domain;
    uint32_t address, serial, turn;
    Ipv4Range service_range, pod_range;
    Map *reverse;    // address -> "web.default.svc", "mysql-0.mysql.default.svc"
    Map *holdings;   // service key -> Holding
    Map *namespaces; // -> number of services
};

typedef struct Answer {
    DnsZone *zone;
    const DnsQuery *query;
    DnsWriter *writer;
    Str domain;
} Answer;

// ---- following the services

static Str address_key(const uint32_t *address) {
    return str_of((const char *)address, sizeof *address);
}

static void count_namespace(DnsZone *zone, Str key, int change) {
    Str rest = key, namespace_ = str_cut(&rest, '/');
    intptr_t n = (intptr_t)map_get(zone->namespaces, namespace_) + change;
    if (n)
        map_put(zone->namespaces, namespace_, (void *)n);
    else
        map_remove(zone->namespaces, namespace_);
}

static void hold(DnsZone *zone, Holding *holding, uint32_t address, const NetService *service,
                 Str host) {
    char *name = NULL;
    if (asprintf(&name, "%.*s%s%.*s.%.*s.svc", STR_ARG(host), host.len ? "." : "",
                 STR_ARG(service->name), STR_ARG(service->namespace_)) < 0)
        abort();
    free(map_put(zone->reverse, address_key(&address), name));
    holding->addresses = memory_resize_array(holding->addresses, holding->n + 1, sizeof address);
    holding->addresses[holding->n++] = address;
}

// "10-42-0-7", how an endpoint without a host name is called.
static Str endpoint_name(const NetEndpoint *endpoint, char buffer[IPAM_TEXT]) {
    if (endpoint->hostname.len)
        return endpoint->hostname;
    ipv4_format(endpoint->address, buffer);
    for (char *c = buffer; *c; c++)
        *c = *c == '.' ? '-' : *c;
    return str_from(buffer);
}

static void release(DnsZone *zone, Str key) {
    Holding *holding = map_remove(zone->holdings, key);
    if (!holding)
        return;
    for (size_t i = 0; i < holding->n; i++)
        free(map_remove(zone->reverse, address_key(&holding->addresses[i])));
    free(holding->addresses);
    free(holding);
    count_namespace(zone, key, -1);
}

static void on_change(void *user, const NetBackends *now) {
    DnsZone *zone = user;
    const NetService *service = now->service;
    zone->serial++;
    release(zone, now->key);
    if (!service)
        return;
    Holding *holding = memory_new(Holding);
    if (service->cluster_ip)
        hold(zone, holding, service->cluster_ip, service, STR(""));
    for (size_t i = 0; service->headless && i < now->n_slices; i++)
        for (size_t j = 0; j < now->slices[i]->n_endpoints; j++) {
            const NetEndpoint *e = &now->slices[i]->endpoints[j];
            if (e->hostname.len && e->ready)
                hold(zone, holding, e->address, service, e->hostname);
        }
    map_put(zone->holdings, now->key, holding);
    count_namespace(zone, now->key, 1);
}

// ---- records

static void no_data(Answer *a) {
    dns_add_soa(a->writer, DNS_AUTHORITY, a->domain, DNS_ZONE_TTL, a->zone->serial);
}

static uint8_t no_name(Answer *a) {
    no_data(a);
    return DNS_NXDOMAIN;
}

static Str question(const Answer *a) {
    return str_of(a->query->name, a->query->name_len);
}

static bool wants(const Answer *a, uint16_t type) {
    return a->query->type == type || a->query->type == DNS_ANY;
}

static uint8_t address_or_none(Answer *a, uint32_t address) {
    if (wants(a, DNS_A))
        dns_add_a(a->writer, DNS_ANSWER, question(a), DNS_ZONE_TTL, address);
    else
        no_data(a);
    return DNS_OK;
}

typedef struct Ready { // endpoints of a headless service
    const NetEndpoint *items[ADDRESSES_MAX];
    const NetSlice *slices[ADDRESSES_MAX];
    size_t n;
} Ready;

static void find_ready(const NetBackends *backends, Ready *ret) {
    ret->n = 0;
    for (size_t i = 0; i < backends->n_slices; i++)
        for (size_t j = 0; j < backends->slices[i]->n_endpoints; j++) {
            const NetEndpoint *e = &backends->slices[i]->endpoints[j];
            if (!e->ready || ret->n == ADDRESSES_MAX)
                continue;
            ret->slices[ret->n] = backends->slices[i];
            ret->items[ret->n++] = e;
        }
}

static bool has_address(const Ready *ready, size_t n, uint32_t address) {
    for (size_t i = 0; i < n; i++)
        if (ready->items[i]->address == address)
            return true;
    return false;
}

// All of them, each time another one first.
static uint8_t headless_addresses(Answer *a, const NetBackends *backends) {
    Ready ready;
    find_ready(backends, &ready);
    if (!ready.n)
        return no_name(a);
    if (!wants(a, DNS_A)) {
        no_data(a);
        return DNS_OK;
    }
    size_t first = a->zone->turn++ % ready.n;
    for (size_t i = 0; i < ready.n; i++) {
        size_t at = (first + i) % ready.n;
        if (!has_address(&ready, at, ready.items[at]->address))
            dns_add_a(a->writer, DNS_ANSWER, question(a), DNS_ZONE_TTL, ready.items[at]->address);
    }
    return DNS_OK;
}

// One endpoint by its host name, or by its address with dashes.
static uint8_t endpoint_address(Answer *a, const NetBackends *backends, Str host) {
    Ready ready;
    size_t found = 0;
    char buffer[IPAM_TEXT];
    find_ready(backends, &ready);
    for (size_t i = 0; i < ready.n; i++) {
        if (!str_eq(endpoint_name(ready.items[i], buffer), host))
            continue;
        found++;
        if (wants(a, DNS_A))
            dns_add_a(a->writer, DNS_ANSWER, question(a), DNS_ZONE_TTL, ready.items[i]->address);
    }
    if (!found)
        return no_name(a);
    if (!wants(a, DNS_A))
        no_data(a);
    return DNS_OK;
}

// `port` and `protocol` 0: any.
static bool is_port(const NetPort *port, Str name, uint8_t protocol) {
    return (!name.ptr || str_eq(port->name, name)) && (!protocol || port->protocol == protocol);
}

static Str below(const Answer *a, char *buffer, size_t size, const NetService *service, Str host) {
    int n = snprintf(buffer, size, "%.*s%s%.*s.%.*s.svc.%.*s", STR_ARG(host), host.len ? "." : "",
                     STR_ARG(service->name), STR_ARG(service->namespace_), STR_ARG(a->domain));
    return n < 0 || (size_t)n >= size ? STR_NONE : str_of(buffer, (size_t)n);
}

static size_t headless_ports(Answer *a, const NetBackends *backends, Str name, uint8_t protocol) {
    Ready ready;
    size_t n = 0;
    char buffer[IPAM_TEXT], target[2 * DNS_NAME_MAX];
    find_ready(backends, &ready);
    for (int pass = 0; pass < 2; pass++) // the addresses follow the answers
        for (size_t i = 0; i < ready.n; i++) {
            const NetSlice *slice = ready.slices[i];
            Str host = below(a, target, sizeof target, backends->service,
                             endpoint_name(ready.items[i], buffer));
            bool any = false;
            for (size_t j = 0; j < slice->n_ports; j++) {
                if (!is_port(&slice->ports[j], name, protocol))
                    continue;
                any = true;
                n += pass == 0;
                if (pass == 0)
                    dns_add_srv(a->writer, DNS_ANSWER, question(a), DNS_ZONE_TTL,
                                (uint16_t)(100 / ready.n ? 100 / ready.n : 1), slice->ports[j].port,
                                host);
            }
            if (any && pass == 1)
                dns_add_a(a->writer, DNS_ADDITIONAL, host, DNS_ZONE_TTL, ready.items[i]->address);
        }
    return n;
}

static uint8_t ports(Answer *a, const NetBackends *backends, Str name, uint8_t protocol) {
    const NetService *service = backends->service;
    char target[2 * DNS_NAME_MAX];
    size_t n = 0;
    if (service->headless)
        return headless_ports(a, backends, name, protocol) ? DNS_OK : no_name(a);
    Str host = below(a, target, sizeof target, service, STR(""));
    for (size_t i = 0; i < service->n_ports; i++) {
        if (!is_port(&service->ports[i], name, protocol))
            continue;
        dns_add_srv(a->writer, DNS_ANSWER, question(a), DNS_ZONE_TTL, 100, service->ports[i].port,
                    host);
        n++;
    }
    if (n)
        dns_add_a(a->writer, DNS_ADDITIONAL, host, DNS_ZONE_TTL, service->cluster_ip);
    return n ? DNS_OK : no_name(a);
}

// ---- names

// The last label of `*rest`, which is cut off; "" when there is none.
static Str last_label(Str *rest) {
    ptrdiff_t dot = str_find_last(*rest, '.');
    Str label = dot < 0 ? *rest : str_slice(*rest, (size_t)dot + 1, rest->len);
    *rest = dot < 0 ? STR("") : str_slice(*rest, 0, (size_t)dot);
    return label;
}

static uint8_t protocol_of(Str label) {
    if (str_eq(label, STR("_tcp")))
        return NET_TCP;
    if (str_eq(label, STR("_udp")))
        return NET_UDP;
    return str_eq(label, STR("_sctp")) ? NET_SCTP : 0;
}

static bool has_port(const NetBackends *backends, Str name, uint8_t protocol) {
    for (size_t i = 0; i < backends->service->n_ports; i++)
        if (is_port(&backends->service->ports[i], name, protocol))
            return true;
    return false;
}

// "_http._tcp", "_tcp", "mysql-0" in front of a service's name.
static uint8_t below_service(Answer *a, const NetBackends *backends, Str rest) {
    Str label = last_label(&rest);
    uint8_t protocol = protocol_of(label);
    if (!protocol)
        return rest.len || !backends->service->headless ? no_name(a)
                                                        : endpoint_address(a, backends, label);
    Str port = last_label(&rest);
    bool named = port.len > 1 && port.ptr[0] == '_';
    if (rest.len || (port.len && !named) ||
        !has_port(backends, named ? str_slice(port, 1, port.len) : STR_NONE, protocol))
        return no_name(a);
    if (named && wants(a, DNS_SRV))
        return ports(a, backends, str_slice(port, 1, port.len), protocol);
    no_data(a);
    return DNS_OK;
}

static DnsVerdict service_name(Answer *a, Str rest, uint8_t *code, Str *alias) {
    Str namespace_ = last_label(&rest), name = last_label(&rest);
    *code = DNS_OK;
    if (!name.len) { // "default.svc", "svc"
        if (namespace_.len && !map_get(a->zone->namespaces, namespace_))
            *code = no_name(a);
        else
            no_data(a);
        return DNS_ANSWERED;
    }
    const NetBackends *backends = service_table_get(a->zone->services, namespace_, name);
    if (!backends || !backends->service) {
        *code = no_name(a);
        return DNS_ANSWERED;
    }
    const NetService *service = backends->service;
    if (service->external_name.len && !rest.len) {
        dns_add_name(a->writer, DNS_ANSWER, question(a), DNS_CNAME, DNS_ZONE_TTL,
                     service->external_name);
        *alias = service->external_name;
        return a->query->type == DNS_CNAME ? DNS_ANSWERED : DNS_ALIAS;
    }
    if (rest.len)
        *code = below_service(a, backends, rest);
    else if (a->query->type == DNS_SRV)
        *code = ports(a, backends, STR_NONE, 0);
    else if (service->headless)
        *code = headless_addresses(a, backends);
    else if (service->cluster_ip)
        *code = address_or_none(a, service->cluster_ip);
    else
        *code = no_name(a);
    return DNS_ANSWERED;
}

// "10-42-0-7.default.pod"
static uint8_t pod_name(Answer *a, Str rest) {
    char text[IPAM_TEXT] = {0};
    uint32_t address;
    Str namespace_ = last_label(&rest), dashed = last_label(&rest);
    if (!namespace_.len) {
        no_data(a);
        return DNS_OK;
    }
    if (!dashed.len || rest.len || dashed.len >= sizeof text)
        return no_name(a);
    for (size_t i = 0; i < dashed.len; i++)
        text[i] = dashed.ptr[i] == '-' ? '.' : dashed.ptr[i];
    return ipv4_parse(str_of(text, dashed.len), &address) ? no_name(a)
                                                          : address_or_none(a, address);
}

static uint8_t own_name(Answer *a, Str rest) {
    if (str_eq(rest, STR("dns-version")) && wants(a, DNS_TXT)) {
        dns_add_txt(a->writer, DNS_ANSWER, question(a), DNS_ZONE_TTL, STR("1.1.0"));
        return DNS_OK;
    }
    if (str_eq(rest, STR("ns.dns")))
        return address_or_none(a, a->zone->address);
    if (!rest.len && a->query->type == DNS_NS) {
        char server[DNS_NAME_MAX + 8];
        int n = snprintf(server, sizeof server, "ns.dns.%.*s", STR_ARG(a->domain));
        dns_add_name(a->writer, DNS_ANSWER, question(a), DNS_NS, DNS_ZONE_TTL,
                     str_of(server, (size_t)n));
        dns_add_a(a->writer, DNS_ADDITIONAL, str_of(server, (size_t)n), DNS_ZONE_TTL,
                  a->zone->address);
        return DNS_OK;
    }
    if (!rest.len && wants(a, DNS_SOA)) {
        dns_add_soa(a->writer, DNS_ANSWER, a->domain, DNS_ZONE_TTL, a->zone->serial);
        return DNS_OK;
    }
    if (rest.len && !str_eq(rest, STR("dns-version")) && !str_eq(rest, STR("dns")))
        return no_name(a);
    no_data(a);
    return DNS_OK;
}

// "7.0.42.10.in-addr.arpa" -> 10.42.0.7
static bool reverse_address(Str name, uint32_t *ret) {
    Str end = STR(".in-addr.arpa");
    if (!str_ends_with(name, end))
        return false;
    Str rest = str_slice(name, 0, name.len - end.len);
    uint32_t address = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t byte;
        if (!rest.ptr || str_to_u64(str_cut(&rest, '.'), &byte) || byte > 255)
            return false;
        address |= (uint32_t)byte << (8 * i);
    }
    *ret = address;
    return !rest.ptr;
}

static DnsVerdict reverse_name(Answer *a, uint8_t *code) {
    DnsZone *zone = a->zone;
    uint32_t address;
    char target[2 * DNS_NAME_MAX];
    if (!reverse_address(question(a), &address) || (!ipv4_range_has(zone->service_range, address) &&
                                                    !ipv4_range_has(zone->pod_range, address)))
        return DNS_FOREIGN;
    const char *name = map_get(zone->reverse, address_key(&address));
    if (!name) {
        *code = no_name(a);
        return DNS_ANSWERED;
    }
    *code = DNS_OK;
    int n = snprintf(target, sizeof target, "%s.%s", name, zone->domain);
    if (wants(a, DNS_PTR) && n < DNS_NAME_MAX)
        dns_add_name(a->writer, DNS_ANSWER, question(a), DNS_PTR, DNS_ZONE_TTL,
                     str_of(target, (size_t)n));
    else
        no_data(a);
    return DNS_ANSWERED;
}

bool dns_zone_holds(const DnsZone *zone, Str name) {
    Str domain = str_from(zone->domain);
    return str_ends_with(name, domain) &&
           (name.len == domain.len || name.ptr[name.len - domain.len - 1] == '.');
}

DnsVerdict dns_zone_answer(DnsZone *zone, const DnsQuery *query, DnsWriter *writer, uint8_t *code,
                           Str *alias) {
    Answer answer = {
        .zone = zone, .query = query, .writer = writer, .domain = str_from(zone->domain)};
    Str name = question(&answer);
    if (!dns_zone_holds(zone, name))
        return reverse_name(&answer, code);
    Str rest = name.len == answer.domain.len ? STR("")
                                             : str_slice(name, 0, name.len - answer.domain.len - 1);
    Str above = rest, kind = last_label(&above);
    if (str_eq(kind, STR("svc")))
        return service_name(&answer, above, code, alias);
    *code = str_eq(kind, STR("pod")) ? pod_name(&answer, above) : own_name(&answer, rest);
    return DNS_ANSWERED;
}

// ---- life

DnsZone *dns_zone_new(const DnsZoneConfig *config) {
    static const ServiceTableListener listener = {.on_change = on_change};
    DnsZone *zone = memory_new(DnsZone);
    zone->services = config->services;
    zone->domain = memory_zalloc(config->domain.len + 1);
    memcpy(zone->domain, config->domain.ptr, config->domain.len);
    zone->address = config->address;
    zone->service_range = config->service_range;
    zone->pod_range = config->pod_range;
    zone->reverse = map_new();
    zone->holdings = map_new();
    zone->namespaces = map_new();
    zone->serial = 1;
    service_table_listen(config->services, &listener, zone);
    return zone;
}

void dns_zone_free(DnsZone *zone) {
    if (!zone)
        return;
    MapIter holdings = {0}, reverse = {0};
    while (map_next(zone->holdings, &holdings)) {
        free(((Holding *)holdings.value)->addresses);
        free(holdings.value);
    }
    while (map_next(zone->reverse, &reverse))
        free(reverse.value);
    map_free(zone->holdings);
    map_free(zone->reverse);
    map_free(zone->namespaces);
    free(zone->domain);
    free(zone);
}
