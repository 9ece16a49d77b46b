#pragma once
// What config maps and secrets have in common.

#include "schema/check.h"

#define CONFIG_MAX_BYTES (1024 * 1024) // of all values together

// The values' bytes in a map; `encoded` when they are base64.
size_t config_size(const Value *map, bool encoded);
void config_check_keys(FieldErrors *errors, const Value *map, const Path *path);
// After `immutable: true` neither the flag nor these maps may change.
void config_check_immutable(FieldErrors *errors, const Value *object, const Value *old,
                            const Str *maps, size_t n);
