#pragma once
// Which IP families a Service has: spec.ipFamilyPolicy and spec.ipFamilies, in a cluster whose
// services have IPv4 addresses (initIPFamilyFields upstream).

#include "api/request.h"

// Fills in what the client left out. `old` is NULL on create. NULL, or why the Service asks for
// what this cluster doesn't have.
ApiStatus *service_init_families(Arena *arena, Value *service, const Value *old)
    __attribute__((warn_unused_result));
