#pragma once
// The cluster's DNS server on one node: the cluster's own names from the table of services, all
// others from upstream servers, with a cache. UDP and TCP.
// https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/

#include "net/service_table.h"

typedef struct Dns Dns;

typedef struct DnsConfig {
    Loop *loop;
    ServiceTable *services;
    const char *address; // to listen on: "10.43.0.10", one of this host's
    uint16_t port;       // 53; 0: any (tests)
    const char *domain;  // "cluster.local"
    const char *service_range, *pod_range;
    // "192.0.2.1" or "192.0.2.1:5353"; none: those of `resolv_conf`, which is read again when it
    // changes.
    const char *const *upstreams;
    size_t n_upstreams;
    const char *resolv_conf; // "/etc/resolv.conf"
} DnsConfig;

// Returns 0 or negative errno with *ret_message (malloc'ed).
int dns_new(const DnsConfig *config, Dns **ret, char **ret_message)
    __attribute__((warn_unused_result));
void dns_free(Dns *dns); // before its ServiceTable; NULL is fine
uint16_t dns_port(const Dns *dns);
