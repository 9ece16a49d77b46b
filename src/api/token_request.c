// TokenRequest: a token for a service account, bound to a pod, secret or node if wanted (KEP-1205).

#include <inttypes.h>

#include "api/admission/admission.h"
#include "api/decode.h"
#include "api/meta.h"
#include "api/server.h"
#include "api/subresources.h"
#include "base/rand.h"
#include "base/time.h"
#include "pki/pki.h"

#define SHORTEST_SECONDS 600
#define DEFAULT_SECONDS 3600
#define LONGEST_SECONDS (INT64_C(1) << 32)
// Tokens that were mounted for old clients, which never read them again, live longer than they say
// (upstream's
// --service-account-extend-token-expiration).
#define MOUNTED_SECONDS 3607
#define EXTENDED_SECONDS (365 * 24 * 3600)

typedef struct TokenRequest {
    Value *object;
    Value *account;
    Admission admission;
    Value *claims; // kubernetes.io
} TokenRequest;

static ApiStatus *validate(ApiRequest *request, Value *object) {
    Value *spec = value_at_make(request->arena, object, "spec");
    FieldErrors errors = {.arena = request->arena};
    const Path *path = PATH(PATH(NULL, STR("spec")), STR("expirationSeconds"));
    if (!value_get(spec, STR("expirationSeconds")))
        value_set_int(request->arena, spec, STR("expirationSeconds"), DEFAULT_SECONDS);
    int64_t seconds = value_int_at(spec, "expirationSeconds", 0);
    if (seconds < SHORTEST_SECONDS)
        field_invalid_int(&errors, path, seconds,
                          "may not specify a duration less than 10 minutes");
    if (seconds > LONGEST_SECONDS)
        field_invalid_int(&errors, path, seconds,
                          "may not specify a duration larger than 2^32 seconds");
    return errors.n ? status_invalid(request->arena, STR("authentication.k8s.io"),
                                     STR("TokenRequest"), STR(""), &errors)
                    : NULL;
}

static Value *named(Arena *arena, Str name, Str uid) {
    Value *object = value_new_object(arena);
    value_set_str(arena, object, STR("name"), name);
    value_set_str(arena, object, STR("uid"), uid);
    return object;
}

// The object that the token dies with, as a claim.
static ApiStatus *bind(ApiRequest *request, TokenRequest *self) {
    Arena *arena = request->arena;
    const Value *reference = value_at(self->object, "spec.boundObjectRef");
    if (!reference)
        return NULL;
    static const struct {
        const char *kind, *cache, *plural, *claim;
        bool namespaced;
    } kinds[] = {
        {"Pod", "core/pods", "pods", "pod", true},
        {"Secret", "core/secrets", "secrets", "secret", true},
        {"Node", "core/nodes", "nodes", "node", false},
    };
    Str kind = value_string_at(reference, "kind"), name = value_string_at(reference, "name");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!str_eq(kind, str_from(kinds[i].kind)))
            continue;
        Cache *cache = registry_cache(request->api->registry, str_from(kinds[i].cache));
        CachedObject *bound =
            cache_get(cache, kinds[i].namespaced ? request->info.namespace_ : STR(""), name);
        if (!bound)
            return status_not_found(arena, STR(""), str_from(kinds[i].plural), name);
        Str uid = value_string_at(reference, "uid");
        if (uid.len && !str_eq(uid, bound->uid))
            return status_conflict(
                arena, STR(""), kind, name,
                arena_printf(
                    arena,
                    "the UID in the bound object reference (%.*s) does not match the UID in "
                    "record. The object might have been deleted and then recreated",
                    STR_ARG(uid)));
        const Value *object = object_decode(arena, bound);
        if (i == 0) {
            Str account = value_string_at(object, "spec.serviceAccountName");
            if (!str_eq(account, request->info.name))
                return status_bad_request(
                    arena, arena_printf(arena,
                                        "cannot bind token for serviceaccount \"%.*s\" to pod "
                                        "running with different serviceaccount name.",
                                        STR_ARG(request->info.name)));
            Str node = value_string_at(object, "spec.nodeName");
            Cache *nodes = registry_cache(request->api->registry, STR("core/nodes"));
            CachedObject *on = node.len ? cache_get(nodes, STR(""), node) : NULL;
            if (on)
                value_set(arena, self->claims, STR("node"), named(arena, node, on->uid));
        }
        value_set(arena, self->claims, str_from(kinds[i].claim), named(arena, name, bound->uid));
        return NULL;
    }
    return status_bad_request(
        arena, arena_printf(arena, "cannot bind token to object of type %.*s, Kind=%.*s",
                            STR_ARG(value_string_at(reference, "apiVersion")), STR_ARG(kind)));
}

static ApiStatus *sign(ApiRequest *request, TokenRequest *self) {
    Arena *arena = request->arena;
    const ApiConfig *config = &request->api->config;
    Value *spec = value_get(self->object, STR("spec"));
    Value *audiences = value_get(spec, STR("audiences"));
    if (!audiences || !audiences->n) {
        audiences = value_new_array(arena);
        value_push(arena, audiences, value_new_string(arena, config->service_account_issuer));
        value_set(arena, spec, STR("audiences"), audiences);
    }
    int64_t now = api_now(request->api) / NSEC_PER_SEC;
    int64_t seconds = value_int_at(spec, "expirationSeconds", DEFAULT_SECONDS);
    int64_t shown = now + seconds; // when the client shall fetch a new one
    if (seconds == MOUNTED_SECONDS && value_get(self->claims, STR("pod"))) {
        value_set_int(arena, self->claims, STR("warnafter"), now + MOUNTED_SECONDS);
        seconds = EXTENDED_SECONDS;
    }
    Value *payload = value_new_object(arena);
    value_set(arena, payload, STR("aud"), audiences);
    value_set_int(arena, payload, STR("exp"), now + seconds);
    value_set_int(arena, payload, STR("iat"), now);
    value_set_str(arena, payload, STR("iss"), config->service_account_issuer);
    uint64_t high = loop_random(request->api->loop), low = loop_random(request->api->loop);
    value_set_str(arena, payload, STR("jti"), rand_uuid(arena, high, low));
    value_set(arena, payload, STR("kubernetes.io"), self->claims);
    value_set_int(arena, payload, STR("nbf"), now);
    value_set_str(arena, payload, STR("sub"),
                  arena_printf(arena, "system:serviceaccount:%.*s:%.*s",
                               STR_ARG(request->info.namespace_), STR_ARG(request->info.name)));
    Buf buf = BUF_INIT(1024 * 1024);
    value_write_json(payload, &buf);
    Str token;
    int r = pki_jwt_sign(arena, config->service_account_key, buf_view(&buf), &token);
    buf_deinit(&buf);
    if (r != 0)
        return request_internal(request, "failed to generate token", r);
    Value *status = value_at_make(arena, self->object, "status");
    value_set_str(arena, status, STR("token"), token);
    value_set_str(arena, status, STR("expirationTimestamp"),
                  time_format(arena, shown * NSEC_PER_SEC));
    return NULL;
}

static void admitted(ApiRequest *request, void *user, const ApiStatus *refusal) {
    TokenRequest *self = user;
    Arena *arena = request->arena;
    Str name = request->info.name;
    CachedObject *account =
        refusal ? NULL : cache_get(request->served->cache, request->info.namespace_, name);
    if (!refusal && !account)
        refusal = request_not_found(request, name);
    if (!refusal) {
        self->claims = value_new_object(arena);
        value_set_str(arena, self->claims, STR("namespace"), request->info.namespace_);
        value_set(arena, self->claims, STR("serviceaccount"),
                  named(arena, name, arena_str(arena, account->uid)));
        refusal = bind(request, self);
    }
    if (!refusal)
        refusal = sign(request, self);
    if (refusal) {
        request_status(request, refusal);
        return;
    }
    Value *metadata = meta_of(arena, self->object);
    value_set_str(arena, metadata, STR("name"), name);
    value_set_str(arena, metadata, STR("namespace"), request->info.namespace_);
    value_set_str(arena, metadata, STR("creationTimestamp"),
                  time_format(arena, api_now(request->api)));
    request_object(request, 201, NULL, self->object);
}

void token_request_create(ApiRequest *request) {
    TokenRequest *self = arena_new_of(request->arena, TokenRequest);
    DecodeTarget target = {STR("authentication.k8s.io"), STR("v1"), STR("TokenRequest"),
                           kinds_type(STR("io.k8s.api.authentication.v1.TokenRequest"))};
    ApiStatus *refused = request_write_options(request, STR("CreateOptions"));
    if (!refused)
        refused = decode_body(request, &target, &self->object);
    if (!refused)
        refused = validate(request, self->object);
    if (refused) {
        request_status(request, refused);
        return;
    }
    self->admission = (Admission){
        .request = request,
        .operation = ADMISSION_CREATE,
        .served = request->served,
        .subresource = STR("token"),
        .namespace_ = request->info.namespace_,
        .name = request->info.name,
        .object = self->object,
        .type = target.type,
    };
    admission_check(&self->admission, admitted, self);
}
