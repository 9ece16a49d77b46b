#pragma once
// The Node object of this machine: registered, kept true (capacity, conditions, images), and alive
// by a Lease in kube-node-lease.
// https://kubernetes.io/docs/concepts/architecture/nodes/#node-status, KEP-589

#include "node/agent.h"

// `registered` once, when the Node exists and says Ready, or with an error when the API refuses it
// for good.
NodeReporter *node_reporter_new(NodeAgent *agent, void (*registered)(void *user, int error),
                                void *user);
// What the node's status says has changed: it is written soon. NULL is fine.
void node_reporter_changed(NodeReporter *status);
void node_reporter_free(NodeReporter *status);
// What the node has for pods (allocatable), for downward API defaults.
int64_t node_reporter_memory(const NodeReporter *status); // bytes
int64_t node_reporter_milli_cpu(const NodeReporter *status);
