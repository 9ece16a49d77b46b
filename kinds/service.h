#pragma once
// What the rules of services (core-v1-service*.c) share. Addresses and ports are given out by the
// API server before validation, as upstream does.

#include "kinds/tree.h"
#include "schema/check.h"

static inline bool service_is_type(const Value *service, const char *type) {
    return tree_is(service, "spec.type", type);
}
// clusterIP: None
static inline bool service_is_headless(const Value *service) {
    return tree_count(service, "spec.clusterIPs") == 1 &&
           str_eq(tree_string(tree_item(service, "spec.clusterIPs", 0)), STR("None"));
}
// Can be reached from outside: node ports, a load balancer or external addresses.
static inline bool service_is_external(const Value *service) {
    return service_is_type(service, "LoadBalancer") || service_is_type(service, "NodePort") ||
           (service_is_type(service, "ClusterIP") && tree_count(service, "spec.externalIPs"));
}
// Has a port for a load balancer's health checks.
static inline bool service_needs_health_port(const Value *service) {
    return service_is_type(service, "LoadBalancer") &&
           tree_is(service, "spec.externalTrafficPolicy", "Local");
}
static inline bool service_needs_cluster_ip(const Value *service) {
    return service_is_type(service, "ClusterIP") || service_is_type(service, "NodePort") ||
           service_is_type(service, "LoadBalancer");
}
static inline bool service_needs_node_port(const Value *service) {
    return service_is_type(service, "NodePort") ||
           (service_is_type(service, "LoadBalancer") &&
            value_bool_at(service, "spec.allocateLoadBalancerNodePorts", true));
}

// ResourceRules' prepare: keeps on update what the server gave out and the client left unsaid, and
// drops what the new type has no use for.
void service_prepare(Arena *arena, Value *service, const Value *old);
void service_validate_addresses(FieldErrors *errors, const Value *service);
void service_validate_update(FieldErrors *errors, const Value *service, const Value *old);
// Used on create (old == NULL) and update.
void service_validate_class(FieldErrors *errors, const Value *service, const Value *old);
