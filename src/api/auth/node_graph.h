#pragma once
// Which objects the pods of each node refer to, kept up to date with every pod and volume: what the
// Node authorizer looks into. (kube-apiserver's plugin/pkg/auth/authorizer/node/graph.go)

#include "api/server.h"

typedef struct NodeGraph NodeGraph;

typedef enum NodeReference {
    NODE_SECRET,
    NODE_CONFIG_MAP,
    NODE_CLAIM,
    NODE_SERVICE_ACCOUNT,
    NODE_RESOURCE_CLAIM,
} NodeReference;

NodeGraph *node_graph_new(Api *api); // before the caches are loaded
void node_graph_free(NodeGraph *graph);
// Whether a pod that is bound to the node refers to that object, a secret also by way of a volume.
bool node_graph_refers(const NodeGraph *graph, Str node, NodeReference kind, Str namespace_,
                       Str name);
// Whether a claim of such a pod is bound to that volume.
bool node_graph_has_volume(const NodeGraph *graph, Str node, Str volume);
