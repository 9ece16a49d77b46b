#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "schema/value.h"

static Str write(Arena *arena, const Value *value) {
    _buf_deinit_ Buf buf = BUF_INIT(1 << 24);
    value_write_json(value, &buf);
    assert_false(buf.failed);
    return arena_str(arena, buf_view(&buf));
}

static void assert_str(Str s, const char *expected) {
    assert_non_null(s.ptr);
    char copy[4096];
    snprintf(copy, sizeof copy, "%.*s", STR_ARG(s));
    assert_string_equal(copy, expected);
}

static void round_trip(const char *text, const char *expected) {
    _arena_free_ Arena *arena = arena_new();
    Value *value;
    ParseError error;
    assert_int_equal(value_parse_json(arena, str_from(text), NULL, &value, &error), 0);
    assert_str(write(arena, value), expected);
}

static void test_round_trips(void **state) {
    round_trip("null", "null");
    round_trip(" { \"a\" : [ 1 , -2.5, true,false ,null, \"x\" ] , \"b\":{}, \"c\":[] } ",
               "{\"a\":[1,-2.5,true,false,null,\"x\"],\"b\":{},\"c\":[]}");
    round_trip("\"\\u00e9\\ud83d\\ude00\\n\\\"\\\\\\/\\u0001\"",
               "\"\xc3\xa9\xf0\x9f\x98\x80\\n\\\"\\\\/\\u0001\"");
    round_trip("\"a<b>&c longer than eight bytes \xc3\xa9 and on\"",
               "\"a<b>&c longer than eight bytes \xc3\xa9 and on\"");
    round_trip("9223372036854775807", "9223372036854775807");
    round_trip("-9223372036854775808", "-9223372036854775808");
    round_trip("9223372036854775808", "9223372036854775808");
    round_trip("-0", "0");
    round_trip("1.0", "1");
    round_trip("1e3", "1000");
    round_trip("0.1", "0.1");
    round_trip("1e-7", "1e-7");
    round_trip("1.5e300", "1.5e+300");
    round_trip("123456789.125", "123456789.125");
    round_trip("1E21", "1e+21");
}

static void test_bad_utf8_is_replaced(void **state) {
    round_trip("\"a\xff\xc3z\"", "\"a\xef\xbf\xbd\xef\xbf\xbdz\"");
    round_trip("\"\\ud800x\"", "\"\xef\xbf\xbdx\"");
    round_trip("\"\xed\xa0\x80\"", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void test_errors(void **state) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "unexpected end of JSON input"},
        {"{", "unexpected end of JSON input"},
        {"{\"a\"", "unexpected end of JSON input"},
        {"\"abc", "unexpected end of JSON input"},
        {"tru", "unexpected end of JSON input"},
        {"-", "unexpected end of JSON input"},
        {"x", "invalid character 'x' looking for beginning of value"},
        {"'a'", "invalid character '\\'' looking for beginning of value"},
        {"[1,]", "invalid character ']' looking for beginning of value"},
        {"{,}", "invalid character ',' looking for beginning of object key string"},
        {"{\"a\":1,}", "invalid character '}' looking for beginning of object key string"},
        {"{\"a\" 1}", "invalid character '1' after object key"},
        {"{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"},
        {"[1 2]", "invalid character '2' after array element"},
        {"trux", "invalid character 'x' in literal true (expecting 'e')"},
        {"nil", "invalid character 'i' in literal null (expecting 'u')"},
        {"-x", "invalid character 'x' in numeric literal"},
        {"1.x", "invalid character 'x' after decimal point in numeric literal"},
        {"1ex", "invalid character 'x' in exponent of numeric literal"},
        {"01", "invalid character '1' after top-level value"},
        {"{} {}", "invalid character '{' after top-level value"},
        {"\"a\nb\"", "invalid character '\\n' in string literal"},
        {"\"\\x\"", "invalid character 'x' in string escape code"},
        {"\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape"},
        {"\xff", "invalid character '\xc3\xbf' looking for beginning of value"},
        {"1e999", "json: cannot unmarshal number 1e999 into Go value of type float64"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        _arena_free_ Arena *arena = arena_new();
        Value *value;
        ParseError error = {0};
        // an exact heap copy, so that a sanitizer sees any read past the end
        size_t len = strlen(cases[i].text);
        char *copy = malloc(len ? len : 1);
        memcpy(copy, cases[i].text, len);
        assert_int_equal(value_parse_json(arena, str_of(copy, len), NULL, &value, &error),
                         -EBADMSG);
        assert_str(error.message, cases[i].message);
        free(copy);
    }
}

static void test_limits(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *value;
    ParseError error;
    char deep[2 * VALUE_MAX_DEPTH + 2];
    memset(deep, '[', VALUE_MAX_DEPTH);
    memset(deep + VALUE_MAX_DEPTH, ']', VALUE_MAX_DEPTH);
    assert_int_equal(
        value_parse_json(arena, str_of(deep, 2 * VALUE_MAX_DEPTH), NULL, &value, &error), 0);
    memset(deep, '[', VALUE_MAX_DEPTH + 1);
    memset(deep + VALUE_MAX_DEPTH + 1, ']', VALUE_MAX_DEPTH + 1);
    assert_int_equal(value_parse_json(arena, str_of(deep, sizeof deep), NULL, &value, &error),
                     -E2BIG);
    char *big = calloc(1, VALUE_MAX_BYTES + 1);
    memset(big, ' ', VALUE_MAX_BYTES + 1);
    big[0] = '1';
    assert_int_equal(value_parse_json(arena, str_of(big, VALUE_MAX_BYTES), NULL, &value, &error),
                     0);
    assert_int_equal(
        value_parse_json(arena, str_of(big, VALUE_MAX_BYTES + 1), NULL, &value, &error), -E2BIG);
    free(big);
}

static void test_duplicates(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *value;
    ParseError error;
    ValuePaths paths = {0};
    Str text = STR("{\"a\":1,\"s\":{\"c\":[{\"n\":1},{\"n\":2,\"x\":0,\"n\":3}]},\"a\":2,\"a\":3}");
    assert_int_equal(value_parse_json(arena, text, &paths, &value, &error), 0);
    assert_int_equal(paths.n, 2);
    assert_str(paths.paths[0], "s.c[1].n");
    assert_str(paths.paths[1], "a");
    assert_str(write(arena, value), "{\"a\":3,\"s\":{\"c\":[{\"n\":1},{\"n\":3,\"x\":0}]}}");

    _buf_deinit_ Buf buf = BUF_INIT(1 << 20);
    buf_char(&buf, '{');
    for (int i = 0; i < 5000; i++)
        buf_printf(&buf, "\"k%d\":%d,", i % 4900, i);
    buf_printf(&buf, "\"z\":0}");
    paths = (ValuePaths){0};
    assert_int_equal(value_parse_json(arena, buf_view(&buf), &paths, &value, &error), 0);
    assert_int_equal(value->n, 4901);
    assert_int_equal(paths.n, 100);
    assert_int_equal(value_int_at(value, "k0", 0), 4900);
    assert_int_equal(value_int_at(value, "k4899", 0), 4899);
}

static void test_tree(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *object = value_new_object(arena);
    value_set_str(arena, object, STR("name"), STR("x"));
    value_set_int(arena, value_at_make(arena, object, "spec.deep"), STR("n"), 4);
    value_set_bool(arena, object, STR("flag"), true);
    value_set_str(arena, object, STR("name"), STR("y"));
    assert_str(write(arena, object),
               "{\"name\":\"y\",\"spec\":{\"deep\":{\"n\":4}},\"flag\":true}");
    assert_int_equal(value_int_at(object, "spec.deep.n", 0), 4);
    assert_int_equal(value_int_at(object, "spec.deep.none", 7), 7);
    assert_int_equal(value_int_at(object, "name.n", 7), 7);
    assert_true(value_bool_at(object, "flag", false));
    assert_str(value_string_at(object, "name"), "y");
    assert_null(value_string_at(object, "flag").ptr);

    Value *copy = value_copy(arena, object);
    assert_true(value_equal(object, copy));
    value_set_int(arena, value_at(copy, "spec.deep"), STR("n"), 5);
    assert_false(value_equal(object, copy));
    assert_int_equal(value_int_at(object, "spec.deep.n", 0), 4);
    assert_true(value_unset(copy, STR("name")));
    assert_false(value_unset(copy, STR("name")));
    assert_int_equal(copy->n, 2);

    Value *array = value_new_array(arena);
    for (int i = 0; i < 10; i++)
        value_push(arena, array, value_new_int(arena, i));
    value_remove_item(array, 0);
    value_remove_item(array, 8);
    assert_str(write(arena, array), "[1,2,3,4,5,6,7,8]");
}

static void test_equality_ignores_order_and_number_form(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *a, *b;
    ParseError error;
    assert_int_equal(
        value_parse_json(arena, STR("{\"a\":1,\"b\":[1.0],\"c\":null}"), NULL, &a, &error), 0);
    assert_int_equal(
        value_parse_json(arena, STR("{\"c\":null,\"b\":[1],\"a\":1.0}"), NULL, &b, &error), 0);
    assert_true(value_equal(a, b));
    assert_int_equal(
        value_parse_json(arena, STR("{\"c\":null,\"b\":[1],\"d\":1.0}"), NULL, &b, &error), 0);
    assert_false(value_equal(a, b));
}

static void test_writer_keeps_its_limit(void **state) {
    _arena_free_ Arena *arena = arena_new();
    _buf_deinit_ Buf buf = BUF_INIT(10);
    value_write_json(value_new_string(arena, STR("longer than ten")), &buf);
    assert_true(buf.failed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_bad_utf8_is_replaced),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_equality_ignores_order_and_number_form),
        cmocka_unit_test(test_writer_keeps_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
