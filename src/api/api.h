#pragma once
// The API server: authentication, authorization, admission, the verbs, the watch cache, discovery.
// It is an HttpHandler; what listens and who calls it inside the process is the caller's business.
// One loop.

#include "http/client.h"
#include "http/message.h"
#include "store/store.h"

typedef struct Api Api;

typedef struct ApiConfig {
    Loop *loop;
    Store *store;
    Str service_account_key;            // PEM, signs tokens (TokenRequest)
    const Str *service_account_publics; // PEM, verify tokens
    size_t n_service_account_publics;
    Str static_tokens;          // content of a static token file (auth/static_tokens.h); empty: none
    Str service_account_issuer; // "https://kubernetes.default.svc.cluster.local"
    Str cluster_ca;        // PEM; published in kube-system/extension-apiserver-authentication later
    Str service_cidr;      // "10.43.0.0/16": cluster IPs are allocated from it
    Str cluster_dns;       // reserved in it
    Str advertise_address; // the `kubernetes` service's endpoint
    uint16_t advertise_port;
    const char *audit_log; // NULL: none
    // Upstream's --enable-garbage-collector: whether somebody takes the finalizers orphan and
    // foregroundDeletion off again. Without that they are not put on, since nothing would ever go.
    bool garbage_collector;
    // How to reach a node's endpoint (/containerLogs, /exec...): NULL answers mean "use the address
    // and port in the Node object, over TLS".
    HttpClient *(*node_client)(void *user, Str node_name);
    void *node_client_user;
    // How to reach an admission webhook: NULL (or a NULL answer) means TCP and TLS. For tests.
    HttpClient *(*webhook_client)(void *user, Str host, uint16_t port);
    void *webhook_client_user;
    Str node_certificate, node_key; // PEM; shown to nodes, whose certificates must be of cluster_ca
} ApiConfig;

// Reads the store, fills the caches, makes what every cluster has (namespaces, RBAC's default roles
// and bindings, the `kubernetes` service), then calls `ready(user, 0)` or with an error. /readyz
// says no until then. -EINVAL, logged, when the static tokens are none.
int api_new(const ApiConfig *config, void (*ready)(void *user, int error), void *user, Api **ret)
    __attribute__((warn_unused_result));
// Another certificate to show to nodes, for connections from now on.
void api_set_node_identity(Api *api, Str certificate, Str key);
void api_handle(void *api, HttpRequest *request); // an HttpHandler
// Drops what the watch caches remember of changes of long ago; they do so themselves as changes go
// on, so this is for an idle server. True when some of the rest will be old later.
bool api_age(Api *api);
void api_free(Api *api); // open watches are ended
