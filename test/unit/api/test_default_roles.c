// Each default role: a request that it allows, and one just outside that it refuses. The roles and
// their rules are those of plugin/pkg/auth/authorizer/rbac/bootstrappolicy (v1.35).
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "api/bootstrap.h"
#include "harness.h"

#define RBAC "/apis/rbac.authorization.k8s.io/v1"

// A request: "VERB GROUP/RESOURCE[/SUBRESOURCE][@NAME]" or "VERB !PATH".
typedef struct Case {
    const char *role, *inside, *outside;
} Case;
static const Case cases[] = {
    {"cluster-admin", "escalate any.group/things", NULL}, // nothing is outside
    {"admin", "create rbac.authorization.k8s.io/rolebindings", "update /resourcequotas"},
    {"edit", "delete apps/deployments", "create rbac.authorization.k8s.io/rolebindings"},
    {"view", "get /pods/log", "get /secrets"},
    {"system:aggregate-to-admin", "create authorization.k8s.io/localsubjectaccessreviews",
     "create authorization.k8s.io/subjectaccessreviews"},
    {"system:aggregate-to-edit", "impersonate /serviceaccounts", "impersonate /users"},
    {"system:aggregate-to-view", "list events.k8s.io/events", "create events.k8s.io/events"},
    {"system:aggregated-metrics-reader", "list metrics.k8s.io/pods", "watch /pods"},
    {"system:discovery", "get !/apis/apps/v1", "get !/metrics"},
    {"system:monitoring", "get !/readyz/etcd", "get !/logs"},
    {"system:basic-user", "create authentication.k8s.io/selfsubjectreviews",
     "create authentication.k8s.io/tokenreviews"},
    {"system:public-info-viewer", "get !/version", "get !/api"},
    {"system:service-account-issuer-discovery", "get !/openid/v1/jwks", "get !/openid/v1"},
    {"system:heapster", "list /nodes", "list /secrets"},
    {"system:node", "update /nodes/status", "delete /nodes"},
    {"system:node-problem-detector", "patch /nodes/status", "patch /nodes"},
    {"system:node-bootstrapper", "create certificates.k8s.io/certificatesigningrequests",
     "update certificates.k8s.io/certificatesigningrequests/approval"},
    {"system:auth-delegator", "create authentication.k8s.io/tokenreviews",
     "create authorization.k8s.io/localsubjectaccessreviews"},
    {"system:kube-aggregator", "watch /services", "watch /pods"},
    {"system:kube-controller-manager", "update coordination.k8s.io/leases@kube-controller-manager",
     "update coordination.k8s.io/leases@kube-scheduler"},
    {"system:kube-dns", "watch /endpoints", "get /endpoints"},
    {"system:persistent-volume-provisioner", "create /persistentvolumes",
     "create /persistentvolumeclaims"},
    {"system:certificates.k8s.io:certificatesigningrequests:nodeclient",
     "create certificates.k8s.io/certificatesigningrequests/nodeclient",
     "create certificates.k8s.io/certificatesigningrequests/selfnodeclient"},
    {"system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
     "create certificates.k8s.io/certificatesigningrequests/selfnodeclient",
     "create certificates.k8s.io/certificatesigningrequests/nodeclient"},
    {"system:volume-scheduler", "patch /persistentvolumes", "delete /persistentvolumes"},
    {"system:certificates.k8s.io:legacy-unknown-approver",
     "approve certificates.k8s.io/signers@kubernetes.io/legacy-unknown",
     "sign certificates.k8s.io/signers@kubernetes.io/legacy-unknown"},
    {"system:certificates.k8s.io:kubelet-serving-approver",
     "approve certificates.k8s.io/signers@kubernetes.io/kubelet-serving",
     "approve certificates.k8s.io/signers@kubernetes.io/kube-apiserver-client"},
    {"system:certificates.k8s.io:kube-apiserver-client-approver",
     "approve certificates.k8s.io/signers@kubernetes.io/kube-apiserver-client",
     "approve certificates.k8s.io/signers@kubernetes.io/kube-apiserver-client-kubelet"},
    {"system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
     "approve certificates.k8s.io/signers@kubernetes.io/kube-apiserver-client-kubelet",
     "approve certificates.k8s.io/signers@kubernetes.io/kubelet-serving"},
    {"system:kubelet-api-admin", "create /nodes/proxy", "create /pods/proxy"},
    {"system:node-proxier", "list networking.k8s.io/servicecidrs",
     "get networking.k8s.io/servicecidrs"},
    {"system:kube-scheduler", "create /pods/binding", "create /pods/eviction"},
    {"extension-apiserver-authentication-reader",
     "get /configmaps@extension-apiserver-authentication", "get /configmaps@other"},
    {"system:controller:bootstrap-signer", "list /secrets", "delete /secrets"},
    {"system:controller:cloud-provider", "create /configmaps", "update /configmaps"},
    {"system:controller:token-cleaner", "delete /secrets", "update /secrets"},
    {"system::leader-locking-kube-controller-manager", "update /configmaps@kube-controller-manager",
     "update /configmaps@kube-scheduler"},
    {"system::leader-locking-kube-scheduler", "update /configmaps@kube-scheduler",
     "update /configmaps@kube-controller-manager"},
    {"kube-public/system:controller:bootstrap-signer", "update /configmaps@cluster-info",
     "update /configmaps@other"},
    {"system:controller:attachdetach-controller", "create storage.k8s.io/volumeattachments",
     "update storage.k8s.io/volumeattachments"},
    {"system:controller:clusterrole-aggregation-controller",
     "escalate rbac.authorization.k8s.io/clusterroles", "escalate rbac.authorization.k8s.io/roles"},
    {"system:controller:cronjob-controller", "create batch/jobs", "create batch/cronjobs"},
    {"system:controller:daemon-set-controller", "create /pods/binding", "update /pods"},
    {"system:controller:deployment-controller", "patch apps/replicasets", "patch apps/deployments"},
    {"system:controller:disruption-controller", "get example.com/things/scale",
     "update example.com/things/scale"},
    {"system:controller:endpoint-controller", "create /endpoints/restricted", "patch /endpoints"},
    {"system:controller:endpointslice-controller", "delete discovery.k8s.io/endpointslices",
     "update /services"},
    {"system:controller:endpointslicemirroring-controller", "update /endpoints/finalizers",
     "update /endpoints"},
    {"system:controller:expand-controller", "patch /persistentvolumes",
     "patch /persistentvolumeclaims"},
    {"system:controller:ephemeral-volume-controller", "create /persistentvolumeclaims",
     "delete /persistentvolumeclaims"},
    {"system:controller:resource-claim-controller", "patch resource.k8s.io/resourceclaims/status",
     "create resource.k8s.io/resourceslices"},
    {"system:controller:generic-garbage-collector", "patch example.com/things",
     "create example.com/things"},
    {"system:controller:horizontal-pod-autoscaler", "update apps/deployments/scale",
     "update apps/deployments"},
    {"system:controller:job-controller", "patch batch/jobs", "delete batch/jobs"},
    {"system:controller:namespace-controller", "deletecollection example.com/things",
     "update example.com/things"},
    {"system:controller:node-controller", "patch /pods/status", "patch /pods"},
    {"system:controller:persistent-volume-binder", "delete /persistentvolumes",
     "delete /persistentvolumeclaims"},
    {"system:controller:pod-garbage-collector", "patch /pods/status", "update /pods/status"},
    {"system:controller:replicaset-controller", "update apps/replicasets/status",
     "delete apps/replicasets"},
    {"system:controller:replication-controller", "update /replicationcontrollers",
     "patch /replicationcontrollers"},
    {"system:controller:resourcequota-controller", "update /resourcequotas/status",
     "update /resourcequotas"},
    {"system:controller:route-controller", "patch /nodes/status", "update /nodes/status"},
    {"system:controller:service-account-controller", "create /serviceaccounts",
     "delete /serviceaccounts"},
    {"system:controller:service-controller", "patch /services/status", "patch /services"},
    {"system:controller:service-cidrs-controller", "patch networking.k8s.io/servicecidrs/status",
     "update networking.k8s.io/ipaddresses"},
    {"system:controller:statefulset-controller", "delete /persistentvolumeclaims",
     "patch /persistentvolumeclaims"},
    {"system:controller:ttl-controller", "patch /nodes", "get /nodes"},
    {"system:controller:certificate-controller",
     "sign certificates.k8s.io/signers@kubernetes.io/kubelet-serving",
     "approve certificates.k8s.io/signers@kubernetes.io/kubelet-serving"},
    {"system:controller:pvc-protection-controller", "update /persistentvolumeclaims",
     "update /persistentvolumes"},
    {"system:controller:pv-protection-controller", "update /persistentvolumes",
     "update /persistentvolumeclaims"},
    {"system:controller:volumeattributesclass-protection-controller",
     "update storage.k8s.io/volumeattributesclasses", "update /persistentvolumes"},
    {"system:controller:ttl-after-finished-controller", "delete batch/jobs", "update batch/jobs"},
    {"system:controller:root-ca-cert-publisher", "update /configmaps", "patch /configmaps"},
    {"system:controller:validatingadmissionpolicy-status-controller",
     "patch admissionregistration.k8s.io/validatingadmissionpolicies/status",
     "patch admissionregistration.k8s.io/validatingadmissionpolicies"},
    {"system:controller:legacy-service-account-token-cleaner",
     "get /configmaps@kube-apiserver-legacy-service-account-token-tracking",
     "get /configmaps@other"},
    {"system:controller:selinux-warning-controller", "list storage.k8s.io/csidrivers",
     "list storage.k8s.io/csinodes"},
};

static void review_body(char *body, size_t size, const char *user, const char *namespace_,
                        const char *request) {
    char verb[32], rest[160], *name, *resource, *subresource;
    assert_int_equal(sscanf(request, "%31s %159s", verb, rest), 2);
    if (rest[0] == '!') {
        snprintf(body, size,
                 "{\"spec\":{\"user\":\"%s\",\"nonResourceAttributes\":{\"verb\":\"%s\",\"path\":"
                 "\"%s\"}}}",
                 user, verb, rest + 1);
        return;
    }
    if ((name = strchr(rest, '@')))
        *name++ = 0;
    resource = strchr(rest, '/');
    *resource++ = 0;
    if ((subresource = strchr(resource, '/')))
        *subresource++ = 0;
    snprintf(body, size,
             "{\"spec\":{\"user\":\"%s\",\"resourceAttributes\":{\"verb\":\"%s\",\"group\":\"%s\","
             "\"resource\":\"%s\",\"subresource\":\"%s\",\"name\":\"%s\",\"namespace\":\"%s\"}}}",
             user, verb, rest, resource, subresource ? subresource : "", name ? name : "",
             namespace_);
}

static bool is_allowed(Harness *h, const char *user, const char *namespace_, const char *request) {
    char body[600];
    review_body(body, sizeof body, user, namespace_, request);
    Answer *answer =
        call(h, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body);
    assert_status(answer, 201);
    return value_bool_at(answer->json, "status.allowed", false);
}

// Controllers hold their roles by the default bindings; the others are bound to a user here.
static const char *user_of(Harness *h, const BootstrapRole *role, char *user, size_t size) {
    static int count;
    if (!strncmp(role->name, "system:controller:", 18)) {
        snprintf(user, size, "system:serviceaccount:kube-system:%s", role->name + 18);
        return user;
    }
    char body[600], target[160] = RBAC "/clusterrolebindings";
    snprintf(user, size, "tester-%d", ++count);
    snprintf(body, sizeof body,
             "{\"metadata\":{\"name\":\"%s\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s."
             "io\",\"kind\":\"%s\",\"name\":\"%s\"},\"subjects\":[{\"kind\":\"User\",\"apiGroup\":"
             "\"rbac.authorization.k8s.io\",\"name\":\"%s\"}]}",
             user, role->namespace_ ? "Role" : "ClusterRole", role->name, user);
    if (role->namespace_)
        snprintf(target, sizeof target, RBAC "/namespaces/%s/rolebindings", role->namespace_);
    assert_status(call(h, "POST", target, body), 201);
    return user;
}

static const Case *case_of(const BootstrapRole *role) {
    const Case *found = NULL;
    char with_namespace[160];
    snprintf(with_namespace, sizeof with_namespace, "%s/%s",
             role->namespace_ ? role->namespace_ : "", role->name);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!strcmp(cases[i].role, with_namespace))
            return &cases[i];
        if (!strcmp(cases[i].role, role->name))
            found = &cases[i];
    }
    if (!found)
        fail_msg("no case for the role %s", role->name);
    return found;
}

static void test_just_outside(void **state) {
    Harness *h = harness_new();
    BootstrapRole role = {0};
    size_t n = 0;
    for (; bootstrap_role_next(&role); n++) {
        char buffer[160];
        const Case *of = case_of(&role);
        const char *user = user_of(h, &role, buffer, sizeof buffer);
        const char *where = role.namespace_ ? role.namespace_ : "default";
        if (!is_allowed(h, user, where, of->inside))
            fail_msg("%s does not allow: %s", role.name, of->inside);
        if (of->outside && is_allowed(h, user, where, of->outside))
            fail_msg("%s allows: %s", role.name, of->outside);
        if (role.namespace_ && is_allowed(h, user, "default", of->inside))
            fail_msg("%s reaches beyond %s: %s", role.name, where, of->inside);
    }
    assert_int_equal(n, sizeof cases / sizeof *cases);
    harness_free(h);
}

// What others than controllers get by default.
static void test_default_subjects(void **state) {
    Harness *h = harness_new();
    assert_true(is_allowed(h, "system:kube-scheduler", "", "create /pods/binding"));
    assert_true(is_allowed(h, "system:kube-scheduler", "", "patch /persistentvolumeclaims"));
    assert_true(is_allowed(h, "system:kube-proxy", "", "watch /services"));
    assert_true(is_allowed(h, "system:kube-controller-manager", "", "watch example.com/things"));
    assert_false(is_allowed(h, "system:kube-controller-manager", "", "get example.com/things"));
    assert_true(is_allowed(h, "system:serviceaccount:kube-system:kube-dns", "", "watch /services"));
    assert_false(is_allowed(h, "system:serviceaccount:default:kube-dns", "", "watch /services"));
    assert_true(is_allowed(h, "system:kube-scheduler", "kube-system",
                           "get /configmaps@extension-apiserver-authentication"));
    assert_false(is_allowed(h, "someone", "", "get !/version"));
    harness_free(h);
}

#define ROLE RBAC "/clusterroles/system:kube-dns"
#define BINDING RBAC "/clusterrolebindings/system:kube-dns"

// A start adds what is missing, keeps what people added, and obeys autoupdate
// (component-helpers' auth/rbac/reconciliation).
static void test_reconciled_at_start(void **state) {
    Harness *h = harness_new();
    assert_status(call_patch(h, "merge", ROLE,
                             "{\"metadata\":{\"labels\":{\"mine\":\"yes\",\"kubernetes.io/"
                             "bootstrapping\":null}},\"rules\":[{\"apiGroups\":[\"\"],\"resources\""
                             ":[\"services\"],\"verbs\":[\"get\",\"list\"]}]}"),
                  200);
    assert_status(call_patch(h, "merge", BINDING,
                             "{\"subjects\":[{\"kind\":\"Group\",\"apiGroup\":\"rbac.authorization."
                             "k8s.io\",\"name\":\"dns-people\"}]}"),
                  200);
    assert_status(call_patch(h, "merge", RBAC "/clusterroles/system:heapster",
                             "{\"metadata\":{\"annotations\":{\"rbac.authorization.kubernetes.io/"
                             "autoupdate\":\"false\"}},\"rules\":[]}"),
                  200);
    assert_status(call(h, "DELETE", RBAC "/clusterrolebindings/system:monitoring", NULL), 200);
    assert_status(call(h, "POST", RBAC "/clusterrolebindings",
                       "{\"metadata\":{\"name\":\"system:monitoring\"},\"roleRef\":{\"apiGroup\":"
                       "\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"view\"}}"),
                  201);
    harness_restart(h);
    Answer *role = call(h, "GET", ROLE, NULL);
    const Value *rules = value_get(role->json, STR("rules"));
    assert_true(is_allowed(h, "system:serviceaccount:kube-system:kube-dns", "", "get /services"));
    assert_true(
        is_allowed(h, "system:serviceaccount:kube-system:kube-dns", "", "watch /endpoints"));
    assert_int_equal(rules->n, 3); // theirs, list and watch of endpoints, watch of services
    const Value *labels = value_at(role->json, "metadata.labels");
    assert_non_null(value_get(labels, STR("mine")));
    assert_non_null(value_get(labels, STR("kubernetes.io/bootstrapping")));
    Answer *binding = call(h, "GET", BINDING, NULL);
    assert_int_equal(value_get(binding->json, STR("subjects"))->n, 2);
    Answer *heapster = call(h, "GET", RBAC "/clusterroles/system:heapster", NULL);
    const Value *none = value_get(heapster->json, STR("rules"));
    assert_true(!none || none->n == 0);
    // A binding of that name to another role is made anew: roleRef never changes.
    Answer *monitoring = call(h, "GET", RBAC "/clusterrolebindings/system:monitoring", NULL);
    assert_string_equal(text_at(monitoring, "roleRef.name"), "system:monitoring");
    // And then there is nothing left to do.
    const char *version =
        text_at(call(h, "GET", RBAC "/clusterroles", NULL), "metadata.resourceVersion");
    harness_restart(h);
    assert_string_equal(
        text_at(call(h, "GET", RBAC "/clusterroles", NULL), "metadata.resourceVersion"), version);
    harness_free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_just_outside),
        cmocka_unit_test(test_default_subjects),
        cmocka_unit_test(test_reconciled_at_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
