#pragma once
// What a service puts into the sets and maps of proxy_rules.h: pure, so that a change is the
// difference of two lists.

#include "net/service_table.h"

typedef enum ProxySet {  // in the order in which they are filled; see proxy_rules.c for their types
    PROXY_ENDPOINTS,     // (index, address, protocol, port) -> address and port of an endpoint
    PROXY_HAIRPIN,       // (address, address): endpoints that may reach themselves
    PROXY_ALLOWED,       // (range, address, protocol, port): sources of a balancer's address
    PROXY_RESTRICTED,    // (address, protocol, port): only for sources in PROXY_ALLOWED
    PROXY_REFUSED,       // (address, protocol, port): no endpoints
    PROXY_REFUSED_PORTS, // (protocol, port), likewise
    PROXY_SERVICES,      // (address, protocol, port) -> chain
    PROXY_NODE_PORTS,    // (protocol, port) -> chain
    PROXY_SETS,
} ProxySet;

// A chain, by what it does; its name says the same (proxy_rules.h).
typedef struct ProxyChain {
    uint32_t affinity;   // seconds; 0: none
    uint16_t all, local; // endpoints to choose from, at most PROXY_ENDPOINTS_MAX
    bool external;       // traffic from outside: masqueraded, or only to local endpoints
    bool external_local; // then: the latter
    bool node_port;      // elements are found under address 0
} ProxyChain;

#define PROXY_ENDPOINTS_MAX 10000    // of one port; more are left out
#define PROXY_LOCAL_BASE 0x80000000u // the index of the first local endpoint

typedef struct ProxyElement { // host byte order; what its set does not use is 0
    uint32_t address, index;
    uint16_t port;
    uint8_t protocol, set;
    // The value.
    uint32_t to_address;
    uint16_t to_port;
    uint8_t prefix; // PROXY_ALLOWED: of the range that begins at `index`
    ProxyChain chain;
} ProxyElement;

typedef struct ProxyElements {
    ProxyElement *items;
    size_t n;
} ProxyElements;

typedef struct ProxyContext {
    // Whether this service may have that address (0: the node port) with that port. NULL: yes.
    bool (*claim)(void *user, const NetBackends *backends, uint32_t address, uint8_t protocol,
                  uint16_t port);
    void *user;
} ProxyContext;

// Sorted by key. `before`: what it had, so that endpoints keep their index. In `arena`.
ProxyElements proxy_elements(Arena *arena, const NetBackends *backends, const ProxyElements *before,
                             const ProxyContext *context);
int proxy_element_compare_key(const ProxyElement *a, const ProxyElement *b);
bool proxy_element_same_value(const ProxyElement *a, const ProxyElement *b);
void proxy_elements_sort(ProxyElements *elements);
// Endpoints of the service on this node that take traffic: what health checks ask for.
size_t proxy_local_endpoints(const NetBackends *backends);
