#pragma once
// How actors talk to the API: typed by Resource, over HTTPS or straight into the API server of this
// process (the HttpClient decides; the steps are the same). Callbacks come on the client's loop,
// never from inside the call.

#include "http/client.h"
#include "schema/status.h"
#include "schema/type.h"

typedef struct Client Client;
typedef struct ClientCall ClientCall;

#define CLIENT_E_STATUS 1 // the API refused: result->status says why

typedef struct ClientResult {
    int error; // 0, CLIENT_E_STATUS, or negative errno of the transport (worth a retry)
    int code;  // HTTP
    const ApiStatus *status; // with CLIENT_E_STATUS
    Str body;                // the object or list as JSON, during the callback
    Arena *arena;            // lives during the callback
} ClientResult;
typedef void (*ClientDone)(void *user, const ClientResult *result);

Client *client_new(Loop *loop, HttpClient *transport, Str user_agent); // takes the transport
void client_free(Client *client);
Loop *client_loop(const Client *client);

typedef struct ClientTarget {
    const Resource *resource;
    Str namespace_; // empty for cluster scope (or all namespaces in a list)
    Str name;
    Str subresource; // "status", "binding", ...; empty: none
    Str query;       // "fieldManager=x&force=true", encoded; empty: none
} ClientTarget;

ClientCall *client_get(Client *client, const ClientTarget *target, ClientDone done, void *user);
ClientCall *client_list(Client *client, const ClientTarget *target, ClientDone done, void *user);
ClientCall *client_create(Client *client, const ClientTarget *target, Str body, ClientDone done,
                          void *user);
ClientCall *client_update(Client *client, const ClientTarget *target, Str body, ClientDone done,
                          void *user);
typedef enum PatchKind { PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC, PATCH_APPLY } PatchKind;
ClientCall *client_patch(Client *client, const ClientTarget *target, PatchKind kind, Str body,
                         ClientDone done, void *user);
// `options`: a DeleteOptions body, may be empty.
ClientCall *client_delete(Client *client, const ClientTarget *target, Str options, ClientDone done,
                          void *user);
ClientCall *client_delete_collection(Client *client, const ClientTarget *target, ClientDone done,
                                     void *user);
// Watches from `resource_version` on (target->query may hold selectors). `on_event`: type is ADDED,
// MODIFIED, DELETED, BOOKMARK or ERROR (then `object` is a Status); `object` is JSON; it may be kept
// by a reference, and inside the process it then is the very block that the API server's cache
// holds. `done` when the watch ended: error 0 when the server closed it in order.
ClientCall *client_watch(Client *client, const ClientTarget *target, Str resource_version,
                         void (*on_event)(void *user, Str type, Bytes *object), ClientDone done,
                         void *user);
void client_cancel(ClientCall *call); // no callback any more; what was sent may still happen
