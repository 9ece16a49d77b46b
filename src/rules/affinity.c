#include "rules/affinity.h"

static bool is_among(const NodeSelectorRequirement *requirement, Str value) {
    for (size_t i = 0; i < requirement->values.len; i++) {
        if (str_eq(requirement->values.items[i], value))
            return true;
    }
    return false;
}

// Gt and Lt: both sides are 64-bit integers.
static bool compares(const NodeSelectorRequirement *requirement, Str label, bool greater) {
    int64_t have, want;
    if (requirement->values.len != 1 || !label.ptr || str_to_i64(label, &have) != 0 ||
        str_to_i64(requirement->values.items[0], &want) != 0)
        return false;
    return greater ? have > want : have < want;
}

static bool expression_matches(const NodeSelectorRequirement *requirement, const StrMap *labels) {
    Str label = str_map_get(labels, requirement->key);
    Str how = requirement->operator;
    size_t n = requirement->values.len;
    if (str_eq(how, STR("In")))
        return label.ptr && is_among(requirement, label);
    if (str_eq(how, STR("NotIn")))
        return n > 0 && !(label.ptr && is_among(requirement, label));
    if (str_eq(how, STR("Exists")))
        return n == 0 && label.ptr;
    if (str_eq(how, STR("DoesNotExist")))
        return n == 0 && !label.ptr;
    if (str_eq(how, STR("Gt")))
        return compares(requirement, label, true);
    if (str_eq(how, STR("Lt")))
        return compares(requirement, label, false);
    return false;
}

// Fields take one value; any but metadata.name are empty.
static bool field_matches(const NodeSelectorRequirement *requirement, const Node *node) {
    if (requirement->values.len != 1)
        return false;
    Str field = str_eq(requirement->key, STR("metadata.name")) ? node->metadata.name : STR("");
    bool is_equal = str_eq(field, requirement->values.items[0]);
    if (str_eq(requirement->operator, STR("In")))
        return is_equal;
    return str_eq(requirement->operator, STR("NotIn")) && !is_equal;
}

bool node_selector_term_matches(const NodeSelectorTerm *term, const Node *node) {
    if (!term->match_expressions.len && !term->match_fields.len)
        return false;
    for (size_t i = 0; i < term->match_expressions.len; i++) {
        if (!expression_matches(&term->match_expressions.items[i], &node->metadata.labels))
            return false;
    }
    for (size_t i = 0; i < term->match_fields.len; i++) {
        if (!field_matches(&term->match_fields.items[i], node))
            return false;
    }
    return true;
}

bool node_affinity_matches(const PodSpec *spec, const Node *node) {
    const StrMap *wanted = &spec->node_selector;
    for (size_t i = 0; i < wanted->len; i++) {
        Str label = str_map_get(&node->metadata.labels, wanted->keys[i]);
        if (!label.ptr || !str_eq(label, wanted->values[i]))
            return false;
    }
    const NodeAffinity *affinity = spec->affinity ? spec->affinity->node_affinity : NULL;
    const NodeSelector *required =
        affinity ? affinity->required_during_scheduling_ignored_during_execution : NULL;
    if (!required)
        return true;
    for (size_t i = 0; i < required->node_selector_terms.len; i++) {
        if (node_selector_term_matches(&required->node_selector_terms.items[i], node))
            return true;
    }
    return false;
}
