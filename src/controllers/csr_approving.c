// Approves the client certificates of kubelets, if whoever asks may have one: those who may create
// certificatesigningrequests/nodeclient get one for any node, and nodes that may create
// .../selfnodeclient renew their own.
// https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/#approval
#include <stdlib.h>

#include "base/memory.h"
#include "controllers/csr.h"

typedef struct Approving {
    Controller base;
    Informer *requests;
} Approving;

static const struct {
    const char *permission, *message;
    bool own; // of a node that asks for itself
} recognizers[] = {
    {"selfnodeclient",
     "Auto approving self kubelet client certificate after SubjectAccessReview.", true},
    {"nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.", false},
};

typedef struct Approval { // r->state
    CertificateSigningRequest *csr;
    Value *value;
    bool own;
    size_t next;
} Approval;

static void ask_next(Reconcile *r);

static void on_reviewed(void *user, const ClientResult *result) {
    Reconcile *r = user;
    Approval *approval = r->state;
    Value *review = NULL;
    ParseError error;
    if (result->error ||
        value_parse_json(result->arena, result->body, NULL, &review, &error) != 0) {
        reconcile_done(r, reconcile_should_retry(r, result));
        return;
    }
    if (!value_bool_at(review, "status.allowed", false)) {
        approval->next++;
        ask_next(r);
        return;
    }
    csr_add_condition(r, approval->value, STR("Approved"), STR("AutoApproved"),
                      str_from(recognizers[approval->next].message));
    csr_update(r, approval->value, STR("approval"));
}

static Value *string_list(Arena *arena, const Str *items, size_t n) {
    Value *list = value_new_array(arena);
    for (size_t i = 0; i < n; i++)
        value_push(arena, list, value_new_string(arena, items[i]));
    return list;
}

// May the requester create certificatesigningrequests/PERMISSION?
static void ask(Reconcile *r, const char *permission) {
    const Approval *approval = r->state;
    const CertificateSigningRequestSpec *spec = &approval->csr->spec;
    Arena *arena = r->arena;
    Value *review = value_new_object(arena);
    value_set_str(arena, review, STR("apiVersion"), STR("authorization.k8s.io/v1"));
    value_set_str(arena, review, STR("kind"), STR("SubjectAccessReview"));
    Value *of = value_at_make(arena, review, "spec");
    value_set_str(arena, of, STR("user"), spec->username);
    value_set_str(arena, of, STR("uid"), spec->uid);
    value_set(arena, of, STR("groups"), string_list(arena, spec->groups.items, spec->groups.len));
    const Value *extra = value_at(approval->value, "spec.extra");
    if (extra)
        value_set(arena, of, STR("extra"), (Value *)extra);
    Value *attributes = value_at_make(arena, of, "resourceAttributes");
    value_set_str(arena, attributes, STR("group"), STR("certificates.k8s.io"));
    value_set_str(arena, attributes, STR("resource"), STR("certificatesigningrequests"));
    value_set_str(arena, attributes, STR("verb"), STR("create"));
    value_set_str(arena, attributes, STR("subresource"), str_from(permission));
    value_set_str(arena, attributes, STR("version"), STR("*"));
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(review, &body);
    ClientTarget target = {.resource = kinds_resource_authorization_v1_subjectaccessreviews()};
    client_create(r->controller->client, &target, buf_view(&body), on_reviewed, r);
}

static void ask_next(Reconcile *r) {
    Approval *approval = r->state;
    size_t n = sizeof recognizers / sizeof *recognizers;
    while (approval->next < n && recognizers[approval->next].own && !approval->own)
        approval->next++;
    if (approval->next < n)
        ask(r, recognizers[approval->next].permission);
    else
        reconcile_done(r, true); // a binding may still come
}

static void reconcile(Reconcile *r) {
    Approving *self = (Approving *)r->controller;
    CertificateSigningRequest *csr;
    Value *value;
    PkiRequest read;
    if (!csr_read(r, self->requests, &csr, &value) || csr->status.certificate.len ||
        csr_has_condition(csr, STR("Approved")) || csr_has_condition(csr, STR("Denied")) ||
        !str_eq(csr->spec.signer_name, STR("kubernetes.io/kube-apiserver-client-kubelet")) ||
        pki_request_read(r->arena, csr->spec.request, &read) != 0 ||
        csr_check_kubelet_client(csr, &read)) {
        reconcile_done(r, false);
        return;
    }
    Approval *approval = arena_new_of(r->arena, Approval);
    r->state = approval;
    approval->csr = csr;
    approval->value = value;
    approval->own = str_eq(csr->spec.username, read.subject.common_name);
    ask_next(r);
}

static void stop(Controller *controller) {
    free(controller);
}

Controller *csr_approving_start(Controllers *all) {
    Approving *self = memory_new(Approving);
    controller_init(&self->base, all, "certificate-controller", 5, reconcile, stop);
    self->requests = controller_informer(
        &self->base, kinds_resource_certificates_v1_certificatesigningrequests(), STR(""));
    controller_follow(&self->base, self->requests);
    return &self->base;
}
