// Fills Secrets of type kubernetes.io/service-account-token: a token that lives as long as the Secret,
// the CA and the namespace. Those whose service account is gone, go.
// https://kubernetes.io/docs/concepts/configuration/secret/#serviceaccount-token-secrets
#include <stdlib.h>

#include "base/memory.h"
#include "controllers/frame.h"
#include "pki/pki.h"

#define TYPE "kubernetes.io/service-account-token"
#define NAME_KEY STR("kubernetes.io/service-account.name")
#define UID_KEY STR("kubernetes.io/service-account.uid")

typedef struct AccountTokens {
    Controller base;
    Informer *secrets, *accounts;
} AccountTokens;

typedef struct Filling { // r->state
    Value *secret;
    Str account;
} Filling;

static ClientTarget secret_target(const Reconcile *r) {
    return (ClientTarget){.resource = kinds_resource_core_v1_secrets(),
                          .namespace_ = r->namespace_,
                          .name = r->name};
}

static Str annotation(const Value *secret, Str key) {
    const Value *value = value_get(value_at(secret, "metadata.annotations"), key);
    return value && value->kind == VALUE_STRING ? value->string : STR("");
}

static void delete_secret(Reconcile *r, const Value *secret) {
    ClientTarget target = secret_target(r);
    Str options = arena_printf(r->arena, "{\"preconditions\":{\"uid\":\"%.*s\"}}",
                               STR_ARG(value_string_at(secret, "metadata.uid")));
    client_delete(r->controller->client, &target, options, reconcile_finish, r);
}

// Sets one entry of the Secret's data. Returns whether that changed anything.
static bool set_data(Arena *arena, Value *secret, Str key, Str plain) {
    Value *data = value_get(secret, STR("data"));
    if (!data)
        value_set(arena, secret, STR("data"), data = value_new_object(arena));
    Str encoded = pki_base64(arena, plain);
    const Value *held = value_get(data, key);
    if (held && held->kind == VALUE_STRING && str_eq(held->string, encoded))
        return false;
    value_set_str(arena, data, key, encoded);
    return true;
}

static int make_token(Reconcile *r, Str account, Str uid, Str *ret) {
    Arena *arena = r->arena;
    Value *claims = value_new_object(arena);
#define CLAIM(name) STR("kubernetes.io/serviceaccount/" name)
    value_set_str(arena, claims, STR("iss"), STR("kubernetes/serviceaccount"));
    value_set_str(arena, claims, CLAIM("namespace"), r->namespace_);
    value_set_str(arena, claims, CLAIM("secret.name"), r->name);
    value_set_str(arena, claims, CLAIM("service-account.name"), account);
    value_set_str(arena, claims, CLAIM("service-account.uid"), uid);
    value_set_str(arena, claims, STR("sub"),
                  arena_printf(arena, "system:serviceaccount:%.*s:%.*s", STR_ARG(r->namespace_),
                               STR_ARG(account)));
    _buf_deinit_ Buf payload = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(claims, &payload);
    return pki_jwt_sign(arena, controllers_config(r->controller->all)->service_account_key,
                        buf_view(&payload), ret);
}

static void fill(Reconcile *r, Str uid) {
    Filling *filling = r->state;
    Value *secret = filling->secret;
    Arena *arena = r->arena;
    Str held = annotation(secret, UID_KEY);
    if (held.len && !str_eq(held, uid)) { // of another account of that name
        delete_secret(r, secret);
        return;
    }
    bool changed = !held.len;
    if (changed)
        value_set_str(arena, value_at_make(arena, secret, "metadata.annotations"), UID_KEY, uid);
    const Value *token = value_get(value_get(secret, STR("data")), STR("token"));
    if (!token || token->kind != VALUE_STRING || !token->string.len) {
        Str text;
        if (make_token(r, filling->account, uid, &text) != 0) {
            reconcile_done(r, true);
            return;
        }
        changed |= set_data(arena, secret, STR("token"), text);
    }
    changed |= set_data(arena, secret, STR("ca.crt"),
                        controllers_config(r->controller->all)->cluster_ca);
    changed |= set_data(arena, secret, STR("namespace"), r->namespace_);
    if (!changed) {
        reconcile_done(r, false);
        return;
    }
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(secret, &body);
    ClientTarget target = secret_target(r);
    client_update(r->controller->client, &target, buf_view(&body), reconcile_finish, r);
}

// The informer may lag behind: before a Secret goes, the server is asked for its account.
static void on_account(void *user, const ClientResult *result) {
    Reconcile *r = user;
    Filling *filling = r->state;
    Value *account;
    ParseError error;
    if (result->code == 404)
        delete_secret(r, filling->secret);
    else if (result->error ||
             value_parse_json(result->arena, result->body, NULL, &account, &error) != 0)
        reconcile_done(r, reconcile_should_retry(r, result));
    else
        fill(r, arena_str(r->arena, value_string_at(account, "metadata.uid")));
}

static void reconcile(Reconcile *r) {
    AccountTokens *self = (AccountTokens *)r->controller;
    const InformerObject *object = informer_get(self->secrets, r->namespace_, r->name);
    Filling *filling = arena_new_of(r->arena, Filling);
    ParseError error;
    r->state = filling;
    if (!object || !controllers_config(self->base.all)->service_account_key.len ||
        value_parse_json(r->arena, arena_str(r->arena, bytes_str(object->bytes)), NULL,
                         &filling->secret, &error) != 0 ||
        value_string_at(filling->secret, "metadata.deletionTimestamp").len) {
        reconcile_done(r, false);
        return;
    }
    filling->account = annotation(filling->secret, NAME_KEY);
    const InformerObject *account =
        informer_get(self->accounts, r->namespace_, filling->account);
    if (account) {
        fill(r, arena_str(r->arena, account->uid));
        return;
    }
    if (!filling->account.len) { // validation refuses such a Secret
        reconcile_done(r, false);
        return;
    }
    ClientTarget target = {.resource = kinds_resource_core_v1_serviceaccounts(),
                           .namespace_ = r->namespace_,
                           .name = filling->account};
    client_get(self->base.client, &target, on_account, r);
}

static void enqueue(void *user, const InformerObject *secret) {
    controller_enqueue(user, secret->namespace_, secret->name);
}

// An account came or went: the tokens of its namespace are looked at.
static void on_account_change(void *user, const InformerObject *old, const InformerObject *now) {
    AccountTokens *self = user;
    if (old && now)
        return;
    if (informer_count(self->secrets))
        informer_each(self->secrets, (now ? now : old)->namespace_, enqueue, self);
}

static void stop(Controller *controller) {
    free(controller);
}

Controller *account_tokens_start(Controllers *all) {
    static const InformerHandler watch_accounts = {.on_change = on_account_change};
    AccountTokens *self = memory_new(AccountTokens);
    // Upstream's runs as the controller manager itself: no service account could get its own token.
    controller_init(&self->base, all, "", 5, reconcile, stop);
    self->base.name = "serviceaccount-token-controller";
    self->secrets =
        controller_informer(&self->base, kinds_resource_core_v1_secrets(), STR("type=" TYPE));
    self->accounts =
        controller_informer(&self->base, kinds_resource_core_v1_serviceaccounts(), STR(""));
    informer_add_handler(self->accounts, &watch_accounts, self);
    controller_follow(&self->base, self->secrets);
    return &self->base;
}
