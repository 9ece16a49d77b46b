#pragma once
// The inside of the node agent: what its files share. One agent a node, one PodWorker a pod.

#include "base/map.h"
#include "client/event.h"
#include "client/informer.h"
#include "kinds/kinds.h"
#include "node/cgroup.h"
#include "node/node.h"

typedef struct PodWorker PodWorker;
typedef struct Images Images;
typedef struct NodeReporter NodeReporter;
typedef struct References References;
typedef struct StaticPods StaticPods;
typedef struct Stats Stats;
typedef struct Pressure Pressure;

struct NodeAgent {
    NodeConfig config; // strings copied into the arena
    Arena *arena;
    Loop *loop;
    Client *client;
    Runtime *runtime;
    NodeNetwork *network;
    CgroupHost *cgroups;
    EventRecorder *events;
    Images *images;          // images.h
    NodeReporter *status;    // node_reporter.h
    StaticPods *static_pods; // static_pods.h
    Stats *stats;            // stats.h
    Pressure *pressure;      // pressure.h
    Str node_uid;            // of the Node object; empty until it is registered
    References *references;  // references.h: config maps and secrets that pods refer to
    Informer *pods;          // those bound to this node
    Informer *services;      // for service variables; made at first use
    InformerIndex *services_by_namespace;
    List environments;     // requests that wait for `services`; set up with it
    Map *workers;          // pod uid -> PodWorker
    List log_readers;      // logs.c
    List cancelled_checks; // check.c
    void (*on_ready)(void *user, int error);
    void *ready_user;
    bool recovered, stopping;
};

// A pod's worker by name; `uid` may be empty. NULL when there is none.
PodWorker *agent_find_pod(NodeAgent *agent, Str namespace_, Str name, Str uid);
// A worker is through with its pod: the object is gone and nothing of it is left on the host.
void agent_forget(NodeAgent *agent, PodWorker *worker);
// DATA_DIR/pods/UID
Str agent_pod_directory(NodeAgent *agent, Arena *arena, Str uid);
