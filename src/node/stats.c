#include "node/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "node/host_usage.h"
#include "node/pod_worker.h"
#include "node/resources.h"

#define SHORTEST (1 * NSEC_PER_SEC)  // window of a rate
#define LONGEST (120 * NSEC_PER_SEC) // an older reading is forgotten

struct StatsRequest {
    ListLink link;
    bool rates;
    void (*done)(void *user, const StatsSample *sample);
    void *user;
};

typedef struct Reading {
    Stats *stats; // NULL: nobody waits any more
    StatsSample *sample;
} Reading;

struct Stats {
    NodeAgent *agent;
    List waiting; // StatsRequest
    StatsSample *last;
    int64_t last_at; // monotonic
    Reading *reading;
    LoopTimer again, forget;
    LoopTask step;
};

// A sample ---------------------------------------------------------------------------------------

static void sample_free(StatsSample *sample) {
    if (sample)
        arena_free(sample->arena);
}

static int by_pod(const void *a, const void *b) {
    const Usage *left = a, *right = b;
    int order = str_cmp(left->uid, right->uid);
    return order ? order : str_cmp(left->container, right->container);
}

typedef struct Collection {
    NodeAgent *agent;
    StatsSample *sample;
    size_t capacity;
} Collection;

static Usage *add(Collection *collection) {
    StatsSample *sample = collection->sample;
    if (sample->n == collection->capacity) {
        size_t more = collection->capacity ? collection->capacity * 2 : 64;
        sample->items = arena_grow(sample->arena, sample->items,
                                   collection->capacity * sizeof(Usage), more * sizeof(Usage));
        collection->capacity = more;
    }
    Usage *usage = &sample->items[sample->n++];
    *usage = (Usage){.container = STR("")};
    return usage;
}

static void set_pod(Arena *arena, Usage *usage, const Pod *pod) {
    usage->namespace_ = arena_str(arena, pod->metadata.namespace);
    usage->pod = arena_str(arena, pod->metadata.name);
    usage->uid = arena_str(arena, pod->metadata.uid);
}

static void add_container(void *user, const RuntimeContainer *container) {
    Collection *collection = user;
    const PodWorker *worker = map_get(collection->agent->workers, container->pod_uid);
    if (!worker || container->state != CONTAINER_RUNNING)
        return;
    Arena *arena = collection->sample->arena;
    Usage *usage = add(collection);
    set_pod(arena, usage, pod_worker_pod(worker));
    usage->container = arena_str(arena, container->name);
    usage->cgroup = arena_str(arena, container->cgroup);
    usage->started_at = container->started_at;
}

static StatsSample *sample_new(NodeAgent *agent) {
    Arena *arena = arena_new();
    StatsSample *sample = arena_new_of(arena, StatsSample);
    sample->arena = arena;
    Collection collection = {.agent = agent, .sample = sample};
    MapIter iter = {0};
    while (map_next(agent->workers, &iter)) {
        const Pod *pod = pod_worker_pod(iter.value);
        Usage *usage = add(&collection);
        set_pod(arena, usage, pod);
        usage->cgroup = cgroup_pod_path(arena, agent->config.cgroup_parent, resources_qos(pod),
                                        pod->metadata.uid);
        usage->started_at = pod->status.start_time;
    }
    agent->runtime->ops->each_container(agent->runtime, add_container, &collection);
    if (sample->n)
        qsort(sample->items, sample->n, sizeof(Usage), by_pod);
    host_usage(agent, &sample->host);
    return sample;
}

// On a thread of the pool ------------------------------------------------------------------------

static void read_node_cpu(Usage *node) {
    char line[512] = "";
    FILE *file = fopen("/proc/stat", "re");
    if (file && !fgets(line, sizeof line, file))
        line[0] = '\0';
    if (file)
        fclose(file);
    unsigned long long v[8] = {0}; // user nice system idle iowait irq softirq steal
    node->good = sscanf(line, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2],
                        &v[3], &v[4], &v[5], &v[6], &v[7]) >= 4;
    uint64_t ticks = v[0] + v[1] + v[2] + v[5] + v[6] + v[7];
    node->usage.cpu_ns = ticks * (uint64_t)(NSEC_PER_SEC / sysconf(_SC_CLK_TCK));
}

static void read_all(void *user) {
    StatsSample *sample = ((Reading *)user)->sample;
    CgroupHost *host = NULL; // the agent's own may be freed meanwhile
    if (cgroup_host_new(&host) != 0)
        return;
    for (size_t i = 0; i < sample->n; i++) {
        Usage *item = &sample->items[i];
        item->good = cgroup_usage(host, item->cgroup, &item->usage) == 0;
    }
    cgroup_host_free(host);
    read_node_cpu(&sample->node);
    int64_t used = sample->host.memory_capacity - sample->host.memory_available;
    sample->node.usage.memory_working_set = sample->node.usage.memory_bytes = (uint64_t)used;
    sample->node.usage.pids = (uint64_t)sample->host.pids;
    struct timespec up;
    clock_gettime(CLOCK_BOOTTIME, &up);
    sample->boot = -(up.tv_sec * NSEC_PER_SEC + up.tv_nsec); // from `at`, which is not known here
}

// Rates ------------------------------------------------------------------------------------------

static uint64_t rate(uint64_t now, uint64_t before, int64_t window) {
    return window > 0 && now > before
               ? (uint64_t)((unsigned __int128)(now - before) * NSEC_PER_SEC / (uint64_t)window)
               : 0;
}

static void set_rates(StatsSample *sample, const StatsSample *before) {
    sample->window = sample->at - before->at;
    sample->node.nano_cores =
        rate(sample->node.usage.cpu_ns, before->node.usage.cpu_ns, sample->window);
    _map_free_ Map *known = map_new();
    for (size_t i = 0; i < before->n; i++)
        if (before->items[i].good)
            map_put(known, before->items[i].cgroup, &before->items[i]);
    for (size_t i = 0; i < sample->n; i++) {
        Usage *item = &sample->items[i];
        const Usage *old = map_get(known, item->cgroup);
        if (old)
            item->nano_cores = rate(item->usage.cpu_ns, old->usage.cpu_ns, sample->window);
        else if (item->started_at) // since its start
            item->nano_cores = rate(item->usage.cpu_ns, 0, sample->at - item->started_at);
    }
}

// Requests ---------------------------------------------------------------------------------------

static void on_forget(void *user) {
    Stats *stats = user;
    sample_free(stats->last);
    stats->last = NULL;
}

static void keep(Stats *stats, StatsSample *sample) {
    Loop *loop = stats->agent->loop;
    sample->at = loop_wall(loop);
    sample->boot += sample->at;
    if (stats->last)
        set_rates(sample, stats->last);
    sample_free(stats->last);
    stats->last = sample;
    stats->last_at = loop_now(loop);
    loop_timer_start(&stats->forget, LONGEST);
}

static void on_read(void *user) {
    Reading *reading = user;
    Stats *stats = reading->stats;
    if (stats) {
        stats->reading = NULL;
        keep(stats, reading->sample);
        loop_post(stats->agent->loop, &stats->step);
    } else
        sample_free(reading->sample);
    free(reading);
}

static void start_reading(Stats *stats) {
    Reading *reading = stats->reading = memory_new(Reading);
    reading->stats = stats;
    reading->sample = sample_new(stats->agent);
    loop_work(stats->agent->loop, read_all, on_read, reading);
}

// Gives the newest sample to those whom it serves. Returns whether any are left.
static bool serve(Stats *stats) {
    StatsRequest *request;
    list_for_each(request, &stats->waiting, link) {
        if (request->rates && !stats->last->window)
            continue;
        list_remove(&request->link);
        request->done(request->user, stats->last);
        free(request);
    }
    return !list_is_empty(&stats->waiting);
}

static void step(void *user) {
    Stats *stats = user;
    if (stats->reading || list_is_empty(&stats->waiting))
        return;
    int64_t age = stats->last ? loop_now(stats->agent->loop) - stats->last_at : LONGEST;
    if (age < SHORTEST && !serve(stats))
        return;
    if (age < SHORTEST)
        loop_timer_start(&stats->again, SHORTEST - age); // the second reading
    else
        start_reading(stats);
}

StatsRequest *stats_request(Stats *stats, bool rates,
                            void (*done)(void *user, const StatsSample *sample), void *user) {
    StatsRequest *request = memory_new(StatsRequest);
    request->rates = rates;
    request->done = done;
    request->user = user;
    list_append(&stats->waiting, &request->link);
    loop_post(stats->agent->loop, &stats->step);
    return request;
}

void stats_cancel(StatsRequest *request) {
    list_remove(&request->link);
    free(request);
}

Stats *stats_new(NodeAgent *agent) {
    Stats *stats = memory_new(Stats);
    stats->agent = agent;
    list_init(&stats->waiting);
    stats->step = (LoopTask){.fn = step, .user = stats};
    loop_timer_init(&stats->again, agent->loop, step, stats);
    loop_timer_init(&stats->forget, agent->loop, on_forget, stats);
    return stats;
}

void stats_free(Stats *stats) {
    if (!stats)
        return;
    StatsRequest *request;
    list_for_each(request, &stats->waiting, link) stats_cancel(request);
    if (stats->reading)
        stats->reading->stats = NULL;
    loop_timer_stop(&stats->again);
    loop_timer_stop(&stats->forget);
    loop_task_cancel(stats->agent->loop, &stats->step);
    sample_free(stats->last);
    free(stats);
}
