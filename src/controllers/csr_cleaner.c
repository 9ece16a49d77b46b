// Removes signing requests that nobody needs any more (pkg/controller/certificates/cleaner upstream):
// https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#request-signing-process
#include <stdlib.h>

#include "base/memory.h"
#include "controllers/csr.h"

#define HOUR (3600 * NSEC_PER_SEC)
#define AFTER_VERDICT (1 * HOUR) // approved and issued, denied, failed
#define PENDING (24 * HOUR)

typedef struct Cleaner {
    Controller base;
    Informer *requests;
} Cleaner;

// When the request has had its time; 0: not before something happens to it.
static int64_t ends_at(const CertificateSigningRequest *csr) {
    int64_t end = csr->metadata.creation_timestamp + PENDING, expires;
    for (size_t i = 0; i < csr->status.conditions.len; i++) {
        const CertificateSigningRequestCondition *condition = &csr->status.conditions.items[i];
        bool approved = str_eq(condition->type, STR("Approved"));
        if (approved && !csr->status.certificate.len)
            return 0; // it waits for its signer
        end = condition->last_update_time + AFTER_VERDICT;
        break;
    }
    if (csr->status.certificate.len &&
        pki_certificate_expiry(csr->status.certificate, &expires) == 0 && expires < end)
        end = expires;
    return end;
}

static void reconcile(Reconcile *r) {
    Cleaner *self = (Cleaner *)r->controller;
    CertificateSigningRequest *csr;
    Value *value;
    int64_t end = csr_read(r, self->requests, &csr, &value) ? ends_at(csr) : 0;
    if (!end || csr->metadata.deletion_timestamp) {
        reconcile_done(r, false);
        return;
    }
    int64_t left = end - loop_wall(self->base.loop);
    if (left > 0) {
        controller_enqueue_after(&self->base, STR(""), r->name, left);
        reconcile_done(r, false);
        return;
    }
    ClientTarget target = {.resource = kinds_resource_certificates_v1_certificatesigningrequests(),
                           .name = r->name};
    Str options =
        arena_printf(r->arena, "{\"preconditions\":{\"uid\":\"%.*s\"}}", STR_ARG(csr->metadata.uid));
    client_delete(self->base.client, &target, options, reconcile_finish, r);
}

static void stop(Controller *controller) {
    free(controller);
}

Controller *csr_cleaner_start(Controllers *all) {
    Cleaner *self = memory_new(Cleaner);
    controller_init(&self->base, all, "certificate-controller", 1, reconcile, stop);
    self->requests = controller_informer(
        &self->base, kinds_resource_certificates_v1_certificatesigningrequests(), STR(""));
    controller_follow(&self->base, self->requests);
    return &self->base;
}
