// Who a bearer token stands for: the static token file, service accounts, bootstrap tokens.
// https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/

#include "api/auth/authn.h"
#include "api/auth/static_tokens.h"
#include "api/server.h"
#include "base/time.h"
#include "pki/pki.h"

#define ID_LENGTH 6
#define SECRET_LENGTH 16

static bool is_lower_alphanumeric(Str text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
            return false;
    }
    return true;
}

// "abcdef.0123456789abcdef"
static bool split_bootstrap_token(Str token, Str *ret_id, Str *ret_secret) {
    if (token.len != ID_LENGTH + 1 + SECRET_LENGTH || token.ptr[ID_LENGTH] != '.')
        return false;
    *ret_id = str_slice(token, 0, ID_LENGTH);
    *ret_secret = str_slice(token, ID_LENGTH + 1, token.len);
    return is_lower_alphanumeric(*ret_id) && is_lower_alphanumeric(*ret_secret);
}

static Str secret_data(Arena *arena, const Value *secret, const char *key) {
    const Value *encoded = value_get(value_get(secret, STR("data")), str_from(key));
    Str plain;
    if (!encoded || encoded->kind != VALUE_STRING ||
        pki_base64_decode(arena, encoded->string, &plain) != 0)
        return STR("");
    return plain;
}

// Takes the same time wherever the two differ.
static bool is_same(Str a, Str b) {
    unsigned char difference = a.len != b.len;
    for (size_t i = 0; i < a.len && i < b.len; i++)
        difference |= (unsigned char)(a.ptr[i] ^ b.ptr[i]);
    return !difference;
}

#define GROUP "system:bootstrappers"

// \Asystem:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]\z
static bool is_bootstrap_group(Str group) {
    if (!str_starts_with(group, STR(GROUP ":")))
        return false;
    Str rest = str_slice(group, sizeof GROUP, group.len);
    for (size_t i = 0; i < rest.len; i++) {
        bool last = i + 1 == rest.len;
        char c = rest.ptr[i];
        if (!is_lower_alphanumeric(str_of(&c, 1)) && (last || (c != ':' && c != '-')))
            return false;
    }
    return rest.len && rest.len <= 256;
}

static bool bootstrap_groups(Arena *arena, Str extra, User *user) {
    size_t most = 3;
    for (size_t i = 0; i < extra.len; i++)
        most += extra.ptr[i] == ',';
    Str *groups = arena_array_of(arena, Str, most);
    size_t n = 0;
    groups[n++] = STR(GROUP);
    while (extra.ptr && extra.len) {
        Str group = str_cut(&extra, ',');
        if (!is_bootstrap_group(group))
            return false;
        groups[n++] = group;
    }
    groups[n++] = STR("system:authenticated");
    user->groups = groups;
    user->n_groups = n;
    return true;
}

static bool has_expired(Api *api, Str expiration) {
    int64_t at;
    return expiration.len && (time_parse(expiration, &at) != 0 || at <= api_now(api));
}

static bool bootstrap_authenticate(Api *api, Arena *arena, Str token, User *user) {
    Str id, secret_text;
    if (!split_bootstrap_token(token, &id, &secret_text))
        return false;
    CachedObject *object =
        cache_get(registry_cache(api->registry, STR("core/secrets")), STR("kube-system"),
                  arena_printf(arena, "bootstrap-token-%.*s", STR_ARG(id)));
    if (!object || object->deleting)
        return false;
    const Value *secret = object_decode(arena, object);
    if (!str_eq(value_string_at(secret, "type"), STR("bootstrap.kubernetes.io/token")) ||
        !is_same(secret_data(arena, secret, "token-secret"), secret_text) ||
        !str_eq(secret_data(arena, secret, "token-id"), id) ||
        has_expired(api, secret_data(arena, secret, "expiration")) ||
        !str_eq(secret_data(arena, secret, "usage-bootstrap-authentication"), STR("true")))
        return false;
    *user = (User){.name = arena_printf(arena, "system:bootstrap:%.*s", STR_ARG(id)),
                   .uid = STR("")};
    return bootstrap_groups(arena, secret_data(arena, secret, "auth-extra-groups"), user);
}

// Tokens that say nothing of an audience are meant for the server itself.
static bool own_audience(Api *api, Arena *arena, const Str *audiences, size_t n, TokenUser *ret) {
    Str *own = arena_array_of(arena, Str, 1);
    own[0] = api->config.service_account_issuer;
    ret->audiences = own;
    ret->n_audiences = 1;
    for (size_t i = 0; i < n; i++) {
        if (str_eq(audiences[i], own[0]))
            return true;
    }
    return n == 0;
}

bool bearer_authenticate(Api *api, Arena *arena, Str token, const Str *audiences,
                         size_t n_audiences, TokenUser *ret) {
    const User *known = static_tokens_find(api->static_tokens, token);
    if (known) {
        ret->user = *known;
        return own_audience(api, arena, audiences, n_audiences, ret);
    }
    if (token_authenticate(api, arena, token, audiences, n_audiences, ret))
        return true;
    return bootstrap_authenticate(api, arena, token, &ret->user) &&
           own_audience(api, arena, audiences, n_audiences, ret);
}
