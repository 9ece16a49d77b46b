// Tokens of the pod's service account, bound to the pod, renewed before they end.
// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "node/volume_private.h"

#define DEFAULT_LIFE 3600 // s
#define LONGEST_USE (24 * 3600 * NSEC_PER_SEC)
#define JITTER (10 * NSEC_PER_SEC)
#define RENEW_RETRY (30 * NSEC_PER_SEC)

struct VolumeToken {
    PodVolume *volume;
    size_t source; // in projected.sources
    ClientCall *call;
    LoopTimer renew;
    Str token, error; // malloc'ed
    int64_t expires;  // Unix ns
};

static void keep(Str *slot, Str value) {
    free((char *)slot->ptr);
    char *copy = value.len ? memory_alloc(value.len) : NULL;
    if (copy)
        memcpy(copy, value.ptr, value.len);
    *slot = copy ? str_of(copy, value.len) : STR_NONE;
}

static const ServiceAccountTokenProjection *source_of(const VolumeToken *token) {
    return volume_spec(token->volume)
        ->projected->sources.items[token->source]
        .service_account_token;
}

static int64_t life_of(const VolumeToken *token) { // ns
    const int64_t *seconds = source_of(token)->expiration_seconds;
    return (seconds ? *seconds : DEFAULT_LIFE) * NSEC_PER_SEC;
}

// After 80 % of its life, a day at the latest, and not with all the others.
static void plan_renewal(VolumeToken *token) {
    Loop *loop = token->volume->owner->agent->loop;
    int64_t left = token->expires - loop_wall(loop), life = life_of(token);
    if (left > life)
        left = life;
    int64_t delay = left - life / 5;
    if (delay > LONGEST_USE)
        delay = LONGEST_USE;
    delay -= (int64_t)(loop_random(loop) % (uint64_t)JITTER);
    loop_timer_start(&token->renew, delay > NSEC_PER_SEC ? delay : NSEC_PER_SEC);
}

static bool has_expired(const VolumeToken *token) {
    return token->expires <= loop_wall(token->volume->owner->agent->loop);
}

static void on_answer(void *user, const ClientResult *result) {
    VolumeToken *token = user;
    PodVolume *volume = token->volume;
    token->call = NULL;
    TokenRequest answer;
    Str why = result->status ? result->status->message : STR_NONE;
    int error = result->error;
    if (!error)
        error = typed_from_json(result->arena, kinds_type_TokenRequest(), result->body, &answer);
    if (!error && !answer.status.token.len)
        error = -EBADMSG;
    if (!error) {
        keep(&token->token, answer.status.token);
        keep(&token->error, STR_NONE);
        token->expires = answer.status.expiration_timestamp;
        plan_renewal(token);
    } else {
        if (!why.len)
            why = str_from(error < 0 ? strerror(-error) : "the answer is no TokenRequest");
        keep(&token->error, why);
        if (token->token.len && !has_expired(token)) // the old one does for now
            loop_timer_start(&token->renew, RENEW_RETRY);
    }
    volume_changed(volume);
}

static void ask(void *user) {
    VolumeToken *token = user;
    const PodVolumes *owner = token->volume->owner;
    if (token->call)
        return;
    const ServiceAccountTokenProjection *source = source_of(token);
    const Pod *pod = owner->pod;
    Str audience = source->audience;
    int64_t seconds = life_of(token) / NSEC_PER_SEC;
    BoundObjectReference bound = {.kind = STR("Pod"),
                                  .api_version = STR("v1"),
                                  .name = pod->metadata.name,
                                  .uid = pod->metadata.uid};
    TokenRequest request = {.kind = STR("TokenRequest"),
                            .api_version = STR("authentication.k8s.io/v1"),
                            .spec = {.expiration_seconds = &seconds, .bound_object_ref = &bound}};
    if (audience.len) {
        request.spec.audiences.items = &audience;
        request.spec.audiences.len = 1;
    }
    Buf body = BUF_INIT(64 * 1024);
    typed_write_json(kinds_type_TokenRequest(), &request, &body);
    Str account = pod->spec.service_account_name;
    ClientTarget target = {.resource = kinds_resource_core_v1_serviceaccounts(),
                           .namespace_ = pod->metadata.namespace,
                           .name = account.len ? account : STR("default"),
                           .subresource = STR("token")};
    token->call = client_create(owner->agent->client, &target, buf_view(&body), on_answer, token);
    buf_deinit(&body);
}

VolumeToken *volume_token_new(PodVolume *volume, size_t source) {
    VolumeToken *token = memory_new(VolumeToken);
    token->volume = volume;
    token->source = source;
    loop_timer_init(&token->renew, volume->owner->agent->loop, ask, token);
    return token;
}

void volume_token_free(VolumeToken *token) {
    if (!token)
        return;
    if (token->call)
        client_cancel(token->call);
    loop_timer_stop(&token->renew);
    keep(&token->token, STR_NONE);
    keep(&token->error, STR_NONE);
    free(token);
}

void volume_token_retry(VolumeToken *token) {
    keep(&token->error, STR_NONE);
}

int volume_token_get(VolumeToken *token, Arena *arena, Str *ret, Str *ret_message) {
    if (token->token.len && !has_expired(token)) {
        *ret = token->token;
        return 0;
    }
    if (!token->call && token->error.ptr) {
        *ret_message = arena_printf(arena, "failed to fetch token: %.*s", STR_ARG(token->error));
        return -EAGAIN;
    }
    ask(token);
    return VOLUME_E_WAITING;
}
