#include "pki/openssl.h"

#include <assert.h>
#include <errno.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/log.h"

// The texts are loaded with the first error: they cost half a megabyte (see tls_context.c).
static void load_texts(void) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" // nothing else loads them later
    ERR_load_ERR_strings();
    ERR_load_ASN1_strings();
    ERR_load_CRYPTO_strings();
    ERR_load_EC_strings();
    ERR_load_EVP_strings();
    ERR_load_PEM_strings();
    ERR_load_X509_strings();
#pragma GCC diagnostic pop
}

int openssl_failed(const char *what) {
    char reason[256] = "unknown";
    unsigned long code = ERR_peek_last_error();
    if (code) {
        load_texts();
        ERR_error_string_n(code, reason, sizeof reason);
    }
    ERR_clear_error();
    log_error("pki", "OpenSSL refused", "what=\"%s\" reason=\"%s\"", what, reason);
    return -EIO;
}

static BIO *bio_of(Str pem) {
    return pem.len > 0 && pem.len <= 1 << 20 ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
}

// Nobody is asked for a pass phrase.
static int no_pass_phrase(char *buffer, int size, int is_write, void *user) {
    return -1;
}

static bool is_p256(EVP_PKEY *key) {
    char group[64];
    size_t len;
    return EVP_PKEY_is_a(key, "EC") &&
           EVP_PKEY_get_group_name(key, group, sizeof group, &len) == 1 &&
           OBJ_sn2nid(group) == NID_X9_62_prime256v1;
}

static int take_key(EVP_PKEY *key, EVP_PKEY **ret) {
    ERR_clear_error();
    if (key && !is_p256(key)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    *ret = key;
    return key ? 0 : -EINVAL;
}

int openssl_key_read(Str pem, EVP_PKEY **ret) {
    _cleanup_(BIO) BIO *bio = bio_of(pem);
    return take_key(bio ? PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL) : NULL, ret);
}

int openssl_public_read(Str pem, EVP_PKEY **ret) {
    _cleanup_(BIO) BIO *bio = bio_of(pem);
    return take_key(bio ? PEM_read_bio_PUBKEY(bio, NULL, no_pass_phrase, NULL) : NULL, ret);
}

#define SHORTEST_RSA 2048

static int take_verifier(EVP_PKEY *key, EVP_PKEY **ret) {
    if (!key || !EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_get_bits(key) < SHORTEST_RSA)
        return take_key(key, ret);
    *ret = key;
    return 0;
}

int openssl_verifier_read(Str pem, EVP_PKEY **ret) {
    _cleanup_(BIO) BIO *bio = bio_of(pem);
    return take_verifier(bio ? PEM_read_bio_PUBKEY(bio, NULL, no_pass_phrase, NULL) : NULL, ret);
}

int openssl_signer_read(Str pem, EVP_PKEY **ret) {
    _cleanup_(BIO) BIO *bio = bio_of(pem);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL) : NULL;
    return take_verifier(key, ret);
}

int openssl_certificate_read(Str pem, X509 **ret) {
    _cleanup_(BIO) BIO *bio = bio_of(pem);
    *ret = bio ? PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL) : NULL;
    ERR_clear_error();
    return *ret ? 0 : -EINVAL;
}

int openssl_key_generate(EVP_PKEY **ret) {
    *ret = EVP_EC_gen("P-256");
    return *ret ? 0 : openssl_failed("a new key");
}

static int take_text(Arena *arena, BIO *bio, int result, const char *what, Str *ret) {
    char *data = NULL;
    long len = bio ? BIO_get_mem_data(bio, &data) : 0;
    if (result != 1 || len <= 0)
        return openssl_failed(what);
    *ret = arena_str(arena, str_of(data, (size_t)len));
    return 0;
}

int openssl_key_write(Arena *arena, EVP_PKEY *key, Str *ret_pem) {
    _cleanup_(BIO) BIO *bio = BIO_new(BIO_s_secmem());
    int result = bio ? PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) : 0;
    return take_text(arena, bio, result, "to write a key", ret_pem);
}

int openssl_public_write(Arena *arena, EVP_PKEY *key, Str *ret_pem) {
    _cleanup_(BIO) BIO *bio = BIO_new(BIO_s_mem());
    int result = bio ? PEM_write_bio_PUBKEY(bio, key) : 0;
    return take_text(arena, bio, result, "to write a public key", ret_pem);
}

int openssl_certificate_write(Arena *arena, X509 *certificate, Str *ret_pem) {
    _cleanup_(BIO) BIO *bio = BIO_new(BIO_s_mem());
    int result = bio ? PEM_write_bio_X509(bio, certificate) : 0;
    return take_text(arena, bio, result, "to write a certificate", ret_pem);
}

int openssl_public_der(Arena *arena, EVP_PKEY *key, Str *ret_der) {
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    if (len <= 0)
        return openssl_failed("to write a public key");
    *ret_der = arena_str(arena, str_of(der, (size_t)len));
    OPENSSL_free(der);
    return 0;
}

void openssl_sha256(Str data, unsigned char ret[32]) {
    unsigned len = 0;
    int result = EVP_Digest(data.ptr ? data.ptr : "", data.len, ret, &len, EVP_sha256(), NULL);
    assert(result == 1 && len == 32);
}
