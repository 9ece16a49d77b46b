// Every namespace has a ServiceAccount "default".
// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#serviceaccount-controller
#include <assert.h>
#include <stdlib.h>

#include "controllers/frame.h"

typedef struct ServiceAccountController {
    Controller base;
    Informer *namespaces, *accounts;
} ServiceAccountController;

static void reconcile(Reconcile *r) {
    ServiceAccountController *self = (ServiceAccountController *)r->controller;
    Namespace *ns = reconcile_object(r, self->namespaces, STR(""), r->name, kinds_type_Namespace());
    if (!ns || ns->metadata.deletion_timestamp ||
        informer_get(self->accounts, r->name, STR("default"))) {
        reconcile_done(r, false);
        return;
    }
    ClientTarget target = {.resource = kinds_resource_core_v1_serviceaccounts(),
                           .namespace_ = r->name};
    client_create(self->base.client, &target,
                  STR("{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":"
                      "\"default\"}}"),
                  reconcile_finish, r);
}

static void on_account(void *user, const InformerObject *old, const InformerObject *now) {
    if (!now)
        controller_enqueue(user, STR(""), old->namespace_);
}

static void stop(Controller *controller) {
    free(controller);
}

Controller *service_account_controller_start(Controllers *all) {
    static const InformerHandler watch_accounts = {.on_change = on_account};
    ServiceAccountController *self = calloc(1, sizeof *self);
    assert(self);
    controller_init(&self->base, all, "service-account-controller", 4, reconcile, stop);
    self->accounts = controller_informer(&self->base, kinds_resource_core_v1_serviceaccounts(),
                                         STR("metadata.name=default"));
    self->namespaces =
        controller_informer(&self->base, kinds_resource_core_v1_namespaces(), STR(""));
    informer_add_handler(self->accounts, &watch_accounts, self);
    controller_follow(&self->base, self->namespaces);
    return &self->base;
}
