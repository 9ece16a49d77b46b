#pragma once
// The part of upstream's Node authorizer that roles can't say: a node reads secrets, config maps
// and claims only where a pod that is bound to it refers to them.

#include "api/auth/authz.h"

// Whether this is such a read, by a node: then the role is not enough.
bool node_must_refer(const Attributes *attributes);
bool node_may_read(struct Api *api, const Attributes *attributes, Str *ret_reason);
