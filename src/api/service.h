#pragma once
// Cluster IPs and node ports of Services. Each one that is taken is an object in the store, made by
// compare-and-put before the Service is written, so that two servers never hand out the same. What
// a crash leaves behind is found by comparing with the Services at the next start.

#include "api/write.h"

// 0, or -EINVAL when config's service CIDR is no IPv4 network.
int service_allocator_init(struct Api *api) __attribute__((warn_unused_result));
void service_allocator_free(struct Api *api);
// After the caches were loaded, before anything is served: drops what no Service holds.
void service_allocator_repair(struct Api *api, void (*done)(struct Api *api, int error));
