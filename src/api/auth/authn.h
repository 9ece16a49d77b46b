#pragma once
// Who sends a request: a verified client certificate (CN is the user, O the groups), a bearer token
// (bearer_authenticate), or a call inside the process. Everybody else is system:anonymous.

#include "api/request.h"

// NULL with *ret, or 401. Strings live in the request's arena.
ApiStatus *authenticate(ApiRequest *request, const User **ret) __attribute__((warn_unused_result));

// The Impersonate-* headers: NULL with *ret (the user itself when there are none), 400, or 403 when
// `user` may not.
ApiStatus *impersonate(ApiRequest *request, const User *user, const User **ret)
    __attribute__((warn_unused_result));

// Any bearer token: its user, or false when it is not valid for any of `audiences` (none: the
// server's own). ret->audiences are those of the token that were asked for.
typedef struct TokenUser {
    User user;
    const Str *audiences;
    size_t n_audiences;
} TokenUser;
bool bearer_authenticate(struct Api *api, Arena *arena, Str token, const Str *audiences,
                         size_t n_audiences, TokenUser *ret);
// One of a service account: issued by TokenRequest (KEP-1205) or kept in a Secret.
bool token_authenticate(struct Api *api, Arena *arena, Str token, const Str *audiences,
                        size_t n_audiences, TokenUser *ret);
