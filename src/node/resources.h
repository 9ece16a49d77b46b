#pragma once
// What requests and limits come to on the host: shares, quotas, memory limits, and who is killed
// first when memory runs out.
// https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/

#include "kinds/kinds.h"
#include "node/cgroup.h"
#include "node/runtime.h"

// One entry of requests or limits, rounded up; 0 when absent or not a quantity.
int64_t resource_milli(const StrMap *list, Str name);
int64_t resource_units(const StrMap *list, Str name);

// status.qosClass, or what it will be when the API server has not written it.
PodQos resources_qos(const Pod *pod);
// `memory_capacity`: of the machine, in bytes.
ContainerResources resources_of_container(const Pod *pod, const Container *container,
                                          int64_t memory_capacity);
CgroupLimits resources_of_pod(const Pod *pod);
int64_t resources_machine_memory(void); // bytes
