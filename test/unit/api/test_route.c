#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/auth/rules.h"
#include "api/route.h"

typedef struct Case {
    const char *method, *target;
    const char *shown; // "verb group/version resource/subresource namespace/name tail", or "verb
                       // path" outside resources
} Case;

static const Case cases[] = {
    {"GET", "/api/v1/pods", "list /v1 pods/ / "},
    {"GET", "/api/v1/namespaces/default/pods", "list /v1 pods/ default/ "},
    {"GET", "/api/v1/namespaces/default/pods/p", "get /v1 pods/ default/p "},
    {"HEAD", "/api/v1/namespaces/default/pods/p", "get /v1 pods/ default/p "},
    {"GET", "/api/v1/namespaces/default/pods/p/log", "get /v1 pods/log default/p "},
    {"POST", "/api/v1/namespaces/default/pods/p/exec?command=x", "create /v1 pods/exec default/p "},
    {"GET", "/api/v1/pods?watch=true", "watch /v1 pods/ / "},
    {"GET", "/api/v1/pods?watch=1", "watch /v1 pods/ / "},
    {"GET", "/api/v1/pods?watch=false", "list /v1 pods/ / "},
    {"GET", "/api/v1/pods?watch", "watch /v1 pods/ / "},
    {"GET", "/api/v1/pods?fieldSelector=metadata.name%3Dx", "list /v1 pods/ /x "},
    {"GET", "/api/v1/pods?fieldSelector=metadata.name%3D%3Dx,a%3Db", "list /v1 pods/ /x "},
    {"GET", "/api/v1/pods?fieldSelector=metadata.name!%3Dx", "list /v1 pods/ / "},
    {"GET", "/api/v1/watch/namespaces/default/pods/p", "watch /v1 pods/ default/p "},
    {"DELETE", "/api/v1/namespaces/default/pods", "deletecollection /v1 pods/ default/ "},
    {"DELETE", "/api/v1/namespaces/default/pods/p", "delete /v1 pods/ default/p "},
    {"GET", "/api/v1/namespaces", "list /v1 namespaces/ / "},
    {"GET", "/api/v1/namespaces/n", "get /v1 namespaces/ n/n "},
    {"PUT", "/api/v1/namespaces/n/finalize", "update /v1 namespaces/finalize n/n "},
    {"GET", "/api/v1/namespaces/n/status", "get /v1 namespaces/status n/n "},
    {"PATCH", "/apis/apps/v1/namespaces/n/deployments/d/scale",
     "patch apps/v1 deployments/scale n/d "},
    {"GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node",
     "get rbac.authorization.k8s.io/v1 clusterroles/ /system:node "},
    {"GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
     "get rbac.authorization.k8s.io/v1 clusterroles/ /system:node "},
    {"GET", "/api/v1/nodes/n/proxy/stats/summary", "get /v1 nodes/proxy /n /stats/summary"},
    {"GET", "/api/v1/nodes/n/proxy/", "get /v1 nodes/proxy /n "},
    {"OPTIONS", "/api/v1/pods", " /v1 pods/ / "},
    {"GET", "/api", "get /api"},
    {"GET", "/api/v1", "get /api/v1"},
    {"GET", "/apis/apps/v1", "get /apis/apps/v1"},
    {"GET", "/healthz", "get /healthz"},
    {"POST", "/", "post /"},
    {"GET", "/%68ealthz", "get /healthz"},
};

static void test_routes(void **state) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _arena_free_ Arena *arena = arena_new();
        HttpRequest request = {.arena = arena, .method = str_from(cases[i].method)};
        Str rest = str_from(cases[i].target);
        request.path = str_cut(&rest, '?');
        request.query = rest.ptr ? rest : STR("");
        RequestInfo info;
        assert_int_equal(route_parse(&request, &info), 0);
        Str shown =
            info.is_resource
                ? arena_printf(arena, "%.*s %.*s/%.*s %.*s/%.*s %.*s/%.*s %.*s", STR_ARG(info.verb),
                               STR_ARG(info.group), STR_ARG(info.version), STR_ARG(info.resource),
                               STR_ARG(info.subresource), STR_ARG(info.namespace_),
                               STR_ARG(info.name), STR_ARG(info.tail))
                : arena_printf(arena, "%.*s %.*s", STR_ARG(info.verb), STR_ARG(info.path));
        assert_string_equal(shown.ptr, cases[i].shown);
    }
}

static void test_bad_paths(void **state) {
    const char *const bad[] = {"/api/v1/%zz", "/api/v1/pods/%00", "/a%"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        _arena_free_ Arena *arena = arena_new();
        HttpRequest request = {
            .arena = arena, .method = STR("GET"), .path = str_from(bad[i]), .query = STR("")};
        RequestInfo info;
        assert_true(route_parse(&request, &info) < 0);
    }
}

// ---- policy rules

#define LIST(...) (const Str[]){__VA_ARGS__}, sizeof(Str[]){__VA_ARGS__} / sizeof(Str)

static PolicyRuleView rule(const Str *verbs, size_t n_verbs, const Str *groups, size_t n_groups,
                           const Str *resources, size_t n_resources) {
    return (PolicyRuleView){.verbs = verbs,
                            .n_verbs = n_verbs,
                            .groups = groups,
                            .n_groups = n_groups,
                            .resources = resources,
                            .n_resources = n_resources};
}

static bool allows(const PolicyRuleView *r, const char *verb, const char *group,
                   const char *resource, const char *subresource, const char *name) {
    Attributes attributes = {.is_resource = true,
                             .verb = str_from(verb),
                             .group = str_from(group),
                             .resource = str_from(resource),
                             .subresource = str_from(subresource),
                             .name = str_from(name)};
    return rule_allows(r, &attributes);
}

static void test_rules(void **state) {
    PolicyRuleView r =
        rule(LIST(STR("get")), LIST(STR("")), LIST(STR("pods"), STR("*/scale"), STR("nodes/log")));
    assert_true(allows(&r, "get", "", "pods", "", "x"));
    assert_false(allows(&r, "list", "", "pods", "", ""));
    assert_false(allows(&r, "get", "apps", "pods", "", "x"));
    assert_false(allows(&r, "get", "", "pods", "log", "x"));
    assert_true(allows(&r, "get", "", "nodes", "log", "x"));
    assert_false(allows(&r, "get", "", "nodes", "", "x"));
    assert_true(allows(&r, "get", "", "anything", "scale", "x"));
    r.names = (const Str[]){STR("a")};
    r.n_names = 1;
    assert_true(allows(&r, "get", "", "pods", "", "a"));
    assert_false(allows(&r, "get", "", "pods", "", "b"));
    assert_false(allows(&r, "get", "", "pods", "", ""));
    PolicyRuleView all = rule(LIST(STR("*")), LIST(STR("*")), LIST(STR("*")));
    assert_true(allows(&all, "x", "y", "z", "s", ""));
    assert_false(rule_allows(&all, &(Attributes){.verb = STR("get"), .path = STR("/version")}));
    PolicyRuleView url = {.verbs = (const Str[]){STR("get")},
                          .n_verbs = 1,
                          .urls = (const Str[]){STR("/healthz"), STR("/api/*")},
                          .n_urls = 2};
    assert_true(rule_allows(&url, &(Attributes){.verb = STR("get"), .path = STR("/healthz")}));
    assert_false(
        rule_allows(&url, &(Attributes){.verb = STR("get"), .path = STR("/healthz/etcd")}));
    assert_true(rule_allows(&url, &(Attributes){.verb = STR("get"), .path = STR("/api/v1")}));
    assert_false(rule_allows(&url, &(Attributes){.verb = STR("get"), .path = STR("/api")}));
}

static void test_covering(void **state) {
    _arena_free_ Arena *arena = arena_new();
    PolicyRuleView held[] = {rule(LIST(STR("get"), STR("list")), LIST(STR("")), LIST(STR("pods"))),
                             rule(LIST(STR("*")), LIST(STR("apps")), LIST(STR("*")))};
    PolicyRuleView wanted[] = {
        rule(LIST(STR("get"), STR("watch")), LIST(STR("")), LIST(STR("pods"), STR("secrets"))),
        rule(LIST(STR("delete")), LIST(STR("apps")), LIST(STR("deployments/scale")))};
    const PolicyRuleView *missing;
    assert_int_equal(rules_missing(arena, held, 2, wanted, 2, &missing), 2);
    assert_string_equal(rule_text(arena, &missing[0]).ptr,
                        "{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"watch\"]}");
    assert_string_equal(rule_text(arena, &missing[1]).ptr,
                        "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"watch\"]}");
    // One name is less than all of them, and more than nothing.
    PolicyRuleView named = held[0];
    named.names = (const Str[]){STR("a")};
    named.n_names = 1;
    assert_int_equal(rules_missing(arena, &named, 1, held, 1, &missing), 1);
    assert_int_equal(rules_missing(arena, held, 1, &named, 1, &missing), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_bad_paths),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_covering),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
