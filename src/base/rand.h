#pragma once
#include "base/arena.h"
#include <stdint.h>
// A seeded generator (xoshiro256**), for the simulation and for jitter; not for keys.
typedef struct Rand {
    uint64_t state[4];
} Rand;
void rand_seed(Rand *rand, uint64_t seed);
uint64_t rand_next(Rand *rand);
uint64_t rand_below(Rand *rand, uint64_t limit); // uniform in [0, limit)
// getrandom(2); aborts when the kernel gives none. For keys, tokens and uids.
void rand_bytes(void *buffer, size_t len);
Str rand_uuid(Arena *arena, uint64_t high, uint64_t low); // formats 128 bits as a version 4 UUID
// Five characters of the alphabet that generateName uses ("bcdfghjklmnpqrstvwxz2456789").
Str rand_suffix(Arena *arena, uint64_t random, size_t len);
