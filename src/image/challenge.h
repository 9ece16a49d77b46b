#pragma once
// WWW-Authenticate (RFC 9110 section 11.6.1), as registries send it.

#include "base/arena.h"

typedef struct Challenge {
    Str scheme;                       // "Bearer", "Basic", in any case
    Str realm, service, scope, error; // of a Bearer challenge; STR_NONE when absent
} Challenge;

#define CHALLENGES_MAX 8

// Reads one header's value, which may hold several challenges. Returns how many were understood;
// what is malformed ends the reading.
size_t challenge_parse(Arena *arena, Str value, Challenge challenges[CHALLENGES_MAX]);
