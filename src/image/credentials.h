#pragma once
// Who we are to a registry: files in the form of Docker's config.json, which is also the form of
// Kubernetes' image pull secrets, new (.dockerconfigjson) and old (.dockercfg).

#include "base/arena.h"
#include "image/failure.h"

typedef struct Credential {
    Str key; // as in the file, without scheme and API path: "registry.example:5000/team"
    Str username, password;
    Str identity_token; // a refresh token instead of a password; STR_NONE when absent
} Credential;

typedef struct Credentials {
    Credential *items;
    size_t n;
} Credentials;

// Adds what the text of such a file holds. Returns 0 or -EBADMSG.
int credentials_parse(Arena *arena, Str text, Credentials *credentials)
    __attribute__((warn_unused_result));

// Those that fit the registry `host` ("registry.example:5000") and the repository `path` in it, the
// most special first; globs in a key's host as kubelets take them (pkg/credentialprovider).
// For docker.io all its names fit.
Credentials credentials_for(Arena *arena, const Credentials *credentials, Str host, Str path);
