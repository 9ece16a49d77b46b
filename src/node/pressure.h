#pragma once
// When the machine runs short of memory, disk or process ids: conditions of the Node, pods that are
// not taken, and pods that have to go, in a kubelet's order.
// https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/

#include "node/stats.h"

typedef enum PressureKind {
    PRESSURE_MEMORY,
    PRESSURE_DISK,
    PRESSURE_PIDS,
    PRESSURE_KINDS
} PressureKind;

// Thresholds as `--eviction-hard` takes them:
// "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%, pid.available<100". Empty: a
// kubelet's defaults. Returns 0, or -EINVAL with *ret_message.
int pressure_check_thresholds(Arena *arena, Str text, Str *ret_message)
    __attribute__((warn_unused_result));

Pressure *pressure_new(NodeAgent *agent);
void pressure_free(Pressure *pressure); // NULL is fine
// Looks at the machine; with each heartbeat. Some 50 µs while all is well.
void pressure_look(Pressure *pressure);
// Whether the condition holds, and since when (Unix ns; 0: always).
bool pressure_holds(const Pressure *pressure, PressureKind kind, int64_t *ret_since);
// What is kept free and so not for pods.
int64_t pressure_reserved_memory(const Pressure *pressure);
int64_t pressure_reserved_disk(const Pressure *pressure, int64_t capacity);
// False for a pod that must not be started now; *ret_message then is its status' message.
bool pressure_admits(const Pressure *pressure, Arena *arena, const Pod *pod, Str *ret_message);

// Who goes first (pressure_rank.c; eviction/helpers.go rankMemoryPressure and its kin).
typedef struct PressureCandidate {
    const Pod *pod;
    int64_t used, requested; // of what is short
} PressureCandidate;
void pressure_rank(PressureCandidate *candidates, size_t n); // the first goes first
bool pressure_is_critical(const Pod *pod);                   // never goes
