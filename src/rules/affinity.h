#pragma once
// Whether a node is one that a pod asks for, as component-helpers' nodeaffinity decides it.
// https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/

#include "kinds/kinds.h"

// spec.nodeSelector and the required terms of spec.affinity.nodeAffinity, both.
bool node_affinity_matches(const PodSpec *spec, const Node *node);
// One term: all its expressions (labels) and fields (metadata.name). An empty one matches nothing,
// nor does one that says something impossible (In without values, Gt without a number, ...), which
// upstream calls a parse error and skips as well.
bool node_selector_term_matches(const NodeSelectorTerm *term, const Node *node);
