// Cluster-wide objects that every cluster has, besides RBAC's, as data.

#include "api/bootstrap.h"

// SystemPriorityClasses: upstream's pkg/apis/scheduling/v1/helpers.go.
static const WellKnownObject objects[] = {
    {.cache = "scheduling.k8s.io/priorityclasses",
     .path = "/apis/scheduling.k8s.io/v1/priorityclasses",
     .name = "system-node-critical",
     .json =
         "{\"apiVersion\":\"scheduling.k8s.io/v1\",\"kind\":\"PriorityClass\",\"value\":2000001000,"
         "\"description\":\"Used for system critical pods that must not be moved from their "
         "current "
         "node.\"}"},
    {.cache = "scheduling.k8s.io/priorityclasses",
     .path = "/apis/scheduling.k8s.io/v1/priorityclasses",
     .name = "system-cluster-critical",
     .json =
         "{\"apiVersion\":\"scheduling.k8s.io/v1\",\"kind\":\"PriorityClass\",\"value\":2000000000,"
         "\"description\":\"Used for system critical pods that must run in the cluster, but can be "
         "moved "
         "to another node if necessary.\"}"},
};

const WellKnownObject *bootstrap_well_known_at(size_t index) {
    size_t n = sizeof objects / sizeof *objects;
    return index < n ? &objects[index] : bootstrap_flow_at(index - n);
}
