#pragma once
// Answers a load balancer's question whether this node has endpoints of a service whose
// externalTrafficPolicy is Local, on the service's healthCheckNodePort.
// https://kubernetes.io/docs/reference/networking/virtual-ips/#health-check-ports (kube-proxy's
// healthcheck/service_health.go)

#include "net/service_table.h"

typedef struct ProxyHealth ProxyHealth;

// NULL when the port can't be had; that is logged.
ProxyHealth *proxy_health_new(Loop *loop, Str namespace_, Str name, uint16_t port);
void proxy_health_free(ProxyHealth *health); // NULL is fine
uint16_t proxy_health_port(const ProxyHealth *health);
void proxy_health_set(ProxyHealth *health, size_t local_endpoints);
