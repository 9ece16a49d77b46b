// Signs approved requests to the signers of kubernetes.io with the cluster's CA.
// https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers
#include <errno.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/time.h"
#include "controllers/csr.h"

#define LONGEST (365 * 24 * 3600 * NSEC_PER_SEC) // kube-controller-manager's --cluster-signing-duration
#define SHORTEST (600 * NSEC_PER_SEC)
#define BACKDATE (300 * NSEC_PER_SEC)
#define SHORT (8 * 3600 * NSEC_PER_SEC) // below that, backdating is not taken off the lifetime

typedef struct Signing {
    Controller base;
    Informer *requests;
} Signing;

static const struct {
    const char *signer;
    const char *(*check)(const CertificateSigningRequest *csr, const PkiRequest *read);
} signers[] = {
    {"kubernetes.io/kube-apiserver-client", csr_check_api_client},
    {"kubernetes.io/kube-apiserver-client-kubelet", csr_check_kubelet_client},
    {"kubernetes.io/kubelet-serving", csr_check_kubelet_serving},
    {"kubernetes.io/legacy-unknown", NULL},
};
#define N_SIGNERS (sizeof signers / sizeof *signers)

// ---- helpers of all three controllers

bool csr_read(Reconcile *r, Informer *requests, CertificateSigningRequest **ret,
              Value **ret_value) {
    const InformerObject *object = informer_get(requests, STR(""), r->name);
    ParseError error;
    *ret = reconcile_object(r, requests, STR(""), r->name, kinds_type_CertificateSigningRequest());
    return *ret && value_parse_json(r->arena, arena_str(r->arena, bytes_str(object->bytes)), NULL,
                                    ret_value, &error) == 0;
}

bool csr_has_condition(const CertificateSigningRequest *csr, Str type) {
    for (size_t i = 0; i < csr->status.conditions.len; i++) {
        if (str_eq(csr->status.conditions.items[i].type, type))
            return true;
    }
    return false;
}

void csr_add_condition(Reconcile *r, Value *value, Str type, Str reason, Str message) {
    Arena *arena = r->arena;
    Value *status = value_at_make(arena, value, "status"), *condition = value_new_object(arena);
    Value *conditions = value_get(status, STR("conditions"));
    if (!conditions)
        value_set(arena, status, STR("conditions"), conditions = value_new_array(arena));
    value_set_str(arena, condition, STR("type"), type);
    value_set_str(arena, condition, STR("status"), STR("True"));
    value_set_str(arena, condition, STR("reason"), reason);
    value_set_str(arena, condition, STR("message"), message);
    value_push(arena, conditions, condition);
}

void csr_update(Reconcile *r, const Value *value, Str subresource) {
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(value, &body);
    ClientTarget target = {.resource = kinds_resource_certificates_v1_certificatesigningrequests(),
                           .name = r->name,
                           .subresource = subresource};
    client_update(r->controller->client, &target, buf_view(&body), reconcile_finish, r);
}

// ---- what may be asked for

static bool has_usage(const CertificateSigningRequest *csr, const char *usage) {
    for (size_t i = 0; i < csr->spec.usages.len; i++) {
        if (str_eq(csr->spec.usages.items[i], str_from(usage)))
            return true;
    }
    return false;
}

// "digital signature" and `extended`, and perhaps "key encipherment"; nothing else.
static bool has_exactly(const CertificateSigningRequest *csr, const char *extended) {
    size_t wanted = 2 + has_usage(csr, "key encipherment");
    return csr->spec.usages.len == wanted && has_usage(csr, "digital signature") &&
           has_usage(csr, extended);
}

static const char *check_node(const PkiRequest *read) {
    if (read->subject.n_organizations != 1 ||
        !str_eq(read->subject.organizations[0], STR("system:nodes")))
        return "subject organization is not system:nodes";
    if (!str_starts_with(read->subject.common_name, STR("system:node:")))
        return "subject common name does not begin with system:node:";
    if (read->n_emails)
        return "Email subjectAltNames are not allowed";
    if (read->n_uris)
        return "URI subjectAltNames are not allowed";
    return NULL;
}

const char *csr_check_kubelet_client(const CertificateSigningRequest *csr,
                                     const PkiRequest *read) {
    const char *why = check_node(read);
    if (why)
        return why;
    if (read->n_dns)
        return "DNS subjectAltNames are not allowed";
    if (read->n_addresses)
        return "IP subjectAltNames are not allowed";
    return has_exactly(csr, "client auth")
               ? NULL
               : "usages did not match [client auth digital signature key encipherment]";
}

const char *csr_check_kubelet_serving(const CertificateSigningRequest *csr,
                                      const PkiRequest *read) {
    const char *why = check_node(read);
    if (why)
        return why;
    if (!read->n_dns && !read->n_addresses)
        return "DNS or IP subjectAltName is required";
    return has_exactly(csr, "server auth")
               ? NULL
               : "usages did not match [digital signature key encipherment server auth]";
}

const char *csr_check_api_client(const CertificateSigningRequest *csr, const PkiRequest *read) {
    size_t allowed = has_usage(csr, "digital signature") + has_usage(csr, "key encipherment") + 1;
    return has_usage(csr, "client auth") && csr->spec.usages.len == allowed
               ? NULL
               : "usages did not match [client auth digital signature key encipherment]";
}

// ---- signing

static int64_t duration_of(const CertificateSigningRequest *csr) {
    if (!csr->spec.expiration_seconds)
        return LONGEST;
    int64_t wanted = *csr->spec.expiration_seconds * NSEC_PER_SEC;
    return wanted > LONGEST ? LONGEST : wanted < SHORTEST ? SHORTEST : wanted;
}

static int sign(Reconcile *r, const CertificateSigningRequest *csr, Str *ret) {
    const ControllersConfig *config = controllers_config(r->controller->all);
    const PkiPair ca = {config->cluster_ca, config->cluster_ca_key};
    int64_t now = loop_wall(r->controller->loop), duration = duration_of(csr);
    int64_t not_before = now - BACKDATE;
    return pki_request_sign(r->arena, &ca, csr->spec.request, csr->spec.usages.items,
                            csr->spec.usages.len, not_before,
                            (duration < SHORT ? now : not_before) + duration, ret);
}

static void reconcile(Reconcile *r) {
    Signing *self = (Signing *)r->controller;
    CertificateSigningRequest *csr;
    Value *value;
    size_t i = 0;
    if (!csr_read(r, self->requests, &csr, &value) ||
        !controllers_config(self->base.all)->cluster_ca_key.len || csr->status.certificate.len ||
        !csr_has_condition(csr, STR("Approved")) || csr_has_condition(csr, STR("Denied")) ||
        csr_has_condition(csr, STR("Failed"))) {
        reconcile_done(r, false);
        return;
    }
    while (i < N_SIGNERS && !str_eq(csr->spec.signer_name, str_from(signers[i].signer)))
        i++;
    if (i == N_SIGNERS) { // somebody else's
        reconcile_done(r, false);
        return;
    }
    PkiRequest read;
    Str certificate;
    const char *why = NULL;
    int error = pki_request_read(r->arena, csr->spec.request, &read);
    if (error)
        why = "unable to parse csr";
    else if (signers[i].check)
        why = signers[i].check(csr, &read);
    if (!why && (error = sign(r, csr, &certificate)) == -EINVAL)
        why = "the request asks for what no certificate can hold";
    if (!why && error) {
        reconcile_done(r, true);
        return;
    }
    if (why)
        csr_add_condition(r, value, STR("Failed"), STR("SignerValidationFailure"), str_from(why));
    else
        value_set_str(r->arena, value_at_make(r->arena, value, "status"), STR("certificate"),
                      pki_base64(r->arena, certificate));
    csr_update(r, value, STR("status"));
}

static void stop(Controller *controller) {
    free(controller);
}

Controller *csr_signing_start(Controllers *all) {
    Signing *self = memory_new(Signing);
    controller_init(&self->base, all, "certificate-controller", 5, reconcile, stop);
    self->requests = controller_informer(
        &self->base, kinds_resource_certificates_v1_certificatesigningrequests(), STR(""));
    controller_follow(&self->base, self->requests);
    return &self->base;
}
