// Privilege escalation and impersonation:
// https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
// and .../authentication/#user-impersonation. Messages: kubernetes' pkg/registry/rbac/{clusterrole,
// rolebinding}/policybased/storage.go and pkg/registry/rbac/validation/rule.go, apiserver's
// pkg/endpoints/handlers/responsewriters/errors.go.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "harness.h"

#define RBAC "/apis/rbac.authorization.k8s.io/v1"
#define MAPS "/api/v1/namespaces/default/configmaps"
#define REF(kind, name)                                                                            \
    "'roleRef':{'apiGroup':'rbac.authorization.k8s.io','kind':'" kind "','name':'" name "'}"
#define JANE "'subjects':[{'kind':'User','apiGroup':'rbac.authorization.k8s.io','name':'jane'}]"
#define PODS_RULE "{'apiGroups':[''],'resources':['pods'],'verbs':['get']}"

typedef struct Fixture {
    Harness *h;
    HttpClient *jane;
} Fixture;

static const char *json(Harness *h, const char *body) {
    char *text = arena_cstr(h->arena, str_from(body));
    for (char *c = text; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    return text;
}

// Jane may write everything of RBAC, and get pods.
static int setup(void **state) {
    static Fixture fixture;
    Harness *h = fixture.h = harness_new();
    assert_status(call(h, "POST", RBAC "/clusterroles",
                       json(h, "{'metadata':{'name':'writer'},'rules':[{'apiGroups':['rbac."
                               "authorization.k8s.io'],'resources':['*'],'verbs':['create','update'"
                               ",'get','patch']}," PODS_RULE "]}")),
                  201);
    assert_status(
        call(h, "POST", RBAC "/clusterrolebindings",
             json(h, "{'metadata':{'name':'writer'}," REF("ClusterRole", "writer") "," JANE "}")),
        201);
    fixture.jane = harness_client(h, "jane", NULL);
    *state = &fixture;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    http_client_free(f->jane);
    harness_free(f->h);
    return 0;
}

static Answer *by_jane(Fixture *f, const char *method, const char *target, const char *body) {
    return call_as(f->h, f->jane, method, target, json(f->h, body));
}

static void grant(Fixture *f, const char *name, const char *rule) {
    Str role = arena_printf(f->h->arena, "{'metadata':{'name':'%s'},'rules':[%s]}", name, rule);
    Str binding = arena_printf(f->h->arena,
                               "{'metadata':{'name':'%s'},'roleRef':{'apiGroup':'rbac.authorization"
                               ".k8s.io','kind':'ClusterRole','name':'%s'}," JANE "}",
                               name, name);
    assert_status(call(f->h, "POST", RBAC "/clusterroles", json(f->h, role.ptr)), 201);
    assert_status(call(f->h, "POST", RBAC "/clusterrolebindings", json(f->h, binding.ptr)), 201);
}

#define ATTEMPT                                                                                    \
    "user \"jane\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions "   \
    "not currently held:\n"

static void test_roles(void **state) {
    Fixture *f = *state;
    assert_status(by_jane(f, "POST", RBAC "/clusterroles",
                          "{'metadata':{'name':'a'},'rules':[" PODS_RULE "]}"),
                  201);
    const char *more = "{'metadata':{'name':'a'},'rules':[" PODS_RULE
                       ",{'nonResourceURLs':['/metrics'],'verbs':['get']},{'apiGroups':['apps'],"
                       "'resources':['deployments'],'resourceNames':['d'],'verbs':['get']}]}";
    assert_refused(by_jane(f, "PUT", RBAC "/clusterroles/a", more), 403,
                   "clusterroles.rbac.authorization.k8s.io \"a\" is forbidden: " ATTEMPT
                   "{APIGroups:[\"apps\"], Resources:[\"deployments\"], ResourceNames:[\"d\"], "
                   "Verbs:[\"get\"]}\n"
                   "{NonResourceURLs:[\"/metrics\"], Verbs:[\"get\"]}");
    // In a namespace as well.
    assert_refused(by_jane(f, "POST", RBAC "/namespaces/default/roles",
                           "{'metadata':{'name':'r'},'rules':[{'apiGroups':[''],'resources':["
                           "'secrets'],'verbs':['get']}]}"),
                   403,
                   "roles.rbac.authorization.k8s.io \"r\" is forbidden: " ATTEMPT
                   "{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}");
    // Of a role that holds more than hers she may change the labels.
    const char *labels = "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}";
    const char *const merge[] = {"Content-Type", "application/merge-patch+json", NULL};
    assert_status(
        call_with(f->h, f->jane, "PATCH", RBAC "/clusterroles/cluster-admin", labels, merge), 200);
    assert_refused(by_jane(f, "POST", RBAC "/clusterroles",
                           "{'metadata':{'name':'g'},'aggregationRule':{'clusterRoleSelectors':[{"
                           "'matchLabels':{'a':'b'}}]}}"),
                   403,
                   "clusterroles.rbac.authorization.k8s.io \"g\" is forbidden: must have "
                   "cluster-admin privileges to use the aggregationRule");
    // The verb escalate lifts it.
    grant(f, "escalate",
          "{'apiGroups':['rbac.authorization.k8s.io'],'resources':['clusterroles'],'verbs':["
          "'escalate'],'resourceNames':['a']}");
    assert_status(by_jane(f, "PUT", RBAC "/clusterroles/a", more), 200);
    assert_status(by_jane(f, "POST", RBAC "/clusterroles",
                          "{'metadata':{'name':'b'},'rules':[{'apiGroups':['*'],'resources':['*'],"
                          "'verbs':['*']}]}"),
                  403);
}

static void test_bindings(void **state) {
    Fixture *f = *state;
    const char *view =
        "{'metadata':{'name':'v'}," REF("ClusterRole", "system:node-problem-detector") "," JANE "}";
    Answer *a = by_jane(f, "POST", RBAC "/clusterrolebindings", view);
    assert_status(a, 403);
    assert_non_null(
        strstr(text_at(a, "message"),
               "clusterrolebindings.rbac.authorization.k8s.io \"v\" is forbidden: " ATTEMPT
               "{APIGroups:[\"\"], "));
    assert_refused(by_jane(f, "POST", RBAC "/clusterrolebindings",
                           "{'metadata':{'name':'v'}," REF("ClusterRole", "none") "," JANE "}"),
                   404, "clusterroles.rbac.authorization.k8s.io \"none\" not found");
    assert_refused(by_jane(f, "POST", RBAC "/namespaces/default/rolebindings",
                           "{'metadata':{'name':'v'}," REF("Role", "none") "," JANE "}"),
                   404, "roles.rbac.authorization.k8s.io \"none\" not found");
    assert_status(by_jane(f, "POST", RBAC "/clusterrolebindings",
                          "{'metadata':{'name':'own'}," REF("ClusterRole", "writer") "," JANE "}"),
                  201);
    // The verb bind lifts it, for the role that it names.
    grant(
        f, "bind",
        "{'apiGroups':['rbac.authorization.k8s.io'],'resources':['clusterroles'],'verbs':['bind'],"
        "'resourceNames':['system:node-problem-detector']}");
    assert_status(by_jane(f, "POST", RBAC "/clusterrolebindings", view), 201);
    assert_status(by_jane(f, "POST", RBAC "/clusterrolebindings",
                          "{'metadata':{'name':'w'}," REF("ClusterRole", "cluster-admin") "," JANE
                                                                                          "}"),
                  403);
    // What a role refers to is settled for good.
    a = call(f->h, "PUT", RBAC "/clusterrolebindings/own",
             json(f->h, "{'metadata':{'name':'own'}," REF("ClusterRole", "view") "," JANE "}"));
    assert_status(a, 422);
    assert_non_null(strstr(text_at(a, "message"), "cannot change roleRef"));
}

static void test_impersonation(void **state) {
    Fixture *f = *state;
    static const struct {
        const char *headers[5];
        const char *message;
    } refused[] = {
        {{"Impersonate-User", "joe", NULL},
         "users \"joe\" is forbidden: User \"jane\" cannot impersonate resource \"users\" in API "
         "group \"\" at the cluster scope"},
        {{"Impersonate-User", "system:serviceaccount:default:a", NULL},
         "serviceaccounts \"a\" is forbidden: User \"jane\" cannot impersonate resource "
         "\"serviceaccounts\" in API group \"\" in the namespace \"default\""},
        {{"Impersonate-User", "max", "Impersonate-Group", "system:masters", NULL},
         "groups \"system:masters\" is forbidden: User \"jane\" cannot impersonate resource "
         "\"groups\" in API group \"\" at the cluster scope"},
        {{"Impersonate-User", "max", "Impersonate-Uid", "u", NULL},
         "uids.authentication.k8s.io \"u\" is forbidden: User \"jane\" cannot impersonate resource "
         "\"uids\" in API group \"authentication.k8s.io\" at the cluster scope"},
        {{"Impersonate-User", "max", "Impersonate-Extra-team", "red", NULL},
         "userextras.authentication.k8s.io \"red\" is forbidden: User \"jane\" cannot impersonate "
         "resource \"userextras/team\" in API group \"authentication.k8s.io\" at the cluster "
         "scope"},
    };
    grant(f, "max",
          "{'apiGroups':[''],'resources':['users'],'resourceNames':['max'],'verbs':["
          "'impersonate']}");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_refused(call_with(f->h, f->jane, "GET", MAPS, NULL, refused[i].headers), 403,
                       refused[i].message);
    // Who acts as somebody has that one's rights, and none of her own.
    const char *const as_max[] = {"Impersonate-User", "max", NULL};
    assert_refused(
        call_with(f->h, f->jane, "GET", "/api/v1/namespaces/default/pods/p", NULL, as_max), 403,
        "pods \"p\" is forbidden: User \"max\" cannot get resource \"pods\" in API group "
        "\"\" in the namespace \"default\"");
    grant(f, "extras",
          "{'apiGroups':['authentication.k8s.io'],'resources':['userextras/team'],'resourceNames':["
          "'red'],'verbs':['impersonate']}");
    const char *const red[] = {"Impersonate-User", "max", "Impersonate-Extra-Team", "red", NULL};
    const char *const blue[] = {"Impersonate-User", "max", "Impersonate-Extra-Team", "blue", NULL};
    const char *who = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    Answer *a = call_with(f->h, f->jane, "POST", who, "{}", red);
    assert_status(a, 201);
    assert_string_equal(text_at(a, "status.userInfo.username"), "max");
    assert_true(
        str_eq(value_at(a->json, "status.userInfo.extra.team")->items[0]->string, STR("red")));
    assert_status(call_with(f->h, f->jane, "POST", who, "{}", blue), 403);
    // The anonymous user is not among the authenticated ones, not even when impersonated: these may
    // ask who they are.
    assert_status(call_with(f->h, f->h->admin, "POST", who, "{}",
                            (const char *const[]){"Impersonate-User", "system:anonymous", NULL}),
                  403);
    assert_status(call_with(f->h, f->h->admin, "POST", who, "{}",
                            (const char *const[]){"Impersonate-User", "nobody", NULL}),
                  201);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {T(test_roles), T(test_bindings), T(test_impersonation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
