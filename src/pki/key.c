#include <errno.h>

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
    int error = openssl_public_read(public_key, &key);
    if (!error)
        error = openssl_public_der(arena, key, &der);
    if (error)
        return error;
    unsigned char digest[32];
    openssl_sha256(der, digest);
    *ret_kid = pki_base64url(arena, str_of(digest, sizeof digest));
    return 0;
}

int pki_public_jwk(Arena *arena, Str public_key, Str *ret_json) {
    _cleanup_(EVP_PKEY) EVP_PKEY *key = NULL;
    Str kid;
    int error = openssl_public_read(public_key, &key);
    if (!error)
        error = pki_key_id(arena, public_key, &kid);
    if (error)
        return error;
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
