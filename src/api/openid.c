// How others verify the tokens of service accounts: OpenID Connect discovery and the keys.
// https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery

#include "api/nonresource.h"
#include "pki/pki.h"

static void answer(ApiRequest *request, const char *media_type, const Value *value) {
    Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(value, &buf);
    _bytes_unref_ Bytes *body = buf_bytes(&buf);
    buf_deinit(&buf);
    request_body(request, 200, str_from(media_type), body);
}

static Value *one_string(Arena *arena, Str text) {
    Value *list = value_new_array(arena);
    value_push(arena, list, value_new_string(arena, text));
    return list;
}

// The kinds of signatures that the keys make, each once.
static Value *algorithms(ApiRequest *request) {
    const ApiConfig *config = &request->api->config;
    bool rsa = false, ec = false;
    for (size_t i = 0; i < config->n_service_account_publics; i++) {
        bool is_rsa = pki_key_is_rsa(config->service_account_publics[i]);
        rsa |= is_rsa;
        ec |= !is_rsa;
    }
    Value *list = value_new_array(request->arena);
    if (ec)
        value_push(request->arena, list, value_new_string(request->arena, STR("ES256")));
    if (rsa)
        value_push(request->arena, list, value_new_string(request->arena, STR("RS256")));
    return list;
}

void openid_configuration(ApiRequest *request) {
    Arena *arena = request->arena;
    const ApiConfig *config = &request->api->config;
    Str host = config->advertise_address;
    bool v6 = str_find(host, ':') >= 0;
    Value *value = value_new_object(arena);
    value_set_str(arena, value, STR("issuer"), config->service_account_issuer);
    value_set_str(arena, value, STR("jwks_uri"),
                  arena_printf(arena, "https://%s%.*s%s:%d/openid/v1/jwks", v6 ? "[" : "",
                               STR_ARG(host), v6 ? "]" : "", config->advertise_port));
    value_set(arena, value, STR("response_types_supported"), one_string(arena, STR("id_token")));
    value_set(arena, value, STR("subject_types_supported"), one_string(arena, STR("public")));
    value_set(arena, value, STR("id_token_signing_alg_values_supported"), algorithms(request));
    answer(request, "application/json", value);
}

void openid_jwks(ApiRequest *request) {
    Arena *arena = request->arena;
    const ApiConfig *config = &request->api->config;
    Value *keys = value_new_array(arena), *value = value_new_object(arena);
    for (size_t i = 0; i < config->n_service_account_publics; i++) {
        Str json;
        Value *key;
        ParseError error;
        if (pki_public_jwk(arena, config->service_account_publics[i], &json) == 0 &&
            value_parse_json(arena, json, NULL, &key, &error) == 0)
            value_push(arena, keys, key);
    }
    value_set(arena, value, STR("keys"), keys);
    answer(request, "application/jwk-set+json", value);
}
