#pragma once
// Custom kinds: from the CustomResourceDefinitions in the store to what the registry serves, and
// the state that their status tells of. What upstream's apiextensions-apiserver does with six
// controllers is one reconcile here, after each change of a definition: names, tables, the objects
// from the store, the registry, discovery, then the status; or, when it is being deleted, its
// objects, then itself.

#include "api/server.h"

typedef struct CustomKinds CustomKinds;

#define CUSTOM_KINDS_MAX 2000

void custom_kinds_init(Api *api);
void custom_kinds_free(Api *api);
// The definitions are in the cache, while the server starts: what they say is served goes into the
// registry, so that the first listing of the store finds it.
void custom_kinds_register(Api *api);
void custom_kinds_start(Api *api); // everything is loaded: reconcile what is left to do
// A change to a key that has no cache, while the objects of some kind are being read.
void custom_kinds_missed(Api *api, const StoreEvent *event);
// What a request about a custom kind, or a definition, may not do; NULL when it may.
ApiStatus *custom_kinds_refuse(ApiRequest *request);

// The tables of a definition (JSON, as in the cache). `*current` is that JSON as long as the kind
// lives. NULL with *ret_message when it says nothing that can be served.
ServedKind *custom_tables_build(Str definition, const Str *current, Str *ret_message);

// status of a definition.
bool definition_condition_is(const Value *definition, const char *type, const char *status);
// False when nothing changed. `now_ns` is Unix time.
bool definition_set_condition(Arena *arena, Value *definition, const char *type, const char *status,
                              const char *reason, Str message, int64_t now_ns);
#define CUSTOM_RESOURCE_CLEANUP STR("customresourcecleanup.apiextensions.k8s.io")

// Decides on the names of `definition`, given the accepted ones of all others of its group, and
// sets status.acceptedNames and the condition NamesAccepted
// (NamingConditionController.calculateNamesAndConditions). Returns whether all are accepted.
typedef struct NamesInUse {
    const struct Map *resources, *kinds; // non-NULL for each name in use
} NamesInUse;
bool definition_accept_names(Arena *arena, Value *definition, const NamesInUse *in_use,
                             int64_t now_ns);
