#pragma once
// One pod on this node: a state machine that looks at what should be (the Pod) and what is
// (sandbox, containers, volumes, probes) and takes the next steps, whenever something happened.
// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/

#include "node/agent.h"

// Adopts what the runtime already has of this pod. A static pod has no object of its own in the API,
// but a mirror, whose status is written.
PodWorker *pod_worker_new(NodeAgent *agent, const InformerObject *object, bool is_static);
void pod_worker_update(PodWorker *worker, const InformerObject *object); // the Pod changed
void pod_worker_gone(
    PodWorker *worker); // the Pod is deleted from the API: everything is stopped at once
// The node is short of something: the pod fails, almost at once.
void pod_worker_evict(PodWorker *worker, Str message);
bool pod_worker_is_ending(const PodWorker *worker);   // deleted, terminal or on its way there
bool pod_worker_is_evicting(const PodWorker *worker); // and not all of it is gone
// Of static pods: it ends, with its grace period; this is its mirror pod now,
void pod_worker_terminate(PodWorker *worker);
// NULL: none. The first one after our start says what is not remembered of what runs.
void pod_worker_set_mirror(PodWorker *worker, const InformerObject *mirror);
void pod_worker_container_exited(PodWorker *worker, const RuntimeContainer *container);
void pod_worker_sandbox_exited(PodWorker *worker, Str sandbox_id);
// Our process ends: nothing is stopped, memory is freed.
void pod_worker_detach(PodWorker *worker);
// A status that could not be written is written again by itself; true while one is under way.
bool pod_worker_is_writing(const PodWorker *worker);

Str pod_worker_uid(const PodWorker *worker);
const Pod *pod_worker_pod(const PodWorker *worker); // valid until the next update

// What the endpoint needs of a container: the newest attempt, or the one before it (`previous`).
// False when there is none. Then the strings say why, as `kubectl logs` shows it: waiting_reason
// ("ContainerCreating", "ErrImagePull", ...) may be empty.
typedef struct PodContainer {
    Str id, log_path; // id empty: never created
    bool running, terminated, tty, stdin_open;
    Str waiting_reason, waiting_message;
} PodContainer;
bool pod_worker_container(const PodWorker *worker, Arena *arena, Str name, bool previous,
                          PodContainer *ret);
Str pod_worker_network_namespace(
    const PodWorker *worker); // path; empty with hostNetwork or without a sandbox
Str pod_worker_ip(const PodWorker *worker);
