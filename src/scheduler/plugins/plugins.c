#include "scheduler/plugins/plugins.h"

static const Plugin *(*const table[])(void) = {
    plugin_node_unschedulable, plugin_node_name,     plugin_taint_toleration,
    plugin_node_affinity,      plugin_node_ports,    plugin_node_resources_fit,
    plugin_volume_binding,     plugin_not_supported,
};

const Plugin *plugins_at(size_t i) {
    return i < sizeof table / sizeof *table ? table[i]() : NULL;
}
