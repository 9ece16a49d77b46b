// Service account tokens: verified against the keys, then against the objects that they are bound
// to, so that a token dies with its pod.
// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens

#include "api/auth/authn.h"
#include "api/server.h"
#include "base/time.h"
#include "pki/pki.h"

#define LEEWAY_SECONDS 60 // of objects that are being deleted, as upstream

static bool audience_matches(const Value *claim, Str wanted) {
    if (claim && claim->kind == VALUE_STRING)
        return str_eq(claim->string, wanted);
    for (uint32_t i = 0; claim && claim->kind == VALUE_ARRAY && i < claim->n; i++) {
        if (claim->items[i]->kind == VALUE_STRING && str_eq(claim->items[i]->string, wanted))
            return true;
    }
    return false;
}

static size_t match_audiences(Arena *arena, const Value *claim, const Str *wanted, size_t n,
                              const Str **ret) {
    Str *matched = arena_array_of(arena, Str, n ? n : 1);
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (audience_matches(claim, wanted[i]))
            matched[count++] = wanted[i];
    }
    *ret = matched;
    return count;
}

// The object still is the one that the token was bound to.
static bool is_alive(Api *api, Arena *arena, const char *cache, Str namespace_,
                     const Value *reference) {
    Cache *of = registry_cache(api->registry, str_from(cache));
    Str name = value_string_at(reference, "name");
    CachedObject *object = of && name.len ? cache_get(of, namespace_, name) : NULL;
    if (!object || !str_eq(object->uid, value_string_at(reference, "uid")))
        return false;
    if (!object->deleting)
        return true;
    int64_t deletion = 0;
    Value *tree = object_decode(arena, object);
    return time_parse(value_string_at(tree, "metadata.deletionTimestamp"), &deletion) == 0 &&
           api_now(api) < deletion + LEEWAY_SECONDS * NSEC_PER_SEC;
}

static bool is_current(Api *api, const Value *claims) {
    int64_t now = api_now(api) / NSEC_PER_SEC;
    int64_t expires = value_int_at(claims, "exp", 0);
    int64_t not_before = value_int_at(claims, "nbf", 0);
    return expires > now && not_before <= now;
}

static UserExtra extra_of(Arena *arena, const char *key, Str value) {
    Str *values = arena_array_of(arena, Str, 1);
    values[0] = value;
    return (UserExtra){str_from(key), values, 1};
}

static void fill_user(Arena *arena, const Value *claims, const Value *k8s, Str namespace_,
                      User *user) {
    Str account = value_string_at(k8s, "serviceaccount.name");
    Str *groups = arena_array_of(arena, Str, 3);
    groups[0] = STR("system:serviceaccounts");
    groups[1] = arena_printf(arena, "system:serviceaccounts:%.*s", STR_ARG(namespace_));
    groups[2] = STR("system:authenticated");
    UserExtra *extra = arena_array_of(arena, UserExtra, 5);
    size_t n = 0;
    static const struct {
        const char *claim, *key;
    } bound[] = {
        {"pod.name", "authentication.kubernetes.io/pod-name"},
        {"pod.uid", "authentication.kubernetes.io/pod-uid"},
        {"node.name", "authentication.kubernetes.io/node-name"},
        {"node.uid", "authentication.kubernetes.io/node-uid"},
    };
    Str id = value_string_at(claims, "jti");
    if (id.len)
        extra[n++] = extra_of(arena, "authentication.kubernetes.io/credential-id",
                              arena_printf(arena, "JTI=%.*s", STR_ARG(id)));
    for (size_t i = 0; i < sizeof bound / sizeof *bound; i++) {
        Str value = value_string_at(k8s, bound[i].claim);
        if (value.len)
            extra[n++] = extra_of(arena, bound[i].key, value);
    }
    *user = (User){
        .name = arena_printf(arena, "system:serviceaccount:%.*s:%.*s", STR_ARG(namespace_),
                             STR_ARG(account)),
        .uid = value_string_at(k8s, "serviceaccount.uid"),
        .groups = groups,
        .n_groups = 3,
        .extra = extra,
        .n_extra = n,
    };
}

// The claims of a token that is kept in a Secret, and lives as long as that:
// https://kubernetes.io/docs/concepts/configuration/secret/#serviceaccount-token-secrets
#define LEGACY_ISSUER STR("kubernetes/serviceaccount")
#define CLAIM "kubernetes.io/serviceaccount/"

static Str claim(const Value *claims, const char *name) {
    const Value *value = value_get(claims, str_from(name));
    return value && value->kind == VALUE_STRING ? value->string : STR("");
}

static bool legacy_authenticate(Api *api, Arena *arena, const Value *claims, Str token,
                                User *user) {
    Str namespace_ = claim(claims, CLAIM "namespace"), uid = claim(claims, CLAIM "service-account.uid");
    Str name = claim(claims, CLAIM "service-account.name");
    CachedObject *secret = cache_get(registry_cache(api->registry, STR("core/secrets")), namespace_,
                                     claim(claims, CLAIM "secret.name"));
    CachedObject *account = cache_get(registry_cache(api->registry, STR("core/serviceaccounts")),
                                      namespace_, name);
    if (!secret || secret->deleting || !account || account->deleting || !uid.len ||
        !str_eq(account->uid, uid))
        return false;
    const Value *held =
        value_get(value_get(object_decode(arena, secret), STR("data")), STR("token"));
    if (!held || held->kind != VALUE_STRING || !str_eq(held->string, pki_base64(arena, token)))
        return false; // the Secret has got another one meanwhile
    Value *k8s = value_new_object(arena), *reference = value_at_make(arena, k8s, "serviceaccount");
    value_set_str(arena, reference, STR("name"), name);
    value_set_str(arena, reference, STR("uid"), uid);
    fill_user(arena, value_new_object(arena), k8s, namespace_, user);
    return true;
}

bool token_authenticate(Api *api, Arena *arena, Str token, const Str *audiences, size_t n_audiences,
                        TokenUser *ret) {
    Str payload;
    if (jwt_verifier_verify(api->tokens, arena, token, &payload) != 0)
        return false;
    Value *claims;
    ParseError error;
    if (value_parse_json(arena, payload, NULL, &claims, &error) != 0)
        return false;
    Str *own = arena_array_of(arena, Str, 1);
    own[0] = api->config.service_account_issuer;
    if (!n_audiences) {
        audiences = own;
        n_audiences = 1;
    }
    if (str_eq(value_string_at(claims, "iss"), LEGACY_ISSUER)) {
        Value any = {.kind = VALUE_STRING, .string = own[0]}; // it names none: the server's own
        ret->n_audiences = match_audiences(arena, &any, audiences, n_audiences, &ret->audiences);
        return ret->n_audiences && legacy_authenticate(api, arena, claims, token, &ret->user);
    }
    if (!str_eq(value_string_at(claims, "iss"), own[0]) || !is_current(api, claims))
        return false;
    ret->n_audiences = match_audiences(arena, value_get(claims, STR("aud")), audiences, n_audiences,
                                       &ret->audiences);
    if (!ret->n_audiences)
        return false;
    const Value *k8s = value_get(claims, STR("kubernetes.io"));
    Str namespace_ = value_string_at(k8s, "namespace");
    if (!namespace_.len || !is_alive(api, arena, "core/serviceaccounts", namespace_,
                                     value_get(k8s, STR("serviceaccount"))))
        return false;
    const Value *pod = value_get(k8s, STR("pod")), *secret = value_get(k8s, STR("secret"));
    const Value *node = value_get(k8s, STR("node"));
    if ((pod && !is_alive(api, arena, "core/pods", namespace_, pod)) ||
        (secret && !is_alive(api, arena, "core/secrets", namespace_, secret)) ||
        (node && !pod && !is_alive(api, arena, "core/nodes", STR(""), node)))
        return false;
    fill_user(arena, claims, k8s, namespace_, &ret->user);
    return true;
}
