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

#define ABOUT                                                                                      \
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "      \
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "      \
    "guaranteed across distributions of Kubernetes clusters."

static Value *held(Reconcile *r) {
    RootCaController *self = (RootCaController *)r->controller;
    const InformerObject *object = informer_get(self->config_maps, r->name, NAME);
    Value *value;
    ParseError error;
    if (!object)
        return NULL;
    Str json = arena_str(r->arena, bytes_str(object->bytes));
    return value_parse_json(r->arena, json, NULL, &value, &error) == 0 ? value : NULL;
}

static bool is_current(const Value *map, Str ca) {
    const Value *text = value_get(value_get(map, STR("data")), STR("ca.crt"));
    return text && text->kind == VALUE_STRING && str_eq(text->string, ca);
}

static Value *new_map(Arena *arena) {
    Value *object = value_new_object(arena);
    value_set_str(arena, object, STR("apiVersion"), STR("v1"));
    value_set_str(arena, object, STR("kind"), STR("ConfigMap"));
    value_set_str(arena, value_at_make(arena, object, "metadata"), STR("name"), NAME);
    return object;
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
    Str ca = str_of(pem, len);
    Value *map = held(r);
    if (map && is_current(map, ca)) {
        reconcile_done(r, false);
        return;
    }
    Value *object = map ? map : new_map(r->arena);
    value_set_str(r->arena, value_at_make(r->arena, object, "metadata.annotations"),
                  STR("kubernetes.io/description"), STR(ABOUT));
    Value *data = value_new_object(r->arena);
    value_set_str(r->arena, data, STR("ca.crt"), ca);
    value_set(r->arena, object, STR("data"), data);
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(object, &body);
    ClientTarget target = {.resource = kinds_resource_core_v1_configmaps(), .namespace_ = r->name};
    if (map)
        target.name = NAME;
    // Its role has create and update, not patch.
    (map ? client_update : client_create)(self->base.client, &target, buf_view(&body),
                                          reconcile_finish, r);
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
