// NodeRestriction: what a node may not do. Wording: plugin/pkg/admission/noderestriction.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "harness.h"

#define PODS "/api/v1/namespaces/default/pods"
#define LEASES "/apis/coordination.k8s.io/v1/namespaces/%s/leases"

typedef struct World {
    Harness *h;
    HttpClient *node;
    const char *uid;
} World;

static int setup(void **state) {
    World *w = memory_new(World);
    w->h = harness_new();
    w->node = harness_client(w->h, "system:node:n1", "system:nodes");
    assert_status(call(w->h, "POST", "/api/v1/namespaces/default/serviceaccounts",
                       "{\"metadata\":{\"name\":\"default\"},"
                       "\"automountServiceAccountToken\":false}"),
                  201);
    Answer *made =
        call_as(w->h, w->node, "POST", "/api/v1/nodes", "{\"metadata\":{\"name\":\"n1\"}}");
    assert_status(made, 201);
    w->uid = text_at(made, "metadata.uid");
    *state = w;
    return 0;
}

static int teardown(void **state) {
    World *w = *state;
    http_client_free(w->node);
    harness_free(w->h);
    free(w);
    return 0;
}

static Answer *mirror(World *w, const char *metadata, const char *spec) {
    char body[2048];
    snprintf(body, sizeof body,
             "{\"metadata\":{\"name\":\"p\"%s},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":"
             "\"i\"}]%s}}",
             metadata, spec);
    return call_as(w->h, w->node, "POST", PODS, body);
}

#define ANNOTATION ",\"annotations\":{\"kubernetes.io/config.mirror\":\"x\"}"
#define SELF ",\"nodeName\":\"n1\""

static void test_mirror_pods(void **state) {
    World *w = *state;
    char owned[512];
    const char *frame = ANNOTATION ",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Node\","
                                   "\"name\":\"%s\",\"uid\":\"%s\"%s}]";
#define REFUSED(why) "pods \"p\" is forbidden: " why
    assert_refused(mirror(w, "", SELF), 403,
                   REFUSED("pod does not have \"kubernetes.io/config.mirror\" annotation, node "
                           "\"n1\" can only create mirror pods"));
    assert_refused(
        mirror(w, ANNOTATION, ",\"nodeName\":\"n2\""), 403,
        REFUSED("node \"n1\" can only create pods with spec.nodeName set to itself"));
    assert_refused(
        mirror(w, ANNOTATION, SELF), 403,
        REFUSED("node \"n1\" can only create pods with an owner reference set to itself"));
    snprintf(owned, sizeof owned, frame, "n2", w->uid, ",\"controller\":true");
    assert_refused(
        mirror(w, owned, SELF), 403,
        REFUSED("node \"n1\" can only create pods with an owner reference set to itself"));
    snprintf(owned, sizeof owned, frame, "n1", w->uid, "");
    assert_refused(mirror(w, owned, SELF), 403,
                   REFUSED("node \"n1\" can only create pods with a controller owner reference set "
                           "to itself"));
    snprintf(owned, sizeof owned, frame, "n1", w->uid,
             ",\"controller\":true,\"blockOwnerDeletion\":true");
    assert_refused(
        mirror(w, owned, SELF), 403,
        REFUSED("node \"n1\" must not set blockOwnerDeletion on an owner reference"));
    snprintf(owned, sizeof owned, frame, "n1", "other", ",\"controller\":true");
    Answer *answer = mirror(w, owned, SELF);
    assert_status(answer, 403);
    assert_non_null(strstr(text_at(answer, "message"), "node n1 UID mismatch: expected other got"));
    snprintf(owned, sizeof owned, frame, "n1", w->uid, ",\"controller\":true");
    assert_refused(mirror(w, owned,
                          SELF ",\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{"
                               "\"claimName\":\"c\"}}]"),
                   403,
                   REFUSED("node \"n1\" can not create pods that reference "
                           "persistentvolumeclaims"));
    assert_refused(mirror(w, owned,
                          SELF ",\"volumes\":[{\"name\":\"v\",\"configMap\":{\"name\":\"c\"}}]"),
                   403, REFUSED("node \"n1\" can not create pods that reference configmaps"));
    assert_refused(mirror(w, owned, SELF ",\"imagePullSecrets\":[{\"name\":\"c\"}]"), 403,
                   REFUSED("node \"n1\" can not create pods that reference secrets"));
    assert_status(mirror(w, owned, SELF), 201);
    assert_refused(call_as(w->h, w->node, "POST", PODS "/p/eviction",
                           "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{"
                           "\"name\":\"other\"}}"),
                   400, "name in URL does not match name in Eviction object");
    assert_status(call_as(w->h, w->node, "DELETE", PODS "/p", NULL), 200);
}

static void test_pods_of_others(void **state) {
    World *w = *state;
    assert_status(call(w->h, "POST", PODS,
                       "{\"metadata\":{\"name\":\"o\"},\"spec\":{\"nodeName\":\"n2\","
                       "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}"),
                  201);
    assert_refused(call_as(w->h, w->node, "DELETE", PODS "/o", NULL), 403,
                   "pods \"o\" is forbidden: node \"n1\" can only delete pods with spec.nodeName "
                   "set to itself");
    assert_refused(call_as(w->h, w->node, "POST", PODS "/o/eviction",
                           "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{"
                           "\"name\":\"o\"}}"),
                   403,
                   "pods \"o\" is forbidden: node n1 can only evict pods with spec.nodeName set to "
                   "itself");
}

static Answer *label_node(World *w, const char *label) {
    char body[256];
    snprintf(body, sizeof body, "{\"metadata\":{\"labels\":{\"%s\":\"x\"}}}", label);
    const char *const headers[] = {"Content-Type", "application/merge-patch+json", NULL};
    return call_with(w->h, w->node, "PATCH", "/api/v1/nodes/n1", body, headers);
}

static void test_labels_and_taints(void **state) {
    World *w = *state;
    static const char *const allowed[] = {"kubernetes.io/hostname", "topology.kubernetes.io/zone",
                                          "node.kubernetes.io/anything", "x.kubelet.kubernetes.io/y",
                                          "example.com/a", "plain"};
    static const char *const forbidden[] = {"node-role.kubernetes.io/x", "kubernetes.io/other",
                                            "x.node-restriction.kubernetes.io/y", "foo.k8s.io/x",
                                            "node-restriction.kubernetes.io/z"};
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        assert_status(label_node(w, allowed[i]), 200);
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
        char text[256];
        snprintf(text, sizeof text,
                 "nodes \"n1\" is forbidden: is not allowed to modify labels: %s", forbidden[i]);
        assert_refused(label_node(w, forbidden[i]), 403, text);
    }
    const char *const headers[] = {"Content-Type", "application/merge-patch+json", NULL};
    assert_refused(call_with(w->h, w->node, "PATCH", "/api/v1/nodes/n1",
                             "{\"spec\":{\"taints\":null}}", headers),
                   403,
                   "nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify taints");
    HttpClient *n3 = harness_client(w->h, "system:node:n3", "system:nodes");
    assert_refused(call_as(w->h, n3, "POST", "/api/v1/nodes",
                           "{\"metadata\":{\"name\":\"n3\",\"labels\":{\"node-role.kubernetes.io/"
                           "b\":\"\",\"k8s.io/a\":\"\",\"own\":\"\"}}}"),
                   403,
                   "nodes \"n3\" is forbidden: node \"n3\" is not allowed to set the following "
                   "labels: k8s.io/a, node-role.kubernetes.io/b");
    http_client_free(n3);
}

static void test_leases(void **state) {
    World *w = *state;
    char path[256];
    snprintf(path, sizeof path, LEASES, "kube-node-lease");
    assert_refused(call_as(w->h, w->node, "POST", path, "{\"metadata\":{\"name\":\"n2\"}}"), 403,
                   "leases.coordination.k8s.io \"n2\" is forbidden: can only access node lease "
                   "with the same name as the requesting node");
    assert_status(call_as(w->h, w->node, "POST", path, "{\"metadata\":{\"name\":\"n1\"}}"), 201);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_mirror_pods),
        T(test_pods_of_others),
        T(test_labels_and_taints),
        T(test_leases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
