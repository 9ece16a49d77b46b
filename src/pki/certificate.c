#include <arpa/inet.h>
#include <errno.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/loop.h"
#include "base/rand.h"
#include "pki/certificate_private.h"

PKI_CLEANUP(X509_NAME, X509_NAME_free)
PKI_CLEANUP(GENERAL_NAMES, GENERAL_NAMES_free)
PKI_CLEANUP(BIGNUM, BN_free)

static bool is_name(Str name) {
    for (size_t i = 0; i < name.len; i++) {
        if ((unsigned char)name.ptr[i] < ' ')
            return false;
    }
    return name.len > 0 && name.len <= 1024;
}

// As UTF8String without X.520's limit of 64 characters, as Go does: "system:node:" and a long host
// name pass it.
static int name_add(X509_NAME *name, int nid, Str value) {
    if (!is_name(value))
        return -EINVAL;
    int result = X509_NAME_add_entry_by_NID(
        name, nid, V_ASN1_UTF8STRING, (const unsigned char *)value.ptr, (int)value.len, -1, 0);
    return result == 1 ? 0 : openssl_failed("a name");
}

int certificate_set_subject(X509 *certificate, const PkiSubject *subject) {
    _cleanup_(X509_NAME) X509_NAME *name = X509_NAME_new();
    int error = name ? 0 : openssl_failed("a name");
    for (size_t i = 0; !error && i < subject->n_organizations; i++)
        error = name_add(name, NID_organizationName, subject->organizations[i]);
    if (!error && subject->common_name.len)
        error = name_add(name, NID_commonName, subject->common_name);
    if (!error && X509_set_subject_name(certificate, name) != 1)
        error = openssl_failed("a subject");
    return error;
}

// 128 random bits (RFC 5280, 4.1.2.2: positive, at most 20 octets).
static int set_serial(X509 *certificate) {
    unsigned char bytes[16];
    rand_bytes(bytes, sizeof bytes);
    bytes[15] |= 1; // never zero
    _cleanup_(BIGNUM) BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    if (!number || !BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)))
        return openssl_failed("a serial number");
    return 0;
}

static int set_times(X509 *certificate, int64_t not_before, int64_t not_after) {
    if (not_after <= not_before)
        return -EINVAL;
    if (!ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)(not_before / NSEC_PER_SEC)) ||
        !ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)(not_after / NSEC_PER_SEC)))
        return openssl_failed("a time");
    return 0;
}

int certificate_add_extension(X509 *certificate, X509 *issuer, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    int result = extension ? X509_add_ext(certificate, extension, -1) : 0;
    X509_EXTENSION_free(extension);
    return result == 1 ? 0 : openssl_failed(value);
}

static GENERAL_NAME *san_address(Str san) {
    char text[INET6_ADDRSTRLEN];
    unsigned char address[16];
    if (san.len >= sizeof text)
        return NULL;
    memcpy(text, san.ptr, san.len);
    text[san.len] = 0;
    int len = inet_pton(AF_INET, text, address) == 1    ? 4
              : inet_pton(AF_INET6, text, address) == 1 ? 16
                                                        : 0;
    if (!len)
        return NULL;
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    if (name && value && ASN1_OCTET_STRING_set(value, address, len) == 1) {
        GENERAL_NAME_set0_value(name, GEN_IPADD, value);
        return name;
    }
    ASN1_OCTET_STRING_free(value);
    GENERAL_NAME_free(name);
    return NULL;
}

static GENERAL_NAME *san_dns(Str san) {
    for (size_t i = 0; i < san.len; i++) {
        char c = san.ptr[i];
        bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || (c == '*' && i == 0);
        if (!allowed)
            return NULL;
    }
    if (san.len == 0 || san.len > 253)
        return NULL;
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();
    if (name && value && ASN1_STRING_set(value, san.ptr, (int)san.len) == 1) {
        GENERAL_NAME_set0_value(name, GEN_DNS, value);
        return name;
    }
    ASN1_IA5STRING_free(value);
    GENERAL_NAME_free(name);
    return NULL;
}

int certificate_add_sans(X509 *certificate, const Str *sans, size_t n) {
    if (n == 0)
        return 0;
    _cleanup_(GENERAL_NAMES) GENERAL_NAMES *names = GENERAL_NAMES_new();
    for (size_t i = 0; names && i < n; i++) {
        GENERAL_NAME *name = san_address(sans[i]);
        if (!name)
            name = san_dns(sans[i]);
        if (!name)
            return -EINVAL;
        if (!sk_GENERAL_NAME_push(names, name)) {
            GENERAL_NAME_free(name);
            return openssl_failed("a SAN");
        }
    }
    if (!names || X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0) != 1)
        return openssl_failed("SANs");
    return 0;
}

static int add_usages(X509 *certificate, X509 *issuer, unsigned usages) {
    static const char *const texts[] = {[PKI_SERVER] = "serverAuth",
                                        [PKI_CLIENT] = "clientAuth",
                                        [PKI_SERVER | PKI_CLIENT] = "serverAuth,clientAuth"};
    if (usages == 0 || usages > (PKI_SERVER | PKI_CLIENT))
        return -EINVAL;
    return certificate_add_extension(certificate, issuer, NID_ext_key_usage, texts[usages]);
}

int certificate_new(const PkiSubject *subject, EVP_PKEY *key, int64_t not_before,
                           int64_t not_after, X509 **ret) {
    X509 *certificate = X509_new();
    int error = certificate && X509_set_version(certificate, X509_VERSION_3) == 1 &&
                        X509_set_pubkey(certificate, key) == 1
                    ? 0
                    : openssl_failed("a new certificate");
    if (!error)
        error = set_serial(certificate);
    if (!error)
        error = certificate_set_subject(certificate, subject);
    if (!error)
        error = set_times(certificate, not_before, not_after);
    if (error) {
        X509_free(certificate);
        certificate = NULL;
    }
    *ret = certificate;
    return error;
}

static int certificate_finish(Arena *arena, X509 *certificate, EVP_PKEY *key, EVP_PKEY *issuer_key,
                              PkiPair *ret) {
    if (X509_sign(certificate, issuer_key, EVP_sha256()) <= 0)
        return openssl_failed("to sign a certificate");
    int error = openssl_certificate_write(arena, certificate, &ret->certificate);
    return error ? error : openssl_key_write(arena, key, &ret->key);
}

int pki_ca_new(Arena *arena, Str common_name, int64_t not_before, int64_t not_after, PkiPair *ret) {
    _cleanup_(EVP_PKEY) EVP_PKEY *key = NULL;
    _cleanup_(X509) X509 *certificate = NULL;
    int error = common_name.len ? openssl_key_generate(&key) : -EINVAL;
    if (!error)
        error = certificate_new(&(PkiSubject){.common_name = common_name}, key, not_before,
                                not_after, &certificate);
    if (!error && X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) != 1)
        error = openssl_failed("an issuer");
    if (!error)
        error = certificate_add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
    if (!error)
        error = certificate_add_extension(certificate, certificate, NID_key_usage,
                              "critical,digitalSignature,keyCertSign,cRLSign");
    if (!error)
        error = certificate_add_extension(certificate, certificate, NID_subject_key_identifier, "hash");
    if (!error)
        error =
            certificate_add_extension(certificate, certificate, NID_authority_key_identifier, "keyid:always");
    return error ? error : certificate_finish(arena, certificate, key, key, ret);
}

int pki_issue(Arena *arena, const PkiPair *ca, const PkiSubject *subject, unsigned usages,
              const Str *sans, size_t n_sans, int64_t not_before, int64_t not_after, PkiPair *ret) {
    _cleanup_(EVP_PKEY) EVP_PKEY *key = NULL, *issuer_key = NULL;
    _cleanup_(X509) X509 *certificate = NULL, *issuer = NULL;
    int error = subject->common_name.len ? openssl_certificate_read(ca->certificate, &issuer)
                                         : -EINVAL;
    if (!error)
        error = openssl_key_read(ca->key, &issuer_key);
    if (!error)
        error = openssl_key_generate(&key);
    if (!error)
        error = certificate_new(subject, key, not_before, not_after, &certificate);
    if (!error && X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) != 1)
        error = openssl_failed("an issuer");
    if (!error)
        error = certificate_add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE");
    if (!error)
        error = certificate_add_extension(certificate, issuer, NID_key_usage, "critical,digitalSignature");
    if (!error)
        error = add_usages(certificate, issuer, usages);
    if (!error)
        error = certificate_add_extension(certificate, issuer, NID_subject_key_identifier, "hash");
    if (!error)
        error = certificate_add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always");
    if (!error)
        error = certificate_add_sans(certificate, sans, n_sans);
    return error ? error : certificate_finish(arena, certificate, key, issuer_key, ret);
}

int pki_certificate_expiry(Str certificate, int64_t *ret_not_after) {
    _cleanup_(X509) X509 *x509 = NULL;
    int error = openssl_certificate_read(certificate, &x509);
    if (error)
        return error;
    struct tm tm;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(x509), &tm) != 1)
        return -EINVAL;
    if (__builtin_mul_overflow((int64_t)timegm(&tm), NSEC_PER_SEC, ret_not_after))
        *ret_not_after = INT64_MAX; // "no well-defined expiry" is the year 9999
    return 0;
}

Str pki_fingerprint(Arena *arena, Str certificate) {
    _cleanup_(X509) X509 *x509 = NULL;
    unsigned char *der = NULL;
    if (openssl_certificate_read(certificate, &x509) != 0)
        return STR_NONE;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &der);
    Str hash = len > 0 ? pki_sha256_hex(arena, str_of(der, (size_t)len)) : STR_NONE;
    OPENSSL_free(der);
    return hash;
}
