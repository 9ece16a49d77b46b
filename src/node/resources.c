#include "node/resources.h"

#include <sys/sysinfo.h>

#include "base/quantity.h"
#include "rules/pod_resources.h"

#define SHARES_LEAST 2
#define SHARES_MOST 262144
#define SHARES_PER_CPU 1024
#define QUOTA_PERIOD 100000 // µs
#define QUOTA_LEAST 1000
#define OOM_GUARANTEED (-997)
#define OOM_BEST_EFFORT 1000
#define PRIORITY_SYSTEM_CRITICAL 2000000000

static bool find(const StrMap *list, Str name, Quantity *ret) {
    Str text = str_map_get(list, name);
    return text.ptr && quantity_parse(text, ret) == 0;
}

int64_t resource_milli(const StrMap *list, Str name) {
    Quantity quantity;
    return find(list, name, &quantity) ? quantity_milli_value(quantity) : 0;
}

int64_t resource_units(const StrMap *list, Str name) {
    Quantity quantity;
    return find(list, name, &quantity) ? quantity_value(quantity) : 0;
}

int64_t resources_machine_memory(void) {
    struct sysinfo info;
    return sysinfo(&info) == 0 ? (int64_t)info.totalram * info.mem_unit : INT64_MAX;
}

// Quality of service -----------------------------------------------------------------------------

PodQos resources_qos(const Pod *pod) {
    Str class = pod->status.qos_class;
    if (str_eq(class, STR("Guaranteed")))
        return QOS_GUARANTEED;
    if (str_eq(class, STR("Burstable")))
        return QOS_BURSTABLE;
    if (str_eq(class, STR("BestEffort")))
        return QOS_BEST_EFFORT;
    class = pod_qos_class(&pod->spec);
    return str_eq(class, STR("Guaranteed"))   ? QOS_GUARANTEED
           : str_eq(class, STR("BestEffort")) ? QOS_BEST_EFFORT
                                              : QOS_BURSTABLE;
}

// One container ----------------------------------------------------------------------------------

static uint64_t shares_of(int64_t milli) {
    if (milli > INT64_MAX / SHARES_PER_CPU)
        return SHARES_MOST;
    int64_t shares = milli * SHARES_PER_CPU / 1000;
    return shares < SHARES_LEAST  ? SHARES_LEAST
           : shares > SHARES_MOST ? SHARES_MOST
                                  : (uint64_t)shares;
}

static int64_t quota_of(int64_t milli) { // 0: no limit
    if (milli <= 0 || milli > INT64_MAX / QUOTA_PERIOD)
        return 0;
    int64_t quota = milli * QUOTA_PERIOD / 1000;
    return quota < QUOTA_LEAST ? QUOTA_LEAST : quota;
}

static bool is_sidecar(const Pod *pod, const Container *container) {
    for (size_t i = 0; i < pod->spec.init_containers.len; i++)
        if (str_eq(pod->spec.init_containers.items[i].name, container->name))
            return str_eq(container->restart_policy, STR("Always"));
    return false;
}

// A pod's own request is shared out evenly beyond what its containers ask for.
static int64_t shared_request(const Pod *pod) {
    const PodSpec *spec = &pod->spec;
    if (!spec->resources || !spec->containers.len)
        return 0;
    int64_t sum = 0;
    size_t n = spec->containers.len;
    for (size_t i = 0; i < spec->containers.len; i++)
        sum += resource_units(&spec->containers.items[i].resources.requests, STR("memory"));
    for (size_t i = 0; i < spec->init_containers.len; i++) {
        if (!str_eq(spec->init_containers.items[i].restart_policy, STR("Always")))
            continue;
        sum += resource_units(&spec->init_containers.items[i].resources.requests, STR("memory"));
        n++;
    }
    int64_t left = resource_units(&spec->resources->requests, STR("memory")) - sum;
    return left > 0 ? left / (int64_t)n : 0;
}

// The kubelet's qos policy: the more of the machine's memory a container asked for, the less likely
// it is killed.
static int oom_score(const Pod *pod, const Container *container, int64_t capacity) {
    if (str_eq(pod->spec.priority_class_name, STR("system-node-critical")) && pod->spec.priority &&
        *pod->spec.priority >= PRIORITY_SYSTEM_CRITICAL)
        return OOM_GUARANTEED;
    PodQos qos = resources_qos(pod);
    if (qos != QOS_BURSTABLE)
        return qos == QOS_GUARANTEED ? OOM_GUARANTEED : OOM_BEST_EFFORT;
    int64_t request = resource_units(&container->resources.requests, STR("memory"));
    if (is_sidecar(pod, container)) { // not before the containers that it serves
        int64_t least = INT64_MAX;
        for (size_t i = 0; i < pod->spec.containers.len; i++) {
            int64_t other =
                resource_units(&pod->spec.containers.items[i].resources.requests, STR("memory"));
            least = other < least ? other : least;
        }
        request = least != INT64_MAX && least > request ? least : request;
    }
    __int128 part = (__int128)1000 * (request + shared_request(pod)) / capacity;
    int64_t score = part > 1000 ? 0 : 1000 - (int64_t)part;
    if (score < 1000 + OOM_GUARANTEED)
        return 1000 + OOM_GUARANTEED;
    return score >= OOM_BEST_EFFORT ? OOM_BEST_EFFORT - 1 : (int)score;
}

ContainerResources resources_of_container(const Pod *pod, const Container *container,
                                          int64_t memory_capacity) {
    const ResourceRequirements *own = &container->resources, *whole = pod->spec.resources;
    int64_t cpu_request = resource_milli(&own->requests, STR("cpu"));
    int64_t cpu_limit = resource_milli(&own->limits, STR("cpu"));
    int64_t memory = resource_units(&own->limits, STR("memory"));
    // Without limits of its own, a container may take what the whole pod may.
    if (!cpu_limit && whole)
        cpu_limit = resource_milli(&whole->limits, STR("cpu"));
    if (!memory && whole)
        memory = resource_units(&whole->limits, STR("memory"));
    ContainerResources resources = {
        .cpu_shares = shares_of(cpu_request ? cpu_request : cpu_limit),
        .cpu_quota = quota_of(cpu_limit),
        .memory_limit = memory,
        .oom_score_adj = oom_score(pod, container, memory_capacity),
        .oom_score_adj_set = true,
    };
    if (resources.cpu_quota)
        resources.cpu_period = QUOTA_PERIOD;
    return resources;
}

// The pod's group --------------------------------------------------------------------------------

static bool all_limited(const Pod *pod, Str name) {
    const PodSpec *spec = &pod->spec;
    if (spec->resources && resource_milli(&spec->resources->limits, name))
        return true;
    for (size_t i = 0; i < spec->containers.len; i++)
        if (!resource_milli(&spec->containers.items[i].resources.limits, name))
            return false;
    for (size_t i = 0; i < spec->init_containers.len; i++)
        if (!resource_milli(&spec->init_containers.items[i].resources.limits, name))
            return false;
    return true;
}

CgroupLimits resources_of_pod(const Pod *pod) {
    PodQos qos = resources_qos(pod);
    if (qos == QOS_BEST_EFFORT)
        return (CgroupLimits){.cpu_shares = SHARES_LEAST};
    _arena_free_ Arena *arena = arena_new();
    ResourceAmounts requests = pod_requests(arena, &pod->spec, NULL);
    ResourceAmounts whole = pod_limits(arena, &pod->spec);
    Quantity request, cpu, memory;
    resource_amounts_get(&requests, STR("cpu"), &request);
    resource_amounts_get(&whole, STR("cpu"), &cpu);
    resource_amounts_get(&whole, STR("memory"), &memory);
    int64_t cpu_request = quantity_milli_value(request), cpu_limit = quantity_milli_value(cpu);
    CgroupLimits limits = {.cpu_shares = shares_of(cpu_request ? cpu_request : cpu_limit)};
    if (qos == QOS_GUARANTEED || all_limited(pod, STR("cpu"))) {
        limits.cpu_quota = quota_of(cpu_limit);
        limits.cpu_period = limits.cpu_quota ? QUOTA_PERIOD : 0;
    }
    if (qos == QOS_GUARANTEED || all_limited(pod, STR("memory")))
        limits.memory = quantity_value(memory);
    return limits;
}
