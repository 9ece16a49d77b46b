// Good signatures are remembered in two generations: what is asked for moves to the young one; when
// that is full, the old one is dropped. So the cost is bounded and busy clients stay.

#include <errno.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/map.h"
#include "base/memory.h"
#include "pki/pki.h"

enum { GENERATION_BYTES = 512 * 1024 };

struct JwtVerifier {
    Arena *arena; // the keys
    const Str *public_keys;
    size_t n;
    Map *young, *old;  // sha256 of the token to its payload, Bytes
    size_t generation; // tokens in one, at most
    size_t young_bytes;
};

static void generation_free(Map *generation) {
    MapIter it = {0};
    while (generation && map_next(generation, &it))
        bytes_unref(it.value);
    map_free(generation);
}

JwtVerifier *jwt_verifier_new(const Str *public_keys, size_t n, size_t capacity) {
    JwtVerifier *verifier = memory_new(JwtVerifier);
    verifier->arena = arena_new();
    Str *keys = arena_array_of(verifier->arena, Str, n + 1);
    for (size_t i = 0; i < n; i++)
        keys[i] = arena_str(verifier->arena, public_keys[i]);
    verifier->public_keys = keys;
    verifier->n = n;
    verifier->generation = capacity / 2;
    verifier->young = map_new();
    return verifier;
}

void jwt_verifier_free(JwtVerifier *verifier) {
    if (!verifier)
        return;
    generation_free(verifier->young);
    generation_free(verifier->old);
    arena_free(verifier->arena);
    free(verifier);
}

static void remember(JwtVerifier *verifier, Str digest, Bytes *payload) {
    if (map_count(verifier->young) >= verifier->generation ||
        verifier->young_bytes > GENERATION_BYTES) {
        generation_free(verifier->old);
        verifier->old = verifier->young;
        verifier->young = map_new();
        verifier->young_bytes = 0;
    }
    verifier->young_bytes += payload->len;
    map_put(verifier->young, digest, payload);
}

static Bytes *recall(JwtVerifier *verifier, Str digest) {
    Bytes *payload = map_get(verifier->young, digest);
    if (payload || !verifier->old)
        return payload;
    payload = map_remove(verifier->old, digest);
    if (payload)
        remember(verifier, digest, payload);
    return payload;
}

int jwt_verifier_verify(JwtVerifier *verifier, Arena *arena, Str token, Str *ret_payload) {
    unsigned char hash[SHA256_DIGEST_LENGTH];
    if (token.len > PKI_MAX_TOKEN)
        return -EBADMSG;
    SHA256((const unsigned char *)token.ptr, token.len, hash);
    Str digest = str_of(hash, sizeof hash);
    Bytes *payload = recall(verifier, digest);
    if (payload) {
        *ret_payload = arena_str(arena, bytes_str(payload));
        return 0;
    }
    int error = pki_jwt_verify(arena, verifier->public_keys, verifier->n, token, ret_payload);
    if (error)
        return error;
    remember(verifier, digest, bytes_new(ret_payload->ptr, ret_payload->len));
    return 0;
}
