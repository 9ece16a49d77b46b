#pragma once
// What a YAML scalar means: the rules of go-yaml v2, which sigs.k8s.io/yaml builds on.

#include "schema/value.h"

// `tag` is the explicit tag, or STR_NONE for a plain scalar without one. Returns 0 or -EBADMSG.
int yaml_resolve_scalar(Arena *arena, Str tag, Str text, Value *ret, Str *ret_message)
    __attribute__((warn_unused_result));
Str yaml_float_text(Arena *arena, double number); // a float as a key, Go's FormatFloat('g', -1, 32)
