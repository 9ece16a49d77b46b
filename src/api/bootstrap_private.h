#pragma once
// What the parts of the bootstrap share.

#include "api/bootstrap.h"

// Rounds, each when the requests of the one before are answered: namespaces first, then all that
// lives in them or beside them.
typedef struct Bootstrap {
    Api *api;
    struct HttpClient *client;
    Arena *arena; // of the requests of this round
    size_t waiting;
    int round;
    bool failed;
    void (*done)(Api *api, int error);
    LoopTask task;
} Bootstrap;

// `object` may be NULL (DELETE). A refusal is logged and fails the start, but for 409: then another
// server was quicker.
void bootstrap_send(Bootstrap *self, const char *method, Str target, const Value *object);
// {"apiVersion":..., "kind":..., "metadata":{"name":...}}
Value *bootstrap_object(Arena *arena, const char *api_version, const char *kind, const char *name);
// One of metadata's maps, "labels" or "annotations".
void bootstrap_set_metadata(Arena *arena, Value *object, const char *map, Str key,
                            const char *value);
// What is in the cache; `namespace_` NULL for cluster scope.
CachedObject *bootstrap_existing(const Bootstrap *self, const char *cache, const char *namespace_,
                                 const char *name);

// Brings the default roles and bindings up to date: what is missing is added, and nothing taken
// away (component-helpers' auth/rbac/reconciliation, as kube-apiserver's PostStartHook calls it).
void bootstrap_roles(Bootstrap *self);
void bootstrap_bindings(Bootstrap *self);

// The service `kubernetes`, its Endpoints and EndpointSlice, as upstream's kubernetesservice
// controller and EndpointsAdapter keep them.
void bootstrap_services(Bootstrap *self);

// An APIService for each group and version that is served and has none.
void bootstrap_api_services(Bootstrap *self);
