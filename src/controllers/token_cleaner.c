// Removes bootstrap tokens whose time is over (pkg/controller/bootstrap/tokencleaner.go upstream).
#include <stdlib.h>

#include "base/memory.h"
#include "base/time.h"
#include "controllers/bootstrap_tokens.h"
#include "pki/pki.h"

typedef struct TokenCleaner {
    Controller base;
    Informer *secrets;
} TokenCleaner;

Informer *bootstrap_tokens_informer(Controller *controller) {
    return controller_informer(
        controller, kinds_resource_core_v1_secrets(),
        STR("metadata.namespace=kube-system,type=bootstrap.kubernetes.io/token"));
}

Str bootstrap_token_data(Arena *arena, const Value *secret, Str key) {
    const Value *encoded = value_get(value_get(secret, STR("data")), key);
    Str plain;
    if (!encoded || encoded->kind != VALUE_STRING ||
        pki_base64_decode(arena, encoded->string, &plain) != 0)
        return STR("");
    return plain;
}

Value *bootstrap_token_read(Arena *arena, const InformerObject *object) {
    Value *secret;
    ParseError error;
    if (!object)
        return NULL;
    Str json = arena_str(arena, bytes_str(object->bytes));
    return value_parse_json(arena, json, NULL, &secret, &error) == 0 ? secret : NULL;
}

int64_t bootstrap_token_end(Arena *arena, const Value *secret) {
    Str text = bootstrap_token_data(arena, secret, STR("expiration"));
    int64_t end;
    if (!text.len)
        return 0;
    return time_parse(text, &end) == 0 ? end : 1;
}

static void reconcile(Reconcile *r) {
    TokenCleaner *self = (TokenCleaner *)r->controller;
    Value *secret = bootstrap_token_read(
        r->arena, informer_get(self->secrets, r->namespace_, r->name));
    int64_t end = secret ? bootstrap_token_end(r->arena, secret) : 0;
    int64_t left = end - loop_wall(self->base.loop);
    if (!end || left > 0) {
        if (end)
            controller_enqueue_after(&self->base, r->namespace_, r->name, left);
        reconcile_done(r, false);
        return;
    }
    ClientTarget target = {.resource = kinds_resource_core_v1_secrets(),
                           .namespace_ = r->namespace_,
                           .name = r->name};
    Str options = arena_printf(r->arena, "{\"preconditions\":{\"uid\":\"%.*s\"}}",
                               STR_ARG(value_string_at(secret, "metadata.uid")));
    client_delete(self->base.client, &target, options, reconcile_finish, r);
}

static void stop(Controller *controller) {
    free(controller);
}

Controller *token_cleaner_start(Controllers *all) {
    TokenCleaner *self = memory_new(TokenCleaner);
    controller_init(&self->base, all, "token-cleaner", 1, reconcile, stop);
    self->secrets = bootstrap_tokens_informer(&self->base);
    controller_follow(&self->base, self->secrets);
    return &self->base;
}
