#pragma once
// The way to a node's endpoint.

#include "api/request.h"
#include "http/client.h"

// The client for calls to that node. *ret_own is it when it was made for this call alone: the
// caller frees it (NULL otherwise). Returns NULL, or why the node cannot be reached.
ApiStatus *node_client_find(ApiRequest *request, Str node, HttpClient **ret, HttpClient **ret_own)
    __attribute__((warn_unused_result));
