#pragma once
// Services and their endpoints in the compact form that proxy and DNS work from, kept by watch.
// Addresses are IPv4 in host byte order; 0: none. Others (IPv6, FQDN) are left out.

#include "client/informer.h"
#include "net/ipam.h"

typedef struct ServiceTable ServiceTable;

typedef enum NetProtocol { NET_TCP = 6, NET_UDP = 17, NET_SCTP = 132 } NetProtocol;

typedef struct NetPort {
    Str name;
    uint8_t protocol; // NetProtocol
    uint16_t port, node_port;
} NetPort;

typedef struct NetService { // immutable
    Str namespace_, name;
    Str external_name; // of type ExternalName; else empty
    uint32_t cluster_ip;
    bool headless, internal_local, external_local, publish_not_ready;
    uint16_t health_port;
    uint32_t affinity; // seconds; 0: none
    const NetPort *ports;
    size_t n_ports;
    const uint32_t *external_ips, *balancer_ips;
    size_t n_external_ips, n_balancer_ips;
    const Ipv4Range *sources; // who may use the balancer's addresses; none: all
    size_t n_sources;
} NetService;

typedef struct NetEndpoint {
    uint32_t address;
    bool ready, serving, terminating, local; // local: on this node
    bool for_others;                         // a hint names other nodes, not this one
    bool for_us;                             // a hint names this node
    Str hostname;
} NetEndpoint;

typedef struct NetSlice { // immutable
    const NetPort *ports; // port 0: any
    size_t n_ports;
    const NetEndpoint *endpoints;
    size_t n_endpoints;
} NetSlice;

typedef struct NetBackends { // what is known under one name; the parts come and go alone
    Str key;                 // "namespace/name"
    const NetService *service;
    const NetSlice *const *slices;
    size_t n_slices;
} NetBackends;

typedef struct ServiceTableListener {
    void (*on_change)(void *user, const NetBackends *now); // of service or slices
    void (*on_synced)(void *user);                         // once; may be NULL
} ServiceTableListener;

// `node_name`: whose endpoints are local.
ServiceTable *service_table_new(Client *client, Str node_name);
void service_table_free(ServiceTable *table);
// For tests and measurements, which have no client (NULL): as if a watch had told. One of the two
// may be NULL.
void service_table_feed(ServiceTable *table, bool slice, const InformerObject *old,
                        const InformerObject *now);
void service_table_feed_synced(ServiceTable *table);
// Add before the loop runs; there is room for four.
void service_table_listen(ServiceTable *table, const ServiceTableListener *listener, void *user);
bool service_table_is_synced(const ServiceTable *table);
const NetBackends *service_table_get(const ServiceTable *table, Str namespace_, Str name);
void service_table_each(const ServiceTable *table,
                        void (*visit)(void *user, const NetBackends *backends), void *user);

// From objects as JSON, each one allocation, released with free(); NULL when it can't be read.
// `ret_key`: of the slice's service, in `arena`.
NetService *net_service_parse(Arena *arena, const InformerObject *object);
NetSlice *net_slice_parse(Arena *arena, const InformerObject *object, Str node_name, Str *ret_key);
