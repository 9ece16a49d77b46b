#include "controllers/daemon_nodes.h"

#include <stdlib.h>

#include "base/memory.h"
#include "rules/affinity.h"
#include "rules/taints.h"

// ---- nodes

DaemonNode *daemon_node_new(const InformerObject *object) {
    Arena *arena = arena_new();
    Node *node = arena_new_of(arena, Node);
    Str json = arena_str(arena, bytes_str(object->bytes));
    if (typed_from_json(arena, kinds_type_Node(), json, node) != 0) {
        arena_free(arena);
        return NULL;
    }
    DaemonNode *self = memory_new(DaemonNode);
    *self = (DaemonNode){arena, node};
    return self;
}

void daemon_node_free(DaemonNode *node) {
    if (!node)
        return;
    arena_free(node->arena);
    free(node);
}

static bool same_labels(const StrMap *a, const StrMap *b) {
    for (size_t i = 0; i < a->len; i++) {
        Str value = str_map_get(b, a->keys[i]);
        if (!value.ptr || !str_eq(value, a->values[i]))
            return false;
    }
    return a->len == b->len;
}

bool daemon_node_differs(const DaemonNode *a, const DaemonNode *b) {
    if (!a || !b)
        return a != b;
    const NodeSpec *of_a = &a->node->spec, *of_b = &b->node->spec;
    if (of_a->taints.len != of_b->taints.len)
        return true;
    for (size_t i = 0; i < of_a->taints.len; i++)
        if (!taint_is_same(&of_a->taints.items[i], &of_b->taints.items[i]) ||
            !str_eq(of_a->taints.items[i].value, of_b->taints.items[i].value))
            return true;
    return !same_labels(&a->node->metadata.labels, &b->node->metadata.labels);
}

// ---- what daemon pods tolerate (AddOrUpdateDaemonPodTolerations)

static const struct {
    const char *key, *effect;
    bool host_network; // only pods with the node's network
} tolerated[] = {
    {"node.kubernetes.io/not-ready", "NoExecute", false},
    {"node.kubernetes.io/unreachable", "NoExecute", false},
    {"node.kubernetes.io/disk-pressure", "NoSchedule", false},
    {"node.kubernetes.io/memory-pressure", "NoSchedule", false},
    {"node.kubernetes.io/pid-pressure", "NoSchedule", false},
    {"node.kubernetes.io/unschedulable", "NoSchedule", false},
    {"node.kubernetes.io/network-unavailable", "NoSchedule", true},
};

static bool has_toleration(const Value *tolerations, const char *key, const char *effect) {
    for (uint32_t i = 0; tolerations && i < tolerations->n; i++) {
        const Value *own = tolerations->items[i];
        if (str_eq(value_string_at(own, "key"), str_from(key)) &&
            str_eq(value_string_at(own, "effect"), str_from(effect)) &&
            str_eq(value_string_at(own, "operator"), STR("Exists")) &&
            !value_get(own, STR("tolerationSeconds")))
            return true;
    }
    return false;
}

static void add_tolerations(Arena *arena, Value *spec) {
    Value *tolerations = value_get(spec, STR("tolerations"));
    bool host_network = value_bool_at(spec, "hostNetwork", false);
    if (!tolerations) {
        tolerations = value_new_array(arena);
        value_set(arena, spec, STR("tolerations"), tolerations);
    }
    for (size_t i = 0; i < sizeof tolerated / sizeof *tolerated; i++) {
        if ((tolerated[i].host_network && !host_network) ||
            has_toleration(tolerations, tolerated[i].key, tolerated[i].effect))
            continue;
        Value *toleration = value_new_object(arena);
        value_set_str(arena, toleration, STR("key"), str_from(tolerated[i].key));
        value_set_str(arena, toleration, STR("operator"), STR("Exists"));
        value_set_str(arena, toleration, STR("effect"), str_from(tolerated[i].effect));
        value_push(arena, tolerations, toleration);
    }
}

// ---- where

bool daemon_template_read(Arena *arena, const Value *set, DaemonTemplate *ret) {
    const Value *given = value_at(set, "spec.template.spec");
    Value *tree = given ? value_copy(arena, given) : value_new_object(arena);
    PodSpec *spec = arena_new_of(arena, PodSpec);
    add_tolerations(arena, tree);
    ret->spec = spec;
    return typed_from_value(arena, kinds_type_PodSpec(), tree, spec) == 0;
}

DaemonPlace daemon_place(const DaemonTemplate *template, const Node *node) {
    const PodSpec *spec = template->spec;
    if (spec->node_name.len && !str_eq(spec->node_name, node->metadata.name))
        return (DaemonPlace){false, false};
    if (!node_affinity_matches(spec, node))
        return (DaemonPlace){false, false};
    const Taint *taints = node->spec.taints.items;
    size_t n = node->spec.taints.len;
    const Toleration *tolerations = spec->tolerations.items;
    size_t n_tolerations = spec->tolerations.len;
    if (taints_find_untolerated(taints, n, tolerations, n_tolerations, TAINT_NO_EXECUTE))
        return (DaemonPlace){false, false};
    bool fits = !taints_find_untolerated(taints, n, tolerations, n_tolerations, TAINT_NO_SCHEDULE);
    return (DaemonPlace){fits, true};
}

// ---- pods

// Every pod is for one node: what the template requires of nodes has been asked already
// (ReplaceDaemonSetPodNodeNameNodeAffinity).
static void require_node(Arena *arena, Value *spec, Str node) {
    Value *required = value_new_object(arena), *terms = value_new_array(arena);
    Value *term = value_new_object(arena), *fields = value_new_array(arena);
    Value *field = value_new_object(arena), *values = value_new_array(arena);
    value_set_str(arena, field, STR("key"), STR("metadata.name"));
    value_set_str(arena, field, STR("operator"), STR("In"));
    value_push(arena, values, value_new_string(arena, node));
    value_set(arena, field, STR("values"), values);
    value_push(arena, fields, field);
    value_set(arena, term, STR("matchFields"), fields);
    value_push(arena, terms, term);
    value_set(arena, required, STR("nodeSelectorTerms"), terms);
    value_set(arena, value_at_make(arena, spec, "affinity.nodeAffinity"),
              STR("requiredDuringSchedulingIgnoredDuringExecution"), required);
}

Value *daemon_pod(const PodOwner *owner, const Revision *revision, Str node) {
    Arena *arena = owner->reconcile->arena;
    Value *pod = pod_from_template(owner, value_at(owner->object, "spec.template"));
    Value *labels = value_at_make(arena, pod, "metadata.labels");
    Value *spec = value_copy(arena, value_get(pod, STR("spec")));
    const Value *generation = value_get(value_at(owner->object, "metadata.annotations"),
                                        STR("deprecated.daemonset.template.generation"));
    value_set_str(arena, labels, STR("controller-revision-hash"), revision->hash);
    if (generation && generation->kind == VALUE_STRING)
        value_set_str(arena, labels, STR("pod-template-generation"), generation->string);
    add_tolerations(arena, spec);
    require_node(arena, spec, node);
    value_set(arena, pod, STR("spec"), spec);
    return pod;
}

Str daemon_pod_node(Arena *arena, const PodFacts *pod) {
    if (pod->node_name.len)
        return pod->node_name;
    Value *tree;
    ParseError error;
    Str json = arena_str(arena, bytes_str(pod->object->bytes));
    if (value_parse_json(arena, json, NULL, &tree, &error) != 0)
        return STR_NONE;
    const Value *terms = value_at(tree, "spec.affinity.nodeAffinity."
                                        "requiredDuringSchedulingIgnoredDuringExecution."
                                        "nodeSelectorTerms");
    for (uint32_t i = 0; terms && i < terms->n; i++) {
        const Value *fields = value_get(terms->items[i], STR("matchFields"));
        for (uint32_t j = 0; fields && j < fields->n; j++) {
            const Value *values = value_get(fields->items[j], STR("values"));
            if (values && values->n == 1 &&
                str_eq(value_string_at(fields->items[j], "key"), STR("metadata.name")))
                return values->items[0]->string;
        }
    }
    return STR_NONE;
}
