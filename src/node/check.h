#pragma once
// One check of a container: a command in it, an HTTP request to it, a connection to it. What probes
// and hooks are made of.

#include "kinds/kinds.h"
#include "node/agent.h"

typedef enum CheckOutcome {
    CHECK_SUCCESS,
    CHECK_FAILURE, // it answered, and the answer is no
    CHECK_ERROR,   // it could not be asked
} CheckOutcome;

typedef struct CheckSpec { // one of the actions is set; all is copied
    NodeAgent *agent;
    const ExecAction *exec;
    const HTTPGetAction *http_get;
    const TCPSocketAction *tcp_socket;
    const GRPCAction *grpc;
    const Container *container; // for named ports
    Str container_id, pod_ip;
    Str user_agent;     // "kube-probe/1.35"
    int64_t timeout_ns; // 0: none
} CheckSpec;

typedef struct Check Check;
// `done` once, later; `message` is upstream's (the command's output, "HTTP probe failed with
// statuscode: 404", ...). The Check is gone then.
Check *check_start(const CheckSpec *spec,
                   void (*done)(void *user, CheckOutcome outcome, Str message), void *user);
void check_cancel(Check *check); // no callback
// Frees cancelled checks whose command still runs; after the runtime is gone.
void checks_drop(NodeAgent *agent);
