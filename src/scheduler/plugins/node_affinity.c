// spec.nodeSelector and spec.affinity.nodeAffinity.

#include "rules/affinity.h"
#include "scheduler/plugins/plugins.h"

static bool is_among(const Str *items, size_t n, Str value) {
    for (size_t i = 0; i < n; i++) {
        if (str_eq(items[i], value))
            return true;
    }
    return false;
}

// The nodes that one term names by metadata.name; false when it names none in particular.
static bool term_names(Arena *arena, const NodeSelectorTerm *term, Str **ret, size_t *ret_n) {
    bool named = false;
    *ret_n = 0;
    for (size_t i = 0; i < term->match_fields.len; i++) {
        const NodeSelectorRequirement *field = &term->match_fields.items[i];
        if (!str_eq(field->key, STR("metadata.name")) || !str_eq(field->operator, STR("In")))
            continue;
        Str *names = arena_array_of(arena, Str, field->values.len);
        size_t n = 0;
        for (size_t j = 0; j < field->values.len; j++) {
            Str name = field->values.items[j];
            if (!is_among(names, n, name) && (!named || is_among(*ret, *ret_n, name)))
                names[n++] = name;
        }
        *ret = names;
        *ret_n = n;
        named = true;
    }
    return named;
}

// A pod that names its nodes (as a DaemonSet's do) is tried on no others.
static bool pre_filter(Cycle *cycle, Str *ret_message) {
    const Affinity *affinity = cycle->pod->spec.affinity;
    const NodeSelector *required =
        affinity && affinity->node_affinity
            ? affinity->node_affinity->required_during_scheduling_ignored_during_execution
            : NULL;
    if (!required || !required->node_selector_terms.len)
        return true;
    Arena *arena = cycle->arena;
    Str *all = NULL;
    size_t n_all = 0;
    for (size_t i = 0; i < required->node_selector_terms.len; i++) {
        Str *names = NULL;
        size_t n;
        if (!term_names(arena, &required->node_selector_terms.items[i], &names, &n))
            return true;
        all = arena_grow(arena, all, n_all * sizeof *all, (n_all + n) * sizeof *all);
        for (size_t j = 0; j < n; j++) {
            if (!is_among(all, n_all, names[j]))
                all[n_all++] = names[j];
        }
    }
    if (!n_all) {
        *ret_message = STR("pod affinity terms conflict");
        return false;
    }
    cycle->is_restricted = true;
    cycle->only_nodes = all;
    cycle->n_only_nodes = n_all;
    return true;
}

static Verdict filter(Cycle *cycle, const NodeInfo *info) {
    if (node_affinity_matches(&cycle->pod->spec, info->node))
        return VERDICT_FITS;
    cycle_reject(cycle, STR("node(s) didn't match Pod's node affinity/selector"));
    return VERDICT_UNRESOLVABLE;
}

static int64_t score(const Cycle *cycle, const NodeInfo *info) {
    const Affinity *affinity = cycle->pod->spec.affinity;
    if (!affinity || !affinity->node_affinity)
        return 0;
    const NodeAffinity *node = affinity->node_affinity;
    int64_t sum = 0;
    for (size_t i = 0; i < node->preferred_during_scheduling_ignored_during_execution.len; i++) {
        const PreferredSchedulingTerm *term =
            &node->preferred_during_scheduling_ignored_during_execution.items[i];
        if (node_selector_term_matches(&term->preference, info->node))
            sum += term->weight;
    }
    return sum;
}

const Plugin *plugin_node_affinity(void) {
    static const Plugin plugin = {
        .name = "NodeAffinity",
        .wakes = EVENT_NODE_ADDED | EVENT_NODE_LABELS,
        .pre_filter = pre_filter,
        .filter = filter,
        .score = score,
        .normalize = NORMALIZE_UP,
        .weight = 2,
    };
    return &plugin;
}
