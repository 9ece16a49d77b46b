#pragma once
// The nftables table of the service proxy: the rules, which are the same in every cluster, and how
// an element of proxy_elements.h looks in the kernel.
//
//   prerouting, output (nat)  -> services: cluster IP from outside: mark; then the chain that
//                                (address, protocol, port) has in @services, else for a local
//                                address (protocol, port) in @node-ports
//   postrouting (nat)         marked, or an endpoint that reached itself: masquerade
//   forward, input, output    -> refuse what has no endpoints, by RST or ICMP
//
// Chains of endpoints are made as they are needed, one for each number of endpoints:
//   to-N        dnat to one of N elements (index, address, protocol, port) of @endpoints
//   local-N     the same among the node's own
//   out-N       traffic from outside: mark, then to-N
//   own-N-M     externalTrafficPolicy Local: pods to-N, this host marked to-N, others local-M
//   none        drop
// each also with -port (looked up under address 0, as node ports are) and -sticky-T (session
// affinity of T seconds; @affinity holds the index that a client got).

#include "net/nft.h"
#include "net/proxy_elements.h"

typedef struct ProxyRules { // constants of the table
    const char *table;
    Ipv4Range services, pods;
    uint32_t dns; // of the service range, but answered by this host itself; 0: none
} ProxyRules;

#define PROXY_MARK 0x4000u // kube-proxy's masquerade bit
#define PROXY_CHAIN_NAME 48

// The table with all that is always there, in place of what may be there.
void proxy_rules_build(NftBatch *batch, const ProxyRules *rules);
void proxy_chain_name(const ProxyChain *chain, char ret[PROXY_CHAIN_NAME]);
bool proxy_chain_parse(const char *name, ProxyChain *ret);
// Makes the chain and those that it leads to, unless `exists(user, name)`; tells `made`.
typedef struct ProxyChains {
    bool (*exists)(void *user, const char *name);
    void (*made)(void *user, const char *name);
    void *user;
} ProxyChains;
void proxy_chain_build(NftBatch *batch, const ProxyRules *rules, const ProxyChain *chain,
                       const ProxyChains *chains);
void proxy_element_put(NftBatch *batch, const ProxyRules *rules, bool add,
                       const ProxyElement *element);

// What the kernel has. `ret_current`: the table is there, and made by these very rules; else the
// rest is empty. In `arena`.
typedef struct ProxyDump {
    bool current;
    ProxyElements elements; // sorted
    const char **chains;
    size_t n_chains;
} ProxyDump;
int proxy_dump(Arena *arena, Netlink *netlink, const ProxyRules *rules, ProxyDump *ret)
    __attribute__((warn_unused_result));

typedef struct ProxyMove { // of an endpoint of a service with session affinity
    uint32_t address, from, to;
    uint16_t port;
    uint8_t protocol;
    bool goes_on; // under the index `to`; else the endpoint is gone and its clients choose anew
} ProxyMove;
int proxy_move_clients(Netlink *netlink, const ProxyRules *rules, const ProxyMove *moves, size_t n)
    __attribute__((warn_unused_result));
