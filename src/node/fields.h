#pragma once
// The downward API: fields of the pod and resources of its containers as strings.
// https://kubernetes.io/docs/concepts/workloads/pods/downward-api/

#include "kinds/kinds.h"
#include "node/agent.h"

// metadata.name, .namespace, .uid, .labels, .annotations (sorted `key="value"` lines) and
// .labels['KEY'], .annotations['KEY']. Returns 0 or -EINVAL with *ret_message.
int field_of_metadata(Arena *arena, const ObjectMeta *metadata, Str path, Str *ret,
                      Str *ret_message) __attribute__((warn_unused_result));
// The same, and spec.nodeName, spec.serviceAccountName, status.hostIP(s), status.podIP(s).
int field_of_pod(NodeAgent *agent, Arena *arena, const Pod *pod, Str pod_ip, Str path, Str *ret,
                 Str *ret_message) __attribute__((warn_unused_result));
// `limits.cpu` and the like of the container that `selector` names, or of `own` (may be NULL), in
// units of its divisor, rounded up. A limit that is not set is what the node has.
int field_of_resource(NodeAgent *agent, Arena *arena, const Pod *pod, const Container *own,
                      const ResourceFieldSelector *selector, Str *ret, Str *ret_message)
    __attribute__((warn_unused_result));
