#pragma once
// The variables that tell a container of services: NAME_SERVICE_HOST, NAME_SERVICE_PORT, and those
// of Docker's links.
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables

#include "base/map.h"
#include "kinds/kinds.h"
#include "node/runtime.h"

typedef struct Variables { // each name once; later values replace earlier ones in place
    Arena *arena;
    Map *index; // name -> 1 + position; freed by variables_deinit()
    RuntimePair *items;
    size_t n, capacity;
} Variables;

void variables_init(Variables *variables, Arena *arena);
void variables_deinit(Variables *variables); // the items stay in the arena
void variables_set(Variables *variables, Str name, Str value);
Str variables_get(const Variables *variables, Str name); // STR_NONE when absent

// Nothing for a service without a cluster IP.
void service_variables_add(Variables *variables, const Service *service);
