#include "base/rand.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t splitmix(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void rand_seed(Rand *rand, uint64_t seed) {
    for (int i = 0; i < 4; i++)
        rand->state[i] = splitmix(&seed);
}

static uint64_t rotate(uint64_t x, int bits) {
    return x << bits | x >> (64 - bits);
}

// xoshiro256** 1.0 (Blackman and Vigna)
uint64_t rand_next(Rand *rand) {
    uint64_t *s = rand->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t rand_below(Rand *rand, uint64_t limit) {
    assert(limit > 0);
    uint64_t skip = -limit % limit; // 2^64 mod limit: below it the distribution would be uneven
    uint64_t value;
    do {
        value = rand_next(rand);
    } while (value < skip);
    return value % limit;
}

void rand_bytes(void *buffer, size_t len) {
    char *at = buffer;
    while (len) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            abort();
        at += n;
        len -= (size_t)n;
    }
}

Str rand_uuid(Arena *arena, uint64_t high, uint64_t low) {
    high = (high & ~0xf000ull) | 0x4000;             // version 4
    low = (low & ~(3ull << 62)) | (uint64_t)1 << 63; // RFC 9562's variant
    return arena_printf(arena, "%08llx-%04llx-%04llx-%04llx-%012llx",
                        (unsigned long long)high >> 32, (unsigned long long)high >> 16 & 0xffff,
                        (unsigned long long)high & 0xffff, (unsigned long long)low >> 48,
                        (unsigned long long)low & 0xffffffffffffull);
}

Str rand_suffix(Arena *arena, uint64_t random, size_t len) {
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    const size_t letters = sizeof alphabet - 1;
    uint64_t state = random;
    char *text = arena_alloc(arena, len + 1);
    for (size_t i = 0; i < len; i++) {
        if (i && i % 10 == 0) // 27^10 is well below 2^64
            random = splitmix(&state);
        text[i] = alphabet[random % letters];
        random /= letters;
    }
    text[len] = '\0';
    return (Str){text, len};
}
