#pragma once
// The links of the pod network: what podnet.c has done on worker threads. Blocking.

#include "net/ipam.h"
#include "net/netlink.h"

#define PODNET_LINK_NAME 16

// "sp" and the first 12 digits of the sandbox's id.
void podnet_link_name(Str id, char out[PODNET_LINK_NAME]);

typedef struct BridgeConfig {
    const char *name;
    uint32_t gateway;
    Ipv4Range range;
    Ipv4Range services; // what this host's own packets to services are routed by; prefix 0: none
    uint32_t dns;       // one more address of the bridge; 0: none
    uint32_t mtu;       // 0: that of the default route's link
} BridgeConfig;
// Makes the bridge with its addresses and the route to services, or completes it. *ret_index is its
// number, *ret_mtu what pods get. -EADDRINUSE with *ret_other (the link's name) when another link
// has an address of one of the ranges.
int bridge_ensure(const BridgeConfig *config, uint32_t *ret_index, uint32_t *ret_mtu,
                  char ret_other[PODNET_LINK_NAME]) __attribute__((warn_unused_result));
// Deletes it and its ports. Fine when there is none.
int bridge_remove(const char *name) __attribute__((warn_unused_result));
// Deletes the ports whose name `keep` does not want.
int bridge_sweep(const char *name, bool (*keep)(void *user, const char *port), void *user)
    __attribute__((warn_unused_result));

typedef struct PodLink {
    const char *name, *bridge, *netns; // host end, its bridge, path of the namespace
    uint32_t address, gateway;
    unsigned prefix;
    uint32_t mtu;
} PodLink;
// Makes what is missing of: the veth pair, hairpin, eth0's address, lo up, the default route.
// On failure *ret_step says what failed.
int pod_link_ensure(const PodLink *link, const char **ret_step) __attribute__((warn_unused_result));
int pod_link_remove(const char *name) __attribute__((warn_unused_result)); // fine when it is gone
