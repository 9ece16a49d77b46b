#pragma once
// The handlers: each takes a routed, authorized request and answers it, now or later.

#include "api/request.h"

void verb_get(ApiRequest *request);
void verb_list(ApiRequest *request);
void verb_watch(ApiRequest *request);
void verb_create(ApiRequest *request);
void verb_update(ApiRequest *request);
void verb_patch(ApiRequest *request);
void verb_delete(ApiRequest *request);
void verb_delete_collection(ApiRequest *request);

// The handler of a subresource or virtual kind that does something of its own; NULL: the generic
// verb.
typedef void (*VerbHandler)(ApiRequest *request);
VerbHandler subresource_handler(Str group, Str resource, Str subresource, unsigned verb);
