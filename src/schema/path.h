#pragma once
// Lists of paths (duplicate keys, unknown fields) that go into one message.

#include "schema/check.h"

#define VALUE_PATHS_MAX 100 // more are not listed, as in Kubernetes' strict decoder

// Appends the rendered path unless it is listed already. `paths` may be NULL.
void value_paths_add(Arena *arena, ValuePaths *paths, const Path *path);
