#pragma once
// The part of upstream's Node authorizer that roles can't say: of many kinds a node sees and touches
// only what has to do with it. https://kubernetes.io/docs/reference/access-authn-authz/node/

#include "api/auth/authz.h"
#include "api/auth/node_graph.h"

// A node asks for what the role system:node allows. False with *ret_reason (in `arena`) when it is
// none of its business.
bool node_authorize(const Api *api, const NodeGraph *graph, Arena *arena,
                    const Attributes *attributes, Str *ret_reason);
// What the role leaves out, and node_authorize() alone decides: a node's own ResourceSlices.
bool node_beyond_role(const Attributes *attributes);
