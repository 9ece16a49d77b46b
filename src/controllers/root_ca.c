// Every namespace has a ConfigMap "kube-root-ca.crt" with the cluster's CA, which pods mount beside
// their token.
// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-token-volume
#include <assert.h>
#include <stdlib.h>

#include "controllers/frame.h"

#define NAME STR("kube-root-ca.crt")

typedef struct RootCaController {
    Controller base;
    Informer *namespaces, *config_maps;
} RootCaController;

static Str body_of(Arena *arena, Str ca) {
    Value *object = value_new_object(arena), *metadata = value_new_object(arena),
          *data = value_new_object(arena);
    Value *annotations = value_new_object(arena);
    value_set_str(arena, object, STR("apiVersion"), STR("v1"));
    value_set_str(arena, object, STR("kind"), STR("ConfigMap"));
    value_set_str(arena, metadata, STR("name"), NAME);
    value_set_str(arena, annotations, STR("kubernetes.io/description"),
                  STR("Contains a CA bundle that can be used to verify the kube-apiserver when "
                      "using internal endpoints such as the "
                      "internal service IP or kubernetes.default.svc. No other usage is guaranteed "
                      "across distributions of "
                      "Kubernetes clusters."));
    value_set(arena, metadata, STR("annotations"), annotations);
    value_set(arena, object, STR("metadata"), metadata);
    value_set_str(arena, data, STR("ca.crt"), ca);
    value_set(arena, object, STR("data"), data);
    _buf_deinit_ Buf buf = BUF_INIT(1024 * 1024);
    value_write_json(object, &buf);
    return arena_str(arena, buf_view(&buf));
}

static void reconcile(Reconcile *r) {
    RootCaController *self = (RootCaController *)r->controller;
    Namespace *ns = reconcile_object(r, self->namespaces, STR(""), r->name, kinds_type_Namespace());
    if (!ns || ns->metadata.deletion_timestamp) {
        reconcile_done(r, false);
        return;
    }
    size_t len;
    const char *pem = controllers_cluster_ca(self->base.all, &len);
    Str ca = str_of(pem, len), body = body_of(r->arena, ca);
    ConfigMap *map = reconcile_object(r, self->config_maps, r->name, NAME, kinds_type_ConfigMap());
    ClientTarget target = {.resource = kinds_resource_core_v1_configmaps(), .namespace_ = r->name};
    if (!map)
        client_create(self->base.client, &target, body, reconcile_finish, r);
    else if (!str_eq(str_map_get(&map->data, STR("ca.crt")), ca)) {
        target.name = NAME;
        client_patch(self->base.client, &target, PATCH_MERGE, body, reconcile_finish, r);
    } else
        reconcile_done(r, false);
}

static void on_config_map(void *user, const InformerObject *old, const InformerObject *now) {
    controller_enqueue(user, STR(""), now ? now->namespace_ : old->namespace_);
}

static void stop(Controller *controller) {
    free(controller);
}

Controller *root_ca_controller_start(Controllers *all) {
    static const InformerHandler watch_maps = {.on_change = on_config_map};
    RootCaController *self = calloc(1, sizeof *self);
    assert(self);
    controller_init(&self->base, all, "root-ca-cert-publisher", 4, reconcile, stop);
    self->config_maps = controller_informer(&self->base, kinds_resource_core_v1_configmaps(),
                                            STR("metadata.name=kube-root-ca.crt"));
    self->namespaces =
        controller_informer(&self->base, kinds_resource_core_v1_namespaces(), STR(""));
    informer_add_handler(self->config_maps, &watch_maps, self);
    controller_follow(&self->base, self->namespaces);
    return &self->base;
}
