#pragma once
// Making certificates, for certificate.c and request.c.

#include "pki/openssl.h"

// Each returns 0, -EINVAL for what a certificate cannot hold, or -EIO.
int certificate_new(const PkiSubject *subject, EVP_PKEY *key, int64_t not_before,
                    int64_t not_after, X509 **ret);
int certificate_set_subject(X509 *certificate, const PkiSubject *subject);
int certificate_add_extension(X509 *certificate, X509 *issuer, int nid, const char *value);
int certificate_add_sans(X509 *certificate, const Str *sans, size_t n);
