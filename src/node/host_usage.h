#pragma once
// What the machine has left: memory, the disk of the data directory, process ids.

#include "node/agent.h"

// As the configuration measures it, else of this host. Some 50 µs.
void host_usage(const NodeAgent *agent, HostUsage *ret);
