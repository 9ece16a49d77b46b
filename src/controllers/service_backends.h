#pragma once
// Which pods are behind which services, for the controllers that write this down. Of every pod it
// keeps the few fields that matter, found by label; of every service its selector, found by one of
// its labels. So a change of a pod costs what its labels and its services are, whatever their
// number.

#include "controllers/frame.h"

typedef struct ServiceBackends ServiceBackends;

typedef struct BackendPort { // a named port of a container
    Str name, protocol;
    int32_t number;
} BackendPort;

typedef struct Backend { // a pod; strings are valid while it does not change
    Str namespace_, name, uid, ip, node_name, hostname, subdomain;
    bool ready, terminating, terminal;
    const BackendPort *ports;
    size_t n_ports;
} Backend;

// Begins to keep them for `controller` (which then waits for its informers to be synced) and
// queues there the key of each service whose pods changed. One for all controllers.
ServiceBackends *service_backends_join(Controller *controller, Informer **ret_services);
// Visits the pods of that namespace which `selector` matches; it may not be empty.
void service_backends_each(const ServiceBackends *backends, Str namespace_, const StrMap *selector,
                           void (*visit)(void *user, const Backend *backend), void *user);
// False when there is no such node; its zone is "" when it tells none.
bool service_backends_zone(const ServiceBackends *backends, Str node_name, Str *ret_zone);

// What upstream's endpointslice/util ShouldPodBeInEndpoints, ShouldSetHostname and podutil's
// FindPort say. The port is 0 when the pod has none of that name.
bool backend_counts(const Backend *backend, bool include_terminating);
bool backend_has_hostname(const Backend *backend, const Service *service);
int32_t backend_port(const Backend *backend, const ServicePort *port);
// No cluster IP: "None", or none at all.
bool service_is_headless(const Service *service);
