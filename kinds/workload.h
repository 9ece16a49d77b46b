#pragma once
// What the rules of the kinds that make pods from a template share.

#include "kinds/pod.h"
#include "kinds/rules.h"

// The value at a path becomes a copy of `from`, which may be NULL: then nothing changes.
static inline void copy_to(Arena *arena, Value *object, const char *parent, Str name,
                           const Value *from) {
    if (from)
        value_set(arena, value_at_make(arena, object, parent), name, value_copy(arena, from));
}
