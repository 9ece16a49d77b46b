#pragma once
// The kubelet's HTTPS endpoint: logs, exec, attach, port-forward, and the node's own state.
// Paths and parameters as in upstream's pkg/kubelet/server.

#include "http/message.h"
#include "node/agent.h"

void endpoint_handle(NodeAgent *agent, HttpRequest *request);
