#include "image/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "base/memory.h"

struct Sha256 {
    EVP_MD_CTX *context;
};

Sha256 *sha256_new(void) {
    Sha256 *sha = memory_new(Sha256);
    sha->context = EVP_MD_CTX_new();
    if (!sha->context || EVP_DigestInit_ex(sha->context, EVP_sha256(), NULL) != 1)
        abort();
    return sha;
}

void sha256_free(Sha256 *sha) {
    if (!sha)
        return;
    EVP_MD_CTX_free(sha->context);
    free(sha);
}

void sha256_add(Sha256 *sha, const void *data, size_t len) {
    if (EVP_DigestUpdate(sha->context, data, len) != 1)
        abort();
}

Str sha256_end(Sha256 *sha, Arena *arena) {
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    if (EVP_DigestFinal_ex(sha->context, bytes, &n) != 1 || n != 32)
        abort();
    char hex[64];
    for (unsigned int i = 0; i < n; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    return arena_printf(arena, "sha256:%.64s", hex);
}

Str sha256_of(Arena *arena, Str bytes) {
    Sha256 *sha = sha256_new();
    sha256_add(sha, bytes.ptr, bytes.len);
    Str digest = sha256_end(sha, arena);
    sha256_free(sha);
    return digest;
}
