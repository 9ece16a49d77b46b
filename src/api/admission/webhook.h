#pragma once
// Admission webhooks, inside: configurations in the form in which they are used, whether one is
// meant, and asking it. https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/

#include "api/admission/admission.h"
#include "http/client.h"
#include "kinds/webhook.h"
#include "schema/selector.h"

typedef struct WebhookRule {
    const Value *operations, *groups, *versions, *resources; // lists of strings
    Str scope;
} WebhookRule;

typedef struct WebhookConfig WebhookConfig;

typedef struct Webhook {
    WebhookConfig *config;
    Str name;
    bool ignore_failure, equivalent, reinvoke;
    Str review_version; // "v1" or "v1beta1"
    int64_t timeout_ns;
    const Selector *namespaces, *objects;
    WebhookRule *rules;
    size_t n_rules;
    // Where it is.
    Str url;                                   // as configured; empty: a service
    WebhookUrl at;                             // of `url`
    Str service, service_namespace, path, ca;  // `ca`: PEM, may be empty
    uint16_t port;
    struct TlsContext *tls; // made when first needed
    List clients;           // WebhookClient, by the address that they connect to
} Webhook;

// One configuration object; immutable but for its connections, reference-counted: it lives on while
// a request uses it.
struct WebhookConfig {
    uint32_t references;
    Arena *arena;
    Str name;
    Webhook *webhooks;
    size_t n;
};
WebhookConfig *webhook_config_new(CachedObject *object);
WebhookConfig *webhook_config_ref(WebhookConfig *config);
void webhook_config_unref(WebhookConfig *config); // closes its connections with the last reference

// All webhooks of one kind in the order in which they are called: by configuration's name, then as
// listed. Reference-counted; made anew when a configuration changes.
typedef struct WebhookList {
    uint32_t references;
    WebhookConfig **configs;
    size_t n_configs;
    Webhook **webhooks;
    size_t n;
} WebhookList;
WebhookList *webhook_list(struct Api *api, bool validating); // borrowed
WebhookList *webhook_list_ref(WebhookList *list);
void webhook_list_unref(void *list);

// Whether the webhook is to be asked. *ret_as is the version of the resource in which it wants to
// see the object. On failure (the namespace is gone) false with *ret_refusal.
bool webhook_matches(const Webhook *webhook, const Admission *admission,
                     const ServedResource **ret_as, const ApiStatus **ret_refusal);

// What is sent, in `as`'s version of the resource.
Bytes *webhook_review(const Webhook *webhook, const Admission *admission, const ServedResource *as,
                      Str uid);
typedef struct WebhookAnswer {
    Str failure;              // why there is no valid answer; empty: there is one
    const ApiStatus *refusal; // NULL: allowed
    const Value *patch;       // JSON Patch; NULL: none
} WebhookAnswer;
// Reads the body of a 200. Warnings in it go to the request.
void webhook_read_answer(const Webhook *webhook, ApiRequest *request, Str body, Str uid,
                         bool validating, WebhookAnswer *ret);

// Asks. `done` comes once, later, and not at all when the request ends before.
typedef void (*WebhookDone)(void *user, const WebhookAnswer *answer);
void webhook_call(Webhook *webhook, const Admission *admission, const ServedResource *as,
                  bool validating, WebhookDone done, void *user);
void webhook_clients_free(Webhook *webhook);

// Where a service's port is served, from the caches: an address to connect to. False with
// *ret_failure as kube-aggregator's resolver words it.
bool webhook_resolve(struct Api *api, const Webhook *webhook, Arena *arena, Str *ret_host,
                     uint16_t *ret_port, Str *ret_failure);
