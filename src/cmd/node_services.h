#pragma once
// What a node does for services: one table of them for all, and the proxy and
// the DNS server that work from it.

#include "cmd/node_parts.h"

typedef struct NodeServices NodeServices;

// `client`: as system:kube-proxy; it must outlive them. Returns 0, or negative errno with
// *ret_message (malloc'ed).
int node_services_new(Arena *arena, Loop *loop, const NodeOptions *options, Client *client,
                      NodeServices **ret, char **ret_message) __attribute__((warn_unused_result));
void node_services_free(NodeServices *services); // NULL is fine; the rules stay
int node_services_cleanup(Arena *arena, const NodeOptions *options)
    __attribute__((warn_unused_result));
