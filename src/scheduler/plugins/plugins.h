#pragma once
// The extension points that a plugin may have, and the table of all plugins in the order in which
// they are asked. Names, messages and weights are those of kube-scheduler's default profile.
// https://kubernetes.io/docs/reference/scheduling/config/#scheduling-plugins

#include "scheduler/cycle.h"

typedef enum Verdict {
    VERDICT_FITS,
    VERDICT_UNSCHEDULABLE, // could fit if other pods went
    VERDICT_UNRESOLVABLE,  // would not fit even then
} Verdict;

// How the scores of one plugin become 0 to 100.
typedef enum Normalize {
    NORMALIZE_NOT, // they are
    NORMALIZE_UP,  // against the highest
    NORMALIZE_DOWN // the same, and the least is the best
} Normalize;

typedef struct Plugin {
    const char *name;
    unsigned wakes; // EVENT_* after which a pod that it refused may fit
    // Once a cycle. False: no node can take the pod, for the reason in *ret_message. May be NULL.
    bool (*pre_filter)(Cycle *cycle, Str *ret_message);
    // Says with cycle_reject() why not. May be NULL.
    Verdict (*filter)(Cycle *cycle, const NodeInfo *node);
    // Of nodes that passed all filters, when there are several. May be NULL.
    int64_t (*score)(const Cycle *cycle, const NodeInfo *node);
    Normalize normalize;
    int weight;
} Plugin;

#define SCORE_MAX 100

const Plugin *plugins_at(size_t i); // NULL past the end

// One file each.
const Plugin *plugin_node_unschedulable(void);
const Plugin *plugin_node_name(void);
const Plugin *plugin_taint_toleration(void);
const Plugin *plugin_node_affinity(void);
const Plugin *plugin_node_ports(void);
const Plugin *plugin_node_resources_fit(void);
const Plugin *plugin_volume_binding(void);
const Plugin *plugin_not_supported(void);
