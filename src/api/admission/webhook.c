// The two webhook plugins: mutating webhooks are asked one after the other, each seeing what those
// before it changed; validating ones all at once (apiserver's admission/plugin/webhook/mutating and
// validating, dispatcher.go).

#include "api/admission/webhook.h"

#include "api/meta.h"
#include "api/output.h"
#include "api/server.h"
#include "base/log.h"
#include "schema/patch.h"
#include "schema/quote.h"

// What asks about webhooks and policies themselves could never be repaired once it is broken.
static bool is_exempt(const Admission *admission) {
    return str_eq(admission->served->resource->group, STR("admissionregistration.k8s.io"));
}

// The refusal that an answer amounts to; NULL: go on.
static const ApiStatus *judge(Arena *arena, const Webhook *webhook, const WebhookAnswer *answer) {
    if (!answer->failure.len)
        return answer->refusal;
    log_warn("api", webhook->ignore_failure ? "a webhook failed and was passed over"
                                            : "a webhook failed",
             "webhook=%.*s why=\"%.*s\"", STR_ARG(webhook->name), STR_ARG(answer->failure));
    if (webhook->ignore_failure)
        return NULL;
    return status_internal(arena, arena_printf(arena, "failed calling webhook %.*s: %.*s",
                                               STR_ARG(quote_str(arena, webhook->name)),
                                               STR_ARG(answer->failure)));
}

// ---- mutating

typedef struct Mutation {
    Admission *admission;
    WebhookList *list;
    const ServedResource *as; // of the webhook at hand
    size_t next;
    bool inside; // the plugin's own call, which returns the outcome itself
    // Upstream's reinvocation context, by webhook.
    bool *invoked; // may be asked again when others change the object
    bool *again;   // shall be
    Value *left;   // the object as the first round left it
    const ApiStatus *refusal;
} Mutation;

static void mutate_on(Mutation *self);

static void require_again(Mutation *self) {
    for (size_t i = 0; i < self->list->n; i++) {
        self->again[i] |= self->invoked[i];
        self->invoked[i] = false;
    }
}

// The patched tree in normal form and with defaults, as a body from a client would be.
static const ApiStatus *take(Mutation *self, Value *patched) {
    Admission *admission = self->admission;
    Arena *arena = admission->request->arena;
    const Resource *resource = self->as->resource;
    Str message = STR("");
    if (patched->kind != VALUE_OBJECT)
        return status_internal(arena, STR("the patched object is no JSON object"));
    if (schema_normalize(arena, admission->type ? admission->type : resource->type, patched, NULL,
                         &message) != 0)
        return status_internal(arena, message);
    if (admission->type)
        schema_default_type(arena, admission->type, patched);
    else
        schema_default(arena, resource, patched);
    if (self->as != admission->served)
        patched = output_from_storage(arena, admission->served,
                                      output_to_storage(arena, self->as, patched));
    if (!value_equal(patched, admission->object)) {
        require_again(self);
        admission->repeat = true;
    }
    *admission->object = *patched;
    return NULL;
}

static const ApiStatus *apply(Mutation *self, const Webhook *webhook, const Value *patch) {
    Admission *admission = self->admission;
    Arena *arena = admission->request->arena;
    if (!admission->object)
        return status_internal(
            arena, arena_printf(arena,
                                "admission webhook %.*s attempted to modify the object, which is "
                                "not supported for this operation",
                                STR_ARG(quote_str(arena, webhook->name))));
    const Value *object = admission->object;
    if (self->as != admission->served)
        object = output_from_storage(
            arena, self->as,
            output_to_storage(arena, admission->served, value_copy(arena, object)));
    Value *patched = NULL;
    Str message = STR("");
    if (patch_json(arena, object, patch, &patched, &message) != 0)
        return status_internal(arena, message);
    return take(self, value_copy(arena, patched));
}

static void mutate_end(Mutation *self) {
    Admission *admission = self->admission;
    if (!self->refusal && admission->repeat && !admission->again && admission->object)
        self->left = value_copy(admission->request->arena, admission->object);
    if (!self->inside)
        admission_continue(admission, self->refusal);
}

static void mutated(void *user, const WebhookAnswer *answer) {
    Mutation *self = user;
    const Webhook *webhook = self->list->webhooks[self->next];
    self->refusal = judge(self->admission->request->arena, webhook, answer);
    if (!self->refusal && answer->patch)
        self->refusal = apply(self, webhook, answer->patch);
    self->invoked[self->next] = webhook->reinvoke;
    self->next++;
    self->inside = false;
    if (self->refusal)
        mutate_end(self);
    else
        mutate_on(self);
}

static void mutate_on(Mutation *self) {
    Admission *admission = self->admission;
    for (; self->next < self->list->n; self->next++) {
        Webhook *webhook = self->list->webhooks[self->next];
        bool meant = webhook_matches(webhook, admission, &self->as, &self->refusal);
        if (self->refusal)
            break;
        if (!meant || (admission->again && !self->again[self->next]))
            continue;
        admission->pending = true;
        webhook_call(webhook, admission, self->as, false, mutated, self);
        return;
    }
    mutate_end(self);
}

static Mutation *mutation_of(Admission *admission, WebhookList *list) {
    Arena *arena = admission->request->arena;
    Mutation *self = admission->webhooks;
    if (self) { // the second round
        bool changed = self->left ? !value_equal(self->left, admission->object) : false;
        if (changed) // by plugins of ours, after the first
            require_again(self);
        self->next = 0;
        return self;
    }
    self = arena_new_of(arena, Mutation);
    self->admission = admission;
    self->list = webhook_list_ref(list);
    arena_defer(arena, webhook_list_unref, self->list);
    self->invoked = arena_array_of(arena, bool, list->n);
    self->again = arena_array_of(arena, bool, list->n);
    admission->webhooks = self;
    return self;
}

ApiStatus *admission_mutating_webhooks(Admission *admission) {
    WebhookList *list = webhook_list(admission->request->api, false);
    if ((!list->n && !admission->webhooks) || is_exempt(admission))
        return NULL;
    Mutation *self = mutation_of(admission, list);
    self->inside = true;
    mutate_on(self);
    return (ApiStatus *)self->refusal;
}

// ---- validating

typedef struct Validation {
    Admission *admission;
    size_t running;
    const ApiStatus *refusal; // of the first webhook in order that refuses
    size_t refused_by;
} Validation;

typedef struct Ballot { // of one webhook
    Validation *all;
    const Webhook *webhook;
    size_t index;
} Ballot;

static void validated(void *user, const WebhookAnswer *answer) {
    Ballot *ballot = user;
    Validation *self = ballot->all;
    const ApiStatus *refusal =
        judge(self->admission->request->arena, ballot->webhook, answer);
    if (refusal && (!self->refusal || ballot->index < self->refused_by)) {
        self->refusal = refusal;
        self->refused_by = ballot->index;
    }
    if (--self->running == 0)
        admission_continue(self->admission, self->refusal);
}

ApiStatus *admission_validating_webhooks(Admission *admission) {
    Arena *arena = admission->request->arena;
    WebhookList *list = webhook_list(admission->request->api, true);
    if (!list->n || is_exempt(admission))
        return NULL;
    Validation *self = NULL;
    const ServedResource **as = arena_array_of(arena, const ServedResource *, list->n);
    for (size_t i = 0; i < list->n; i++) { // first all questions whether, then the calls
        const ApiStatus *refusal = NULL;
        if (!webhook_matches(list->webhooks[i], admission, &as[i], &refusal))
            as[i] = NULL;
        if (refusal)
            return (ApiStatus *)refusal;
    }
    for (size_t i = 0; i < list->n; i++) {
        if (!as[i])
            continue;
        if (!self) {
            self = arena_new_of(arena, Validation);
            self->admission = admission;
            arena_defer(arena, webhook_list_unref, webhook_list_ref(list));
        }
        Ballot *ballot = arena_new_of(arena, Ballot);
        *ballot = (Ballot){self, list->webhooks[i], i};
        self->running++;
        admission->pending = true;
        webhook_call(list->webhooks[i], admission, as[i], true, validated, ballot);
    }
    return NULL;
}
