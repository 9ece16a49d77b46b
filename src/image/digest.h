#pragma once
// SHA-256 of bytes as they stream by.

#include <stdbool.h>

#include "base/arena.h"

typedef struct Sha256 Sha256;

Sha256 *sha256_new(void);
void sha256_free(Sha256 *sha); // NULL is fine
void sha256_add(Sha256 *sha, const void *data, size_t len);
Str sha256_end(Sha256 *sha, Arena *arena); // "sha256:HEX"; once
Str sha256_of(Arena *arena, Str bytes);    // "sha256:HEX"
