#pragma once
// The pod network (net/podnet.h) as the node wants it (node/network.h).

#include "net/podnet.h"
#include "node/network.h"

// Makes it (blocks for some milliseconds). Returns 0 or negative errno with *ret_message
// (malloc'ed).
int pod_network_new(const PodnetConfig *config, NodeNetwork **ret, char **ret_message)
    __attribute__((warn_unused_result));
void pod_network_free(NodeNetwork *network); // pods stay connected
