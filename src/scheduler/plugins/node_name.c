// A pod that names its node goes there or nowhere.

#include "scheduler/plugins/plugins.h"

static Verdict filter(Cycle *cycle, const NodeInfo *info) {
    Str wanted = cycle->pod->spec.node_name;
    if (!wanted.len || str_eq(wanted, info->name))
        return VERDICT_FITS;
    cycle_reject(cycle, STR("node(s) didn't match the requested node name"));
    return VERDICT_UNRESOLVABLE;
}

const Plugin *plugin_node_name(void) {
    static const Plugin plugin = {.name = "NodeName", .wakes = EVENT_NODE_ADDED, .filter = filter};
    return &plugin;
}
