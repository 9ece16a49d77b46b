#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "schema/value.h"

static void becomes(const char *yaml, const char *json) {
    _arena_free_ Arena *arena = arena_new();
    _buf_deinit_ Buf buf = BUF_INIT(1 << 20);
    Value *value;
    ParseError error = {0};
    int r = value_parse_yaml(arena, str_from(yaml), NULL, &value, &error);
    if (r)
        print_message("%s: %.*s\n", yaml, STR_ARG(error.message));
    assert_int_equal(r, 0);
    value_write_json(value, &buf);
    buf_char(&buf, '\0');
    assert_string_equal(buf.data, json);
}

static void fails(const char *yaml, int status, const char *message) {
    _arena_free_ Arena *arena = arena_new();
    Value *value;
    ParseError error = {0};
    assert_int_equal(value_parse_yaml(arena, str_from(yaml), NULL, &value, &error), status);
    assert_string_equal(arena_cstr(arena, error.message), message);
}

static void test_scalars(void **state) {
    becomes("[a, 'yes', \"on\", yes, No, on, OFF, y, n, true, FALSE, ~, null, '']",
            "[\"a\",\"yes\",\"on\",true,false,true,false,true,false,true,false,null,null,\"\"]");
    becomes("[0, 12, -3, +4, 0x1F, 0o17, 017, 0b101, 1_000, 09, 08.5]",
            "[0,12,-3,4,31,15,15,5,1000,9,8.5]");
    becomes("[1.5, .5, 1., 1e3, -1.5e-3, '1.5']", "[1.5,0.5,1,1000,-0.0015,\"1.5\"]");
    becomes("[9223372036854775807, 9223372036854775808, 1e999]",
            "[9223372036854775807,9223372036854775808,\"1e999\"]");
    becomes("[2001-12-14, 2001-12-14T21:59:43Z, 1:30, 1.2.3, 0x, -, 10m, 128Mi]",
            "[\"2001-12-14\",\"2001-12-14T21:59:43Z\",\"1:30\",\"1.2.3\",\"0x\",\"-\",\"10m\","
            "\"128Mi\"]");
    becomes("[!!str 5, !!int '5', !!float 5, !own 5]", "[\"5\",5,5,\"5\"]");
    becomes("a:\nb: |\n  x\n  y\nc: >-\n  x\n  y\n",
            "{\"a\":null,\"b\":\"x\\ny\\n\",\"c\":\"x y\"}");
}

static void test_structure(void **state) {
    becomes("", "null");
    becomes("# only a comment\n", "null");
    becomes("---\na: 1\n---\nb: 2\n", "{\"a\":1}");
    becomes("a:\n- b: 1\n  c: [x, {d: e}]\n- 2\n",
            "{\"a\":[{\"b\":1,\"c\":[\"x\",{\"d\":\"e\"}]},2]}");
    becomes("{\"json\": [1, \"\\u00e9\"]}", "{\"json\":[1,\"\xc3\xa9\"]}");
    becomes("{1: a, true: b, 1.5: c, 0x10: d}",
            "{\"1\":\"a\",\"true\":\"b\",\"1.5\":\"c\",\"16\":\"d\"}");
}

static void test_anchors_and_merges(void **state) {
    becomes("a: &x {k: 1}\nb: *x\nc: [*x, *x]\n",
            "{\"a\":{\"k\":1},\"b\":{\"k\":1},\"c\":[{\"k\":1},{\"k\":1}]}");
    becomes("a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  l: 3\n",
            "{\"a\":{\"k\":1,\"l\":2},\"b\":{\"k\":1,\"l\":3}}");
    becomes("- &x {k: 1}\n- &y {k: 2, m: 3}\n- <<: [*x, *y]\n",
            "[{\"k\":1},{\"k\":2,\"m\":3},{\"k\":1,\"m\":3}]");
    becomes("{'<<': 1}", "{\"<<\":1}");
    fails("a: *nope\n", -EBADMSG, "yaml: unknown anchor 'nope' referenced");
    fails("a: &x {b: *x}\n", -EBADMSG, "yaml: anchor 'x' value contains itself");
    fails("a:\n  <<: 5\n", -EBADMSG,
          "yaml: map merge requires map or sequence of maps as the value");
}

static void test_aliases_share_nothing(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *value;
    ParseError error;
    assert_int_equal(value_parse_yaml(arena, STR("a: &x {k: 1}\nb: *x\n"), NULL, &value, &error),
                     0);
    value_set_int(arena, value_at(value, "a"), STR("k"), 2);
    assert_int_equal(value_int_at(value, "b.k", 0), 1);
}

static void test_expansion_is_bounded(void **state) {
    _buf_deinit_ Buf buf = BUF_INIT(1 << 20);
    buf_printf(&buf, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 10; i++) {
        buf_printf(&buf, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            buf_printf(&buf, "%s*a%d", j ? "," : "", i - 1);
        buf_printf(&buf, "]\n");
    }
    buf_char(&buf, '\0');
    fails(buf.data, -E2BIG, "yaml: document contains excessive aliasing");

    buf_clear(&buf);
    for (int i = 0; i <= VALUE_MAX_DEPTH + 1; i++)
        buf_char(&buf, '[');
    buf_char(&buf, '\0');
    fails(buf.data, -E2BIG, "exceeded max depth");
}

static void test_errors_have_the_wording_of_go_yaml(void **state) {
    fails("a: b\nb:\n\tc: d\n", -EBADMSG,
          "yaml: line 3: found character that cannot start any token");
    fails("\tb: 1\n", -EBADMSG, "yaml: found character that cannot start any token");
    fails("a: b\n  b: c\n", -EBADMSG,
          "yaml: line 2: mapping values are not allowed in this context");
    fails("a: b\n c\nd\n", -EBADMSG, "yaml: line 4: could not find expected ':'");
    fails("a: [1, 2\nb: 3\n", -EBADMSG, "yaml: line 1: did not find expected ',' or ']'");
    fails("a: !!int foo\n", -EBADMSG, "yaml: cannot decode !!str `foo` as a !!int");
    fails("a: .inf\n", -EBADMSG, "json: unsupported value: +Inf");
    fails("a: \xff\n", -EBADMSG, "yaml: invalid leading UTF-8 octet");
    fails("a: \x01\n", -EBADMSG, "yaml: control characters are not allowed");
}

static void test_duplicates(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *value;
    ParseError error;
    ValuePaths paths = {0};
    Str text = STR("a: 1\nb:\n- c: 1\n  c: 2\na: 3\n");
    assert_int_equal(value_parse_yaml(arena, text, &paths, &value, &error), 0);
    assert_int_equal(paths.n, 2);
    assert_string_equal(arena_cstr(arena, paths.paths[0]), "b[0].c");
    assert_string_equal(arena_cstr(arena, paths.paths[1]), "a");
    assert_int_equal(value_int_at(value, "a", 0), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_anchors_and_merges),
        cmocka_unit_test(test_aliases_share_nothing),
        cmocka_unit_test(test_expansion_is_bounded),
        cmocka_unit_test(test_errors_have_the_wording_of_go_yaml),
        cmocka_unit_test(test_duplicates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
