#pragma once
// /openapi/v2 (JSON and gnostic's Protobuf form, which kubectl 1.20 needs), /openapi/v3 and
// /openapi/v3/{api,apis/G}/V, with ETags (?hash=), written from the type tables on demand; nothing
// large stays in memory.

#include "http/message.h"
#include "schema/type.h"

typedef struct Openapi Openapi;
Openapi *openapi_new(void);
void openapi_set(Openapi *openapi, const Resource *const *resources, size_t n); // as discovery_set
void openapi_free(Openapi *openapi);
bool openapi_handle(Openapi *openapi, HttpRequest *request); // false: not one of its paths
