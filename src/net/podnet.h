#pragma once
// The network of this node's pods: a bridge that holds the range's first address, a veth pair per
// pod with its end as eth0 in the pod's namespace, a default route there, and masquerading for what
// leaves the cluster. No external program, no CNI plugin.
//
// Names: the bridge is the caller's, host ends of veths are "sp" and 12 digits of the sandbox's id,
// the nftables table "ip TABLE". Where another firewall drops forwarded packets (Docker, ufw: both
// set iptables' FORWARD policy to drop), accepting them in a table of ours would not help, because
// every base chain has to accept. So for as long as "ip filter FORWARD" exists (iptables-nft's),
// two rules for our bridge stand at the head of its DOCKER-USER chain, or else of FORWARD itself,
// in the very form in which iptables writes and lists them. A watch on nftables puts them back when
// that firewall comes later or starts anew, and our own table when somebody flushed it. Not
// covered: iptables-legacy, firewalld's own table.
//
// ip_forward is switched on and left on.

#include "base/loop.h"
#include "base/str.h"

typedef struct Podnet Podnet;

typedef struct PodnetConfig {
    Loop *loop;
    const char *bridge;        // at most 15 characters
    const char *table;         // of nftables
    const char *pod_range;     // of this node: "10.42.0.0/24", prefix 16 to 30
    const char *cluster_range; // what is not masqueraded: "10.42.0.0/16"
    const char *service_range; // routed to the bridge for the host's own sake; NULL: none
    const char *dns;           // the cluster DNS address, which the bridge gets too; NULL: none
    int mtu;                   // 0: that of the default route's link
    const char *directory;     // for the allocations, on a file system that a reboot may empty
} PodnetConfig;

// Makes bridge and table; blocks for some milliseconds. Returns 0 or negative errno with
// *ret_message (malloc'ed): -EADDRINUSE when the range is in use on another link.
int podnet_new(const PodnetConfig *config, Podnet **ret, char **ret_message)
    __attribute__((warn_unused_result));
void podnet_free(Podnet *podnet); // pods stay connected; pending callbacks are dropped
// Removes links, bridge, rules and allocations. For `seapod cleanup`: blocks, needs no loop.
int podnet_cleanup(const PodnetConfig *config, char **ret_message)
    __attribute__((warn_unused_result));

// Connects the namespace that is bind-mounted at `netns`. An id that is connected keeps its
// address, and what is missing is repaired. `ip` is "" on failure.
void podnet_attach(Podnet *podnet, Str id, Str netns,
                   void (*done)(void *user, int error, Str message, Str ip), void *user);
// Removes the link, then gives the address back. Fine when there is none.
void podnet_detach(Podnet *podnet, Str id, void (*done)(void *user, int error, Str message),
                   void *user);
Str podnet_address(const Podnet *podnet, Str id); // valid until it is detached; STR_NONE: none
Str podnet_gateway(const Podnet *podnet);
// Detaches everything that is not in `ids`, also links that no allocation knows.
void podnet_retain(Podnet *podnet, const Str *ids, size_t n_ids);
