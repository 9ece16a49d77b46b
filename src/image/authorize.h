#pragma once
// From a registry's challenge to the header that answers it.

#include "image/challenge.h"
#include "image/credentials.h"
#include "image/web.h"

typedef struct Authorize {
    Web *web;
    Arena *arena;
    Str path;                // the repository
    bool secure;             // the registry was reached by TLS: its realm must be, too
    Credentials credentials; // that fit, best first
    size_t next;             // the credential to try next; after the last, nobody's
    bool exhausted;          // all were tried
    char *header;            // "Authorization: ..." or NULL
    Str reason;              // why authorization failed, as far as we know; or STR_NONE
} Authorize;

// Answers the challenges of a 401 with the next credential. Returns true when the request is worth
// another try, with authorize->header.
bool authorize_answer(Authorize *authorize, const ImageStrings *challenges);
// The header was accepted: when it no longer is (a token lives some minutes), the same credential
// goes first again.
void authorize_accepted(Authorize *authorize);
// All credentials may be tried again.
void authorize_restart(Authorize *authorize);
