#pragma once
// The whole agent in virtual time: a real API server on a memory store, and a runtime and a network
// that run nothing.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../api/harness.h"
#include "node/fake.h"
#include "node/node.h"

#define PODS "/api/v1/namespaces/default/pods"

typedef struct Fixture {
    Harness *api;
    Runtime *runtime;
    NodeNetwork *network;
    Client *client;
    NodeAgent *agent;
    char directory[64], cgroup[64];
    bool ready, stopped;
    HostUsage host; // what the agent takes for the machine's; at first there is plenty
} Fixture;

int world_setup(void **state);    // needs root; without, each test skips itself by world_of()
int world_teardown(void **state); // nothing of a pod may be left, no mount either
Fixture *world_of(void **state);
void world_start_agent(Fixture *f);
void world_stop_agent(Fixture *f);
// A file below the data directory.
void world_put_file(const Fixture *f, const char *path, const char *text);
// A pod on the node whose one container is c; `spec` goes on after its imagePullPolicy and closes
// everything: "}]}}".
Answer *world_create(Fixture *f, const char *name, const char *spec);
Answer *world_get(Fixture *f, const char *name);
// STATE of the one container: "running", "waiting" or "terminated", and a member of it ("yes" for
// NULL); "" when it is in another.
const char *world_state(Fixture *f, const char *name, const char *state, const char *member);
bool world_has_event(Fixture *f, const char *text); // as JSON has it
const char *world_pod_path(Fixture *f, const char *name, const char *path);
