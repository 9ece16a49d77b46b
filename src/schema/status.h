#pragma once
// metav1.Status: how every API error looks. Constructors word messages as apimachinery's api/errors does.

#include "schema/check.h"

typedef struct ApiStatusCause {
    Str type, message, field;
} ApiStatusCause;

typedef struct ApiStatus {
    int code;    // HTTP
    Str reason;  // "NotFound", "AlreadyExists", "Conflict", "Invalid", ...
    Str message;
    Str name, group, kind, uid; // details
    const ApiStatusCause *causes;
    size_t n_causes;
    int retry_after_seconds; // 0: none
} ApiStatus;

// All strings live in the arena. `resource` may be NULL where the kind is unknown.
ApiStatus *status_not_found(Arena *arena, Str group, Str resource, Str name);      // 404 pods "x" not found
ApiStatus *status_already_exists(Arena *arena, Str group, Str resource, Str name); // 409
ApiStatus *status_conflict(Arena *arena, Str group, Str resource, Str name, Str why); // 409
ApiStatus *status_invalid(Arena *arena, Str group, Str kind, Str name, const FieldErrors *errors); // 422
ApiStatus *status_bad_request(Arena *arena, Str message);                          // 400
ApiStatus *status_unauthorized(Arena *arena);                                      // 401
ApiStatus *status_forbidden(Arena *arena, Str group, Str resource, Str name, Str why); // 403
ApiStatus *status_method_not_allowed(Arena *arena, Str group, Str resource, Str verb); // 405
ApiStatus *status_not_acceptable(Arena *arena, Str message);                       // 406
ApiStatus *status_unsupported_media_type(Arena *arena, Str message);               // 415
ApiStatus *status_too_large(Arena *arena, Str message);                            // 413
ApiStatus *status_too_many_requests(Arena *arena, Str message, int retry_after);   // 429
ApiStatus *status_expired(Arena *arena, Str message);                              // 410
ApiStatus *status_internal(Arena *arena, Str message);                             // 500
ApiStatus *status_unavailable(Arena *arena, Str message);                          // 503
ApiStatus *status_timeout(Arena *arena, Str message);                              // 504
ApiStatus *status_new(Arena *arena, int code, Str reason, Str message);

Value *status_to_value(Arena *arena, const ApiStatus *status); // kind Status, status Failure
// From a response body; a body that is no Status gives one made from the HTTP code.
ApiStatus *status_from_body(Arena *arena, int http_code, Str body);
