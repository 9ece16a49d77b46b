#include "node/pressure.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/quantity.h"
#include "node/host_usage.h"
#include "node/images.h"
#include "node/node_reporter.h"
#include "node/pod_worker.h"
#include "node/resources.h"

#define TRANSITION (300 * NSEC_PER_SEC) // a condition stays that long after its threshold
#define MAX_THRESHOLDS 16
#define DEFAULTS "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%"

typedef struct Signal {
    Str name;
    PressureKind kind;
    Str resource; // as messages name it
} Signal;

static const Signal signals[] = {
    {STR("memory.available"), PRESSURE_MEMORY, STR("memory")},
    {STR("nodefs.available"), PRESSURE_DISK, STR("ephemeral-storage")},
    {STR("imagefs.available"), PRESSURE_DISK, STR("ephemeral-storage")},
    {STR("nodefs.inodesFree"), PRESSURE_DISK, STR("inodes")},
    {STR("imagefs.inodesFree"), PRESSURE_DISK, STR("inodes")},
    {STR("pid.available"), PRESSURE_PIDS, STR("pids")},
};

typedef struct Threshold {
    const Signal *signal;
    int64_t amount; // or
    double percent; // of the capacity; 0: an amount
} Threshold;

struct Pressure {
    NodeAgent *agent;
    Threshold thresholds[MAX_THRESHOLDS];
    size_t n;
    int64_t met[PRESSURE_KINDS];   // monotonic, when a threshold of it was last met; 0: never
    int64_t since[PRESSURE_KINDS]; // Unix ns, of the last change
    bool holds[PRESSURE_KINDS];
    StatsRequest *request; // to choose who goes
    const Threshold *short_of;
    int64_t available, limit;
};

// Thresholds -------------------------------------------------------------------------------------

static const Signal *find_signal(Str name) {
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (str_eq(signals[i].name, name))
            return &signals[i];
    return NULL;
}

static bool parse_one(Arena *arena, Str text, Threshold *ret) {
    Str value = text, name = str_trim(str_cut(&value, '<'));
    Quantity quantity;
    *ret = (Threshold){.signal = find_signal(name)};
    if (!ret->signal || !value.ptr)
        return false;
    value = str_trim(value);
    if (str_ends_with(value, STR("%"))) {
        char *end, *number = arena_cstr(arena, str_slice(value, 0, value.len - 1));
        ret->percent = strtod(number, &end);
        return end != number && !*end && ret->percent > 0 && ret->percent < 100;
    }
    if (quantity_parse(value, &quantity) != 0)
        return false;
    ret->amount = quantity_value(quantity);
    return ret->amount >= 0;
}

static int parse(Arena *arena, Str text, Threshold *ret, size_t *ret_n, Str *ret_message) {
    *ret_n = 0;
    while (text.ptr) {
        Str one = str_trim(str_cut(&text, ','));
        if (!one.len)
            continue;
        if (*ret_n == MAX_THRESHOLDS || !parse_one(arena, one, &ret[*ret_n])) {
            *ret_message = arena_printf(arena, "%.*s: no such eviction threshold", STR_ARG(one));
            return -EINVAL;
        }
        ++*ret_n;
    }
    return 0;
}

int pressure_check_thresholds(Arena *arena, Str text, Str *ret_message) {
    Threshold thresholds[MAX_THRESHOLDS];
    size_t n;
    return parse(arena, text, thresholds, &n, ret_message);
}

static void measure(const Threshold *threshold, const HostUsage *host, int64_t *ret_available,
                    int64_t *ret_limit) {
    Str name = threshold->signal->name;
    bool memory = threshold->signal->kind == PRESSURE_MEMORY;
    bool pids = threshold->signal->kind == PRESSURE_PIDS;
    bool inodes = str_ends_with(name, STR("inodesFree"));
    int64_t capacity = memory   ? host->memory_capacity
                       : pids   ? host->pids_max
                       : inodes ? host->inodes
                                : host->disk_capacity;
    *ret_available = memory   ? host->memory_available
                     : pids   ? host->pids_max - host->pids
                     : inodes ? host->inodes_free
                              : host->disk_available;
    *ret_limit = threshold->percent > 0 ? (int64_t)((double)capacity * threshold->percent / 100)
                                        : threshold->amount;
    if (!capacity)
        *ret_limit = INT64_MIN; // not known: never met
}

int64_t pressure_reserved_memory(const Pressure *pressure) {
    for (size_t i = 0; i < pressure->n; i++)
        if (pressure->thresholds[i].signal->kind == PRESSURE_MEMORY)
            return pressure->thresholds[i].amount;
    return 0;
}

int64_t pressure_reserved_disk(const Pressure *pressure, int64_t capacity) {
    for (size_t i = 0; i < pressure->n; i++) {
        const Threshold *threshold = &pressure->thresholds[i];
        if (str_eq(threshold->signal->name, STR("nodefs.available")))
            return threshold->percent > 0 ? (int64_t)((double)capacity * threshold->percent / 100)
                                          : threshold->amount;
    }
    return 0;
}

// Who goes ---------------------------------------------------------------------------------------

static Str amount_text(Arena *arena, Str resource, int64_t amount) {
    if (str_eq(resource, STR("pids")) || str_eq(resource, STR("inodes")))
        return arena_printf(arena, "%lld", (long long)amount);
    return arena_printf(arena, "%lldKi", (long long)(amount / 1024));
}

static int64_t request_of(const Pod *pod, Str container, Str resource) {
    int64_t sum = 0;
    for (size_t i = 0; i < pod->spec.containers.len; i++) {
        const Container *one = &pod->spec.containers.items[i];
        if (!container.len || str_eq(one->name, container))
            sum += resource_units(&one->resources.requests, resource);
    }
    return sum;
}

static int64_t used_of(const Pressure *pressure, const Usage *usage) {
    return pressure->short_of->signal->kind == PRESSURE_PIDS
               ? (int64_t)usage->usage.pids
               : (int64_t)usage->usage.memory_working_set;
}

// eviction/helpers.go evictionMessage().
static Str message_of(const Pressure *pressure, Arena *arena, const StatsSample *sample,
                      const Pod *pod) {
    Str resource = pressure->short_of->signal->resource;
    Buf buf = BUF_INIT(16 * 1024);
    buf_printf(&buf,
               "The node was low on resource: %.*s. Threshold quantity: %.*s, available: %.*s. ",
               STR_ARG(resource), STR_ARG(amount_text(arena, resource, pressure->limit)),
               STR_ARG(amount_text(arena, resource, pressure->available)));
    for (size_t i = 0; i < sample->n; i++) {
        const Usage *usage = &sample->items[i];
        int64_t request = request_of(pod, usage->container, resource);
        if (!str_eq(usage->uid, pod->metadata.uid) || !usage->container.len ||
            pressure->short_of->signal->kind != PRESSURE_MEMORY ||
            used_of(pressure, usage) <= request)
            continue;
        buf_printf(&buf,
                   "Container %.*s was using %.*s, request is %.*s, has larger consumption of "
                   "%.*s. ",
                   STR_ARG(usage->container),
                   STR_ARG(amount_text(arena, resource, used_of(pressure, usage))),
                   STR_ARG(request ? amount_text(arena, resource, request) : STR("0")),
                   STR_ARG(resource));
    }
    Str text = arena_str(arena, buf_view(&buf));
    buf_deinit(&buf);
    return text;
}

static void on_sample(void *user, const StatsSample *sample) {
    Pressure *pressure = user;
    pressure->request = NULL;
    _arena_free_ Arena *arena = arena_new();
    PressureCandidate *candidates = arena_array_of(arena, PressureCandidate, sample->n + 1);
    size_t n = 0;
    for (size_t i = 0; i < sample->n; i++) {
        const Usage *usage = &sample->items[i];
        PodWorker *worker = map_get(pressure->agent->workers, usage->uid);
        if (usage->container.len || !worker || pod_worker_is_ending(worker) ||
            pressure_is_critical(pod_worker_pod(worker)))
            continue;
        const Pod *pod = pod_worker_pod(worker);
        candidates[n++] =
            (PressureCandidate){pod, used_of(pressure, usage),
                                request_of(pod, STR_NONE, pressure->short_of->signal->resource)};
    }
    pressure_rank(candidates, n);
    if (!n) {
        log_warn("node", "short of a resource, and no pod to evict", "resource=%.*s",
                 STR_ARG(pressure->short_of->signal->resource));
        return;
    }
    const Pod *pod = candidates[0].pod;
    log_warn("node", "evicting a pod", "pod=%.*s/%.*s resource=%.*s",
             STR_ARG(pod->metadata.namespace), STR_ARG(pod->metadata.name),
             STR_ARG(pressure->short_of->signal->resource));
    pod_worker_evict(map_get(pressure->agent->workers, pod->metadata.uid),
                     message_of(pressure, arena, sample, pod));
}

// One at a time: the next look tells whether that was enough.
static void relieve(Pressure *pressure, const Threshold *threshold, int64_t available,
                    int64_t limit) {
    MapIter iter = {0};
    while (map_next(pressure->agent->workers, &iter))
        if (pod_worker_is_evicting(iter.value))
            return;
    if (threshold->signal->kind == PRESSURE_DISK && images_collect_unused(pressure->agent->images))
        return; // images that nobody uses go before pods do
    pressure->short_of = threshold;
    pressure->available = available;
    pressure->limit = limit;
    if (!pressure->request)
        pressure->request = stats_request(pressure->agent->stats, false, on_sample, pressure);
}

// Conditions -------------------------------------------------------------------------------------

static bool update_conditions(Pressure *pressure) {
    int64_t now = loop_now(pressure->agent->loop);
    bool changed = false;
    for (int kind = 0; kind < PRESSURE_KINDS; kind++) {
        bool holds = pressure->met[kind] && now - pressure->met[kind] < TRANSITION;
        if (holds == pressure->holds[kind])
            continue;
        pressure->holds[kind] = holds;
        pressure->since[kind] = loop_wall(pressure->agent->loop);
        changed = true;
    }
    return changed;
}

void pressure_look(Pressure *pressure) {
    HostUsage host;
    host_usage(pressure->agent, &host);
    const Threshold *first = NULL;
    int64_t first_available = 0, first_limit = 0;
    for (size_t i = 0; i < pressure->n; i++) {
        int64_t available, limit;
        measure(&pressure->thresholds[i], &host, &available, &limit);
        if (available >= limit)
            continue;
        pressure->met[pressure->thresholds[i].signal->kind] = loop_now(pressure->agent->loop);
        if (!first) { // memory comes first in the table, as a kubelet sorts them
            first = &pressure->thresholds[i];
            first_available = available;
            first_limit = limit;
        }
    }
    if (update_conditions(pressure))
        node_reporter_changed(pressure->agent->status);
    if (first)
        relieve(pressure, first, first_available, first_limit);
}

bool pressure_holds(const Pressure *pressure, PressureKind kind, int64_t *ret_since) {
    *ret_since = pressure->since[kind];
    return pressure->holds[kind];
}

static bool tolerates_memory(const Pod *pod) {
    for (size_t i = 0; i < pod->spec.tolerations.len; i++) {
        const Toleration *one = &pod->spec.tolerations.items[i];
        bool effect = !one->effect.len || str_eq(one->effect, STR("NoSchedule"));
        if (effect && (str_eq(one->key, STR("node.kubernetes.io/memory-pressure")) ||
                       (!one->key.len && str_eq(one->operator, STR("Exists")))))
            return true;
    }
    return false;
}

// eviction_manager.go Admit().
bool pressure_admits(const Pressure *pressure, Arena *arena, const Pod *pod, Str *ret_message) {
    static const char *const names[] = {"MemoryPressure", "DiskPressure", "PIDPressure"};
    bool memory = pressure->holds[PRESSURE_MEMORY];
    if (pressure_is_critical(pod))
        return true;
    bool others = pressure->holds[PRESSURE_DISK] || pressure->holds[PRESSURE_PIDS];
    if (memory && !others && (resources_qos(pod) != QOS_BEST_EFFORT || tolerates_memory(pod)))
        return true;
    Str list = STR("");
    for (int kind = 0; kind < PRESSURE_KINDS; kind++)
        if (pressure->holds[kind])
            list = arena_printf(arena, "%.*s%s%s", STR_ARG(list), list.len ? " " : "", names[kind]);
    if (!list.len)
        return true;
    *ret_message =
        arena_printf(arena, "Pod was rejected: The node had condition: [%.*s]. ", STR_ARG(list));
    return false;
}

// Life -------------------------------------------------------------------------------------------

Pressure *pressure_new(NodeAgent *agent) {
    Pressure *pressure = memory_new(Pressure);
    pressure->agent = agent;
    Str text = agent->config.eviction_hard, message;
    if (!text.len)
        text = STR(DEFAULTS);
    _arena_free_ Arena *arena = arena_new();
    if (parse(arena, text, pressure->thresholds, &pressure->n, &message) != 0)
        log_error("node", "eviction thresholds not understood", "message=\"%.*s\"",
                  STR_ARG(message));
    return pressure;
}

void pressure_free(Pressure *pressure) {
    if (!pressure)
        return;
    if (pressure->request)
        stats_cancel(pressure->request);
    free(pressure);
}
