#pragma once
// Keys and certificates made on the spot, for tests of TLS.

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "harness.h"

typedef struct Cert {
    EVP_PKEY *key;
    X509 *certificate;
    Str certificate_pem, key_pem;
} Cert;

static inline Str pem_of(BIO *bio) {
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    char *copy = strndup(data, (size_t)len);
    BIO_free(bio);
    return str_of(copy, (size_t)len);
}

static inline void cert_name(X509 *certificate, const char *common_name, const char *organization) {
    X509_NAME *name = X509_get_subject_name(certificate);
    if (organization) {
        X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)organization,
                                   -1, -1, 0);
        X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"second", -1,
                                   -1, 0);
    }
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name, -1,
                               -1, 0);
}

static inline void cert_extension(X509 *certificate, int nid, const char *value) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

// `issuer` NULL: a CA. `names`: subjectAltName or NULL (a client).
static inline Cert cert_new(const Cert *issuer, const char *common_name, const char *organization,
                            const char *names, long seconds) {
    static long serial = 1;
    Cert cert = {.key = EVP_EC_gen("P-256"), .certificate = X509_new()};
    X509 *x = cert.certificate;
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), -7200);
    X509_gmtime_adj(X509_getm_notAfter(x), seconds);
    cert_name(x, common_name, organization);
    X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer->certificate : x));
    X509_set_pubkey(x, cert.key);
    if (!issuer)
        cert_extension(x, NID_basic_constraints, "critical,CA:TRUE");
    else
        cert_extension(x, NID_ext_key_usage, names ? "serverAuth" : "clientAuth");
    if (names)
        cert_extension(x, NID_subject_alt_name, names);
    assert_true(X509_sign(x, issuer ? issuer->key : cert.key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, x);
    cert.certificate_pem = pem_of(bio);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, cert.key, NULL, NULL, 0, NULL, NULL);
    cert.key_pem = pem_of(bio);
    return cert;
}

static inline void cert_free(Cert *cert) {
    EVP_PKEY_free(cert->key);
    X509_free(cert->certificate);
    free((char *)(uintptr_t)cert->certificate_pem.ptr);
    free((char *)(uintptr_t)cert->key_pem.ptr);
}
