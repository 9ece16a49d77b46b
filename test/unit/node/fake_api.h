#pragma once
// An API server of a few objects for the node's files: lists and watches by name, answers
// TokenRequests and collects events. With it a NodeAgent that has what those files use, on a
// simulated loop.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/agent.h"
#include "node/references.h"

typedef struct FakeApi {
    NodeAgent agent;
    char directory[64]; // config.data_directory, made and removed by us
    Map *objects;       // "plural/namespace/name" -> Bytes
    List watches;
    int64_t version;
    unsigned lists;          // how many were answered
    unsigned tokens;         // how many TokenRequests
    Str token_request;       // the last one's path and body
    const char *token_error; // refuse with this message
    Buf events;              // "REASON message\n" of each event created
} FakeApi;

FakeApi *fake_api_new(void);
void fake_api_free(FakeApi *api);
// JSON of the object without metadata.resourceVersion; tells the watchers.
void fake_api_put(FakeApi *api, const char *plural, const char *namespace_, const char *name,
                  const char *members);
void fake_api_delete(FakeApi *api, const char *plural, const char *namespace_, const char *name);
void fake_api_run(FakeApi *api, int64_t ns); // virtual time
bool fake_api_event(const FakeApi *api, const char *text);

// A pod of YAML, in namespace `default`, named `p`, with uid "uid-1" unless it says otherwise.
Pod *fake_pod(Arena *arena, const char *yaml);
