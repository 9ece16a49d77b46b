#include <errno.h>
#include <string.h>

#include <openssl/core_names.h>

#include "pki/openssl.h"

int pki_key_new(Arena *arena, Str *ret_key) {
    _cleanup_(EVP_PKEY) EVP_PKEY *key = NULL;
    int error = openssl_key_generate(&key);
    return error ? error : openssl_key_write(arena, key, ret_key);
}

int pki_public_key(Arena *arena, Str key, Str *ret_public) {
    _cleanup_(EVP_PKEY) EVP_PKEY *pkey = NULL;
    int error = openssl_key_read(key, &pkey);
    return error ? error : openssl_public_write(arena, pkey, ret_public);
}

int pki_key_id(Arena *arena, Str public_key, Str *ret_kid) {
    _cleanup_(EVP_PKEY) EVP_PKEY *key = NULL;
    Str der;
    int error = openssl_verifier_read(public_key, &key);
    if (!error)
        error = openssl_public_der(arena, key, &der);
    if (error)
        return error;
    unsigned char digest[32];
    openssl_sha256(der, digest);
    *ret_kid = pki_base64url(arena, str_of(digest, sizeof digest));
    return 0;
}

// A big number without leading zeros (RFC 7518, 6.3.1).
static int number_param(Arena *arena, EVP_PKEY *key, const char *name, Str *ret) {
    BIGNUM *number = NULL;
    if (EVP_PKEY_get_bn_param(key, name, &number) != 1)
        return openssl_failed("a public key's number");
    char *bytes = arena_alloc(arena, (size_t)BN_num_bytes(number) + 1);
    int len = BN_bn2bin(number, (unsigned char *)bytes);
    BN_free(number);
    *ret = pki_base64url(arena, str_of(bytes, (size_t)len));
    return 0;
}

static int rsa_jwk(Arena *arena, EVP_PKEY *key, Str kid, Str *ret_json) {
    Str n, e;
    int error = number_param(arena, key, OSSL_PKEY_PARAM_RSA_N, &n);
    if (!error)
        error = number_param(arena, key, OSSL_PKEY_PARAM_RSA_E, &e);
    if (!error)
        *ret_json = arena_printf(arena,
                                 "{\"use\":\"sig\",\"kty\":\"RSA\",\"kid\":\"%.*s\",\"alg\":"
                                 "\"RS256\",\"n\":\"%.*s\",\"e\":\"%.*s\"}",
                                 STR_ARG(kid), STR_ARG(n), STR_ARG(e));
    return error;
}

int pki_public_jwk(Arena *arena, Str public_key, Str *ret_json) {
    _cleanup_(EVP_PKEY) EVP_PKEY *key = NULL;
    Str kid;
    int error = openssl_verifier_read(public_key, &key);
    if (!error)
        error = pki_key_id(arena, public_key, &kid);
    if (error || EVP_PKEY_is_a(key, "RSA"))
        return error ? error : rsa_jwk(arena, key, kid, ret_json);
    unsigned char point[65]; // 4, x, y: uncompressed (SEC 1, 2.3.3)
    size_t len = 0;
    if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, point,
                                        sizeof point, &len) != 1 ||
        len != sizeof point || point[0] != 4)
        return openssl_failed("a public key's point");
    *ret_json = arena_printf(arena,
                             "{\"use\":\"sig\",\"kty\":\"EC\",\"kid\":\"%.*s\",\"crv\":\"P-256\","
                             "\"alg\":\"ES256\",\"x\":\"%.*s\",\"y\":\"%.*s\"}",
                             STR_ARG(kid), STR_ARG(pki_base64url(arena, str_of(point + 1, 32))),
                             STR_ARG(pki_base64url(arena, str_of(point + 33, 32))));
    return 0;
}

bool pki_key_is_rsa(Str public_key) {
    _cleanup_(EVP_PKEY) EVP_PKEY *key = NULL;
    return openssl_verifier_read(public_key, &key) == 0 && EVP_PKEY_is_a(key, "RSA");
}

// The next PEM block of one of those types, with its markers.
static Str next_block(Str *rest) {
    static const Str begin = {"-----BEGIN ", 11}, end = {"-----END ", 9}, dashes = {"-----", 5};
    const char *start = memmem(rest->ptr, rest->len, begin.ptr, begin.len);
    if (!start)
        return STR_NONE;
    Str from = str_slice(*rest, (size_t)(start - rest->ptr), rest->len);
    const char *stop = memmem(from.ptr, from.len, end.ptr, end.len);
    if (!stop)
        return STR_NONE;
    size_t at = (size_t)(stop - from.ptr) + end.len;
    const char *close = memmem(from.ptr + at, from.len - at, dashes.ptr, dashes.len);
    if (!close)
        return STR_NONE;
    size_t len = (size_t)(close - from.ptr) + dashes.len;
    *rest = str_slice(from, len, from.len);
    return str_slice(from, 0, len);
}

int pki_read_publics(Arena *arena, Str text, Str **ret, size_t *ret_n) {
    *ret_n = 0;
    *ret = NULL;
    for (Str rest = text, block; (block = next_block(&rest)).ptr;) {
        _cleanup_(EVP_PKEY) EVP_PKEY *key = NULL;
        Str pem = arena_printf(arena, "%.*s\n", STR_ARG(block)), public_key;
        if (openssl_verifier_read(pem, &key) != 0 && openssl_signer_read(pem, &key) != 0)
            continue;
        int error = openssl_public_write(arena, key, &public_key);
        if (error)
            return error;
        *ret = arena_grow(arena, *ret, *ret_n * sizeof(Str), (*ret_n + 1) * sizeof(Str));
        (*ret)[(*ret_n)++] = public_key;
    }
    return *ret_n ? 0 : -EINVAL;
}
