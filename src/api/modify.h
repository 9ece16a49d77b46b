#pragma once
// Changes one stored object on behalf of a subresource (binding): take the current one, change it,
// store it if nobody was faster, else again.

#include "api/request.h"

typedef struct Modify Modify;
struct Modify {
    ApiRequest *request;
    const ServedResource *served;
    Str namespace_, name;
    // Changes `object` in place. Returns NULL, or why not.
    const ApiStatus *(*change)(Modify *modify, Value *object);
    // Once the caches show the change (with dryRun: nothing was stored), or with a refusal.
    void (*done)(Modify *modify, const ApiStatus *refusal);
    void *user;
    Value *object; // as changed
    int attempts;  // private
};
void modify_run(Modify *modify);
