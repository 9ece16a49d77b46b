#pragma once
// The node agent: registers its Node, keeps its lease, runs the pods that are bound to it, reports what happens to them, and
// answers the API server's requests for logs, exec, attach and port-forward. Containers outlive it. One loop.

#include "client/client.h"
#include "http/message.h"
#include "node/network.h"
#include "node/runtime.h"

typedef struct NodeAgent NodeAgent;

typedef struct HostUsage { // bytes and numbers; a capacity of 0: not known
    int64_t memory_capacity, memory_available;
    int64_t disk_capacity, disk_available, inodes, inodes_free; // where the data directory is
    int64_t pids_max, pids;
} HostUsage;

typedef struct NodeConfig { // of the agent
    Loop *loop;
    Client *client;         // as system:node:NAME; stays the caller's
    Runtime *runtime;       // taken
    NodeNetwork *network;   // stays the caller's
    Str name;               // of the Node object
    Str address;            // InternalIP
    uint16_t port;          // of its HTTPS endpoint, published in the Node's daemonEndpoints
    Str data_directory;     // pods/ (volumes), images-store/
    Str log_directory;      // "/var/log/pods"; links in LOG/../containers
    Str cgroup_parent;      // "/seapod"
    const Str *labels, *taints; // "key=value", "key=value:Effect"
    size_t n_labels, n_taints;
    Str cluster_dns, cluster_domain; // "10.43.0.10", "cluster.local"
    Str image_program;      // path of seapod-image
    const Str *registry_mirrors; // "docker.io=http://127.0.0.1:5000"
    size_t n_registry_mirrors;
    Str registry_config;    // credentials and CAs for seapod-image; empty: none
    Str manifests;          // directory of static pods; empty: none
    Str eviction_hard;      // pressure.h; STR_NONE: a kubelet's
    int image_gc_high, image_gc_low; // percent of the disk in use; 0: 85 and 80
    int64_t image_min_age;           // ns since an image was found; 0: two minutes
    void (*measure)(void *user, HostUsage *ret); // NULL: of this host
    void *measure_user;
} NodeConfig;

// Adopts what runs, then registers. `ready` once the Node object exists and pods are being served, or with an error.
int node_new(const NodeConfig *config, void (*ready)(void *user, int error), void *user, NodeAgent **ret)
    __attribute__((warn_unused_result));
// An HttpHandler: the kubelet's endpoint (/containerLogs, /exec, /attach, /portForward, /pods, /healthz, /metrics).
// Peers inside the process and certificates of the API server (O=system:masters or CN=kube-apiserver-kubelet-client) are let
// in; everybody else gets 401 or 403.
void node_handle(void *node, HttpRequest *request);
// Stops reconciling and writes what is pending; containers go on. `stopped` once it is safe to free the loop.
void node_stop(NodeAgent *node, void (*stopped)(void *user), void *user);
