// Certificate signing requests (PKCS#10, RFC 2986): reading and signing them.

#include <arpa/inet.h>
#include <errno.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/loop.h"
#include "pki/certificate_private.h"

PKI_CLEANUP(X509_REQ, X509_REQ_free)
PKI_CLEANUP(GENERAL_NAMES, GENERAL_NAMES_free)

#define MAX_REQUEST (64 * 1024)
#define MAX_NAMES 256

static int no_pass_phrase(char *buffer, int size, int is_write, void *user) {
    return -1;
}

static X509_REQ *read_request(Str pem) {
    static const Str first = {"-----BEGIN CERTIFICATE REQUEST-----", 35};
    if (pem.len > MAX_REQUEST || !str_starts_with(pem, first))
        return NULL;
    _cleanup_(BIO) BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509_REQ *request = bio ? PEM_read_bio_X509_REQ(bio, NULL, no_pass_phrase, NULL) : NULL;
    ERR_clear_error();
    return request;
}

static Str entry_text(Arena *arena, const X509_NAME_ENTRY *entry) {
    unsigned char *text = NULL;
    int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(entry));
    Str copy = len > 0 ? arena_str(arena, str_of(text, (size_t)len)) : STR("");
    OPENSSL_free(text);
    return copy;
}

static void read_subject(Arena *arena, const X509_REQ *request, PkiRequest *ret) {
    X509_NAME *name = X509_REQ_get_subject_name(request);
    int n = X509_NAME_entry_count(name);
    Str *organizations = arena_array_of(arena, Str, (size_t)n + 1);
    for (int i = 0; i < n; i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
        if (nid == NID_commonName)
            ret->subject.common_name = entry_text(arena, entry);
        else if (nid == NID_organizationName)
            organizations[ret->subject.n_organizations++] = entry_text(arena, entry);
    }
    ret->subject.organizations = organizations;
}

static Str address_text(Arena *arena, const ASN1_OCTET_STRING *address) {
    char text[INET6_ADDRSTRLEN];
    int len = ASN1_STRING_length(address);
    if ((len != 4 && len != 16) || !inet_ntop(len == 4 ? AF_INET : AF_INET6,
                                              ASN1_STRING_get0_data(address), text, sizeof text))
        return STR_NONE;
    return arena_str(arena, str_from(text));
}

static int read_names(Arena *arena, const X509_REQ *request, PkiRequest *ret) {
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions((X509_REQ *)request);
    _cleanup_(GENERAL_NAMES) GENERAL_NAMES *names =
        X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    int n = names ? sk_GENERAL_NAME_num(names) : 0;
    if (n > MAX_NAMES)
        return -EINVAL;
    Str *sans = arena_array_of(arena, Str, (size_t)n + 1);
    for (int i = 0; i < n; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        Str text = STR_NONE;
        if (name->type == GEN_DNS) {
            text = arena_str(arena, str_of(ASN1_STRING_get0_data(name->d.dNSName),
                                           (size_t)ASN1_STRING_length(name->d.dNSName)));
            ret->n_dns++;
        } else if (name->type == GEN_IPADD) {
            text = address_text(arena, name->d.iPAddress);
            ret->n_addresses++;
        } else {
            ret->n_emails += name->type == GEN_EMAIL;
            ret->n_uris += name->type == GEN_URI;
            continue; // not put into certificates
        }
        if (!text.len)
            return -EINVAL;
        sans[ret->n_sans++] = text;
    }
    ret->sans = sans;
    return 0;
}

int pki_request_read(Arena *arena, Str pem, PkiRequest *ret) {
    *ret = (PkiRequest){.subject.common_name = STR("")};
    _cleanup_(X509_REQ) X509_REQ *request = read_request(pem);
    EVP_PKEY *key = request ? X509_REQ_get0_pubkey(request) : NULL;
    bool is_good = key && X509_REQ_verify(request, key) == 1;
    ERR_clear_error();
    if (!request)
        return -EINVAL;
    if (!is_good)
        return -EACCES;
    read_subject(arena, request, ret);
    return read_names(arena, request, ret);
}

int pki_request_new(Arena *arena, const PkiSubject *subject, const Str *sans, size_t n_sans,
                    Str key, Str *ret_pem) {
    _cleanup_(EVP_PKEY) EVP_PKEY *pkey = NULL;
    _cleanup_(X509_REQ) X509_REQ *request = X509_REQ_new();
    _cleanup_(X509) X509 *holder = X509_new(); // of the names, which are made for certificates
    int error = openssl_key_read(key, &pkey);
    if (!error && (!request || !holder || X509_REQ_set_version(request, 0) != 1 ||
                   X509_REQ_set_pubkey(request, pkey) != 1))
        error = openssl_failed("a request");
    if (!error)
        error = certificate_set_subject(holder, subject);
    if (!error && X509_REQ_set_subject_name(request, X509_get_subject_name(holder)) != 1)
        error = openssl_failed("a subject");
    if (!error)
        error = certificate_add_sans(holder, sans, n_sans);
    if (!error && n_sans && X509_REQ_add_extensions(
                                request, (STACK_OF(X509_EXTENSION) *)X509_get0_extensions(holder)) != 1)
        error = openssl_failed("extensions");
    if (!error && X509_REQ_sign(request, pkey, EVP_sha256()) <= 0)
        error = openssl_failed("to sign a request");
    if (error)
        return error;
    _cleanup_(BIO) BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    if (!bio || PEM_write_bio_X509_REQ(bio, request) != 1)
        return openssl_failed("to write a request");
    long len = BIO_get_mem_data(bio, &text);
    *ret_pem = arena_str(arena, str_of(text, (size_t)len));
    return 0;
}

// ---- usages: the names of certificates.k8s.io, and OpenSSL's

static const struct {
    const char *name, *openssl;
    bool extended;
} usages[] = {
    {"signing", "digitalSignature", false},
    {"digital signature", "digitalSignature", false},
    {"content commitment", "nonRepudiation", false},
    {"key encipherment", "keyEncipherment", false},
    {"key agreement", "keyAgreement", false},
    {"data encipherment", "dataEncipherment", false},
    {"cert sign", "keyCertSign", false},
    {"crl sign", "cRLSign", false},
    {"encipher only", "encipherOnly", false},
    {"decipher only", "decipherOnly", false},
    {"any", "anyExtendedKeyUsage", true},
    {"server auth", "serverAuth", true},
    {"client auth", "clientAuth", true},
    {"code signing", "codeSigning", true},
    {"email protection", "emailProtection", true},
    {"s/mime", "emailProtection", true},
    {"ipsec end system", "1.3.6.1.5.5.7.3.5", true},
    {"ipsec tunnel", "1.3.6.1.5.5.7.3.6", true},
    {"ipsec user", "1.3.6.1.5.5.7.3.7", true},
    {"timestamping", "timeStamping", true},
    {"ocsp signing", "OCSPSigning", true},
    {"microsoft sgc", "msSGC", true},
    {"netscape sgc", "nsSGC", true},
};

const char *pki_usage_at(size_t index) {
    return index < sizeof usages / sizeof *usages ? usages[index].name : NULL;
}

// "critical,digitalSignature,keyEncipherment"; each once.
static int add_usages(Arena *arena, X509 *certificate, X509 *issuer, const Str *wanted, size_t n,
                      bool extended) {
    Str text = STR_NONE;
    for (size_t i = 0; i < sizeof usages / sizeof *usages; i++) {
        bool is_wanted = false;
        for (size_t j = 0; j < n; j++)
            is_wanted |= str_eq(wanted[j], str_from(usages[i].name));
        if (!is_wanted || usages[i].extended != extended ||
            (text.ptr && strstr(text.ptr, usages[i].openssl)))
            continue;
        text = text.ptr ? arena_printf(arena, "%s,%s", text.ptr, usages[i].openssl)
                        : arena_printf(arena, "%s%s", extended ? "" : "critical,",
                                       usages[i].openssl);
    }
    return text.ptr ? certificate_add_extension(certificate, issuer,
                                                extended ? NID_ext_key_usage : NID_key_usage,
                                                text.ptr)
                    : 0;
}

int pki_request_sign(Arena *arena, const PkiPair *ca, Str pem, const Str *wanted, size_t n,
                     int64_t not_before, int64_t not_after, Str *ret_certificate) {
    PkiRequest read;
    int error = pki_request_read(arena, pem, &read);
    if (error)
        return error;
    _cleanup_(X509_REQ) X509_REQ *request = read_request(pem);
    _cleanup_(EVP_PKEY) EVP_PKEY *issuer_key = NULL;
    _cleanup_(X509) X509 *certificate = NULL, *issuer = NULL;
    int64_t ca_expires;
    error = openssl_certificate_read(ca->certificate, &issuer);
    if (!error)
        error = openssl_key_read(ca->key, &issuer_key);
    if (!error)
        error = pki_certificate_expiry(ca->certificate, &ca_expires);
    if (!error)
        error = certificate_new(&read.subject, X509_REQ_get0_pubkey(request), not_before,
                                not_after < ca_expires ? not_after : ca_expires, &certificate);
    if (!error && X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) != 1)
        error = openssl_failed("an issuer");
    if (!error)
        error = add_usages(arena, certificate, issuer, wanted, n, false);
    if (!error)
        error = add_usages(arena, certificate, issuer, wanted, n, true);
    if (!error)
        error = certificate_add_extension(certificate, issuer, NID_basic_constraints,
                                          "critical,CA:FALSE");
    if (!error)
        error = certificate_add_extension(certificate, issuer, NID_authority_key_identifier,
                                          "keyid:always");
    if (!error)
        error = certificate_add_sans(certificate, read.sans, read.n_sans);
    if (!error && X509_sign(certificate, issuer_key, EVP_sha256()) <= 0)
        error = openssl_failed("to sign a certificate");
    return error ? error : openssl_certificate_write(arena, certificate, ret_certificate);
}
