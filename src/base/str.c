#include "base/str.h"

#include <errno.h>
#include <pthread.h>

#include "base/rand.h"

int str_cmp(Str a, Str b) {
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static unsigned char lower(char c) {
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool str_eq_nocase(Str a, Str b) {
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    }
    return true;
}

ptrdiff_t str_find(Str s, char c) {
    const char *at = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return at ? at - s.ptr : -1;
}

ptrdiff_t str_find_last(Str s, char c) {
    const char *at = s.len ? memrchr(s.ptr, c, s.len) : NULL;
    return at ? at - s.ptr : -1;
}

Str str_cut(Str *rest, char separator) {
    Str all = *rest;
    ptrdiff_t at = str_find(all, separator);
    if (at < 0) {
        *rest = STR_NONE;
        return all;
    }
    *rest = str_slice(all, (size_t)at + 1, all.len);
    return str_slice(all, 0, (size_t)at);
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

Str str_trim(Str s) {
    while (s.len && is_space(s.ptr[s.len - 1]))
        s.len--;
    while (s.len && is_space(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    return s;
}

int str_to_u64(Str s, uint64_t *ret) {
    uint64_t value = 0;
    bool overflow = false;
    if (!s.len)
        return -EINVAL;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return -EINVAL;
        overflow |= __builtin_mul_overflow(value, 10u, &value);
        overflow |= __builtin_add_overflow(value, (uint64_t)(s.ptr[i] - '0'), &value);
    }
    if (overflow)
        return -ERANGE;
    *ret = value;
    return 0;
}

int str_to_i64(Str s, int64_t *ret) {
    bool negative = s.len && s.ptr[0] == '-';
    bool sign = negative || (s.len && s.ptr[0] == '+');
    uint64_t magnitude;
    int r = str_to_u64(sign ? str_slice(s, 1, s.len) : s, &magnitude);
    if (r < 0)
        return r;
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return -ERANGE;
    *ret = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return 0;
}

// SipHash-1-3 (Aumasson and Bernstein), as hash tables use it: keyed, so that a client who chooses
// keys cannot aim for collisions.
typedef struct HashState {
    uint64_t v0, v1, v2, v3;
} HashState;

static uint64_t rotate(uint64_t x, int bits) {
    return x << bits | x >> (64 - bits);
}

static inline void hash_round(HashState *s) {
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 = rotate(s->v0, 32) + s->v3;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 = rotate(s->v2, 32);
}

static uint64_t hash_key[2];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;
static void hash_key_init(void) {
    rand_bytes(hash_key, sizeof hash_key);
}

uint64_t str_hash(Str s) {
    pthread_once(&hash_key_once, hash_key_init);
    HashState h = {
        .v0 = hash_key[0] ^ 0x736f6d6570736575u,
        .v1 = hash_key[1] ^ 0x646f72616e646f6du,
        .v2 = hash_key[0] ^ 0x6c7967656e657261u,
        .v3 = hash_key[1] ^ 0x7465646279746573u,
    };
    const char *at = s.ptr;
    uint64_t word;
    for (size_t left = s.len; left >= 8; left -= 8, at += 8) {
        memcpy(&word, at, 8);
        h.v3 ^= word;
        hash_round(&h);
        h.v0 ^= word;
    }
    word = 0;
    if (s.len % 8)
        memcpy(&word, at, s.len % 8);
    word |= (uint64_t)s.len << 56;
    h.v3 ^= word;
    hash_round(&h);
    h.v0 ^= word;
    h.v2 ^= 0xff;
    for (int i = 0; i < 3; i++)
        hash_round(&h);
    return h.v0 ^ h.v1 ^ h.v2 ^ h.v3;
}
