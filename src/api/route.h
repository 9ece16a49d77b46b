#pragma once
// What a request is about, read from its method and URL as apiserver's RequestInfo does: this is
// what authorization sees, before anything else is looked at.

#include "http/message.h"

typedef struct RequestInfo {
    bool is_resource; // else only verb (the method in lower case) and path mean something
    Str path;         // decoded
    Str verb;         // get list watch create update patch delete deletecollection
    Str prefix;       // "api" or "apis"
    Str group, version, resource, subresource, namespace_, name;
    Str tail; // what follows the subresource: "/a/b" of .../proxy/a/b; empty when there is none
    bool watch_prefix; // the old /api/v1/watch/... form
    size_t n_parts;    // steps from the resource on; more than name and subresource need a proxy
} RequestInfo;

// Strings are decoded into the request's arena. Returns 0, or -EINVAL when the URL is not
// well-formed.
int route_parse(HttpRequest *request, RequestInfo *ret) __attribute__((warn_unused_result));
