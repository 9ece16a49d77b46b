// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>

#include "from_json.h"
#include "rules/affinity.h"

static const char node_json[] =
    "{'metadata':{'name':'node-1','labels':{'kubernetes.io/hostname':'node-1','zone':'a',"
    "'cores':'8','empty':'','negative':'-3','big':'9223372036854775808'}}}";

static bool matches(const char *spec_json) {
    _arena_free_ Arena *arena = arena_new();
    PodSpec spec;
    Node node;
    from_json(arena, kinds_type_PodSpec(), spec_json, &spec);
    from_json(arena, kinds_type_Node(), node_json, &node);
    return node_affinity_matches(&spec, &node);
}

static bool term_matches(const char *term_json) {
    _arena_free_ Arena *arena = arena_new();
    NodeSelectorTerm term;
    Node node;
    from_json(arena, kinds_type_NodeSelectorTerm(), term_json, &term);
    from_json(arena, kinds_type_Node(), node_json, &node);
    return node_selector_term_matches(&term, &node);
}

static void test_node_selector(void **state) {
    assert_true(matches("{}"));
    assert_true(matches("{'nodeSelector':{}}"));
    assert_true(matches("{'nodeSelector':{'zone':'a','cores':'8'}}"));
    assert_true(matches("{'nodeSelector':{'empty':''}}"));
    assert_false(matches("{'nodeSelector':{'zone':'b'}}"));
    assert_false(matches("{'nodeSelector':{'zone':'a','disk':'ssd'}}"));
    assert_false(matches("{'nodeSelector':{'disk':''}}")); // absent is not empty
}

static void test_expressions(void **state) {
    static const struct {
        const char *requirement;
        bool expected;
    } cases[] = {
        {"{'key':'zone','operator':'In','values':['b','a']}", true},
        {"{'key':'zone','operator':'In','values':['b']}", false},
        {"{'key':'disk','operator':'In','values':['']}", false},
        {"{'key':'empty','operator':'In','values':['']}", true},
        {"{'key':'zone','operator':'NotIn','values':['b']}", true},
        {"{'key':'zone','operator':'NotIn','values':['b','a']}", false},
        {"{'key':'disk','operator':'NotIn','values':['ssd']}", true},
        {"{'key':'zone','operator':'Exists'}", true},
        {"{'key':'empty','operator':'Exists'}", true},
        {"{'key':'disk','operator':'Exists'}", false},
        {"{'key':'disk','operator':'DoesNotExist'}", true},
        {"{'key':'zone','operator':'DoesNotExist'}", false},
        {"{'key':'cores','operator':'Gt','values':['7']}", true},
        {"{'key':'cores','operator':'Gt','values':['8']}", false},
        {"{'key':'cores','operator':'Gt','values':['10']}", false}, // as numbers, not as text
        {"{'key':'cores','operator':'Lt','values':['10']}", true},
        {"{'key':'cores','operator':'Lt','values':['8']}", false},
        {"{'key':'negative','operator':'Lt','values':['-2']}", true},
        {"{'key':'disk','operator':'Gt','values':['0']}", false},
        {"{'key':'zone','operator':'Gt','values':['0']}", false},
        {"{'key':'big','operator':'Gt','values':['0']}", false},
        // impossible ones
        {"{'key':'zone','operator':'In'}", false},
        {"{'key':'zone','operator':'NotIn'}", false},
        {"{'key':'zone','operator':'Exists','values':['a']}", false},
        {"{'key':'disk','operator':'DoesNotExist','values':['a']}", false},
        {"{'key':'cores','operator':'Gt','values':['1','2']}", false},
        {"{'key':'cores','operator':'Lt','values':['many']}", false},
        {"{'key':'zone','operator':'in','values':['a']}", false},
        {"{'key':'zone'}", false},
        // a field's name is no label's (the seed's pod that stays Pending)
        {"{'key':'metadata.name','operator':'In','values':['node-1']}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char term[256];
        snprintf(term, sizeof term, "{'matchExpressions':[%s]}", cases[i].requirement);
        if (term_matches(term) != cases[i].expected)
            fail_msg("%s", cases[i].requirement);
    }
}

static void test_fields(void **state) {
    static const struct {
        const char *requirement;
        bool expected;
    } cases[] = {
        {"{'key':'metadata.name','operator':'In','values':['node-1']}", true},
        {"{'key':'metadata.name','operator':'In','values':['node-2']}", false},
        {"{'key':'metadata.name','operator':'NotIn','values':['node-1']}", false},
        {"{'key':'metadata.name','operator':'NotIn','values':['node-2']}", true},
        {"{'key':'metadata.name','operator':'In','values':['node-1','node-2']}", false},
        {"{'key':'metadata.name','operator':'NotIn','values':[]}", false},
        {"{'key':'metadata.name','operator':'Exists'}", false},
        {"{'key':'zone','operator':'In','values':['a']}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char term[256];
        snprintf(term, sizeof term, "{'matchFields':[%s]}", cases[i].requirement);
        if (term_matches(term) != cases[i].expected)
            fail_msg("%s", cases[i].requirement);
    }
}

#define REQUIRED(terms)                                                                            \
    "'affinity':{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':"                \
    "{'nodeSelectorTerms':[" terms "]}}}"
#define ZONE(zone) "{'key':'zone','operator':'In','values':['" zone "']}"
#define NAME(name) "{'key':'metadata.name','operator':'In','values':['" name "']}"

static void test_terms(void **state) {
    // A term is all it says; one term is enough; an empty one matches nothing.
    assert_true(matches("{" REQUIRED("{'matchExpressions':[" ZONE("a") "]}") "}"));
    assert_false(matches("{" REQUIRED("{'matchExpressions':[" ZONE("a") "," ZONE("b") "]}") "}"));
    assert_true(matches("{" REQUIRED(
        "{'matchExpressions':[" ZONE("b") "]},{'matchExpressions':[" ZONE("a") "]}") "}"));
    assert_false(matches("{" REQUIRED(
        "{'matchExpressions':[" ZONE("a") "],'matchFields':[" NAME("node-2") "]}") "}"));
    assert_true(matches("{" REQUIRED(
        "{'matchExpressions':[" ZONE("a") "],'matchFields':[" NAME("node-1") "]}") "}"));
    assert_false(matches("{" REQUIRED("{}") "}"));
    assert_false(matches("{" REQUIRED("") "}"));
    // The selector and the affinity, both.
    assert_false(matches(
        "{'nodeSelector':{'zone':'b'}," REQUIRED("{'matchExpressions':[" ZONE("a") "]}") "}"));
    assert_true(matches(
        "{'nodeSelector':{'cores':'8'}," REQUIRED("{'matchExpressions':[" ZONE("a") "]}") "}"));
    // What is preferred decides nothing here.
    assert_true(
        matches("{'affinity':{'nodeAffinity':{'preferredDuringSchedulingIgnoredDuring"
                "Execution':[{'weight':1,'preference':{'matchExpressions':[" ZONE("b") "]}}]}}}"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_node_selector),
                                       cmocka_unit_test(test_expressions),
                                       cmocka_unit_test(test_fields), cmocka_unit_test(test_terms)};
    return cmocka_run_group_tests_name("rules affinity", tests, NULL, NULL);
}
