#pragma once
// The node as `seapod server` and `seapod node` put it together: options, container runtime, pod
// network, node agent.

#include "cmd/options.h"
#include "node/node.h"

typedef struct NodeOptions {
    Str data_dir, node_name, node_ip, cgroup_parent, cluster_cidr, service_cidr;
    Str cluster_dns;                 // empty: the tenth address of service_cidr
    int64_t node_api_port, api_port; // api_port: of an API server in this process, else 0
    OptionList labels, taints, mirrors, dns_upstreams;
    Str registry_config, manifests, eviction_hard;
    int64_t image_gc_high, image_gc_low, image_min_age; // percent; seconds
} NodeOptions;

// Their defaults, and their rows for an option table (returns how many were written to `ret`, at
// most 24).
void node_options_init(Arena *arena, NodeOptions *options);
size_t node_options_table(NodeOptions *options, Option *ret);
void node_options_finish(Arena *arena, NodeOptions *options); // after parsing

typedef struct NodeParts NodeParts;
typedef struct NodeClients { // they must outlive the parts
    Client *node;            // as the node itself
    Client *proxy;           // as system:kube-proxy; NULL: services are not served here
} NodeClients;
// Makes runtime, network, services and node on `loop`. Returns 0, or negative errno with one line
// in *ret_message (arena).
int node_parts_new(Arena *arena, Loop *loop, const NodeOptions *options, const NodeClients *clients,
                   void (*ready)(void *user, int error), void *user, NodeParts **ret,
                   Str *ret_message) __attribute__((warn_unused_result));
void node_parts_handle(void *parts, HttpRequest *request); // the node's endpoint, an HttpHandler
void node_parts_stop(NodeParts *parts, void (*stopped)(void *user), void *user);
// Removes every container, mount, link and rule of the instance that lives in `options->data_dir`.
// Returns 0, or
// negative errno with one line in *ret_message.
int node_parts_cleanup(Arena *arena, const NodeOptions *options, Str *ret_message);
