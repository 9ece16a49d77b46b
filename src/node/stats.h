#pragma once
// What the node, its pods and their containers use: read from control groups when somebody asks,
// off the loop, and never otherwise. A rate needs two readings: without a fresh earlier one, the
// answer takes a second longer.

#include "node/agent.h"

typedef struct Usage { // of a container; of a pod, when `container` is empty
    Str namespace_, pod, uid, container;
    Str cgroup;
    int64_t started_at; // Unix ns
    bool good;          // could be read; what follows is 0 otherwise
    CgroupUsage usage;
    uint64_t nano_cores; // over the sample's window
} Usage;

typedef struct StatsSample {
    Arena *arena;   // of all of it
    int64_t at;     // Unix ns
    int64_t window; // ns between the two readings; 0: no rates
    int64_t boot;   // of the machine, Unix ns
    Usage node;     // its CPU and memory
    HostUsage host;
    Usage *items; // each pod before its containers
    size_t n;
} StatsSample;

Stats *stats_new(NodeAgent *agent);
void stats_free(Stats *stats); // requests are dropped

typedef struct StatsRequest StatsRequest;
// `done` once, later; the sample is valid during the call. `rates`: with nano_cores.
StatsRequest *stats_request(Stats *stats, bool rates,
                            void (*done)(void *user, const StatsSample *sample), void *user);
void stats_cancel(StatsRequest *request); // before `done`; no callback any more

// stats_output.c. The answers of the node's endpoint, as a kubelet gives them.
void stats_write_summary(Arena *arena, const NodeAgent *agent, const StatsSample *sample,
                         Buf *buf);                             // /stats/summary
void stats_write_resource(const StatsSample *sample, Buf *buf); // /metrics/resource
void stats_write_cadvisor(const StatsSample *sample,
                          Buf *buf); // /metrics/cadvisor: what scrapers use most
