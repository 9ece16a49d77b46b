#pragma once
// The service proxy: keeps this host's nftables true to the cluster's Services and EndpointSlices.
// A change is one transaction of the elements that differ; what comes while one is under way goes
// into the next. The start compares with what the kernel has, so that traffic goes on while Seapod
// is restarted; the same heals a table that somebody else changed or flushed.
// https://kubernetes.io/docs/reference/networking/virtual-ips/

#include "net/service_table.h"

typedef struct Proxy Proxy;

typedef struct ProxyConfig {
    Loop *loop;
    ServiceTable *services;
    const char *table;              // of nftables
    const char *service_range;      // "10.43.0.0/16"
    const char *pod_range;          // of the whole cluster: whoever is not in it is from outside
    const char *dns;                // cluster DNS address that this host answers itself; NULL: none
    const char *node_address;       // on which `reserved_ports` are never given away; may be NULL
    const uint16_t *reserved_ports; // TCP: the API server's, the node's
    size_t n_reserved_ports;
} ProxyConfig;

// Returns 0 or negative errno with *ret_message (malloc'ed).
int proxy_new(const ProxyConfig *config, Proxy **ret, char **ret_message)
    __attribute__((warn_unused_result));
void proxy_free(Proxy *proxy); // services go on as they are; free it before its ServiceTable
// Nothing is under way and nothing waits: the kernel has what is wanted. For measurements.
bool proxy_is_idle(const Proxy *proxy);
// Removes the table. Blocking, needs no loop; fine when there is none.
int proxy_cleanup(const char *table) __attribute__((warn_unused_result));
