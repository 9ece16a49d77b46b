// A cordoned node takes only pods that tolerate its being so.

#include "rules/taints.h"
#include "scheduler/plugins/plugins.h"

static Verdict filter(Cycle *cycle, const NodeInfo *info) {
    if (!info->node->spec.unschedulable)
        return VERDICT_FITS;
    Taint taint = {.key = STR("node.kubernetes.io/unschedulable"), .effect = STR("NoSchedule")};
    const PodSpec *spec = &cycle->pod->spec;
    if (tolerations_tolerate(spec->tolerations.items, spec->tolerations.len, &taint))
        return VERDICT_FITS;
    cycle_reject(cycle, STR("node(s) were unschedulable"));
    return VERDICT_UNRESOLVABLE;
}

const Plugin *plugin_node_unschedulable(void) {
    static const Plugin plugin = {
        .name = "NodeUnschedulable",
        .wakes = EVENT_NODE_ADDED | EVENT_NODE_TAINTS,
        .filter = filter,
    };
    return &plugin;
}
