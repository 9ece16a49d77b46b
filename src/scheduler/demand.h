#pragma once
// What a pod takes from a node, in the numbers that the scheduler adds up.

#include "base/arena.h"
#include "kinds/kinds.h"

typedef __int128 Amount; // holds the sum of any number of 64-bit requests

typedef struct NamedAmount {
    Str name;
    Amount amount;
} NamedAmount;
typedef struct Resources { // thousandths of a CPU, bytes, and whatever the others count
    Amount milli_cpu, memory, ephemeral_storage;
    NamedAmount *others; // hugepages-*, extended resources
    size_t n_others;
} Resources;
typedef struct HostPort {
    Str ip, protocol; // "0.0.0.0" and "TCP" where the pod says nothing
    int32_t port;
} HostPort;
typedef struct Demand {
    Resources requests;
    // For scores alone: a container that names no CPU or memory counts for 100m and 200Mi, so that
    // pods without requests do not all land on one node.
    Amount scored_milli_cpu, scored_memory;
    HostPort *ports;
    size_t n_ports;
    int32_t priority;
} Demand;

Demand demand_of(Arena *arena, const Pod *pod); // refers to the pod's strings
Demand *demand_copy(const Demand *demand);      // one block, with all that it refers to; free(3)
// A node's allocatable; what is no quantity counts for nothing. "pods" is among the others.
Resources resources_of(Arena *arena, const StrMap *map);
Amount resources_other(const Resources *resources, Str name); // 0 when absent
