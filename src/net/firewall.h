#pragma once
// The nftables rules of the pod network; see podnet.h for what they are. Blocking, some 100 µs.

#include "net/ipam.h"

typedef struct FirewallConfig {
    const char *table, *bridge;
    Ipv4Range pods, cluster;
} FirewallConfig;

// Replaces the table in one transaction.
int firewall_install(const FirewallConfig *config) __attribute__((warn_unused_result));
// Does so only when somebody removed it or flushed it.
int firewall_restore(const FirewallConfig *config) __attribute__((warn_unused_result));
// Lets the bridge's packets through iptables' FORWARD chain, if there is one. Changes nothing when
// that is so already.
int firewall_open_forward(const char *bridge) __attribute__((warn_unused_result));
// Takes both away again. Fine when nothing is there.
int firewall_remove(const FirewallConfig *config) __attribute__((warn_unused_result));

// A socket that becomes readable when a chain is added to "ip filter"; negative errno.
int firewall_watch_open(void) __attribute__((warn_unused_result));
// Reads what is there; true when it may concern us.
bool firewall_watch_read(int fd);
