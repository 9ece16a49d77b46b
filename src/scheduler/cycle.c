#include "scheduler/cycle.h"

#include <stdlib.h>

#include "scheduler/plugins/plugins.h"

// With many nodes not all are looked at: kube-scheduler's percentageOfNodesToScore.
#define MIN_FEASIBLE 100
#define MIN_PERCENT 5

typedef struct Search {
    Cycle *cycle;
    const NodeInfo **feasible;
    size_t n_feasible;
    size_t n_examined, n_resolvable; // resolvable: could fit if other pods went
    unsigned wake_on;
} Search;

void cycle_reject(Cycle *cycle, Str reason) {
    for (size_t i = 0; i < cycle->n_reasons; i++) {
        if (str_eq(cycle->reasons[i].text, reason)) {
            cycle->reasons[i].n_nodes++;
            return;
        }
    }
    size_t size = sizeof *cycle->reasons, n = cycle->n_reasons++;
    cycle->reasons = arena_grow(cycle->arena, cycle->reasons, n * size, (n + 1) * size);
    cycle->reasons[n] = (Reason){reason, 1};
}

// Messages ---------------------------------------------------------------------------------------

static int compare_str(const void *a, const void *b) {
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

// "1 Insufficient cpu, 2 node(s) were unschedulable", in the order of the bytes.
static Str histogram(Arena *arena, const Reason *reasons, size_t n) {
    Str *lines = arena_array_of(arena, Str, n + 1);
    for (size_t i = 0; i < n; i++)
        lines[i] = arena_printf(arena, "%zu %.*s", reasons[i].n_nodes, STR_ARG(reasons[i].text));
    qsort(lines, n, sizeof *lines, compare_str);
    return arena_concat(arena, lines, n, STR(", "));
}

static bool has_victims(const Search *search) {
    const Snapshot *snapshot = search->cycle->snapshot;
    for (size_t i = 0; i < snapshot->n_nodes; i++) {
        const AssignedPod *pod;
        list_for_each(pod, &snapshot->nodes[i]->pods, link) {
            if (pod->demand->priority < search->cycle->demand.priority)
                return true;
        }
    }
    return false;
}

// What kube-scheduler's PostFilter plugins have to say. Pods are not preempted yet; without pods of
// lower priority that makes no difference, and then neither do the words.
static Str post_filter_message(const Search *search) {
    const Cycle *cycle = search->cycle;
    Arena *arena = cycle->arena;
    Str claims =
        cycle->pod->spec.resource_claims.len ? STR("") : STR("no new claims to deallocate, ");
    if (str_eq(cycle->pod->spec.preemption_policy, STR("Never")))
        return arena_printf(arena, "%.*spreemption: not eligible due to preemptionPolicy=Never.",
                            STR_ARG(claims));
    size_t all = cycle->snapshot->n_nodes, resolvable = search->n_resolvable, n = 0;
    Reason reasons[2];
    if (resolvable && has_victims(search))
        return arena_printf(arena, "%.*spreemption: not supported yet.", STR_ARG(claims));
    if (resolvable)
        reasons[n++] = (Reason){STR("No preemption victims found for incoming pod"), resolvable};
    if (resolvable < all)
        reasons[n++] = (Reason){STR("Preemption is not helpful for scheduling"), all - resolvable};
    return arena_printf(arena, "%.*spreemption: 0/%zu nodes are available: %.*s.", STR_ARG(claims),
                        all, STR_ARG(histogram(arena, reasons, n)));
}

// kubernetes' pkg/scheduler/framework FitError.
static Str fit_message(const Search *search, Str why) {
    return arena_printf(search->cycle->arena, "0/%zu nodes are available: %.*s. %.*s",
                        search->cycle->snapshot->n_nodes, STR_ARG(why),
                        STR_ARG(post_filter_message(search)));
}

// Filter -----------------------------------------------------------------------------------------

static void examine(Search *search, const NodeInfo *node) {
    search->n_examined++;
    const Plugin *plugin;
    for (size_t i = 0; (plugin = plugins_at(i)); i++) {
        Verdict verdict = plugin->filter ? plugin->filter(search->cycle, node) : VERDICT_FITS;
        if (verdict == VERDICT_FITS)
            continue;
        search->wake_on |= plugin->wakes;
        search->n_resolvable += verdict == VERDICT_UNSCHEDULABLE;
        return;
    }
    search->feasible[search->n_feasible++] = node;
}

static size_t enough(size_t n) {
    if (n < MIN_FEASIBLE)
        return n;
    size_t percent = n / 125 < 50 ? 50 - n / 125 : 0;
    if (percent < MIN_PERCENT)
        percent = MIN_PERCENT;
    return n * percent / 100 < MIN_FEASIBLE ? MIN_FEASIBLE : n * percent / 100;
}

static void find_nodes(Search *search) {
    Snapshot *snapshot = search->cycle->snapshot;
    size_t n = snapshot->n_nodes, limit = enough(n);
    for (size_t i = 0; i < n && search->n_feasible < limit; i++)
        examine(search, snapshot->nodes[(snapshot->next_start + i) % n]);
    snapshot->next_start = (snapshot->next_start + search->n_examined) % n;
}

static void find_among_named(Search *search) {
    Cycle *cycle = search->cycle;
    for (size_t i = 0; i < cycle->n_only_nodes; i++) {
        const NodeInfo *node = snapshot_node(cycle->snapshot, cycle->only_nodes[i]);
        if (node)
            examine(search, node);
    }
    for (size_t i = search->n_examined; i < cycle->snapshot->n_nodes; i++)
        cycle_reject(cycle, STR("node(s) didn't satisfy plugin(s) [NodeAffinity]"));
    search->wake_on |= plugin_node_affinity()->wakes;
}

// Score ------------------------------------------------------------------------------------------

static void normalize(int64_t *scores, size_t n, Normalize how) {
    int64_t highest = 0;
    for (size_t i = 0; i < n; i++)
        highest = scores[i] > highest ? scores[i] : highest;
    for (size_t i = 0; i < n && how != NORMALIZE_NOT; i++) {
        if (highest)
            scores[i] = scores[i] * SCORE_MAX / highest;
        if (how == NORMALIZE_DOWN)
            scores[i] = SCORE_MAX - scores[i];
    }
}

static const NodeInfo *best(const Search *search) {
    Cycle *cycle = search->cycle;
    size_t n = search->n_feasible;
    if (n == 1)
        return search->feasible[0];
    int64_t *totals = arena_array_of(cycle->arena, int64_t, n);
    int64_t *scores = arena_array_of(cycle->arena, int64_t, n);
    const Plugin *plugin;
    for (size_t i = 0; (plugin = plugins_at(i)); i++) {
        if (!plugin->score)
            continue;
        for (size_t j = 0; j < n; j++)
            scores[j] = plugin->score(cycle, search->feasible[j]);
        normalize(scores, n, plugin->normalize);
        for (size_t j = 0; j < n; j++)
            totals[j] += plugin->weight * scores[j];
    }
    // Among equals one at random, so that not all schedulers and all pods choose the same.
    size_t chosen = 0, equals = 1;
    for (size_t i = 1; i < n; i++) {
        if (totals[i] > totals[chosen]) {
            chosen = i;
            equals = 1;
        } else if (totals[i] == totals[chosen] && loop_random(cycle->loop) % ++equals == 0) {
            chosen = i;
        }
    }
    return search->feasible[chosen];
}

static CycleResult refuse(const Search *search, Str why) {
    return (CycleResult){.message = fit_message(search, why), .wake_on = search->wake_on};
}

CycleResult cycle_run(Cycle *cycle) {
    Search search = {.cycle = cycle};
    if (cycle->snapshot->n_nodes == 0)
        return (CycleResult){.message = STR("no nodes available to schedule pods"),
                             .wake_on = EVENT_NODE_ADDED};
    const Plugin *plugin;
    for (size_t i = 0; (plugin = plugins_at(i)); i++) {
        Str why;
        if (plugin->pre_filter && !plugin->pre_filter(cycle, &why)) {
            search.wake_on = plugin->wakes;
            return refuse(&search, why);
        }
    }
    size_t most = cycle->is_restricted ? cycle->n_only_nodes : cycle->snapshot->n_nodes;
    search.feasible = arena_array_of(cycle->arena, const NodeInfo *, most);
    if (cycle->is_restricted)
        find_among_named(&search);
    else
        find_nodes(&search);
    if (!search.n_feasible)
        return refuse(&search, histogram(cycle->arena, cycle->reasons, cycle->n_reasons));
    return (CycleResult){.node = best(&search)};
}
