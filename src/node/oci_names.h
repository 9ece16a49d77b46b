#pragma once
// Shared by the files that write an OCI configuration.

#include "base/arena.h"

Str oci_capability_name(Arena *arena, unsigned number); // "CAP_CHOWN"; STR_NONE past the last
