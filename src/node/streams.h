#pragma once
// Exec, attach and port-forward: from an upgraded request to the container runtime or into the
// pod's network namespace.

#include "http/message.h"
#include "node/agent.h"

typedef struct StreamOptions {
    bool stdin_open, stdout_open, stderr_open, tty;
} StreamOptions;

void stream_exec(NodeAgent *agent, HttpRequest *request, Str container_id, const Str *argv,
                 size_t n_argv, const StreamOptions *options);
void stream_attach(NodeAgent *agent, HttpRequest *request, Str container_id,
                   const StreamOptions *options);
// `network_namespace`: a path, or empty for the host's.
void stream_port_forward(NodeAgent *agent, HttpRequest *request, Str pod, Str network_namespace);
