#pragma once
// PUT and PATCH share one machine: take the current object, make the new one of it, admit,
// validate, store if nobody was faster, else begin again.

#include "api/admission/admission.h"
#include "api/request.h"
#include "api/scale.h"

typedef struct Update Update;
struct Update {
    ApiRequest *request;
    // The new object, made of the current one (NULL when there is none); *ret_refusal says why it
    // can't be made. Called again after somebody else was faster. Of a scale both are Scales,
    // unless it is applied.
    Value *(*transform)(Update *update, const Value *current, const ApiStatus **ret_refusal);
    bool applies; // server-side apply: makes what is not there, and has done managedFields itself
    void *state;  // of the transform
    // Private.
    const ScaleView *scale; // when the request is about one
    Value *sent;            // what the client made: a Scale, or `object`
    CachedObject *current;
    Value *object, *old;
    Admission admission;
    bool creating;
    int attempts;
};
void update_run(Update *update);
// The kind that clients send: the object's, or Scale.
const Resource *update_sent_resource(const ApiRequest *request);
