#pragma once
// A cluster in virtual time: an API server (harness.h), the actors that a test starts, and objects
// to feed them with. The actors' requests pass through here, where a test counts them, answers them
// itself or lets them fail.

#include "client/client.h"
#include "harness.h"

typedef struct Sim Sim;
struct Sim {
    Harness *api;
    Client *clients[64];
    size_t n_clients;
    Str log;  // the actors' requests, "METHOD TARGET" lines, since sim_log_clear()
    bool cut; // every request of theirs is cut off
    // Sees each request first; true: it answered, or will. May be NULL.
    bool (*intercept)(Sim *sim, HttpRequest *request);
    void *user; // the test's own
};

Sim *sim_new(void); // seeded with $SIM_SEED, else 1
Sim *sim_new_seeded(uint64_t seed); // another order of what happens at the same moment
void sim_free(Sim *sim);            // free the actors before
// A client inside the process, as that user; freed with the simulation.
Client *sim_client(Sim *sim, const char *user);
// What ControllersConfig.client wants; user: the Sim.
Client *sim_controller_client(void *user, Str name);
void sim_run(Sim *sim, int64_t ns);
void sim_restart_api(Sim *sim); // on the same store; open watches end
void sim_log_clear(Sim *sim);
const char *sim_log(Sim *sim);
// A refusal as the API words them.
void sim_refuse(HttpRequest *request, int code, const char *reason, const char *message);

void sim_create(Sim *sim, const char *path, const char *object);
void sim_add_service_account(Sim *sim); // "default" in "default", without which no pods
// A node named `name` that takes pods, merged with `more` (JSON, may be NULL).
void sim_add_node(Sim *sim, const char *name, const char *more);
// A pod in "default" with one container; `spec`: more members of its spec (JSON without braces, may
// be NULL).
void sim_add_pod(Sim *sim, const char *name, const char *spec);
void sim_patch(Sim *sim, const char *path, const char *merge_patch);
bool sim_exists(Sim *sim, const char *path);
void sim_delete(Sim *sim, const char *path); // at once, whatever the grace period
Answer *sim_pod(Sim *sim, const char *name);
const char *sim_node_of(Sim *sim, const char *pod); // spec.nodeName
// The first pod condition of that type, as "STATUS REASON MESSAGE"; "" when there is none.
const char *sim_condition(Sim *sim, const char *pod, const char *type);
// The events of an object, oldest first, as "TYPE REASON COUNT MESSAGE" lines.
const char *sim_events(Sim *sim, const char *name);
// The store's revision: it stands still when nobody writes.
int64_t sim_revision(Sim *sim);
