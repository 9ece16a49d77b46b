// Certificate signing requests from the question to the certificate, in virtual time.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "controllers/controllers.h"
#include "pki/pki.h"
#include "sim.h"

#define CSRS "/apis/certificates.k8s.io/v1/certificatesigningrequests"
#define RBAC "/apis/rbac.authorization.k8s.io/v1"
#define CLIENT "kubernetes.io/kube-apiserver-client"
#define KUBELET "kubernetes.io/kube-apiserver-client-kubelet"
#define SERVING "kubernetes.io/kubelet-serving"
#define CLIENT_USAGES "\"digital signature\",\"client auth\""
#define SERVER_USAGES "\"digital signature\",\"server auth\""
#define HOUR (3600 * NSEC_PER_SEC)

static Controllers *controllers;
static PkiPair ca;

static int setup(void **state) {
    Sim *sim = sim_new();
    int64_t now = loop_wall(sim->api->loop);
    assert_int_equal(
        pki_ca_new(sim->api->arena, STR("test CA"), now - HOUR, now + 24 * 3650 * HOUR, &ca), 0);
    controllers = controllers_new(
        &(ControllersConfig){.loop = sim->api->loop,
                             .client = sim_controller_client,
                             .user = sim,
                             .selection = STR("certificatesigningrequest-approving-controller,"
                                              "certificatesigningrequest-signing-controller,"
                                              "certificatesigningrequest-cleaner-controller"),
                             .cluster_ca = ca.certificate,
                             .cluster_ca_key = ca.key},
        NULL);
    sim_run(sim, NSEC_PER_SEC);
    *state = sim;
    return 0;
}

static int teardown(void **state) {
    controllers_free(controllers);
    sim_free(*state);
    return 0;
}

// A request as base64 of its PEM.
static const char *request(Sim *sim, const char *name, const char *organization, const char *san) {
    Arena *arena = sim->api->arena;
    Str key, pem, organizations[] = {str_from(organization)}, sans[] = {str_from(san)};
    PkiSubject subject = {str_from(name), organizations, organization ? 1 : 0};
    assert_int_equal(pki_key_new(arena, &key), 0);
    assert_int_equal(pki_request_new(arena, &subject, sans, san ? 1 : 0, key, &pem), 0);
    return arena_cstr(arena, pki_base64(arena, pem));
}

static Answer *send(Sim *sim, HttpClient *as, const char *name, const char *signer,
                    const char *usages, const char *encoded, const char *more) {
    char *body = malloc(8192);
    snprintf(body, 8192,
             "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"signerName\":\"%s\",\"usages\":[%s],"
             "\"request\":\"%s\"%s}}",
             name, signer, usages, encoded, more);
    Answer *answer = call_as(sim->api, as ? as : sim->api->admin, "POST", CSRS, body);
    free(body);
    return answer;
}

static Answer *get(Sim *sim, const char *name) {
    return call(sim->api, "GET", arena_printf(sim->api->arena, CSRS "/%s", name).ptr, NULL);
}

static const char *condition(Sim *sim, const char *name, const char *type, const char *field) {
    Answer *answer = get(sim, name);
    const Value *list = value_at(answer->json, "status.conditions");
    for (uint32_t i = 0; list && i < list->n; i++) {
        if (str_eq(value_string_at(list->items[i], "type"), str_from(type)))
            return arena_cstr(sim->api->arena, value_string_at(list->items[i], field));
    }
    return "";
}

// What `kubectl certificate approve|deny` sends.
static Answer *decide(Sim *sim, HttpClient *as, const char *name, const char *type) {
    Answer *answer = get(sim, name);
    assert_status(answer, 200);
    Arena *arena = sim->api->arena;
    Value *conditions = value_new_array(arena), *one = value_new_object(arena);
    value_set_str(arena, one, STR("type"), str_from(type));
    value_set_str(arena, one, STR("status"), STR("True"));
    value_set_str(arena, one, STR("reason"), STR("KubectlApprove"));
    value_set_str(arena, one, STR("message"), STR("This CSR was approved by kubectl."));
    value_push(arena, conditions, one);
    value_set(arena, value_at_make(arena, answer->json, "status"), STR("conditions"), conditions);
    Buf buf = BUF_INIT(1 << 20);
    value_write_json(answer->json, &buf);
    const char *body = arena_cstr(arena, buf_view(&buf));
    buf_deinit(&buf);
    return call_as(sim->api, as ? as : sim->api->admin, "PUT",
                   arena_printf(arena, CSRS "/%s/approval", name).ptr, body);
}

static Str certificate_of(Sim *sim, const char *name) {
    Str pem = STR_NONE, encoded = value_string_at(get(sim, name)->json, "status.certificate");
    if (encoded.len)
        assert_int_equal(pki_base64_decode(sim->api->arena, encoded, &pem), 0);
    return pem;
}

static int64_t lifetime_of(Sim *sim, const char *name) {
    int64_t expires;
    assert_int_equal(pki_certificate_expiry(certificate_of(sim, name), &expires), 0);
    return (expires - loop_wall(sim->api->loop)) / NSEC_PER_SEC;
}

static void bind(Sim *sim, const char *role, const char *user) {
    char body[600];
    snprintf(body, sizeof body,
             "{\"metadata\":{\"generateName\":\"b-\"},\"roleRef\":{\"apiGroup\":\"rbac."
             "authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"%s\"},\"subjects\":[{"
             "\"kind\":\"User\",\"apiGroup\":\"rbac.authorization.k8s.io\",\"name\":\"%s\"}]}",
             role, user);
    sim_create(sim, RBAC "/clusterrolebindings", body);
}

// ---- users' certificates

static void test_approve(void **state) {
    Sim *sim = *state;
    Answer *made = send(sim, NULL, "jane", CLIENT, CLIENT_USAGES, request(sim, "jane", "dev", NULL),
                        ",\"username\":\"somebody else\"");
    assert_status(made, 201);
    assert_string_equal(text_at(made, "spec.username"), "admin"); // who asked, not who they say
    assert_true(value_at(made->json, "spec.groups")->n > 0);
    sim_run(sim, NSEC_PER_SEC);
    assert_int_equal(certificate_of(sim, "jane").len, 0);
    assert_status(decide(sim, NULL, "jane", "Approved"), 200);
    assert_true(condition(sim, "jane", "Approved", "lastUpdateTime")[0]);
    assert_true(condition(sim, "jane", "Approved", "lastTransitionTime")[0]);
    sim_run(sim, NSEC_PER_SEC);
    assert_true(certificate_of(sim, "jane").len > 100);
    assert_in_range(lifetime_of(sim, "jane"), 365 * 86400 - 400, 365 * 86400);
    // An answer stands.
    Answer *again = decide(sim, NULL, "jane", "Denied");
    assert_status(again, 422);
    assert_non_null(strstr(text_at(again, "message"),
                           "status.conditions: Forbidden: updates may not remove a condition of "
                           "type \"Approved\""));
}

static void test_deny(void **state) {
    Sim *sim = *state;
    assert_status(
        send(sim, NULL, "joe", CLIENT, CLIENT_USAGES, request(sim, "joe", "dev", NULL), ""), 201);
    assert_status(decide(sim, NULL, "joe", "Denied"), 200);
    sim_run(sim, NSEC_PER_SEC);
    assert_int_equal(certificate_of(sim, "joe").len, 0);
}

static void test_duration(void **state) {
    Sim *sim = *state;
    assert_status(send(sim, NULL, "short", CLIENT, CLIENT_USAGES, request(sim, "a", NULL, NULL),
                       ",\"expirationSeconds\":3600"),
                  201);
    assert_status(send(sim, NULL, "long", CLIENT, CLIENT_USAGES, request(sim, "a", NULL, NULL),
                       ",\"expirationSeconds\":2000000000"),
                  201);
    decide(sim, NULL, "short", "Approved");
    decide(sim, NULL, "long", "Approved");
    sim_run(sim, NSEC_PER_SEC);
    assert_in_range(lifetime_of(sim, "short"), 3590, 3600);
    assert_in_range(lifetime_of(sim, "long"), 365 * 86400 - 400, 365 * 86400);
}

// The signer refuses what it is not for (pkg/controller/certificates/signer).
static void test_failed(void **state) {
    Sim *sim = *state;
    const struct {
        const char *name, *signer, *usages, *cn, *o, *san, *message;
    } cases[] = {
        {"usage", CLIENT, SERVER_USAGES, "a", NULL, NULL, "usages did not match"},
        {"code", CLIENT, CLIENT_USAGES ",\"code signing\"", "a", NULL, NULL, "usages did not match"},
        {"org", KUBELET, CLIENT_USAGES, "system:node:n", "nodes", NULL,
         "subject organization is not system:nodes"},
        {"cn", KUBELET, CLIENT_USAGES, "n", "system:nodes", NULL,
         "subject common name does not begin with system:node:"},
        {"dns", KUBELET, CLIENT_USAGES, "system:node:n", "system:nodes", "host",
         "DNS subjectAltNames are not allowed"},
        {"ip", KUBELET, CLIENT_USAGES, "system:node:n", "system:nodes", "192.0.2.1",
         "IP subjectAltNames are not allowed"},
        {"nosan", SERVING, SERVER_USAGES, "system:node:n", "system:nodes", NULL,
         "DNS or IP subjectAltName is required"},
        {"serving", SERVING, CLIENT_USAGES, "system:node:n", "system:nodes", "host",
         "usages did not match"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_status(send(sim, NULL, cases[i].name, cases[i].signer, cases[i].usages,
                           request(sim, cases[i].cn, cases[i].o, cases[i].san), ""),
                      201);
        assert_status(decide(sim, NULL, cases[i].name, "Approved"), 200);
        sim_run(sim, NSEC_PER_SEC);
        const char *why = condition(sim, cases[i].name, "Failed", "message");
        if (!strstr(why, cases[i].message) || !*why)
            fail_msg("%s: %s", cases[i].name, why);
        assert_string_equal(condition(sim, cases[i].name, "Failed", "reason"),
                            "SignerValidationFailure");
        assert_int_equal(certificate_of(sim, cases[i].name).len, 0);
    }
    assert_status(send(sim, NULL, "good", SERVING, SERVER_USAGES,
                       request(sim, "system:node:n", "system:nodes", "192.0.2.7"), ""),
                  201);
    decide(sim, NULL, "good", "Approved");
    sim_run(sim, NSEC_PER_SEC);
    assert_true(certificate_of(sim, "good").len > 0);
    // A foreign signer's is left alone.
    assert_status(send(sim, NULL, "foreign", "example.com/s", CLIENT_USAGES,
                       request(sim, "a", NULL, NULL), ""),
                  201);
    decide(sim, NULL, "foreign", "Approved");
    sim_run(sim, 100 * HOUR);
    assert_int_equal(certificate_of(sim, "foreign").len, 0);
    assert_status(get(sim, "foreign"), 200);
}

// ---- kubelets

static void test_kubelet(void **state) {
    Sim *sim = *state;
    HttpClient *joiner = harness_client(sim->api, "joiner", NULL);
    HttpClient *node = harness_client(sim->api, "system:node:n1", "system:nodes");
    bind(sim, "system:node-bootstrapper", "joiner");
    const char *own = request(sim, "system:node:n1", "system:nodes", NULL);
    assert_status(send(sim, joiner, "first", KUBELET, CLIENT_USAGES, own, ""), 201);
    assert_status(send(sim, node, "renewal", KUBELET, CLIENT_USAGES, own, ""), 201);
    assert_status(send(sim, node, "other", KUBELET, CLIENT_USAGES,
                       request(sim, "system:node:n2", "system:nodes", NULL), ""),
                  201);
    sim_run(sim, 10 * NSEC_PER_SEC);
    assert_string_equal(condition(sim, "first", "Approved", "reason"), "");
    assert_string_equal(condition(sim, "renewal", "Approved", "reason"), "");
    // The bindings that kubeadm makes; what waited is looked at again by and by.
    bind(sim, "system:certificates.k8s.io:certificatesigningrequests:nodeclient", "joiner");
    bind(sim, "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
         "system:node:n1");
    sim_run(sim, 60 * NSEC_PER_SEC);
    assert_string_equal(condition(sim, "first", "Approved", "message"),
                        "Auto approving kubelet client certificate after SubjectAccessReview.");
    assert_string_equal(condition(sim, "renewal", "Approved", "message"),
                        "Auto approving self kubelet client certificate after "
                        "SubjectAccessReview.");
    assert_true(certificate_of(sim, "first").len > 0);
    assert_true(certificate_of(sim, "renewal").len > 0);
    assert_string_equal(condition(sim, "other", "Approved", "reason"), ""); // not its own name
    http_client_free(joiner);
    http_client_free(node);
}

// ---- cleaning

static void test_cleaner(void **state) {
    Sim *sim = *state;
    const char *const names[] = {"pending", "denied", "issued"};
    for (int i = 0; i < 3; i++)
        assert_status(send(sim, NULL, names[i], CLIENT, CLIENT_USAGES,
                           request(sim, "a", NULL, NULL), ""),
                      201);
    decide(sim, NULL, "denied", "Denied");
    decide(sim, NULL, "issued", "Approved");
    sim_run(sim, HOUR / 2);
    for (int i = 0; i < 3; i++)
        assert_status(get(sim, names[i]), 200);
    sim_run(sim, HOUR);
    assert_status(get(sim, "pending"), 200);
    assert_status(get(sim, "denied"), 404);
    assert_status(get(sim, "issued"), 404);
    sim_run(sim, 23 * HOUR);
    assert_status(get(sim, "pending"), 404);
}

// ---- what is refused at once (pkg/apis/certificates/validation, plugin/pkg/admission/certificates)

static void test_refused(void **state) {
    Sim *sim = *state;
    const char *good = request(sim, "a", NULL, NULL);
    const struct {
        const char *signer, *usages, *request, *more, *message;
    } cases[] = {
        {CLIENT, "", good, "", "spec.usages: Required value"},
        {CLIENT, "\"magic\"", good, "", "spec.usages[0]: Unsupported value: \"magic\""},
        {CLIENT, "\"any\",\"any\"", good, "", "spec.usages[1]: Duplicate value: \"any\""},
        {"", "\"any\"", good, "", "spec.signerName: Required value"},
        {"nodots/x", "\"any\"", good, "",
         "should be a domain with at least two segments separated by dots"},
        {"example.com", "\"any\"", good, "",
         "must be a fully qualified domain and path of the form 'example.com/signer-name'"},
        {"kubernetes.io/legacy-unknown", "\"any\"", good, "",
         "the legacy signerName is not allowed via this API version"},
        {CLIENT, "\"any\"", good, ",\"expirationSeconds\":599",
         "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 "
         "seconds (10 minutes)"},
        {CLIENT, "\"any\"", "bm9uc2Vuc2U=", "", "PEM block type must be CERTIFICATE REQUEST"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Answer *answer = send(sim, NULL, "x", cases[i].signer, cases[i].usages, cases[i].request,
                              cases[i].more);
        assert_status(answer, 422);
        if (!strstr(text_at(answer, "message"), cases[i].message))
            fail_msg("%s instead of %s", text_at(answer, "message"), cases[i].message);
    }
    assert_refused(send(sim, NULL, "x", CLIENT, CLIENT_USAGES,
                        request(sim, "a", "system:masters", NULL), ""),
                   403,
                   "certificatesigningrequests.certificates.k8s.io \"x\" is forbidden: use of "
                   "kubernetes.io/kube-apiserver-client signer with system:masters group is not "
                   "allowed");
}

static void test_who_may_answer(void **state) {
    Sim *sim = *state;
    HttpClient *jane = harness_client(sim->api, "jane", NULL);
    sim_create(sim, RBAC "/clusterroles",
               "{\"metadata\":{\"name\":\"csr\"},\"rules\":[{\"apiGroups\":[\"certificates.k8s.io\"]"
               ",\"resources\":[\"certificatesigningrequests/approval\","
               "\"certificatesigningrequests/status\"],\"verbs\":[\"update\",\"patch\"]}]}");
    bind(sim, "csr", "jane");
    assert_status(
        send(sim, NULL, "x", CLIENT, CLIENT_USAGES, request(sim, "a", NULL, NULL), ""), 201);
    assert_refused(decide(sim, jane, "x", "Approved"), 403,
                   "certificatesigningrequests.certificates.k8s.io \"x\" is forbidden: user not "
                   "permitted to approve requests with signerName "
                   "\"kubernetes.io/kube-apiserver-client\"");
    const char *const merge[] = {"Content-Type", "application/merge-patch+json", NULL};
    assert_refused(call_with(sim->api, jane, "PATCH", CSRS "/x/status",
                             "{\"status\":{\"certificate\":\"eA==\"}}", merge),
                   403,
                   "certificatesigningrequests.certificates.k8s.io \"x\" is forbidden: user not "
                   "permitted to sign requests with signerName "
                   "\"kubernetes.io/kube-apiserver-client\"");
    bind(sim, "system:certificates.k8s.io:kube-apiserver-client-approver", "jane");
    assert_status(decide(sim, jane, "x", "Approved"), 200);
    // The main endpoint changes neither.
    Answer *kept = call_patch(sim->api, "merge", CSRS "/x",
                              "{\"spec\":{\"usages\":[\"any\"]},\"status\":{\"conditions\":null}}");
    assert_status(kept, 200);
    assert_int_equal(value_at(kept->json, "spec.usages")->n, 2);
    assert_string_equal(condition(sim, "x", "Approved", "status"), "True");
    http_client_free(jane);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_approve), TEST(test_deny),    TEST(test_duration), TEST(test_failed),
        TEST(test_kubelet), TEST(test_cleaner), TEST(test_refused),  TEST(test_who_may_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
