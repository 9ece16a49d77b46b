#pragma once
// One API request on its way: route, authn, authz, verb, answer. It lives in its exchange's arena.
// A request that must wait for the store leaves a ticket behind, so that it can go away meanwhile.

#include "api/negotiate.h"
#include "api/object.h"
#include "api/route.h"
#include "api/user.h"
#include "base/list.h"
#include "store/store.h"

struct Api;
typedef struct ApiRequest ApiRequest;

typedef enum FieldValidation {
    FIELD_VALIDATION_WARN,
    FIELD_VALIDATION_STRICT,
    FIELD_VALIDATION_IGNORE
} FieldValidation;

struct ApiRequest {
    struct Api *api;
    HttpRequest *http;
    Arena *arena;
    RequestInfo info;
    const User *user;      // as whom it acts
    const User *requester; // who sent it, when that is somebody else (impersonation); else NULL
    const ServedResource *served;   // of a resource request
    const Subresource *subresource; // NULL: the resource itself
    Output output;
    bool dry_run;
    FieldValidation field_validation;
    Str field_manager;
    ValuePaths warnings; // each goes out as a Warning header
    // For verbs that stream or wait on others than the store; all may stay NULL.
    void *state;
    struct Reservation *reservations; // made beside the object (service.c), until it is written
    void (*on_drain)(ApiRequest *request);
    void (*on_close)(ApiRequest *request, bool completed);
    // Private.
    ListLink link;
    List tickets, waiters;
    int status;
    enum { IN_FLIGHT_FREE, IN_FLIGHT_READ, IN_FLIGHT_WRITE } in_flight;
    int64_t started;
};

// Steps. `step` is called on the loop unless the client went away meanwhile; what was begun still
// happens.
typedef void (*StoreStep)(ApiRequest *request, void *user, int error, const StoreResult *result);
void request_store_get(ApiRequest *request, Str key, StoreStep step, void *user);
void request_store_put(ApiRequest *request, Str key, Bytes *value, int64_t expected, unsigned flags,
                       StoreStep step, void *user);
void request_store_remove(ApiRequest *request, Str key, int64_t expected, StoreStep step,
                          void *user);
void request_store_range(ApiRequest *request, Str prefix, Str from, int64_t revision, size_t limit,
                         StoreStep step, void *user);
// Goes on once the caches show everything up to `revision` (error 0), or with -ETIMEDOUT after
// `timeout_ns` (0: never). May go on from inside the call when that is so already.
typedef void (*RevisionStep)(ApiRequest *request, void *user, int error);
void request_wait_revision(ApiRequest *request, int64_t revision, int64_t timeout_ns,
                           RevisionStep step, void *user);

// Answers. Each ends the request.
void request_status(ApiRequest *request, const ApiStatus *status);
void request_text(ApiRequest *request, int code, Str text); // text/plain
void request_json(ApiRequest *request, int code, Bytes *json);
void request_body(ApiRequest *request, int code, Str content_type, Bytes *body);
// A status of success ({"kind":"Status","status":"Success",...}).
void request_success(ApiRequest *request, int code, Str kind, Str name, Str uid);
// An object of served->resource, or of another kind when `served` is NULL, in the form asked for.
void request_object(ApiRequest *request, int code, const ServedResource *served, Value *object);
void request_cached(ApiRequest *request, int code, CachedObject *object);
// How many headers (at most REQUEST_MAX_HEADERS) go with every answer: content type, warnings...
#define REQUEST_MAX_HEADERS 40
size_t request_headers(ApiRequest *request, Str content_type, HttpHeader *headers);
void request_head(ApiRequest *request, int code, Str content_type); // of a streamed answer
void request_warn(ApiRequest *request, Str text);
// Reads dryRun, fieldValidation and fieldManager. NULL, or what is wrong with them (422 by `kind`,
// "CreateOptions").
ApiStatus *request_write_options(ApiRequest *request, Str kind) __attribute__((warn_unused_result));

// The namespace that objects of this request live in: empty for cluster scope (where a Namespace's
// own URL names one) and for all namespaces.
static inline Str request_namespace(const ApiRequest *request) {
    return request->served->resource->namespaced ? request->info.namespace_ : STR("");
}

// Shorthands for statuses about the resource asked for.
ApiStatus *request_not_found(ApiRequest *request, Str name);
ApiStatus *request_forbidden(ApiRequest *request, Str name, Str why);
ApiStatus *request_internal(ApiRequest *request, const char *what, int error);
ApiStatus *request_store_error(ApiRequest *request,
                               int error); // of a failed store call (500, 507...)

// What the request is about; a kind that may go away is held until the request ends.
void request_serve(ApiRequest *request, const ServedResource *served);
// The server's side: a new exchange, and its end.
ApiRequest *api_request_new(struct Api *api, HttpRequest *http);
void request_abort(ApiRequest *request); // cuts it, and forgets it: the server is going away
