// What the pod requests must be left of what the node can give. Scores with LeastAllocated: the
// emptier the better.

#include "scheduler/plugins/plugins.h"

typedef struct Fit {
    Cycle *cycle;
    Verdict verdict;
} Fit;

static void reject(Fit *fit, Str reason, bool never) {
    cycle_reject(fit->cycle, reason);
    if (never)
        fit->verdict = VERDICT_UNRESOLVABLE;
    else if (fit->verdict == VERDICT_FITS)
        fit->verdict = VERDICT_UNSCHEDULABLE;
}

static void check(Fit *fit, Str name, Amount wanted, Amount used, Amount allocatable) {
    if (wanted > 0 && wanted > allocatable - used)
        reject(fit, arena_printf(fit->cycle->arena, "Insufficient %.*s", STR_ARG(name)),
               wanted > allocatable);
}

static Verdict filter(Cycle *cycle, const NodeInfo *info) {
    const Resources *wanted = &cycle->demand.requests, *used = &info->requested,
                    *all = &info->allocatable;
    Fit fit = {cycle, VERDICT_FITS};
    if ((Amount)info->n_pods + 1 > info->allowed_pods)
        reject(&fit, STR("Too many pods"), false);
    check(&fit, STR("cpu"), wanted->milli_cpu, used->milli_cpu, all->milli_cpu);
    check(&fit, STR("memory"), wanted->memory, used->memory, all->memory);
    check(&fit, STR("ephemeral-storage"), wanted->ephemeral_storage, used->ephemeral_storage,
          all->ephemeral_storage);
    for (size_t i = 0; i < wanted->n_others; i++) {
        Str name = wanted->others[i].name;
        check(&fit, name, wanted->others[i].amount, resources_other(used, name),
              resources_other(all, name));
    }
    return fit.verdict;
}

static int64_t free_share(Amount used, Amount allocatable) {
    return used > allocatable ? 0 : (int64_t)((allocatable - used) * SCORE_MAX / allocatable);
}

static int64_t score(const Cycle *cycle, const NodeInfo *info) {
    const Demand *wanted = &cycle->demand;
    int64_t sum = 0, weights = 0;
    if (info->allocatable.milli_cpu) {
        sum += free_share(info->scored_milli_cpu + wanted->scored_milli_cpu,
                          info->allocatable.milli_cpu);
        weights++;
    }
    if (info->allocatable.memory) {
        sum += free_share(info->scored_memory + wanted->scored_memory, info->allocatable.memory);
        weights++;
    }
    return weights ? sum / weights : 0;
}

const Plugin *plugin_node_resources_fit(void) {
    static const Plugin plugin = {
        .name = "NodeResourcesFit",
        .wakes = EVENT_NODE_ADDED | EVENT_NODE_ALLOCATABLE | EVENT_POD_REMOVED,
        .filter = filter,
        .score = score,
        .weight = 1,
    };
    return &plugin;
}
