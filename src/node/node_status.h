#pragma once
// The Node object of this machine: registered, kept true (capacity, conditions, images), and alive by a Lease in kube-node-lease.
// https://kubernetes.io/docs/concepts/architecture/nodes/#node-status, KEP-589

#include "node/agent.h"

// `registered` once, when the Node exists and says Ready, or with an error when the API refuses it for good.
NodeStatus *node_status_new(NodeAgent *agent, void (*registered)(void *user, int error), void *user);
void node_status_free(NodeStatus *status);
// What the node has for pods (allocatable), for downward API defaults.
int64_t node_status_memory(const NodeStatus *status); // bytes
int64_t node_status_milli_cpu(const NodeStatus *status);
