#pragma once
// Liveness, readiness and startup probes: each a timer and a check under way, never a thread.
// https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/

#include "kinds/kinds.h"
#include "node/agent.h"
#include "node/runtime.h"

typedef enum ProbeKind { PROBE_LIVENESS, PROBE_READINESS, PROBE_STARTUP } ProbeKind;

typedef struct Prober Prober;
typedef struct ProberConfig {
    NodeAgent *agent;
    ProbeKind kind;
    const Pod *pod;             // read during prober_new() only
    const Container *container; // likewise
    Str container_id, pod_ip;
    int64_t started_at; // Unix ns: initialDelaySeconds counts from here
    // The result after thresholds: the first one, and each time it changes.
    void (*on_result)(void *user, ProbeKind kind, bool success);
    // Every failing check, with upstream's words: `Readiness probe failed: HTTP probe failed with
    // statuscode: 404`.
    void (*on_failure)(void *user, ProbeKind kind, Str message);
    void *user;
} ProberConfig;
Prober *prober_new(const ProberConfig *config);
void prober_free(Prober *prober); // also while a check is under way; no callback follows

// A lifecycle hook (postStart, preStop): exec, httpGet, tcpSocket or sleep. `done` once, later.
// error 0: it succeeded.
typedef struct HookRun HookRun;
HookRun *hook_run(NodeAgent *agent, const Pod *pod, const Container *container,
                  const LifecycleHandler *handler, Str container_id, Str pod_ip,
                  void (*done)(void *user, int error, Str message), void *user);
void hook_cancel(HookRun *run); // no callback any more
