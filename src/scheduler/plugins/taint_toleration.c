// Taints keep pods away that do not tolerate them; PreferNoSchedule only counts against a node.

#include "rules/taints.h"
#include "scheduler/plugins/plugins.h"

static Verdict filter(Cycle *cycle, const NodeInfo *info) {
    const NodeSpec *node = &info->node->spec;
    const PodSpec *pod = &cycle->pod->spec;
    if (!taints_find_untolerated(node->taints.items, node->taints.len, pod->tolerations.items,
                                 pod->tolerations.len, TAINT_NO_SCHEDULE | TAINT_NO_EXECUTE))
        return VERDICT_FITS;
    cycle_reject(cycle, STR("node(s) had untolerated taint(s)"));
    return VERDICT_UNRESOLVABLE;
}

static int64_t score(const Cycle *cycle, const NodeInfo *info) {
    const NodeSpec *node = &info->node->spec;
    const PodSpec *pod = &cycle->pod->spec;
    int64_t untolerated = 0;
    for (size_t i = 0; i < node->taints.len; i++) {
        if (taints_find_untolerated(&node->taints.items[i], 1, pod->tolerations.items,
                                    pod->tolerations.len, TAINT_PREFER_NO_SCHEDULE))
            untolerated++;
    }
    return untolerated;
}

const Plugin *plugin_taint_toleration(void) {
    static const Plugin plugin = {
        .name = "TaintToleration",
        .wakes = EVENT_NODE_ADDED | EVENT_NODE_TAINTS,
        .filter = filter,
        .score = score,
        .normalize = NORMALIZE_DOWN,
        .weight = 3,
    };
    return &plugin;
}
