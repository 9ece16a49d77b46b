#pragma once
// Between OpenSSL's objects and ours, inside this room.

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "pki/pki.h"

#define PKI_CLEANUP(T, free)                                                                       \
    static inline void T##_freep(T **object) {                                                     \
        free(*object);                                                                             \
    }
PKI_CLEANUP(EVP_PKEY, EVP_PKEY_free)
PKI_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free)
PKI_CLEANUP(X509, X509_free)
PKI_CLEANUP(BIO, BIO_free_all)
#define _cleanup_(T) __attribute__((cleanup(T##_freep)))

// Logs why OpenSSL refused `what` and empties its queue of errors. Returns -EIO.
int openssl_failed(const char *what);

int openssl_key_read(Str pem, EVP_PKEY **ret);    // private, P-256; or -EINVAL
int openssl_public_read(Str pem, EVP_PKEY **ret); // public, P-256; or -EINVAL
int openssl_verifier_read(Str pem, EVP_PKEY **ret); // public, P-256 or RSA; or -EINVAL
int openssl_signer_read(Str pem, EVP_PKEY **ret);   // private, P-256 or RSA; or -EINVAL
int openssl_certificate_read(Str pem, X509 **ret);
int openssl_key_generate(EVP_PKEY **ret);
int openssl_key_write(Arena *arena, EVP_PKEY *key, Str *ret_pem);
int openssl_public_write(Arena *arena, EVP_PKEY *key, Str *ret_pem);
int openssl_certificate_write(Arena *arena, X509 *certificate, Str *ret_pem);
int openssl_public_der(Arena *arena, EVP_PKEY *key, Str *ret_der); // SubjectPublicKeyInfo
void openssl_sha256(Str data, unsigned char ret[32]);
