#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "schema/selector.h"
#include "schema_test.h"

static bool matches(const char *selector, const char *labels) {
    _arena_free_ Arena *arena = arena_new();
    Selector *parsed;
    Str message = STR_NONE;
    if (selector_parse(arena, str_from(selector), &parsed, &message))
        fail_msg("%s: %.*s", selector, STR_ARG(message));
    return selector_matches(parsed, labels ? parse(arena, labels) : NULL);
}

static void refuses(const char *selector, const char *expected) {
    _arena_free_ Arena *arena = arena_new();
    Selector *parsed;
    Str message = STR_NONE;
    assert_int_equal(selector_parse(arena, str_from(selector), &parsed, &message), -EINVAL);
    assert_str(arena, message, expected);
}

static void test_matching(void **state) {
    const char *ab = "{\"a\":\"1\",\"b\":\"x\",\"e\":\"\"}";
    assert_true(matches("", ab));
    assert_true(matches("", NULL));
    assert_true(matches("a=1", ab));
    assert_true(matches("a==1,b=x", ab));
    assert_false(matches("a=1,b=y", ab));
    assert_false(matches("a=1", NULL));
    assert_true(matches("a!=2", ab));
    assert_true(matches("c!=2", ab));
    assert_false(matches("a!=1", ab));
    assert_true(matches("b in (x,y)", ab));
    assert_false(matches("c in (x,y)", ab));
    assert_true(matches("b notin (y)", ab));
    assert_true(matches("c notin (y)", ab));
    assert_false(matches("b notin (x,y)", ab));
    assert_true(matches("a", ab));
    assert_false(matches("!a", ab));
    assert_true(matches(" ! c , a ", ab));
    assert_true(matches("e=", ab));
    assert_true(matches("e in ()", ab));
    assert_true(matches("e in (,x)", ab));
    assert_true(matches("e in (x,)", ab));
    assert_false(matches("a in (x,)", ab));
    assert_true(matches("a>0,a<2", ab));
    assert_false(matches("a>1", ab));
    assert_false(matches("b>1", ab));
    assert_true(matches("in in (in,notin),notin", "{\"in\":\"notin\",\"notin\":\"\"}"));
    assert_true(matches("example.com/A_b=v", "{\"example.com/A_b\":\"v\"}"));
}

static void test_errors(void **state) {
    refuses("a=1,", "found '', expected: identifier after ','");
    refuses(",a", "found ',', expected: !, identifier, or 'end of string'");
    refuses("a=1 b=2", "found 'b', expected: ',' or 'end of string'");
    refuses("a in", "unable to parse requirement: found '' expected: '('");
    refuses("a in x", "unable to parse requirement: found 'x' expected: '('");
    refuses("a in (x y)", "unable to parse requirement: found 'y', expected: ',' or ')'");
    refuses("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier");
    refuses("a b",
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt");
    refuses("a=(", "unable to parse requirement: found '(', expected: identifier");
    refuses("!,", "unable to parse requirement: found ',', expected: identifier");
    refuses("a>x", "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' "
                   "operators, the value must be an integer");
    refuses("/a=1", "unable to parse requirement: <nil>: Invalid value: \"/a\": prefix part must "
                    "be non-empty");
    refuses("a=-x", "unable to parse requirement: values[0][a]: Invalid value: \"-x\": a valid "
                    "label must be an empty string or consist of alphanumeric characters, '-', "
                    "'_' or '.', and must start and end with an alphanumeric character (e.g. "
                    "'MyValue',  or 'my_value',  or '12345', regex used for validation is "
                    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')");
}

static void test_label_selector_objects(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Selector *selector;
    Str message;
    const Value *labels = parse(arena, "{\"a\":\"1\",\"b\":\"x\"}");
    assert_int_equal(selector_from_value(arena, NULL, &selector, &message), 0);
    assert_false(selector_matches(selector, labels));
    assert_false(selector_is_everything(selector));
    assert_int_equal(selector_from_value(arena, parse(arena, "{}"), &selector, &message), 0);
    assert_true(selector_matches(selector, labels));
    assert_true(selector_matches(selector, NULL));
    assert_true(selector_is_everything(selector));
    assert_int_equal(
        selector_from_value(
            arena,
            parse(arena,
                  "{\"matchLabels\":{\"a\":\"1\"},\"matchExpressions\":[{\"key\":\"b\","
                  "\"operator\":\"In\",\"values\":[\"x\",\"y\"]},{\"key\":\"c\",\"operator\":"
                  "\"DoesNotExist\"}]}"),
            &selector, &message),
        0);
    assert_true(selector_matches(selector, labels));
    assert_false(selector_matches(selector, parse(arena, "{\"a\":\"1\",\"b\":\"x\",\"c\":\"\"}")));
    assert_int_equal(
        selector_from_value(
            arena, parse(arena, "{\"matchExpressions\":[{\"key\":\"b\",\"operator\":\"Is\"}]}"),
            &selector, &message),
        -EINVAL);
    assert_str(arena, message, "\"Is\" is not a valid label selector operator");
    assert_int_equal(
        selector_from_value(
            arena, parse(arena, "{\"matchExpressions\":[{\"key\":\"b\",\"operator\":\"In\"}]}"),
            &selector, &message),
        -EINVAL);
    assert_str(arena, message,
               "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty");
    selector = selector_from_map(arena, parse(arena, "{\"a\":\"1\"}"));
    assert_true(selector_matches(selector, labels));
    assert_false(selector_matches(selector, NULL));
    assert_true(selector_is_everything(selector_from_map(arena, NULL)));
}

static void test_field_selectors(void **state) {
    _arena_free_ Arena *arena = arena_new();
    FieldSelector fields;
    Str message;
    assert_int_equal(
        field_selector_parse(arena, STR("status.phase=Running,spec.nodeName!=n1,,a==b\\,c\\=d\\\\"),
                             &fields, &message),
        0);
    assert_int_equal(fields.n, 3);
    assert_str(arena, fields.terms[0].path, "status.phase");
    assert_str(arena, fields.terms[0].value, "Running");
    assert_true(fields.terms[0].equal);
    assert_str(arena, fields.terms[1].path, "spec.nodeName");
    assert_false(fields.terms[1].equal);
    assert_str(arena, fields.terms[2].value, "b,c=d\\");
    assert_int_equal(field_selector_parse(arena, STR(""), &fields, &message), 0);
    assert_int_equal(fields.n, 0);
    assert_int_equal(field_selector_parse(arena, STR("a=1,foo"), &fields, &message), -EINVAL);
    assert_str(arena, message, "invalid selector: 'a=1,foo'; can't understand 'foo'");
    assert_int_equal(field_selector_parse(arena, STR("a=b=c"), &fields, &message), -EINVAL);
    assert_str(arena, message, "invalid field selector: unescaped character in value: 61");
    assert_int_equal(field_selector_parse(arena, STR("a=b\\x"), &fields, &message), -EINVAL);
    assert_str(arena, message, "invalid field selector: invalid escape sequence: \\x");
    assert_int_equal(field_selector_parse(arena, STR("a=b\\"), &fields, &message), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matching),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_label_selector_objects),
        cmocka_unit_test(test_field_selectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
