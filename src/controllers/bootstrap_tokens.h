#pragma once
// Reading the Secrets of bootstrap tokens, for the two controllers that look after them.
// https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/

#include "controllers/frame.h"

// The Secrets of kube-system that hold bootstrap tokens.
Informer *bootstrap_tokens_informer(Controller *controller);
// One entry of a Secret's data, decoded; "" when it is not there.
Str bootstrap_token_data(Arena *arena, const Value *secret, Str key);
Value *bootstrap_token_read(Arena *arena, const InformerObject *object); // NULL when it is none
// When the token ends, in Unix nanoseconds: 0 never; what can't be read ended long ago (1).
int64_t bootstrap_token_end(Arena *arena, const Value *secret);
