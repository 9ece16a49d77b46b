// A sample in the forms that a kubelet's endpoint has: kubelet/pkg/apis/stats/v1alpha1, and
// Prometheus' text (pkg/kubelet/metrics/collectors/resource_metrics.go).
#include <inttypes.h>

#include "base/buf.h"
#include "base/time.h"
#include "node/stats.h"
#include "schema/value.h"

// /stats/summary ---------------------------------------------------------------------------------

static Value *object_at(Arena *arena, Value *parent, const char *key) {
    Value *object = value_new_object(arena);
    value_set(arena, parent, str_from(key), object);
    return object;
}

typedef struct Writer {
    Arena *arena;
    const StatsSample *sample;
    Str time;
} Writer;

static void put_usage(const Writer *w, Value *into, const Usage *usage, int64_t available) {
    const CgroupUsage *u = &usage->usage;
    Value *cpu = object_at(w->arena, into, "cpu"), *memory = object_at(w->arena, into, "memory");
    value_set_str(w->arena, cpu, STR("time"), w->time);
    if (w->sample->window)
        value_set_int(w->arena, cpu, STR("usageNanoCores"), (int64_t)usage->nano_cores);
    value_set_int(w->arena, cpu, STR("usageCoreNanoSeconds"), (int64_t)u->cpu_ns);
    value_set_str(w->arena, memory, STR("time"), w->time);
    if (available >= 0)
        value_set_int(w->arena, memory, STR("availableBytes"), available);
    value_set_int(w->arena, memory, STR("usageBytes"), (int64_t)u->memory_bytes);
    value_set_int(w->arena, memory, STR("workingSetBytes"), (int64_t)u->memory_working_set);
    value_set_int(w->arena, memory, STR("rssBytes"), (int64_t)u->memory_rss);
    value_set_int(w->arena, memory, STR("pageFaults"), (int64_t)u->page_faults);
    value_set_int(w->arena, memory, STR("majorPageFaults"), (int64_t)u->major_page_faults);
}

static void put_start(const Writer *w, Value *into, int64_t at) {
    if (at)
        value_set_str(w->arena, into, STR("startTime"), time_format(w->arena, at));
}

static void put_disk(const Writer *w, Value *fs) {
    const HostUsage *host = &w->sample->host;
    const struct {
        const char *key;
        int64_t value;
    } members[] = {{"availableBytes", host->disk_available},
                   {"capacityBytes", host->disk_capacity},
                   {"usedBytes", host->disk_capacity - host->disk_available},
                   {"inodesFree", host->inodes_free},
                   {"inodes", host->inodes},
                   {"inodesUsed", host->inodes - host->inodes_free}};
    value_set_str(w->arena, fs, STR("time"), w->time);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        value_set_int(w->arena, fs, str_from(members[i].key), members[i].value);
}

static void put_node(const Writer *w, Value *node, Str name) {
    const StatsSample *sample = w->sample;
    value_set_str(w->arena, node, STR("nodeName"), name);
    put_start(w, node, sample->boot);
    put_usage(w, node, &sample->node, sample->host.memory_available);
    put_disk(w, object_at(w->arena, node, "fs"));
    put_disk(w, object_at(w->arena, object_at(w->arena, node, "runtime"), "imageFs"));
    Value *rlimit = object_at(w->arena, node, "rlimit");
    value_set_str(w->arena, rlimit, STR("time"), w->time);
    value_set_int(w->arena, rlimit, STR("maxpid"), sample->host.pids_max);
    value_set_int(w->arena, rlimit, STR("curproc"), sample->host.pids);
}

static Value *put_pod(const Writer *w, Value *pods, const Usage *usage) {
    Value *pod = value_new_object(w->arena), *containers = value_new_array(w->arena);
    Value *reference = object_at(w->arena, pod, "podRef");
    value_set_str(w->arena, reference, STR("name"), usage->pod);
    value_set_str(w->arena, reference, STR("namespace"), usage->namespace_);
    value_set_str(w->arena, reference, STR("uid"), usage->uid);
    put_start(w, pod, usage->started_at);
    value_set(w->arena, pod, STR("containers"), containers);
    put_usage(w, pod, usage, -1);
    value_set_int(w->arena, object_at(w->arena, pod, "process_stats"), STR("process_count"),
                  (int64_t)usage->usage.pids);
    value_push(w->arena, pods, pod);
    return containers;
}

void stats_write_summary(Arena *arena, const NodeAgent *agent, const StatsSample *sample,
                         Buf *buf) {
    Writer w = {arena, sample, time_format(arena, sample->at)};
    Value *summary = value_new_object(arena), *pods = value_new_array(arena), *containers = NULL;
    put_node(&w, object_at(arena, summary, "node"), agent->config.name);
    if (sample->window) // not of upstream's; for metrics.k8s.io
        value_set_int(arena, summary, STR("windowNanoSeconds"), sample->window);
    value_set(arena, summary, STR("pods"), pods);
    for (size_t i = 0; i < sample->n; i++) {
        const Usage *usage = &sample->items[i];
        if (!usage->container.len)
            containers = usage->good ? put_pod(&w, pods, usage) : NULL;
        else if (containers && usage->good) {
            Value *container = value_new_object(arena);
            value_set_str(arena, container, STR("name"), usage->container);
            put_start(&w, container, usage->started_at);
            put_usage(&w, container, usage, -1);
            value_push(arena, containers, container);
        }
    }
    value_write_json(summary, buf);
}

// Prometheus -------------------------------------------------------------------------------------

typedef enum Reading { CPU, WORKING_SET, RSS, MEMORY, START, PROCESSES } Reading;
typedef enum Scope { NODE, PODS, CONTAINERS } Scope;

typedef struct Metric {
    const char *name, *type, *help;
    Scope scope;
    Reading reading;
} Metric;

static void put_value(Buf *buf, const Usage *usage, Reading reading) {
    const CgroupUsage *u = &usage->usage;
    if (reading == CPU || reading == START) {
        uint64_t ns = reading == CPU ? u->cpu_ns : (uint64_t)usage->started_at;
        buf_printf(buf, "%llu.%09llu", ns / NSEC_PER_SEC, ns % NSEC_PER_SEC);
        return;
    }
    buf_printf(buf, "%" PRIu64,
               reading == WORKING_SET ? u->memory_working_set
               : reading == RSS       ? u->memory_rss
               : reading == MEMORY    ? u->memory_bytes
                                      : u->pids);
}

static void put_line(Buf *buf, const StatsSample *sample, const Metric *metric, const Usage *usage,
                     bool with_id) {
    buf_str(buf, str_from(metric->name));
    if (metric->scope != NODE) {
        buf_char(buf, '{');
        if (metric->scope == CONTAINERS)
            buf_printf(buf, "container=\"%.*s\",", STR_ARG(usage->container));
        if (with_id)
            buf_printf(buf, "id=\"%.*s\",", STR_ARG(usage->cgroup));
        buf_printf(buf, "namespace=\"%.*s\",pod=\"%.*s\"}", STR_ARG(usage->namespace_),
                   STR_ARG(usage->pod));
    }
    buf_char(buf, ' ');
    put_value(buf, usage, metric->reading);
    buf_printf(buf, " %lld\n", sample->at / NSEC_PER_MSEC);
}

static void put_metric(Buf *buf, const StatsSample *sample, const Metric *metric, bool with_id) {
    buf_printf(buf, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
               metric->type);
    if (metric->scope == NODE && sample->node.good)
        put_line(buf, sample, metric, &sample->node, false);
    for (size_t i = 0; metric->scope != NODE && i < sample->n; i++)
        if (sample->items[i].good &&
            (metric->scope == CONTAINERS) == (sample->items[i].container.len > 0))
            put_line(buf, sample, metric, &sample->items[i], with_id);
}

void stats_write_resource(const StatsSample *sample, Buf *buf) {
    static const Metric metrics[] = {
        {"container_cpu_usage_seconds_total", "counter",
         "[STABLE] Cumulative cpu time consumed by the container in core-seconds", CONTAINERS, CPU},
        {"container_memory_working_set_bytes", "gauge",
         "[STABLE] Current working set of the container in bytes", CONTAINERS, WORKING_SET},
        {"container_start_time_seconds", "gauge",
         "[STABLE] Start time of the container since unix epoch in seconds", CONTAINERS, START},
        {"node_cpu_usage_seconds_total", "counter",
         "[STABLE] Cumulative cpu time consumed by the node in core-seconds", NODE, CPU},
        {"node_memory_working_set_bytes", "gauge",
         "[STABLE] Current working set of the node in bytes", NODE, WORKING_SET},
        {"pod_cpu_usage_seconds_total", "counter",
         "[STABLE] Cumulative cpu time consumed by the pod in core-seconds", PODS, CPU},
        {"pod_memory_working_set_bytes", "gauge",
         "[STABLE] Current working set of the pod in bytes", PODS, WORKING_SET},
    };
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
        put_metric(buf, sample, &metrics[i], false);
    buf_printf(buf,
               "# HELP resource_scrape_error [STABLE] 1 if there was an error while getting "
               "container metrics, 0 otherwise\n# TYPE resource_scrape_error gauge\n"
               "resource_scrape_error %d\n",
               !sample->node.good);
}

void stats_write_cadvisor(const StatsSample *sample, Buf *buf) {
    static const Metric metrics[] = {
        {"container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.",
         CONTAINERS, CPU},
        {"container_memory_rss", "gauge", "Size of RSS in bytes.", CONTAINERS, RSS},
        {"container_memory_usage_bytes", "gauge",
         "Current memory usage in bytes, including all memory regardless of when it was accessed",
         CONTAINERS, MEMORY},
        {"container_memory_working_set_bytes", "gauge", "Current working set in bytes.", CONTAINERS,
         WORKING_SET},
        {"container_processes", "gauge", "Number of processes running inside the container.",
         CONTAINERS, PROCESSES},
        {"container_start_time_seconds", "gauge",
         "Start time of the container since unix epoch in seconds.", CONTAINERS, START},
    };
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
        put_metric(buf, sample, &metrics[i], true);
}
