#pragma once
// Objects that pods refer to (config maps, secrets): each watched alone, by name, as long as
// somebody needs it, and shared among all who do. Node authorization allows no more.

#include "client/informer.h"
#include "node/agent.h"

typedef struct Reference Reference; // one holder's claim on one object

References *references_new(NodeAgent *agent);
void references_free(References *references);
// `changed(user)` comes later: when the first answer is in (there or not), and at every change from
// then on.
Reference *reference_acquire(References *references, const Resource *resource, Str namespace_,
                             Str name, void (*changed)(void *user), void *user);
void reference_release(Reference *reference); // no callback any more
typedef enum ReferenceState {
    REFERENCE_PENDING,
    REFERENCE_FOUND,
    REFERENCE_MISSING
} ReferenceState;
ReferenceState reference_state(const Reference *reference);
Str reference_json(
    const Reference *reference); // the object when found; valid until the loop goes on
