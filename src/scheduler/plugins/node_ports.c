// A host port is given once per address and protocol; 0.0.0.0 stands for every address.

#include "scheduler/plugins/plugins.h"

static bool is_any(Str ip) {
    return str_eq(ip, STR("0.0.0.0"));
}

static bool conflict(const HostPort *a, const HostPort *b) {
    return a->port == b->port && str_eq(a->protocol, b->protocol) &&
           (str_eq(a->ip, b->ip) || is_any(a->ip) || is_any(b->ip));
}

static bool is_taken(const NodeInfo *info, const HostPort *wanted) {
    const AssignedPod *pod;
    list_for_each(pod, &info->pods, link) {
        for (size_t i = 0; i < pod->demand->n_ports; i++) {
            if (conflict(&pod->demand->ports[i], wanted))
                return true;
        }
    }
    return false;
}

static Verdict filter(Cycle *cycle, const NodeInfo *info) {
    for (size_t i = 0; i < cycle->demand.n_ports; i++) {
        if (is_taken(info, &cycle->demand.ports[i])) {
            cycle_reject(cycle, STR("node(s) didn't have free ports for the requested pod ports"));
            return VERDICT_UNSCHEDULABLE;
        }
    }
    return VERDICT_FITS;
}

const Plugin *plugin_node_ports(void) {
    static const Plugin plugin = {
        .name = "NodePorts", .wakes = EVENT_NODE_ADDED | EVENT_POD_REMOVED, .filter = filter};
    return &plugin;
}
