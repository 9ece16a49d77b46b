#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "harness.h"

#define RBAC "/apis/rbac.authorization.k8s.io/v1"
#define MAPS "/api/v1/namespaces/default/configmaps"

static int setup(void **state) {
    *state = harness_new();
    return 0;
}

static int teardown(void **state) {
    harness_free(*state);
    return 0;
}

static void bind(Harness *h, const char *name, const char *role, const char *user) {
    char body[512];
    snprintf(body, sizeof body,
             "{\"metadata\":{\"name\":\"%s\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s."
             "io\",\"kind\":\"ClusterRole\","
             "\"name\":\"%s\"},\"subjects\":[{\"kind\":\"User\",\"apiGroup\":\"rbac.authorization."
             "k8s.io\",\"name\":\"%s\"}]}",
             name, role, user);
    assert_status(call(h, "POST", RBAC "/clusterrolebindings", body), 201);
}

static void test_denied_by_default(void **state) {
    Harness *h = *state;
    HttpClient *jane = harness_client(h, "jane", NULL);
    assert_refused(call_as(h, jane, "GET", MAPS, NULL), 403,
                   "configmaps is forbidden: User \"jane\" cannot list resource \"configmaps\" in "
                   "API group \"\" in the "
                   "namespace \"default\"");
    assert_refused(call_as(h, jane, "DELETE", "/api/v1/nodes/n", NULL), 403,
                   "nodes \"n\" is forbidden: User \"jane\" cannot delete resource \"nodes\" in "
                   "API group \"\" at the "
                   "cluster scope");
    assert_refused(call_as(h, jane, "GET", "/metrics", NULL), 403,
                   "forbidden: User \"jane\" cannot get path \"/metrics\"");
    assert_status(call_as(h, jane, "GET", "/version", NULL), 200);
    assert_status(call_as(h, jane, "GET", "/apis", NULL), 200);
    http_client_free(jane);
}

static void test_roles(void **state) {
    Harness *h = *state;
    HttpClient *jane = harness_client(h, "jane", NULL);
    bind(h, "jane-views", "view", "jane");
    // view aggregates system:aggregate-to-view.
    assert_status(call_as(h, jane, "GET", MAPS, NULL), 200);
    assert_status(call_as(h, jane, "GET", "/api/v1/namespaces/default/secrets", NULL), 403);
    assert_status(call_as(h, jane, "POST", MAPS, "{\"metadata\":{\"name\":\"a\"}}"), 403);
    assert_status(call(h, "DELETE", RBAC "/clusterrolebindings/jane-views", NULL), 200);
    assert_status(call_as(h, jane, "GET", MAPS, NULL), 403);
    // A role that reaches one namespace, and one object by name.
    assert_status(call(h, "POST", RBAC "/namespaces/default/roles",
                       "{\"metadata\":{\"name\":\"r\"},\"rules\":[{\"apiGroups\":[\"\"],"
                       "\"resources\":[\"configmaps\"],"
                       "\"resourceNames\":[\"mine\"],\"verbs\":[\"get\",\"list\"]}]}"),
                  201);
    assert_status(call(h, "POST", RBAC "/namespaces/default/rolebindings",
                       "{\"metadata\":{\"name\":\"b\"},\"roleRef\":{\"apiGroup\":\"rbac."
                       "authorization.k8s.io\",\"kind\":\"Role\","
                       "\"name\":\"r\"},\"subjects\":[{\"kind\":\"User\",\"apiGroup\":\"rbac."
                       "authorization.k8s.io\",\"name\":\"jane\"}]}"),
                  201);
    assert_status(call_as(h, jane, "GET", MAPS "/mine", NULL), 404);
    assert_status(call_as(h, jane, "GET", MAPS "/other", NULL), 403);
    assert_status(call_as(h, jane, "GET", MAPS, NULL), 403);
    assert_status(call_as(h, jane, "GET", MAPS "?fieldSelector=metadata.name%3Dmine", NULL), 200);
    assert_status(call_as(h, jane, "GET", "/api/v1/namespaces/kube-system/configmaps/mine", NULL),
                  403);
    http_client_free(jane);
}

static void test_escalation(void **state) {
    Harness *h = *state;
    assert_status(call(h, "POST", RBAC "/clusterroles",
                       "{\"metadata\":{\"name\":\"role-writer\"},\"rules\":[{\"apiGroups\":[\"rbac."
                       "authorization.k8s.io\"],"
                       "\"resources\":[\"*\"],\"verbs\":[\"create\",\"update\",\"get\"]},{"
                       "\"apiGroups\":[\"\"],\"resources\":"
                       "[\"pods\"],\"verbs\":[\"get\"]}]}"),
                  201);
    bind(h, "w", "role-writer", "jane");
    HttpClient *jane = harness_client(h, "jane", "dev");
    const char *grab = "{\"metadata\":{\"name\":\"x\"},\"rules\":[{\"apiGroups\":[\"\"],"
                       "\"resources\":[\"pods\",\"secrets\"],"
                       "\"verbs\":[\"get\",\"list\"]}]}";
    assert_refused(
        call_as(h, jane, "POST", RBAC "/clusterroles", grab), 403,
        "clusterroles.rbac.authorization.k8s.io \"x\" is forbidden: user \"jane\" (groups=[\"dev\" "
        "\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n"
        "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\"]}\n"
        "{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}");
    const char *held =
        "{\"metadata\":{\"name\":\"y\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],"
        "\"verbs\":[\"get\"]}]}";
    assert_status(call_as(h, jane, "POST", RBAC "/clusterroles", held), 201);
    const char *bind_admin =
        "{\"metadata\":{\"name\":\"z\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\","
        "\"kind\":"
        "\"ClusterRole\",\"name\":\"cluster-admin\"},\"subjects\":[{\"kind\":\"User\",\"apiGroup\":"
        "\"rbac.authorization.k8s.io\",\"name\":\"jane\"}]}";
    assert_status(call_as(h, jane, "POST", RBAC "/clusterrolebindings", bind_admin), 403);
    assert_status(call(h, "GET", RBAC "/clusterrolebindings/z", NULL), 404);
    http_client_free(jane);
}

static void test_impersonation(void **state) {
    Harness *h = *state;
    bind(h, "jane-views", "view", "jane");
    const char *const as_jane[] = {"Impersonate-User", "jane", NULL};
    assert_status(call_with(h, h->admin, "GET", MAPS, NULL, as_jane), 200);
    assert_status(call_with(h, h->admin, "GET", "/api/v1/nodes", NULL, as_jane), 403);
    HttpClient *joe = harness_client(h, "joe", NULL);
    assert_refused(call_with(h, joe, "GET", MAPS, NULL, as_jane), 403,
                   "users \"jane\" is forbidden: User \"joe\" cannot impersonate resource "
                   "\"users\" in API group \"\" at "
                   "the cluster scope");
    const char *const group_only[] = {"Impersonate-Group", "x", NULL};
    assert_status(call_with(h, h->admin, "GET", MAPS, NULL, group_only), 400);
    const char *const as_account[] = {"Impersonate-User", "system:serviceaccount:default:a",
                                      "Impersonate-Extra-Team", "b", NULL};
    Answer *who = call_with(h, h->admin, "POST",
                            "/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}", as_account);
    assert_status(who, 201);
    assert_string_equal(text_at(who, "status.userInfo.username"),
                        "system:serviceaccount:default:a");
    const Value *groups = value_at(who->json, "status.userInfo.groups");
    assert_int_equal(groups->n, 3);
    assert_true(str_eq(groups->items[1]->string, STR("system:serviceaccounts:default")));
    assert_non_null(value_at(who->json, "status.userInfo.extra.team"));
    http_client_free(joe);
}

// A client that is not inside the process: nothing but what it sends speaks for it.
static void from_outside(void *api, HttpRequest *request) {
    request->peer = (HttpPeer){.address = STR("192.0.2.9:1")};
    api_handle(api, request);
}

static HttpClient *outsider(Harness *h) {
    HttpPeer peer = {.address = STR("@")};
    return http_client_new_local(h->loop, h->loop, from_outside, h->api, &peer);
}

static void test_anonymous(void **state) {
    Harness *h = *state;
    HttpClient *client = outsider(h);
    assert_status(call_as(h, client, "GET", "/healthz", NULL), 200);
    assert_status(call_as(h, client, "GET", "/readyz", NULL), 200);
    assert_status(call_as(h, client, "GET", "/livez?verbose", NULL), 200);
    assert_status(call_as(h, client, "GET", "/version", NULL), 200);
    assert_refused(call_as(h, client, "GET", "/api/v1/pods", NULL), 403,
                   "pods is forbidden: User \"system:anonymous\" cannot list resource \"pods\" in "
                   "API group \"\" at the "
                   "cluster scope");
    const char *const wrong[] = {"Authorization", "Bearer nonsense", NULL};
    Answer *a = call_with(h, client, "GET", "/api/v1/pods", NULL, wrong);
    assert_refused(a, 401, "Unauthorized");
    assert_string_equal(text_at(a, "reason"), "Unauthorized");
    http_client_free(client);
}

static Answer *with_token(Harness *h, HttpClient *client, const char *token, const char *method,
                          const char *target, const char *body) {
    char header[8192];
    snprintf(header, sizeof header, "Bearer %s", token);
    return call_with(h, client, method, target, body,
                     (const char *const[]){"Authorization", header, NULL});
}

static void test_service_account_token(void **state) {
    Harness *h = *state;
    HttpClient *client = outsider(h);
    const char *accounts = "/api/v1/namespaces/default/serviceaccounts";
    assert_status(call(h, "POST", accounts, "{\"metadata\":{\"name\":\"robot\"}}"), 201);
    Answer *made = call(h, "POST", "/api/v1/namespaces/default/serviceaccounts/robot/token",
                        "{\"spec\":{\"expirationSeconds\":700}}");
    assert_status(made, 201);
    char token[4096];
    snprintf(token, sizeof token, "%s", text_at(made, "status.token"));
    assert_true(strlen(token) > 100);
    assert_string_equal(text_at(made, "status.expirationTimestamp"), "2026-09-21T14:25:00Z");
    Answer *who = with_token(h, client, token, "POST",
                             "/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}");
    assert_status(who, 201);
    assert_string_equal(text_at(who, "status.userInfo.username"),
                        "system:serviceaccount:default:robot");
    assert_status(with_token(h, client, token, "GET", "/api/v1/nodes", NULL), 403);
    // Other audiences are not ours.
    Answer *other = call(h, "POST", "/api/v1/namespaces/default/serviceaccounts/robot/token",
                         "{\"spec\":{\"audiences\":[\"vault\"]}}");
    assert_status(with_token(h, client, text_at(other, "status.token"), "GET", "/version", NULL),
                  401);
    char review[4500];
    snprintf(review, sizeof review, "{\"spec\":{\"token\":\"%s\",\"audiences\":[\"vault\"]}}",
             text_at(other, "status.token"));
    Answer *reviewed = call(h, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", review);
    assert_status(reviewed, 201);
    assert_true(value_bool_at(reviewed->json, "status.authenticated", false));
    assert_refused(call(h, "POST", "/api/v1/namespaces/default/serviceaccounts/robot/token",
                        "{\"spec\":{\"expirationSeconds\":5}}"),
                   422,
                   "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: "
                   "Invalid value: 5: may not "
                   "specify a duration less than 10 minutes");
    // It dies with its time, and with its account.
    harness_run(h, 701 * NSEC_PER_SEC);
    assert_status(with_token(h, client, token, "GET", "/version", NULL), 401);
    made = call(h, "POST", "/api/v1/namespaces/default/serviceaccounts/robot/token", "{}");
    snprintf(token, sizeof token, "%s", text_at(made, "status.token"));
    assert_status(with_token(h, client, token, "GET", "/version", NULL), 200);
    assert_status(call(h, "DELETE", "/api/v1/namespaces/default/serviceaccounts/robot", NULL), 200);
    assert_status(with_token(h, client, token, "GET", "/version", NULL), 401);
    http_client_free(client);
}

static void test_bound_token(void **state) {
    Harness *h = *state;
    HttpClient *client = outsider(h);
    assert_status(call(h, "POST", "/api/v1/namespaces/default/serviceaccounts",
                       "{\"metadata\":{\"name\":\"default\"}}"),
                  201);
    Answer *pod = call(h, "POST", "/api/v1/namespaces/default/pods",
                       "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\","
                       "\"image\":\"i\"}]}}");
    assert_status(pod, 201);
    char body[512], token[4096];
    snprintf(body, sizeof body,
             "{\"spec\":{\"expirationSeconds\":3607,\"boundObjectRef\":{\"apiVersion\":\"v1\","
             "\"kind\":\"Pod\",\"name\":\"p\",\"uid\":\"%s\"}}}",
             text_at(pod, "metadata.uid"));
    Answer *made =
        call(h, "POST", "/api/v1/namespaces/default/serviceaccounts/default/token", body);
    assert_status(made, 201);
    snprintf(token, sizeof token, "%s", text_at(made, "status.token"));
    Answer *who = with_token(h, client, token, "POST",
                             "/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}");
    assert_status(who, 201);
    assert_non_null(value_get(value_at(who->json, "status.userInfo.extra"),
                              STR("authentication.kubernetes.io/pod-name")));
    // Tokens of mounts outlive what they say, for clients that never read them again.
    harness_run(h, 4000 * NSEC_PER_SEC);
    assert_status(with_token(h, client, token, "GET", "/version", NULL), 200);
    assert_status(call(h, "DELETE", "/api/v1/namespaces/default/pods/p", NULL), 200);
    assert_status(with_token(h, client, token, "GET", "/version", NULL), 401);
    http_client_free(client);
}

static void test_access_reviews(void **state) {
    Harness *h = *state;
    bind(h, "jane-views", "view", "jane");
    const char *path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    Answer *yes = call(h, "POST", path,
                       "{\"spec\":{\"user\":\"jane\",\"resourceAttributes\":{\"verb\":\"list\","
                       "\"resource\":\"pods\",\"namespace\":\"default\"}}}");
    assert_status(yes, 201);
    assert_true(value_bool_at(yes->json, "status.allowed", false));
    assert_string_equal(text_at(yes, "status.reason"),
                        "RBAC: allowed by ClusterRoleBinding \"jane-views\" of ClusterRole "
                        "\"view\" to User \"jane\"");
    Answer *no = call(h, "POST", path,
                      "{\"spec\":{\"user\":\"jane\",\"resourceAttributes\":{\"verb\":\"create\","
                      "\"resource\":\"pods\",\"namespace\":\"default\"}}}");
    assert_false(value_bool_at(no->json, "status.allowed", true));
    HttpClient *jane = harness_client(h, "jane", NULL);
    Answer *self =
        call_as(h, jane, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                "{\"spec\":{\"nonResourceAttributes\":{\"verb\":\"get\",\"path\":\"/version\"}}}");
    assert_status(self, 201);
    assert_true(value_bool_at(self->json, "status.allowed", false));
    Answer *rules =
        call_as(h, jane, "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
                "{\"spec\":{\"namespace\":\"default\"}}");
    assert_status(rules, 201);
    assert_true(value_at(rules->json, "status.resourceRules")->n > 5);
    assert_true(value_at(rules->json, "status.nonResourceRules")->n >= 1);
    assert_status(call_as(h, jane, "POST", path, "{\"spec\":{\"user\":\"x\"}}"), 403);
    assert_status(call(h, "POST", path, "{\"spec\":{\"user\":\"x\"}}"), 422);
    http_client_free(jane);
}

static void test_nodes(void **state) {
    Harness *h = *state;
    HttpClient *n1 = harness_client(h, "system:node:n1", "system:nodes");
    assert_status(call_as(h, n1, "POST", "/api/v1/nodes", "{\"metadata\":{\"name\":\"n1\"}}"), 201);
    assert_refused(call_as(h, n1, "POST", "/api/v1/nodes", "{\"metadata\":{\"name\":\"n2\"}}"), 403,
                   "nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\"");
    Answer *made = call(h, "GET", "/api/v1/nodes/n1", NULL);
    const Value *taints = value_at(made->json, "spec.taints");
    assert_int_equal(taints->n, 1);
    assert_true(
        str_eq(value_string_at(taints->items[0], "key"), STR("node.kubernetes.io/not-ready")));
    const char *lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    assert_status(call_as(h, n1, "POST", lease, "{\"metadata\":{\"name\":\"n1\"}}"), 201);
    assert_status(call_as(h, n1, "POST", lease, "{\"metadata\":{\"name\":\"n2\"}}"), 403);
    assert_status(
        call_as(h, n1, "GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", NULL), 200);
    assert_status(call_as(h, n1, "POST", "/api/v1/namespaces/default/configmaps",
                          "{\"metadata\":{\"name\":\"x\"}}"),
                  403);
    http_client_free(n1);
}

// A node reads what its pods refer to, and no more.
static void test_node_references(void **state) {
    Harness *h = *state;
    HttpClient *n1 = harness_client(h, "system:node:n1", "system:nodes");
    const char *secret = "/api/v1/namespaces/default/secrets/s",
               *map = "/api/v1/namespaces/default/configmaps/m";
    assert_status(call(h, "POST", "/api/v1/namespaces/default/serviceaccounts",
                       "{\"metadata\":{\"name\":\"default\"}}"),
                  201);
    assert_status(call_as(h, n1, "GET", secret, NULL), 403);
    assert_status(call(h, "POST", "/api/v1/namespaces/default/pods",
                       "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"nodeName\":\"n1\",\"volumes\":[{"
                       "\"name\":\"v\",\"secret\":"
                       "{\"secretName\":\"s\"}}],\"containers\":[{\"name\":\"c\",\"image\":\"i\","
                       "\"envFrom\":[{\"configMapRef\":"
                       "{\"name\":\"m\"}}]}]}}"),
                  201);
    assert_status(call_as(h, n1, "GET", secret, NULL), 404);
    assert_status(call_as(h, n1, "GET", map, NULL), 404);
    assert_status(
        call_as(h, n1, "GET", "/api/v1/namespaces/default/configmaps/kube-root-ca.crt", NULL), 404);
    assert_status(call_as(h, n1, "GET",
                          "/api/v1/namespaces/default/configmaps?fieldSelector=metadata.name%3Dm",
                          NULL),
                  200);
    assert_status(call_as(h, n1, "GET", "/api/v1/namespaces/default/configmaps", NULL), 403);
    assert_status(call_as(h, n1, "GET", "/api/v1/namespaces/default/secrets/other", NULL), 403);
    HttpClient *n2 = harness_client(h, "system:node:n2", "system:nodes");
    assert_status(call_as(h, n2, "GET", secret, NULL), 403);
    // What a pod no longer refers to, a node no longer reads.
    assert_status(call(h, "DELETE", "/api/v1/namespaces/default/pods/p",
                       "{\"gracePeriodSeconds\":0}"),
                  200);
    assert_refused(call_as(h, n1, "GET", secret, NULL), 403,
                   "secrets \"s\" is forbidden: User \"system:node:n1\" cannot get resource "
                   "\"secrets\" in API group \"\" in the namespace \"default\": no relationship "
                   "found between node 'n1' and this object");
    http_client_free(n1);
    http_client_free(n2);
}

// Claims lead to volumes, and volumes to secrets (plugin/pkg/auth/authorizer/node/graph.go).
static void test_node_volumes(void **state) {
    Harness *h = *state;
    HttpClient *n1 = harness_client(h, "system:node:n1", "system:nodes");
    assert_status(call(h, "POST", "/api/v1/namespaces/default/serviceaccounts",
                       "{\"metadata\":{\"name\":\"default\"}}"),
                  201);
    assert_status(call(h, "POST", "/api/v1/persistentvolumes",
                       "{\"metadata\":{\"name\":\"pv\"},\"spec\":{\"capacity\":{\"storage\":"
                       "\"1Gi\"},\"accessModes\":[\"ReadWriteOnce\"],\"claimRef\":{\"namespace\":"
                       "\"default\",\"name\":\"claim\"},\"csi\":{\"driver\":\"d\","
                       "\"volumeHandle\":\"h\",\"nodePublishSecretRef\":{\"name\":\"key\","
                       "\"namespace\":\"kube-system\"}}}}"),
                  201);
    static const char *const paths[] = {"/api/v1/namespaces/default/persistentvolumeclaims/claim",
                                        "/api/v1/persistentvolumes/pv",
                                        "/api/v1/namespaces/kube-system/secrets/key"};
    for (int i = 0; i < 3; i++)
        assert_status(call_as(h, n1, "GET", paths[i], NULL), 403);
    assert_status(call(h, "POST", "/api/v1/namespaces/default/pods",
                       "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"nodeName\":\"n1\",\"volumes\":[{"
                       "\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"claim\"}}],"
                       "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}"),
                  201);
    static const int found[] = {404, 200, 404};
    for (int i = 0; i < 3; i++)
        assert_status(call_as(h, n1, "GET", paths[i], NULL), found[i]);
    assert_status(call_as(h, n1, "GET", "/api/v1/persistentvolumes", NULL), 403);
    // A token of the pod's service account; NodeRestriction wants it bound to the pod.
    assert_status(call_as(h, n1, "POST", "/api/v1/namespaces/default/serviceaccounts/other/token",
                          "{}"),
                  403);
    assert_status(
        call_as(h, n1, "GET", "/api/v1/namespaces/default/serviceaccounts/default", NULL), 200);
    assert_status(call(h, "DELETE", "/api/v1/persistentvolumes/pv", NULL), 200);
    assert_status(call_as(h, n1, "GET", paths[2], NULL), 403);
    http_client_free(n1);
}

// What a node asks for, and how it is refused (node_authorizer.go, KEP-4601).
static void test_node_limits(void **state) {
    Harness *h = *state;
    HttpClient *n1 = harness_client(h, "system:node:n1", "system:nodes");
    assert_status(call_as(h, n1, "POST", "/api/v1/nodes", "{\"metadata\":{\"name\":\"n1\"}}"), 201);
    assert_status(call(h, "POST", "/api/v1/nodes", "{\"metadata\":{\"name\":\"n2\"}}"), 201);
    static const struct {
        const char *target, *why; // NULL: allowed
    } cases[] = {
        {"/api/v1/pods", "can only list/watch pods with spec.nodeName field selector"},
        {"/api/v1/pods?fieldSelector=spec.nodeName%3Dn2",
         "can only list/watch pods with spec.nodeName field selector"},
        {"/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", NULL},
        {"/api/v1/namespaces/default/pods/p",
         "no relationship found between node 'n1' and this object"},
        {"/api/v1/nodes/n1", NULL},
        {"/api/v1/nodes/n2", "node 'n1' cannot read 'n2', only its own Node object"},
        {"/api/v1/nodes", "node 'n1' cannot read all nodes, only its own Node object"},
        {"/api/v1/nodes?fieldSelector=metadata.name%3Dn1", NULL},
        {"/api/v1/services", NULL},
        {"/api/v1/namespaces/default/secrets", "No Object name found"},
        {"/apis/coordination.k8s.io/v1/namespaces/default/leases/n1",
         "can only access leases in the \"kube-node-lease\" system namespace"},
        {"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n2",
         "can only access node lease with the same name as the requesting node"},
        {"/apis/storage.k8s.io/v1/csinodes/n2",
         "can only access CSINode with the same name as the requesting node"},
        {"/apis/resource.k8s.io/v1/resourceslices",
         "can only list/watch/deletecollection resourceslices with nodeName field selector"},
        {"/apis/resource.k8s.io/v1/resourceslices?fieldSelector=spec.nodeName%3Dn1", NULL},
        {"/apis/storage.k8s.io/v1/volumeattachments/a",
         "no relationship found between node 'n1' and this object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Answer *answer = call_as(h, n1, "GET", cases[i].target, NULL);
        if (answer->status != (cases[i].why ? 403 : 200) ||
            (cases[i].why && !strstr(text_at(answer, "message"), cases[i].why)))
            fail_msg("%s: %d %s", cases[i].target, answer->status, text_at(answer, "message"));
    }
    // A review asks about a selector, too.
    static const char *const selectors[] = {
        "\"fieldSelector\":{\"rawSelector\":\"spec.nodeName=n1\"}",
        ("\"fieldSelector\":{\"requirements\":[{\"key\":\"spec.nodeName\",\"operator\":\"In\","
         "\"values\":[\"n1\"]}]}"),
        "\"fieldSelector\":{\"rawSelector\":\"spec.nodeName=n2\"}", "\"group\":\"\""};
    for (int i = 0; i < 4; i++) {
        char body[400];
        snprintf(body, sizeof body,
                 "{\"spec\":{\"user\":\"system:node:n1\",\"groups\":[\"system:nodes\"],"
                 "\"resourceAttributes\":{\"verb\":\"list\",\"resource\":\"pods\",%s}}}",
                 selectors[i]);
        Answer *answer =
            call(h, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body);
        assert_status(answer, 201);
        assert_int_equal(value_bool_at(answer->json, "status.allowed", false), i < 2);
    }
    http_client_free(n1);
}

// Nobody but an administrator may have more than 200 writes under way at once.
static void test_too_many_requests(void **state) {
    Harness *h = *state;
    bind(h, "joe-admin", "cluster-admin", "joe");
    HttpClient *joe = harness_client(h, "joe", NULL);
    // Pods wait a moment for the service account that is not there.
    Answer *answers[250];
    size_t waiting = 0, refused = 0;
    for (int i = 0; i < 250; i++) {
        char body[128];
        snprintf(body, sizeof body,
                 "{\"metadata\":{\"name\":\"p%d\"},\"spec\":{\"containers\":[{\"name\":\"c\","
                 "\"image\":\"i\"}]}}",
                 i);
        answers[i] =
            call_start(h, joe, "POST", "/api/v1/namespaces/default/pods", body, NULL, NULL);
    }
    harness_run(h, NSEC_PER_SEC);
    for (int i = 0; i < 250; i++) {
        waiting += !answers[i]->done;
        if (answers[i]->status != 429)
            continue;
        refused++;
        assert_string_equal(text_at(answers[i], "message"),
                            "Too many requests, please try again later.");
        assert_int_equal(number_at(answers[i], "details.retryAfterSeconds"), 1);
    }
    assert_int_equal(waiting, 200);
    assert_int_equal(refused, 50);
    harness_run(h, NSEC_PER_SEC);
    assert_status(call_as(h, joe, "POST", MAPS, "{\"metadata\":{\"name\":\"last\"}}"), 201);
    http_client_free(joe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_denied_by_default, setup, teardown),
        cmocka_unit_test_setup_teardown(test_roles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_escalation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_impersonation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_anonymous, setup, teardown),
        cmocka_unit_test_setup_teardown(test_service_account_token, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bound_token, setup, teardown),
        cmocka_unit_test_setup_teardown(test_access_reviews, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nodes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_node_volumes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_node_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_node_references, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_requests, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
