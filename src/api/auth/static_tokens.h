#pragma once
// Tokens of a static token file.
// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#static-token-file

#include "api/user.h"
#include "base/arena.h"

typedef struct StaticTokens StaticTokens;
// CSV, a token a line: token,user,uid,"group1,group2". Lines without a token are skipped, of two
// with the same one the last holds. Returns NULL with *ret_message (in `arena`) when a line has
// fewer than three columns or a quote that does not end.
StaticTokens *static_tokens_new(Arena *arena, Str text, Str *ret_message);
void static_tokens_free(StaticTokens *tokens);
const User *static_tokens_find(const StaticTokens *tokens, Str token); // NULL when there is none
