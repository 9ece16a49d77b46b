// Signs the kubeconfig in kube-public/cluster-info with each bootstrap token that is meant for it, so
// that whoever knows a token can trust what it says, before he knows the CA
// (pkg/controller/bootstrap/bootstrapsigner.go upstream).
#include <stdlib.h>

#include "base/memory.h"
#include "controllers/bootstrap_tokens.h"
#include "pki/pki.h"

#define PREFIX "jws-kubeconfig-"

typedef struct Signer {
    Controller base;
    Informer *maps, *secrets;
} Signer;

typedef struct Signatures {
    Reconcile *r;
    Str content;
    Value *data; // as it should be
    int64_t now;
} Signatures;

static void sign(void *user, const InformerObject *object) {
    Signatures *signatures = user;
    Arena *arena = signatures->r->arena;
    const Value *secret = bootstrap_token_read(arena, object);
    if (!secret)
        return;
    Str id = bootstrap_token_data(arena, secret, STR("token-id"));
    Str key = bootstrap_token_data(arena, secret, STR("token-secret"));
    Str use = bootstrap_token_data(arena, secret, STR("usage-bootstrap-signing"));
    Str name = arena_printf(arena, "bootstrap-token-%.*s", STR_ARG(id));
    int64_t end = bootstrap_token_end(arena, secret);
    if (!id.len || !key.len || !str_eq(object->name, name) || !str_eq(use, STR("true")) ||
        (end && end <= signatures->now))
        return;
    value_set_str(arena, signatures->data, arena_printf(arena, PREFIX "%.*s", STR_ARG(id)),
                  pki_jws_detached(arena, id, key, signatures->content));
}

static void reconcile(Reconcile *r) {
    Signer *self = (Signer *)r->controller;
    Value *map = bootstrap_token_read(
        r->arena, informer_get(self->maps, STR("kube-public"), STR("cluster-info")));
    const Value *data = value_get(map, STR("data"));
    const Value *content = value_get(data, STR("kubeconfig"));
    if (!content || content->kind != VALUE_STRING) {
        reconcile_done(r, false);
        return;
    }
    Signatures signatures = {.r = r,
                             .content = content->string,
                             .data = value_new_object(r->arena),
                             .now = loop_wall(self->base.loop)};
    for (uint32_t i = 0; i < data->n; i++) {
        if (!str_starts_with(data->members[i].key, STR(PREFIX)))
            value_set(r->arena, signatures.data, data->members[i].key, data->members[i].value);
    }
    informer_each(self->secrets, STR_NONE, sign, &signatures);
    if (value_equal(data, signatures.data)) {
        reconcile_done(r, false);
        return;
    }
    value_set(r->arena, map, STR("data"), signatures.data);
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(map, &body);
    ClientTarget target = {.resource = kinds_resource_core_v1_configmaps(),
                           .namespace_ = STR("kube-public"),
                           .name = STR("cluster-info")};
    client_update(self->base.client, &target, buf_view(&body), reconcile_finish, r);
}

// All changes lead to the one map; expired tokens are told by the token cleaner's deletion.
static void on_change(void *user, const InformerObject *old, const InformerObject *now) {
    controller_enqueue(user, STR("kube-public"), STR("cluster-info"));
}

static void stop(Controller *controller) {
    free(controller);
}

Controller *bootstrap_signer_start(Controllers *all) {
    static const InformerHandler watch = {.on_change = on_change};
    Signer *self = memory_new(Signer);
    controller_init(&self->base, all, "bootstrap-signer", 1, reconcile, stop);
    self->maps =
        controller_informer(&self->base, kinds_resource_core_v1_configmaps(),
                            STR("metadata.namespace=kube-public,metadata.name=cluster-info"));
    self->secrets = bootstrap_tokens_informer(&self->base);
    informer_add_handler(self->maps, &watch, self);
    informer_add_handler(self->secrets, &watch, self);
    return &self->base;
}
