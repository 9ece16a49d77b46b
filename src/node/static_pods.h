#pragma once
// Static pods: files of a directory that this node runs by itself, with or without an API server.
// Each has a mirror pod in the API, which shows it and its status; deleting that changes nothing.
// https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/

#include "node/agent.h"

// config.manifests, watched. Makes workers for what is there; NULL without a directory.
StaticPods *static_pods_new(NodeAgent *agent);
void static_pods_free(StaticPods *pods); // workers stay; NULL is fine
void static_pods_scan(StaticPods *pods); // looks at the files again
void static_pods_reconcile(
    StaticPods *pods); // pods were listed, or the Node's uid is known; NULL is fine
// A pod of the API: true when it is a mirror pod, which has no worker of its own.
bool static_pods_on_pod(NodeAgent *agent, const InformerObject *old, const InformerObject *now);
void static_pods_forgotten(StaticPods *pods, Str uid); // the worker is through
PodWorker *static_pods_find(StaticPods *pods, Str namespace_, Str name);
