#pragma once
// What every kind of HttpClient (client.c over connections, local.c within the process) has in
// common.

#include "http/client.h"

typedef struct HttpClientOps {
    HttpCall *(*call)(HttpClient *client, const HttpCallSpec *spec, const HttpCallEvents *events,
                      void *user);
    void (*free)(HttpClient *client); // after every call was cancelled
} HttpClientOps;

struct HttpClient { // first member of every kind
    const HttpClientOps *ops;
    Loop *loop;
    List calls; // open ones
};

typedef struct HttpCallOps {
    void (*cancel)(HttpCall *call);
    void (*pause)(HttpCall *call, bool paused);
} HttpCallOps;

struct HttpCall { // first member of every kind
    const HttpCallOps *ops;
    ListLink link; // in HttpClient.calls
    HttpCallEvents events;
    void *user;
};

#define HTTP_DEFAULT_TIMEOUT (30 * NSEC_PER_SEC)
