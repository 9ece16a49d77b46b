#pragma once
// Paths outside resources: discovery, OpenAPI, health, version, metrics.

#include "api/server.h"

int nonresource_init(Api *api) __attribute__((warn_unused_result));
void nonresource_refresh(Api *api); // the registry has changed: discovery and OpenAPI follow
void nonresource_free(Api *api);
void nonresource_handle(ApiRequest *request);
bool health_handle(ApiRequest *request); // false: the path is none of its
// Some of the paths (openid.c).
void openid_configuration(ApiRequest *request);
void openid_jwks(ApiRequest *request);
