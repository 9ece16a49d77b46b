// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>

#include "from_json.h"
#include "rules/pod_resources.h"

// "cpu=1500m memory=2Gi", sorted as the names came up.
static Str text_of(Arena *arena, const ResourceAmounts *amounts) {
    Str text = STR("");
    for (size_t i = 0; i < amounts->n; i++)
        text = arena_printf(arena, "%.*s%s%.*s=%.*s", STR_ARG(text), i ? " " : "",
                            STR_ARG(amounts->items[i].name),
                            STR_ARG(quantity_format(arena, amounts->items[i].quantity)));
    return text;
}

static void assert_amounts(const char *spec_json, const char *requests, const char *limits) {
    _arena_free_ Arena *arena = arena_new();
    PodSpec spec;
    from_json(arena, kinds_type_PodSpec(), spec_json, &spec);
    ResourceAmounts amounts = pod_requests(arena, &spec, NULL);
    Str text = text_of(arena, &amounts);
    if (!str_eq(text, str_from(requests)))
        fail_msg("%s: requests %.*s, expected %s", spec_json, STR_ARG(text), requests);
    amounts = pod_limits(arena, &spec);
    text = text_of(arena, &amounts);
    if (!str_eq(text, str_from(limits)))
        fail_msg("%s: limits %.*s, expected %s", spec_json, STR_ARG(text), limits);
}

#define R(cpu, memory) "'resources':{'requests':{'cpu':'" cpu "','memory':'" memory "'}}"
#define L(cpu) "'resources':{'limits':{'cpu':'" cpu "'}}"

static void test_containers_add_up(void **state) {
    assert_amounts("{}", "", "");
    assert_amounts("{'containers':[{},{}]}", "", "");
    assert_amounts("{'containers':[{" R("1", "1Gi") "},{" R("500m", "512Mi") "}]}",
                   "cpu=1500m memory=1536Mi", "");
    assert_amounts("{'containers':[{" L("1") "},{" L("500m") "},{}]}", "", "cpu=1500m");
    assert_amounts("{'containers':[{'resources':{'requests':{'example.com/gpu':'1'}}},"
                   "{'resources':{'requests':{'example.com/gpu':'2','cpu':'1'}}}]}",
                   "example.com/gpu=3 cpu=1", "");
}

static void test_init_containers(void **state) {
    // One after another, before the containers: the greatest counts, resource by resource.
    assert_amounts("{'initContainers':[{" R("2", "1Gi") "},{" R(
                       "1", "3Gi") "}],"
                                   "'containers':[{" R("1", "1Gi") "},{" R("500m", "1Gi") "}]}",
                   "cpu=2 memory=3Gi", "");
    assert_amounts("{'initContainers':[{" R("1", "1Gi") "}],'containers':[{" R("2", "2Gi") "}]}",
                   "cpu=2 memory=2Gi", "");
    assert_amounts("{'initContainers':[{" L("3") "}],'containers':[{" L("1") "},{" L("1") "}]}", "",
                   "cpu=3");
}

#define SIDECAR "'restartPolicy':'Always',"

static void test_sidecars(void **state) {
    // KEP-753: beside the containers, and beside the init containers that come after them.
    assert_amounts(
        "{'initContainers':[{" SIDECAR R("1", "1Gi") "}],'containers':[{" R("2", "2Gi") "}]}",
        "cpu=3 memory=3Gi", "");
    assert_amounts(
        "{'initContainers':[{" R("5", "1Gi") "},{" SIDECAR R("1", "1Gi") "},{" R(
            "3", "1Gi") "},{" SIDECAR R("1", "1Gi") "}],'containers':[{" R("1", "1Gi") "}]}",
        "cpu=5 memory=3Gi", "");
    assert_amounts("{'initContainers':[{" SIDECAR R("1", "1Gi") "},{" R(
                       "5", "1Gi") "}],"
                                   "'containers':[{" R("1", "1Gi") "}]}",
                   "cpu=6 memory=2Gi", "");
    assert_amounts("{'initContainers':[{" SIDECAR R("1", "1Gi") "},{" SIDECAR R(
                       "2", "1Gi") "}],"
                                   "'containers':[{}]}",
                   "cpu=3 memory=2Gi", "");
}

static void test_overhead(void **state) {
    assert_amounts("{'overhead':{'cpu':'250m','memory':'64Mi'},'containers':[{" R("1", "1Gi") "}]}",
                   "cpu=1250m memory=1088Mi", "");
    assert_amounts("{'overhead':{'memory':'64Mi'},'containers':[{" R("1", "1Gi") "}]}",
                   "cpu=1 memory=1088Mi", "");
    assert_amounts("{'overhead':{'cpu':'250m','memory':'64Mi'},'containers':[{" L("1") "}]}",
                   "cpu=250m memory=64Mi", "cpu=1250m"); // nothing is limited by its overhead
    assert_amounts("{'overhead':{'cpu':'250m'},'containers':[{" L("0") "}]}", "cpu=250m", "cpu=0");
}

static void test_pod_level(void **state) {
    assert_amounts("{'resources':{'requests':{'cpu':'4'},'limits':{'cpu':'5','memory':'1Gi'}},"
                   "'overhead':{'cpu':'250m'},'containers':[{" R("1", "1Gi") "}]}",
                   "cpu=4250m memory=1Gi", "cpu=5250m memory=1Gi");
    assert_amounts("{'resources':{'requests':{'example.com/gpu':'4','hugepages-2Mi':'2Mi'}},"
                   "'containers':[{}]}",
                   "hugepages-2Mi=2Mi", "");
}

static void test_missing(void **state) {
    _arena_free_ Arena *arena = arena_new();
    PodSpec spec;
    from_json(
        arena, kinds_type_PodSpec(),
        "{'initContainers':[{" L(
            "1") "}],'containers':[{},"
                 "{'resources':{'requests':{'cpu':'1'}}},{'resources':{'requests':{'cpu':'0'}}}]}",
        &spec);
    ResourceAmount items[2] = {{.name = STR("cpu")}, {.name = STR("memory")}};
    assert_int_equal(quantity_parse(STR("100m"), &items[0].quantity), 0);
    assert_int_equal(quantity_parse(STR("200Mi"), &items[1].quantity), 0);
    ResourceAmounts missing = {items, 2};
    ResourceAmounts amounts = pod_requests(arena, &spec, &missing);
    assert_true(str_eq(text_of(arena, &amounts), STR("cpu=1100m memory=600Mi")));
    Quantity quantity;
    assert_true(resource_amounts_get(&amounts, STR("cpu"), &quantity));
    assert_int_equal(quantity_milli_value(quantity), 1100);
    assert_false(resource_amounts_get(&amounts, STR("gpu"), &quantity));
    assert_int_equal(quantity.nano, 0);
}

#define REQUESTS(cpu, memory) "'requests':{'cpu':'" cpu "','memory':'" memory "'}"
#define LIMITS(cpu, memory) "'limits':{'cpu':'" cpu "','memory':'" memory "'}"
#define C(resources) "{'resources':{" resources "}}"
#define GUARANTEED C(REQUESTS("1", "1Gi") "," LIMITS("1000m", "1024Mi"))

static void test_qos(void **state) {
    static const struct {
        const char *spec, *expected;
    } cases[] = {
        {"{'containers':[{}]}", "BestEffort"},
        {"{'containers':[{},{}],'initContainers':[{}]}", "BestEffort"},
        {"{'containers':[" C(REQUESTS("0", "0")) "]}", "BestEffort"},
        {"{'containers':[{'resources':{'requests':{'example.com/gpu':'1'},'limits':"
         "{'example.com/gpu':'1'}}}]}",
         "BestEffort"}, // only CPU and memory count
        {"{'containers':[" GUARANTEED "]}", "Guaranteed"},
        {"{'containers':[" GUARANTEED "," GUARANTEED "],'initContainers':[" GUARANTEED "]}",
         "Guaranteed"},
        {"{'containers':[" GUARANTEED ",{}]}", "Burstable"},
        {"{'containers':[" GUARANTEED "],'initContainers':[{}]}", "Burstable"},
        {"{'containers':[" C(REQUESTS("1", "1Gi")) "]}", "Burstable"},
        {"{'containers':[" C(LIMITS("1", "1Gi")) "]}", "Burstable"}, // before defaulting
        {"{'containers':[" C(REQUESTS("1", "1Gi") "," LIMITS("2", "1Gi")) "]}", "Burstable"},
        {"{'containers':[{'resources':{'requests':{'cpu':'1'},'limits':{'cpu':'1'}}}]}",
         "Burstable"},
        {"{'containers':[" GUARANTEED "],'ephemeralContainers':[{'name':'x'}]}", "Guaranteed"},
        // the pod's own
        {"{'resources':{" REQUESTS("1", "1Gi") "," LIMITS("1", "1Gi") "},'containers':[{}]}",
         "Guaranteed"},
        {"{'resources':{" REQUESTS("1", "1Gi") "," LIMITS("2", "1Gi") "},'containers':[" GUARANTEED
                                                                      "]}",
         "Burstable"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _arena_free_ Arena *arena = arena_new();
        PodSpec spec;
        from_json(arena, kinds_type_PodSpec(), cases[i].spec, &spec);
        Str class = pod_qos_class(&spec);
        if (!str_eq(class, str_from(cases[i].expected)))
            fail_msg("%s: %.*s, expected %s", cases[i].spec, STR_ARG(class), cases[i].expected);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_containers_add_up),
        cmocka_unit_test(test_init_containers),
        cmocka_unit_test(test_sidecars),
        cmocka_unit_test(test_overhead),
        cmocka_unit_test(test_pod_level),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_qos),
    };
    return cmocka_run_group_tests_name("rules pod resources", tests, NULL, NULL);
}
