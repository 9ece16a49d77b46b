#pragma once
// A cluster in virtual time: an API server (harness.h), the actors that a test starts, and objects
// to feed them with.

#include "client/client.h"
#include "harness.h"

typedef struct Sim {
    Harness *api;
    Client *clients[8];
    size_t n_clients;
} Sim;

Sim *sim_new(void);
void sim_free(Sim *sim); // free the actors before
// A client inside the process, as that user; freed with the simulation.
Client *sim_client(Sim *sim, const char *user);
void sim_run(Sim *sim, int64_t ns);

void sim_add_service_account(Sim *sim); // "default" in "default", without which no pods
// A node named `name` that takes pods, merged with `more` (JSON, may be NULL).
void sim_add_node(Sim *sim, const char *name, const char *more);
// A pod in "default" with one container, whose spec is merged with `spec` (JSON, may be NULL).
void sim_add_pod(Sim *sim, const char *name, const char *spec);
void sim_delete(Sim *sim, const char *path);
Answer *sim_pod(Sim *sim, const char *name);
// The first pod condition of that type, as "STATUS REASON MESSAGE"; "" when there is none.
const char *sim_condition(Sim *sim, const char *pod, const char *type);
// The events of an object, oldest first, as "TYPE REASON COUNT MESSAGE" lines.
const char *sim_events(Sim *sim, const char *name);
// The store's revision: it stands still when nobody writes.
int64_t sim_revision(Sim *sim);
