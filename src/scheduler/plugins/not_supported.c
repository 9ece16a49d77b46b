// What a pod may demand and this scheduler can't judge yet: such a pod stays Pending and says why,
// rather than land where it asked not to be. Preferences of these kinds are left out of the score.

#include "scheduler/plugins/plugins.h"

static bool asks_for_neighbours(const Affinity *affinity) {
    if (!affinity)
        return false;
    const PodAffinity *near = affinity->pod_affinity;
    const PodAntiAffinity *apart = affinity->pod_anti_affinity;
    return (near && near->required_during_scheduling_ignored_during_execution.len) ||
           (apart && apart->required_during_scheduling_ignored_during_execution.len);
}

static bool pre_filter(Cycle *cycle, Str *ret_message) {
    const PodSpec *spec = &cycle->pod->spec;
    bool spreads = false;
    for (size_t i = 0; i < spec->topology_spread_constraints.len; i++)
        spreads |= !str_eq(spec->topology_spread_constraints.items[i].when_unsatisfiable,
                           STR("ScheduleAnyway"));
    if (asks_for_neighbours(spec->affinity))
        *ret_message = STR("required inter-pod affinity is not supported yet");
    else if (spreads)
        *ret_message = STR("required topology spread is not supported yet");
    else if (spec->resource_claims.len)
        *ret_message = STR("resource claims are not supported yet");
    else
        return true;
    return false;
}

const Plugin *plugin_not_supported(void) {
    static const Plugin plugin = {.name = "NotSupported", .pre_filter = pre_filter};
    return &plugin;
}
