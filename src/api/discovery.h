#pragma once
// /api, /apis, /apis/GROUP, /apis/GROUP/VERSION, legacy and aggregated (apidiscovery.k8s.io/v2, KEP-3352), built from the registry's
// resources and cached until they change.

#include "http/message.h"
#include "schema/type.h"

typedef struct Discovery Discovery;
// `resources`: every served Resource in order; called again whenever the set changes (custom kinds).
Discovery *discovery_new(void);
void discovery_set(Discovery *discovery, const Resource *const *resources, size_t n);
void discovery_free(Discovery *discovery);
// Answers when `request->path` is one of the discovery paths (Accept negotiation, ETag, 406 included); false when it is not.
bool discovery_handle(Discovery *discovery, HttpRequest *request);
