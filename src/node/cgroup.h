#pragma once
// Control groups of pods: version 2, version 1 (each controller in a hierarchy of its own) and the
// hybrid of both. A path is absolute below every hierarchy ("/seapod/burstable/podUID") and the
// same in all of them. Nothing outside the given path is ever changed, but that its ancestors are
// made and, in version 2, hand their controllers down. All functions block for some 10 to 500 µs
// and return 0 or negative errno; the host is immutable, so they may run on any thread.
// https://docs.kernel.org/admin-guide/cgroup-v2.html, .../cgroup-v1/

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/arena.h"

typedef struct CgroupHost CgroupHost;

// What is mounted, from /proc/self/mountinfo. -ENOENT when no hierarchy is.
int cgroup_host_new(CgroupHost **ret) __attribute__((warn_unused_result));
int cgroup_host_parse(Str mountinfo, CgroupHost **ret) __attribute__((warn_unused_result));
CgroupHost *cgroup_host_ref(CgroupHost *host); // one more cgroup_host_free(); for one loop's use
void cgroup_host_free(CgroupHost *host);
int cgroup_version(const CgroupHost *host); // of the resource controllers: 1 (also hybrid) or 2
bool cgroup_has_controller(const CgroupHost *host, Str controller); // "memory", "cpu", ...

typedef enum PodQos { QOS_GUARANTEED, QOS_BURSTABLE, QOS_BEST_EFFORT } PodQos;
// As a kubelet with the cgroupfs driver lays them out: PARENT/podUID, PARENT/burstable/podUID,
// PARENT/besteffort/podUID.
Str cgroup_pod_path(Arena *arena, Str parent, PodQos qos, Str pod_uid);

// Every hierarchy has the same groups; the file of one group in the one with that number.
size_t cgroup_hierarchies(const CgroupHost *host);
Str cgroup_file(Arena *arena, const CgroupHost *host, size_t hierarchy, Str path, const char *file);

typedef struct CgroupLimits {      // 0: leave as it is; < 0: no limit
    uint64_t cpu_shares;           // version 1's scale, 2 to 262144
    int64_t cpu_quota, cpu_period; // microseconds
    int64_t memory;                // bytes
    int64_t pids;
} CgroupLimits;

int cgroup_create(const CgroupHost *host, Str path) __attribute__((warn_unused_result));
int cgroup_set(const CgroupHost *host, Str path, const CgroupLimits *limits)
    __attribute__((warn_unused_result));
int cgroup_join(const CgroupHost *host, Str path, pid_t pid) __attribute__((warn_unused_result));
// The group and all below it. -EBUSY while a process is left in one.
int cgroup_remove(const CgroupHost *host, Str path) __attribute__((warn_unused_result));
// Sends SIGKILL to every process in the group and below. Returns how many there were (0: none left)
// or negative errno; ask again until 0, since they may fork meanwhile.
int cgroup_kill(const CgroupHost *host, Str path) __attribute__((warn_unused_result));
// How often the kernel killed a process for want of memory in the group; negative errno.
int64_t cgroup_oom_kills(const CgroupHost *host, Str path);

typedef struct CgroupUsage {
    uint64_t cpu_ns;
    uint64_t memory_bytes, memory_working_set, memory_rss; // working set: without inactive files
    uint64_t page_faults, major_page_faults;
    uint64_t pids;
} CgroupUsage;
int cgroup_usage(const CgroupHost *host, Str path, CgroupUsage *ret)
    __attribute__((warn_unused_result));

// cpu.weight (1 to 10000) for cpu.shares (2 to 262144), as runtimes convert it.
uint64_t cgroup_weight_of_shares(uint64_t shares);
