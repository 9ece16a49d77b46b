#pragma once
// What the controllers of certificate signing requests share.

#include "controllers/frame.h"
#include "pki/pki.h"

// The request of r->name in `requests` as a struct and as a tree, in the reconcile's arena. False when
// it is not there.
bool csr_read(Reconcile *r, Informer *requests, CertificateSigningRequest **ret, Value **ret_value);
bool csr_has_condition(const CertificateSigningRequest *csr, Str type);
// Appends a condition that is true. `value` is the request's tree.
void csr_add_condition(Reconcile *r, Value *value, Str type, Str reason, Str message);
void csr_update(Reconcile *r, const Value *value, Str subresource);

// What each signer of kubernetes.io asks of a request (pkg/apis/certificates/helpers.go upstream).
// NULL when it is fine, else why it is not.
const char *csr_check_kubelet_client(const CertificateSigningRequest *csr, const PkiRequest *read);
const char *csr_check_kubelet_serving(const CertificateSigningRequest *csr, const PkiRequest *read);
const char *csr_check_api_client(const CertificateSigningRequest *csr, const PkiRequest *read);
